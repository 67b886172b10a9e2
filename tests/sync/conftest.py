"""The steps of a sync against a real stand-in pair."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from denodo_scheduler.steps.sync import deliver
from support.delivery import SMALL, refill, time_goes_on
from support.pair_fixtures import _no_long_pauses, connect, sync, tamper
from support.sync import Sync

__all__ = ["_no_long_pauses", "connect", "small", "sync", "tamper"]


@pytest.fixture
def small(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> Sync:
    """A pair that writes over REST in earnest: three jobs on the master, one with a secret, and an empty slave.

    While a sync waits for a moment all clocks go on, and that of the slave after each import too.
    """
    refill(sync.master, *SMALL)
    sync.rest = True
    monkeypatch.setattr(deliver, "time", SimpleNamespace(sleep=lambda seconds: sync.advance(seconds=seconds)))
    time_goes_on(sync, monkeypatch, sync.slave)
    return sync
