"""May a switchover begin? The rules about the pair's record, and about its two servers."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from denodo_ha.checks import enabled_by_definition, may_go_on
from denodo_ha.definitions import Fields, Names, compare, fields
from denodo_ha.jobs import DataSource, Job, JobKey
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import (
    LET_IT_LEAD,
    all_on_target,
    equal_on_target,
    looks_paused,
    no_doctor,
    no_other_operation,
    not_halted,
    not_paused,
    not_yet_active,
    other,
    promotion_complete,
    quiet,
    same_servers,
    slave_ready,
    something_enabled,
    target_at_rest,
    two_addresses,
    two_servers,
)
from denodo_ha.quartz.missed import ServerZone, configured_zone, server_zone
from denodo_ha.quiet_window import assess
from denodo_ha.record import Operation, Record, Role
from denodo_ha.snapshot.contents import ArchiveContents
from denodo_ha.snapshot.manifest import Manifest, ManifestError, build_manifest
from denodo_ha.snapshot.zip_check import ArchiveError
from denodo_ha.text import counted, listed
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.holding import another_pair
from denodo_scheduler.steps.outcome import NotYet, require
from denodo_scheduler.steps.passive import ensure_two_servers
from denodo_scheduler.steps.servers import Server, data_sources

log = logging.getLogger(__name__)


def ensure_may_begin(context: PairContext, record: Record, to: Role) -> None:
    require(not_halted(record) or not_paused(record, context.now()))
    if record.operation and record.operation.kind == "sync":
        again = "run of the sync DAG" if to is Role.SLAVE else "re-protect: trigger the sync DAG with it ticked"
        raise NotYet(
            "operation_open",
            f"the sync {record.operation.id} is not at its end",
            f"wait for it; one that was interrupted is closed by the next {again}",
        )
    servers = context.servers
    require(
        no_other_operation(record)
        or no_doctor(record, context.now())
        or not_yet_active(record, to)
        or same_servers(record, servers.addresses)
        or two_addresses(servers.connections, servers.addresses)
        or another_pair(context)
        or (slave_ready(record) if to is Role.SLAVE else promotion_complete(record))
    )


@dataclass(frozen=True)
class Examined:
    """Both servers, read right one after the other; the rules about them hold.

    :param statuses: of the server that is left. :param there: of the one that takes over.
    """

    record: Record
    to: Role
    path: Server
    statuses: Statuses
    there: Statuses
    active: Manifest
    target: Manifest

    def to_json(self) -> dict[str, Any]:
        difference = self.active.diff(self.target)
        return {
            "from": str(other(self.to)),
            "to": str(self.to),
            "epoch": self.record.epoch,
            "enable": counted(self.active.enabled),
            "stay_disabled": counted({job.key for job in self.active.jobs} - self.active.enabled),
            "missing": counted(self.active.enabled - self.target.by_key.keys()),
            "different": counted(difference.changed),
            "only_there": counted(difference.removed),
            "connection": self.path.hook.denodo_scheduler_conn_id,
            "uri": self.path.hook.scheduler_uri,
        }


def examine(context: PairContext, record: Record, to: Role, *, accept_differences: bool) -> Examined:
    """Read both servers and refuse what would not carry the enabled jobs over exactly."""
    old, pair = other(to), context.pair
    path, statuses = context.servers.answering(old)
    target_path, target_statuses = context.servers.answering(to)
    of_role = {old: statuses, to: target_statuses}
    ensure_two_servers(context, of_role[Role.MASTER], of_role[Role.SLAVE])
    here, there = _Read.of(path), _Read.of(target_path)
    active, target = here.manifest(pair, statuses), there.manifest(pair, target_statuses)
    if active.diff(target).changed:
        target = _as_compared(context, record, (here, active), (there, target))
    flagged = enabled_by_definition(there.jobs, target_statuses.jobs, pair.scope)
    any_definition = accept_differences or not pair.sync.verify_definitions
    require(
        something_enabled(active, old)
        or target_at_rest(target, to)
        or (looks_paused(flagged, to) if flagged else None)
        or all_on_target(active, target, to, record.pending, accepted=accept_differences)
        or (None if any_definition else equal_on_target(active, target, to, record.pending))
    )
    return Examined(record, to, path, statuses, target_statuses, active, target)


def ensure_still_two(
    context: PairContext, operation: Operation, found: Examined | None, old: Statuses, new: Statuses
) -> None:
    """Both servers, read anew in the midst of a switchover, are two.

    :param found: both before it began, if that is known. Clones at rest look like one server; they are two where both
        may still be those that were told apart then. A later try does not have that; where they were alike from the
        beginning but for what was enabled, nothing can tell, and they are taken for two.
    :raises NotYet: the name of one leads to the other one by now.
    """
    if found is None and operation.alike:
        return
    if found and may_go_on(found.statuses.jobs, old.jobs) and may_go_on(found.there.jobs, new.jobs):
        return
    if one := two_servers(context.servers.connections, old.jobs, new.jobs):
        raise NotYet("same_server", one.what, LET_IT_LEAD)


@dataclass(frozen=True)
class _Read:
    """The definitions of one server."""

    server: Server
    jobs: list[Job]
    data_sources: list[DataSource] | None

    @classmethod
    def of(cls, server: Server) -> Self:
        return cls(server, server.hook.jobs(), data_sources(server.hook, server.label))

    def manifest(self, pair: Pair, statuses: Statuses) -> Manifest:
        try:
            return build_manifest(self.jobs, statuses.jobs, pair.scope, data_sources=self.data_sources)
        except ManifestError as error:
            raise NotYet("unsteady", f"the {self.server.label}: {error}", "this task looks again") from None

    @property
    def fields(self) -> dict[JobKey, Fields]:
        names = Names.of(self.jobs, self.data_sources or ())
        return {job.key: fields(job, names) for job in self.jobs}


def _as_compared(
    context: PairContext, record: Record, active: tuple[_Read, Manifest], target: tuple[_Read, Manifest]
) -> Manifest:
    """The target's manifest, in which jobs that differ in nothing but noise have the hashes of the active server's."""
    known: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    if record.snapshot_id:
        with suppress(FileNotFoundError, ArchiveError, ManifestError):
            contents, manifest = context.snapshots.read(record.snapshot_id)
            known, parameters = Manifest.from_json(manifest).noise, ArchiveContents.from_json(contents).parameters
    scope = context.pair.scope
    here, there = (
        {key: each for key, each in read.fields.items() if scope.matches(key)} for read, _ in (active, target)
    )
    found = compare(here, there, known=known, parameters=parameters)
    if found.noise.difference(known):
        log.warning("Not compared, since it differs in all jobs: %s", listed(sorted(found.noise.difference(known)), 20))
    if found.unknown:
        log.warning("Not compared: the data source or job that an id names, in %s", listed(found.unknown))
    wanted = active[1].by_key
    return target[1].with_noise(
        found.noise,
        {
            job.key: wanted[job.key].definition_hash
            if job.key in wanted and job.key not in found.different
            else job.definition_hash
            for job in target[1].jobs
        },
    )


def read_manifest(pair: Pair, server: Server, statuses: Statuses) -> Manifest:
    try:
        return build_manifest(server.hook.jobs(), statuses.jobs, pair.scope)
    except ManifestError as error:
        raise NotYet("unsteady", f"the {server.label}: {error}", "this task looks again") from None


def ensure_quiet(pair: Pair, statuses: Statuses) -> None:
    """Nothing runs and nothing is due: without the margin, which is the reserve for the time since the wait.

    :raises NotYet: names the jobs in the way.
    """
    jobs = [job for job in statuses.jobs if pair.scope.matches(job.key)]
    seen = assess(jobs, now=statuses.server_time, window=pair.sync.quiet_window, margin=timedelta(0))
    if reason := quiet(seen, "switchover"):
        how = "this task looks again; if it stays so, trigger the switchover DAG with 'drain', which needs no window"
        raise NotYet(*reason._replace(next_step=how))


def zone_of(pair: Pair, role: Role, found: Examined | None, until: datetime) -> ServerZone | None:
    """The time zone of a server's crons until then: as the pair says it, or what tells of it in what was found.

    :return: None where nothing tells.
    """
    said = configured_zone(pair.timezone_of(role))
    return said or (server_zone(found.active, found.statuses.server_time, until) if found else None)
