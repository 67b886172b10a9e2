"""A sync of your own making: a quiet moment, an export, an import, and every imported job disabled at once.

It is Denodo's procedure from single operators. What the sync of a pair does beyond it: it delivers only what differs,
asks the HA record which server is the active one, and remembers which jobs were disabled on purpose, a fact that no
export holds.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, TriggerRule, task
from airflow.sdk.exceptions import AirflowFailException

from denodo_ha.jobs import JobState
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.operators.scheduler import (
    DenodoSchedulerDisableJobsOperator,
    DenodoSchedulerExportMetadataOperator,
    DenodoSchedulerImportMetadataOperator,
)
from denodo_scheduler.sensors.quiet_window import DenodoSchedulerQuietWindowSensor

MASTER, SLAVE = "denodo_scheduler_master", "denodo_scheduler_slave"
FILE = "{{ params.folder }}/denodo-{{ dag_run.run_after | ts_nodash }}.zip"


@task
def slave_is_passive() -> None:
    """Fail where a job is enabled on the slave: it may be the active server, whose jobs must not be disabled."""
    statuses = DenodoSchedulerHook(SLAVE).statuses().jobs
    enabled = [str(status.key) for status in statuses if status.state is not JobState.DISABLED]
    if enabled:
        raise AirflowFailException(f"{len(enabled)} jobs are enabled on the slave, such as {enabled[0]}.")


with DAG(
    "example_denodo_scheduler_own_sync",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    max_active_runs=1,
    params={
        "folder": Param("file:///tmp/denodo", type="string", title="Folder of the exports, a path or URL"),
        "quiet_seconds": Param(300, type="integer", minimum=1, title="Seconds in which nothing may be due"),
    },
    tags=["example", "denodo"],
    doc_md=__doc__,
):
    quiet = DenodoSchedulerQuietWindowSensor(
        task_id="quiet",
        denodo_scheduler_conn_id=MASTER,
        window="{{ params.quiet_seconds }}",
        timeout=3600,
        deferrable=True,
    )
    exported = DenodoSchedulerExportMetadataOperator(
        task_id="export", denodo_scheduler_conn_id=MASTER, destination=FILE, retries=2
    )
    # No retries: an import whose end is unknown may still go on, and a second one must not run beside it.
    imported = DenodoSchedulerImportMetadataOperator(
        task_id="import", denodo_scheduler_conn_id=SLAVE, source=FILE, retries=0
    )
    # Also after a failed import, which may have enabled some jobs, but not where the slave was not passive before it.
    disabled = DenodoSchedulerDisableJobsOperator(
        task_id="disable",
        denodo_scheduler_conn_id=SLAVE,
        all_jobs=True,
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
        retries=20,
        retry_delay=timedelta(seconds=15),
        priority_weight=100,
    )
    # The last task decides the colour of the run: without it, a run whose import failed would be green.
    done = EmptyOperator(task_id="done")

    # Looked at last: while a quiet moment was waited for, the slave may have become the active server.
    passive = slave_is_passive()
    quiet >> exported >> passive >> imported
    [passive, imported] >> disabled
    [imported, disabled] >> done
