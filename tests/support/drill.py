"""Drills of one pair without Airflow's machinery, judged by the slave's audit and journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from denodo_demo.standin import StandinServer
from denodo_scheduler.steps import drill as drilling
from support.failover import Failover
from support.sync import Books, enabled

PINGS = ("ping 1", "ping 2", "ping 3")


@dataclass
class DrilledPair:
    """A pair under test. While a drill waits, time passes: its own and that of the slave, which runs jobs.

    :param meanwhile: is called at each of these waits, with their number from 0.
    """

    failover: Failover
    patch: pytest.MonkeyPatch
    meanwhile: Callable[[int], object] = lambda _: None
    waits: int = 0
    options: dict[str, Any] = field(default_factory=lambda: {"drill": ["ping *"]})

    def __post_init__(self) -> None:
        self.patch.setattr(drilling, "time", SimpleNamespace(sleep=self._sleep))

    def _sleep(self, seconds: float) -> None:
        number, self.waits = self.waits, self.waits + 1
        self.meanwhile(number)
        self.failover.dead_for(seconds=seconds)

    @property
    def slave(self) -> StandinServer:
        return self.failover.slave

    @property
    def master(self) -> StandinServer:
        return self.failover.master

    @property
    def record(self) -> Any:
        return self.failover.record

    def drill(self, run_id: str = "", *, cleared: datetime | None = None, **asked: Any) -> dict[str, Any]:
        self.waits = 0
        options = {**self.options, **asked.pop("pair", {})}
        told = {"run_id": run_id or f"drill-{uuid4().hex[:6]}", "reason": "a test", "actor": "jo", **asked}
        return drilling.drill(self.failover.prepared(pair=options, **told), cleared=cleared)

    @property
    def told(self) -> list[dict[str, Any]]:
        """The events of drills that wait to be told."""
        return [event for event in self.record.outbox if event["kind"] == "drill"]


def runs(books: Books) -> list[tuple[str, str]]:
    """What ran there since: the jobs and what started each."""
    return [(entry["job"], entry["trigger"]) for entry in books.journal]


def switched(books: Books) -> list[tuple[str, str]]:
    """What was enabled and disabled there since."""
    return [(entry["job"], entry["change"]) for entry in books.audit]


def at_rest(pair: DrilledPair) -> None:
    assert enabled(pair.slave) == set()
    assert pair.record.operation is None
    assert pair.record.drill is None or pair.record.drill.ended
