"""A hundred watched pairs in one triggerer: whether their probes leave in time, and what they take."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from math import ceil

import psutil

from bench.arrivals import Arrivals, lateness
from bench.real_airflow import end, real_airflow
from bench.report import Measurement
from bench.stage import BenchError, Stage
from denodo_demo.airflow import PROJECT, LocalAirflow
from denodo_demo.processes import wait_for
from denodo_demo.standin import PASSWORD
from denodo_standin.pair_files import LOGIN

TITLE = "100 pairs watched in one triggerer, a probe of each every 5 s"
PAIRS = 100
INTERVAL = 5
SECONDS = 180
"""How long is measured."""

DAG_ID = "watched_pairs"
_PAIRS_YAML = "pairs: {default: {}}\n"
_PATIENCE = 900.0


def measure(stage: Stage) -> Iterator[Measurement]:
    with Arrivals().serving() as arrivals:
        env = _connections(arrivals.port) | {
            "BENCH_WATCHING": json.dumps({"pairs": PAIRS, "interval": INTERVAL, "watch_for": 3600})
        }
        with real_airflow(stage, _PAIRS_YAML, [PROJECT / "bench" / "dags" / "watched_pairs.py"], env) as airflow:
            with stage.progress.step("The triggerer without any watch"):
                airflow.wait_for_dag(DAG_ID)
                idle = _load(airflow, 30)
            with stage.progress.step(f"Starting {PAIRS} watches, one task each"):
                airflow.api.set_paused(DAG_ID, False)
                airflow.api.trigger(DAG_ID)
                wait_for(lambda: _all_watched(arrivals), _PATIENCE, f"A second probe of each of {PAIRS} pairs", poll=1)
            with stage.progress.step(f"Measuring for {SECONDS} s"):
                begin = time.monotonic()
                load = _load(airflow, SECONDS)
                seen = _masters(arrivals)
            end(airflow, DAG_ID)
    late = sorted(each for times in seen.values() for each in lateness(times, INTERVAL, begin, begin + SECONDS))
    yield Measurement("probes that left within 1 s of their time", _within(late, 1.0), "%", at_least=99)
    yield Measurement("probes", len(late), note=f"of {len(seen)} pairs in {SECONDS} s, as the web tool saw them")
    for share in (50, 99):
        yield Measurement(f"lateness, {share} % are better", _percentile(late, share), "s")
    yield Measurement("CPU of the triggerer", load[0], "%", note=f"of one core; {idle[0]:.1f} % without any watch")
    yield Measurement(
        "memory of the triggerer", load[1], "MB", note=f"{idle[1]:.0f} MB without any watch; all its processes"
    )


def _connections(port: int) -> dict[str, str]:
    """Two connections per pair, as environment variables; the pair's name is the first part of the path."""
    env = {}
    for number in range(PAIRS):
        for role in ("master", "slave"):
            connection = {
                "conn_type": "denodo_scheduler",
                "host": "127.0.0.1",
                "port": port,
                "schema": "http",
                "login": LOGIN,
                "password": PASSWORD,
                "extra": {"base_path": f"/{role}_{number}", "scheduler_uri": f"//{role}-{number}:8000"},
            }
            env[f"AIRFLOW_CONN_WATCHED_{role.upper()}_{number}"] = json.dumps(connection)
    return env


def _all_watched(arrivals: Arrivals) -> bool:
    return sum(len(times) > 1 for times in _masters(arrivals).values()) == PAIRS


def _masters(arrivals: Arrivals) -> dict[str, list[float]]:
    """Without the slaves, which are asked only for the proof of path 2 and not in the rhythm of the probes."""
    return {pair: times for pair, times in arrivals.seen().items() if pair.startswith("master_")}


def _load(airflow: LocalAirflow, seconds: float) -> tuple[float, float]:
    """Share of one core in per cent over some time, and resident memory in MB at its end."""
    pids = airflow.processes("triggerer")
    if not pids:
        raise BenchError("There is no process of the triggerer.")
    before = _cpu_seconds(pids)
    time.sleep(seconds)
    return 100 * (_cpu_seconds(pids) - before) / seconds, sum(map(_memory_mb, pids))


def _cpu_seconds(pids: Sequence[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


def _memory_mb(pid: int) -> float:
    """Its proportional share: memory that several processes have in common counts once."""
    return psutil.Process(pid).memory_full_info().pss / 2**20


def _within(late: Sequence[float], seconds: float) -> float:
    return 100 * sum(each <= seconds for each in late) / len(late)


def _percentile(late: Sequence[float], share: int) -> float:
    return late[ceil(share / 100 * len(late)) - 1]
