"""Reading the passive server back after a delivery: does it equal the snapshot, as far as anything is content?"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from denodo_ha.checks import Verification, different_data_sources
from denodo_ha.checks import verify as check
from denodo_ha.definitions import Names, compare, digest, fields
from denodo_ha.delivery.plan import Pending
from denodo_ha.jobs import DataSource, Job, JobKey
from denodo_ha.preconditions import looks_paused, other
from denodo_ha.record import Role
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.text import listed
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.servers import data_sources, enabled_in

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadBack:
    """What was read, and what is wrong.

    :param manifest: that of the snapshot, with the noise that was learned here.
    :param paths: where the jobs that differ do so.
    """

    found: Verification
    manifest: Manifest
    statuses: Statuses
    paths: Mapping[JobKey, tuple[str, ...]]

    def problems(self, context: PairContext, role: Role) -> list[str]:
        """What prevents a commit, as clauses. ``role`` is that of the server that was read."""
        found = self.found
        gone = (f"gone from the {other(role)}",)
        different = [f"{key} ({listed(self.paths.get(key, gone), 3)})" for key in found.different]
        kinds = {
            "jobs are missing": found.missing,
            "jobs are enabled": found.enabled,
            "jobs have another definition": different,
            "jobs outside the pair's scope were removed by the import": found.lost,
            "data sources are missing or differ": found.data_sources,
        }
        said = [f"{len(items)} {what}: {listed(items)}" for what, items in kinds.items() if items]
        if found.enabled and not enabled_in(context.pair.scope, self.statuses):
            said.append(looks_paused(found.enabled, role).what)
        return said


def read_back(
    context: PairContext,
    ticket: SyncTicket,
    manifest: Manifest,
    parameters: tuple[str, ...],
    *,
    others: Iterable[JobKey],
    definitions: bool,
    pending: Collection[Pending],
) -> ReadBack:
    """Read the passive server and compare it with the manifest.

    :param parameters: the names of the parameters in the export file.
    :param others: the server's jobs out of scope before the delivery.
    :param definitions: compare definitions and data sources too. Where nothing was delivered they were compared when
        that was found out.
    :param pending: what is left out of the comparison, since it was not delivered.
    """
    target = context.servers.hook(ticket.target)
    statuses, scope = target.statuses(), context.pair.scope
    if not definitions:
        found = check(manifest, (), statuses.jobs, scope, definitions=False)
        return ReadBack(_without(found, pending), manifest, statuses, {})
    jobs, sources = target.jobs(), data_sources(target, ticket.target)
    wanted = context.pair.sync.verify_definitions
    found = check(
        manifest,
        jobs,
        statuses.jobs,
        scope,
        definitions=wanted,
        data_sources=sources or (),
        before=others,
    )
    if sources is not None:
        values = wanted and target.settings.options("import").get("replaceDataSources") is not False
        site = context.pair.properties_of(ticket.target)
        wrong = different_data_sources(manifest, sources, scope, site, values=values)
        left_out = {each.element for each in pending}
        said = [f"{key} ({what})" for key, what in wrong.items() if ("dataSource", *key.folded) not in left_out]
        found = replace(found, data_sources=tuple(said))
    found = _without(found, pending)
    if not found.different:
        return ReadBack(found, manifest, statuses, {})
    return _closer(context, ticket, ReadBack(found, manifest, statuses, {}), jobs, sources, parameters)


def _without(found: Verification, pending: Collection[Pending]) -> Verification:
    keys = {each.key for each in pending}
    return replace(
        found,
        missing=tuple(key for key in found.missing if key not in keys),
        different=tuple(key for key in found.different if key not in keys),
    )


def _closer(
    context: PairContext,
    ticket: SyncTicket,
    read: ReadBack,
    jobs: list[Job],
    sources: list[DataSource] | None,
    parameters: tuple[str, ...],
) -> ReadBack:
    """Compare field by field with the active server, since hashes do not tell why they differ.

    What people have edited there since the export counts as different here, and the next run brings it.
    """
    manifest = read.manifest
    there = Names.of(jobs, sources or ())
    hook = context.servers.hook(ticket.source)
    of_source = hook.jobs()
    here = Names.of(of_source, data_sources(hook, ticket.source) or ())
    wanted = manifest.by_key
    source = {job.key: fields(job, here) for job in of_source if job.key in wanted}
    compared = compare(
        source,
        {job.key: fields(job, there) for job in jobs},
        known=manifest.noise,
        parameters=parameters,
    )
    if compared.unknown:
        log.warning(
            "Not compared in %d jobs: which data source or job an id names, because it is not among those that the "
            "login may see: %s",
            len(compared.unknown),
            listed(compared.unknown),
        )
    different = tuple(key for key in read.found.different if key in compared.different or key not in source)
    if compared.noise.difference(manifest.noise):
        log.warning(
            "Not compared from now on, since it differs between the servers in all jobs and is neither documented nor "
            "in the export file: %s",
            listed(sorted(compared.noise.difference(manifest.noise)), 20),
        )
        hashes = {job.key: digest(job, there, compared.noise) for job in jobs if job.key in wanted}
        old = {key: job.definition_hash for key, job in wanted.items()}
        manifest = manifest.with_noise(compared.noise, {**old, **hashes})
    return ReadBack(replace(read.found, different=different), manifest, read.statuses, compared.different)
