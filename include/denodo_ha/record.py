"""The HA record of a pair: what must survive a restart, and how it may change.

The record is a value: every function here returns a new one, and storing it is left to the caller. Only the first of
several writers that have read one version can save the next; and each changing call on a server is preceded by a fresh
read and :func:`superseded`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, ValidationError

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.doctor.scratch import Scratch
from denodo_ha.drill import Drill
from denodo_ha.jobs import JobKey
from denodo_ha.reason import Explained, Reason
from denodo_ha.text import listed, moment
from denodo_ha.values import Count, Time, Value, in_utc

SCHEMA = 5
"""Schema number of the record; a record with a greater number was written by a newer version of this project.

Any change of the schema, including a new optional field, needs a new number: an older version must not read such a
record, nor take it for a damaged one.
"""

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clocks of two workers may be apart."""


class RecordError(Explained, ValueError):
    """The stored record cannot be used."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(f"{what}. Next: {next_step}.")
        self.reason = Reason("record_unusable", what, next_step)


class NewerRecordError(RecordError):
    """A newer version of this project wrote the record."""


class LostVersionsError(RecordError):
    """The newest version of the record is older than one that was seen before.

    :param seen: the newest version that was seen. :param newest: the newest that is there; 0 for none.
    :param place: where the versions are kept.
    """

    def __init__(self, seen: int, newest: int, place: str) -> None:
        there = f"ends at version {newest}" if newest else "has no version"
        what = (
            f"the HA record in {place} {there}, and the pair was at version {seen} before: its versions were lost or "
            "restored from a backup, or 'snapshots' of the pair leads elsewhere, such as to a folder of its own on "
            "each worker; nothing was changed"
        )
        how = (
            "correct 'snapshots', or bring the versions back; if they are lost, look which server has enabled jobs, "
            "then initialise the pair with its operations DAG"
        )
        super().__init__(what, how)
        self.reason = Reason("record_lost", what, how)


class Phase(StrEnum):
    NORMAL = "normal"
    FAILING_OVER = "failing_over"
    FAILED_OVER = "failed_over"
    FAILING_BACK = "failing_back"
    HALTED = "halted"


class Role(StrEnum):
    MASTER = "master"
    SLAVE = "slave"


class Step(StrEnum):
    """How far an operation has come."""

    IMPORTING = "importing"
    """Sync: sent, no answer seen; the server may still be executing it."""
    ANSWERED = "answered"
    """Sync: the server has answered, so nothing of this operation is in flight any more."""
    CLAIMED = "claimed"
    """Failover, switchover, drill: the intent is written, no server was changed."""
    DISABLING = "disabling"
    """Switchover: jobs of the server that was active may be disabled already. Drill: its job is told to be disabled."""
    ENABLING = "enabling"
    """Failover, switchover: jobs of the server that becomes active may be enabled already; it only goes forward.
    Drill: its job may be enabled, and run."""


def usable_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event that waits in an outbox, if it can be told.

    :raises ValueError: what it says of itself cannot be understood.
    """
    kinds: dict[str, type] = dict.fromkeys(("kind", "alert", "operation", "what", "next_step", "code"), str)
    kinds.update(dict.fromkeys(("before", "after", "orphans"), dict))
    wrong = [name for name, kind in kinds.items() if not isinstance(event.get(name), kind | None)]
    if wrong or not isinstance(event.get("id"), str | int):
        raise ValueError(f"the event has no usable {(wrong or ['id'])[0]}")
    if event.get("at") is not None:
        moment(event["at"])
    return event


Event = Annotated[dict[str, Any], AfterValidator(usable_event)]


