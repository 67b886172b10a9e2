"""Workers as real processes, each of which can stop itself (SIGSTOP) anywhere, and be told to go on (SIGCONT).

A worker runs a sync, a failover or a switchover against the pair of the test, and shares with the other workers what
workers share: the pair's storage, Airflow's state store, and the time.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import psutil
import pytest
import tenacity

from denodo_demo.processes import wait_for
from denodo_ha.record import Record
from denodo_scheduler.client import exchange, transport
from denodo_scheduler.client.exchange import Exchange
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.steps import claim, jobs, passive, permit
from denodo_scheduler.steps.promote import drain, operation, switchover
from denodo_scheduler.steps.sync import deliver, import_, send
from support.failover import Failover
from support.switchover import SwitchPair
from support.sync import NOW

Kind = Literal["sync", "failover", "switchover", "resume"]
Moment = Literal["called", "permitted", "saves", "saved"]
"""Right before a changing request is made, right after it was permitted, right before a version of the record is saved,
and right after that."""
_sleep, _monotonic = time.sleep, time.monotonic


class Clock:
    """The time of all processes: the real one, moved on by what a file says.

    :param file: kept for as long as the clock is used. :param real: it is never moved on; who waits does so in earnest.
    """

    def __init__(self, file: Path, *, real: bool = False) -> None:
        self._file, self._real = file, real
        if not file.exists():
            self._write(_monotonic(), 0.0)

    def monotonic(self) -> float:
        return _monotonic() + self._read()[1]

    def now(self) -> datetime:
        return datetime.fromisoformat(NOW) + timedelta(seconds=self.monotonic() - self._read()[0])

    def pass_time(self, seconds: float) -> None:
        if self._real:
            return _sleep(seconds)
        began, moved = self._read()
        self._write(began, moved + seconds)

    def _read(self) -> tuple[float, float]:
        began, moved = json.loads(self._file.read_text())
        return began, moved

    def _write(self, *numbers: float) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(numbers))
        new.replace(self._file)


class SharedState:
    """What Airflow's asset state store is to several processes: an upsert, and the last writer wins."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._database() as database:
            database.execute("CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT)")

    def get(self, key: str, default: Any = None) -> Any:
        with self._database() as database:
            found = database.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else default

    def set(self, key: str, value: Any) -> None:
        upsert = "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        with self._database() as database:
            database.execute(upsert, (key, json.dumps(value)))

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=60)) as database, database:
            yield database


@dataclass
class SharedPair(SwitchPair):
    """A pair as each of the processes sees it."""

    clock: Clock = field(kw_only=True)

    def now(self) -> datetime:
        return self.clock.now()

    @property
    def failover(self) -> Failover:
        return Failover(self, {"enable_batch": self.options.get("enable_batch", 20)})


@dataclass(frozen=True)
class Order:
    """What a worker is to do.

    :param folder: what the processes share, if it is on a disk. :param storage: where snapshots and record are.
    :param stop_at: at which moment of which kind, counted from 0, it stops itself.
    :param lease: of a failover or switchover in seconds, if time passes in earnest; otherwise the clock is moved.
    """

    kind: Kind
    folder: Path
    storage: str
    options: dict[str, Any]
    environment: dict[str, str]
    rest: bool = False
    stop_at: tuple[Moment, int] | None = None
    lease: float | None = None


class Worker:
    """A process that was started with an order."""

    def __init__(self, order: Order, process: BaseProcess, answer: Any) -> None:
        self.order = order
        self._process, self._answer = process, answer

    @property
    def is_stopped(self) -> bool:
        assert self._process.pid
        try:
            return psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    def stops(self) -> bool:
        """Wait until it has stopped itself; False if it has come to its end before."""
        wait_for(lambda: self.is_stopped or self._answer.poll(), 120, f"the {self.order.kind}'s stop or end", poll=0.01)
        return self.is_stopped

    def go_on(self) -> None:
        assert self._process.pid
        os.kill(self._process.pid, signal.SIGCONT)

    def ended(self) -> str:
        """Wait for its end: the code of how it ended."""
        wait_for(self._answer.poll, 120, f"the end of the {self.order.kind}", poll=0.01)
        said = str(self._answer.recv())
        self._process.join()
        return said

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


