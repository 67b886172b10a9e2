"""Bring the server that was active to rest without cutting a run short: each job is disabled when it does not run."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from denodo_ha.draining import Draining, runs, said
from denodo_ha.jobs import JobKey, JobState, JobStatus
from denodo_ha.text import listed
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.claim import LEASE, OperationClaim
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.jobs import by_project, change_jobs
from denodo_scheduler.steps.passive import ROUNDS, AtRest, Before, at_rest
from denodo_scheduler.steps.servers import Server, enabled_in

log = logging.getLogger(__name__)

POLL = 2.0
"""Seconds between two looks while nothing can be disabled."""


@dataclass
class Drain:
    """One try to bring a server to rest.

    :param before: called before each round of changes.
    :param overdue: called once with the jobs that have not ended at ``deadline``. Unless it raises, they are disabled.
    :param seen: jobs that were enabled when the operation began. Each is told to be disabled even if it looks disabled,
        because every job of a paused server looks so [D], and is enabled again when that is resumed.
    :param last: each job as it was when it was chosen to be disabled.
    """

    context: PairContext
    claim: OperationClaim
    before: Before
    overdue: Callable[[Sequence[JobStatus]], object]
    deadline: datetime
    seen: set[JobKey] = field(default_factory=set)
    last: dict[JobKey, JobStatus] = field(default_factory=dict)
    _told: Counter[JobKey] = field(default_factory=Counter)
    _stopping: bool = False
    _draining: Draining = field(default_factory=Draining)

    def run(self, server: Server) -> AtRest:
        """Disable all jobs in scope, and read that back.

        :raises NotYet: jobs are still enabled although they were disabled :data:`ROUNDS` times; names them.
        """
        done = change_jobs(server, "disable", self._wrong, self._pieces, enough=self._in_vain, now=self.context.now)
        return at_rest(server, done)

    def interrupted(self, now: Statuses) -> set[JobKey]:
        """Jobs whose run the disabling may have cut short: they ran, or have started since they were chosen.

        :param now: the server, read back.
        """
        return {
            key
            for key, job in self.last.items()
            if key in now.by_key and (runs(job) or job.previous_execution != now.by_key[key].previous_execution)
        }

    @property
    def waited(self) -> set[JobKey]:
        """Jobs that were due and waited for others, and do not any more."""
        return {key for key, job in self.last.items() if job.state is JobState.WAITING}

    def _wrong(self, statuses: Statuses) -> list[JobKey]:
        enabled = {job.key for job in enabled_in(self.context.pair.scope, statuses)}
        self.seen |= enabled
        return sorted(enabled | {key for key in self.seen if key in statuses.by_key and not self._told[key]})

    def _in_vain(self, _: int) -> bool:
        return any(number >= ROUNDS for number in self._told.values())

    def _pieces(self, statuses: Statuses, left: Sequence[JobKey], _: int) -> Iterator[Sequence[JobKey]]:
        known, looked = statuses.by_key, self.context.now()
        chosen = self._chosen([known[key] for key in left], statuses, looked)
        if not chosen:
            self._wait([known[key] for key in left])
            return
        self.before(statuses, chosen)
        for piece in by_project(chosen):
            self.claim.check()
            sent = [key for key in piece if not self._has_begun(known[key], statuses, looked)]
            self.last.update((key, known[key]) for key in sent)
            self._told.update(sent)
            if sent:
                yield sent

    def _chosen(self, left: Sequence[JobStatus], statuses: Statuses, now: datetime) -> Sequence[JobKey]:
        if not self._stopping:
            if ready := self._draining.ready(left, looked=statuses.server_time, now=now):
                return ready
            if now < self.deadline:
                return ()
            self.overdue(left)
            self._stopping = True
        return [job.key for job in left]

    def _has_begun(self, job: JobStatus, statuses: Statuses, looked: datetime) -> bool:
        """Whether its execution may have begun since the look, while other projects were disabled."""
        now = self.context.now()
        at = statuses.server_time + (now - looked)
        return not self._stopping and self._draining.about_to_start(job, looked=statuses.server_time, at=at, now=now)

    def _wait(self, left: Sequence[JobStatus]) -> None:
        """Sleep until the next look, and keep the operation."""
        operation, now = self.claim.check().operation, self.context.now()
        if operation and operation.lease_until - now < LEASE / 2:
            self.claim.renew()
            log.info("Waiting for %d jobs: %s", len(left), listed(map(said, left)))
        time.sleep(max(0.0, min(POLL, (self.deadline - now).total_seconds())))
