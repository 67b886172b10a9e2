"""First step of a sync: may it begin at all, and is the passive server in order?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from denodo_ha.jobs import JobKey
from denodo_ha.preconditions import (
    OPERATIONS_DAG,
    drill_left,
    look_and_initialise,
    moved,
    one_writer,
    other,
    sync_may_begin,
    to_begin,
    two_addresses,
)
from denodo_ha.record import Phase, Record, RecordError, Role, close_operation, covers
from denodo_ha.server.address import common_name
from denodo_ha.server.tokens import common_endpoint
from denodo_ha.text import listed
from denodo_scheduler.client.probe import over_second_path
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.claim import SyncTicket, unchanged
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.doctor.tidy import tidy
from denodo_scheduler.steps.drill import end_interrupted
from denodo_scheduler.steps.holding import another_pair
from denodo_scheduler.steps.outcome import Blocked, NotYet, require
from denodo_scheduler.steps.passive import DisablingEvent, ensure_two_servers, settle
from denodo_scheduler.steps.servers import would_run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Admission:
    """Whether the run goes on; if not, ``message`` says why and what comes next."""

    ticket: SyncTicket | None
    code: str
    message: str

    def to_json(self) -> dict[str, Any]:
        return {
            "go": self.ticket is not None,
            "code": self.code,
            "message": self.message,
            "plan": self.ticket.to_json() if self.ticket else None,
        }


def guard(context: PairContext, *, operation_id: str, wanted: datetime | None, reprotect: bool = False) -> Admission:
    """Decide whether this run syncs, and repair the passive server where an earlier run left it dirty.

    :param operation_id: a name for what this run is going to do, different at each attempt of the guard.
    :param wanted: the moment this run stands for; a committed snapshot taken later makes it a no-op. None: always sync.
    :param reprotect: where the slave is the active server, copy it to the master.
    :return: of a pair without record, unless it may begin by itself, a ticket with which the run only looks.
    :raises Blocked: the pair has no usable record, both connections lead to one server, or another pair has it.
    """
    found = _load(context)
    begins = found is None and context.pair.sync.initialise == "automatic"
    if looks := found is None and not begins:
        context = replace(context, dry_run=True)
    require(two_addresses(context.servers.connections, context.servers.addresses) or another_pair(context))
    _warn_of_one_thing(context)
    record = found or Record(master=context.master.address, slave=context.slave.address)
    if begins and not context.dry_run:
        record = _initialise(context, record)
    source = record.active if reprotect and record.phase is Phase.FAILED_OVER else Role.MASTER
    if reason := sync_may_begin(record, context.now(), source):
        return Admission(None, reason.code, str(reason))
    target = other(source)
    version = context.servers.hook(target).me().version
    log.debug("The %s answers: version %s.", target, version)
    go = SyncTicket(operation_id, record.epoch, record.snapshot_id, source, version)
    record = _same_servers(context, record)
    if looks:
        return _look(context, go)
    if context.dry_run:
        return Admission(go, "go", f"dry run: shows what a sync of the {target} would do")
    record = _tried_storage(context, record)
    if drill_left(record, context.now()):
        end_interrupted(context, record)
        record = context.record()
    record = _repair(context, record, go.target)
    tidy(context, record, go.target)
    if wanted and record.dirty is None and covers(record, wanted, context.now()):
        assert record.snapshot is not None
        what = (
            f"this run stands for {wanted.isoformat(timespec='seconds')}, and the snapshot {record.snapshot.id}, "
            f"taken later, is already on the {go.target}"
        )
        return Admission(None, "covered", f"[covered] {what}. Nothing was changed.")
    return Admission(go, "go", f"a sync of the {go.target} from the {go.source} may begin")


def _warn_of_one_thing(context: PairContext) -> None:
    """Two paths that use one name, or one token endpoint, are not independent: what fails, fails for both."""
    second = over_second_path(context.pair.watch.second_path, context.master, context.slave)
    if second and (name := common_name(context.master.place, second.server)):
        log.warning(
            "Both paths to the master use the name %s, so what happens to this name happens to both. Next: write the "
            "master's address into 'second_path' of the pair, such as //10.0.0.1:%s.",
            name,
            context.master.place.port,
        )
    if second and (common := common_endpoint(context.master.settings.auth, second.settings.auth)):
        log.warning(
            "Both paths to the master need tokens of %s, so nothing fails over where that is lost together with the "
            "master. Next: let a site of its own, or both sites, give the tokens.",
            common,
        )


def _load(context: PairContext) -> Record | None:
    """Read the record; None where the pair never had one."""
    try:
        record = context.records.load()
    except RecordError as error:
        raise Blocked(*error.reason) from None
    if record is None and (reason := context.without_record()).code == "record_lost":
        raise Blocked(*reason)
    return record


def _look(context: PairContext, ticket: SyncTicket) -> Admission:
    """Let the run of a pair without record look, and say how a person begins."""
    seen = [(server, server.statuses()) for server in map(context.servers.own_path, Role)]
    ensure_two_servers(context, *(statuses for _, statuses in seen))
    enabled = [would_run(context.pair.scope, *each) for each in seen]
    ticket = replace(ticket, to_begin=to_begin(context.pair.dag_id_operations, *enabled))
    reason = ticket.looks
    assert reason
    return Admission(ticket, reason.code, str(reason))


def _initialise(context: PairContext, record: Record) -> Record:
    """Save the first record without a person's word, where there is no doubt which server is the active one."""
    slave = context.servers.own_path(Role.SLAVE)
    if enabled := would_run(context.pair.scope, slave, slave.statuses()):
        raise Blocked(
            "not_initialised",
            f"the pair {context.pair.name} has no HA record, and {len(enabled)} jobs are enabled on the slave "
            f"({listed(sorted(enabled))}), so it may be the active server",
            look_and_initialise(context.pair.dag_id_operations),
        )
    event = context.event("initialised", record, after={"active": record.active, "phase": record.phase})
    record = context.create(record, event)
    log.info("The pair %s had no HA record: the master is the active server from now on.", context.pair.name)
    return record


