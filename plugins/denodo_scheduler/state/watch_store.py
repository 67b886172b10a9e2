"""What the runs of the failover DAG know of each other, in Airflow's asset state store."""

from __future__ import annotations

from dataclasses import asdict

from denodo_ha.watching import Watching
from denodo_scheduler.state.record_store import StateAccessor

WATCH_KEY = "watch"


class WatchStore:
    """The state of the watch, beside the HA record: losing it costs a look, and the events that wait in it."""

    def __init__(self, accessor: StateAccessor) -> None:
        self._accessor = accessor

    def load(self) -> Watching:
        return Watching.from_json(self._accessor.get(WATCH_KEY) or {})

    def save(self, watching: Watching) -> None:
        self._accessor.set(WATCH_KEY, {**asdict(watching), "outbox": list(watching.outbox)})
