"""A job's definition on its way to another server: the ids in it are valid on one server only [V]."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from denodo_ha.definitions import Names
from denodo_ha.jobs import Job, JobKey

_OWN = frozenset({"id", "projectid", "projectname", "project", "disabled"})
_JOBS = re.compile(r"jobids?", re.IGNORECASE)
_SOURCES = re.compile(r"datasourceids?", re.IGNORECASE)
_ANY_ID = re.compile(r"(?i:ids?)|\w+I[dD]s?", re.ASCII)


class UntranslatableError(ValueError):
    """The definition holds an id whose meaning on the other server is not known; the message names it."""


class LackingError(UntranslatableError):
    """It names something that the other server does not have."""


def for_target(
    job: Job, source: Names, jobs: Mapping[JobKey, int], data_sources: Mapping[JobKey, int]
) -> dict[str, Any]:
    """Return the definition of ``job`` as it is written to another server, where it is born disabled [V].

    An unknown field is carried as it is. What tells only where the job is on its own server is left out.

    :param source: what the ids in the definition name.
    :param jobs: ids of the other server's jobs. :param data_sources: ids of its data sources.
    :raises UntranslatableError: an id in it names nothing that the other server has, or its meaning is not known.
    """

    def walked(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: walked(each, name) for name, each in value.items()}
        if value in (None, "", []):
            return value
        if _JOBS.fullmatch(key):
            return _translated(value, lambda each: _named(key, each, source.jobs, jobs))
        if _SOURCES.fullmatch(key):
            return _translated(value, lambda each: _named(key, each, source.data_sources, data_sources))
        if _ANY_ID.fullmatch(key) and all(_is_id(each) for each in _several(value)):
            raise UntranslatableError(f"what its {key} {value} names is not known")
        return [walked(each, key) for each in value] if isinstance(value, list) else value

    content = {name: value for name, value in job.definition.items() if name.casefold() not in _OWN}
    return {**walked(content), "disabled": True}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_id(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | str) and str(value).isdecimal()


def _translated(value: Any, translate: Callable[[Any], int]) -> Any:
    """Translate one id, or several as a list or as one comma-separated text [KB], which keep their shape."""
    if isinstance(value, list):
        return [translate(each) for each in value]
    if isinstance(value, str):
        return ",".join(str(translate(each.strip())) for each in value.split(",") if each.strip())
    return translate(value)


def _named(key: str, value: Any, known: Mapping[int, JobKey], wanted: Mapping[JobKey, int]) -> int:
    name = known.get(int(value)) if _is_id(value) else None
    if name is None:
        raise UntranslatableError(f"its {key} {value} names nothing that the source lists")
    if name not in wanted:
        raise LackingError(f"the target has no {name}, which its {key} names")
    return wanted[name]
