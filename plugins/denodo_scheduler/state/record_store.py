"""The HA record of a pair: a row of versions beside its snapshots, mirrored in Airflow's asset state store."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol
from uuid import uuid4

from airflow.sdk import ObjectStoragePath

from denodo_ha.record import LostVersionsError, NewerRecordError, Record, RecordError
from denodo_scheduler.state.files import SharedWriteError, create_file, creates_once, new_file
from denodo_scheduler.state.snapshot_store import RECORD_FOLDER
from denodo_scheduler.state.storage import StorageError, explained, filesystem

log = logging.getLogger(__name__)

RECORD_KEY = "record"
KEPT = 64
"""How many of the newest versions are kept whatever their age."""
KEPT_FOR = timedelta(days=1)
"""How long all versions are kept, so that a task that was paused for that long still finds its place taken."""


class Superseded(Exception):
    """Another task has saved the version that this one was about to save."""


class StateAccessor(Protocol):
    """What of ``context["asset_state_store"][asset]`` is used here."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


@dataclass(frozen=True)
class Known:
    """What can still be told of a record that may be unusable.

    :param record: the newest version that can be read. :param version: the newest version.
    :param epoch: no epoch of the pair was greater, since a version is at most one epoch later than the one before.
    """

    record: Record | None
    version: int
    epoch: int


