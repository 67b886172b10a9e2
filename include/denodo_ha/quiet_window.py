"""Assess whether a server is quiet, and when it can be at the earliest.

A quiet window is a time in which an import cannot make a job run twice: no job runs, and none is due before the window
and its margin are over. All moments here are the **server's** time, in UTC. When a window can begin is said by
:func:`windows` alone, for the look at the statuses of now as well as for the forecast from the crons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from denodo_ha.durations import format_duration
from denodo_ha.jobs import JobKey, JobState, JobStatus
from denodo_ha.text import listed

SETTLED = timedelta(seconds=1)
"""How long after the moment of an execution the statuses show whether its job runs: answers carry whole seconds."""
STUCK = timedelta(minutes=1)
"""How overdue a job that is not busy must be for its trigger to count as stuck: Quartz takes an execution that is a
minute late for a misfire and plans the next one [Q], so a trigger in order does not stay behind for longer."""
_NEVER = datetime.max.replace(tzinfo=UTC)
_NOTHING: Mapping[JobKey, datetime | None] = MappingProxyType({})


@dataclass(frozen=True)
class Blocker:
    """A job in the way: busy (``state``), with a ``stuck`` trigger, or due too soon (``next_execution``)."""

    key: JobKey
    state: JobState
    next_execution: datetime | None
    stuck: bool = False

    def __str__(self) -> str:
        if self.state.is_busy or self.next_execution is None:
            return f"{self.key} is {self.state}"
        if self.stuck:
            return f"{self.key} is stuck: it was due at {clock(self.next_execution)} and has not begun"
        return f"{self.key} is due at {clock(self.next_execution)}"


@dataclass(frozen=True)
class Assessment:
    """What the statuses of one moment show; ``str()`` gives sentences for people.

    :param now: that moment, by the server's clock
    :param quiet: whether a window can begin now
    :param quiet_until: the earliest next execution; None when nothing is scheduled
    :param blockers: the jobs in the way, busy ones first, then by next execution
    :param check_again_at: ``now`` when quiet, otherwise the earliest moment at which a window can begin
    :param stuck: the jobs whose triggers are stuck, in the way or not
    """

    now: datetime
    quiet: bool
    quiet_until: datetime | None
    blockers: tuple[Blocker, ...]
    check_again_at: datetime
    stuck: tuple[Blocker, ...] = ()

    @property
    def only_stuck(self) -> bool:
        """Whether nothing but stuck triggers is in the way."""
        return not self.quiet and all(blocker.stuck for blocker in self.blockers)

    @property
    def advice(self) -> str:
        """What to do about stuck triggers, without a full stop at its end; empty where there are none."""
        if not self.stuck:
            return ""
        named = listed(blocker for blocker in self.stuck if blocker not in self.blockers)
        return (f"{named}. " if named else "") + (
            "Disable a job that is stuck, and enable it again if it is to go on: its server does not start it by itself"
        )

    def __str__(self) -> str:
        if self.quiet:
            said = f"quiet until {clock(self.quiet_until)}" if self.quiet_until else "quiet, nothing is scheduled"
        else:
            again = clock(self.check_again_at)
            said = f"not quiet: {listed(self.blockers)}. A window can begin at {again} at the earliest"
        return f"{said}. {self.advice}" if self.stuck else said


def windows(
    executions: Iterable[datetime], begin: datetime, *, reach: timedelta, end: datetime = _NEVER
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the times in which a quiet window can begin, and the execution that ends each.

    After an execution a window begins as soon as the statuses show whether its job runs (:data:`SETTLED`).

    :param executions: every execution that is known
    :param begin: no window begins earlier
    :param reach: how long a window is, its margin included; one that ends right at an execution is too short
    :param end: what ends the last window
    """
    for execution in sorted(executions):
        if execution - begin > reach:
            yield begin, execution
        begin = max(begin, execution + SETTLED)
    if end - begin > reach:
        yield begin, end


