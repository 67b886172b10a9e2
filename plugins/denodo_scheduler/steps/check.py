"""The readiness check of a pair: read what it rests on, change nothing on either server."""

from __future__ import annotations

import logging
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Thread
from typing import TypeVar

from denodo_ha.checks import enabled_by_definition, same_server
from denodo_ha.jobs import Statuses
from denodo_ha.preconditions import SWITCHOVER, other
from denodo_ha.properties import addresses_in
from denodo_ha.readiness.facts import (
    NotReadError,
    Parameter,
    ReadyFacts,
    Room,
    ServerFacts,
    Unread,
    known,
    resources,
)
from denodo_ha.readiness.findings import Readiness
from denodo_ha.readiness.judge import in_the_way, judge
from denodo_ha.readiness.sites import addresses, names_to_resolve
from denodo_ha.record import Record, Role
from denodo_ha.server.address import common_name
from denodo_ha.server.tokens import common_endpoint
from denodo_ha.snapshot.archive import read_elements
from denodo_ha.snapshot.contents import ArchiveContents
from denodo_ha.snapshot.manifest import Manifest, build_manifest
from denodo_ha.status import Level
from denodo_ha.text import moment, one_line
from denodo_ha.watching import Watching
from denodo_scheduler.alerts import notifiers, of_deadline
from denodo_scheduler.client.probe import over_second_path
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.facts import exported, read_fact
from denodo_scheduler.steps.holding import another_pair
from denodo_scheduler.steps.outcome import Blocked

log = logging.getLogger(__name__)

T = TypeVar("T")

_SEE = "see the finding of its connection"
_NEEDED = 32 * 1024 * 1024
"""Bytes that are taken to be needed where no export tells its size."""
_LOOKUPS = 5.0
"""Seconds in which the names of data sources are looked up."""
_MOST_NAMES = 200


def check(
    context: PairContext, seen: Watching, *, send_test: Callable[[], Mapping[str, str]] | None = None
) -> Readiness:
    """Read all facts and judge them. Both servers are only read, each by requests that end within the deadlines of its
    connection; of one that does not answer nothing more is asked.

    :param seen: what the failover DAG knows of the pair.
    :param send_test: sends a test message to people; None: none is sent.
    """
    context = replace(context, dry_run=True)  # so that other pairs are not told of this one
    record = read_fact(lambda: _record(context))
    active = Role.MASTER if isinstance(record, Unread) else record.active
    servers = {role: _server(context, role, exports=role is active) for role in Role}
    contents = read_fact(lambda: _contents(context, record))
    exported = read_fact(lambda: _exported(context, record, other(active), known(contents)))
    exports_resources = read_fact(lambda: all(map(_exports_resources, (context.master, context.slave))))
    storage = read_fact(lambda: _room(context, record))
    found = judge(
        ReadyFacts(
            pair=context.pair,
            now=context.now(),
            record=record,
            servers=servers,
            addresses=read_fact(lambda: context.servers.addresses),
            held_elsewhere=storage if isinstance(storage, Unread) else read_fact(lambda: another_pair(context)),
            crons_refused=read_fact(lambda: _crons_refused(context, servers, active)),
            second_path=read_fact(lambda: _second_path(context, servers)),
            tokens=read_fact(lambda: common_endpoint(context.master.settings.auth, context.slave.settings.auth)),
            contents=contents,
            exported=exported,
            resolved=read_fact(lambda: _resolved(_names(servers, active, exported))),
            held=read_fact(lambda: _held(context, servers, active, contents, exports_resources)),
            exports_resources=exports_resources,
            passwords=read_fact(lambda: _passwords(context)),
            storage=storage,
            looked=read_fact(lambda: moment(seen.at) if seen.at else None),
            notifiers=read_fact(lambda: len(notifiers(context.pair))),
            deadline=read_fact(lambda: of_deadline(context.pair)),
            test_message=read_fact(send_test) if send_test else None,
        )
    )
    return found


def log_findings(found: Readiness) -> None:
    """Log what a person has to see of a check, and at DEBUG what is in order."""
    for each in found.findings:
        log.log(logging.DEBUG if each.level is Level.OK else logging.INFO, "%s", each)


def not_ready(found: Readiness) -> list[str]:
    """What a switchover tells of a check: its warnings, and the critical findings with which it goes on."""
    told = [each for each in found.findings if each.level in (Level.WARNING, Level.CRITICAL)]
    return [f"{each.level.name} {each.code}: {one_line(each.text)}" for each in told]


def ensure_ready(found: Readiness, to: Role, *, accepted: bool) -> None:
    """Refuse a switchover where a critical finding concerns the server that is to become the active one.

    :param accepted: a person goes on all the same.
    :raises Blocked: there is such a finding, and nobody has accepted it.
    """
    blocking = in_the_way(found, to)
    if blocking and not accepted:
        what = f"the {to} is not ready: {'; '.join(each.text for each in blocking)}"
        how = f"{blocking[0].next_step}; or trigger {SWITCHOVER} with 'accept not ready' ticked"
        raise Blocked("not_ready", what[:900], how)


def refuse(found: Readiness) -> Blocked:
    """The end of a run whose check has found something critical."""
    return Blocked("not_ready", found.summary[:900], found.findings[0].next_step)


def _unless(silent: Unread | None, read: Callable[[], T]) -> T | Unread:
    """The same, of a server that is not silent."""
    return read_fact(read) if silent is None else silent


def _record(context: PairContext) -> Record:
    record = context.records.load()
    if record is None:
        reason = context.without_record()
        raise NotReadError(Unread(reason.what, reason.next_step))
    return record


