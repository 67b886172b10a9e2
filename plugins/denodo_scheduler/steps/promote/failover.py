"""Failover: new epoch, intent, last look, fence, then the manifest's jobs are enabled on the slave, batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from denodo_ha.decisions import Action
from denodo_ha.jobs import JobKey
from denodo_ha.promotion import EnablePlan, plan_enabling, risky
from denodo_ha.quartz.missed import server_zone
from denodo_ha.record import Phase, Record, Role, Step
from denodo_ha.snapshot.ids import new_id, taken_at
from denodo_ha.snapshot.manifest import Manifest, ManifestError
from denodo_ha.transitions import advanced, claim, completed, given_up, promoted, renewed, resumed
from denodo_ha.verdict import Evidence, Observation, Verdict
from denodo_scheduler.exceptions import DenodoSchedulerError, NoAnswerError
from denodo_scheduler.steps.jobs import CLOCKS, MISFIRE_THRESHOLD, Enabled, enable
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.promote import switchover as switching
from denodo_scheduler.steps.promote.fence import Fence, fence
from denodo_scheduler.steps.promote.report import describe
from denodo_scheduler.steps.servers import own_path
from denodo_scheduler.steps.watch.look import FailoverRun, Judgement, freshness, judge
from denodo_scheduler.steps.watch.quench import quench_now, quenched_event

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
"""How long nobody else takes a failover over after its last sign of life; longer than any of its requests."""

Look = Callable[[], Observation]


def enable_jobs(run: FailoverRun, evidence: Evidence, look: Look) -> dict[str, Any]:
    """Fail over, resume what another task has begun, or complete what could not be enabled yet.

    :param look: one look at the master over all paths, now.
    :return: the event that tells of it.
    :raises NothingToDo: the situation is another one by now, or the master was heard before the first job was enabled.
    :raises Blocked: a rule does not hold any more. :raises NotYet: not at its end; tried again.
    """
    judged = judge(run, evidence)
    _ensure_not_waiting_for_oneself(run, judged)
    if judged.decision.action is not Action.ENABLE_JOBS:
        raise NothingToDo("overtaken", f"by now the decision is {judged.decision.code}: {judged.decision.what}")
    assert judged.record is not None
    if judged.record.operation and judged.record.operation.kind == "switchover":
        return _resume_switchover(run, judged.record, evidence)
    failover = _begun_or_resumed(run, judged, evidence, look)
    try:
        return failover.run_it()
    except (Blocked, NotYet):
        failover.let_go()
        raise
    except DenodoSchedulerError as error:
        if not isinstance(error, NoAnswerError):  # what was not answered may still be executed
            failover.let_go()
        raise NotYet(
            "interrupted",
            f"the failover could not be brought to its end: {error}",
            "repair the slave; it is resumed by itself",
        ) from None


def _ensure_not_waiting_for_oneself(run: FailoverRun, judged: Judgement) -> None:
    """A retry must not be skipped as if all were well: the request of the try before it may still be executed."""
    operation = judged.record.operation if judged.record else None
    if judged.decision.code == "operation_open" and operation and operation.id.startswith(f"{run.run_id}/"):
        raise NotYet(
            "interrupted",
            "an earlier try of this task was cut off, and its last request may still be executed",
            "wait until its lease is over; then it is resumed by itself",
        )


def _begun_or_resumed(run: FailoverRun, judged: Judgement, evidence: Evidence, look: Look) -> _Failover:
    record = judged.record
    assert record is not None
    if judged.decision.code == "complete":
        return _Completion(run, record, evidence, look)
    if judged.decision.code != "resume":
        return _Failover(run, _claimed(run, record, evidence), evidence, look)
    assert record.operation is not None
    last_sign = min(record.operation.lease_until, run.now())
    return _Failover(run, _taken_over(run, record, evidence), evidence, look, last_sign)


def _resume_switchover(run: FailoverRun, record: Record, evidence: Evidence) -> dict[str, Any]:
    to = Role.SLAVE if record.phase is Phase.FAILING_OVER else Role.MASTER
    shared = {name: getattr(run, name) for name in ("pair", "records", "snapshots", "master", "slave", "actor", "now")}
    fresh = run.now() - evidence.decided <= freshness(run)
    may_be_unfenced = run.pair.failover.fencing == "best_effort" or run.fenced
    down = to is Role.SLAVE and evidence.verdict is Verdict.DOWN and fresh and may_be_unfenced
    return switching.resume(
        switching.SwitchRun(**shared, run_id=run.run_id, to=to), _operation_id(run), old_is_down=down
    )


def _operation_id(run: FailoverRun) -> str:
    return f"{run.run_id}/{uuid4().hex[:8]}"


def _ensure_fresh(run: FailoverRun, evidence: Evidence) -> None:
    age = run.now() - evidence.decided
    if age > freshness(run):
        raise NothingToDo("stale_evidence", f"the evidence is {age} old; the next run takes its own")


def _ensure_unchanged(run: FailoverRun, record: Record) -> None:
    """Right before a write that rests on ``record``."""
    if run.record() != record:
        raise NothingToDo("superseded", "the pair's record has changed since it was judged")


def _claimed(run: FailoverRun, record: Record, evidence: Evidence) -> Record:
    """Write the intent. Whatever can fail without it fails before."""
    assert record.snapshot is not None
    _manifest(run, record.snapshot.id)
    intent = claim(
        record,
        kind="failover",
        to=Role.SLAVE,
        operation_id=_operation_id(run),
        target=run.slave.address,
        plan=record.snapshot.id,
        now=run.now(),
        lease=LEASE,
    )
    _ensure_unchanged(run, record)
    _ensure_fresh(run, evidence)
    return run.begin(intent, record, f"the master is down: {evidence.streak} times in a row")


def _taken_over(run: FailoverRun, record: Record, evidence: Evidence) -> Record:
    """As long as nothing was enabled, it takes fresh evidence to go on, as it does to begin."""
    assert record.operation is not None
    _ensure_unchanged(run, record)
    if record.operation.step is Step.CLAIMED:
        if not _down(run, evidence.verdict):
            back = given_up(record)
            run.move(back, _gave_up(run, record, back, f"the master is {evidence.verdict}, and nothing was changed"))
            raise NothingToDo("given_up", f"the master is {evidence.verdict}; the interrupted failover was given up")
        _ensure_fresh(run, evidence)
    taken = resumed(record, operation_id=_operation_id(run), now=run.now(), lease=LEASE)
    return run.begin(taken, record, "an interrupted failover is resumed")


def _down(run: FailoverRun, verdict: Verdict) -> bool:
    return verdict is Verdict.DOWN or (verdict is Verdict.UNKNOWN and run.pair.watch.one_path)


def _gave_up(run: FailoverRun, record: Record, back: Record, why: str) -> dict[str, Any]:
    assert record.operation is not None
    return run.event(
        "failover_given_up",
        back,
        operation=record.operation.id,
        before={"phase": record.phase, "active": record.active},
        after={"phase": back.phase, "active": back.active},
        why=why,
    )


def _manifest(run: FailoverRun, snapshot_id: str) -> Manifest:
    """What was enabled on the master when the snapshot was taken."""
    try:
        return Manifest.from_json(run.snapshots.read(snapshot_id)[1])
    except (OSError, ManifestError) as error:
        raise Blocked(
            "snapshot_missing",
            f"the manifest of the snapshot {snapshot_id} cannot be read: {error}",
            "without it nobody knows which jobs were enabled; make 'snapshots' of the pair readable on all workers",
        ) from None


@dataclass
class _Failover:
    """One try of one operation: the record says how far it is, and every change asks it again.

    :param last_sign: when an earlier try was last seen at work; what is enabled already it enabled before.
    """

    run: FailoverRun
    record: Record
    evidence: Evidence
    look: Look
    last_sign: datetime | None = None
    quenched: int = 0

    def run_it(self) -> dict[str, Any]:
        assert self.record.operation is not None
        snapshot_id = self.record.operation.plan
        assert snapshot_id is not None
        self._ensure_silent()
        fenced = self._fenced()
        manifest = _manifest(self.run, snapshot_id)
        zone = _zone(self.run, manifest, snapshot_id)
        plan, enabled = _enable(self.run, manifest, self.evidence, zone, self._before_batch)
        said = describe(
            self.run,
            manifest,
            plan,
            enabled,
            heard=self._heard,
            taken=taken_at(snapshot_id),
            zone=zone,
            last_sign=self.last_sign,
        )
        return self._commit(snapshot_id, enabled, fenced, said)

    @property
    def _heard(self) -> datetime:
        """When the master was last heard before the failover. The evidence of a run that resumes it begins later."""
        assert self.record.operation is not None
        heard = self.evidence.last_alive or self.run.last_alive or self.evidence.since
        pair = self.run.pair
        return (
            min(heard, self.record.operation.started - pair.watch.fall * pair.watch.probe_interval)
            if self.last_sign
            else heard
        )

    def _own(self) -> Record:
        """Read the record afresh.

        :raises NothingToDo: the operation belongs to somebody else by now, or its lease is over.
        :raises Blocked: a person has halted or paused the pair.
        """
        record, mine = self.run.record(), self.record
        assert mine.operation is not None
        if record.phase is Phase.HALTED:
            raise Blocked(
                "halted",
                "the pair was halted in the middle of a failover",
                "see to the reason, then release the pair with the operations DAG: the failover is resumed by itself",
            )
        if record.epoch != mine.epoch or record.operation is None or record.operation.id != mine.operation.id:
            raise NothingToDo("superseded", "another run has taken this failover over, or ended it")
        if record.is_paused(self.run.now()):
            raise Blocked(
                "paused_midway",
                "automation was paused in the middle of a failover",
                "resume the pair with the operations DAG: the failover is resumed by itself",
            )
        if not record.operation.open(self.run.now()):
            raise NothingToDo("lease_over", "this task slept longer than its lease; the next run resumes the failover")
        return record

    def let_go(self) -> None:
        """End the lease of a try that has ended in an orderly way, so that the next one need not wait for it."""
        record, mine = self.run.record(), self.record
        if record.operation and mine.operation and record.operation.id == mine.operation.id:
            self.run.records.save(renewed(record, self.run.now()))

    def _ensure_silent(self) -> None:
        """The last look before anything is changed."""
        self._heed(self.look(), self._own())

    def _heed(self, seen: Observation, record: Record) -> bool:
        """Before the first job is enabled, give up unless the master is still seen to be down. After that there is only
        forward: a master that is heard is quenched first, which is what this returns."""
        assert record.operation is not None
        if record.operation.step is Step.CLAIMED:
            if not _down(self.run, seen.verdict):
                self._give_up(record, f"the last look at the master says {seen}")
                raise NothingToDo("given_up", f"the master is not seen to be down any more: {seen}")
            return False
        if seen.verdict.alive:
            self._quench()
        return seen.verdict.alive

    def _quench(self) -> None:
        try:
            found = quench_now(self.run, may_change=self._own)
        except (DenodoSchedulerError, NotYet) as error:
            raise NotYet(
                "split_brain",
                f"jobs are enabled on the slave already, the master is heard again and cannot be quenched: {error}",
                "stop the master's Scheduler, or disable its jobs there; this is tried again",
            ) from None
        self.quenched += len(found.disabled)
        if found.disabled:
            record = self._own()
            since = record.operation.started if record.operation else None
            self.run.save(record, quenched_event(self.run, record, found, since=since))

    def _give_up(self, record: Record, why: str) -> None:
        back = given_up(record)
        self.run.move(back, _gave_up(self.run, record, back, why))

    @property
    def _id(self) -> str:
        assert self.record.operation is not None
        return self.record.operation.id

    def _fenced(self) -> Fence:
        if self.run.pair.failover.fence:
            self.run.records.save(renewed(self._own(), self.run.now() + self.run.pair.failover.fence_timeout + LEASE))
        fenced = fence(self.run)
        log.warning("Fencing %s: %s.", fenced.result, fenced.how)
        record = self._own()
        assert record.operation is not None
        if self.run.pair.failover.fencing == "required" and fenced.result != "confirmed":
            if record.operation.step is Step.CLAIMED:
                self._give_up(record, f"the master could not be fenced: {fenced.how}")
            raise Blocked(
                "not_fenced",
                f"this pair requires fencing, and the fence is {fenced.result}: {fenced.how}",
                "make sure that the master cannot start again, then trigger the failover DAG with 'the master is "
                "fenced' ticked and a reason",
            )
        return fenced

    def _before_batch(self) -> None:
        seen = self.look()
        record = self._own()
        if self._heed(seen, record):
            record = self._own()
        self.run.records.save(advanced(renewed(record, self.run.now() + LEASE), Step.ENABLING))

    def _commit(self, snapshot_id: str, enabled: Enabled, fenced: Fence, said: dict[str, Any]) -> dict[str, Any]:
        left = None
        if enabled.failed:
            left = new_id(self.run.now())
            self.run.snapshots.write_plan(left, enabled.failed)
        done = promoted(self._own(), now=self.run.now(), left=left, cool_down=self.run.pair.failover.cool_down)
        event = self.run.event(
            "failover",
            done,
            operation=self._id,
            before={"phase": Phase.NORMAL, "active": Role.MASTER},
            after={"phase": done.phase, "active": done.active, "complete": left is None},
            snapshot=snapshot_id,
            fencing={"result": fenced.result, "how": fenced.how},
            quenched=self.quenched,
            **said,
        )
        self.run.move(done, event)
        return event


@dataclass
class _Completion(_Failover):
    """Enabling again what the promotion had left over."""

    def run_it(self) -> dict[str, Any]:
        promotion = self.record.last_promotion
        assert promotion is not None
        manifest = _manifest(self.run, promotion.plan)
        zone = _zone(self.run, manifest, promotion.plan)
        assert promotion.left is not None
        left = set(self.run.snapshots.read_plan(promotion.left))
        plan, enabled = _enable(self.run, manifest, self.evidence, zone, self._before_batch, only=left)
        if enabled.failed:
            raise NotYet(
                "not_enabled",
                f"{len(enabled.failed)} jobs could not be enabled on the slave, such as {enabled.failed[0]}",
                "look at these jobs in the slave's web tool; this is tried again",
            )
        done = completed(self._own())
        event = self.run.event(
            "completed",
            done,
            operation=promotion.id,
            before={"complete": False},
            after={"complete": True},
            enabled=len(enabled.at),
            missing=len(plan.missing),
        )
        self.run.save(done, event)
        return event

    def _own(self) -> Record:
        record = self.run.record()
        if (record.epoch, record.phase, record.operation) != (self.record.epoch, Phase.FAILED_OVER, None):
            raise NothingToDo("superseded", "the pair has moved on")
        if record.is_paused(self.run.now()):
            raise NothingToDo("paused", "automation was paused meanwhile")
        return record

    def _before_batch(self) -> None:
        self._own()


def _enable(
    run: FailoverRun,
    manifest: Manifest,
    evidence: Evidence,
    zone: tzinfo,
    before_batch: Callable[[], object],
    *,
    only: Collection[JobKey] | None = None,
) -> tuple[EnablePlan, Enabled]:
    """Enable what the manifest lists as enabled and the slave has; no job that the pair does not cover.

    :param only: of these jobs; what people have done to the others since is theirs.
    """
    server = own_path(run, Role.SLAVE)
    wanted = {key for key in manifest.enabled if run.pair.scope.matches(key) and (only is None or key in only)}
    waits_for = {job.key: job.dependencies for job in manifest.jobs}
    present = server.statuses()
    plan = plan_enabling(wanted, waits_for, [job.key for job in present.jobs])
    late = _not_before(run, manifest, plan.order, evidence, zone, present.server_time - run.now())
    return plan, enable(run, server, plan.order, before_batch=before_batch, not_before=late)


def _zone(run: FailoverRun, manifest: Manifest, snapshot_id: str) -> tzinfo:
    """The master's time zone; UTC where it cannot be told."""
    said = ZoneInfo(run.pair.timezone) if run.pair.timezone else None
    return server_zone(manifest, taken_at(snapshot_id), said) or UTC


def _not_before(
    run: FailoverRun, manifest: Manifest, order: tuple[JobKey, ...], evidence: Evidence, zone: tzinfo, skew: timedelta
) -> dict[JobKey, datetime]:
    """Jobs whose last execution the master may have run, and the slave would run again if it were resumed now.

    It may have run until the first look that it did not answer.
    """
    silent = evidence.since + CLOCKS
    crons = {key: manifest.by_key[key].crons for key in order}
    due = risky(crons, since=run.now() - MISFIRE_THRESHOLD + skew - CLOCKS, until=silent + skew, zone=zone)
    return {key: at - skew + MISFIRE_THRESHOLD for key, at in due.items()}
