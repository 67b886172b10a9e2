"""The steps of the sync DAG, one after the other, and what those of a failover need, without Airflow around them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow.sdk import ObjectStoragePath

from bench.stage import BenchError
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.pairs import Pair
from denodo_ha.record import Role
from denodo_ha.sync_results import Imported
from denodo_ha.transitions import learned
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.sync import disable as quenching
from denodo_scheduler.steps.sync import export as exporting
from denodo_scheduler.steps.sync import guard as guarding
from denodo_scheduler.steps.sync import import_ as importing
from denodo_scheduler.steps.sync import verify as verifying


class Memory:
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

    @property
    def whole(self) -> float:
        """Seconds of all tasks, which is until the commit."""
        return sum(self.seconds.values())

    @property
    def waits_for_moment(self) -> bool:
        """Whether jobs are left to the next sync because their moments are too far away."""
        pending = self.imported.pending if self.imported else []
        return any(each["reason"]["code"] in ("waits_for_moment", "deferred") for each in pending)


class Syncs:
    """The steps of the sync DAG in its order, each with hooks of its own as in a task of its own."""

    def __init__(
        self,
        folder: Path,
        pair: Pair | None = None,
        *,
        mirror: Memory | None = None,
        records: type[RecordStore] = RecordStore,
    ) -> None:
        """:param mirror: in place of Airflow's state store. :param records: how the record is kept."""
        self.pair = (pair or Pair(name="bench")).with_sync(initialise="automatic")
        self._mirror, self._records = mirror or Memory(), records
        self._folder = ObjectStoragePath(f"file://{folder / 'snapshots'}") / self.pair.name
        self._snapshots = SnapshotStore(ObjectStoragePath(f"file://{folder / 'snapshots'}"), self.pair.name)

    def learn(self, known: Capabilities) -> None:
        """Note in the record what the slave can, as if earlier syncs had found it out."""
        self._admitted(reprotect=False)
        context = self.prepared()
        version = context.slave.me().version
        learnt = known.model_copy(update={"version": version})
        context.save(lambda record: (learned(record, Role.SLAVE, learnt), None))

    def run(self, *, reprotect: bool = False, deliver_now: bool = False) -> Synced:
        """Sync once.

        :raises BenchError: the guard did not let it begin.
        """
        done = Synced()
        with done.task("guard"):
            ticket = self._admitted(reprotect=reprotect)
        with done.task("export_metadata"):
            exported = exporting.export(self.prepared(), ticket, deliver_now=deliver_now)
        with done.task("wait_for_quiet_window"):
            if exported.wait_until:
                moment = datetime.fromisoformat(exported.wait_until)
                time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
        with done.task("import_metadata"), suppress(NothingToDo):
            done.imported = importing.import_snapshot(self.prepared(), ticket, exported, deliver_now=deliver_now)
        with done.task("disable_jobs"):
            disabled = quenching.disable_jobs(self.prepared(), ticket)
        with done.task("verify"):
            done.event = verifying.verify(self.prepared(), ticket, exported, done.imported, disabled)
        return done

    def prepared(self) -> PairContext:
        """What a step needs, with hooks of its own."""
        return PairContext(
            pair=self.pair,
            records=self._records(self._mirror, self._folder),
            snapshots=self._snapshots,
            master=DenodoSchedulerHook(self.pair.master),
            slave=DenodoSchedulerHook(self.pair.slave),
            actor="bench",
        )

    def _admitted(self, *, reprotect: bool) -> SyncTicket:
        admission = guarding.guard(self.prepared(), operation_id=uuid4().hex, wanted=None, reprotect=reprotect)
        if admission.ticket is None:
            raise BenchError(f"The guard stopped the sync: {admission.message}")
        return admission.ticket
