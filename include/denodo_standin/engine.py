"""The part of a Scheduler server that fires jobs.

Everything that is due is an event in one queue, so that a manual clock runs it in order, at its own time, run lengths
included. The following behaviour is unpublished, hence a guess [G]:

* a job with dependencies that is due waits until each of them has ended well (or at all, with ``executeAnyway``) since
  the job's own last start; with several triggers the dependencies of all of them count;
* a job due while it runs starts again when the run has ended, once;
* ``retrySection`` is ``{"maxRetries": n, "delay": milliseconds}``; a run that ended in ERROR is repeated;
* runs that a killed process left behind end in ERROR when it is started again, waiting jobs no longer wait.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from denodo_ha.jobs import JobState
from denodo_standin.clock import Clock
from denodo_standin.model import Job, Result
from denodo_standin.store import Store
from denodo_standin.triggers import first_time, next_time

_STUCK_FOR = timedelta(hours=1)
_ENDED_WELL = (Result.COMPLETE, Result.WARNING)
_LONGEST_SLEEP = 60.0  # seconds; the system's clock may be put forward meanwhile


@dataclass(frozen=True)
class _Run:
    seq: int
    attempt: int


@dataclass(frozen=True)
class _Waiting:
    """A job that waits for its dependencies.

    :param since: a dependency counts when its last run ended after this moment
    """

    since: datetime | None
    trigger: str
    scheduled: datetime | None


@dataclass(order=True, frozen=True)
class _Event:
    """An event; it counts only while the job's state still holds its ``token``: a due time or a run."""

    at: datetime
    number: int
    job_id: int = field(compare=False)
    token: datetime | _Run = field(compare=False)


