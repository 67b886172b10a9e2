"""The manifest: the facts about the jobs that an export file lacks, above all which of them are enabled [KB, S]."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from denodo_ha.jobs import Job, JobKey, JobStatus
from denodo_ha.scope import Scope
from denodo_ha.text import listed

_SECTIONS = (
    "type",
    "description",
    "extractionSection",
    "exportationSection",
    "handlerSection",
    "retrySection",
    "reportSection",
    "triggerSection",
)
_ID_KEY = re.compile(r"(?i:ids?)|\w+I[dD]s?", re.ASCII)
_JOB_ID_KEY = re.compile(r"jobI[dD]s?")
_SECRET_KEY = re.compile(r"passw|pwd|secret|passphrase|credential|token|apikey|api_key|privatekey", re.IGNORECASE)


class ManifestError(ValueError):
    """The jobs cannot be listed reliably, or a stored manifest cannot be read; the message says what to do."""


class ManifestJob(BaseModel):
    """One job. ``enabled`` is the job's own flag; ``next_execution`` is in UTC, by the server's clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: JobKey
    type: str
    enabled: bool
    definition_hash: str
    crons: tuple[str, ...] = ()
    next_execution: datetime | None = None
    dependencies: tuple[JobKey, ...] = ()


class Difference(BaseModel):
    """The changes from one manifest to another. ``enabled`` and ``disabled`` are jobs of both whose state changed."""

    model_config = ConfigDict(frozen=True)

    added: tuple[JobKey, ...] = ()
    removed: tuple[JobKey, ...] = ()
    changed: tuple[JobKey, ...] = ()
    enabled: tuple[JobKey, ...] = ()
    disabled: tuple[JobKey, ...] = ()

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.changed, self.enabled, self.disabled))

    def __str__(self) -> str:
        parts = [f"{len(keys)} {word}" for word, keys in self if keys]
        return ", ".join(parts) or "no difference"


class Manifest(BaseModel):
    """The jobs in scope of one server at one moment, sorted by identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    jobs: tuple[ManifestJob, ...]

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

    def diff(self, newer: Manifest) -> Difference:
        """Return what changed from this manifest to ``newer``."""
        before, after = self.by_key, newer.by_key
        both = [key for key in before if key in after]

        def definition(job: ManifestJob) -> tuple[str, str]:
            return job.type, job.definition_hash

        return Difference(
            added=tuple(key for key in after if key not in before),
            removed=tuple(key for key in before if key not in after),
            changed=tuple(key for key in both if definition(before[key]) != definition(after[key])),
            enabled=tuple(key for key in both if after[key].enabled and not before[key].enabled),
            disabled=tuple(key for key in both if before[key].enabled and not after[key].enabled),
        )

    def to_json(self) -> str:
        """Return deterministic JSON text."""
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read what ``to_json`` wrote; raises ManifestError for anything else."""
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


def _identities(ids: Any, names_by_id: Mapping[int, JobKey]) -> list[list[str]]:
    if isinstance(ids, str):
        ids = [part.strip() for part in ids.split(",") if part.strip()]
    elif not isinstance(ids, list):
        ids = [ids]
    keys = [names_by_id.get(int(id_)) if str(id_).isdecimal() else None for id_ in ids]
    return sorted(list(key.folded) if key else ["", "unknown"] for key in keys)


def _comparable(value: Any, names_by_id: Mapping[int, JobKey]) -> Any:
    """Return ``value`` without what differs between equal jobs of two servers; null and empty are the same."""
    if isinstance(value, list):
        return [_comparable(item, names_by_id) for item in value]
    if not isinstance(value, dict):
        return value
    result: dict[str, Any] = {}
    for key, item in value.items():
        if item in (None, "", [], {}) or _SECRET_KEY.search(key):
            continue
        if _JOB_ID_KEY.fullmatch(key):
            result["dependsOn"] = _identities(item, names_by_id)
        elif not _ID_KEY.fullmatch(key):
            kept = _comparable(item, names_by_id)
            if kept not in ([], {}):
                result[key] = kept
    return result


def definition_hash(job: Job, names_by_id: Mapping[int, JobKey]) -> str:
    """Return the SHA-256 of the job's known sections, equal for equal jobs of two servers.

    Every id (valid on its own server only [V]), the disabled flag, and values of password-like keys (write-only [V],
    salted [S]) are left out. Jobs that it depends on count by identity, looked up in ``names_by_id``.
    """
    return _sha256(_comparable({name: job.definition.get(name) for name in _SECTIONS}, names_by_id))


def _by_key(rows: Sequence[Job] | Sequence[JobStatus]) -> dict[JobKey, Any]:
    found = {row.key: row for row in rows}
    if len(found) != len(rows):
        raise ManifestError(
            "The server lists two jobs of the same project and name; names are compared without case. Rename one."
        )
    return found


def build_manifest(jobs: Sequence[Job], statuses: Sequence[JobStatus], scope: Scope) -> Manifest:
    """Build the manifest of the jobs in ``scope`` from the two bulk reads of one server.

    Raises ManifestError when the reads do not list the same jobs, because one was added or removed in between.
    """
    names_by_id = {job.id: job.key for job in jobs}
    definitions = {key: job for key, job in _by_key(jobs).items() if scope.matches(key)}
    states = {key: status for key, status in _by_key(statuses).items() if scope.matches(key)}
    unsteady = sorted(definitions.keys() ^ states.keys())
    if unsteady:
        raise ManifestError(
            f"Jobs were added or removed while they were read: {listed(unsteady, 10)}. Read again when no jobs are "
            f"edited; if it stays, the login may see only part of the jobs (it needs the role scheduler_admin)."
        )
    return Manifest(jobs=tuple(_entry(definitions[key], states[key], names_by_id) for key in sorted(definitions)))


def _entry(job: Job, status: JobStatus, names_by_id: Mapping[int, JobKey]) -> ManifestJob:
    waits_for = {
        names_by_id[id_]
        for trigger in job.triggers
        if trigger.dependency
        for id_ in trigger.dependency.job_ids
        if id_ in names_by_id
    }
    return ManifestJob(
        key=job.key,
        type=job.type,
        enabled=status.state.is_enabled,
        definition_hash=definition_hash(job, names_by_id),
        crons=tuple(trigger.cron for trigger in job.triggers if trigger.cron),
        next_execution=status.next_execution,
        dependencies=tuple(sorted(waits_for)),
    )
