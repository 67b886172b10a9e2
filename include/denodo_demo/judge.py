"""Judge by the two servers' own records: runs in the execution journals, enabled jobs in the audits.

The product under test has no part in this: it is judged by what happened on the servers, not by what it reports.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from itertools import chain
from typing import Any, TypeAlias

from denodo_ha.jobs import fold
from denodo_ha.quartz.cron import QuartzCron

Entry: TypeAlias = Mapping[str, Any]
Job: TypeAlias = tuple[str, str]
"""A job, as project and name in folded case."""


@dataclass(frozen=True, order=True)
class Occurrence:
    """One scheduled start of one job; ``project`` and ``job`` in folded case, since their case may differ."""

    project: str
    job: str
    scheduled: datetime


@dataclass(frozen=True)
class Exposure:
    """A period in which jobs were enabled on a server; ``end`` is None if they still are.

    ``jobs`` is how many were enabled at most at one time.
    """

    start: datetime
    end: datetime | None
    jobs: int

    @property
    def seconds(self) -> float:
        """The length in seconds; infinite while it goes on."""
        return float("inf") if self.end is None else (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Turn:
    """A period, after ``since`` and up to ``until``, in which jobs are due by the clock of one server."""

    zone: tzinfo
    since: datetime
    until: datetime


class Fate(StrEnum):
    """The fate of an occurrence."""

    MASTER = "ran on the master"
    SLAVE = "ran on the slave"
    LATE = "ran late"
    LISTED = "missed, and listed"
    LOST = "missed, not listed"
    TWICE = "ran twice"
    NOT_DUE = "ran, though not due"


def due(crons: Mapping[Job, Sequence[str]], turns: Iterable[Turn]) -> set[Occurrence]:
    """Return the occurrences by the crons, each by the clock of the server that is active in that period."""
    jobs_of: dict[str, list[Job]] = {}
    for job, expressions in crons.items():
        for expression in expressions:
            jobs_of.setdefault(expression, []).append(job)
    return {
        Occurrence(*job, at)
        for turn in turns
        for expression, jobs in jobs_of.items()
        for at in QuartzCron(expression).between(turn.since, turn.until, turn.zone)
        for job in jobs
    }


def fates(
    wanted: Collection[Occurrence],
    master_journal: Iterable[Entry],
    slave_journal: Iterable[Entry],
    listed: Collection[tuple[str, datetime]],
    told_late: Collection[tuple[str, datetime]] = (),
) -> dict[Occurrence, Fate]:
    """Return the fate of the ``wanted`` occurrences, and of those that ran although they were not wanted.

    A run that Quartz makes up for when a trigger is resumed (trigger ``misfire``) has the time of its start, so it is
    no occurrence; see :func:`made_up`. It stands for all that its job has missed since the job ran before.

    :param listed: the missed occurrences of the failover's event, as :func:`missed` reads them.
    :param told_late: the jobs that it says ran late, as :func:`late` reads them.
    """
    journals = list(master_journal), list(slave_journal)
    master, slave = map(_counted, journals)
    runs = _runs(chain(*journals))

    def ran_late(each: Occurrence) -> bool:
        after = [(at, trigger) for at, trigger in runs[each.project, each.job] if at >= each.scheduled]
        at, trigger = min(after, default=(datetime.max.replace(tzinfo=UTC), ""))
        name = f"{each.project} / {each.job}"
        return trigger == "misfire" or any(told == name and at <= until for told, until in told_late)

    def fate(each: Occurrence) -> Fate:
        if master[each] + slave[each] > 1:
            return Fate.TWICE
        if master[each] + slave[each] == 0:
            if (f"{each.project} / {each.job}", each.scheduled) in listed:
                return Fate.LISTED
            return Fate.LATE if ran_late(each) else Fate.LOST
        if each not in wanted:
            return Fate.NOT_DUE
        return Fate.MASTER if master[each] else Fate.SLAVE

    return {each: fate(each) for each in sorted({*wanted, *master, *slave})}


def missed(event: Entry) -> set[tuple[str, datetime]]:
    """Return the occurrences that a failover's event lists as missed: folded name with project, and time."""
    return {(fold(each["job"]), _moment(each["at"])) for each in event["missed"]["listed"]}


def late(event: Entry) -> set[tuple[str, datetime]]:
    """Return the jobs of which an event says that they ran late: folded name with project, and when it was made."""
    return {(fold(name), _moment(event["at"])) for name in event["burst"]["names"]}


def made_up(journal: Iterable[Entry]) -> list[Entry]:
    """Return the runs by Quartz's misfire policy: a trigger that was overdue when it was resumed fires at once."""
    return [run for run in journal if run["trigger"] == "misfire"]


def double_runs(master_journal: Iterable[Entry], slave_journal: Iterable[Entry]) -> list[Occurrence]:
    """Return the scheduled occurrences that ran on both servers, in order.

    A run without a scheduled time, such as one started by hand, is no occurrence.
    """
    return sorted(_occurrences(master_journal) & _occurrences(slave_journal))


def exposures(audit: Iterable[Entry]) -> list[Exposure]:
    """Return the periods in which at least one job was enabled, from the audit; the server began without jobs."""
    enabled: set[tuple[str, str]] = set()
    found: list[Exposure] = []
    start, most = datetime.min, 0
    for entry in sorted(audit, key=lambda entry: entry["seq"]):
        job, at = _job(entry), _moment(entry["at"])
        if entry["change"] == "enabled":
            if not enabled:
                start, most = at, 0
            enabled.add(job)
            most = max(most, len(enabled))
        elif entry["change"] in ("disabled", "deleted") and job in enabled:
            enabled.remove(job)
            if not enabled:
                found.append(Exposure(start, at, most))
    return [*found, Exposure(start, None, most)] if enabled else found


def _counted(journal: Iterable[Entry]) -> Counter[Occurrence]:
    scheduled = (run for run in journal if run.get("scheduled") and run["trigger"] != "misfire")
    return Counter(Occurrence(*_job(run), _moment(run["scheduled"])) for run in scheduled)


def _runs(journal: Iterable[Entry]) -> dict[Job, list[tuple[datetime, str]]]:
    """When each job ran, and what started it."""
    found: dict[Job, list[tuple[datetime, str]]] = defaultdict(list)
    for run in journal:
        found[_job(run)].append((_moment(run["start"]), run["trigger"]))
    return found


def _occurrences(journal: Iterable[Entry]) -> set[Occurrence]:
    return {Occurrence(*_job(run), _moment(run["scheduled"])) for run in journal if run.get("scheduled")}


def _job(entry: Entry) -> Job:
    return fold(entry["project"]), fold(entry["job"])


def _moment(iso: str) -> datetime:
    return datetime.fromisoformat(iso)
