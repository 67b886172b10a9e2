"""The manifest: the facts about the jobs that an export file lacks, above all which of them are enabled [KB, S]."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, model_validator

from denodo_ha.definitions import Names, digest
from denodo_ha.jobs import DataSource, Job, JobKey, JobStatus
from denodo_ha.scope import Scope
from denodo_ha.text import listed


class ManifestError(ValueError):
    """The jobs cannot be listed reliably, or a stored manifest cannot be read; the message says what to do."""


class ManifestJob(BaseModel):
    """One job. ``enabled`` is the job's own flag; ``next_execution`` is in UTC, by the server's clock.

    ``definition_hash`` is empty in a manifest of schema 1, whose hashes cannot be compared with those of today.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: JobKey
    type: str
    enabled: bool
    definition_hash: str
    crons: tuple[str, ...] = ()
    next_execution: AwareDatetime | None = None
    dependencies: tuple[JobKey, ...] = ()


class ManifestDataSource(BaseModel):
    """One data source: for each published field (type, login, connectionURI [V]) that it has, the hash of its value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: JobKey
    fields: dict[str, str]


class Difference(BaseModel):
    """The changes from one manifest to another. ``enabled`` and ``disabled`` are jobs of both whose state changed."""

    model_config = ConfigDict(frozen=True)

    added: tuple[JobKey, ...] = ()
    removed: tuple[JobKey, ...] = ()
    changed: tuple[JobKey, ...] = ()
    enabled: tuple[JobKey, ...] = ()
    disabled: tuple[JobKey, ...] = ()

    def changed_among(self, keys: Collection[JobKey]) -> Difference:
        """Return the same, but with only those changed jobs that are among ``keys``."""
        return self.model_copy(update={"changed": tuple(key for key in self.changed if key in keys)})

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.changed, self.enabled, self.disabled))

    def __str__(self) -> str:
        parts = [f"{len(keys)} {word}" for word, keys in self if keys]
        return ", ".join(parts) or "no difference"


class Manifest(BaseModel):
    """The jobs in scope of one server at one moment, sorted by identity.

    ``data_sources`` are those of the projects in scope, None where they could not be read. ``noise`` are the paths
    inside definitions that are known to be no content, and no part of the hashes, see
    :func:`denodo_ha.definitions.noise`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = 2
    jobs: tuple[ManifestJob, ...]
    data_sources: tuple[ManifestDataSource, ...] | None = None
    noise: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _migrated(cls, value: Any) -> Any:
        """Schema 1 has hashes of another kind and knows no data sources."""
        if not isinstance(value, dict) or value.get("schema_version") != 1 or not isinstance(value.get("jobs"), list):
            return value
        jobs = [{**job, "definition_hash": ""} if isinstance(job, dict) else job for job in value["jobs"]]
        return {**value, "schema_version": 2, "jobs": jobs}

    @cached_property
    def by_key(self) -> dict[JobKey, ManifestJob]:
        return {job.key: job for job in self.jobs}

    @cached_property
    def enabled(self) -> frozenset[JobKey]:
        return frozenset(job.key for job in self.jobs if job.enabled)

    @property
    def counts(self) -> dict[str, int]:
        """Number of ``projects``, ``jobs`` and ``enabled`` jobs."""
        projects = {job.key.folded[0] for job in self.jobs}
        return {"projects": len(projects), "jobs": len(self.jobs), "enabled": len(self.enabled)}

    @cached_property
    def hash(self) -> str:
        """SHA-256 over identities, definitions and enabled flags; the passing of time does not change it."""
        rows = [[*job.key.folded, job.type, job.enabled, job.definition_hash] for job in self.jobs]
        return _sha256(rows)

    def with_noise(self, noise: Iterable[str], hashes: Mapping[JobKey, str]) -> Manifest:
        """Return the same with other noise, and with the definitions' hashes that leave it out."""
        jobs = tuple(job.model_copy(update={"definition_hash": hashes[job.key]}) for job in self.jobs)
        return Manifest(jobs=jobs, data_sources=self.data_sources, noise=tuple(sorted(noise)))

    def diff(self, newer: Manifest) -> Difference:
        """Return what changed from this manifest to ``newer``."""
        before, after = self.by_key, newer.by_key
        both = [key for key in before if key in after]

        def differ(one: ManifestJob, other: ManifestJob) -> bool:
            known = bool(one.definition_hash and other.definition_hash)
            return one.type != other.type or (known and one.definition_hash != other.definition_hash)

        return Difference(
            added=tuple(key for key in after if key not in before),
            removed=tuple(key for key in before if key not in after),
            changed=tuple(key for key in both if differ(before[key], after[key])),
            enabled=tuple(key for key in both if after[key].enabled and not before[key].enabled),
            disabled=tuple(key for key in both if before[key].enabled and not after[key].enabled),
        )

    def to_json(self) -> str:
        """Return deterministic JSON text."""
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read what ``to_json`` wrote, also that of schema 1; raises ManifestError for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the text"
            raise ManifestError(
                f"The stored manifest cannot be read ({where}: {first['msg']}); it is damaged or of another version "
                f"of this project. Take a new snapshot by running a sync."
            ) from None


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _by_key(rows: Sequence[Job] | Sequence[JobStatus]) -> dict[JobKey, Any]:
    found = {row.key: row for row in rows}
    if len(found) != len(rows):
        raise ManifestError(
            "The server lists two jobs of the same project and name; names are compared without case. Rename one."
        )
    return found


