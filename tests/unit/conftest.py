"""An Airflow home of its own for every test process, and a web tool made of a few scripted answers."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
import tenacity

from denodo_scheduler.client import transport
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

BASE_PATH = "/webadmin/denodo-scheduler-admin"
LOGIN = "öperator"
PASSWORD = "s3cret-pässword-€"


@dataclass(frozen=True)
class Answer:
    """
    One scripted answer. ``body`` is sent as JSON unless it is bytes.

    ``fault``: ``cut`` closes the connection without an answer, ``truncate`` sends half of the announced body, ``hang``
    sends nothing until the server stops.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    fault: Literal["cut", "truncate", "hang"] | None = None

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Request:
    """What the web tool was asked. ``path`` is below the base path."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class WebTool(ThreadingHTTPServer):
    """A real HTTP server on a free port. It repeats the last answer of a path; an unknown path is a 404 as Denodo's."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        self.requests: list[Request] = []
        self.stopping = threading.Event()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def on(self, method: str, path: str, *answers: Answer | dict[str, Any] | list[Any] | bytes | None) -> None:
        """Script what a path under ``/public/api`` answers (or, with a leading ``//``, one under the base path)."""
        path = path[1:] if path.startswith("//") else f"/public/api{path}"
        self.answers[method, path] = [answer if isinstance(answer, Answer) else Answer(answer) for answer in answers]

    def take(self, request: Request) -> Answer:
        self.requests.append(request)
        answers = self.answers.get((request.method, request.path))
        if not answers:
            message = f"There is no instance of the resource with identifier '{request.path}'"
            return Answer({"status": "404 NOT_FOUND", "message": message, "subErrors": []}, 404)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def asked(self, method: str, path: str) -> list[Request]:
        path = path[1:] if path.startswith("//") else f"/public/api{path}"
        return [request for request in self.requests if (request.method, request.path) == (method, path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebTool

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            parts.path.removeprefix(BASE_PATH),
            {name: values[0] for name, values in parse_qs(parts.query).items()},
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("Content-Length", 0))),
            self.client_address,
        )
        answer = self.server.take(request)
        if answer.fault == "hang":
            self.server.stopping.wait()
        if answer.fault in {"hang", "cut"}:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.content))} | answer.headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.fault == "truncate":
            self.wfile.write(answer.content[: len(answer.content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def webtool() -> Iterator[WebTool]:
    server = WebTool()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.stopping.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., DenodoSchedulerHook]:
    """Define the connection ``web`` by environment variable and return a hook for it."""

    def define(extra: Any = None, **fields: Any) -> DenodoSchedulerHook:
        connection = {
            "conn_type": "denodo_scheduler",
            "schema": "http",
            "host": "127.0.0.1",
            "login": LOGIN,
            "password": PASSWORD,
            "extra": extra if extra is not None else {"timeout": [60, 60]},
            **fields,
        }
        monkeypatch.setenv("AIRFLOW_CONN_WEB", json.dumps(connection))
        return DenodoSchedulerHook("web")

    return define


@pytest.fixture
def hook(webtool: WebTool, connect: Callable[..., DenodoSchedulerHook]) -> DenodoSchedulerHook:
    return connect(port=webtool.port)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between the tries of a request, and no proxy between here and the test's own servers."""
    monkeypatch.setattr(transport, "RETRY_WAIT", tenacity.wait_none())
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
