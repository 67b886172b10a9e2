"""The one changing step that wakes jobs: intent, last look, import, and disabling immediately, in the same task."""

from __future__ import annotations

import gc
import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from denodo_ha.preconditions import quiet
from denodo_ha.quartz.forecast import assess_by_cron
from denodo_ha.record import Operation, Record, answered, begin_import, close_operation, mark_dirty
from denodo_ha.sync_results import Exported, Imported
from denodo_scheduler.exceptions import ConfigurationError, DenodoSchedulerError, RequestError, UnreachableError
from denodo_scheduler.hooks.scheduler import ImportResult, Statuses
from denodo_scheduler.steps.claim import Claim, SyncTicket, current_sync, own_sync, passive_slave
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.passive import AtRest, ensure_two_servers, rest_slave, settle

log = logging.getLogger(__name__)


def import_snapshot(context: PairContext, ticket: SyncTicket, exported: Exported) -> Imported:
    """Import the snapshot into the passive server and disable its jobs at once.

    :raises NothingToDo: a dry run, nothing changed, or the task is superseded.
    :raises NotYet: the quiet window has closed; nothing was changed.
    :raises Blocked: the slave is too old or the wrong server, or the import was sent and its end is unknown; then
        ``disable_jobs`` sees to it.
    """
    if context.dry_run:
        raise NothingToDo("dry_run", "this is a dry run; the plan is in the XCom of export_metadata")
    current, own = current_sync(context, ticket), own_sync(context, ticket)
    record = current.check()
    if exported.unchanged:
        raise NothingToDo("unchanged", exported.comparison)
    _ensure_fresh(context, exported)
    if record.operation:
        _resume(context, own, record.operation)
    _ensure_version(context, exported)
    _ensure_sendable(context, exported)
    before, master = context.slave.statuses(), context.master.statuses()
    ensure_two_servers(context, master, before)
    _ensure_still_quiet(context, master)
    others = [[job.project, job.name] for job in before.jobs if not context.pair.scope.matches(job.key)]

    untouched = current.check()
    intent = begin_import(
        untouched,
        operation_id=f"{ticket.operation_id}.{uuid4().hex[:4]}",
        target=context.slave.address,
        now=context.now(),
        lease=context.pair.sync.lease,
    )
    context.save(intent)
    gc.freeze()  # a full collection would pause this process while jobs are enabled on the slave
    began = context.now()
    attempt = _Attempt(context, own, passive_slave(context, ticket), untouched)
    result = attempt.send(exported)
    done = context.now()
    rest = attempt.disable()
    attempt.close()
    log.info(
        "Imported in %.1f s; %d jobs were enabled by it and are disabled again.",
        (done - began).total_seconds(),
        len(rest.disabled),
    )
    for warning in result.warnings:
        log.warning("The slave says about the import: %s", warning)
    assert intent.operation is not None
    return Imported(
        operation=intent.operation.id,
        snapshot=exported.snapshot,
        began=began.isoformat(),
        answered=done.isoformat(),
        clean_at=rest.clean_at.isoformat(),
        warnings=list(result.warnings),
        others=others,
    )


def _resume(context: PairContext, own: Claim, operation: Operation) -> None:
    """Go on after an earlier try of this task: disable what it left enabled until nothing of it can be in flight."""
    settle(context, operation, own, ours=True)
    own.save(close_operation)


def _ensure_fresh(context: PairContext, exported: Exported) -> None:
    """An export of long ago, of a task that was cleared alone, would bring back what is gone."""
    age = context.now() - datetime.fromisoformat(exported.taken)
    if age > context.pair.sync.oldest_export:
        raise NothingToDo("superseded", f"superseded: the export was taken {age} ago; clear the run")


def _ensure_version(context: PairContext, exported: Exported) -> None:
    """An export is for a server of the same or a newer version [S]. Versions that cannot be read are not compared."""
    slave = context.slave.me().version
    ours, theirs = version_of(exported.version), version_of(slave)
    if ours and theirs and theirs < ours:
        raise Blocked(
            "version",
            f"the master's export is of version {exported.version}, the slave is the older {slave}",
            "update the slave; nothing was changed",
        )


