"""Tells people: calls the pair's notifiers, which are Airflow's own, each for the alerts that it is meant for.

The deadline of the failover DAG tells them that nothing watches the pair any more. Airflow's scheduler notices it, so
no one is told where the scheduler itself is dead: for that, let a monitoring system outside of Airflow call
``denodo-ha status``.

Their templates see what Airflow's context has, and ``event`` (an entry of the pair's history), ``alert``,
``message``, the alert in one line, ``page``, the address of the pair's page, and ``runbook``, that of what to do; both
are empty where Airflow does not know its own address. Texts that the pair does not give are filled in.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import pkgutil
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier, Context
from airflow.sdk.configuration import ensure_secrets_loaded
from airflow.sdk.definitions.callback import AsyncCallback, SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.log import mask_secret

from denodo_ha.alerts import TEST, TEXTS, allowed, late_event, message, test_event
from denodo_ha.decisions import Alert
from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import read_pairs
from denodo_ha.pairs_options import Notify
from denodo_ha.readiness.facts import Deadline
from denodo_ha.runbook import of_event
from denodo_ha.text import listed
from denodo_scheduler.links import docs_url, page_url
from denodo_scheduler.settings import pairs_path

log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds that all notifiers together are waited for."""
_ENVIRONMENT = "airflow.secrets.environment_variables.EnvironmentVariablesBackend"


class MonitorAlertError(RuntimeError):
    """Nobody, or not everybody, could be told; makes Airflow mark the callback as failed."""


def notifiers(pair: Pair) -> list[BaseNotifier]:
    """Build the notifiers of the pair, in its order.

    :raises ValueError: one of them cannot be built.
    """
    return [_built(pair, each) for each in pair.alerts.notify]


def notify(pair: Pair, alert: Alert, event: Mapping[str, Any], context: Context | Mapping[str, Any]) -> list[str]:
    """Call all notifiers that are meant for ``alert``, side by side, and wait at most :data:`TIMEOUT` seconds.

    Whatever a notifier does is logged and never raised.

    :return: the class paths of those that failed, or did not end in time.
    """
    wanted = [each for each in pair.alerts.notify if alert in each.alerts]
    return [spec.notifier for spec, why in _call(pair, wanted, alert, event, context) if why]


def send_test(pair: Pair, context: Context | Mapping[str, Any]) -> dict[str, str]:
    """Send a test message by each notifier, whatever it is meant for.

    :return: why it has not sent it, empty where it has, by the number and class path of each. Of an error only the kind
        is told, since its text may hold an argument that is secret; the log has it, masked.
    """
    told = _call(pair, pair.alerts.notify, TEST, test_event(pair, datetime.now(UTC)), context)
    return {f"{number} {spec.notifier}": why.partition(":")[0] for number, (spec, why) in enumerate(told, 1)}


def _call(
    pair: Pair, specs: Sequence[Notify], alert: str, event: Mapping[str, Any], context: Context | Mapping[str, Any]
) -> list[tuple[Notify, str]]:
    """Call notifiers side by side; return each with why it has not sent the alert, empty where it has."""
    seen = {
        **context,
        "event": dict(event),
        "alert": str(alert),
        "message": message(pair, alert, event),
        "page": page_url(pair.name),
        "runbook": docs_url(*of_event(event, str(alert))),
    }
    calls = [_Call(pair, each, seen) for each in specs]
    for call in calls:
        call.start()
    deadline = time.monotonic() + TIMEOUT
    told = []
    for spec, call in zip(specs, calls, strict=True):
        call.join(max(deadline - time.monotonic(), 0))
        problem = f"it did not end within {TIMEOUT:g} s" if call.is_alive() else call.problem
        if problem:
            log.error("Pair %s: the notifier %s has not sent the alert %s: %s", pair.name, call.name, alert, problem)
        else:
            log.info("Pair %s: the notifier %s was told of the alert %s.", pair.name, call.name, alert)
        told.append((spec, problem))
    return told


