"""Runs of a pair's DAGs without a running Airflow: the DAGs' own tasks, each with a context made here."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DagRunTriggerException,
    DownstreamTasksSkipped,
    TaskAwaitingInput,
    TaskDeferred,
)
from airflow.utils.types import DagRunType

from denodo_scheduler.dags.shared import snapshot_folder
from denodo_scheduler.state.record_store import RecordStore
from support.sync import MemoryState, lose_newest, lose_record, tamper

RETURN = "return_value"


@dataclass(frozen=True)
class End:
    """How a task ended: ``success``, ``skipped``, ``failed``, ``retried``, ``waits`` or ``upstream_failed``."""

    state: str
    error: BaseException | None = None

    @property
    def code(self) -> str:
        """Reason code of an end that is not success, or what was raised without one; empty for the other ends."""
        return str(getattr(self.error, "code", type(self.error).__name__)) if self.error else ""


@dataclass(frozen=True)
class Emitted:
    """An asset event. :param kind: of the DAG whose task emitted it. :param asset: name of the asset."""

    kind: str
    asset: str
    extra: dict[str, Any]


@dataclass
class PairAirflow:
    """What Airflow keeps of one pair.

    :param dags: its DAGs, by the word in their id.
    :param state: the state store of its asset. :param history: the events that were emitted, oldest first.
    :param runs: all runs so far.
    """

    dags: Mapping[str, DAG]
    state: MemoryState = field(default_factory=MemoryState)
    history: list[Emitted] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def begin(self, kind: str, *, by: DagRunType = DagRunType.MANUAL, after: str = "", **form: Any) -> Run:
        """A run that has not begun.

        :param after: the moment that it stands for; now if not given.
        """
        moment = datetime.fromisoformat(after) if after else datetime.now(UTC)
        run = Run(self, kind, self.dags[kind], by, f"{by.value}__{uuid4().hex[:8]}", moment, form)
        self.runs.append(run)
        return run

    def run(self, kind: str, before: Mapping[str, Callable[[Run], object]] | None = None, **asked: Any) -> Run:
        """A whole run. ``before`` maps a task to what happens right before it."""
        run = self.begin(kind, **asked)
        for task in run.dag.topological_sort():
            if run.due(task.task_id):
                (before or {}).get(task.task_id, lambda _: None)(run)
                run.task(task.task_id)
        return run

    @property
    def records(self) -> RecordStore:
        """Of the pair's HA record, read afresh."""
        macros = next(iter(self.dags.values())).user_defined_macros
        assert macros
        pair = macros["pair"]
        return RecordStore(self.state, snapshot_folder(pair) / pair.name)

    def changed(self, **fields: Any) -> None:
        """Have other fields in the HA record, as another run might."""
        record = self.records.load()
        assert record
        tamper(self.records, self.state, {**record.to_json(), **fields})

    def tamper(self, value: Any) -> None:
        tamper(self.records, self.state, value)

    def lose_record(self) -> None:
        lose_record(self.records, self.state)

    def lose_newest(self) -> None:
        lose_newest(self.records)


