"""A pair that requires its master to be fenced, and hooks that do not do what they should."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

import pytest

from denodo_ha.record import Phase
from denodo_scheduler.steps.claim import LEASE
from denodo_scheduler.steps.outcome import Blocked
from support.failover import Failover
from support.sync import enabled, untouched

HOOK = {"fence": "site_hooks.fence", "fence_timeout": "1m"}


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the site, with a function ``fence`` whose doings a test chooses."""
    module = ModuleType("site_hooks")
    module.calls = []  # type: ignore[attr-defined]
    module.does = lambda: True  # type: ignore[attr-defined]

    def fence(*, pair: str, master: str, reason: str) -> Any:
        module.calls.append((pair, master, reason))
        return module.does()

    module.fence = fence  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "site_hooks", module)
    return module


def _raises() -> bool:
    raise OSError("no route to the power switch, password hunter2")


@pytest.mark.parametrize(
    ("does", "how"),
    [
        (lambda: False, "returned False"),
        (lambda: 1, "returned 1"),
        (lambda: None, "returned None"),
        (_raises, "raised OSError"),
    ],
    ids=["False", "another truth", "nothing", "raises"],
)
def test_where_fencing_is_required_a_fence_that_fails_ends_the_failover(
    failover: Failover, hook: Any, does: Any, how: str
) -> None:
    hook.does = does
    failover.silence()
    out = failover.run(pair={"fencing": "required", **HOOK}, reason="night shift")
    assert isinstance(out.error, Blocked)
    assert out.code == "not_fenced"
    assert f"the fence is failed: site_hooks.fence {how}" in str(out.error)
    assert "hunter2" not in str(out.error)
    assert hook.calls == [("test", "denodo_scheduler_master", "night shift")]
    assert (failover.record.phase, failover.record.operation, failover.record.epoch) == (Phase.NORMAL, None, 2)
    assert failover.story == ["failover_begun", "failover_given_up"]
    failover.wake()
    assert not enabled(failover.slave)


def test_a_hook_that_hangs_counts_as_failed(failover: Failover, hook: Any) -> None:
    over = threading.Event()
    hook.does = over.wait
    failover.silence()
    out = failover.run(pair={"fencing": "required", **HOOK, "fence_timeout": "1s"})
    over.set()
    assert out.code == "not_fenced"
    assert "did not return in time (fence_timeout)" in str(out.error)
    failover.wake()
    assert not enabled(failover.slave)


def test_a_confirmed_fence_lets_the_failover_go_on_and_is_told(failover: Failover, hook: Any) -> None:
    failover.silence()
    event = failover.run(pair={"fencing": "required", **HOOK}).done
    assert event["fencing"] == {"result": "confirmed", "how": "by site_hooks.fence"}
    assert len(hook.calls) == 1
    assert len(enabled(failover.slave)) == 9


def test_a_person_who_has_fenced_the_master_is_believed_and_the_hook_not_called(failover: Failover, hook: Any) -> None:
    failover.silence()
    event = failover.run(pair={"fencing": "required", **HOOK}, fenced=True, actor="ana", reason="unplugged").done
    assert event["fencing"] == {"result": "confirmed", "how": "by the word of ana"}
    assert not hook.calls


@pytest.mark.parametrize(
    ("options", "result"), [(HOOK, "failed"), ({"fence": "no_such.hook"}, "failed"), ({}, "unconfirmed")]
)
def test_by_best_effort_the_failover_goes_on_and_says_that_the_master_may_live(
    failover: Failover, hook: Any, options: dict[str, Any], result: str
) -> None:
    hook.does = lambda: False
    failover.silence()
    assert failover.run(pair=options).done["fencing"]["result"] == result
    assert len(enabled(failover.slave)) == 9


def test_a_hook_may_take_longer_than_the_lease(failover: Failover, hook: Any) -> None:
    """Nobody takes the failover over meanwhile."""
    options = {**HOOK, "fence_timeout": "10m"}

    def slow() -> bool:
        failover.sync.passed += 2 * LEASE
        with untouched(failover.slave):
            assert failover.run(evidence=failover.seen(), pair=options).code == "operation_open"
        return True

    hook.does = slow
    failover.silence()
    assert failover.run(pair=options).done["fencing"]["result"] == "confirmed"


def test_a_resumed_failover_is_fenced_again(failover: Failover, hook: Any) -> None:
    """Whether the dead worker's fence held nobody knows. What is enabled stays so although it fails now."""

    def look(number: int) -> None:
        if number == 2:
            failover.slave.webtool.faults({"kind": "cut_before"})

    options = {"fencing": "required", **HOOK}
    failover.silence()
    assert failover.run(at_look=look, pair=options).code == "interrupted"
    failover.silence()
    failover.sync.passed += LEASE
    hook.does = lambda: False
    out = failover.run(evidence=failover.seen(), pair=options)
    assert (out.judgement.decision.code, out.code, len(hook.calls)) == ("resume", "not_fenced", 2)
    assert (failover.record.phase, len(enabled(failover.slave))) == (Phase.FAILING_OVER, 2)
    assert failover.run(evidence=failover.seen(), pair=options, fenced=True, reason="unplugged").code == "resume"
    assert len(enabled(failover.slave)) == 9
