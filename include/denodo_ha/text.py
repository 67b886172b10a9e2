"""Texts for people."""

from __future__ import annotations

from collections.abc import Iterable


def listed(items: Iterable[object], limit: int = 5) -> str:
    """Name the first ``limit`` items and say how many more there are: ``a, b and 3 more``."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more
