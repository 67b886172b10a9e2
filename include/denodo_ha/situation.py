"""What a run of the failover DAG knows when it decides, and the facts that follow for the decision table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.decisions import Decision, Situation
from denodo_ha.pairs import Pair
from denodo_ha.record import CLOCK_SKEW, Record, Step
from denodo_ha.verdict import Verdict

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


def freshness(pair: Pair) -> timedelta:
    """How old evidence may be when a failover begins: as long as it takes to gather it, and a minute to begin."""
    return pair.watch.fall * pair.watch.probe_interval + timedelta(minutes=1)


def situation_of(
    record: Record,
    pair: Pair,
    consents: Consents,
    heard: Heard,
    *,
    now: datetime,
    history_agrees: bool,
    slave_enabled: bool | None,
    master_enabled: bool | None,
) -> Situation:
    """The facts of this moment.

    :param history_agrees: the record is not older than the epoch file.
    :param slave_enabled: whether jobs are enabled there; None: it cannot be read. :param master_enabled: likewise.
    """
    operation, snapshot, approval, promotion = (
        record.operation,
        record.snapshot,
        record.approval,
        record.last_promotion,
    )
    approved = approval is not None and approval.granted_by is not None and now < approval.until
    stable = heard.alive_since is not None and now - heard.alive_since >= pair.failover.stable_for
    return Situation(
        paused=record.is_paused(now),
        operation_open=operation is not None and operation.open(now),
        history_agrees=history_agrees,
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
        master_enabled=master_enabled,
        one_path=pair.watch.one_path,
        automatic=pair.failover.policy == "automatic" or approved or consents.fail_over,
        manual=pair.failover.policy == "manual",
        approval_asked=approval is not None and approval.granted_by is None and now < approval.until,
        fenceable=consents.fenced or pair.failover.fencing == "best_effort" or pair.failover.fence is not None,
        complete=promotion is None or promotion.complete,
        fail_back=pair.failover.on_master_return == "fail_back" and stable,
    )
