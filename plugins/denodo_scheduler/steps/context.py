"""What a step of a pair works with: its two servers, its stores, who started it and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from denodo_ha.pairs import Pair
from denodo_ha.preconditions import look_and_initialise
from denodo_ha.reason import Reason
from denodo_ha.record import Record, RecordError
from denodo_ha.told import with_text
from denodo_ha.transitions import noted
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore, Superseded
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.outcome import Blocked, NotYet
from denodo_scheduler.steps.permit import Permit
from denodo_scheduler.steps.servers import Servers

Event = dict[str, Any]
Change = Callable[[Record], tuple[Record, Event | None]]
SAVES = 20
"""How often a change is made anew because another task has saved the record."""


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
    permit: Permit = field(default_factory=Permit, repr=False)

    def __post_init__(self) -> None:
        for hook in (self.master, self.slave):
            hook.permit = self.permit

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

    def without_record(self) -> Reason:
        """Why the pair has no record: it has not begun, or one was lost, since an earlier sync has left snapshots."""
        if left := self.snapshots.newest():
            return Reason(
                "record_lost",
                f"the pair {self.pair.name} has no HA record, and {self.snapshots.location(left)} is the snapshot of "
                "an earlier sync: its record was lost, or was left behind when the snapshots were moved",
                "bring the folder of the record back; if that is not possible, "
                f"{look_and_initialise(self.pair.dag_id_operations)}",
            )
        return Reason(
            "not_initialised",
            f"the pair {self.pair.name} has no HA record yet, so it cannot fail over",
            look_and_initialise(self.pair.dag_id_operations),
        )

    def usable_record(self) -> Record:
        """Like :meth:`record`, where trying again would change nothing.

        :raises Blocked: there is none, or it cannot be used.
        """
        try:
            return self.record()
        except RecordError as error:
            raise Blocked(*error.reason) from None

    def save(self, change: Change, *, read: Callable[[], Record] | None = None) -> Record:
        """Change the record as it is now. Where another task was faster, read again and change what that one has saved.

        Nothing else writes the record, but for :meth:`create`.

        :param change: gives the changed record, and the event that is saved with it.
        :param read: reads the record, and raises where this task may not change it any more.
        :raises NotYet: other tasks are always faster.
        """
        read = read or self.record
        for _ in range(SAVES):
            before = read()
            changed, event = change(before)
            after = noted(changed, event) if event else changed
            if after == before:
                return before
            with suppress(Superseded):
                return self.records.save(after)
        raise NotYet("record_busy", f"{SAVES} times in a row another task has saved the HA record", "try again later")

    def create(self, record: Record, event: dict[str, Any]) -> Record:
        """Save a record where there is none that could be changed.

        :raises NotYet: another task has saved one meanwhile.
        """
        try:
            return self.records.save(noted(record, event))
        except Superseded:
            what = f"another task has saved the HA record of the pair {self.pair.name} meanwhile"
            raise NotYet("record_busy", what, "look at the pair, and try again if that is still right") from None

    def event(self, kind: str, record: Record, **details: Any) -> dict[str, Any]:
        """An entry of the pair's history with its sentence, to be attached to an asset event: plain JSON."""
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
        return with_text(json.loads(json.dumps(event)))
