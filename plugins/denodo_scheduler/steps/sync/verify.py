"""Last step of a sync: read the passive server back, and commit only what was seen there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from denodo_ha.checks import verify as check
from denodo_ha.jobs import JobKey
from denodo_ha.record import Record, close_operation, commit, mark_dirty
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.sync_results import Disabled, Exported, Imported, exposure, reference, told
from denodo_ha.text import listed
from denodo_ha.transitions import UNKNOWN
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.claim import Claim, SyncTicket, current_sync, own_sync, unchanged
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NothingToDo
from denodo_scheduler.steps.passive import suspects

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
    :raises Blocked: a job is missing, different or enabled; the pair stays dirty and the next run tries again.
    """
    if context.dry_run:
        raise NothingToDo("dry_run", "this is a dry run")
    record = context.record()
    if record.snapshot_id == exported.snapshot:
        return _committed(record)
    if imported and imported.snapshot != exported.snapshot:
        raise NothingToDo(
            "superseded", f"the slave was given {imported.snapshot}, not {exported.snapshot}; clear the run"
        )
    claim = _committable(context, ticket, exported, imported)
    record = claim.check()
    manifest = Manifest.from_json(context.snapshots.read(exported.snapshot)[1])
    statuses = context.slave.statuses()
    orphans = _compare(context, current_sync(context, ticket), manifest, statuses, imported)
    delete = _may_delete(context, orphans, accept_mass_change or not _many(context, orphans, statuses))
    ran = suspects(context, record.dirty.since if record.dirty else None, statuses)
    if ran:
        log.error("Suspected double run: %s ran on the slave since the import began.", listed(sorted(ran)))
    exposed = exposure(imported, disabled)
    if exposed["exposure_seconds"] > context.pair.sync.quiet_window.total_seconds():
        log.warning("Jobs were enabled on the slave for longer than the quiet window: raise quiet_window of the pair.")
    event = context.event(
        "sync",
        record,
        operation=ticket.operation_id,
        before={"snapshot": ticket.base_snapshot, "dirty": record.dirty is not None},
        after={"snapshot": exported.snapshot, "dirty": False},
        **told(exported, imported),
        orphans={"jobs": len(orphans), "names": listed(sorted(orphans)), "deleted": UNKNOWN if delete else False},
        suspected_double_runs=[str(key) for key in ran],
        **exposed,
    )
    snapshot = reference(record, exported, imported, context.now())
    done = claim.save(lambda latest: commit(latest, snapshot), event)
    if delete:
        event = _delete_orphans(context, done, orphans, event)
    context.snapshots.retire(context.pair.snapshots.keep, done.stored)
    return event


def _committed(record: Record) -> dict[str, Any]:
    """The event of an earlier try of this task, which died after its commit, if it still waits to be told."""
    for event in record.outbox:
        if event["kind"] == "sync" and event["after"]["snapshot"] == record.snapshot_id:
            return event
    raise NothingToDo("committed", f"the snapshot {record.snapshot_id} is committed already")


def _committable(context: PairContext, ticket: SyncTicket, exported: Exported, imported: Imported | None) -> Claim:
    """Only what this run has imported, or what a clean slave has already, can be committed."""
    own = (own_sync if imported else current_sync)(context, ticket).rule

    def rule(record: Record) -> Exception | None:
        if refused := own(record):
            return refused
        if imported and record.operation and record.operation.id != imported.operation:
            return NothingToDo("superseded", "another try of this run has imported since; clear the run")
        if imported is None and record.dirty:
            return Blocked(
                "not_verified",
                f"the slave is dirty ({record.dirty.reason}), and this run has imported nothing",
                "the next run repairs the slave and imports",
            )
        if imported is None and not exported.unchanged:
            what = f"this run has not imported the snapshot {exported.snapshot}, although {exported.comparison}"
            return Blocked("not_verified", what, "clear the run")
        return None

    return Claim(context, rule)


def _compare(
    context: PairContext, current: Claim, manifest: Manifest, statuses: Statuses, imported: Imported | None
) -> tuple[JobKey, ...]:
    """Refuse a passive server that is not what the manifest lists; return its orphans.

    Without an import the definitions were verified when this content was committed, so the states are enough.
    """
    jobs = context.slave.jobs() if imported else None
    found = check(
        manifest,
        jobs,
        statuses.jobs,
        context.pair.scope,
        definitions=context.pair.sync.verify_definitions,
        before=[JobKey(project=project, name=name) for project, name in (imported.others if imported else [])],
    )
    problems = {
        "are missing": found.missing,
        "are enabled": found.enabled,
        "have another definition": found.different,
        "outside the pair's scope were removed by the import": found.lost,
    }
    said = [f"{len(keys)} jobs {what}: {listed(sorted(keys))}" for what, keys in problems.items() if keys]
    if said:
        why = "the slave does not equal the snapshot: " + "; ".join(said)
        current.save(lambda record: mark_dirty(close_operation(record), now=context.now(), reason=why))
        raise Blocked(
            "not_verified",
            why,
            "the slave stays passive and the old snapshot stays the newest verified one; the next run imports again. "
            "If it stays so, compare these jobs on both servers; where only the definitions differ and that is "
            "harmless, set verify_definitions to false for the pair",
        )
    return found.orphans


def _many(context: PairContext, orphans: Sequence[JobKey], statuses: Statuses) -> bool:
    """Many orphans at once look like a wrong master, so their deletion takes the consent of any mass change."""
    in_scope = sum(context.pair.scope.matches(job.key) for job in statuses.jobs)
    return context.pair.sync.mass_change.exceeded(len(orphans), in_scope)


def _may_delete(context: PairContext, orphans: Sequence[JobKey], may_be_so_many: bool) -> bool:
    """Whether jobs that the master does not have are to be deleted: the pair says so, and they are not too many."""
    if not orphans:
        return False
    if context.pair.sync.orphans != "delete":
        log.warning("Orphans, on the slave only and disabled: %s", listed(sorted(orphans)))
        return False
    if not may_be_so_many:
        log.warning(
            "%d jobs of the slave are orphans, too many to delete unasked: %s. To delete them, run the sync by hand "
            "with 'accept a mass change' ticked.",
            len(orphans),
            listed(sorted(orphans)),
        )
        return False
    return True


def _delete_orphans(
    context: PairContext, done: Record, orphans: Sequence[JobKey], event: dict[str, Any]
) -> dict[str, Any]:
    """Delete them after the commit, whose event is completed then; what is left the next sync deletes."""
    try:
        unchanged(context, done).check()
        context.slave.delete_jobs(orphans)
    except (DenodoSchedulerError, NothingToDo) as error:
        log.error("Not all orphans could be deleted from the slave; the next sync tries again: %s", error)
        return event
    log.warning("Orphans deleted from the slave: %s", listed(sorted(orphans)))
    complete = {**event, "orphans": {**event["orphans"], "deleted": True}}
    context.save(context.record(), complete)
    return complete
