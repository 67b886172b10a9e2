"""The kinds of values that options of a pair have: what is allowed, and how the JSON schema for editors says it.

A pattern of the schema refuses nothing that the reader accepts. It is written in what the regular expressions of Python
and of JavaScript have in common.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from denodo_ha.durations import format_duration, parse_duration
from denodo_ha.server.address import server_uri

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
MANY = 1_000_000
_LONGEST = timedelta(days=36500)
"""No time of today is so far from the end of the calendar that more could be added to it several times."""
_LONGEST_CRON = 200
_PLACE = r"^(/|[A-Za-z][A-Za-z0-9+.-]*:)"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0")
    return _not_endless(value)


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("must not be negative")
    return _not_endless(value)


def _not_endless(value: timedelta) -> timedelta:
    if value > _LONGEST:
        raise ValueError(f"must not be longer than {format_duration(_LONGEST)}")
    return value


@lru_cache
def _schedule(value: str) -> str:
    if value in PRESETS:
        return value
    problem = (
        "it is too long" if len(value) > _LONGEST_CRON else "it needs five fields" if len(value.split()) != 5 else ""
    )
    try:
        if not problem:
            croniter(value).get_next()
            return value
    except ValueError as error:  # CroniterError is one
        problem = str(error)
    raise ValueError(
        f'must be a cron expression such as "0 * * * *", one of {", ".join(sorted(PRESETS))}, or null for manual '
        f"only; {value!r} is none of these: {problem}"
    )


def longest_interval(schedule: str) -> timedelta:
    """Return the longest time between two of the next 50 moments of a cron expression or preset."""
    cron = re.sub(r"^\d+ ", "0 ", PRESETS.get(schedule, schedule))
    return _longest_interval(cron)  # the same for every minute, so that the cache serves


@lru_cache
def _longest_interval(cron: str) -> timedelta:
    moments = croniter(cron, datetime(2026, 1, 1, tzinfo=UTC))
    times = [moments.get_next(datetime) for _ in range(50)]
    return max(later - earlier for earlier, later in pairwise(times))


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        near = get_close_matches(value, available_timezones(), n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise ValueError(f"must be a time zone such as Europe/Madrid, not {value!r}{hint}") from None
    return value


def _second_path(value: str) -> str:
    if value in ("auto", "none"):
        return value
    try:
        return server_uri(value)
    except ValueError:
        raise ValueError(
            f"must be auto, none, or the master's Scheduler server as the slave's web tool reaches it, such as "
            f"//master-host:8000, not {value!r}"
        ) from None


def _storage(value: str) -> str:
    if ":" in urlsplit(value).netloc.rpartition("@")[0]:
        raise ValueError("must not hold a password; name an Airflow connection, as in s3://my_conn@bucket/denodo")
    if not re.search(_PLACE, value):
        raise ValueError("must be an absolute path, or a URL such as s3://my_conn@bucket/denodo")
    return value


def _day(value: Any) -> Any:
    """Let pass a day, which YAML has read already, or the text of one; no number of seconds and no time of day."""
    written = isinstance(value, str) and re.fullmatch(_DAY, value)
    if value is None or written or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise ValueError(f"must be a day such as 2026-03-01, not {value!r:.80}")


def _duration(digit: str, least: int) -> WithJsonSchema:
    """Describe a duration for editors.

    :param digit: the digits of which there must be one. :param least: the smallest number of seconds.
    """
    units = "".join(rf"([0-9]+[{letter}{letter.upper()}])? *" for letter in "dhms").removesuffix(" *")
    iso = "P(?=T?[0-9])([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+S)?)?"
    text = {"type": "string", "pattern": rf"^\s*(?=.*[{digit}])({units}|{iso})\s*$", "maxLength": 100}
    seconds = {"type": "integer", "minimum": least, "maximum": int(_LONGEST.total_seconds())}
    return WithJsonSchema(
        {"$comment": "duration", "anyOf": [text, seconds], "examples": ["90s", "5m", "1h30m", "2d", "PT5M"]}
    )


_CRON = {"type": "string", "pattern": r"^\s*\S+(\s+\S+){4}\s*$", "maxLength": _LONGEST_CRON}

Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_positive), _duration("1-9", 1)]
DurationOrZero = Annotated[
    timedelta, BeforeValidator(parse_duration), AfterValidator(_not_negative), _duration("0-9", 0)
]
Schedule = Annotated[
    Text,
    AfterValidator(_schedule),
    WithJsonSchema(
        {
            "$comment": "cron or preset",
            "anyOf": [{"enum": list(PRESETS)}, _CRON],
            "examples": ["@hourly", "*/15 6-22 * * 1-5"],
        }
    ),
]
Zone = Annotated[
    Text,
    AfterValidator(_zone),
    WithJsonSchema(
        {
            "$comment": "time zone",
            "type": "string",
            "pattern": "^[A-Za-z0-9_+./-]+$",
            "examples": ["Europe/Madrid", "UTC"],
        }
    ),
]
Day = Annotated[
    date,
    BeforeValidator(_day),
    WithJsonSchema({"$comment": "day", "type": "string", "pattern": _DAY, "examples": ["2026-03-01"]}),
]
SecondPath = Annotated[
    Text,
    AfterValidator(_second_path),
    WithJsonSchema(
        {
            "$comment": "`auto`, `none` or `//host:port`",
            "anyOf": [{"enum": ["auto", "none"]}, {"type": "string", "pattern": r"^//\S+:\S+$"}],
        }
    ),
]
Storage = Annotated[
    Text,
    AfterValidator(_storage),
    WithJsonSchema(
        {
            "$comment": "path or URL",
            "type": "string",
            "pattern": _PLACE,
            "examples": ["/var/lib/denodo_ha", "s3://my_conn@bucket/denodo"],
        }
    ),
]
ClassPath = Annotated[
    Text,
    Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"),
    WithJsonSchema(
        {"$comment": "path in Python", "type": "string", "pattern": r"^[A-Za-z_][^\s.]*(\.[A-Za-z_][^\s.]*)+$"}
    ),
]
Tag = Annotated[str, Field(min_length=1, max_length=100)]
Column = Annotated[str, Field(min_length=1, max_length=250)]
"""What Airflow keeps in a column of its database, which is no longer."""
Globs = Annotated[tuple[Text, ...], Field(min_length=1)]
