"""Checks before and after an import: is the source credible, and is the passive server in the state it should be in?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from denodo_ha.definitions import Names, digest
from denodo_ha.jobs import DataSource, Job, JobKey, JobState, JobStatus
from denodo_ha.pairs_options import MassChangeLimits
from denodo_ha.properties import SiteProperties
from denodo_ha.scope import Scope
from denodo_ha.snapshot.manifest import Manifest, ManifestDataSource, described, value_hash


@dataclass(frozen=True)
class MassChange:
    """A change larger than people usually make between two syncs; ``reason`` describes it."""

    reason: str


def mass_change(old: Manifest | None, new: Manifest, limits: MassChangeLimits) -> MassChange | None:
    """Return what ``new`` lost against the committed manifest ``old``, where a person has to approve it first.

    Jobs that vanished or became disabled are counted, once among all jobs and once among the enabled ones. Apart from
    the limits, a server whose jobs are all disabled is refused unless ``old`` agrees: a paused one looks like this [D].
    """
    if new.jobs and not new.enabled and (old is None or old.enabled):
        return MassChange(
            f"all {len(new.jobs)} jobs are disabled; a paused server looks exactly like this. Resume it, or approve."
        )
    if old is None:
        return None
    if old.jobs and not new.jobs:
        return MassChange(
            f"all {len(old.jobs)} jobs vanished. Look at the projects and at the login's role, or approve."
        )
    difference = old.diff(new)
    lost = {*difference.removed, *difference.disabled}
    for word, lost_here, before in (("", lost, len(old.jobs)), ("enabled ", lost & old.enabled, len(old.enabled))):
        if limits.exceeded(len(lost_here), before):
            return MassChange(
                f"{len(difference.removed)} jobs vanished and {len(difference.disabled)} became disabled, which is "
                f"{len(lost_here)} of {before} {word}jobs; the limit is {limits.percent} % (and {limits.jobs} jobs). "
                f"Look whether that was meant, then approve."
            )
    return None


def shrunk(jobs: int, enabled: int, new: Manifest, limits: MassChangeLimits) -> MassChange | None:
    """Check like :func:`mass_change` where only the counts of the committed manifest are left."""
    lost, disabled = jobs - len(new.jobs), enabled - len(new.enabled)
    if limits.exceeded(lost, jobs) or limits.exceeded(disabled, enabled):
        return MassChange(
            f"{len(new.jobs)} jobs are left of {jobs}, and {len(new.enabled)} enabled ones of {enabled}. The files of "
            f"the committed snapshot are gone, so it cannot be said which. Look whether that was meant, then approve."
        )
    return mass_change(None, new, limits)


@dataclass(frozen=True)
class Verification:
    """The differences between the passive server and the manifest.

    ``missing`` jobs of the manifest are not on the server, ``enabled`` ones in scope may start, ``different`` ones have
    another definition, ``orphans`` in scope are not in the manifest, ``lost`` ones out of scope were there before the
    import. ``data_sources`` of the manifest are missing or differ.
    """

    missing: tuple[JobKey, ...] = ()
    enabled: tuple[JobKey, ...] = ()
    different: tuple[JobKey, ...] = ()
    orphans: tuple[JobKey, ...] = ()
    lost: tuple[JobKey, ...] = ()
    data_sources: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a snapshot can be committed; orphans do not prevent it, they are subject to the pair's policy."""
        return not (self.missing or self.enabled or self.different or self.lost or self.data_sources)


def enabled_by_definition(jobs: Iterable[Job], statuses: Iterable[JobStatus], scope: Scope) -> tuple[JobKey, ...]:
    """Return the jobs in scope whose own definition says that they are enabled, whatever their status shows."""
    drafts = {status.key for status in statuses if status.state is JobState.DRAFT}
    return tuple(
        sorted(job.key for job in jobs if job.is_flagged_enabled and scope.matches(job.key) and job.key not in drafts)
    )


def verify(
    manifest: Manifest,
    jobs: Sequence[Job],
    statuses: Sequence[JobStatus],
    scope: Scope,
    *,
    definitions: bool,
    data_sources: Sequence[DataSource] = (),
    before: Iterable[JobKey] = (),
) -> Verification:
    """Compare the passive server with the manifest.

    A job counts as enabled by its status or by its own definition, where ``jobs`` has it. ``definitions`` are compared
    when asked for, by their hashes; :func:`denodo_ha.definitions.compare` finds out what to think of those that differ.
    ``before`` lists the server's jobs before the import, which may replace
    everything [V]; those out of scope must still be there.
    """
    states = {status.key: status.state for status in statuses if scope.matches(status.key)}
    different: list[JobKey] = []
    if definitions:
        names = Names.of(jobs, data_sources)
        different = [
            job.key
            for job in jobs
            if (wanted := manifest.by_key.get(job.key))
            and (wanted.type, wanted.definition_hash) != (job.type, digest(job, names, manifest.noise))
        ]
    enabled = {key for key, state in states.items() if state.is_enabled}
    return Verification(
        missing=tuple(sorted(manifest.by_key.keys() - states.keys())),
        enabled=tuple(sorted(enabled.union(enabled_by_definition(jobs, statuses, scope)))),
        different=tuple(sorted(different)),
        orphans=tuple(sorted(states.keys() - manifest.by_key.keys())),
        lost=tuple(sorted({key for key in before if not scope.matches(key)} - {status.key for status in statuses})),
    )


