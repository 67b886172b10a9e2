"""The history of a pair: its events become asset events and notifications, and are measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow.sdk import Asset, AssetAlias

from denodo_ha.decisions import Alert
from denodo_ha.measures import Sample, of_event, of_pair
from denodo_ha.record import Record, RecordError
from denodo_ha.transitions import is_told, under_way
from denodo_scheduler.alerts import notify
from denodo_scheduler.state.watch_store import WatchStore
from denodo_scheduler.steps.context import PairContext

ALERTS: dict[str, Alert] = {
    "failover": Alert.FAILOVER,
    "quenched": Alert.QUENCHED,
    "drift": Alert.DRIFT,
    "repaired": Alert.DRIFT,
    "halted": Alert.HALTED,
    "switchover": Alert.SWITCHOVER,
    "failback": Alert.SWITCHOVER,
    "recovered": Alert.RECOVERED,
}
"""Which kinds of events people are notified of. An event that names its alert, as each ``problem`` does, is told so."""


def handed_out(
    run: PairContext, context: Any, watch: WatchStore, pair: Asset, alias: AssetAlias, notified: Collection[str]
) -> list[dict[str, Any]]:
    """Turn the events that wait in the outboxes into asset events, notify of them, and return them.

    :param notified: ids of events of which this task has notified people already.
    """
    waiting, added = [*_outbox(run), *watch.load().outbox], list[dict[str, Any]]()
    if not waiting:
        return []
    history = [event.extra for event in context["inlet_events"][pair].ascending(False).limit(200)]
    published = {event["id"] for event in waiting if any(is_told(event, extra) for extra in history)}
    if published:
        waiting = [*_outbox(run, without=published), *_watch_outbox(watch, published)]
    for event in waiting:
        if not under_way(event, run.now(), run.pair.sync.lease):
            context["outlet_events"][alias].add(pair, extra=event)
            added.append(event)
            if (
                event["id"] not in notified
                and not event.get("told")
                and (alert := event.get("alert") or ALERTS.get(event.get("kind", "")))
            ):
                known = Alert(alert) if alert in tuple(Alert) else Alert.BLOCKED  # another version knows more
                notify(run.pair, known, event, context)
    return added


def measured(
    run: PairContext, watch: WatchStore, began: datetime, events: Iterable[dict[str, Any]]
) -> Iterator[Sample]:
    """Yield what is measured of a pair as it is now, and of events.

    :param began: when the run began.
    """
    try:
        record = run.records.load()
    except RecordError:
        record = None
    yield from of_pair(run.pair, record, watch.load(), run.now())
    took = (run.now() - began).total_seconds()
    for event in events:
        yield from of_event(event, took if run.is_of_this_run(str(event.get("operation"))) else None)


def _outbox(run: PairContext, without: Collection[str] = ()) -> tuple[dict[str, Any], ...]:
    """The record's outbox as it is now, after the events ``without`` were taken out of it."""

    def cleared(record: Record) -> tuple[Record, None]:
        return record.model_copy(update={"outbox": tuple(e for e in record.outbox if e["id"] not in without)}), None

    try:
        record = run.records.load()
        return run.save(cleared).outbox if record else ()
    except RecordError:
        return ()


def _watch_outbox(watch: WatchStore, without: Collection[str]) -> tuple[dict[str, Any], ...]:
    watching = watch.load()
    kept = tuple(event for event in watching.outbox if event["id"] not in without)
    if len(kept) < len(watching.outbox):
        watch.save(replace(watching, outbox=kept))
    return kept
