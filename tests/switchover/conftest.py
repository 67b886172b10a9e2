"""The steps of a switchover against four real stand-in processes, without Airflow's machinery around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from denodo_demo.standin import StandinPair
from denodo_scheduler.steps import jobs as enabling
from denodo_scheduler.steps.promote import drain as draining
from support import pair_fixtures
from support.pair_fixtures import _no_long_pauses, connect
from support.switchover import SwitchPair, never_both
from support.sync import MemoryState, fill

__all__ = ["_no_long_pauses", "connect", "empty", "pair"]


@pytest.fixture
def empty(
    servers: StandinPair, tmp_path: Path, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[SwitchPair]:
    """Two servers without jobs, whose clocks stand still but where jobs are waited for, and no record."""
    pair_fixtures.empty(servers)
    for server in servers.servers:
        connect(server)
    pair = SwitchPair(servers, MemoryState(), tmp_path, {"enable_batch": 2})
    clock = SimpleNamespace(sleep=lambda seconds: pair.advance(seconds=seconds))
    monkeypatch.setattr(draining, "time", clock)
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


@pytest.fixture
def passing_time(empty: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Where enabling waits, the servers' clocks go on, as they do while jobs are waited for; returns what it waited."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        empty.advance(seconds=seconds)

    monkeypatch.setattr(enabling, "time", SimpleNamespace(sleep=sleep))
    return waits