class RecordStore:
    """The HA record of one pair.

    The versions ``<snapshots>/<pair>/record/<version>.json`` are the truth. Each is one more than the one it was made
    from and is created by exactly one writer, so that nobody writes over a change that they have not read. Airflow's
    state store, which the interface and the commands read, follows them.

    Every method raises StorageError when the storage cannot be used.

    :param mirror: the state store of the pair's asset. :param folder: the pair's folder of snapshots.
    """

    def __init__(self, mirror: StateAccessor, folder: ObjectStoragePath) -> None:
        self._mirror = mirror
        self._folder = folder / RECORD_FOLDER
        self._read: Record | None = None

    def load(self) -> Record | None:
        """Read the record afresh; None when the pair has none.

        :raises denodo_ha.record.RecordError: it cannot be used.
        """
        newest = self._newest()
        if self._read is None:
            self._read = self._first_read(newest)
        elif newest < self._read.version:
            raise LostVersionsError(self._read.version, newest, str(self._folder))
        elif newest > self._read.version:
            self._read = self._version(newest)
        return self._read

    def save(self, record: Record) -> Record:
        """Save a record that was made from the version that it carries.

        :raises Superseded: another version was made from that one meanwhile; nothing was changed.
        """
        saved = record.model_copy(update={"version": record.version + 1})
        self._create(saved)
        self._read = saved
        self._reflect(saved)
        if saved.version % KEPT == 0:
            self._retire(saved.version)
        return saved

    def is_exclusive(self, record: Record) -> bool:
        """Whether the storage creates each version for one writer only, tried with the newest one."""
        if record.version == 0:
            return record.exclusive
        path = self._path(record.version)
        return creates_once(path, filesystem(path).cat_file(path.path))

    def known(self) -> Known:
        """What is known although the record may not be usable.

        :raises NewerRecordError: a newer version of this project wrote it.
        """
        versions, value = self._versions(), self._value()
        mirrored, newest = _version_of(value), max(versions, default=0)
        if mirrored <= newest and newest:
            readers = [partial(self._version, number) for number in reversed(versions)]
        else:
            readers = [partial(Record.from_json, value)] if value is not None else []
            newest = mirrored
        for read in readers:
            try:
                record = read()
            except NewerRecordError:
                raise
            except RecordError:
                continue
            return Known(record, newest, record.epoch + newest - record.version)
        return Known(None, newest, newest)

    # -- the versions

    def _path(self, version: int) -> ObjectStoragePath:
        return self._folder / f"{version:012}.json"

    def _versions(self) -> list[int]:
        storage = filesystem(self._folder)
        try:
            with explained(self._folder):
                found = storage.ls(self._folder.path, detail=False)
        except FileNotFoundError:
            return []
        names = (name.rstrip("/").rpartition("/")[2] for name in found)
        return sorted(int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdecimal())

    def _newest(self) -> int:
        return max(self._versions(), default=0)

    def _version(self, number: int) -> Record:
        """A version; where its file is damaged, the mirror's copy of it.

        :raises RecordError: neither can be read.
        """
        path = self._path(number)
        storage = filesystem(path)
        with explained(path):
            content = storage.cat_file(path.path)
        try:
            return _of_version(number, json.loads(content)["record"])
        except NewerRecordError:
            raise
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            with suppress(RecordError):
                found = _of_version(number, self._value())
                log.warning("%s is damaged (%s); the copy in Airflow's state store is used.", path, error)
                return found
            raise (error if isinstance(error, RecordError) else _Unreadable(number, error)) from None

    def _create(self, record: Record) -> None:
        path = self._path(record.version)
        content = json.dumps({"writer": uuid4().hex, "record": record.to_json()}).encode()
        try:
            create_file(path, content)
        except SharedWriteError:
            self._write_over(path, content)
        except (FileExistsError, StorageError) as error:
            # An answer may be lost and its request sent again, so only the file itself says whose it is.
            if not self._holds(path, content):
                raise Superseded if isinstance(error, FileExistsError) else error from None

    def _holds(self, path: ObjectStoragePath, content: bytes) -> bool:
        with suppress(FileNotFoundError, StorageError):
            storage = filesystem(path)
            with explained(path):
                return bool(storage.cat_file(path.path) == content)
        return False

    def _write_over(self, path: ObjectStoragePath, content: bytes) -> None:
        """Look first and write then, where the storage can do no better."""
        storage = filesystem(path)
        with explained(path):
            taken = storage.exists(path.path)
        if taken:
            raise Superseded
        with new_file(path) as file:
            file.write(content)

    def _retire(self, newest: int) -> None:
        """Delete old versions. What cannot be deleted now is deleted a few versions later."""
        storage = filesystem(self._folder)
        try:
            with explained(self._folder):
                old = [self._path(number).path for number in self._versions() if number <= newest - KEPT]
                if old and storage.modified(old[-1]) < datetime.now(UTC) - KEPT_FOR:
                    storage.rm(old)
        except (StorageError, FileNotFoundError) as error:
            log.warning("Old versions of the HA record cannot be deleted: %s", error)

    # -- the mirror

    def _first_read(self, newest: int) -> Record | None:
        """The newest version, after a look at the mirror: it reveals versions that are gone, and is repaired."""
        if newest == 0:
            value = self._mirror.get(RECORD_KEY)
            if value is None:
                return None
        else:
            value = self._value()
        mirrored = _version_of(value)
        if mirrored > newest:
            newest = self._newest()  # another task may have saved between the two looks
            if mirrored > newest:
                raise LostVersionsError(mirrored, newest, str(self._folder))
        if newest == 0:
            return Record.from_json(value)
        record = self._version(newest)
        if value != record.to_json():
            self._reflect(record)
        return record

    def _value(self) -> Any:
        """What the mirror holds; None where it is empty or does not answer."""
        try:
            return self._mirror.get(RECORD_KEY)
        except Exception as error:
            log.warning("Airflow's state store cannot be read; the HA record is read from %s: %s", self._folder, error)
            return None

    def _reflect(self, record: Record) -> None:
        """Let the mirror follow. Where that fails now, the next task does it."""
        try:
            self._mirror.set(RECORD_KEY, record.to_json())
        except Exception as error:
            log.warning("Airflow's state store could not follow the HA record, and does so later: %s", error)


class _Unreadable(RecordError):
    """A version that is damaged."""

    def __init__(self, number: int, error: object) -> None:
        super().__init__(
            f"version {number} of the pair's HA record cannot be read ({error}); nothing was changed",
            "look which server has enabled jobs, then initialise the pair with its operations DAG",
        )


def _of_version(number: int, value: Any) -> Record:
    record = Record.from_json(value)
    if record.version != number:
        raise _Unreadable(number, f"it says that it is version {record.version}")
    return record


def _version_of(value: Any) -> int:
    """The version of what the mirror holds; 0 for what is no record, or one from before records had versions."""
    try:
        return Record.from_json(value).version
    except NewerRecordError:
        number = value.get("version")
        return number if isinstance(number, int) else 0
    except RecordError:
        return 0
