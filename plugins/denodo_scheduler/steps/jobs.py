"""Enabling a planned set of jobs on the server that becomes active, in batches, and reading it back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from denodo_ha.jobs import JobKey
from denodo_ha.promotion import batches
from denodo_scheduler.exceptions import DenodoSchedulerError, UnreachableError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairRun
from denodo_scheduler.steps.servers import Server

log = logging.getLogger(__name__)

ROUNDS = 3
"""How often what is not enabled yet is tried again, in ever smaller batches."""
MISFIRE_THRESHOLD = timedelta(seconds=60)
"""An execution that is overdue by less is run as if it were on time when its trigger is resumed [Q]."""
CLOCKS = timedelta(seconds=2)
"""How exactly the clocks of two servers can be compared: answers carry whole seconds."""
_LONGEST_SLEEP = 5.0


@dataclass
class Enabled:
    """What became of the plan.

    :param at: when each job was told to be enabled.
    :param failed: jobs that were not read back enabled.
    :param verified: when the server was read back, and ``statuses`` what it said.
    """

    verified: datetime
    statuses: Statuses
    failed: tuple[JobKey, ...] = ()
    at: dict[JobKey, datetime] = field(default_factory=dict)


def enable(
    run: PairRun,
    server: Server,
    order: Sequence[JobKey],
    *,
    before_batch: Callable[[], object],
    not_before: Mapping[JobKey, datetime] | None = None,
) -> Enabled:
    """Enable the jobs of ``order`` that are not enabled yet, in this order, and read them back.

    :param before_batch: called right before each request; raises when nothing may be changed any more.
    :param not_before: jobs that must wait until then, by this machine's clock; they come last.
    :raises UnreachableError: the server cannot be reached; what was enabled stays so.
    """
    waiting = dict(not_before or {})
    at: dict[JobKey, datetime] = {}
    statuses = server.statuses()
    for size in (run.pair.failover.enable_batch, max(1, run.pair.failover.enable_batch // 4), 1)[:ROUNDS]:
        pending = _pending(order, statuses)
        if not pending:
            break
        largest = size if at else 8 * size
        for batch in batches([key for key in pending if key not in waiting], size, largest):
            _send(run, server, batch, statuses, before_batch, at)
        late = [key for key in pending if key in waiting]
        if late:
            _wait_until(run, max(waiting[key] for key in late) + CLOCKS, before_batch)
        for batch in batches(late, size, largest):
            _send(run, server, batch, statuses, before_batch, at)
        statuses = server.statuses()
    return Enabled(run.now(), statuses, _pending(order, statuses), at)


def _pending(order: Sequence[JobKey], statuses: Statuses) -> tuple[JobKey, ...]:
    known = statuses.by_key
    return tuple(key for key in order if key not in known or not known[key].state.is_enabled)


def _send(
    run: PairRun,
    server: Server,
    batch: Sequence[JobKey],
    statuses: Statuses,
    before_batch: Callable[[], object],
    at: dict[JobKey, datetime],
) -> None:
    present = [key for key in batch if key in statuses.by_key]
    if not present:
        return
    before_batch()
    now = run.now()
    try:
        server.set_jobs_status("enable", present, statuses)
    except UnreachableError:
        raise
    except DenodoSchedulerError as error:
        log.warning("The %s does not enable %d jobs, which are tried again: %s", server.role, len(present), error)
    at.update(dict.fromkeys(present, now))


def _wait_until(run: PairRun, moment: datetime, before_batch: Callable[[], object]) -> None:
    """Wait in parts, and go on owning the operation meanwhile."""
    while (left := (moment - run.now()).total_seconds()) > 0:
        before_batch()
        time.sleep(min(left, _LONGEST_SLEEP))
