"""Client of Airflow's public REST API (``/api/v2``) for the demo, the end-to-end tests and the bench."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

from denodo_cli import airflow_api
from denodo_cli.airflow_api import AirflowApiError, Json
from denodo_demo.processes import LONGEST_ANSWER, WaitError, wait_for
from denodo_demo.progress import signs_of_life
from denodo_demo.slowness import persist

__all__ = ["FINISHED", "AirflowApiError", "ApiClient", "Json"]

FINISHED = frozenset({"success", "failed"})
_LOGIN = 120.0
"""Seconds that the answer to a login may take."""


class ApiClient(airflow_api.ApiClient):
    """A client that also starts, clears and follows runs. It uses no proxy for this machine.

    It waits for a slow Airflow, and repeats a request that had no effect, or is idempotent.
    """

    tell: Callable[[str], object] | None = None
    """A function that is called with a line about each slow request: the request, and how long it has taken."""

    def __init__(self, url: str, user: str, password: str) -> None:
        super().__init__(url, user, password, timeout=_LOGIN, trust_env=False)
        self._url = url

    def request(
        self, method: str, path: str, *, root: str = "/api/v2", harmless: bool | None = None, **kwargs: Any
    ) -> Any:
        """:param harmless: whether the request may be sent again when its answer was lost; all but POST by default."""
        what = f"Airflow at {self._url} has not answered {method} {root}{path}"
        may_be_sent_again = method != "POST" if harmless is None else harmless

        def send(longest: float) -> Any:
            timeout = longest if may_be_sent_again else LONGEST_ANSWER
            with signs_of_life(what, self.tell) if self.tell else contextlib.nullcontext():
                return super(ApiClient, self).request(method, path, root=root, timeout=timeout, **kwargs)

        return persist(send, lambda error: _may_be_sent_again(method, error, harmless=may_be_sent_again))

    def token(self) -> str:
        """Log in, and return the token that a browser has as its cookie."""
        return str(self.request("POST", "/token", root="/auth", json=self._login)["access_token"])

    # DAGs and runs

    def set_paused(self, dag_id: str, paused: bool) -> None:
        self.request("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        *,
        logical_date: datetime | None = None,
        run_id: str | None = None,
    ) -> str:
        """Start a manual run, without a logical date by default, and return its run id.

        A run without a logical date and without a given id gets one here, so that it starts once however often the
        request has to be sent.
        """
        body: Json = {"conf": dict(conf or {}), "logical_date": logical_date.isoformat() if logical_date else None}
        ours = run_id is None and logical_date is None
        if ours:
            run_id = f"manual__{datetime.now(UTC).isoformat()}_{secrets.token_hex(4)}"
        if run_id:
            body["dag_run_id"] = run_id
        try:
            return str(self.request("POST", f"/dags/{dag_id}/dagRuns", harmless=ours, json=body)["dag_run_id"])
        except AirflowApiError as error:
            if ours and error.status == httpx.codes.CONFLICT:
                return str(run_id)
            raise

    def dag_runs(self, dag_id: str) -> list[Json]:
        """Return the last 100 runs, newest first."""
        return self._list(self.get(f"/dags/{dag_id}/dagRuns", order_by="-run_after", limit=100), "dag_runs")

    def dag_run(self, dag_id: str, run_id: str) -> Json:
        return self._json(self.get(_run(dag_id, run_id)))

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a run as ``success`` or ``failed``; its running tasks are ended."""
        self.request("PATCH", _run(dag_id, run_id), json={"state": state})

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a run; None before it is scheduled."""
        return {task["task_id"]: task["state"] for task in self.task_instances(dag_id, run_id)}

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """Return the log of one try as text, as the interface shows it."""
        answer = self.get(f"{_run(dag_id, run_id)}/taskInstances/{task_id}/logs/{try_number}", full_content=True)
        return "\n".join(_line(entry) for entry in answer["content"])

    def clear_tasks(
        self, dag_id: str, run_id: str, task_ids: Collection[str] | None = None, *, downstream: bool = False
    ) -> None:
        """Clear tasks of an old run (all if none is named), as *Clear* in the interface does."""
        body: Json = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "include_downstream": downstream}
        if task_ids is not None:
            body["task_ids"] = list(task_ids)
        self.request("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def clear_run(self, dag_id: str, run_id: str) -> None:
        self.request("POST", f"{_run(dag_id, run_id)}/clear", json={"dry_run": False, "only_failed": False})

    def create_backfill(self, dag_id: str, start: datetime, end: datetime, *, reprocess: str = "none") -> int:
        """Backfill the logical dates from ``start`` to ``end``.

        :param reprocess: ``none``, ``failed`` or ``completed``: what to do with runs that exist.
        :return: the id for :meth:`backfill`.
        """
        body = {
            "dag_id": dag_id,
            "from_date": start.isoformat(),
            "to_date": end.isoformat(),
            "reprocess_behavior": reprocess,
        }
        return int(self.request("POST", "/backfills", json=body)["id"])

    def backfill(self, backfill_id: int) -> Json:
        """Return the backfill; ``completed_at`` is None while it runs."""
        return self._json(self.get(f"/backfills/{backfill_id}"))

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,
        states: Collection[str] = FINISHED,
        on_progress: Callable[[list[Json]], None] | None = None,
    ) -> Json:
        """Return the run as soon as it is in one of ``states``.

        :param timeout: seconds.
        :param on_progress: called with the run's task instances at each request.
        :raises WaitError: it is not there in time; the message lists the tasks' states.
        """

        def finished() -> Json | None:
            run = self.dag_run(dag_id, run_id)
            if on_progress is not None:
                on_progress(self.task_instances(dag_id, run_id))
            return run if run["state"] in states else None

        try:
            return wait_for(
                finished, timeout, f"Run {run_id} of {dag_id} in state {' or '.join(sorted(states))}", poll=0.5
            )
        except WaitError as error:
            raise WaitError(f"{error} Its tasks: {self.task_states(dag_id, run_id)}") from None

    # Plugins, providers, assets and connections

    def import_errors(self) -> list[Json]:
        return self._list(self.get("/importErrors", limit=100), "import_errors")

    def plugin_import_errors(self) -> list[Json]:
        return self._list(self.get("/plugins/importErrors"), "import_errors")

    def providers(self) -> list[Json]:
        return self._list(self.get("/providers", limit=100), "providers")

    def connection_types(self) -> list[Json]:
        """Return the connection types of the interface's form: one entry per type, with its fields."""
        types: list[Json] = self.request("GET", "/connections/hook_meta", root="/ui")
        return types

    def pools(self) -> list[Json]:
        return self._list(self.get("/pools", limit=100), "pools")

    def test_connection(self, connection_id: str, conn_type: str, **fields: Any) -> Json:
        """Test a connection as the form does: ``status`` and ``message``. Stored fields complete the given ones."""
        body = {"connection_id": connection_id, "conn_type": conn_type, **fields}
        return self._json(self.request("POST", "/connections/test", json=body))


def _may_be_sent_again(method: str, error: Exception, *, harmless: bool) -> bool:
    """Return whether the request can be repeated: it had no effect, or may have it twice.

    A busy database makes Airflow roll a request back from time to time.
    """
    if isinstance(error, httpx.TransportError):
        return harmless and not isinstance(error, httpx.ConnectError)
    if not isinstance(error, AirflowApiError):
        return False
    rolled_back = error.status == httpx.codes.SERVICE_UNAVAILABLE or "Database error" in str(error)
    return error.status >= httpx.codes.INTERNAL_SERVER_ERROR and (rolled_back or method != "POST")


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _line(entry: Any) -> str:
    """Format one entry of a structured log: time, level, event, a skip's reason, and its exceptions."""
    if isinstance(entry, str):
        return entry
    exceptions = [f"{detail['exc_type']}: {detail['exc_value']}" for detail in entry.get("error_detail") or ()]
    parts = (entry.get("timestamp"), entry.get("level"), entry["event"], entry.get("reason"), *exceptions)
    return " ".join(str(part) for part in parts if part)
