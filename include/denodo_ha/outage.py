"""Find the executions that were missed while no server ran jobs, and the immediate runs when one took over."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

from denodo_ha.checks import ran_since
from denodo_ha.jobs import JobKey, JobState, JobStatus
from denodo_ha.promotion import EnableOrder
from denodo_ha.quartz.missed import Missed, missed_occurrences
from denodo_ha.snapshot.manifest import Manifest

_WHOLE = timedelta(seconds=1)
"""A server tells its time in whole seconds, so its clock is ahead of what it says by less than this."""


def missed_in_outage(
    manifest: Manifest,
    order: EnableOrder,
    *,
    told: Mapping[JobKey, datetime],
    left: Iterable[JobKey],
    statuses: Sequence[JobStatus],
    since: datetime,
    verified: datetime,
    last_sign: datetime,
    skew: timedelta,
    zone: tzinfo | None,
    last_run: Mapping[JobKey, datetime],
) -> tuple[list[Missed], int]:
    """List the occurrences by cron from when the old server ran jobs last until the new one could run the job.

    :param told: when each job was told to be enabled. :param left: jobs that could not be enabled.
    :param statuses: of the new server, read back at ``verified``.
    :param since: when the old server was last heard, or began to be disabled.
    :param last_sign: when jobs that were enabled already had been enabled at the latest.
    :param skew: how far the new server's clock, by which the jobs go, is ahead of the one that gave these moments.
    :param zone: the time zone of the crons; None stands for UTC.
    :param last_run: when the old server ran each job last, by its clock, as far as it can be asked. What was due until
        then it has run.
    :return: the first occurrences, and how many there are. One within a second of the enabling is listed unless the
        statuses show that the new server ran it.
    """
    wanted = {*order.order, *order.missing}
    end = verified + skew + _WHOLE
    found, total = missed_occurrences(manifest, wanted, since=since + skew, until=end, zone=zone)
    until = _enabled_at(statuses, since + skew, last_sign + skew)
    until |= {key: at + skew for key, at in told.items()}
    until |= dict.fromkeys((*left, *order.missing), verified + skew)
    ran = {status.key: status.previous_execution for status in statuses}

    def is_missed(each: Missed) -> bool:
        late = each.at - until[each.key]
        in_doubt = late > timedelta(0) and not _after(each.at, ran.get(each.key))
        return late <= _WHOLE and not in_doubt and _after(each.at, last_run.get(each.key))

    missed = [each for each in found if is_missed(each)]
    return missed, total - (len(found) - len(missed))


def _after(moment: datetime, run: datetime | None) -> bool:
    return run is None or moment > run


def _enabled_at(statuses: Sequence[JobStatus], since: datetime, last_sign: datetime) -> dict[JobKey, datetime]:
    """Return by when jobs of an earlier try were enabled at the latest: before they ran, if they did."""
    return {
        status.key: min(last_sign, status.previous_execution - timedelta(seconds=1))
        if status.previous_execution and status.previous_execution > since
        else last_sign
        for status in statuses
    }


def has_started(before: JobStatus, after: JobStatus) -> bool:
    """Whether a job that rested runs now, or has run since."""
    return after.state is JobState.RUNNING or after.previous_execution != before.previous_execution


def ran_at_once(statuses: Sequence[JobStatus], keys: Collection[JobKey], since: datetime) -> tuple[JobKey, ...]:
    """Return the jobs that ran as soon as they were enabled: a resumed trigger that is overdue may fire at once [Q].

    :param since: by the clock of the server that gave the statuses.
    """
    return ran_since([status for status in statuses if status.key in keys], since)
