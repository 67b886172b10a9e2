"""The sync's steps in the order and with the trigger rules of its DAG, without Airflow's machinery around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow.sdk import ObjectStoragePath

from denodo_demo.standin import StandinPair
from denodo_ha.pairs import Pair
from denodo_ha.record import Record
from denodo_scheduler.ha import exporting, guarding, importing, quenching, verifying
from denodo_scheduler.ha.outcome import NothingToDo
from denodo_scheduler.ha.run import Plan, SyncRun
from denodo_scheduler.ha.stores import RECORD_KEY, RecordStore, SnapshotStore
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook


class MemoryState:
    """What Airflow's asset state store does: an upsert of JSON values."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


@dataclass
class Outcome:
    """How each task of a run ended: its result, the exception that failed or skipped it, or nothing if not run."""

    verdict: guarding.Verdict | None = None
    exported: exporting.Exported | None = None
    imported: importing.Imported | None = None
    disabled: quenching.Disabled | None = None
    event: dict[str, Any] | None = None
    errors: dict[str, Exception] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(isinstance(error, NothingToDo) for error in self.errors.values())

    def message(self, task: str) -> str:
        return str(self.errors[task])


@dataclass
class Sync:
    """Runs the tasks of the sync DAG in its order and with its trigger rules."""

    servers: StandinPair
    state: MemoryState
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)

    def pair(self, **options: Any) -> Pair:
        quick = {"quiet_window": "2s", "quiet_margin": 0, "lease": "6s", "import_timeout": "2s", "schedule": None}
        return Pair.model_validate({"name": "test", **quick, **self.options, **options})

    def prepared(self, *, pair: dict[str, Any] | None = None, **asked: Any) -> SyncRun:
        chosen = self.pair(**(pair or {}))
        return SyncRun(
            pair=chosen,
            records=RecordStore(self.state),
            snapshots=SnapshotStore(ObjectStoragePath(f"file://{self.folder}"), chosen.name),
            master=DenodoSchedulerHook(chosen.master),
            slave=DenodoSchedulerHook(chosen.slave),
            **asked,
        )

    @property
    def record(self) -> Record:
        return Record.from_json(self.state.get(RECORD_KEY))

    def run(
        self,
        *,
        pair: dict[str, Any] | None = None,
        wanted: datetime | None = None,
        between: dict[str, Callable[[], object]] | None = None,
        **asked: Any,
    ) -> Outcome:
        """One whole run. ``between`` maps a task to what happens right before it; tasks share nothing but JSON."""
        run = self.prepared(pair=pair, **asked)
        out = Outcome()

        def step(task: str, action: Callable[[], Any]) -> Any:
            (between or {}).get(task, lambda: None)()
            try:
                return action()
            except Exception as error:
                out.errors[task] = error
                return None

        out.verdict = step("guard", lambda: guarding.guard(run, operation_id=f"run/{uuid4().hex}", wanted=wanted))
        if out.verdict is None or out.verdict.plan is None:
            return out
        plan = Plan.from_json(json.loads(json.dumps(out.verdict.plan.to_json())))
        out.exported = step("export_metadata", lambda: exporting.export(run, plan))
        if out.exported:
            exported = exporting.Exported.from_json(json.loads(json.dumps(out.exported.to_json())))
            out.imported = step("import_metadata", lambda: importing.import_snapshot(run, plan, exported))
        out.disabled = step("disable_jobs", lambda: quenching.disable_jobs(run, plan))
        if out.exported and out.disabled and out.ok:
            imported = out.imported
            out.event = step("verify", lambda: verifying.verify(run, plan, exported, imported, out.disabled))
        return out
