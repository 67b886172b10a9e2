"""A pair, its DAGs, and a worker that is killed at one of the moments at which that can make a difference."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow.sdk import DAG
from airflow.utils.types import DagRunType

from denodo_ha.jobs import JobKey
from denodo_ha.record import Record, Role
from denodo_scheduler.state import files
from denodo_scheduler.state.record_store import RECORD_KEY
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.state.watch_store import WATCH_KEY
from denodo_scheduler.steps import passive
from denodo_standin.errors import internal
from denodo_standin.model import Job
from support.events_airflow import DAGS, Airflow, Between, DagRun, airflow_of
from support.events_books import Books
from support.machine_servers import MASTER, SLAVE, Machine, Network
from support.machine_world import AFTER, REST, World, world
from support.sync import MemoryState, WorkerKilled

OPTIONS = {"master_timezone": "Europe/Madrid", "quiet_window": "1s", "quiet_margin": 0}
LEASES = timedelta(minutes=6)
"""Longer than any lease here."""


class Strike:
    """Kills a worker once: at the moment of a certain number, from 0. ``when`` is that moment, when it has come.

    Between a write and the next one nothing changes for anything outside of the worker but the clock. So right after a
    write and right before the next one are two moments only where time has passed in between.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self.when = ""
        self._left: int | None = None
        self._dead = False
        self._last: Any = None

    @contextmanager
    def armed(self, at: int) -> Iterator[None]:
        self._left = at
        yield
        self._left = None

    @contextmanager
    def process(self) -> Iterator[None]:
        """Another process of a worker."""
        self._dead, self._last = False, None
        yield

    @contextmanager
    def write(self, what: str) -> Iterator[None]:
        self.moment(f"before {what}")
        yield
        self._last = None
        self.moment(f"after {what}")

    def moment(self, when: str) -> None:
        if self._dead:  # of a killed process not even an except clause runs
            raise WorkerKilled
        if self._left is None or self._last == self._network.now:
            return
        self._last = self._network.now
        self._left -= 1
        if self._left < 0:
            self._left = None
            self.when, self._dead = when, True
            raise WorkerKilled


class _State(MemoryState):
    """The asset state store, every write to which is a moment, and is looked at from outside."""

    def __init__(self, world: EventWorld) -> None:
        super().__init__()
        self._world = world

    def set(self, key: str, value: Any) -> None:
        with self._world.strike.write(f"the {key} is saved"):
            before = self.get(key)
            super().set(key, value)
            if key == WATCH_KEY:
                self._world.books.saved(key, before, self.get(key))


