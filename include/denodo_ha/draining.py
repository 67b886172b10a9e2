"""Decide which jobs of a server can be disabled now so that no run is cut short, and which have to be waited for.

Disabling a job that runs stops it [D]. So a job is disabled as soon as it does not run, and not right before it starts:

* ``NOT_RUNNING``: at once, unless its next execution is :data:`NEAR`. Such a job is waited for, until it has run; for
  :data:`HELD` at most, so that one that executes every second is not waited for for ever. A next execution that lies
  further in the past is of a trigger that is stuck, and is not waited for.
* ``POLLING``: at once. It only looks for its condition, and looks for it on the other server from then on.
* ``RUNNING``, and a state that is not known: when the run has ended.
* ``WAITING`` for other jobs: their end may start it, so as long as a job runs or is about to it is waited for like one
  that runs. When that has been over for :data:`NEAR` nothing can start it any more, and it is disabled; its execution
  was due and does not take place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from denodo_ha.jobs import JobKey, JobState, JobStatus, Report
from denodo_ha.promotion import CLOCKS
from denodo_ha.quiet_window import clock
from denodo_ha.runs import ENDED_WELL

NEAR = CLOCKS
"""How far the time of an execution and the moment in which it begins may be apart, as far as one can tell."""
HELD = timedelta(seconds=5)
"""How long a job that is about to start is waited for at most."""


def runs(job: JobStatus) -> bool:
    """Whether disabling the job now may cut a run short."""
    return job.state in (JobState.RUNNING, JobState.UNKNOWN)


class Draining:
    """What is remembered from one look at the server to the next."""

    def __init__(self) -> None:
        self._held: dict[JobKey, datetime] = {}
        self._calm_since: datetime | None = None

    def ready(self, jobs: Sequence[JobStatus], *, looked: datetime, now: datetime) -> list[JobKey]:
        """Return those of the enabled ``jobs`` that can be disabled now.

        :param jobs: all enabled jobs, as they were just read. :param looked: when, by the server's clock.
        :param now: the same moment, by the clock of this machine.
        """
        for job in jobs:
            if runs(job):
                self._held.pop(job.key, None)
        due = {job.key for job in jobs if not runs(job) and self.about_to_start(job, looked=looked, at=looked, now=now)}
        if due or any(map(runs, jobs)):
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        calm = self._calm_since is not None and now - self._calm_since >= NEAR
        return [
            job.key
            for job in jobs
            if not runs(job) and job.key not in due and (calm or job.state is not JobState.WAITING)
        ]

    def about_to_start(self, job: JobStatus, *, looked: datetime, at: datetime, now: datetime) -> bool:
        """Return whether the job has begun or is about to begin an execution since it was read, and is waited for.

        :param at: the present time by the server's clock. :param now: by the clock of this machine.
        """
        due = job.next_execution
        if due is None or not looked - NEAR <= due <= at + NEAR:
            return False
        return now - self._held.setdefault(job.key, now) < HELD


def said(job: JobStatus) -> str:
    """Name a job that has not ended: ``sales / load is RUNNING since 2026-03-02 06:00:00 UTC``."""
    since = (
        f" since {clock(job.previous_execution)}" if job.previous_execution and job.state is JobState.RUNNING else ""
    )
    return f"{job.key} is {job.state}{since}"


def usual_length(reports: Iterable[Report]) -> timedelta | None:
    """Return the median length of the runs that ended well; None where the reports tell of none.

    The names of a report's fields are not published, so that no decision may rest on this.
    """
    lengths = sorted(
        report.end - report.start
        for report in reports
        if report.start and report.end and report.end >= report.start and report.result in ENDED_WELL
    )
    return lengths[len(lengths) // 2] if lengths else None
