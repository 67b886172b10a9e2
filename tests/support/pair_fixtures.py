"""A pair of four real stand-in processes for the steps of the DAGs, without Airflow's machinery around them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity

from denodo_demo.standin import StandinPair, StandinServer
from denodo_scheduler.client import transport
from denodo_scheduler.steps import passive
from denodo_standin.settings import Guesses
from denodo_standin.webtool import Guesses as WebtoolGuesses
from support.sync import NOW, MemoryState, Sync, fill
from support.tampering import Tampering, tampering


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "RETRY_WAIT", tenacity.wait_none())


def no_long_pauses(patch: pytest.MonkeyPatch) -> None:
    """For steps that wait in earnest."""
    patch.setattr(transport, "RETRY_WAIT", tenacity.wait_none())
    patch.setattr(passive, "HOLD_INTERVAL", 0.1)


@pytest.fixture
def sync(
    servers: StandinPair, tmp_path: Path, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sync]:
    """A fresh pair whose clocks stand still: 12 jobs in 3 projects on the master, 3 of them disabled, an empty slave,
    no record. Where a step keeps the slave's jobs disabled until a lease is over, time passes at once."""
    empty(servers)
    for server in servers.servers:
        connect(server)
    fill(servers.master)
    made = Sync(servers, MemoryState(), tmp_path)
    monkeypatch.setattr(passive, "HOLD_INTERVAL", 10.0)
    monkeypatch.setattr(passive, "time", SimpleNamespace(sleep=made.sleep))
    yield made
    servers.heal()


def empty(servers: StandinPair) -> None:
    """Have two servers without jobs, whose clocks stand still, whatever the test before has left."""
    servers.heal()
    for server in servers.servers:
        server.scheduler.guesses(**Guesses().model_dump(mode="json"))
        server.webtool.guesses(**WebtoolGuesses().model_dump(mode="json"))
        server.webtool.reset_requests()
        server.scheduler.control("POST", "/pause", json={"paused": False})
        server.scheduler.duration(1)
        server.scheduler.results("COMPLETE")
        for project in server.request("GET", "/projects"):
            server.request("DELETE", f"/projects/{project['id']}")
        server.scheduler.clock(mode="manual", now=NOW)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the Airflow connection of a role to a server, with some fields changed."""

    def set_connection(server: StandinServer, role: str = "", **changes: Any) -> None:
        name = f"AIRFLOW_CONN_DENODO_SCHEDULER_{(role or server.name).upper()}"
        monkeypatch.setenv(name, json.dumps({**server.connection(), **changes}))

    return set_connection


@pytest.fixture
def tamper(connect: Callable[..., None]) -> Iterator[Callable[..., Tampering]]:
    """Put something between Airflow and a server's web tool that alters the answers to some requests."""
    with ExitStack() as stack:

        def put_between(server: StandinServer, path: str, alter: Callable[[bytes], bytes]) -> Tampering:
            between = stack.enter_context(tampering(server, path, alter))
            connect(server, port=between.port)
            return between

        yield put_between
