"""The example DAGs of the package, as people run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_demo.airflow_api import FINISHED
from denodo_demo.processes import wait_for
from denodo_demo.standin import StandinPair
from support.sync_dag import NEVER, PATIENCE, Bookmark, History, enabled, keys

pytestmark = pytest.mark.e2e


Example = Callable[..., tuple[str, dict[str, str | None]]]
"""Run an example by its form: state of the run, and of each task."""


@pytest.fixture
def example(airflow: LocalAirflow) -> Iterator[Example]:
    """At the end nothing of the examples goes on."""
    used: set[str] = set()

    def run(name: str, **form: Any) -> tuple[str, dict[str, str | None]]:
        dag_id = f"example_denodo_scheduler_{name}"
        used.add(dag_id)
        airflow.wait_for_dag(dag_id)
        airflow.api.set_paused(dag_id, False)
        run_id = airflow.api.trigger(dag_id, form)
        state = airflow.api.wait_for_run(dag_id, run_id, timeout=PATIENCE)["state"]
        return state, airflow.api.task_states(dag_id, run_id)

    yield run
    for dag_id in used:
        end(airflow, dag_id)


def end(airflow: LocalAirflow, dag_id: str) -> None:
    airflow.api.set_paused(dag_id, True)
    for run in airflow.api.dag_runs(dag_id):
        if run["state"] not in FINISHED:
            airflow.api.set_run_state(dag_id, run["dag_run_id"], "failed")


class TestASyncOfYourOwnMaking:
    def test_all_jobs_are_on_the_slave_and_none_is_enabled_there(
        self, pair: StandinPair, example: Example, tmp_path: Path
    ) -> None:
        mark = Bookmark(pair)
        state, tasks = example("own_sync", folder=f"file://{tmp_path}", quiet_seconds=1)
        assert (state, set(tasks.values())) == ("success", {"success"})
        assert keys(pair.slave) >= keys(pair.master)
        assert enabled(pair.slave) == []
        books = mark.read()
        assert books.slave_audit
        assert books.master_audit == []

    def test_nothing_is_done_to_a_slave_on_which_a_job_is_enabled(
        self, pair: StandinPair, example: Example, history: History, tmp_path: Path
    ) -> None:
        job = pair.slave.statuses()[0]
        pair.slave.set_status("enable", [job])
        state, tasks = example("own_sync", folder=f"file://{tmp_path}", quiet_seconds=1)
        assert (state, tasks["slave_is_passive"], tasks["disable"]) == ("failed", "failed", "upstream_failed")
        assert [each["jobName"] for each in enabled(pair.slave)] == [job["jobName"]]


def test_a_job_runs_after_the_end_of_another_one(pair: StandinPair, example: Example, history: History) -> None:
    """``history`` has made the HA record, which says which server is meant."""
    first = next(each for each in pair.master.statuses() if each["state"] == "NOT_RUNNING")
    others = (each for each in pair.master.statuses() if each["projectName"] == first["projectName"])
    second = next(each for each in others if each["state"] == "NOT_RUNNING" and each["jobName"] != first["jobName"])
    before = len(pair.master.scheduler.journal())
    pair.master.set_cron(first, "*/5 * * * * ?")
    try:
        state, tasks = example(
            "run_job", project=first["projectName"], loads=first["jobName"], report=second["jobName"]
        )
    finally:
        pair.master.set_cron(first, NEVER)
    assert (state, set(tasks.values())) == ("success", {"success"})
    runs = [each for each in pair.master.scheduler.journal(before) if each["job"] == second["jobName"]]
    assert [(each["trigger"], each["result"]) for each in runs] == [("manual", "COMPLETE")]


def test_another_active_server_is_pointed_to_and_no_other_event(airflow: LocalAirflow, history: History) -> None:
    dag_id = "example_denodo_scheduler_after_failover"
    asset = next(
        each for each in airflow.api.get("/assets", limit=100)["assets"] if each["name"] == "denodo-scheduler://default"
    )
    airflow.api.set_paused(dag_id, False)

    def tasks_after(**event: Any) -> dict[str, str | None]:
        known = {run["dag_run_id"] for run in airflow.api.dag_runs(dag_id)}
        event["at"] = datetime.now(UTC).isoformat()
        airflow.api.request("POST", "/assets/events", json={"asset_id": asset["id"], "extra": event})

        def ended() -> dict[str, Any] | None:
            new = [run for run in airflow.api.dag_runs(dag_id) if run["dag_run_id"] not in known]
            return new[0] if new and new[0]["state"] in FINISHED else None

        run = wait_for(ended, PATIENCE, "a run of the example")
        assert run["state"] == "success"
        states = airflow.api.task_states(dag_id, run["dag_run_id"])
        if states["point_to"] == "success":
            states["said"] = airflow.api.task_log(dag_id, run["dag_run_id"], "point_to")
        return states

    try:
        tasks_after(kind="drift")  # its run has the real events before it, too, such as that of the initialisation
        assert tasks_after(kind="drift")["point_to"] == "skipped"
        assert "the jobs run on the slave" in str(tasks_after(kind="failover")["said"])
        assert "the jobs run on the master" in str(tasks_after(kind="failback")["said"])
        person = {"phase": "failed_over", "active": "slave", "epoch": 9}
        assert "the jobs run on the slave" in str(tasks_after(kind="initialised", after=person)["said"])
    finally:
        end(airflow, dag_id)


class TestAPairThatFollowsABlueGreenAirflow:
    @pytest.fixture
    def paused(self, airflow: LocalAirflow) -> Callable[[], set[bool]]:
        """Which DAGs of the pair are paused: of all, ``{True}``."""
        dags = [f"denodo_scheduler_{kind}__default" for kind in ("sync", "failover", "switchover", "operations")]
        return lambda: {airflow.api.dag(dag_id)["is_paused"] for dag_id in dags}

    @pytest.fixture(autouse=True)
    def quiet_again(self, airflow: LocalAirflow) -> Iterator[None]:
        yield
        for kind in ("sync", "failover", "switchover", "operations"):
            end(airflow, f"denodo_scheduler_{kind}__default")

    def test_its_dags_are_paused_while_the_other_airflow_is_live(
        self, airflow: LocalAirflow, example: Example, history: History, paused: Any
    ) -> None:
        (airflow.home / "live").write_text("blue\n")
        airflow.api.set_paused("denodo_scheduler_sync__default", True)
        assert example("blue_green")[1]["switch_over"] == "skipped"
        assert paused() == {False}
        assert example("blue_green")[1] == {"follow": "success", "direction": "success", "switch_over": "skipped"}
        (airflow.home / "live").write_text("green\n")
        assert example("blue_green")[1] == {"follow": "success", "direction": "skipped", "switch_over": "skipped"}
        assert paused() == {True}

    def test_nothing_is_changed_where_it_is_not_known_which_one_is_live(
        self, airflow: LocalAirflow, example: Example, paused: Any
    ) -> None:
        (airflow.home / "live").write_text("")
        before = paused()
        assert example("blue_green")[0] == "failed"
        assert paused() == before

    def test_its_jobs_move_to_the_server_of_the_live_airflow(
        self, airflow: LocalAirflow, pair: StandinPair, example: Example, history: History
    ) -> None:
        """The switchover is asked for; here it is refused, because a person has paused the pair."""
        operations, switchover = (f"denodo_scheduler_{kind}__default" for kind in ("operations", "switchover"))

        def operate(operation: str) -> None:
            airflow.api.set_paused(operations, False)
            run_id = airflow.api.trigger(operations, {"operation": operation, "reason": "a test"})
            assert airflow.api.wait_for_run(operations, run_id, timeout=PATIENCE)["state"] == "success"

        for run in airflow.api.dag_runs(switchover):
            airflow.api.request("DELETE", f"/dags/{switchover}/dagRuns/{run['dag_run_id']}")
        (airflow.home / "live").write_text("blue")
        operate("pause")
        try:
            example("blue_green")  # whose DAGs are running afterwards
            assert example("blue_green", blue="slave", green="master")[1]["switch_over"] == "success"
            (asked,) = airflow.api.dag_runs(switchover)
            assert asked["conf"]["direction"] == "to_slave"
            assert airflow.api.wait_for_run(switchover, asked["dag_run_id"], timeout=PATIENCE)["state"] == "failed"
            assert airflow.api.task_states(switchover, asked["dag_run_id"])["check"] == "failed"
            assert example("blue_green", blue="slave", green="master")[1]["switch_over"] == "skipped", "for an hour"
        finally:
            operate("resume")
        assert example("blue_green", blue="master", green="slave")[1]["switch_over"] == "skipped"
        assert len(airflow.api.dag_runs(switchover)) == 1