def build_manifest(
    jobs: Sequence[Job],
    statuses: Sequence[JobStatus],
    scope: Scope,
    *,
    data_sources: Collection[DataSource] | None = None,
    noise: Collection[str] = (),
    same_content: Manifest | None = None,
) -> Manifest:
    """Build the manifest of the jobs in ``scope`` from the bulk reads of one server.

    ``data_sources`` are all of the server, None where they are not known; ``noise`` is left out of the hashes. A
    manifest of the same content lends its hashes, data sources and noise, since only states can have changed. Raises
    ManifestError when the reads do not list the same jobs, because one was added or removed in between.
    """
    definitions = {key: job for key, job in _by_key(jobs).items() if scope.matches(key)}
    states = {key: status for key, status in _by_key(statuses).items() if scope.matches(key)}
    unsteady = sorted(definitions.keys() ^ states.keys())
    if unsteady:
        raise ManifestError(
            f"Jobs were added or removed while they were read: {listed(unsteady, 10)}. Read again when no jobs are "
            f"edited; if it stays, the login may see only part of the jobs (it needs the role scheduler_admin)."
        )
    names = Names.of(jobs, data_sources or ())
    hashes = {key: job.definition_hash for key, job in same_content.by_key.items()} if same_content else {}
    described_sources = None if data_sources is None else described(data_sources, scope)
    return Manifest(
        jobs=tuple(
            _entry(job, states[key], names, hashes.get(key) or digest(job, names, noise))
            for key, job in sorted(definitions.items())
        ),
        data_sources=same_content.data_sources if same_content else described_sources,
        noise=same_content.noise if same_content else tuple(sorted(noise)),
    )


def value_hash(value: str | None) -> str | None:
    """The hash of a data source's value, which may name machines and people; None for an empty one."""
    return _sha256(value) if value else None


def described(data_sources: Iterable[DataSource], scope: Scope) -> tuple[ManifestDataSource, ...]:
    """Return what a manifest keeps of the data sources of the projects in ``scope``."""
    found = []
    for source in sorted(data_sources, key=lambda source: source.key):
        if scope.matches_project(source.project):
            hashed = {name: hash_ for name, value in source.values.items() if (hash_ := value_hash(value))}
            found.append(ManifestDataSource(key=source.key, fields=hashed))
    return tuple(found)


def _entry(job: Job, status: JobStatus, names: Names, definition_hash: str) -> ManifestJob:
    waits_for = {
        names.jobs[id_]
        for trigger in job.triggers
        if trigger.dependency
        for id_ in trigger.dependency.job_ids
        if id_ in names.jobs
    }
    return ManifestJob(
        key=job.key,
        type=job.type,
        enabled=status.state.is_enabled,
        definition_hash=definition_hash,
        crons=tuple(trigger.cron for trigger in job.triggers if trigger.cron),
        next_execution=status.next_execution,
        dependencies=tuple(sorted(waits_for)),
    )
