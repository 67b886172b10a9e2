"""The doctor against a real stand-in pair."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from denodo_scheduler.steps.doctor import trial
from support.delivery import WRITES, job, refill, source
from support.pair_fixtures import _no_long_pauses, connect, sync, tamper
from support.sync import Sync

__all__ = ["_no_long_pauses", "connect", "pair", "sync", "tamper"]

JOBS = (source(), job("first"), job("cached", kind="VDPCache", after="first"), job("sealed", sealed="s"))


@pytest.fixture
def pair(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> Sync:
    """A pair in step, with jobs of two types, of whose slave nothing is known. A doctor's pauses take no time."""
    refill(sync.master, *JOBS)
    sync.rest = True
    sync.synced()
    sync.change(outbox=(), capabilities={})
    monkeypatch.setattr(trial, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr("support.delivery.WRITES", (*WRITES, "delete_project", "delete_jobs"))
    return sync