def different_data_sources(
    manifest: Manifest, data_sources: Sequence[DataSource], scope: Scope, site: SiteProperties, *, values: bool
) -> dict[JobKey, str]:
    """Return what is wrong with the data sources of the manifest that the server lacks or has otherwise.

    :param site: what data sources hold on this server in place of the manifest's values.
    :param values: compare type, login and connection URI too, as far as both servers show them; passwords are
        write-only [V].
    """
    there = {source.key: source for source in data_sources if scope.matches_project(source.project)}
    known = {source.key: source.fields for source in described(there.values(), scope)}
    wanted = manifest.data_sources or ()
    shown = set().union(*known.values()) & set().union(*(source.fields for source in wanted))
    found = {}
    for source in wanted:
        if source.key not in there:
            found[source.key] = "missing"
            continue
        wrong = [name for name in sorted(shown) if not _as_wanted(source, there[source.key], name, site)]
        if values and wrong:
            found[source.key] = ", ".join(wrong)
    return found


def _as_wanted(wanted: ManifestDataSource, there: DataSource, name: str, site: SiteProperties) -> bool:
    own = site.value_for(there.project, there.type or "", there.name, name)
    expected = value_hash(own) if own is not None else wanted.fields.get(name)
    return expected == value_hash(there.values[name])


def ran_since(statuses: Sequence[JobStatus], since: datetime) -> tuple[JobKey, ...]:
    """Return the jobs of the passive server that run now or have run since ``since``: suspected double runs.

    ``since`` is when the import began by that server's clock (aware); it is rounded down to the second, because times
    may come without fractions [G].
    """
    begin = since.replace(microsecond=0)
    return tuple(
        sorted(
            status.key
            for status in statuses
            if status.state is JobState.RUNNING or (status.previous_execution and status.previous_execution >= begin)
        )
    )


_NEVER = datetime.min.replace(tzinfo=UTC)


def same_server(a: Sequence[JobStatus], b: Sequence[JobStatus]) -> bool:
    """Return whether two reads, made one right after the other, come from one and the same server.

    Equal ids of jobs and projects are necessary, and clones share them. But clones do not share the executions of their
    jobs, so at least half of the jobs enabled in either read must agree in state and in previous and next execution;
    half, because on a busy server some jobs run between the reads. Without any enabled job, nothing but equal ids and
    executions of all jobs will do.
    """
    others = {status.key: status for status in b}
    shared = [(status, others[status.key]) for status in a if status.key in others]
    if any((one.job_id, one.project_id) != (other.job_id, other.project_id) for one, other in shared):
        return False
    alive = [(one, other) for one, other in shared if one.state.is_enabled or other.state.is_enabled]
    if not alive:
        whole = len(shared) == len(a) == len(b)
        return bool(shared) and whole and all(_life(one) == _life(other) for one, other in shared)
    agreeing = sum(_life(one) == _life(other) for one, other in alive)
    return 2 * agreeing >= len(alive)


def alike_at_rest(a: Sequence[JobStatus], b: Sequence[JobStatus]) -> bool:
    """Return whether nothing but what is enabled tells two servers apart, as of a clone that has run nothing since."""

    def rested(statuses: Sequence[JobStatus]) -> list[JobStatus]:
        return [each.model_copy(update={"state": JobState.DISABLED, "next_execution": None}) for each in statuses]

    return same_server(rested(a), rested(b))


def may_go_on(before: Sequence[JobStatus], now: Sequence[JobStatus]) -> bool:
    """Return whether a later read may come from the same server: no job has another id, and no execution is gone."""
    known = {status.key: status for status in before}
    shared = [(known[status.key], status) for status in now if status.key in known]
    return all(
        (one.job_id, one.project_id) == (later.job_id, later.project_id)
        and (one.previous_execution is None or one.previous_execution <= (later.previous_execution or _NEVER))
        for one, later in shared
    )


def _life(status: JobStatus) -> tuple[JobState, datetime | None, datetime | None]:
    return status.state, status.previous_execution, status.next_execution
