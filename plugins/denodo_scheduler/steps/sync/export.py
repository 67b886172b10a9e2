"""Taking a snapshot of the active server and comparing it with the committed one. Changes no server."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from denodo_ha.checks import mass_change, shrunk
from denodo_ha.jobs import Job, JobKey
from denodo_ha.record import Record
from denodo_ha.scope import ScopeError
from denodo_ha.snapshot.archive import ArchiveContents, ArchiveError, filter_archive, inspect, same_content
from denodo_ha.snapshot.ids import new_id
from denodo_ha.snapshot.manifest import Manifest, ManifestError, build_manifest
from denodo_ha.sync_results import Exported, summary
from denodo_ha.text import listed
from denodo_scheduler.state.files import new_file
from denodo_scheduler.state.storage import StorageError
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NotYet

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often the export is repeated when the metadata changed while it was written."""


@dataclass(frozen=True)
class _Taken:
    contents: ArchiveContents
    manifest: Manifest
    size: int


def export(context: PairContext, ticket: SyncTicket, *, accept_mass_change: bool = False) -> Exported:
    """Take a snapshot and say what is new in it.

    :param accept_mass_change: a person has looked at the mass change and wants it.

    :raises Blocked: the file is damaged, the patterns match nothing, or a mass change is not accepted.
    :raises NotYet: the metadata kept changing while it was exported.
    """
    record = (context.records.load() or Record()) if context.dry_run else context.record()
    committed = _committed(context, ticket.base_snapshot)
    began = context.now()
    snapshot_id = new_id(began)
    try:
        taken = _take(context, snapshot_id, committed)
        _guard_mass_change(context, record, committed[1] if committed else None, taken.manifest, accept_mass_change)
        exported = _describe(context, record, snapshot_id, began, taken, committed)
    except BaseException:
        with suppress(StorageError):
            context.snapshots.delete(snapshot_id)
        raise
    if context.dry_run:
        context.snapshots.delete(snapshot_id)
    else:
        context.snapshots.write(snapshot_id, contents=taken.contents.to_json(), manifest=taken.manifest.to_json())
        forgotten = began - context.pair.sync.oldest_export
        protected = {snapshot_id, ticket.base_snapshot or "", *record.stored}
        context.snapshots.retire(context.pair.snapshots.keep, protected, before=forgotten)
    log.info("Snapshot %s: %d jobs, %d enabled. %s", snapshot_id, exported.jobs, exported.enabled, exported.comparison)
    return exported


def _committed(context: PairContext, snapshot_id: str | None) -> tuple[ArchiveContents, Manifest] | None:
    """The committed snapshot, or None where there is none or its files are gone."""
    if snapshot_id is None:
        return None
    try:
        contents, manifest = context.snapshots.read(snapshot_id)
        return ArchiveContents.from_json(contents), Manifest.from_json(manifest)
    except (FileNotFoundError, ArchiveError, ManifestError) as error:
        log.warning("The committed snapshot %s cannot be read (%s); everything is imported anew.", snapshot_id, error)
        return None


def _take(context: PairContext, snapshot_id: str, committed: tuple[ArchiveContents, Manifest] | None) -> _Taken:
    """Export until file, definitions and states belong to one and the same moment."""
    why: object = None
    for _ in range(ATTEMPTS):
        before = context.master.jobs()
        _ensure_in_scope(context, before)
        contents, size = _export_file(context, snapshot_id)
        known = committed is not None and contents.content_hash == committed[0].content_hash
        after = before if known else context.master.jobs()
        try:
            manifest = build_manifest(after, context.master.statuses().jobs, context.pair.scope)
            _ensure_same_moment(before, after, manifest, contents)
            return _Taken(contents, manifest, size)
        except ManifestError as error:
            why = error
            log.warning("The metadata changed while it was exported (%s); exporting again.", error)
    raise NotYet(
        "metadata_changing",
        f"the master's metadata changed during each of {ATTEMPTS} exports: {why}",
        "nothing was changed; this task tries again, or run the sync when no one edits jobs",
    )


