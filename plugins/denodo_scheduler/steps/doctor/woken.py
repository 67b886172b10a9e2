"""What an import of a doctor may wake: it is disabled again, and what others have enabled meanwhile is left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence

from denodo_ha.doctor.scratch import is_scratch
from denodo_ha.jobs import JobKey
from denodo_ha.readiness.facts import Unread, known
from denodo_ha.record import Role
from denodo_ha.text import listed
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses
from denodo_scheduler.steps.claim import Claim
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.jobs import by_project, change_jobs
from denodo_scheduler.steps.passive import ROUNDS, AtRest, DisablingEvent, at_rest

log = logging.getLogger(__name__)

Ignored = Callable[[], bool]


def resting_now(hook: DenodoSchedulerHook, before: Statuses) -> set[JobKey]:
    """Return the jobs that are disabled right before an import, but for scratch jobs.

    :param before: the jobs when the doctor began.
    :raises NotReadError: others have been enabled since, so somebody else acts on this server.
    """
    now = [job for job in hook.statuses().jobs if not is_scratch(job.project)]
    enabled = {job.key for job in now if job.state.is_enabled}
    if new := enabled - {job.key for job in before.jobs if job.state.is_enabled}:
        what = f"jobs were enabled on the server meanwhile, so nothing was imported: {listed(sorted(new))}"
        known(Unread(what, "see who has enabled them, then run the doctor again"))
    return {job.key for job in now} - enabled


def let_rest(context: PairContext, role: Role, claim: Claim, resting: Collection[JobKey], ignored: Ignored) -> AtRest:
    """Disable what was disabled before an import and is enabled now.

    :param resting: what was disabled before.
    :param ignored: whether the import is seen to have changed what it was to leave as it is. Else jobs that are not the
        pair's were enabled by somebody else, such as the failover of another pair, and are left alone.
    :raises NotYet: jobs are still enabled.
    """
    server = context.servers.own_path(role)
    event = DisablingEvent(context, "drift", context.now(), {"server": role})

    def woken(statuses: Statuses) -> list[JobKey]:
        found = [job.key for job in statuses.jobs if job.state.is_enabled and job.key in resting]
        others = {key for key in found if not context.pair.scope.matches(key)}
        if others and not ignored():
            log.warning("Enabled meanwhile, but not by the import, and left alone: %s", listed(sorted(others)))
            return [key for key in found if key not in others]
        return found

    def pieces(statuses: Statuses, left: Sequence[JobKey], _: int) -> Iterator[Sequence[JobKey]]:
        log.error("The import was to replace nothing, and has enabled jobs: %s", listed(sorted(left)))
        event.begin(claim, statuses, left)
        yield from by_project(left)

    done = change_jobs(server, "disable", woken, pieces, enough=lambda number: number == ROUNDS)
    rest = at_rest(server, done)
    if rest.disabled:
        complete = event.end(context.record(), rest)
        context.save(lambda latest: (latest, complete))
    return rest
