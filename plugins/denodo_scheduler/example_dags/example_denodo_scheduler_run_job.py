"""Run a Denodo job and wait for its end, on whichever server of the pair is the active one.

The first task waits for a run that the job's own schedule begins: one that ends after the start of the data interval,
or of this run where it has none. The second starts another job. Both wait without a worker slot, and both fail with the
words of Denodo's report.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, Param, task

from denodo_scheduler.operators.run_job import DenodoSchedulerRunJobOperator
from denodo_scheduler.sensors.job import DenodoSchedulerJobSensor

PAIR = "default"

with DAG(
    "example_denodo_scheduler_run_job",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={
        "project": Param("sales", type="string", title="Project of both jobs"),
        "loads": Param("nightly load", type="string", title="The job that runs by its own schedule"),
        "report": Param("report", type="string", title="The job to start when the load has ended"),
    },
    tags=["example", "denodo"],
    doc_md=__doc__,
):
    loaded = DenodoSchedulerJobSensor(
        task_id="loaded",
        pair=PAIR,
        project="{{ params.project }}",
        job="{{ params.loads }}",
        timeout=timedelta(hours=6).total_seconds(),
    )
    report = DenodoSchedulerRunJobOperator(
        task_id="report",
        pair=PAIR,
        project="{{ params.project }}",
        job="{{ params.report }}",
        timeout=timedelta(hours=2),
        retries=2,
    )

    @task
    def what_it_did(run: dict[str, Any]) -> None:
        print(f"{run['result']} on {run['connection']}: {run['started']} to {run['ended']}, {run['counts']}")

    loaded >> report
    what_it_did(report.output)
