"""The sync DAG of a pair: six tasks around the steps of :mod:`denodo_scheduler.steps.sync`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, TriggerRule

from denodo_ha import dry_runs
from denodo_ha.decisions import Alert
from denodo_ha.pairs import Pair
from denodo_ha.reason import Explained, Reason
from denodo_ha.sync_results import Disabled, Exported, Imported
from denodo_scheduler.alerts import notify
from denodo_scheduler.dags import shared
from denodo_scheduler.dags.tasks import ShortCircuitStepOperator, WaitForMomentSensor
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import CONFIGURATION, Blocked, NothingToDo, readable
from denodo_scheduler.steps.sync import disable as disabling
from denodo_scheduler.steps.sync import export as exporting
from denodo_scheduler.steps.sync import guard as guarding
from denodo_scheduler.steps.sync import import_ as importing
from denodo_scheduler.steps.sync import verify as verifying
from denodo_scheduler.steps.sync.problem import note_problem
from denodo_scheduler.steps.watch import report as reporting

log = logging.getLogger(__name__)

RETRIES = 2

DAG_DOC = """
### Keep the passive server of the pair `{pair.name}` in step with the active one

Exports the metadata of the active server, normally the master (`{pair.master}`), and plans what the passive one
(`{pair.slave}`) lacks or has otherwise. Jobs without secrets are written there disabled; others are imported in a
moment in which none of them fires there, and disabled at once. Then everything is read back and the snapshot is
committed. It waits for nothing that runs on the active server.

* **Nothing new or changed?** Then nothing is waited for and nothing imported: `wait_for_quiet_window` and
  `import_metadata` are skipped. So it is where jobs were only enabled, disabled or removed.
* **No HA record yet?** Then each run only looks, whoever started it: it changes nothing and ends with the plan and with
  the word to begin: *initialise* the pair by its operations DAG, then run this DAG again.
* **Trigger by hand** for a dry run, to accept a mass change, to deliver jobs that have no safe moment, or, after a
  failover, to re-protect: copy the slave to the master, so that a failback carries its edits home.
