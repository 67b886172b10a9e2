"""The operation *check* as a run of the operations DAG: its note, its results, and how it ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from denodo_ha.readiness.findings import Readiness
from denodo_ha.status import Level
from denodo_scheduler.dags.operations import operations_dag
from support.dag_runs import PairAirflow, Run
from support.sync import Sync, untouched


@pytest.fixture
def airflow(sync: Sync) -> PairAirflow:
    return PairAirflow({"operations": operations_dag(sync.pair(snapshots=f"file://{sync.folder}"))}, state=sync.state)


def checked(airflow: PairAirflow, sync: Sync) -> Run:
    with untouched(sync.master, sync.slave):
        return airflow.run("operations", operation="check", reason="before patch day")


def test_a_critical_finding_makes_the_run_red_and_is_kept(airflow: PairAirflow, sync: Sync) -> None:
    run = checked(airflow, sync)
    assert (run.ends["operate"].state, run.ends["check"].state) == ("skipped", "failed")
    assert run.ends["check"].code == "not_ready"
    assert run.xcoms["check"]["note"].startswith("CHECK: 2 critical, ")
    kept = Readiness.from_json(sync.state.get("check"))
    assert kept.level is Level.CRITICAL
    assert f"CHECK: {kept.summary}" == run.xcoms["check"]["note"]
    assert airflow.history == []
    assert sync.records.load() is None


def test_a_warning_leaves_it_green_with_a_note(airflow: PairAirflow, sync: Sync) -> None:
    sync.synced()
    assert sync.record.snapshot
    now = datetime.now(UTC)
    sync.change(snapshot=sync.record.snapshot.model_copy(update={"taken": now}))
    sync.state.set("watch", {"at": now.isoformat()})
    run = checked(airflow, sync)
    assert run.ends["check"].state == "success", run.xcoms["check"]["note"]
    assert "nobody is told of a failover" in run.xcoms["check"]["note"]
    assert run.xcoms["check"]["return_value"] == sync.state.get("check")


def test_another_operation_checks_nothing(airflow: PairAirflow, sync: Sync) -> None:
    sync.synced()
    run = airflow.run("operations", operation="pause", reason="patch day")
    assert (run.ends["operate"].state, run.ends["check"].state) == ("success", "skipped")
    assert sync.state.get("check") is None
    assert sync.record.paused
