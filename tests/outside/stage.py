"""Pairs on real stand-in servers, for a story: what may happen around the runs of their DAGs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from denodo_demo.standin import StandinPair
from denodo_scheduler.steps import drill
from support.dag_runs import PairAirflow, Run
from support.outside import PROJECT
from support.sync import NOW, act, enabled, fill, status_of

PAIRS = """\
defaults:
  sync: {{initialise: automatic}}
  probe_interval: 1s
  fall: 1
  watch_for: 1m
  cool_down: 1m
  stable_for: 1m
  master_timezone: Europe/Madrid
  notify: [{{notifier: support.file_notifier.FileNotifier, arguments: {{path: "{folder}/alerts", token: t0ken}}}}]
pairs:
  pair: {{{own[pair]}, on_master_return: fail_back, catch_up: start_missed, drill: [drilled]}}
  asking: {{{own[asking]}, failover: approval}}
  fenced: {{{own[fenced]}, fencing: required, fence: outside.stage.no_fence}}
  narrow: {{{own[narrow]}, projects: [no such project]}}
  new: {{{own[new]}, sync: {{initialise: manual}}}}
"""
PAIR_NAMES = ("pair", "asking", "fenced", "narrow", "new")
KINDS = ("sync", "failover", "switchover", "operations")
EARLIER = "2026-03-01T12:00:00+00:00"
SOON = "0 10 7 2,3 3 ? 2026"
"""Some minutes from where the master's clock stands."""
DAY = 24 * 60 * 60
ELSEWHERE = "http://elsewhere:9090 //a:8000"
DIRTY = {"since": EARLIER, "reason": "an import was begun and is not verified yet"}
SCRATCH = {
    "id": "another run/0a1b2c3d",
    "role": "slave",
    "target": "http://web-2:9090 //b:8000",
    "projects": ["denodo_ha_doctor_0a1b2c_01234567_a"],
    "since": EARLIER,
    "lease_until": EARLIER,
}
"""Of another server, so that they have to stay."""
PAUSE = {"since": EARLIER, "reason": "upgrade", "by": "ana"}
HALT = {"since": EARLIER, "code": "by_hand", "reason": "a move", "by": "ana", "phase": "normal"}
PROMOTION = {"id": "x/1", "kind": "failover", "at": EARLIER, "plan": "p", "complete": False, "left": "y"}
NOT_CHANGED = {"kind": "status", "status": 500, "match": {"method": "PUT", "path": "/jobs/status$"}}


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


def no_fence(**_: Any) -> bool:
    """A fence that cannot switch the master off."""
    return False


def operation(kind: str, step: str, *, lease: timedelta = timedelta(0), **fields: Any) -> dict[str, Any]:
    """Of another task."""
    until = (datetime.now(UTC) + lease).isoformat()
    known = {"kind": kind, "id": "scheduled__1/ab", "target": ELSEWHERE, "step": step, "started": EARLIER}
    return {**known, "lease_until": until, **fields}


def one(jobs: set[str]) -> str:
    """Always the same one of these jobs."""
    return min(jobs)


def changed_evidence(run: Run, **fields: Any) -> None:
    """Have ``ping_master`` of a run seen something else."""
    seen = json.loads(run.xcoms["ping_master"]["return_value"])
    evidence = {name: fields.pop(name) for name in list(fields) if name in seen["evidence"]}
    changed = {**seen, **fields, "evidence": {**seen["evidence"], **evidence}}
    run.xcoms["ping_master"]["return_value"] = json.dumps(changed)