def version_of(text: str) -> tuple[int, int] | None:
    """Major and minor number in a version text such as ``9.0.5`` or ``8.0 20240927`` [S]."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _ensure_sendable(context: PairContext, exported: Exported) -> None:
    """What can fail without anything being sent fails before the intent is written."""
    context.slave.check_import()
    try:
        context.snapshots.export_path(exported.snapshot).stat()
    except OSError as error:
        raise Blocked(
            "snapshot_missing",
            f"the export of the snapshot {exported.snapshot} cannot be read on this worker: {error}",
            "nothing was changed. With workers on several machines, set 'snapshots' of the pair to storage that all "
            "reach; then clear the run",
        ) from None


def _ensure_still_quiet(context: PairContext, master: Statuses) -> None:
    """Look once more, without the margin, which is the reserve for the time since the wait has ended: until a worker
    and the pair's slot were free, and until the servers answered.
    """
    pair, now = context.pair, master.server_time
    jobs = [job for job in master.jobs if pair.scope.matches(job.key)]
    lengths = {"window": pair.sync.quiet_window, "margin": timedelta(0)}
    found = assess_by_cron(jobs, context.master.jobs, now=now, timezone=pair.timezone, **lengths)
    if reason := quiet(found, "import"):
        raise NotYet(*reason)


@dataclass(frozen=True)
class _Attempt:
    """One import that is sent, and what has to follow whatever its end is.

    :param own: the right to import. :param passive: the right to disable what it woke.
    :param untouched: the record before the intent.
    """

    context: PairContext
    own: Claim
    passive: Claim
    untouched: Record

    def send(self, exported: Exported) -> ImportResult:
        """Send the import. What a failed one may have enabled is disabled, or left to ``disable_jobs``."""
        self._ensure_time_left()
        path = self.context.snapshots.export_path(exported.snapshot)
        try:
            return self.context.slave.import_metadata(
                path, timeout=self.context.pair.sync.import_timeout.total_seconds()
            )
        except UnreachableError:
            self._undo_intent()
            raise
        except DenodoSchedulerError as error:
            if _refused(error):
                self.disable()
                self.close()
                raise
            try:
                self.disable()
            except (DenodoSchedulerError, NotYet) as second:
                log.warning("The slave's jobs could not be disabled yet: %s", second)
            raise Blocked(
                "import_unanswered",
                f"the import was sent and its end is unknown ({error}); the server may still be executing it",
                "disable_jobs keeps the slave's jobs disabled until it can no longer be; then the next run imports "
                "again",
            ) from None

    def _ensure_time_left(self) -> None:
        """A process that slept since it wrote its intent must not send an import that outlives the lease."""
        operation = self.own.check().operation
        if operation and self.context.now() + self.context.pair.sync.import_timeout > operation.lease_until:
            self._undo_intent()
            raise NotYet(
                "lease_short",
                f"the lease of this operation ends at {operation.lease_until:%H:%M:%S} UTC, too soon for an import",
                "nothing was sent; this task tries again",
            )

    def _undo_intent(self) -> None:
        """Nothing was sent: the slave is as clean, or as dirty, as it was."""
        self.own.save(lambda record: record.model_copy(update={"operation": None, "dirty": self.untouched.dirty}))

    def disable(self) -> AtRest:
        claim = self.passive.trusted(self.context.now() + self.context.pair.sync.lease)
        return rest_slave(self.context, claim, ours=True)

    def close(self) -> None:
        """Note that nothing is in flight any more; if another run has taken over, the slave is dirty again."""
        try:
            self.own.save(answered)
        except NothingToDo as error:
            reason = "an import ended after another run had taken over"
            self.context.save(mark_dirty(self.context.record(), now=self.context.now(), reason=reason))
            how = "the next run repairs the slave and imports again"
            raise Blocked("import_late", f"{reason} ({error})", how) from None


def _refused(error: DenodoSchedulerError) -> bool:
    """Whether the server certainly executes nothing.

    A 500 is also what a web tool says that has lost its server in the middle of the import [G], and a 502 or 504 comes
    from a gateway that no longer waits.
    """
    never_sent = isinstance(error, ConfigurationError) and error.status is None
    return never_sent or (isinstance(error, ConfigurationError | RequestError) and 300 <= (error.status or 0) < 500)
