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


def of_statuses(jobs: Iterable[JobStatus], scope: Scope, at: datetime) -> SeenServer:
    """Return what the statuses say of the jobs in ``scope``, which were read at ``at``."""
    return SeenServer(
        at, tuple(SeenJob(job.key, job.state.is_enabled, job.next_execution) for job in jobs if scope.matches(job.key))
    )


def of_manifest(manifest: Manifest, at: datetime) -> SeenServer:
    """Return what a manifest says of the server that it was taken of at ``at``."""
    return SeenServer(at, tuple(SeenJob(job.key, job.enabled, job.next_execution) for job in manifest.jobs))


def updated(content: bytes, found: Mapping[Role, SeenServer]) -> bytes:
    """Return what is to be kept after these servers were read: compressed JSON text.

    Per server it says when that was, and per project ``[name, enabled, next execution]`` of each job.

    :param content: what was kept before, empty for nothing; what it says of a server later than ``found`` stays.
    """
    try:
        servers = _stored(content) if content else {}
    except _Damaged:
        servers = {}
    servers |= {str(role): _server(each) for role, each in found.items() if not _is_older(each, servers.get(role))}
    text = json.dumps({"schema": _SCHEMA, "servers": servers}, ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode("utf-8", "surrogatepass"), compresslevel=1, mtime=0)


def _is_older(found: SeenServer, stored: Any) -> bool:
    try:
        return found.at < moment(stored["at"])
    except (ValueError, LookupError, TypeError):
        return False


def _server(server: SeenServer) -> dict[str, Any]:
    projects: dict[str, list[list[Any]]] = defaultdict(list)
    for key, enabled, execution in server.jobs:
        projects[key.project].append([key.name, int(enabled), execution and int(execution.timestamp())])
    return {"at": server.at.isoformat(), "projects": projects}


def from_bytes(content: bytes) -> Seen:
    """Read what :func:`updated` gave. What is damaged counts as never seen, and ``problem`` says why."""
    try:
        stored = _stored(content)
    except _Damaged as error:
        return Seen(problem=str(error))
    servers: dict[Role, SeenServer] = {}
    damaged: list[str] = []
    for role in Role:
        try:
            if str(role) in stored:
                servers[role] = _read(stored[str(role)])
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError) as error:
            damaged.append(f"what it says of the {role} is damaged ({type(error).__name__})")
    return Seen(servers, "; ".join(damaged))


class _Damaged(ValueError):
    """What is kept cannot be read; the message says why."""


def _stored(content: bytes) -> dict[str, Any]:
    try:
        unpacking = zlib.decompressobj(wbits=31)
        text = unpacking.decompress(content, _LARGEST)
        if not unpacking.eof:
            raise _Damaged("it is cut off, or too large")
        value = json.loads(text.decode("utf-8", "surrogatepass"))
        if value["schema"] != _SCHEMA:
            raise _Damaged(f"it has schema {value['schema']!r:.20}, and this version knows schema {_SCHEMA}")
        return dict(value["servers"])
    except _Damaged:
        raise
    except (zlib.error, ValueError, LookupError, TypeError, RecursionError) as error:
        raise _Damaged(f"it is damaged ({type(error).__name__})") from None


def _read(server: dict[str, Any]) -> SeenServer:
    jobs = [
        SeenJob(JobKey(project=project, name=name), bool(enabled), _moment(execution))
        for project, rows in server["projects"].items()
        for name, enabled, execution in rows
    ]
    return SeenServer(moment(server["at"]).astimezone(UTC), tuple(jobs))


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
