"""The one changing step that wakes jobs: intent, last look, import, and disabling in the same breath."""

from __future__ import annotations

import gc
import logging
from dataclasses import asdict, dataclass
from typing import Any

from denodo_ha.quiet_window import assess
from denodo_ha.record import Record, answered, begin_import, close_operation
from denodo_scheduler.exceptions import ConfigurationError, DenodoSchedulerError, RequestError, UnreachableError
from denodo_scheduler.ha.exporting import Exported
from denodo_scheduler.ha.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.ha.passive import ensure_distinct, hold, quench
from denodo_scheduler.ha.run import Plan, SyncRun
from denodo_scheduler.hooks.scheduler import ImportResult

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Imported:
    """An import that was answered.

    :param began: when the import was sent, ISO 8601.
    :param answered: when its answer came, ISO 8601.
    :param clean_at: when the slave was first read back without enabled jobs, ISO 8601.
    :param warnings: what the server said besides.
    :param others: jobs of the slave outside the pair's scope before the import, as [project, name].
    """

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
    _resume(run, plan, record)
    _ensure_version(run, exported)
    before = run.slave.statuses()
    ensure_distinct(run, before)
    _ensure_still_quiet(run)
    others = [[job.project, job.name] for job in before.jobs if not run.pair.scope.matches(job.key)]

    intent = begin_import(run.current(plan), operation_id=plan.operation_id, now=run.now(), lease=run.pair.lease)
    run.records.save(intent)
    gc.freeze()  # a full collection would pause this process while jobs are enabled on the slave
    began = run.now()
    result = _import(run, plan, exported)
    done = run.now()
    quenched = quench(run, may_change=lambda: run.own(plan), imported_by_us=True)
    run.records.save(answered(run.own(plan)))
    log.info(
        "Imported in %.1f s; %d jobs were enabled by it and are disabled again.",
        (done - began).total_seconds(),
        len(quenched.disabled),
    )
    for warning in result.warnings:
        log.warning("The slave says about the import: %s", warning)
    return Imported(
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


def _ensure_version(run: SyncRun, exported: Exported) -> None:
    """An export is for a server of the same or a newer version [S]."""
    slave = run.slave.me().version
    if version_of(slave) < version_of(exported.version):
        raise Blocked(
            "version",
            f"the master's export is of version {exported.version}, the slave is the older {slave}",
            "update the slave; nothing was changed",
        )


def version_of(text: str) -> tuple[int, int]:
    """Major and minor number at the start of a version text such as ``9.0.5`` or ``8.0 20240927`` [S]."""
    numbers = text.replace(" ", ".").split(".")
    try:
        return int(numbers[0]), int(numbers[1])
    except (ValueError, IndexError):
        return 0, 0


def _ensure_still_quiet(run: SyncRun) -> None:
    statuses = run.master.statuses()
    jobs = [job for job in statuses.jobs if run.pair.scope.matches(job.key)]
    found = assess(jobs, now=statuses.server_time, window=run.pair.quiet_window, margin=run.pair.quiet_margin)
    if not found.quiet:
        raise NotYet(
            "window_closed",
            f"the quiet window has closed before the import: {found}",
            "nothing was changed; this task looks again, and the next run waits for the next window",
        )


def _import(run: SyncRun, plan: Plan, exported: Exported) -> ImportResult:
    """Send the import. Whatever its end, what it may have enabled is disabled, or left to ``disable_jobs``."""
    try:
        return run.slave.import_metadata(
            run.snapshots.export_path(exported.snapshot), timeout=run.pair.import_timeout.total_seconds()
        )
    except UnreachableError:
        run.records.save(close_operation(run.own(plan)))
        raise
    except DenodoSchedulerError as error:
        if _refused(error):
            run.records.save(answered(run.own(plan)))
            quench(run, may_change=lambda: run.own(plan), imported_by_us=True)
            raise
        _quench_now(run, plan)
        raise Blocked(
            "import_unanswered",
            f"the import was sent and its end is unknown ({error}); the server may still be executing it",
            "disable_jobs keeps the slave's jobs disabled until it can no longer be; then the next run imports again",
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
        quench(run, may_change=lambda: run.own(plan), imported_by_us=True)
    except (DenodoSchedulerError, NotYet) as error:
        log.warning("The slave's jobs could not be disabled yet: %s", error)
