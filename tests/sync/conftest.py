"""The steps of a sync against four real stand-in processes, without Airflow's machinery around them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from denodo_demo.standin import StandinPair
from denodo_standin.settings import Guesses
from support.sync import MemoryState, Sync


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinPair]:
    with StandinPair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def sync(servers: StandinPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sync]:
    """A fresh pair: 40 jobs in 4 projects on the master, 6 of them disabled, an empty slave, no record."""
    servers.heal()
    for server in servers.servers:
        for project in server.request("GET", "/projects"):
            server.request("DELETE", f"/projects/{project['id']}")
        server.scheduler.guesses(**Guesses().model_dump(mode="json"))
    servers.master.generate(jobs=40, projects=4, disabled=6)
    for name, value in servers.connections_env().items():
        monkeypatch.setenv(name, value)
    yield Sync(servers, MemoryState(), tmp_path)
    servers.heal()
