"""Choose which jobs are enabled on the server that becomes active, in which order, and which have to wait a minute.

A job that waits for others is enabled before those that it waits for, so that it is started at their end. Among the
jobs that may come next, those of one project stay together, since one call enables any number of jobs of a project.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from typing import Any

from denodo_ha.jobs import JobKey, JobStatus
from denodo_ha.quartz.cron import CronError, QuartzCron
from denodo_ha.record import LEFT_BEHIND, PendingJob, Role
from denodo_ha.text import counted, listed

MISFIRE_THRESHOLD = timedelta(seconds=60)
"""An execution that is overdue by less than this is run as if it were on time when its trigger is resumed [Q]."""
CLOCKS = timedelta(seconds=2)
"""The precision with which the clocks of two servers can be compared: answers carry whole seconds."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class EnableOrder:
    """The jobs to enable, in this order, and the wanted jobs that the server does not have."""

    order: tuple[JobKey, ...]
    missing: tuple[JobKey, ...]


def order_enabling(
    wanted: Collection[JobKey], dependencies: Mapping[JobKey, Collection[JobKey]], present: Collection[JobKey]
) -> EnableOrder:
    """Put the ``wanted`` jobs that are ``present`` in order.

    Where jobs wait for each other in a circle, the order is still deterministic, and only jobs of the circle come after
    one that they wait for.

    :param dependencies: the jobs that a job waits for.
    """
    there = frozenset(present)
    chosen = sorted(key for key in set(wanted) if key in there)
    dependents: dict[JobKey, list[JobKey]] = {key: [] for key in chosen}
    for key in chosen:
        for awaited in set(dependencies.get(key, ())):
            if awaited in dependents:
                dependents[awaited].append(key)
    order = _by_project(_without_circles(dependents))
    return EnableOrder(tuple(order), tuple(sorted(set(wanted) - there)))


def left_behind(
    order: EnableOrder, now: Collection[JobStatus], pending: Collection[PendingJob], to: Role
) -> tuple[PendingJob, ...]:
    """Return the jobs that the new active server lacks, and those that it runs as they were before they were pending.

    :param now: its jobs, read back. :param pending: what the last sync could not deliver to it.
    """
    why = {job.key: f" ({job.why})" for job in pending}
    running = {job.key for job in now if job.state.is_enabled}
    outdated = [job.key for job in pending if job.on_target and job.key in running]
    rows = [(key, False, "did not have it") for key in order.missing]
    rows += [(key, True, "had an older definition of it") for key in outdated]
    return tuple(
        PendingJob(
            key=key,
            code=LEFT_BEHIND,
            why=f"the {to} {what} when it became the active server{why.get(key, '')}",
            on_target=there,
        )
        for key, there, what in rows
    )


def told_behind(behind: Collection[PendingJob], to: Role, earlier: Collection[JobKey] = ()) -> dict[str, Any]:
    """Name, as an event does, the jobs that the server ``to`` lacks (``missing``) or runs as they were (``outdated``).

    :param behind: of :func:`left_behind`.
    :param earlier: jobs that an earlier change of the active server left behind on ``to``, where they are disabled.
    """
    missing, outdated = ([job.key for job in behind if job.on_target is there] for there in (False, True))
    told: dict[str, Any] = {"missing": counted(missing), "outdated": counted(outdated)}
    if earlier:
        told["still_disabled"] = counted(earlier)
    rows = (
        (missing, "make", f" on the {to}, where they are missing: the other server has them, disabled"),
        (outdated, "make the last edits of", f" on the {to} too: the next sync overwrites those of the other server"),
        (earlier, "enable", f" on the {to} if they are to run again"),
    )
    steps = [f"{what} {listed(sorted(keys))}{where}" for keys, what, where in rows if keys]
    return told | ({"next_step": "; ".join(steps)} if steps else {})


def _without_circles(first: Mapping[JobKey, Sequence[JobKey]]) -> dict[JobKey, list[JobKey]]:
    """Return the same graph without the edges that close a circle in a depth-first walk."""
    rank: dict[JobKey, int] = {}
    seen: set[JobKey] = set()
    for start in first:
        path = [] if start in seen else [(start, iter(first[start]))]
        seen.add(start)
        while path:
            key, ahead = path[-1]
            unseen = next((each for each in ahead if each not in seen), None)
            if unseen is None:
                rank[key] = len(rank)
                path.pop()
            else:
                seen.add(unseen)
                path.append((unseen, iter(first[unseen])))
    return {key: [each for each in before if rank[each] < rank[key]] for key, before in first.items()}


