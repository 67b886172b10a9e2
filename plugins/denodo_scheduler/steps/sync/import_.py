"""The changing step of a sync: intent, then one piece after the other, each planned afresh from what the target is."""

from __future__ import annotations

import gc
import logging
from datetime import datetime
from uuid import uuid4

from denodo_ha.delivery.plan import DeliveryPlan
from denodo_ha.jobs import version_of
from denodo_ha.record import Operation, Record, begin_import, close_operation
from denodo_ha.sync_results import Exported, Imported
from denodo_ha.text import counted, listed
from denodo_scheduler.state.storage import filesystem
from denodo_scheduler.steps.claim import LEASE, Claim, SyncTicket, current_sync, own_sync, passive_target
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.passive import ensure_two_servers, settle
from denodo_scheduler.steps.servers import enabled_in
from denodo_scheduler.steps.sync.deliver import Delivery
from denodo_scheduler.steps.sync.export import read_snapshot
from denodo_scheduler.steps.sync.planning import Planner, Server
from denodo_scheduler.steps.sync.send import Sender

log = logging.getLogger(__name__)


def import_snapshot(
    context: PairContext, ticket: SyncTicket, exported: Exported, *, deliver_now: bool = False
) -> Imported:
    """Deliver what differs to the passive server; what an import wakes is disabled at once.

    :param deliver_now: a person accepts that jobs which have no safe moment may run once.
    :raises NothingToDo: the run only looks, nothing to deliver, or the task is superseded.
    :raises Blocked: the target is too old or the wrong server, or an import was sent and its end is unknown; then
        ``disable_jobs`` sees to it.
    """
    current, own = current_sync(context, ticket), own_sync(context, ticket)
    record = current.check()
    if exported.unchanged:
        raise NothingToDo("unchanged", exported.comparison)
    _ensure_fresh(context, exported)
    if record.operation:
        _resume(context, ticket, own, record.operation)
    source, target = context.servers.hook(ticket.source), context.servers.hook(ticket.target)
    version = target.me().version
    _ensure_version(ticket, exported, version)
    _ensure_sendable(context, ticket, exported)
    before = target.statuses()
    ensure_two_servers(context, source.statuses(), before)
    snapshot = read_snapshot(context, exported.snapshot, record, ticket)
    definitions = Server.read(source, ticket.source)
    rescued = _rescue(context, ticket, record)
    began, untouched = context.now(), record

    def begun(latest: Record) -> Record:
        nonlocal untouched
        untouched = latest
        return begin_import(
            latest,
            operation_id=f"{ticket.operation_id}.{uuid4().hex[:4]}",
            target=target.address,
            now=context.now(),
            lease=min(LEASE, context.pair.sync.lease),
        )

    intent = current.save(begun)
    if not intent.exclusive:
        _look_again(context, ticket, own)
    gc.freeze()  # a full collection would pause this process while jobs are enabled on the target
    planner = Planner(context, untouched, ticket.target, snapshot, definitions, deliver_now)
    sender = Sender(context, ticket, own, passive_target(context, ticket), untouched)
    delivery = Delivery(context, ticket, exported.snapshot, planner, sender, version)
    delivery.run()
    if rescued:
        delivery.rescued = {"location": rescued, "different": counted(delivery.first_different)}
    if not delivery.pieces:
        sender.undo()
        log.warning("Nothing can be delivered now. %s", DeliveryPlan(pending=delivery.pending).text())
    assert intent.operation is not None
    return delivery.result(intent.operation.id, began, before)


def _look_again(context: PairContext, ticket: SyncTicket, own: Claim) -> None:
    """Where the record may have been written over, the target itself shows whether it has become the active server."""
    own.check()
    woken = enabled_in(context.pair.scope, context.servers.hook(ticket.target).statuses())
    if woken:
        own.save(close_operation)
        names = listed(sorted(job.key for job in woken))
        raise NotYet(
            "target_enabled",
            f"{len(woken)} jobs are enabled on the {ticket.target} ({names}), and the storage of the HA record cannot "
            "rule out that a failover was written over",
            "look which server is the active one; nothing was imported",
        )


def _resume(context: PairContext, ticket: SyncTicket, own: Claim, operation: Operation) -> None:
    """Go on after an earlier try of this task: disable what it left enabled until nothing of it can be in flight."""
    settle(context, ticket.target, operation, own, ours=True)
    own.save(close_operation)


def _rescue(context: PairContext, ticket: SyncTicket, record: Record) -> str | None:
    """Keep an export of a server that may have been active since the last sync, before its first change.

    What people changed there is in it; retention never deletes it.

    :return: where it is, if it was taken now.
    """
    path = context.snapshots.rescue_path(f"{record.epoch}-{ticket.target}")
    if record.epoch == 1 or filesystem(path).exists(path.path):
        return None
    context.servers.hook(ticket.target).export_metadata(path)
    log.warning("The %s may have been active before: its own export is kept as %s.", ticket.target, path)
    return str(path)


def _ensure_fresh(context: PairContext, exported: Exported) -> None:
    """An export of long ago, of a task that was cleared alone, would bring back what is gone."""
    age = context.now() - datetime.fromisoformat(exported.taken)
    if age > context.pair.sync.oldest_export:
        raise NothingToDo("superseded", f"superseded: the export was taken {age} ago; clear the run")


def _ensure_version(ticket: SyncTicket, exported: Exported, version: str) -> None:
    """An export is for a server of the same or a newer version [S]. Versions that cannot be read are not compared."""
    ours, theirs = version_of(exported.version), version_of(version)
    if ours and theirs and theirs < ours:
        raise Blocked(
            "version",
            f"the {ticket.source}'s export is of version {exported.version}, the {ticket.target} is of the older "
            f"{version}",
            f"update the {ticket.target}; nothing was changed",
        )


def _ensure_sendable(context: PairContext, ticket: SyncTicket, exported: Exported) -> None:
    """What can fail without anything being sent fails before the intent is written."""
    context.servers.hook(ticket.target).check_import()
    try:
        context.snapshots.export_path(exported.snapshot).stat()
    except OSError as error:
        raise Blocked(
            "snapshot_missing",
            f"the export of the snapshot {exported.snapshot} cannot be read on this worker: {error}",
            "nothing was changed. With workers on several machines, set 'snapshots' of the pair to storage that all "
            "reach; then clear the run",
        ) from None
