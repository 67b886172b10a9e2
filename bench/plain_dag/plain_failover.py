"""What the article says, as one would write it in an afternoon: every minute ping, branch, enable one job at a time.

It is measured side by side with the project's own failover DAG, and is no advice: it fails over after one ping without
an answer, also when only the web tool is down, and wakes jobs that were disabled on purpose.
"""

from __future__ import annotations

from urllib.parse import urlencode

import pendulum
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import Variable, dag, task

API = "webadmin/denodo-scheduler-admin/public/api"


@dag(
    dag_id="plain_failover",
    schedule="* * * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
)
def plain_failover() -> None:
    @task.branch
    def ping() -> str:
        server = urlencode({"uri": Variable.get("plain_master_server")})
        try:
            HttpHook("GET", "plain_master").run(f"{API}/me?{server}", extra_options={"timeout": 10})
        except Exception:
            return "enable_jobs"
        return "healthy"

    @task
    def enable_jobs() -> None:
        server = urlencode({"uri": Variable.get("plain_slave_server")})
        change = HttpHook("PUT", "plain_slave")
        for job in HttpHook("GET", "plain_slave").run(f"{API}/jobs/status?{server}").json():
            if job["state"] == "DISABLED":
                path = f"{API}/projects/{job['projectID']}/jobs/{job['jobID']}/status"
                change.run(f"{path}?{server}", json={"action": "enable"})

    @task
    def healthy() -> None:
        pass

    ping() >> [enable_jobs(), healthy()]


plain_failover()
