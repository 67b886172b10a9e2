"""Reading the passive server back after an import: does it equal the snapshot, as far as anything is content?"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from denodo_ha.checks import Verification, different_data_sources
from denodo_ha.checks import verify as check
from denodo_ha.definitions import Names, compare, digest, fields
from denodo_ha.jobs import DataSource, Job, JobKey
from denodo_ha.preconditions import looks_paused
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.sync_results import Imported
from denodo_ha.text import listed
from denodo_scheduler.hooks.scheduler import Statuses
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

    def problems(self, context: PairContext) -> list[str]:
        """What prevents a commit, as clauses."""
        found = self.found
        different = [f"{key} ({listed(self.paths.get(key, ('gone from the master',)), 3)})" for key in found.different]
        kinds = {
            "jobs are missing": found.missing,
            "jobs are enabled": found.enabled,
            "jobs have another definition": different,
            "jobs outside the pair's scope were removed by the import": found.lost,
            "data sources are missing or differ": found.data_sources,
        }
        said = [f"{len(items)} {what}: {listed(items)}" for what, items in kinds.items() if items]
        if found.enabled and not enabled_in(context.pair.scope, self.statuses):
            said.append(looks_paused(found.enabled, "slave").what)
        return said


def read_back(
    context: PairContext, manifest: Manifest, parameters: tuple[str, ...], imported: Imported | None
) -> ReadBack:
    """Read the slave and compare it with the manifest.

    Without an import, definitions were compared when this content was committed, so the states are enough.

    :param parameters: the names of the parameters in the export file.
    """
    statuses = context.slave.statuses()
    scope, definitions = context.pair.scope, context.pair.sync.verify_definitions
    if imported is None:
        return ReadBack(check(manifest, (), statuses.jobs, scope, definitions=False), manifest, statuses, {})
    jobs, sources = context.slave.jobs(), data_sources(context.slave, "slave")
    found = check(
        manifest,
        jobs,
        statuses.jobs,
        scope,
        definitions=definitions,
        data_sources=sources or (),
        before=[JobKey(project=project, name=name) for project, name in imported.others],
    )
    if sources is not None:
        values = definitions and context.slave.settings.options("import").get("replaceDataSources") is not False
        wrong = different_data_sources(manifest, sources, scope, values=values)
        found = replace(found, data_sources=wrong)
    if not found.different:
        return ReadBack(found, manifest, statuses, {})
    return _closer(context, ReadBack(found, manifest, statuses, {}), jobs, sources, parameters)


def _closer(
    context: PairContext,
    read: ReadBack,
    jobs: list[Job],
    sources: list[DataSource] | None,
    parameters: tuple[str, ...],
) -> ReadBack:
    """Compare field by field with the master, since hashes do not tell why they differ.

    What the master's people have edited since the export counts as different here, and the next run brings it.
    """
    manifest = read.manifest
    there = Names.of(jobs, sources or ())
    of_master = context.master.jobs()
    here = Names.of(of_master, data_sources(context.master, "master") or ())
    wanted = manifest.by_key
    source = {job.key: fields(job, here) for job in of_master if job.key in wanted}
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
