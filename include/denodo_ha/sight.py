"""What is known of a pair without asking a server, and how it is judged: what the page is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from denodo_ha.decisions import DECISIONS, Decision, Situation
from denodo_ha.durations import age_of
from denodo_ha.pairs import Pair
from denodo_ha.record import Phase, Record, RecordError, Role
from denodo_ha.situation import situation_now
from denodo_ha.status import MAX_AGE, Finding, Level, Reading, decision_now, judge
from denodo_ha.text import moment
from denodo_ha.verdict import Verdict
from denodo_ha.watching import MONITOR_STOPPED, Watching

WRONG_PAIRS = "wrong_pair"
"""The code of what is wrong with the pair in the file of pairs, as :mod:`denodo_ha.alerts` has it."""


@dataclass(frozen=True)
class Event:
    """An event of the history: its number, when Airflow has stored it, what it says, and the run that wrote it."""

    n: int
    at: datetime
    extra: Mapping[str, Any]
    dag_id: str = ""
    run_id: str = ""


@dataclass(frozen=True)
class Run:
    """A run of one of the pair's DAGs that is under way."""

    dag_id: str
    run_id: str
    state: str
    since: datetime | None = None


@dataclass(frozen=True)
class Seen:
    """What Airflow's database says of a pair.

    :param dags: by DAG id: whether it is paused, or stale, and its description.
    :param last: its last event. :param changed: the last one that tells of another active server.
    :param check: the last readiness check as it is stored. :param wrong: what is wrong with it in the file of pairs.
    """

    pair: str
    reading: Reading
    dags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    last: Event | None = None
    changed: Event | None = None
    check: Any = None
    wrong: str = ""


@dataclass(frozen=True)
class Sight:
    """A pair as it is judged now.

    :param max_age: how long ago the last look may have been before the monitor counts as stopped.
    """

    seen: Seen
    now: datetime
    max_age: timedelta = MAX_AGE

    @cached_property
    def _read(self) -> tuple[Record | None, RecordError | None]:
        try:
            return Record.from_json(self.seen.reading.record) if self.seen.reading.record is not None else None, None
        except RecordError as error:
            return None, error

    @property
    def record(self) -> Record | None:
        return self._read[0]

    @property
    def unusable(self) -> RecordError | None:
        """Why there is a record that cannot be used; None too where there is none."""
        return self._read[1]

    @cached_property
    def watching(self) -> Watching:
        return Watching.from_json(self.seen.reading.watch)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What is found, the worst first; what is wrong in the file of pairs before all others."""
        found = judge(self.seen.pair, self.seen.reading, self.now, self.max_age).findings
        if self.seen.wrong and (self.seen.reading.dag is None or self.seen.reading.dag.get("is_stale")):
            how = "correct the file of pairs; denodo-ha check-config lists its mistakes with file and line"
            text = f"the pair has no DAGs any more, and nothing fails over, because of {self.seen.wrong}"
            found = (Finding(Level.CRITICAL, text, how, WRONG_PAIRS), *found)
        return found

    @property
    def level(self) -> Level:
        return self.findings[0].level if self.findings else Level.OK

    @cached_property
    def decision(self) -> Decision | None:
        return decision_now(self.record, self.watching, self.now) if self.record else None

    @cached_property
    def situation(self) -> Situation | None:
        """The facts of the last look with what the record says by now; None where there are none."""
        if self.record and self.watching.verdict and self.watching.situation:
            return situation_now(self.watching, self.record, self.now)
        return None

    @cached_property
    def leading(self) -> Finding | None:
        """The finding that says best what is going on: of the worst ones that of a step or of the decision."""
        worst = [each for each in self.findings if each.level is self.level]
        first = next(iter(worst), None)
        if first is None or first.code in (MONITOR_STOPPED, WRONG_PAIRS, "halted") or self.record is None:
            return first
        return next((each for each in worst if each.code == self.code), first)

    @property
    def what(self) -> str:
        """What is going on, in one sentence, without the code and the next step, which are told apart from it."""
        return plain(self.leading) if self.leading else ""

    @property
    def next_step(self) -> str:
        """What a person can do about what is going on, or else about the worst that anything can be done about."""
        leading = self.leading
        if leading and leading.next_step:
            return leading.next_step
        return next((each.next_step for each in self.findings if each.next_step), "")

    @property
    def stopped(self) -> Finding | None:
        """Why nothing watches the pair, so that all that was seen is old."""
        return next((each for each in self.findings if each.code in (MONITOR_STOPPED, WRONG_PAIRS)), None)

    @property
    def looked(self) -> datetime | None:
        try:
            return moment(self.watching.at)
        except ValueError:
            return None

    @property
    def verdict(self) -> Verdict | None:
        """What the last look has said of the master."""
        return Verdict(self.watching.verdict) if self.watching.verdict else None

    @property
    def code(self) -> str:
        """The code of what the tool goes by: of a step that has failed, or of the decision."""
        said = self.watching.code
        if said and said not in DECISIONS:
            return said
        return self.decision.code if self.decision else said

    @property
    def old(self) -> str:
        """How a sentence begins that rests on what was seen before the monitor has stopped."""
        if not self.stopped:
            return ""
        return f"as of {self.ago(self.looked)}: " if self.looked else ""

    def enabled(self, role: Role) -> tuple[int, int] | None:
        """How many jobs were enabled on a server at the last look, and how many there were; None if it is not known.

        What was counted before the active server has changed says nothing of now.
        """
        counts = self.watching.jobs.get(role)
        if counts is None or (self.record is not None and self.watching.epoch != self.record.epoch):
            return None
        return counts[0], counts[1]

    def ago(self, at: datetime | None) -> str:
        """How long ago that was, in a text that stays the same for a minute; clocks may differ by some seconds."""
        if at is None:
            return "at an unknown time"
        age = age_of(*sorted((at, self.now)))
        if age.endswith(" s"):
            return "less than a minute ago"
        return f"{age} ago" if at <= self.now else f"{age} in the future, by a clock that is wrong"

    @property
    def named(self) -> Pair:
        return Pair(name=self.seen.pair)

    @property
    def phase(self) -> Phase | None:
        return self.record.phase if self.record else None


def plain(found: Finding) -> str:
    """What a finding says, without the codes and the next step of what it rests on."""
    return re.sub(r"\[[a-z]+(?:_[a-z]+)*\] ", "", found.text).removesuffix(f". Next: {found.next_step}.")
