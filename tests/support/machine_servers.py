"""A stand-in pair inside the test process: the same servers and web tools, with a network in place of sockets.

So a test can take a server down between any two requests, sees each change at the moment at which it happens, and gives
the same result each time. A crash is what ``kill -9`` is to a process: what lies on disk stays, the rest is gone.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlencode, urlsplit

import fastapi.dependencies.utils
import httpx
import requests
import urllib3
from requests.adapters import BaseAdapter

from denodo_demo.standin import BASE_PATH, LOGIN, PASSWORD
from denodo_ha.jobs import JobKey
from denodo_scheduler.client import names, probe
from denodo_standin import scheduler, webtool
from denodo_standin.faults import INTERNAL_ERROR, error_body
from denodo_standin.model import Job
from denodo_standin.params import ENCRYPTED
from denodo_standin.server import SchedulerServer
from denodo_standin.settings import Duration

MASTER, SLAVE = "master", "slave"
ROLES = (MASTER, SLAVE)
ADDRESSES = {MASTER: "10.0.0.1", SLAVE: "10.0.0.2"}
_ZONES = {MASTER: ("Europe/Madrid", 1_000), SLAVE: ("America/New_York", 700_000)}

Answer = tuple[int, list[tuple[str, str]], bytes]
Watcher = Callable[["Machine", str, Job, str], None]


class Machine:
    """One machine with a Scheduler server and a web tool; both may be down, and its clock may be ``ahead``."""

    def __init__(self, role: str, folder: Path, network: Network) -> None:
        self.role = role
        self.network = network
        self.tool_up = True
        self.ahead = timedelta(0)
        self._folder = folder / role
        self._server: SchedulerServer | None = None
        self.tool = webtool.create_app(BASE_PATH)
        self.tool.state.client = httpx.AsyncClient(transport=_Rmi(self), trust_env=False)
        self.app: Any = None

    @property
    def up(self) -> bool:
        """Whether the Scheduler server runs, and fires jobs."""
        return self._server is not None

    @property
    def server(self) -> SchedulerServer:
        assert self._server is not None, f"the Scheduler of the {self.role} is down"
        return self._server

    @property
    def now(self) -> datetime:
        return self.network.now + self.ahead

    def start(self) -> None:
        if self.up:
            return
        zone, offset = _ZONES[self.role]
        server = SchedulerServer(
            self._folder, timezone=zone, id_offset=offset, manual=True, now=self.now, password=PASSWORD
        )
        if self.app is None:
            self.app = scheduler.create_app(server)
            self._clock = server.clock
        # Making an application takes longer than all else here, so the next server moves into the first one's.
        self.app.state.server = self._server = server
        server.clock = server.engine.clock = self._clock
        self._clock.set(self.now)
        self._watch_audit(server)
        server.engine.recover()

    def crash(self) -> None:
        if self.up:
            self.server.store.close()
            self._server = None

    def wipe(self) -> None:
        self.crash()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _watch_audit(self, server: SchedulerServer) -> None:
        write = server.store.add_audit

        def watched(at: datetime, job: Job, change: str, by: str) -> None:
            write(at, job, change, by)
            self.network.changed(self, by, job, change)

        server.store.add_audit = watched  # type: ignore[method-assign]

    # -- what people see

    @property
    def jobs(self) -> dict[JobKey, Job]:
        store = self.server.store
        return {JobKey(project=store.projects[job.project_id].name, name=job.name): job for job in store.jobs.values()}

    @property
    def enabled(self) -> set[JobKey]:
        return {key for key, job in self.jobs.items() if not job.disabled}

    def set_enabled(self, key: JobKey, enabled: bool) -> None:
        self.server.act("enable" if enabled else "disable", [self.jobs[key]])

    def create(
        self, key: JobKey, cron: str, *, enabled: bool = True, after: JobKey | None = None, sealed: bool = False
    ) -> None:
        """:param sealed: it has a secret, so only an import brings it to another server."""
        trigger: dict[str, Any] = {"type": "cron", "cronExpression": cron}
        if after:
            trigger["dependencyInfo"] = {"jobIDs": [self.jobs[after].id], "executeAnyway": False}
        project = self.server.store.project_named(key.project) or self.server.create_project(key.project, None)
        more = {"zipPassword": {ENCRYPTED: "c2VjcmV0"}} if sealed else {}
        body = {"type": "VDP", "name": key.name, "disabled": not enabled, "triggerSection": {"triggers": [trigger]}}
        self.server.create_job(project, body | more)

    def run(self, key: JobKey, seconds: float) -> None:
        """Start it by hand; from now on its runs take so long."""
        settings = self.server.store.settings
        settings.durations = [*settings.durations, Duration(seconds=seconds, match=re.compile(re.escape(str(key))))]
        self.server.store.save_settings()
        self.server.act("start", [self.jobs[key]])

    def delete(self, key: JobKey) -> None:
        self.server.delete_job(self.jobs[key])

    def journal(self, since: int) -> list[dict[str, Any]]:
        return self.server.store.journal(since)


class Network:
    """Two machines, Airflow's clock and theirs, and which of them reaches which.

    :param changed: called with every change of a job as its server writes it to its audit.

    ``names`` is the name server: which machine each name leads to; None where it does not resolve.
    """

    def __init__(self, folder: Path, now: datetime) -> None:
        self.now = now
        self.changed: Watcher = lambda machine, by, job, change: None
        self.before_request: Callable[[str, str, str], None] = lambda role, method, path: None
        self.cut: set[tuple[str, str]] = set()
        self.lose_answer: set[str] = set()
        self.names: dict[str, str | None] = {}
        self.tick = timedelta(0)
        self.machines = {role: Machine(role, folder, self) for role in ROLES}
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        for machine in self.machines.values():
            machine.crash()
        self._loop.close()

    def reset(self, now: datetime, ahead: timedelta = timedelta(0)) -> None:
        """Two empty servers, nothing cut; the slave's clock is ``ahead``."""
        self.now = now
        self.machines[SLAVE].ahead = ahead
        self.heal()
        for machine in self.machines.values():
            machine.wipe()
            machine.start()

    def heal(self) -> None:
        self.cut.clear()
        self.lose_answer.clear()
        self.names = {role: role for role in ROLES}
        for machine in self.machines.values():
            machine.tool_up = True

    def advance(self, by: timedelta) -> None:
        """Let time pass everywhere; jobs that are due on the way run on the servers that are up."""
        self.now += by
        for machine in self.machines.values():
            if machine.up:
                machine.server.engine.advance(machine.now)

    def led_to(self, host: str | None) -> str:
        """The machine at an address or of a name.

        :raises httpx.ConnectError: there is none.
        """
        role = {address: role for role, address in ADDRESSES.items()}.get(host or "") or self.names.get(host or "")
        if role is None:
            raise httpx.ConnectError(f"{host} does not resolve")
        return role

    async def resolved(self, name: str) -> str:
        """As the product looks a name up."""
        return ADDRESSES.get(self.names.get(name) or "", "")

    def reaches_tool(self, role: str) -> bool:
        """Whether Airflow reaches a web tool."""
        return self.machines[role].tool_up and ("airflow", role) not in self.cut

    def reaches_server(self, tool: str, role: str) -> bool:
        """Whether a web tool reaches a Scheduler server."""
        return self.machines[role].up and (tool, role) not in self.cut

    def observable(self, role: str) -> bool:
        """Whether Airflow reaches a Scheduler server over any path."""
        return any(self.reaches_tool(tool) and self.reaches_server(tool, role) for tool in ROLES)

    # -- requests

    async def ask(self, role: str, method: str, url: str, headers: Any, body: bytes) -> Answer:
        """Send a request of Airflow's to a web tool.

        :raises httpx.ConnectError: nobody listens there. :raises httpx.ReadError: cut after the effect.
        """
        if not self.reaches_tool(role):
            raise httpx.ConnectError("connection refused")
        answer = await self._through(role, method, url, headers, body)
        if method != "GET" and role in self.lose_answer:
            self.lose_answer.discard(role)
            raise httpx.ReadError("connection reset")
        return answer

    async def _through(self, role: str, method: str, url: str, headers: Any, body: bytes) -> Answer:
        """Through the web tool; what it only passes on goes straight to the server, which halves the time."""
        path, _, query = url.partition(BASE_PATH)[2].partition("?")
        if not path.startswith("/public/api/") or "/serverMetadata/" in path:
            return await _call(self.machines[role].tool, method, url, headers, body)
        asked = parse_qsl(query)
        try:
            to = self.led_to(urlsplit(dict(asked)["uri"]).hostname)
        except httpx.ConnectError:
            to = ""
        if not to or not self.reaches_server(role, to):
            return 500, [("content-type", "application/json")], json.dumps(error_body(500, INTERNAL_ERROR)).encode()
        rest = urlencode([pair for pair in asked if pair[0] != "uri"])
        passed_on = f"http://{to}:8000/rmi{path.removeprefix('/public/api')}?{rest}"
        return await _call(self.machines[to].app, method, passed_on, headers, body)

    def ask_now(self, role: str, request: requests.PreparedRequest, body: bytes) -> Answer:
        assert request.method is not None
        assert request.url is not None
        path = urlsplit(request.url).path.removeprefix(BASE_PATH)
        self.before_request(role, request.method, path)
        if self.tick:
            self.advance(self.tick)
        return self._loop.run_until_complete(self.ask(role, request.method, request.url, request.headers.items(), body))


