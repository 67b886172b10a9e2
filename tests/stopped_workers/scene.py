"""A pair whose workers are stopped for longer than Airflow believes in them, and what happens meanwhile."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import timedelta

from denodo_demo.standin import StandinServer
from denodo_ha.record import Phase, Record, Role
from support.switchover import Journals
from support.sync import Books, act, add_job, enabled
from support.workers import Kind, Moment, Order, SharedPair, Worker, Workers

LONG = os.environ.get("DENODO_HA_MACHINE") == "long"
STOPPED = 600.0
"""Seconds: longer than any lease of these pairs, and than the heartbeat timeout of Airflow's tasks (300 s)."""


@dataclass
class Scene:
    """``wanted`` are the enabled jobs of the master, ``in_step`` those of them that the pair has on both servers."""

    pair: SharedPair
    workers: Workers
    order: Order
    wanted: set[str] = field(init=False)
    in_step: set[str] = field(init=False)
    edits: int = 0

    def __post_init__(self) -> None:
        self.wanted = enabled(self.pair.master)

    @property
    def record(self) -> Record:
        return self.pair.record

    def start(self, kind: Kind, moment: Moment | None = None, at: int = 0) -> Worker:
        return self.workers.start(replace(self.order, kind=kind, stop_at=moment and (moment, at)))

    def done(self, kind: Kind) -> str:
        """What another worker comes to."""
        return self.start(kind).ended()

    def edit(self) -> None:
        """Somebody makes a job on the master."""
        self.edits += 1
        add_job(self.pair.master, "sales", f"new {self.edits}")
        self.wanted = enabled(self.pair.master)

    def ready(self) -> None:
        """A pair in step, whatever has happened to it."""
        self.master_is_back()
        act(self.pair.slave, "disable", *enabled(self.pair.slave))
        act(self.pair.master, "enable", *self.wanted)
        if (record := self.pair.records.load()) and (record.phase is not Phase.NORMAL or record.operation):
            self.pair.initialise(Role.MASTER)
        self.pair.synced()
        self.pair.publish()
        self.in_step = self.wanted

    def time_passes(self) -> None:
        """Longer than anything that is open may last."""
        if self.order.lease is None:
            self.pair.clock.pass_time(STOPPED)
            return
        operation, now = self.record.operation, self.pair.now()
        left = operation.lease_until - now if operation else timedelta(0)
        self.pair.clock.pass_time(max(left.total_seconds(), self.order.lease) + 0.1)

    def master_is_silent(self) -> None:
        self.pair.failover.silence()

    def master_is_back(self) -> None:
        self.pair.failover.wake()

    def changes(self) -> Changes:
        return Changes(self.pair)


class Changes:
    """Whether the servers or the record are changed, or a server is asked to change, since this was made."""

    def __init__(self, pair: SharedPair) -> None:
        self._pair = pair
        self._version = pair.records.known().version
        self._books = [Books(server) for server in pair.servers.servers]
        for server in pair.servers.servers:
            server.webtool.reset_requests()

    def requested(self, server: StandinServer) -> list[str]:
        """The changing requests that the web tool of a server was sent."""
        return [what for what in server.webtool.requests() if not what.startswith("GET ") and "export" not in what]

    def assert_none(self) -> None:
        for server in self._pair.servers.servers:
            assert self.requested(server) == [], server.name
        for book in self._books:
            book.assert_untouched()
        assert self._pair.records.known().version == self._version


def ensure_each_runs_once(pair: SharedPair, *servers: StandinServer) -> None:
    """An hour passes on these servers, and no occurrence runs twice."""
    journals = Journals(pair)
    for server in servers:
        server.scheduler.clock(advance_seconds=3600)
    ran = journals.occurrences()
    assert not [occurrence for occurrence, number in ran.items() if number > 1]
