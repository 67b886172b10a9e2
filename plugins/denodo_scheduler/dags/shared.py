"""What the DAGs of a pair have in common: its assets, a step's run, and how its history gets out."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pendulum
from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import Asset, AssetAlias, ObjectStoragePath, Param

from denodo_ha.decisions import Alert
from denodo_ha.pairs import Pair
from denodo_ha.record import RecordError
from denodo_ha.transitions import under_way
from denodo_scheduler.alerts import notify
from denodo_scheduler.exceptions import RETRY_POLICY
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.state.storage import StorageError
from denodo_scheduler.state.watch_store import WatchStore
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NotYet

log = logging.getLogger(__name__)

START = pendulum.datetime(2026, 1, 1, tz="UTC")
"""Before any backfill that makes sense; DAGs never catch up by themselves."""
GROUP = "denodo-scheduler"

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
"""Which kinds of events people are notified of. A ``problem`` event names its alert itself."""


class Assets(NamedTuple):
    """The pair's own asset, whose state store holds the record and whose events are its history; the asset by whose
    events the failover DAG is asked for a look; and the alias through which tasks emit events of both on a change."""

    pair: Asset
    look: Asset
    history: AssetAlias

    @property
    def of_a_task(self) -> dict[str, Any]:
        """Arguments of a task that reads the record and may emit events."""
        return {"inlets": [self.pair], "outlets": [self.history]}


def assets_of(pair: Pair) -> Assets:
    """Assets are equal by name and URI, so that each DAG can make its own."""
    return Assets(
        pair=Asset(name=pair.asset_uri, uri=pair.asset_uri, group=GROUP),
        look=Asset(name=pair.look_uri, uri=pair.look_uri, group=GROUP),
        history=AssetAlias(name=f"denodo-scheduler-history-{pair.name}", group=GROUP),
    )


def default_args(pair: Pair, **own: Any) -> dict[str, Any]:
    """Arguments of every task of ``pair``, besides ``own``.

    A default timeout of the Airflow installation does not apply: the steps have timeouts of their own, and one that is
    killed midway costs a repair.
    """
    queue = {"queue": pair.queue} if pair.queue else {}
    return {"owner": pair.owner, **queue, "execution_timeout": None, "retry_policy": RETRY_POLICY, **own}


def pair_context(pair: Pair, assets: Assets, context: Any) -> PairContext:
    """The pair as this task sees it."""
    dag_run = context["dag_run"]
    return PairContext(
        pair=pair,
        records=RecordStore(context["asset_state_store"][assets.pair]),
        snapshots=SnapshotStore(snapshot_folder(pair), pair.name),
        master=DenodoSchedulerHook(pair.master),
        slave=DenodoSchedulerHook(pair.slave),
        actor=dag_run.triggering_user_name or dag_run.run_type.value,
        reason=context["params"].get("reason") or "",
        run_id=dag_run.run_id,
        dry_run=bool(context["params"].get("dry_run")),
    )


def watch_store(assets: Assets, context: Any) -> WatchStore:
    return WatchStore(context["asset_state_store"][assets.pair])


def watched(context: Any) -> dict[str, Any] | None:
    """What ``ping_master`` of this run has seen. Airflow 3.3 encodes the XCom of a trigger that ends its task twice."""
    found = context["ti"].xcom_pull(task_ids="ping_master")
    seen: dict[str, Any] | None = json.loads(found) if isinstance(found, str) else found
    return seen


def snapshot_folder(pair: Pair) -> ObjectStoragePath:
    """Where the pair's snapshots are: its option ``snapshots.location``, or a folder of the Airflow home."""
    return ObjectStoragePath(pair.snapshots.location or f"file://{AIRFLOW_HOME}/denodo_ha/snapshots")


