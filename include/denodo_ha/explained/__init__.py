"""Reason codes, events and alerts, explained.

The pages ``docs/reason-codes.md`` and ``docs/events.md`` are generated from here, the command ``denodo-ha explain``
prints it, the page of pairs takes from here what the tool does next and which actions help, and
:mod:`denodo_ha.runbook` leads to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from denodo_ha.explained.events import ALERTS, KINDS
from denodo_ha.explained.failover import DECIDED
from denodo_ha.explained.failover_steps import ENDED
from denodo_ha.explained.model import Explanation, Kind, Place, Section, plain
from denodo_ha.explained.others import ANY, DRILL, OPERATIONS
from denodo_ha.explained.switchover import SWITCHOVER
from denodo_ha.explained.sync import PENDING, SYNC

__all__ = [
    "ALERTS",
    "DECIDED",
    "KINDS",
    "SECTIONS",
    "Explanation",
    "Kind",
    "Place",
    "Section",
    "found",
    "of_failover",
    "plain",
    "sections_of",
]

SECTIONS = (DECIDED, ENDED, SWITCHOVER, ANY, OPERATIONS, DRILL, SYNC, PENDING)
"""The sections of ``docs/reason-codes.md``, in its order. One word may be a code of several."""


def sections_of(dag: str = "") -> Iterator[Section]:
    """Yield the sections in the order in which a code of a kind of DAG, such as ``sync``, is looked for."""
    yield from (section for section in SECTIONS if dag in section.dags)
    yield from (section for section in SECTIONS if dag not in section.dags)


def found(code: str, dag: str = "") -> tuple[Section, Explanation] | None:
    """Find what a code means where a kind of DAG tells it; None where this version does not know it."""
    return next(((section, each) for section in sections_of(dag) if (each := section.find(code))), None)


def of_failover(code: str) -> Explanation:
    """Return what a code of the failover DAG means; without texts where this version does not know it."""
    told = DECIDED.find(code) or ENDED.find(code)
    return told or Explanation(code, "")
