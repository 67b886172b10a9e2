"""How values of an event are said, whatever is in their place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from denodo_ha.text import one_line

THE_TOOL = "the tool itself"
_AUTOMATIC = ("schedule", "scheduled", "asset_triggered", "asset_materialization", "operator_triggered", "backfill")
"""Airflow's types of the runs that no person has started."""


def of(value: object, *path: str) -> Any:
    """Follow names into JSON objects; None where there is nothing."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def word(value: object) -> str:
    """A text or number in one line; empty for anything else."""
    return one_line(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def doer(actor: object) -> str:
    """Say who or what has done something; empty where that is not known."""
    return THE_TOOL if actor in _AUTOMATIC else word(actor)


def count(value: object) -> int | None:
    """A number of jobs, also that of a list of jobs with their number; None where it is neither."""
    value = of(value, "jobs") if isinstance(value, Mapping) else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def jobs(number: int) -> str:
    """Say a number of jobs: ``1 job``, ``463 jobs``."""
    return many(number, "job")


def many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def seconds(value: object) -> str:
    """A duration in words: ``13.5 s``, ``7 min``, ``2 h 5 min``; empty where it is none."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e10:
        return ""
    if abs(value) < 120:
        return f"{round(value, 1):g} s"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours * 60 + minutes} min" if hours < 2 else f"{hours} h {minutes} min"


def moment(value: object) -> str:
    """A time as ``2026-03-01 12:00:00Z``; what cannot be read as one is said as it is."""
    try:
        return f"{datetime.fromisoformat(str(value)).astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    except (ValueError, OverflowError):
        return word(value)
