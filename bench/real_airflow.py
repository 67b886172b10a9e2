"""What the rows in a real Airflow have in common: the project's DAGs and plain ones beside them, and statistics."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.report import Measurement
from bench.stage import Stage
from denodo_demo.airflow import PROJECT, LocalAirflow
from denodo_demo.airflow_api import FINISHED, Json
from denodo_demo.standin import PASSWORD, StandinPair
from denodo_standin.pair_files import LOGIN

PLAIN = PROJECT / "bench" / "plain_dag" / "plain_failover.py"
PLAIN_DAG = "plain_failover"


@contextmanager
def real_airflow(stage: Stage, pairs: str, dags: Sequence[Path], env: dict[str, str]) -> Iterator[LocalAirflow]:
    """A running Airflow with these DAG files; stopped at the end.

    :param pairs: the file of pairs, as YAML.
    """
    folder = stage.folder / "dags"
    folder.mkdir()
    for file in dags:
        shutil.copy(file, folder)
    pairs_file = stage.folder / "pairs.yaml"
    pairs_file.write_text(pairs, encoding="utf-8")
    airflow = LocalAirflow(stage.folder / "airflow", dags_folder=folder, pairs_file=pairs_file, env=env)
    try:
        with stage.progress.step("Starting Airflow"):
            airflow.start()
        yield airflow
    finally:
        airflow.stop()


def product_dags(*kinds: str) -> list[Path]:
    return [PROJECT / "dags" / f"denodo_scheduler_{kind}.py" for kind in kinds]


def plain_env(pair: StandinPair) -> dict[str, str]:
    """What the plain DAG needs: an HTTP connection and a Variable for each server."""
    env = {}
    for server in pair.servers:
        connection = {
            "conn_type": "http",
            "host": "127.0.0.1",
            "port": server.webtool.port,
            "schema": "http",
            "login": LOGIN,
            "password": PASSWORD,
        }
        env[f"AIRFLOW_CONN_PLAIN_{server.name.upper()}"] = json.dumps(connection)
        env[f"AIRFLOW_VAR_PLAIN_{server.name.upper()}_SERVER"] = server.uri
    return env


def end(airflow: LocalAirflow, dag_id: str) -> None:
    """Pause a DAG and give up what still runs of it."""
    airflow.api.set_paused(dag_id, True)
    for run in airflow.api.dag_runs(dag_id):
        if run["state"] not in FINISHED:
            airflow.api.set_run_state(dag_id, run["dag_run_id"], "failed")


def watching(airflow: LocalAirflow, dag_id: str, asset: str) -> Json | None:
    """The run that watches a pair of which nothing new is to be found: its ping is in the triggerer."""
    api = airflow.api
    asset_id = next(each["id"] for each in api.assets() if each["name"] == asset)
    seen = api.asset_state(asset_id).get("watch") or {}
    for run in api.dag_runs(dag_id) if seen.get("settled") else ():
        owner = run["dag_run_id"] == seen["owner"] and run["state"] == "running"
        if owner and api.task_states(dag_id, run["dag_run_id"])["ping_master"] == "deferred":
            return run
    return None


def spread(what: str, seconds: Sequence[float], *, longest: float | None = None, note: str = "") -> list[Measurement]:
    """Minimum, median and maximum.

    :param longest: the target of the maximum.
    """
    return [
        Measurement(f"{what}: minimum", min(seconds), "s"),
        Measurement(f"{what}: median", statistics.median(seconds), "s", note=note),
        Measurement(f"{what}: maximum", max(seconds), "s", at_most=longest, note=f"of {len(seconds)} runs"),
    ]
