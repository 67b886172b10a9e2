"""Airflow's part in the DAGs of a pair, in this process: trigger rules, retries, XComs, asset events, and dead workers.

It runs the functions and operators of the DAGs as they are. The sync's wait lets the time pass, other sensors let
everything pass, and the ping looks at once.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.providers.standard.operators.python import BranchPythonOperator, ShortCircuitOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, ObjectStoragePath, TriggerRule
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DagRunTriggerException
from airflow.utils.types import DagRunType

from denodo_ha.verdict import Watch
from denodo_scheduler.client.probe import Looker
from denodo_scheduler.dags import shared
from denodo_scheduler.dags.failover import failover_dag
from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.switchover import switchover_dag
from denodo_scheduler.dags.sync import sync_dag
from denodo_scheduler.exceptions import ConfigurationError, DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.operators.ping_master import DenodoSchedulerPingMasterOperator
from denodo_scheduler.state.storage import StorageError
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NotYet
from support.machine_servers import MASTER, SLAVE
from support.sync import WorkerKilled

if TYPE_CHECKING:
    from support.events_world import EventWorld

DAGS = {"sync": sync_dag, "failover": failover_dag, "switchover": switchover_dag, "operations": operations_dag}
FAILED = ("failed", "upstream_failed")
EXPECTED = (DenodoSchedulerError, Blocked, NotYet, StorageError)
"""How a step may fail; anything else is a defect."""
HISTORY_SHOWN = 200
"""How many events Airflow shows a task that asks for so many."""

Between = Mapping[str, Callable[[], object]]


@dataclass
class DagRun:
    """One run: its tasks share nothing but JSON."""

    dag: DAG
    run_id: str
    run_type: DagRunType
    params: dict[str, Any]
    states: dict[str, str] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    xcoms: dict[tuple[str, str], str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    killed: bool = False

    def pull(self, task_ids: str, key: str = "return_value") -> Any:
        return json.loads(self.xcoms.get((task_ids, key), "null"))


@dataclass
class Airflow:
    """
    :param answer: what a person says who is asked for an approval.
    :param retries: False: when a worker is killed, its whole run is given up.
    """

    world: EventWorld
    dags: dict[str, DAG]
    history: list[dict[str, Any]] = field(default_factory=list)
    answer: str = ApprovalOperator.APPROVE
    retries: bool = True
    acting: DagRun | None = None
    _runs: int = 0

    def trigger(self, kind: str, run_type: DagRunType, *, between: Between | None = None, **params: Any) -> DagRun:
        """A whole run of a DAG of the pair.

        :param between: by task, what happens right before its first try.
        """
        dag = self.dags[kind]
        self._runs += 1
        given = {name: params.get(name, param.value) for name, param in dag.params.items()}
        run = DagRun(dag, f"{kind}__{self._runs}", run_type, given)
        for task in dag.topological_sort():
            if state := _by_trigger_rule(task, run):
                run.states[task.task_id] = state
                continue
            (between or {}).get(task.task_id, lambda: None)()
            run.states[task.task_id] = self._tried(task, run)
            if run.killed and not self.retries:
                break
        self.world.books.ended(run)
        return run

    def _tried(self, task: BaseOperator, run: DagRun) -> str:
        for left in range(task.retries, -1, -1):
            for key in [key for key in run.xcoms if key[0] == task.task_id]:
                del run.xcoms[key]
            run.errors.pop(task.task_id, None)
            try:
                with self.world.strike.process(), self._acting(run):
                    self._try(copy.copy(task), run, task.retries - left + 1)
                return "success"
            except WorkerKilled:
                run.killed = True
                if not self.retries:
                    return "failed"
            except AirflowSkipException as error:
                run.errors[task.task_id] = error
                return "skipped"
            except EXPECTED as error:
                run.errors[task.task_id] = error
                if isinstance(error, AirflowFailException | ConfigurationError):
                    return "failed"
            if left:
                self.world.network.advance(task.retry_delay)
        return "failed"

    @contextmanager
    def _acting(self, run: DagRun) -> Iterator[None]:
        self.acting = run
        try:
            yield
        finally:
            self.acting = None

    def _try(self, task: BaseOperator, run: DagRun, number: int) -> None:
        emitted: list[tuple[str, dict[str, Any]]] = []
        try:
            value = _execute(task, run, self._context(task, run, emitted, number), self.answer)
        except DagRunTriggerException:
            value = run.pull(task.task_id)
        if isinstance(task, DateTimeSensorAsync):
            self.world.wait_until(run.pull("export_metadata")["wait_until"])
        self.world.strike.moment("before it succeeds")
        run.xcoms[task.task_id, "return_value"] = json.dumps(value)
        _follow(task, run, value)
        for name, extra in emitted:
            if name == shared.Assets(self.world.pair).pair.name:
                event = json.loads(json.dumps(extra))
                self.history.append(event)
                self.world.books.emitted(event)

    def _context(
        self, task: BaseOperator, run: DagRun, emitted: list[tuple[str, dict[str, Any]]], number: int
    ) -> dict[str, Any]:
        world = self.world

        def push(key: str, value: Any) -> None:
            with world.strike.write(f"the XCom {key} is pushed"):
                run.xcoms[task.task_id, key] = json.dumps(value)

        def states(**_: Any) -> dict[str, dict[str, str]]:
            return {run.run_id: dict(run.states)}

        dag_run = SimpleNamespace(
            dag_id=run.dag.dag_id,
            run_id=run.run_id,
            run_type=run.run_type,
            run_after=world.network.now,
            start_date=world.network.now,
            clear_number=0,
            conf={},
            triggering_user_name="anna" if run.run_type is DagRunType.MANUAL else None,
        )
        return {
            "asset_state_store": _Any(world.state),
            "dag": run.dag,
            "dag_run": dag_run,
            "task": task,
            "inlet_events": _Any(_Shown(self.history)),
            "outlet_events": _Any(SimpleNamespace(add=lambda asset, extra: emitted.append((asset.name, extra)))),
            "params": run.params,
            "ti": SimpleNamespace(
                xcom_pull=run.pull,
                xcom_push=push,
                get_task_states=states,
                try_number=number,
                max_tries=task.retries,
            ),
        }


class _Any:
    """A mapping that has the same under every key."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getitem__(self, _: Any) -> Any:
        return self._value


