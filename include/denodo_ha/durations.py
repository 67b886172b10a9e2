"""Durations as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_UNITS = ("days", "hours", "minutes", "seconds")
_PLAIN = re.compile(r"(?:(\d+)d)? *(?:(\d+)h)? *(?:(\d+)m)? *(?:(\d+)s)?", re.ASCII | re.IGNORECASE)
_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)


def parse_duration(value: object) -> timedelta:
    """Parse ``5m``, ``90s``, ``1h30m``, ``2d``, ISO 8601 (``PT5M``) or whole seconds; raise ValueError otherwise."""
    if isinstance(value, timedelta):
        return value
    seconds = value if isinstance(value, int) and not isinstance(value, bool) else None
    parts: dict[str, int] = {} if seconds is None else {"seconds": seconds}
    if isinstance(value, str) and len(value) <= 100:
        match = _PLAIN.fullmatch(value.strip()) or _ISO.fullmatch(value.strip())
        groups = match.groups() if match else ()
        parts = {unit: int(number) for unit, number in zip(_UNITS, groups, strict=False) if number}
    try:
        if parts:
            return timedelta(**parts)
    except OverflowError:
        pass
    raise ValueError(f"must be a duration such as 5m, 90s, 1h30m, PT5M or whole seconds, not {value!r}")


def format_duration(value: timedelta) -> str:
    """Return the shortest text that ``parse_duration`` reads as ``value`` (whole seconds, not negative)."""
    rest = int(value.total_seconds())
    text = ""
    for letter, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        text += f"{number}{letter}" if number else ""
    return text or "0s"


def age_of(moment: datetime, now: datetime) -> str:
    """Format an age: whole minutes from one minute on, hours and minutes from two hours on."""
    age = max(now - moment, timedelta(0))
    minutes = int(age.total_seconds() // 60)
    if minutes == 0:
        return f"{int(age.total_seconds())} s"
    return f"{minutes} min" if minutes < 120 else format_duration(timedelta(minutes=minutes))