# -- the servers


def _server(context: PairContext, role: Role, *, exports: bool) -> ServerFacts:
    hook, scope = context.servers.hook(role), context.pair.scope
    asked = context.now()
    info = read_fact(hook.ping)
    answered = context.now()
    silent = Unread(f"the {role} does not answer as it should", _SEE) if isinstance(info, Unread) else None
    ahead = _unless(silent, lambda: _ahead(hook, asked, answered))
    began = time.monotonic()
    statuses = _unless(silent, hook.statuses)
    seconds = time.monotonic() - began
    return ServerFacts(
        connection=hook.denodo_scheduler_conn_id,
        machines=read_fact(lambda: frozenset({hook.place.tool, hook.place.machine})),
        info=info,
        binding=_unless(silent, lambda: _assumed(hook, exports=exports)),
        statuses=statuses,
        ahead=ahead,
        seconds=statuses if isinstance(statuses, Unread) else seconds,
        manifest=read_fact(lambda: _manifest(context, hook, known(statuses))),
        data_sources=_unless(
            silent, lambda: tuple(each for each in hook.data_sources() if scope.matches_project(each.project))
        ),
    )


def _ahead(hook: DenodoSchedulerHook, asked: datetime, answered: datetime) -> timedelta:
    """How far a server's clock is ahead, at least: it may have told the time at any moment until its answer came."""
    if not hook.tells_time:
        raise NotReadError(Unread("its answers do not tell the time", "compare the clocks of both machines by hand"))
    return max(hook.answered - answered, min(hook.answered - asked, timedelta(0)))


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
    known(servers[other(active)].statuses)
    crons = sorted({cron for job in known(servers[active].manifest).jobs for cron in job.crons})
    said = context.servers.hook(other(active)).validate_cron(crons)
    return {cron: text for cron, text in zip(crons, said, strict=True) if text}


def _second_path(context: PairContext, servers: Mapping[Role, ServerFacts]) -> str:
    """The name that both paths to the master have in common."""
    hook = over_second_path(context.pair.watch.second_path, context.master, context.slave)
    how = "correct 'second_path' of the pair, see \"fencing\" in the documentation"
    if hook is None:
        raise NotReadError(Unread("the slave's web tool cannot be asked about the master", how))
    hook.me()
    jobs = hook.statuses().jobs
    own, slave = servers[Role.MASTER].statuses, servers[Role.SLAVE].statuses
    if not isinstance(slave, Unread) and same_server(jobs, slave.jobs):
        raise NotReadError(Unread(f"for it, {hook.server} is the slave's own server", how))
    ids = {(job.job_id, job.key) for job in jobs}
    if not isinstance(own, Unread) and own.jobs and not ids & {(job.job_id, job.key) for job in own.jobs}:
        raise NotReadError(Unread(f"for it, {hook.server} is a server with other jobs than the master's", how))
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


def _exported(
    context: PairContext, record: Record | Unread, passive: Role, contents: ArchiveContents
) -> tuple[Parameter, ...]:
    """The addresses in the data sources of the committed snapshot, as a sync writes them to the passive server."""
    elements = [each for each in contents.elements if each.kind == "dataSource" and each.project]
    snapshot, site = known(record).snapshot_id, context.pair.properties_of(passive)
    if not elements or not snapshot:
        return ()
    return tuple(
        Parameter(each.project or "", "", each.name, name, value)
        for each, xml in read_elements(context.snapshots.export_path(snapshot), elements)
        if context.pair.scope.matches_project(each.project or "")
        for name, value in addresses_in(xml, each.project or "", site).items()
    )


def _names(
    servers: Mapping[Role, ServerFacts], active: Role, exported: tuple[Parameter, ...] | Unread
) -> frozenset[str]:
    machines = servers[active].machines
    rows = addresses(servers[other(active)].data_sources, exported)
    return names_to_resolve(rows, () if isinstance(machines, Unread) else machines)


def _resolved(names: frozenset[str]) -> dict[str, frozenset[str]]:
    """The addresses of each name, of as many as a name server tells in time."""
    found: dict[str, frozenset[str]] = {}

    def look(name: str) -> None:
        try:
            rows = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            found[name] = frozenset(str(row[4][0]) for row in rows)
        except socket.gaierror as error:
            if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):  # others are no answer of a name server
                found[name] = frozenset()
        except (OSError, UnicodeError):
            log.info("The name %s cannot be looked up", name)

    threads = [Thread(target=look, args=(name,), daemon=True) for name in sorted(names)[:_MOST_NAMES]]
    for thread in threads:
        thread.start()
    until = time.monotonic() + _LOOKUPS
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    return dict(found)


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
    known(servers[other(active)].statuses)
    if not resources(known(contents)) or not known(exports_resources):
        return frozenset()
    with exported(context.servers.hook(other(active))) as (_, found):
        return resources(found)


def _room(context: PairContext, record: Record | Unread) -> Room:
    """Write a file where the snapshots are, and delete it. Two of the last exports are to fit there."""
    folder = context.snapshots.try_writing()
    size, missing = _NEEDED, ""
    if not isinstance(record, Unread) and record.snapshot:
        path = context.snapshots.export_path(record.snapshot.id)
        found = read_fact(lambda: path.stat().st_size)
        size, missing = (size, found.why) if isinstance(found, Unread) else (int(found), "")
    free = shutil.disk_usage(folder).free if folder else None
    return Room(context.snapshots.base, free, 2 * size, missing)
