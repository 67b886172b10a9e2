"""A sync that fails: the record says so until one succeeds, and people are told when it begins."""

from __future__ import annotations

import logging

from denodo_ha.decisions import Alert
from denodo_ha.reason import Reason
from denodo_ha.record import Record, RecordError, SyncProblem
from denodo_ha.transitions import sync_failed
from denodo_scheduler.state.storage import StorageError
from denodo_scheduler.steps.context import Event, PairContext
from denodo_scheduler.steps.outcome import Blocked, NotYet

log = logging.getLogger(__name__)


def note_problem(context: PairContext, reason: Reason) -> None:
    """Note why this sync has failed for good. Where the record cannot be changed, its own trouble is told elsewhere."""
    problem = SyncProblem(since=context.now(), code=reason.code, what=reason.what, next_step=reason.next_step)

    def failed(record: Record) -> tuple[Record, Event | None]:
        known = record.sync_problem
        if known and known.code == reason.code:
            return sync_failed(record, problem), None
        before = {"code": known.code if known else None}
        details = {"alert": str(Alert.BLOCKED), **reason.to_json(), "run": context.run_id}
        return sync_failed(record, problem), context.event("problem", record, before=before, **details)

    try:
        context.save(failed)
    except (Blocked, NotYet, RecordError, StorageError) as error:
        log.warning("Why the sync has failed cannot be kept in the HA record: %s", error)
