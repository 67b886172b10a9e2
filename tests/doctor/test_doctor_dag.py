"""The operation *doctor* as a run of the operations DAG: with and without consent, its note, its file, its event."""

from __future__ import annotations

import json

import pytest

from denodo_ha.doctor.diagnosis import Diagnosis
from denodo_scheduler.dags.operations import operations_dag
from support.dag_runs import PairAirflow, Run
from support.delivery import at_write
from support.sync import Sync, WorkerKilled, kill_the_worker, untouched

FORM = {"operation": "doctor", "reason": "a first look", "probe": False, "hash_names": False}


@pytest.fixture
def airflow(pair: Sync) -> PairAirflow:
    return PairAirflow({"operations": operations_dag(pair.pair(snapshots=f"file://{pair.folder}"))}, state=pair.state)


def ends(run: Run) -> dict[str, str]:
    return {task: end.state for task, end in run.ends.items()}


def test_without_consent_it_only_reads(airflow: PairAirflow, pair: Sync) -> None:
    with untouched(pair.master, pair.slave):
        run = airflow.run("operations", **FORM)
    assert {task: end for task, end in ends(run).items() if end != "skipped"} == {"doctor": "success"}
    kept = Diagnosis.from_json(pair.state.get("doctor"))
    assert (kept.tried, kept.pair) == (False, "test")
    assert run.xcoms["doctor"]["note"].startswith("DOCTOR: the contract's words: ")
    assert json.loads(pair.files["test/doctor.json"]) == run.xcoms["doctor"]["return_value"]
    assert airflow.history == []
    assert pair.record.scratch is None


def test_with_consent_it_tries_things_out(airflow: PairAirflow, pair: Sync) -> None:
    with untouched(pair.master):
        run = airflow.run("operations", **{**FORM, "probe": True, "hash_names": True})
    assert {task: end for task, end in ends(run).items() if end != "skipped"} == {
        "doctor": "success",
        "probe": "success",
    }
    kept = Diagnosis.from_json(pair.state.get("doctor"))
    assert kept.tried
    assert {"time zone", "content VDP", "version, slave"} <= {each.code for each in kept.answers}
    report = json.loads(pair.files["test/doctor.json"])
    assert report == run.xcoms["probe"]["return_value"]
    assert (report["pair"].startswith("name-"), kept.pair) == (True, "test")
    (event,) = [each.extra for each in airflow.history if each.extra.get("kind") == "doctor"]
    assert (event["actor"], event["reason"]) == ("manual", "a first look") or event["reason"] == "a first look"


def test_the_next_try_of_the_task_goes_on(airflow: PairAirflow, pair: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    run = airflow.begin("operations", **{**FORM, "probe": True})
    run.task("doctor")
    with at_write(monkeypatch, 12, kill_the_worker, after=True), pytest.raises(WorkerKilled):
        run.task("probe")
    assert pair.record.scratch
    assert run.task("probe").state == "success"
    assert pair.record.scratch is None
    left = [each["name"] for each in pair.slave.request("GET", "/projects") if "doctor" in each["name"]]
    assert left == []


def test_a_refusal_is_a_red_task_with_its_code(airflow: PairAirflow, pair: Sync) -> None:
    pair.lose_record()
    with untouched(pair.master, pair.slave):
        run = airflow.run("operations", **{**FORM, "probe": True})
    assert (run.ends["doctor"].state, run.ends["probe"].code) == ("success", "not_initialised")
