"""The ping of the failover DAG: how long it watches, and what ends it, by the state of the pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.timezone import utcnow
from airflow.utils.types import DagRunType

from denodo_ha.record import Pause, Phase, Record, Role, SnapshotRef
from denodo_ha.watching import FAILED
from denodo_scheduler.dags import failover, shared
from denodo_scheduler.state.record_store import RECORD_KEY
from denodo_scheduler.state.watch_store import WATCH_KEY
from denodo_scheduler.steps.outcome import Blocked
from denodo_scheduler.triggers.ping_master import PingMasterTrigger

WATCH = timedelta(minutes=40)
REACTION = timedelta(seconds=20) + failover.OVERLAP
"""Four rounds of five seconds, and until the next watch is at it."""
SETTLED = {"verdict": "up", "code": "healthy", "settled": True}


SNAPSHOT = SnapshotRef(
    id="s",
    taken=utcnow(),
    committed=utcnow(),
    imported=utcnow(),
    content_hash="c",
    manifest_hash="m",
    jobs=9,
    enabled=5,
)


class State(dict[str, Any]):
    """The state store of an asset."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


@pytest.fixture
def watch(parse: Callable[..., DagBag]) -> Callable[..., tuple[PingMasterTrigger, State]]:
    """Run the task, and return its trigger and what it has left in the pair's state."""

    def run(
        watching: dict[str, Any] | None = None, record: Record | None = None, by_hand: bool = False, options: str = ""
    ) -> tuple[PingMasterTrigger, State]:
        dag = parse(f"pairs:\n  default: {{{options}}}\n").dags["denodo_scheduler_failover__default"]
        state = State({WATCH_KEY: watching})
        if record:
            state[RECORD_KEY] = record.to_json()
        run_type = DagRunType.MANUAL if by_hand else DagRunType.SCHEDULED
        context: Any = {
            "dag": dag,
            "dag_run": SimpleNamespace(run_type=run_type, run_id="a run", triggering_user_name=None),
            "params": dag.params.dump(),
            "asset_state_store": defaultdict(lambda: state),
        }
        with pytest.raises(TaskDeferred) as deferred:
            dag.get_task("ping_master").execute(context)
        trigger = deferred.value.trigger
        assert isinstance(trigger, PingMasterTrigger)
        return trigger, state

    return run


def lasting(trigger: PingMasterTrigger) -> timedelta:
    assert trigger.begin is not None
    return trigger.until - trigger.begin


def test_a_run_by_hand_takes_its_own_verdict_and_leaves_the_watch_to_its_owner(watch: Any) -> None:
    trigger, state = watch(SETTLED | {"owner": "another run"}, by_hand=True)
    assert (trigger.known, lasting(trigger)) == (None, timedelta(0))
    assert state[WATCH_KEY]["owner"] == "another run"


def test_any_other_run_becomes_the_watcher(watch: Any) -> None:
    trigger, state = watch(SETTLED | {"owner": "another run"})
    assert (trigger.known, lasting(trigger)) == ("up", WATCH + REACTION)
    assert state[WATCH_KEY]["owner"] == "a run"
    assert trigger.begin <= utcnow()


@pytest.mark.parametrize("watching", [None, SETTLED | {"settled": False}], ids=["the first", "not settled"])
def test_what_is_not_settled_is_looked_at_soon(watch: Any, watching: Any) -> None:
    assert lasting(watch(watching)[0]) == failover.RECHECK


def test_after_a_failed_look_it_waits(watch: Any) -> None:
    trigger, _ = watch({"code": FAILED.code})
    assert trigger.begin > utcnow() + failover.RECHECK / 2


@pytest.mark.parametrize(
    ("phase", "active", "looked_at"),
    [
        (Phase.NORMAL, Role.MASTER, ("denodo_scheduler_slave", "denodo_scheduler_master")),
        (Phase.FAILED_OVER, Role.SLAVE, ("denodo_scheduler_master", "denodo_scheduler_slave")),
        (Phase.FAILING_OVER, Role.SLAVE, (None, None)),
    ],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_the_other_servers_that_it_looks_at(
    watch: Any, phase: Phase, active: Role, looked_at: Any, by_hand: bool
) -> None:
    trigger, _ = watch(SETTLED, Record(phase=phase, active=active, snapshot=SNAPSHOT), by_hand=by_hand)
    assert (trigger.passive_conn_id, trigger.active_conn_id) == looked_at


def test_where_no_job_is_to_run_none_is_missed(watch: Any) -> None:
    trigger, _ = watch(SETTLED, Record(snapshot=SNAPSHOT.model_copy(update={"enabled": 0})))
    assert trigger.active_conn_id is None


def test_a_pause_that_ends_by_itself_ends_the_watch(watch: Any) -> None:
    paused = Pause(since=utcnow(), by="ana", reason="patch day", until=utcnow() + timedelta(minutes=7))
    trigger, _ = watch(SETTLED, Record(paused=paused))
    assert timedelta(minutes=6) < lasting(trigger) - REACTION <= timedelta(minutes=7)


def test_a_master_that_is_back_is_watched_until_it_may_fail_back(watch: Any) -> None:
    back = SETTLED | {"code": "master_back"}
    options = "on_master_return: fail_back, stable_for: 11m"
    assert lasting(watch(back, options=options)[0]) == timedelta(minutes=11) + REACTION
    assert lasting(watch(back)[0]) == WATCH + REACTION


@pytest.mark.parametrize("given", [{"evidence": 1}, '{"evidence": 1}'], ids=["once", "twice"])
def test_its_result_is_understood_however_often_airflow_has_encoded_it(given: Any) -> None:
    assert shared.seen_by(given) == {"evidence": 1}


def test_without_a_result_nothing_is_done() -> None:
    assert shared.seen_by(None) is None
    with pytest.raises(Blocked, match="no_evidence"):
        shared.evidence_of(None)


@pytest.mark.parametrize("task_id", ["decide", "enable_jobs", "quench_master", "repair_slave", "blocked", "report"])
def test_each_step_gets_its_result(parse: Callable[..., DagBag], task_id: str) -> None:
    task = parse().dags["denodo_scheduler_failover__default"].get_task(task_id)
    assert [(each.operator.task_id, each.key) for each in task.op_args] == [("ping_master", "return_value")]
