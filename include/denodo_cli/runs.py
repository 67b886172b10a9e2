"""Runs of a pair's DAGs, as ``denodo-ha`` starts them and waits for their end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import httpx

from denodo_cli.airflow_api import AirflowApiError, ApiClient, Json
from denodo_ha.durations import format_duration

POLL = 2.0
"""Seconds from one look at a run to the next."""
RESTART = 60
"""So many looks in a row may fail, because Airflow is started again."""


class RunError(RuntimeError):
    """A run could not be started, or has not done what it was to do; the message says what to do."""


def start(api: ApiClient, dag_id: str, conf: Json, run_id: str | None = None) -> str:
    """Start a run and return its id.

    :param run_id: None: Airflow makes one.
    :raises RunError: Airflow would not run it.
    """
    ensure_runs(api, dag_id)
    named = {} if run_id is None else {"dag_run_id": run_id}
    body = {**named, "logical_date": None, "conf": conf}
    return str(api.request("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])


def ensure_runs(api: ApiClient, dag_id: str) -> None:
    """:raises RunError: there is no such DAG, or it is paused."""
    dag = api.dag(dag_id)
    if dag is None:
        raise RunError(f"Airflow has no DAG {dag_id}, so nothing was started. Next: look at its import errors")
    if dag.get("is_paused"):
        raise RunError(f"Airflow has paused the DAG {dag_id}, so nothing was started. Next: unpause {dag_id}")


def ended(
    api: ApiClient,
    dag_id: str,
    run_id: str,
    patience: timedelta | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Json:
    """Wait for the end of a run and return it.

    :param patience: how long it is waited for; None: however long it takes.
    :param enough: whether what the run was to do is done, though other tasks of it still wait, as for the pair's slot.
    :raises RunError: it has not ended by then.
    """
    until = None if patience is None else time.monotonic() + patience.total_seconds()
    failures, state = 0, "not seen"
    while True:
        try:
            run: Json = api.get(f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")
            done = run["state"] in ("success", "failed") or enough()
        except (httpx.TransportError, AirflowApiError):
            failures += 1
            if failures > RESTART:
                raise
        else:
            failures, state = 0, str(run["state"])
            if done:
                return run
        if patience is not None and until is not None and time.monotonic() > until:
            raise RunError(
                f"the run {run_id} of {dag_id} has not ended after {format_duration(patience)}; it is {state}. "
                "Next: see that Airflow's scheduler and workers run, and look at the run"
            )
        time.sleep(POLL)
