"""The operation of a switchover: one try to bring it to its end, or back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from denodo_ha.draining import said
from denodo_ha.durations import format_duration
from denodo_ha.jobs import JobKey, JobStatus
from denodo_ha.preconditions import other
from denodo_ha.promotion import (
    EnableOrder,
    just_ran,
    left_behind,
    order_enabling,
    repeats_until,
    told_behind,
)
from denodo_ha.record import LEFT_BEHIND, Phase, Record, Role, Step
from denodo_ha.snapshot.ids import new_id
from denodo_ha.snapshot.manifest import Manifest
from denodo_ha.text import counted, listed
from denodo_ha.transitions import failed_back, given_up, promoted, rolled_back
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.jobs import Changed, enable
from denodo_scheduler.steps.outcome import NotYet
from denodo_scheduler.steps.passive import AtRest, DisablingEvent, disable_all
from denodo_scheduler.steps.promote.drain import Drain
from denodo_scheduler.steps.promote.examine import (
    Examined,
    ensure_quiet,
    ensure_still_two,
    read_manifest,
    zone_of,
)
from denodo_scheduler.steps.promote.fence import Down, Fence, without_master
from denodo_scheduler.steps.promote.operation import Switch, Try, not_fenced
from denodo_scheduler.steps.promote.report import occurrences, steps
from denodo_scheduler.steps.seen import keep_promoted
from denodo_scheduler.steps.servers import Server, enabled_in
from denodo_scheduler.steps.watch.act import demotion_event

log = logging.getLogger(__name__)


@dataclass
class Switching(Try):
    """
    :param wanted: what the person has asked for, as far as that is known.
    :param found: both servers right before it began; None where another try began it.
    :param last_sign: when an earlier try was last seen at work; what is enabled already it enabled before.
    :param patience: how long this try waits for jobs that run at most, if less than the pair says.
    :param down: why the old server may be taken to be at rest without an answer of it.
    :param alive: whether the master is heard now, also at the last address of a name that no longer resolves.
    :param unseen: the old server could not be read, and was taken to be at rest: how sure that is.
    """

    wanted: Switch
    found: Examined | None = None
    last_sign: datetime | None = None
    down: Down | None = None
    alive: Callable[[], bool] = lambda: False
    patience: timedelta | None = None
    unseen: Fence | None = None
    drain: Drain | None = None
    returned: DisablingEvent | None = None
    _jobs: Manifest | None = None

    @property
    def to(self) -> Role:
        return Role.SLAVE if self.record.phase is Phase.FAILING_OVER else Role.MASTER

    @property
    def old(self) -> Role:
        return other(self.to)

    def run(self) -> dict[str, Any]:
        try:
            rest = self._disable()
            server, statuses = self.context.servers.answering(self.to)
            if rest and self.step is not Step.ENABLING:
                ensure_still_two(self.context, self.operation, self.found, rest.statuses, statuses)
            order = self._ordered(server, statuses)
            enabled = self._enable(server, order, self._just_ran(order, rest, statuses))
        except (DenodoSchedulerError, _Back) as error:
            return self._back(error)
        return self._commit(server, order, enabled, rest)

    def give_up(self, why: str) -> dict[str, Any]:
        """Go back to the phase before; no server was changed."""
        return self.leave("switchover_given_up", given_up, why)

    def _ensure_still_two(self, old: Statuses) -> None:
        """Before a change of the old server. Another one that cannot be read is not the one that was just read."""
        with suppress(DenodoSchedulerError):
            ensure_still_two(self.context, self.operation, self.found, old, self.context.servers.answering(self.to)[1])

    # -- break

    def _disable(self) -> AtRest | None:
        """Disable all jobs in scope of the old server and read that back; None where it is taken to be at rest.

        :raises Blocked: it was not read back, and the pair requires that it is fenced.
        """
        try:
            server, _ = self.context.servers.answering(self.old)
        except DenodoSchedulerError as error:
            if self.step is not Step.ENABLING and self.down is None:
                raise
            log.warning("The %s cannot be read, and is taken to be at rest: %s", self.old, error)
            self.unseen = self._fenced()
            return None
        rest = self._ended(server)
        self._tell_of_returned(rest)
        if self.step is Step.CLAIMED:
            raise _Back(f"no job of the {self.old} is enabled any more; a paused server looks exactly like this")
        if interrupted := self._interrupted(rest.statuses):
            log.error("Their runs may have been stopped by disabling them: %s", listed(sorted(interrupted)))
        return rest

    def _fenced(self) -> Fence:
        """Fence a server that is down with enabled jobs, as a failover does. One that was read back without any, or
        fenced, when the first job was enabled on the other one, needs none."""
        if self.step is Step.ENABLING or self.down is None:
            return Fence(
                "unconfirmed",
                f"jobs are enabled on the {self.to} already, and the {self.old} was taken to be at rest then",
            )
        fenced = self.fence(by_person=self.down.fenced)
        if refused := not_fenced(self.context, fenced):
            raise refused
        return fenced

    def _ended(self, server: Server) -> AtRest:
        """Drain the server. Once jobs may be enabled on the other one, nothing is waited for any more."""
        self.drain = Drain(
            self.context,
            self.claim,
            before=self._before_disabling,
            overdue=self._overdue,
            deadline=self._deadline(),
            seen=set() if self.step is Step.CLAIMED else set(self.context.snapshots.read_job_list(self.plan_id)),
        )
        try:
            return self.drain.run(server)
        except NotYet as error:
            if error.code != "still_enabled":
                raise
            raise _Back(str(error)) from None

    def _deadline(self) -> datetime:
        began = self.operation.started
        if self.step is Step.ENABLING:
            return began
        until = began + self.context.pair.failover.drain_timeout
        return until if self.patience is None else min(until, self.context.now() + self.patience)

    def _before_disabling(self, statuses: Statuses, keys: Sequence[JobKey]) -> None:
        self._ensure_still_two(statuses)
        if self.step is Step.CLAIMED and self.wanted.quiet_window:
            self._ensure_quiet(statuses)
        step = Step.ENABLING if self.step is Step.ENABLING else Step.DISABLING
        self.record = self.claim.advance(step, plan=self._kept_list(statuses))
        enabled = [key for key in keys if statuses.by_key[key].state.is_enabled]
        if self.step is Step.ENABLING and enabled:
            self.returned = self.returned or demotion_event(
                self.context, self.operation.id, self.operation.started, self.old
            )
            self.returned.begin(self.claim, statuses, enabled)

    def _overdue(self, jobs: Sequence[JobStatus]) -> None:
        """Jobs have not ended in time: what the person has chosen is done now, and said first."""
        if self.step is Step.ENABLING:
            return
        waited = format_duration(self.context.now() - self.operation.started)
        what = f"{len(jobs)} jobs of the {self.old} have not ended after {waited}: {listed(map(said, jobs), 20)}"
        if not self.wanted.stop:
            raise _Back(
                f"{what}. Ways out: wait for their end or stop them in the web tool of the {self.old}, or choose a "
                "longer drain timeout or 'stop them' in the form"
            )
        record = self.claim.check()
        event = self.context.event(
            "switchover_stops",
            record,
            operation=self.operation.id,
            server=self.old,
            jobs=counted([job.key for job in jobs]),
            why=f"{what}, and they are to be stopped then",
        )
        self.claim.save(lambda current: current, event)

    def _tell_of_returned(self, rest: AtRest) -> None:
        """An old server that was taken to be at rest was not, or people have enabled jobs there since."""
        if self.returned and self.drain:
            enabled = tuple(sorted(key for key, job in self.drain.last.items() if job.state.is_enabled))
            event = self.returned.end(self.record, replace(rest, disabled=enabled))
            self.record = self.claim.save(lambda record: record, event)

    def _interrupted(self, now: Statuses) -> set[JobKey]:
        return self.drain.interrupted(now) if self.drain else set()

    def _ensure_quiet(self, statuses: Statuses) -> None:
        try:
            ensure_quiet(self.context.pair, statuses)
        except NotYet as error:
            raise _Back(error.reason.what) from None

    def _kept_list(self, statuses: Statuses) -> str | None:
        """The id of a new list, where people have enabled or disabled jobs on the active server since it was stored.

        Those are carried over too.
        """
        if self.step is Step.ENABLING:
            return None
        now_enabled = {job.key for job in enabled_in(self.context.pair.scope, statuses)}
        stored = set(self.context.snapshots.read_job_list(self.plan_id))
        wanted = now_enabled if self.step is Step.CLAIMED else stored | now_enabled
        if wanted == stored:
            return None
        list_id = new_id(self.context.now())
        self.context.snapshots.write_job_list(list_id, wanted)
        return list_id

    # -- make

    def _ordered(self, server: Server, statuses: Statuses) -> EnableOrder:
        self._read_jobs(server, statuses)
        wanted = self.context.snapshots.read_job_list(self.plan_id)
        return order_enabling(wanted, self._dependencies, [job.key for job in statuses.jobs])

    def _read_jobs(self, server: Server, statuses: Statuses) -> None:
        """Read what the jobs wait for and when they are due, where an earlier try began; it goes on without."""
        if self.found or self._jobs:
            return
        try:
            self._jobs = read_manifest(self.context.pair, server, statuses)
        except (DenodoSchedulerError, NotYet) as error:
            log.warning("What the jobs wait for, and which executions are missed, is not known: %s", error)

    @property
    def _dependencies(self) -> Mapping[JobKey, Collection[JobKey]]:
        known = self.found.target if self.found else self._jobs
        return {job.key: job.dependencies for job in known.jobs} if known else {}

    def _just_ran(self, order: EnableOrder, rest: AtRest | None, target: Statuses) -> dict[JobKey, datetime]:
        if rest is None:
            if self.down is None:
                return {}
            late = repeats_until(self.down.since, new_time=target.server_time, now=self.context.now())
            return dict.fromkeys(order.order, late)
        known, old_time = rest.statuses.by_key, rest.statuses.server_time
        ran = {key: known[key].previous_execution for key in order.order if key in known}
        return just_ran(ran, old_time=old_time, new_time=target.server_time, now=self.context.now())

    def _enable(self, server: Server, order: EnableOrder, late: Mapping[JobKey, datetime]) -> Changed:
        enabled = self._enable_on(server, order, self._before_batch, late)
        if enabled.left:
            raise NotYet(
                "not_enabled",
                f"{len(enabled.left)} jobs could not be enabled on the {self.to}: {listed(enabled.left, 20)}",
                "look at these jobs in its web tool and mend or delete them; until then this is tried again, first by "
                "this task, then by the failover DAG",
            )
        return enabled

    def _enable_on(
        self,
        server: Server,
        order: EnableOrder,
        before_batch: Callable[[], object],
        late: Mapping[JobKey, datetime] | None = None,
    ) -> Changed:
        batch, now = self.context.pair.failover.enable_batch, self.context.now
        return enable(server, order.order, batch=batch, before_batch=before_batch, not_before=late, now=now)

    def _before_batch(self) -> None:
        """A server that was taken to be at rest, because it did not answer, is asked again before each batch."""
        if self.unseen and self._old_answers():
            how = "a retry disables its jobs first, as soon as its name leads to it"
            raise NotYet("old_answers", f"the {self.old} answers again", how)
        self.advance(Step.ENABLING)

    def _old_answers(self) -> bool:
        if self.old is Role.MASTER and self.alive():
            return True
        with suppress(DenodoSchedulerError):
            self.context.servers.answering(self.old)
            return True
        return False

    def _commit(self, server: Server, order: EnableOrder, enabled: Changed, rest: AtRest | None) -> dict[str, Any]:
        last_run = _last_runs(rest.statuses) if rest else {}
        gap = self._gap(server, order, enabled, last_run, idle_since=self.operation.started)
        record, now = self.claim.check(), self.context.now()
        behind = left_behind(order, enabled.statuses.jobs, record.pending, self.to)
        change: Callable[[Record], Record]
        if self.to is Role.SLAVE:
            since = self.operation.started if self.unseen else None
            kind, before = "switchover", Phase.NORMAL
            change = partial(promoted, now=now, cool_down=None, behind=behind, since=since)
        else:
            kind, before, change = "failback", Phase.FAILED_OVER, partial(failed_back, now=now, behind=behind)
        done = change(record)
        event = self.context.event(
            kind,
            done,
            operation=self.operation.id,
            before={"phase": before, "active": self.old, "enabled": len(order.order) + len(order.missing)},
            after={"phase": done.phase, "active": done.active, "enabled": len(order.order)},
            plan=self.plan_id,
            **told_behind(behind, self.to, self._left_before(record, enabled.statuses)),
            interrupted=counted(self._interrupted(rest.statuses) if rest else ()),
            not_ready=list(self.wanted.not_ready),
            **gap,
            **steps(enabled, begun=self.operation.started, at_rest=rest.clean_at if rest else None),
            **(without_master(self.unseen) if self.unseen and self.old is Role.MASTER else {}),
        )
        self.claim.save(change, event)
        keep_promoted(self.context, self.to, enabled, rest)
        return event

    def _left_before(self, record: Record, now: Statuses) -> set[JobKey]:
        """Jobs that ran on this server until the other one became active without them, and stay disabled here."""
        known = now.by_key
        return {
            job.key
            for job in record.pending
            if job.code == LEFT_BEHIND and job.key in known and not known[job.key].state.is_enabled
        }

    def _gap(
        self,
        server: Server,
        order: EnableOrder,
        enabled: Changed,
        last_run: Mapping[JobKey, datetime],
        *,
        idle_since: datetime,
    ) -> dict[str, Any]:
        """What was not run between the disabling and the enabling of the jobs, see :func:`occurrences`.

        :param idle_since: a job that ran on ``server`` after this ran because it was enabled.
        """
        self.claim.check()
        waited = self.drain.waited if self.drain else set()
        return {
            "waited": counted(waited),
            **occurrences(
                self.context,
                server,
                self.found.active if self.found else self._jobs,
                order,
                enabled,
                since=self.operation.started,
                last_run=last_run,
                last_sign=self.last_sign or enabled.verified,
                idle_since=idle_since,
                also=waited,
                zone=zone_of(self.context.pair, self.old, self.found, enabled.statuses.server_time),
            ),
            "gap_seconds": round((enabled.verified - self.operation.started).total_seconds(), 1),
        }

    # -- back

    def _back(self, error: Exception) -> dict[str, Any]:
        """Enable on the old server what was enabled there, as long as nothing is enabled on the other one.

        :raises NotYet: that is impossible now; the operation stays open, and a retry goes on.
        """
        if self.step is Step.ENABLING:
            raise NotYet(
                "interrupted",
                f"jobs are enabled on the {self.to} already, and the switchover cannot go on: {error}",
                f"repair the servers; it is resumed by a retry, or by the failover DAG. If the {self.to} is lost for "
                f"good, initialise the pair with the {self.old} as the active server and enable its jobs by hand",
            )
        if self.step is Step.CLAIMED:
            return self.give_up(str(error))
        log.warning("The switchover is rolled back: %s", error)
        self._rest_other()
        try:
            server, statuses = self.context.servers.answering(self.old)
            self._ensure_still_two(statuses)
            self._read_jobs(server, statuses)
            wanted = self.context.snapshots.read_job_list(self.plan_id)
            order = order_enabling(wanted, self._dependencies, [job.key for job in statuses.jobs])
            enabled = self._enable_on(server, order, lambda: self.advance(Step.DISABLING))
        except DenodoSchedulerError as second:
            raise NotYet(
                "interrupted",
                f"jobs of the {self.old} are disabled, the {self.to} cannot take over ({error}), and going back is "
                f"impossible too ({second})",
                "repair either server; the switchover is resumed or rolled back by a retry, or by the failover DAG",
            ) from None
        if enabled.left:
            raise NotYet(
                "not_restored",
                f"{len(enabled.left)} jobs of the {self.old} could not be enabled again: {listed(enabled.left)}",
                "look at these jobs in its web tool; this is tried again",
            )
        interrupted = counted(self._interrupted(statuses))
        again = EnableOrder(tuple(key for key in order.order if key in enabled.told), order.missing)
        idle_since = min(enabled.told.values(), default=enabled.verified)
        gap = self._gap(server, again, enabled, _last_runs(statuses), idle_since=idle_since)
        details = {"enabled": len(order.order), "interrupted": interrupted, **gap}
        return self.leave("switchover_rolled_back", rolled_back, str(error), **details)

    def _rest_other(self) -> None:
        """Disable first what people have enabled meanwhile on the server that stays passive, if it answers."""
        event = demotion_event(self.context, self.operation.id, self.operation.started, self.to)

        def before(statuses: Statuses, keys: Sequence[JobKey]) -> None:
            self.advance(Step.DISABLING)
            event.begin(self.claim, statuses, keys)

        try:
            server, _ = self.context.servers.answering(self.to)
            found = disable_all(self.context, server, before=before)
        except DenodoSchedulerError as error:
            log.warning("Whether jobs are enabled on the %s is not known: %s", self.to, error)
            return
        if found.disabled:
            self.record = self.claim.save(lambda record: record, event.end(self.record, found))


class _Back(Exception):
    """The switchover must not go on; why."""


def _last_runs(statuses: Statuses) -> dict[JobKey, datetime]:
    return {job.key: job.previous_execution for job in statuses.jobs if job.previous_execution}