class Operation(Value):
    """A change of a server that was begun.

    ``target`` is the address of the server, ``lease_until`` the time after which no request of the operation can still
    be in flight. ``plan`` names the stored list of jobs that a switchover carries over, or the snapshot that a failover
    promotes. ``alike``: the two servers of a switchover cannot be told apart while both are at rest.
    """

    kind: Literal["sync", "failover", "switchover", "drill"]
    id: str
    target: str
    step: Step
    started: Time
    lease_until: Time
    plan: str | None = None
    alike: bool = False

    def open(self, now: datetime) -> bool:
        """Return whether the task that began it may still act; no other task takes it over before."""
        return now < self.lease_until

    def in_flight(self, now: datetime) -> bool:
        """Return whether the server may still be executing this operation although no task waits for it."""
        return self.step is Step.IMPORTING and now < self.lease_until


class Dirty(Value):
    """Since when and why the passive server cannot be trusted to equal the committed snapshot."""

    since: Time
    reason: str


class Pause(Value):
    """Automation changes nothing until ``until``, or until a person resumes it."""

    since: Time
    reason: str
    by: str = ""
    until: Annotated[AwareDatetime, AfterValidator(in_utc)] | None = None


class Halt(Value):
    """The pair waits for a person; ``phase`` is the phase before, to which a release brings it back."""

    since: Time
    code: str
    reason: str
    by: str
    phase: Phase


class SyncProblem(Value):
    """Why syncs have failed or been refused since ``since``: code, sentence and next step of the last one."""

    since: Time
    code: str
    what: str
    next_step: str


class Doubt(Value):
    """What an import has warned of, so that ``role``, its target, may lack it although it looks equal.

    :param accepted_by: the person who has accepted it; ``text`` may then also be the name of another kind of doubt.
    """

    since: Time
    role: Role = Role.SLAVE
    text: str
    accepted_by: str | None = None


class Approval(Value):
    """A failover that a person is asked to approve (``granted_by`` is None), or has approved, until ``until``."""

    requested_by: str
    until: Time
    granted_by: str | None = None


class Promotion(Value):
    """The last change of the active server.

    :param id: the operation.
    :param kind: ``failover`` or ``switchover``.
    :param plan: the snapshot, or the stored list, whose jobs were to be enabled.
    :param complete: whether all of them were read back enabled; until then those that were not are tried again.
    :param left: the stored list of the jobs that were not. :param heard: when the master was, before a failover.
    :param since: from when on a run on the other server may have been one too many, where that was before ``at``.
    """

    id: str
    kind: Literal["failover", "switchover"]
    at: Time
    plan: str
    complete: bool
    left: str | None = None
    since: datetime | None = None
    heard: Time | None = None


class SnapshotRef(Value):
    """The committed snapshot: the newest state of the active server that was verified on the passive one.

    ``taken`` is when the export began, ``imported`` when its secrets were last delivered, ``source`` the server that
    was exported.
    """

    id: str
    taken: Time
    committed: Time
    imported: Time
    content_hash: str
    manifest_hash: str
    jobs: Count
    enabled: Count
    source: Role = Role.MASTER


LEFT_BEHIND = "left_behind"
"""The code of a job that a person has left behind in a switchover."""


class PendingJob(Value):
    """A job that the committed snapshot lists and the passive server does not have so.

    :param code: why, as a reason code; ``why`` says it in words, and ``next_step`` what a person can do.
        :data:`LEFT_BEHIND`: it was so when that server became the active one.
    :param on_target: an older definition is there; otherwise the job is missing.
    """

    key: JobKey
    code: str
    why: str
    on_target: bool
    next_step: str = ""


