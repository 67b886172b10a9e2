"""Switchovers and operations of one pair without Airflow's machinery: a run is its tasks, which share JSON.

Whatever jobs a task enables, afterwards never may both servers have enabled ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from denodo_ha.jobs import JobKey
from denodo_ha.record import Phase, Role
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.operate import Done, ManualOperation, Request, operate
from denodo_scheduler.steps.promote import switchover as switching
from denodo_scheduler.steps.promote.switchover import Switch
from support.sync import Books, Sync, WorkerKilled, enabled, kill_the_worker

AT_REST = "0 0 0 1 1 ? 2099"
"""A cron that is not due in any test, whatever the servers' clocks say."""


@dataclass
class SwitchPair(Sync):
    """A pair under test."""

    def step(self, **asked: Any) -> PairContext:
        """The pair as a task sees it, built anew as each task does it."""
        pair = self.pair(**asked.pop("pair", {}))
        return PairContext(
            pair=pair,
            records=self.records,
            snapshots=self.snapshots(pair.name),
            master=DenodoSchedulerHook(pair.master),
            slave=DenodoSchedulerHook(pair.slave),
            now=self.now,
            **{"reason": "a test", **asked},
        )

    def begin(self, to: str, **asked: Any) -> SwitchDagRun:
        return SwitchDagRun(self, Role(to), asked)

    def switched(self, to: str, **asked: Any) -> dict[str, Any]:
        """A whole run, which must end well; returns its event."""
        run = self.begin(to, **asked)
        run.check()
        return run.switch_over()

    def resume(self, **asked: Any) -> dict[str, Any]:
        """What the failover DAG does when it finds an interrupted switchover; at a time at which it may."""
        run_id = f"watch/{uuid4().hex[:8]}"
        known = {name: asked.pop(name) for name in ("down", "alive") if name in asked}
        record = self.record
        to = Role.SLAVE if record.phase is Phase.FAILING_OVER else Role.MASTER
        return jsonable(switching.resume(self.step(run_id=run_id, **asked), to, **known))

    def operate(self, operation: ManualOperation, **asked: Any) -> Done:
        what = {name: asked.pop(name) for name in ("until", "active") if name in asked}
        return operate(self.step(**asked), Request(operation, **what))

    def clean(self) -> None:
        """As if a sync had ended: it is not what is tested."""
        self.change(dirty=None)

    @property
    def enabled(self) -> tuple[set[str], set[str]]:
        """The enabled jobs of the master and of the slave."""
        return enabled(self.master), enabled(self.slave)

    def in_scope(self, labels: set[str]) -> set[str]:
        return {label for label in labels if self.pair().scope.matches(_key(label))}

    @property
    def story(self) -> list[str]:
        """Kinds of the events that wait to be told."""
        return [event["kind"] for event in self.record.outbox]


class SwitchDagRun:
    """One run of the switchover DAG. Asking for a task again is a retry, or a clear."""

    def __init__(self, pair: SwitchPair, to: Role, asked: dict[str, Any]) -> None:
        self._pair = pair
        chosen = {name: asked.pop(name) for name in ("accept_differences", "quiet_window", "stop") if name in asked}
        self._wanted = Switch(to, **chosen)
        self._asked = {"run_id": f"manual__{uuid4().hex[:8]}", **asked}
        self.plan: dict[str, Any] | None = None

    def check(self) -> dict[str, Any]:
        self.plan = jsonable(switching.check(self._pair.step(**self._asked), self._wanted))
        return self.plan

    def switch_over(self) -> dict[str, Any]:
        assert self.plan is not None
        return jsonable(switching.switch(self._pair.step(**self._asked), self._wanted, epoch=self.plan["epoch"]))


def _key(label: str) -> JobKey:
    project, name = label.split(" / ", 1)
    return JobKey(project=project, name=name)


def jsonable(value: dict[str, Any]) -> dict[str, Any]:
    """As it comes out of XCom."""
    found: dict[str, Any] = json.loads(json.dumps(value))
    return found


@contextmanager
def never_both(pair: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each request that enables jobs look whether there are some on both servers."""
    send = DenodoSchedulerHook.set_jobs_status

    def watched(hook: DenodoSchedulerHook, action: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return send(hook, action, *args, **kwargs)
        finally:
            if action == "enable" and all(
                process.running for server in pair.servers.servers for process in server.processes
            ):
                assert not all(pair.in_scope(found) for found in pair.enabled), "jobs are enabled on both servers"

    with monkeypatch.context() as patch:
        patch.setattr(DenodoSchedulerHook, "set_jobs_status", watched)
        yield


class Journals:
    """What ran on either server since this was made."""

    def __init__(self, pair: SwitchPair) -> None:
        self.books = {server.name: Books(server) for server in pair.servers.servers}

    def occurrences(self, *servers: str) -> Counter[tuple[str, str]]:
        """How often each occurrence of each job ran, over these servers."""
        return Counter(
            (f"{entry['project']} / {entry['job']}", entry["scheduled"])
            for server in servers or self.books
            for entry in self.books[server].journal
            if entry["trigger"] == "cron"
        )


class Changes:
    """Every write to the record and every request that changes a server, counted; something may happen after one.

    :param at: its number, from 0. :param then: what happens.
    """

    def __init__(self, patch: pytest.MonkeyPatch, at: int, then: Callable[[], object]) -> None:
        self._made, self._at, self._then = 0, at, then
        for owner, name in ((RecordStore, "save"), (DenodoSchedulerHook, "set_jobs_status")):
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            number, self._made = self._made, self._made + 1
            result = change(*args, **kwargs)
            if number == self._at:
                self._then()
            return result

        return counted


def killed(task: Callable[[], object], monkeypatch: pytest.MonkeyPatch, at: int) -> bool:
    """Run a task and kill its worker after its change number ``at``; False if it has fewer."""
    with monkeypatch.context() as patch:
        Changes(patch, at, kill_the_worker)
        return dies(task)


def dies(task: Callable[[], object]) -> bool:
    """Run a task whose worker may be killed."""
    try:
        task()
    except WorkerKilled:
        return True
    return False
