"""What one look at the pair led to: for the history, for people, and for the next look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from denodo_ha.decisions import Alert
from denodo_ha.reason import Reason
from denodo_ha.record import Record, RecordError
from denodo_ha.transitions import OUTBOX
from denodo_ha.watching import News, compare, monitor_stopped
from denodo_scheduler.state.watch_store import WatchStore
from denodo_scheduler.steps.context import PairContext


def report(
    context: PairContext,
    watch: WatchStore,
    judgement: Mapping[str, Any] | None,
    problem: Reason | None,
    watched: Mapping[str, Any] | None,
    *,
    by_hand: bool,
) -> bool:
    """Save what this look led to together with its event; return whether the failover DAG is to look again at once.

    See :func:`denodo_ha.watching.compare` for the parameters.

    :param by_hand: a person started the run, which looks beside the watch in progress.
    """
    if context.dry_run:
        return False
    seen = watch.load()
    found = compare(seen, judgement, problem, watched, now=context.now())
    news = (_event(context, found.news),) if found.news else ()
    watch.save(replace(found.watching, outbox=(*seen.outbox, *news)[-OUTBOX:]))
    return found.look_again if by_hand else seen.owner == context.run_id


def note_if_overdue(context: PairContext, watch: WatchStore) -> dict[str, Any] | None:
    """Save the event of a monitor that has stopped, once.

    :return: None while the failover DAG looks at the pair, or never did.
    """
    pair, seen = context.pair, watch.load()
    found = monitor_stopped(seen, context.now(), watch_for=pair.watch.duration, dag_id=pair.dag_id_failover)
    if found is None or context.dry_run:
        return None
    watching, news = found
    event = _event(context, news)
    watch.save(replace(watching, outbox=(*seen.outbox, event)[-OUTBOX:]))
    return event


def add_problem(context: PairContext, watch: WatchStore, reason: Reason) -> None:
    """Save the event of a step that a person has asked for and that failed, once for each run."""
    details = {"run": context.run_id, "alert": str(Alert.BLOCKED), **reason.to_json()}
    seen = watch.load()
    if not any(details.items() <= event.items() for event in seen.outbox):
        watch.save(replace(seen, outbox=(*seen.outbox, _event(context, News("problem", details)))[-OUTBOX:]))


def _event(context: PairContext, news: News) -> dict[str, Any]:
    return context.event(news.kind, _record(context), **news.details)


def _record(context: PairContext) -> Record:
    try:
        return context.records.load() or Record()
    except RecordError:
        return Record()
