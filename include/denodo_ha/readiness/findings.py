"""The findings of a readiness check, and how they are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from denodo_ha.status import SEVERITY, Finding, Level
from denodo_ha.text import moment, one_line

_WORDS = {Level.CRITICAL: "critical", Level.WARNING: "warning", Level.UNKNOWN: "not known"}


class Said(NamedTuple):
    """What one check found. :param rests_on: what it was read from."""

    level: Level
    text: str
    next_step: str = ""
    rests_on: str = ""


def fine(text: str, rests_on: str) -> Said:
    return Said(Level.OK, text, "", rests_on)


def warning(text: str, next_step: str, rests_on: str = "") -> Said:
    return Said(Level.WARNING, text, next_step, rests_on)


def critical(text: str, next_step: str, rests_on: str = "") -> Said:
    return Said(Level.CRITICAL, text, next_step, rests_on)


def unknown(text: str, next_step: str, rests_on: str = "") -> Said:
    return Said(Level.UNKNOWN, text, next_step, rests_on)


@dataclass(frozen=True)
class Checked(Finding):
    """A finding whose code is the name of its check. :param rests_on: what it was read from."""

    rests_on: str = ""

    def __str__(self) -> str:
        rests = f" [{self.rests_on}]" if self.rests_on else ""
        how = f" Next: {self.next_step.rstrip('.')}." if self.next_step else ""
        return f"{self.level.name} {self.code}: {one_line(self.text)}{rests}.{how}"


F = TypeVar("F", bound=Checked)


def worst(findings: Sequence[Finding]) -> Level:
    """Return the worst level; what is not known is worse than OK, and better than a warning."""
    return max((each.level for each in findings), key=SEVERITY.index, default=Level.UNKNOWN)


def by_severity(findings: Sequence[F]) -> list[F]:
    """Return them the worst first."""
    return sorted(findings, key=lambda each: SEVERITY.index(each.level), reverse=True)


def to_row(found: Checked, keys: Mapping[str, str]) -> dict[str, str]:
    """Return a finding as plain JSON. :param keys: the key of each of its fields but the level."""
    return {"level": found.level.name, **{key: getattr(found, name) for name, key in keys.items()}}


def of_row(kind: type[F], row: Mapping[str, Any], keys: Mapping[str, str]) -> F:
    """Read what :func:`to_row` wrote; raise LookupError or TypeError for anything else."""
    said = {name: str(row[key]) for name, key in keys.items()}
    return kind(level=Level[row["level"]], **said)


@dataclass(frozen=True)
class Readiness:
    """The result of one check of a pair at one moment, the worst finding first."""

    at: datetime
    findings: tuple[Checked, ...]

    @property
    def level(self) -> Level:
        return worst(self.findings)

    @property
    def summary(self) -> str:
        """How many findings there are of each level, and the texts of the worst one."""
        count = Counter(each.level for each in self.findings)
        if self.level is Level.OK:
            return f"all {len(self.findings)} checks are OK"
        counts = ", ".join(f"{count[level]} {word}" for level, word in _WORDS.items() if count[level])
        texts = dict.fromkeys(each.text for each in self.findings if each.level is self.level)
        return f"{counts}: {'; '.join(texts)}"

    @property
    def lines(self) -> list[str]:
        return [self.summary, *map(str, self.findings)]

    def to_json(self) -> dict[str, Any]:
        rows = [to_row(each, _KEYS) for each in self.findings]
        return {"at": self.at.isoformat(), "level": self.level.name, "summary": self.summary, "findings": rows}

    @classmethod
    def from_json(cls, value: Any) -> Readiness:
        """Read what :meth:`to_json` wrote.

        :raises ValueError: it is damaged, or of another version.
        """
        try:
            return cls(moment(value["at"]), tuple(of_row(Checked, row, _KEYS) for row in value["findings"]))
        except (TypeError, LookupError, ValueError) as error:
            raise ValueError(f"the stored check cannot be read ({type(error).__name__}); run another one") from None


_KEYS = {"code": "code", "text": "what", "rests_on": "rests_on", "next_step": "next_step"}
