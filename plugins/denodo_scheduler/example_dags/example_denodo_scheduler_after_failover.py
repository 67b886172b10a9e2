"""React to a failover: whatever must follow the active server of a pair, such as a load balancer or a DNS name.

Each change of a pair is an event of its asset. Airflow starts this DAG at every one of them, and the first task lets
only those pass after which another server is the active one.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, Asset, task

PAIR = Asset("denodo-scheduler://default")
MOVED = {"failover": "slave", "switchover": "slave", "failback": "master", "initialised": None}
"""The kinds of events after which another server is active, and which one: that of the last is what a person has said.
docs/events.md lists all kinds."""

with DAG(
    "example_denodo_scheduler_after_failover",
    schedule=[PAIR],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["example", "denodo"],
    doc_md=__doc__,
):

    @task.short_circuit
    def active_server(triggering_asset_events) -> str | None:
        """The server that is active after the newest of the run's events; nothing, and an end, if none is about that.

        One run may stand for several events, and an event may come twice, with one ``id``.
        """
        moved = [event.extra for event in triggering_asset_events.get(PAIR, []) if event.extra.get("kind") in MOVED]
        newest = max(moved, key=lambda event: event["at"], default=None)
        return (MOVED[newest["kind"]] or newest["after"]["active"]) if newest else None

    @task(retries=5, retry_exponential_backoff=True)
    def point_to(server: str) -> None:
        """Replace this by your call. It must do no harm when it is made twice."""
        print(f"From now on the jobs run on the {server}.")

    point_to(active_server())
