"""One attempt of a step: the pair, its two servers, its stores and what the person who started it asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from denodo_ha.pairs import Pair
from denodo_ha.record import Record, Role, refusal, superseded
from denodo_ha.transitions import noted
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.outcome import Blocked, NothingToDo

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Plan:
    """What the guard let through: later tasks act only while this still describes the pair."""

    operation_id: str
    epoch: int
    base_snapshot: str | None

    def to_json(self) -> dict[str, Any]:
        return {"operation_id": self.operation_id, "epoch": self.epoch, "base_snapshot": self.base_snapshot}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        return cls(value["operation_id"], value["epoch"], value["base_snapshot"])


@dataclass(frozen=True)
class PairRun:
    """Everything a step needs; built anew in each task.

    :param actor: who or what started it. :param reason: why, in that person's words.
    :param run_id: the DAG run.
    :param initialise: a person declares the master to be the active server.
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
    initialise: bool = False
    now: Callable[[], datetime] = field(default=utc_now, repr=False)

    def record(self) -> Record:
        """Read the record, which an earlier step has made sure exists."""
        record = self.records.load()
        if record is None:
            raise Blocked(
                "record_lost",
                f"the HA record of the pair {self.pair.name} has vanished since this run began",
                "initialise the pair with its operations DAG, when you know which server is the active one",
            )
        return record

    def save(self, record: Record, event: dict[str, Any] | None = None) -> Record:
        """Save the record and, in the same breath, the event that tells of the change."""
        return self.records.save(noted(record, event) if event else record)

    def move(self, record: Record, event: dict[str, Any]) -> Record:
        """Like :meth:`save`, for a record of a new epoch or of another active server, which the witness keeps too."""
        saved = self.save(record, event)
        self.snapshots.testify(saved)
        return saved

    def begin(self, record: Record, before: Record, why: str) -> Record:
        """Write the intent of an operation, of a failover or a switchover, before its first effect."""
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


@dataclass(frozen=True)
class SyncRun(PairRun):
    """What a sync needs besides.

    :param accept_mass_change: a person has looked at the mass change and wants it.
    """

    accept_mass_change: bool = False

    def current(self, plan: Plan) -> Record:
        """Read the record afresh, right before a change.

        :raises NothingToDo: it belongs to another epoch, operation or snapshot by now, or the pair was paused or halted
            before this run began to change anything; what it has begun it brings to an end.
        """
        record = self.record()
        if record.slave not in (None, self.slave.address):
            raise Blocked(
                "slave_changed",
                f"the connection {self.pair.slave} leads to {self.slave.address} now, and to {record.slave} before",
                "correct the connection; nothing was changed by this task",
            )
        why = superseded(record, operation_id=plan.operation_id, epoch=plan.epoch, base_snapshot=plan.base_snapshot)
        if why:
            raise NothingToDo("superseded", f"this task belongs to the past: {why}")
        refused = refusal(record, self.now())
        if refused and record.operation is None:
            code, what, next_step = refused
            raise NothingToDo(code, f"{what}. Next: {next_step}")
        return record

    def own(self, plan: Plan) -> Record:
        """Like :meth:`current`, after this run's import was begun: its operation must still be open.

        :raises NothingToDo: another run has closed it, because its lease was over.
        """
        record = self.current(plan)
        if record.operation is None:
            raise NothingToDo("superseded", "this task belongs to the past: another run has closed its operation")
        return record

    def still_own(self, plan: Plan, until: datetime) -> None:
        """Like :meth:`own`, but a record that cannot be read does not forbid anything before ``until``.

        Until the end of its lease nobody else takes an operation over, and the slave must be disabled even while
        Airflow's own database is away.
        """
        self._unless_unreadable(lambda: self.own(plan), until)

    def still_passive(self, plan: Plan, until: datetime) -> None:
        """Like :meth:`still_own` after something was sent: whoever owns the pair now, the jobs that it woke must rest.

        :raises NothingToDo: the slave has become the active server.
        """

        def check() -> None:
            record = self.record()
            if (record.epoch, record.active) != (plan.epoch, Role.MASTER):
                raise NothingToDo("slave_active", "the slave has become, or is becoming, the active server")

        self._unless_unreadable(check, until)

    def _unless_unreadable(self, check: Callable[[], object], until: datetime) -> None:
        try:
            check()
        except (Blocked, NothingToDo):
            raise
        except Exception as error:
            if self.now() >= until:
                raise
            log.warning("The HA record cannot be read (%s); this operation's lease still holds.", error)
