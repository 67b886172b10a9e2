"""The changes of the HA record when the active server changes: each function is one arrow of the state diagram.

Like those of :mod:`denodo_ha.record` they return a new record. A forbidden transition is an ``AssertionError``, since
the decisions of :mod:`denodo_ha.decisions` never lead to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.doctor.scratch import Scratch
from denodo_ha.doubts import still_meant
from denodo_ha.drill import AGAIN, GAVE_WAY, Drill, Drilled
from denodo_ha.jobs import JobKey
from denodo_ha.reason import Reason
from denodo_ha.record import (
    Approval,
    Dirty,
    Halt,
    Operation,
    Pause,
    PendingJob,
    Phase,
    Promotion,
    Record,
    Role,
    Step,
    SyncProblem,
    close_operation,
)

TRANSITIONS: tuple[tuple[Phase, Phase, str], ...] = (
    (Phase.NORMAL, Phase.FAILING_OVER, "failover, or switchover to the slave, begins: new epoch"),
    (Phase.FAILING_OVER, Phase.NORMAL, "given up before the first job was enabled on the slave"),
    (Phase.FAILING_OVER, Phase.FAILED_OVER, "the slave's jobs were read back enabled"),
    (Phase.FAILED_OVER, Phase.FAILING_BACK, "failback begins: new epoch"),
    (Phase.FAILING_BACK, Phase.FAILED_OVER, "given up before the first job was enabled on the master"),
    (Phase.FAILING_BACK, Phase.NORMAL, "the master's jobs were read back enabled"),
    (Phase.NORMAL, Phase.HALTED, "halted"),
    (Phase.FAILING_OVER, Phase.HALTED, "halted"),
    (Phase.FAILED_OVER, Phase.HALTED, "halted"),
    (Phase.FAILING_BACK, Phase.HALTED, "halted"),
    (Phase.HALTED, Phase.NORMAL, "released, or initialised with the master active"),
    (Phase.HALTED, Phase.FAILING_OVER, "released"),
    (Phase.HALTED, Phase.FAILED_OVER, "released, or initialised with the slave active"),
    (Phase.HALTED, Phase.FAILING_BACK, "released"),
)
"""All changes of phase: from, to, and when."""

_ARROWS = {(start, end) for start, end, _ in TRANSITIONS}
UNKNOWN = "unknown"
"""The outcome in an event that is saved before the change, until the change was read back."""
OUTBOX = 100
"""How many events wait in the record at most; the oldest are dropped first."""


def _moved(record: Record, start: Phase, end: Phase, **changes: Any) -> Record:
    assert record.phase is start, f"the pair is in phase {record.phase}, not {start}"
    assert (start, end) in _ARROWS, f"no transition leads from {start} to {end}"
    return record.model_copy(update={"phase": end, **changes})


def noted(record: Record, event: dict[str, Any]) -> Record:
    """Put an event into the record's outbox; it replaces the event of the same id that was not complete."""
    others = (each for each in record.outbox if each["id"] != event["id"])
    return record.model_copy(update={"outbox": (*others, event)[-OUTBOX:]})


def is_told(event: dict[str, Any], extra: Mapping[str, Any]) -> bool:
    """Whether the history's ``extra`` is this event, and as complete."""
    return all(event.get(name) == extra.get(name) for name in ("id", "after", "orphans"))


def under_way(event: dict[str, Any], now: datetime, lease: timedelta) -> bool:
    """Whether the task that saved the event before its change may still complete it."""
    outcome = (event.get("after") or {}).get("enabled"), (event.get("orphans") or {}).get("deleted")
    return UNKNOWN in outcome and bool(event.get("at")) and now - datetime.fromisoformat(event["at"]) <= lease


def claim(
    record: Record,
    *,
    kind: Literal["failover", "switchover"],
    to: Role,
    operation_id: str,
    target: str,
    plan: str,
    now: datetime,
    lease: timedelta,
    alike: bool = False,
) -> Record:
    """Note the intent to make ``to`` the active server, in a new epoch, before its first effect."""
    operation = Operation(
        kind=kind,
        id=operation_id,
        target=target,
        step=Step.CLAIMED,
        started=now,
        lease_until=now + lease,
        plan=plan,
        alike=alike,
    )
    over = to is Role.SLAVE
    start, end = (Phase.NORMAL, Phase.FAILING_OVER) if over else (Phase.FAILED_OVER, Phase.FAILING_BACK)
    record = _without_drill(record, kind, now)
    return _moved(record, start, end, epoch=record.epoch + 1, operation=operation, approval=None)


def _without_drill(record: Record, kind: str, now: datetime) -> Record:
    """End a drill that is under way, or was interrupted: its job is one of those that are enabled now."""
    if record.drill is None or record.drill.ended:
        return record
    why = Reason(GAVE_WAY, f"a {kind} has begun, which it does not hold up", AGAIN)
    return record.model_copy(update={"drill": record.drill.ended_at(now, why)})


