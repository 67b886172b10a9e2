"""Pairs that fail over in a running Airflow: stories of several scenes, each played in a thread of its own.

A story drives one or several pairs and keeps, scene by scene, what the servers' own books say. The tests look at the
scenes, so that what takes long in one story does not hold up the others.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import psutil
from airflow.sdk import ObjectStoragePath

from denodo_demo.airflow import LocalAirflow
from denodo_demo.airflow_api import AirflowApiError, Json
from denodo_demo.processes import wait_for
from denodo_demo.standin import StandinPair, StandinProcess, StandinServer
from denodo_ha.pairs import Pair
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RECORD_KEY, RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.context import PairContext
from support.photographs import Photographs
from support.sync import TASKS, DagRun, MemoryState, add_job, label
from support.sync_dag import NEVER, Books, SyncDag

PATIENCE = 200.0
"""Seconds of an idle machine after which something that was waited for counts as never coming."""
POLL = 1.0
"""Seconds between two looks at Airflow, which shares its processor with us."""
PLAY = 500.0
"""Seconds of an idle machine after which nobody waits for a story any more."""

Jobs: TypeAlias = frozenset[str]
"""Jobs as ``project / name``."""


# -- servers


def fill(server: StandinServer, projects: Mapping[str, int], *, disabled: int = 2) -> None:
    """Jobs that are never due: in each project so many enabled ones, and ``disabled`` others."""
    for project, count in projects.items():
        for number in range(count):
            add_job(server, project, f"job {number:02}", NEVER)
        for number in range(disabled):
            add_job(server, project, f"off on purpose {number}", NEVER, disabled=True)


def seconds_cron(start: datetime, *, every_minutes: int = 1) -> str:
    """A cron at that second of a minute, and again every so many minutes."""
    minute = f"{start.minute % every_minutes}/{every_minutes}" if every_minutes > 1 else "*"
    return f"{start.second} {minute} * * * ?"


def enabled(server: StandinServer, *projects: str) -> Jobs:
    """The enabled jobs of a server, in some of its projects or in all."""
    statuses = [status for status in server.statuses() if not projects or status["projectName"] in projects]
    return frozenset(label(status) for status in statuses if status["state"] != "DISABLED")


def jobs(project: str, count: int) -> Jobs:
    """The enabled jobs that :func:`fill` makes in a project."""
    return frozenset(f"{project} / job {number:02}" for number in range(count))


def about(server: StandinServer, **match: str) -> Json:
    """Match of a fault: the requests about that server, whichever web tool they go to."""
    return {"query": f"{server.scheduler.port}($|&)", **match}


def asked(tool: StandinProcess, method: str, path: str) -> int:
    """How often a process was asked for paths that end so."""
    return sum(count for request, count in tool.requests().items() if re.fullmatch(f"{method} .*{path}", request))


def synced(pair: Pair, folder: Path, *, patience: float = 40.0) -> Json:
    """Sync a pair without Airflow; returns the HA record that belongs into Airflow's state store."""
    state = MemoryState()

    def prepared() -> PairContext:
        return PairContext(
            pair=pair,
            records=RecordStore(state, ObjectStoragePath(f"file://{folder}") / pair.name),
            snapshots=SnapshotStore(ObjectStoragePath(f"file://{folder}"), pair.name),
            master=DenodoSchedulerHook(pair.master),
            slave=DenodoSchedulerHook(pair.slave),
        )

    def committed() -> bool:
        run = DagRun(prepared, _Unwatched(), None, master_changes=True, rest=True)  # type: ignore[arg-type]
        for task in TASKS:
            run.task(task)
        errors.update(run.errors)
        return run.committed

    errors: dict[str, Exception] = {}
    try:
        wait_for(committed, patience, f"a sync of {pair.name}")
    except Exception as error:
        raise RuntimeError(f"{error} {errors}") from error
    return prepared().save(lambda record: (record.model_copy(update={"outbox": ()}), None)).to_json()


