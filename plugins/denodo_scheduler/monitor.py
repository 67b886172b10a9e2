"""Who watches the watcher: an alert when a run of the failover DAG does not come to its end.

Airflow's scheduler notices, so nobody is told where the scheduler itself is dead: for that, let a monitoring system
outside of Airflow call ``denodo-ha status``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk.definitions.callback import AsyncCallback, SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

import denodo_ha
from denodo_ha.decisions import Alert
from denodo_ha.pairs import Pair, load_pairs
from denodo_scheduler.notifications import notify

SLACK = timedelta(minutes=10)
"""How much longer than planned a run may take: waiting for a worker, enabling many jobs, reporting."""


class MonitorAlertError(RuntimeError):
    """Nobody, or not everybody, could be told; makes Airflow mark the callback as failed."""


def allowed(pair: Pair) -> timedelta:
    """How long after it was queued a run of the failover DAG is late."""
    asking = pair.approval_timeout if pair.failover == "approval" else timedelta(0)
    return pair.watch_for + 2 * pair.fall * pair.probe_interval + asking + SLACK


def deadline(pair: Pair, file: Path | None = None) -> DeadlineAlert | None:
    """The deadline of the failover DAG's runs; None where no notifier is meant for it.

    The callback runs in the executor, which a dead triggerer does not concern, and finds the pair by its name, so that
    no argument of a notifier gets into Airflow's database. An executor that cannot run callbacks would bring down the
    scheduler; there it is left to the triggerer.

    :param file: where the pair is read from; by default what ``DENODO_HA_PAIRS`` names, or the project's own file.
    """
    if not any(Alert.MONITOR_STOPPED in each.alerts for each in pair.notify):
        return None
    from airflow.executors.executor_loader import ExecutorLoader  # costs time, and every task parses this

    file = file or Path(os.environ.get("DENODO_HA_PAIRS") or Path(denodo_ha.__file__).parents[1] / "pairs.yaml")
    kwargs = {"pair": pair.name, "file": str(file.resolve())}
    executor, _ = ExecutorLoader.import_default_executor_cls()
    callback = SyncCallback(late, kwargs) if executor.supports_callbacks else AsyncCallback(late_async, kwargs)
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=allowed(pair),
        callback=callback,
        name=f"monitor of {pair.name}",
    )


def late(pair: str, file: str, context: Mapping[str, Any] | None = None) -> None:
    """Called by Airflow when a run is late.

    :param context: what Airflow gives here: ``dag_run`` as its REST API shows it, and ``deadline``.
    :raises MonitorAlertError: a notifier failed; its log line says why.
    """
    context = context or {}
    run = context.get("dag_run") or {}
    known = load_pairs(Path(file))
    if pair not in known:
        raise MonitorAlertError(f"The file of pairs {file} has no pair {pair} any more.")
    event = {
        "kind": "monitor_stopped",
        "pair": pair,
        "epoch": None,
        "at": datetime.now(UTC).isoformat(),
        "code": "monitor_stopped",
        "run": run.get("dag_run_id"),
        "what": f"nobody watches the pair: the run {run.get('dag_run_id')} of {known[pair].dag_id_failover}, queued at "
        f"{run.get('queued_at')}, has not ended",
        "next_step": "look at Airflow's triggerer and workers; while the monitor stands still, nothing fails over",
    }
    if failed := notify(known[pair], Alert.MONITOR_STOPPED, event, context):
        raise MonitorAlertError(
            f"Not told that the monitor of {pair} has stopped: {', '.join(failed)}. Callbacks of deadlines cannot read "
            "connections from Airflow's database: give those of notifiers as environment variables AIRFLOW_CONN_… or "
            "in a secrets backend."
        )


async def late_async(pair: str, file: str, context: Mapping[str, Any] | None = None) -> None:
    """:func:`late` for the triggerer."""
    await asyncio.to_thread(late, pair, file, context)
