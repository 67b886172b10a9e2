"""May a switchover begin? The rules about the pair's record, and about its two servers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from denodo_ha.pairs import Pair
from denodo_ha.preconditions import (
    all_on_target,
    direction,
    equal_on_target,
    fits_epoch,
    no_other_operation,
    not_halted,
    not_paused,
    other,
    promotion_complete,
    quiet,
    same_servers,
    slave_ready,
    something_enabled,
    target_at_rest,
    two_addresses,
)
from denodo_ha.quartz.missed import server_zone
from denodo_ha.quiet_window import assess
from denodo_ha.record import Record, Role
from denodo_ha.snapshot.manifest import Manifest, ManifestError, build_manifest
from denodo_ha.text import counted
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NotYet, require
from denodo_scheduler.steps.passive import ensure_two_servers
from denodo_scheduler.steps.servers import Server


def ensure_may_begin(context: PairContext, record: Record, to: Role) -> None:
    require(not_halted(record) or not_paused(record, context.now()))
    if record.operation and record.operation.kind == "sync":
        raise NotYet(
            "operation_open",
            f"the sync {record.operation.id} is not at its end",
            "wait for it; one that was interrupted is closed by the next run of the sync DAG",
        )
    servers = context.servers
    require(
        no_other_operation(record)
        or direction(record, to)
        or fits_epoch(record, context.snapshots.epoch())
        or same_servers(record, servers.addresses)
        or two_addresses(servers.connections, servers.addresses)
        or (slave_ready(record) if to is Role.SLAVE else promotion_complete(record))
    )


@dataclass(frozen=True)
class Examined:
    """Both servers, read right one after the other; the rules about them hold."""

    record: Record
    to: Role
    path: Server
    statuses: Statuses
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
    active, target = read_manifest(pair, path, statuses), read_manifest(pair, target_path, target_statuses)
    any_definition = accept_differences or not pair.sync.verify_definitions
    require(
        something_enabled(active, old)
        or target_at_rest(target, to)
        or all_on_target(active, target, to)
        or (None if any_definition else equal_on_target(active, target, to))
    )
    return Examined(record, to, path, statuses, active, target)


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


def zone_of(pair: Pair, role: Role, found: Examined | None) -> tzinfo | None:
    """The time zone of a server's crons: the pair's, which is that of the master, or the one that fits what was found.

    :return: None where it cannot be told.
    """
    said = ZoneInfo(pair.timezone) if pair.timezone and role is Role.MASTER else None
    return server_zone(found.active, found.statuses.server_time, said) if found else said
