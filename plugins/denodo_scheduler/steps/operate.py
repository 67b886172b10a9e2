"""What people do to a pair: pause and resume its automation, acknowledge, halt and release, and initialise it.

None of it touches a server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from denodo_ha.jobs import JobKey
from denodo_ha.record import NewerRecordError, Phase, Record, RecordError, Role
from denodo_ha.text import listed
from denodo_ha.transitions import acknowledged, halted, initialised, paused, released, unpaused
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairRun
from denodo_scheduler.steps.outcome import Blocked
from denodo_scheduler.steps.passive import enabled_jobs, ensure_distinct
from denodo_scheduler.steps.servers import answering

log = logging.getLogger(__name__)

Operation = Literal["pause", "resume", "acknowledge", "halt", "release", "initialise"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

_INITIALISE = "look which server has enabled jobs, then initialise the pair with this DAG"


@dataclass(frozen=True)
class OperateRun(PairRun):
    """What a person asks for.

    :param until: when a pause ends by itself. :param active: of ``initialise``: the server that is the active one.
    """

    until: datetime | None = None
    active: Role | None = None


@dataclass(frozen=True)
class Done:
    """What has become of it; ``event`` is None where nothing was to be changed."""

    what: str
    event: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {"changed": self.event is not None, "what": self.what, "event": self.event}


def operate(run: OperateRun, operation: Operation) -> Done:
    """Do what the person asks for.

    :raises Blocked: it makes no sense; nothing was changed.
    """
    if not run.reason.strip():
        raise Blocked("reason_missing", "there is no reason", "trigger the DAG again and say why; it is kept")
    done = _initialise(run) if operation == "initialise" else _STEPS[operation](run, _record(run))
    log.info("%s", done.what)
    return done


def _record(run: OperateRun) -> Record:
    try:
        record = run.records.load()
    except RecordError as error:
        newer = isinstance(error, NewerRecordError)
        raise Blocked("record_unusable", error.what, error.next_step if newer else _INITIALISE) from None
    if record is None:
        raise Blocked(
            "not_initialised",
            f"the pair {run.pair.name} has no HA record",
            "run the sync DAG once, or initialise the pair if you know which server is the active one",
        )
    return record


def _saved(run: OperateRun, kind: str, what: str, before: dict[str, Any], after: dict[str, Any], new: Record) -> Done:
    event = run.event(kind, new, before=before, after=after)
    run.save(new, event)
    return Done(what, event)


def _pause(run: OperateRun, record: Record) -> Done:
    now = run.now()
    if run.until is not None and run.until <= now:
        raise Blocked("until_past", f"'until' is {run.until.isoformat()}, which is past", "choose a time in the future")
    new = paused(record, now=now, reason=run.reason, by=run.actor, until=run.until)
    until = run.until.isoformat() if run.until else None
    what = f"Automation is paused until {until or 'somebody resumes it'}; it goes on observing."
    return _saved(run, "paused", what, {"paused": record.is_paused(now)}, {"paused": True, "until": until}, new)


def _resume(run: OperateRun, record: Record) -> Done:
    if record.paused is None:
        return Done("The pair is not paused. Nothing was changed.")
    before = {"paused": record.is_paused(run.now()), "since": record.paused.since.isoformat()}
    return _saved(run, "resumed", "Automation goes on.", before, {"paused": False}, unpaused(record))


def _acknowledge(run: OperateRun, record: Record) -> Done:
    if record.acknowledged and record.cool_down_until is None:
        return Done("There is no failover to be acknowledged. Nothing was changed.")
    cool_down = record.cool_down_until.isoformat() if record.cool_down_until else None
    what = "The last failover is acknowledged, its cool-down is over: the pair may fail over again."
    before = {"acknowledged": record.acknowledged, "cool_down_until": cool_down}
    after = {"acknowledged": True, "cool_down_until": None}
    return _saved(run, "acknowledged", what, before, after, acknowledged(record))


def _halt(run: OperateRun, record: Record) -> Done:
    if record.phase is Phase.HALTED:
        return Done("The pair is halted already. Nothing was changed.")
    new = halted(record, now=run.now(), code="by_hand", reason=run.reason, by=run.actor)
    what = "The pair is halted: nothing is changed on either server until somebody releases it."
    return _saved(run, "halted", what, {"phase": record.phase}, {"phase": new.phase}, new)


def _release(run: OperateRun, record: Record) -> Done:
    if record.halted is None:
        return Done("The pair is not halted. Nothing was changed.")
    witness = run.snapshots.witness()
    if witness and witness.contradicts(record):
        raise Blocked(
            "record_contradicted",
            f"the HA record is older than it was: the pair has been in epoch {witness.epoch} with the {witness.active} "
            "as the active server, so it would be halted again",
            _INITIALISE,
        )
    new = released(record)
    what = f"The pair is released, and in phase {new.phase} again."
    return _saved(run, "released", what, {"phase": record.phase, "code": record.halted.code}, {"phase": new.phase}, new)


_STEPS: dict[str, Callable[[OperateRun, Record], Done]] = {
    "pause": _pause,
    "resume": _resume,
    "acknowledge": _acknowledge,
    "halt": _halt,
    "release": _release,
}


# -- initialise


def _initialise(run: OperateRun) -> Done:
    """Make a fresh record by that person's word, in an epoch greater than any known one."""
    active = run.active
    if active is None:
        raise Blocked("active_missing", "it is not said which server is the active one", "choose it under 'active'")
    old, known = _old_record(run)
    _ensure_nothing_in_flight(run, old)
    enabled = _ensure_agrees(run, active)
    witness = run.snapshots.witness()
    new = initialised(
        old,
        active=active,
        epoch=witness.epoch if witness else 0,
        master=run.master.address,
        slave=run.slave.address,
        now=run.now(),
        by=run.actor,
    )
    event = run.event(
        "initialised",
        new,
        before=known,
        after={"phase": new.phase, "active": new.active, "epoch": new.epoch},
        enabled={role: None if keys is None else len(keys) for role, keys in enabled.items()},
    )
    run.move(new, event)
    done = Done(
        f"The {active} is the active server by your word, in epoch {new.epoch}; the slave is not synced.", event
    )
    log.warning("%s", done.what)
    return done


