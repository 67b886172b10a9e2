"""Chromium for tests of the page, and a server that answers as the page's own would.

`chromium()` yields the one browser of a test run. :class:`Page` keeps what went wrong in a page: errors in the console,
breaches of the content security policy, requests to other hosts.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

import denodo_scheduler
from denodo_demo.camera import browser_path

STATIC = Path(denodo_scheduler.__file__).parent / "web" / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
FRAME = """<!doctype html><html lang="en" class="{theme}"><title>Airflow</title><body>
<iframe title="page" width="1200" height="800" src="{src}"
 sandbox="allow-scripts allow-same-origin allow-forms allow-downloads"></iframe></body></html>"""


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium, or skip the tests that need it."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is missing: pip install -r requirements-dev.txt"
    )
    program = browser_path()
    if program is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class PageServer:
    """Serves the page's files under ``base``, and ``answers`` by path as its API.

    :ivar answers: what the API answers, by path after ``/denodo-ha/api/``; a callable is given the query.
    :ivar status: what every request of the API is answered with instead; None: nothing is wrong.
    :ivar asked: the requests of the API so far.
    :ivar sent: the bytes of all bodies so far.
    :ivar airflow: what Airflow's own API answers, by method and path after ``/api/v2/``: a status and a body.
    :ivar posted: what was sent to Airflow's own API so far.
    """

    def __init__(self, base: str = "") -> None:
        self.base = base
        self.answers: dict[str, Any | Callable[[dict[str, list[str]]], Any]] = {}
        self.status: int | None = None
        self.asked: list[str] = []
        self.sent = 0
        self.airflow: dict[str, tuple[int, Any]] = {}
        self.posted: list[Any] = []
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base}"

    @property
    def page(self) -> str:
        return f"{self.url}/denodo-ha/page/index.html"

    def start(self) -> None:
        """Start, at the port of before where there was one."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner._answer(self)

            def do_POST(self) -> None:
                owner.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                owner._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        if self._server is None:  # a connection that was kept open from before
            request.close_connection = True
            return
        parts = urlsplit(request.path)
        place = parts.path.removeprefix(self.base)
        if place.startswith("/denodo-ha/page/"):
            file = STATIC / Path(place).name
            if file.is_file():
                return self._send(request, 200, file.read_bytes(), TYPES[file.suffix])
        elif place.startswith("/denodo-ha/api/"):
            return self._api(request, unquote(place.removeprefix("/denodo-ha/api/")), parts.query)
        elif place.startswith("/api/v2/"):
            status, said = self.airflow.get(f"{request.command} {place.removeprefix('/api/v2/')}", (404, {}))
            return self._send(request, status, json.dumps(said).encode(), "application/json")
        elif place == "/frame":
            query = {key: each[0] for key, each in parse_qs(parts.query).items()}
            text = FRAME.format(theme=query.get("theme", "light"), src=self.page + "?" + query.get("query", ""))
            return self._send(request, 200, text.encode(), TYPES[".html"], policy=False)
        self._send(request, 404, b"<title>somewhere in Airflow</title>", TYPES[".html"])

    def _api(self, request: BaseHTTPRequestHandler, path: str, query: str) -> None:
        self.asked.append(path + (f"?{query}" if query else ""))
        status = self.status or (200 if path in self.answers else 404)
        answer = self.answers.get(path) if status == 200 else {"detail": "no"}
        body = json.dumps(answer(parse_qs(query)) if callable(answer) else answer, separators=(",", ":")).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if status == 200 and request.headers.get("If-None-Match") == tag:
            return self._send(request, 304, b"", "application/json", tag)
        self._send(request, status, body, "application/json", tag)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, type: str, tag: str = "", policy: bool = True
    ) -> None:
        self.sent += len(body)
        request.send_response(status)
        request.send_header("Content-Type", type)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Cache-Control", "no-store" if not tag else "no-cache")
        request.send_header("X-Content-Type-Options", "nosniff")
        if policy:
            request.send_header("Content-Security-Policy", POLICY)
        if tag:
            request.send_header("ETag", tag)
        request.end_headers()
        request.wfile.write(body)


class Page:
    """A page of the browser that keeps what went wrong in it.

    :param clock: the page's timers run by a clock that the test moves on, as well as by themselves.
    :ivar page: Playwright's page.
    :ivar wrong: errors in the console and requests to other hosts than those of ``url``.
    """

    def __init__(self, browser: Any, url: str, *, width: int = 1280, dark: bool = False, clock: bool = False) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            timezone_id="Europe/Berlin",
            locale="en-GB",
            reduced_motion="reduce",
        )
        self.page = self.context.new_page()
        if clock:
            self.page.clock.install()
        self.wrong: list[str] = []
        self._host = urlsplit(url).netloc
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc != self._host:
            self.wrong.append(f"request to another host: {request.url}")

    def close(self) -> None:
        self.context.close()


def serious(page: Any) -> list[str]:
    """What axe-core finds wrong with a page that is serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


SHOTS = Path(os.environ.get("DENODO_TESTS_SHOTS") or Path(tempfile.gettempdir()) / "denodo-ha-screenshots")


def shoot(page: Any, name: str, *, whole: bool = True) -> Path:
    """Take a picture of the whole page, or of what is in sight, for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    file = SHOTS / f"{name}.png"
    page.screenshot(path=file, full_page=whole)
    return file
