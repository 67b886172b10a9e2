"""What a doctor has found: one answer to each question, and how all of them are told and kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from denodo_ha.readiness.findings import Checked, by_severity, of_row, to_row, worst
from denodo_ha.status import Level
from denodo_ha.text import moment

FORMAT = 1
"""Number of the form of the file that is attached to an issue."""

Verdict = Literal["confirmed", "refuted", "unknown"]


class Found(NamedTuple):
    """What was seen of one question.

    :param verdict: of the contract's word about it; empty where the contract says nothing.
    :param text: what was seen, as a clause. :param next_step: what a person can do; empty where nothing is to be done.
    """

    verdict: Verdict | Literal[""]
    level: Level
    text: str
    next_step: str = ""


@dataclass(frozen=True)
class Answer(Checked):
    """The answer to one question, whose name is ``code``.

    :param claim: what the contract about the real server says; empty where it says nothing.
    :param mark: what that rests on: V verified, D manual, KB knowledge base, S seen, Q Quartz, G guess.
    :param verdict: whether it was confirmed or refuted, or is unknown.
    """

    claim: str = ""
    mark: str = ""
    verdict: str = ""

    def __str__(self) -> str:
        said = super().__str__()
        return f"{said} The contract's word [{self.mark}] is {self.verdict}: {self.claim}." if self.claim else said


@dataclass(frozen=True)
class Diagnosis:
    """All that a doctor has found of one pair at one moment.

    :param tried: whether a person has consented to trying things out on the passive server.
    :param servers: what was read of each server, by its role, as plain JSON.
    :param names: the names of the pair's jobs, projects, data sources and hosts that a text may hold.
    """

    at: datetime
    pair: str
    tried: bool
    answers: tuple[Answer, ...]
    servers: Mapping[str, Any]
    names: tuple[str, ...] = ()

    @property
    def level(self) -> Level:
        return worst(self.answers)

    @property
    def summary(self) -> str:
        """How many answers there are of each kind, and the texts of the worst ones."""
        verdicts = Counter(each.verdict for each in self.answers if each.claim)
        levels = Counter(each.level for each in self.answers)
        said = ", ".join(f"{verdicts[kind]} {kind}" for kind in ("confirmed", "refuted", "unknown"))
        found = f"the contract's words: {said}; {levels[Level.CRITICAL]} critical, {levels[Level.WARNING]} warnings"
        wrong = [each.text for each in self.ordered if each.level in (Level.WARNING, Level.CRITICAL)]
        return f"{found}: {'; '.join(wrong)}" if wrong else found

    @property
    def ordered(self) -> Sequence[Answer]:
        """The answers, the worst first."""
        return by_severity(self.answers)

    @property
    def lines(self) -> list[str]:
        return [self.summary, *map(str, self.ordered)]

    def with_answers(self, answers: Sequence[Answer], names: Sequence[str] = ()) -> Diagnosis:
        """Return the same, after things were tried out; to a question that was asked before there is the new answer.

        :param names: see the class.
        """
        asked = {each.code for each in answers}
        kept = [each for each in self.answers if each.code not in asked]
        return Diagnosis(self.at, self.pair, True, (*kept, *answers), self.servers, (*self.names, *names))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, with those names that are in it."""
        rows = [to_row(each, _KEYS) for each in self.answers]
        text = _as_json([self.pair, rows, self.servers]).casefold()
        return {
            "format": FORMAT,
            "at": self.at.isoformat(),
            "pair": self.pair,
            "level": self.level.name,
            "summary": self.summary,
            "tried": self.tried,
            "answers": rows,
            "servers": dict(self.servers),
            "names": [name for name in dict.fromkeys(self.names) if _as_json(name).casefold() in text],
        }

    @classmethod
    def from_json(cls, value: Any) -> Diagnosis:
        """Read what :meth:`to_json` wrote.

        :raises ValueError: it is damaged, or of another version.
        """
        try:
            if value["format"] != FORMAT:
                raise ValueError(f"format {value['format']}")
            answers = tuple(of_row(Answer, row, _KEYS) for row in value["answers"])
            names = tuple(map(str, value["names"]))
            at, servers = moment(value["at"]), dict(value["servers"])
            return cls(at, str(value["pair"]), bool(value["tried"]), answers, servers, names)
        except (TypeError, LookupError, ValueError) as error:
            what = f"what the last doctor has found cannot be read ({type(error).__name__}); run another one"
            raise ValueError(what) from None


def _as_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text[1:-1] if isinstance(value, str) else text


_KEYS = {
    "code": "question",
    "text": "seen",
    "rests_on": "rests_on",
    "next_step": "next_step",
    "claim": "claim",
    "mark": "mark",
    "verdict": "verdict",
}
