"""Who may act, and why: a task's right to change a server or the record of its pair.

Every change is preceded by :meth:`Claim.check`, which reads the record afresh and asks the one rule that gave the task
its right. The rules are all on this page:

==========================  =============================================================================
rule                        the record must still say
==========================  =============================================================================
:func:`unchanged`           all that it said when it was judged, but for what a doctor has or learned
:func:`undisturbed`         the same, whatever a drill, which gives way to a failover, has noted meanwhile, and
                            a doctor has begun no import
:func:`of_epoch`            the same epoch and phase, and no operation has begun or ended
:func:`current_sync`        the epoch and snapshot from which the sync began, and no operation of another run; a run
                            that only looks has no right, whatever the record says
:func:`own_sync`            the same, and the operation of this sync is open
:func:`passive_target`      the same epoch, with the source of the sync as the active server
:class:`OperationClaim`     the failover, switchover or drill of this very try, within its lease
:class:`DoctorClaim`        the scratch projects of this very doctor, within their lease, the same epoch and phase, and
                            no operation: it yields to each that begins, and to what a sync has brought;
                            the same epoch and phase suffice to disable what its import has woken
==========================  =============================================================================
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from denodo_ha.preconditions import OPERATIONS_DAG, other, sync_may_begin
from denodo_ha.reason import Reason
from denodo_ha.record import Phase, Record, Role, Step, importing, superseded
from denodo_ha.transitions import advanced, renewed, trying
from denodo_scheduler.steps.context import Event, PairContext
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet

log = logging.getLogger(__name__)

Rule = Callable[[Record], Exception | None]
"""Why a task must not act on this record any more, as the exception that ends it; None if it may."""

LEASE = timedelta(minutes=2)
"""How long no other task takes a failover, switchover or drill over after its last sign of life; longer than any of its
requests."""


@dataclass
class Claim:
    """A right that holds as long as ``rule`` has nothing against it.

    :param trusted_until: until then a record that cannot be read forbids nothing: the lease of the task's operation
        keeps others away, and jobs must be disabled even while Airflow's own database is away.
    """

    context: PairContext
    rule: Rule
    trusted_until: datetime | None = None

    def check(self) -> Record:
        """Read the record afresh, right before a change.

        :raises NothingToDo: the right has passed to another task, or the pair has moved on.
        :raises Blocked: a person has stopped the pair, or the record is gone.
        """
        began = time.monotonic()
        record = self.context.record()
        if refused := self.rule(record):
            raise refused
        self._allow(record, began)
        return record

    def _allow(self, record: Record, began: float) -> None:
        """Let requests be sent by this right.

        :param began: when the look at the record began, by the monotonic clock.
        """
        self.context.permit.looked(self, began, self._lease(record))

    def _lease(self, record: Record) -> float | None:
        """How many seconds nobody else takes over what gives the right; None where that is no operation."""
        return None

    def prolong(self, seconds: float) -> None:
        """Look again, and keep others away for so many seconds and more."""
        self.ensure()

    def ensure(self) -> None:
        """Like :meth:`check`, but a record that cannot be read forbids nothing before ``trusted_until``."""
        try:
            self.check()
        except (Blocked, NothingToDo, NotYet):
            raise
        except Exception as error:
            if self.trusted_until is None or self.context.now() >= self.trusted_until:
                raise
            log.warning("The HA record cannot be read (%s); the lease of this operation still holds.", error)
            self.context.permit.looked(self, time.monotonic(), None)

    def trusted(self, until: datetime) -> Claim:
        return Claim(self.context, self.rule, until)

    def save(self, change: Callable[[Record], Record], event: Event | None = None) -> Record:
        """Change the record as it is now, if this task still may."""
        began = time.monotonic()
        saved = self.context.save(lambda record: (change(record), event), read=self.check)
        self._allow(saved, began)
        return saved


_NOTED: dict[str, Any] = {"outbox": (), "version": 0, "scratch": None, "capabilities": {}}
"""What may change meanwhile: what has been told, and what a doctor has or has learned, which disturbs no one."""


def unchanged(context: PairContext, judged: Record, error: type[NothingToDo] | type[NotYet] = NothingToDo) -> Claim:
    """Nothing that concerns anybody else has changed since the record was judged."""

    def rule(record: Record) -> Exception | None:
        if record.model_copy(update=_NOTED) == judged.model_copy(update=_NOTED):
            return None
        return error("superseded", "the pair's record has changed since it was judged", "this task looks again")

    return Claim(context, rule)


def undisturbed(context: PairContext, judged: Record) -> Claim:
    """Like :func:`unchanged`, for a failover: what a drill notes is no change, unless it disables its job.

    That a doctor has sent an import is one: it is waited for, as that of a sync.
    """

    def seen(record: Record) -> Record:
        operation = record.operation
        drilling = operation is not None and operation.kind == "drill" and operation.step is not Step.DISABLING
        noted = {**_NOTED, "scratch": record.scratch is not None and record.scratch.importing, "drill": None}
        return record.model_copy(update={**noted, **({"operation": None} if drilling else {})})

    def rule(record: Record) -> Exception | None:
        if seen(record) == seen(judged):
            return None
        return NothingToDo("superseded", "the pair's record has changed since it was judged", "this task looks again")

    return Claim(context, rule)


def of_epoch(context: PairContext, judged: Record, phase: Phase, *, while_paused: bool) -> Claim:
    """No other change has begun since the record was judged; what a dead re-protect has left open is none.

    :param while_paused: whether a pause of the automation leaves the right.
    """

    def rule(record: Record) -> Exception | None:
        if (record.epoch, record.phase, record.operation) != (judged.epoch, phase, judged.operation):
            return NothingToDo("superseded", "the pair has moved on")
        if not while_paused and record.is_paused(context.now()):
            return NothingToDo("paused", "automation was paused meanwhile")
        return None

    return Claim(context, rule)


# -- a sync


@dataclass(frozen=True)
class SyncTicket:
    """What the guard let through: later tasks act only while it still describes the pair.

    :param source: the active server, which is copied; the other one is the target.
    :param version: the target's version when the guard asked it.
    :param to_begin: of a pair that had no record: the run only looks, and this is what a person does to begin. It stays
        so if a person begins meanwhile.
    """

    operation_id: str
    epoch: int
    base_snapshot: str | None
    source: Role = Role.MASTER
    version: str = ""
    to_begin: str = ""

    @property
    def target(self) -> Role:
        return other(self.source)

    @property
    def looks(self) -> Reason | None:
        """Why the run only looks; None if it does more."""
        what = "the pair had no HA record when this run began, so it only looks, and changes neither server"
        return Reason("not_initialised", what, self.to_begin) if self.to_begin else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SyncTicket:
        """Read what ``to_json`` wrote; raise ValueError for anything else."""
        return TypeAdapter(cls).validate_python(value)


def only_looks(context: PairContext, ticket: SyncTicket) -> Reason | None:
    """Why the run changes nothing; None if it is a sync."""
    if context.dry_run:
        return Reason("dry_run", "this is a dry run; the plan is in the XCom of export_metadata")
    return ticket.looks


def current_sync(context: PairContext, ticket: SyncTicket) -> Claim:
    """The record belongs to the epoch, operation and snapshot from which the sync began, and the target is the same.

    A pause or halt ends it only before it has begun to change anything; what it has begun it brings to an end.

    :raises NothingToDo: the run only looks.
    """
    if looks := only_looks(context, ticket):
        raise NothingToDo(*looks)

    def rule(record: Record) -> Exception | None:
        role = ticket.target
        before, now = getattr(record, role), context.servers.hook(role).address
        if before not in (None, now):
            return Blocked(
                f"{role}_changed",
                f"the connection {getattr(context.pair, role)} leads to {now} now, and to {before} before",
                "correct the connection; nothing was changed by this task",
            )
        if (drill := record.operation) and drill.kind == "drill" and drill.open(context.now()):
            return NothingToDo("operation_open", f"the drill {drill.id} is not at its end", "the next run syncs")
        why = superseded(
            record, operation_id=ticket.operation_id, epoch=ticket.epoch, base_snapshot=ticket.base_snapshot
        )
        if why:
            return NothingToDo("superseded", f"superseded by a newer run: {why}")
        reason = sync_may_begin(record, context.now(), ticket.source)
        return NothingToDo(*reason) if reason and record.operation is None else None

    return Claim(context, rule)


class _Leased(Claim):
    """A right that comes from an open operation, whose lease keeps others away."""

    def _lease(self, record: Record) -> float | None:
        operation = record.operation
        return (operation.lease_until - self.context.now()).total_seconds() if operation else None


class _OwnSync(_Leased):
    def prolong(self, seconds: float) -> None:
        until = self.context.now() + timedelta(seconds=seconds) + LEASE
        self.save(partial(importing, until=until))


def own_sync(context: PairContext, ticket: SyncTicket) -> Claim:
    """Like :func:`current_sync`, after the import was begun: its operation must still be open."""
    current = current_sync(context, ticket).rule

    def rule(record: Record) -> Exception | None:
        if refused := current(record):
            return refused
        if record.operation is None:
            return NothingToDo("superseded", "superseded by another run, which has closed the operation of this one")
        return None

    return _OwnSync(context, rule)


def passive_target(context: PairContext, ticket: SyncTicket) -> Claim:
    """Whoever owns the pair now, the jobs that an import has woken must be disabled, unless the target is active."""

    def rule(record: Record) -> Exception | None:
        if (record.epoch, record.active) == (ticket.epoch, ticket.source):
            return None
        return NothingToDo(
            f"{ticket.target}_active", f"the {ticket.target} has become, or is becoming, the active server"
        )

    return Claim(context, rule)


# -- a failover, switchover or drill


class OperationClaim(_Leased):
    """The right of one try of a failover, switchover or drill; it lasts for a lease, which each change prolongs."""

    def __init__(self, context: PairContext, record: Record) -> None:
        assert record.operation is not None
        self.kind, self.id, self.epoch = record.operation.kind, record.operation.id, record.epoch
        super().__init__(context, self._refused)

    def _refused(self, record: Record) -> Exception | None:
        if record.epoch != self.epoch or record.operation is None or record.operation.id != self.id:
            return NothingToDo("superseded", f"another task has taken this {self.kind} over, or ended it")
        resumed = f"the failover DAG then {'ends' if self.kind == 'drill' else 'resumes'} the {self.kind}"
        if record.phase is Phase.HALTED:
            how = f"see to the cause, then release the pair with {OPERATIONS_DAG}: {resumed}"
            return Blocked("halted", f"the pair was halted in the middle of a {self.kind}", how)
        if self.kind == "failover" and record.is_paused(self.context.now()):
            what = "automation was paused in the middle of a failover"
            return Blocked("paused_midway", what, f"resume the pair with {OPERATIONS_DAG}: {resumed}")
        if record.operation.open(self.context.now()):
            return None
        what = "this task slept longer than its lease"
        if self.kind == "failover":
            return NothingToDo("lease_over", f"{what}; the next run resumes the failover")
        return NotYet("lease_over", what, f"a retry resumes the {self.kind}")

    def renew(self, time: timedelta = LEASE) -> Record:
        """Prolong the lease."""
        until = self.context.now() + time
        return self.save(lambda record: renewed(record, until))

    def prolong(self, seconds: float) -> None:
        self.renew(timedelta(seconds=seconds) + LEASE)

    def advance(self, step: Step, plan: str | None = None) -> Record:
        """Note, right before a change, that it is coming, and prolong the lease.

        :param plan: a new list of the jobs to be enabled, if it is another one than before.
        """
        until = self.context.now() + LEASE
        return self.save(lambda record: advanced(renewed(record, until), step, plan))

    def release(self) -> None:
        """End the lease of a try that has ended in an orderly way, so that the next one need not wait for it."""
        now = self.context.now()

        def ended(record: Record) -> tuple[Record, None]:
            own = record.operation is not None and record.operation.id == self.id
            return (renewed(record, now) if own else record), None

        self.context.save(ended)


# -- a doctor


class DoctorClaim(Claim):
    """The right of a doctor, or of what cleans up after one, to change the scratch projects that the record names."""

    def __init__(self, context: PairContext, record: Record) -> None:
        assert record.scratch is not None
        self.id, self.epoch, self.phase = record.scratch.id, record.epoch, record.phase
        self.synced = record.snapshot, record.dirty
        super().__init__(context, self._refused)

    def _refused(self, record: Record) -> Exception | None:
        if record.scratch is None or record.scratch.id != self.id:
            return NotYet("superseded", "another task has cleaned up after this doctor", "run the doctor again")
        if (record.epoch, record.phase) != (self.epoch, self.phase):
            return NotYet("superseded", "the pair has moved on, so nothing more is tried out", "run the doctor again")
        later = "the next doctor or sync deletes its scratch projects"
        if record.operation:
            return NotYet("operation_open", f"a {record.operation.kind} has begun, to which the doctor yields", later)
        if (record.snapshot, record.dirty) != self.synced:
            return NotYet("superseded", "a sync has changed the server meanwhile", later)
        if self.context.now() >= record.scratch.lease_until:
            return NotYet("lease_over", "this doctor slept longer than its lease", later)
        return None

    def _lease(self, record: Record) -> float | None:
        scratch = record.scratch
        return (scratch.lease_until - self.context.now()).total_seconds() if scratch else None

    def resting(self) -> Claim:
        """The right to disable what its import has woken; nothing ends it but another epoch or phase.

        :raises Blocked: by its :meth:`check`.
        """

        def rule(record: Record) -> Exception | None:
            if (record.epoch, record.phase) == (self.epoch, self.phase):
                return None
            return Blocked("superseded", "the pair has moved on, so nothing more is disabled", "run the doctor again")

        return Claim(self.context, rule)

    def prolong(self, seconds: float) -> None:
        self.renew(timedelta(seconds=seconds) + LEASE)

    def renew(self, time: timedelta = LEASE, *, importing: bool | None = None) -> None:
        """Keep others away for so long from now on.

        :param importing: whether an import was sent, or is right now, whose answer is not seen; None: as it was.
        """
        until = self.context.now() + time

        def renewed(record: Record) -> Record:
            assert record.scratch is not None
            flag = record.scratch.importing if importing is None else importing
            return trying(record, record.scratch.model_copy(update={"lease_until": until, "importing": flag}))

        self.save(renewed)
