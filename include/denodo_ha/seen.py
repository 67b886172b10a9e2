"""The jobs of both servers as they were last seen: kept by the steps that read the servers anyway, for the page."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from denodo_ha.jobs import JobKey, JobStatus
from denodo_ha.record import Role
from denodo_ha.scope import Scope
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.text import moment

_SCHEMA = 1
_LARGEST = 64 * 1024 * 1024
"""How many bytes the text may have, unpacked: that of 5,000 jobs has half a megabyte."""


class SeenJob(NamedTuple):
    """One job of one server.

    :param next_execution: what the server said, in UTC and whole seconds; None where nothing is planned.
    """

    key: JobKey
    enabled: bool
    next_execution: datetime | None


@dataclass(frozen=True)
class SeenServer:
    """The jobs in scope of one server, and when they were read."""

    at: datetime
    jobs: tuple[SeenJob, ...]


@dataclass(frozen=True)
class Seen:
    """What was last seen of each server.

    :param servers: a server that was never seen is missing. :param problem: why something that was kept is not in it.
    """

    servers: Mapping[Role, SeenServer] = field(default_factory=dict)
    problem: str = ""

    def updated(self, found: Mapping[Role, SeenServer]) -> Seen:
        """Return the same with what was seen later of either server."""
        newer = {role: each for role, each in found.items() if not self._is_older(role, each)}
        return Seen({**self.servers, **newer})

    def _is_older(self, role: Role, found: SeenServer) -> bool:
        return role in self.servers and found.at < self.servers[role].at


def of_statuses(jobs: Iterable[JobStatus], scope: Scope, at: datetime) -> SeenServer:
    """Return what the statuses say of the jobs in ``scope``, which were read at ``at``."""
    return SeenServer(
        at, tuple(SeenJob(job.key, job.state.is_enabled, job.next_execution) for job in jobs if scope.matches(job.key))
    )


def of_manifest(manifest: Manifest, at: datetime) -> SeenServer:
    """Return what a manifest says of the server that it was taken of at ``at``."""
    return SeenServer(at, tuple(SeenJob(job.key, job.enabled, job.next_execution) for job in manifest.jobs))


def to_bytes(seen: Seen) -> bytes:
    """Return compressed JSON text: per server when it was seen, and per project ``[name, enabled, next execution]``."""
    value = {"schema": _SCHEMA, "servers": {str(role): _server(each) for role, each in seen.servers.items()}}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode("utf-8", "surrogatepass"), compresslevel=4, mtime=0)


def _server(server: SeenServer) -> dict[str, Any]:
    projects: dict[str, list[list[Any]]] = defaultdict(list)
    for key, enabled, execution in server.jobs:
        projects[key.project].append([key.name, int(enabled), execution and int(execution.timestamp())])
    return {"at": server.at.isoformat(), "projects": projects}


def from_bytes(content: bytes) -> Seen:
    """Read what :func:`to_bytes` gave. What is damaged counts as never seen, and ``problem`` says why."""
    try:
        unpacking = zlib.decompressobj(wbits=31)
        text = unpacking.decompress(content, _LARGEST)
        if not unpacking.eof:
            raise ValueError("it is cut off, or too large")
        value = json.loads(text.decode("utf-8", "surrogatepass"))
        if value["schema"] != _SCHEMA:
            return Seen(problem=f"it has schema {value['schema']!r:.20}, and this version knows schema {_SCHEMA}")
        stored = dict(value["servers"])
    except (zlib.error, ValueError, LookupError, TypeError, RecursionError) as error:
        return Seen(problem=f"it is damaged ({type(error).__name__})")
    servers: dict[Role, SeenServer] = {}
    damaged: list[str] = []
    for role in Role:
        try:
            if str(role) in stored:
                servers[role] = _read(stored[role])
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError) as error:
            damaged.append(f"what it says of the {role} is damaged ({type(error).__name__})")
    return Seen(servers, "; ".join(damaged))


def _read(server: dict[str, Any]) -> SeenServer:
    jobs = [
        SeenJob(JobKey(project=project, name=name), bool(enabled), _moment(execution))
        for project, rows in server["projects"].items()
        for name, enabled, execution in rows
    ]
    return SeenServer(moment(server["at"]).astimezone(UTC), tuple(jobs))


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
