"""Making sure that the passive server is passive, whatever became of the import."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from denodo_ha.record import Record
from denodo_ha.text import listed
from denodo_scheduler.steps.context import Plan, SyncRun
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.passive import Quench, hold, quench, suspects

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Disabled:
    """:param disabled: number of jobs this step disabled. :param clean_at: when none was enabled any more, ISO 8601."""

    disabled: int
    clean_at: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"disabled": self.disabled, "clean_at": self.clean_at}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Disabled:
        return cls(value["disabled"], value["clean_at"])


def disable_jobs(run: SyncRun, plan: Plan) -> Disabled:
    """Disable every enabled job in scope on the passive server and read back; level-triggered.

    After an import of unknown end, keep on until the operation's lease is over.
    """
    if run.dry_run:
        raise NothingToDo("dry_run", "this is a dry run")
    record = run.current(plan)
    operation = record.operation

    ours = operation is not None and operation.target == run.slave.address

    if operation and operation.in_flight(run.now()):
        until = operation.lease_until
        found = hold(run, until=until, may_change=lambda: run.still_own(plan, until), imported_by_us=ours)
    else:
        found = quench(run, may_change=lambda: run.current(plan), imported_by_us=ours)
    drifted = bool(found.disabled) and operation is None
    events = [_drift(run, record, found)] if drifted else []
    return Disabled(len(found.disabled), found.clean_at.isoformat(), events)


def _drift(run: SyncRun, record: Record, found: Quench) -> dict[str, Any]:
    """The event of jobs that somebody had enabled on the passive server since the last commit."""
    log.warning(
        "Drift: somebody had enabled %d jobs on the slave: %s", len(found.disabled), listed(sorted(found.disabled))
    )
    ran = suspects(run, record.snapshot.committed if record.snapshot else None, found.statuses)
    if ran:
        log.error("Suspected double run: %s ran on the slave since the last sync.", listed(sorted(ran)))
    return run.event(
        "drift",
        record,
        before={"enabled": len(found.disabled)},
        after={"enabled": 0},
        jobs=listed(sorted(found.disabled)),
        suspected_double_runs=[str(key) for key in ran],
    )
