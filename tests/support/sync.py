"""The sync's steps in the order and with the trigger rules of its DAG, without Airflow's machinery around them.

What a sync did is read from the servers themselves: their public API, audits and journals.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from airflow.sdk import ObjectStoragePath

from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair, StandinServer
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.jobs import fold
from denodo_ha.pairs import Pair
from denodo_ha.record import Record, RecordError, Role
from denodo_ha.sync_results import Disabled, Exported, Imported
from denodo_ha.transitions import learned
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.files import new_file
from denodo_scheduler.state.record_store import RECORD_KEY, RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.operate import Request, operate
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.sync import disable as quenching
from denodo_scheduler.steps.sync import export as exporting
from denodo_scheduler.steps.sync import guard as guarding
from denodo_scheduler.steps.sync import import_ as importing
from denodo_scheduler.steps.sync import verify as verifying
from denodo_standin.exportfile import Export, write_export
from denodo_standin.generate import Generated, generate
from support.pairs import make_pair

NOW = "2026-03-02T06:07:00Z"
"""Where the servers' clocks stand: nothing that is generated is due within eight minutes."""
BEGAN = datetime(2026, 8, 15, 21, 40, tzinfo=UTC)
"""Where Airflow's clock stands in the tests of syncs: far from those of the servers."""
NIGHTLY = "0 0 3 * * ?"
VERSION = "9.1.0"
"""That of the servers."""
JOB_TYPES = ("VDP", "VDPCache", "VDPDagLoad", "VDPDataLoad", "VDPIndexer")
TASKS = ("guard", "export_metadata", "import_metadata", "disable_jobs", "verify")

UNANSWERED = {"import_timeout": timedelta(seconds=1)}
"""Options of a pair for a run whose import is not answered, so that its answer is waited out soon."""

Between = dict[str, Callable[[], object]]


class WorkerKilled(BaseException):
    """What SIGKILL is to a task: from here on nothing of it runs, not even its except clauses."""


def kill_the_worker() -> None:
    raise WorkerKilled


class MemoryState:
    """What Airflow's asset state store does: an upsert of JSON values."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)
        assert json.loads(self.values[key]) == value, "Airflow's store refuses what is no plain JSON, such as a tuple"


# -- record


def tamper(records: RecordStore, state: MemoryState, value: Any) -> None:
    """Have any JSON as the newest version of the record, and in its mirror."""
    version = records.known().version + 1
    if isinstance(value, dict):
        value = {**value, "version": version}
        with suppress(RecordError):
            value = Record.from_json(value).to_json()
    with new_file(records._path(version)) as file:
        file.write(json.dumps({"writer": "a test", "record": value}).encode())
    state.set(RECORD_KEY, value)


def lose_record(records: RecordStore, state: MemoryState) -> None:
    """Neither versions nor mirror are left."""
    state.values.pop(RECORD_KEY, None)
    shutil.rmtree(records._folder.path, ignore_errors=True)


def lose_newest(records: RecordStore) -> None:
    """The newest version of the record is gone, as in a folder that was restored from a backup."""
    Path(records._path(records.known().version).path).unlink()


# -- servers


@lru_cache
def generated(*, jobs: int = 12, projects: int = 3, disabled: int = 3) -> Generated:
    return generate(jobs=jobs, projects=projects, disabled=disabled)


def load(server: StandinServer, export: Export, *, replace: bool = True) -> list[str]:
    """Fill a server from an export; returns the import's warnings."""
    content = b"".join(write_export(export, moment=BEGAN))
    flags = dict.fromkeys(("replaceJobs", "replaceDataSources"), str(replace).lower())
    headers = {"content-type": "application/octet-stream"}
    answer = server.request("POST", "/serverMetadata/import", params=flags, content=content, headers=headers)
    warnings: list[str] = answer["warnings"]
    return warnings


def fill(server: StandinServer, **numbers: int) -> None:
    """Generated jobs, some of them disabled."""
    made = generated(**numbers)
    load(server, made.export)
    wanted = set(map(str, made.disabled))
    server.set_status("disable", [status for status in server.statuses() if label(status) in wanted])


def add_job(server: StandinServer, project: str, name: str, cron: str = NIGHTLY, **fields: Any) -> None:
    """Create a job, and its project where it is missing."""
    projects = {fold(each["name"]): each for each in server.request("GET", "/projects")}
    found = projects.get(fold(project)) or server.request("POST", "/projects", json={"name": project})
    triggers = {"triggers": [{"type": "cron", "cronExpression": cron}]}
    sections = {"extractionSection": {}, "exportationSection": {}, "handlerSection": {}, "triggerSection": triggers}
    job = {"type": "VDP", "name": name, **sections, **fields}
    server.request("POST", f"/projects/{found['id']}/jobs", json=job)