def _ensure_in_scope(context: PairContext, jobs: Sequence[Job]) -> None:
    keys = [job.key for job in jobs]
    try:
        try:
            context.pair.scope.check(keys)
        except ScopeError:  # perhaps a pattern is for a project that has no job yet
            context.pair.scope.check(keys, [project.name for project in context.master.projects()])
    except ScopeError as error:
        raise Blocked("scope_empty", str(error), "correct the pair and clear this task; nothing was changed") from None


def _export_file(context: PairContext, snapshot_id: str) -> tuple[ArchiveContents, int]:
    """Export into the snapshot's folder, check the file, and cut it down to the pair's scope."""
    path = context.snapshots.export_path(snapshot_id)
    result = context.master.export_metadata(path)
    try:
        contents = inspect(path, expected_size=result.size)
        if context.pair.scope.everything:
            return contents, result.size
        with new_file(path) as destination:
            filtered = filter_archive(path, contents, destination, context.pair.scope)
    except (ArchiveError, ScopeError) as error:
        raise Blocked(
            "export_refused",
            f"the master's export cannot be used: {error}",
            "nothing was changed; look at the master's web tool and clear this task",
        ) from None
    if filtered.outside_dependencies:
        log.warning(
            "Some jobs in scope wait for jobs out of scope, which the slave will not have: %s",
            listed(sorted(job for job, _ in filtered.outside_dependencies)),
        )
    return filtered.contents, path.stat().st_size


def _ensure_same_moment(
    before: Sequence[Job], after: Sequence[Job], manifest: Manifest, contents: ArchiveContents
) -> None:
    if {job.key: job.definition for job in before} != {job.key: job.definition for job in after}:
        raise ManifestError("job definitions were edited")
    in_file, on_server = _names(contents.jobs), _names(manifest.by_key)
    if in_file != on_server:
        apart = sorted((in_file - on_server) + (on_server - in_file))
        raise ManifestError(f"the file and the server do not list the same jobs: {listed(apart)}")


def _names(keys: Iterable[JobKey]) -> Counter[str]:
    """Names of the jobs without their projects: how the file spells an odd project name is unpublished [G]."""
    return Counter(key.name.casefold() for key in keys)


def _guard_mass_change(
    context: PairContext, record: Record, old: Manifest | None, new: Manifest, accepted: bool
) -> None:
    if old is None and record.snapshot:
        found = shrunk(record.snapshot.jobs, record.snapshot.enabled, new, context.pair.sync.mass_change)
    else:
        found = mass_change(old, new, context.pair.sync.mass_change)
    if found is None:
        return
    if accepted:
        log.warning(
            "Mass change accepted by %s: %s (%s)", context.actor, found.reason, context.reason or "no reason given"
        )
    elif context.dry_run:
        log.warning("A real sync would stop here: %s", found.reason)
    else:
        raise Blocked(
            "mass_change",
            found.reason,
            "nothing was changed; look at the master, and if it is right, run the sync by hand with 'accept a mass "
            "change' ticked and a reason",
        )


def _describe(
    context: PairContext,
    record: Record,
    snapshot_id: str,
    began: datetime,
    taken: _Taken,
    committed: tuple[ArchiveContents, Manifest] | None,
) -> Exported:
    age = began - record.snapshot.imported if record.snapshot else None
    comparison = same_content(
        committed[0] if committed else None,
        taken.contents,
        last_import_age=age,
        secrets_refresh=context.pair.sync.secrets_refresh,
    )
    difference = (committed[1] if committed else Manifest(jobs=())).diff(taken.manifest)
    return Exported(
        snapshot=snapshot_id,
        location=context.snapshots.location(snapshot_id),
        taken=began.isoformat(),
        version=taken.contents.version,
        content_hash=taken.contents.content_hash,
        manifest_hash=taken.manifest.hash,
        size=taken.size,
        jobs=taken.manifest.counts["jobs"],
        enabled=taken.manifest.counts["enabled"],
        unchanged=comparison.unchanged and record.dirty is None,
        comparison=comparison.reason if record.dirty is None else f"the slave is dirty: {record.dirty.reason}",
        plan=summary(difference),
    )
