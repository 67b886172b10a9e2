"""How old, how long, what was not run meanwhile, what is run at once, and what must not be run again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from denodo_scheduler.exceptions import RequestError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps import jobs as enabling
from denodo_scheduler.steps.claim import LEASE
from support.failover import Failover, killed
from support.sync import Books, add_job, enabled

HOURLY = "default / hourly"
DUE = "2026-03-02T06:08:00+00:00"
"""When it is due: a minute after the clocks' start, whatever the time zone."""
RECORDS = {"misfire": "record"}
"""A server that does not run late what is overdue by more than a minute."""


@pytest.fixture
def pair(unsynced: Failover) -> Failover:
    """In step; one job is due soon."""
    add_job(unsynced.master, "default", "hourly", "0 8 * * * ?")
    add_job(unsynced.master, "default", "hourly, disabled", "0 8 * * * ?", disabled=True)
    unsynced.sync.synced()
    unsynced.sync.publish()
    unsynced.silence()
    return unsynced


def ran(books: Books) -> list[str]:
    return [f"{entry['project']} / {entry['job']}" for entry in books.journal]


def test_age_of_the_snapshot_and_length_of_the_outage(failover: Failover) -> None:
    """Both count from the master's last sign of life, or from the first failed look if there was none."""
    back = failover.from_here()
    for heard, lost, out in ((timedelta(seconds=90), 600 - 90, 90), (None, 600 - 3, 3)):
        failover.silence()
        failover.sync.passed += timedelta(minutes=10)
        event = failover.run(evidence=failover.seen(heard=heard)).done
        assert (event["rpo_seconds"], event["rto_seconds"]) == (lost, out)
        back()


def test_an_occurrence_that_runs_late_is_in_the_burst_only(pair: Failover) -> None:
    """By Quartz's default an overdue trigger fires as soon as it is resumed: the burst (F26)."""
    slave = Books(pair.slave)
    pair.dead_for(minutes=3)
    event = pair.run(evidence=pair.seen(heard=timedelta(minutes=2, seconds=30))).done
    assert event["missed"] == {"occurrences": 0, "listed": [], "time_zone": "Europe/Madrid"}
    assert ran(slave) == [HOURLY]
    assert event["burst"] == {"jobs": 1, "names": [HOURLY]}
    assert event["caught_up"] == {"jobs": 0, "names": []}


def test_what_the_master_ran_before_it_died_was_not_missed(pair: Failover) -> None:
    pair.dead_for(minutes=3)
    event = pair.run(evidence=pair.seen(heard=timedelta(seconds=30))).done
    assert event["missed"]["occurrences"] == 0


@pytest.mark.parametrize(
    ("options", "started"),
    [
        ({}, []),
        ({"catch_up": "start_missed"}, [HOURLY]),
        ({"catch_up": "start_missed", "catch_up_jobs": ["something else"]}, []),
    ],
    ids=["none", "start missed", "start some"],
)
def test_missed_jobs_are_started_where_the_pair_wants_it(
    pair: Failover, options: dict[str, Any], started: list[str]
) -> None:
    pair.slave.scheduler.guesses(**RECORDS)
    slave = Books(pair.slave)
    pair.dead_for(minutes=3)
    event = pair.run(evidence=pair.seen(heard=timedelta(minutes=2, seconds=30)), pair=options).done
    assert event["missed"]["listed"] == [{"job": HOURLY, "at": DUE}]
    assert event["burst"]["jobs"] == 0
    assert event["caught_up"]["names"] == ran(slave) == started


