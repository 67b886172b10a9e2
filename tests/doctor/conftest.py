"""The doctor against a real stand-in pair."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from denodo_ha.record import Record
from denodo_scheduler.steps.doctor import trial
from support.delivery import WRITES, job, refill, source
from support.pair_fixtures import _no_long_pauses, connect, sync, tamper
from support.sync import Sync, act, states

__all__ = ["_no_long_pauses", "connect", "pair", "sync", "tamper"]

JOBS = (source(), job("first"), job("cached", kind="VDPCache", after="first"), job("sealed", sealed="s"))


@pytest.fixture
def pair(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> Sync:
    """Two servers with the same jobs of two types, of whose slave nothing is known. A doctor's pauses take no time."""
    for server in sync.servers.servers:
        refill(server, *JOBS)
    act(sync.slave, "disable", *states(sync.slave))
    sync.rest = True
    master, slave = sync.prepared().servers.addresses
    sync.records.save(Record(master=master, slave=slave))
    monkeypatch.setattr(trial, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr("support.delivery.WRITES", (*WRITES, "delete_project", "delete_jobs"))
    return sync