class Stage:
    """:param folder: for pairs, snapshots and alerts. :param patch: lasts as long as the story."""

    def __init__(self, servers: StandinPair, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.servers, self.master, self.slave = servers, servers.master, servers.slave
        self.folder, self.patch = folder, patch
        file = folder / "pairs.yaml"
        # They are one and the same two servers, which must not be known where the pairs would see it.
        own = {
            name: f"master: {name}_master, slave: {name}_slave, snapshots: 'file://{folder}/snapshots-{name}'"
            for name in PAIR_NAMES
        }
        file.write_text(PAIRS.format(folder=folder, own=own))
        patch.setenv("DENODO_HA_PAIRS", str(file))
        for role in ("master", "slave"):
            self.connect(role)
        bag = DagBag(PROJECT / "dags")
        assert bag.import_errors == {}
        self.pairs = {
            name: PairAirflow({kind: bag.dags[f"denodo_scheduler_{kind}__{name}"] for kind in KINDS})
            for name in PAIR_NAMES
        }
        self.pair = self.pairs["pair"]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "alerts").read_text().splitlines()]

    @contextmanager
    def time_of_drills(self) -> Iterator[None]:
        """Within the block time passes on the slave while a drill waits."""

        def sleep(seconds: float) -> None:
            self.slave.scheduler.clock(advance_seconds=seconds)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drill, "time", SimpleNamespace(sleep=sleep))
            yield

    def fill(self) -> None:
        """Jobs on the master, none of which runs or is due, and clocks that stand still."""
        for server in self.servers.servers:
            server.scheduler.clock(mode="manual", now=NOW)
            server.scheduler.duration(0)
        fill(self.master)
        self.master.let_nobody_wait()

    def connect(self, role: str, **changes: Any) -> None:
        """Set the connection of a role to its server, with some fields changed."""
        connection = {**getattr(self.servers, role).connection(), **changes}
        for owner in ("denodo_scheduler", *PAIR_NAMES):
            self.patch.setenv(f"AIRFLOW_CONN_{owner}_{role}".upper(), json.dumps(connection))

    @contextmanager
    def record(self, **fields: Any) -> Iterator[None]:
        """Within the block the HA record has other fields; afterwards it is what it was before."""
        before = self.pair.state.get("record")
        self.pair.tamper({**before, **fields})
        yield
        self.pair.lose_record()
        self.pair.tamper(before)

    @contextmanager
    def silence(self, *faults: dict[str, Any]) -> Iterator[None]:
        """The master's Scheduler is not to be heard on either path; with ``faults`` of the slave's web tool."""
        self.master.webtool.faults({"kind": "status", "status": 500})
        self.slave.webtool.faults(*faults, self.second_path(self.master))
        yield
        self.wake()

    def second_path(self, server: Any) -> dict[str, Any]:
        """A fault of the other server's web tool: it does not reach this server."""
        return {"kind": "status", "status": 500, "match": {"query": f"{server.scheduler.port}($|&)"}}

    def wake(self) -> None:
        for server in self.servers.servers:
            server.webtool.faults()

    def a_minute_passes(self) -> None:
        """What runs ends, and nobody waits because it has just run."""
        for server in self.servers.servers:
            server.scheduler.clock(advance_seconds=65)

    def wake_on_slave(self, job: str) -> None:
        """Have it enabled and running there."""
        act(self.slave, "enable", job)
        act(self.slave, "start", job)

    def cron_of_a_job(self, cron: str) -> None:
        """Give it to an enabled job of the master."""
        self.master.set_cron(status_of(self.master, one(enabled(self.master))), cron)

    def begun_sync(self, *tasks: str) -> Run:
        """A sync whose guard and these tasks have run."""
        run = self.pair.begin("sync")
        for task in ("guard", *tasks):
            run.task(task)
        return run

    def snapshots(self, name: str) -> Path:
        """The folder of a pair."""
        return self.folder / f"snapshots-{name}" / name

    def copy_to(self, name: str) -> PairAirflow:
        """Have another pair in the same state, with the same snapshot."""
        other = self.pairs[name]
        other.state.values = dict(self.pair.state.values)
        other.history = list(self.pair.history)
        shutil.rmtree(self.snapshots(name), ignore_errors=True)
        shutil.copytree(self.snapshots("pair"), self.snapshots(name))
        return other

    def run_to_slave(self, before: dict[str, Callable[[Run], object]] | None = None, **form: Any) -> None:
        """A whole run of the switchover DAG."""
        self.pair.run("switchover", before, direction="to_slave", reason="patch day", **form)

    def check(self) -> None:
        """Ask whether a switchover to the slave may begin."""
        self.pair.begin("switchover", direction="to_slave", reason="patch day").task("check")