def assess(
    statuses: Sequence[JobStatus],
    *,
    now: datetime,
    window: timedelta,
    margin: timedelta,
    recheck: timedelta = timedelta(seconds=10),
    by_cron: Mapping[JobKey, datetime | None] = _NOTHING,
) -> Assessment:
    """Look for a quiet window of ``window`` + ``margin`` that begins now.

    A job is in the way when it is RUNNING, WAITING or POLLING (or in a state that is not known), or when it is enabled
    and its next execution is not later than the end of the margin, an overdue one included.

    A job that is not busy although it has been due for longer than :data:`STUCK` has a stuck trigger. It may still
    begin at any moment, so it stays in the way of whoever changes **this** server, where disabling it would stop it
    [D]. An import into **another** server does not touch what runs here, whatever becomes of the job. But the import
    makes a new trigger there, of which the overdue execution here says nothing: it fires by the cron. So to leave the
    job out is not enough: its crons have to say when it would be due (``by_cron``), and a job of which they cannot
    stays in the way.

    :param statuses: every job that counts, of one server
    :param now: the server's time when it answered
    :param recheck: the longest pause until the next look where the statuses do not tell when to look: for the end of a
        busy job, and to see whether an execution that was due has begun. What has just begun is looked at sooner.
    :param by_cron: for stuck jobs the execution that counts instead of the overdue one; None: none is in sight
    """
    reach = window + margin
    stuck = [status for status in statuses if _is_stuck(status, now)]
    instead = {status.key: by_cron[status.key] for status in stuck if status.key in by_cron}
    coming = [(status, instead.get(status.key, status.next_execution)) for status in statuses]
    left = {status.key for status in stuck} - instead.keys()
    blockers = sorted(
        (
            Blocker(status.key, status.state, execution, stuck=status.key in left)
            for status, execution in coming
            if status.state.is_busy or (status.state.is_enabled and execution and execution <= now + reach)
        ),
        key=lambda blocker: (not blocker.state.is_busy, blocker.next_execution or now, blocker.key.folded),
    )
    due = [execution for status, execution in coming if status.state.is_enabled and execution]
    known = [execution for execution in due if execution > now]
    begin = max((_next_look(status, now, recheck) for status in statuses if _is_unsettled(status, now)), default=now)
    begin, _ = next(windows(known, begin, reach=reach))
    if blockers and begin == now:  # only stuck triggers are in the way
        begin, _ = next(windows(known, now + max(recheck, STUCK), reach=reach))
    return Assessment(
        now=now,
        quiet=not blockers,
        quiet_until=min(due, default=None),
        blockers=tuple(blockers),
        check_again_at=begin,
        stuck=tuple(Blocker(each.key, each.state, each.next_execution, stuck=True) for each in stuck),
    )


def _is_overdue(status: JobStatus, now: datetime) -> bool:
    """Whether an idle job should have begun."""
    execution = status.next_execution
    return status.state.is_enabled and not status.state.is_busy and execution is not None and execution <= now


def _is_stuck(status: JobStatus, now: datetime) -> bool:
    return _is_overdue(status, now - STUCK - datetime.resolution)


def _is_unsettled(status: JobStatus, now: datetime) -> bool:
    """Whether only another look can tell when the job is not in the way any more."""
    return status.state.is_busy or (_is_overdue(status, now) and not _is_stuck(status, now))


def _next_look(status: JobStatus, now: datetime, recheck: timedelta) -> datetime:
    """Look again after as long as it has lasted, a second at least.

    That a running job's previous execution is when this run began is a guess [G], so it only sets the pace.
    """
    since = status.previous_execution if status.state.is_busy else status.next_execution
    lasted = now - since if since and since <= now else recheck
    return now + min(recheck, max(SETTLED, lasted))


def length(window: timedelta, margin: timedelta) -> str:
    """Format the window for people: ``5m and a margin of 30s``."""
    return format_duration(window) + (f" and a margin of {format_duration(margin)}" if margin else "")


def clock(moment: datetime) -> str:
    """Format a moment for people, in UTC: server and reader may be in different time zones."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
