"""First step of a doctor: read both servers, and change nothing on either of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from denodo_ha.doctor.diagnosis import Diagnosis
from denodo_ha.doctor.reading import LISTS, Binding, ExportSeen, ServerSeen, answers_of
from denodo_ha.doctor.redaction import without_secrets
from denodo_ha.readiness.facts import Unread
from denodo_ha.record import Role
from denodo_ha.server.address import uri_host
from denodo_ha.server.exported import unasked
from denodo_ha.server.options import Direction
from denodo_ha.snapshot.archive import ArchiveContents
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.facts import exported, read_fact

T = TypeVar("T")


def look(context: PairContext) -> Diagnosis:
    """Read what both servers are and say. Of one that does not answer nothing more is asked."""
    seen = [_server(context.servers.hook(role), role, context.now) for role in Role]
    answering = [Role(server.role) for server in seen if not isinstance(server.info, Unread)]
    found = Diagnosis(
        at=context.now(),
        pair=context.pair.name,
        tried=False,
        answers=tuple(answer for server in seen for answer in answers_of(server)),
        servers={server.role: server.to_json() for server in seen},
        names=names_of(context, answering),
    )
    return Diagnosis.from_json(without_secrets(found.to_json(), secrets_of(context)))


def secrets_of(context: PairContext) -> Collection[str]:
    """Return what must be in no report, whatever a server repeats."""
    found = [read_fact(partial(getattr, context.servers.hook(role), "secrets")) for role in Role]
    return set().union(*(each for each in found if not isinstance(each, Unread)))


def _server(hook: DenodoSchedulerHook, role: Role, now: Callable[[], datetime]) -> ServerSeen:
    seconds: dict[str, float] = {}

    def timed(what: str, read: Callable[[], T]) -> T | Unread:
        began = time.monotonic()
        found = read_fact(read)
        seconds[what] = time.monotonic() - began
        return found

    info = timed("/me", hook.ping)
    if isinstance(info, Unread):
        silent = Unread(f"the {role} does not answer", info.next_step)
        nothing: dict[str, tuple[str, ...] | Unread] = dict.fromkeys(LISTS, silent)
        return ServerSeen(role, info, silent, {"export": silent, "import": silent}, nothing, silent, {})
    return ServerSeen(
        role,
        info,
        hook.answered - now(),
        {
            "export": timed("/v3/api-docs", partial(_binding, hook, "export")),
            "import": read_fact(partial(_binding, hook, "import")),
        },
        {path: timed(path, partial(hook.field_names, path)) for path in LISTS},
        timed("an export", partial(_export, hook)),
        seconds,
    )


def _binding(hook: DenodoSchedulerHook, direction: Direction) -> Binding:
    if not hook.scripts:
        return hook.binding(direction)
    if direction == "import":
        hook.check_import()
    return "scripts"


def _export(hook: DenodoSchedulerHook) -> ExportSeen:
    with exported(hook) as (file, contents):
        return ExportSeen(int(file.stat().st_size), unasked_in(hook, contents))


def unasked_in(hook: DenodoSchedulerHook, contents: ArchiveContents) -> tuple[str, ...]:
    """Return the entries of an export that its options leave out."""
    options = hook.settings.options("export")
    return tuple(sorted(each.entry for each in contents.elements if unasked(each.entry, options)))


def names_of(context: PairContext, answering: Collection[Role]) -> tuple[str, ...]:
    """Return what is to be hashed on request: names of people's own, and of their machines.

    :param answering: the servers that can be asked.
    """
    return tuple(sorted(set(_names(context, answering))))


def _names(context: PairContext, answering: Collection[Role]) -> Iterator[str]:
    pair = context.pair
    yield from (pair.name, pair.master, pair.slave)
    for role in Role:
        hook = context.servers.hook(role)
        place = read_fact(partial(getattr, hook, "place"))
        yield from () if isinstance(place, Unread) else (place.tool, uri_host(place.server), hook.user)
        for read in (hook.projects, hook.jobs, hook.data_sources) if role in answering else ():
            found: Any = read_fact(read)
            yield from () if isinstance(found, Unread) else (each.name for each in found)