class Engine:
    """The engine of one server.

    :param timezone: the time zone of the server; crons have none of their own [V]
    """

    def __init__(self, store: Store, clock: Clock, timezone: tzinfo) -> None:
        self.store = store
        self.clock = clock
        self.timezone = timezone
        self.running: dict[int, _Run] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._retrying: dict[int, _Run] = {}
        self._blocked: dict[int, datetime] = {}
        self._queue: list[_Event] = []
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def state(self, job: Job) -> JobState:
        if job.disabled or self.store.settings.paused:
            return JobState.DISABLED
        if job.id in self.running:
            return JobState.RUNNING
        if job.draft:
            return JobState.DRAFT
        if job.id in self._waiting:
            return JobState.WAITING
        if any(trigger.get("type", "cron") != "cron" for trigger in job.triggers):
            return JobState.POLLING
        return JobState.NOT_RUNNING

    # -- changes by people and imports

    def schedule(self, job: Job) -> None:
        """Schedule a new or changed job; its next execution is calculated from now, or is now if it fires at once."""
        now = self.clock.now()
        job.next_execution = now if self._fires_at_once(job, now) else self._next(job, now)
        self.store.put(job)
        self._catch_up(job, now)

    def reschedule(self, job: Job) -> None:
        """Calculate the next execution of an unchanged job from now."""
        job.next_execution = self._next(job, self.clock.now())
        self.store.put(job)
        self._push_due(job)

    def is_stuck(self, job: Job) -> bool:
        pattern = self.store.settings.guesses.stuck
        return pattern is not None and pattern.search(self._label(job)) is not None

    def enable(self, job: Job, by: str) -> None:
        """Enable a job unless it is enabled. Executions that it missed are treated by the misfire policy [Q]."""
        if not job.disabled:
            return
        now = self.clock.now()
        job.disabled = False
        self.store.add_audit(now, job, "enabled", by)
        self.store.put(job)
        self._catch_up(job, now)

    def disable(self, job: Job, by: str) -> None:
        """Disable a job unless it is disabled; stop it first if it runs [D]."""
        if job.disabled:
            return
        self.stop(job)
        job.disabled = True
        self.store.add_audit(self.clock.now(), job, "disabled", by)
        self.store.put(job)

    def may_start(self, job: Job) -> bool:
        """Return whether it can be started by hand: not if it is disabled, a draft, or the server is paused."""
        return self.state(job) not in (JobState.DISABLED, JobState.DRAFT)

    def start(self, job: Job) -> None:
        """Run a job now regardless of its dependencies, unless it runs [G]."""
        if job.id not in self.running:
            self._run(job, self.clock.now(), "manual", None)

    def start_with_dependencies(self, job: Job) -> None:
        """Run all jobs on which the job depends, directly or not, then the job."""
        if job.id in self._waiting or job.id in self.running:
            return
        dependencies = self._dependencies(job)
        if not dependencies:
            self.start(job)
            return
        self._waiting[job.id] = _Waiting(self.clock.now() - timedelta.resolution, "manual", None)
        for dependency in dependencies:
            self.start_with_dependencies(dependency)

    def with_dependencies(self, job: Job) -> list[Job]:
        """Return the job and all jobs on which it depends, directly or not."""
        found = {job.id: job}
        unseen = [job]
        while unseen:
            for dependency in self._dependencies(unseen.pop()):
                if dependency.id not in found:
                    found[dependency.id] = dependency
                    unseen.append(dependency)
        return list(found.values())

    def stop(self, job: Job) -> None:
        """End a run as STOPPED and give up waiting and retries; an idle job stays as it is [V]."""
        self._waiting.pop(job.id, None)
        self._retrying.pop(job.id, None)
        self._blocked.pop(job.id, None)
        if run := self.running.get(job.id):
            self._end(job, run, self.clock.now(), Result.STOPPED)

    def forget(self, job: Job) -> None:
        """Stop a job that is about to be deleted."""
        self.stop(job)

    def pause(self, paused: bool) -> None:
        """Pause or resume the whole server: while paused nothing fires and every job shows DISABLED [D]."""
        self.store.settings.paused = paused
        self.store.save_settings()
        if not paused:
            self._catch_up_all()

    # -- time

    def recover(self) -> None:
        """Resume from the state on disk; executions that were due meanwhile are treated by the misfire policy."""
        now = self.clock.now()
        with self.store.transaction():
            for seq, job_id in self.store.open_runs():
                self.store.end_run(seq, now, Result.ERROR)
                if job := self.store.jobs.get(job_id):
                    job.result, job.last_end = Result.ERROR, now
                    self.store.put(job)
            for job in self.store.jobs.values():
                if job.next_execution is None:
                    self.reschedule(job)
            self._catch_up_all()

    def advance(self, target: datetime) -> None:
        """Move a manual clock forward to ``target``; everything that becomes due runs in order, at its time."""
        with self.store.transaction():
            while self._queue and self._queue[0].at <= target:
                event = heapq.heappop(self._queue)
                self.clock.set(max(event.at, self.clock.now()))
                self._happen(event)
            self.clock.set(target)

    def set_back(self) -> None:
        """Recalculate every trigger after the clock was set back."""
        with self.store.transaction():
            for job in self.store.jobs.values():
                self.reschedule(job)

    def run_due(self) -> None:
        """Run what is due by a real clock."""
        now = self.clock.now()
        if not self._queue or self._queue[0].at > now:
            return
        with self.store.transaction():
            while self._queue and self._queue[0].at <= now:
                self._happen(heapq.heappop(self._queue))

    async def run(self) -> None:
        """Fire jobs as time passes, for ever. A manual clock moves by :meth:`advance` alone."""
        while True:
            self._changed.clear()
            timeout = None
            if not self.clock.manual:
                self.run_due()
                if self._queue:
                    timeout = min(max(0.0, (self._queue[0].at - self.clock.now()).total_seconds()), _LONGEST_SLEEP)
            try:
                await asyncio.wait_for(self._changed.wait(), timeout)
            except TimeoutError:
                continue

    def wake(self) -> None:
        """Look again at what is due, because the clock was changed."""
        self._changed.set()

    # -- events

    def _push(self, at: datetime, job: Job, token: datetime | _Run) -> None:
        heapq.heappush(self._queue, _Event(at, next(self._numbers), job.id, token))
        self._changed.set()

    def _push_due(self, job: Job) -> None:
        if job.next_execution is not None and not job.disabled and not job.draft:
            self._push(job.next_execution, job, job.next_execution)

    def _happen(self, event: _Event) -> None:
        job = self.store.jobs.get(event.job_id)
        if job is None:
            return
        token, now = event.token, self.clock.now()
        if isinstance(token, datetime):
            if token == job.next_execution:
                self._catch_up(job, now)
        elif self.running.get(job.id) == token:
            self._end(job, token, now, self.store.settings.result_of(self._label(job)))
        elif self._retrying.get(job.id) == token:
            del self._retrying[job.id]
            if job.id not in self.running:
                self._run(job, now, "retry", None, attempt=token.attempt + 1)

    def _catch_up_all(self) -> None:
        now = self.clock.now()
        with self.store.transaction():
            for job in list(self.store.jobs.values()):
                self._catch_up(job, now)

    def _catch_up(self, job: Job, now: datetime) -> None:
        """Fire a job that is due and queue its next time."""
        if job.disabled or job.draft or self.store.settings.paused or job.next_execution is None or self.is_stuck(job):
            return
        threshold = timedelta(seconds=self.store.settings.guesses.misfire_threshold_seconds)
        if job.next_execution > now:
            self._push_due(job)
        elif now - job.next_execution > threshold:
            job.next_execution = self._next(job, now)
            self._misfire(job, now)
            self._push_due(job)
        else:
            scheduled = job.next_execution
            job.next_execution = self._next(job, scheduled)
            self._fire(job, now, "cron", scheduled)
            self._push_due(job)

    def _misfire(self, job: Job, now: datetime) -> None:
        if self.store.settings.guesses.misfire == "fire_once":
            self._fire(job, now, "misfire", now)
        else:
            job.result = Result.MISFIRED
            self.store.put(job)

    def _fire(self, job: Job, now: datetime, trigger: str, scheduled: datetime) -> None:
        if job.id in self.running:
            self._blocked.setdefault(job.id, scheduled)
        elif job.id not in self._waiting:
            waiting = _Waiting(job.previous_execution, trigger, scheduled)
            if self._may_go(job, waiting):
                self._run(job, now, trigger, scheduled)
                return
            self._waiting[job.id] = waiting
        self.store.put(job)

    def _run(self, job: Job, now: datetime, trigger: str, scheduled: datetime | None, attempt: int = 0) -> None:
        self._waiting.pop(job.id, None)
        self._retrying.pop(job.id, None)
        run = _Run(self.store.start_run(job, now, trigger, scheduled), attempt)
        self.running[job.id] = run
        job.previous_execution = now
        self.store.put(job)
        self._push(now + timedelta(seconds=self.store.settings.seconds_of(self._label(job))), job, run)

    def _end(self, job: Job, run: _Run, now: datetime, result: Result) -> None:
        del self.running[job.id]
        self.store.end_run(run.seq, now, result)
        job.result, job.last_end = result, now
        self.store.put(job)
        if result is Result.ERROR and run.attempt < _whole(job, "maxRetries"):
            self._retrying[job.id] = run
            self._push(now + timedelta(milliseconds=_whole(job, "delay")), job, run)
        if scheduled := self._blocked.pop(job.id, None):
            self._fire(job, now, "cron", scheduled)
        self._release(now)

    def _release(self, now: datetime) -> None:
        for job_id, waiting in list(self._waiting.items()):
            job = self.store.jobs.get(job_id)
            if job is None:
                del self._waiting[job_id]
            elif job_id in self._waiting and self._may_go(job, waiting):
                self._run(job, now, "dependency", waiting.scheduled)

    def _may_go(self, job: Job, waiting: _Waiting) -> bool:
        anyway = any(trigger.get("dependencyInfo", {}).get("executeAnyway") for trigger in job.triggers)
        for name in job.dependencies:
            dependency = self.store.job_named(job.project_id, name)
            if dependency is None or dependency.last_end is None or dependency.id in self.running:
                return False
            if waiting.since is not None and dependency.last_end <= waiting.since:
                return False
            if dependency.result not in _ENDED_WELL and not anyway:
                return False
        return True

    def _dependencies(self, job: Job) -> list[Job]:
        found = (self.store.job_named(job.project_id, name) for name in job.dependencies)
        return [dependency for dependency in found if dependency is not None]

    def _label(self, job: Job) -> str:
        return f"{self.store.projects[job.project_id].name} / {job.name}"

    def _next(self, job: Job, after: datetime) -> datetime | None:
        times = (next_time(trigger, after, self.timezone) for trigger in job.triggers)
        first = min((moment for moment in times if moment is not None), default=None)
        return after - _STUCK_FOR if first is not None and self.is_stuck(job) else first

    def _fires_at_once(self, job: Job, now: datetime) -> bool:
        if not self.store.settings.guesses.past_start_fires or self.is_stuck(job):
            return False
        times = (first_time(trigger, self.timezone) for trigger in job.triggers)
        return any(moment is not None and moment < now for moment in times)


def _whole(job: Job, option: str) -> int:
    value = job.sections.get("retrySection", {}).get(option)
    return value if isinstance(value, int) else 0
