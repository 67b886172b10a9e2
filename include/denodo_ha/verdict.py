"""Judge whether the master is alive: the answers on each path give a verdict, and a series of verdicts is evidence.

Path 1 goes through the master's web tool; path 2 through the slave's web tool, asked about the master. The slave's web
tool is asked about its own server too, because only a web tool that works can say that another server does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from denodo_ha.text import moment

PATHS = MASTER, SECOND, SLAVE = "master", "second", "slave"


class Answer(StrEnum):
    """What one request over one path proves."""

    UP = "up"
    """A valid answer: the Scheduler server lives."""
    FAILED = "failed"
    """5xx: a web tool answers, without proof of a living server behind it."""
    NO_ANSWER = "no_answer"
    """Refused, reset, or nothing before the deadline."""
    MISCONFIGURED = "misconfigured"
    """400, 401, 403, 404, TLS, a redirect, HTML, JSON of another kind, a name that does not resolve, a proxy that
    cannot be reached, an answer of the slave's own server: it proves nothing about the server."""
    NOT_ASKED = "not_asked"
    """The pair has no such path."""


class Verdict(StrEnum):
    """What all paths together say about the master."""

    UP = "up"
    CONTROL_PATH_BROKEN = "control_path_broken"
    DOWN = "down"
    UNKNOWN = "unknown"
    MISCONFIGURED = "misconfigured"
    ISOLATED = "isolated"

    @property
    def alive(self) -> bool:
        """Whether the master was heard on any path."""
        return self in (Verdict.UP, Verdict.CONTROL_PATH_BROKEN)


_SILENT = (Answer.FAILED, Answer.NO_ANSWER)


def verdict(master: Answer, second: Answer, slave: Answer) -> Verdict:
    """Judge one round of requests.

    :param master: path 1, through the master's web tool.
    :param second: path 2, through the slave's web tool.
    :param slave: the slave's web tool about its own server.
    """
    if master is Answer.UP:
        return Verdict.UP
    if second is Answer.UP:
        return Verdict.CONTROL_PATH_BROKEN
    if master is Answer.MISCONFIGURED:
        return Verdict.MISCONFIGURED
    if master in _SILENT and second in _SILENT and slave is Answer.UP:
        return Verdict.DOWN
    if master is Answer.NO_ANSWER and slave is Answer.NO_ANSWER:
        return Verdict.ISOLATED
    return Verdict.UNKNOWN


@dataclass(frozen=True)
class Reply:
    """What one path, or one ``ping.sh``, was asked for: its answer, how long that took, and what there is to say.

    :param elsewhere: another server has answered in place of the one that was asked for.
    """

    answer: Answer
    seconds: float
    detail: str = ""
    elsewhere: bool = False


_ANSWERS = {
    MASTER: "the master's web tool passes the question on, and the master's Scheduler answers",
    SECOND: "the slave's web tool passes the question on, and the master's Scheduler answers",
    SLAVE: "the slave's web tool passes the question on, and the slave's Scheduler answers",
}


def said(path: str, reply: Reply, at: datetime) -> dict[str, Any]:
    """Return what was heard on a path, for a person and for what shows it: answer, clause, moment and seconds.

    :param at: when it was asked.
    """
    what = reply.detail or (_ANSWERS[path] if reply.answer is Answer.UP else "nothing more is known")
    return {"said": str(reply.answer), "what": what, "at": at.isoformat(), "seconds": reply.seconds}


@dataclass(frozen=True)
class Observation:
    """One round of requests: ``at`` is when it was sent, ``seconds`` how long each path took, ``details`` what failed.

    The keys of ``seconds`` and ``details`` are :data:`PATHS`.

    :param common: what both paths to the master have in common, so that it may have failed for both; or empty.
    """

    at: datetime
    master: Answer
    second: Answer
    slave: Answer
    seconds: dict[str, float] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    common: str = ""

    @classmethod
    def of(cls, at: datetime, heard: Mapping[str, Reply], pings: Mapping[str, Reply], common: str = "") -> Self:
        """Sum up a round.

        :param heard: per path that was asked.
        :param pings: what ``ping.sh`` says about the master, per path that has one. That it is up counts as an answer
            on path 2; anything else proves nothing [D].
        """
        answers = {path: heard[path].answer if path in heard else Answer.NOT_ASKED for path in PATHS}
        if any(ping.answer is Answer.UP for ping in pings.values()):
            answers[SECOND] = Answer.UP
        said = {path: [each[path].detail for each in (heard, pings) if path in each] for path in PATHS}
        details = {path: "; ".join(filter(None, texts)) for path, texts in said.items() if any(texts)}
        seconds = {path: each.seconds for path, each in heard.items()}
        return cls(at=at, **answers, seconds=seconds, details=details, common=common)

    @property
    def verdict(self) -> Verdict:
        return verdict(self.master, self.second, self.slave)

    @property
    def paths(self) -> dict[str, dict[str, Any]]:
        """What was heard on each path that was asked, see :func:`said`."""
        replies = {
            path: Reply(getattr(self, path), seconds, self.details.get(path, ""))
            for path, seconds in self.seconds.items()
        }
        return {path: said(path, reply, self.at) for path, reply in replies.items()}

    def to_json(self) -> dict[str, Any]:
        answers = {path: str(getattr(self, path)) for path in PATHS}
        return {**asdict(self), **answers, "at": self.at.isoformat(), "verdict": str(self.verdict)}

    def __str__(self) -> str:
        said = "; ".join([*(f"{path}: {what}" for path, what in self.details.items()), *filter(None, [self.common])])
        return f"{self.verdict}{f' ({said})' if said else ''}"


