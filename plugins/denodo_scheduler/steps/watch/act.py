"""What is done about a master that is back, a slave that is not passive, and where nothing may be done."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, NoReturn

from denodo_ha.decisions import Action
from denodo_ha.jobs import JobKey
from denodo_ha.preconditions import drill_left
from denodo_ha.record import Phase, Record, Role, close_operation
from denodo_ha.transitions import halted
from denodo_ha.watching import HALTING
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.claim import Claim, of_epoch, unchanged
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.drill import end_interrupted
from denodo_scheduler.steps.outcome import Blocked, NotYet
from denodo_scheduler.steps.passive import AtRest, DisablingEvent, disable_all, ensure_two_servers, rest_passive
from denodo_scheduler.steps.watch.look import Case, still

log = logging.getLogger(__name__)


def demote_master(context: PairContext, claim: Claim, event: DisablingEvent) -> AtRest:
    """Disable the master's enabled jobs over any path that answers, and read back.

    :param event: is saved before the first change, if there is one.
    :raises Blocked: both paths lead to one and the same server. :raises NotYet: jobs stay enabled.
    """
    _, slave = context.servers.answering(Role.SLAVE)
    first = True

    def before(master: Statuses, keys: Sequence[JobKey]) -> None:
        nonlocal first
        if first:
            ensure_two_servers(context, master, slave)
        event.begin(claim, master, keys)
        claim.check()  # saving the event took its time
        first = False

    server, _ = context.servers.answering(Role.MASTER)
    return disable_all(context, server, before=before, by_definition=True)


def demotion_event(
    context: PairContext, operation: str | None, since: datetime | None, role: Role = Role.MASTER
) -> DisablingEvent:
    """The event of a server whose jobs are disabled because the other one is, or becomes, the active one.

    :param since: when the other one took over; what this one ran from then on may have run on both.
    """
    details = {"operation": operation, "server": role}
    if role is Role.SLAVE:
        return DisablingEvent(context, "drift", since, details)
    return DisablingEvent(context, "quenched", since, details)


def quench_master(case: Case) -> dict[str, Any]:
    """Disable the jobs of the returned master while the slave is active, close what a dead re-protect left open, and
    return the event.

    :raises NothingToDo: the situation is another one by now.
    :raises NotYet: jobs are enabled on both servers and the master's cannot be disabled; tried again.
    """
    record = still(case, Action.QUENCH_MASTER).record
    assert record is not None
    context = case.context
    claim = of_epoch(context, record, Phase.FAILED_OVER, while_paused=True)
    promotion = record.last_promotion
    event = demotion_event(context, None, (promotion.since or promotion.at) if promotion else None)
    try:
        found = demote_master(context, claim, event)
    except (DenodoSchedulerError, NotYet) as error:
        raise NotYet(
            "split_brain",
            f"the slave is the active server, and the master's jobs cannot be disabled: {error}",
            "stop the master's Scheduler, or disable its jobs there; this is tried again",
        ) from None
    complete = event.end(record, found)
    claim.save(close_operation, complete)
    return complete


def repair_slave(case: Case) -> dict[str, Any]:
    """Disable what is enabled on the slave, close what a dead task left open, and return the event. Of a drill that was
    interrupted it is the drill's own job only.

    A slave that is dirty stays dirty: only a sync makes it promotable again.

    :raises NothingToDo: the situation is another one by now.
    :raises Blocked: the master is not seen to be the active server. :raises NotYet: jobs stay enabled.
    """
    record = still(case, Action.REPAIR_SLAVE).record
    assert record is not None
    context, dirty, snapshot = case.context, record.dirty, record.snapshot
    if drill_left(record, context.now()):
        return end_interrupted(context, record)
    claim = unchanged(context, record)
    since = dirty.since if dirty else snapshot.committed if snapshot else None
    operation = record.operation.id if record.operation else None
    event = DisablingEvent(context, "repaired" if dirty else "drift", since, {"operation": operation})

    def tell(statuses: Statuses, keys: Sequence[JobKey]) -> None:
        event.begin(claim, statuses, keys)

    after_import = dirty is not None or record.operation is not None
    found = rest_passive(context, Role.SLAVE, claim, ours=False, tell=tell, after_import=after_import)
    complete = event.end(record, found)
    drilling = record.operation is not None and record.operation.kind == "drill"
    claim.save((lambda latest: latest) if drilling else close_operation, complete)  # a drill ends by itself
    return complete


def block(case: Case) -> NoReturn:
    """Fail with the reason and the next step; halt the pair where the decision is one of :data:`HALTING`.

    :raises Blocked: always, unless the situation has changed; then NothingToDo.
    """
    judged = still(case, Action.BLOCKED)
    decision, record = judged.decision, judged.record
    if record and decision.code in HALTING and record.phase is not Phase.HALTED:
        _halt(case.context, record, *decision.reason)
    raise Blocked(*decision.reason)


def _halt(context: PairContext, record: Record, code: str, what: str, next_step: str) -> None:
    stop = partial(halted, now=context.now(), code=code, reason=what, by=context.actor)
    event = context.event(
        "halted",
        record,
        before={"phase": record.phase},
        after={"phase": Phase.HALTED},
        code=code,
        what=what,
        next_step=next_step,
    )
    unchanged(context, record).save(stop, event)  # reading both servers took its time
