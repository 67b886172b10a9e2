"""The master is back while the slave is the active server: its jobs are disabled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from denodo_ha.decisions import Action
from denodo_ha.record import Phase, Record, Role
from denodo_ha.text import listed
from denodo_ha.verdict import Evidence
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairRun
from denodo_scheduler.steps.outcome import NothingToDo, NotYet
from denodo_scheduler.steps.passive import Quench, disable_all, ensure_distinct, suspects
from denodo_scheduler.steps.servers import answering
from denodo_scheduler.steps.watch.look import FailoverRun, judge

log = logging.getLogger(__name__)


def quench_now(run: PairRun, *, may_change: Callable[[], object]) -> Quench:
    """Disable the master's enabled jobs over any path that answers, and read back.

    :param may_change: called before each round of changes; raises when nothing may be changed any more.
    :raises Blocked: both paths lead to one and the same server. :raises NotYet: jobs stay enabled.
    """
    _, slave = answering(run, Role.SLAVE)

    def before(master: Statuses, first: bool) -> None:
        if first:
            ensure_distinct(run, master, slave)
        may_change()

    server, _ = answering(run, Role.MASTER)
    return disable_all(run, server, before=before)


def quench_master(run: FailoverRun, evidence: Evidence) -> dict[str, Any]:
    """Quench the returned master while the slave is active, and return the event.

    :raises NothingToDo: the situation is another one by now.
    :raises NotYet: jobs are enabled on both servers and the master's cannot be disabled; tried again.
    """
    judged = judge(run, evidence)
    if judged.decision.action is not Action.QUENCH_MASTER:
        raise NothingToDo("overtaken", f"by now the decision is {judged.decision.code}: {judged.decision.what}")
    assert judged.record is not None
    epoch = judged.record.epoch

    def own() -> Record:
        record = run.record()
        if (record.epoch, record.phase, record.operation) != (epoch, Phase.FAILED_OVER, None):
            raise NothingToDo("superseded", "the pair has moved on")
        return record

    try:
        found = quench_now(run, may_change=own)
    except (DenodoSchedulerError, NotYet) as error:
        raise NotYet(
            "split_brain",
            f"the slave is the active server, and the master's jobs cannot be disabled: {error}",
            "stop the master's Scheduler, or disable its jobs there; this is tried again",
        ) from None
    record = own()
    event = quenched_event(run, record, found, since=record.last_promotion.at if record.last_promotion else None)
    run.save(record, event)
    return event


def quenched_event(run: PairRun, record: Record, found: Quench, *, since: datetime | None) -> dict[str, Any]:
    """
    :param since: when the slave took over; what the master ran from then on may have run on both.
    """
    ran = suspects(run, since, found.statuses)
    if ran:
        log.error("Suspected double run: %s ran on the master.", listed(sorted(ran)))
    return run.event(
        "quenched",
        record,
        operation=record.operation.id if record.operation else None,
        server="master",
        before={"enabled": len(found.disabled)},
        after={"enabled": 0},
        jobs=listed(sorted(found.disabled)),
        suspected_double_runs=[str(key) for key in ran],
    )
