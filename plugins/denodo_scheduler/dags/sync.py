"""The sync DAG of a pair: six tasks around the steps of :mod:`denodo_scheduler.ha`."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Context, Param, TriggerRule, task

from denodo_ha.decisions import Alert
from denodo_ha.pairs import Pair
from denodo_scheduler.alerts import notify
from denodo_scheduler.dags.shared import (
    START,
    Assets,
    assets_of,
    default_args,
    pair_context,
    publish,
    quiet_arguments,
    quiet_params,
    watch_store,
)
from denodo_scheduler.sensors.quiet_window import QuietWindowSensor
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.sync import disable as quenching
from denodo_scheduler.steps.sync import export as exporting
from denodo_scheduler.steps.sync import guard as guarding
from denodo_scheduler.steps.sync import import_ as importing
from denodo_scheduler.steps.sync import verify as verifying
from denodo_scheduler.steps.watch import report as reporting

log = logging.getLogger(__name__)

DAG_DOC = """
### Keep the slave of the pair `{pair}` in step with its master

Waits for a quiet window on the master (`{master}`), exports its metadata, imports it into the slave (`{slave}`),
disables all synchronised jobs there at once, reads everything back and commits the snapshot.

* **Nothing changed since the last sync?** Then nothing is imported.
* **Trigger by hand** for a dry run, to accept a mass change, or to initialise the pair.
* **A run failed?** Clear it, or just wait: the next run repairs the slave first.
* Its history is on the asset `{asset}`; the state in key `record` of the asset's state store.
"""

GUARD_DOC = """
May a sync begin? Reads the HA record, checks the slave, and **repairs** a slave that an earlier run left dirty.
Where nothing is to be done, the rest of the run is skipped and the XCom `verdict` says why.
"""
QUIET_DOC = """
Sleeps (deferred) until nothing runs, waits or polls on the master and nothing is due within the quiet window plus
margin, by the **server's** time.
"""
EXPORT_DOC = """
Exports the master's metadata to the snapshot folder, checks the file, and compares it with the committed snapshot.
In a dry run its XCom holds the plan.
"""
IMPORT_DOC = """
Writes the intent to the HA record, looks at the quiet window once more, imports the snapshot into the slave and
disables its jobs in the same breath. Skipped when the content is unchanged.
"""
DISABLE_DOC = """
Makes sure that no synchronised job of the slave is enabled, **also when the import failed**. After an import of
unknown end it keeps them disabled until nothing can be in flight any more.
"""
VERIFY_DOC = """
Reads the slave back: every job of the manifest is there, equal and disabled, and none ran since the import began.
Then it commits the snapshot and writes the asset event.
"""


def sync_dag(pair: Pair) -> DAG:
    """Build the sync DAG of one pair. Makes no request and reads no Variable or Connection."""
    assets = assets_of(pair)
    state: dict[str, Any] = {**assets.of_a_task, "multiple_outputs": False}
    changing: dict[str, Any] = {**state, "pool": pair.pool}

    with DAG(
        dag_id=pair.dag_id_sync,
        description=pair.description or f"Keep {pair.slave} in step with {pair.master}",
        doc_md=DAG_DOC.format(pair=pair.name, master=pair.master, slave=pair.slave, asset=pair.asset_uri),
        schedule=pair.sync.schedule,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["denodo", "denodo-ha", *pair.tags],
        default_args=default_args(pair, retries=2, retry_delay=timedelta(seconds=15)),
    ) as dag:

        @task.short_circuit(task_id="guard", doc_md=GUARD_DOC, **changing)
        def guard(**context: Any) -> dict[str, Any] | None:
            run = _run(pair, assets, context)
            told = _tell_if_nothing_watches(run, assets, context)
            admission = guarding.guard(run, operation_id=run.new_operation(), wanted=_wanted(context))
            publish(run, assets, context, told=told)
            context["ti"].xcom_push(key="verdict", value=admission.to_json())
            if admission.ticket is None:
                log.warning("%s The rest of this run is skipped.", admission.message)
                return None
            return admission.ticket.to_json()

        @task(task_id="export_metadata", doc_md=EXPORT_DOC, **state)
        def export_metadata(**context: Any) -> dict[str, Any]:
            accepted = context["params"]["accept_mass_change"]
            run = _run(pair, assets, context)
            return exporting.export(run, _ticket(context), accept_mass_change=accepted).to_json()

        @task(task_id="import_metadata", doc_md=IMPORT_DOC, **changing)
        def import_metadata(**context: Any) -> dict[str, Any]:
            ticket = _ticket(context)
            exported = exporting.Exported.from_json(context["ti"].xcom_pull(task_ids="export_metadata"))
            return importing.import_snapshot(_run(pair, assets, context), ticket, exported).to_json()

        @task(
            task_id="disable_jobs",
            doc_md=DISABLE_DOC,
            trigger_rule=TriggerRule.ALL_DONE,
            retries=20,
            retry_delay=timedelta(seconds=30),
            retry_policy=None,  # the safety net goes on whatever the error: a web tool that restarts answers 404
            **changing,
        )
        def disable_jobs(**context: Any) -> dict[str, Any]:
            run = _run(pair, assets, context)
            disabled = quenching.disable_jobs(run, _ticket(context))
            publish(run, assets, context)
            return disabled.to_json()

        @task(task_id="verify", doc_md=VERIFY_DOC, trigger_rule=TriggerRule.NONE_FAILED, **changing)
        def verify(**context: Any) -> dict[str, Any]:
            pull = context["ti"].xcom_pull
            imported, disabled = pull(task_ids="import_metadata"), pull(task_ids="disable_jobs")
            run = _run(pair, assets, context)
            result = verifying.verify(
                run,
                _ticket(context),
                exporting.Exported.from_json(pull(task_ids="export_metadata")),
                importing.Imported.from_json(imported) if imported else None,
                quenching.Disabled.from_json(disabled) if disabled else None,
                accept_mass_change=context["params"]["accept_mass_change"],
            )
            publish(run, assets, context)
            return result

        wait = SyncQuietWindowSensor(task_id="wait_for_quiet_window", doc_md=QUIET_DOC, **quiet_arguments(pair))
        imported, verified = import_metadata(), verify()
        guard() >> wait >> export_metadata() >> imported >> disable_jobs() >> verified
        imported >> verified  # disable_jobs succeeds also after a failure, which must not be verified and committed
    dag.params.update(_params(pair))  # only now, because each task would be given a copy of all of them
    return dag


class SyncQuietWindowSensor(QuietWindowSensor):
    """The quiet window of a sync: takes the run's own parameters, and does not wait in a dry run."""

    def execute(self, context: Context) -> Any:
        params = context["params"]
        if params["dry_run"]:
            self.log.info("A dry run does not wait for a quiet window.")
            return None
        self.window = timedelta(seconds=params["quiet_window"])
        self.timeout = params["quiet_timeout"]
        return super().execute(context)


