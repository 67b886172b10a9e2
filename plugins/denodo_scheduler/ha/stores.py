"""Where a pair's state lives: the HA record in Airflow's asset state store, snapshots in object storage."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime
from typing import Any, Protocol

from airflow.sdk import ObjectStoragePath

from denodo_ha.record import Record
from denodo_ha.snapshot import expired, taken_at
from denodo_scheduler.hooks.files import new_file

log = logging.getLogger(__name__)

RECORD_KEY = "record"


class StateAccessor(Protocol):
    """What of ``context["asset_state_store"][asset]`` is used here."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


class RecordStore:
    """The HA record of one pair in the state store of its asset."""

    def __init__(self, accessor: StateAccessor) -> None:
        self._accessor = accessor

    def load(self) -> Record | None:
        """Read the record afresh; None when the pair has none.

        :raises denodo_ha.record.RecordError: it cannot be used.
        """
        value = self._accessor.get(RECORD_KEY)
        return None if value is None else Record.from_json(value)

    def save(self, record: Record) -> Record:
        self._accessor.set(RECORD_KEY, record.to_json())
        return record


class SnapshotStore:
    """Folder of a pair's snapshots: ``<base>/<pair>/<id>/{export.zip,contents.json,manifest.json}``.

    ``manifest.json`` is written last, so that a folder without it is an export that never ended.
    """

    def __init__(self, base: ObjectStoragePath, pair: str) -> None:
        self._folder = base / pair

    def export_path(self, snapshot_id: str) -> ObjectStoragePath:
        path = self._folder / snapshot_id
        path.mkdir(parents=True, exist_ok=True)
        return path / "export.zip"

    def write(self, snapshot_id: str, *, contents: str, manifest: str) -> None:
        """Complete a snapshot: what its export file holds, and the manifest of the server it came from."""
        for name, text in (("contents.json", contents), ("manifest.json", manifest)):
            with new_file(self._folder / snapshot_id / name) as file:
                file.write(text.encode())

    def read(self, snapshot_id: str) -> tuple[bytes, bytes]:
        """Contents and manifest as :meth:`write` got them.

        :raises FileNotFoundError: there is no complete snapshot of that id.
        """
        folder = self._folder / snapshot_id
        return (folder / "contents.json").read_bytes(), (folder / "manifest.json").read_bytes()

    def location(self, snapshot_id: str) -> str:
        return str(self._folder / snapshot_id)

    def ids(self) -> list[str]:
        """Ids of all snapshots, the incomplete ones included, oldest first."""
        if not self._folder.exists():
            return []
        return sorted(path.name for path in self._folder.iterdir())

    def retire(self, keep: int, protected: Collection[str], before: datetime | None = None) -> None:
        """Delete all but the newest ``keep`` and the ``protected``; only those taken ``before``, where that is given.

        What cannot be deleted now is deleted next time.
        """
        for snapshot_id in expired(self.ids(), keep, protected):
            if before is None or taken_at(snapshot_id) < before:
                try:
                    self.delete(snapshot_id)
                except OSError as error:
                    log.warning("The old snapshot %s cannot be deleted: %s", snapshot_id, error)

    def delete(self, snapshot_id: str) -> None:
        path = self._folder / snapshot_id
        if path.exists():
            path.rmdir(recursive=True)