def label(status: dict[str, Any]) -> str:
    return f"{status['projectName']} / {status['jobName']}"


def states(server: StandinServer) -> dict[str, str]:
    """State of each job by ``project / name``, as the server says it."""
    return {label(status): status["state"] for status in server.statuses()}


def enabled(server: StandinServer) -> set[str]:
    return {name for name, state in states(server).items() if state != "DISABLED"}


def status_of(server: StandinServer, name: str) -> dict[str, Any]:
    return next(status for status in server.statuses() if label(status) == name)


def act(server: StandinServer, action: str, *names: str) -> None:
    server.set_status(action, [status for status in server.statuses() if label(status) in names])


def edit(server: StandinServer, name: str, /, **changes: Any) -> None:
    """PUT a whole job with some of its fields changed; it stays as enabled as it is."""
    status = status_of(server, name)
    path = f"/projects/{status['projectID']}/jobs/{status['jobID']}"
    server.request("PUT", path, json={**server.request("GET", path), **changes})


def delete(server: StandinServer, name: str) -> None:
    status = status_of(server, name)
    server.request("DELETE", f"/projects/{status['projectID']}/jobs/{status['jobID']}")


def crons(server: StandinServer) -> dict[str, list[str]]:
    return {
        f"{job['projectName']} / {job['name']}": [each["cronExpression"] for each in job["triggerSection"]["triggers"]]
        for job in server.request("GET", "/jobs")
    }


_last: dict[tuple[str, str], int] = {}


def last(server: StandinServer, book: Literal["audit", "journal"]) -> int:
    """Number of the last entry of a server's audit or journal; only those that are new since the last call are read."""
    key = server.uri, book
    new = getattr(server.scheduler, book)(_last.get(key, 0))
    _last[key] = new[-1]["seq"] if new else _last.get(key, 0)
    return _last[key]


class Books:
    """What a server was when this was made, to tell later what happened to it since."""

    def __init__(self, server: StandinServer) -> None:
        self.server = server
        self.contents = self._contents()
        self._audit = last(server, "audit")
        self._journal = last(server, "journal")

    @property
    def audit(self) -> list[dict[str, Any]]:
        return self.server.scheduler.audit(self._audit)

    @property
    def journal(self) -> list[dict[str, Any]]:
        return self.server.scheduler.journal(self._journal)

    @property
    def imported(self) -> set[str]:
        """The jobs that an import has touched."""
        return {f"{entry['project']} / {entry['job']}" for entry in self.audit if entry["by"] == "import"}

    def _contents(self) -> Any:
        everything = self.server.request("GET", "/projects", params={"expand": "job,dataSource"})
        return everything, self.server.statuses()

    def assert_untouched(self) -> None:
        assert self.audit == []
        assert self._contents() == self.contents


@contextmanager
def untouched(*servers: StandinServer) -> Iterator[None]:
    """Nothing in the block may change these servers."""
    books = [Books(server) for server in servers]
    yield
    for book in books:
        book.assert_untouched()


# -- runs


def send_whole_archives(run: PairContext, target: Role) -> None:
    """Have the record know a server that takes nothing but whole archives."""
    record = run.records.load()
    known = record.capabilities.get(target, Capabilities(version=VERSION)) if record else None
    if record and known and not known.unfaithful:
        seen = {"import_replaces": True, "unfaithful": JOB_TYPES, "faithful": ()}
        run.records.save(learned(record, target, known.model_copy(update=seen)))


