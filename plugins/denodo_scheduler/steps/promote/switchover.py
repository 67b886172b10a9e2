"""Switchover and failback, break before make: drain the active server, read back, enable on the other one.

Until the first job is enabled on the other server whatever goes wrong leads back; after that there is only forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from denodo_ha.checks import alike_at_rest
from denodo_ha.preconditions import not_halted, not_paused
from denodo_ha.record import Record, Role, Step
from denodo_ha.snapshot.ids import new_id
from denodo_scheduler.steps.claim import LEASE, Claim
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, require
from denodo_scheduler.steps.promote.examine import ensure_may_begin, ensure_quiet, examine
from denodo_scheduler.steps.promote.fence import Down
from denodo_scheduler.steps.promote.operation import Switch, begun, taken_over
from denodo_scheduler.steps.promote.outlook import outlook
from denodo_scheduler.steps.promote.switching import Switching

__all__ = ["Switch", "check", "resume", "switch"]

_UNTOUCHED = "its task died before the first job was disabled"


def check(context: PairContext, wanted: Switch) -> dict[str, Any]:
    """May the switchover begin? Changes nothing.

    :return: what it would do, as JSON.
    :raises Blocked: a rule does not hold. :raises NotYet: another operation is under way, or a person edits jobs.
    """
    record = context.usable_record()
    ensure_may_begin(context, record, wanted.to)
    found = examine(context, record, wanted.to, accept_differences=wanted.accept_differences)
    return {**found.to_json(), **outlook(context, found)}


def switch(context: PairContext, wanted: Switch, *, epoch: int) -> dict[str, Any]:
    """Make ``wanted.to`` the active server, and return the event that tells of it.

    A retry takes the operation of its run over under a new id, so that a try that was believed dead changes nothing any
    more.

    :param epoch: the epoch in which the run was checked.
    :raises NothingToDo: the task is superseded.
    :raises Blocked: a rule does not hold, or the switchover was rolled back.
    :raises NotYet: the quiet window has closed, or the operation is not at its end; a retry goes on.
    """
    if context.dry_run:
        raise NothingToDo("dry_run", "this is a dry run; the plan is in the XCom of check")
    record = context.usable_record()
    if done := _done_by_earlier_try(context, record):
        return done
    operation = record.operation
    if operation and operation.kind == "switchover" and context.is_of_this_run(operation.id):
        require(not_halted(record) or not_paused(record, context.now()))
        earlier = _taken_over(context, record, wanted)
        if operation.step is not Step.CLAIMED:
            return _ended(earlier.run())
        earlier.give_up(_UNTOUCHED)
        epoch = earlier.record.epoch
    return _ended(_begin(context, wanted, epoch).run())


def _done_by_earlier_try(context: PairContext, record: Record) -> dict[str, Any] | None:
    """The event of an earlier try of this task, which died after its commit, if that is how the pair is still."""
    for event in record.outbox:
        changed = event.get("kind") in ("switchover", "failback") and event.get("epoch") == record.epoch
        if changed and context.is_of_this_run(event.get("operation") or ""):
            return event
    return None


def resume(
    context: PairContext, to: Role, *, down: Down | None = None, alive: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Take over a switchover whose task is dead, bring it to its end or back, and return the event.

    Jobs that run are waited for for :data:`~denodo_scheduler.steps.claim.LEASE` at most, because the master is not
    watched meanwhile, and none is stopped, because nobody is known to have chosen that.

    :param down: evidence, good enough for a failover, that the master, which was active, is down. Where it does not
        answer, it is fenced as in a failover, and taken to be at rest.
    :param alive: see :class:`Switching`.
    :raises NothingToDo: there is no such operation, or its task may still act. :raises NotYet: tried again.
    :raises Blocked: the pair requires a fence, which was not confirmed.
    """
    record = context.usable_record()
    operation = record.operation
    if operation is None or operation.kind != "switchover":
        raise NothingToDo("overtaken", "no switchover is open any more")
    if operation.open(context.now()) and not context.is_of_this_run(operation.id):
        raise NothingToDo("operation_open", "the task of the switchover may still act")
    require(not_halted(record) or not_paused(record, context.now()))
    switching = _taken_over(context, record, Switch(to), down=down, alive=alive, patience=LEASE)
    if operation.step is Step.CLAIMED:
        return switching.give_up(_UNTOUCHED)
    try:
        return switching.run()
    except Blocked:
        switching.claim.release()  # the run in which a person says that the master is fenced need not wait
        raise


def _taken_over(context: PairContext, record: Record, wanted: Switch, **more: Any) -> Switching:
    assert record.operation is not None
    last_sign = min(record.operation.lease_until, context.now())
    taken = taken_over(context, record, context.new_operation())
    return Switching(context, taken, wanted, last_sign=last_sign, **more)


def _begin(context: PairContext, wanted: Switch, epoch: int) -> Switching:
    """Look at everything again, right before; then store the enabled jobs and write the intent."""

    def rule(record: Record) -> Exception | None:
        if record.epoch != epoch:
            what = f"superseded: the pair is in epoch {record.epoch}, it belongs to {epoch}"
            return NothingToDo("superseded", what)
        ensure_may_begin(context, record, wanted.to)
        return None

    permit = Claim(context, rule)
    found = examine(context, permit.check(), wanted.to, accept_differences=wanted.accept_differences)
    if wanted.quiet_window:
        ensure_quiet(context.pair, found.statuses)
    list_id = new_id(context.now())
    context.snapshots.write_job_list(list_id, found.active.enabled)
    intent = begun(
        context,
        permit,
        kind="switchover",
        to=wanted.to,
        operation_id=context.new_operation(),
        plan=list_id,
        why=f"the {wanted.to} becomes the active server, as planned",
        alike=alike_at_rest(found.statuses.jobs, found.there.jobs),
    )
    return Switching(context, intent, wanted, found)


def _ended(event: dict[str, Any]) -> dict[str, Any]:
    if event["kind"] in ("switchover_given_up", "switchover_rolled_back"):
        raise Blocked(
            event["kind"].removeprefix("switchover_"),
            f"there was no switchover, the {event['after']['active']} is active as before: {event['why']}",
            "see to the cause, then trigger the switchover DAG again",
        )
    return event
