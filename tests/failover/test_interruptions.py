"""Workers that die, sleep or come too late, runs side by side, servers that fail midway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from denodo_ha.decisions import Action
from denodo_ha.record import Phase, Role, Step
from denodo_scheduler.exceptions import RequestError, UnreachableError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RECORD_KEY
from denodo_scheduler.steps.claim import LEASE
from denodo_scheduler.steps.promote import failover as failing_over
from support.failover import Changes, Failover, Outcome, killed, silenced
from support.sync import Books, act, enabled, status_of, untouched

FEWEST = 9
"""Changes that a failover of 9 jobs makes at least: claim, record and requests of three batches, commit."""


def failed_over(failover: Failover, wanted: set[str]) -> None:
    """All that matters was found in order."""
    record, mirror = failover.record, failover.sync.state.get(RECORD_KEY)
    assert enabled(failover.slave) == wanted
    assert (record.phase, record.active, record.operation) == (Phase.FAILED_OVER, Role.SLAVE, None)
    assert record.last_promotion
    assert record.last_promotion.complete
    assert mirror == record.to_json()
    assert failover.story.count("failover") == 1


@contextmanager
def unchanged(failover: Failover) -> Iterator[None]:
    """Nothing in the block may change the record."""
    before = dict(failover.sync.state.values)
    yield
    assert failover.sync.state.values == before


# -- a worker dies


def test_whatever_a_killed_worker_left_another_run_brings_to_its_end(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each write and each request, which is after the one before."""
    wanted, back = enabled(failover.master), failover.from_here()
    failover.silence()
    point = 0
    while killed(lambda: failover.run(evidence=failover.seen()), monkeypatch, point):
        operation = failover.record.operation
        if operation:
            with untouched(failover.slave):
                assert failover.run(evidence=failover.seen()).code == "operation_open"
            failover.sync.passed += LEASE
            assert failover.run(evidence=failover.seen()).code == "resume"
        else:
            failover.run(evidence=failover.seen())
        failed_over(failover, wanted)
        assert failover.record.epoch == (3 if operation else 2)
        back()
        failover.silence()
        point += 1
    assert point >= FEWEST
    failed_over(failover, wanted)


