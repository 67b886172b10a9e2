"""A local authorisation server over real sockets: its tokens end, and it can refuse, be silent or answer badly."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import httpx

from denodo_demo.standin import BASE_PATH, LOGIN, PASSWORD, StandinServer


@dataclass
class Asked:
    """A request for a token: what the client said, and by which method."""

    client: str
    secret: str
    method: str
    form: dict[str, list[str]]
    path: str


@dataclass(frozen=True)
class Said:
    """An answer instead of a token. A body that is an iterator is sent as long as the client reads it."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Authorisation(ThreadingHTTPServer):
    """
    Gives tokens to one client.

    ``answer`` replaces what it says, ``silent`` keeps it from saying anything, ``lasts`` goes into ``expires_in``,
    ``make`` makes another token than a text with a number, and ``then`` happens before each answer.
    ``live`` are the tokens that a web tool is to accept, ``given`` all that were ever given.
    """

    daemon_threads = True

    def __init__(self, client: str, secret: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.client, self.secret = client, secret
        self.lasts: Any = 3600
        self.answer: Said | None = None
        self.make: Callable[[], str] | None = None
        self.then: Callable[[], object] = bool
        self.silent = False
        self.slow = threading.Event()
        self.slow.set()
        self.asked: list[Asked] = []
        self.given: list[str] = []
        self.live: set[str] = set()
        self.stopping = threading.Event()
        self._numbers = count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/oauth2/token"

    def give(self, asked: Asked) -> Said:
        self.asked.append(asked)
        self.then()
        if self.answer:
            return self.answer
        if (asked.client, asked.secret) != (self.client, self.secret):
            said = {"error": "invalid_client", "error_description": f"wrong secret {asked.secret}"}
            return Said(said, 401)
        token = self.make() if self.make else f"t0k3n-{next(self._numbers)}-of-{self.server_address[1]}"
        self.given.append(token)
        self.live.add(token)
        lasts = {} if self.lasts is None else {"expires_in": self.lasts}
        return Said({"access_token": token, "token_type": "Bearer", **lasts})

    def revoke(self) -> None:
        """End every token, without telling anybody."""
        self.live.clear()


class _Handler(BaseHTTPRequestHandler):
    server: Authorisation

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        if login := self.headers.get("Authorization", ""):
            client, _, secret = base64.b64decode(login.removeprefix("Basic ")).decode().partition(":")
            asked = Asked(unquote_plus(client), unquote_plus(secret), "client_secret_basic", form, self.path)
        else:
            client, secret = (form.pop(name, [""])[0] for name in ("client_id", "client_secret"))
            asked = Asked(client, secret, "client_secret_post", form, self.path)
        said = self.server.give(asked)
        self.server.slow.wait()
        if self.server.silent:
            self.server.stopping.wait()
            return
        self.send_response_only(said.status)
        pieces = said.body if isinstance(said.body, Iterator) else iter([_bytes(said.body)])
        for name, value in ({"Content-Type": "application/json"} | said.headers).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for piece in pieces:
                self.wfile.write(piece)
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@contextmanager
def authorisation(client: str, secret: str) -> Iterator[Authorisation]:
    """Run a server in a thread."""
    server = Authorisation(client, secret)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.slow.set()
        server.shutdown()
        thread.join()
        server.server_close()


def token_of(server: StandinServer) -> Callable[[], str]:
    """Makes tokens that the server's web tool accepts."""

    def make() -> str:
        form = {"grant_type": "client_credentials"}
        url = f"{server.webtool.url}{BASE_PATH}/oauth2/token"
        token: str = httpx.post(url, data=form, auth=(LOGIN, PASSWORD), trust_env=False).json()["access_token"]
        return token

    return make
