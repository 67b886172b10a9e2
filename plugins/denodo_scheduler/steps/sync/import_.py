"""The changing step of a sync: intent, then one piece after the other, each planned afresh from what the target is."""

from __future__ import annotations

import gc
import logging
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from denodo_ha.delivery.plan import Channel, DeliveryPlan, Piece
from denodo_ha.jobs import Job, JobKey
from denodo_ha.record import Operation, begin_import, close_operation, learned
from denodo_ha.snapshot.archive import cut_archive
from denodo_ha.sync_results import Exported, Imported
from denodo_scheduler.steps.claim import Claim, SyncTicket, current_sync, own_sync, passive_target
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NothingToDo
from denodo_scheduler.steps.passive import ensure_two_servers, settle
from denodo_scheduler.steps.sync.export import oldest_export
from denodo_scheduler.steps.sync.planning import Identity, Planner, Planned, Source
from denodo_scheduler.steps.sync.send import Answered, Sender
from denodo_scheduler.steps.sync.write import Writer, is_refusal

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=60)
"""How long this task waits for the moment of a piece, while the pair's slot is held; later ones are left to the next
run."""
SENDINGS = 2
"""How often an element is sent in one run."""


def import_snapshot(
    context: PairContext, ticket: SyncTicket, exported: Exported, *, deliver_now: bool = False
) -> Imported:
    """Deliver what differs to the passive server; what an import wakes is disabled at once.

    :param deliver_now: a person accepts that jobs which have no safe moment may run once.
    :raises NothingToDo: a dry run, nothing to deliver, or the task is superseded.
    :raises Blocked: the target is too old or the wrong server, or an import was sent and its end is unknown; then
        ``disable_jobs`` sees to it.
    """
    if context.dry_run:
        raise NothingToDo("dry_run", "this is a dry run; the plan is in the XCom of export_metadata")
    current, own = current_sync(context, ticket), own_sync(context, ticket)
    record = current.check()
    if exported.unchanged:
        raise NothingToDo("unchanged", exported.comparison)
    _ensure_fresh(context, exported)
    if record.operation:
        _resume(context, ticket, own, record.operation)
    _ensure_version(context, ticket, exported)
    _ensure_sendable(context, ticket, exported)
    servers = context.servers
    source, target = servers.hook(ticket.source), servers.hook(ticket.target)
    before = target.statuses()
    ensure_two_servers(context, source.statuses(), before)
    planner = Planner(context, ticket, Source.stored(context, ticket, exported.snapshot), deliver_now=deliver_now)
    untouched = current.check()
    intent = begin_import(
        untouched,
        operation_id=f"{ticket.operation_id}.{uuid4().hex[:4]}",
        target=target.address,
        now=context.now(),
        lease=context.pair.sync.lease,
    )
    context.save(intent)
    gc.freeze()  # a full collection would pause this process while jobs are enabled on the target
    sender = Sender(context, ticket, own, passive_target(context, ticket), untouched)
    delivery = _Delivery(context, ticket, exported, planner, sender)
    delivery.run()
    assert intent.operation is not None
    return delivery.result(intent.operation.id, [job.key for job in before.jobs])


@dataclass
class _Delivery:
    """The pieces of one sync, one after the other.

    :param sent: how often each element was sent. :param by_archive: jobs that REST did not write as they are.
    :param proving: jobs that were written and not read back yet.
    """

    context: PairContext
    ticket: SyncTicket
    exported: Exported
    planner: Planner
    sender: Sender
    sent: Counter[Identity] = field(default_factory=Counter)
    by_archive: set[JobKey] = field(default_factory=set)
    proving: dict[JobKey, Job] = field(default_factory=dict)
    answers: list[Answered] = field(default_factory=list)
    pieces: list[dict[str, Any]] = field(default_factory=list)
    plan: DeliveryPlan = DeliveryPlan()

    def run(self) -> None:
        until = self.context.now() + PATIENCE
        while True:
            planned = self._planned()
            piece = next((each for each in planned.plan.pieces if each.moment <= planned.now + PATIENCE), None)
            if piece is None:
                break
            if piece.moment > planned.now:
                if self.context.now() >= until:
                    break
                self.sender.before_writing()
                time.sleep(max(0.5, (piece.moment - planned.now).total_seconds()))
            elif piece.channel is Channel.REST:
                self._write(piece, planned)
            else:
                self._import(piece, planned)
        self.sender.close()
