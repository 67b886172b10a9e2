"""What is the pair's situation, read afresh, and what is to be done about it?"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.decisions import Action, Alert, Decision, Situation, decide
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import INITIALISE, OPERATIONS, fits_epoch, same_servers
from denodo_ha.reason import Reason
from denodo_ha.record import CLOCK_SKEW, Phase, Record, RecordError, Role, Step
from denodo_ha.verdict import Evidence, Verdict
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.servers import enabled_in

log = logging.getLogger(__name__)

PROOF_HOLDS = timedelta(days=1)
"""How long ago path 2 may have been seen to work."""


@dataclass(frozen=True)
class Consents:
    """What the person who triggered a run of the failover DAG takes responsibility for, in that run only.

    :param fail_over: fail over although the pair's policy is not ``automatic``.
    :param accept_old_snapshot: promote a snapshot that is older than the pair allows.
    :param fenced: the master cannot start again by itself; that person has seen to it.
    """

    fail_over: bool = False
    accept_old_snapshot: bool = False
    fenced: bool = False


@dataclass(frozen=True)
class Heard:
    """What the watch remembers of the master.

    :param alive_since: since when it has been heard without a gap. :param last_alive: when it was last heard at all.
    :param second_good: when path 2 was last seen to work.
    """

    alive_since: datetime | None = None
    last_alive: datetime | None = None
    second_good: datetime | None = None


@dataclass(frozen=True)
class Case:
    """What one run of the failover DAG has to decide, with what it has seen."""

    context: PairContext
    evidence: Evidence
    consents: Consents = Consents()
    heard: Heard = Heard()

    @property
    def fresh(self) -> bool:
        """Whether the evidence is young enough for a failover to begin."""
        return self.context.now() - self.evidence.decided <= freshness(self.context.pair)

    @property
    def may_be_unfenced(self) -> bool:
        return self.context.pair.failover.fencing == "best_effort" or self.consents.fenced


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


def judge(case: Case) -> Judgement:
    """Read the record and both servers, and look the decision up. Changes nothing."""
    context, verdict = case.context, case.evidence.verdict
    now = context.now()
    try:
        record = context.records.load()
    except RecordError as error:
        return Judgement(_decided(error.reason, Alert.HALTED), verdict, None, now)
    if record is None:
        return Judgement(_without_record(context), verdict, None, now)
    if reason := same_servers(record, context.servers.addresses):
        return Judgement(_decided(reason, Alert.BLOCKED), verdict, record, now)
    situation = _situation(case, record)
    log.info("Phase %s, verdict %s, %s", record.phase, verdict, situation)
    decision = decide(record.phase, verdict, situation)
    if record.phase is Phase.HALTED and record.halted:
        decision = replace(decision, what=f"{decision.what}: {record.halted.reason}")
    return Judgement(decision, verdict, record, now)


def still(case: Case, action: Action) -> Judgement:
    """Judge again, right before an action.

    :raises NothingToDo: by now the decision is another one.
    """
    return expected(judge(case), action)


def expected(judged: Judgement, action: Action) -> Judgement:
    """:raises NothingToDo: the decision is another one."""
    if judged.decision.action is not action:
        raise NothingToDo("overtaken", f"by now the decision is {judged.decision.code}: {judged.decision.what}")
    return judged


def freshness(pair: Pair) -> timedelta:
    """How old evidence may be when a failover begins: as long as it takes to gather it, and a minute to begin."""
    return pair.watch.fall * pair.watch.probe_interval + timedelta(minutes=1)


def _decided(reason: Reason, alert: Alert) -> Decision:
    return Decision(reason.code, Action.BLOCKED, reason.what, reason.next_step, alert=alert)


def _without_record(context: PairContext) -> Decision:
    name = context.pair.name
    if context.snapshots.epoch() is None:
        how = f"run the sync DAG once; if the slave is the active server now, initialise the pair with {OPERATIONS}"
        what = f"the pair {name} has no HA record yet, so it cannot fail over"
        return _decided(Reason("not_initialised", what, how), Alert.BLOCKED)
    what = f"the HA record of the pair {name} is gone; nothing is changed by guess"
    return _decided(Reason("record_lost", what, INITIALISE), Alert.HALTED)


def _situation(case: Case, record: Record) -> Situation:
    context, pair, consents, heard = case.context, case.context.pair, case.consents, case.heard
    now = context.now()
    operation, snapshot, approval = record.operation, record.snapshot, record.approval
    slave_enabled = _any_enabled(context, Role.SLAVE)
    approved = approval is not None and approval.granted_by is not None and now < approval.until
    promotion = record.last_promotion
    stable = heard.alive_since is not None and now - heard.alive_since >= pair.failover.stable_for
    return Situation(
        paused=record.is_paused(now),
        operation_open=operation is not None and operation.open(now),
        history_agrees=fits_epoch(record, context.snapshots.epoch()) is None,
        resuming=operation is not None and operation.step in (Step.DISABLING, Step.ENABLING),
        snapshot=snapshot is not None,
        dirty=record.dirty is not None,
        snapshot_fresh=snapshot is not None
        and (consents.accept_old_snapshot or -CLOCK_SKEW <= now - snapshot.taken <= pair.failover.oldest_snapshot),
        cooled_down=record.cool_down_until is None or now >= record.cool_down_until,
        acknowledged=record.acknowledged,
        slave_reachable=slave_enabled is not None,
        second_path=consents.fail_over or (heard.second_good is not None and now - heard.second_good <= PROOF_HOLDS),
        slave_enabled=bool(slave_enabled),
        master_enabled=_any_enabled(context, Role.MASTER) if case.evidence.verdict.alive else None,
        one_path=pair.watch.one_path,
        automatic=pair.failover.policy == "automatic" or approved or consents.fail_over,
        manual=pair.failover.policy == "manual",
        approval_asked=approval is not None and approval.granted_by is None and now < approval.until,
        fenceable=case.may_be_unfenced or pair.failover.fence is not None,
        complete=promotion is None or promotion.complete,
        fail_back=pair.failover.on_master_return == "fail_back" and stable,
    )


def _any_enabled(context: PairContext, role: Role) -> bool | None:
    """Whether jobs in scope are enabled on the server; None when it cannot be read."""
    try:
        _, statuses = context.servers.answering(role)
    except DenodoSchedulerError as error:
        log.warning("The %s cannot be read: %s", role, error)
        return None
    return bool(enabled_in(context.pair.scope, statuses))
