"""Find missed occurrences: those of the crons of a manifest in a period in which no server executed jobs.

A manifest contains crons and the next executions at the moment when it was taken. Occurrences are known by cron only:
runs that a dependency or a person would have started are not foreseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from heapq import merge
from itertools import islice, repeat
from zoneinfo import ZoneInfo

from denodo_ha.jobs import JobKey
from denodo_ha.quartz.cron import CronError, QuartzCron
from denodo_ha.quartz.forecast import Reported, cached_cron, distinct_zones, hours_between, zones_that_fit
from denodo_ha.snapshot.manifest import Manifest, ManifestJob

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_HORIZON = timedelta(days=1)
"""The period in which next executions are checked, and the least in which candidate zones are compared."""


@dataclass(frozen=True)
class Missed:
    """A job and the time, in UTC, at which its cron asked for an execution."""

    key: JobKey
    at: datetime


@dataclass(frozen=True)
class ServerZone:
    """The time zone in which a server's crons are calculated.

    :param zone: gives the same times as the server's own, unless ``said`` calls it a guess.
    :param said: what is known of it, for people: a configured name, or the offset that the evidence proves. Many places
        of the world share an offset, so a name is never inferred.
    """

    zone: tzinfo
    said: str

    def __str__(self) -> str:
        return self.said


UNKNOWN_ZONE = ServerZone(UTC, "not known, taken to be UTC")
IRRELEVANT = "not known, and the same times in each that fits"


def configured_zone(name: str | None) -> ServerZone | None:
    """Return the zone that a pair says its server has, if it says one."""
    return ServerZone(ZoneInfo(name), name) if name else None


def server_zone(manifest: Manifest, taken: datetime, until: datetime) -> ServerZone:
    """Infer the time zone that the crons of ``manifest`` are on, as far as its next executions tell.

    Only zones that explain the next executions that the server reports are kept, the soonest first. An execution that
    none of the remaining zones explains is ignored: its trigger may begin later, which a manifest does not contain.

    :param taken: when the next executions were read.
    :param until: the end of the period in which the zone is needed; it begins with ``taken`` and lasts a day at least.
    :return: the offset, or the offsets one after the other, if the zones that are left agree on them in that period;
        else one of these zones if the crons of all enabled jobs give the same times in each; else :data:`UNKNOWN_ZONE`.
    """
    end = max(until, taken + _HORIZON)
    zones: Sequence[tzinfo] = distinct_zones(taken, end)
    for row in sorted(_reported(manifest, taken), key=lambda each: each[1]):
        if len(zones) == 1:
            break
        zones = zones_that_fit([row], taken, taken + _HORIZON, zones) or zones
    hours = hours_between(taken, end)
    if len(zones) == 1:
        offsets = dict.fromkeys(_offset(hour, zones[0]) for hour in hours)
        return ServerZone(zones[0], ", then ".join(str(timezone(offset)) for offset in offsets))
    crons = {cron for job in manifest.jobs if job.enabled for cron in job.crons}
    if _steps_of_hours(zones, hours) and all(_alike(cron, zones, hours) for cron in sorted(crons)):
        return ServerZone(zones[0], IRRELEVANT)
    return UNKNOWN_ZONE


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _reported(manifest: Manifest, taken: datetime) -> set[Reported]:
    return {
        (job.crons, job.next_execution)
        for job in manifest.jobs
        if job.next_execution
        and taken < job.next_execution <= taken + _HORIZON
        and all(_readable(cron) for cron in job.crons)
    }


def _steps_of_hours(zones: Sequence[tzinfo], hours: Sequence[datetime]) -> bool:
    """Return whether the zones differ by whole hours, and no clock is changed in any of them."""
    courses = [{_offset(hour, zone) for hour in hours} for zone in zones]
    return all(len(course) == 1 for course in courses) and len({min(course) % _HOUR for course in courses}) == 1


def _alike(expression: str, zones: Sequence[tzinfo], hours: Sequence[datetime]) -> bool:
    """Return whether the cron executes at the same times in all zones, which differ by whole hours."""
    cron = _readable(expression)
    if cron is None or set("".join(expression.split()[2:])) <= {"*", "?"}:  # the same minutes of every hour
        return True
    begins = [hour.astimezone(zones[0]).replace(minute=0, second=0, microsecond=0) - _SECOND for hour in hours]
    return all(len({cron.next_after(begin, zone) for zone in zones}) == 1 for begin in begins)


def _readable(expression: str) -> QuartzCron | None:
    try:
        return cached_cron(expression)
    except CronError:
        return None


def missed_occurrences(
    manifest: Manifest,
    wanted: Collection[JobKey],
    *,
    since: datetime,
    until: datetime,
    zone: tzinfo,
    limit: int = 1000,
) -> tuple[tuple[Missed, ...], int]:
    """List the executions of the ``wanted`` jobs after ``since`` and not after ``until``, in order, and count them.

    A job's crons count from the next execution that the manifest reports; an enabled job without one executes no more.
    Crons that cannot be read are left out.

    :param zone: the time zone of the crons.
    :param limit: how many are listed at most; no more than this are counted of one job.
    """
    keys_of: defaultdict[tuple[tuple[str, ...], datetime], list[JobKey]] = defaultdict(list)
    for key in wanted:
        job = manifest.by_key.get(key)
        if job and job.crons and (job.next_execution or not job.enabled):
            keys_of[job.crons, _begin(job, since)].append(job.key)
    total = 0
    rows: list[Iterator[tuple[datetime, JobKey]]] = []
    for (crons, begin), keys in keys_of.items():
        times = _times(crons, begin, until, zone, limit)
        total += len(times) * len(keys)
        rows += [zip(times, repeat(key)) for key in keys]
    return tuple(Missed(key, at) for at, key in islice(merge(*rows), limit)), total


def _begin(job: ManifestJob, since: datetime) -> datetime:
    return max(since, job.next_execution - _SECOND) if job.next_execution else since


def _times(crons: Collection[str], since: datetime, until: datetime, zone: tzinfo, limit: int) -> list[datetime]:
    """Return the first ``limit`` executions of a job; two of its crons at the same time count as one."""
    readable = [cron for cron in map(_readable, crons) if cron]
    times = {at for cron in readable for at in islice(cron.between(since, until, zone), limit)}
    return sorted(times)[:limit]
