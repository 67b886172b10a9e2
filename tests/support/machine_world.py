"""The world of the state machine: a pair, its record, people, Airflow's tasks, and a clock that stands between calls.

Everything that the product does here passes through :class:`support.machine_rules.Rules`, which judge it by what the
servers are, not by what the product believes.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import tenacity
from airflow.sdk import Connection, ObjectStoragePath

from denodo_ha.decisions import Action
from denodo_ha.jobs import JobKey
from denodo_ha.record import Record, RecordError, Role
from denodo_ha.situation import Consents, Heard
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.verdict import Evidence, Observation, Watch
from denodo_scheduler.client import endpoint, exchange, probe, transport
from denodo_scheduler.client.probe import Looker
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps import passive
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.operate import ManualOperation, Request, operate
from denodo_scheduler.steps.promote import failover as failing_over
from denodo_scheduler.steps.promote import switchover as switching
from denodo_scheduler.steps.promote.switchover import Switch
from denodo_scheduler.steps.sync import write
from denodo_scheduler.steps.watch import act as acting
from denodo_scheduler.steps.watch.look import Case, judge
from support.machine_rules import Rules
from support.machine_servers import MASTER, ROLES, SLAVE, Network, connected, connection
from support.machine_tasks import EXPECTED, Fate, Kind, Task
from support.pairs import make_pair
from support.sync import TASKS, DagRun, MemoryState

START = datetime(2026, 3, 2, 6, 7, tzinfo=UTC)
OPTIONS: dict[str, Any] = {
    "schedule": None,
    "initialise": "automatic",
    "quiet_window": "2m",
    "quiet_margin": "10s",
    "lease": "5m",
    "import_timeout": "2m",
    "probe_interval": "10s",
    "fall": 3,
    "watch_for": "1m",
    "cool_down": "5m",
    "oldest_snapshot": "6h",
}


def key(label: str) -> JobKey:
    project, _, name = label.partition("/")
    return JobKey(project=project, name=name)


HOURLY, AFTER, HALF, OFF = key("sales/hourly"), key("sales/after"), key("sales/half"), key("sales/off")
OFTEN, REST, ORPHAN = key("finance/often"), key("finance/rest"), key("finance/orphan")
NEW = (key("sales/new"), key("finance/new"))
JOBS = (HOURLY, AFTER, HALF, OFF, OFTEN, REST, ORPHAN, *NEW)


class _Records(RecordStore):
    """The HA record, every access to which is one of a task's calls."""

    def __init__(self, world: World) -> None:
        super().__init__(world.state, ObjectStoragePath(f"file://{world.snapshots}") / world.pair.name)
        self._world = world

    def load(self) -> Record | None:
        self._world.called("before it reads the record", reads=True)
        if self._world.actor:
            self._world.actor.loaded = self._world.serial
        return super().load()

    def _create(self, record: Record) -> None:
        self._world.called("before it saves the record")
        super()._create(record)
        before, self._world.record = self._world.record, record
        self._world.rules.saved(before, record)
        self._world.called("after it has saved the record")


class _SyncDagRun(DagRun):
    """A run of the sync DAG whose tasks are not watched by this class."""

    def __init__(self, world: World, consents: dict[str, bool]) -> None:
        self._prepare: Callable[[], PairContext] = world.run
        self._accepted = consents.get("accept_mass_change", False)
        self._deliver_now = consents.get("deliver_now", False)
        self._reprotect = consents.get("reprotect", False)
        self._rest = True
        self.wanted = None
        self.errors = {}
        self.events = []
        self.verdict = None
        self._xcom = {}

    @property
    def source(self) -> str:
        return self._ticket.source.value

    def task(self, name: str) -> None:
        if self._due(name):
            self.run = self._prepare()
            self.errors.pop(name, None)
            self._xcom.pop(name, None)
            try:
                self._xcom[name] = json.dumps(getattr(self, f"_{name}")())
            except EXPECTED as error:
                self.errors[name] = error


class _InTurn:
    """In place of a pool of threads, so that requests come in the same order each time."""

    def __init__(self, _: int) -> None: ...

    def __enter__(self) -> _InTurn:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, function: Callable[..., Any], *each: Iterable[Any]) -> list[Any]:
        return list(map(function, *each))


class _NoTimer:
    """In place of the timer of an exchange: no request here lasts, and its deadline is by the world's clock."""

    daemon = True

    def __init__(self, *_: object) -> None: ...

    def start(self) -> None: ...

    def cancel(self) -> None: ...