class DagRun:
    """One run: its tasks share nothing but JSON. Asking for a task again is a retry, or a clear.

    After every task it is checked that the master was not changed, unless ``master_changes`` says that the test does.
    """

    def __init__(
        self,
        prepare: Callable[[], PairContext],
        master: StandinServer,
        wanted: datetime | None,
        *,
        master_changes: bool,
        accept_mass_change: bool = False,
        deliver_now: bool = False,
        reprotect: bool = False,
        rest: bool = False,
    ) -> None:
        self.run = prepare()
        self._prepare = prepare
        self.wanted = wanted
        self.errors: dict[str, Exception] = {}
        self.events: list[dict[str, Any]] = []
        self.verdict: guarding.Admission | None = None
        self._accepted = accept_mass_change
        self._deliver_now = deliver_now
        self._reprotect = reprotect
        self._rest = rest
        self._told = {event["id"] for event in self._outbox()}
        self._master = master
        self._seq = last(master, "audit")
        self._master_changes = master_changes
        self._xcom: dict[str, str] = {}

    def task(self, name: str) -> None:
        """Run one task if its trigger rule lets it."""
        if not self._due(name):
            return
        self.run = self._prepare()
        before = self._master.scheduler.audit(self._seq)
        self.errors.pop(name, None)
        self._xcom.pop(name, None)
        try:
            self._xcom[name] = json.dumps(getattr(self, f"_{name}")())
        except Exception as error:
            self.errors[name] = error
        self.events = [event for event in self._outbox() if event["id"] not in self._told]
        if not self._master_changes:
            assert self._master.scheduler.audit(self._seq) == before, f"{name} changed the master"

    def _outbox(self) -> Sequence[dict[str, Any]]:
        """The events that wait in the record, as far as it can be read."""
        try:
            record = self._prepare().records.load()
        except Exception:
            return ()
        return record.outbox if record else ()

    def _due(self, name: str) -> bool:
        if name == "guard":
            return True
        if self.verdict is None or self.verdict.ticket is None:
            return name == "disable_jobs" and "guard" in self.errors
        if name == "import_metadata":
            return "export_metadata" in self._xcom
        return name != "verify" or self._succeeded(but="verify")

    @property
    def _ticket(self) -> SyncTicket:
        if self.verdict is None or self.verdict.ticket is None:
            raise NothingToDo("not_begun", "the guard of this run did not let it begin")
        return SyncTicket.from_json(json.loads(json.dumps(self.verdict.ticket.to_json())))

    def _guard(self) -> Any:
        self.verdict = None
        self.verdict = guarding.guard(
            self.run, operation_id=f"run/{uuid4().hex}", wanted=self.wanted, reprotect=self._reprotect
        )
        if self.verdict.ticket and not self._rest:
            send_whole_archives(self.run, self.verdict.ticket.target)
        return self.verdict.to_json()

    def _export_metadata(self) -> Any:
        return exporting.export(
            self.run, self._ticket, accept_mass_change=self._accepted, deliver_now=self._deliver_now
        ).to_json()

    def _import_metadata(self) -> Any:
        assert self.exported
        return importing.import_snapshot(self.run, self._ticket, self.exported, deliver_now=self._deliver_now).to_json()

    def _disable_jobs(self) -> Any:
        return quenching.disable_jobs(self.run, self._ticket).to_json()

    def _verify(self) -> Any:
        assert self.exported
        return verifying.verify(
            self.run, self._ticket, self.exported, self.imported, self.disabled, accept_mass_change=self._accepted
        )

    @property
    def exported(self) -> Exported | None:
        value = self._pull("export_metadata")
        return Exported.from_json(value) if value else None

    @property
    def imported(self) -> Imported | None:
        value = self._pull("import_metadata")
        return Imported.from_json(value) if value else None

    @property
    def disabled(self) -> Disabled | None:
        value = self._pull("disable_jobs")
        return Disabled.from_json(value) if value else None

    @property
    def event(self) -> dict[str, Any] | None:
        """The event of a sync that was committed."""
        value: dict[str, Any] | None = self._pull("verify")
        return value

    def _pull(self, task: str) -> Any:
        return json.loads(self._xcom.get(task, "null"))

    @property
    def ok(self) -> bool:
        """No task failed; some may have been skipped."""
        return self._succeeded()

    def _succeeded(self, but: str = "") -> bool:
        return all(isinstance(error, NothingToDo) for task, error in self.errors.items() if task != but)

    @property
    def committed(self) -> bool:
        return self.ok and self.event is not None

    def message(self, task: str) -> str:
        """What a person reads of the task that failed or was skipped."""
        return str(self.errors[task])

    def code(self, task: str) -> str:
        return str(getattr(self.errors[task], "code", type(self.errors[task]).__name__))


