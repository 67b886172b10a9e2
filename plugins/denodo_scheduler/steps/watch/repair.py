"""The passive slave has enabled jobs while the master is active: they are disabled."""

from __future__ import annotations

import logging
from typing import Any

from denodo_ha.decisions import Action
from denodo_ha.record import close_operation
from denodo_ha.text import listed
from denodo_ha.verdict import Evidence
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.passive import quench, suspects
from denodo_scheduler.steps.watch.look import FailoverRun, judge

log = logging.getLogger(__name__)


def repair_slave(run: FailoverRun, evidence: Evidence) -> dict[str, Any]:
    """Disable what is enabled on the slave, close what a dead task left open, and return the event.

    A slave that is dirty stays dirty: only a sync makes it promotable again.

    :raises NothingToDo: the situation is another one by now.
    :raises Blocked: the master is not seen to be the active server. :raises NotYet: jobs stay enabled.
    """
    judged = judge(run, evidence)
    if judged.decision.action is not Action.REPAIR_SLAVE:
        raise NothingToDo("overtaken", f"by now the decision is {judged.decision.code}: {judged.decision.what}")
    record = judged.record
    assert record is not None

    def unchanged() -> None:
        if run.record() != record:
            raise NothingToDo("superseded", "the pair's record has changed meanwhile")

    found = quench(run, may_change=unchanged)
    unchanged()
    ours = record.dirty is not None
    since = record.dirty.since if record.dirty else record.snapshot.committed if record.snapshot else None
    ran = suspects(run, since, found.statuses)
    if ran:
        log.error("Suspected double run: %s ran on the slave.", listed(sorted(ran)))
    closed = close_operation(record)
    event = run.event(
        "repaired" if ours else "drift",
        closed,
        operation=record.operation.id if record.operation else None,
        before={"enabled": len(found.disabled)},
        after={"enabled": 0},
        jobs=listed(sorted(found.disabled)),
        suspected_double_runs=[str(key) for key in ran],
    )
    run.save(closed, event)
    return event
