"""Switchover and failback, break before make: disable on the active server, read back, enable on the other one.

Until the first job is enabled on the other server whatever goes wrong leads back; after that there is only forward.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.checks import ran_since
from denodo_ha.jobs import JobKey, JobState
from denodo_ha.promotion import EnablePlan, plan_enabling
from denodo_ha.record import Phase, Record, Role, Step
from denodo_ha.snapshot.ids import new_id
from denodo_ha.text import listed
from denodo_ha.transitions import advanced, claim, failed_back, given_up, promoted, renewed, resumed, rolled_back
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.jobs import CLOCKS, MISFIRE_THRESHOLD, Enabled, enable
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.passive import Quench, disable_all, enabled_jobs
from denodo_scheduler.steps.promote.switch_checks import (
    OPERATIONS,
    SWITCHOVER,
    SwitchRun,
    ensure_may_begin,
    ensure_not_stopped,
    ensure_quiet,
    examine,
    names,
    other,
    read_manifest,
    usable_record,
)
from denodo_scheduler.steps.servers import Server, answering

__all__ = ["SwitchRun", "check", "resume", "switch"]

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
"""How long nobody else takes a switchover over after its last sign of life; longer than any of its requests."""

_UNTOUCHED = "its task died before the first job was disabled"


def check(run: SwitchRun) -> dict[str, Any]:
    """May the switchover begin? Changes nothing.

    :return: what it would do, as JSON.
    :raises Blocked: a rule does not hold. :raises NotYet: another operation is under way, or somebody edits jobs.
    """
    record = usable_record(run)
    ensure_may_begin(run, record)
    return examine(run, record).to_json()


def switch(run: SwitchRun, operation_id: str, *, epoch: int) -> dict[str, Any]:
    """Make ``run.to`` the active server, and return the event that tells of it.

    :param operation_id: ``<run id>/<anything>``, another one at each try: a retry takes its own operation over, so that
        a try that was believed dead changes nothing any more.
    :param epoch: the epoch in which the run was checked.
    :raises NothingToDo: the task belongs to the past.
    :raises Blocked: a rule does not hold, or the switchover was rolled back.
    :raises NotYet: the quiet window has closed, or the operation is not at its end; a retry goes on.
    """
    if run.dry_run:
        raise NothingToDo("dry_run", "this is a dry run; the plan is in the XCom of check")
    record = usable_record(run)
    operation = record.operation
    if operation and operation.kind == "switchover" and operation.id.startswith(f"{run.run_id}/"):
        ensure_not_stopped(run, record)
        switching = _taken_over(run, record, operation_id)
        if operation.step is not Step.CLAIMED:
            return _ended(switching.run_it())
        switching.give_up(_UNTOUCHED)
        epoch = switching.record.epoch
    return _ended(_begin(run, operation_id, epoch).run_it())


def resume(run: SwitchRun, operation_id: str, *, old_is_down: bool = False) -> dict[str, Any]:
    """Take over a switchover whose task is dead, bring it to its end or back, and return the event.

    :param operation_id: as of :func:`switch`.
    :param old_is_down: there is evidence, good enough for a failover, that the server that was active is down. Where
        some of its jobs are disabled already and it does not answer, the others are believed to be at rest.
    :raises NothingToDo: there is no such operation, or its task may still act. :raises NotYet: tried again.
    """
    record = usable_record(run)
    operation = record.operation
    if operation is None or operation.kind != "switchover":
        raise NothingToDo("overtaken", "no switchover is open any more")
    if operation.open(run.now()) and not operation.id.startswith(f"{run.run_id}/"):
        raise NothingToDo("operation_open", "the task of the switchover may still act")
    ensure_not_stopped(run, record)
    switching = _taken_over(run, record, operation_id, old_is_down=old_is_down)
    return switching.give_up(_UNTOUCHED) if operation.step is Step.CLAIMED else switching.run_it()


def _begin(run: SwitchRun, operation_id: str, epoch: int) -> _Switching:
    """Look at everything again, right before; then store the enabled jobs and write the intent."""

    def current() -> Record:
        record = usable_record(run)
        if record.epoch != epoch:
            raise NothingToDo(
                "superseded", f"this task belongs to the past: the pair is in epoch {record.epoch}, it to {epoch}"
            )
        ensure_may_begin(run, record)
        return record

    found = examine(run, current())
    ensure_quiet(run, found.statuses)
    plan_id = new_id(run.now())
    run.snapshots.write_plan(plan_id, found.active.enabled)
    record = current()
    target = run.slave.address if run.to is Role.SLAVE else run.master.address
    intent = claim(
        record,
        kind="switchover",
        to=run.to,
        operation_id=operation_id,
        target=target,
        plan=plan_id,
        now=run.now(),
        lease=LEASE,
    )
    run.begin(intent, record, "begun")
    return _Switching(run, intent, dependencies=found.dependencies)


def _taken_over(run: SwitchRun, record: Record, operation_id: str, *, old_is_down: bool = False) -> _Switching:
    taken = resumed(record, operation_id=operation_id, now=run.now(), lease=LEASE)
    run.begin(taken, record, "an interrupted switchover is resumed")
    return _Switching(run, taken, old_is_down=old_is_down)


def _ended(event: dict[str, Any]) -> dict[str, Any]:
    if event["kind"] in ("switchover_given_up", "switchover_rolled_back"):
        raise Blocked(
            event["kind"].removeprefix("switchover_"),
            f"there was no switchover, the {event['after']['active']} is active as before: {event['why']}",
            f"see to the cause, then trigger {SWITCHOVER} again",
        )
    return event


# -- the operation


@dataclass
class _Switching:
    """One try of one operation: the record says how far it is, and every change asks it again.

    :param record: as this try has claimed it or taken it over.
    :param dependencies: what each job of the new active server waits for, where that is known already.
    :param at_rest_unseen: the old server could not be read, and is taken to be at rest.
    :param interrupted: jobs that started between the last look and their disabling, which may have stopped them.
    """

    run: SwitchRun
    record: Record
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

    @property
    def _id(self) -> str:
        assert self.record.operation is not None
        return self.record.operation.id

    @property
    def _plan_id(self) -> str:
        assert self.record.operation is not None
        assert self.record.operation.plan is not None
        return self.record.operation.plan

    @property
    def _step(self) -> Step:
        assert self.record.operation is not None
        return self.record.operation.step

    def run_it(self) -> dict[str, Any]:
        try:
            quenched = self._disable()
            self.at_rest_unseen = quenched is None
            server, statuses = answering(self.run, self.to)
            plan = self._planned(server, statuses)
            enabled = self._enable(server, plan, self._late(plan, quenched, statuses))
        except (DenodoSchedulerError, _Back) as error:
            return self._back(error)
        return self._commit(plan, enabled)

    def give_up(self, why: str) -> dict[str, Any]:
        """Go back to the phase before; no server was changed."""
        return self._leave("switchover_given_up", given_up(self._own()), why)

    def _leave(self, kind: str, back: Record, why: str, **details: Any) -> dict[str, Any]:
        event = self.run.event(
            kind,
            back,
            operation=self._id,
            before={"phase": self.record.phase, "active": self.record.active},
            after={"phase": back.phase, "active": back.active},
            why=why,
            **details,
        )
        self.record = self.run.move(back, event)
        return event

    def _own(self) -> Record:
        """Read the record afresh.

        :raises NothingToDo: the operation belongs to somebody else by now. :raises Blocked: the pair was halted.
        :raises NotYet: this task slept longer than its lease.
        """
        record = self.run.record()
        if record.epoch != self.record.epoch or record.operation is None or record.operation.id != self._id:
            raise NothingToDo("superseded", "another task has taken this switchover over, or ended it")
        if record.phase is Phase.HALTED:
            raise Blocked(
                "halted",
                "the pair was halted in the middle of a switchover",
                f"release the pair with {OPERATIONS}: the failover DAG resumes the switchover",
            )
        if not record.operation.open(self.run.now()):
            raise NotYet("lease_over", "this task slept longer than its lease", "a retry resumes the switchover")
        return record

    def _go_on(self, step: Step) -> None:
        """Right before a change: note that it is coming, and prolong the lease."""
        until = self.run.now() + LEASE
        self.record = self.run.records.save(advanced(renewed(self._own(), until), step))

    # -- break

    def _disable(self) -> Quench | None:
        """Disable all jobs in scope of the old server and read that back; None where it is down and was so before."""
        try:
            server, _ = answering(self.run, self.old)
        except DenodoSchedulerError as error:
            if self._step is Step.ENABLING or self.old_is_down:
                log.warning("The %s cannot be read, and is taken to be at rest: %s", self.old, error)
                return None
            raise
        looks: list[Statuses] = []

        def before(statuses: Statuses, _: bool) -> None:
            looks.append(statuses)
            if self._step is Step.CLAIMED:
                self._ensure_quiet(statuses)
            self._keep_plan(statuses)
            self._go_on(Step.ENABLING if self._step is Step.ENABLING else Step.DISABLING)

        quenched = self._disable_all(server, before)
        if self._step is Step.CLAIMED:
            raise _Back(f"no job of the {self.old} is enabled any more; a paused server looks exactly like this")
        for look in looks:
            self.interrupted |= _started(look, quenched)
        if self.interrupted:
            log.error("Started while they were being disabled, so maybe stopped: %s", listed(sorted(self.interrupted)))
        return quenched

    def _disable_all(self, server: Server, before: Callable[[Statuses, bool], object]) -> Quench:
        try:
            return disable_all(self.run, server, before=before)
        except NotYet as error:
            if error.code != "still_enabled":
                raise
            raise _Back(str(error)) from None

    def _ensure_quiet(self, statuses: Statuses) -> None:
        try:
            ensure_quiet(self.run, statuses)
        except NotYet as error:
            raise _Back(str(error)) from None

    def _keep_plan(self, statuses: Statuses) -> None:
        """What people have enabled or disabled on the active server since the plan was stored is carried over too."""
        if self._step is Step.ENABLING:
            return
        now_enabled = {job.key for job in enabled_jobs(self.run, statuses)}
        stored = set(self.run.snapshots.read_plan(self._plan_id))
        wanted = now_enabled if self._step is Step.CLAIMED else stored | now_enabled
        if wanted != stored:
            self._own()
            self.run.snapshots.write_plan(self._plan_id, wanted)

    # -- make

    def _planned(self, server: Server, statuses: Statuses) -> EnablePlan:
        if self.dependencies is None:
            self.dependencies = self._read_dependencies(server, statuses)
        wanted = self.run.snapshots.read_plan(self._plan_id)
        return plan_enabling(wanted, self.dependencies, [job.key for job in statuses.jobs])

    def _read_dependencies(self, server: Server, statuses: Statuses) -> Mapping[JobKey, Collection[JobKey]]:
        try:
            return {job.key: job.dependencies for job in read_manifest(self.run, server, statuses).jobs}
        except NotYet as error:
            log.warning("The jobs are enabled without regard to what they wait for: %s", error)
            return {}

    def _late(self, plan: EnablePlan, quenched: Quench | None, target: Statuses) -> dict[JobKey, datetime]:
        """Jobs that the old server has just run, and the other one would run again if it were resumed now.

        By the slower of both clocks, since the target looks back by its own. However far apart they are, nothing waits
        longer than the threshold.
        """
        if quenched is None:
            return {}
        old, now = quenched.statuses, self.run.now()
        ahead = target.server_time - now
        since = min(old.server_time, target.server_time) - MISFIRE_THRESHOLD - CLOCKS
        ran = {key: old.by_key[key].previous_execution for key in plan.order if key in old.by_key}
        return {
            key: min(at + MISFIRE_THRESHOLD - ahead, now + MISFIRE_THRESHOLD)
            for key, at in ran.items()
            if at and at > since
        }

    def _enable(self, server: Server, plan: EnablePlan, late: Mapping[JobKey, datetime]) -> Enabled:
        enabled = enable(self.run, server, plan.order, before_batch=self._before_batch, not_before=late)
        if enabled.failed:
            raise NotYet(
                "not_enabled",
                f"{len(enabled.failed)} jobs could not be enabled on the {self.to}: {listed(enabled.failed, 20)}",
                "look at these jobs in its web tool and mend or delete them; until then this is tried again, first by "
                "this task, then by the failover DAG",
            )
        return enabled

    def _before_batch(self) -> None:
        """A server that was taken to be at rest, because it did not answer, is asked again before each batch."""
        if self.at_rest_unseen:
            try:
                answering(self.run, self.old)
            except DenodoSchedulerError:
                pass
            else:
                raise NotYet("old_answers", f"the {self.old} answers again", "a retry disables its jobs first")
        self._go_on(Step.ENABLING)

    def _commit(self, plan: EnablePlan, enabled: Enabled) -> dict[str, Any]:
        record = self._own()
        assert record.operation is not None
        now = self.run.now()
        if self.to is Role.SLAVE:
            kind, before, done = "switchover", Phase.NORMAL, promoted(record, now=now, cool_down=None)
        else:
            kind, before, done = "failback", Phase.FAILED_OVER, failed_back(record, now=now)
        event = self.run.event(
            kind,
            done,
            operation=self._id,
            before={"phase": before, "active": self.old, "enabled": len(plan.order) + len(plan.missing)},
            after={"phase": done.phase, "active": done.active, "enabled": len(plan.order)},
            plan=self._plan_id,
            missing=names(plan.missing),
            interrupted=names(self.interrupted),
            burst=names(_burst(enabled)),
            gap_seconds=round((enabled.verified - record.operation.started).total_seconds(), 1),
        )
        self.run.move(done, event)
        return event

    # -- back

    def _back(self, error: Exception) -> dict[str, Any]:
        """Enable on the old server what was enabled there, as long as nothing is enabled on the other one.

        :raises NotYet: that is impossible now; the operation stays open, and a retry goes on.
        """
        if self._step is Step.ENABLING:
            raise NotYet(
                "interrupted",
                f"jobs are enabled on the {self.to} already, and the switchover cannot go on: {error}",
                f"repair the servers; it is resumed by a retry, or by the failover DAG. If the {self.to} is lost for "
                f"good, initialise the pair with the {self.old} as the active server and enable its jobs by hand",
            )
        if self._step is Step.CLAIMED:
            return self.give_up(str(error))
        log.warning("The switchover is rolled back: %s", error)
        try:
            server, statuses = answering(self.run, self.old)
            plan = plan_enabling(
                self.run.snapshots.read_plan(self._plan_id),
                self.dependencies or {},
                [job.key for job in statuses.jobs],
            )
            enabled = enable(self.run, server, plan.order, before_batch=lambda: self._go_on(Step.DISABLING))
        except DenodoSchedulerError as second:
            raise NotYet(
                "interrupted",
                f"jobs of the {self.old} are disabled, the {self.to} cannot take over ({error}), and going back is "
                f"impossible too ({second})",
                "repair either server; the switchover is resumed or rolled back by a retry, or by the failover DAG",
            ) from None
        if enabled.failed:
            raise NotYet(
                "not_restored",
                f"{len(enabled.failed)} jobs of the {self.old} could not be enabled again: {listed(enabled.failed)}",
                "look at these jobs in its web tool; this is tried again",
            )
        return self._leave("switchover_rolled_back", rolled_back(self._own()), str(error), enabled=len(plan.order))


class _Back(Exception):
    """The switchover must not go on; why."""


def _started(look: Statuses, quenched: Quench) -> set[JobKey]:
    """Jobs that have started between a look and the read-back."""
    now = quenched.statuses.by_key
    return {
        job.key
        for job in look.jobs
        if job.key in quenched.disabled
        and job.key in now
        and (job.state is JobState.RUNNING or job.previous_execution != now[job.key].previous_execution)
    }


def _burst(enabled: Enabled) -> tuple[JobKey, ...]:
    """Jobs that ran as soon as they were enabled: a resumed trigger that is overdue may fire at once [Q]."""
    if not enabled.at:
        return ()
    elapsed = enabled.verified - min(enabled.at.values())
    ours = [status for status in enabled.statuses.jobs if status.key in enabled.at]
    return ran_since(ours, enabled.statuses.server_time - elapsed)
