"""The switchover DAG as a person sees it in the interface, and as the scheduler gets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException, ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from denodo_scheduler.dags import shared, switchover
from denodo_scheduler.exceptions import RETRY_POLICY
from denodo_scheduler.links import page_path

Parse = Callable[..., DagBag]

UPSTREAM = {
    "check": set(),
    "wait_for_quiet_window": {"check"},
    "switch_over": {"check", "wait_for_quiet_window"},
    "sync": {"switch_over"},
    "report": {"switch_over"},
}
IN_POOL = {"switch_over", "report"}
OPTIONS = """\
pairs:
  default:
    projects: [Sales, "fin*"]
    jobs: ["Load *"]
    master_timezone: Europe/Madrid
    tags: [sales]
    sync: {quiet_window: 90s, quiet_margin: 10s, quiet_timeout: 2h}
    failover: {drain_timeout: 20m}
"""


@pytest.fixture
def dag(parse: Parse) -> DAG:
    return parse().dags["denodo_scheduler_switchover__default"]


@pytest.fixture
def own(parse: Parse) -> DAG:
    """A pair none of whose options is the default."""
    return parse(OPTIONS).dags["denodo_scheduler_switchover__default"]


def test_order_of_tasks(dag: DAG) -> None:
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == UPSTREAM


def test_a_failure_is_reported_and_not_hidden(dag: DAG) -> None:
    """The report succeeds also after a failure; a leaf beside it does not."""
    assert dag.get_task("report").trigger_rule == "all_done"
    assert {task.task_id: task.trigger_rule for task in dag.leaves} == {"report": "all_done", "sync": "all_success"}
    assert dag.get_task("check").ignore_downstream_trigger_rules is True


def test_whatever_changes_something_is_in_the_pool_of_the_pair(dag: DAG) -> None:
    pools = {task.task_id: task.pool for task in dag.tasks}
    assert {task_id for task_id, pool in pools.items() if pool == "denodo_ha_default"} == IN_POOL
    assert {pool for task_id, pool in pools.items() if task_id not in IN_POOL} == {"default_pool"}


def test_runs_by_hand_and_one_at_a_time(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert dag.schedule is None
    assert dag.catchup is False


def test_retries(dag: DAG) -> None:
    for task in dag.tasks:
        assert (task.retries, task.retry_delay, task.retry_policy) == (10, timedelta(seconds=10), RETRY_POLICY)


def test_documentation(dag: DAG, own: DAG) -> None:
    assert dag.doc_md is not None
    for name in ("`default`", "`denodo_scheduler_master`", "`denodo_scheduler_slave`", page_path("default")):
        assert name in dag.doc_md
    for task in dag.tasks:
        assert task.doc_md is not None, task.task_id
        assert len(task.doc_md.split()) > 10, task.task_id
    assert dag.tags == {"denodo", "denodo-ha"}
    assert own.tags == {"denodo", "denodo-ha", "sales"}


def test_sensor_takes_the_options_of_the_pair(own: DAG) -> None:
    sensor: Any = own.get_task("wait_for_quiet_window")
    assert sensor.deferrable is True
    assert sensor.margin == timedelta(seconds=10)
    assert sensor.timezone == "Europe/Madrid"
    assert (list(sensor.include_projects), list(sensor.include_jobs)) == (["Sales", "fin*"], ["Load *"])


@pytest.mark.parametrize("uri", ["//master:8000", None])
def test_sensor_looks_at_the_active_server_over_the_path_that_the_check_found(
    dag: DAG, task_context: Any, uri: str | None
) -> None:
    checked = {"check": {"connection": "of the slave", "uri": uri}}
    sensor = task_context(dag, xcoms=checked, quiet_window=7, quiet_timeout=60).render("wait_for_quiet_window")
    assert (sensor.hook.denodo_scheduler_conn_id, sensor.hook.scheduler_uri) == ("of the slave", uri)
    assert (float(sensor.window), float(sensor.timeout)) == (7, 60)


def test_a_sync_follows_a_failback_only(dag: DAG, task_context: Any) -> None:
    sync: Any = dag.get_task("sync")
    assert sync.trigger_dag_id == "denodo_scheduler_sync__default"
    sync._pre_execute_hook(task_context(dag, direction="to_master"))
    with pytest.raises(AirflowSkipException, match="a sync would overwrite it"):
        sync._pre_execute_hook(task_context(dag, direction="to_slave"))


def test_the_quiet_window_is_waited_for_only_where_the_form_says_so(dag: DAG, task_context: Any) -> None:
    sensor: Any = dag.get_task("wait_for_quiet_window")
    sensor._pre_execute_hook(task_context(dag, how="quiet_window"))
    with pytest.raises(AirflowSkipException, match="drained"):
        sensor._pre_execute_hook(task_context(dag, how="drain"))
    assert dag.get_task("switch_over").trigger_rule == "none_failed"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, (False, False, timedelta(minutes=15))),
        ({"how": "quiet_window"}, (True, False, timedelta(minutes=15))),
        ({"at_drain_timeout": "stop_them", "drain_timeout": 60}, (False, True, timedelta(minutes=1))),
    ],
    ids=str,
)
def test_what_the_form_says_reaches_the_step(
    dag: DAG, task_context: Any, monkeypatch: pytest.MonkeyPatch, form: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    monkeypatch.setattr(shared, "pair_context", lambda _, pair: pair)
    context = task_context(dag, direction="to_slave", **form)
    wanted, pair = switchover._switch(context), switchover._run(context)
    assert (wanted.quiet_window, wanted.stop, pair.failover.drain_timeout) == expected


def test_form(dag: DAG, own: DAG) -> None:
    optional = {
        "dry_run": False,
        "accept_differences": False,
        "accept_not_ready": False,
        "how": "drain",
        "drain_timeout": 900,
        "at_drain_timeout": "give_up",
        "quiet_window": 300,
        "quiet_timeout": 3000,
    }
    found = {name: dag.params.get_param(name) for name in dag.params}
    assert {name: param.value for name, param in found.items() if param.has_value} == optional
    assert set(found) - set(optional) == {"direction", "reason"}, "these a person has to say"
    assert all(param.schema["title"] for param in found.values())
    assert own.params.get_param("drain_timeout").value == 1200
    assert own.params.get_param("quiet_window").value == 90
    assert own.params.get_param("quiet_timeout").value == 7200


@pytest.mark.parametrize("direction", ["to_slave", "to_master"])
def test_form_takes(dag: DAG, direction: str) -> None:
    dag.params.update({"direction": direction, "reason": "maintenance"})
    dag.params.validate()


@pytest.mark.parametrize(
    "answer",
    [
        {"direction": "sideways"},
        {"direction": None},
        {"reason": ""},
        {"reason": None},
        {"dry_run": "yes"},
        {"quiet_window": 0},
        {"how": "at once"},
        {"drain_timeout": 0},
        {"at_drain_timeout": "wait"},
        {"accept_differences": 1},
        {"accept_not_ready": "yes"},
    ],
    ids=str,
)
def test_form_refuses(dag: DAG, answer: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        dag.params.update(answer)


@pytest.mark.parametrize("said", [{"reason": "why"}, {"direction": "to_slave"}], ids=["no direction", "no reason"])
def test_form_insists(dag: DAG, said: dict[str, Any]) -> None:
    dag.params.update(said)
    with pytest.raises(ParamValidationError):
        dag.params.validate()


def test_assets(dag: DAG) -> None:
    for task_id in ("check", "switch_over", "report"):
        task = dag.get_task(task_id)
        assert [asset.name for asset in task.inlets] == ["denodo-scheduler://default"], task_id
        assert [asset.name for asset in task.outlets] == ["denodo-scheduler-history-default"], task_id
        assert not getattr(task, "multiple_outputs", False), task_id


def test_pairs_share_nothing(parse: Parse) -> None:
    dags = parse("pairs:\n  one: {projects: [x]}\n  two: {projects: [y]}\n").dags
    pair = [dags[f"denodo_scheduler_switchover__{name}"] for name in ("one", "two")]
    for of in (lambda task: task.pool, lambda task: task.inlets[0].uri, lambda task: task.outlets[0].name):
        assert len({of(dag.get_task("switch_over")) for dag in pair}) == 2
    assert len({dag.get_task("sync").trigger_dag_id for dag in pair}) == 2


def test_serialised(dag: DAG) -> None:
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert {task.task_id: task.upstream_task_ids for task in stored.tasks} == UPSTREAM
    assert stored.max_active_runs == 1
    assert set(stored.params) == set(dag.params)
    for task in stored.tasks:
        assert (task.pool, task.retries) == (dag.get_task(task.task_id).pool, 10)


def test_parsing_again_makes_no_new_version(parse: Parse) -> None:
    name = "denodo_scheduler_switchover__default"
    first, again = (DagSerialization.to_dict(parse().dags[name]) for _ in range(2))
    assert first == again