def _by_project(graph: Mapping[JobKey, Sequence[JobKey]]) -> Iterator[JobKey]:
    """Yield each key after those that the graph puts before it, and stay in a project as long as possible."""
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    ready: defaultdict[str, list[JobKey]] = defaultdict(list)
    project = ""
    while sorter.is_active():
        for key in sorter.get_ready():
            heappush(ready[key.folded[0]], key)
        if project not in ready:
            project = min(ready)
        key = heappop(ready[project])
        if not ready[project]:
            del ready[project]
        sorter.done(key)
        yield key


def batches(order: Sequence[JobKey], first: int, largest: int = 160) -> Iterator[tuple[JobKey, ...]]:
    """Cut ``order`` into batches of ``first``, twice, four times ``first`` … jobs, at most ``largest`` or ``first``.

    Small ones come first: between batches the caller can still check whether the other server lives, and turn back.
    """
    begin, size = 0, first
    while begin < len(order):
        yield tuple(order[begin : begin + size])
        begin, size = begin + size, min(2 * size, max(first, largest))


def maybe_ran(
    crons: Mapping[JobKey, Sequence[str]], *, silent_since: datetime, now: datetime, skew: timedelta, zone: tzinfo
) -> dict[JobKey, datetime]:
    """Find jobs whose last execution the old server may have run, and the new one would run again if resumed now.

    :param silent_since: until then the old server may have run it.
    :param skew: how far the new server's clock is ahead.
    :return: until when each job has to wait.
    """
    silent = silent_since + CLOCKS
    due = risky(crons, since=now - MISFIRE_THRESHOLD + skew - CLOCKS, until=silent + skew, zone=zone)
    return {key: at - skew + MISFIRE_THRESHOLD for key, at in due.items()}


def repeats_until(silent_since: datetime, *, new_time: datetime, now: datetime) -> datetime:
    """Return until when the new server may run again what the old one has run, whatever the jobs' crons are.

    However far apart the clocks are, no job waits longer than the threshold.

    :param silent_since: until then the old server may have run it. :param new_time: ``now`` by the new server's clock.
    """
    behind = max(now - new_time, timedelta(0))
    return min(silent_since + CLOCKS + behind, now) + MISFIRE_THRESHOLD


def just_ran(
    ran: Mapping[JobKey, datetime | None], *, old_time: datetime, new_time: datetime, now: datetime
) -> dict[JobKey, datetime]:
    """Find jobs that the old server has just run, and the new one would run again if it were resumed now.

    The slower of both clocks counts, since the new server looks back by its own. However far apart they are, no job
    waits longer than the threshold.

    :param ran: when each job ran last on the old server. :param old_time: the present time by that server's clock.
    :return: until when each job has to wait, by the clock of this machine.
    """
    since = min(old_time, new_time) - MISFIRE_THRESHOLD - CLOCKS
    latest = now + MISFIRE_THRESHOLD
    return {key: min(at + MISFIRE_THRESHOLD - (new_time - now), latest) for key, at in ran.items() if at and at > since}


def risky(
    crons: Mapping[JobKey, Sequence[str]], *, since: datetime, until: datetime, zone: tzinfo
) -> dict[JobKey, datetime]:
    """Find jobs with an execution by cron after ``since`` and not after ``until``, and the last one of each.

    The other server may have run that occurrence already, and Quartz runs it again when a trigger is resumed whose
    time passed less than its misfire threshold ago, 60 seconds by default [Q]. Crons that cannot be read are ignored.
    """
    latest: dict[str, datetime | None] = {}
    for expression in {each for row in crons.values() for each in row}:
        with suppress(CronError):
            latest[expression] = _last_between(QuartzCron(expression), since, until, zone)
    found = {key: [at for each in row if (at := latest.get(each))] for key, row in crons.items()}
    return {key: max(times) for key, times in found.items() if times}


def _last_between(cron: QuartzCron, since: datetime, until: datetime, zone: tzinfo) -> datetime | None:
    """Return the last execution after ``since`` and not after ``until``; look back from ``until`` in growing steps."""
    if not _fires(cron, since, until, zone):
        return None
    back = _SECOND
    while not _fires(cron, until - back, until, zone):
        back *= 2
    return max(cron.between(until - back, until, zone))


def _fires(cron: QuartzCron, since: datetime, until: datetime, zone: tzinfo) -> bool:
    execution = cron.next_after(since, zone)
    return execution is not None and execution <= until
