"""Whether a server is quiet, when it can be, and how that is said to people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.jobs import JobKey, JobState, JobStatus
from denodo_ha.quiet_window import SETTLED, STUCK, Assessment, assess, length, windows
from denodo_ha.text import listed

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WINDOW, MARGIN = timedelta(minutes=5), timedelta(seconds=30)
REACH = WINDOW + MARGIN
RECHECK = timedelta(seconds=10)


def at(**offset: float) -> datetime:
    return NOW + timedelta(**offset)


def status(
    name: str, state: str = "NOT_RUNNING", due: datetime | None = None, began: datetime | None = None
) -> JobStatus:
    return JobStatus(
        job_id=1,
        name=name,
        project_id=1,
        project="sales",
        state=JobState(state),
        next_execution=due,
        previous_execution=began,
    )


def look(*statuses: JobStatus, by_cron: dict[str, datetime | None] | None = None) -> Assessment:
    known = {JobKey(project="sales", name=name): execution for name, execution in (by_cron or {}).items()}
    return assess(statuses, now=NOW, window=WINDOW, margin=MARGIN, by_cron=known)


def test_nothing_scheduled() -> None:
    found = look(status("manual"), status("old", "DISABLED"))
    assert found == Assessment(now=NOW, quiet=True, quiet_until=None, blockers=(), check_again_at=NOW)
    assert str(found) == "quiet, nothing is scheduled"


def test_quiet_until_the_earliest_execution() -> None:
    found = look(status("late", due=at(hours=3)), status("early", due=at(hours=1)), status("manual"))
    assert found.quiet
    assert found.quiet_until == at(hours=1)
    assert str(found) == "quiet until 2026-11-22 13:00:00 UTC"


@pytest.mark.parametrize("state", ["RUNNING", "WAITING", "POLLING", "SOMETHING_NEW"])
def test_a_busy_job_is_in_the_way_and_its_end_is_unknown(state: str) -> None:
    found = look(status("load", state))
    assert not found.quiet
    assert found.check_again_at == NOW + RECHECK
    assert [blocker.state for blocker in found.blockers] == [JobState(state)]
    assert str(found) == (
        f"not quiet: sales / load is {JobState(state)}. A window can begin at 2026-11-22 12:00:10 UTC at the earliest"
    )


@pytest.mark.parametrize("state", ["NOT_RUNNING", "DISABLED", "DRAFT"])
def test_an_idle_job_is_not_in_the_way(state: str) -> None:
    assert look(status("load", state)).quiet


@pytest.mark.parametrize("state", ["DISABLED", "DRAFT"])
def test_the_next_execution_of_a_job_that_cannot_start_does_not_count(state: str) -> None:
    found = look(status("load", state, at(minutes=1)))
    assert found.quiet
    assert found.quiet_until is None


@pytest.mark.parametrize(
    ("due", "quiet"),
    [
        pytest.param(NOW - timedelta(seconds=1), False, id="overdue: it starts any moment"),
        pytest.param(NOW, False, id="now"),
        pytest.param(NOW + WINDOW, False, id="end of the window"),
        pytest.param(NOW + REACH, False, id="end of the margin"),
        pytest.param(NOW + REACH + timedelta(seconds=1), True, id="after the margin"),
    ],
)
def test_edges_of_the_window(due: datetime, quiet: bool) -> None:
    found = look(status("load", due=due))
    assert found.quiet is quiet
    assert found.quiet_until == due
    assert [blocker.next_execution for blocker in found.blockers] == ([] if quiet else [due])


def test_the_window_can_begin_in_the_first_gap_that_is_long_enough() -> None:
    found = look(
        status("third", due=at(minutes=8)),
        status("first", due=at(minutes=1)),
        status("second", due=at(minutes=4)),
        status("after the gap", due=at(minutes=20)),
    )
    assert found.check_again_at == at(minutes=8) + SETTLED
    assert [blocker.key.name for blocker in found.blockers] == ["first", "second"]


def test_a_running_job_and_an_execution_that_is_due() -> None:
    assert look(status("load", "RUNNING"), status("next", due=at(minutes=2))).check_again_at == at(minutes=2) + SETTLED


def test_a_running_job_whose_own_next_execution_is_far_away() -> None:
    assert look(status("load", "RUNNING", at(hours=6))).check_again_at == NOW + RECHECK


def test_an_overdue_job_is_looked_at_again_after_the_recheck_interval() -> None:
    found = assess(
        [status("load", due=at(seconds=-50))], now=NOW, window=WINDOW, margin=MARGIN, recheck=timedelta(seconds=3)
    )
    assert found.check_again_at == at(seconds=3)


@pytest.mark.parametrize(("ago", "pause"), [(0, 1), (0.4, 1), (2, 2), (7, 7), (30, 10)])
def test_what_has_just_begun_or_should_have_is_looked_at_sooner(ago: float, pause: float) -> None:
    assert look(status("load", due=at(seconds=-ago))).check_again_at == at(seconds=pause)
    assert look(status("load", "RUNNING", began=at(seconds=-ago))).check_again_at == at(seconds=pause)


def test_a_time_ahead_is_not_when_a_running_job_began() -> None:
    assert look(status("load", "RUNNING", began=at(hours=2))).check_again_at == NOW + RECHECK


# -- stuck triggers

STUCK_SINCE = NOW - STUCK - timedelta(seconds=1)


def test_a_stuck_trigger_is_in_the_way_and_said_so_with_what_to_do() -> None:
    found = look(status("load", due=STUCK_SINCE))
    assert not found.quiet
    assert found.only_stuck
    assert found.check_again_at == NOW + STUCK
    assert str(found) == (
        "not quiet: sales / load is stuck: it was due at 2026-11-22 11:58:59 UTC and has not begun. "
        "A window can begin at 2026-11-22 12:01:00 UTC at the earliest. "
        "Disable a job that is stuck, and enable it again if it is to go on: its server does not start it by itself"
    )


@pytest.mark.parametrize("by_cron", [None, at(hours=3)])
def test_a_stuck_trigger_whose_crons_are_not_due_is_not_in_the_way_of_an_import_elsewhere(
    by_cron: datetime | None,
) -> None:
    found = look(status("load", due=STUCK_SINCE), by_cron={"load": by_cron})
    assert found.quiet
    assert found.quiet_until == by_cron
    assert "sales / load is stuck: it was due at 2026-11-22 11:58:59 UTC and has not begun. Disable" in str(found)


def test_a_stuck_trigger_whose_crons_are_due_is_in_the_way_until_then() -> None:
    found = look(status("load", due=STUCK_SINCE), by_cron={"load": at(minutes=4)})
    assert (found.quiet, found.only_stuck, found.check_again_at) == (False, False, at(minutes=4) + SETTLED)
    assert str(found).startswith("not quiet: sales / load is due at 2026-11-22 12:04:00 UTC. ")
    assert "sales / load is stuck" in found.advice


@pytest.mark.parametrize(
    "other",
    [
        status("late", due=NOW - STUCK),
        status("busy", "RUNNING", STUCK_SINCE),
        status("soon", due=at(minutes=1)),
        status("off", "DISABLED", STUCK_SINCE),
    ],
    ids=lambda each: each.name,
)
def test_only_an_enabled_job_that_is_idle_and_long_overdue_is_stuck(other: JobStatus) -> None:
    assert look(other).stuck == ()
    assert look(other).advice == ""
    assert not look(other).only_stuck
    assert look(other, by_cron={other.name: None}) == look(other), "crons count for stuck triggers only"


def test_a_stuck_trigger_does_not_delay_the_look_at_the_others() -> None:
    stuck = status("load", due=STUCK_SINCE)
    assert look(stuck, status("busy", "RUNNING")).check_again_at == NOW + RECHECK
    assert look(stuck, status("soon", due=at(seconds=5))).check_again_at == at(seconds=5) + SETTLED


# -- windows


def test_windows_are_between_the_executions_and_begin_when_these_have_settled() -> None:
    executions = [at(minutes=20), at(minutes=6), at(minutes=7)]
    assert list(windows(executions, NOW, reach=REACH, end=at(minutes=40))) == [
        (NOW, at(minutes=6)),
        (at(minutes=7) + SETTLED, at(minutes=20)),
        (at(minutes=20) + SETTLED, at(minutes=40)),
    ]


@pytest.mark.parametrize(("gap", "enough"), [(REACH + SETTLED, False), (REACH + 2 * SETTLED, True)])
def test_a_gap_must_be_longer_than_a_window_that_begins_when_the_execution_has_settled(
    gap: timedelta, enough: bool
) -> None:
    found = list(windows([NOW, NOW + gap], NOW, reach=REACH, end=NOW + gap + REACH))
    assert bool(found) is enough


def test_busy_jobs_are_named_first_and_not_more_than_five() -> None:
    found = look(
        *(status(f"due {number}", due=at(minutes=number / 2)) for number in range(6, 0, -1)),
        status("busy", "WAITING"),
    )
    assert str(found) == (
        "not quiet: sales / busy is WAITING, sales / due 1 is due at 2026-11-22 12:00:30 UTC, "
        "sales / due 2 is due at 2026-11-22 12:01:00 UTC, sales / due 3 is due at 2026-11-22 12:01:30 UTC, "
        "sales / due 4 is due at 2026-11-22 12:02:00 UTC and 2 more. "
        "A window can begin at 2026-11-22 12:03:01 UTC at the earliest"
    )


def test_listed() -> None:
    assert listed([]) == ""
    assert listed("ab") == "a, b"
    assert listed("abc", 2) == "a, b and 1 more"


def test_length() -> None:
    assert length(WINDOW, MARGIN) == "5m and a margin of 30s"
    assert length(WINDOW, timedelta()) == "5m"


_statuses = st.builds(
    lambda name, state, seconds: status(name, state, None if seconds is None else at(seconds=seconds)),
    st.sampled_from("abcdefgh"),
    st.sampled_from(list(JobState)),
    st.none() | st.integers(-200, 3600),
)


@given(st.lists(_statuses, max_size=12))
def test_laws(statuses: list[JobStatus]) -> None:
    found = look(*statuses)
    due = [each.next_execution for each in statuses if each.state.is_enabled and each.next_execution]
    assert found.quiet == (not found.blockers) == (found.check_again_at == NOW)
    assert not any(found.check_again_at < execution <= found.check_again_at + REACH for execution in due)
    if found.check_again_at > NOW + (STUCK if found.stuck else RECHECK):
        earlier = found.check_again_at - SETTLED
        assert earlier in due, "it waits for a known execution, not longer"
