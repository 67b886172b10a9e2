"""What the server's JSON answers become: the typed values of :mod:`denodo_ha.jobs`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, cached_property
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ValidationError
from requests import Response

from denodo_ha.jobs import Job, JobKey, JobStatus, Project, Report, ServerInfo
from denodo_scheduler.client.transport import Call
from denodo_scheduler.exceptions import UnexpectedAnswerError

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Statuses:
    """
    The state of every job of one server, at one moment.

    :param jobs: one status per job.
    :param server_time: that moment (UTC) by the clock of the machine that answered, by the local clock if it said none.
    """

    jobs: tuple[JobStatus, ...]
    server_time: datetime

    @cached_property
    def by_key(self) -> dict[JobKey, JobStatus]:
        return {status.key: status for status in self.jobs}


@dataclass(frozen=True)
class ExportResult:
    """An export file that was written whole: its size in bytes and the SHA-256 of its content in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class ImportResult:
    """The end of an import. An import may succeed with ``warnings`` [S]: read the target back."""

    warnings: tuple[str, ...] = ()


def parse(call: Call, model: type[M], raw: object, where: str = "") -> M:
    """Make a ``model`` of ``raw``; a missing or garbled field is an error that names it."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, problem["loc"])) or model.__name__
        raise unexpected(call, f"{where}{name}: {problem['msg']}") from None


def unexpected(call: Call, problem: str) -> Exception:
    return call.error(
        UnexpectedAnswerError,
        f"the answer is not what this version understands, field {problem}. "
        "Compare the web tool's version with those that are supported, and check base_path of the connection",
    )


def parse_list(call: Call, model: type[M], raw: object) -> list[M]:
    return [parse(call, model, element, f"[{index}].") for index, element in enumerate(_elements(call, raw))]


def parse_me(call: Call, response: Response) -> ServerInfo:
    """Read ``/me`` [V]; ``serverData.version.full`` is what proves that a Scheduler server answered."""
    raw = call.json(response)
    server = _at(raw, "serverData")
    version = _at(server, "version", "full")
    if not isinstance(version, str):
        raise unexpected(call, "serverData.version.full: missing")
    roles = (_at(permission, "roleData", "roleName") for permission in _at(raw, "permissions") or ())
    return ServerInfo(
        version=version,
        scheduler_mode=_at(raw, "schedulerMode") or _at(server, "schedulerMode"),
        roles=tuple(role for role in roles if isinstance(role, str)),
    )


def parse_projects(call: Call, response: Response) -> list[Project]:
    return parse_list(call, Project, call.json(response))


def parse_jobs(call: Call, response: Response, projects: Callable[[], Iterable[Project]]) -> list[Job]:
    """Read every job; ``projects`` is called only where the answer leaves out the names of the jobs' projects."""
    elements = [
        {**element, "triggers": _triggers(element), "definition": element}
        for element in _elements(call, call.json(response))
    ]
    return parse_list(call, Job, _with_project_names(Job, elements, projects))


def parse_statuses(
    call: Call, response: Response, projects: Callable[[], Iterable[Project]], jobs: Callable[[], Iterable[Job]]
) -> Statuses:
    """
    Read every status. The names of the identifying fields are a guess [G], so only the job's id must be there:
    what else is left out comes from ``projects`` or ``jobs``, which are called only then.
    """
    elements = _elements(call, call.json(response))
    if any(_get(JobStatus, "name", raw) is None or _get(JobStatus, "project_id", raw) is None for raw in elements):
        known = {str(job.id): job for job in jobs()}
        elements = [_with_job(raw, known.get(str(_get(JobStatus, "job_id", raw)))) for raw in elements]
    elements = _with_project_names(JobStatus, elements, projects)
    return Statuses(tuple(parse_list(call, JobStatus, elements)), server_time(response))


def parse_reports(call: Call, response: Response) -> list[Report]:
    elements = _elements(call, _at(call.json(response), "list"), "list")
    return parse_list(call, Report, [{**element, "raw": element} for element in elements])


