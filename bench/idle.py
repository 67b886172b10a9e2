"""What a pair costs while nothing happens: task instances of the failover DAG, beside the plain DAG's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from bench.real_airflow import PLAIN, PLAIN_DAG, plain_env, product_dags, real_airflow, watching
from bench.report import Measurement
from bench.stage import BenchError, Stage
from denodo_demo.airflow import LocalAirflow
from denodo_demo.airflow_api import FINISHED
from denodo_demo.processes import wait_for
from denodo_demo.standin import StandinPair
from denodo_ha.pairs import Pair

TITLE = "Task instances of an idle pair per hour"
SCALE = 60
"""A minute stands for an hour: one pair's watch is so many times shorter than the default."""
HOURS = 5
"""How many such hours are counted."""

_HOUR = timedelta(hours=1)
_WATCH_FOR = Pair(name="default").watch.duration
_PAIRS = """
defaults: {{sync: {{schedule: null, initialise: automatic, quiet_window: 5s, quiet_margin: 1s}}}}
pairs:
  short: {{{own}, watch: {{duration: {seconds}s, probe_interval: 1s}}}}
  default: {{}}
"""
_PATIENCE = 300.0


def measure(stage: Stage) -> Iterator[Measurement]:
    own = StandinPair.apart("short", stage.folder)
    pairs = _PAIRS.format(own=own, seconds=int(_WATCH_FOR.total_seconds()) // SCALE)
    dags = [*product_dags("sync", "failover"), PLAIN]
    with (
        stage.pair() as pair,
        real_airflow(stage, pairs, dags, pair.connections_env("short") | plain_env(pair)) as airflow,
    ):
        stage.fill_master(pair, jobs=50, projects=5)
        with stage.progress.step("Syncing two pairs, and waiting until both are watched"):
            for name in ("short", "default"):
                _sync(airflow, name)
            for name in ("short", "default"):
                airflow.api.set_paused(_dag_id(name), False)
            for name in ("short", "default"):
                wait_for(partial(_watched, airflow, name), _PATIENCE, f"A watch over {name}")
            airflow.api.set_paused(PLAIN_DAG, False)
        begin = datetime.now(UTC) + timedelta(seconds=5)
        end = begin + HOURS * _HOUR / SCALE
        with stage.progress.step(f"Counting for {HOURS} minutes"):
            wait_for(lambda: datetime.now(UTC) > end, 2 * HOURS * 60, "The end of the count", poll=1)
        short, default, plain = (
            _count(airflow, dag_id, begin, end) for dag_id in (_dag_id("short"), _dag_id("default"), PLAIN_DAG)
        )
        if not short.runs or not plain.runs or not _watched(airflow, "default"):
            raise BenchError(f"Nobody watches: {short}, {default}, {plain}")
    per_run, runs = short.rows / short.runs, _HOUR / _WATCH_FOR
    yield Measurement(
        f"runs in {HOURS} minutes, with a watch {SCALE} times shorter",
        short.runs,
        at_most=HOURS * runs + 1,
        note=f"counted: {runs:g} a minute by schedule, so nobody asks for more",
    )
    yield Measurement(
        "task instances per run", per_run, note=f"{short.executed / short.runs:g} executed, others skipped"
    )
    yield Measurement(
        "this project, per hour", per_run * runs, at_most=15, note=f"the two above: {runs:g} runs an hour by default"
    )
    yield Measurement(
        f"default watch: counted in {HOURS} minutes",
        default.rows,
        at_most=per_run,
        note="side by side: one run at most",
    )
    yield Measurement("plain DAG, per hour", plain.rows / plain.runs * 60, note=f"{plain.runs} runs counted")


@dataclass(frozen=True)
class _Count:
    """Runs that began in a time and have ended, their task instances, and how many of these were executed."""

    runs: int
    rows: int
    executed: int


def _count(airflow: LocalAirflow, dag_id: str, begin: datetime, end: datetime) -> _Count:
    runs = [
        run
        for run in airflow.api.dag_runs(dag_id)
        if run["state"] in FINISHED and begin <= datetime.fromisoformat(run["end_date"]) < end
    ]
    tasks = [task for run in runs for task in airflow.api.task_instances(dag_id, run["dag_run_id"])]
    return _Count(len(runs), len(tasks), sum(task["pid"] is not None for task in tasks))


def _sync(airflow: LocalAirflow, name: str) -> None:
    dag_id = f"denodo_scheduler_sync__{name}"
    airflow.wait_for_dag(dag_id)
    airflow.api.set_paused(dag_id, False)
    run_id = airflow.api.trigger(dag_id, {"reason": "bench"})
    if airflow.api.wait_for_run(dag_id, run_id, timeout=_PATIENCE)["state"] != "success":
        raise BenchError(f"The sync of {name} failed: {airflow.api.task_states(dag_id, run_id)}")


def _watched(airflow: LocalAirflow, name: str) -> bool:
    return watching(airflow, _dag_id(name), f"denodo-scheduler://{name}") is not None


def _dag_id(name: str) -> str:
    return f"denodo_scheduler_failover__{name}"