def test_a_retry_waits_for_the_lease_of_a_killed_try_and_not_for_that_of_one_that_failed(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The killed one may still be there: a task can be cleared while its worker lives."""
    wanted = enabled(failover.master)
    failover.silence()
    assert killed(lambda: failover.run(run_id="watch-1"), monkeypatch, 5)
    assert failover.run(run_id="watch-1").code == "operation_open"
    failover.sync.passed += LEASE
    with monkeypatch.context() as patch:
        patch.setattr(DenodoSchedulerHook, "set_jobs_status", unreachable)
        assert failover.run(evidence=failover.seen(), run_id="watch-1").code == "interrupted"
    assert failover.run(evidence=failover.seen(), run_id="watch-1").code == "resume"
    failed_over(failover, wanted)


def unreachable(*_: Any, **__: Any) -> int:
    raise UnreachableError("connection refused")


def test_a_failover_that_died_before_its_first_job_needs_fresh_evidence_to_go_on(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow was away for two hours, and its first deed is to try the dead task again (F11)."""
    failover.silence()
    seen = failover.seen()
    assert killed(lambda: failover.run(evidence=seen, run_id="watch-1"), monkeypatch, 2)
    failover.sync.passed += timedelta(hours=2)
    with unchanged(failover), untouched(failover.slave):
        assert failover.again(Action.ENABLE_JOBS, seen, run_id="watch-1").code == "stale_evidence"
    failover.wake()
    assert failover.run().code == "given_up"
    assert failover.run().code == "healthy"


def test_what_a_dead_worker_has_begun_to_enable_goes_on_although_the_master_is_back(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(failover.master)
    failover.silence()
    assert killed(lambda: failover.run(), monkeypatch, 5)
    assert 0 < len(enabled(failover.slave)) < len(wanted)
    failover.wake()
    failover.sync.passed += LEASE
    out = failover.run()
    assert (out.code, out.done["quenched"]) == ("resume", 9)
    assert not enabled(failover.master)
    failed_over(failover, wanted)


# -- a worker sleeps (F19)


def test_a_worker_that_slept_past_its_lease_changes_nothing_when_it_wakes(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps at each of its looks; another run has brought the failover to its end meanwhile."""
    wanted, back = enabled(failover.master), failover.from_here()
    for point in range(4):
        failover.silence()
        found: list[Any] = []

        def sleep(number: int) -> None:
            if number == point:  # noqa: B023 - used in this round
                failover.sync.passed += LEASE
                failover.run(evidence=failover.seen())
                found.extend([dict(failover.sync.state.values), Books(failover.slave)])  # noqa: B023

        zombie = failover.run(evidence=failover.seen(), at_look=sleep)
        record, slave = found
        assert zombie.code == "superseded"
        assert failover.sync.state.values == record
        slave.assert_untouched()
        failed_over(failover, wanted)
        back()


def test_a_worker_that_wakes_while_another_one_is_at_its_work_leaves_it_to_that_one(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(failover.master)

    def sleep(number: int) -> None:
        if number == 2:
            failover.sync.passed += LEASE
            assert killed(lambda: failover.run(evidence=failover.seen()), monkeypatch, 2)

    failover.silence()
    out = failover.run(at_look=sleep)
    assert out.code == "superseded"
    assert len(enabled(failover.slave)) == 2
    failover.sync.passed += LEASE
    assert failover.run(evidence=failover.seen()).code == "resume"
    failed_over(failover, wanted)


def test_a_worker_that_slept_past_its_lease_stops_although_nobody_took_over(failover: Failover) -> None:
    wanted = enabled(failover.master)

    def sleep(number: int) -> None:
        if number == 2:
            failover.sync.passed += LEASE

    failover.silence()
    assert failover.run(at_look=sleep).code == "lease_over"
    assert len(enabled(failover.slave)) == 2
    assert failover.run(evidence=failover.seen()).code == "resume"
    failed_over(failover, wanted)


# -- two runs, and an old one (F17)


@pytest.mark.parametrize(
    ("moment", "code"),
    [("between decision and action", "overtaken"), ("before the claim", "superseded"), ("at the claim", "superseded")],
)
def test_two_runs_at_once_fail_over_once(
    failover: Failover, monkeypatch: pytest.MonkeyPatch, moment: str, code: str
) -> None:
    """At the claim itself nothing can be seen of the other run, but only one of them can save it."""
    wanted, others, began = enabled(failover.master), list[Outcome](), list[bool]()

    def other() -> None:
        if not began:
            began.append(True)
            others.append(failover.run(evidence=failover.seen()))

    manifest = failing_over.manifest_of

    def read(*args: Any) -> Any:
        other()
        return manifest(*args)

    slave = Books(failover.slave)
    with failover.silent_master(), monkeypatch.context() as patch:
        if moment == "before the claim":
            patch.setattr(failing_over, "manifest_of", read)
        if moment == "at the claim":
            Changes(patch, 0, other)
        out = failover.run(before=other if code == "overtaken" else None)
    assert (out.code, others[0].code) == (code, "fail_over")
    failed_over(failover, wanted)
    assert failover.record.epoch == 2
    assert len(slave.audit) == 9


def test_the_task_of_a_run_of_last_week_changes_nothing(failover: Failover) -> None:
    """Its consents are still with it."""
    seen, asked = failover.seen(), {"accept_old_snapshot": True, "fail_over": True, "run_id": "old"}
    with failover.silent_master():
        failover.run(evidence=seen, **asked)
    failover.sync.passed += timedelta(days=7)
    with unchanged(failover), untouched(failover.master, failover.slave):
        assert failover.again(Action.ENABLE_JOBS, seen, **asked).code == "overtaken"
    act(failover.slave, "disable", *enabled(failover.slave))
    failover.change(phase=Phase.NORMAL, active=Role.MASTER, epoch=3, acknowledged=True)
    with unchanged(failover), failover.silent_master(), untouched(failover.slave):
        assert failover.again(Action.ENABLE_JOBS, seen, **asked).code == "stale_evidence"
        for action in (Action.QUENCH_MASTER, Action.REPAIR_SLAVE, Action.BLOCKED):
            assert failover.again(action, seen, **asked).code == "overtaken"


# -- the slave fails (F10, F15)


def test_a_slave_that_dies_midway_is_taken_up_where_it_was_left(failover: Failover) -> None:
    wanted = enabled(failover.master)

    def look(number: int) -> None:
        if number == 2:
            failover.slave.scheduler.kill()

    failover.silence()
    out = failover.run(at_look=look, run_id="watch-1")
    assert out.code == "interrupted"
    assert "repair the slave, or the way to it; it is resumed by itself" in str(out.error)
    assert failover.run(evidence=failover.seen(), run_id="watch-1").code == "interrupted"
    assert failover.record.phase is Phase.FAILING_OVER
    assert failover.story[-1] == "failover_begun", "it does not say that it has ended"
    failover.slave.scheduler.start()
    assert len(enabled(failover.slave)) == 2
    failover.sync.passed += LEASE
    assert failover.run(evidence=failover.seen()).done["enabled"] == 9
    failed_over(failover, wanted)


@pytest.mark.parametrize("action", ["pause", "halt"])
def test_stopped_by_a_person_in_the_middle_it_goes_on_when_that_person_lets_it(failover: Failover, action: str) -> None:
    wanted = enabled(failover.master)
    stop = {
        "pause": {"paused": {"since": "2026-03-01T00:00:00Z", "reason": "upgrade"}},
        "halt": {
            "phase": "halted",
            "halted": {
                "since": "2026-03-01T00:00:00Z",
                "code": "by_hand",
                "reason": "wait",
                "by": "ana",
                "phase": "failing_over",
            },
        },
    }[action]
    code = {"pause": "paused_midway", "halt": "halted"}[action]

    def look(number: int) -> None:
        if number == 2:
            failover.sync.tamper({**failover.record.to_json(), **stop})

    failover.silence()
    assert failover.run(at_look=look).code == code
    assert len(enabled(failover.slave)) == 2
    failover.sync.passed += LEASE
    with untouched(failover.slave):
        assert failover.run(evidence=failover.seen()).code == code
    assert failover.record.operation
    assert failover.record.operation.step is Step.ENABLING
    failover.change(phase=Phase.FAILING_OVER, halted=None, paused=None)
    assert failover.run(evidence=failover.seen()).code == "resume"
    failed_over(failover, wanted)


def test_jobs_that_cannot_be_enabled_leave_the_failover_incomplete_until_they_are(failover: Failover) -> None:
    wanted = enabled(failover.master)
    project = sorted(wanted)[0].split(" / ")[0]
    theirs = {name for name in wanted if name.startswith(f"{project} / ")}
    path = f"projects/{status_of(failover.slave, min(theirs))['projectID']}/jobs/status"
    silenced(failover, {"kind": "status", "status": 500, "match": {"method": "PUT", "path": path}})
    event = failover.run().done
    assert not event["after"]["complete"]
    assert event["failed"] == {"jobs": len(theirs), "names": sorted(theirs)}
    assert (event["enabled"], enabled(failover.slave)) == (9 - len(theirs), wanted - theirs)
    assert failover.record.active is Role.SLAVE
    out = failover.run()
    assert (out.judgement.decision.code, out.code) == ("complete", "not_enabled")
    assert f"{len(theirs)} jobs could not be enabled" in str(out.error)
    assert failover.record.last_promotion
    assert not failover.record.last_promotion.complete
    failover.silence()
    assert failover.run().done["kind"] == "completed"
    failed_over(failover, wanted)
    assert failover.run().code == "failed_over"


def test_one_job_that_refuses_does_not_hold_up_the_others_of_its_batch(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused is tried again in smaller batches, down to one by one."""
    wanted = enabled(failover.master)
    name = sorted(wanted)[0]
    send = DenodoSchedulerHook.set_jobs_status

    def refusing_one(hook: DenodoSchedulerHook, action: Any, keys: Any, **rest: Any) -> int:
        if action == "enable" and any(str(key) == name for key in keys):
            raise RequestError("500")
        return send(hook, action, keys, **rest)

    monkeypatch.setattr(DenodoSchedulerHook, "set_jobs_status", refusing_one)
    with failover.silent_master():
        event = failover.run(pair={"enable_batch": 20}).done
    assert event["failed"] == {"jobs": 1, "names": [name]}
    assert enabled(failover.slave) == wanted - {name}


def test_a_job_that_a_person_disables_after_a_complete_failover_stays_disabled(failover: Failover) -> None:
    """From the commit on the slave is the truth."""
    failover.silence()
    failover.run()
    act(failover.slave, "disable", sorted(enabled(failover.slave))[0])
    with untouched(failover.slave):
        assert failover.run().code == "failed_over"
    assert len(enabled(failover.slave)) == 8
