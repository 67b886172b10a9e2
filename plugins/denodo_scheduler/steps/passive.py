"""Keeping the passive server passive: quench, hold, and the check that it is not the active server by mistake."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from denodo_ha.checks import ran_since, same_server
from denodo_ha.jobs import JobKey, JobStatus
from denodo_ha.record import Role
from denodo_ha.text import listed
from denodo_scheduler.exceptions import DenodoSchedulerError, UnreachableError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairRun
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.servers import Server, answering, own_path

log = logging.getLogger(__name__)

ROUNDS = 5
"""How often a quench disables and reads back before it gives up."""
HOLD_INTERVAL = 2.0
"""Seconds between two looks while an import of unknown end may still enable jobs."""


@dataclass(frozen=True)
class Quench:
    """What a quench found and did: the jobs it disabled, and when the server was read back without enabled jobs."""

    disabled: tuple[JobKey, ...]
    clean_at: datetime
    statuses: Statuses


def enabled_jobs(run: PairRun, statuses: Statuses) -> list[JobStatus]:
    """The enabled jobs among those that the pair synchronises."""
    return [job for job in statuses.jobs if job.state.is_enabled and run.pair.scope.matches(job.key)]


def suspects(run: PairRun, since: datetime | None, statuses: Statuses) -> tuple[JobKey, ...]:
    """Jobs in scope that ran on the passive server ``since`` then: each may have run on both servers."""
    if since is None:
        return ()
    since = statuses.server_time - (run.now() - since)
    return ran_since([job for job in statuses.jobs if run.pair.scope.matches(job.key)], since)


def ensure_distinct(run: PairRun, master: Statuses, slave: Statuses) -> None:
    """Refuse to touch the slave when its connection leads to the master.

    :raises Blocked: both connections show one and the same server.
    """
    if same_server(master.jobs, slave.jobs):
        raise Blocked(
            "same_server",
            f"the connections {run.pair.master} and {run.pair.slave} lead to the same Scheduler server: same ids, "
            "states and executions of all jobs",
            f"correct host, port or scheduler_uri of {run.pair.slave}; if the slave is a fresh clone of the master, "
            "disable its jobs there once by hand",
        )


def ensure_passive(run: PairRun, slave: Statuses) -> None:
    """Refuse to disable jobs that somebody else has enabled, unless the master is seen to be the active server.

    :raises Blocked: the master cannot be read, is the same server, or has no enabled job itself.
    """
    enabled = [job.key for job in enabled_jobs(run, slave)]
    what = f"{len(enabled)} jobs of the slave are enabled ({listed(sorted(enabled))}), not by a sync, and "
    next_step = (
        "if the slave has taken over, pause this DAG until it hands back; if not, disable these jobs by hand, or run "
        "the sync with 'initialise' ticked once the master answers"
    )
    try:
        _, master = answering(run, Role.MASTER)
    except DenodoSchedulerError as error:
        raise Blocked("slave_may_be_active", f"{what}the master cannot be read: {error}", next_step) from None
    ensure_distinct(run, master, slave)
    if not run.initialise and not enabled_jobs(run, master):
        raise Blocked("slave_may_be_active", f"{what}none of the master's", next_step)


def quench(run: PairRun, *, may_change: Callable[[], object], imported_by_us: bool = False) -> Quench:
    """Disable every enabled job of the passive slave, see :func:`disable_all`.

    :param may_change: called before each change; raises when this task may not change anything any more.
    :param imported_by_us: this operation has itself imported into that server, so it is known to be the slave.
    """

    def before(statuses: Statuses, first: bool) -> None:
        if first and not imported_by_us:
            ensure_passive(run, statuses)
        may_change()

    return disable_all(run, own_path(run, Role.SLAVE), before=before)


def disable_all(run: PairRun, server: Server, *, before: Callable[[Statuses, bool], object]) -> Quench:
    """Disable every enabled job in scope, one request per project, until a read-back shows none.

    :param before: called with what was read, and whether it is for the first time, before each round of changes; raises
        when nothing may be changed.
    :raises NotYet: jobs are still enabled after :data:`ROUNDS` rounds; names them.
    """
    disabled: set[JobKey] = set()
    for _ in range(ROUNDS):
        statuses = server.statuses()
        enabled = [job.key for job in enabled_jobs(run, statuses)]
        if not enabled:
            return Quench(tuple(sorted(disabled)), run.now(), statuses)
        before(statuses, not disabled)
        refused = _disable(server, enabled, statuses)
        disabled.update(enabled)
    why = f" ({refused})" if refused else ""
    raise NotYet(
        "still_enabled",
        f"{len(enabled)} jobs of the {server.role} are still enabled after {ROUNDS} rounds of disabling: "
        f"{listed(sorted(enabled))}{why}",
        "look whether somebody or something enables them, or disable them there by hand; this task and the next run "
        "disable them again",
    )


def _disable(server: Server, keys: Sequence[JobKey], statuses: Statuses) -> DenodoSchedulerError | None:
    """Send one request per project; one that fails, which is returned, does not stop the others."""
    refused = None
    for _, of_project in groupby(sorted(keys), key=lambda key: key.folded[0]):
        try:
            server.set_jobs_status("disable", list(of_project), statuses)
        except UnreachableError:
            raise
        except DenodoSchedulerError as error:
            log.warning("The %s does not disable the jobs of a project: %s", server.role, error)
            refused = error
    return refused


def hold(run: PairRun, *, until: datetime, may_change: Callable[[], object], imported_by_us: bool = False) -> Quench:
    """Quench again and again until ``until``, after which nothing of a lost import can still be in flight.

    A slave that does not answer meanwhile may come back with enabled jobs, so errors end this only after ``until``,
    which is at most one lease away, whatever clock wrote it.
    """
    until = min(until, run.now() + run.pair.sync.lease)
    log.warning(
        "An import was begun and its end is unknown: the server may still be executing it. "
        "The slave's jobs are kept disabled until %s.",
        until.isoformat(timespec="seconds"),
    )
    disabled: set[JobKey] = set()
    while True:
        over = run.now() >= until
        try:
            found = quench(run, may_change=may_change, imported_by_us=imported_by_us)
        except (Blocked, NothingToDo):
            raise
        except Exception as error:
            if over:
                raise
            log.warning("Keeping the slave's jobs disabled goes on after an error: %s", error)
        else:
            disabled.update(found.disabled)
            if over:
                return Quench(tuple(sorted(disabled)), found.clean_at, found.statuses)
        time.sleep(HOLD_INTERVAL)
