"""What a web tool's answers say: JSON becomes the typed values of :mod:`denodo_ha.jobs`, and a status has a meaning."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ValidationError

from denodo_ha.jobs import DataSource, Job, JobStatus, Project, Report, ServerInfo
from denodo_ha.server.bodies import BodyError, parse_json

M = TypeVar("M", bound=BaseModel)
Raw = dict[str, Any]

_LONGEST_WARNING = 65536
_NOTHING = {"null", "none", "false", "true", "0", "[]", "{}"}
"""Texts, in small letters, that are no warning."""

REFUSALS = {
    401: "login refused. Check login and password of the connection, and auth in its extra where the web tool is to be "
    "sent tokens; while VDP is down only a local account can log in",
    403: "the user may not do this. Give it the role scheduler_admin",
    404: "not found. Check host, port and base_path of the connection, and that the object exists",
    407: "the HTTP proxy wants a login. Correct the proxy settings of this machine",
    413: "the file is larger than the web tool accepts (100 MB by default). Raise its upload limit",
    500: "the server failed or refused the request. Check that the Scheduler server runs and that its uri is right",
    502: "a gateway got no answer from the web tool. Check that the web tool runs",
    503: "the web tool is busy or starting. Try again later",
    504: "a gateway waited too long for the web tool. Try again later",
}
"""What an error status means, and what to do."""


class AnswerError(ValueError):
    """JSON that is not what this version understands; the message begins with the field."""


def is_html(content_type: str, head: bytes) -> bool:
    """Whether an answer is a page for people, such as a login page."""
    return "html" in content_type or head.lstrip().startswith(b"<")


def version(me: object) -> str | None:
    """Read the version in the answer to ``/me`` [V]; it is what proves that a Scheduler server answered."""
    found = _at(me, "serverData", "version", "full")
    return found if isinstance(found, str) else None


def read_me(raw: object) -> ServerInfo:
    """Read the answer to ``/me`` [V].

    :raises AnswerError: no Scheduler server has answered.
    """
    if (found := version(raw)) is None:
        raise AnswerError("serverData.version.full: missing")
    permissions = _at(raw, "permissions")
    roles = [_at(each, "roleData", "roleName") for each in (permissions if isinstance(permissions, list) else ())]
    mode = _at(raw, "schedulerMode") or _at(raw, "serverData", "schedulerMode")
    return ServerInfo(
        version=found,
        scheduler_mode=mode if isinstance(mode, str) else None,
        roles=tuple(role for role in roles if isinstance(role, str)),
    )


def read_projects(raw: object) -> list[Project]:
    """Read every project.

    :raises AnswerError: a field is missing or garbled.
    """
    return _typed(Project, _objects(raw))


def read_project(raw: object) -> Project:
    """Read one project.

    :raises AnswerError: a field is missing or garbled.
    """
    return read_projects([raw])[0]


def read_id(raw: object) -> int:
    """Read the id of what was made.

    :raises AnswerError: there is none.
    """
    found = _at(raw, "id")
    if not isinstance(found, int | str) or not re.fullmatch(r"[0-9]{1,18}", str(found)):
        raise AnswerError("id: missing")
    return int(found)


def read_data_sources(raw: object, projects: Callable[[], Iterable[Project]]) -> list[DataSource]:
    """Read every data source.

    :param projects: called only where the answer leaves out the names of the data sources' projects.
    :raises AnswerError: a field is missing or garbled.
    """
    return _typed(DataSource, _with_project_names(DataSource, _objects(raw), projects))


def read_jobs(raw: object, projects: Callable[[], Iterable[Project]]) -> list[Job]:
    """Read every job.

    :param projects: called only where the answer leaves out the names of the jobs' projects.
    :raises AnswerError: a field is missing or garbled.
    """
    elements = [
        {**each, "triggers": _at(each, "triggerSection", "triggers") or (), "definition": each}
        for each in _objects(raw)
    ]
    return _typed(Job, _with_project_names(Job, elements, projects))


def read_statuses(
    raw: object, projects: Callable[[], Iterable[Project]], jobs: Callable[[], Iterable[Job]]
) -> list[JobStatus]:
    """
    Read every status. The names of the identifying fields are a guess [G], so only the job's id must be there.

    :param projects: called only where the names of the jobs' projects are left out.
    :param jobs: called only where more is left out.
    :raises AnswerError: a field is missing or garbled.
    """
    elements = _objects(raw)
    if any(_get(JobStatus, "name", each) is None or _get(JobStatus, "project_id", each) is None for each in elements):
        known = {str(job.id): job.model_dump(include={"name", "project_id", "project"}) for job in jobs()}
        elements = [_with(JobStatus, each, known.get(str(_get(JobStatus, "job_id", each)), {})) for each in elements]
    return _typed(JobStatus, _with_project_names(JobStatus, elements, projects))


def read_reports(raw: object) -> list[Report]:
    """Read reports of finished runs.

    :raises AnswerError: a field is missing or garbled.
    """
    return _typed(Report, [{**each, "raw": each} for each in _objects(_at(raw, "list"), "list")])


def read_texts(raw: object, count: int) -> list[str]:
    """Read a list of texts.

    :raises AnswerError: these are not exactly ``count``.
    """
    if not isinstance(raw, list) or len(raw) != count or not all(isinstance(text, str) for text in raw):
        raise AnswerError(f"(whole answer): not a list of {count} texts")
    return raw


def field_names(raw: object) -> tuple[str, ...]:
    """Return the names of the fields in the first element of a list; none of an empty list.

    :raises AnswerError: it is no list of objects.
    """
    return tuple(next(iter(_objects(raw)), {}))


def spelling(model: type[BaseModel], field: str, names: Iterable[str]) -> str | None:
    """Return under which of its known names the server gives a field; None where it gives none of them."""
    return next((each for each in _spellings(model, field) if each in set(names)), None)


def import_warnings(raw: object) -> tuple[str, ...]:
    """
    Read the warnings in the answer to an import, JSON or text, whose form is unpublished.

    Everything below a name with "warning" or "error" in it is a warning. An answer of another form is kept as one
    warning, because a lost warning is worse than a spurious one. Each is plain text in one line; very long ones are
    cut. What is empty, a flag, zero or a number beside what it counts is no warning.
    """
    if raw in ({}, [], "", "OK", None, True):
        return ()
    raw = _opened(raw)
    named = [(name, value) for name, value in _named(raw) if _warns(name)]
    if isinstance(raw, dict) and named:
        found = list(_texts([value for _, value in named if not isinstance(value, int | float)]))
        found = found or [f"{name}: {text}" for name, value in named if (text := _plain(value))]
    else:
        found = list(_texts(raw))
    return tuple(" ".join(text.split())[:_LONGEST_WARNING] for text in found)


def _opened(raw: object) -> object:
    """``raw`` with the list or the object that a text holds as JSON in its place; texts in that stay as they are."""
    if isinstance(raw, list):
        return [_opened(value) for value in raw]
    if isinstance(raw, dict):
        return {name: _opened(value) for name, value in raw.items()}
    if isinstance(raw, str) and raw.lstrip()[:1] in ("[", "{"):
        with suppress(BodyError, UnicodeEncodeError):
            return parse_json(raw.strip().encode())
    return raw


def _warns(name: str) -> bool:
    return "warning" in name.casefold() or "error" in name.casefold()


def _named(raw: object) -> Iterator[tuple[str, object]]:
    """Every named value below ``raw``, but nothing below a name that holds warnings."""
    if isinstance(raw, dict):
        for name, value in raw.items():
            yield name, value
            if not _warns(name):
                yield from _named(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from _named(value)


_OF_ONE = {"message", "warning", "error", "text", "reason", "code", "job", "name", "element", "severity", "level"}
"""Names of the parts of one warning. An object without any of them groups warnings by name."""


def _texts(raw: object) -> Iterator[str]:
    """Every warning below ``raw`` as plain text, with the names that lead to it."""
    if isinstance(raw, list):
        for value in raw:
            yield from _texts(value)
    elif isinstance(raw, dict):
        parts = {name: value for name, value in raw.items() if isinstance(value, list | dict)}
        below = (
            text if name == "message" else f"{name}: {text}" for name, value in parts.items() for text in _texts(value)
        )
        first = list(islice(below, 1))
        plain = {
            name: text
            for name, value in raw.items()
            if (text := _plain(value)) and not (first and isinstance(value, int | float) and not _is_of_one(name))
        }
        if any(map(_is_of_one, plain)):
            message = plain.pop("message", "")
            rest = ", ".join(f"{name}: {text}" for name, text in plain.items())
            yield f"{message} ({rest})" if message and rest else message or rest
        else:
            yield from (f"{name}: {text}" for name, text in plain.items())
        yield from first
        yield from below
    elif text := _plain(raw):
        yield text


def _is_of_one(name: str) -> bool:
    return name.casefold() in _OF_ONE


def _plain(raw: object) -> str:
    """A text or a number as text; empty for what says nothing or is no single value."""
    if isinstance(raw, list | dict) or not raw:
        return ""
    text = str(raw).strip()
    return "" if text.casefold() in _NOTHING else text


def _objects(raw: object, where: str = "(whole answer)") -> list[Raw]:
    if not isinstance(raw, list) or not all(isinstance(element, dict) for element in raw):
        raise AnswerError(f"{where}: not a list of objects")
    return raw


def _typed(model: type[M], elements: list[Raw]) -> list[M]:
    found = []
    for index, element in enumerate(elements):
        try:
            found.append(model.model_validate(element))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            raise AnswerError(f"[{index}].{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    return found


def _at(raw: object, *names: str) -> Any:
    for name in names:
        raw = raw.get(name) if isinstance(raw, dict) else None
    return raw


@cache
def _spellings(model: type[BaseModel], field: str) -> list[str]:
    alias = model.model_fields[field].validation_alias
    return [str(name) for name in alias.choices] if isinstance(alias, AliasChoices) else [field]


def _get(model: type[BaseModel], field: str, raw: Raw) -> Any:
    return next((raw[name] for name in _spellings(model, field) if raw.get(name) is not None), None)


def _with(model: type[BaseModel], raw: Raw, values: Mapping[str, Any]) -> Raw:
    """``raw`` with ``values`` under the first spelling of their fields, where it says nothing itself."""
    missing = {field: value for field, value in values.items() if _get(model, field, raw) is None}
    return {**raw, **{_spellings(model, field)[0]: value for field, value in missing.items()}}


def _with_project_names(
    model: type[BaseModel], elements: list[Raw], projects: Callable[[], Iterable[Project]]
) -> list[Raw]:
    if all(_get(model, "project", each) is not None for each in elements):
        return elements
    names = {str(project.id): {"project": project.name} for project in projects()}
    return [_with(model, each, names.get(str(_get(model, "project_id", each)), {})) for each in elements]