class _Adapter(BaseAdapter):
    """What ``requests`` sends through in place of sockets."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        elif isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = b"".join(body)
        assert request.url is not None
        role = urlsplit(request.url).hostname or ""
        try:
            role = self._network.led_to(role)
            status, headers, content = self._network.ask_now(role, request, body)
        except httpx.ConnectError:
            pool = urllib3.HTTPConnectionPool(role)
            refused = urllib3.exceptions.NewConnectionError(pool, "Connection refused")  # type: ignore[arg-type]
            gave_up = urllib3.exceptions.MaxRetryError(pool, request.url, refused)
            raise requests.exceptions.ConnectionError(gave_up, request=request) from None
        except httpx.ReadError:
            raise requests.exceptions.ConnectionError("Connection reset", request=request) from None
        answer = requests.Response()
        answer.status_code = status
        answer.headers.update(headers)
        answer.url = request.url
        answer.request = request
        answer.raw = urllib3.HTTPResponse(BytesIO(content), headers, status, preload_content=False)
        return answer

    def close(self) -> None: ...


class _FromAirflow(httpx.AsyncBaseTransport):
    """The same for ``httpx``, which the probe uses."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        role = self._network.led_to(request.url.host)
        status, headers, content = await self._network.ask(
            role, request.method, str(request.url), request.headers.items(), b""
        )
        peer = SimpleNamespace(get_extra_info=lambda _: (ADDRESSES[role], 9090))
        return httpx.Response(
            status, headers=headers, stream=httpx.ByteStream(content), extensions={"network_stream": peer}
        )


