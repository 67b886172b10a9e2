"""The operations DAG as a person sees it in the interface, and as the scheduler gets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from denodo_scheduler.dags.operations import _moment
from denodo_scheduler.exceptions import RETRY_POLICY
from denodo_scheduler.links import page_path
from denodo_scheduler.steps.operate import MANUAL_OPERATIONS
from denodo_scheduler.steps.outcome import Blocked

Parse = Callable[..., DagBag]


@pytest.fixture
def dag(parse: Parse) -> DAG:
    return parse().dags["denodo_scheduler_operations__default"]


def test_what_people_do_is_one_task_in_the_slot_of_the_pair(dag: DAG) -> None:
    task = dag.get_task("operate")
    assert (task.task_id, task.pool) == ("operate", "denodo_ha_default")
    assert (task.retries, task.retry_delay, task.retry_policy) == (2, timedelta(seconds=10), RETRY_POLICY)
    assert [asset.name for asset in task.inlets] == ["denodo-scheduler://default"]
    assert [asset.name for asset in task.outlets] == ["denodo-scheduler-history-default"]
    assert not task.multiple_outputs
    assert dag.catchup is False


def test_a_scheduled_run_is_a_check_and_needs_no_answer(dag: DAG) -> None:
    assert dag.schedule == "@daily"
    dag.params.validate()
    assert (dag.params["operation"], dag.params["reason"]) == ("check", None)


def test_a_pair_may_have_no_scheduled_check(parse: Parse) -> None:
    found = parse("pairs:\n  default: {check: {schedule: null}}\n").dags["denodo_scheduler_operations__default"]
    assert found.schedule is None
    found.params.validate()


def test_the_check_waits_for_nothing_and_nothing_waits_for_it(dag: DAG) -> None:
    tasks = {"operate", "check", "doctor", "probe", "drill", "drill_result"}
    assert {task.task_id for task in dag.tasks} == tasks
    task = dag.get_task("check")
    assert task.pool == "default_pool"
    assert not task.upstream_task_ids | task.downstream_task_ids


def test_a_drill_keeps_no_failover_from_the_slot_of_the_pair(dag: DAG) -> None:
    tasks = [dag.get_task(name) for name in ("drill", "drill_result")]
    assert {task.pool for task in tasks} == {"default_pool"}
    assert tasks[0].downstream_task_ids == {"drill_result"}


def test_a_doctor_keeps_no_failover_from_the_slot_of_the_pair(dag: DAG) -> None:
    doctor, probe = (dag.get_task(name) for name in ("doctor", "probe"))
    assert (doctor.pool, probe.pool) == ("default_pool", "default_pool")
    assert (probe.upstream_task_ids, probe.retries) == ({"doctor"}, 2)
    assert dag.params.get_param("probe").value is False


def test_documentation(dag: DAG) -> None:
    assert dag.doc_md is not None
    for name in ("`default`", "`denodo_scheduler_master`", "`denodo_scheduler_slave`", page_path("default")):
        assert name in dag.doc_md
    for operation in MANUAL_OPERATIONS:
        assert f"| {operation} |" in dag.doc_md
    assert "| check |" in dag.doc_md
    assert "| drill |" in dag.doc_md
    assert "| doctor |" in dag.doc_md
    assert len(dag.get_task("operate").doc_md.split()) > 10
    assert dag.tags == {"denodo", "denodo-ha"}


def test_form(dag: DAG) -> None:
    found = {name: dag.params.get_param(name) for name in dag.params}
    assert set(found) == {"operation", "reason", "until", "active", "doubts", "test_message", "probe", "hash_names"}
    assert all(param.schema["title"] and param.description for param in found.values())
    assert found["operation"].schema["enum"] == [*MANUAL_OPERATIONS, "check", "doctor", "drill"]
    assert found["operation"].value == "check", "which changes nothing"
    assert found["reason"].value is None, "so that each operation has one of its own"


@pytest.mark.parametrize(
    "answer",
    [
        {"operation": "pause", "until": "2031-03-02T06:00:00+00:00"},
        {"operation": "resume"},
        {"operation": "initialise", "active": "slave"},
    ],
    ids=str,
)
def test_form_takes(dag: DAG, answer: dict[str, Any]) -> None:
    dag.params.update({"reason": "why", **answer})
    dag.params.validate()


@pytest.mark.parametrize(
    "answer",
    [{"operation": "explode"}, {"reason": ""}, {"reason": 7}, {"until": 7}, {"active": "both"}],
    ids=str,
)
def test_form_refuses(dag: DAG, answer: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        dag.params.update(answer)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("", None),
        ("2031-03-02T06:00:00+00:00", datetime(2031, 3, 2, 6, tzinfo=UTC)),
        ("2031-03-02T06:00:00Z", datetime(2031, 3, 2, 6, tzinfo=UTC)),
        ("2031-03-02T06:00:00+02:00", datetime(2031, 3, 2, 4, tzinfo=UTC)),
        ("2031-03-02T06:00:00", datetime(2031, 3, 2, 6, tzinfo=UTC)),
    ],
)
def test_until(text: str | None, moment: datetime | None) -> None:
    assert _moment(text) == moment


def test_until_that_is_none() -> None:
    with pytest.raises(Blocked, match="until_invalid"):
        _moment("soon")


def test_serialised(dag: DAG) -> None:
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert {task.task_id for task in stored.tasks} == {task.task_id for task in dag.tasks}
    assert set(stored.params) == set(dag.params)


def test_parsing_again_makes_no_new_version(parse: Parse) -> None:
    name = "denodo_scheduler_operations__default"
    first, again = (DagSerialization.to_dict(parse().dags[name]) for _ in range(2))
    assert first == again
