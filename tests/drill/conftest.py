"""The drill against a real stand-in pair."""

from __future__ import annotations

import pytest

from support.drill import DrilledPair
from support.failover import Failover, Still
from support.pair_fixtures import _no_long_pauses, connect, sync
from support.sync import Sync, add_job

__all__ = ["_no_long_pauses", "connect", "pair", "sync"]


@pytest.fixture
def pair(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> DrilledPair:
    """A pair in step, with three harmless jobs, of which no cron is due in any test. Its clocks stand still."""
    for name in ("ping 1", "ping 2", "ping 3"):
        add_job(sync.master, "health", name, "0 0 0 1 1 ? 2099")
    failover = Failover(Still(sync.servers, sync.state, sync.folder))
    failover.sync.synced()
    failover.sync.publish()
    return DrilledPair(failover, monkeypatch)