class Record(Value):
    """Phase, role and progress of one pair; ``master`` and ``slave`` are the last known addresses of the servers.

    ``outbox`` holds the events that are not in the history yet: an event is saved together with the change it tells of.
    ``pending`` are the jobs that the last commit or the last promotion left out, ``capabilities`` what was learned of
    each server as a target. ``sync_problem`` is there until a sync succeeds, ``doubts`` until an import of everything
    that holds secrets to that server has not warned of them. ``scratch`` is what a doctor has on a server, or has left.
    ``version`` counts the saves; ``exclusive``: the storage lets only one writer make each, as the last sync has tried.
    """

    schema_number: Annotated[int, Field(ge=SCHEMA, le=SCHEMA)] = SCHEMA
    version: Annotated[Count, Field(ge=0)] = 0
    exclusive: bool = True
    phase: Phase = Phase.NORMAL
    active: Role = Role.MASTER
    epoch: Annotated[Count, Field(ge=1)] = 1
    master: str | None = None
    slave: str | None = None
    paused: Pause | None = None
    halted: Halt | None = None
    operation: Operation | None = None
    dirty: Dirty | None = None
    snapshot: SnapshotRef | None = None
    cool_down_until: Time | None = None
    acknowledged: bool = True
    approval: Approval | None = None
    last_promotion: Promotion | None = None
    pending: tuple[PendingJob, ...] = ()
    capabilities: dict[Role, Capabilities] = Field(default_factory=dict)
    sync_problem: SyncProblem | None = None
    doubts: tuple[Doubt, ...] = ()
    drill: Drill | None = None
    scratch: Scratch | None = None
    outbox: tuple[Event, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: Any) -> Record:
        """Read a stored record.

        :raises NewerRecordError: it was written by a newer version.
        :raises RecordError: it is not a record, or none that a pair can have.
        """
        number = value.get("schema_number") if isinstance(value, dict) else None
        if isinstance(number, int) and number > SCHEMA:
            raise NewerRecordError(
                f"the pair's HA record has schema {number}, and this version knows schemas up to {SCHEMA}; "
                "nothing was changed",
                "upgrade this project to the version that wrote it, on every Airflow component (API server, scheduler, "
                "DAG processor, triggerer, each worker) and where denodo-ha is called",
            )
        problems: list[str] = []
        try:
            record = cls.model_validate(_migrated(value))
            record.to_json()
            if not (problems := _contradictions(record)):
                return record
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc'])) or 'record'}: {e['msg']}" for e in error.errors()]
        except (ValueError, RecursionError):
            problems = ["record: it holds what cannot be stored, or is nested too deeply"]
        raise RecordError(
            f"the pair's HA record cannot be read ({listed(problems)[:1000]}); nothing was changed",
            "look which server has enabled jobs, then initialise the pair with its operations DAG",
        )

    @property
    def snapshot_id(self) -> str | None:
        return self.snapshot.id if self.snapshot else None

    @property
    def stored(self) -> set[str]:
        """Return the ids of the snapshots and plans that the record refers to."""
        operation, promotion = self.operation, self.last_promotion
        ids = (self.snapshot_id, operation and operation.plan, *((promotion.plan, promotion.left) if promotion else ()))
        return {found for found in ids if found}

    @property
    def drilled(self) -> JobKey | None:
        """Return the job that a drill may have enabled on the slave and has not read back disabled yet."""
        drilling = self.operation is not None and self.operation.kind == "drill"
        return self.drill.job if drilling and self.drill else None

    def is_paused(self, now: datetime) -> bool:
        return self.paused is not None and (self.paused.until is None or now < self.paused.until)


def _migrated(value: Any) -> Any:
    """Convert the record of an older version to this schema; the schemas 1 to 4 only lack the new fields."""
    if isinstance(value, dict) and value.get("schema_number") in (1, 2, 3, 4):
        return {**value, "schema_number": SCHEMA}
    return value