def of_deadline(pair: Pair) -> Deadline:
    """Return how many notifiers are told that nothing watches the pair, and which of their connections are out of
    reach: callbacks of deadlines cannot read Airflow's database, only environment variables and a secrets backend.

    :raises ValueError: a notifier cannot be built.
    """
    built = [_built(pair, each) for each in pair.alerts.notify if Alert.MONITOR_STOPPED in each.alerts]
    wanted = {
        value
        for notifier in built
        for name, value in vars(notifier).items()
        if name.endswith("conn_id") and isinstance(value, str) and value
    }
    backends = ensure_secrets_loaded(default_backends=[_ENVIRONMENT])
    missing = (name for name in sorted(wanted) if not any(each.get_connection(name) for each in backends))
    return Deadline(len(built), tuple(missing))


class _Call(threading.Thread):
    """One notifier at work; a daemon, so that one that hangs does not hold up the end of the process."""

    def __init__(self, pair: Pair, spec: Notify, context: Mapping[str, Any]) -> None:
        super().__init__(name=spec.notifier, daemon=True)
        self.problem = ""
        self._pair, self._spec, self._context = pair, spec, dict(context)

    def run(self) -> None:
        try:
            _built(self._pair, self._spec)(self._context)  # anew, because templates are rendered in place
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"


def _built(pair: Pair, spec: Notify) -> BaseNotifier:
    arguments = dict(spec.arguments)
    mask_secret(arguments)  # those whose names are those of secrets
    who = f'pair "{pair.name}": the notifier {spec.notifier}'
    try:
        found = pkgutil.resolve_name(spec.notifier)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{who} cannot be imported ({error}); is its package installed?") from None
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise ValueError(f"{who} is not a notifier: a subclass of airflow.sdk.BaseNotifier is needed")
    if found.notify is BaseNotifier.notify:
        raise ValueError(f"{who} has no method notify, so it cannot be called from a task")
    parameters = inspect.signature(found).parameters
    texts = {name: text for name, text in TEXTS.items() if name in parameters}
    if "template" in arguments:  # the mail notifier's file for html_content
        texts.pop("html_content", None)
    try:
        return found(**texts | arguments)
    except Exception as error:
        takes = listed((name for name in parameters if name != "kwargs"), limit=20)
        raise ValueError(f"{who} cannot be built ({error}); its arguments are: {takes}") from None


def deadline(pair: Pair) -> DeadlineAlert | None:
    """The deadline of the failover DAG's runs; None where no notifier is meant for it, or no file of pairs has it.

    The callback runs in the executor, which a dead triggerer does not concern, and finds the pair by its name, so that
    no argument of a notifier gets into Airflow's database. An executor that cannot run callbacks would bring down the
    scheduler; there it is left to the triggerer.
    """
    file = pairs_path()
    if file is None or not any(Alert.MONITOR_STOPPED in each.alerts for each in pair.alerts.notify):
        return None
    from airflow.executors.executor_loader import ExecutorLoader  # costs time, and every task parses this

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
    read = read_pairs(Path(file), pair)
    known = {**read.pairs, **{name: Pair(name=name, alerts=alerts) for name, alerts in read.wrong.items()}}
    if pair not in known:
        raise read.error or MonitorAlertError(f"The file of pairs {file} has no pair {pair} any more.")
    event = late_event(known[pair], context.get("dag_run") or {}, datetime.now(UTC))
    if failed := notify(known[pair], Alert.MONITOR_STOPPED, event, context):
        raise MonitorAlertError(
            f"Not told that the monitor of {pair} has stopped: {', '.join(failed)}. Callbacks of deadlines cannot read "
            "connections from Airflow's database: give those of notifiers as environment variables AIRFLOW_CONN_… or "
            "in a secrets backend."
        )


async def late_async(pair: str, file: str, context: Mapping[str, Any] | None = None) -> None:
    """:func:`late` for the triggerer."""
    await asyncio.to_thread(late, pair, file, context)
