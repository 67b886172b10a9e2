"""Sending archives to the passive server: what an import wakes is disabled and read back at once, in the same task."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from airflow.sdk import ObjectStoragePath

from denodo_ha.jobs import JobKey
from denodo_ha.record import Record, answered, close_operation, importing, mark_dirty
from denodo_ha.text import listed
from denodo_scheduler.exceptions import ConfigurationError, DenodoSchedulerError, RequestError, UnreachableError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, ImportResult, Statuses
from denodo_scheduler.steps.claim import LEASE, Claim, SyncTicket
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.passive import AtRest, rest_passive

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answered:
    """An import that was answered, and the server that was read back without enabled jobs after it."""

    began: datetime
    answered: datetime
    rest: AtRest
    result: ImportResult

    @property
    def exposure(self) -> timedelta:
        """How long jobs may have been enabled on the passive server."""
        return self.rest.clean_at - self.began


@dataclass
class Sender:
    """The right to change the passive server during one sync, and what has to follow whatever the end of a change is.

    :param own: the right to import. :param passive: the right to disable what an import woke.
    :param untouched: the record before the intent; None after the first change that was sent.
    """

    context: PairContext
    ticket: SyncTicket
    own: Claim
    passive: Claim
    untouched: Record | None

    @property
    def _hook(self) -> DenodoSchedulerHook:
        return self.context.servers.hook(self.ticket.target)

    def renew(self) -> None:
        """Look whether this task may still act, and keep the operation for as long as short requests take."""
        self.own.save(partial(importing, until=self.context.now() + LEASE))

    def before_writing(self) -> None:
        """The same, right before jobs are written."""
        self.renew()
        self.untouched = None

    def send(self, archive: ObjectStoragePath, jobs: Sequence[JobKey], before: Statuses) -> Answered:
        """Import an archive and disable its jobs. What a failed import may have enabled is disabled, or left to the
        task ``disable_jobs``.

        :param jobs: the jobs that the archive holds. :param before: the server right before.
        :raises UnreachableError: nothing was sent. :raises Blocked: the import was sent and its end is unknown.
        """
        sync = self.context.pair.sync
        self.own.save(partial(importing, until=self.context.now() + sync.lease))
        self._ensure_time_left()
        known = before.by_key
        began = self.context.now()
        result = self._import(archive, jobs)
        done = self.context.now()
        rest = self.disable(jobs)
        self.close()
        log.info(
            "Imported in %.1f s; %d jobs were enabled by it and are disabled again.",
            (done - began).total_seconds(),
            len(rest.disabled),
        )
        new = set(jobs) - known.keys()
        if new and not rest.disabled:
            log.warning(
                "The import has enabled none of %d new jobs, though imports enable all. Every job was told to be "
                "disabled. If the %s is paused, look at its jobs right after it is resumed: %s",
                len(new),
                self.ticket.target,
                listed(sorted(new)),
            )
        for warning in result.warnings:
            log.warning("The %s says about the import: %s", self.ticket.target, warning)
        if result.unlisted:
            log.warning(
                "The %s tells %d warnings more about the import, which are not listed here. Look at its own log.",
                self.ticket.target,
                result.unlisted,
            )
        return Answered(began, done, rest, result)

    def _import(self, archive: ObjectStoragePath, jobs: Sequence[JobKey]) -> ImportResult:
        try:
            result = self._hook.import_metadata(archive, timeout=self.context.pair.sync.import_timeout.total_seconds())
        except UnreachableError:
            self.undo()
            raise
        except DenodoSchedulerError as error:
            self.untouched = None
            if refused(error):
                self.disable(jobs)
                self.close()
                raise
            try:
                self.disable(jobs)
            except (DenodoSchedulerError, NotYet) as second:
                log.warning("The jobs of the %s could not be disabled yet: %s", self.ticket.target, second)
            raise Blocked(
                "import_unanswered",
                f"the import was sent and its end is unknown ({error}); the server may still be executing it",
                f"disable_jobs keeps the jobs of the {self.ticket.target} disabled until it can no longer be; then "
                "the next run imports again",
            ) from None
        self.untouched = None
        return result

    def _ensure_time_left(self) -> None:
        """A process that slept since it wrote its intent must not send an import that outlives the lease."""
        operation = self.own.check().operation
        if operation and self.context.now() + self.context.pair.sync.import_timeout > operation.lease_until:
            self.undo()
            raise NotYet(
                "lease_short",
                f"the lease of this operation ends at {operation.lease_until:%H:%M:%S} UTC, too soon for an import",
                "nothing was sent; this task tries again",
            )

    def undo(self) -> None:
        """Nothing is in flight; where nothing was sent at all, the server is as clean, or as dirty, as it was."""
        before = self.untouched
        self.own.save(
            lambda record: close_operation(record.model_copy(update={"dirty": before.dirty} if before else {}))
        )

    def disable(self, jobs: Sequence[JobKey]) -> AtRest:
        claim = self.passive.trusted(self.context.now() + self.context.pair.sync.lease)
        return rest_passive(self.context, self.ticket.target, claim, ours=True, after_import=True, imported=jobs)

    def close(self) -> None:
        """Note that nothing is in flight any more; if another run has taken over, the server is dirty again."""
        try:
            self.own.save(answered)
        except NothingToDo as error:
            reason = "an import ended after another run had taken over"
            now = self.context.now()
            self.context.save(lambda record: (mark_dirty(record, now=now, reason=reason), None))
            how = f"the next run repairs the {self.ticket.target} and imports again"
            raise Blocked("import_late", f"{reason} ({error})", how) from None


def refused(error: DenodoSchedulerError) -> bool:
    """Whether the server certainly executes nothing.

    A 500 is also what a web tool says that has lost its server in the middle of the import [G], and a 502 or 504 comes
    from a gateway that no longer waits.
    """
    never_sent = isinstance(error, ConfigurationError) and error.status is None
    return never_sent or (isinstance(error, ConfigurationError | RequestError) and 300 <= (error.status or 0) < 500)
