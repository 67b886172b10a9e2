"""Last step of a sync: read the passive server back, and commit only what was seen there."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from denodo_ha.decisions import Alert
from denodo_ha.delivery.plan import DeliveryPlan, Pending
from denodo_ha.doubts import doubts_after
from denodo_ha.jobs import JobKey
from denodo_ha.pairs import Pair
from denodo_ha.record import (
    LEFT_BEHIND,
    Doubt,
    PendingJob,
    Record,
    Role,
    close_operation,
    commit,
    mark_dirty,
)
from denodo_ha.seen import of_manifest, of_statuses
from denodo_ha.snapshot.contents import ArchiveContents
from denodo_ha.snapshot.manifest import Manifest, ManifestError
from denodo_ha.sync_results import Disabled, Exported, Imported, exposure, reference, told
from denodo_ha.text import counted, listed
from denodo_ha.told import with_text
from denodo_ha.transitions import UNKNOWN
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.claim import Claim, SyncTicket, current_sync, own_sync, unchanged
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, readable
from denodo_scheduler.steps.passive import suspects
from denodo_scheduler.steps.seen import keep_seen
from denodo_scheduler.steps.sync.comparing import ReadBack, read_back

log = logging.getLogger(__name__)


def verify(
    context: PairContext,
    ticket: SyncTicket,
    exported: Exported,
    imported: Imported | None,
    disabled: Disabled | None,
    *,
    accept_mass_change: bool = False,
) -> dict[str, Any]:
    """Compare the passive server with the manifest, commit the snapshot, and return the sync's event.

    :param imported: None: this run imported nothing.
    :param disabled: None: ``disable_jobs`` was skipped, because there was nothing to do or to be done by this run.
    :param accept_mass_change: a person has agreed to many changes at once, such as the deletion of many orphans.
    :raises Blocked: a job or data source is missing or different, or a job enabled; the pair stays dirty and the next
        run tries again.
    """
    claim = _committable(context, ticket, exported, imported)
    record = context.record()
    if record.snapshot_id == exported.snapshot:
        return _committed(record)
    record = claim.check()
    pending = _pending(exported, imported)
    _ensure_not_hollow(context, pending, exported.jobs, accept_mass_change)
    read, exported = _read_equal(context, ticket, exported, imported, record, pending)
    statuses = read.statuses
    behind = _left_behind(record, read.found.orphans)
    orphans = [key for key in read.found.orphans if key not in {job.key for job in behind}]
    copied = _once_copied(context, ticket, orphans)
    delete = _may_delete(context, copied, accept_mass_change or not _many(context, copied, statuses))
    orphans = copied if delete else orphans
    ran = suspects(context, record.dirty.since if record.dirty else None, statuses, record)
    if ran:
        log.error("Suspected double run: %s ran on the %s since the import began.", listed(sorted(ran)), ticket.target)
    for each in pending:
        log.warning("Pending: %s", each)
    left_out = (*_left_out(pending, record), *behind)
    doubts = partial(_doubts, imported, left_out, context.now())
    event = context.event(
        "sync",
        record,
        operation=ticket.operation_id,
        source=ticket.source,
        before={"snapshot": ticket.base_snapshot, "dirty": record.dirty is not None},
        after={"snapshot": exported.snapshot, "dirty": False},
        **told(exported, imported),
        orphans={"jobs": len(orphans), "names": listed(sorted(orphans)), "deleted": UNKNOWN if delete else False},
        suspected_double_runs=[str(key) for key in ran],
        pending=counted([job.key for job in left_out]),
        **exposure(imported, disabled),
        **_alert(context.pair, ran, left_out, doubts(record), record, ticket.target),
    )
    snapshot = reference(record, exported, imported, context.now(), ticket.source)
    done = claim.save(lambda latest: commit(latest, snapshot, left_out, doubts(latest)), event)
    if delete:
        event = _delete_orphans(context, ticket, done, orphans, event)
    context.snapshots.retire(context.pair.snapshots.keep, done.stored)
    _keep(context, ticket, exported, read)
    return event


def _keep(context: PairContext, ticket: SyncTicket, exported: Exported, read: ReadBack) -> None:
    source = of_manifest(read.manifest, datetime.fromisoformat(exported.taken))
    target = of_statuses(read.statuses.jobs, context.pair.scope, context.now())
    keep_seen(context, {ticket.source: source, ticket.target: target})


def _committed(record: Record) -> dict[str, Any]:
    """The event of an earlier try of this task, which died after its commit, if it still waits to be told."""
    for event in record.outbox:
        if event.get("kind") == "sync" and (event.get("after") or {}).get("snapshot") == record.snapshot_id:
            return event
    raise NothingToDo("committed", f"the snapshot {record.snapshot_id} is committed already")


def _committable(context: PairContext, ticket: SyncTicket, exported: Exported, imported: Imported | None) -> Claim:
    """Only what this run has delivered, or what the target has already, can be committed."""
    delivered = imported is not None and bool(imported.pieces)
    own = (own_sync if delivered else current_sync)(context, ticket).rule

    def rule(record: Record) -> Exception | None:
        if refused := own(record):
            return refused
        if imported and imported.snapshot != exported.snapshot:
            what = f"the {ticket.target} was given {imported.snapshot}, not {exported.snapshot}"
            return NothingToDo("superseded", f"{what}; clear the run")
        if imported and delivered and record.operation and record.operation.id != imported.operation:
            return NothingToDo("superseded", "another try of this run has imported since; clear the run")
        if imported is None and not exported.unchanged:
            drill = record.drill
            if drill and drill.ended and drill.ended > datetime.fromisoformat(exported.taken):
                what = f"the drill {drill.id} was not at its end when this run was to deliver"
                return NothingToDo("operation_open", what, "the next run syncs")
            return Blocked(
                "not_verified",
                f"this run has not delivered the snapshot {exported.snapshot} ({exported.comparison})",
                "clear the run",
            )
        if not delivered and record.dirty and record.dirty.since.isoformat() != exported.dirty_since:
            return Blocked(
                "not_verified",
                f"the {ticket.target} became dirty after the export ({record.dirty.reason}), and this run has "
                "delivered nothing",
                f"the next run repairs the {ticket.target} and delivers",
            )
        return None

    return Claim(context, rule)


def _pending(exported: Exported, imported: Imported | None) -> tuple[Pending, ...]:
    found = imported.pending if imported else exported.delivery["pending"]
    return readable(DeliveryPlan.from_json, {"pieces": [], "pending": found}).pending


def _left_out(pending: Sequence[Pending], record: Record) -> tuple[PendingJob, ...]:
    """The jobs among what is pending, as the record keeps them: those that it keeps already come first."""
    rank = {job.key: number for number, job in enumerate(record.pending)}
    jobs = [
        PendingJob(key=each.key, code=code, why=what, on_target=each.on_target, next_step=next_step)
        for each, (code, what, next_step) in ((each, each.reason) for each in pending)
        if each.key
    ]
    return tuple(sorted(jobs, key=lambda job: rank.get(job.key, len(rank))))


def _doubts(
    imported: Imported | None, pending: Sequence[PendingJob], now: datetime, record: Record
) -> tuple[Doubt, ...]:
    warnings = imported.warnings if imported else []
    everything = imported is not None and imported.all_secrets and bool(imported.pieces) and not imported.unlisted
    return doubts_after(record, warnings, everything=everything, now=now, pending=pending)


def _left_behind(record: Record, orphans: Collection[JobKey]) -> tuple[PendingJob, ...]:
    """The jobs that a change of the active server has left on this one alone: they are not deleted as orphans."""
    return tuple(job for job in record.pending if job.code == LEFT_BEHIND and job.key in orphans)


def _alert(
    pair: Pair,
    ran: Sequence[JobKey],
    pending: Sequence[PendingJob],
    doubts: Sequence[Doubt],
    record: Record,
    target: Role,
) -> dict[str, str]:
    """What people are notified of: jobs that ran on both servers, jobs that became pending, what an import has warned
    of for the first time, and that syncs succeed again.
    """
    told = _news(pair, ran, pending, doubts, record, target)
    if problem := record.sync_problem:
        over = f"syncs succeed again, after [{problem.code}] {problem.what}"
        return {"alert": Alert.RECOVERED, **told, "what": "; ".join(filter(None, [told.get("what"), over]))}
    return told


def _news(
    pair: Pair,
    ran: Sequence[JobKey],
    pending: Sequence[PendingJob],
    doubts: Sequence[Doubt],
    record: Record,
    target: Role,
) -> dict[str, str]:
    if ran:
        return {
            "alert": Alert.DOUBLE_RUN,
            "what": f"{listed(ran)} ran on the {target} while it was synchronised, so maybe on both servers",
            "next_step": "look at the results of these jobs; set the time zones of the pair if they are not set",
        }
    now, before = ({job.key for job in jobs if job.code != LEFT_BEHIND} for jobs in (pending, record.pending))
    new = now - before
    if new:
        return {
            "alert": Alert.PENDING,
            "what": f"{len(new)} jobs could not be delivered to the {target} ({listed(sorted(new))}); the snapshot is "
            "committed without them",
            "next_step": f"denodo-ha status {pair.name} --verbose says why, and the way out; the next sync tries again",
        }
    known = {(doubt.role, doubt.text) for doubt in record.doubts}
    if warned := [doubt.text for doubt in doubts if (doubt.role, doubt.text) not in known]:
        return {
            "alert": Alert.PENDING,
            "what": f"the {target} may lack what its import has warned of: {listed(warned, between='; ')}",
            "next_step": "repair it on the source, such as by entering the password again, and sync; or accept it with "
            f"{pair.dag_id_operations}, operation 'acknowledge', by its name under 'doubts'",
        }
    return {}


def _read_equal(
    context: PairContext,
    ticket: SyncTicket,
    exported: Exported,
    imported: Imported | None,
    record: Record,
    pending: Sequence[Pending],
) -> tuple[ReadBack, Exported]:
    """Read the passive server back and make sure that it is what was exported, but for what is pending.

    :return: what was read, and the export with what was learned of it.
    """
    contents, stored = readable(context.snapshots.read, exported.snapshot)
    read = read_back(
        context,
        ticket,
        readable(Manifest.from_json, stored),
        readable(ArchiveContents.from_json, contents).parameters,
        others=[JobKey(project=project, name=name) for project, name in (imported.others if imported else ())],
        definitions=imported is not None or record.dirty is not None,
        pending=pending,
    )
    _ensure_equal(context, current_sync(context, ticket), ticket.target, read)
    return read, _keep_learned(context, exported, contents, read.manifest)


def _ensure_equal(context: PairContext, current: Claim, target: Role, read: ReadBack) -> None:
    """Refuse a passive server that is not what the manifest lists; it is dirty then."""
    said = read.problems(context, target)
    if not said:
        return
    why = f"the {target} does not equal the snapshot: " + "; ".join(said)
    current.save(lambda record: mark_dirty(close_operation(record), now=context.now(), reason=why))
    raise Blocked(
        "not_verified",
        why,
        f"the {target} stays passive and the old snapshot stays the newest verified one; the next run delivers again. "
        "If it stays so, compare these jobs and data sources on both servers; where only the definitions differ and "
        "that is harmless, set verify_definitions to false for the pair",
    )


def _ensure_not_hollow(context: PairContext, pending: Sequence[Pending], jobs: int, accepted: bool) -> None:
    """Refuse to commit without a data source, which jobs need, or without so many jobs that a failover would be none.

    :param jobs: how many the snapshot has. :param accepted: a person has agreed to many changes at once.
    """
    missing = [each for each in pending if each.key and not each.on_target]
    others = [each for each in pending if each.key is None]
    if others or (context.pair.sync.mass_change.exceeded(len(missing), jobs) and not accepted):
        _, why, next_step = (others or missing)[0].reason
        names = listed(each.element[2] for each in (*others, *missing))
        what = f"{len(missing)} of {jobs} jobs and {len(others)} other elements could not be delivered ({names}): {why}"
        raise Blocked("not_delivered", what, next_step)


def _keep_learned(context: PairContext, exported: Exported, contents: bytes, manifest: Manifest) -> Exported:
    """Store what was learned of noise with the snapshot, for the next syncs."""
    if manifest.hash == exported.manifest_hash:
        return exported
    context.snapshots.write(exported.snapshot, contents=contents.decode(), manifest=manifest.to_json())
    return replace(exported, manifest_hash=manifest.hash)


def _once_copied(context: PairContext, ticket: SyncTicket, orphans: list[JobKey]) -> list[JobKey]:
    """The orphans that the source has had: the others were made on a master that was active, after its last sync."""
    if ticket.source is Role.MASTER or not orphans:
        return orphans
    known: Collection[JobKey] = ()
    if ticket.base_snapshot:
        with suppress(FileNotFoundError, ManifestError):
            known = Manifest.from_json(context.snapshots.read(ticket.base_snapshot)[1]).by_key
    if never := sorted(key for key in orphans if key not in known):
        log.warning(
            "Kept, since the %s never had them: %s. They were made on the %s after its last sync. Delete them there "
            "if they are not wanted; otherwise the sync after the failback copies them, disabled.",
            ticket.source,
            listed(never),
            ticket.target,
        )
    return [key for key in orphans if key in known]


def _many(context: PairContext, orphans: Sequence[JobKey], statuses: Statuses) -> bool:
    """Many orphans at once look like a wrong source, so their deletion takes the consent of any mass change."""
    in_scope = sum(context.pair.scope.matches(job.key) for job in statuses.jobs)
    return context.pair.sync.mass_change.exceeded(len(orphans), in_scope)


def _may_delete(context: PairContext, orphans: Sequence[JobKey], may_be_so_many: bool) -> bool:
    """Whether jobs that the source does not have are to be deleted: the pair says so, and they are not too many."""
    if not orphans:
        return False
    if context.pair.sync.orphans != "delete":
        log.warning("Orphans, on the target only and disabled: %s", listed(sorted(orphans)))
        return False
    if not may_be_so_many:
        log.warning(
            "%d jobs of the target are orphans, too many to delete unasked: %s. To delete them, run the sync by hand "
            "with 'accept a mass change' ticked.",
            len(orphans),
            listed(sorted(orphans)),
        )
        return False
    return True


def _delete_orphans(
    context: PairContext, ticket: SyncTicket, done: Record, orphans: Sequence[JobKey], event: dict[str, Any]
) -> dict[str, Any]:
    """Delete them after the commit, whose event tells then what was read back. The next sync deletes the rest."""
    hook = context.servers.hook(ticket.target)
    try:
        unchanged(context, done).check()
        hook.delete_jobs(orphans)
    except (DenodoSchedulerError, NothingToDo) as error:
        log.error("Not all orphans could be deleted from the %s; the next sync tries again: %s", ticket.target, error)
    try:
        there = hook.statuses().by_key
    except DenodoSchedulerError as error:
        log.error("Which orphans were deleted from the %s could not be read back: %s", ticket.target, error)
        return event
    left, gone = ([key for key in orphans if (key in there) is wanted] for wanted in (True, False))
    if left:
        log.error("Still there on the %s, although it was told to delete them: %s", ticket.target, listed(sorted(left)))
    log.warning("Orphans deleted from the %s: %s", ticket.target, listed(sorted(gone)) or "none")
    told = {"jobs": len(gone or left), "names": listed(sorted(gone or left)), "deleted": bool(gone)}
    orphaned = told | ({"left": listed(sorted(left))} if gone and left else {})
    complete = with_text({**event, "orphans": orphaned})
    context.save(lambda latest: (latest, complete))
    return complete
