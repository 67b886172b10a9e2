"""Which run of a job is the one that is waited for, and how it ended, judged by the job's status and its reports.

Denodo gives a start no id [V], so a run is recognised by what was not there before. Of a report only ``result`` is
published [V]; a job can be set to keep reports of errors only [S], so a run may leave none. All moments are the
server's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from denodo_ha.errors import redacted
from denodo_ha.jobs import JobState, JobStatus, Report
from denodo_ha.quiet_window import clock
from denodo_ha.record import Phase, Record, Role
from denodo_ha.text import listed, one_line

ENDED_WELL = ("COMPLETE", "COMPLETED", "WARNING")
"""The results of runs that did their work [V]; COMPLETED is that of version 7.0."""
_NO_RUN = ("NEVER_EXECUTED", "MISFIRED", None)
"""Results that are not those of a run [V]."""
_MOST, _LONGEST, _DEEPEST = 50, 500, 20
_SAYS = ("error", "exception", "warning", "cause", "message", "detail")
_NAMES_A_FILE = ("file", "path")
_COUNTS_NOTHING = ("id", "ids", "time", "date", "version", "code", "status")


def is_under_way(state: JobState) -> bool:
    """Whether a run goes on, or waits for the jobs on which it depends. To be safe, an unknown state does."""
    return state in (JobState.RUNNING, JobState.WAITING, JobState.UNKNOWN)


class Baseline(BaseModel):
    """What a server showed of a job right before its run.

    :param at: when. :param state: the job's state. :param report: what identifies the newest report; empty for none.
    :param result: the result of the last run. :param previous: when that was, as the status says it.
    """

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    state: JobState
    report: str = ""
    result: str | None = None
    previous: datetime | None = None

    @classmethod
    def of(cls, status: JobStatus, reports: Sequence[Report], at: datetime) -> Baseline:
        """Take it from a status, and from the reports, newest first.

        A run that ended before must be among the reports, and one that is to be waited for must not. So they are read
        after a status that shows no run, and before one that does.
        """
        newest = identity(reports[0]) if reports else ""
        return cls(
            at=at, state=status.state, report=newest, result=status.result, previous=_utc(status.previous_execution)
        )

    @property
    def under_way(self) -> bool:
        return is_under_way(self.state)


class Start(BaseModel):
    """A start as it is noted before it is sent, so that the next try of the task does not send it again.

    :param conn_id: connection of the server. :param try_number: which try of the task it is of.
    :param answered: the server has accepted it. :param own: the task has sent it, and not found the job running.
    """

    model_config = ConfigDict(frozen=True)

    conn_id: str
    try_number: int
    before: Baseline
    answered: bool = False
    own: bool = True


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    :param reported: whether a report says so; otherwise the job's status does.
    :param content: the report as it came.
    """

    result: str | None
    started: datetime | None = None
    ended: datetime | None = None
    reported: bool = True
    content: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, report: Report) -> Run:
        return cls(report.result, _utc(report.start), _utc(report.end), content=report.raw)

    def to_json(self) -> dict[str, Any]:
        """Return what is handed on, as plain JSON of a bounded size.

        What a report holds beside its result is unpublished [G]: ``messages`` are its texts, ``counts`` its numbers and
        ``files`` its files, each found by its name and empty where the report has nothing of the kind.
        """
        return {
            "result": self.result,
            "started": self.started.isoformat() if self.started else None,
            "ended": self.ended.isoformat() if self.ended else None,
            "reported": self.reported,
            "messages": _texts(self.content, _SAYS),
            "counts": dict(islice(_counts(self.content), _MOST)),
            "files": _texts(self.content, _NAMES_A_FILE),
        }


@dataclass(frozen=True)
class Sight:
    """What one look at a server shows of the run.

    :param begun: whether it has begun. :param run: the run, if it has ended.
    """

    begun: bool
    run: Run | None = None


