"""Making sure that the passive server is passive, whatever became of the import."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from denodo_scheduler.ha.outcome import NothingToDo
from denodo_scheduler.ha.passive import hold, names, quench
from denodo_scheduler.ha.run import Plan, SyncRun

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

    def may_change() -> object:
        return run.current(plan)

    if operation and operation.in_flight(run.now()):
        found = hold(run, until=operation.lease_until, may_change=may_change, imported_by_us=True)
    else:
        found = quench(run, may_change=may_change, imported_by_us=operation is not None)
    events = []
    if found.disabled and operation is None:
        log.warning("Drift: somebody had enabled %d jobs on the slave: %s", len(found.disabled), names(found.disabled))
        events = [
            run.event(
                "quenched",
                record,
                before={"enabled": len(found.disabled)},
                after={"enabled": 0},
                jobs=names(found.disabled),
            )
        ]
    return Disabled(len(found.disabled), found.clean_at.isoformat(), events)