@dataclass
class Sync:
    """A pair under test.

    :param rest: the server is learned in earnest. Otherwise each delivery is the whole archive, as in the many tests
        of what becomes of an import.
    :param passed: by how much Airflow's clock has been moved on since :data:`BEGAN`.
    :param storage: where the snapshots are, if not in ``folder``.
    :param going_on: whether something goes on outside that takes real time, so that no other time passes meanwhile.
    """

    servers: StandinPair
    state: MemoryState
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    rest: bool = False
    passed: timedelta = timedelta()
    storage: str = ""
    going_on: Callable[[], bool] = lambda: False

    @property
    def master(self) -> StandinServer:
        return self.servers.master

    @property
    def slave(self) -> StandinServer:
        return self.servers.slave

    def pair(self, **options: Any) -> Pair:
        quick = {"quiet_window": "2s", "quiet_margin": 0, "lease": "1m", "import_timeout": "50s", "schedule": None}
        quick["initialise"] = "automatic"
        return make_pair(**{**quick, **self.options, **options})

    def prepared(self, *, pair: dict[str, Any] | None = None, **asked: Any) -> PairContext:
        chosen = self.pair(**(pair or {}))
        return PairContext(
            pair=chosen,
            records=self.records,
            snapshots=self.snapshots(chosen.name),
            master=DenodoSchedulerHook(chosen.master),
            slave=DenodoSchedulerHook(chosen.slave),
            now=self.now,
            **asked,
        )

    @property
    def records(self) -> RecordStore:
        """The record as a task that begins now reads it."""
        base = ObjectStoragePath(self.storage or f"file://{self.folder}")
        return RecordStore(self.state, base / self.pair().name)

    def snapshots(self, pair: str) -> SnapshotStore:
        return SnapshotStore(ObjectStoragePath(self.storage or f"file://{self.folder}"), pair)

    def now(self) -> datetime:
        """Airflow's clock, which is far from those of the servers; each look at it takes a millisecond."""
        self.passed += timedelta(milliseconds=1)
        return BEGAN + self.passed

    def sleep(self, seconds: float) -> None:
        """In place of ``time.sleep`` in a step that waits."""
        if self.going_on():
            time.sleep(0.05)
        else:
            self.passed += timedelta(seconds=seconds)

    def slow_import(self, jobs: int) -> None:
        """Have the next import of so many jobs take longer than :data:`UNANSWERED` waits; time stands still for it."""
        slave = Books(self.slave)
        self.slave.scheduler.guesses(import_seconds=allow(2))
        self.going_on = lambda: len(slave.imported) < jobs

    def advance(self, **by: float) -> None:
        """Let time pass on the servers that are up and for the sync; everything due on the way runs."""
        self.passed += timedelta(**by)
        for server in self.servers.servers:
            if server.scheduler.running:
                server.scheduler.clock(advance_seconds=timedelta(**by).total_seconds())

    def change(self, **fields: Any) -> None:
        """Have other fields in the record, as another run might."""
        self.save(self.record.model_copy(update=fields))

    def save(self, record: Record) -> Record:
        """Have this record as the newest version."""
        version = self.records.known().version
        return self.records.save(record.model_copy(update={"version": version}))

    def tamper(self, value: Any) -> None:
        tamper(self.records, self.state, value)

    def lose_record(self) -> None:
        lose_record(self.records, self.state)

    def lose_newest(self) -> None:
        lose_newest(self.records)

    def publish(self) -> None:
        """Empty the outbox, as the last task of a DAG does."""
        self.change(outbox=())

    def initialise(self, active: Role = Role.MASTER, **asked: Any) -> None:
        """A person says which server is the active one, by the operation of the operations DAG."""
        operate(self.prepared(**{"reason": "a test", **asked}), Request("initialise", active=active))

    @property
    def record(self) -> Record:
        found = self.records.load()
        assert found is not None, "the pair has no record"
        return found

    @property
    def files(self) -> dict[str, bytes]:
        """Every file of the snapshot folder."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()
        }

    def dag_run(
        self,
        *,
        pair: dict[str, Any] | None = None,
        wanted: datetime | None = None,
        master_changes: bool = False,
        accept_mass_change: bool = False,
        deliver_now: bool = False,
        reprotect: bool = False,
        **asked: Any,
    ) -> DagRun:
        """A run that has not begun."""
        return DagRun(
            lambda: self.prepared(pair=pair, **asked),
            self.master,
            wanted,
            master_changes=master_changes,
            accept_mass_change=accept_mass_change,
            deliver_now=deliver_now,
            reprotect=reprotect,
            rest=self.rest,
        )

    def run(self, *, between: Between | None = None, **asked: Any) -> DagRun:
        """One whole run. ``between`` maps a task to what happens right before it."""
        out = self.dag_run(**asked)
        for task in TASKS:
            (between or {}).get(task, lambda: None)()
            out.task(task)
        return out

    def synced(self, **asked: Any) -> DagRun:
        """A run that must be committed."""
        out = self.run(**asked)
        assert out.committed, out.errors or out.verdict
        return out
