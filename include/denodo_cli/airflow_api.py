"""Client of Airflow's public REST API (``/api/v2``): login, requests, and the state of a pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import httpx

Json: TypeAlias = dict[str, Any]

_PAGE = 100


class AirflowApiError(RuntimeError):
    """Airflow refused a request; ``status`` is the HTTP status, the message holds Airflow's own text."""

    def __init__(self, request: str, status: int, detail: str) -> None:
        super().__init__(f"Airflow answered {status} to {request}: {detail}")
        self.status = status


class ApiClient:
    """A client that is logged in as one user, and logs in again when the token has expired.

    :param url: address of the API server, such as ``http://127.0.0.1:8080``.
    :param token: an existing token, instead of user and password.
    :param timeout: seconds that an answer may take.
    :param trust_env: whether proxies and certificates are taken from the environment.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        password: str = "",
        *,
        token: str = "",
        timeout: float = 30,
        trust_env: bool = True,
    ) -> None:
        self._login = {"username": user, "password": password}
        # No connection is kept, because an open one would delay the end of the API server.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=url, timeout=timeout, limits=limits, trust_env=trust_env)
        if token:
            self._http.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str, path: str, *, root: str = "/api/v2", **kwargs: Any) -> Any:
        """Send a request and return the JSON answer; ``path`` is relative to ``root``."""
        answer = self._http.request(method, f"{root}{path}", **kwargs)
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._login["username"]:
            login = self._http.post("/auth/token", json=self._login)
            self._http.headers["Authorization"] = f"Bearer {self._content(login, 'the login')['access_token']}"
            answer = self._http.request(method, f"{root}{path}", **kwargs)
        return self._content(answer, f"{method} {path}")

    @staticmethod
    def _content(answer: httpx.Response, request: str) -> Any:
        if not answer.is_success:
            raise AirflowApiError(request, answer.status_code, answer.text)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise AirflowApiError(request, answer.status_code, "no JSON; is this the address of Airflow?") from None

    def get(self, path: str, **params: Any) -> Any:
        return self.request("GET", path, params=params)

    def health(self) -> Json:
        """Return the ``status`` of each component; this needs no login."""
        return self._json(self.get("/monitor/health"))

    def dag(self, dag_id: str) -> Json | None:
        """Return the DAG, or None as long as it has not been parsed."""
        return self._found(f"/dags/{dag_id}")

    def pool(self, name: str) -> Json | None:
        """Return the pool with its slots, or None if there is none."""
        return self._found(f"/pools/{name}")

    def _found(self, path: str) -> Json | None:
        try:
            return self._json(self.get(path))
        except AirflowApiError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def running(self, dag_id: str) -> str:
        """Return the id of a run of the DAG that is under way; empty if there is none."""
        try:
            runs = self._list(self.get(f"/dags/{dag_id}/dagRuns", state="running", limit=1), "dag_runs")
        except AirflowApiError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return ""
            raise
        return str(runs[0]["dag_run_id"]) if runs else ""

    def assets(self, **filters: Any) -> list[Json]:
        return list(self.pages("/assets", "assets", order_by="id", **filters))

    def asset_events(self, **filters: Any) -> list[Json]:
        """Return the last 100 asset events, newest first; filters are such as ``source_dag_id`` or ``asset_id``."""
        return self._list(self.get("/assets/events", order_by="-timestamp", limit=_PAGE, **filters), "asset_events")

    def asset_state(self, asset_id: int) -> Json:
        """Return the contents of the state store of an asset."""
        entries = self._list(self.get(f"/assets/{asset_id}/state-store", limit=_PAGE), "asset_state_store")
        return {entry["key"]: entry["value"] for entry in entries}

    def pages(self, path: str, key: str, **params: Any) -> Iterator[Json]:
        """Yield all rows of a listing, page by page as they are needed."""
        taken = 0
        while rows := self._list(self.get(path, limit=_PAGE, offset=taken, **params), key):
            yield from rows
            taken += len(rows)
            if len(rows) < _PAGE:
                return

    @staticmethod
    def _json(answer: Any) -> Json:
        if not isinstance(answer, dict):
            raise AirflowApiError("a request", httpx.codes.OK, f"an object was expected, not {str(answer)[:100]}")
        return answer

    @classmethod
    def _list(cls, answer: Any, key: str) -> list[Json]:
        rows = cls._json(answer).get(key)
        if not isinstance(rows, list):
            raise AirflowApiError("a request", httpx.codes.OK, f"the answer has no list {key}: {str(answer)[:100]}")
        return rows