class _Unwatched:
    """In place of the master, where it does not matter whether it is changed: :class:`DagRun` reads its audit."""

    uri = ""

    @property
    def scheduler(self) -> Any:
        return self

    def audit(self, _since: int) -> list[Json]:
        return []


@dataclass(frozen=True)
class _Mark:
    audit: int
    journal: int


class Bookmark:
    """A place in the books of both servers: here, now. A server that is dead now has written nothing until it lives."""

    def __init__(self, servers: StandinPair) -> None:
        self._servers = servers
        self._marks = [_Mark(_last(server, "audit"), _last(server, "journal")) for server in servers.servers]

    def read(self) -> Books:
        """What was written since; nothing of a server that is dead now."""
        (master, slave), (first, second) = self._servers.servers, self._marks
        return Books(
            _entries(master, "audit", first.audit),
            _entries(slave, "audit", second.audit),
            _entries(master, "journal", first.journal),
            _entries(slave, "journal", second.journal),
        )


_latest: dict[tuple[str, str], int] = {}


def _entries(server: StandinServer, book: str, since: int) -> list[Json]:
    if not server.scheduler.running:
        return []
    entries: list[Json] = getattr(server.scheduler, book)(since)
    if entries:
        _latest[server.uri, book] = max(entry["seq"] for entry in entries)
    return entries


def _last(server: StandinServer, book: str) -> int:
    known = _latest.get((server.uri, book), 0)
    _entries(server, book, known)
    return _latest.get((server.uri, book), known)


def changed(audit: Collection[Json], change: str, *projects: str) -> list[str]:
    """The jobs for which an audit has such a change, once for each time."""
    return [
        f"{entry['project']} / {entry['job']}"
        for entry in audit
        if entry["change"] == change and (not projects or entry["project"] in projects)
    ]


def touched(audit: Collection[Json], *projects: str) -> list[Json]:
    """The entries of an audit about jobs of some projects."""
    return [entry for entry in audit if entry["project"] in projects]


# -- Airflow


