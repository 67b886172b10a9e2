"""The quiet windows of the coming day, from the jobs' cron triggers.

The statuses contain only the next execution of each job; the crons give all of them. But a cron is on the server's
clock, with no time zone [V]: the zone is given, or inferred by comparing the crons with the next executions that the
server reports. Where that is ambiguous, there is no forecast.

A forecast knows executions by cron, and each job's next one. How long a job runs, and jobs that only a dependency
starts, are not foreseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache, partial
from zoneinfo import ZoneInfo, available_timezones

from denodo_ha.jobs import Job, JobKey, JobStatus, Trigger
from denodo_ha.quartz.cron import CronError, QuartzCron
from denodo_ha.quiet_window import Assessment, assess, clock, windows
from denodo_ha.text import listed

Reported = tuple[tuple[str, ...], datetime]
"""The crons of a job, and the next execution that the server reports of it."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Share:
    """The share of the day, 0 to 1, in which one job prevents a window from beginning."""

    key: JobKey
    blocked: float

    def __str__(self) -> str:
        return f"{self.key} (in the way {self.blocked:.0%} of the time)"


@dataclass(frozen=True)
class Forecast:
    """The coming day of a server, in UTC.

    :param windows: when windows can begin, and the execution that ends each, as
        :func:`~denodo_ha.quiet_window.windows` says for the look at the statuses too
    :param blockers: the jobs with a cron, those that block the most first; if one of them alone leaves no window, only
        the jobs of its cron
    """

    windows: tuple[tuple[datetime, datetime], ...]
    blockers: tuple[Share, ...]

    def __str__(self) -> str:
        if not self.windows:
            return f"no quiet window in sight; in the way: {listed(self.blockers)}"
        return "next quiet windows: " + listed((f"{clock(begin)} to {clock(end)}" for begin, end in self.windows), 3)


@dataclass(frozen=True)
class _Schedule:
    """One cron of one or more jobs, with the time from which and until which they execute."""

    cron: QuartzCron
    begin: datetime
    end: datetime

    def first(self, zone: tzinfo) -> datetime | None:
        execution = self.cron.next_after(self.begin, zone)
        return execution if execution and execution <= self.end else None

    def executions(self, zone: tzinfo, reach: timedelta) -> Iterator[datetime]:
        """Yield the executions, without those that make no difference.

        An execution is left out only between two that are at most ``reach`` apart: so longer gaps are exact, and a cron
        for every second takes no longer than one for every few minutes.
        """
        execution = self.first(zone)
        while execution is not None and execution <= self.end:
            yield execution
            ahead = self.cron.next_after(execution + reach / 2, zone)
            if ahead is None or ahead - execution > reach or ahead > self.end:
                ahead = self.cron.next_after(execution, zone)
            execution = ahead


def forecast(
    jobs: Iterable[Job],
    statuses: Iterable[JobStatus],
    *,
    now: datetime,
    horizon: timedelta = timedelta(hours=24),
    window: timedelta,
    margin: timedelta,
    zone: tzinfo | None = None,
) -> Forecast | None:
    """Calculate the quiet windows that begin between ``now`` and ``now`` + ``horizon``.

    :param jobs: definitions of the jobs that count
    :param statuses: their statuses at ``now``, by the server's clock
    :param zone: the server's time zone, if it is configured
    :return: None if the time zone cannot be inferred from the next executions that the server reports, if these
        contradict ``zone``, or if a cron cannot be evaluated
    """
    end = now + horizon + window + margin
    due = {
        status.key: status.next_execution
        for status in statuses
        if status.state.is_enabled and status.next_execution and status.next_execution <= end
    }
    coming = [(job, due[job.key]) for job in jobs if job.key in due]
    try:
        zones = _zones(coming, now, end, zone)
        found = [_forecast(coming, now, end, candidate, window + margin) for candidate in zones]
    except CronError:
        return None
    return found[0] if len({each.windows for each in found}) == 1 else None


def assess_by_cron(
    statuses: Sequence[JobStatus],
    definitions: Callable[[], Iterable[Job]] | None,
    *,
    now: datetime,
    window: timedelta,
    margin: timedelta,
    recheck: timedelta = timedelta(seconds=10),
    timezone: str | None,
) -> Assessment:
    """Look for a quiet window as :func:`~denodo_ha.quiet_window.assess` does, but count stuck triggers by their crons.

    :param definitions: reads the jobs' definitions, which is done only where nothing but stuck triggers is in the way;
        None where these are to stay in the way.
    :param timezone: the server's time zone, if it is configured.
    """
    look = partial(assess, statuses, now=now, window=window, margin=margin, recheck=recheck)
    found = look()
    if definitions is None or not found.only_stuck:
        return found
    stuck = {blocker.key for blocker in found.stuck}
    zone = ZoneInfo(timezone) if timezone else None
    return look(by_cron=next_by_cron(definitions(), statuses, stuck, now=now, zone=zone))


