"""What a step of a pair works with: its two servers, its stores, who started it and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from denodo_ha.pairs import Pair
from denodo_ha.record import Record, RecordError
from denodo_ha.transitions import noted
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.outcome import Blocked
from denodo_scheduler.steps.servers import Servers


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class PairContext:
    """The pair as one task sees it; built anew in each task.

    :param actor: who or what started the run. :param reason: why, in that person's words.
    :param run_id: the DAG run.
    """

    pair: Pair
    records: RecordStore
    snapshots: SnapshotStore
    master: DenodoSchedulerHook
    slave: DenodoSchedulerHook
    actor: str = "schedule"
    reason: str = ""
    run_id: str = ""
    dry_run: bool = False
    now: Callable[[], datetime] = field(default=utc_now, repr=False)

    @property
    def servers(self) -> Servers:
        return Servers(self.pair, self.master, self.slave)

    def new_operation(self) -> str:
        """An id for what this try of a task is going to do; it begins with the id of the run."""
        return f"{self.run_id}/{uuid4().hex[:8]}"

    def is_of_this_run(self, operation_id: str) -> bool:
        return operation_id.startswith(f"{self.run_id}/")

    def record(self) -> Record:
        """Read the record, which an earlier step has made sure exists.

        :raises Blocked: there is none.
        :raises RecordError: it cannot be used by this version; another worker may be of the right one.
        """
        record = self.records.load()
        if record is None:
            raise Blocked(
                "record_lost",
                f"the HA record of the pair {self.pair.name} has vanished since this run began",
                "initialise the pair with its operations DAG, when you know which server is the active one",
            )
        return record

    def usable_record(self) -> Record:
        """Like :meth:`record`, where trying again would change nothing.

        :raises Blocked: there is none, or it cannot be used.
        """
        try:
            return self.record()
        except RecordError as error:
            raise Blocked(*error.reason) from None

    def save(self, record: Record, event: dict[str, Any] | None = None) -> Record:
        """Save the record together with the event that tells of the change. Nothing else writes the record."""
        return self.records.save(noted(record, event) if event else record)

    def move(self, record: Record, event: dict[str, Any]) -> Record:
        """Like :meth:`save`, for a new epoch or another active server, which the epoch file keeps too."""
        saved = self.save(record, event)
        self.snapshots.record_epoch(saved)
        return saved

    def begin(self, record: Record, before: Record, why: str) -> Record:
        """Write the intent of a failover or a switchover before its first effect."""
        assert record.operation is not None
        event = self.event(
            f"{record.operation.kind}_begun",
            record,
            operation=record.operation.id,
            before={"phase": before.phase, "active": before.active, "epoch": before.epoch},
            after={"phase": record.phase, "active": record.active},
            why=why,
        )
        return self.move(record, event)

    def event(self, kind: str, record: Record, **details: Any) -> dict[str, Any]:
        """An entry of the pair's history, to be attached to an asset event: plain JSON."""
        event = {
            "id": uuid4().hex,
            "kind": kind,
            "pair": self.pair.name,
            "epoch": record.epoch,
            "actor": self.actor,
            "reason": self.reason,
            "at": self.now().isoformat(),
            **details,
        }
        plain: dict[str, Any] = json.loads(json.dumps(event))
        return plain
