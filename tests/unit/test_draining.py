"""Which jobs are disabled now, and which are waited for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from denodo_ha.draining import HELD, NEAR, Draining, said, usual_length
from denodo_ha.jobs import JobStatus, Report

NOW = datetime(2026, 3, 2, 6, 7, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def job(state: str, *, due: float | None = None, name: str = "load", ran: datetime | None = None) -> JobStatus:
    """:param due: in how many seconds."""
    return JobStatus(
        job_id=1,
        name=name,
        project_id=1,
        project="sales",
        state=state,
        previous_execution=ran,
        next_execution=None if due is None else NOW + due * SECOND,
    )


def ready(draining: Draining, *jobs: JobStatus, after: float = 0) -> set[str]:
    now = NOW + after * SECOND
    return {key.name for key in draining.ready(jobs, looked=now, now=now)}


@pytest.mark.parametrize(
    ("state", "due", "at_once"),
    [
        ("NOT_RUNNING", None, True),
        ("NOT_RUNNING", 60, True),
        ("NOT_RUNNING", 3, True),
        ("NOT_RUNNING", 2, False),
        ("NOT_RUNNING", 0, False),
        ("NOT_RUNNING", -2, False),
        ("NOT_RUNNING", -3, True),
        ("NOT_RUNNING", -86400, True),
        ("POLLING", None, True),
        ("RUNNING", 60, False),
        ("WAITING", 60, False),
        ("something new", None, False),
    ],
)
def test_at_the_first_look(state: str, due: float | None, at_once: bool) -> None:
    assert ready(Draining(), job(state, due=due)) == ({"load"} if at_once else set())


def test_a_job_that_executes_every_second_is_not_waited_for_for_ever() -> None:
    draining = Draining()
    seconds = int(HELD.total_seconds())
    assert [bool(ready(draining, job("NOT_RUNNING", due=n + 1), after=n)) for n in range(seconds + 1)] == [
        *[False] * seconds,
        True,
    ]


def test_a_job_that_has_run_meanwhile_is_waited_for_again() -> None:
    draining = Draining()
    assert not ready(draining, job("NOT_RUNNING", due=1))
    assert not ready(draining, job("RUNNING", due=601), after=2)
    assert not ready(draining, job("NOT_RUNNING", due=601), after=600)


def test_what_waits_is_waited_for_as_long_as_something_may_release_it() -> None:
    draining, waits = Draining(), job("WAITING")
    near = NEAR.total_seconds()
    assert not ready(draining, waits, job("RUNNING", name="other"))
    assert not ready(draining, waits, job("NOT_RUNNING", name="other", due=30 + near), after=30)
    assert not ready(draining, waits, after=40)
    assert not ready(draining, waits, after=39.9 + near)
    assert ready(draining, waits, after=40 + near) == {"load"}


def test_a_project_that_comes_late_is_looked_at_again() -> None:
    """While the others were disabled its job has become due."""
    draining, found = Draining(), job("NOT_RUNNING", due=5)
    assert ready(draining, found) == {"load"}
    late = NOW + 4 * SECOND
    assert draining.about_to_start(found, looked=NOW, at=late, now=late)


def test_what_is_said_of_a_job() -> None:
    assert said(job("RUNNING", ran=NOW)) == "sales / load is RUNNING since 2026-03-02 06:07:00 UTC"
    assert said(job("WAITING", ran=NOW)) == "sales / load is WAITING"


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], None),
        ([("COMPLETE", 10)], 10),
        ([("COMPLETE", 10), ("WARNING", 30), ("COMPLETED", 20)], 20),
        ([("ERROR", 1), ("STOPPED", 2), ("COMPLETE", 10)], 10),
        ([("COMPLETE", -5), ("COMPLETE", None)], None),
    ],
)
def test_usual_length(reports: list[Any], expected: float | None) -> None:
    made = [
        Report(result=result, start=NOW, end=None if seconds is None else NOW + seconds * SECOND)
        for result, seconds in reports
    ]
    assert usual_length(made) == (None if expected is None else expected * SECOND)
