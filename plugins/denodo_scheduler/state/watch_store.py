"""What the runs of the failover DAG know of each other, in Airflow's asset state store."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from denodo_scheduler.state.record_store import StateAccessor

WATCH_KEY = "watch"


@dataclass(frozen=True)
class Watching:
    """Who watches the pair now, and what the last look at it led to.

    :param owner: run of the failover DAG that watches; only the owner asks for another look when its own is over.
    :param code: of the last decision. :param since: when the pair came into that state, ISO 8601.
    :param at: when it was last looked at, ISO 8601.
    :param last_alive: when the master was last heard. :param second_good: when path 2 was last seen to work. ISO 8601.
    """

    owner: str = ""
    verdict: str = ""
    code: str = ""
    settled: bool = False
    since: str = ""
    at: str = ""
    last_alive: str = ""
    second_good: str = ""


class WatchStore:
    """What the failover DAG's runs know of each other, beside the HA record: losing it costs nothing but a look."""

    def __init__(self, accessor: StateAccessor) -> None:
        self._accessor = accessor

    def load(self) -> Watching:
        value = self._accessor.get(WATCH_KEY)
        known = {field.name for field in fields(Watching)}
        return Watching(**{key: item for key, item in value.items() if key in known}) if value else Watching()

    def save(self, watching: Watching) -> None:
        self._accessor.set(WATCH_KEY, asdict(watching))
