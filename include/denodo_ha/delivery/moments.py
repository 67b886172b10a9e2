"""When jobs may be imported: the moments in which none of their triggers fires on the target's clock.

An import enables what it brings [KB, S], and a cron is on the clock of its server, with no time zone [V]. So a job may
fire on the target from the import's effect until it is read back disabled, whether or not it is due on the source.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from math import ceil
from zoneinfo import ZoneInfo, available_timezones

from denodo_ha.jobs import Job
from denodo_ha.quartz.cron import CronError, QuartzCron
from denodo_ha.quartz.forecast import cached_cron

SHORTEST_BUDGET = timedelta(seconds=10)
FAR_AWAY = (datetime(2099, 1, 15, 12, tzinfo=UTC), datetime(2099, 7, 15, 12, tzinfo=UTC))
"""Moments in the last year that a Quartz cron can name, which tell a time zone, its summer time included."""
_SECOND, _HOUR = timedelta(seconds=1), timedelta(hours=1)
_FARTHEST_EAST = timedelta(hours=14)
_QUARTERS = tuple(timezone(timedelta(minutes=15 * number)) for number in range(-12 * 4, 14 * 4 + 1))


def budget(longest: float | None) -> timedelta:
    """Return for how long none of the jobs may be due that are imported together: three times the longest import.

    :param longest: seconds from sending an import to reading all its jobs back disabled, the longest so far, the last
        one included; None if none was measured.
    """
    return max(SHORTEST_BUDGET, timedelta(seconds=ceil(3 * (longest or 0.0))))


def possible_zones(configured: str | None, inferred: Sequence[tzinfo] | None) -> tuple[tzinfo, ...]:
    """Return the time zones that the target's clock may have.

    :param configured: the name of its zone, as the pair says it; then it is the only one.
    :param inferred: those that explain its next executions, as ``zones_that_fit`` finds them.
    :return: every offset in steps of a quarter of an hour if nothing is known.
    """
    if configured:
        return (ZoneInfo(configured),)
    return tuple(inferred or _QUARTERS)


@lru_cache(maxsize=16)
def zones_of_offsets(offsets: tuple[int, int], day: date) -> tuple[tzinfo, ...]:
    """Return the time zones whose clocks are so many seconds ahead of UTC in January and in July of 2099.

    Of zones that give the same times for a year from ``day`` on there is one. None at all: these offsets prove nothing.
    """
    wanted = [timedelta(seconds=each) for each in offsets]
    weeks = [datetime.combine(day, time(), UTC) + timedelta(weeks=number) for number in range(53)]
    found: dict[tuple[timedelta | None, ...], tzinfo] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        if [moment.astimezone(zone).utcoffset() for moment in FAR_AWAY] == wanted:
            found.setdefault(tuple(week.astimezone(zone).utcoffset() for week in weeks), zone)
    return tuple(found.values())


def has_no_moment(job: Job, now: datetime, *, past_start_fires: bool = True) -> str | None:
    """Return why no moment is safe for an import of this job; None if its crons tell when one is.

    A trigger whose ``startTime`` lies in the past may fire at once when it is created [Q]. The format of ``startTime``
    is not published, so one that cannot be read counts as past, and one without an offset is taken for the earliest
    moment that it can mean. An ``endTime`` only takes firings away, so it is not looked at.

    :param now: the time on the target's clock.
    :param past_start_fires: whether such a trigger may fire; not on a target where it was tried out and did not.
    """
    for trigger in job.triggers:
        if trigger.start_time:
            start = _earliest(trigger.start_time)
            if start is None:
                return f"the start time of a trigger cannot be read ({trigger.start_time!r})"
            if start <= now and past_start_fires:
                return "a trigger has a start time in the past, so it may fire as soon as it is created"
        if trigger.cron:
            try:
                cached_cron(trigger.cron)
            except CronError as error:
                return f"the cron {trigger.cron!r} cannot be evaluated: {error}"
        elif not (trigger.dependency and trigger.dependency.job_ids):
            return "it has a trigger that is neither a cron nor a dependency, so when it fires is not known"
    return None


def next_moment(
    jobs: Sequence[Job],
    *,
    now: datetime,
    zones: Sequence[tzinfo],
    budget: timedelta,
    until: datetime,
    past_start_fires: bool = True,
) -> datetime | None:
    """Return the first whole second from ``now`` at which these jobs can be imported together.

    None of their triggers fires from then on for ``budget``, in any of the zones. A trigger of dependencies alone fires
    nothing: the jobs that it waits for are disabled on the target, or imported at the same moment.

    :param now: the time on the target's clock, aware.
    :param zones: all that the target's clock may have.
    :return: None if there is no such second before ``until``, or if one of the jobs has no safe moment at all.
    """
    return Moments(zones, now=now, budget=budget, until=until, past_start_fires=past_start_fires).next(jobs)


@dataclass(frozen=True)
class _Course:
    """What is known of jobs with the same triggers.

    :param start: the earliest start time of a trigger.
    :param unsafe: no moment is safe.
    """

    firings: Sequence[datetime] = ()
    start: datetime | None = None
    unsafe: bool = False


class Moments:
    """The firings between ``now`` and ``until``, calculated once for each cron; see :func:`next_moment`.

    :param ahead: how far after a moment :meth:`is_free` is asked at most, if that is more than the budget.
    :param past_start_fires: see :func:`has_no_moment`.
    """

    def __init__(
        self,
        zones: Sequence[tzinfo],
        *,
        now: datetime,
        budget: timedelta,
        until: datetime,
        ahead: timedelta = timedelta(),
        past_start_fires: bool = True,
    ) -> None:
        self._past_start_fires = past_start_fires
        self.begin = _whole(now)
        self.until = until
        self.budget = budget
        self._end = until + budget + max(budget, ahead)  # so that each firing in a moment's budget has its neighbours
        self._offsets, self._changing = _steady(zones, self.begin, self._end)
        self._courses: dict[tuple[object, ...], _Course] = {}
        self._known: dict[str, list[datetime]] = {}

    def next(self, jobs: Sequence[Job], since: datetime | None = None) -> datetime | None:
        """Return the first moment of these jobs from ``since`` on, which is not before the ``now`` of this object."""
        courses = list({id(course): course for course in map(self._course, jobs)}.values())
        if any(course.unsafe for course in courses):
            return None
        starts = [course.start - self.budget for course in courses if course.start]
        latest = min([self.until - timedelta.resolution, *starts])
        moment = max(self.begin, _whole(since or self.begin))
        firings = _merged([course.firings for course in courses])
        for at in range(bisect_left(firings, moment), len(firings)):
            if firings[at] >= moment + self.budget or moment > latest:
                break
            moment = firings[at] + _SECOND
        return moment if moment <= latest else None

    def is_free(self, job: Job, moment: datetime, stop: datetime | None = None) -> bool:
        """Whether none of the job's triggers fires from ``moment`` on until ``stop``, by default for the budget."""
        course = self._course(job)
        stop = stop or moment + self.budget
        if course.unsafe or (course.start and course.start < stop):
            return False
        return bisect_left(course.firings, moment) == bisect_left(course.firings, stop)

    def _course(self, job: Job) -> _Course:
        triggers = tuple((each.cron, each.start_time, bool(each.dependency)) for each in job.triggers)
        if triggers not in self._courses:
            if has_no_moment(job, self.begin, past_start_fires=self._past_start_fires):
                course = _Course(unsafe=True)
            else:
                begins = (_earliest(trigger.start_time) for trigger in job.triggers)
                starts = [start for start in begins if start and start > self.begin]
                crons = {trigger.cron for trigger in job.triggers if trigger.cron}
                course = _Course(_merged([self._firings(cron) for cron in crons]), min(starts, default=None))
            self._courses[triggers] = course
        return self._courses[triggers]

    def _firings(self, expression: str) -> list[datetime]:
        if expression not in self._known:
            self._known[expression] = sorted(self._calculated(expression))
        return self._known[expression]

    def _calculated(self, expression: str) -> set[datetime]:
        """Return the firings in all zones, without those that make no difference, in UTC."""
        cron = cached_cron(expression)
        found = {
            firing
            for zone in self._changing
            for firing in _executions(cron, self.begin - _SECOND, self._end, zone, self.budget)
        }
        offsets = self._offsets
        if same_in_every_hour(expression):
            offsets = sorted({offset % _HOUR for offset in offsets})
        if offsets:
            first, last = self.begin + offsets[0] - _SECOND, self._end + offsets[-1]
            walls = list(_executions(cron, first, last, UTC, self.budget))
        for offset in offsets:
            low, high = bisect_left(walls, self.begin + offset), bisect_right(walls, self._end + offset)
            found.update(wall - offset for wall in walls[low:high])
        return found