def parse_texts(call: Call, response: Response, count: int) -> list[str]:
    """Read a list of exactly ``count`` texts."""
    raw = call.json(response)
    if not isinstance(raw, list) or len(raw) != count or not all(isinstance(text, str) for text in raw):
        raise unexpected(call, f"(whole answer): not a list of {count} texts")
    return raw


def server_time(response: Response) -> datetime:
    """Return the moment of the answer by the clock of the machine that gave it, UTC."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)


def parse_import(call: Call, response: Response) -> ImportResult:
    """
    Read the answer of an import, whose form is unpublished.

    Everything below a name with "warning" or "error" in it is a warning. An answer of another form is kept whole as one
    warning, because a lost warning is worse than a spurious one.
    """
    call.refuse_html(response, response.content[:64])
    try:
        raw = response.json()
    except ValueError:
        raw = response.text.strip()
    if raw in ({}, [], "", "OK", None, True):
        return ImportResult()
    named = [texts for name, texts in _named(raw) if "warning" in name.casefold() or "error" in name.casefold()]
    if isinstance(raw, dict) and named:
        return ImportResult(tuple(text for texts in named for text in _texts(texts)))
    return ImportResult(tuple(_texts(raw)))


def _named(raw: object) -> Iterator[tuple[str, object]]:
    """Every named value below ``raw``, but nothing below a name that holds warnings."""
    if isinstance(raw, dict):
        for name, value in raw.items():
            yield name, value
            if "warning" not in name.casefold() and "error" not in name.casefold():
                yield from _named(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from _named(value)


def _texts(raw: object) -> Iterator[str]:
    if isinstance(raw, list):
        for value in raw:
            yield from _texts(value)
    elif isinstance(raw, dict):
        yield str(raw.get("message") or json.dumps(raw, ensure_ascii=False))
    elif raw not in (None, "", False):
        yield str(raw)


def _elements(call: Call, raw: object, where: str = "(whole answer)") -> list[dict[str, Any]]:
    if not isinstance(raw, list) or not all(isinstance(element, dict) for element in raw):
        raise unexpected(call, f"{where}: not a list of objects")
    return raw


def _at(raw: object, *names: str) -> Any:
    for name in names:
        raw = raw.get(name) if isinstance(raw, dict) else None
    return raw


def _triggers(raw: Mapping[str, Any]) -> Any:
    return _at(raw, "triggerSection", "triggers") or ()


@cache
def _spellings(model: type[BaseModel], field: str) -> list[str]:
    alias = model.model_fields[field].validation_alias
    return [str(name) for name in alias.choices] if isinstance(alias, AliasChoices) else [field]


def _get(model: type[BaseModel], field: str, raw: Mapping[str, Any]) -> Any:
    return next((raw[name] for name in _spellings(model, field) if raw.get(name) is not None), None)


def _with(model: type[BaseModel], raw: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """``raw`` with ``values`` under the first spelling of their fields, where it says nothing itself."""
    missing = {field: value for field, value in values.items() if _get(model, field, raw) is None}
    return {**raw, **{_spellings(model, field)[0]: value for field, value in missing.items()}}


def _with_job(raw: Mapping[str, Any], job: Job | None) -> dict[str, Any]:
    if job is None:
        return dict(raw)
    return _with(JobStatus, raw, name=job.name, project_id=job.project_id, project=job.project)


def _with_project_names(
    model: type[BaseModel], elements: list[dict[str, Any]], projects: Callable[[], Iterable[Project]]
) -> list[dict[str, Any]]:
    if all(_get(model, "project", raw) is not None for raw in elements):
        return elements
    names = {str(project.id): project.name for project in projects()}
    return [
        _with(model, raw, project=name) if (name := names.get(str(_get(model, "project_id", raw)))) else raw
        for raw in elements
    ]
