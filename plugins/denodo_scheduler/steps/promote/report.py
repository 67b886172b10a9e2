"""What a failover and a switchover say about themselves: how long it took, and what was not run meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any

from denodo_ha.jobs import JobKey, JobState
from denodo_ha.outage import has_started, missed_in_outage
from denodo_ha.promotion import EnableOrder
from denodo_ha.quartz.missed import UNKNOWN_ZONE, Missed, ServerZone
from denodo_ha.record import Role
from denodo_ha.scope import Scope
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.text import counted
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.jobs import Changed
from denodo_scheduler.steps.servers import Server

log = logging.getLogger(__name__)


def describe(
    context: PairContext,
    manifest: Manifest,
    order: EnableOrder,
    enabled: Changed,
    *,
    heard: datetime,
    taken: datetime,
    zone: ServerZone,
    last_sign: datetime | None = None,
) -> dict[str, Any]:
    """Details of a failover's event.

    ``rpo_seconds`` is the age of the promoted snapshot when the master was last heard, ``rto_seconds`` the time from
    then to the read-back.

    :param heard: when the master was last heard; where the watch never heard it, its first failed look.
    :param last_sign: when jobs that were enabled already had been enabled at the latest; None if there were none.
    """
    verified = enabled.verified
    return {
        "rpo_seconds": round((heard - taken).total_seconds(), 1),
        "rto_seconds": round((verified - heard).total_seconds(), 1),
        "enabled": len(order.order) - len(enabled.left),
        "failed": counted(enabled.left),
        **occurrences(
            context,
            context.servers.own_path(Role.SLAVE),
            manifest,
            order,
            enabled,
            since=heard,
            last_sign=last_sign or verified,
            idle_since=heard,
            zone=zone,
        ),
    }


def steps(enabled: Changed, **times: datetime | None) -> dict[str, Any]:
    """When each step of a change of the active server was done, for its event; see :data:`denodo_ha.told_facts.STEPS`.

    :param enabled: what became of the jobs that were enabled. :param times: of the steps before; None: not known.
    """
    told = enabled.told.values()
    known = {
        **times,
        "first_enabled": min(told, default=None),
        "last_enabled": max(told, default=None),
        "read_back": enabled.verified,
    }
    return {"steps": {name: at.isoformat() for name, at in known.items() if at}}


def occurrences(
    context: PairContext,
    server: Server,
    manifest: Manifest | None,
    order: EnableOrder,
    enabled: Changed,
    *,
    since: datetime,
    last_sign: datetime,
    idle_since: datetime,
    zone: ServerZone | None,
    last_run: Mapping[JobKey, datetime] = MappingProxyType({}),
    also: Collection[JobKey] = (),
) -> dict[str, Any]:
    """Say which occurrences neither server ran, and start once what was missed, where the pair wants that.

    ``missed`` are occurrences by cron that neither server ran, as far as is known: an old server that cannot be asked
    may have run some. ``burst`` are jobs that have run since they were enabled, and not at a time of their crons: once
    for all that they had missed. None of them is in ``missed``; one that ran on time may be, with what was due before.

    :param server: the one whose jobs were enabled.
    :param manifest: the jobs with their crons; None where they cannot be read.
    :param zone: the time zone of the crons; None where nothing is known of it.
    :param also: jobs that were due too and did not run. The other arguments are those of
        :func:`~denodo_ha.outage.missed_in_outage`.
    """
    statuses, verified = enabled.statuses, enabled.verified
    zone = zone or UNKNOWN_ZONE
    outage = missed_in_outage(
        manifest or Manifest(jobs=()),
        order,
        told=enabled.told,
        left=enabled.left,
        statuses=(*enabled.earlier, *statuses.jobs),
        since=since,
        verified=verified,
        last_sign=last_sign,
        idle_since=idle_since,
        skew=statuses.server_time - verified,
        zone=zone.zone,
        last_run=last_run,
    )
    missed = outage.missed
    if missed:
        log.warning("%d occurrences were missed, such as %s at %s", outage.total, missed[0].key, missed[0].at)
    due = {each.key for each in missed}.union(also) - set(outage.late) - set(enabled.left)
    chosen = _to_catch_up(context, due, enabled)
    started = _start(server, chosen, enabled.statuses)
    return {
        "missed": listed_occurrences(missed, outage.total if manifest else None, zone),
        "burst": counted(outage.late),
        "caught_up": counted(started),
        "not_caught_up": counted([key for key in chosen if key not in started]),
    }


def listed_occurrences(missed: Iterable[Missed], total: int | None, zone: ServerZone) -> dict[str, Any]:
    """Occurrences as plain JSON.

    :param total: how many there are; None where that cannot be known.
    :param zone: the time zone that they were calculated in.
    """
    return {
        "occurrences": total,
        "listed": [{"job": str(each.key), "at": each.at.isoformat()} for each in missed],
        "time_zone": str(zone),
    }


def _to_catch_up(context: PairContext, missed: Collection[JobKey], enabled: Changed) -> tuple[JobKey, ...]:
    """The jobs that are started once, where the pair wants that."""
    if context.pair.failover.catch_up == "none":
        return ()
    scope = Scope(jobs=context.pair.failover.catch_up_jobs)
    return tuple(sorted(key for key in missed if scope.matches(key) and key in enabled.statuses.by_key))


def _start(server: Server, keys: Sequence[JobKey], before: Statuses) -> tuple[JobKey, ...]:
    """Start the jobs, project by project, so that one that refuses costs no other. Return those that were read back.

    A job that runs, on time, is not started: whether it was could not be told.
    """
    resting = [key for key in keys if before.by_key[key].state is not JobState.RUNNING]
    if not resting:
        return ()
    for project, jobs in groupby(resting, key=lambda key: key.project):
        try:
            server.set_jobs_status("start", list(jobs), before)
        except DenodoSchedulerError as error:
            log.error("The missed jobs of the project %s could not all be started: %s", project, error)
    try:
        now = server.statuses().by_key
    except DenodoSchedulerError as error:
        log.error("Whether the missed jobs were started could not be read back: %s", error)
        return ()
    return tuple(key for key in resting if key in now and has_started(before.by_key[key], now[key]))
