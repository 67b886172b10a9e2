"""The failover DAG as a person sees it in the interface, and as the scheduler gets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from denodo_ha.decisions import DECISIONS, Action

Parse = Callable[..., DagBag]

DAG_ID = "denodo_scheduler_failover__default"
BRANCHES = {"enable_jobs", "quench_master", "repair_slave", "blocked", "nothing_to_do"}
NOTIFIER = """\
pairs:
  default:
    alerts:
      notify:
        - notifier: {path}
          arguments: {arguments}
"""


@pytest.fixture
def dag(parse: Parse) -> DAG:
    return parse().dags[DAG_ID]


def options(parse: Parse, text: str) -> DAG:
    return parse(f"pairs:\n  default: {{{text}}}\n").dags[DAG_ID]


def test_order_of_tasks(dag: DAG) -> None:
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "ping_master": set(),
        "decide": {"ping_master"},
        **{branch: {"decide", "ping_master"} for branch in BRANCHES - {"nothing_to_do"}},
        "nothing_to_do": {"decide"},
        "report": BRANCHES | {"ping_master"},
        "outcome": BRANCHES,
    }


@pytest.mark.parametrize(
    ("policy", "branch"),
    [("failover: {policy: approval}", "approve"), ("failover: {on_master_return: fail_back}", "fail_back")],
)
def test_a_policy_may_have_a_branch_of_its_own(parse: Parse, policy: str, branch: str) -> None:
    dag = options(parse, policy)
    assert dag.get_task("decide").downstream_task_ids == BRANCHES | {branch}
    assert branch in dag.get_task("report").upstream_task_ids


def test_every_decision_has_its_branch(parse: Parse) -> None:
    dag = options(parse, "failover: {policy: approval, on_master_return: fail_back}")
    assert {decision.action.value for decision in DECISIONS.values()} == dag.get_task("decide").downstream_task_ids
    assert {action.value for action in Action} == dag.get_task("decide").downstream_task_ids


def test_it_reports_whatever_happened_before(dag: DAG) -> None:
    assert dag.get_task("report").trigger_rule == "all_done"


def test_what_changes_something_runs_in_the_slot_of_the_pair(parse: Parse) -> None:
    dag = options(parse, "failover: {policy: approval}")
    in_pool = {task.task_id for task in dag.tasks if task.pool == "denodo_ha_default"}
    assert in_pool == {"enable_jobs", "quench_master", "repair_slave", "blocked", "approve", "report"}


def test_a_run_by_hand_need_not_wait_for_the_watch_in_progress(dag: DAG) -> None:
    assert dag.max_active_runs > 2
    assert dag.catchup is False


@pytest.mark.parametrize("text", ["", "watch: {duration: 20m}"])
def test_it_is_always_watching_and_no_event_of_an_asset_starts_it(parse: Parse, text: str) -> None:
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(options(parse, text)))))
    assert stored.timetable.serialize()["delta"] == (20 if text else 40) * 60
    assert [*stored.timetable.asset_condition.iter_assets()] == []
    assert stored.allowed_run_types
    assert "operator_triggered" in stored.allowed_run_types


def test_an_idle_pair_costs_few_task_instances(dag: DAG) -> None:
    """Even if those that are skipped count."""
    runs_per_hour = timedelta(hours=1) / timedelta(minutes=40)
    assert runs_per_hour * len(dag.tasks) <= 15


def test_form(dag: DAG) -> None:
    assert dag.params.dump() == {
        "reason": None,
        "dry_run": False,
        "fail_over": False,
        "accept_old_snapshot": False,
        "fenced": False,
    }
    for name, param in dag.params.items():
        assert dag.params.get_param(name).schema["title"], param
        assert dag.params.get_param(name).description


def test_every_task_says_what_it_does(dag: DAG) -> None:
    assert {task.task_id for task in dag.tasks if not task.doc_md} == {"nothing_to_do", "outcome"}


def test_parsing_again_makes_no_new_version(parse: Parse) -> None:
    first, again = (DagSerialization.to_dict(parse().dags[DAG_ID]) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("denodo_scheduler.no_such.Notifier", "{}", "cannot be imported"),
        ("denodo_ha.pairs.Pair", "{}", "is not a notifier"),
        ("support.file_notifier.FileNotifier", "{path: x}", "its arguments are: path, token"),
    ],
)
def test_a_wrong_notifier_is_an_import_error(parse: Parse, path: str, arguments: str, message: str) -> None:
    bag = parse(NOTIFIER.format(path=path, arguments=arguments))
    assert DAG_ID in bag.dags, "nobody loses the failover because a notifier is wrong"
    (error,) = bag.import_errors.values()
    assert 'pair "default"' in error
    assert message in error


def test_a_late_run_is_an_alert_where_somebody_wants_to_know(parse: Parse) -> None:
    assert parse().dags[DAG_ID].deadline in (None, [])
    text = NOTIFIER.format(path="support.file_notifier.FileNotifier", arguments="{path: /dev/null, token: t0ken}")
    (deadline,) = parse(text).dags[DAG_ID].deadline
    assert deadline.interval > timedelta(minutes=40)