class World:
    """
    :param folder: for the servers' files and the snapshots; on a fast disk.
    """

    def __init__(self, folder: Path) -> None:
        self.network = Network(folder, START)
        self.snapshots = folder / "snapshots"
        self.actor: Task | None = None
        self.reset()

    def reset(self, *, ahead: timedelta = timedelta(0), **options: Any) -> None:
        """A fresh pair: six jobs on the master, two of them disabled on purpose, and one disabled on the slave only.

        :param ahead: the slave's clock.
        """
        self.strikes_at_reads = True
        self.trace: list[str] = []
        self.violations: list[str] = []
        self.serial = 0
        self.tasks: list[Task] = []
        self.network.changed = lambda *_: None
        self.network.before_request = lambda *_: None
        self.network.reset(START, ahead)
        self.network.tick = timedelta(0)
        shutil.rmtree(self.snapshots, ignore_errors=True)
        self.pair = make_pair(**{**OPTIONS, **options})
        self.state = MemoryState()
        self.record: Record | None = None
        self.copies: list[dict[str, str]] = []
        self.last_alive: datetime | None = None
        self.second_good: datetime | None = None
        self.addresses: dict[str, str] = {}
        master, slave = self.network.machines[MASTER], self.network.machines[SLAVE]
        for job, cron, on in (
            (HOURLY, "0 0 * * * ?", True),
            (HALF, "0 30 * * * ?", True),
            (OFF, "0 0/10 * * * ?", False),
            (OFTEN, "0 0/20 * * * ?", True),
            (REST, "0 15 * * * ?", False),
        ):
            master.create(job, cron, enabled=on)
        master.create(AFTER, "0 0 * * * ?", after=HOURLY)
        slave.create(ORPHAN, "0 0/5 * * * ?", enabled=False)
        self.rules = Rules(self)
        self.network.changed = self.rules.changed
        self.network.before_request = self._before_request

    def close(self) -> None:
        self.drop_tasks()
        self.network.close()

    def drop_tasks(self) -> None:
        for task in self.tasks:
            task.drop()

    # -- what happens, told to tasks and rules

    def note(self, what: str) -> None:
        self.trace.append(f"{self.network.now:%H:%M:%S} {what}")

    def violated(self, what: str, cause: BaseException | None = None) -> None:
        self.note(f"VIOLATION: {what}")
        self.violations.append(what)
        if cause and cause.__traceback__:
            import traceback

            self.note("".join(traceback.format_exception(cause)[-6:]))

    def called(self, what: str, *, sleeps: bool = True, reads: bool = False) -> None:
        self.serial += 1
        if self.actor:
            self.actor.call(what, sleeps=sleeps, reads=reads)

    def _before_request(self, role: str, method: str, path: str) -> None:
        # The hook reads the API's document under a lock that all threads share, and a sleeper would keep it.
        reads = method == "GET" and not path.startswith("/v3/")
        self.called(f"before {method} {path} through the {role}'s web tool", sleeps=reads, reads=method == "GET")
        if reads and self.actor:
            self.actor.looked_serial = self.serial
        if method != "GET" and "export" not in path:
            self.rules.change_requested(path)

    def slept_since_look(self) -> bool:
        """Whether the acting task has slept since it looked at a server; a change within that time is not its fault."""
        return self.actor is not None and self.actor.slept_at >= self.actor.looked_serial

    def sleep(self, seconds: float) -> None:
        self.network.advance(timedelta(seconds=seconds))

    def pass_time(self, **time: float) -> None:
        self.network.advance(timedelta(**time))

    def wait_until(self, moment: str | None) -> None:
        """What the sensor of a sync does."""
        if moment and (left := datetime.fromisoformat(moment) - self.network.now) > timedelta(0):
            self.network.advance(left)

    # -- runs

    def run(self, **asked: Any) -> PairContext:
        return PairContext(
            pair=self.pair,
            records=_Records(self),
            snapshots=SnapshotStore(ObjectStoragePath(f"file://{self.snapshots}"), self.pair.name),
            master=DenodoSchedulerHook(self.pair.master),
            slave=DenodoSchedulerHook(self.pair.slave),
            now=lambda: self.network.now,
            **{"reason": "a test", **asked},
        )

    def manifest(self, snapshot: str) -> Manifest:
        return Manifest.from_json(self.run().snapshots.read(snapshot)[1])

    def task(
        self, kind: Kind, body: Callable[[Task], Any], stop_at: int | None, fate: Fate, after: Task | None = None
    ) -> Task:
        """:param after: the earlier try, whose evidence and consents this one has."""
        task = Task(self, kind, body, name=f"{kind} {len(self.tasks)}", stop_at=stop_at, fate=fate)
        if after:
            task.root = after.root
            task.down_in_a_row, task.looked_at, task.consents = after.down_in_a_row, after.looked_at, after.consents
        self.tasks.append(task)
        self.note(f"{task.name} begins")
        task.start()
        self.note(f"{task.name}: {task.code}")
        return task

    def sync(self, stop_at: int | None = None, fate: Fate = "kill", **consents: bool) -> Task:
        dag_run = _SyncDagRun(self, consents)

        def body(task: Task) -> str:
            for name in TASKS:
                self._sync_task(dag_run, name)
            return "committed" if dag_run.committed else f"{dag_run.errors or dag_run.verdict}"

        task = self.task("sync", body, stop_at, fate)

        def again(number: int) -> Task:
            names = TASKS[1:] if dag_run.exported else ("disable_jobs",)
            name = names[number % len(names)]
            return self.task("sync", lambda _: self._sync_task(dag_run, name), None, "kill", after=task)

        task.again = again
        return task

    def _sync_task(self, dag_run: _SyncDagRun, name: str) -> str:
        began = self.rules.mark()
        dag_run.task(name)
        if name == "export_metadata" and dag_run.exported and name not in dag_run.errors:
            self.rules.exported(dag_run.exported.snapshot, dag_run.source, began)
            self.wait_until(dag_run.exported.wait_until)
        error = dag_run.errors.get(name)
        return f"{name}: {error}" if error else f"{name} ended"

    def failover(self, rounds: int = 1, stop_at: int | None = None, fate: Fate = "kill", **consents: bool) -> Task:
        """One run of the failover DAG.

        :param rounds: of looks at least; more than one is a watch in progress.
        """
        run_id = f"failover-{uuid4().hex[:6]}"
        seen: list[tuple[Evidence, Action]] = []

        def begin(evidence: Evidence) -> Case:
            heard = Heard(last_alive=self.last_alive, second_good=self.second_good)
            return Case(self.run(run_id=run_id), evidence, Consents(**consents), heard)

        def body(task: Task) -> str:
            task.consents = {name for name, given in consents.items() if given}
            with self._looker() as looker:
                evidence = self._watch(task, looker, rounds)
                decision = judge(begin(evidence)).decision
                seen.append((evidence, decision.action))
                self.note(f"{task.name} decides {decision.code} on {evidence.verdict}")
                try:
                    self._act(task, begin(evidence), looker, decision.action)
                finally:
                    self._publish()
            return decision.code

        def again(_: int) -> Task:
            def body(task: Task) -> str:
                if not seen:
                    return "not begun"
                evidence, action = seen[0]
                with self._looker() as looker:
                    self._act(task, begin(evidence), looker, action)
                return f"{action} again"

            return self.task("failover", body, None, "kill", after=task)

        task = self.task("failover", body, stop_at, fate)
        task.again = again
        return task

    def _looker(self) -> Looker:
        master, slave = DenodoSchedulerHook(self.pair.master), DenodoSchedulerHook(self.pair.slave)
        path = self.pair.watch.second_path
        return Looker(master, slave, second_path=path, addresses=self.addresses, tell_apart=True)

    def _watch(self, task: Task, looker: Looker, rounds: int) -> Evidence:
        watch = Watch(self.pair.watch.fall)
        done = 0
        while True:
            found, done = watch.add(self._look(task, looker, counted=True)), done + 1
            self.addresses |= looker.addresses
            if self.network.reaches_tool(SLAVE) and self.network.reaches_server(SLAVE, MASTER):
                self.second_good = self.network.now
            if found and done >= rounds:
                self.last_alive = found.last_alive or self.last_alive
                return found
            self.network.advance(self.pair.watch.probe_interval)

    def _look(self, task: Task, looker: Looker, *, counted: bool = False) -> Observation:
        task.call("before it looks", reads=True)
        self.serial += 1
        task.looked_serial = self.serial
        self.network.advance(self.network.tick)
        self.rules.looked(task, counted=counted)
        seen = looker.look()
        return Observation(self.network.now, seen.master, seen.second, seen.slave, seen.seconds, seen.details)

    def _act(self, task: Task, case: Case, looker: Looker, action: Action) -> None:
        if action is Action.ENABLE_JOBS:
            failing_over.enable_jobs(case, lambda: self._look(task, looker))
        elif action is Action.QUENCH_MASTER:
            acting.quench_master(case)
        elif action is Action.REPAIR_SLAVE:
            acting.repair_slave(case)
        elif action is Action.BLOCKED:
            acting.block(case)

    def _publish(self) -> None:
        """What the last task of a DAG does with the outbox."""
        run = self.run()
        try:
            record = run.records.load()
        except RecordError:
            return
        if record and record.outbox:
            self.rules.published(record.outbox)
            told = {event["id"] for event in record.outbox}
            run.save(lambda latest: (_without(latest, told), None))

    def switchover(self, to: Role, stop_at: int | None = None, fate: Fate = "kill", **asked: bool) -> Task:
        run_id = f"switchover-{uuid4().hex[:6]}"
        wanted = Switch(to, **asked)
        epochs: list[int] = []

        def switch(_: Task) -> str:
            if not epochs:
                return "not begun"
            try:
                return str(switching.switch(self.run(run_id=run_id), wanted, epoch=epochs[0])["kind"])
            finally:
                self._publish()

        def body(task: Task) -> str:
            epochs.append(switching.check(self.run(run_id=run_id), wanted)["epoch"])
            return switch(task)

        task = self.task("switchover", body, stop_at, fate)
        task.again = lambda _: self.task("switchover", switch, None, "kill", after=task)
        return task

    def operate(self, operation: ManualOperation, **asked: Any) -> Task:
        request = Request(operation, **asked)
        return self.task("operator", lambda _: operate(self.run(actor="anna"), request).what, None, "kill")

    # -- the record, from outside

    def keep_copy(self) -> None:
        self.copies.append(dict(self.state.values))

    def restore(self, number: int) -> None:
        """Airflow's database is restored from a backup."""
        self.state.values = dict(self.copies[number % len(self.copies)])

    def lose_record(self) -> None:
        """Airflow's database is lost."""
        self.state.values.clear()

    # -- the end

    def fail_on_violations(self) -> None:
        if self.violations:
            raise AssertionError("\n".join([*self.violations, "", *self.trace]))


