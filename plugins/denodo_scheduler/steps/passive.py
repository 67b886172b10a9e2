"""Keeping the passive server passive: disable, hold, and the check that it is not the active server by mistake."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from denodo_ha.checks import ran_since
from denodo_ha.jobs import JobKey, JobState, JobStatus
from denodo_ha.preconditions import looks_paused, other, passive_by_other, two_servers
from denodo_ha.record import Operation, Record, Role
from denodo_ha.text import listed
from denodo_ha.transitions import UNKNOWN, under_way
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.claim import Claim
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.jobs import Changed, by_project, change_jobs
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet, require
from denodo_scheduler.steps.servers import Server, enabled_in, flagged_in

log = logging.getLogger(__name__)

ROUNDS = 5
"""How often jobs are disabled and read back before a task gives up."""
HOLD_INTERVAL = 2.0
"""Seconds between two looks while an import of unknown end may still enable jobs."""

Before = Callable[[Statuses, Sequence[JobKey]], object]
"""Called before each round with what was read and the enabled jobs; raises when nothing may be changed."""


@dataclass(frozen=True)
class AtRest:
    """A server that was read back without enabled jobs: which jobs were disabled on the way, and when it was read."""

    disabled: tuple[JobKey, ...]
    clean_at: datetime
    statuses: Statuses


def suspects(context: PairContext, since: datetime | None, statuses: Statuses, record: Record) -> tuple[JobKey, ...]:
    """Jobs in scope that ran on the passive server ``since`` then: each may have run on both servers. What the last
    drill ran there does not count."""
    if since is None:
        return ()
    skew = statuses.server_time - context.now()
    drilled = {each.key: each.disabled + skew for each in record.drill.done if each.disabled} if record.drill else {}
    others = [
        job
        for job in statuses.jobs
        if context.pair.scope.matches(job.key)
        and not (job.key in drilled and job.previous_execution and job.previous_execution <= drilled[job.key])
    ]
    return ran_since(others, since + skew)


def ensure_two_servers(context: PairContext, one: Statuses, another: Statuses) -> None:
    """:raises Blocked: both connections show one and the same server."""
    require(two_servers(context.servers.connections, one.jobs, another.jobs))


def ensure_passive(context: PairContext, role: Role, passive: Statuses, keys: Sequence[JobKey]) -> None:
    """Refuse to disable jobs that this project has not enabled, unless the other server is seen to be the active one.

    :raises Blocked: the other one cannot be read, is the same server, or has no enabled job itself.
    """
    enabled = [passive.by_key[key] for key in keys if key in passive.by_key]
    found: list[JobStatus] | str
    try:
        _, active = context.servers.answering(other(role))
    except DenodoSchedulerError as error:
        found = str(error)
    else:
        ensure_two_servers(context, active, passive)
        found = enabled_in(context.pair.scope, active)
    require(passive_by_other(role, enabled, found))


Told = Callable[[Statuses], Collection[JobKey]]
"""The jobs that are told to be disabled whatever they look like."""


def disable_all(
    context: PairContext,
    server: Server,
    *,
    before: Before,
    by_definition: bool = False,
    told: Told = lambda _: (),
) -> AtRest:
    """Disable every enabled job in scope, one request per project, until a read-back shows none.

    :param by_definition: statuses are no proof, since a server that was paused through RMI shows every job DISABLED
        [D]; so where they show no enabled job, the jobs' own definitions are read, with one request more.
    :param told: jobs that are told at first, besides those that are seen to be enabled.
    :raises NotYet: jobs are still enabled after :data:`ROUNDS` rounds; names them.
    """
    scope, seen = context.pair.scope, set[JobKey]()
    hidden: list[JobKey] = []
    first, looked = True, context.now()

    def wrong(statuses: Statuses) -> list[JobKey]:
        nonlocal first, hidden, looked
        looked = context.now()
        found = [job.key for job in enabled_in(scope, statuses)]
        hidden = flagged_in(scope, server, statuses) if by_definition and not found else []
        if hidden and first:
            log.warning(
                "%s. They are told to be disabled and read back; resume it when the task has ended.",
                looks_paused(hidden, server.label).what,
            )
        found += hidden
        seen.update(found)
        if first:
            enabled = set(found)
            found += [key for key in told(statuses) if key in statuses.by_key and key not in enabled]
        first = False
        return found

    def pieces(statuses: Statuses, left: Sequence[JobKey], _: int) -> Iterator[Sequence[JobKey]]:
        before(statuses, [key for key in left if key in seen])
        yield from by_project(left)

    done = change_jobs(server, "disable", wrong, pieces, enough=lambda number: number == ROUNDS, now=context.now)
    if hidden and done.left:
        why = f" ({done.refused})" if done.refused else ""
        code, what, next_step = looks_paused(hidden, server.label)
        raise NotYet(code, f"{what}; the server was told {ROUNDS} times to disable them{why}", next_step)
    return replace(at_rest(server, done), disabled=tuple(sorted(seen.intersection(done.told))), clean_at=looked)


def at_rest(server: Server, done: Changed) -> AtRest:
    """:raises NotYet: jobs are still enabled; names them."""
    if done.left:
        why = f" ({done.refused})" if done.refused else ""
        raise NotYet(
            "still_enabled",
            f"{len(done.left)} jobs of the {server.label} are still enabled after {ROUNDS} rounds of disabling: "
            f"{listed(sorted(done.left))}{why}",
            "look whether a person or a program enables them, or disable them there by hand; this task and the next "
            "run disable them again",
        )
    return AtRest(tuple(sorted(done.told)), done.verified, done.statuses)


def rest_passive(
    context: PairContext,
    role: Role,
    claim: Claim,
    *,
    ours: bool,
    tell: Before | None = None,
    after_import: bool = False,
    imported: Collection[JobKey] | None = None,
) -> AtRest:
    """Disable every enabled job of the passive server, see :func:`disable_all`.

    :param role: the passive server.
    :param ours: an operation of this project has itself changed that server, so it is known to be the passive one.
    :param tell: called after all checks, before each round of changes.
    :param after_import: an import may have enabled jobs since definitions were read the last time, so statuses are not
        enough; and where the import is ours, each job that it brought is told.
    :param imported: the jobs that it brought, which are all where that is not known.
    """
    first = True

    def told(statuses: Statuses) -> Collection[JobKey]:
        if not (ours and after_import):
            return ()
        drafts = {job.key for job in statuses.jobs if job.state is JobState.DRAFT}
        keys = imported if imported is not None else [job.key for job in statuses.jobs]
        return [key for key in keys if key not in drafts and context.pair.scope.matches(key)]

    def before(statuses: Statuses, keys: Sequence[JobKey]) -> None:
        nonlocal first
        if first and not ours:
            ensure_passive(context, role, statuses, keys)
        claim.ensure()
        if tell:
            tell(statuses, keys)
            claim.ensure()  # saving the event took its time
        first = False

    server = context.servers.own_path(role)
    return disable_all(context, server, before=before, by_definition=after_import, told=told)


def settle(
    context: PairContext,
    role: Role,
    operation: Operation | None,
    claim: Claim,
    *,
    ours: bool,
    tell: Before | None = None,
    after_import: bool = True,
) -> AtRest:
    """Bring the passive server to rest after ``operation``: once, or again and again while it may be in flight.

    :param role: the passive server. :param after_import: see :func:`rest_passive`.
    """
    if operation and operation.in_flight(context.now()):

        def rest(over: bool) -> AtRest:  # definitions are read at the end only
            return rest_passive(context, role, claim, ours=ours, tell=tell, after_import=over)

        return hold(context, role, rest, until=operation.lease_until)
    return rest_passive(context, role, claim, ours=ours, tell=tell, after_import=after_import)


def hold(context: PairContext, role: Role, rest: Callable[[bool], AtRest], *, until: datetime) -> AtRest:
    """Disable again and again until ``until``, after which nothing of a lost import can still be in flight.

    A server that does not answer meanwhile may come back with enabled jobs, so errors end this only after ``until``,
    which is at most one lease away, whatever clock wrote it.

    :param rest: disables what is enabled; called with whether this is the last time.
    """
    until = min(until, context.now() + context.pair.sync.lease)
    log.warning(
        "An import was begun and its end is unknown: the server may still be executing it. "
        "The jobs of the %s are kept disabled until %s.",
        role,
        until.isoformat(timespec="seconds"),
    )
    disabled: set[JobKey] = set()
    while True:
        over = context.now() >= until
        try:
            found = rest(over)
        except (Blocked, NothingToDo):
            raise
        except Exception as error:
            if over:
                raise
            log.warning("Keeping the jobs of the %s disabled goes on after an error: %s", role, error)
        else:
            disabled.update(found.disabled)
            if over:
                return AtRest(tuple(sorted(disabled)), found.clean_at, found.statuses)
        time.sleep(HOLD_INTERVAL)


@dataclass
class DisablingEvent:
    """The event that tells of jobs that are disabled where nothing in the record would tell of it.

    It is saved before the first change and completed by the read-back; a task that dies in between leaves one that says
    that its end is unknown. The next try goes on with it where the same jobs are still enabled.

    :param since: from when on a run on this server was one too many. :param details: more fields of the event.
    :param before: more of what was before.
    """

    context: PairContext
    kind: str
    since: datetime | None
    details: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    _begun: dict[str, Any] = field(default_factory=dict)
    _keys: frozenset[JobKey] = frozenset()

    def begin(self, claim: Claim, statuses: Statuses, keys: Sequence[JobKey]) -> None:
        """Save the event by the right of ``claim``, unless it names these jobs already."""
        record = claim.check()
        if self._keys.issuperset(keys):
            return
        self._keys = self._keys.union(keys)
        made = self._made(record, self._keys, statuses, UNKNOWN)
        self._begun = {**made, "id": (self._begun or self._of_earlier_try(record, made) or made)["id"]}
        claim.save(lambda latest: latest, self._begun)

    def _of_earlier_try(self, record: Record, made: dict[str, Any]) -> dict[str, Any] | None:
        """The event of a try that got no further than this one is now."""
        for event in record.outbox:
            same = all(event.get(name) == made[name] for name in ("kind", "before", "after", "jobs"))
            if same and under_way(event, self.context.now(), self.context.pair.sync.lease):
                return event
        return None

    def end(self, record: Record, found: AtRest) -> dict[str, Any]:
        """Complete the event, to be saved with ``record``."""
        made = self._made(record, found.disabled, found.statuses, 0)
        if ran := made["suspected_double_runs"]:
            server = self.details.get("server", Role.SLAVE)
            log.error("Suspected double run: %s ran on the %s, which is not the active server.", listed(ran), server)
        return {**made, **{name: self._begun[name] for name in ("id", "at") if name in self._begun}}

    def _made(self, record: Record, keys: Collection[JobKey], statuses: Statuses, after: int | str) -> dict[str, Any]:
        return self.context.event(
            self.kind,
            record,
            **self.details,
            before={**self.before, "enabled": len(keys)},
            after={"enabled": after},
            jobs=listed(sorted(keys)),
            suspected_double_runs=[str(key) for key in suspects(self.context, self.since, statuses, record)],
        )