def _params(pair: Pair) -> dict[str, Param]:
    """The form of a manual run; scheduled runs take the defaults, which are the pair's options."""
    return {
        "reason": Param(
            None, type=["null", "string"], title="Reason", description="Why you start this run; kept in the history."
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Show in the XCom of export_metadata what a sync would do. Nothing is changed.",
        ),
        "accept_mass_change": Param(
            False,
            type="boolean",
            title="Accept a mass change",
            description="You have looked: it is right that so many jobs vanished or became disabled on the master.",
        ),
        **quiet_params(pair, "master"),
        "orphans": Param(
            str(pair.sync.orphans),
            type="string",
            enum=["report", "delete"],
            title="Orphans",
            description="Jobs on the slave that the master does not have: report them, or delete them from the slave.",
        ),
    }


def _run(pair: Pair, assets: Assets, context: Any) -> PairContext:
    params = context["params"]
    sync = {"quiet_window": timedelta(seconds=params["quiet_window"]), "orphans": params["orphans"]}
    return pair_context(pair.with_sync(**sync), assets, context)


def _tell_if_nothing_watches(run: PairContext, assets: Assets, context: Any) -> tuple[str, ...]:
    """Who watches the watcher: a sync notices that the failover DAG does not look any more, whatever becomes of it.

    :return: the id of the event of which people were notified, if there was one.
    """
    event = reporting.note_if_overdue(run, watch_store(assets, context))
    if event is None:
        return ()
    log.error("%s", event["what"])
    notify(run.pair, Alert.MONITOR_STOPPED, event, context)
    return (event["id"],)


def _wanted(context: Any) -> datetime | None:
    """The moment a run stands for; None for a manual run that was not cleared: it always syncs."""
    dag_run = context["dag_run"]
    if dag_run.run_type == "manual" and not dag_run.clear_number:
        return None
    wanted: datetime = dag_run.run_after
    return wanted


def _ticket(context: Any) -> SyncTicket:
    ticket = context["ti"].xcom_pull(task_ids="guard")
    if ticket is None:
        raise NothingToDo("not_begun", "the guard of this run did not let it begin")
    return SyncTicket.from_json(ticket)
