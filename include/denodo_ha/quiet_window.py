"""Assess whether a server is quiet, and when it can be at the earliest.

A quiet window is a time in which an import cannot make a job run twice: no job runs, and none is due before the window
and its margin are over. All moments here are the **server's** time, in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from denodo_ha.durations import format_duration
from denodo_ha.jobs import JobKey, JobState, JobStatus
from denodo_ha.text import listed


@dataclass(frozen=True)
class Blocker:
    """A job in the way: it is busy (``state``), or is due too soon (``next_execution``)."""

    key: JobKey
    state: JobState
    next_execution: datetime | None

    def __str__(self) -> str:
        if self.state.is_busy or self.next_execution is None:
            return f"{self.key} is {self.state}"
        return f"{self.key} is due at {clock(self.next_execution)}"


@dataclass(frozen=True)
class Assessment:
    """What the statuses of one moment show; ``str()`` gives a sentence for people.

    :param now: that moment, by the server's clock
    :param quiet: whether a window can begin now
    :param quiet_until: the earliest next execution; None when nothing is scheduled
    :param blockers: the jobs in the way, busy ones first, then by next execution
    :param check_again_at: ``now`` when quiet, otherwise the earliest moment at which a window can begin
    """

    now: datetime
    quiet: bool
    quiet_until: datetime | None
    blockers: tuple[Blocker, ...]
    check_again_at: datetime

    def __str__(self) -> str:
        if self.quiet:
            return f"quiet until {clock(self.quiet_until)}" if self.quiet_until else "quiet, nothing is scheduled"
        return f"not quiet: {listed(self.blockers)}. A window can begin at {clock(self.check_again_at)} at the earliest"


def assess(
    statuses: Sequence[JobStatus],
    *,
    now: datetime,
    window: timedelta,
    margin: timedelta,
    recheck: timedelta = timedelta(seconds=10),
) -> Assessment:
    """Look for a quiet window of ``window`` + ``margin`` that begins now.

    A job is in the way when it is RUNNING, WAITING or POLLING (or in a state that is not known), or when it is enabled
    and its next execution is not later than the end of the margin, an overdue one included.

    :param statuses: every job that counts, of one server
    :param now: the server's time when it answered
    :param recheck: when to look again where the statuses do not tell: for the end of a busy job, and to see whether an
        execution that was due has begun
    """
    due = sorted(status.next_execution for status in statuses if status.state.is_enabled and status.next_execution)
    blockers = sorted(
        (
            Blocker(status.key, status.state, status.next_execution)
            for status in statuses
            if status.state.is_busy or _is_due(status, now + window + margin)
        ),
        key=lambda blocker: (not blocker.state.is_busy, blocker.next_execution or now, blocker.key.folded),
    )
    begin = now + recheck if any(blocker.state.is_busy for blocker in blockers) else now
    for execution in due:
        if execution > begin + window + margin:
            break
        begin = max(begin, execution + recheck, now + recheck)
    return Assessment(
        now=now,
        quiet=not blockers,
        quiet_until=due[0] if due else None,
        blockers=tuple(blockers),
        check_again_at=begin,
    )


def _is_due(status: JobStatus, before: datetime) -> bool:
    return status.state.is_enabled and status.next_execution is not None and status.next_execution <= before


def length(window: timedelta, margin: timedelta) -> str:
    """Format the window for people: ``5m and a margin of 30s``."""
    return format_duration(window) + (f" and a margin of {format_duration(margin)}" if margin else "")


def clock(moment: datetime) -> str:
    """Format a moment for people, in UTC: server and reader may be in different time zones."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
