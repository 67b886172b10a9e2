"""Real stand-in processes for the contract tests: one Scheduler server and one web tool per module, more on demand."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from denodo_demo.processes import LONGEST_ANSWER, Child, wait_for

BASE_PATH = "/webadmin/denodo-scheduler-admin"
LOGIN = ("admin", "admin")
NOW = "2026-03-02T06:00:00Z"
NIGHTLY = "0 0 3 * * ?"


@dataclass
class Process:
    """A stand-in process that accepts connections."""

    child: Child
    address: str

    @cached_property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://{self.address}", timeout=LONGEST_ANSWER, trust_env=False)

    @property
    def uri(self) -> str:
        return f"//{self.address}"

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    def control(self, path: str, body: Any = None, **query: Any) -> Any:
        """GET /control/{path}, or POST when there is a body."""
        method = "GET" if body is None else "POST"
        answer = self.client.request(method, f"/control/{path}", json=body, params=query)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def advance(self, seconds: float) -> None:
        self.control("clock", {"advance_seconds": seconds})


Start = Callable[..., Process]


class Api(httpx.Client):
    """The public API of one Scheduler server through one web tool."""

    def __init__(self, webtool: Process, scheduler: Process, **settings: Any) -> None:
        base_url = f"http://{webtool.address}{BASE_PATH}/public/api"
        defaults: dict[str, Any] = {"auth": LOGIN, "params": {"uri": scheduler.uri}, "timeout": LONGEST_ANSWER}
        super().__init__(base_url=base_url, trust_env=False, **(defaults | settings))

    def ok(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of an answer that must be a success."""
        answer = self.request(method, path, **request)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def export(self) -> bytes:
        answer = self.post("/serverMetadata/export")
        assert answer.status_code == 200, answer.text
        return answer.content

    def import_(self, content: bytes, **options: Any) -> httpx.Response:
        headers = {"content-type": "application/octet-stream"}
        return self.post("/serverMetadata/import", params=options, content=content, headers=headers)

    def states(self) -> dict[tuple[str, str], str]:
        return {(s["projectName"], s["jobName"]): s["state"] for s in self.ok("GET", "/jobs/status")}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start ``denodo-standin <arguments>`` on a free port and wait for its ready line."""
    children: list[Child] = []

    def start_process(role: str, *arguments: str | Path, env: dict[str, str] | None = None, port: int = 0) -> Process:
        if role == "scheduler" and "--data" not in arguments:
            arguments = (*arguments, "--data", tmp_path_factory.mktemp("data"))
        command = [sys.executable, "-m", "denodo_standin", role, "--port", str(port), *map(str, arguments)]
        log = tmp_path_factory.mktemp("log") / f"{role}.log"
        child = Child(role, command, log=log, env={**os.environ, **(env or {})})
        children.append(child)
        ready = f"ready {role} "

        def address() -> str | None:
            lines = log.read_text().splitlines(keepends=True)
            return next((line[len(ready) :].strip() for line in lines if line.startswith(ready) and "\n" in line), None)

        return Process(child, wait_for(address, 60, f"The ready line of {role}", child=child, poll=0.02))

    yield start_process
    for child in children:
        child.kill()


@pytest.fixture(scope="module")
def scheduler(start: Start) -> Process:
    """A Scheduler server whose clock stands still at NOW."""
    return start("scheduler", "--clock", "manual", "--now", NOW, "--timezone", "Europe/Madrid", "--id-offset", "1000")


@pytest.fixture(scope="module")
def webtool(start: Start) -> Process:
    return start("webtool")


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[[Process, Process], Api]]:
    """The public API of a Scheduler server through a web tool."""
    with contextlib.ExitStack() as stack:
        yield lambda webtool, scheduler: stack.enter_context(Api(webtool, scheduler))


@pytest.fixture(scope="module")
def api(connect: Callable[[Process, Process], Api], webtool: Process, scheduler: Process) -> Api:
    return connect(webtool, scheduler)


_numbers = itertools.count(1)


@pytest.fixture
def project(api: Api) -> Iterator[dict[str, Any]]:
    """A new, empty project that goes away with the test."""
    new = api.ok("POST", "/projects", json={"name": f"sales {next(_numbers)}", "description": ""})
    yield new
    api.delete(f"/projects/{new['id']}")


@pytest.fixture
def healed(scheduler: Process, webtool: Process) -> Iterator[None]:
    """No faults and the default guesses after the test."""
    before = {process.address: process.control("state")["guesses"] for process in (scheduler, webtool)}
    yield
    for process in (scheduler, webtool):
        process.control("faults", {"faults": []})
        process.control("guesses", before[process.address])


@pytest.fixture(scope="session")
def job() -> Callable[..., dict[str, Any]]:
    """Builds a VDP job, nightly at 3 unless told otherwise, as a client would post it."""
    return _job


@pytest.fixture
def new_job(api: Api, project: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """Create a job in ``project`` and return it as the server shows it."""

    def create(name: str = "load", **fields: Any) -> dict[str, Any]:
        path = f"/projects/{project['id']}/jobs"
        return api.ok("GET", f"{path}/{api.ok('POST', path, json=_job(name, **fields))['id']}")

    return create


def _job(name: str, cron: str | None = NIGHTLY, **fields: Any) -> dict[str, Any]:
    triggers = [{"type": "cron", "cronExpression": cron}] if cron else []
    return {
        "type": "VDP",
        "name": name,
        "description": "",
        "extractionSection": {},
        "exportationSection": {"exporters": []},
        "handlerSection": {"handlers": []},
        "retrySection": {},
        "reportSection": {},
        "triggerSection": {"triggers": triggers},
        **fields,
    }


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate of ``localhost`` and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    folder = tmp_path_factory.mktemp("tls")
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file