def _old_record(run: OperateRun) -> tuple[Record | None, dict[str, Any]]:
    """The record so far, and what the event says of it. One that cannot be read is none."""
    try:
        old = run.records.load()
    except NewerRecordError as error:
        raise Blocked("record_unusable", error.what, error.next_step) from None
    except RecordError as error:
        return None, {"record": error.what}
    if old is None:
        return None, {"record": "none"}
    return old, {"phase": old.phase, "active": old.active, "epoch": old.epoch}


def _ensure_nothing_in_flight(run: OperateRun, old: Record | None) -> None:
    if old and old.operation and old.operation.open(run.now()):
        raise Blocked(
            "operation_open",
            f"the task of the {old.operation.kind} {old.operation.id} may still change a server",
            f"wait for its end, at the latest {old.operation.lease_until:%Y-%m-%d %H:%M:%S} UTC",
        )


def _ensure_agrees(run: OperateRun, active: Role) -> dict[Role, set[JobKey] | None]:
    """Refuse what the servers contradict; returns their enabled jobs, None for one that does not answer.

    Whatever is enabled on the other server only would be disabled by the next look at the pair, and nobody would know
    any more that it had run.
    """
    if run.master.address == run.slave.address:
        raise Blocked(
            "same_server",
            f"the connections {run.pair.master} and {run.pair.slave} name the same Scheduler server",
            f"correct host, port or scheduler_uri of {run.pair.slave}",
        )
    seen = {role: _statuses(run, role) for role in Role}
    master, slave = seen[Role.MASTER], seen[Role.SLAVE]
    if master and slave:
        ensure_distinct(run, master, slave)
    enabled = {
        role: None if statuses is None else {job.key for job in enabled_jobs(run, statuses)}
        for role, statuses in seen.items()
    }
    ours = enabled[active]
    if ours is None:
        raise Blocked(
            "active_unreachable",
            f"the {active} cannot be read, so nobody can tell whether its jobs are enabled",
            "repair it or its connection first",
        )
    theirs = enabled[Role.SLAVE if active is Role.MASTER else Role.MASTER] or set()
    if only := sorted(theirs - ours):
        raise Blocked(
            "active_disagrees",
            f"{len(only)} jobs are enabled on the other server and not on the {active} ({listed(only, 20)}); as the "
            "passive server it would have them disabled, and they would run nowhere",
            f"choose the other server, or enable these jobs on the {active}, or disable them on the other one by hand",
        )
    return enabled


def _statuses(run: OperateRun, role: Role) -> Statuses | None:
    try:
        return answering(run, role)[1]
    except DenodoSchedulerError as error:
        log.warning("The %s cannot be read: %s", role, error)
        return None