def resumed(record: Record, *, operation_id: str, now: datetime, lease: timedelta) -> Record:
    """Take over an operation whose lease is over, under a new id and a new epoch."""
    assert record.operation is not None
    operation = record.operation.model_copy(update={"id": operation_id, "lease_until": now + lease})
    return record.model_copy(update={"epoch": record.epoch + 1, "operation": operation})


def advanced(record: Record, step: Step, plan: str | None = None) -> Record:
    """Note how far the open operation goes from here on.

    :param plan: a new list of the jobs to be enabled, if it is another one than before.
    """
    assert record.operation is not None
    changes = {"step": step, **({"plan": plan} if plan else {})}
    return record.model_copy(update={"operation": record.operation.model_copy(update=changes)})


def renewed(record: Record, until: datetime) -> Record:
    """Prolong the lease of the open operation."""
    assert record.operation is not None
    return record.model_copy(update={"operation": record.operation.model_copy(update={"lease_until": until})})


def given_up(record: Record) -> Record:
    """Return to the phase before the claim; nothing was changed on either server."""
    assert record.operation is not None
    assert record.operation.step is Step.CLAIMED
    return _back(record)


def rolled_back(record: Record) -> Record:
    """Return to the phase before a switchover that has disabled jobs, which were read back enabled again."""
    assert record.operation is not None
    assert record.operation.step is Step.DISABLING
    return _back(record)


def _back(record: Record) -> Record:
    over = record.active is Role.MASTER
    start, end = (Phase.FAILING_OVER, Phase.NORMAL) if over else (Phase.FAILING_BACK, Phase.FAILED_OVER)
    return _moved(close_operation(record), start, end)


def promoted(
    record: Record,
    *,
    now: datetime,
    cool_down: timedelta | None,
    left: str | None = None,
    behind: tuple[PendingJob, ...] = (),
    since: datetime | None = None,
    heard: datetime | None = None,
) -> Record:
    """Note that the slave is the active server.

    :param left: the stored list of planned jobs that were not read back enabled, if there are any.
    :param behind: the jobs that it lacks or runs in an older definition.
    :param since: where the master was not seen at rest: the earliest moment at which a job may have been enabled.
    :param heard: of a failover: when the master was heard last.
    :param cool_down: after a failover: how long no other may follow, and a person has to acknowledge it. None after a
        switchover, which a person began.
    """
    assert record.operation is not None
    assert record.operation.plan is not None
    assert record.operation.kind != "sync"
    promotion = Promotion(
        id=record.operation.id,
        kind=record.operation.kind,
        at=now,
        plan=record.operation.plan,
        complete=left is None,
        left=left,
        since=since,
        heard=heard,
    )
    return _moved(
        close_operation(record),
        Phase.FAILING_OVER,
        Phase.FAILED_OVER,
        active=Role.SLAVE,
        last_promotion=promotion,
        pending=behind,
        doubts=still_meant(record, behind, Role.SLAVE),
        sync_problem=None,
        cool_down_until=now + cool_down if cool_down else record.cool_down_until,
        acknowledged=cool_down is None,
    )


def completed(record: Record, left: str | None = None) -> Record:
    """Note that jobs that the last promotion could not enable are enabled now.

    :param left: the stored list of those that are not, if there are any.
    """
    assert record.last_promotion is not None
    update = {"complete": left is None, "left": left}
    return record.model_copy(update={"last_promotion": record.last_promotion.model_copy(update=update)})


def failed_back(record: Record, *, now: datetime, behind: tuple[PendingJob, ...] = ()) -> Record:
    """Note that the master is the active server again. The slave cannot be promoted before a sync has ended.

    :param behind: the jobs that it lacks or runs in an older definition.
    """
    dirty = Dirty(since=now, reason="handed back to the master, not synced yet")
    return _moved(
        close_operation(record),
        Phase.FAILING_BACK,
        Phase.NORMAL,
        active=Role.MASTER,
        sync_problem=None,
        dirty=dirty,
        pending=behind,
        doubts=still_meant(record, behind, Role.MASTER),
        acknowledged=True,
    )


def drill_begun(record: Record, drill: Drill, *, target: str, lease: timedelta) -> Record:
    """Note the intent of a drill, before its first effect. No other kind of operation waits for it but by its lease."""
    assert record.phase is Phase.NORMAL
    return _drilling(record.model_copy(update={"drill": drill}), drill.id, drill.at, target, drill.at + lease)


def drill_resumed(record: Record, *, operation_id: str, now: datetime, lease: timedelta) -> Record:
    """Take over a drill whose task is dead, under a new id. Its epoch stays, since the active server does."""
    assert record.drill is not None
    assert record.operation is not None
    return _drilling(record, operation_id, record.operation.started, record.operation.target, now + lease)


def _drilling(record: Record, operation_id: str, started: datetime, target: str, until: datetime) -> Record:
    step = record.operation.step if record.operation else Step.CLAIMED
    operation = Operation(kind="drill", id=operation_id, target=target, step=step, started=started, lease_until=until)
    return record.model_copy(update={"operation": operation})


