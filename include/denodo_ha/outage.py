"""Find the executions that were missed while no server ran jobs, and the immediate runs when one took over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from denodo_ha.checks import ran_since
from denodo_ha.jobs import JobKey, JobState, JobStatus
from denodo_ha.promotion import EnableOrder
from denodo_ha.quartz.missed import Missed, missed_occurrences
from denodo_ha.snapshot.manifest import Manifest

_WHOLE = timedelta(seconds=1)
"""A server tells its time in whole seconds, so its clock is ahead of what it says by less than this."""


@dataclass(frozen=True)
class Outage:
    """What became of the occurrences by cron while no server ran jobs. A job is in one of both lists at most.

    A server tells the last run of a job only, so a late run between two reads is hidden by one on time after it.

    :param missed: the first occurrences that no server ran. :param total: how many there are.
    :param late: jobs that have run since they were enabled and not at a time of their crons, most of them at once and
        late, but once for all that they had missed: a resumed trigger that is overdue may fire at once [Q].
    """

    missed: tuple[Missed, ...]
    total: int
    late: tuple[JobKey, ...]


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
    idle_since: datetime,
    skew: timedelta,
    zone: tzinfo,
    last_run: Mapping[JobKey, datetime],
) -> Outage:
    """List the occurrences by cron from when the old server ran jobs last until the new one could run the job.

    :param told: when each job was told to be enabled. :param left: jobs that could not be enabled.
    :param statuses: of the new server, read back at ``verified``, and those that were read before in the same change.
    :param since: when the old server was last heard, or began to be disabled.
    :param last_sign: when jobs that were enabled already had been enabled at the latest.
    :param idle_since: a job that ran on the new server after this ran because it was enabled.
    :param skew: how far the new server's clock, by which the jobs go, is ahead of the one that gave these moments.
    :param zone: the time zone of the crons.
    :param last_run: when the old server ran each job last, by its clock, as far as it can be asked. What was due until
        then it has run.
    :return: an occurrence within a second after the enabling is missed too, unless the job has run since.
    """
    ordered = {*order.order}
    until = dict.fromkeys(ordered, last_sign + skew) | {key: at + skew for key, at in told.items()}
    until |= dict.fromkeys((*left, *order.missing), verified + skew)
    ran = [status for status in statuses if status.key in ordered and ran_since([status], idle_since + skew)]
    late = {each.key for each in ran if not _ran_on_time(manifest, each, until[each.key] + _WHOLE, zone)}
    on_time = {each.key for each in ran} - late
    end = verified + skew + _WHOLE
    wanted = ordered.union(order.missing) - late
    found, total = missed_occurrences(manifest, wanted, since=since + skew, until=end, zone=zone)

    def is_missed(each: Missed) -> bool:
        before, slack = last_run.get(each.key), timedelta(0) if each.key in on_time else _WHOLE
        return each.at - until[each.key] <= slack and (before is None or each.at > before)

    missed = tuple(each for each in found if is_missed(each))
    return Outage(missed, total - (len(found) - len(missed)), tuple(sorted(late)))


def _ran_on_time(manifest: Manifest, status: JobStatus, enabled: datetime, zone: tzinfo) -> bool:
    """Whether the job's last run is one that its crons asked for after it was ``enabled``."""
    ran = status.previous_execution
    if ran is None:
        return False
    times, _ = missed_occurrences(manifest, [status.key], since=max(ran - _WHOLE, enabled), until=ran, zone=zone)
    return bool(times)


def has_started(before: JobStatus, after: JobStatus) -> bool:
    """Whether a job that rested runs now, or has run since."""
    return after.state is JobState.RUNNING or after.previous_execution != before.previous_execution