def quiet_arguments(pair: Pair) -> dict[str, Any]:
    """Of the sensor that waits for a quiet window of ``pair``."""
    return {
        "denodo_scheduler_conn_id": pair.master,
        "window": pair.sync.quiet_window,
        "margin": pair.sync.quiet_margin,
        "timeout": pair.sync.quiet_timeout,
        "timezone": pair.timezone,
        "include_projects": pair.projects,
        "include_jobs": pair.jobs,
        "deferrable": True,
    }


def quiet_params(pair: Pair, where: str) -> dict[str, Param]:
    """Fields of a form: the wait for a quiet window on the server that ``where`` names."""
    return {
        "quiet_window": Param(
            int(pair.sync.quiet_window.total_seconds()),
            type="integer",
            minimum=1,
            title="Quiet window (seconds)",
            description=f"How long nothing may be due on the {where}.",
        ),
        "quiet_timeout": Param(
            int(pair.sync.quiet_timeout.total_seconds()),
            type="integer",
            minimum=1,
            title="Wait for a quiet window at most (seconds)",
        ),
    }


@contextmanager
def publishing(run: PairContext, assets: Assets, context: Any) -> Iterator[None]:
    """Around a step: afterwards the events it saved become asset events and notifications.

    A step that fails publishes nothing; its events stay in the record's outbox for the next task that does.
    """
    yield
    publish(run, assets, context)


def publish(run: PairContext, assets: Assets, context: Any, *, told: Collection[str] = ()) -> None:
    """Turn the events that wait in the outboxes into asset events of the pair, each once, and notify of them.

    An event leaves its outbox only after it was seen in the pair's history, so none is lost when a task dies.

    :param told: ids of events of which this task has notified people already.
    """
    watch = watch_store(assets, context)
    waiting = [*_outbox(run), *watch.load().outbox]
    if not waiting:
        return
    history = context["inlet_events"][assets.pair].ascending(False).limit(200)
    published = {event.extra.get("id") for event in history} & {event["id"] for event in waiting}
    if published:
        waiting = [*_outbox(run, without=published), *_watch_outbox(watch, published)]
    for event in waiting:
        if not under_way(event, run.now(), run.pair.sync.lease):
            context["outlet_events"][assets.history].add(assets.pair, extra=event)
            if event["id"] not in told and (alert := ALERTS.get(event["kind"]) or event.get("alert")):
                notify(run.pair, Alert(alert), event, context)


def _outbox(run: PairContext, without: Collection[str] = ()) -> tuple[dict[str, Any], ...]:
    """The record's outbox as it is now, after the events ``without`` were taken out of it."""
    try:
        record = run.records.load()
    except RecordError:
        return ()
    if record is None:
        return ()
    kept = tuple(event for event in record.outbox if event["id"] not in without)
    if len(kept) < len(record.outbox):
        run.save(record.model_copy(update={"outbox": kept}))
    return kept


def _watch_outbox(watch: WatchStore, without: Collection[str]) -> tuple[dict[str, Any], ...]:
    watching = watch.load()
    kept = tuple(event for event in watching.outbox if event["id"] not in without)
    if len(kept) < len(watching.outbox):
        watch.save(replace(watching, outbox=kept))
    return kept


def ask_for_a_look(assets: Assets, context: Any, reason: str, *, afresh: bool = True) -> None:
    """Have the failover DAG look at the pair as soon as this task has ended.

    :param afresh: it takes its first verdict at once, whatever it knew. Otherwise it goes on watching for a change.
    """
    if afresh:
        store = watch_store(assets, context)
        store.save(replace(store.load(), verdict="", settled=False))
    context["outlet_events"][assets.history].add(assets.look, extra={"reason": reason})


@contextmanager
def explaining(context: Any) -> Iterator[None]:
    """Leave reason code and text of a step that fails in the XCom ``problem``, for the task that reports."""
    try:
        yield
    except (Blocked, NotYet, StorageError, RecordError) as error:
        context["ti"].xcom_push(key="problem", value=error.reason.to_json())
        raise