def drill_enables(record: Record, key: JobKey) -> Record:
    """Note, before it is enabled, which job a drill enables now."""
    assert record.drill is not None
    left = tuple(each for each in record.drill.left if each != key)
    return record.model_copy(update={"drill": record.drill.model_copy(update={"job": key, "left": left})})


def drill_saw(record: Record, seen: Drilled | None) -> Record:
    """Note that the job of a drill was read back disabled, and what was ``seen``; None: it is to be drilled again."""
    drill = record.drill
    assert drill is not None
    assert record.operation is not None
    left, done = drill.left, drill.done
    if seen:
        left, done = tuple(each for each in left if each != seen.key), (*done, seen)
    elif drill.job:
        left = (drill.job, *left)
    update = {"job": None, "left": left, "done": done}
    operation = record.operation.model_copy(update={"step": Step.CLAIMED})
    return record.model_copy(update={"operation": operation, "drill": drill.model_copy(update=update)})


def drill_ended(record: Record, *, now: datetime, reason: Reason | None = None) -> Record:
    """Close a drill whose jobs are all disabled. :param reason: why that is before its last job."""
    assert record.drill is not None
    return close_operation(record).model_copy(update={"drill": record.drill.ended_at(now, reason)})


def halted(record: Record, *, now: datetime, code: str, reason: str, by: str) -> Record:
    """Stop all automation until a person releases the pair."""
    if record.phase is Phase.HALTED:
        return record
    halt = Halt(since=now, code=code, reason=reason, by=by, phase=record.phase)
    return _moved(record, record.phase, Phase.HALTED, halted=halt)


def released(record: Record) -> Record:
    """Return to the phase before the halt."""
    assert record.halted is not None
    return _moved(record, Phase.HALTED, record.halted.phase, halted=None)


def paused(record: Record, *, now: datetime, reason: str, by: str, until: datetime | None) -> Record:
    return record.model_copy(update={"paused": Pause(since=now, reason=reason, by=by, until=until)})


def unpaused(record: Record) -> Record:
    return record.model_copy(update={"paused": None})


def learned(record: Record, role: Role, capabilities: Capabilities) -> Record:
    """Note what was learned of a server as the target of a sync."""
    return record.model_copy(update={"capabilities": {**record.capabilities, role: capabilities}})


def trying(record: Record, scratch: Scratch) -> Record:
    """Note which scratch projects a doctor has, before the first is made, and how long it keeps others away."""
    return record.model_copy(update={"scratch": scratch})


def tidied(record: Record) -> Record:
    """Note that no scratch project is left."""
    return record.model_copy(update={"scratch": None})


def sync_failed(record: Record, problem: SyncProblem) -> Record:
    """Note why a sync has failed; ``since`` is kept from the first of the failures in a row."""
    since = record.sync_problem.since if record.sync_problem else problem.since
    return record.model_copy(update={"sync_problem": problem.model_copy(update={"since": since})})


def acknowledged(record: Record) -> Record:
    """Note that a person has acknowledged the last failover."""
    return record.model_copy(update={"acknowledged": True, "cool_down_until": None})


def approval_asked(record: Record, *, by: str, until: datetime) -> Record:
    return record.model_copy(update={"approval": Approval(requested_by=by, until=until)})


def approval_given(record: Record, *, by: str, until: datetime) -> Record:
    asked = record.approval.requested_by if record.approval else by
    return record.model_copy(update={"approval": Approval(requested_by=asked, until=until, granted_by=by)})


def initialised(
    old: Record | None,
    *,
    active: Role,
    epoch: int,
    master: str,
    slave: str,
    now: datetime,
    by: str,
    version: int = 0,
) -> Record:
    """Make a fresh record as a person says, in a new epoch; nothing is promotable before the next sync.

    Scratch projects of a doctor on a server that is none of the pair any more are forgotten.

    :param epoch: the greatest epoch known so far. :param version: the newest version so far.
    """
    scratch = old.scratch if old else None
    if scratch and scratch.target != {Role.MASTER: master, Role.SLAVE: slave}[Role(scratch.role)]:
        scratch = None
    plan = Promotion(id=f"initialised by {by}", kind="switchover", at=now, plan="", complete=True)
    return Record(
        phase=Phase.NORMAL if active is Role.MASTER else Phase.FAILED_OVER,
        active=active,
        epoch=max(epoch, old.epoch if old else 0) + 1,
        master=master,
        slave=slave,
        dirty=Dirty(since=now, reason="initialised by hand, not synced yet"),
        snapshot=old.snapshot if old else None,
        paused=old.paused if old else None,
        doubts=still_meant(old, (), active) if old else (),
        scratch=scratch,
        last_promotion=None if active is Role.MASTER else plan,
        version=version,
        exclusive=old.exclusive if old else True,
        drill=old.drill if old and old.drill and old.drill.ended else None,
        outbox=old.outbox if old else (),
    )
