"""The public building blocks as people try a DAG of their own: by ``dag.test()``, in an Airflow of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk import ObjectStoragePath

from denodo_demo.slowness import allow
from denodo_demo.standin import LEAP_DAYS, StandinPair
from denodo_ha.record import Phase, Record, Role
from denodo_scheduler.state.record_store import RecordStore
from support.pair_fixtures import empty
from support.sync import MemoryState, enabled, fill

PROJECT = Path(__file__).parents[2]
BLOCKS = '''
import json
import os
import sys
from datetime import timedelta

import pendulum
from airflow.sdk import DAG, task
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.operators import scheduler
from denodo_scheduler.operators.ping_master import DenodoSchedulerPingMasterOperator
from denodo_scheduler.operators.run_job import DenodoSchedulerRunJobOperator
from denodo_scheduler.sensors.job import DenodoSchedulerJobSensor
from denodo_scheduler.sensors.quiet_window import DenodoSchedulerQuietWindowSensor

FILE = f"file://{__file__}.zip"


def blocks(conn_id):
    """Each block once, and some in more ways than one."""
    server = {"denodo_scheduler_conn_id": conn_id}
    quiet = {**server, "window": 1, "margin": 0, "timeout": 600}
    ask = {**server, "interval": timedelta(milliseconds=100), "fall": 2}
    return [
        scheduler.DenodoSchedulerPingOperator(task_id="ping", **server),
        DenodoSchedulerPingMasterOperator(task_id="ask", slave_conn_id="denodo_scheduler_slave", **ask),
        DenodoSchedulerPingMasterOperator(task_id="ask_with_wrong_slave", slave_conn_id=conn_id, **ask),
        DenodoSchedulerQuietWindowSensor(task_id="quiet", **quiet),
        DenodoSchedulerQuietWindowSensor(task_id="quiet_rescheduled", mode="reschedule", **quiet),
        DenodoSchedulerQuietWindowSensor(task_id="quiet_deferred", deferrable=True, **quiet),
        scheduler.DenodoSchedulerExportMetadataOperator(task_id="export", destination=FILE, **server),
        scheduler.DenodoSchedulerImportMetadataOperator(task_id="import", source=FILE, **server),
        scheduler.DenodoSchedulerDisableJobsOperator(task_id="disable", all_jobs=True, **server),
        scheduler.DenodoSchedulerEnableJobsOperator(task_id="enable", all_jobs=True, **server),
    ]


def of_a_job(**server):
    """The blocks for a run of a job."""
    job = {"project": os.environ["PROJECT"], "job": os.environ["JOB"], "poke_interval": 0.1, **server}
    since = "{{ dag_run.start_date.isoformat() }}"
    run = DenodoSchedulerRunJobOperator(task_id="run_job", **job)
    run >> DenodoSchedulerJobSensor(task_id="wait_for_job", since=since, timeout=600, **job)


def wrong():
    """What cannot be used for another reason than its connection."""
    server = {"denodo_scheduler_conn_id": "denodo_scheduler_master"}
    quiet, ask = DenodoSchedulerQuietWindowSensor, DenodoSchedulerPingMasterOperator
    disable, export = scheduler.DenodoSchedulerDisableJobsOperator, scheduler.DenodoSchedulerExportMetadataOperator
    return [
        ask(task_id="known", known="{{ 'dwon' }}", **server),
        ask(task_id="passive", passive_conn_id="nowhere", **server),
        ask(task_id="active", active_conn_id="nowhere", **server),
        quiet(task_id="window", window="{{ 'soon' }}", **server),
        quiet(task_id="scope", include_projects=["none such"], **server),
        quiet(task_id="refused", denodo_scheduler_conn_id="refused", deferrable=True),
        disable(task_id="jobs", jobs="{{ 'all' }}", **server),
        disable(task_id="entry", jobs=["a job"], **server),
        export(task_id="storage", destination="s3://nowhere@bucket/file.zip", **server),
        export(task_id="option", destination=FILE, options={"no such": True}, **server),
    ]


@task
def hook():
    return DenodoSchedulerHook("denodo_scheduler_master").ping().version


@task
def read(seen):
    return json.loads(seen)["evidence"]["verdict"]


START = pendulum.datetime(2026, 1, 1)
AGAIN = {"retries": 2, "retry_delay": timedelta(0)}
with DAG("works", schedule=None, start_date=START) as works:
    made = blocks("denodo_scheduler_master")
    for one, next_one in zip(made, made[1:]):
        one >> next_one
    made[-1] >> hook()
    read(made[1].output)
    of_a_job(pair="default")
with DAG("lacks_connection", schedule=None, start_date=START, default_args=AGAIN) as lacks_connection:
    blocks("nowhere")
    of_a_job(denodo_scheduler_conn_id="nowhere")
with DAG("is_wrong", schedule=None, start_date=START, default_args=AGAIN) as is_wrong:
    wrong()

if __name__ == "__main__":
    from airflow.utils.db import initdb

    initdb()
    for dag in (works, lacks_connection, is_wrong):
        run = dag.test()
        for each in run.get_task_instances():
            print("\\nDONE", json.dumps([dag.dag_id, each.task_id, each.state, each.try_number]), flush=True)
            if each.task_id == "read":
                print("\\nREAD", each.xcom_pull(task_ids="read"), flush=True)
'''


@pytest.fixture(scope="module")
def said(servers: StandinPair, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What an Airflow of its own says that runs each of the DAGs once."""
    empty(servers)
    fill(servers.master)
    servers.slave.generate(jobs=2, projects=1, disabled=0)
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    pairs = home / "pairs.yaml"
    pairs.write_text(f"pairs: {{default: {{snapshots: {{location: 'file://{home}'}}}}}}\n")
    record = Record(phase=Phase.FAILED_OVER, active=Role.SLAVE, epoch=2)
    RecordStore(MemoryState(), ObjectStoragePath(f"file://{home}/default")).save(record)
    servers.slave.scheduler.clock(mode="real")
    job = servers.slave.statuses()[0]
    servers.slave.set_cron(job, LEAP_DAYS)
    file = home / "dags" / "blocks.py"
    file.write_text(BLOCKS)
    refused = {**servers.master.connection(), "password": "wrong password"}
    output = home / "output.log"
    with output.open("w") as log:
        done = subprocess.run(
            [sys.executable, str(file)],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
                "AIRFLOW_HOME": str(home),
                "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW_CONN_DENODO_SCHEDULER_MASTER": json.dumps(servers.master.connection()),
                "AIRFLOW_CONN_DENODO_SCHEDULER_SLAVE": json.dumps(servers.slave.connection()),
                "DENODO_HA_PAIRS": str(pairs),
                "PROJECT": job["projectName"],
                "JOB": job["jobName"],
                "AIRFLOW_CONN_REFUSED": json.dumps(refused),
                "PYTHONPATH": os.pathsep.join(str(PROJECT / folder) for folder in ("plugins", "include")),
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=allow(70),
            check=False,
        )
    assert done.returncode == 0, output.read_text()[-4000:]
    return output.read_text()


