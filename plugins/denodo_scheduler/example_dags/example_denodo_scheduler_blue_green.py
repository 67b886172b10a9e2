"""A pair that follows a blue/green Airflow: of two Airflows, only the live one operates the pair.

Both have the same file of pairs and the same ``snapshots.location``, where the HA record is. So the one that becomes
live goes on where the other one stopped, and a task that still runs there finds its place taken. Unpause this DAG in
both. Every minute it unpauses the DAGs of the pair where its Airflow is live and pauses them where it is not, and, if
you name a server for each colour, asks for a switchover to that of the live one.

What it needs: the Airflow variable ``airflow_colour``, ``blue`` or ``green``, of each Airflow; the variable
``airflow_live_file``, path or URL of a file that both can read and that holds the colour of the live one; and the
connection ``airflow_api`` (type HTTP) with the address, user and password of this Airflow's own API server.
"""

from __future__ import annotations

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, BaseHook, ObjectStoragePath, Param, Variable, task

from denodo_cli.airflow_api import ApiClient

PAIR = "default"
SWITCHOVER = f"denodo_scheduler_switchover__{PAIR}"
DAGS = [SWITCHOVER, *(f"denodo_scheduler_{kind}__{PAIR}" for kind in ("sync", "failover", "operations", "drill"))]
"""All that a pair may have; not every one has drills by a schedule."""
ASSET = Asset(f"denodo-scheduler://{PAIR}")


def this_airflow() -> ApiClient:
    api = BaseHook.get_connection("airflow_api")
    port = f":{api.port}" if api.port else ""
    return ApiClient(f"{api.schema or 'http'}://{api.host}{port}", api.login or "", api.password or "")


with DAG(
    "example_denodo_scheduler_blue_green",
    schedule="* * * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    params={
        colour: Param(
            None,
            type=["null", "string"],
            enum=[None, "master", "slave"],
            title=f"Server that runs the jobs while {colour} is live; without one, they stay where they are",
        )
        for colour in ("blue", "green")
    },
    render_template_as_native_obj=True,
    tags=["example", "denodo"],
    doc_md=__doc__,
):

    @task.short_circuit
    def follow() -> str | None:
        """Pause or unpause the DAGs of the pair. Returns the colour of this Airflow if it is the live one and was so at
        the last run: until the DAGs of the pair have looked, this Airflow may know an old state.
        """
        ours = Variable.get("airflow_colour")
        live = ObjectStoragePath(Variable.get("airflow_live_file")).read_text().strip()
        if live not in ("blue", "green"):
            raise ValueError(f"The file of airflow_live_file holds {live!r}, not blue or green. Nothing was changed.")
        client, paused = this_airflow(), ours != live
        dags = {dag_id: dag for dag_id in DAGS if (dag := client.dag(dag_id))}
        if SWITCHOVER not in dags:
            raise ValueError(f"This Airflow has no DAGs of the pair {PAIR!r}. Nothing was changed.")
        changed = [dag_id for dag_id, dag in dags.items() if dag["is_paused"] is not paused]
        for dag_id in changed:
            client.request("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})
        return live if not paused and not changed else None

    @task.short_circuit(inlets=[ASSET])
    def direction(colour: str, params: dict, asset_state_store) -> str | None:
        """To which server the jobs have to move; nothing where they are right, or where the pair is in a change, or
        where a switchover was begun or has failed in the last hour.
        """
        record = asset_state_store[ASSET].get("record")
        wanted = params[colour]
        if not wanted or not record or record["phase"] not in ("normal", "failed_over") or record["active"] == wanted:
            return None
        hour_ago = pendulum.now("UTC").subtract(hours=1).isoformat()
        runs = this_airflow().get(
            f"/dags/{SWITCHOVER}/dagRuns", state=["queued", "running", "failed"], run_after_gte=hour_ago
        )
        return None if runs["total_entries"] else f"to_{wanted}"

    to = direction(follow())
    TriggerDagRunOperator(
        task_id="switch_over",
        trigger_dag_id=SWITCHOVER,
        conf={"direction": to, "reason": "the live Airflow is another one"},
    )  # does not wait for its end: meanwhile the other Airflow may become the live one
