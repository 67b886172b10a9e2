"""The one changing step that wakes jobs: intent, last look, import, and disabling in the same breath."""

from __future__ import annotations

import gc
import logging
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from denodo_ha.quiet_window import assess
from denodo_ha.record import Record, answered, begin_import, close_operation, mark_dirty
from denodo_scheduler.exceptions import ConfigurationError, DenodoSchedulerError, RequestError, UnreachableError
from denodo_scheduler.hooks.scheduler import ImportResult, Statuses
from denodo_scheduler.steps.context import Plan, SyncRun
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.passive import Quench, ensure_distinct, hold, quench
from denodo_scheduler.steps.sync.export import OLDEST_EXPORT, Exported

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Imported:
    """An import that was answered.

    :param operation: id of this try of the import.
    :param snapshot: what was imported.
    :param began: when the import was sent, ISO 8601.
    :param answered: when its answer came, ISO 8601.
    :param clean_at: when the slave was first read back without enabled jobs, ISO 8601.
    :param warnings: what the server said besides.
    :param others: jobs of the slave outside the pair's scope before the import, as [project, name].
    """

    operation: str
    snapshot: str
    began: str
    answered: str
    clean_at: str
    warnings: list[str]
    others: list[list[str]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Imported:
        return cls(**value)


def import_snapshot(run: SyncRun, plan: Plan, exported: Exported) -> Imported:
    """Import the snapshot into the passive server and disable its jobs at once.

    :raises NothingToDo: a dry run, nothing changed, or the task belongs to the past.
    :raises NotYet: the quiet window has closed; nothing was changed.
    :raises Blocked: the slave is too old or the wrong server, or the import was sent and its end is unknown; then
        ``disable_jobs`` sees to it.
    """
    if run.dry_run:
        raise NothingToDo("dry_run", "this is a dry run; the plan is in the XCom of export_metadata")
    record = run.current(plan)
    if exported.unchanged:
        raise NothingToDo("unchanged", exported.comparison)
    _ensure_fresh(run, exported)
    _resume(run, plan, record)
    _ensure_version(run, exported)
    _ensure_sendable(run, exported)
    before, master = run.slave.statuses(), run.master.statuses()
    ensure_distinct(run, master, before)
    _ensure_still_quiet(run, master)
    others = [[job.project, job.name] for job in before.jobs if not run.pair.scope.matches(job.key)]

    untouched = run.current(plan)
    intent = begin_import(
        untouched,
        operation_id=f"{plan.operation_id}.{uuid4().hex[:4]}",
        target=run.slave.address,
        now=run.now(),
        lease=run.pair.sync.lease,
    )
    run.records.save(intent)
    gc.freeze()  # a full collection would pause this process while jobs are enabled on the slave
    began = run.now()
    result = _import(run, plan, exported, untouched)
    done = run.now()
    quenched = _quench(run, plan)
    _close_answered(run, plan)
    log.info(
        "Imported in %.1f s; %d jobs were enabled by it and are disabled again.",
        (done - began).total_seconds(),
        len(quenched.disabled),
    )
    for warning in result.warnings:
        log.warning("The slave says about the import: %s", warning)
    assert intent.operation is not None
    return Imported(
        operation=intent.operation.id,
        snapshot=exported.snapshot,
        began=began.isoformat(),
        answered=done.isoformat(),
        clean_at=quenched.clean_at.isoformat(),
        warnings=list(result.warnings),
        others=others,
    )


def _resume(run: SyncRun, plan: Plan, record: Record) -> None:
    """Go on after an earlier try of this task: disable what it left enabled until nothing of it can be in flight."""
    operation = record.operation
    if operation is None:
        return

    def may_change() -> object:
        return run.own(plan)

    if operation.in_flight(run.now()):
        hold(run, until=operation.lease_until, may_change=may_change, imported_by_us=True)
    else:
        quench(run, may_change=may_change, imported_by_us=True)
    run.records.save(close_operation(run.own(plan)))


def _ensure_fresh(run: SyncRun, exported: Exported) -> None:
    """An export of long ago, of a task that was cleared alone, would bring back what is gone."""
    age = run.now() - datetime.fromisoformat(exported.taken)
    if age > run.pair.sync.lease + OLDEST_EXPORT:
        raise NothingToDo("superseded", f"this task belongs to the past: the export was taken {age} ago; clear the run")


def _ensure_version(run: SyncRun, exported: Exported) -> None:
    """An export is for a server of the same or a newer version [S]. Versions that cannot be read are not compared."""
    slave = run.slave.me().version
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


def _ensure_sendable(run: SyncRun, exported: Exported) -> None:
    """What can fail without anything being sent fails before the intent is written."""
    run.slave.check_import()
    try:
        run.snapshots.export_path(exported.snapshot).stat()
    except OSError as error:
        raise Blocked(
            "snapshot_missing",
            f"the export of the snapshot {exported.snapshot} cannot be read on this worker: {error}",
            "nothing was changed. With workers on several machines, set 'snapshots' of the pair to storage that all "
            "reach; then clear the run",
        ) from None


def _ensure_still_quiet(run: SyncRun, statuses: Statuses) -> None:
    """Look once more, without the margin: it is the reserve for what has passed since the wait, such as the export."""
    jobs = [job for job in statuses.jobs if run.pair.scope.matches(job.key)]
    found = assess(jobs, now=statuses.server_time, window=run.pair.sync.quiet_window, margin=timedelta(0))
    if not found.quiet:
        raise NotYet(
            "window_closed",
            f"the quiet window has closed before the import: {found}",
            "nothing was changed; this task looks again, and the next run waits for the next window",
        )


def _import(run: SyncRun, plan: Plan, exported: Exported, untouched: Record) -> ImportResult:
    """Send the import. Whatever its end, what it may have enabled is disabled, or left to ``disable_jobs``."""
    _ensure_time_left(run, plan, untouched)
    try:
        return run.slave.import_metadata(
            run.snapshots.export_path(exported.snapshot), timeout=run.pair.sync.import_timeout.total_seconds()
        )
    except UnreachableError:
        run.own(plan)
        run.records.save(untouched)
        raise
    except DenodoSchedulerError as error:
        if _refused(error):
            _quench(run, plan)
            _close_answered(run, plan)
            raise
        _quench_now(run, plan)
        raise Blocked(
            "import_unanswered",
            f"the import was sent and its end is unknown ({error}); the server may still be executing it",
            "disable_jobs keeps the slave's jobs disabled until it can no longer be; then the next run imports again",
        ) from None


def _ensure_time_left(run: SyncRun, plan: Plan, untouched: Record) -> None:
    """A process that slept since it wrote its intent must not send an import that outlives the lease."""
    operation = run.own(plan).operation
    if operation and run.now() + run.pair.sync.import_timeout > operation.lease_until:
        run.records.save(untouched)
        raise NotYet(
            "lease_short",
            f"the lease of this operation ends at {operation.lease_until:%H:%M:%S} UTC, too soon for an import",
            "nothing was sent; this task tries again",
        )


def _quench(run: SyncRun, plan: Plan) -> Quench:
    until = run.now() + run.pair.sync.lease
    return quench(run, may_change=lambda: run.still_passive(plan, until), imported_by_us=True)


def _close_answered(run: SyncRun, plan: Plan) -> None:
    """Note that nothing is in flight any more; if another run has taken over meanwhile, the slave is dirty again."""
    try:
        run.records.save(answered(run.own(plan)))
    except NothingToDo as error:
        reason = "an import ended after another run had taken over"
        run.records.save(mark_dirty(run.record(), now=run.now(), reason=reason))
        raise Blocked(
            "import_late", f"{reason} ({error})", "the next run repairs the slave and imports again"
        ) from None


def _refused(error: DenodoSchedulerError) -> bool:
    """Whether the server certainly executes nothing.

    A 500 is also what a web tool says that has lost its server in the middle of the import [G], and a 502 or 504 comes
    from a gateway that no longer waits.
    """
    never_sent = isinstance(error, ConfigurationError) and error.status is None
    return never_sent or (isinstance(error, ConfigurationError | RequestError) and 300 <= (error.status or 0) < 500)


def _quench_now(run: SyncRun, plan: Plan) -> None:
    """Disable at once what is enabled already; ``disable_jobs`` goes on with it."""
    try:
        _quench(run, plan)
    except (DenodoSchedulerError, NotYet) as error:
        log.warning("The slave's jobs could not be disabled yet: %s", error)