* **A run failed?** Clear it, or just wait: the next run repairs the passive server first.
"""
QUIET_DOC = """
Sleep (deferred) until the first moment in which a job that has to be imported cannot fire on the target, by the
target's clock. The moment is in the plan of `export_metadata`. Skipped where something can be delivered at once, where
nothing has to be imported, and in a dry run.
"""


@shared.step(ShortCircuitStepOperator)
def guard(**context: Any) -> dict[str, Any] | None:
    """Decide whether a sync may begin: read the HA record, check the slave, and **repair** it where an earlier run
    left it dirty. Where nothing is to be done, the rest of the run is skipped and the XCom `verdict` says why.
    """
    _ensure_nothing_to_initialise(context)
    with _step(context) as run:
        told = _tell_if_nothing_watches(run, context)
        admission = guarding.guard(
            run, operation_id=run.new_operation(), wanted=_wanted(context), reprotect=_reprotect(run, context)
        )
    shared.publish(run, context, notified=told)
    context["ti"].xcom_push(key="verdict", value=admission.to_json())
    if admission.ticket is None:
        shared.note(context, admission.message)
        return None
    log.info("%s", admission.message)
    return admission.ticket.to_json()


@shared.step(**shared.CHANGES_NOTHING)
def export_metadata(ticket: Any, **context: Any) -> dict[str, Any]:
    """Export the active server's metadata to the snapshot folder, check the file, and plan what has to be delivered.
    Changes nothing, so it waits for nothing. The plan is in the log and in the XCom.
    """
    params = context["params"]
    with _step(context) as run:
        found = _ticket(ticket)
        exported = exporting.export(
            run,
            found,
            accept_mass_change=params["accept_mass_change"],
            deliver_now=params["deliver_now"],
        )
    if found.looks or run.dry_run:
        exported = replace(exported, text=dry_runs.sync(exported, found.looks))
        shared.show(context, exported.text, result=False)
    else:
        log.info("%s\n%s", exported.comparison, exported.text)
    return exported.to_json()


@shared.step(trigger_rule=TriggerRule.NONE_FAILED)  # it says itself why it is skipped, without its last result
def import_metadata(ticket: Any, exported: Any, **context: Any) -> dict[str, Any]:
    """Write the intent to the HA record, then deliver the plan piece by piece: jobs over REST, born disabled; archives
    in the moments of their jobs, which are disabled immediately, in the same task. Skipped where nothing is to be
    delivered.
    """
    with _step(context) as run:
        imported = importing.import_snapshot(
            run,
            _ticket(ticket),
            readable(Exported.from_json, exported),
            deliver_now=context["params"]["deliver_now"],
        )
    return imported.to_json()


@shared.step(
    trigger_rule=TriggerRule.ALL_DONE,
    retries=20,
    retry_delay=timedelta(seconds=30),
    retry_policy=None,  # while an import is open, whatever the error: a web tool that restarts answers 404
)
def disable_jobs(ticket: Any, **context: Any) -> dict[str, Any]:
    """Make sure that no synchronised job of the passive server is enabled, **also when the import failed**. After an
    import of unknown end keep them disabled until nothing can be in flight any more.
    """
    with _step(context) as run:
        try:
            disabled = disabling.disable_jobs(run, _ticket(ticket))
        except (Blocked, NothingToDo):
            raise
        except Exception as error:
            if disabling.is_import_open(run) or not _has_tried(context, error):
                raise
            what = f"no import is open, so nothing more is tried: {error}"
            how = "see to the server; the next run looks for enabled jobs again"
            raise Blocked("nothing_sent", what, how) from error
    shared.publish(run, context)
    return disabled.to_json()


@shared.step(trigger_rule=TriggerRule.NONE_FAILED)
def verify(ticket: Any, exported: Any, imported: Any, disabled: Any, **context: Any) -> dict[str, Any]:
    """Read the passive server back: every job of the manifest is there, equal and disabled, and none ran since the
    import began. Then commit the snapshot, without the jobs that are pending, and write the asset event.
    """
    with _step(context) as run:
        result = verifying.verify(
            run,
            _ticket(ticket),
            readable(Exported.from_json, exported),
            readable(Imported.from_json, imported) if imported else None,
            readable(Disabled.from_json, disabled) if disabled else None,
            accept_mass_change=context["params"]["accept_mass_change"],
        )
    shared.publish(run, context)
    return shared.tell(context, result)


def sync_dag(pair: Pair) -> DAG:
    """Build the sync DAG of one pair. Makes no request and reads no Variable or Connection."""
    with shared.pair_dag(
        pair,
        pair.dag_id_sync,
        name="1 sync",
        description=pair.description or f"Keep {pair.slave} in step with {pair.master}",
        doc=DAG_DOC,
        params=_params(pair),
        schedule=pair.sync.schedule,
        max_active_runs=1,
        default_args={"retries": RETRIES, "retry_delay": timedelta(seconds=15)},
    ) as dag:
        ticket = guard()
        exported = export_metadata(ticket)
        wait = WaitForMomentSensor(
            task_id="wait_for_quiet_window",
            target_time="{{ ti.xcom_pull(task_ids='export_metadata')['wait_until'] }}",
            doc_md=QUIET_DOC,
            pre_execute=_skip_unless_waiting,
            **shared.CHANGES_NOTHING,
        )
        imported = import_metadata(ticket, exported)
        disabled = disable_jobs(ticket)
        verify(ticket, exported, imported, disabled)
        exported >> wait >> imported
        imported >> disabled  # verify needs both: disable_jobs succeeds also after an import that failed
    return dag


def _params(pair: Pair) -> dict[str, Param]:
    """The form of a manual run; scheduled runs take the defaults, which are the pair's options."""
    return {
        "reason": shared.optional_text("Reason", "Why you start this run; kept in the history."),
        "dry_run": shared.tick(
            "Dry run",
            "Say in the note, and in log and XCom of export_metadata, what a sync would do. Nothing is changed.",
        ),
        "accept_mass_change": shared.tick(
            "Accept a mass change",
            "You have looked: it is right that so many jobs vanished or became disabled on the source.",
        ),
        "deliver_now": shared.tick(
            "Deliver now",
            "Send also the jobs that have no safe moment, or none now. You accept that each may run once there.",
        ),
        "reprotect": shared.tick(
            "Re-protect",
            "After a failover: copy the slave, which is the active server, to the master. Its jobs stay disabled.",
        ),
        **shared.quiet_params(pair, "target"),
        "orphans": Param(
            str(pair.sync.orphans),
            type="string",
            enum=["report", "delete"],
            title="Orphans",
            description="Jobs that only the target has: report them, or delete them there.",
        ),
    }


