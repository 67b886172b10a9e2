"""First step of a sync: may it begin at all, and is the passive server in order?"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from denodo_ha.record import (
    NewerRecordError,
    Record,
    RecordError,
    close_operation,
    covers,
    mark_dirty,
    refusal,
)
from denodo_ha.text import listed
from denodo_scheduler.steps.context import Plan, SyncRun
from denodo_scheduler.steps.outcome import Blocked, NotYet, sentence
from denodo_scheduler.steps.passive import Quench, enabled_jobs, ensure_distinct, hold, quench, suspects

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """Whether the run goes on; if not, ``message`` says why and what comes next. ``events`` are to be emitted."""

    plan: Plan | None
    code: str
    message: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "go": self.plan is not None,
            "code": self.code,
            "message": self.message,
            "plan": self.plan.to_json() if self.plan else None,
        }


def guard(run: SyncRun, *, operation_id: str, wanted: datetime | None) -> Verdict:
    """Decide whether this run syncs, and repair the passive server where an earlier run left it dirty.

    :param operation_id: a name for what this run is going to do, different at each attempt of the guard.
    :param wanted: the moment this run stands for; a committed snapshot taken later makes it a no-op. None: always sync.
    :raises Blocked: the pair has no usable record, or both connections lead to one server.
    """
    _ensure_two_addresses(run)
    info = run.slave.me()
    log.info("The slave answers: version %s.", info.version)
    events: list[dict[str, Any]] = []
    record = _load(run, events)
    refused = refusal(record, run.now())
    if refused:
        code, what, next_step = refused
        return Verdict(None, code, sentence(code, what, next_step), events)
    record = _same_servers(run, record, events)
    if run.dry_run:
        return _go(record, operation_id, events, "dry run: shows what a sync would do")
    record = _repair(run, record, events)
    if wanted and record.dirty is None and covers(record, wanted, run.now()):
        assert record.snapshot is not None
        what = (
            f"this run stands for {wanted.isoformat(timespec='seconds')}, and the snapshot {record.snapshot.id}, "
            "taken later, is already on the slave"
        )
        return Verdict(None, "covered", f"[covered] {what}. Nothing was changed.", events)
    return _go(record, operation_id, events, "sync")


def _go(record: Record, operation_id: str, events: list[dict[str, Any]], message: str) -> Verdict:
    return Verdict(Plan(operation_id, record.epoch, record.snapshot_id), "go", message, events)


def _ensure_two_addresses(run: SyncRun) -> None:
    if run.master.address == run.slave.address:
        raise Blocked(
            "same_server",
            f"the connections {run.pair.master} and {run.pair.slave} name the same Scheduler server, "
            f"{run.slave.address}",
            f"correct host, port or scheduler_uri of {run.pair.slave}",
        )


def _load(run: SyncRun, events: list[dict[str, Any]]) -> Record:
    try:
        record = run.records.load()
    except RecordError as error:
        if not run.initialise or isinstance(error, NewerRecordError):
            raise Blocked("record_unusable", error.what, error.next_step) from None
        record = None
    witness = run.snapshots.witness()
    if witness and (record is None or witness.contradicts(record)) and not run.initialise:
        raise Blocked(
            "record_contradicted",
            f"the HA record of the pair {run.pair.name} is {'gone' if record is None else 'older than it was'}: the "
            f"pair has been in epoch {witness.epoch} with the {witness.active} as the active server",
            "look which server has enabled jobs, then initialise the pair with its operations DAG",
        )
    if record and witness and witness.contradicts(record):
        record = None
    return record or _initialise(run, events, epoch=witness.epoch + 1 if witness else 1)


def _initialise(run: SyncRun, events: list[dict[str, Any]], *, epoch: int) -> Record:
    """Make the first record, by itself only where there is no doubt which server is the active one."""
    record = Record(master=run.master.address, slave=run.slave.address, epoch=epoch)
    if run.initialise:
        record = mark_dirty(record, now=run.now(), reason="initialised by hand, not synced yet")
    else:
        enabled = [job.key for job in enabled_jobs(run, run.slave.statuses())]
        if enabled and not run.dry_run:
            raise Blocked(
                "not_initialised",
                f"the pair {run.pair.name} has no HA record, and {len(enabled)} jobs are enabled on the slave "
                f"({listed(sorted(enabled))}), so it may be the active server",
                "if the master is the active server, run the sync by hand with 'initialise' ticked: it disables the "
                "slave's jobs",
            )
    if not run.dry_run:
        run.records.save(record)
        run.snapshots.testify(record)
        events.append(run.event("initialised", record, after={"active": record.active, "phase": record.phase}))
        log.info("The pair %s had no HA record: the master is the active server from now on.", run.pair.name)
    return record


def _same_servers(run: SyncRun, record: Record, events: list[dict[str, Any]]) -> Record:
    """Refuse a server at another address than so far, unless a person says that it is right."""
    now = {"master": run.master.address, "slave": run.slave.address}
    if record.master is None:  # a record of before the master's address was kept
        record = record.model_copy(update={"master": now["master"]})
        if not run.dry_run:
            run.records.save(record)
    known = {"master": record.master, "slave": record.slave or now["slave"]}
    moved = [role for role in now if known[role] != now[role]]
    if not moved:
        return record
    role = moved[-1]
    if not run.initialise:
        raise Blocked(
            f"{role}_changed",
            f"the connection {getattr(run.pair, role)} leads to {now[role]}, and the {role} of the pair "
            f"{run.pair.name} was {known[role]} so far",
            "correct the connection; if it is right, run the sync by hand with 'initialise' ticked: the jobs of the "
            "slave will be disabled",
        )
    ensure_distinct(run, run.master.statuses(), run.slave.statuses())
    adopted = record.model_copy(update={**now, "operation": None, "dirty": None})
    adopted = mark_dirty(adopted, now=run.now(), reason="another server by hand, not synced yet")
    if not run.dry_run:
        run.records.save(adopted)
        events.append(run.event(f"{role}_changed", adopted, before={role: known[role]}, after={role: now[role]}))
    return adopted


def _repair(run: SyncRun, record: Record, events: list[dict[str, Any]]) -> Record:
    """Disable what an earlier run left enabled, and close its operation."""
    operation = record.operation
    if operation is None and record.dirty is None:
        return record

    def unchanged() -> None:
        if run.record() != record:
            raise NotYet(
                "superseded", "the pair's record has changed while it was being repaired", "this task looks again"
            )

    ours = operation is not None and operation.target == run.slave.address
    if operation and operation.in_flight(run.now()):
        found = hold(run, until=operation.lease_until, may_change=unchanged, imported_by_us=ours)
    else:
        found = quench(run, may_change=unchanged, imported_by_us=ours)
    unchanged()
    return _close(run, record, found, events)


def _close(run: SyncRun, record: Record, found: Quench, events: list[dict[str, Any]]) -> Record:
    why = record.dirty.reason if record.dirty else "an operation was left open"
    ran = suspects(run, record.dirty.since if record.dirty else None, found.statuses)
    log.warning(
        "The slave was dirty (%s): %d jobs were enabled and are disabled now. "
        "It cannot be promoted until a sync has ended.",
        why,
        len(found.disabled),
    )
    if ran:
        log.error("Suspected double run: %s ran on the slave since it is dirty.", listed(sorted(ran)))
    closed = run.records.save(close_operation(record))
    events.append(
        run.event(
            "repaired",
            closed,
            operation=record.operation.id if record.operation else None,
            before={"dirty": why, "enabled": len(found.disabled)},
            after={"enabled": 0},
            suspected_double_runs=[str(key) for key in ran],
        )
    )
    return closed