def _contradictions(record: Record) -> list[str]:
    """Say what of a record no transition leads to."""
    operation, halt, phase = record.operation, record.halted, record.phase
    if (phase is Phase.HALTED) is not (halt is not None) or (halt and halt.phase is Phase.HALTED):
        return ["halted: the phase says otherwise"]
    phase = halt.phase if halt else phase
    active = Role.MASTER if phase in (Phase.NORMAL, Phase.FAILING_OVER) else Role.SLAVE
    changing = phase in (Phase.FAILING_OVER, Phase.FAILING_BACK)
    checks = {
        f"active: in phase {phase} it is the {active}": record.active is active,
        f"operation: in phase {phase} there is one that changes the active server": not changing
        or (operation is not None and operation.kind in ("failover", "switchover") and operation.plan is not None),
        f"operation.step: a {operation and operation.kind} does not come there": not changing
        or operation is None
        or operation.step not in (Step.IMPORTING, Step.ANSWERED),
        "operation: a drill is of a passive slave, and has a list of jobs": operation is None
        or operation.kind != "drill"
        or (phase is Phase.NORMAL and record.drill is not None and record.drill.ended is None),
        "operation.lease_until: it is before the start": operation is None
        or operation.lease_until >= operation.started - CLOCK_SKEW,
        "snapshot.enabled: more than there are jobs": record.snapshot is None
        or record.snapshot.enabled <= record.snapshot.jobs,
    }
    return [text for text, holds in checks.items() if not holds]


def begin_import(record: Record, *, operation_id: str, target: str, now: datetime, lease: timedelta) -> Record:
    """Note the intent of an import: from here on the passive server is dirty and the operation is open."""
    operation = Operation(
        kind="sync", id=operation_id, target=target, step=Step.IMPORTING, started=now, lease_until=now + lease
    )
    dirty = mark_dirty(record, now=now, reason="an import was begun and is not verified yet")
    return dirty.model_copy(update={"operation": operation})


def importing(record: Record, until: datetime) -> Record:
    """Note, right before it is sent, that the open operation changes the passive server until then at the latest."""
    assert record.operation is not None
    operation = record.operation.model_copy(update={"step": Step.IMPORTING, "lease_until": until})
    return record.model_copy(update={"operation": operation})


def answered(record: Record) -> Record:
    """Note that the server has answered the call of the open operation, with success or not."""
    assert record.operation is not None
    return record.model_copy(update={"operation": record.operation.model_copy(update={"step": Step.ANSWERED})})


def close_operation(record: Record) -> Record:
    """End the open operation without success; a dirty mark is kept."""
    return record.model_copy(update={"operation": None})


def mark_dirty(record: Record, *, now: datetime, reason: str) -> Record:
    """Mark the passive server as dirty; the first mark is kept, since everything that happened since then counts."""
    return record.model_copy(update={"dirty": record.dirty or Dirty(since=now, reason=reason)})


def commit(
    record: Record, snapshot: SnapshotRef, pending: tuple[PendingJob, ...] = (), doubts: tuple[Doubt, ...] = ()
) -> Record:
    """Note that the passive server was read back and equals ``snapshot``, but for the jobs that are ``pending``."""
    left = {"operation": None, "dirty": None, "sync_problem": None}
    return record.model_copy(update={**left, "snapshot": snapshot, "pending": pending, "doubts": doubts})


def covers(record: Record, wanted: datetime, now: datetime) -> bool:
    """Return whether the committed snapshot is at least as new as the moment a run stands for.

    A snapshot from the future has the time of a wrong clock, and covers nothing.
    """
    return record.snapshot is not None and wanted <= record.snapshot.taken <= now + CLOCK_SKEW


def superseded(record: Record, *, operation_id: str, epoch: int, base_snapshot: str | None) -> str | None:
    """Return why a task that began from ``epoch`` and ``base_snapshot`` must not change anything; None if it may.

    Each try of an import has an id of its own, which begins with ``operation_id``, the id of the run.

    It is called on a freshly read record right before every changing call, also by tasks that were cleared long after
    their run had ended.
    """
    if record.epoch != epoch:
        return f"the pair is in epoch {record.epoch}, this run belongs to epoch {epoch}"
    if record.operation and not record.operation.id.startswith(operation_id):
        return f"the operation {record.operation.id} has begun since"
    if record.snapshot_id != base_snapshot:
        return f"the snapshot {record.snapshot_id} has been committed since"
    return None
