"""Taking a snapshot of the active server and planning what the passive one needs of it. Changes no server."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from denodo_ha.checks import mass_change, shrunk
from denodo_ha.definitions import Names, differing, fields, is_content
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.changes import Changes
from denodo_ha.delivery.plan import DeliveryPlan
from denodo_ha.jobs import DataSource, Job, JobKey, fold
from denodo_ha.properties import unreachable_hosts
from denodo_ha.reason import Reason
from denodo_ha.record import Record
from denodo_ha.scope import ScopeError
from denodo_ha.server.exported import unasked
from denodo_ha.snapshot.archive import ArchiveContents, ArchiveError, cut_archive, filter_archive, has_scratch, inspect
from denodo_ha.snapshot.ids import new_id
from denodo_ha.snapshot.manifest import Manifest, ManifestError, build_manifest
from denodo_ha.sync_results import Exported, summary
from denodo_ha.text import listed
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.files import new_file
from denodo_scheduler.state.storage import StorageError
from denodo_scheduler.steps.claim import SyncTicket, only_looks
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NotYet, readable
from denodo_scheduler.steps.servers import data_sources
from denodo_scheduler.steps.sync.planning import Planner, Server, Snapshot

log = logging.getLogger(__name__)

SHORT_WAIT = timedelta(seconds=30)
"""How long before a moment the task that imports begins, which waits for it: the moment may be short."""
ATTEMPTS = 3
"""How often the export is repeated when the metadata changed while it was written."""


@dataclass(frozen=True)
class _Taken:
    """An export, and the definitions of the same moment."""

    contents: ArchiveContents
    manifest: Manifest
    jobs: Sequence[Job]
    size: int


def export(
    context: PairContext, ticket: SyncTicket, *, accept_mass_change: bool = False, deliver_now: bool = False
) -> Exported:
    """Take a snapshot and plan what has to be delivered of it.

    :param accept_mass_change: a person has looked at the mass change and wants it.
    :param deliver_now: a person accepts that jobs which have no safe moment may run once on the target.
    :raises Blocked: the file is damaged, the patterns match nothing, or a mass change is not accepted.
    :raises NotYet: the metadata kept changing while it was exported.
    """
    looks = only_looks(context, ticket)
    record = (context.records.load() or Record()) if looks else context.record()
    committed = _committed(context, record, ticket)
    began = context.now()
    snapshot_id = new_id(began)
    try:
        taken = _take(context, ticket, snapshot_id, committed)
        old = committed[1] if committed else None
        _guard_mass_change(context, record, old, taken.manifest, accepted=accept_mass_change, looks=looks)
        planned = _plan(context, record, ticket, taken, committed, deliver_now)
        exported = _describe(context, record, ticket, snapshot_id, began, taken, committed, planned)
    except BaseException:
        with suppress(StorageError):
            context.snapshots.delete(snapshot_id)
        raise
    if looks:
        context.snapshots.delete(snapshot_id)
    else:
        context.snapshots.write(snapshot_id, contents=taken.contents.to_json(), manifest=taken.manifest.to_json())
        forgotten = began - context.pair.sync.oldest_export
        protected = {snapshot_id, ticket.base_snapshot or "", *record.stored}
        context.snapshots.retire(context.pair.snapshots.keep, protected, before=forgotten)
    log.debug("Snapshot %s: %d jobs, %d enabled", snapshot_id, exported.jobs, exported.enabled)
    return exported


def read_snapshot(context: PairContext, snapshot_id: str, record: Record, ticket: SyncTicket) -> Snapshot:
    """Read what :func:`export` stored."""
    contents, manifest = readable(context.snapshots.read, snapshot_id)
    committed = _committed(context, record, ticket)
    return Snapshot(
        readable(ArchiveContents.from_json, contents),
        readable(Manifest.from_json, manifest),
        committed[0] if committed else None,
    )


def _committed(context: PairContext, record: Record, ticket: SyncTicket) -> tuple[ArchiveContents, Manifest] | None:
    """The committed snapshot of the same source, or None where there is none or its files are gone."""
    return _last(context, ticket) if record.snapshot and record.snapshot.source is ticket.source else None


def _last(context: PairContext, ticket: SyncTicket) -> tuple[ArchiveContents, Manifest] | None:
    """The same, of whichever source."""
    if ticket.base_snapshot is None:
        return None
    try:
        contents, manifest = context.snapshots.read(ticket.base_snapshot)
        return ArchiveContents.from_json(contents), Manifest.from_json(manifest)
    except (FileNotFoundError, ArchiveError, ManifestError) as error:
        what = f"The committed snapshot {ticket.base_snapshot} cannot be read ({error})"
        log.warning("%s; all that has secrets is delivered anew.", what)
        return None


def _take(
    context: PairContext, ticket: SyncTicket, snapshot_id: str, committed: tuple[ArchiveContents, Manifest] | None
) -> _Taken:
    """Export until file, definitions and states belong to one and the same moment."""
    why: object = None
    source = context.servers.hook(ticket.source)
    steady = _Steadiness(set(committed[1].noise if committed else ()))
    for _ in range(ATTEMPTS):
        before = source.jobs()
        _ensure_in_scope(context, source, before)
        contents, size = _export_file(context, ticket, snapshot_id)
        try:
            if (
                committed
                and contents.content_hash == committed[0].content_hash
                and committed[1].data_sources is not None
            ):
                jobs: Sequence[Job] = before
                manifest = build_manifest(jobs, source.statuses().jobs, context.pair.scope, same_content=committed[1])
            else:
                jobs, manifest = _read_manifest(context, ticket, before, contents, steady)
            _ensure_same_jobs(manifest, contents)
            return _Taken(contents, manifest, jobs, size)
        except ManifestError as error:
            why = error
            log.warning("The metadata changed while it was exported (%s); exporting again.", error)
    raise NotYet(
        "metadata_changing",
        f"the {ticket.source}'s metadata changed during each of {ATTEMPTS} exports: {why}",
        "nothing was changed; this task tries again, or run the sync when no one edits jobs",
    )


def _read_manifest(
    context: PairContext,
    ticket: SyncTicket,
    before: Sequence[Job],
    contents: ArchiveContents,
    steady: _Steadiness,
) -> tuple[Sequence[Job], Manifest]:
    """Read the definitions once more, after the export.

    :raises ManifestError: they were edited meanwhile.
    """
    source = context.servers.hook(ticket.source)
    after, found = source.jobs(), data_sources(source, ticket.source)
    steady.check(before, after, Names.of(after, found or ()), contents)
    statuses = source.statuses().jobs
    return after, build_manifest(after, statuses, context.pair.scope, data_sources=found, noise=steady.noise)


@dataclass
class _Steadiness:
    """Tells an edit that happens during an export from fields that change by themselves.

    A field counts as noise if it changes during two exports in a row whose files have the same content, and is neither
    documented nor named in that file. That is safe: what a person edits is in the file, so an edit between the two
    makes the files differ. An edit that no file can show is one of which an import would not deliver anything either.

    :param noise: paths that are known to be noise.
    """

    noise: set[str]
    _content_hash: str = ""
    _changed: frozenset[str] = frozenset()

    def check(self, before: Sequence[Job], after: Sequence[Job], names: Names, contents: ArchiveContents) -> None:
        """:raises ManifestError: definitions were edited, as far as is known by now."""
        first = {job.key: job for job in before}
        if first.keys() != {job.key for job in after}:
            raise ManifestError("jobs were added or removed")
        self.noise = {path for path in self.noise if not is_content(path, contents.parameters)}
        pairs = ((first[job.key], job) for job in after if job.definition != first[job.key].definition)
        apart = (differing(fields(one, names), fields(other, names)) for one, other in pairs)
        changed = frozenset[str]().union(*apart) - self.noise
        learned: frozenset[str] = frozenset()
        if contents.content_hash == self._content_hash:
            learned = frozenset(p for p in changed & self._changed if not is_content(p, contents.parameters))
        self._content_hash, self._changed = contents.content_hash, changed
        if learned:
            log.warning("Not compared from now on, since they change without an edit: %s", listed(sorted(learned), 20))
            self.noise |= learned
        if edited := changed - learned:
            raise ManifestError(f"job definitions were edited: {listed(sorted(edited))}")


def _ensure_in_scope(context: PairContext, source: DenodoSchedulerHook, jobs: Sequence[Job]) -> None:
    keys = [job.key for job in jobs]
    try:
        try:
            context.pair.scope.check(keys)
        except ScopeError:  # perhaps a pattern is for a project that has no job yet
            context.pair.scope.check(keys, [project.name for project in source.projects()])
    except ScopeError as error:
        raise Blocked("scope_empty", str(error), "correct the pair and clear this task; nothing was changed") from None


def _export_file(context: PairContext, ticket: SyncTicket, snapshot_id: str) -> tuple[ArchiveContents, int]:
    """Export into the snapshot's folder, check the file, and cut it down to the pair's scope."""
    path = context.snapshots.export_path(snapshot_id)
    hook = context.servers.hook(ticket.source)
    result = hook.export_metadata(path)
    try:
        contents = inspect(path, expected_size=result.size)
        options = hook.settings.options("export")
        if odd := {element.entry for element in contents.elements if unasked(element.entry, options)}:
            log.warning(
                "The %s exports server configuration or permissions, which are not wanted and not delivered: %s",
                ticket.source,
                listed(sorted(odd)),
            )
            with new_file(path) as destination:
                contents = cut_archive(path, contents, destination, lambda element: element.entry not in odd)
        if context.pair.scope.everything and not has_scratch(path):
            return contents, path.stat().st_size
        with new_file(path) as destination:
            filtered = filter_archive(path, contents, destination, context.pair.scope)
    except (ArchiveError, ScopeError) as error:
        raise Blocked(
            "export_refused",
            f"the {ticket.source}'s export cannot be used: {error}",
            f"nothing was changed; look at the {ticket.source}'s web tool and clear this task",
        ) from None
    if filtered.outside_dependencies:
        log.warning(
            "Some jobs in scope wait for jobs out of scope, which the %s will not have: %s",
            ticket.target,
            listed(sorted(job for job, _ in filtered.outside_dependencies)),
        )
    return filtered.contents, path.stat().st_size


def _ensure_same_jobs(manifest: Manifest, contents: ArchiveContents) -> None:
    in_file, on_server = _names(contents.jobs), _names(manifest.by_key)
    if in_file != on_server:
        apart = sorted((in_file - on_server) + (on_server - in_file))
        raise ManifestError(f"the file and the server do not list the same jobs: {listed(apart)}")


def _names(keys: Iterable[JobKey]) -> Counter[str]:
    """Names of the jobs without their projects: how the file spells an odd project name is unpublished [G]."""
    return Counter(fold(key.name) for key in keys)


def _guard_mass_change(
    context: PairContext, record: Record, old: Manifest | None, new: Manifest, *, accepted: bool, looks: Reason | None
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
    elif looks:
        log.warning("A real sync would stop here: %s", found.reason)
    else:
        raise Blocked(
            "mass_change",
            found.reason,
            "nothing was changed; look at the active server, and if it is right, run the sync by hand with 'accept a "
            "mass change' ticked and a reason",
        )


@dataclass(frozen=True)
class _Planned:
    """
    :param unlike: jobs that the target has with another definition.
    :param waits: how long the sync waits for a moment before it sends anything.
    """

    plan: DeliveryPlan
    changes: Changes
    unlike: frozenset[JobKey]
    waits: timedelta | None


def _plan(
    context: PairContext,
    record: Record,
    ticket: SyncTicket,
    taken: _Taken,
    committed: tuple[ArchiveContents, Manifest] | None,
    deliver_now: bool,
) -> _Planned:
    source, target = context.servers.hook(ticket.source), context.servers.hook(ticket.target)
    here = Server.of(taken.jobs, data_sources(source, ticket.source) or ())
    snapshot = Snapshot(taken.contents, taken.manifest, committed[0] if committed else None)
    planner = Planner(context, record, ticket.target, snapshot, here, deliver_now)
    there = Server.read(target, ticket.target)
    found = planner.differences(there)
    wanted = planner.changes(found)
    if not wanted:
        return _Planned(DeliveryPlan(), wanted, found.unlike, None)
    _warn_of_addresses(context, ticket, here.data_sources)
    now = target.answered
    known = record.capabilities.get(ticket.target, Capabilities()).for_version(ticket.version)
    until = now + context.pair.sync.quiet_timeout
    plan = planner.plan(wanted, found, there, now=now, until=until, capabilities=known)
    moment = plan.wait_for(planner.overdue)
    return _Planned(plan, wanted, found.unlike, moment - now if moment else None)


def _warn_of_addresses(context: PairContext, ticket: SyncTicket, sources: Sequence[DataSource]) -> None:
    """Name data sources that lead to the machine of the server that is copied, where the pair says nothing of sites."""
    host, site = context.servers.hook(ticket.source).place.tool, context.pair.properties_of(ticket.target)
    rows = [{"projectName": each.project, "name": each.name, **each.values} for each in sources]
    if unmatched := site.unmatched(rows):
        log.warning("Properties of the pair that fit no data source of the %s: %s.", ticket.source, listed(unmatched))
    if (named := unreachable_hosts(rows, host)) and not site:
        log.warning(
            "%d data sources lead to %s, the machine of the %s, and would do so on the %s too: %s. If the servers are "
            "at two sites, give each its own addresses with the option 'properties' of the pair.",
            len(named),
            host,
            ticket.source,
            ticket.target,
            listed(named),
        )


def _describe(
    context: PairContext,
    record: Record,
    ticket: SyncTicket,
    snapshot_id: str,
    began: datetime,
    taken: _Taken,
    committed: tuple[ArchiveContents, Manifest] | None,
    planned: _Planned,
) -> Exported:
    last = committed or _last(context, ticket)
    difference = (last[1] if last else Manifest(jobs=())).diff(taken.manifest)
    if not committed:  # hashes of two servers may differ where their definitions do not
        difference = difference.changed_among(planned.unlike)
    wait = planned.waits - SHORT_WAIT if planned.waits and planned.waits > SHORT_WAIT else None
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
        unchanged=not planned.plan,
        comparison=_comparison(ticket, planned, committed[0] if committed else None, taken.contents),
        plan=summary(difference),
        delivery=planned.plan.to_json(),
        text=planned.plan.text(),
        dirty_since=record.dirty.since.isoformat() if record.dirty else None,
        wait_until=(context.now() + wait).isoformat() if wait else None,
    )


def _comparison(ticket: SyncTicket, planned: _Planned, old: ArchiveContents | None, new: ArchiveContents) -> str:
    """Why something has to be delivered, or why not."""
    gone = [element for identity, element in old.by_identity.items() if identity not in new.by_identity] if old else []
    said = f"the {ticket.target} has all that is in the export"
    if planned.plan:
        said = f"to deliver: {planned.changes}"
    elif planned.changes:
        said = f"nothing of what is to be delivered can be sent safely now: {planned.changes}"
    if not gone:
        return said
    first = min(gone, key=lambda element: element.identity)
    return f"{said}; {len(gone)} removed (such as {first}), which the {ticket.target} keeps, a job as an orphan"
