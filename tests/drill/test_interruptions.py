"""Workers of a drill that die, and failovers that become due in the midst of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from denodo_ha.record import Phase, Role
from denodo_ha.watching import PASSIVE_INTERVAL
from denodo_scheduler.steps.claim import LEASE
from denodo_scheduler.steps.outcome import Blocked, NothingToDo
from denodo_scheduler.steps.promote import failover as failing_over
from support.drill import DrilledPair, at_rest, runs, switched
from support.failover import killed
from support.sync import Books, WorkerKilled, edit, enabled, kill_the_worker, status_of

ONE = {"drill": ["ping 1"]}


def by_retry(pair: DrilledPair) -> None:
    assert pair.drill(run_id="r", pair=ONE)["ok"]


def by_next_drill(pair: DrilledPair) -> None:
    if pair.record.operation:
        with pytest.raises(Blocked, match="operation_open"):
            pair.drill(pair=ONE)
    pair.failover.sync.passed += LEASE
    assert pair.drill(pair=ONE)["ok"]


def by_sync(pair: DrilledPair) -> None:
    pair.failover.sync.passed += LEASE
    pair.failover.sync.synced()


def by_look(pair: DrilledPair) -> None:
    drilled = pair.record.operation
    assert pair.failover.run(evidence=None).code == ("healthy" if not in_disabling(pair) else "operation_open")
    pair.failover.sync.passed += LEASE
    assert pair.failover.run().code == ("drill_interrupted" if drilled else "healthy")


def in_disabling(pair: DrilledPair) -> bool:
    operation = pair.record.operation
    return operation is not None and operation.step == "disabling"


@pytest.mark.parametrize("come", [by_retry, by_next_drill, by_sync, by_look])
def test_whoever_comes_first_leaves_the_slave_at_rest(
    pair: DrilledPair, monkeypatch: pytest.MonkeyPatch, come: Callable[[DrilledPair], None]
) -> None:
    """Killed before each write of the record and each request, which is after the one before."""
    point, left_enabled, back = 0, 0, pair.failover.from_here()
    while killed(lambda: pair.drill(run_id="r", pair=ONE), monkeypatch, point):
        left_enabled += bool(enabled(pair.slave))
        begun, books = pair.record.operation is not None, Books(pair.slave)
        come(pair)
        at_rest(pair)
        assert {job for job, _ in [*runs(books), *switched(books)]} <= {"ping 1"}
        assert {trigger for _, trigger in runs(books)} <= {"manual"}
        if begun and come in (by_sync, by_look, by_next_drill):
            interrupted = pair.told[0]
            assert (interrupted["code"], interrupted["alert"], interrupted["ok"]) == (
                "drill_interrupted",
                "drill",
                False,
            )
        back()
        pair.slave.scheduler.clock(advance_seconds=60)
        point += 1
    assert point >= 8
    assert left_enabled >= 4


def test_a_retry_goes_on_with_the_jobs_that_are_left(pair: DrilledPair) -> None:
    books, killed_at = Books(pair.slave), []

    def die(number: int) -> None:
        if not killed_at and pair.record.drilled.name == "ping 2":
            killed_at.append(number)
            kill_the_worker()

    pair.meanwhile = die
    with pytest.raises(WorkerKilled):
        pair.drill(run_id="r")
    assert enabled(pair.slave) == {"health / ping 2"}
    event = pair.drill(run_id="r")
    at_rest(pair)
    assert [job["code"] for job in event["jobs"]] == ["ran", "ran", "ran"]
    assert [job for job, _ in runs(books)] == ["ping 1", "ping 2", "ping 2", "ping 3"]
    assert [run["result"] for run in books.journal] == ["COMPLETE", "STOPPED", "COMPLETE", "COMPLETE"]


def test_a_retry_after_the_end_drills_nothing_twice_also_in_a_run_that_was_cleared(pair: DrilledPair) -> None:
    books, cleared = Books(pair.slave), None
    for times in (1, 2):
        first = pair.drill(run_id="r", pair=ONE, cleared=cleared)
        again = pair.drill(run_id="r", pair=ONE, cleared=cleared)
        assert again == {"kind": "drill", **pair.record.drill.told()}
        assert again["operation"] == first["operation"]
        assert runs(books) == times * [("ping 1", "manual")]
        pair.failover.dead_for(seconds=1)
        cleared = pair.failover.sync.now()


def test_no_cron_of_it_is_due_before_the_failover_dag_has_cleaned_up(
    pair: DrilledPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies at the end of the run's time. The slave is looked at right before the lease is over, and then
    after the interval of the watch.
    """
    pair.slave.scheduler.duration(10_000)
    limits = {**ONE, "drill_timeout": "1m", "slave_timezone": "UTC"}

    def each_hour_in(minutes: int) -> None:
        fires = pair.failover.sync.now() + timedelta(minutes=minutes)
        trigger = {"type": "cron", "cronExpression": f"{fires.second} {fires.minute} * * * ?"}
        edit(pair.slave, "health / ping 1", triggerSection={"triggers": [trigger]})

    def die(_: int) -> None:
        if pair.failover.sync.now() > begun + timedelta(seconds=50):
            kill_the_worker()

    for minutes in range(1, 9):
        each_hour_in(minutes)
        assert [job["code"] for job in pair.drill(pair=limits)["jobs"]] == ["due"], minutes
    each_hour_in(11)
    books, begun, pair.meanwhile = Books(pair.slave), pair.failover.sync.now(), die
    with pytest.raises(WorkerKilled):
        pair.drill(pair=limits)
    pair.failover.dead_for(seconds=(pair.record.operation.lease_until - pair.failover.sync.now()).total_seconds() - 1)
    assert pair.failover.run().code == "healthy"
    pair.failover.dead_for(seconds=PASSIVE_INTERVAL.total_seconds())
    assert pair.failover.run().code == "drill_interrupted"
    pair.failover.dead_for(minutes=5)
    assert runs(books) == [("ping 1", "manual")]
    at_rest(pair)