def test_only_what_was_read_back_counts_as_started(unsynced: Failover, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server refuses to start the jobs of one project."""
    for project in ("default", "Sales", "another"):
        add_job(unsynced.master, project, "hourly", "0 8 * * * ?")
    unsynced.sync.synced()
    unsynced.slave.scheduler.guesses(**RECORDS)
    slave, change = Books(unsynced.slave), DenodoSchedulerHook.set_jobs_status

    def refused(hook: Any, action: Any, keys: Any, **known: Any) -> int:
        if action == "start" and keys[0].project == "another":
            raise RequestError("500: the server refused the request")
        return change(hook, action, keys, **known)

    monkeypatch.setattr(DenodoSchedulerHook, "set_jobs_status", refused)
    unsynced.silence()
    unsynced.dead_for(minutes=3)
    heard = unsynced.seen(heard=timedelta(minutes=2, seconds=30))
    event = unsynced.run(evidence=heard, pair={"catch_up": "start_missed"}).done
    assert sorted(ran(slave)) == sorted(event["caught_up"]["names"]) == ["Sales / hourly", "default / hourly"]
    assert event["not_caught_up"]["names"] == ["another / hourly"]


# -- enabled later than the others


def refusing(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """From now on no request enables these jobs."""
    change = _SEND

    def refused(hook: Any, action: Any, keys: Any, **known: Any) -> int:
        if action == "enable" and {str(key) for key in keys}.intersection(names):
            raise RequestError("500: the server refused the request")
        return change(hook, action, keys, **known)

    monkeypatch.setattr(DenodoSchedulerHook, "set_jobs_status", refused)


_SEND = DenodoSchedulerHook.set_jobs_status
CATCH_UP = {"catch_up": "start_missed", "enable_batch": 20}


@pytest.mark.parametrize("known", [True, False], ids=["", "promoted by a version that did not keep when it was heard"])
def test_a_job_that_is_enabled_after_the_failover_is_started_for_what_it_missed_before(
    pair: Failover, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Its only time lies between the master's end and the promotion."""
    pair.slave.scheduler.guesses(**RECORDS)
    slave = Books(pair.slave)
    pair.dead_for(minutes=3)
    refusing(monkeypatch, HOURLY)
    event = pair.run(evidence=pair.seen(heard=timedelta(minutes=2, seconds=30)), pair=CATCH_UP).done
    assert event["failed"]["names"] == [HOURLY]
    assert event["missed"]["listed"] == [{"job": HOURLY, "at": DUE}]
    assert event["caught_up"]["jobs"] == event["not_caught_up"]["jobs"] == 0
    if not known:
        promotion = pair.record.last_promotion
        assert promotion
        pair.change(last_promotion=promotion.model_copy(update={"heard": None}))
    pair.dead_for(minutes=30)
    refusing(monkeypatch)
    event = pair.run(evidence=pair.seen(heard=None), pair=CATCH_UP).done
    assert (event["kind"], event["after"], event["enabled"]) == ("completed", {"complete": True}, 1)
    assert event["missed"]["listed"] == ([{"job": HOURLY, "at": DUE}] if known else [])
    assert event["caught_up"]["names"] == [each for each in ran(slave) if each == HOURLY] == [HOURLY] * known


def test_a_job_does_not_wait_for_others_that_cannot_be_enabled(
    unsynced: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look enables what it can, and does at once what it has to do for that."""
    add_job(unsynced.master, "Sales", "hourly", "0 8 * * * ?")
    add_job(unsynced.master, "default", "hourly", "0 8 * * * ?")
    unsynced.sync.synced()
    unsynced.slave.scheduler.guesses(**RECORDS)
    slave, both = Books(unsynced.slave), {HOURLY, "Sales / hourly"}
    unsynced.silence()
    unsynced.dead_for(minutes=3)
    refusing(monkeypatch, *both)
    unsynced.run(evidence=unsynced.seen(heard=timedelta(minutes=2, seconds=30)), pair=CATCH_UP)
    story = [*unsynced.story]
    for names, told in (([*both], 0), (["Sales / hourly"], 1), (["Sales / hourly"], 1)):
        unsynced.dead_for(minutes=1)
        refusing(monkeypatch, *names)
        out = unsynced.run(evidence=unsynced.seen(heard=None), pair=CATCH_UP)
        assert (out.code, f"{len(names)} jobs could not be enabled" in str(out.error)) == ("not_enabled", True)
        assert unsynced.story == story + ["completed"] * told
        assert sorted(both.intersection(ran(slave))) == [HOURLY] * told
    part = unsynced.record.outbox[-1]
    assert (part["after"], part["enabled"], part["failed"]["names"]) == ({"complete": False}, 1, ["Sales / hourly"])
    assert part["caught_up"]["names"] == [HOURLY]
    unsynced.dead_for(minutes=1)
    refusing(monkeypatch)
    event = unsynced.run(evidence=unsynced.seen(heard=None), pair=CATCH_UP).done
    assert event["after"] == {"complete": True}
    assert event["caught_up"]["names"] == ["Sales / hourly"]
    assert sorted(each for each in ran(slave) if each in both) == sorted(both)


def enabled_while_another_waits(unsynced: Failover, monkeypatch: pytest.MonkeyPatch, runs: float = 0) -> dict[str, Any]:
    """A job is enabled at 06:09:30 that is due at 06:08 and 06:10. Another one has to wait until 06:10:12.

    :param runs: how long each run lasts, in seconds.
    """
    add_job(unsynced.master, "default", "hourly", "0 8,10 * * * ?")
    add_job(unsynced.master, "default", "waits", "10 9 * * * ?")
    unsynced.sync.synced()
    unsynced.slave.scheduler.duration(runs)
    unsynced.silence()
    sleeping(unsynced, monkeypatch)
    unsynced.dead_for(minutes=2, seconds=30)
    evidence = unsynced.seen(heard=timedelta(minutes=2))
    evidence = replace(evidence, since=evidence.decided - timedelta(seconds=15))
    return unsynced.run(evidence=evidence, pair=CATCH_UP).done


def triggers(slave: Books) -> list[str]:
    return sorted(entry["trigger"] for entry in slave.journal if entry["job"] == "hourly")


def lost(event: dict[str, Any]) -> list[str]:
    return [each["at"] for each in event["missed"]["listed"] if each["job"] == HOURLY]


def test_a_job_that_ran_on_time_while_others_waited_has_missed_what_was_due_before(
    unsynced: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsynced.slave.scheduler.guesses(**RECORDS)
    slave = Books(unsynced.slave)
    event = enabled_while_another_waits(unsynced, monkeypatch)
    assert triggers(slave) == ["cron", "manual"]
    assert lost(event) == [DUE]
    assert HOURLY not in event["burst"]["names"]
    assert HOURLY in event["caught_up"]["names"]


def test_a_job_that_ran_at_once_and_then_on_time_has_missed_nothing(
    unsynced: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last run alone does not tell that."""
    slave = Books(unsynced.slave)
    event = enabled_while_another_waits(unsynced, monkeypatch)
    assert triggers(slave) == ["cron", "misfire"]
    assert lost(event) == []
    assert HOURLY in event["burst"]["names"]
    assert HOURLY not in event["caught_up"]["names"]


def test_a_job_that_runs_on_time_is_not_told_as_started(unsynced: Failover, monkeypatch: pytest.MonkeyPatch) -> None:
    unsynced.slave.scheduler.guesses(**RECORDS)
    slave = Books(unsynced.slave)
    event = enabled_while_another_waits(unsynced, monkeypatch, runs=7200)
    assert triggers(slave) == ["cron"]
    assert lost(event) == [DUE]
    assert HOURLY in event["not_caught_up"]["names"]
    assert HOURLY not in event["caught_up"]["names"]


# -- once


def test_what_runs_late_by_itself_is_not_started_besides(pair: Failover) -> None:
    slave = Books(pair.slave)
    pair.dead_for(minutes=3)
    pair.run(evidence=pair.seen(heard=timedelta(minutes=2, seconds=30)), pair={"catch_up": "start_missed"})
    assert ran(slave) == [HOURLY]


def test_a_worker_killed_after_it_started_what_was_missed_leaves_nothing_to_be_started_again(
    pair: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.slave.scheduler.guesses(**RECORDS)
    slave, watch = Books(pair.slave), {"probe_interval": "1m", "watch_for": "5m"}
    options = {"catch_up": "start_missed", "enable_batch": 20, **watch}
    pair.dead_for(minutes=3)
    seen = pair.seen(heard=timedelta(minutes=2, seconds=30))
    point = 0
    back = pair.from_here()
    while ran(slave) != [HOURLY]:
        back()
        pair.silence()
        assert killed(lambda: pair.run(evidence=seen, pair=options), monkeypatch, point)
        point += 1
    assert pair.story == ["failover_begun"]
    pair.dead_for(seconds=LEASE.total_seconds())
    event = pair.run(evidence=pair.seen(heard=None), pair=options).done
    assert ran(slave) == [HOURLY]
    assert event["missed"]["listed"] == [], "it has run since it was enabled"
    assert event["burst"]["names"] == [HOURLY], "this run has never heard the master"
    assert event["caught_up"]["jobs"] == 0


def test_what_ran_between_a_dead_worker_and_the_run_that_resumes_was_not_missed(
    pair: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    slave, options = Books(pair.slave), {"enable_batch": 20}
    seen = pair.seen(heard=timedelta(seconds=5))
    back = pair.from_here()
    for point in range(4, 20):
        back()
        pair.silence()
        assert killed(lambda: pair.run(evidence=seen, pair=options), monkeypatch, point)
        pair.wake()
        if len(enabled(pair.slave)) == 10:
            break
    pair.silence()
    pair.dead_for(seconds=LEASE.total_seconds())
    event = pair.run(evidence=pair.seen(heard=None), pair=options).done
    assert ran(slave) == [HOURLY]
    assert event["missed"]["occurrences"] == 0
    assert event["rto_seconds"] >= LEASE.total_seconds()


# -- not twice


def sleeping(pair: Failover, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        pair.dead_for(seconds=seconds)

    monkeypatch.setattr(enabling.time, "sleep", sleep)


@pytest.mark.parametrize(
    ("heard", "runs", "waits"),
    [(10, [], True), (30, [HOURLY], False)],
    ids=["the master was heard after the job was due", "it was not"],
)
def test_a_job_that_the_master_may_have_run_just_now_is_not_run_again(
    pair: Failover, monkeypatch: pytest.MonkeyPatch, heard: int, runs: list[str], waits: bool
) -> None:
    """20 seconds after it was due the slave would run it as if it were on time; the other jobs do not wait for it."""
    sleeping(pair, monkeypatch)
    pair.slave.scheduler.guesses(**RECORDS)
    slave = Books(pair.slave)
    pair.dead_for(minutes=1, seconds=20)
    began = pair.sync.now()
    evidence = pair.seen(heard=timedelta(seconds=heard))
    assert evidence.last_alive
    pair.run(evidence=replace(evidence, since=evidence.last_alive + timedelta(seconds=1)))
    assert ran(slave) == runs
    late = {f"{entry['project']} / {entry['job']}" for entry in slave.audit if at(entry) > began}
    assert late == ({HOURLY} if waits else set())
    pair.wake()
    assert enabled(pair.slave) == enabled(pair.master)


def at(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["at"])


def test_a_failover_that_waits_keeps_its_lease_and_stops_waiting_for_a_master_that_is_back(
    pair: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.slave.scheduler.guesses(**RECORDS)
    pair.dead_for(minutes=1, seconds=20)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        pair.dead_for(seconds=seconds)
        slept.append(seconds)
        if len(slept) == 2:
            assert pair.record.operation
            assert pair.record.operation.lease_until > pair.sync.now() + LEASE - timedelta(seconds=10)
            pair.wake()

    monkeypatch.setattr(enabling.time, "sleep", sleep)
    event = pair.run(evidence=pair.seen(heard=timedelta(seconds=10))).done
    assert event["quenched"] == 10
    assert sum(slept) >= 40
    assert not enabled(pair.master)