def next_by_cron(
    jobs: Iterable[Job],
    statuses: Iterable[JobStatus],
    keys: Collection[JobKey],
    *,
    now: datetime,
    zone: tzinfo | None = None,
    horizon: timedelta = timedelta(hours=24),
) -> dict[JobKey, datetime | None]:
    """Calculate when jobs are due next by their crons alone, whatever their server says of them.

    :param jobs: definitions. :param statuses: those of the jobs that count. :param keys: the jobs to calculate it for.
        The other parameters are those of :func:`forecast`.
    :return: the earliest execution in any time zone that the server may have; None: none within ``horizon``. A job is
        left out where this cannot be told: it has no cron, a cron cannot be evaluated, or no time zone fits.
    """
    end = now + horizon
    due = {status.key: status.next_execution for status in statuses if status.state.is_enabled}
    coming = [(job, execution) for job in jobs if (execution := due.get(job.key)) and execution <= end]
    try:
        zones = _zones(coming, now, end, zone)
    except CronError:
        return {}
    found: dict[JobKey, datetime | None] = {}
    for job, _ in coming:
        crons = [(each, each.cron) for each in job.triggers if each.cron]
        if job.key in keys and crons and zones:
            with suppress(CronError):
                first = (_schedule(*each, now, end, place).first(place) for place in zones for each in crons)
                found[job.key] = min((each for each in first if each), default=None)
    return found


def _zones(
    coming: Sequence[tuple[Job, datetime]], now: datetime, end: datetime, zone: tzinfo | None
) -> Sequence[tzinfo]:
    return zones_that_fit(_reported(coming, now), now, end, [zone] if zone else distinct_zones(now, end))


def _reported(coming: Sequence[tuple[Job, datetime]], now: datetime) -> set[Reported]:
    """Return what reveals the time zone: the jobs whose next execution depends on their crons only."""
    return {
        (tuple(trigger.cron for trigger in job.triggers if trigger.cron), execution)
        for job, execution in coming
        if execution > now and not any(trigger.start_time or trigger.end_time for trigger in job.triggers)
    }


def zones_that_fit(
    reported: Iterable[Reported], now: datetime, end: datetime, zones: Sequence[tzinfo]
) -> Sequence[tzinfo]:
    """Return the zones in which the crons give, from ``now`` on, the next executions that the server reports.

    :raises CronError: a cron cannot be evaluated.
    """
    for crons, execution in sorted(reported, key=lambda each: each[1]):
        if not crons:
            continue
        schedules = [cached_cron(cron) for cron in crons]
        zones = [
            zone
            for zone in zones
            if min((each.next_after(now, zone) or end + timedelta.resolution) for each in schedules) == execution
        ]
    return zones


@lru_cache(maxsize=2048)
def cached_cron(expression: str) -> QuartzCron:
    """Read an expression, once; most jobs share theirs with others.

    :raises CronError: it cannot be evaluated.
    """
    return QuartzCron(expression)


def hours_between(now: datetime, end: datetime) -> list[datetime]:
    """Return ``now`` and each hour after it, up to the first that is not before ``end`` and one more."""
    return [now + timedelta(hours=hour) for hour in range(int((end - now) / timedelta(hours=1)) + 2)]


def distinct_zones(now: datetime, end: datetime) -> list[tzinfo]:
    """Return one zone for each different course of local time in the world between ``now`` and ``end``."""
    hours = hours_between(now, end)
    zones: dict[tuple[timedelta | None, ...], tzinfo] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        zones.setdefault(tuple(hour.astimezone(zone).utcoffset() for hour in hours), zone)
    return list(zones.values())


def _forecast(
    coming: Sequence[tuple[Job, datetime]], now: datetime, end: datetime, zone: tzinfo, reach: timedelta
) -> Forecast:
    jobs_of: dict[tuple[_Schedule, ...], list[JobKey]] = defaultdict(list)
    for job, execution in coming:
        begin = max(now, execution - _SECOND)
        crons = tuple(_schedule(each, each.cron, begin, end, zone) for each in job.triggers if each.cron)
        jobs_of[crons].append(job.key)
    executions = {execution for _, execution in coming if execution > now}
    shares: list[Share] = []
    for schedules, keys in jobs_of.items():
        own = {execution for schedule in schedules for execution in schedule.executions(zone, reach)}
        gaps = list(windows(own, now, reach=reach, end=end))
        free = sum((stop - begin - reach for begin, stop in gaps), timedelta()) / (end - now - reach)
        if not gaps:
            return Forecast((), tuple(Share(key, 1.0) for key in sorted(keys)))
        executions |= own
        shares += [Share(key, 1 - free) for key in keys if own]
    return Forecast(
        tuple(windows(executions, now, reach=reach, end=end)),
        tuple(sorted(shares, key=lambda share: (-share.blocked, share.key))),
    )


def _schedule(trigger: Trigger, cron: str, begin: datetime, end: datetime, zone: tzinfo) -> _Schedule:
    starts, ends = _moment(trigger.start_time, zone), _moment(trigger.end_time, zone)
    first = max(begin, starts - _SECOND) if starts else begin
    return _Schedule(cached_cron(cron), first, min(end, ends) if ends else end)


def _moment(text: str | None, zone: tzinfo) -> datetime | None:
    """Read a trigger's ``startTime`` or ``endTime``, whose format is not published; None if it cannot be read."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
