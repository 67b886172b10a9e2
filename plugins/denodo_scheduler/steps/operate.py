"""What people do to a pair: pause and resume its automation, acknowledge, halt and release, and initialise it.

None of it touches a server.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from denodo_ha.jobs import JobKey
from denodo_ha.operations import MANUAL_OPERATIONS, Asked, ManualOperation, change
from denodo_ha.preconditions import look_and_initialise, no_doctor, other, reason_given, two_addresses
from denodo_ha.reason import Reason
from denodo_ha.record import NewerRecordError, Record, RecordError, Role
from denodo_ha.text import listed
from denodo_ha.transitions import initialised
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.state.record_store import Known
from denodo_scheduler.steps.context import Event, PairContext
from denodo_scheduler.steps.outcome import Blocked, require
from denodo_scheduler.steps.passive import ensure_two_servers
from denodo_scheduler.steps.servers import would_run

__all__ = ["MANUAL_OPERATIONS", "Done", "ManualOperation", "Request", "operate"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    :param until: when a pause ends by itself. :param active: of ``initialise``: the server that is the active one.
    :param doubts: of ``acknowledge``: the names of what is accepted.
    """

    operation: ManualOperation
    until: datetime | None = None
    active: Role | None = None
    doubts: Sequence[str] = ()


@dataclass(frozen=True)
class Done:
    """What has become of it; ``event`` is None where nothing was to be changed."""

    what: str
    event: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {"changed": self.event is not None, "what": self.what, "event": self.event}


def operate(context: PairContext, request: Request) -> Done:
    """Do what the person asks for.

    :raises Blocked: it makes no sense; nothing was changed.
    """
    require(reason_given(context.reason))
    return _initialise(context, request.active) if request.operation == "initialise" else _change(context, request)


def _change(context: PairContext, request: Request) -> Done:
    asked = Asked(context.actor, context.reason, context.now(), request.until, request.doubts)
    done = Done("")

    def changed(record: Record) -> tuple[Record, Event | None]:
        nonlocal done
        found = change(request.operation, record, asked)
        if isinstance(found, Reason):
            raise Blocked(*found)
        if isinstance(found, str):
            done = Done(f"{found} Nothing was changed.")
            return record, None
        done = Done(found.what, context.event(found.kind, found.record, before=found.before, after=found.after))
        return found.record, done.event

    context.save(changed, read=lambda: _record(context))
    return done


def _record(context: PairContext) -> Record:
    try:
        record = context.records.load()
    except RecordError as error:
        raise Blocked(*error.reason) from None
    if record is None:
        raise Blocked(
            "not_initialised",
            f"the pair {context.pair.name} has no HA record",
            look_and_initialise(context.pair.dag_id_operations),
        )
    return record


# -- initialise


def _initialise(context: PairContext, active: Role | None) -> Done:
    """Make a fresh record by that person's word, in an epoch greater than any known one."""
    if active is None:
        raise Blocked("active_missing", "it is not said which server is the active one", "choose it under 'active'")
    enabled = _ensure_agrees(context, active)
    known = _known(context)  # only now, because reading both servers takes its time
    _ensure_nothing_in_flight(context, known.record)
    new = initialised(
        known.record,
        version=known.version,
        active=active,
        epoch=known.epoch,
        master=context.master.address,
        slave=context.slave.address,
        now=context.now(),
        by=context.actor,
    )
    lost = known.record.scratch if known.record and not new.scratch else None
    event = context.event(
        "initialised",
        new,
        **({"scratch": f"{listed(lost.projects)} on {lost.target}"} if lost else {}),
        before=_before(known),
        after={"phase": new.phase, "active": new.active, "epoch": new.epoch},
        enabled={role: None if keys is None else len(keys) for role, keys in enabled.items()},
    )
    context.create(new, event)
    return Done(
        f"The {active} is the active server by your word, in epoch {new.epoch}; the slave is not synced.", event
    )


def _known(context: PairContext) -> Known:
    try:
        return context.records.known()
    except NewerRecordError as error:
        raise Blocked(*error.reason) from None


def _before(known: Known) -> dict[str, Any]:
    """What the event says of the record so far."""
    if known.record is None:
        return {"record": "unusable" if known.version else "none"}
    return {"phase": known.record.phase, "active": known.record.active, "epoch": known.record.epoch}


def _ensure_nothing_in_flight(context: PairContext, old: Record | None) -> None:
    if old and old.operation and old.operation.open(context.now()):
        raise Blocked(
            "operation_open",
            f"the task of the {old.operation.kind} {old.operation.id} may still change a server",
            f"wait for its end, at the latest {old.operation.lease_until:%Y-%m-%d %H:%M:%S} UTC",
        )
    require(no_doctor(old, context.now()) if old else None)


def _ensure_agrees(context: PairContext, active: Role) -> dict[Role, set[JobKey] | None]:
    """Refuse what the servers contradict; returns their enabled jobs, None for one that does not answer.

    Jobs that are enabled on the other server only would be disabled by the next look at the pair, and nothing would
    show any more that they had run.
    """
    require(two_addresses(context.servers.connections, context.servers.addresses))
    seen = {role: _read(context, role) for role in Role}
    master, slave = seen[Role.MASTER], seen[Role.SLAVE]
    if master and slave:
        ensure_two_servers(context, master[0], slave[0])
    enabled = {role: found and found[1] for role, found in seen.items()}
    ours = enabled[active]
    if ours is None:
        raise Blocked(
            "active_unreachable",
            f"the {active} cannot be read, so it is not known whether its jobs are enabled",
            "repair it or its connection first",
        )
    theirs = enabled[other(active)] or set()
    if only := sorted(theirs - ours):
        raise Blocked(
            "active_disagrees",
            f"{len(only)} jobs are enabled on the other server and not on the {active} ({listed(only, 20)}); as the "
            "passive server it would have them disabled, and they would run nowhere",
            f"choose the other server, or enable these jobs on the {active}, or disable them on the other one by hand",
        )
    return enabled


def _read(context: PairContext, role: Role) -> tuple[Statuses, set[JobKey]] | None:
    """The statuses of a server, and the jobs in scope that it runs or would run; None where it cannot be read."""
    try:
        server, statuses = context.servers.answering(role)
        return statuses, set(would_run(context.pair.scope, server, statuses))
    except DenodoSchedulerError as error:
        log.warning("The %s cannot be read: %s", role, error)
        return None