def own_run(before: Baseline, status: JobStatus, reports: Sequence[Report], *, seen_running: bool = False) -> Sight:
    """Look for the run of a start: the first one that ended after ``before``.

    Without a report, the status tells: the job runs no more, and was seen running, or has another result or another
    previous execution than before.

    :param reports: newest first [V]. :param seen_running: the job was RUNNING at an earlier look.
    """
    if newer := _newer(before, reports):
        return Sight(begun=True, run=Run.of(newer[-1]))
    if is_under_way(status.state):
        return Sight(begun=True)
    changed = (status.result, _utc(status.previous_execution)) != (before.result, before.previous)
    ran = seen_running or before.state is JobState.RUNNING or changed
    if ran and status.result not in _NO_RUN:
        return Sight(begun=True, run=Run(status.result, reported=False))
    return Sight(begun=False)


def latest_run(
    since: datetime, status: JobStatus, reports: Sequence[Report], *, results: Collection[str] | None = None
) -> Sight:
    """Look for the newest run that ended at ``since`` or later; of one without a report by its previous execution.

    :param results: only runs with such a result count.
    """

    def counts(result: str | None) -> bool:
        return results is None or result in results

    found = [Run.of(report) for report in reports if counts(report.result)]
    timed = [(moment, run) for run in found if (moment := run.ended or run.started) and moment >= since]
    if timed:
        return Sight(begun=True, run=max(timed, key=lambda each: each[0])[1])
    if is_under_way(status.state):
        return Sight(begun=True)
    previous = _utc(status.previous_execution)
    if previous and previous >= since and status.result not in _NO_RUN and counts(status.result):
        return Sight(begun=True, run=Run(status.result, reported=False))
    return Sight(begun=False)


def described(run: dict[str, Any]) -> str:
    """Say how a run ended, from what :meth:`Run.to_json` gives: a clause without a full stop."""
    times = [clock(datetime.fromisoformat(run[name])) for name in ("started", "ended") if run[name]]
    when = f" ({' to '.join(times)})" if times else ""
    if not run["reported"]:
        return f"ended as {run['result']}{when}, says its status; no report of it is there"
    said = listed((f'"{text}"' for text in run["messages"]), 10)
    return f"ended as {run['result']}{when}" + (
        f". Its report says: {said}" if said else ". Its report gives no reason"
    )


def settled_role(record: Record) -> Role | None:
    """Return which server of a pair is active; None while that changes."""
    phase = record.halted.phase if record.halted else record.phase
    return None if phase in (Phase.FAILING_OVER, Phase.FAILING_BACK) else record.active


def identity(report: Report) -> str:
    """Return what tells a report from every other one of its job."""
    return hashlib.sha256(json.dumps(report.raw, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _newer(before: Baseline, reports: Sequence[Report]) -> list[Report]:
    """The reports that were not there before, newest first.

    Where the report that was the newest one is not found, because it was deleted or its content changes, times decide.
    """
    known = [identity(report) for report in reports]
    if not before.report:
        return list(reports)
    if before.report in known:
        return list(reports[: known.index(before.report)])
    moments = [_utc(report.end if before.under_way else report.start) for report in reports]
    return [report for report, moment in zip(reports, moments, strict=True) if moment and moment >= before.at]


def _utc(moment: datetime | None) -> datetime | None:
    """A time of an answer, which is UTC [V]."""
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _leaves(raw: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if len(path) > _DEEPEST:
        return
    if isinstance(raw, dict):
        for name, value in raw.items():
            yield from _leaves(value, (*path, str(name)))
    elif isinstance(raw, list):
        for number, value in enumerate(raw):
            yield from _leaves(value, (*path, str(number)))
    else:
        yield path, raw


def _named(path: tuple[str, ...], words: Collection[str]) -> bool:
    return any(word in name.casefold() for name in path for word in words)


def _texts(content: Any, words: Collection[str]) -> list[str]:
    found = (value for path, value in _leaves(content) if isinstance(value, str) and _named(path, words))
    said = islice((text for text in found if text.strip()), _MOST)
    # Cut first, because a text may be huge; twice as long, so that the cut does not hide that a secret is one.
    return list(dict.fromkeys(redacted(one_line(text[: 2 * _LONGEST]))[:_LONGEST] for text in said))


def _counts(content: Any) -> Iterator[tuple[str, int]]:
    for path, value in _leaves(content):
        name = path[-1].casefold() if path else ""
        if isinstance(value, int) and not isinstance(value, bool) and not name.endswith(_COUNTS_NOTHING):
            yield ".".join(path)[:_LONGEST], value
