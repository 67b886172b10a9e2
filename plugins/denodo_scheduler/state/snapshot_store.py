"""The snapshots of a pair, in object storage."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import ObjectStoragePath

from denodo_ha.jobs import JobKey
from denodo_ha.pairs import Pair
from denodo_ha.reason import Reason
from denodo_ha.snapshot.ids import expired, taken_at
from denodo_scheduler.state.files import new_file
from denodo_scheduler.state.storage import StorageError, explained, filesystem, is_local

log = logging.getLogger(__name__)

RECORD_FOLDER = "record"
"""The folder of the HA record, beside those of the snapshots."""
_HOLDING, _REPORT, _SEEN = "servers.json", "doctor.json", "seen.json.gz"
_PLAN, _JSON = "plan-", ".json"


def snapshot_folder(pair: Pair) -> ObjectStoragePath:
    """Where the pair's snapshots are: its ``snapshots`` option, or a folder of the Airflow home."""
    return ObjectStoragePath(pair.snapshots.location or f"file://{AIRFLOW_HOME}/denodo_ha/snapshots")


class SnapshotStore:
    """Folder of a pair's snapshots: ``<base>/<pair>/<id>/{export.zip,contents.json,manifest.json}``.

    ``manifest.json`` is written last and deleted first, so that a folder without it is no snapshot. Beside the folders
    are lists of jobs, ``plan-<id>.json``, such as the one that a switchover carries over, the folder of the HA record,
    ``servers.json``, by which pairs know of each other's servers, and ``seen.json.gz``, the jobs of both servers as
    they were last seen.

    Every method raises StorageError when the storage cannot be used.
    """

    def __init__(self, base: ObjectStoragePath, pair: str) -> None:
        self._base = base
        self._folder = base / pair

    @property
    def base(self) -> str:
        """Where the folders of all pairs are."""
        return str(self._base)

    def holdings(self) -> Iterator[tuple[str, bytes]]:
        """What each pair whose folder is in the same place says of its servers."""
        storage = filesystem(self._base)
        with suppress(FileNotFoundError), explained(self._base):
            folders = [folder.rstrip("/") for folder in storage.ls(self._base.path, detail=False)]
            found = storage.cat([f"{folder}/{_HOLDING}" for folder in folders], on_error="return")
            for path, content in found.items():
                with suppress(FileNotFoundError, NotADirectoryError):
                    if isinstance(content, Exception):
                        raise content
                    yield path.split("/")[-2], content

    def write_holding(self, content: bytes) -> None:
        """Say of this pair what the others read by :meth:`holdings`."""
        with new_file(self._folder / _HOLDING) as file:
            file.write(content)

    def export_path(self, snapshot_id: str) -> ObjectStoragePath:
        return self._folder / snapshot_id / "export.zip"

    def piece_path(self, snapshot_id: str) -> ObjectStoragePath:
        """A part of the export, on its way to a server."""
        return self._folder / snapshot_id / "piece.zip"

    def rescue_path(self, snapshot_id: str) -> ObjectStoragePath:
        """The export of a server that was active, before the first re-protect changes it; never deleted by itself."""
        return self._folder / f"rescue-{snapshot_id}.zip"

    def write_report(self, content: str) -> str:
        """Keep the last report of a doctor, which a person can attach to an issue.

        :return: where it is.
        """
        self._write(_REPORT, content)
        return str(self._folder / _REPORT)

    def write_seen(self, content: bytes) -> None:
        """Keep the jobs of both servers as they were last seen; what was kept before is replaced."""
        with new_file(self._folder / _SEEN) as file:
            file.write(content)

    def read_seen(self) -> bytes:
        """:raises FileNotFoundError: nothing was kept yet."""
        return self._read(_SEEN)

    def write(self, snapshot_id: str, *, contents: str, manifest: str) -> None:
        """Complete a snapshot: what its export file holds, and the manifest of the server it came from."""
        self._write(f"{snapshot_id}/contents.json", contents)
        self._write(f"{snapshot_id}/manifest.json", manifest)

    def read(self, snapshot_id: str) -> tuple[bytes, bytes]:
        """Contents and manifest as :meth:`write` got them.

        :raises FileNotFoundError: there is no complete snapshot of that id.
        """
        return self._read(f"{snapshot_id}/contents.json"), self._read(f"{snapshot_id}/manifest.json")

    def write_job_list(self, list_id: str, keys: Iterable[JobKey]) -> None:
        """Keep a list of jobs, such as those that a switchover carries over, before the first of them is disabled.

        :param list_id: made as that of a snapshot; lists are retired by their age too.
        """
        rows = [[key.project, key.name] for key in sorted(keys)]
        self._write(_list(list_id), json.dumps(rows, ensure_ascii=False))

    def read_job_list(self, list_id: str) -> list[JobKey]:
        """:raises FileNotFoundError: there is none of that id."""
        content = self._read(_list(list_id))
        try:
            return [JobKey(project=project, name=name) for project, name in json.loads(content)]
        except (ValueError, TypeError, RecursionError) as error:
            place = self._folder / _list(list_id)
            what = f"the list of jobs {place} is damaged ({type(error).__name__})"
            how = "enable by hand the jobs that ran before, then initialise the pair with its operations DAG"
            raise StorageError(Reason("storage", what, how)) from None

    def _read(self, name: str) -> bytes:
        path = self._folder / name
        storage = filesystem(path)
        with explained(path):
            content: bytes = storage.cat_file(path.path)
        return content

    def _write(self, name: str, text: str) -> None:
        with new_file(self._folder / name) as file:
            file.write(text.encode())

    def location(self, snapshot_id: str) -> str:
        return str(self._folder / snapshot_id)

    def try_writing(self) -> Path | None:
        """Write a file and delete it; returns the folder where that is on a disk of this machine."""
        name = f"trial-{uuid4().hex}.json"
        self._write(name, "{}")
        self._delete(self._folder / name)
        return Path(self._folder.path) if is_local(self._folder) else None

    def listed(self) -> tuple[list[str], list[str]]:
        """Ids of all snapshots, the incomplete ones included, and of all lists of jobs, oldest first."""
        storage = filesystem(self._folder)
        try:
            with explained(self._folder):
                found = storage.ls(self._folder.path, detail=True)
        except FileNotFoundError:
            found = []
        folders: list[str] = []
        files: list[str] = []
        for entry in found:
            name = entry["name"].rstrip("/").rpartition("/")[2]
            (folders if entry["type"] == "directory" else files).append(name)
        plans = [name[len(_PLAN) : -len(_JSON)] for name in files if name.startswith(_PLAN) and name.endswith(_JSON)]
        return sorted(name for name in folders if name != RECORD_FOLDER), sorted(plans)

    def newest(self) -> str | None:
        """Id of the newest complete snapshot."""
        for snapshot_id in reversed(self.listed()[0]):
            with suppress(FileNotFoundError):
                self._read(f"{snapshot_id}/manifest.json")
                return snapshot_id
        return None

    def retire(self, keep: int, protected: Collection[str], before: datetime | None = None) -> None:
        """Delete all but the newest ``keep`` and the ``protected`` snapshots, and of the lists likewise; only those
        from ``before``, where that is given.

        What cannot be deleted now is deleted next time.
        """
        try:
            snapshots, lists = self.listed()
        except StorageError as error:
            log.warning("Old snapshots cannot be deleted: %s", error)
            return
        for ids, delete in ((snapshots, self.delete), (lists, self._delete_list)):
            for old in expired(ids, keep, protected):
                if before is None or taken_at(old) < before:
                    try:
                        delete(old)
                    except StorageError as error:
                        log.warning("The old snapshot or list of jobs %s cannot be deleted: %s", old, error)

    def delete(self, snapshot_id: str) -> None:
        path = self._folder / snapshot_id
        self._delete(path / "manifest.json")
        self._delete(path, recursive=True)

    def _delete_list(self, list_id: str) -> None:
        self._delete(self._folder / _list(list_id))

    def _delete(self, path: ObjectStoragePath, *, recursive: bool = False) -> None:
        storage = filesystem(path)
        with suppress(FileNotFoundError), explained(path):
            storage.rm(path.path, recursive=recursive)


def _list(list_id: str) -> str:
    return f"{_PLAN}{list_id}{_JSON}"
