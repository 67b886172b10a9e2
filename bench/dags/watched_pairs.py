"""Many pairs watched at once, each by a ping_master of its own: for the benchmark of the triggerer."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG

from denodo_scheduler.operators.ping_master import DenodoSchedulerPingMasterOperator

SETTINGS: dict[str, Any] = json.loads(os.environ["BENCH_WATCHING"])

with DAG(
    dag_id="watched_pairs", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC"), max_active_tasks=1_000
):
    DenodoSchedulerPingMasterOperator.partial(
        task_id="ping_master",
        interval=timedelta(seconds=SETTINGS["interval"]),
        watch_for=timedelta(seconds=SETTINGS["watch_for"]),
        known="up",
    ).expand_kwargs(
        [
            {
                "denodo_scheduler_conn_id": f"watched_master_{number}",
                "slave_conn_id": f"watched_slave_{number}",
                "passive_conn_id": f"watched_slave_{number}",
            }
            for number in range(SETTINGS["pairs"])
        ]
    )
