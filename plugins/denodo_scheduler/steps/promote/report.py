"""What a failover says about itself: how old the promoted state is, how long it took, what was not run meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, tzinfo
from typing import Any

from denodo_ha.jobs import JobKey
from denodo_ha.outage import missed_in_outage, ran_at_once
from denodo_ha.promotion import EnableOrder
from denodo_ha.scope import Scope
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.text import NAMED, counted
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.jobs import Changed

log = logging.getLogger(__name__)


def describe(
    context: PairContext,
    manifest: Manifest,
    order: EnableOrder,
    enabled: Changed,
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
    statuses, verified = enabled.statuses, enabled.verified
    missed, total = missed_in_outage(
        manifest,
        order,
        told=enabled.told,
        left=enabled.left,
        statuses=statuses.jobs,
        since=heard,
        verified=verified,
        last_sign=last_sign or verified,
        skew=statuses.server_time - verified,
        zone=zone,
    )
    at_once = ran_at_once(statuses.jobs, set(order.order), statuses.server_time - (verified - heard))
    if total:
        log.warning("%d occurrences were missed, such as %s at %s", total, missed[0].key, missed[0].at)
    return {
        "rpo_seconds": round((heard - taken).total_seconds(), 1),
        "rto_seconds": round((verified - heard).total_seconds(), 1),
        "enabled": len(order.order) - len(enabled.left),
        "failed": counted(enabled.left),
        "missing": counted(order.missing),
        "missed": {
            "occurrences": total,
            "listed": [{"job": str(each.key), "at": each.at.isoformat()} for each in missed[:NAMED]],
            "time_zone": str(zone),
        },
        "burst": counted(at_once),
        "caught_up": counted(
            _catch_up(context, {each.key for each in missed} - set(at_once) - set(enabled.left), enabled)
        ),
    }


def _catch_up(context: PairContext, missed: Collection[JobKey], enabled: Changed) -> tuple[JobKey, ...]:
    """Start once what was missed, where the pair wants that."""
    if context.pair.failover.catch_up == "none":
        return ()
    scope = Scope(jobs=context.pair.failover.catch_up_jobs)
    chosen = tuple(sorted(key for key in missed if scope.matches(key) and key in enabled.statuses.by_key))
    try:
        context.slave.set_jobs_status("start", chosen, statuses=enabled.statuses)
    except DenodoSchedulerError as error:
        log.error("The missed jobs could not all be started: %s", error)
    return chosen
