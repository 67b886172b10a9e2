"""Failover: new epoch, intent, last look, fence, then the manifest's jobs are enabled on the slave, batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

from denodo_ha.decisions import Action
from denodo_ha.jobs import JobKey
from denodo_ha.promotion import EnableOrder, left_behind, maybe_ran, order_enabling, told_behind
from denodo_ha.quartz.missed import ServerZone, configured_zone, server_zone
from denodo_ha.record import Phase, Record, Role, Step
from denodo_ha.situation import Judgement
from denodo_ha.snapshot.ids import new_id, taken_at
from denodo_ha.snapshot.manifest import Manifest, ManifestError
from denodo_ha.text import counted
from denodo_ha.transitions import completed, given_up, promoted
from denodo_ha.verdict import Observation, Verdict
from denodo_scheduler.exceptions import DenodoSchedulerError, NoAnswerError
from denodo_scheduler.steps.claim import Claim, of_epoch, unchanged, undisturbed
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.jobs import Changed, enable
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.promote import switchover
from denodo_scheduler.steps.promote.fence import Down, Fence
from denodo_scheduler.steps.promote.operation import Try, begun, left, not_fenced, taken_over
from denodo_scheduler.steps.promote.report import describe, occurrences, steps
from denodo_scheduler.steps.seen import keep_promoted
from denodo_scheduler.steps.watch.act import demote_master, demotion_event
from denodo_scheduler.steps.watch.look import Case, expected, judge

log = logging.getLogger(__name__)

Look = Callable[[], Observation]


def enable_jobs(case: Case, look: Look) -> dict[str, Any]:
    """Fail over, resume what another task has begun, or complete what could not be enabled yet.

    :param look: one look at the master over all paths, now.
    :return: the event that tells of it.
    :raises NothingToDo: the situation is another one by now, or the master was heard before the first job was enabled.
    :raises Blocked: a rule does not hold any more. :raises NotYet: not at its end; tried again.
    """
    judged = _judged(case)
    record = judged.record
    assert record is not None
    if judged.decision.code == "complete":
        return _complete(case, record)
    if record.operation and record.operation.kind == "switchover":
        return _resume_switchover(case, record, look)
    failover = _begun_or_resumed(case, judged, look)
    try:
        return failover.run()
    except (Blocked, NotYet):
        failover.claim.release()
        raise
    except DenodoSchedulerError as error:
        if not isinstance(error, NoAnswerError):  # what was not answered may still be executed
            failover.claim.release()
        raise _interrupted(error) from None


def _interrupted(error: Exception) -> NotYet:
    what = f"the failover could not be brought to its end: {error}"
    return NotYet("interrupted", what, "repair the slave, or the way to it; it is resumed by itself")


def _judged(case: Case) -> Judgement:
    """Judge again. A retry must not be skipped as if all were well: the request of the try before it may still be
    executed."""
    judged = judge(case)
    operation = judged.record.operation if judged.record else None
    if judged.decision.code == "operation_open" and operation and case.context.is_of_this_run(operation.id):
        raise NotYet(
            "interrupted",
            "an earlier try of this task was cut off, and its last request may still be executed",
            "wait until its lease is over; then it is resumed by itself",
        )
    return expected(judged, Action.ENABLE_JOBS)


def _begun_or_resumed(case: Case, judged: Judgement, look: Look) -> _Failover:
    context, record = case.context, judged.record
    assert record is not None
    if judged.decision.code != "resume":
        return _Failover(context, _claimed(case, record), case, look, decided=judged.at)
    permit = unchanged(context, record)
    record = permit.check()
    assert record.operation is not None
    last_sign = min(record.operation.lease_until, context.now())
    if record.operation.step is Step.CLAIMED:
        # As long as nothing was enabled, it takes fresh evidence to go on, as it does to begin.
        verdict = case.evidence.verdict
        if not _down(case, verdict):
            left(context, permit, "failover_given_up", given_up, f"the master is {verdict}, and nothing was changed")
            raise NothingToDo("given_up", f"the master is {verdict}; the interrupted failover was given up")
        if stale := _stale(case):
            raise stale
    taken = taken_over(context, record, context.new_operation())
    return _Failover(context, taken, case, look, last_sign)


def _claimed(case: Case, record: Record) -> Record:
    """Write the intent. Whatever can fail without it fails before."""
    assert record.snapshot is not None
    context = case.context
    manifest_of(context, record.snapshot.id)
    same = undisturbed(context, record).rule
    return begun(
        context,
        Claim(context, lambda current: same(current) or _stale(case)),
        kind="failover",
        to=Role.SLAVE,
        operation_id=context.new_operation(),
        plan=record.snapshot.id,
        why=f"the master is down: no sign of life on any path, {case.evidence.streak} times in a row"
        + (f" ({case.evidence.common})" if case.evidence.common else ""),
    )


def _resume_switchover(case: Case, record: Record, look: Look) -> dict[str, Any]:
    to = Role.SLAVE if record.phase is Phase.FAILING_OVER else Role.MASTER
    confirmed = to is Role.SLAVE and case.evidence.verdict is Verdict.DOWN and case.fresh
    down = Down(case.evidence.since, fenced=case.consents.fenced) if confirmed else None
    return switchover.resume(case.context, to, down=down, alive=lambda: look().verdict.alive)


def _stale(case: Case) -> NothingToDo | None:
    if case.fresh:
        return None
    age = case.context.now() - case.evidence.decided
    return NothingToDo("stale_evidence", f"the evidence is {age} old; the next run takes its own")


def _down(case: Case, verdict: Verdict) -> bool:
    return verdict is Verdict.DOWN or (verdict is Verdict.UNKNOWN and case.context.pair.watch.one_path)


def manifest_of(context: PairContext, snapshot_id: str) -> Manifest:
    """What was enabled on the master when the snapshot was taken."""
    try:
        return Manifest.from_json(context.snapshots.read(snapshot_id)[1])
    except (OSError, ManifestError) as error:
        raise Blocked(
            "snapshot_missing",
            f"the manifest of the snapshot {snapshot_id} cannot be read: {error}",
            "without it, it is not known which jobs were enabled; make 'snapshots' of the pair readable on all workers",
        ) from None


@dataclass
class _Failover(Try):
    """
    :param last_sign: when an earlier try was last seen at work; what is enabled already it enabled before.
    :param quenched: how many jobs of a master that is heard again were disabled.
    :param decided: when it was decided that this try begins it. :param fenced: when the pair's fencing hook had ended.
    """

    case: Case
    look: Look
    last_sign: datetime | None = None
    quenched: int = 0
    decided: datetime | None = None
    fenced: datetime | None = None

    def run(self) -> dict[str, Any]:
        snapshot_id = self.plan_id
        self._abort_if_alive(self.look(), self.claim.check())
        fenced = self._fenced()
        manifest = manifest_of(self.context, snapshot_id)
        zone = zone_of_master(self.context, manifest, snapshot_id)
        order, enabled = _enable(self.case, manifest, zone.zone, self._before_batch)
        said = describe(
            self.context,
            manifest,
            order,
            enabled,
            heard=self._heard,
            taken=taken_at(snapshot_id),
            zone=zone,
            last_sign=self.last_sign,
        )
        return self._commit(snapshot_id, order, enabled, fenced, said)

    def _steps_before(self) -> dict[str, datetime | None]:
        """The steps until the first job was enabled. What an earlier try had seen is not known any more."""
        evidence, known = self.case.evidence, self.last_sign is None
        return {
            "heard": self._heard if evidence.last_alive or self.case.heard.last_alive else None,
            "silent": evidence.since if known else None,
            "down": evidence.decided if known else None,
            "decided": self.decided,
            "begun": self.operation.started,
            "fenced": self.fenced,
        }

    @property
    def _heard(self) -> datetime:
        """When the master was last heard before the failover. The evidence of a run that resumes it begins later."""
        heard = self.case.evidence.last_alive or self.case.heard.last_alive or self.case.evidence.since
        pair = self.context.pair
        return (
            min(heard, self.operation.started - pair.watch.fall * pair.watch.probe_interval)
            if self.last_sign
            else heard
        )

    def _abort_if_alive(self, seen: Observation, record: Record) -> None:
        """Before the first job is enabled, give up unless the master is still seen to be down. After that there is only
        forward: the jobs of a master that is heard are disabled first."""
        assert record.operation is not None
        if record.operation.step is Step.CLAIMED:
            if not _down(self.case, seen.verdict):
                self.leave("failover_given_up", given_up, f"the last look at the master says {seen}")
                raise NothingToDo("given_up", f"the master is not seen to be down any more: {seen}")
        elif seen.verdict.alive:
            self._demote_master()

    def _demote_master(self) -> None:
        event = demotion_event(self.context, self.operation.id, self.operation.started)
        try:
            found = demote_master(self.context, self.claim, event)
        except (DenodoSchedulerError, Blocked, NotYet) as error:
            if isinstance(error, Blocked) and error.code != "same_server":
                raise
            raise NotYet(
                "split_brain",
                "jobs are enabled on the slave already, the master is heard again and its jobs cannot be disabled: "
                f"{error}",
                "stop the master's Scheduler, or disable its jobs there; this is tried again",
            ) from None
        self.quenched += len(found.disabled)
        if found.disabled:
            self.claim.save(lambda record: record, event.end(self.record, found))

    def _fenced(self) -> Fence:
        fenced = self.fence(by_person=self.case.consents.fenced)
        self.fenced = self.context.now() if self.context.pair.failover.fence else None
        if refused := not_fenced(self.context, fenced):
            if self.step is Step.CLAIMED:
                self.leave("failover_given_up", given_up, f"the master could not be fenced: {fenced.how}")
            raise refused
        return fenced

    def _before_batch(self) -> None:
        self._abort_if_alive(self.look(), self.claim.check())
        self.advance(Step.ENABLING)

    def _commit(
        self, snapshot_id: str, order: EnableOrder, enabled: Changed, fenced: Fence, said: dict[str, Any]
    ) -> dict[str, Any]:
        context, remaining = self.context, _stored(self.context, enabled.left)
        record = self.claim.check()
        behind = left_behind(order, enabled.statuses.jobs, record.pending, Role.SLAVE)
        promote = partial(
            promoted,
            now=context.now(),
            cool_down=context.pair.failover.cool_down,
            left=remaining,
            behind=behind,
            since=self.operation.started,
            heard=self._heard,
        )
        done = promote(record)
        event = context.event(
            "failover",
            done,
            operation=self.operation.id,
            before={"phase": Phase.NORMAL, "active": Role.MASTER},
            after={"phase": done.phase, "active": done.active, "complete": remaining is None},
            snapshot=snapshot_id,
            fencing=fenced.to_json(),
            quenched=self.quenched,
            **said,
            **steps(enabled, **self._steps_before()),
            **told_behind(behind, Role.SLAVE),
        )
        self.claim.save(promote, event)
        keep_promoted(context, Role.SLAVE, enabled)
        return event


def _complete(case: Case, record: Record) -> dict[str, Any]:
    """Enable again what the promotion had left over. What has become of a job by that is told and saved at once, also
    while others cannot be enabled, and what it has missed counts as it does in the failover."""
    context, promotion = case.context, record.last_promotion
    assert promotion is not None
    claim = of_epoch(context, record, Phase.FAILED_OVER, while_paused=False)
    manifest = manifest_of(context, promotion.plan)
    zone = zone_of_master(context, manifest, promotion.plan)
    remaining = set(context.snapshots.read_job_list(promotion.left)) if promotion.left else None
    try:
        order, enabled = _enable(case, manifest, zone.zone, claim.check, only=remaining)
    except DenodoSchedulerError as error:
        raise _interrupted(error) from None
    if enabled.left and len(enabled.left) == len(order.order):
        raise _not_enabled(enabled.left)
    event = context.event(
        "completed",
        record,
        operation=promotion.id,
        before={"complete": False},
        after={"complete": not enabled.left},
        enabled=len(order.order) - len(enabled.left),
        failed=counted(enabled.left),
        missing=len(order.missing),
        **occurrences(
            context,
            context.servers.own_path(Role.SLAVE),
            manifest,
            order,
            enabled,
            since=promotion.heard or promotion.at,
            last_sign=enabled.verified,
            idle_since=promotion.at,
            zone=zone,
        ),
    )
    claim.save(partial(completed, left=_stored(context, enabled.left)), event)
    if enabled.left:
        raise _not_enabled(enabled.left)
    return event


def _not_enabled(left: Sequence[JobKey]) -> NotYet:
    return NotYet(
        "not_enabled",
        f"{len(left)} jobs could not be enabled on the slave, such as {left[0]}",
        "look at these jobs in the slave's web tool; this is tried again",
    )


def _stored(context: PairContext, jobs: Collection[JobKey]) -> str | None:
    """Store a list of the jobs that could not be enabled, if there are any, and return its id."""
    if not jobs:
        return None
    list_id = new_id(context.now())
    context.snapshots.write_job_list(list_id, jobs)
    return list_id


def _enable(
    case: Case,
    manifest: Manifest,
    zone: tzinfo,
    before_batch: Callable[[], object],
    *,
    only: Collection[JobKey] | None = None,
) -> tuple[EnableOrder, Changed]:
    """Enable what the manifest lists as enabled and the slave has; no job that the pair does not cover.

    :param only: of these jobs; what people have done to the others since is theirs.
    """
    context = case.context
    server = context.servers.own_path(Role.SLAVE)
    wanted = {key for key in manifest.enabled if context.pair.scope.matches(key) and (only is None or key in only)}
    waits_for = {job.key: job.dependencies for job in manifest.jobs}
    present = server.statuses()
    order = order_enabling(wanted, waits_for, [job.key for job in present.jobs])
    now = context.now()
    late = maybe_ran(
        {key: manifest.by_key[key].crons for key in order.order},
        silent_since=case.evidence.since,
        now=now,
        skew=present.server_time - now,
        zone=zone,
    )
    batch = context.pair.failover.enable_batch
    return order, enable(server, order.order, batch=batch, before_batch=before_batch, not_before=late, now=context.now)


def zone_of_master(context: PairContext, manifest: Manifest, snapshot_id: str) -> ServerZone:
    """The master's time zone, as far as it is known."""
    taken = taken_at(snapshot_id)
    return configured_zone(context.pair.master_timezone) or server_zone(manifest, taken, context.now())
