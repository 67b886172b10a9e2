"""The steps of a switchover against four real stand-in processes, without Airflow's machinery around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from denodo_demo.standin import StandinPair
from denodo_standin.settings import Guesses
from support.pair_fixtures import _no_long_pauses, connect, servers
from support.switchover import SwitchPair, never_both
from support.sync import NOW, MemoryState, fill

__all__ = ["_no_long_pauses", "connect", "empty", "pair", "servers"]


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
    empty.publish()
    return empty
