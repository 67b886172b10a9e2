"""Making sure that the passive server is passive, whatever became of the import."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from denodo_ha.jobs import JobKey
from denodo_ha.record import Step
from denodo_ha.sync_results import Disabled
from denodo_ha.text import listed
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.claim import SyncTicket, current_sync, own_sync
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.passive import DisablingEvent, settle

log = logging.getLogger(__name__)


def is_import_open(context: PairContext) -> bool:
    """Whether an import of the pair may have enabled jobs since they were read back disabled; if in doubt, it may."""
    try:
        record = context.records.load()
    except Exception:
        log.warning("Whether an import is open is not known, because the HA record cannot be read.", exc_info=True)
        return True
    return record is None or record.operation is not None


def disable_jobs(context: PairContext, ticket: SyncTicket) -> Disabled:
    """Disable every enabled job in scope on the passive server and read back; level-triggered.

    After an import of unknown end, go on until the operation's lease is over, and read the definitions then. Jobs that
    were enabled since the last commit although no import was begun are drift.

    :raises NothingToDo: the run only looks, or the task is superseded.
    """
    claim = current_sync(context, ticket)
    record = claim.check()
    operation = record.operation
    if operation:
        ours = operation.target == context.servers.hook(ticket.target).address
        if operation.in_flight(context.now()):
            claim = own_sync(context, ticket).trusted(operation.lease_until)
        found = settle(
            context, ticket.target, operation, claim, ours=ours, after_import=operation.step is Step.IMPORTING
        )
        return Disabled(len(found.disabled), found.clean_at.isoformat())

    since = record.snapshot.committed if record.snapshot else None
    drift = DisablingEvent(context, "drift", since, {"server": ticket.target})

    def tell(statuses: Statuses, keys: Sequence[JobKey]) -> None:
        log.warning(
            "Drift: %d jobs were enabled on the %s, not by a sync: %s", len(keys), ticket.target, listed(sorted(keys))
        )
        drift.begin(claim, statuses, keys)

    found = settle(context, ticket.target, None, claim, ours=False, tell=tell, after_import=False)
    if found.disabled:
        complete = drift.end(context.record(), found)
        context.save(lambda latest: (latest, complete))
    return Disabled(len(found.disabled), found.clean_at.isoformat())
