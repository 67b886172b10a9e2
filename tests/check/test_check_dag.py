"""The readiness check as a run of the operations DAG, and before a switchover: notes, results, and how runs end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.utils.types import DagRunType

from denodo_ha.readiness.findings import Readiness
from denodo_ha.record import Role
from denodo_ha.status import Level
from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.switchover import switchover_dag
from support.dag_runs import PairAirflow, Run
from support.sync import Sync, enabled, states, untouched

NOTIFY = [{"notifier": "support.file_notifier.FileNotifier", "arguments": {"path": "/dev/null", "token": "t0ken"}}]


@pytest.fixture
def airflow(sync: Sync) -> PairAirflow:
    pair = sync.pair(snapshots=f"file://{sync.folder}", notify=NOTIFY)
    return PairAirflow({"operations": operations_dag(pair), "switchover": switchover_dag(pair)}, state=sync.state)


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
    assert "the clock of the master is" in run.xcoms["check"]["note"]
    assert run.xcoms["check"]["return_value"] == sync.state.get("check")


def test_another_operation_checks_nothing(airflow: PairAirflow, sync: Sync) -> None:
    sync.synced()
    run = airflow.run("operations", operation="pause", reason="patch day")
    assert (run.ends["operate"].state, run.ends["check"].state) == ("success", "skipped")
    assert sync.state.get("check") is None
    assert sync.record.paused


def test_a_scheduled_run_checks(airflow: PairAirflow, sync: Sync) -> None:
    sync.synced()
    with untouched(sync.master, sync.slave):
        run = airflow.run("operations", by=DagRunType.SCHEDULED)
    assert run.ends["operate"].state == "skipped"
    assert run.xcoms["check"]["note"].startswith("CHECK: ")
    assert sync.state.get("check")


@pytest.mark.parametrize("operation", ["pause", "halt", "initialise"])
def test_what_a_person_does_needs_a_reason(airflow: PairAirflow, sync: Sync, operation: str) -> None:
    run = airflow.run("operations", operation=operation, active="master")
    assert (run.ends["operate"].code, run.ends["check"].state) == ("reason_missing", "skipped")


# -- before a switchover


def refuses_a_cron(body: bytes) -> bytes:
    return body.replace(b'""', b'"not supported"', 1)


def test_what_is_critical_of_the_target_stops_a_switchover_before_anything_is_touched(
    airflow: PairAirflow, sync: Sync, tamper: Callable[..., Any]
) -> None:
    tamper(sync.slave, "validateCronExpressions", refuses_a_cron)
    sync.synced()
    before = sync.record
    for asked in ({}, {"dry_run": True}):
        with untouched(sync.master, sync.slave):
            run = airflow.run("switchover", direction="to_slave", reason="patch day", **asked)
        assert run.ends["check"].code == "not_ready"
        assert "the slave refuses 1 crons" in run.xcoms["check"]["note"]
        assert "'accept not ready' ticked" in run.xcoms["check"]["note"]
        assert any(each.startswith("CRITICAL crons: ") for each in run.xcoms["check"]["plan"]["not_ready"])
        assert "switch_over" not in run.ends or run.ends["switch_over"].state == "upstream_failed"
    assert (sync.record.operation, sync.record.active, sync.record.epoch) == (None, Role.MASTER, before.epoch)


def test_a_person_may_go_on_all_the_same(airflow: PairAirflow, sync: Sync, tamper: Callable[..., Any]) -> None:
    tamper(sync.slave, "validateCronExpressions", refuses_a_cron)
    sync.synced()
    wanted = enabled(sync.master)
    run = airflow.run("switchover", direction="to_slave", reason="patch day", accept_not_ready=True)
    assert run.ends["switch_over"].state == "success", run.ends
    assert (enabled(sync.master), enabled(sync.slave)) == (set(), wanted)
    (event,) = (each.extra for each in airflow.history if each.extra.get("kind") == "switchover")
    assert any(each.startswith("CRITICAL crons: the slave refuses 1 crons") for each in event["not_ready"])


def test_what_else_is_not_in_order_is_told_and_stops_nothing(airflow: PairAirflow, sync: Sync) -> None:
    """Such as that nothing watches the pair, which is critical of no server, and that the clocks differ."""
    sync.synced()
    wanted = enabled(sync.master)
    run = airflow.run("switchover", direction="to_slave", reason="patch day")
    assert run.ends["switch_over"].state == "success", run.ends
    assert enabled(sync.slave) == wanted
    assert set(states(sync.master).values()) == {"DISABLED"}
    (event,) = (each.extra for each in airflow.history if each.extra.get("kind") == "switchover")
    told = {each.partition(":")[0] for each in event["not_ready"]}
    assert {"CRITICAL monitor", "WARNING clock slave"} <= told
    assert not [each for each in event["not_ready"] if each.startswith(("OK", "UNKNOWN"))]
    note = run.xcoms["switch_over"]["note"]
    assert note.startswith("switched over: 9 jobs disabled on the master and enabled on the slave")
    assert "; not ready: CRITICAL " in note
    assert "CRITICAL monitor: the failover DAG has never looked" in note
    assert Readiness.from_json(sync.state.get("check")).level is Level.CRITICAL
