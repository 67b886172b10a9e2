"""A drill: which jobs may prove that the passive server can run, one after the other, and what came of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta, tzinfo
from typing import Any

from denodo_ha.delivery.moments import has_no_moment, next_moment
from denodo_ha.durations import format_duration
from denodo_ha.jobs import Job, JobKey, JobState, JobStatus, Statuses
from denodo_ha.quiet_window import clock
from denodo_ha.reason import Reason
from denodo_ha.scope import Scope, named
from denodo_ha.text import listed
from denodo_ha.values import Time, Value

RAN = "ran"
"""The code of a job that ran and was read back disabled."""
GAVE_WAY = "gave_way"
"""The code of a drill that a failover or switchover has ended."""
AGAIN = "see to it, then drill again: operation 'drill' of the operations DAG, or denodo-ha drill"


class Drilled(Value):
    """What a drill has seen of one job.

    :param code: :data:`RAN`, or why it is no proof; ``what`` says it in words.
    :param result: how its run ended, by its report or its status.
    :param enabled: when it was told to be enabled; None where it was not.
    :param disabled: when it was read back disabled. Both by the clock of Airflow.
    :param started: when its run began, :param ended: when it ended, by the report and so by the server's clock.
    """

    key: JobKey
    code: str
    what: str
    next_step: str = ""
    result: str | None = None
    enabled: Time | None = None
    started: Time | None = None
    ended: Time | None = None
    disabled: Time | None = None

    @property
    def ok(self) -> bool:
        return self.code == RAN

    def to_json(self) -> dict[str, Any]:
        """Return it for an event."""
        seconds = (self.disabled - self.enabled).total_seconds() if self.enabled and self.disabled else None
        plain = self.model_dump(mode="json", exclude={"key"})
        return {"job": str(self.key), "ok": self.ok, **plain, "seconds": seconds}


class Drill(Value):
    """The last drill of a pair, which is under way, or interrupted, as long as ``ended`` is None.

    :param id: the operation that began it. :param by: who.
    :param job: the job that it may have enabled, and has not read back disabled.
    :param left: the jobs that follow. :param done: what was seen of the others.
    :param code: why it ended before its last job; empty if it did not. ``what`` says it in words.
    """

    id: str
    by: str
    at: Time
    ended: Time | None = None
    job: JobKey | None = None
    left: tuple[JobKey, ...] = ()
    done: tuple[Drilled, ...] = ()
    code: str = ""
    what: str = ""
    next_step: str = ""

    @property
    def failed(self) -> tuple[Drilled, ...]:
        return tuple(each for each in self.done if not each.ok)

    @property
    def problem(self) -> Reason | None:
        """Why a drill that has ended is no proof that the server can run; None if it is."""
        if self.code:
            return Reason(self.code, self.what, self.next_step)
        if not (failed := self.failed):
            return None
        said = listed((f"{each.key}: [{each.code}] {each.what}" for each in failed), between="; ")
        what = f"{len(failed)} of {len(self.done)} jobs are no proof that the slave can run: {said}"
        return Reason("drill_failed", what, failed[0].next_step or AGAIN)

    @property
    def summary(self) -> str:
        """Say in a clause what came of it."""
        if self.ended is None:
            return f"not at its end; {len(self.done)} jobs done, {len(self.left) + (self.job is not None)} left"
        ran = f"{len(self.done) - len(self.failed)} of {len(self.done) + len(self.left)} jobs ran on the slave"
        return f"{ran}; [{self.problem.code}] {self.problem.what}" if self.problem else ran

    def told(self) -> dict[str, Any]:
        """Return the details of its event."""
        problem = self.problem
        return {
            "operation": self.id,
            "server": "slave",
            "before": {"ran": 0},
            "after": {"ran": len(self.done) - len(self.failed)},
            "ok": self.ended is not None and problem is None,
            "begun": self.at.isoformat(),
            "seconds": (self.ended - self.at).total_seconds() if self.ended else None,
            "jobs": [each.to_json() for each in self.done],
            "not_begun": [str(key) for key in self.left],
            **(problem.to_json() if problem else {}),
        }

    def ended_at(self, now: Time, reason: Reason | None = None) -> Drill:
        """Return it as ended, before its last job if there is a ``reason``."""
        code, what, next_step = reason or ("", "", "")
        return self.model_copy(update={"ended": now, "job": None, "code": code, "what": what, "next_step": next_step})


def chosen(patterns: Sequence[str], scope: Scope, jobs: Iterable[JobKey]) -> tuple[JobKey, ...] | Reason:
    """Return the jobs of the slave that the option ``drill`` names, or why that cannot be told."""
    if not patterns:
        return Reason(
            "no_drill_jobs",
            "no job of this pair may be drilled",
            "name harmless jobs, which may run on both servers, under 'drill' of the pair",
        )
    there = [key for key in jobs if scope.matches(key)]
    if idle := [pattern for pattern in patterns if not any(named([pattern], key) for key in there)]:
        return Reason(
            "no_drill_jobs",
            f"'drill' of the pair names {listed(map(repr, idle))}, and the slave has no such job in the pair's scope",
            "correct 'drill', or let a sync deliver the job",
        )
    return tuple(sorted({key for key in there if named(patterns, key)}))


def at_rest(statuses: Statuses, scope: Scope) -> Reason | None:
    """No job of the pair is enabled on the slave."""
    enabled = sorted(job.key for job in statuses.jobs if job.state.is_enabled and scope.matches(job.key))
    if not enabled:
        return None
    return Reason(
        "slave_enabled",
        f"{len(enabled)} jobs are enabled on the slave ({listed(enabled)}), and nothing else may be enabled there "
        "during a drill",
        "wait for the failover DAG, which disables them, or disable them there by hand",
    )


def unfit(
    key: JobKey,
    statuses: Statuses,
    jobs: Sequence[Job],
    wanted: Collection[JobKey],
    *,
    zones: Sequence[tzinfo],
    window: timedelta,
) -> Reason | None:
    """Return why a job must not be drilled now: it could run twice, let others run, or run where it never should.

    :param statuses: of the slave. :param jobs: the definitions there.
    :param wanted: the jobs that a failover would enable.
    :param zones: all that the slave's clock may have.
    :param window: how long the job is enabled at the most.
    """
    by_key = {job.key: job for job in jobs}
    status, job = statuses.by_key.get(key), by_key.get(key)
    if status is None or job is None:
        return Reason("not_there", "the slave does not have the job any more", "run the sync DAG")
    if status.state is JobState.DRAFT:
        return Reason("draft", "it is a draft, which cannot run", "finish the job, or take it out of 'drill'")
    if status.state.is_enabled:
        how = "find out who enables it; the failover DAG disables it"
        return Reason("enabled_there", f"it is {status.state} there already, so its run could be another one's", how)
    if key not in wanted:
        what = "it is disabled on the active server by the last sync, so no failover would enable it either"
        return Reason("disabled_on_active", what, "enable it on the master and run the sync DAG, or choose another job")
    return _would_fire(job, statuses, zones, window) or _linked(job, statuses, jobs)


def _would_fire(job: Job, statuses: Statuses, zones: Sequence[tzinfo], window: timedelta) -> Reason | None:
    # What a past start time does happens when a trigger is created, and that is not done here.
    triggers = tuple(each.model_copy(update={"start_time": None}) for each in job.triggers)
    job, now = job.model_copy(update={"triggers": triggers}), statuses.server_time
    choose = "choose a job without such a trigger for 'drill'"
    if unknown := has_no_moment(job, now):
        return Reason("may_fire", f"it could run by itself while it is enabled: {unknown}", choose)
    free = next_moment([job], now=now, zones=zones, budget=window, until=now + timedelta(seconds=2))
    if free is not None:
        return None
    clocks = " on one of the clocks that the slave may have" if len(zones) > 1 else ""
    what = f"a cron of it is due within {format_duration(window)}{clocks}, so it could run twice"
    how = "drill at another time, with a shorter 'drill_timeout', or with a job that has no trigger"
    return Reason("due", what, f"{how}; 'slave_timezone' of the pair tells the clock" if clocks else how)


def due(status: JobStatus, statuses_at: Time, window: timedelta) -> Reason | None:
    """The job that was just enabled is not due by its own server's word."""
    coming = status.next_execution
    if coming is None or coming > statuses_at + window:
        return None
    what = f"its next execution is at {clock(coming)}, so it could run twice"
    return Reason("due", what, "drill at another time, or with a job that has no trigger")


def _linked(job: Job, statuses: Statuses, jobs: Sequence[Job]) -> Reason | None:
    """No enabled job waits for it, and it waits for none; those of the pair are all disabled."""
    enabled = {each.job_id for each in statuses.jobs if each.state.is_enabled}
    known = [each for each in jobs if each.id in enabled]
    if after := [each.key for each in known if job.id in _dependencies(each)]:
        what = f"{listed(sorted(after))} would run after it, which is enabled on the slave"
        return Reason("would_release", what, "disable it there for the drill, or take the job out of 'drill'")
    if before := [each.key for each in known if each.id in _dependencies(job)]:
        what = f"it runs after {listed(sorted(before))}, which is enabled on the slave, so it could run twice"
        return Reason("may_fire", what, "disable that job there for the drill, or take the job out of 'drill'")
    return None


def _dependencies(job: Job) -> set[int]:
    return {number for each in job.triggers if each.dependency for number in each.dependency.job_ids}