@dataclass
class Run:
    """One run of a DAG: its tasks share nothing but JSON."""

    pair: PairAirflow
    kind: str
    dag: DAG
    by: DagRunType
    run_id: str
    after: datetime
    form: dict[str, Any]
    cleared: datetime | None = None
    ends: dict[str, End] = field(default_factory=dict)
    xcoms: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    triggered: dict[str, dict[str, Any]] = field(default_factory=dict)
    _skipped: set[str] = field(default_factory=set)

    def due(self, task_id: str) -> bool:
        """Whether the trigger rule lets the task run; where not, it counts as skipped, or as one whose cause failed."""
        task = self.dag.get_task(task_id)
        states = {self.ends[before].state for before in task.upstream_task_ids}
        allowed = {"all_success": {"success"}, "none_failed": {"success", "skipped"}}.get(task.trigger_rule)
        if task_id not in self._skipped and (allowed is None or states <= allowed):
            return True
        failed = task_id not in self._skipped and states - {"success", "skipped"}
        self.ends[task_id] = End("upstream_failed" if failed else "skipped")
        return False

    def task(self, task_id: str, *, answer: dict[str, Any] | None = None) -> End:
        """Run one task.

        :param answer: what a person has answered to a task that waits.
        """
        task = self.dag.get_task(task_id).prepare_for_execution()
        ti = _TaskInstance(self, task)
        context = self._context(task, ti)
        task.render_template_fields(context)
        try:
            if task._pre_execute_hook and not answer:
                task._pre_execute_hook(context)
            result = task.execute_complete(context, answer) if answer else task.execute(context)
        except DownstreamTasksSkipped as skip:
            self._skipped |= {each[0] if isinstance(each, tuple) else each for each in skip.tasks}
            end = End("success")
        except TaskDeferred as deferred:
            ti.push_all(asyncio.run(_first_event(deferred.trigger)))
            end = End("success")
        except DagRunTriggerException as error:
            self.triggered[task_id] = {"dag": error.trigger_dag_id, "run_id": error.dag_run_id, "conf": error.conf}
            end = End("success")
        except (Exception, TaskAwaitingInput) as error:
            end = End(_state(error), error)
        else:
            ti.push_all({} if result is None else {RETURN: result})
            end = End("success")
        self.ends[task_id] = end
        return end

    def _context(self, task: Any, ti: _TaskInstance) -> dict[str, Any]:
        return {
            "dag": self.dag,
            "task": task,
            "ti": ti,
            "task_instance": ti,
            "run_id": self.run_id,
            "dag_run": SimpleNamespace(
                dag_id=self.dag.dag_id,
                run_id=self.run_id,
                run_type=self.by,
                run_after=self.after,
                clear_number=int(self.cleared is not None),
                start_date=self.cleared or self.after,
                conf=self.form,
                triggering_user_name="ana" if self.by is DagRunType.MANUAL else None,
            ),
            "params": self._params(),
            "asset_state_store": _Always(self.pair.state),
            "inlet_events": _Always(_Inlet(self.pair.history)),
            "outlet_events": _Always(_Outlet(self)),
        }

    def _params(self) -> dict[str, Any]:
        params = deepcopy(self.dag.params)
        params.update(self.form)
        return params.validate()


async def _first_event(trigger: Any) -> dict[str, Any]:
    """The XComs with which a trigger ends its task, as Airflow 3.3 stores them: a text of JSON."""
    async for event in trigger.run():
        return {name: json.dumps(value) for name, value in event.xcoms.items()}
    raise AssertionError("the trigger ended without an event")


def _state(error: BaseException) -> str:
    if isinstance(error, TaskAwaitingInput):
        return "waits"
    if isinstance(error, AirflowSkipException):
        return "skipped"
    return "failed" if isinstance(error, AirflowFailException) else "retried"


class _TaskInstance:
    """What the tasks use of Airflow's."""

    map_index = -1
    try_number = 1

    def __init__(self, run: Run, task: Any) -> None:
        self.id = uuid4()
        self.task, self.task_id = task, task.task_id
        self.dag_id, self.run_id = run.dag.dag_id, run.run_id
        self.max_tries = task.retries
        self._run = run

    def xcom_push(self, key: str, value: Any) -> None:
        self._run.xcoms[self.task_id][key] = json.loads(json.dumps(value, default=datetime.isoformat))

    def push_all(self, values: dict[str, Any]) -> None:
        for key, value in values.items():
            self.xcom_push(key, value)

    def xcom_pull(self, task_ids: str, key: str = RETURN, default: Any = None, **_: Any) -> Any:
        return self._run.xcoms[task_ids].get(key, default)

    def get_task_states(self, task_ids: list[str], **_: Any) -> dict[str, dict[str, str]]:
        return {self.run_id: {name: self._run.ends[name].state for name in task_ids if name in self._run.ends}}

    def get_first_reschedule_date(self, _: Any) -> None:
        return None


class _Always(dict[Any, Any]):
    """One value for every key."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __getitem__(self, _: Any) -> Any:
        return self._value


class _Outlet:
    def __init__(self, run: Run) -> None:
        self._run = run

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        self._run.pair.history.append(Emitted(self._run.kind, asset.name, json.loads(json.dumps(extra))))


class _Inlet:
    def __init__(self, history: list[Emitted]) -> None:
        self._history = history

    def ascending(self, _: bool) -> _Inlet:
        return self

    def limit(self, number: int) -> list[Emitted]:
        return self._history[::-1][:number]
