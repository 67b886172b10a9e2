"""The steps of a failover against a real stand-in pair."""

from __future__ import annotations

import pytest

from support.failover import Failover, Still
from support.pair_fixtures import _no_long_pauses, connect, sync, tamper
from support.sync import Sync

__all__ = ["_no_long_pauses", "connect", "failover", "sync", "tamper", "unsynced"]


@pytest.fixture
def unsynced(sync: Sync) -> Failover:
    """A pair without record whose clocks all stand still at the same time."""
    return Failover(Still(sync.servers, sync.state, sync.folder))


@pytest.fixture
def failover(unsynced: Failover) -> Failover:
    """The same, in step: 12 jobs in 3 projects, 3 of them disabled."""
    unsynced.sync.synced()
    unsynced.sync.publish()
    return unsynced
