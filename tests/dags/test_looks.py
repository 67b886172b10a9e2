"""How a task asks for a look: as its last deed it starts a run of the failover DAG, and nothing is lost by that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import DagRunTriggerException
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import SucceedTask, TriggerDagRun

from denodo_scheduler.dags import shared
from denodo_scheduler.state.watch_store import WATCH_KEY

SETTLED = {"verdict": "up", "code": "healthy", "settled": True, "owner": "a run"}


class State(dict[str, Any]):
    """The state store of an asset."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


@pytest.fixture
def dag(parse: Callable[..., DagBag]) -> DAG:
    return parse("pairs:\n  default: {}\n").dags["denodo_scheduler_operations__default"]


def asked(dag: DAG, **how: Any) -> tuple[DagRunTriggerException, dict[str, Any], dict[str, Any]]:
    """The run that is started, the watch afterwards, and the task's XComs."""
    state, xcoms = State({WATCH_KEY: SETTLED}), dict[str, Any]()
    context = {
        "dag": dag,
        "asset_state_store": defaultdict(lambda: state),
        "ti": SimpleNamespace(xcom_push=lambda key, value: xcoms.update({key: value})),
    }
    with pytest.raises(DagRunTriggerException) as started:
        shared.ask_for_a_look(context, "resume", **how)
    return started.value, state[WATCH_KEY], xcoms


def test_it_starts_a_run_of_the_failover_dag_and_says_why(dag: DAG) -> None:
    run, _, xcoms = asked(dag)
    assert run.trigger_dag_id == "denodo_scheduler_failover__default"
    assert run.note == "Asked for by denodo_scheduler_operations__default: resume"
    assert (run.conf, run.logical_date, run.wait_for_completion, xcoms) == (None, None, False, {})


def test_each_time_it_is_another_run(dag: DAG) -> None:
    assert len({asked(dag)[0].dag_run_id for _ in range(20)}) == 20


def test_only_a_look_afresh_forgets_the_verdict(dag: DAG) -> None:
    assert {"verdict": "", "settled": False, "owner": "a run"}.items() <= asked(dag)[1].items()
    assert asked(dag, afresh=False)[1] == SETTLED


def test_the_result_of_the_task_is_kept(dag: DAG) -> None:
    assert asked(dag, result={"what": "resumed"})[2] == {"return_value": {"what": "resumed"}}


def test_airflow_starts_the_run_first_and_then_ends_the_task_with_its_events(
    dag: DAG, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Airflow's own code, whose private parts are asked here only."""
    sent: list[Any] = []
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=sent.append), raising=False)
    task = dag.get_task("operate")
    ti = SimpleNamespace(
        task=task, stats_tags={}, rendered_map_index=None, end_date=None, xcom_push=lambda key, value: None
    )
    events = task_runner.OutletEventAccessors()
    assets = shared.Assets(shared.pair_of({"dag": dag}))
    events[assets.history].add(assets.pair, extra={"kind": "resumed"})
    run = asked(dag)[0]
    log = SimpleNamespace(info=lambda *_, **__: None)
    last, state = task_runner._handle_trigger_dag_run(run, {"outlet_events": events}, ti, log)
    (first,) = sent
    assert isinstance(first, TriggerDagRun)
    assert (first.dag_id, first.run_id, first.note) == (run.trigger_dag_id, run.dag_run_id, run.note)
    assert isinstance(last, SucceedTask)
    assert state == "success"
    assert [event["extra"] for event in last.outlet_events or []] == [{"kind": "resumed"}]


@pytest.mark.parametrize(
    ("run_type", "name", "actor"),
    [
        (DagRunType.MANUAL, "ana", "ana"),
        (DagRunType.BACKFILL, "ana", "ana"),
        (DagRunType.SCHEDULED, None, "scheduled"),
        (DagRunType.OPERATOR_TRIGGERED, None, "operator_triggered"),
        (DagRunType.OPERATOR_TRIGGERED, "ana", "operator_triggered"),
    ],
)
def test_no_person_acts_in_a_run_that_a_task_has_started(
    dag: DAG, run_type: DagRunType, name: str | None, actor: str
) -> None:
    context = {
        "dag": dag,
        "dag_run": SimpleNamespace(run_type=run_type, triggering_user_name=name, run_id="look__1"),
        "params": {},
        "asset_state_store": defaultdict(State),
    }
    assert shared.pair_context(context).actor == actor