@dataclass(frozen=True)
class FailoverDag(SyncDag):
    """The failover DAG of one pair, and what Airflow keeps of that pair."""

    @property
    def dag_id(self) -> str:
        return f"denodo_scheduler_failover__{self.pair}"

    @property
    def sync(self) -> SyncDag:
        return SyncDag(self.airflow, self.pair)

    @property
    def switchover(self) -> OtherDag:
        return OtherDag(self.airflow, self.pair, "switchover")

    @property
    def operations(self) -> OtherDag:
        return OtherDag(self.airflow, self.pair, "operations")

    # the pair's asset

    @cached_property
    def asset_id(self) -> int:
        name = f"denodo-scheduler://{self.pair}"
        return int(next(asset["id"] for asset in self.airflow.api.assets() if asset["name"] == name))

    def state(self) -> Json:
        return self.airflow.api.asset_state(self.asset_id)

    def set_state(self, key: str, value: Json | None) -> None:
        """Overwrite a part of the pair's state, or delete it."""
        path = f"/assets/{self.asset_id}/state-store/{key}"
        if value is None:
            self.airflow.api.request("DELETE", path)
        else:
            self.airflow.api.request("PUT", path, json={"value": value})

    def set_record(self, record: Json | None) -> None:
        """Overwrite the HA record, or delete it."""
        self.set_state(RECORD_KEY, record)

    def events(self) -> list[Json]:
        """The pair's history, oldest first."""
        events = self.airflow.api.asset_events(asset_id=self.asset_id)
        return [event["extra"] for event in reversed(events)]

    # what is waited for

    def wait_for_event(self, kind: str, *, code: str | None = None, since: Collection[str] = ()) -> Json:
        """The first event of that kind, and with that reason code, which is not among those ``since`` already."""

        def event() -> Json | None:
            return next(
                (
                    event
                    for event in self.events()
                    if event["kind"] == kind and event["id"] not in since and code in (None, event.get("code"))
                ),
                None,
            )

        return self._wait(event, f"the event {kind} {code or ''}")

    def watching(self, *codes: str) -> str:
        """Id of the run that watches, when the last look has led to one of these and nothing else is under way."""

        def watcher() -> str | None:
            watch = self.state().get("watch") or {}
            if not watch.get("settled") or watch["code"] not in codes:
                return None
            with suppress(AirflowApiError):
                if self.states(watch["owner"])["ping_master"] == "deferred":
                    return str(watch["owner"])
            return None

        return self._wait(watcher, f"a watch in the state {' or '.join(codes)}")

    def note(self, run_id: str) -> str:
        """The note of a run, which is there as soon as the run has ended."""
        return str(self.airflow.api.get(f"/dags/{self.dag_id}/dagRuns/{run_id}")["note"])

    def wait_for_success(self, run_id: str) -> None:
        assert self.wait(run_id) == "success", self.why(run_id)

    def wait_until_asked(self) -> str:
        """Id of the run that waits for a person's approval."""

        def run() -> str | None:
            details = self.airflow.api.get(f"/dags/{self.dag_id}/dagRuns/~/hitlDetails")["hitl_details"]
            waiting = [each["task_instance"] for each in details if not each["responded_at"]]
            return next((task["dag_run_id"] for task in waiting if task["state"] == "awaiting_input"), None)

        return self._wait(run, "a request for approval")

    def answer(self, run_id: str, option: str) -> None:
        """As a person would, who takes a moment to read: Airflow 3.3 fails a task that is answered before the scheduler
        has read that its first part is over ("finished with state success, but the state attribute is queued").
        """
        paused = f"TaskInstance Finished: dag_id={self.dag_id}, task_id=approve, run_id={run_id},"
        self._wait(lambda: paused in self.airflow.log.read_text(), "the scheduler's word that approve waits")
        path = f"/dags/{self.dag_id}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
        self.airflow.api.request("PATCH", path, json={"chosen_options": [option]})

    def _wait(self, condition: Callable[[], Any], what: str) -> Any:
        return wait_for(condition, PATIENCE, f"{self.pair}: {what}", poll=POLL)

    # for the message of a failed test

    def tell(self) -> str:
        """Runs with their tasks, the state, the history, and the last log lines of what has failed."""
        lines = [f"{self.dag_id}:"]
        with suppress(Exception):
            for run in self.airflow.api.dag_runs(self.dag_id)[:6]:
                run_id = run["dag_run_id"]
                lines.append(f"  {run_id} {run['state']}")
                for task in self.airflow.api.task_instances(self.dag_id, run_id):
                    if task["state"] not in ("skipped", None):
                        lines.append(f"    {task['task_id']}: {task['state']} {task['start_date']} {task['end_date']}")
                    if task["state"] in ("failed", "up_for_retry"):
                        lines += [f"      {line}" for line in self.log(run_id, task["task_id"]).splitlines()[-8:]]
            lines.append(f"  state: {self.state()}")
            lines += [f"  event: {event['at']} {event['kind']} {event.get('code', '')}" for event in self.events()]
        return "\n".join(lines)


@dataclass(frozen=True)
class OtherDag(SyncDag):
    """Another DAG of the pair."""

    kind: str

    @property
    def dag_id(self) -> str:
        return f"denodo_scheduler_{self.kind}__{self.pair}"


# -- stories


@dataclass(frozen=True)
class Scene:
    """What one scene came to.

    :param books: what both servers wrote meanwhile. :param events: the pair's history, of this scene only.
    :param record: the HA record at the end. :param seen: what else the story has noted.
    """

    books: Books
    events: list[Json]
    record: Json
    seen: Json

    def event(self, kind: str) -> Json:
        """The one event of that kind."""
        found = [event for event in self.events if event["kind"] == kind]
        assert len(found) == 1, f"{kind}: {[event['kind'] for event in self.events]}"
        return found[0]

    @property
    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events]


