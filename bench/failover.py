"""From kill -9 of the master's Scheduler to all jobs enabled on the slave, beside a DAG as the article has it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.real_airflow import PLAIN, PLAIN_DAG, end, plain_env, product_dags, real_airflow, spread, watching
from bench.report import Measurement
from bench.stage import LATENCY, BenchError, Stage
from denodo_demo.airflow import LocalAirflow
from denodo_demo.airflow_api import Json
from denodo_demo.processes import wait_for
from denodo_demo.standin import StandinPair

TITLE = "Failover of 1,000 jobs in a real Airflow, 20 ms latency per request: from kill -9 to the last job enabled"
JOBS = 1_000
PROJECTS = 12
PHASES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the interval between two probes, or of the plain DAG's minute: when the master is killed, one run each."""
INTERVAL = 5
FALL = 4
SLACK = 15

_PATIENCE = 300.0
_CALM = timedelta(seconds=100)
_PAIRS = """
defaults:
  sync: {{schedule: null, initialise: automatic, quiet_window: 5s, quiet_margin: 1s}}
  watch: {{probe_interval: {interval}s, fall: {fall}}}
pairs: {{{names}}}
"""


def measure(stage: Stage) -> Iterator[Measurement]:
    names = [f"run_{number}" for number in range(len(PHASES))]
    own = [f"{name}: {{{StandinPair.apart(name, stage.folder)}}}" for name in names]
    pairs = _PAIRS.format(interval=INTERVAL, fall=FALL, names=", ".join(own))
    dags = [*product_dags("sync", "failover"), PLAIN]
    with (
        stage.pair() as pair,
        real_airflow(stage, pairs, dags, pair.connections_env(*names) | plain_env(pair)) as airflow,
    ):
        with stage.progress.step(f"Putting {JOBS:,} jobs in {PROJECTS} projects onto the master"):
            pair.master.generate(jobs=JOBS, projects=PROJECTS, disabled=0)
            pair.master.let_nobody_wait()
        bench = _Bench(stage, pair, airflow)
        ours = [bench.ours(name, phase=phase * INTERVAL) for name, phase in zip(names, PHASES, strict=True)]
        plain = [bench.plain(second=int(60 * phase)) for phase in PHASES]
    limit = FALL * INTERVAL + SLACK
    note = f"a probe every {INTERVAL} s, {FALL} in a row; read back"
    yield from spread("this project", [each.all for each in ours], longest=limit, note=note)
    yield from spread(
        "plain DAG", [each.all for each in plain], note="every minute, the first failed ping; not read back"
    )
    ratio = statistics.median(each.all for each in ours) / statistics.median(each.all for each in plain)
    yield Measurement("this project's median in the plain DAG's", ratio, at_most=0.5)
    for who, taken in (("this project", ours), ("plain DAG", plain)):
        first = statistics.median(each.first for each in taken)
        yield Measurement(f"{who}: until the first job is enabled", first, "s", note="median")


@dataclass(frozen=True)
class _Taken:
    """Seconds from the kill to the first and to the last job enabled; with the read-back, where there is one."""

    first: float
    all: float


