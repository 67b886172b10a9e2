"""What the two servers' own books say: runs in the execution journals, enabled jobs in the audits.

The product under test has no part in this: it is judged by what happened on the servers, not by what it believes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

Entry: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Occurrence:
    """One scheduled start of one job; ``project`` and ``job`` in folded case, since their case may differ."""

    project: str
    job: str
    scheduled: datetime


@dataclass(frozen=True)
class Exposure:
    """A time in which jobs were enabled on a server; ``end`` is None when they still are.

    ``jobs`` is how many were enabled at most at one time.
    """

    start: datetime
    end: datetime | None
    jobs: int

    @property
    def seconds(self) -> float:
        """Length in seconds; infinite while it goes on."""
        return float("inf") if self.end is None else (self.end - self.start).total_seconds()


def double_runs(master_journal: Iterable[Entry], slave_journal: Iterable[Entry]) -> list[Occurrence]:
    """Scheduled occurrences that ran on both servers, in order.

    A run without a scheduled time, such as one started by hand, is no occurrence.
    """
    return sorted(_occurrences(master_journal) & _occurrences(slave_journal))


def exposures(audit: Iterable[Entry]) -> list[Exposure]:
    """The times in which at least one job of a server was enabled, from its audit; the server began without jobs."""
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


def _occurrences(journal: Iterable[Entry]) -> set[Occurrence]:
    return {Occurrence(*_job(run), _moment(run["scheduled"])) for run in journal if run.get("scheduled")}


def _job(entry: Entry) -> tuple[str, str]:
    return entry["project"].casefold(), entry["job"].casefold()


def _moment(iso: str) -> datetime:
    return datetime.fromisoformat(iso)