@dataclass
class Stage:
    """One pair of Airflow over a pair of servers.

    :param seed: the HA record that the first sync has left. :param versions: the folder of the record.
    :param photographs: of the page.
    """

    dag: FailoverDag
    servers: StandinPair
    seed: Json
    versions: Path = Path()
    photographs: Photographs | None = None
    _known: set[str] = field(default_factory=set)
    _mark: Bookmark | None = None

    def begin(self) -> None:
        """From here on things belong to the next scene."""
        self._known = {event["id"] for event in self.dag.events()}
        self._mark = Bookmark(self.servers)

    @property
    def known(self) -> set[str]:
        return self._known

    def wait_for_event(self, kind: str, code: str | None = None) -> Json:
        return self.dag.wait_for_event(kind, code=code, since=self._known)

    def page(self, state: str) -> str:
        """What a person reads on the pair's page now; empty where there is no browser."""
        return self.photographs.look(self.dag.pair, state) if self.photographs else ""

    def end(self, **seen: Any) -> Scene:
        """Close the scene; what comes now belongs to the next."""
        assert self._mark is not None
        books, events = self._mark.read(), [event for event in self.dag.events() if event["id"] not in self._known]
        self.begin()
        return Scene(books, events, self.dag.state().get(RECORD_KEY) or {}, seen)


class Story:
    """Scenes that are played one after the other, in a thread.

    :param play: yields the name of each scene and the scene, as soon as it is over.
    :param dags: what to tell of when it breaks; they are paused at its end.
    """

    def __init__(self, name: str, play: Iterator[tuple[str, Scene]], dags: Collection[FailoverDag]) -> None:
        self.name = name
        self._dags = dags
        self._scenes: dict[str, Scene] = {}
        self._problem: str | None = None
        self._over = False
        self._thread = threading.Thread(target=self._run, args=(play,), name=name, daemon=True)
        self._thread.start()

    def __getitem__(self, scene: str) -> Scene:
        """Wait for a scene. :raises AssertionError: the story broke before it; tells what is known."""
        wait_for(lambda: scene in self._scenes or self._over, PLAY, f"The scene {scene} of {self.name}")
        assert scene in self._scenes, f"{self.name} has no scene {scene}, only {[*self._scenes]}. {self._problem}"
        return self._scenes[scene]

    def wait(self) -> None:
        """Return when it is over, well or not."""
        wait_for(lambda: self._over, PLAY, f"The end of {self.name}")

    def _run(self, play: Iterator[tuple[str, Scene]]) -> None:
        began = time.monotonic()
        try:
            for name, scene in play:
                print(f"{datetime.now():%H:%M:%S} {self.name} +{time.monotonic() - began:.0f} s: {name}", flush=True)
                self._scenes[name] = scene
        except BaseException as error:
            told = "\n".join(dag.tell() for dag in self._dags)
            self._problem = f"It broke: {type(error).__name__}: {error}\n{told}"
        finally:
            with suppress(Exception):
                for dag in self._dags:
                    dag.airflow.api.set_paused(dag.dag_id, True)
            self._over = True


class CommandLines:
    """The command lines of all processes below this one, looked at again and again by a thread."""

    def __init__(self, root: int, interval: float = 2.0) -> None:
        self.seen: set[bytes] = set()
        self._root, self._interval = root, interval
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.seen |= set(self._read())
            if self._ended.wait(self._interval):
                return

    def _read(self) -> Iterator[bytes]:
        for process in psutil.Process(self._root).children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                yield "\0".join(process.cmdline()).encode()


def wait_until(iso: str) -> None:
    """Sleep until then, by this machine's clock."""
    time.sleep(max((datetime.fromisoformat(iso) - datetime.now(UTC)).total_seconds(), 0))


def new_airflow(home: Path, pairs_file: Path, env: Mapping[str, str]) -> LocalAirflow:
    """An Airflow that finds the notifier of these tests."""
    path = filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])
    return LocalAirflow(home, pairs_file=pairs_file, env={**env, "PYTHONPATH": os.pathsep.join(path)})