@dataclass(frozen=True)
class Evidence:
    """The observations of one watch, from its start to its verdict; times are those of Airflow's machine.

    :param verdict: the last confirmed verdict.
    :param decided: when the last round was sent; evidence that is much older is stale.
    :param streak: how many rounds in a row had that verdict.
    :param since: when the first of them was sent.
    :param last_alive: when the master was last heard, if it was.
    :param rounds: how many rounds there were in all.
    :param common: what both paths to the master had in common in the last round, or empty.
    :param latest: the last rounds, newest last.
    """

    verdict: Verdict
    decided: datetime
    streak: int
    since: datetime
    last_alive: datetime | None
    rounds: int
    common: str = ""
    latest: tuple[Observation, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": str(self.verdict),
            "decided": self.decided.isoformat(),
            "streak": self.streak,
            "since": self.since.isoformat(),
            "last_alive": self.last_alive.isoformat() if self.last_alive else None,
            "rounds": self.rounds,
            "common": self.common,
            "latest": [each.to_json() for each in self.latest],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Evidence:
        """Read what :meth:`to_json` wrote, without the single rounds."""
        return cls(
            verdict=Verdict(value["verdict"]),
            decided=moment(value["decided"]),
            streak=int(value["streak"]),
            since=moment(value["since"]),
            last_alive=moment(value["last_alive"]) if value["last_alive"] else None,
            rounds=int(value["rounds"]),
            common=str(value.get("common", "")),
        )


def goes_on(before: datetime, now: datetime, gap: timedelta | None) -> bool:
    """Whether a round follows the one before, and not a longer time in which this process slept, nor an earlier one."""
    return gap is None or timedelta(0) <= now - before <= gap


class Watch:
    """Gather evidence round by round until a verdict is confirmed.

    "Up" is confirmed at once, any other verdict by ``fall`` rounds in a row.

    :param fall: at least 1.
    :param keep: how many rounds the evidence lists.
    :param gap: the longest time from one round to the next, see :func:`goes_on`; after a longer one the rounds before
        prove nothing any more. None: there is no such limit.
    """

    def __init__(self, fall: int, keep: int = 10, gap: timedelta | None = None) -> None:
        self._fall = fall
        self._gap = gap
        self._latest: deque[Observation] = deque(maxlen=keep)
        self._streak = 0
        self._rounds = 0
        self._since: datetime | None = None
        self._last_alive: datetime | None = None

    def add(self, observation: Observation) -> Evidence | None:
        """Add one round; return the evidence if its verdict is confirmed now, None as long as it is not."""
        same = bool(self._latest) and self._follows(self._latest[-1], observation)
        self._streak = self._streak + 1 if same else 1
        if not same or self._since is None:
            self._since = observation.at
        self._rounds += 1
        self._latest.append(observation)
        if observation.verdict.alive:
            self._last_alive = observation.at
        confirmed = observation.verdict is Verdict.UP or self._streak >= self._fall
        return self._evidence(observation, self._since) if confirmed else None

    def _follows(self, before: Observation, observation: Observation) -> bool:
        """Whether a round goes on with what the one before has seen."""
        return goes_on(before.at, observation.at, self._gap) and before.verdict is observation.verdict

    def _evidence(self, last: Observation, since: datetime) -> Evidence:
        return Evidence(
            verdict=last.verdict,
            decided=last.at,
            streak=self._streak,
            since=since,
            last_alive=self._last_alive,
            rounds=self._rounds,
            common=last.common,
            latest=tuple(self._latest),
        )
