"""What the readiness check says of a pair: for each thing a pair that lacks it, and one that has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from denodo_ha.readiness.findings import Readiness
from denodo_ha.status import Level
from denodo_ha.watching import Watching
from denodo_scheduler.steps.check import check
from support.sync import Sync, untouched

Connect = Callable[..., None]


def checked(sync: Sync, looked: str = "", **pair: Any) -> Readiness:
    """Check the pair, and see that neither server was changed."""
    context = sync.prepared(pair=pair, reason="a test")
    seen = Watching(at=looked or context.now().isoformat())
    with untouched(sync.master, sync.slave):
        return check(context, seen)


def levels(found: Readiness) -> dict[str, Level]:
    return {each.code: each.level for each in found.findings}


def said(found: Readiness, code: str) -> str:
    return next(str(each) for each in found.findings if each.code == code)


OK, WARNING, CRITICAL, UNKNOWN = Level.OK, Level.WARNING, Level.CRITICAL, Level.UNKNOWN


@pytest.fixture
def synced(sync: Sync) -> Sync:
    sync.synced()
    return sync


def test_a_pair_that_was_synced_is_ready_as_far_as_can_be_told(synced: Sync) -> None:
    found = checked(synced, master_timezone="UTC", slave_timezone="UTC")
    assert not [line for line in found.lines if line.startswith("CRITICAL")]
    assert {code for code, level in levels(found).items() if level is not OK} == set()
