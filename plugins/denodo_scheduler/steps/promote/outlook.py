"""What a switchover would wait for and miss if it began now: which jobs run, since when, how long the gap may be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.draining import runs, usual_length
from denodo_ha.jobs import JobState, JobStatus
from denodo_ha.preconditions import other
from denodo_ha.quartz.missed import UNKNOWN_ZONE, missed_occurrences
from denodo_ha.text import NAMED
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.promote.examine import Examined, zone_of
from denodo_scheduler.steps.promote.report import listed_occurrences
from denodo_scheduler.steps.servers import enabled_in

log = logging.getLogger(__name__)

LOOKED_UP = 20
"""Of how many jobs that run the reports are read, one request each."""
_REPORTS = 10
_AT_LEAST = timedelta(seconds=5)
"""How long it takes to disable, read back and enable, where nothing runs."""


def outlook(context: PairContext, found: Examined) -> dict[str, Any]:
    """Say what stands in the way of the switchover now, as plain JSON.

    ``running`` are the jobs that have to end first, with how long they usually take by their reports. ``gap_seconds``
    is how long the switchover may take, None where that cannot be told; ``due`` are the occurrences by cron in that
    time, or within the drain timeout.
    """
    looked = found.statuses.server_time
    enabled = enabled_in(context.pair.scope, found.statuses)
    busy = sorted((job for job in enabled if runs(job) or job.state is JobState.WAITING), key=_since)
    usual = [_usual(found, job) for job in busy[:LOOKED_UP]]
    gap = _gap(busy, usual, looked)
    until = looked + (gap or context.pair.failover.drain_timeout)
    zone = zone_of(context.pair, other(found.to), found, until) or UNKNOWN_ZONE
    due, total = missed_occurrences(found.active, found.active.enabled, since=looked, until=until, zone=zone.zone)
    return {
        "running": {
            "jobs": len(busy),
            "listed": [_row(job, length) for job, length in zip(busy, usual, strict=False)],
        },
        "gap_seconds": gap.total_seconds() if gap else None,
        "drain_timeout_seconds": context.pair.failover.drain_timeout.total_seconds(),
        "due": listed_occurrences(due[:NAMED], total, zone),
    }


def _since(job: JobStatus) -> tuple[bool, str]:
    """Those that have run longest come first."""
    return not job.previous_execution, job.previous_execution.isoformat() if job.previous_execution else ""


def _usual(found: Examined, job: JobStatus) -> timedelta | None:
    if not runs(job):
        return None
    try:
        return usual_length(found.path.hook.reports(job.key, 0, _REPORTS, statuses=found.statuses))
    except DenodoSchedulerError as error:
        log.warning("How long %s usually takes is not known: %s", job.key, error)
        return None


def _gap(busy: Sequence[JobStatus], usual: Sequence[timedelta | None], looked: datetime) -> timedelta | None:
    """None where a job waits for others, runs longer than usual, or has no report that tells."""
    left = []
    for job, length in zip(busy, usual, strict=False):
        end = job.previous_execution + length if job.previous_execution and length else None
        if end is None or end < looked:
            return None
        left.append(end - looked)
    return max(left, default=timedelta(0)) + _AT_LEAST if len(busy) == len(usual) else None


def _row(job: JobStatus, usual: timedelta | None) -> dict[str, Any]:
    return {
        "job": str(job.key),
        "state": str(job.state),
        "since": job.previous_execution.isoformat() if job.previous_execution else None,
        "usual_seconds": usual.total_seconds() if usual else None,
    }
