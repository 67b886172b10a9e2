"""Fields that clients do not know in the JSON of jobs and data sources: four switches of :class:`Guesses` [G]."""

from __future__ import annotations

import re
import time
from typing import Any

from denodo_standin.settings import Guesses

JOB_SECTION = "extractionSection"
DATA_SOURCE_SECTION = "pool"

_VOLATILE = ("readSerial", "lastCheck")
_OF_SERVER = ("serverId", "node")
_NEWER: dict[str, Any] = {"tags": [], "owner": "", "archived": False, "priority": 0, "limits": {}, "calendar": None}
_NEWER_INSIDE: dict[str, Any] = {"samples": [], "timeout": 0, "tracing": False}


def with_unknown(found: dict[str, Any], section: str, guesses: Guesses, server: str) -> dict[str, Any]:
    """Return the JSON of a job or data source with the fields and line ends that the switches add.

    :param section: the section that gets fields too
    :param server: what the fields of the server hold
    """
    if guesses.newer_fields:
        found = {**_NEWER, **found, section: {**_NEWER_INSIDE, **found.get(section, {})}}
    if guesses.server_fields:
        found = _with(found, section, _OF_SERVER, f"server {server}")
    if guesses.volatile_fields:
        found = _with(found, section, _VOLATILE, str(time.time_ns()))
    return crlf(found) if guesses.crlf else found


def lost_by_writing(guesses: Guesses) -> list[str]:
    """Return the paths of the fields of a job that POST and PUT do not keep: the server's own, and ``put_loses``."""
    own = [*(_OF_SERVER if guesses.server_fields else ()), *(_VOLATILE if guesses.volatile_fields else ())]
    return [*guesses.put_loses, *own, *(f"{JOB_SECTION}.{name}" for name in own)]


def without(value: Any, path: str) -> Any:
    """Return a tree without the field at a dotted path, which goes through lists."""
    if isinstance(value, list):
        return [without(each, path) for each in value]
    name, _, rest = path.partition(".")
    if not isinstance(value, dict) or name not in value:
        return value
    if rest:
        return {**value, name: without(value[name], rest)}
    return {each: kept for each, kept in value.items() if each != name}


def crlf(value: Any) -> Any:
    """Return a tree whose texts have CRLF line ends."""
    match value:
        case str():
            return re.sub(r"\r?\n", "\r\n", value)
        case dict():
            return {name: crlf(each) for name, each in value.items()}
        case list():
            return [crlf(each) for each in value]
        case _:
            return value


def _with(found: dict[str, Any], section: str, names: tuple[str, str], value: str) -> dict[str, Any]:
    at_top, inside = names
    return {**found, at_top: value, section: {**found.get(section, {}), inside: value}}
