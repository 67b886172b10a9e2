"""A task that is stopped between what it has read and what it writes undoes nothing of what others did meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from denodo_ha.record import Phase, Role
from support.failover import Changes, Failover
from support.sync import add_job, enabled


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    """One of its own, which may be undone."""
    with pytest.MonkeyPatch.context() as made:
        yield made


def test_a_sync_that_sleeps_before_any_of_its_changes_undoes_no_failover(
    failover: Failover, patch: pytest.MonkeyPatch
) -> None:
    """The sync sleeps before each of its saves and requests in turn, and the master dies for good meanwhile."""
    wanted = enabled(failover.master)
    add_job(failover.master, "sales", "new")
    back = failover.from_here()
    codes = []

    def takes_over() -> None:
        patch.undo()
        failover.silence()
        failover.sync.passed += failover.pair().sync.lease
        codes.append(failover.run(evidence=failover.seen()).code)

    for point in range(100):
        before = len(codes)
        Changes(patch, point, takes_over)
        run = failover.sync.run(master_changes=True)
        patch.undo()
        if len(codes) == before:
            break
        if codes[-1] == "fail_over":
            new = {"Sales / new"} if run.committed else set()  # it had committed before it slept
            assert enabled(failover.slave) == wanted | new, f"change {point}"
            assert (failover.record.phase, failover.record.active) == (Phase.FAILED_OVER, Role.SLAVE), f"change {point}"
            assert failover.record.epoch == 2
        back()
        failover.silence()
        failover.wake()
    assert run.committed
    assert codes.count("fail_over") >= 2, codes


def test_a_failover_that_sleeps_before_any_of_its_changes_undoes_no_other_one(
    failover: Failover, patch: pytest.MonkeyPatch
) -> None:
    """Another run brings the failover to its end meanwhile, and the sleeper changes nothing any more."""
    wanted, back = enabled(failover.master), failover.from_here()
    ends = []

    def takes_over() -> None:
        patch.undo()
        failover.sync.passed += timedelta(minutes=10)
        ends.append(failover.run(evidence=failover.seen()).code)
        ends[-1] = (ends[-1], failover.record.version)

    failover.silence()
    for point in range(100):
        before = len(ends)
        Changes(patch, point, takes_over)
        failover.run(evidence=failover.seen())
        patch.undo()
        record = failover.record
        assert enabled(failover.slave) == wanted
        assert (record.phase, record.active, record.operation) == (Phase.FAILED_OVER, Role.SLAVE, None)
        assert failover.story.count("failover") == 1
        if len(ends) == before:
            break
        assert record.version == ends[-1][1], f"the sleeper saved the record at change {point}"
        back()
        failover.silence()
    assert point > 5