class EventWorld(World):
    """A pair whose every write is one of a task's moments: five jobs on the master at most, so that events name all."""

    def __init__(self, folder: Path) -> None:
        self._built: dict[str, dict[str, DAG]] = {}
        super().__init__(folder)

    def reset(self, **options: Any) -> None:
        super().reset(**{**OPTIONS, **options})
        for key in (AFTER, REST):
            self.master.delete(key)
        self.strike = Strike(self.network)
        self.books = Books(self)
        self.airflow = Airflow(self, self._dags(options))
        self.state = _State(self)  # type: ignore[assignment]
        self.network.changed = self.books.changed
        self.network.before_request = lambda *_: None

    def _dags(self, options: dict[str, Any]) -> dict[str, DAG]:
        """Building them takes as long as running them."""
        found = self._built.setdefault(repr(options), {})
        return found or found.update({kind: build(self.pair) for kind, build in DAGS.items()}) or found

    @property
    def master(self) -> Machine:
        return self.network.machines[MASTER]

    @property
    def slave(self) -> Machine:
        return self.network.machines[SLAVE]

    @property
    def watching(self) -> dict[str, Any]:
        return self.state.get("watch") or {}

    @property
    def outboxes(self) -> list[dict[str, Any]]:
        return [event for key in ("record", "watch") for event in (self.state.get(key) or {}).get("outbox", ())]

    # -- runs of the DAGs

    def synced(self, **asked: Any) -> DagRun:
        return self.airflow.trigger("sync", DagRunType.MANUAL, **asked)

    def watched(self, **asked: Any) -> DagRun:
        return self.airflow.trigger("failover", DagRunType.SCHEDULED, **asked)

    def switched(self, to: Role, **asked: Any) -> DagRun:
        direction = "to_slave" if to is Role.SLAVE else "to_master"
        return self.airflow.trigger("switchover", DagRunType.MANUAL, direction=direction, reason="a test", **asked)

    def operated(self, operation: str, **asked: Any) -> DagRun:
        return self.airflow.trigger("operations", DagRunType.MANUAL, operation=operation, reason="a test", **asked)

    def ready(self) -> None:
        """The pair is in step, and the watch has seen both servers."""
        self.synced()
        self.watched()

    def dies_in(self, run: Callable[..., DagRun], when: str, *asked: Any, number: int = 1, **more: Any) -> None:
        """A run whose worker is killed when it has done something for the ``number``-th time; nobody retries it."""
        strike = self.strike
        seen = 0
        moment = strike.moment

        def killing(now: str) -> None:
            nonlocal seen
            if now == when:
                seen += 1
                strike._dead = seen == number
            moment(now)

        with patch.object(strike, "moment", killing), patch.object(self.airflow, "retries", False):
            run(*asked, **more)
        assert seen, f"the run never came to {when}"

    def refuse(self, machine: Machine, action: str, key: JobKey, *, times: int = 1000) -> None:
        """The server refuses to do something to a job, until it is started anew."""
        act = machine.server.act
        left = times

        def refusing(asked: str, jobs: Any) -> None:
            nonlocal left
            if asked == action and machine.jobs[key] in jobs and left:
                left -= 1
                raise internal("refused by the test")
            act(asked, jobs)

        machine.server.act = refusing  # type: ignore[method-assign]

    def lie(self, machine: Machine, action: str, keys: Collection[JobKey]) -> None:
        """The server says that it has done something to jobs, and does not do it to these, until it is started anew."""
        act, delete = machine.server.act, machine.server.delete_job

        def lying(asked: str, jobs: Collection[Job]) -> None:
            spared = {machine.jobs[key].id for key in keys if key in machine.jobs} if asked == action else set()
            act(asked, [job for job in jobs if job.id not in spared])

        def keeping(job: Job) -> None:
            if action != "delete" or job.id not in {machine.jobs[key].id for key in keys if key in machine.jobs}:
                delete(job)

        machine.server.act = lying  # type: ignore[method-assign]
        machine.server.delete_job = keeping  # type: ignore[method-assign]

    def restart(self, machine: Machine) -> None:
        machine.crash()
        machine.start()

    def settle(self) -> None:
        """What the next runs do, after every lease; each of them publishes."""
        self.network.heal()
        for run in 4 * [self.watched, self.synced]:
            self.network.advance(LEASES)
            run()
            if self._is_at_rest():
                return

    def _is_at_rest(self) -> bool:
        """Nothing is to be mended any more, and all is told."""
        known, record = {event["id"] for event in self.airflow.history}, self.record
        told = all(event["id"] in known for event in self.outboxes)
        return told and record is not None and record.operation is None and record.dirty is None


def _named(request: Any) -> str:
    path = request.url.partition("/public/api/")[2].partition("?")[0]
    return f"{request.method} {re.sub('[0-9]+', '#', path)}"


def fence(*, pair: str, master: str, reason: str) -> bool:
    return True


def broken_fence(*, pair: str, master: str, reason: str) -> bool:
    return False


@contextmanager
def event_world(folder: Path) -> Iterator[EventWorld]:
    with world(folder, EventWorld) as made, ExitStack() as patches:
        assert isinstance(made, EventWorld)
        ask, beside, delete, link = made.network.ask_now, files._beside, SnapshotStore._delete, files._link

        def asked(role: str, request: Any, body: bytes) -> Any:
            if request.method == "GET" or "export" in request.url:
                return ask(role, request, body)
            with made.strike.write(_named(request)):
                return ask(role, request, body)

        @contextmanager
        def written(destination: Any) -> Iterator[Any]:
            with made.strike.write(f"{destination.name} is written"), beside(destination) as file:
                yield file

        def linked(target: Path, content: bytes, path: Any) -> None:
            record = json.loads(content)["record"]
            with made.strike.write(f"a version in epoch {record['epoch']} is created"):
                link(target, content, path)
                before, made.record = made.record, Record.from_json(record)
                made.books.saved(RECORD_KEY, before and before.to_json(), record)

        def deleted(store: SnapshotStore, path: Any, **how: Any) -> None:
            with made.strike.write(f"{path.name} is deleted"):
                delete(store, path, **how)

        patches.enter_context(patch.object(made.network, "ask_now", asked))
        patches.enter_context(patch.object(files, "_beside", written))
        patches.enter_context(patch.object(files, "_link", linked))
        patches.enter_context(patch.object(SnapshotStore, "_delete", deleted))
        patches.enter_context(patch.object(passive, "ROUNDS", 2))
        patches.enter_context(airflow_of(made))
        yield made


__all__ = ["Between", "EventWorld", "event_world"]
