"""What a doctor learns of a server by reading alone, and what is to be thought of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel

from denodo_ha.doctor.diagnosis import Answer, Found, Verdict
from denodo_ha.doctor.questions import Question, of_found
from denodo_ha.jobs import DataSource, Job, JobStatus, Project, ServerInfo
from denodo_ha.readiness.facts import Unread
from denodo_ha.readiness.servers import ADMIN_ROLE, APART
from denodo_ha.server.answers import spelling
from denodo_ha.server.options import BoundRequest, Direction
from denodo_ha.status import Level
from denodo_ha.text import listed

OK, WARNING, CRITICAL, UNKNOWN = Level.OK, Level.WARNING, Level.CRITICAL, Level.UNKNOWN

LISTS: Mapping[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "/projects": (Project, ("id", "name")),
    "/jobs": (Job, ("project_id", "project")),
    "/dataSources": (DataSource, ("id", "name", "project", "type", "login", "connection_uri")),
    "/jobs/status": (JobStatus, ("job_id", "name", "project_id", "project")),
}
"""The lists whose fields have names that are guesses, or were seen once: the type that is read, and these fields."""

_PUBLISHED = ("V", "published names of fields are those that a server gives")
_GUESSED = ("G", "a status has the fields jobID, jobName, projectID and projectName")


@dataclass(frozen=True)
class ExportSeen:
    """An export, which was thrown away. :param unasked: what is in it although its option is false."""

    size: int
    unasked: tuple[str, ...]


Binding = BoundRequest | Literal["scripts"]


@dataclass(frozen=True)
class ServerSeen:
    """One server as it was read.

    :param ahead: how far its clock is ahead of the worker's.
    :param fields: the names of the fields that the first element of each list has.
    :param seconds: how long each answer took, by what was asked.
    """

    role: str
    info: ServerInfo | Unread
    ahead: timedelta | Unread
    bindings: Mapping[Direction, Binding | Unread]
    fields: Mapping[str, tuple[str, ...] | Unread]
    export: ExportSeen | Unread
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain JSON, for the file that is attached to an issue."""
        info = self.info
        return {
            "version": _or_why(info if isinstance(info, Unread) else info.version),
            "mode": None if isinstance(info, Unread) else info.scheduler_mode,
            "roles": None if isinstance(info, Unread) else list(info.roles),
            "clock_ahead_seconds": _or_why(
                self.ahead if isinstance(self.ahead, Unread) else round(self.ahead.total_seconds(), 1)
            ),
            "options": {direction: _bound(each) for direction, each in self.bindings.items()},
            "fields": {path: _or_why(names) for path, names in self.fields.items()},
            "seconds": {what: round(seconds, 3) for what, seconds in self.seconds.items()},
            "export": _or_why(
                self.export
                if isinstance(self.export, Unread)
                else {"bytes": self.export.size, "unasked": list(self.export.unasked)}
            ),
        }


def _or_why(value: Any) -> Any:
    if isinstance(value, Unread):
        return {"not_read": value.why}
    return list(value) if isinstance(value, tuple) else value


def _bound(binding: Binding | Unread) -> Any:
    if isinstance(binding, BoundRequest):
        return {"path": binding.path, "places": dict(binding.places), "assumed": list(binding.assumed)}
    return _or_why(binding)


def answers_of(server: ServerSeen) -> list[Answer]:
    """Return the answers about one server, each with its role in its name."""
    found = [
        _answer(server, "version", _version(server), "GET /me"),
        _answer(server, "roles", _roles(server), "GET /me"),
        _answer(server, "clock", _clock(server), "the time in its answers"),
        _answer(server, "times", _times(server), "the requests of this doctor"),
    ]
    for direction, binding in server.bindings.items():
        claim = f"each option of the {direction} is offered under a name that is recognised"
        said = _binding(direction, server.role, binding)
        found.append(_answer(server, f"options of the {direction}", said, "/v3/api-docs", claim, "S, G"))
    claim = "an export leaves out what its options say"
    found.append(_answer(server, "export", _export(server), "an export, which was thrown away", claim, "S, G"))
    for path, names in server.fields.items():
        mark, claim = _GUESSED if path == "/jobs/status" else _PUBLISHED
        said = _spellings(server.role, path, names)
        found.append(_answer(server, f"fields of {path}", said, f"GET {path}", claim, mark))
    return found


