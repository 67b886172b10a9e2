"""Last step of a sync: read the passive server back, and commit only what was seen there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from denodo_ha.checks import verify as check
from denodo_ha.jobs import JobKey
from denodo_ha.record import Record, SnapshotRef, close_operation, commit, mark_dirty
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.text import listed
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import Plan, SyncRun
from denodo_scheduler.steps.outcome import Blocked, NothingToDo
from denodo_scheduler.steps.passive import suspects
from denodo_scheduler.steps.sync.disable import Disabled
from denodo_scheduler.steps.sync.export import Exported
from denodo_scheduler.steps.sync.import_ import Imported

log = logging.getLogger(__name__)


def verify(
    run: SyncRun, plan: Plan, exported: Exported, imported: Imported | None, disabled: Disabled | None
) -> dict[str, Any]:
    """Compare the passive server with the manifest, commit the snapshot, and return the sync's event.

    :param imported: None: this run imported nothing.
    :param disabled: None: ``disable_jobs`` was skipped, because there was nothing to do or to be done by this run.
    :raises Blocked: a job is missing, different or enabled; the pair stays dirty and the next run tries again.
    """
    if run.dry_run:
        raise NothingToDo("dry_run", "this is a dry run")
    if run.record().snapshot_id == exported.snapshot:
        raise NothingToDo("committed", f"the snapshot {exported.snapshot} is committed already")
    if imported and imported.snapshot != exported.snapshot:
        raise NothingToDo(
            "superseded", f"the slave was given {imported.snapshot}, not {exported.snapshot}; clear the run"
        )
    record = _committable(run, plan, imported)
    manifest = Manifest.from_json(run.snapshots.read(exported.snapshot)[1])
    statuses = run.slave.statuses()
    orphans = _compare(run, plan, manifest, statuses, imported)
    deleted = _delete_orphans(run, plan, orphans, statuses)
    ran = suspects(run, record.dirty.since if record.dirty else None, statuses)
    if ran:
        log.error("Suspected double run: %s ran on the slave since the import began.", listed(sorted(ran)))

    latest = _committable(run, plan, imported)
    done = run.records.save(commit(latest, _reference(run, record, exported, imported)))
    run.snapshots.retire(run.pair.snapshots.keep, done.stored)
    exposure = _exposure(imported, disabled)
    if exposure["exposure_seconds"] > run.pair.sync.quiet_window.total_seconds():
        log.warning("Jobs were enabled on the slave for longer than the quiet window: raise quiet_window of the pair.")
    return run.event(
        "sync",
        done,
        operation=plan.operation_id,
        before={"snapshot": plan.base_snapshot, "dirty": record.dirty is not None},
        after={"snapshot": exported.snapshot, "dirty": False},
        imported=imported is not None,
        jobs=exported.jobs,
        enabled=exported.enabled,
        content_hash=exported.content_hash,
        manifest_hash=exported.manifest_hash,
        size=exported.size,
        plan=exported.plan,
        location=exported.location,
        warnings=imported.warnings if imported else [],
        orphans={"jobs": len(orphans), "names": listed(sorted(orphans)), "deleted": deleted},
        suspected_double_runs=[str(key) for key in ran],
        **exposure,
    )


def _committable(run: SyncRun, plan: Plan, imported: Imported | None) -> Record:
    """Read the record afresh: only what this run has imported, or what a clean slave has already, can be committed."""
    if imported:
        record = run.own(plan)
        if record.operation and record.operation.id != imported.operation:
            raise NothingToDo("superseded", "another try of this run has imported since; clear the run")
        return record
    record = run.current(plan)
    if record.dirty:
        raise Blocked(
            "not_verified",
            f"the slave is dirty ({record.dirty.reason}), and this run has imported nothing",
            "the next run repairs the slave and imports",
        )
    return record


def _compare(
    run: SyncRun, plan: Plan, manifest: Manifest, statuses: Statuses, imported: Imported | None
) -> tuple[JobKey, ...]:
    """Refuse a passive server that is not what the manifest lists; return its orphans.

    Without an import the definitions were verified when this content was committed, so the states are enough.
    """
    jobs = run.slave.jobs() if imported else None
    found = check(
        manifest,
        jobs,
        statuses.jobs,
        run.pair.scope,
        definitions=run.pair.sync.verify_definitions,
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
        _mark_dirty(run, plan, "the slave does not equal the snapshot: " + "; ".join(said))
        raise Blocked(
            "not_verified",
            "the slave does not equal the snapshot: " + "; ".join(said),
            "the slave stays passive and the old snapshot stays the newest verified one; the next run imports again. "
            "If it stays so, compare these jobs on both servers; where only the definitions differ and that is "
            "harmless, set verify_definitions to false for the pair",
        )
    return found.orphans


def _mark_dirty(run: SyncRun, plan: Plan, reason: str) -> None:
    run.records.save(mark_dirty(close_operation(run.current(plan)), now=run.now(), reason=reason))


def _delete_orphans(run: SyncRun, plan: Plan, orphans: Sequence[JobKey], statuses: Statuses) -> bool:
    """Delete jobs that the master does not have, where the pair or the person who started the run says so.

    Many at once look like a wrong master, so they take the same consent as any mass change.
    """
    if not orphans:
        return False
    if run.pair.sync.orphans != "delete":
        log.warning("Orphans, on the slave only and disabled: %s", listed(sorted(orphans)))
        return False
    in_scope = sum(run.pair.scope.matches(job.key) for job in statuses.jobs)
    if run.pair.sync.mass_change.exceeded(len(orphans), in_scope) and not run.accept_mass_change:
        log.warning(
            "%d of the slave's %d jobs are orphans, too many to delete unasked: %s. To delete them, run the sync by "
            "hand with 'accept a mass change' ticked.",
            len(orphans),
            in_scope,
            listed(sorted(orphans)),
        )
        return False
    run.current(plan)
    run.slave.delete_jobs(orphans)
    log.warning("Orphans deleted from the slave: %s", listed(sorted(orphans)))
    return True


def _reference(run: SyncRun, record: Record, exported: Exported, imported: Imported | None) -> SnapshotRef:
    return SnapshotRef(
        id=exported.snapshot,
        taken=datetime.fromisoformat(exported.taken),
        committed=run.now(),
        imported=_imported_at(record, imported),
        content_hash=exported.content_hash,
        manifest_hash=exported.manifest_hash,
        jobs=exported.jobs,
        enabled=exported.enabled,
    )


def _imported_at(record: Record, imported: Imported | None) -> datetime:
    if imported:
        return datetime.fromisoformat(imported.began)
    assert record.snapshot is not None
    return record.snapshot.imported


def _exposure(imported: Imported | None, disabled: Disabled | None) -> dict[str, float]:
    """How long jobs may have been enabled on the passive server, in seconds.

    ``exposure_seconds`` counts from the moment the import was sent, ``exposure_after_answer_seconds`` from its answer,
    both to the moment all jobs were read back disabled.
    """
    if imported is None:
        return {"exposure_seconds": 0.0, "exposure_after_answer_seconds": 0.0}
    clean = datetime.fromisoformat(disabled.clean_at if disabled and disabled.disabled else imported.clean_at)
    return {
        "exposure_seconds": round((clean - datetime.fromisoformat(imported.began)).total_seconds(), 3),
        "exposure_after_answer_seconds": round((clean - datetime.fromisoformat(imported.answered)).total_seconds(), 3),
    }
