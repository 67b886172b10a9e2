"""What a failover and a switchover have in common: one try of one operation that changes the active server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from denodo_ha.record import Operation, Record, Role, Step
from denodo_ha.transitions import claim, resumed
from denodo_scheduler.steps.claim import LEASE, Claim, OperationClaim, unchanged
from denodo_scheduler.steps.context import Event, PairContext
from denodo_scheduler.steps.outcome import Blocked, NotYet
from denodo_scheduler.steps.promote.fence import Fence, fence

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Switch:
    """What a person asks for.

    :param to: the server that becomes active.
    :param accept_differences: that person knows that some jobs have another definition there, and wants those, and
        that jobs which the last sync could not deliver may be missing there.
    :param quiet_window: begin only while nothing runs on the active server and nothing is due within its window.
    :param not_ready: what the readiness check found before; the event tells it.
    :param stop: stop the jobs that have not ended at the pair's ``drain_timeout``; otherwise go back.
    """

    to: Role = Role.SLAVE
    accept_differences: bool = False
    quiet_window: bool = False
    stop: bool = False
    not_ready: tuple[str, ...] = ()


def begun(
    context: PairContext,
    permit: Claim,
    *,
    kind: Literal["failover", "switchover"],
    to: Role,
    operation_id: str,
    plan: str,
    why: str,
    alike: bool = False,
) -> Record:
    """Write the intent to make ``to`` the active server, before its first effect.

    :param permit: the right to begin. :param plan: the snapshot or stored list of the jobs that are to be enabled.
    :param alike: the two servers cannot be told apart while both are at rest.
    """
    target = context.servers.hook(to).address

    def change(record: Record) -> tuple[Record, Event]:
        now = context.now()
        intent = claim(
            record,
            kind=kind,
            to=to,
            operation_id=operation_id,
            target=target,
            plan=plan,
            now=now,
            lease=LEASE,
            alike=alike,
        )
        return intent, _begin(context, intent, record, why)

    return context.save(change, read=permit.check)


def taken_over(context: PairContext, judged: Record, operation_id: str) -> Record:
    """Go on with an operation whose task is dead, under a new id and in a new epoch.

    :param judged: the record by which that was decided; it must be unchanged.
    """

    def change(record: Record) -> tuple[Record, Event]:
        assert record.operation is not None
        taken = resumed(record, operation_id=operation_id, now=context.now(), lease=LEASE)
        return taken, _begin(context, taken, record, f"an interrupted {record.operation.kind} is resumed")

    return context.save(change, read=unchanged(context, judged, NotYet).check)


def _begin(context: PairContext, intent: Record, before: Record, why: str) -> Event:
    assert intent.operation is not None
    return context.event(
        f"{intent.operation.kind}_begun",
        intent,
        operation=intent.operation.id,
        before={"phase": before.phase, "active": before.active, "epoch": before.epoch},
        after={"phase": intent.phase, "active": intent.active},
        why=why,
        **({"drill_ended": before.operation.id} if before.operation and before.operation.kind == "drill" else {}),
    )


@dataclass
class Try:
    """One try of one operation: the record says how far it is, and every change asks it again.

    :param record: as this try has claimed it or taken it over, and last saved it.
    """

    context: PairContext
    record: Record
    claim: OperationClaim = field(init=False)

    def __post_init__(self) -> None:
        self.claim = OperationClaim(self.context, self.record)

    @property
    def operation(self) -> Operation:
        assert self.record.operation is not None
        return self.record.operation

    @property
    def step(self) -> Step:
        return self.operation.step

    @property
    def plan_id(self) -> str:
        assert self.operation.plan is not None
        return self.operation.plan

    def advance(self, step: Step) -> None:
        self.record = self.claim.advance(step)

    def fence(self, *, by_person: bool) -> Fence:
        """Fence the master, and keep the operation meanwhile; whether that is enough, :func:`not_fenced` says."""
        pair = self.context.pair
        if pair.failover.fence:
            self.claim.renew(pair.failover.fence_timeout + LEASE)
        fenced = fence(self.context, by_person=by_person)
        log.warning("Fencing %s: %s.", fenced.result, fenced.how)
        self.claim.check()
        return fenced

    def leave(self, kind: str, back: Callable[[Record], Record], why: str, **details: Any) -> dict[str, Any]:
        """Go back to the phase before the operation."""
        event, self.record = left(self.context, self.claim, kind, back, why, **details)
        return event


def not_fenced(context: PairContext, fenced: Fence) -> Blocked | None:
    """The pair requires a fence, and this one is not confirmed."""
    if context.pair.failover.fencing != "required" or fenced.result == "confirmed":
        return None
    return Blocked(
        "not_fenced",
        f"this pair requires fencing, and the fence is {fenced.result}: {fenced.how}",
        "make sure that the master cannot start again, then trigger the failover DAG with 'the master is "
        "fenced' ticked and a reason",
    )


def left(
    context: PairContext, permit: Claim, kind: str, back: Callable[[Record], Record], why: str, **details: Any
) -> tuple[dict[str, Any], Record]:
    """End the open operation without a change of the active server; the event, and the record as it was saved."""
    record = permit.check()
    assert record.operation is not None
    after = back(record)
    event = context.event(
        kind,
        after,
        operation=record.operation.id,
        before={"phase": record.phase, "active": record.active},
        after={"phase": after.phase, "active": after.active},
        why=why,
        **details,
    )
    return event, permit.save(back, event)
