"""What events say; replaced by the part WORDS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text(event: Mapping[str, Any]) -> str:
    return str(event.get("what") or event.get("kind") or "event")


def facts(event: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in event.items())