class _Shown:
    """Asset events as a task reads them, newest first."""

    def __init__(self, history: Collection[dict[str, Any]]) -> None:
        self._history = history

    def ascending(self, _: bool) -> _Shown:
        return self

    def limit(self, number: int) -> Iterator[SimpleNamespace]:
        assert number == HISTORY_SHOWN
        return (SimpleNamespace(extra=event) for event in list(self._history)[::-1][:number])


def _by_trigger_rule(task: BaseOperator, run: DagRun) -> str | None:
    """How a task ends that is not run; None if it is."""
    if task.task_id in run.skipped:
        return "skipped"
    before = {run.states[each] for each in task.upstream_task_ids}
    if task.trigger_rule == TriggerRule.ALL_DONE:
        return None
    if before & {*FAILED}:
        return "upstream_failed"
    return "skipped" if task.trigger_rule == TriggerRule.ALL_SUCCESS and "skipped" in before else None


def _follow(task: BaseOperator, run: DagRun, value: Any) -> None:
    """What a branch or a short circuit leaves out."""
    if isinstance(task, BranchPythonOperator):
        run.skipped |= task.downstream_task_ids - ({value} if isinstance(value, str) else {*value})
    elif isinstance(task, ShortCircuitOperator) and not value:
        run.skipped |= task.get_flat_relative_ids(upstream=False)


class _Watched(Exception):
    """The watch of the ping is over, with this XCom."""

    def __init__(self, seen: Any) -> None:
        super().__init__()
        self.seen = seen


def _execute(task: Any, run: DagRun, context: dict[str, Any], answer: str) -> Any:
    if task._pre_execute_hook:
        task._pre_execute_hook(context)
    if isinstance(task, EmptyOperator | BaseSensorOperator | TriggerDagRunOperator):
        return None
    if isinstance(task, ApprovalOperator):
        task.watched = run.pull(task.watched.operator.task_id)
        task.execute(context)
        return task.execute_complete(context, {"chosen_options": [answer], "responded_by_user": {"name": "anna"}})
    if isinstance(task, DenodoSchedulerPingMasterOperator):
        try:
            task.execute(context)
        except _Watched as watched:
            return watched.seen
    return task.python_callable(*(run.pull(each.operator.task_id) for each in task.op_args), **context)


def _ping(world: EventWorld) -> dict[str, Any]:
    """What the triggerer does; the watch is over as soon as it has a verdict."""
    pair, network = world.pair, world.network
    watch = Watch(pair.watch.fall)
    with Looker(DenodoSchedulerHook(pair.master), DenodoSchedulerHook(pair.slave), second_path="auto") as looker:
        while (found := watch.add(replace(looker.look(), at=network.now))) is None:
            network.advance(pair.watch.probe_interval)
    second = network.reaches_tool(SLAVE) and network.reaches_server(SLAVE, MASTER)
    return {
        "ended_by": "confirmed",
        "evidence": found.to_json(),
        "second_good": network.now.isoformat() if second else "",
        "alive_since": None,
        "latencies": {},
    }


@contextmanager
def airflow_of(world: EventWorld) -> Iterator[None]:
    """The DAGs' clock is the world's, and nothing of Airflow but what is here is asked."""

    def now() -> datetime:
        return world.network.now

    def watch(*_: Any, **__: Any) -> None:
        raise _Watched(_ping(world))

    with (
        patch.object(shared, "PairContext", partial(PairContext, now=now)),
        patch.object(shared, "snapshot_folder", lambda _: ObjectStoragePath(f"file://{world.snapshots}")),
        patch.object(ExecutorSafeguard, "test_mode", True),
        patch.object(DenodoSchedulerPingMasterOperator, "watch", watch),
        patch.object(HITLOperator, "execute", lambda *_: None),
        patch.object(HITLOperator, "execute_complete", lambda _, context, event: event),
    ):
        yield
