"""The coming day of a server by the crons of its jobs: what is due in each minute, and when nothing is.

The jobs are those that were last seen on the server, so nothing is asked of it. What the server said of a job's next
execution counts besides its crons.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from typing import Any, NamedTuple

from denodo_ha.jobs import JobKey
from denodo_ha.quartz.cron import CronError, read_fields
from denodo_ha.quartz.minutes import Period, Tally
from denodo_ha.quartz.missed import UNKNOWN_ZONE, ServerZone, server_zone
from denodo_ha.quiet_window import windows
from denodo_ha.record import Role
from denodo_ha.seen import SeenServer
from denodo_ha.snapshot.manifest import Manifest, ManifestJob

DAY, HOUR = 24 * 60, 60
"""Minutes."""
_BUSIEST = 10
_SAMPLE = 20
"""From how many crons the time zone is inferred: each next execution rules most zones out."""
_OLDEST = timedelta(days=7)
"""How old next executions may be from which the time zone is inferred."""
_MINUTE, _LAST = timedelta(minutes=1), timedelta(seconds=59)


class DueJob(NamedTuple):
    """An enabled job with its crons, and the next execution that its server said; None: it executes no more."""

    key: JobKey
    crons: tuple[str, ...]
    next_execution: datetime | None


@dataclass(frozen=True)
class QuietDay:
    """What is due in the coming day and an hour, so that it can be told for any minute of that hour.

    :param begin: a whole hour. :param minutes: how many executions are due in each minute.
    :param busiest: the jobs that are due most often in the first day, and how often. :param note: what is not foreseen.
    """

    begin: datetime
    minutes: tuple[int, ...]
    busiest: tuple[tuple[JobKey, int], ...]
    zone: ServerZone
    note: str

    def to_json(self, of: Role, now: datetime, reach: timedelta) -> dict[str, Any]:
        """Return the day that begins with the minute of ``now``, for the page.

        :param of: the server. :param reach: how long a quiet window is, its margin included.
        """
        past = max(0, min(HOUR, (now - self.begin) // _MINUTE))
        begin, minutes = self.begin + past * _MINUTE, self.minutes[past : past + DAY]
        busy = [begin + number * _MINUTE for number, due in enumerate(minutes) if due]
        executions = [moment for minute in busy for moment in (minute, minute + _LAST)]
        quiet = windows(executions, begin, reach=reach, end=begin + DAY * _MINUTE)
        return {
            "of": str(of),
            "begin": begin.isoformat(),
            "minutes": list(minutes),
            "busiest": [{"job": str(key), "count": count} for key, count in self.busiest],
            "windows": [{"begin": first.isoformat(), "end": end.isoformat()} for first, end in quiet],
            "window_seconds": int(reach.total_seconds()),
            "zone": str(self.zone),
            "note": self.note,
            "problem": None,
        }


def due_jobs(server: SeenServer, crons: Mapping[JobKey, tuple[str, ...]]) -> tuple[DueJob, ...]:
    """Return the enabled jobs of a server as it was seen. :param crons: those of each job in the last snapshot."""
    return tuple(DueJob(job.key, crons.get(job.key, ()), job.next_execution) for job in server.jobs if job.enabled)


def quiet_day(jobs: Sequence[DueJob], seen: datetime, now: datetime, zone: ServerZone | None) -> QuietDay:
    """Calculate what is due from the hour of ``now`` on.

    :param seen: when the server said its jobs' next executions. :param zone: its time zone, if the pair says one.
    """
    begin = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    length = DAY + HOUR
    zone = zone or _inferred(jobs, seen, begin + length * _MINUTE)
    period, tally = Period(begin, length, zone.zone), Tally()
    counts: dict[JobKey, int] = {}
    unreadable = unexplained = without = 0
    for job in jobs:
        if job.next_execution is None:
            continue
        try:
            due = dict(period.due(job.crons)) if job.crons else {}
        except CronError:
            due, unreadable = {}, unreadable + 1
        without += not job.crons
        first = period.minute_of(job.next_execution)
        if first >= 0:
            due = _from(due, first)
            if first < length and not any(minutes >> first & 1 for minutes in due):
                due[1 << first] = due.get(1 << first, 0) + 1
                unexplained += bool(job.crons)
        for minutes, times in due.items():
            tally.add(minutes, times)
        day = (1 << DAY) - 1
        counts[job.key] = sum((minutes & day).bit_count() * times for minutes, times in due.items())
    most = nsmallest(_BUSIEST, ((-count, key) for key, count in counts.items() if count))
    busiest = tuple((key, -count) for count, key in most)
    note = _note(zone, unreadable=unreadable, unexplained=unexplained - unreadable, without=without)
    return QuietDay(begin, tuple(tally.counts(length)), busiest, zone, note)


def _from(due: Mapping[int, int], first: int) -> dict[int, int]:
    """Leave out what is before the next execution that the server said: it begins later, or a minute is over."""
    found: dict[int, int] = {}
    for minutes, times in due.items():
        left = minutes >> first << first
        found[left] = found.get(left, 0) + times
    return found


def _inferred(jobs: Sequence[DueJob], seen: datetime, until: datetime) -> ServerZone:
    """Infer the time zone as for a failover, but of few crons, of those first that depend on the hour."""
    if until - seen > _OLDEST:
        return UNKNOWN_ZONE
    first_of = {job.crons: job for job in reversed(jobs) if job.crons and job.next_execution}
    telling = [job for job in first_of.values() if _depends_on_the_hour(job.crons)]
    chosen = telling[:_SAMPLE] or list(first_of.values())[:3]
    rows = [
        ManifestJob(
            key=job.key, type="", enabled=True, definition_hash="", crons=job.crons, next_execution=job.next_execution
        )
        for job in chosen
    ]
    return server_zone(Manifest(jobs=tuple(rows)), seen, until)


def _depends_on_the_hour(crons: Collection[str]) -> bool:
    try:
        return all(len(read_fields(cron)[2].values) < 24 for cron in crons)
    except CronError:
        return False


def _note(zone: ServerZone, **counts: int) -> str:
    """Say what is not foreseen, in sentences."""
    said = {
        "unreadable": "{} jobs have a cron that cannot be read; only their next execution counts.",
        "without": "{} jobs have no known cron, such as those that were made since the last sync; only their next "
        "execution counts.",
        "unexplained": "{} jobs are due next at a time that the crons of the last snapshot do not give: they were "
        "edited since, or the server has another time zone.",
    }
    sentences = ["Not foreseen: how long jobs run, and jobs that a person or only a dependency starts."]
    if zone is UNKNOWN_ZONE:
        sentences.append(
            "The server's time zone is not known and taken to be UTC; say it with 'master_timezone' or "
            "'slave_timezone' of the pair."
        )
    sentences += [text.format(counts[name]) for name, text in said.items() if counts[name]]
    return " ".join(sentences)


def unknown_day(of: Role, problem: str) -> dict[str, Any]:
    """What the page is told where nothing is known. :param problem: why, and what to do."""
    nothing: dict[str, Any] = {"begin": None, "minutes": [], "busiest": [], "windows": [], "window_seconds": 0}
    return {"of": str(of), **nothing, "zone": "", "note": "", "problem": problem}
