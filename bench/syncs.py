"""The steps of the sync DAG, one after the other, and what those of a failover need, without Airflow around them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow.sdk import ObjectStoragePath

from bench.stage import BenchError
from denodo_ha.pairs import Pair
from denodo_ha.sync_results import Imported
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.sensors.quiet_window import DenodoSchedulerQuietWindowSensor
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.sync import disable as quenching
from denodo_scheduler.steps.sync import export as exporting
from denodo_scheduler.steps.sync import guard as guarding
from denodo_scheduler.steps.sync import import_ as importing
from denodo_scheduler.steps.sync import verify as verifying


class _Memory:
    """An asset state store that forgets with the process."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self._values[key]) if key in self._values else default

    def set(self, key: str, value: Any) -> None:
        self._values[key] = json.dumps(value)


@dataclass
class Synced:
    """One sync: how long each task took in seconds, what it imported, if anything, and the event of its end."""

    seconds: dict[str, float] = field(default_factory=dict)
    imported: Imported | None = None
    event: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin


class Syncs:
    """The steps of the sync DAG in its order, each with hooks of its own as in a task of its own."""

    def __init__(self, folder: Path) -> None:
        self.pair = Pair(name="bench")
        self._records = RecordStore(_Memory())
        self._snapshots = SnapshotStore(ObjectStoragePath(f"file://{folder / 'snapshots'}"), self.pair.name)

    def run(self) -> Synced:
        """Sync once.

        :raises BenchError: the guard did not let it begin, or the master was not quiet.
        """
        done = Synced()
        with done.task("guard"):
            admission = guarding.guard(self.prepared(), operation_id=uuid4().hex, wanted=None)
        ticket = admission.ticket
        if ticket is None:
            raise BenchError(f"The guard stopped the sync: {admission.message}")
        with done.task("export_metadata"):
            exported = exporting.export(self.prepared(), ticket)
        with done.task("wait_for_quiet_window"):
            if not exported.unchanged:
                self._ensure_quiet()
        with done.task("import_metadata"):
            try:
                done.imported = importing.import_snapshot(self.prepared(), ticket, exported)
            except NothingToDo:
                done.imported = None
        with done.task("disable_jobs"):
            disabled = quenching.disable_jobs(self.prepared(), ticket)
        with done.task("verify"):
            done.event = verifying.verify(self.prepared(), ticket, exported, done.imported, disabled)
        return done

    def prepared(self) -> PairContext:
        """What a step needs, with hooks of its own."""
        return PairContext(
            pair=self.pair,
            records=self._records,
            snapshots=self._snapshots,
            master=DenodoSchedulerHook(self.pair.master),
            slave=DenodoSchedulerHook(self.pair.slave),
            actor="bench",
        )

    def _ensure_quiet(self) -> None:
        sensor = DenodoSchedulerQuietWindowSensor(
            task_id="wait_for_quiet_window",
            denodo_scheduler_conn_id=self.pair.master,
            window=self.pair.sync.quiet_window,
            margin=self.pair.sync.quiet_margin,
        )
        if not sensor.poke({}).is_done:
            raise BenchError("The master is not quiet, though its clock stands still at a quiet moment.")