def _done(said: str, dag_id: str) -> dict[str, tuple[str, int]]:
    """State and number of tries of each task."""
    lines = [json.loads(line.removeprefix("DONE ")) for line in said.splitlines() if line.startswith("DONE ")]
    return {task: (state, tries) for dag, task, state, tries in lines if dag == dag_id}


def test_each_building_block_works(said: str, servers: StandinPair) -> None:
    done = _done(said, "works")
    assert {state for state, _ in done.values()} == {"success"}, done
    assert "\nREAD up" in said
    assert len(enabled(servers.master)) > 3
    by_hand = [run for run in servers.slave.scheduler.journal() if run["trigger"] == "manual"]
    assert by_hand[-1]["result"] == "COMPLETE"


def test_without_a_connection_each_fails_at_once(said: str) -> None:
    done = _done(said, "lacks_connection")
    assert len(done) == 12
    assert done.pop("wait_for_job")[0] == "upstream_failed"
    assert set(done.values()) == {("failed", 1)}, done
    assert said.count("[connection] Connection 'nowhere': Airflow has no such connection") >= len(done)


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("known", "[argument] known is 'dwon'"),
        ("passive", "[connection] Connection 'nowhere'"),
        ("active", "[connection] Connection 'nowhere'"),
        ("window", "[argument] window, margin and timeout are seconds or a timedelta, not 'soon'."),
        ("scope", "[argument] "),
        ("refused", "[configuration] "),
        ("jobs", "[argument] jobs is not a list but str"),
        ("entry", "[argument] jobs holds 'a job'"),
        ("storage", "[storage] "),
        ("option", "[configuration] "),
    ],
)
def test_what_cannot_be_used_fails_at_once_and_says_why(said: str, task: str, why: str) -> None:
    assert _done(said, "is_wrong")[task] == ("failed", 1)
    assert any(why in line and "Next: " in line for line in said.splitlines()), why
