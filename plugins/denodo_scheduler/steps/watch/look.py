"""What is the pair's situation, read afresh, and what is to be done about it?"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.decisions import Action, Alert, Decision, Situation, decide
from denodo_ha.record import CLOCK_SKEW, Phase, Record, RecordError, Role, Step
from denodo_ha.verdict import Evidence, Verdict
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.steps.context import PairRun
from denodo_scheduler.steps.passive import enabled_jobs
from denodo_scheduler.steps.servers import answering

log = logging.getLogger(__name__)

PROOF_HOLDS = timedelta(days=1)
"""How long ago path 2 may have been seen to work."""
_OPERATIONS = "the operations DAG"


@dataclass(frozen=True)
class FailoverRun(PairRun):
    """What a run of the failover DAG needs besides; the consents are those of the person who triggered it.

    :param fail_over: fail over although the pair's policy is not ``automatic``.
    :param accept_old_snapshot: promote a snapshot that is older than the pair allows.
    :param fenced: the master cannot start again by itself; that person has seen to it.
    :param alive_since: since when the watch has heard the master without a gap.
    :param last_alive: when it was last heard at all. :param second_good: when path 2 was last seen to work.
    """

    fail_over: bool = False
    accept_old_snapshot: bool = False
    fenced: bool = False
    alive_since: datetime | None = None
    last_alive: datetime | None = None
    second_good: datetime | None = None


@dataclass(frozen=True)
class Judgement:
    """A decision and the record and verdict that it was made of; no record, no phase."""

    decision: Decision
    verdict: Verdict
    record: Record | None
    at: datetime

    def to_json(self) -> dict[str, Any]:
        decision = self.decision
        return {
            "at": self.at.isoformat(),
            "code": decision.code,
            "action": str(decision.action),
            "what": decision.what,
            "next_step": decision.next_step,
            "settled": decision.settled,
            "alert": str(decision.alert) if decision.alert else None,
            "verdict": str(self.verdict),
            "phase": str(self.record.phase) if self.record else None,
            "active": str(self.record.active) if self.record else None,
            "epoch": self.record.epoch if self.record else None,
        }


def judge(run: FailoverRun, evidence: Evidence) -> Judgement:
    """Read the record and both servers, and look the decision up. Changes nothing."""
    now = run.now()
    try:
        record = run.records.load()
    except RecordError as error:
        unusable = Decision("record_unusable", Action.BLOCKED, error.what, error.next_step, alert=Alert.HALTED)
        return Judgement(unusable, evidence.verdict, None, now)
    if record is None:
        return Judgement(_without_record(run), evidence.verdict, None, now)
    if changed := _servers_changed(run, record):
        return Judgement(changed, evidence.verdict, record, now)
    situation = _situation(run, record, evidence)
    log.info("Phase %s, verdict %s, %s", record.phase, evidence.verdict, situation)
    decision = decide(record.phase, evidence.verdict, situation)
    if record.phase is Phase.HALTED and record.halted:
        decision = replace(decision, what=f"{decision.what}: {record.halted.reason}")
    return Judgement(decision, evidence.verdict, record, now)


def _without_record(run: FailoverRun) -> Decision:
    if run.snapshots.witness() is None:
        return Decision(
            "not_initialised",
            Action.BLOCKED,
            f"the pair {run.pair.name} has no HA record yet, so it cannot fail over",
            "run the sync DAG once; if the slave is the active server now, initialise the pair with " + _OPERATIONS,
            alert=Alert.BLOCKED,
        )
    return Decision(
        "record_lost",
        Action.BLOCKED,
        f"the HA record of the pair {run.pair.name} is gone; nothing is changed by guess",
        f"look which server has enabled jobs, then initialise the pair with {_OPERATIONS}",
        alert=Alert.HALTED,
    )


def _servers_changed(run: FailoverRun, record: Record) -> Decision | None:
    for role, known, now in ((Role.MASTER, record.master, run.master), (Role.SLAVE, record.slave, run.slave)):
        if known not in (None, now.address):
            return Decision(
                "servers_changed",
                Action.BLOCKED,
                f"the connection of the {role} leads to {now.address}, and led to {known} so far",
                f"correct the connection; if it is right, initialise the pair with {_OPERATIONS}",
                alert=Alert.BLOCKED,
            )
    return None


def _situation(run: FailoverRun, record: Record, evidence: Evidence) -> Situation:
    now = run.now()
    operation, snapshot, approval = record.operation, record.snapshot, record.approval
    slave_reachable, slave_enabled = _slave(run)
    approved = approval is not None and approval.granted_by is not None and now < approval.until
    promotion = record.last_promotion
    return Situation(
        paused=record.is_paused(now),
        operation_open=operation is not None and operation.open(now),
        history_agrees=_history_agrees(run, record),
        resuming=operation is not None and operation.step in (Step.DISABLING, Step.ENABLING),
        snapshot=snapshot is not None,
        dirty=record.dirty is not None,
        snapshot_fresh=snapshot is not None
        and (run.accept_old_snapshot or -CLOCK_SKEW <= now - snapshot.taken <= run.pair.failover.oldest_snapshot),
        cooled_down=record.cool_down_until is None or now >= record.cool_down_until,
        acknowledged=record.acknowledged,
        slave_reachable=slave_reachable,
        second_path=run.fail_over or (run.second_good is not None and now - run.second_good <= PROOF_HOLDS),
        slave_enabled=slave_enabled,
        master_enabled=_master_enabled(run) if evidence.verdict.alive else None,
        one_path=run.pair.watch.one_path,
        automatic=run.pair.failover.policy == "automatic" or approved or run.fail_over,
        manual=run.pair.failover.policy == "manual",
        approval_asked=approval is not None and approval.granted_by is None and now < approval.until,
        fenceable=run.pair.failover.fencing == "best_effort" or run.pair.failover.fence is not None or run.fenced,
        complete=promotion is None or promotion.complete,
        fail_back=run.pair.failover.on_master_return == "fail_back" and _stable(run, now),
    )


def _slave(run: PairRun) -> tuple[bool, bool]:
    """Whether the slave answers, and whether jobs in scope are enabled there."""
    try:
        _, statuses = answering(run, Role.SLAVE)
    except DenodoSchedulerError as error:
        log.warning("The slave cannot be read: %s", error)
        return False, False
    return True, bool(enabled_jobs(run, statuses))


def _master_enabled(run: PairRun) -> bool | None:
    try:
        _, statuses = answering(run, Role.MASTER)
    except DenodoSchedulerError as error:
        log.warning("The master's jobs cannot be read: %s", error)
        return None
    return bool(enabled_jobs(run, statuses))


def _history_agrees(run: PairRun, record: Record) -> bool:
    witness = run.snapshots.witness()
    return witness is None or not witness.contradicts(record)


def _stable(run: FailoverRun, now: datetime) -> bool:
    return run.alive_since is not None and now - run.alive_since >= run.pair.failover.stable_for


def freshness(run: PairRun) -> timedelta:
    """How old evidence may be when a failover begins: as long as it takes to gather it, and a minute to begin."""
    return run.pair.watch.fall * run.pair.watch.probe_interval + timedelta(minutes=1)