def _answer(server: ServerSeen, code: str, found: Found, rests_on: str, claim: str = "", mark: str = "") -> Answer:
    return of_found(f"{code}, {server.role}", found, Question(claim, mark, rests_on, lambda _: found))


def _unknown(what: str, fact: Unread, verdict: Verdict | Literal[""] = "") -> Found:
    return Found(verdict, UNKNOWN, f"{what}: {fact.why}", fact.next_step)


def _version(server: ServerSeen) -> Found:
    info = server.info
    if isinstance(info, Unread):
        return Found("", CRITICAL, f"the {server.role} does not answer as it should: {info.why}", info.next_step)
    mode = f" ({info.scheduler_mode})" if info.scheduler_mode else ""
    return Found("", OK, f"the {server.role} is a Denodo Scheduler {info.version}{mode}")


def _roles(server: ServerSeen) -> Found:
    if isinstance(server.info, Unread):
        return _unknown(f"the roles on the {server.role}", server.info)
    roles = server.info.roles
    said = f"the user of the {server.role} has the roles {listed(roles) or 'none'}"
    if ADMIN_ROLE in map(str.casefold, roles):
        return Found("", OK, said)
    return Found("", CRITICAL, f"{said}, and not {ADMIN_ROLE}", f"give the user the role {ADMIN_ROLE}")


def _clock(server: ServerSeen) -> Found:
    if isinstance(server.ahead, Unread):
        return _unknown(f"the clock of the {server.role}", server.ahead)
    seconds = round(server.ahead.total_seconds())
    said = f"the clock of the {server.role} is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} the worker's"
    if abs(server.ahead) <= APART:
        return Found("", OK, said)
    return Found("", WARNING, said, "let both machines and Airflow's workers take their time from one source (NTP)")


def _times(server: ServerSeen) -> Found:
    said = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in server.seconds.items())
    return Found("", OK, f"the answers of the {server.role} took: {said or 'no answer'}")


def _binding(direction: Direction, role: str, binding: Binding | Unread) -> Found:
    if isinstance(binding, Unread):
        what = f"the options of the {direction} have no place on the {role}: {binding.why}"
        return Found("refuted", CRITICAL, what, binding.next_step)
    if isinstance(binding, str):
        return Found("unknown", OK, f"the {direction} of the {role} uses the vendor's scripts, whose options are known")
    places = "; ".join(f"{option}: {place}" for option, place in binding.places.items())
    assumed = f"; taken for granted: {listed(binding.assumed, 20, between='; ')}" if binding.assumed else ""
    return Found("confirmed", OK, f"the {direction} of the {role} is {binding.path} with {places}{assumed}")


def _export(server: ServerSeen) -> Found:
    seen = server.export
    if isinstance(seen, Unread):
        return _unknown(f"an export of the {server.role}", seen, "unknown")
    if not seen.unasked:
        return Found("confirmed", OK, f"an export of the {server.role}, {seen.size} bytes, holds nothing unasked")
    what = f"the export of the {server.role} ignores its options and holds {listed(seen.unasked)}"
    how = "look at the places of 'config' and 'permissions' in this report, and correct them in export_options; a sync "
    return Found("refuted", WARNING, what, f"{how}cuts such things out of what it delivers")


def _spellings(role: str, path: str, names: Sequence[str] | Unread) -> Found:
    if isinstance(names, Unread):
        return _unknown(f"the fields of {path} on the {role}", names, "unknown")
    if not names:
        return Found("unknown", OK, f"{path} of the {role} lists nothing, so its fields are not known")
    model, wanted = LISTS[path]
    found = {field: spelling(model, field, names) for field in wanted}
    first = {field: next(_known(model, field)) for field in wanted}
    missing = [first[field] for field, name in found.items() if name is None]
    others = [f"{name} for {first[field]}" for field, name in found.items() if name and name != first[field]]
    if missing or others:
        said = [f"lacks {listed(missing)}" if missing else "", f"has {listed(others)}" if others else ""]
        return Found("refuted", OK, f"{path} of the {role} {' and '.join(filter(None, said))}, which is understood")
    return Found("confirmed", OK, f"{path} of the {role} has {listed(first.values(), 9)}")


def _known(model: type[BaseModel], field: str) -> Iterator[str]:
    alias = model.model_fields[field].validation_alias
    yield from map(str, getattr(alias, "choices", [field]))
