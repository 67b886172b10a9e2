"""A sync that fails: the record says so until one succeeds, and people are told when it begins."""

from __future__ import annotations

from dataclasses import replace

from denodo_ha.decisions import Alert
from denodo_ha.reason import Reason
from denodo_ha.record import Phase, Record, SyncProblem
from denodo_ha.transitions import sync_failed
from denodo_scheduler.state.watch_store import WatchStore
from denodo_scheduler.steps.context import Event, PairContext


def note_problem(context: PairContext, reason: Reason, watch: WatchStore) -> Event | None:
    """Note why this sync has failed for good, where the pair is still one that is synced.

    :param watch: keeps what was told of a pair that has no record.
    :return: the event, of which the caller notifies people, since a task that fails emits none; None where the same was
        told before.
    """
    problem = SyncProblem(since=context.now(), code=reason.code, what=reason.what, next_step=reason.next_step)
    told: list[Event] = []
    if context.records.load() is None:
        seen = watch.load()
        if seen.refused == reason.code:
            return None
        watch.save(replace(seen, refused=reason.code))
        return _event(context, Record(), reason, None)

    def failed(record: Record) -> tuple[Record, Event | None]:
        told.clear()
        if record.phase not in (Phase.NORMAL, Phase.FAILED_OVER):
            return record, None
        known = record.sync_problem
        if known is None or known.code != reason.code:
            told.append(_event(context, record, reason, known.code if known else None))
        return sync_failed(record, problem), told[0] if told else None

    context.save(failed)
    return told[0] if told else None


def _event(context: PairContext, record: Record, reason: Reason, before: str | None) -> Event:
    details = {"alert": str(Alert.BLOCKED), "told": True, **reason.to_json(), "run": context.run_id}
    return context.event("problem", record, before={"code": before}, **details)
