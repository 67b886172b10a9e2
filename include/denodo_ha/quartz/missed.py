"""Find missed occurrences: those of the crons of a manifest in a period in which no server executed jobs.

A manifest contains crons and the next executions at the moment when it was taken. Occurrences are known by cron only:
runs that a dependency or a person would have started are not foreseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from heapq import merge
from itertools import islice, repeat

from denodo_ha.jobs import JobKey
from denodo_ha.quartz.cron import CronError, QuartzCron
from denodo_ha.quartz.forecast import Reported, cached_cron, distinct_zones, zones_that_fit
from denodo_ha.snapshot.manifest import Manifest, ManifestJob

_SECOND = timedelta(seconds=1)
_HORIZON = timedelta(days=1)
"""The period in which next executions are checked and candidate zones are compared."""


@dataclass(frozen=True)
class Missed:
    """A job and the time, in UTC, at which its cron asked for an execution."""

    key: JobKey
    at: datetime


def server_zone(manifest: Manifest, taken: datetime, zone: tzinfo | None) -> tzinfo | None:
    """Find the time zone that the crons of ``manifest`` are on.

    Only zones that explain the next executions that the server reports are kept, the soonest first. An execution that
    none of the remaining zones explains is ignored: its trigger may begin later, which a manifest does not contain.

    :param taken: when the next executions were read.
    :param zone: the zone, if it is configured; it is not checked.
    :return: None if several zones are left in which some job executes at different times in the day after ``taken``.
    """
    if zone is not None:
        return zone
    rows = _reported(manifest, taken)
    zones: Sequence[tzinfo] = distinct_zones(taken, taken + _HORIZON)
    for row in sorted(rows, key=lambda each: each[1]):
        if len(zones) == 1:
            break
        zones = zones_that_fit([row], taken, taken + _HORIZON, zones) or zones
    crons = {cron for job in manifest.jobs if job.enabled for cron in job.crons}
    return zones[0] if all(_alike(cron, zones, taken) for cron in sorted(crons)) else None


def _reported(manifest: Manifest, taken: datetime) -> set[Reported]:
    return {
        (job.crons, job.next_execution)
        for job in manifest.jobs
        if job.next_execution
        and taken < job.next_execution <= taken + _HORIZON
        and all(_readable(cron) for cron in job.crons)
    }


def _alike(expression: str, zones: Sequence[tzinfo], taken: datetime) -> bool:
    """Return whether the cron executes at the same times in all zones, seen from each hour of the day after ``taken``.

    This is true of a cron for every hour of every day: zones that explain its next execution agree on the minute.
    """
    cron = _readable(expression)
    if cron is None or len(zones) == 1 or set("".join(expression.split()[2:])) <= {"*", "?"}:
        return True
    hours = [taken + timedelta(hours=hour) for hour in range(_HORIZON // timedelta(hours=1))]
    return all(len({cron.next_after(hour, zone) for zone in zones}) == 1 for hour in hours)


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
    zone: tzinfo | None,
    limit: int = 1000,
) -> tuple[tuple[Missed, ...], int]:
    """List the executions of the ``wanted`` jobs after ``since`` and not after ``until``, in order, and count them.

    A job's crons count from the next execution that the manifest reports; an enabled job without one executes no more.
    Crons that cannot be read are left out.

    :param zone: from :func:`server_zone`; None stands for UTC, and then the caller should say that this is a guess.
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
        times = _times(crons, begin, until, zone or UTC, limit)
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
