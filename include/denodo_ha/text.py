"""Texts for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import MAXYEAR, datetime
from typing import Any

NAMED = 200
"""How many jobs of a kind a plan or an event names at most; it always gives their number."""


def listed(items: Iterable[object], limit: int = 5, between: str = ", ") -> str:
    """Name the first ``limit`` items and say how many more there are: ``a, b and 3 more``.

    :param between: what stands between two items: a semicolon where an item may hold commas.
    """
    texts = [str(item) for item in items]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return between.join(texts[:limit]) + more


def one_line(text: str) -> str:
    """Return ``text`` in one line, without the full stop at its end."""
    return " ".join(text.split()).rstrip(".")


def moment(text: object) -> datetime:
    """Read a time as it is stored, ISO 8601 with its zone; raise ValueError for anything else."""
    if not isinstance(text, str) or (found := datetime.fromisoformat(text)).tzinfo is None:
        raise ValueError("is no time with a zone")
    if not 1 < found.year < MAXYEAR:
        raise ValueError("is a time that other zones do not have")
    return found


def counted(keys: Collection[Any]) -> dict[str, Any]:
    """Return the number of jobs, and their names, as plain JSON."""
    return {"jobs": len(keys), "names": [str(key) for key in sorted(keys)][:NAMED]}
