"""Which run of a job is the one that is waited for, and how it ended, judged by the job's status and its reports.

Denodo gives a start no id [V], so a run is recognised by what was not there before. Of a report only ``result`` is
published [V]; a job can be set to keep reports of errors only [S], so a run may leave none. All moments are the
server's own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from denodo_ha.definitions import is_secret
from denodo_ha.errors import redacted, without_secrets
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
_WORD = re.compile(r"IDs|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_FILES = frozenset({"file", "files", "path", "paths", "filename", "filenames", "filepath", "filepaths"})
_OF_A_FILE = frozenset({"name", "names", "uri", "url", "location"})
"""What is the file itself where the name before it, or the object around it, means a file."""
_COUNTS_NOTHING = frozenset({"id", "ids", "time", "date", "timestamp", "version", "code", "status"})
_DIGITS = re.compile(r"0|[1-9][0-9]{0,17}")
_A_PATH = re.compile(r"(?:[A-Za-z]:)?(?:/(?!/)|\\(?!\\))|[^:]*$")
"""What begins like a path, or has no colon, holds no password before an @."""
NO_TIMES = "its reports carry no times that are understood"


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


class Looks(BaseModel):
    """What the looks at a job have shown so far in one wait, as each trigger hands it on to the next.

    :param server: connection of the server. :param count: how many looks there were.
    :param works: a request was answered as it should be. :param begun: the state in which a look has shown the run.
    :param begin_by: when the run must have begun; None: any time. :param refused_since: since when each request was
        refused, or its answer not understood; None: the last one was not.
    """

    server: str
    count: int = 0
    works: bool = False
    begun: JobState | None = None
    begin_by: AwareDatetime | None = None
    refused_since: AwareDatetime | None = None

    def saw(self, state: JobState) -> None:
        """Note a state; RUNNING says the most of a run, and stays."""
        if is_under_way(state) and self.begun is not JobState.RUNNING:
            self.begun = state

    def refused(self, now: datetime) -> timedelta:
        """Note a refusal, and return for how long there was nothing else."""
        self.refused_since = self.refused_since or now
        return now - self.refused_since


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
            "messages": _messages(self.content),
            "counts": dict(islice(_counts(self.content), _MOST)),
            "files": _files(self.content),
        }


@dataclass(frozen=True)
class Sight:
    """What one look at a server shows of the run.

    :param begun: whether it has begun. :param run: the run, if it has ended.
    :param doubt: why it may be there and is not seen; a clause.
    """

    begun: bool
    run: Run | None = None
    doubt: str = ""


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
    """Look for the newest run that ended at ``since`` or later.

    Where no report carries a time, because its names are unpublished, and for a run without a report, the status tells:
    its previous execution [V] is at ``since`` or later. Its run is that of the newest report [V: newest first] if that
    has the result of the status; otherwise its report is late, or not kept.

    :param results: only runs with such a result count.
    """

    def counts(result: str | None) -> bool:
        return results is None or result in results

    runs = [Run.of(report) for report in reports]
    timed = [(moment, run) for run in runs if (moment := run.ended or run.started)]
    if found := [each for each in timed if counts(each[1].result) and each[0] >= since]:
        return Sight(begun=True, run=max(found, key=lambda each: each[0])[1])
    if is_under_way(status.state):
        return Sight(begun=True)
    previous = _utc(status.previous_execution)
    if previous and previous >= since and status.result not in _NO_RUN and counts(status.result):
        reported = runs and not timed and runs[0].result == status.result
        return Sight(begun=True, run=runs[0] if reported else Run(status.result, reported=False))
    return Sight(begun=False, doubt=NO_TIMES if runs and not timed else "")


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


def _words(path: tuple[str, ...]) -> list[list[str]]:
    """The words of the names of a place, its own name first; the number of an element is no name."""
    return [list(map(str.casefold, _WORD.findall(name))) for name in reversed(path) if not name.isdecimal()]


def _names_a_file(path: tuple[str, ...]) -> bool:
    own, around = [*_words(path), [], []][:2]
    if not own or own[-1] not in _OF_A_FILE:
        return bool(own) and own[-1] in _FILES
    return not _FILES.isdisjoint(own[:-1] or around[-1:])


def _messages(content: Any) -> list[str]:
    said = (
        value
        for path, value in _leaves(content)
        if any(word in name.casefold() for name in path for word in _SAYS) and not any(map(is_secret, path))
    )
    return _texts(said, redacted)


def _files(content: Any) -> list[str]:
    named = (value for path, value in _leaves(content) if _names_a_file(path))
    return _texts(named, lambda text: without_secrets(text) if _A_PATH.match(text) else redacted(text))


def _texts(values: Iterator[Any], safe: Callable[[str], str]) -> list[str]:
    said = islice((text for text in values if isinstance(text, str) and text.strip()), _MOST)
    # Cut first, because a text may be huge; twice as long, so that the cut does not hide that a secret is one.
    return list(dict.fromkeys(safe(one_line(text[: 2 * _LONGEST]))[:_LONGEST] for text in said))


def _counts(content: Any) -> Iterator[tuple[str, int]]:
    for path, value in _leaves(content):
        words = next(iter(_words(path)), [])
        if (number := _whole(value)) is not None and _COUNTS_NOTHING.isdisjoint(words[-1:]):
            yield ".".join(path)[:_LONGEST], number


def _whole(value: Any) -> int | None:
    """A whole number, however JSON says it."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18 else None
