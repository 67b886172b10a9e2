"""The HA record of a pair, in Airflow's asset state store."""

from __future__ import annotations

from typing import Any, Protocol

from denodo_ha.record import Record

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
