"""What a failover says about itself: how old the promoted state is, how long it took, what was not run meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta, tzinfo
from typing import Any

from denodo_ha.checks import ran_since
from denodo_ha.jobs import JobKey
from denodo_ha.promotion import EnablePlan
from denodo_ha.quartz.missed import Missed, missed_occurrences
from denodo_ha.scope import Scope
from denodo_ha.snapshot.manifest import Manifest
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.steps.context import PairRun
from denodo_scheduler.steps.jobs import Enabled

log = logging.getLogger(__name__)

LISTED = 200
"""How many jobs or occurrences of a kind an event names; it always tells how many there are."""


def describe(
    run: PairRun,
    manifest: Manifest,
    plan: EnablePlan,
    enabled: Enabled,
    *,
    heard: datetime,
    taken: datetime,
    zone: tzinfo,
    last_sign: datetime | None = None,
) -> dict[str, Any]:
    """Details of a failover's event.

    ``rpo_seconds`` is the age of the promoted snapshot when the master was last heard, ``rto_seconds`` the time from
    then to the read-back. ``missed`` are occurrences by cron that neither server ran by itself, as far as is known: the
    master may have run some before it died, and those in ``burst`` ran on the slave as soon as they were enabled.

    :param heard: when the master was last heard; where the watch never heard it, its first failed look.
    :param last_sign: when jobs that were enabled already had been enabled at the latest; None if there were none.
    """
    missed, total = _missed(manifest, plan, enabled, heard, zone, last_sign or enabled.verified)
    burst = _burst(plan, enabled, heard)
    if total:
        log.warning("%d occurrences were missed, such as %s at %s", total, missed[0].key, missed[0].at)
    return {
        "rpo_seconds": round((heard - taken).total_seconds(), 1),
        "rto_seconds": round((enabled.verified - heard).total_seconds(), 1),
        "enabled": len(plan.order) - len(enabled.failed),
        "failed": _names(enabled.failed),
        "missing": _names(plan.missing),
        "missed": {
            "occurrences": total,
            "listed": [{"job": str(each.key), "at": each.at.isoformat()} for each in missed[:LISTED]],
            "time_zone": str(zone),
        },
        "burst": _names(burst),
        "caught_up": _names(_catch_up(run, {each.key for each in missed} - set(burst) - set(enabled.failed), enabled)),
    }


def _missed(
    manifest: Manifest, plan: EnablePlan, enabled: Enabled, since: datetime, zone: tzinfo, last_sign: datetime
) -> tuple[list[Missed], int]:
    """Occurrences between the master's last sign of life and the moment at which the slave could run the job.

    Jobs go by the servers' clock, of which the slave's is the one that can be asked.
    """
    skew = enabled.statuses.server_time - enabled.verified
    wanted = {*plan.order, *plan.missing}
    found, total = missed_occurrences(manifest, wanted, since=since + skew, until=enabled.verified + skew, zone=zone)
    until = _enabled_at(enabled, since + skew, last_sign + skew)
    until |= {key: at + skew for key, at in enabled.at.items()}
    until |= dict.fromkeys((*enabled.failed, *plan.missing), enabled.statuses.server_time)
    missed = [each for each in found if each.at <= until[each.key]]
    return missed, total - (len(found) - len(missed))


def _enabled_at(enabled: Enabled, since: datetime, last_sign: datetime) -> dict[JobKey, datetime]:
    """When jobs were enabled at the latest that an earlier try has enabled: before they ran, if they did."""
    return {
        status.key: min(last_sign, status.previous_execution - timedelta(seconds=1))
        if status.previous_execution and status.previous_execution > since
        else last_sign
        for status in enabled.statuses.jobs
    }


def _burst(plan: EnablePlan, enabled: Enabled, heard: datetime) -> tuple[JobKey, ...]:
    """Jobs that ran as soon as they were enabled: a resumed trigger that is overdue fires at once [Q]."""
    planned = set(plan.order)
    ours = [status for status in enabled.statuses.jobs if status.key in planned]
    return ran_since(ours, enabled.statuses.server_time - (enabled.verified - heard))


def _catch_up(run: PairRun, missed: Collection[JobKey], enabled: Enabled) -> tuple[JobKey, ...]:
    """Start once what was missed, where the pair wants that."""
    if run.pair.failover.catch_up == "none":
        return ()
    scope = Scope(jobs=run.pair.failover.catch_up_jobs)
    chosen = tuple(sorted(key for key in missed if scope.matches(key) and key in enabled.statuses.by_key))
    try:
        run.slave.set_jobs_status("start", chosen, statuses=enabled.statuses)
    except DenodoSchedulerError as error:
        log.error("The missed jobs could not all be started: %s", error)
    return chosen


def _names(keys: Collection[JobKey]) -> dict[str, Any]:
    return {"jobs": len(keys), "names": [str(key) for key in sorted(keys)][:LISTED]}
