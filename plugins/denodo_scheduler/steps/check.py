"""The readiness check of a pair: read what it rests on, change nothing on either server."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from airflow.sdk import ObjectStoragePath

from denodo_ha.checks import enabled_by_definition
from denodo_ha.jobs import Statuses
from denodo_ha.preconditions import other
from denodo_ha.readiness.facts import NotReadError, ReadyFacts, Room, ServerFacts, Unread, known, resources
from denodo_ha.readiness.findings import Readiness
from denodo_ha.readiness.judge import judge
from denodo_ha.reason import Reason
from denodo_ha.record import Record, Role
from denodo_ha.server.address import common_name
from denodo_ha.server.tokens import common_endpoint
from denodo_ha.snapshot.archive import inspect
from denodo_ha.snapshot.contents import ArchiveContents
from denodo_ha.snapshot.manifest import Manifest, build_manifest
from denodo_ha.text import moment, one_line
from denodo_ha.watching import Watching
from denodo_scheduler.alerts import notifiers
from denodo_scheduler.client.probe import over_second_path
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked

log = logging.getLogger(__name__)

T = TypeVar("T")

_DO = "do what it says, then check again"
_NEEDED = 32 * 1024 * 1024
"""Bytes that are taken to be needed where no export tells its size."""


def check(context: PairContext, seen: Watching) -> Readiness:
    """Read all facts and judge them. Both servers are only read, each by requests that end within the deadlines of its
    connection; of one that does not answer nothing more is asked.

    :param seen: what the failover DAG knows of the pair.
    """
    record = _read(lambda: _record(context))
    active = Role.MASTER if isinstance(record, Unread) else record.active
    servers = {role: _server(context, role, exports=role is active) for role in Role}
    contents = _read(lambda: _contents(context, record))
    exports_resources = _read(lambda: all(map(_exports_resources, (context.master, context.slave))))
    found = judge(
        ReadyFacts(
            pair=context.pair,
            now=context.now(),
            record=record,
            servers=servers,
            crons_refused=_read(lambda: _crons_refused(context, servers, active)),
            second_path=_read(lambda: _second_path(context)),
            tokens=_read(lambda: common_endpoint(context.master.settings.auth, context.slave.settings.auth)),
            contents=contents,
            held=_read(lambda: _held(context, servers, active, contents, exports_resources)),
            exports_resources=exports_resources,
            passwords=_read(lambda: _passwords(context)),
            storage=_read(lambda: _room(context, record)),
            looked=_read(lambda: moment(seen.at) if seen.at else None),
            notifiers=_read(lambda: len(notifiers(context.pair))),
        )
    )
    for line in found.lines:
        log.info("%s", line)
    return found


def refuse(found: Readiness) -> Blocked:
    """The end of a run whose check has found something critical."""
    return Blocked("not_ready", found.summary[:900], found.findings[0].next_step)


def _read(read: Callable[[], T]) -> T | Unread:
    """Read one fact; whatever goes wrong is why it is not known, and keeps no other fact from being read."""
    try:
        return read()
    except NotReadError as error:
        return error.fact
    except Exception as error:
        log.info("A fact could not be read: %s: %s", type(error).__name__, error)
        reason = getattr(error, "reason", None)
        if isinstance(reason, Reason):
            return Unread(one_line(reason.what), reason.next_step or _DO)
        return Unread(one_line(str(error)) or type(error).__name__, _DO)


def _after(first: object, read: Callable[[], T]) -> T | Unread:
    """The same, where another fact was read; else why that one was not."""
    return first if isinstance(first, Unread) else _read(read)


def _record(context: PairContext) -> Record:
    record = context.records.load()
    if record is None:
        reason = context.without_record()
        raise NotReadError(Unread(reason.what, reason.next_step))
    return record


# -- the servers


def _server(context: PairContext, role: Role, *, exports: bool) -> ServerFacts:
    hook, scope = context.servers.hook(role), context.pair.scope
    info = _read(hook.ping)
    ahead = _after(info, lambda: hook.answered - context.now())
    began = time.monotonic()
    statuses = _after(info, hook.statuses)
    seconds = time.monotonic() - began
    return ServerFacts(
        connection=hook.denodo_scheduler_conn_id,
        machine=_read(lambda: hook.place.tool),
        info=info,
        binding=_after(info, lambda: _assumed(hook, exports=exports)),
        statuses=statuses,
        ahead=ahead,
        seconds=statuses if isinstance(statuses, Unread) else seconds,
        manifest=_read(lambda: _manifest(context, hook, known(statuses))),
        data_sources=_after(
            info, lambda: tuple(each for each in hook.data_sources() if scope.matches_project(each.project))
        ),
    )


def _assumed(hook: DenodoSchedulerHook, *, exports: bool) -> tuple[str, ...]:
    """What is taken for granted where the options are bound, without exporting or importing anything."""
    if not exports:
        hook.check_import()
    return () if hook.scripts else tuple(hook.binding("export" if exports else "import").assumed)


def _manifest(context: PairContext, hook: DenodoSchedulerHook, statuses: Statuses) -> Manifest:
    """The jobs in scope. One whose own definition says that it is enabled counts so: a paused server shows none [D]."""
    jobs = hook.jobs()
    found = build_manifest(jobs, statuses.jobs, context.pair.scope)
    flagged = set(enabled_by_definition(jobs, statuses.jobs, context.pair.scope))
    rows = (job.model_copy(update={"enabled": job.enabled or job.key in flagged}) for job in found.jobs)
    return found.model_copy(update={"jobs": tuple(rows)})


def _crons_refused(context: PairContext, servers: Mapping[Role, ServerFacts], active: Role) -> dict[str, str]:
    known(servers[other(active)].info)
    crons = sorted({cron for job in known(servers[active].manifest).jobs for cron in job.crons})
    said = context.servers.hook(other(active)).validate_cron(crons)
    return {cron: text for cron, text in zip(crons, said, strict=True) if text}


def _second_path(context: PairContext) -> str:
    """The name that both paths to the master have in common."""
    hook = over_second_path(context.pair.watch.second_path, context.master, context.slave)
    if hook is None:
        how = "correct 'second_path' of the pair, see docs/deployment.md"
        raise NotReadError(Unread("the slave's web tool cannot be asked about the master", how))
    hook.me()
    return common_name(context.master.place, hook.server)


def _passwords(context: PairContext) -> str:
    master, slave = (hook.settings.metadata_password for hook in (context.master, context.slave))
    if master != slave:
        return "different"
    return "same" if master else "none"


# -- the snapshots


def _contents(context: PairContext, record: Record | Unread) -> ArchiveContents:
    snapshot = known(record).snapshot
    if snapshot is None:
        raise NotReadError(Unread("no sync was ever verified", f"run {context.pair.dag_id_sync}"))
    return ArchiveContents.from_json(context.snapshots.read(snapshot.id)[0])


def _exports_resources(hook: DenodoSchedulerHook) -> bool:
    options = hook.settings.options("export")
    return all(options.get(name) not in (None, False) for name in ("drivers", "plugins"))


def _held(
    context: PairContext,
    servers: Mapping[Role, ServerFacts],
    active: Role,
    contents: ArchiveContents | Unread,
    exports_resources: bool | Unread,
) -> frozenset[str]:
    """What an export of the passive server has. It is made only where there is something to compare."""
    known(servers[other(active)].info)
    if not resources(known(contents)) or not known(exports_resources):
        return frozenset()
    with TemporaryDirectory() as folder:
        file = ObjectStoragePath(f"file://{Path(folder) / 'export.zip'}")
        result = context.servers.hook(other(active)).export_metadata(file)
        return resources(inspect(file, expected_size=result.size))


def _room(context: PairContext, record: Record | Unread) -> Room:
    """Write a file where the snapshots are, and delete it. Two of the last exports are to fit there."""
    folder = context.snapshots.try_writing()
    size = _NEEDED
    if not isinstance(record, Unread) and record.snapshot:
        found = _read(lambda: context.snapshots.export_path(record.snapshot_id or "").stat().st_size)
        size = size if isinstance(found, Unread) else int(found)
    free = shutil.disk_usage(folder).free if folder else None
    return Room(context.snapshots.base, free, 2 * size)
