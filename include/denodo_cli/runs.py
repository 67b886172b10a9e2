"""Runs of a pair's DAGs, as ``denodo-ha`` starts them and waits for their end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import httpx

from denodo_cli.airflow_api import AirflowApiError, ApiClient, Json
from denodo_ha.durations import format_duration
from denodo_ha.status import Level

POLL = 2.0
"""Seconds from one look at a run to the next."""
RESTART = 60
"""So many looks in a row may fail, because Airflow is started again."""
TRIES = 10
"""How often a run with an id of its own is asked for, because Airflow is started again or its answer was lost."""


class RunError(RuntimeError):
    """A run could not be started, or has not done what it was to do; the message says what to do.

    :param level: what the command ends with; None: what it usually ends with where there was no run.
    """

    def __init__(self, message: str, level: Level | None = None) -> None:
        super().__init__(message)
        self.level = level


def run_path(dag_id: str, run_id: str) -> str:
    """The path of a run, in the API."""
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def start(api: ApiClient, dag_id: str, conf: Json, run_id: str | None = None) -> str:
    """Start a run and return its id.

    :param run_id: one that no other run can have: with it the request is repeated where its answer was lost, which
        cannot start two. None: Airflow makes one.
    :raises RunError: Airflow would not run it.
    """
    ensure_runs(api, dag_id)
    named = {} if run_id is None else {"dag_run_id": run_id}
    body = {**named, "logical_date": None, "conf": conf}
    for left in reversed(range(TRIES)):
        try:
            return str(api.request("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])
        except (httpx.TransportError, AirflowApiError) as error:
            status = error.status if isinstance(error, AirflowApiError) else None
            if status == httpx.codes.CONFLICT and run_id is not None and left < TRIES - 1:
                return run_id  # an earlier request has started it
            passing = status is None or status >= httpx.codes.INTERNAL_SERVER_ERROR
            if run_id is None or not passing or not left:
                raise
            time.sleep(POLL)
    raise AssertionError("the last try returns or raises")


def ensure_runs(api: ApiClient, dag_id: str) -> None:
    """:raises RunError: there is no such DAG any more, or it is paused."""
    dag = api.dag(dag_id)
    if dag is None or dag.get("is_stale"):
        raise RunError(f"Airflow has no DAG {dag_id}, so nothing was started. Next: look at its import errors")
    if dag.get("is_paused"):
        raise RunError(f"Airflow has paused the DAG {dag_id}, so nothing was started. Next: unpause {dag_id}")


def ended(
    api: ApiClient,
    dag_id: str,
    run_id: str,
    patience: timedelta | None = None,
    enough: Callable[[], bool] = lambda: False,
    seen: Callable[[Json | None], object] = lambda run: None,
) -> Json:
    """Wait for the end of a run and return it.

    :param patience: how long it is waited for; None: however long it takes.
    :param enough: whether what the run was to do is done, though other tasks of it still wait, as for the pair's slot.
    :param seen: called with the run at each look; with None where Airflow does not answer.
    :raises RunError: it has not ended by then.
    """
    until = None if patience is None else time.monotonic() + patience.total_seconds()
    failures, state = 0, "not seen"
    while True:
        try:
            run: Json = api.get(run_path(dag_id, run_id))
            seen(run)
            done = run["state"] in ("success", "failed") or enough()
        except (httpx.TransportError, AirflowApiError) as error:
            refused = isinstance(error, AirflowApiError) and error.refuses_user
            failures += 1
            if refused or failures > RESTART:
                raise
            seen(None)
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