def _skip_unless_waiting(context: Any) -> None:
    """Wait only for a moment. This is asked again when the wait is over, as Airflow does after a deferral."""
    ticket = context["ti"].xcom_pull(task_ids="guard")
    if context["params"]["dry_run"] or (ticket and _ticket(ticket).looks):
        raise NothingToDo("dry_run", "a run that only looks does not wait")
    exported = context["ti"].xcom_pull(task_ids="export_metadata")
    if exported and not exported["wait_until"]:
        raise NothingToDo("nothing_to_wait_for", f"nothing is waited for: {exported['comparison']}")


def _reprotect(run: PairContext, context: Any) -> bool:
    return bool(context["params"]["reprotect"]) or run.pair.sync.reprotect == "automatic"


def _ensure_nothing_to_initialise(context: Any) -> None:
    """Refuse what the form of a sync could do in earlier versions."""
    if (context["dag_run"].conf or {}).get("initialise"):
        raise Blocked(
            "use_operation",
            "a sync does not initialise a pair any more",
            f"trigger {shared.pair_of(context).dag_id_operations} with the operation 'initialise', the active server "
            "'master' and a reason, then run the sync without 'initialise'",
        )


@contextmanager
def _step(context: Any) -> Iterator[PairContext]:
    """Around a step: where it fails for good, the pair's record and history say why until a sync succeeds."""
    run = _run(context)
    try:
        yield run
    except NothingToDo:
        raise
    except Exception as error:
        ti = context["ti"]
        final = isinstance(error, (Blocked, *CONFIGURATION)) or ti.try_number > ti.max_tries
        if final:
            _tell(run, _reason(error, context["task"].task_id), context)
        raise


def _tell(run: PairContext, reason: Reason, context: Any) -> None:
    """Whatever goes wrong here must not hide why the step has failed."""
    try:
        shared.leave_problem(context, reason)
        if run.dry_run:
            return
        shared.note(context, str(reason))
        if event := note_problem(run, reason, shared.watch_store(context)):
            notify(run.pair, Alert.BLOCKED, event, context)
        shared.measure(run, context)
    except Exception:
        log.exception("Why the sync has failed could not be kept or told")


def _reason(error: Exception, task_id: str) -> Reason:
    if isinstance(error, (Explained, *CONFIGURATION)):
        return error.reason
    what = str(error) if isinstance(error, DenodoSchedulerError) else type(error).__name__
    return Reason("sync_failed", f"{task_id} failed: {what}", f"see the log of {task_id}; the next run tries again")


def _run(context: Any) -> PairContext:
    params = context["params"]
    window, timeout = (timedelta(seconds=params[name]) for name in ("quiet_window", "quiet_timeout"))
    pair = shared.pair_of(context).with_sync(quiet_window=window, quiet_timeout=timeout, orphans=params["orphans"])
    return shared.pair_context(context, pair)


def _tell_if_nothing_watches(run: PairContext, context: Any) -> tuple[str, ...]:
    """Who watches the watcher: a sync notices that the failover DAG does not look any more, whatever becomes of it.

    :return: the id of the event of which people were notified, if there was one.
    """
    event = reporting.note_if_overdue(run, shared.watch_store(context))
    if event is None:
        return ()
    log.error("%s", event["what"])
    notify(run.pair, Alert.MONITOR_STOPPED, event, context)
    return (event["id"],)


def _has_tried(context: Any, error: Exception) -> bool:
    """Whether a task was tried as often as others are, or cannot get better."""
    return isinstance(error, CONFIGURATION) or context["ti"].try_number > RETRIES


def _wanted(context: Any) -> datetime | None:
    """The moment a run stands for; None for a manual run that was not cleared: it always syncs."""
    dag_run = context["dag_run"]
    if dag_run.run_type == "manual" and not dag_run.clear_number:
        return None
    wanted: datetime = dag_run.run_after
    return wanted


def _ticket(found: Any) -> SyncTicket:
    if found is None:
        raise NothingToDo("not_begun", "the guard of this run did not let it begin")
    return readable(SyncTicket.from_json, found)