def _same_servers(context: PairContext, record: Record) -> Record:
    """Refuse a server at another address than so far."""
    addresses = context.servers.addresses
    if found := moved(record, addresses):
        role, before, now = found
        raise Blocked(
            f"{role}_changed",
            f"the connection {getattr(context.pair, role)} leads to {now}, and the {role} of the pair "
            f"{context.pair.name} was {before} so far",
            f"correct the connection; if it is right, initialise the pair with {OPERATIONS_DAG}",
        )
    if record.master is None and not context.dry_run:  # a record of before the master's address was kept
        return context.save(lambda latest: (latest.model_copy(update={"master": addresses[0]}), None))
    return record


def _tried_storage(context: PairContext, record: Record) -> Record:
    """Note whether the storage lets one writer only make each version of the record."""
    exclusive = context.records.is_exclusive(record)
    if exclusive != record.exclusive:
        record = context.save(lambda latest: (latest.model_copy(update={"exclusive": exclusive}), None))
    if reason := one_writer(record):
        log.warning("%s", reason)
    return record


def _repair(context: PairContext, record: Record, target: Role) -> Record:
    """Disable what an earlier run left enabled on the ``target``, and close its operation. Where there is neither, as
    on the server that a failback has left, nothing is told.
    """
    operation, dirty = record.operation, record.dirty
    if operation is None and dirty is None:
        return record
    claim = unchanged(context, record, NotYet)
    ours = operation is not None and operation.target == context.servers.hook(target).address
    why = dirty.reason if dirty else "an operation was left open"
    event = DisablingEvent(
        context,
        "repaired",
        dirty.since if dirty else None,
        {"operation": operation.id if operation else None, "server": target},
        before={"dirty": why},
    )

    def tell(statuses: Statuses, keys: Sequence[JobKey]) -> None:
        event.begin(claim, statuses, keys)

    found = settle(context, target, operation, claim, ours=ours, tell=tell)
    said = f"{len(found.disabled)} jobs were enabled and are disabled now. It cannot be promoted until a sync has ended"
    log.warning("The %s was dirty (%s): %s.", target, why, said)
    told = event.end(record, found)
    nothing = operation is None and not told["jobs"] and not told["suspected_double_runs"]
    return claim.save(close_operation, None if nothing else told)
