"""One task that waits for a run of a job, without a running Airflow: its tries, its state store and its trigger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize

from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair, StandinServer
from denodo_ha.record import Record
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.operators.run_job import DenodoSchedulerRunJobOperator
from denodo_scheduler.sensors.job import DenodoSchedulerJobSensor
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.steps.active import JobTask
from support.sync import MemoryState, WorkerKilled, tamper

PAIR = "emea"


class TaskState(MemoryState):
    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class _Always(dict[Any, Any]):
    def __init__(self, value: Any) -> None:
        self.value = value

    def __getitem__(self, _: Any) -> Any:
        return self.value


@dataclass
class Task:
    """A task instance: a new operator for each time a worker runs it, as in Airflow.

    :param trigger: what it waits for, if it is deferred.
    """

    make: Callable[[], JobTask]
    asset_state: MemoryState
    store: TaskState = field(default_factory=TaskState)
    tries: int = 0
    trigger: Any = None
    operator: Any = None
    _resume: tuple[str, dict[str, Any]] = ("", {})

    @property
    def context(self) -> Any:
        return {
            "ti": SimpleNamespace(try_number=self.tries),
            "task_state_store": self.store,
            "asset_state_store": _Always(self.asset_state),
            "dag_run": SimpleNamespace(run_after=datetime(2026, 3, 2, tzinfo=UTC)),
        }

    def begin(self) -> Any:
        """A new try: until it is deferred, or its result."""
        self.tries += 1
        return self._work("execute", {})

    def _work(self, method: str, arguments: dict[str, Any]) -> Any:
        self.operator = self.make()
        self.operator.render_template_fields(self.context)
        try:
            result = getattr(self.operator, method)(self.context, **arguments)
        except TaskDeferred as deferred:
            path, stored = deferred.trigger.serialize()
            stored = deserialize(json.loads(json.dumps(serialize(stored))))
            assert isinstance(stored, dict)
            self.trigger = import_string(path)(**stored)
            self._resume = deferred.method_name, json.loads(json.dumps(deferred.kwargs or {}))
            return None
        assert json.loads(json.dumps(result)) == result
        self.trigger = None
        return result

    @property
    def pauses(self) -> bool:
        """Whether it waits for the HA record only."""
        return isinstance(self.trigger, DateTimeTrigger)

    def restart_triggerer(self) -> None:
        path, stored = self.trigger.serialize()
        self.trigger = import_string(path)(**stored)

    def event(self) -> dict[str, Any]:
        """What its trigger has to tell, as soon as it has."""
        if self.pauses:
            return {}

        async def first() -> dict[str, Any]:
            async for event in self.trigger.run():
                found: dict[str, Any] = json.loads(json.dumps(event.payload))
                return found
            raise AssertionError("the trigger has ended without an event")

        return asyncio.run(asyncio.wait_for(first(), allow(60)))

    def go_on(self, event: dict[str, Any] | None = None) -> Any:
        """Resume the task with what its trigger tells: until it is deferred again, or its result."""
        method, arguments = self._resume
        return self._work(method, {"event": event if event is not None else self.event(), **arguments})

    def finish(self) -> Any:
        """Go on to the end of the try."""
        while self.trigger is not None:
            if (result := self.go_on()) is not None:
                return result
        raise AssertionError("the task has no result")


@dataclass
class Scene:
    """Two servers, and what tests do to them and to the tasks."""

    servers: StandinPair
    folder: Path
    patch: pytest.MonkeyPatch
    asset_state: MemoryState = field(default_factory=MemoryState)
    begin: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.begin = {each.name: len(each.scheduler.journal()) for each in self.servers.servers}

    @property
    def master(self) -> StandinServer:
        return self.servers.master

    @property
    def slave(self) -> StandinServer:
        return self.servers.slave

    def run_job(self, job: str = "load", **arguments: Any) -> Task:
        where = {} if "pair" in arguments else {"denodo_scheduler_conn_id": "denodo_scheduler_master"}
        given = {"project": "sales", "job": job, "poke_interval": 0.05, **where, **arguments}
        return Task(lambda: DenodoSchedulerRunJobOperator(task_id="run", **given), self.asset_state)

    def wait_for_run(self, job: str = "load", **arguments: Any) -> Task:
        where = {} if "pair" in arguments else {"denodo_scheduler_conn_id": "denodo_scheduler_master"}
        given = {"project": "sales", "job": job, "poke_interval": 0.05, "timeout": allow(60), **where, **arguments}
        return Task(lambda: DenodoSchedulerJobSensor(task_id="wait", **given), self.asset_state)

    def pass_time(self, seconds: float = 5, server: StandinServer | None = None) -> None:
        (server or self.master).scheduler.clock(advance_seconds=seconds)

    def runs(self, job: str = "load", server: StandinServer | None = None) -> list[tuple[str, str | None]]:
        """How each run of a job was started, and its result, by the server's journal since the test began."""
        target = server or self.master
        journal = target.scheduler.journal(self.begin[target.name])
        return [(run["trigger"], run["result"]) for run in journal if run["job"] == job]

    def killing(self, *, sent: bool) -> None:
        """Kill the worker right before, or right after, it sends the next start."""
        real = DenodoSchedulerHook.set_jobs_status

        def killed(hook: DenodoSchedulerHook, *arguments: Any, **more: Any) -> int:
            self.patch.setattr(DenodoSchedulerHook, "set_jobs_status", real)
            if sent:
                real(hook, *arguments, **more)
            raise WorkerKilled

        self.patch.setattr(DenodoSchedulerHook, "set_jobs_status", killed)

    @property
    def records(self) -> RecordStore:
        return RecordStore(self.asset_state, ObjectStoragePath(f"file://{self.folder}/snapshots") / PAIR)

    def record(self, **changes: Any) -> None:
        """Have the HA record of the pair with these fields."""
        tamper(self.records, self.asset_state, {**Record().to_json(), **changes})

    def changing(self) -> None:
        """A failover is under way."""
        moment = datetime.now(UTC)
        operation = {
            "kind": "failover",
            "id": "a",
            "target": "b",
            "step": "claimed",
            "plan": "p",
            "started": moment.isoformat(),
            "lease_until": (moment + timedelta(hours=1)).isoformat(),
        }
        self.record(phase="failing_over", epoch=2, operation=operation)

    def failed_over(self) -> None:
        self.record(phase="failed_over", active="slave", epoch=2)


def killed(task: Task) -> None:
    """A try whose worker is killed in it."""
    with suppress(WorkerKilled):
        task.begin()
        raise AssertionError("the worker was not killed")
    assert task.trigger is None