class Workers:
    """Starts workers from a process that has imported everything, and is no child of the test's."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._started: list[Worker] = []

    def start(self, order: Order) -> Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(order, theirs), daemon=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # the first one starts that process
            process.start()
        theirs.close()
        worker = Worker(order, process, ours)
        self._started.append(worker)
        return worker

    def kill(self) -> None:
        while self._started:
            self._started.pop().kill()


def shared(order: Order, servers: Any) -> SharedPair:
    """The pair of an order; ``servers`` are only needed by tests, and by nothing that a worker does."""
    return SharedPair(
        servers,
        SharedState(order.folder / "airflow.db"),  # type: ignore[arg-type]
        order.folder,
        order.options,
        rest=order.rest,
        storage=order.storage,
        clock=Clock(order.folder / "clock", real=order.lease is not None),
    )


def _work(order: Order, answer: Any) -> None:
    """The life of a worker. It ends with the process that it comes from, even while it is stopped."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.environ.update(order.environment)
    unseen = SimpleNamespace(uri="", scheduler=SimpleNamespace(audit=lambda _=0: []))
    pair = shared(order, SimpleNamespace(master=unseen, slave=unseen))
    with pytest.MonkeyPatch.context() as patch:
        live(patch, order, pair.clock)
        if order.stop_at:
            _stops(patch, *order.stop_at)
        try:
            said = _TASKS[order.kind](pair)
        except Exception as error:
            said = str(getattr(error, "code", f"{type(error).__name__}: {error}"))
    answer.send(said)


def live(patch: pytest.MonkeyPatch, order: Order, clock: Clock) -> None:
    """Have this process live by the clock of all processes."""
    patch.setattr(transport, "RETRY_WAIT", tenacity.wait_none())
    if order.lease is not None:
        for module in (claim, drain, import_, operation, send, switchover):
            patch.setattr(module, "LEASE", timedelta(seconds=order.lease))
        return
    patch.setattr(exchange, "monotonic", clock.monotonic)
    for module in (claim, permit, jobs, passive, drain, deliver):
        patch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.pass_time))


def _sync(pair: SharedPair) -> str:
    run = pair.run(master_changes=True)
    codes = [f"{run.code(task)}" for task in run.errors]
    return "committed" if run.committed else ", ".join(codes) or str(run.verdict and run.verdict.code)


def _switchover(pair: SharedPair) -> str:
    run = pair.begin("slave")
    run.check()
    return str(run.switch_over()["kind"])


_TASKS: dict[Kind, Callable[[SharedPair], str]] = {
    "sync": _sync,
    "failover": lambda pair: pair.failover.run(evidence=pair.failover.seen()).code,
    "switchover": _switchover,
    "resume": lambda pair: str(pair.resume()["kind"]),
}


def _stops(patch: pytest.MonkeyPatch, moment: Moment, at: int) -> None:
    """Have this process stop itself."""
    seen = 0

    def reached(now: Moment) -> None:
        nonlocal seen
        if now != moment:
            return
        seen += 1
        if seen == at + 1:
            os.kill(os.getpid(), signal.SIGSTOP)
            _sleep(0.05)  # another thread may take the signal, a moment later

    call, begin, create = DenodoSchedulerHook._call, Exchange.begin, RecordStore._create

    def called(self: DenodoSchedulerHook, method: str, *args: Any, **kwargs: Any) -> Any:
        if method != "GET":
            reached("called")
        return call(self, method, *args, **kwargs)

    def begun(self: Exchange) -> None:
        if self._permit and not self.sent:
            reached("permitted")
        begin(self)

    def created(self: RecordStore, record: Record) -> None:
        reached("saves")
        create(self, record)
        reached("saved")

    patch.setattr(DenodoSchedulerHook, "_call", called)
    patch.setattr(Exchange, "begin", begun)
    patch.setattr(RecordStore, "_create", created)
