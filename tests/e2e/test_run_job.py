"""A DAG of another team that runs a job on the active server of a pair, and a worker that is killed meanwhile."""

from __future__ import annotations

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_demo.processes import wait_for
from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair
from support.sync_dag import PATIENCE, History

pytestmark = pytest.mark.e2e

DAG = "of_another_team"


def test_a_job_is_run_once_although_the_worker_is_killed(
    airflow: LocalAirflow, pair: StandinPair, history: History
) -> None:
    """Right after it has sent the start, which the server carries out when nobody waits for the answer any more.

    ``history`` has made the HA record.
    """
    job = next(each for each in pair.master.statuses() if each["state"] == "NOT_RUNNING")
    before = len(pair.master.scheduler.journal())
    starts = {"method": "PUT", "path": "/jobs/status$"}
    pair.master.scheduler.faults({"kind": "latency", "seconds": allow(5), "match": starts})
    pair.master.webtool.reset_requests()
    airflow.api.set_paused(DAG, False)
    run_id = airflow.api.trigger(DAG, {"project": job["projectName"], "job": job["jobName"]})

    def sent() -> bool:
        return any(request.startswith("PUT ") for request in pair.master.webtool.requests())

    wait_for(sent, PATIENCE, "a start", poll=0.05)
    (task,) = airflow.api.task_instances(DAG, run_id)
    airflow.kill_worker(task)
    run = airflow.api.wait_for_run(DAG, run_id, timeout=PATIENCE)

    assert run["state"] == "success"
    (task,) = airflow.api.task_instances(DAG, run_id)
    assert task["try_number"] == 2
    runs = [each for each in pair.master.scheduler.journal(before) if each["job"] == job["jobName"]]
    assert [(each["trigger"], each["result"]) for each in runs] == [("manual", "COMPLETE")]
    result = airflow.api.xcom(DAG, run_id, "run_job")
    assert (result["result"], result["connection"]) == ("COMPLETE", "default_master")