class _Rmi(httpx.AsyncBaseTransport):
    """From a web tool to the Scheduler servers; their port is 8000."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        network = self._machine.network
        role = network.led_to(request.url.host)
        if not network.reaches_server(self._machine.role, role):
            raise httpx.ConnectError("connection refused")
        body = await request.aread()
        status, headers, content = await _call(
            network.machines[role].app, request.method, str(request.url), request.headers.items(), body
        )
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))


async def _call(app: Any, method: str, url: str, headers: Any, body: bytes) -> Answer:
    """One request to an ASGI application."""
    address = urlsplit(url)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": address.path,
        "raw_path": address.path.encode(),
        "root_path": "",
        "query_string": address.query.encode(),
        "headers": [(_bytes(name).lower(), _bytes(value)) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": (address.hostname, address.port or 80),
    }
    status, found, parts = 0, [], []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, found
        if message["type"] == "http.response.start":
            status = message["status"]
            found = [(name.decode(), value.decode()) for name, value in message["headers"]]
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, found, b"".join(parts)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


async def _inline(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


@contextmanager
def connected(network: Network) -> Iterator[None]:
    """Everything that the hooks and the probe send goes to ``network``."""
    adapter, transport = _Adapter(network), _FromAirflow(network)

    def client(endpoint: probe.Endpoint) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{endpoint.url}/public/api", auth=endpoint.auth, transport=transport, trust_env=False
        )

    with (
        patch.object(requests.Session, "get_adapter", lambda _, url: adapter),
        patch.object(probe.Endpoint, "client", client),
        patch.object(names, "_resolved", network.resolved),
        patch.object(fastapi.dependencies.utils, "run_in_threadpool", _inline),
        patch.object(asyncio, "to_thread", _inline),
        patch.object(requests.sessions, "get_environ_proxies", lambda *_, **__: {}),
    ):
        yield


def connection(role: str) -> dict[str, Any]:
    """The Airflow connection to a machine."""
    return {
        "conn_type": "denodo_scheduler",
        "host": role,
        "port": 9090,
        "schema": "http",
        "login": LOGIN,
        "password": PASSWORD,
        "extra": {"scheduler_uri": f"//{role}:8000"},
    }


__all__ = ["MASTER", "ROLES", "SLAVE", "Machine", "Network", "connected", "connection"]