# -- a failover that becomes due


def fails_over(pair: DrilledPair, wanted: set[str]) -> None:
    """The failover of the first look is not held up, and enables what was enabled on the master."""
    pair.failover.silence()
    out = pair.failover.run(evidence=pair.failover.seen())
    assert out.code == "fail_over", out.error
    record = pair.record
    assert (record.phase, record.active, record.operation) == (Phase.FAILED_OVER, Role.SLAVE, None)
    assert record.last_promotion.complete
    assert enabled(pair.slave) == wanted


def test_a_failover_during_a_drill_is_neither_held_up_nor_undone(pair: DrilledPair) -> None:
    wanted = enabled(pair.master)
    pair.slave.scheduler.duration(30)
    pair.meanwhile = lambda number: fails_over(pair, wanted) if number == 1 else None
    books = Books(pair.slave)
    with pytest.raises(NothingToDo, match="gave_way"):
        pair.drill()
    assert enabled(pair.slave) == wanted
    assert ("ping 1", "disabled") not in switched(books)
    assert [event["code"] for event in pair.told] == ["gave_way"]
    assert "alert" not in pair.told[0]
    assert (pair.record.drill.code, pair.record.drill.job) == ("gave_way", None)


def test_a_drill_that_notes_something_while_a_failover_begins_does_not_hold_it_up(
    pair: DrilledPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last look at the record and the claim."""
    wanted, read = enabled(pair.master), failing_over.manifest_of
    pair.slave.scheduler.duration(200)

    def noted(*args: Any) -> Any:
        if (operation := pair.record.operation).kind == "drill":
            until = operation.lease_until + timedelta(seconds=5)
            pair.failover.change(operation=operation.model_copy(update={"lease_until": until}))
        return read(*args)

    monkeypatch.setattr(failing_over, "manifest_of", noted)
    pair.meanwhile = lambda number: fails_over(pair, wanted) if number == 5 else None
    with pytest.raises(NothingToDo):
        pair.drill()
    assert enabled(pair.slave) == wanted


def test_a_failover_after_a_drill_that_was_killed_enables_what_it_should(
    pair: DrilledPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits in one case only: while the request that disables the job may still be executed."""
    wanted, back, point, waited = enabled(pair.master), pair.failover.from_here(), 0, 0
    while killed(lambda: pair.drill(run_id="r", pair=ONE), monkeypatch, point):
        if in_disabling(pair):
            waited += 1
            pair.failover.silence()
            assert pair.failover.run(evidence=pair.failover.seen()).code == "operation_open"
            pair.failover.sync.passed += LEASE
        fails_over(pair, wanted)
        with suppress(NothingToDo, Blocked):  # it may have been at its end
            pair.drill(run_id="r", pair=ONE)
        assert enabled(pair.slave) == wanted
        back()
        pair.slave.scheduler.clock(advance_seconds=60)
        point += 1
    assert waited
    assert point >= 8


def test_a_sleeper_that_wakes_after_a_failover_changes_nothing(pair: DrilledPair) -> None:
    wanted = enabled(pair.master)

    def sleep(number: int) -> None:
        if number == 0:
            pair.failover.sync.passed += LEASE
            fails_over(pair, wanted)

    pair.meanwhile = sleep
    pair.slave.scheduler.duration(60)
    with pytest.raises(NothingToDo):
        pair.drill()
    assert enabled(pair.slave) == wanted
    assert status_of(pair.slave, "health / ping 1")["state"] != "DISABLED"
