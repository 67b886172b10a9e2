"""The steps of a switchover against four real stand-in processes, without Airflow's machinery around them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tenacity

from denodo_demo.standin import StandinPair, StandinServer
from denodo_scheduler.ha import passive
from denodo_scheduler.hooks import transport
from denodo_standin.settings import Guesses
from support.switchover import SwitchPair, never_both
from support.sync import NOW, MemoryState, fill


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinPair]:
    with StandinPair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "RETRY_WAIT", tenacity.wait_none())
    monkeypatch.setattr(passive, "HOLD_INTERVAL", 0.1)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the Airflow connection of a role to a server, with some fields changed."""

    def set_connection(server: StandinServer, role: str = "", **changes: Any) -> None:
        name = f"AIRFLOW_CONN_DENODO_SCHEDULER_{(role or server.name).upper()}"
        monkeypatch.setenv(name, json.dumps({**server.connection(), **changes}))

    return set_connection


@pytest.fixture
def empty(
    servers: StandinPair, tmp_path: Path, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[SwitchPair]:
    """Two servers without jobs, whose clocks stand still, and no record."""
    servers.heal()
    for server in servers.servers:
        server.scheduler.guesses(**Guesses().model_dump(mode="json"))
        server.scheduler.control("POST", "/pause", json={"paused": False})
        for project in server.request("GET", "/projects"):
            server.request("DELETE", f"/projects/{project['id']}")
        server.scheduler.clock(mode="manual", now=NOW)
        server.scheduler.duration(1)
        connect(server)
    pair = SwitchPair(servers, MemoryState(), tmp_path, {"enable_batch": 2})
    with never_both(pair, monkeypatch):
        yield pair
    servers.heal()


@pytest.fixture
def pair(empty: SwitchPair) -> SwitchPair:
    """A pair in step: 7 jobs in 2 projects, 2 of them disabled, the master active."""
    fill(empty.master, jobs=7, projects=2, disabled=2)
    empty.synced()
    return empty