def _without(record: Record, told: set[str]) -> Record:
    return record.model_copy(update={"outbox": tuple(event for event in record.outbox if event["id"] not in told)})


@contextmanager
def world(folder: Path, kind: type[World] = World) -> Iterator[World]:
    """A world in which nothing waits in earnest."""
    made = kind(folder)
    logging.disable(logging.CRITICAL)  # it takes a third of the time
    send = DenodoSchedulerHook._call

    def sent(hook: DenodoSchedulerHook, method: str, *args: Any, **kwargs: Any) -> Any:
        """A task may be stopped between its last look and a request too, but not once that is on its way."""
        if method != "GET":
            made.called(f"before it sends a {method}")
        return send(hook, method, *args, **kwargs)

    found = {f"denodo_scheduler_{role}": Connection(conn_id=role, **_fields(role)) for role in ROLES}

    def monotonic() -> float:
        return made.network.now.timestamp()

    with (
        connected(made.network),
        patch.object(transport, "RETRY_WAIT", tenacity.wait_none()),
        patch.object(passive, "HOLD_INTERVAL", 60.0),
        patch.object(write, "ThreadPoolExecutor", _InTurn),
        patch.object(time, "sleep", made.sleep),
        patch.object(time, "monotonic", monotonic),
        patch.object(exchange, "monotonic", monotonic),
        patch.object(exchange.threading, "Timer", _NoTimer),
        patch.object(endpoint, "monotonic", monotonic),
        patch.object(probe, "monotonic", monotonic),
        patch.object(DenodoSchedulerHook, "_call", sent),
        patch.object(DenodoSchedulerHook, "log", logging.getLogger("silenced")),
        patch.object(DenodoSchedulerHook, "get_connection", lambda _, conn_id: found[conn_id]),
    ):
        yield made
    logging.disable(logging.NOTSET)
    made.close()


def _fields(role: str) -> dict[str, Any]:
    fields = connection(role)
    return {**fields, "extra": json.dumps(fields["extra"])}
