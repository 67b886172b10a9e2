"""Client of Airflow's public REST API (``/api/v2``): login, requests, and the state of a pair."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

import httpx

Json: TypeAlias = dict[str, Any]

_PAGE = 100
_FOREIGN_LOGIN = "Invalid JWT"


class AirflowApiError(RuntimeError):
    """Airflow refused a request; ``status`` is the HTTP status, ``detail`` Airflow's own text.

    :param request: method and path, or what it was for.
    """

    def __init__(self, request: str, status: int, detail: str) -> None:
        super().__init__(f"Airflow answered {status} to {request}: {detail}")
        self.request, self.status, self.detail = request, status, detail

    @property
    def refuses_user(self) -> bool:
        """Whether it is about who asks: no login, an expired or foreign token, or a missing permission."""
        return self.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)

    @property
    def refuses_login(self) -> bool:
        """Whether Airflow does not know who asks. A token that it has not signed is answered 403."""
        return self.status == httpx.codes.UNAUTHORIZED or (self.refuses_user and _FOREIGN_LOGIN in self.detail)


class ApiClient:
    """A client that is logged in as one user, and logs in again when the token has expired.

    :param url: address of the API server, such as ``http://127.0.0.1:8080`` or ``https://example.org/airflow``.
    :param token: gives an existing token, instead of user and password; asked again when Airflow refuses the last one.
    :param timeout: seconds that an answer may take.
    :param trust_env: whether proxies and certificates are taken from the environment.
    :param tls: the certificates that are trusted; None: those of the environment, or the usual ones.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        password: str = "",
        *,
        token: Callable[[], str] | None = None,
        timeout: float = 30,
        trust_env: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._login = {"username": user, "password": password}
        self._token = token
        # No connection is kept, because an open one would delay the end of the API server.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(
            base_url=url, timeout=timeout, limits=limits, trust_env=trust_env, verify=True if tls is None else tls
        )
        if token:
            self._http.headers["Authorization"] = f"Bearer {token()}"

    def request(self, method: str, path: str, *, root: str = "/api/v2", **kwargs: Any) -> Any:
        """Send a request and return the JSON answer; ``path`` is relative to ``root``."""
        what, sent = f"{method} {path}", self._http.headers.get("Authorization")
        try:
            return self._content(self._http.request(method, f"{root}{path}", **kwargs), what)
        except AirflowApiError as error:
            if not error.refuses_login or not self._log_in(sent):
                raise
        return self._content(self._http.request(method, f"{root}{path}", **kwargs), what)

    def _log_in(self, refused: str | None) -> bool:
        """Get another token than the one that was refused; False where there is no other.

        Another thread may have got it already.
        """
        if self._login["username"]:
            answer = self._http.post("/auth/token", json=self._login)
            token = self._content(answer, "the login")["access_token"]
        else:
            token = self._token() if self._token else ""
        self._http.headers["Authorization"] = f"Bearer {token}"
        return bool(self._login["username"]) or (bool(token) and refused != f"Bearer {token}")

    @staticmethod
    def _content(answer: httpx.Response, request: str) -> Any:
        if not answer.is_success:
            raise AirflowApiError(request, answer.status_code, _detail(answer))
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

    def running_now(self, dag_ids: Sequence[str]) -> Json:
        """Return the ids of runs that are under way, by the ids of the DAGs; at most one of each DAG."""
        found: Json = {}
        for first in range(0, len(dag_ids), _PAGE):
            body = {"dag_ids": dag_ids[first : first + _PAGE], "states": ["running"], "page_limit": _PAGE}
            runs = self._list(self.request("POST", "/dags/~/dagRuns/list", json=body), "dag_runs")
            found |= {run["dag_id"]: run["dag_run_id"] for run in runs}
        return found

    def task_instances(self, dag_id: str, run_id: str) -> list[Json]:
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        return self._list(self.get(path, limit=_PAGE), "task_instances")

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return the value of an XCom entry; raise :class:`AirflowApiError` with status 404 if there is none."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.get(path, deserialize=True)["value"]

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


def _detail(answer: httpx.Response) -> str:
    """What Airflow says of an error, in its own words where they are text."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, LookupError, TypeError):
        if answer.is_redirect:
            return f"it is at {answer.headers.get('location')}, so give that address"
        return answer.text
    return detail if isinstance(detail, str) else answer.text
