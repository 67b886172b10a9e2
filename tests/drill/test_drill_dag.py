"""The drill as runs of the operations DAG and of a DAG of its own: red, told and alerted where it fails."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from denodo_ha.pairs import Pair
from denodo_scheduler.dags.drill import drill_dag
from denodo_scheduler.dags.operations import operations_dag
from support.dag_runs import PairAirflow
from support.drill import DrilledPair, at_rest, runs
from support.sync import Books


@pytest.fixture
def alerts(tmp_path: Path) -> Path:
    return tmp_path / "alerts.jsonl"


@pytest.fixture
def airflow(pair: DrilledPair, alerts: Path) -> PairAirflow:
    sync = pair.failover.sync
    notify = [{"notifier": "support.file_notifier.FileNotifier", "arguments": {"path": str(alerts), "token": "t0ken"}}]
    options: dict[str, Any] = {"drill": ["ping 1"], "drill_schedule": "@weekly", "drill_timeout": "1m"}
    chosen = sync.pair(**options, snapshots=f"file://{sync.folder}", notify=notify)
    dag = drill_dag(chosen)
    assert dag
    return PairAirflow({"operations": operations_dag(chosen), "drill": dag}, state=sync.state)


def test_only_a_pair_with_a_schedule_has_a_dag_of_its_own() -> None:
    assert drill_dag(Pair(name="x", drill=["ping"])) is None
    dag = drill_dag(Pair(name="x", drill=["ping"], drill_schedule="30 3 * * 0"))
    assert dag
    assert (dag.dag_id, dag.schedule, dag.catchup) == ("denodo_scheduler_drill__x", "30 3 * * 0", False)
    assert {task.task_id: task.pool for task in dag.tasks} == dict.fromkeys(("drill", "drill_result"), "default_pool")


@pytest.mark.parametrize(
    ("kind", "form"), [("operations", {"operation": "drill", "reason": "a test"}), ("drill", {"reason": "by schedule"})]
)
def test_a_drill_that_proves_it_is_green(
    airflow: PairAirflow, pair: DrilledPair, kind: str, form: dict[str, Any]
) -> None:
    books = Books(pair.slave)
    run = airflow.run(kind, **form)
    assert [run.ends[name].state for name in ("drill", "drill_result")] == ["success", "success"]
    assert runs(books) == [("ping 1", "manual")]
    assert run.xcoms["drill"]["note"] == "drill: 1 of 1 job ran on the slave"
    assert [event.extra["kind"] for event in airflow.history] == ["drill"]
    at_rest(pair)


def test_a_drill_that_fails_is_red_and_alerts_once_with_a_next_step(
    airflow: PairAirflow, pair: DrilledPair, alerts: Path
) -> None:
    pair.slave.scheduler.results("ERROR", match="ping 1", report={"error": "no driver for VDP"})
    run = airflow.run("drill", reason="by schedule")
    assert (run.ends["drill"].state, run.ends["drill_result"].state) == ("success", "failed")
    assert run.ends["drill_result"].code == "drill_failed"
    assert "no driver for VDP" in run.xcoms["drill"]["note"]
    (alert,) = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert (alert["alert"], alert["event"]["code"]) == ("drill", "drill_failed")
    assert alert["event"]["next_step"].startswith("repair what its report in the slave's web tool names")


def test_a_run_that_is_cleared_drills_again(airflow: PairAirflow, pair: DrilledPair) -> None:
    books = Books(pair.slave)
    run = airflow.run("drill", reason="by schedule")
    assert run.task("drill").state == "success"
    assert runs(books) == [("ping 1", "manual")]
    run.cleared = datetime.now(UTC)
    assert run.task("drill").state == "success"
    assert runs(books) == 2 * [("ping 1", "manual")]


def test_a_drill_that_is_refused_is_red_with_its_reason(airflow: PairAirflow, pair: DrilledPair) -> None:
    airflow.run("operations", operation="pause", reason="patch day")
    run = airflow.run("drill", reason="by schedule")
    assert (run.ends["drill"].code, run.ends["drill_result"].state) == ("paused", "upstream_failed")
    assert run.xcoms["drill"]["problem"]["next_step"].startswith("resume the pair")
    at_rest(pair)
