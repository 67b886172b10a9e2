"""Switchover and failback, break before make: disable on the active server, read back, enable on the other one.

Until the first job is enabled on the other server whatever goes wrong leads back; after that there is only forward.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from denodo_ha.jobs import JobKey, JobState
from denodo_ha.outage import ran_at_once
from denodo_ha.preconditions import not_halted, not_paused, other
from denodo_ha.promotion import EnableOrder, just_ran, order_enabling
from denodo_ha.record import Phase, Record, Role, Step
from denodo_ha.snapshot.ids import new_id
from denodo_ha.text import counted, listed
from denodo_ha.transitions import failed_back, given_up, promoted, rolled_back
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.jobs import Changed, enable
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet, require
from denodo_scheduler.steps.passive import AtRest, disable_all
from denodo_scheduler.steps.promote.examine import ensure_may_begin, ensure_quiet, examine, read_manifest
from denodo_scheduler.steps.promote.operation import Try, begun, taken_over
from denodo_scheduler.steps.servers import Server, enabled_in

log = logging.getLogger(__name__)

_UNTOUCHED = "its task died before the first job was disabled"


@dataclass(frozen=True)
class Switch:
    """What a person asks for.

    :param to: the server that becomes active.
    :param accept_differences: that person knows that some jobs have another definition there, and wants those.
    """

    to: Role = Role.SLAVE
    accept_differences: bool = False


def check(context: PairContext, wanted: Switch) -> dict[str, Any]:
    """May the switchover begin? Changes nothing.

    :return: what it would do, as JSON.
    :raises Blocked: a rule does not hold. :raises NotYet: another operation is under way, or a person edits jobs.
    """
    record = context.usable_record()
    ensure_may_begin(context, record, wanted.to)
    return examine(context, record, wanted.to, accept_differences=wanted.accept_differences).to_json()


def switch(context: PairContext, wanted: Switch, *, epoch: int) -> dict[str, Any]:
    """Make ``wanted.to`` the active server, and return the event that tells of it.

    A retry takes the operation of its run over under a new id, so that a try that was believed dead changes nothing any
    more.

    :param epoch: the epoch in which the run was checked.
    :raises NothingToDo: the task is superseded.
    :raises Blocked: a rule does not hold, or the switchover was rolled back.
    :raises NotYet: the quiet window has closed, or the operation is not at its end; a retry goes on.
    """
    if context.dry_run:
        raise NothingToDo("dry_run", "this is a dry run; the plan is in the XCom of check")
    record = context.usable_record()
    if done := _done_by_earlier_try(context, record):
        return done
    operation = record.operation
    if operation and operation.kind == "switchover" and context.is_of_this_run(operation.id):
        require(not_halted(record) or not_paused(record, context.now()))
        earlier = _Switching(context, taken_over(context, record, context.new_operation()))
        if operation.step is not Step.CLAIMED:
            return _ended(earlier.run())
        earlier.give_up(_UNTOUCHED)
        epoch = earlier.record.epoch
    return _ended(_begin(context, wanted, epoch).run())


def _done_by_earlier_try(context: PairContext, record: Record) -> dict[str, Any] | None:
    """The event of an earlier try of this task, which died after its commit, if that is how the pair is still."""
    for event in record.outbox:
        of_this_run = event["kind"] in ("switchover", "failback") and context.is_of_this_run(event["operation"])
        if of_this_run and event["epoch"] == record.epoch:
            return event
    return None


def resume(context: PairContext, to: Role, *, old_is_down: bool = False) -> dict[str, Any]:
    """Take over a switchover whose task is dead, bring it to its end or back, and return the event.

    :param old_is_down: there is evidence, good enough for a failover, that the server that was active is down. Where
        some of its jobs are disabled already and it does not answer, the others are taken to be at rest.
    :raises NothingToDo: there is no such operation, or its task may still act. :raises NotYet: tried again.
    """
    record = context.usable_record()
    operation = record.operation
    if operation is None or operation.kind != "switchover":
        raise NothingToDo("overtaken", "no switchover is open any more")
    if operation.open(context.now()) and not context.is_of_this_run(operation.id):
        raise NothingToDo("operation_open", "the task of the switchover may still act")
    require(not_halted(record) or not_paused(record, context.now()))
    switching = _Switching(context, taken_over(context, record, context.new_operation()), old_is_down=old_is_down)
    return switching.give_up(_UNTOUCHED) if operation.step is Step.CLAIMED else switching.run()


def _begin(context: PairContext, wanted: Switch, epoch: int) -> _Switching:
    """Look at everything again, right before; then store the enabled jobs and write the intent."""

    def current() -> Record:
        record = context.usable_record()
        if record.epoch != epoch:
            what = f"superseded: the pair is in epoch {record.epoch}, it belongs to {epoch}"
            raise NothingToDo("superseded", what)
        ensure_may_begin(context, record, wanted.to)
        return record

    found = examine(context, current(), wanted.to, accept_differences=wanted.accept_differences)
    ensure_quiet(context.pair, found.statuses)
    list_id = new_id(context.now())
    context.snapshots.write_job_list(list_id, found.active.enabled)
    intent = begun(
        context,
        current(),
        kind="switchover",
        to=wanted.to,
        operation_id=context.new_operation(),
        plan=list_id,
        why="begun",
    )
    return _Switching(context, intent, dependencies=found.dependencies)


def _ended(event: dict[str, Any]) -> dict[str, Any]:
    if event["kind"] in ("switchover_given_up", "switchover_rolled_back"):
        raise Blocked(
            event["kind"].removeprefix("switchover_"),
            f"there was no switchover, the {event['after']['active']} is active as before: {event['why']}",
            "see to the cause, then trigger the switchover DAG again",
        )
    return event


# -- the operation


@dataclass
class _Switching(Try):
    """
    :param dependencies: what each job of the new active server waits for, where that is known already.
    :param at_rest_unseen: the old server could not be read, and is taken to be at rest.
    :param interrupted: jobs that started between the last look and their disabling, which may have stopped them.
    """

    dependencies: Mapping[JobKey, Collection[JobKey]] | None = None
    old_is_down: bool = False
    at_rest_unseen: bool = False
    interrupted: set[JobKey] = field(default_factory=set)

    @property
    def to(self) -> Role:
        return Role.SLAVE if self.record.phase is Phase.FAILING_OVER else Role.MASTER

    @property
    def old(self) -> Role:
        return other(self.to)

    def run(self) -> dict[str, Any]:
        try:
            rest = self._disable()
            self.at_rest_unseen = rest is None
            server, statuses = self.context.servers.answering(self.to)
            order = self._ordered(server, statuses)
            enabled = self._enable(server, order, self._just_ran(order, rest, statuses))
        except (DenodoSchedulerError, _Back) as error:
            return self._back(error)
        return self._commit(order, enabled)

    def give_up(self, why: str) -> dict[str, Any]:
        """Go back to the phase before; no server was changed."""
        return self.leave("switchover_given_up", given_up, why)

    # -- break

    def _disable(self) -> AtRest | None:
        """Disable all jobs in scope of the old server and read that back; None where it is down and was so before."""
        try:
            server, _ = self.context.servers.answering(self.old)
        except DenodoSchedulerError as error:
            if self.step is Step.ENABLING or self.old_is_down:
                log.warning("The %s cannot be read, and is taken to be at rest: %s", self.old, error)
                return None
            raise
        looks: list[Statuses] = []

        def before(statuses: Statuses, _: Sequence[JobKey]) -> None:
            looks.append(statuses)
            if self.step is Step.CLAIMED:
                self._ensure_quiet(statuses)
            self._keep_list(statuses)
            self.advance(Step.ENABLING if self.step is Step.ENABLING else Step.DISABLING)

        rest = self._disable_all(server, before)
        if self.step is Step.CLAIMED:
            raise _Back(f"no job of the {self.old} is enabled any more; a paused server looks exactly like this")
        for look in looks:
            self.interrupted |= _started(look, rest)
        if self.interrupted:
            log.error("Started while they were being disabled, so maybe stopped: %s", listed(sorted(self.interrupted)))
        return rest

    def _disable_all(self, server: Server, before: Callable[[Statuses, Sequence[JobKey]], object]) -> AtRest:
        try:
            return disable_all(self.context, server, before=before)
        except NotYet as error:
            if error.code != "still_enabled":
                raise
            raise _Back(str(error)) from None

    def _ensure_quiet(self, statuses: Statuses) -> None:
        try:
            ensure_quiet(self.context.pair, statuses)
        except NotYet as error:
            raise _Back(str(error)) from None

    def _keep_list(self, statuses: Statuses) -> None:
        """What people have enabled or disabled on the active server since the list was stored is carried over too."""
        if self.step is Step.ENABLING:
            return
        now_enabled = {job.key for job in enabled_in(self.context.pair.scope, statuses)}
        stored = set(self.context.snapshots.read_job_list(self.plan_id))
        wanted = now_enabled if self.step is Step.CLAIMED else stored | now_enabled
        if wanted != stored:
            self.claim.check()
            self.context.snapshots.write_job_list(self.plan_id, wanted)

    # -- make

    def _ordered(self, server: Server, statuses: Statuses) -> EnableOrder:
        if self.dependencies is None:
            self.dependencies = self._read_dependencies(server, statuses)
        wanted = self.context.snapshots.read_job_list(self.plan_id)
        return order_enabling(wanted, self.dependencies, [job.key for job in statuses.jobs])

    def _read_dependencies(self, server: Server, statuses: Statuses) -> Mapping[JobKey, Collection[JobKey]]:
        try:
            return {job.key: job.dependencies for job in read_manifest(self.context.pair, server, statuses).jobs}
        except NotYet as error:
            log.warning("The jobs are enabled without regard to what they wait for: %s", error)
            return {}

    def _just_ran(self, order: EnableOrder, rest: AtRest | None, target: Statuses) -> dict[JobKey, datetime]:
        if rest is None:
            return {}
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
        if self.at_rest_unseen:
            try:
                self.context.servers.answering(self.old)
            except DenodoSchedulerError:
                pass
            else:
                raise NotYet("old_answers", f"the {self.old} answers again", "a retry disables its jobs first")
        self.advance(Step.ENABLING)

    def _commit(self, order: EnableOrder, enabled: Changed) -> dict[str, Any]:
        record, now = self.claim.check(), self.context.now()
        if self.to is Role.SLAVE:
            kind, before, done = "switchover", Phase.NORMAL, promoted(record, now=now, cool_down=None)
        else:
            kind, before, done = "failback", Phase.FAILED_OVER, failed_back(record, now=now)
        event = self.context.event(
            kind,
            done,
            operation=self.operation.id,
            before={"phase": before, "active": self.old, "enabled": len(order.order) + len(order.missing)},
            after={"phase": done.phase, "active": done.active, "enabled": len(order.order)},
            plan=self.plan_id,
            missing=counted(order.missing),
            interrupted=counted(self.interrupted),
            burst=counted(_ran_at_once(enabled)),
            gap_seconds=round((enabled.verified - self.operation.started).total_seconds(), 1),
        )
        self.context.move(done, event)
        return event

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
        try:
            server, statuses = self.context.servers.answering(self.old)
            wanted = self.context.snapshots.read_job_list(self.plan_id)
            order = order_enabling(wanted, self.dependencies or {}, [job.key for job in statuses.jobs])
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
        return self.leave("switchover_rolled_back", rolled_back, str(error), enabled=len(order.order))


class _Back(Exception):
    """The switchover must not go on; why."""


def _started(look: Statuses, rest: AtRest) -> set[JobKey]:
    """Jobs that have started between a look and the read-back."""
    now = rest.statuses.by_key
    return {
        job.key
        for job in look.jobs
        if job.key in rest.disabled
        and job.key in now
        and (job.state is JobState.RUNNING or job.previous_execution != now[job.key].previous_execution)
    }


def _ran_at_once(enabled: Changed) -> tuple[JobKey, ...]:
    if not enabled.told:
        return ()
    statuses, elapsed = enabled.statuses, enabled.verified - min(enabled.told.values())
    return ran_at_once(statuses.jobs, enabled.told, statuses.server_time - elapsed)