def same_in_every_hour(expression: str) -> bool:
    return set("".join(expression.split()[2:])) <= {"*", "?"}


def _merged(lists: Sequence[Sequence[datetime]]) -> Sequence[datetime]:
    return lists[0] if len(lists) == 1 else sorted(set().union(*lists))


def _executions(cron: QuartzCron, after: datetime, end: datetime, zone: tzinfo, reach: timedelta) -> Iterator[datetime]:
    """Yield the executions after ``after`` and not after ``end``, without some that make no difference.

    One is left out only between two that are at most ``reach`` apart. So a period of ``reach`` that holds one that is
    left out holds one that is not, and a cron for every second takes no longer than one for every few.
    """
    execution = cron.next_after(after, zone)
    while execution is not None and execution <= end:
        yield execution
        ahead = cron.next_after(execution + reach / 2, zone)
        if ahead is None or ahead - execution > reach:
            ahead = cron.next_after(execution, zone)
        execution = ahead


def _steady(zones: Sequence[tzinfo], begin: datetime, end: datetime) -> tuple[list[timedelta], list[tzinfo]]:
    """Return the offsets of the zones whose clocks do not change in this period, and the zones whose clocks do.

    The period is looked at with three hours at its end: in the first pass of an hour that comes twice nothing fires.
    """
    offsets: set[timedelta] = set()
    changing: list[tzinfo] = []
    hours = [begin + number * _HOUR for number in range((end - begin) // _HOUR + 4)]
    for zone in zones:
        seen = {hour.astimezone(zone).utcoffset() or timedelta() for hour in hours}
        if len(seen) == 1:
            offsets |= seen
        else:
            changing.append(zone)
    return sorted(offsets), changing


def _earliest(text: str | None) -> datetime | None:
    """Return the earliest moment that a ``startTime`` can mean; None if it cannot be read, or if there is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC) - _FARTHEST_EAST


def _whole(moment: datetime) -> datetime:
    """Round up to a whole second, in UTC."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=0) + (_SECOND if moment.microsecond else timedelta())