class _Bench:
    """The same two servers again and again; a pair of its own in each run, since a failover changes a pair."""

    def __init__(self, stage: Stage, pair: StandinPair, airflow: LocalAirflow) -> None:
        self.stage = stage
        self.pair = pair
        self.airflow = airflow

    def ours(self, name: str, *, phase: float) -> _Taken:
        """:param phase: seconds by which the kill is put off, within the interval between two probes."""
        api = self.airflow.api
        sync, failover, asset = (
            f"denodo_scheduler_sync__{name}",
            f"denodo_scheduler_failover__{name}",
            f"denodo-scheduler://{name}",
        )
        with self._run(failover, f"This project, {name}: sync, watch, kill -9"):
            self.airflow.wait_for_dag(sync)
            api.set_paused(sync, False)
            run_id = api.trigger(sync, {"reason": "bench"})
            if api.wait_for_run(sync, run_id, timeout=_PATIENCE)["state"] != "success":
                raise BenchError(f"The sync of {name} failed: {api.task_states(sync, run_id)}")
            _wait_for_calm()
            api.set_paused(failover, False)
            wait_for(lambda: watching(self.airflow, failover, asset), _PATIENCE, f"A watch over {name}")
            time.sleep(INTERVAL + phase)  # the watch's first probes are at its beginning; this is its usual life
            killed, mark = self._kill()
            event = wait_for(lambda: self._failover(asset), _PATIENCE, f"The failover of {name}")
            return self._taken(killed, mark, verified=datetime.fromisoformat(event["at"]))

    def plain(self, *, second: int) -> _Taken:
        """:param second: of the minute, in which the master is killed."""
        with self._run(PLAIN_DAG, f"The plain DAG, killed at second {second} of a minute"):
            self.airflow.wait_for_dag(PLAIN_DAG)
            _wait_for_calm()
            begun = datetime.now(UTC)
            self.airflow.api.set_paused(PLAIN_DAG, False)
            wait_for(lambda: self._healthy(begun), _PATIENCE, "A run of the plain DAG that finds the master alive")
            wait_for(lambda: datetime.now(UTC).second == second, 70, "The second of the kill", poll=0.1)
            killed, mark = self._kill()
            wait_for(lambda: self.pair.slave.scheduler.state()["enabled"] == JOBS, _PATIENCE, "All jobs on the slave")
            return self._taken(killed, mark)

    @contextmanager
    def _run(self, dag_id: str, what: str) -> Iterator[None]:
        """Afterwards nobody watches, the master is up, and the slave is passive."""
        pair = self.pair
        for server in pair.servers:
            server.webtool.faults(LATENCY)
        with self.stage.progress.step(what):
            yield
        end(self.airflow, dag_id)
        pair.heal()
        pair.slave.set_status("disable", pair.slave.statuses())

    def _kill(self) -> tuple[datetime, int]:
        """The moment, and the last entry of the slave's audit until then."""
        mark = max((entry["seq"] for entry in self.pair.slave.scheduler.audit()), default=0)
        killed = datetime.now(UTC)
        self.pair.master.scheduler.kill()
        return killed, mark

    def _taken(self, killed: datetime, mark: int, *, verified: datetime | None = None) -> _Taken:
        audit = self.pair.slave.scheduler.audit(mark)
        enabled = [datetime.fromisoformat(entry["at"]) for entry in audit if entry["change"] == "enabled"]
        if len(enabled) != JOBS:
            raise BenchError(f"By the slave's audit {len(enabled)} of {JOBS} jobs were enabled.")
        taken = _Taken(
            (min(enabled) - killed).total_seconds(), (max(verified or killed, *enabled) - killed).total_seconds()
        )
        self.stage.progress.say(f"    first job after {taken.first:.1f} s, all after {taken.all:.1f} s")
        return taken

    def _failover(self, asset: str) -> Json | None:
        api = self.airflow.api
        asset_id = next(each["id"] for each in api.assets() if each["name"] == asset)
        events = (event["extra"] for event in api.asset_events(asset_id=asset_id))
        return next((event for event in events if event.get("kind") == "failover"), None)

    def _healthy(self, begun: datetime) -> bool:
        runs = self.airflow.api.dag_runs(PLAIN_DAG)
        return any(run["state"] == "success" and datetime.fromisoformat(run["start_date"]) > begun for run in runs)


def _wait_for_calm() -> None:
    """Generated jobs run around the quarters of an hour, and a job that ran less than a minute ago is enabled later."""

    def calm() -> bool:
        now = datetime.now(UTC)
        return _quarter(now - _CALM) == _quarter(now + 2 * _CALM)

    wait_for(calm, 600, "A time without a quarter of an hour", poll=1)


def _quarter(moment: datetime) -> float:
    return moment.timestamp() // timedelta(minutes=15).total_seconds()
