"""The knowledge of a run of the failover DAG when it decides, and the facts for the decision table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.decisions import Decision, Situation
from denodo_ha.pairs import Pair
from denodo_ha.record import CLOCK_SKEW, Record, Step
from denodo_ha.verdict import Verdict

PROOF_HOLDS = timedelta(days=1)
"""How long ago path 2 may have been seen to work at most."""


@dataclass(frozen=True)
class Consents:
    """The consents of the person who triggered a run of the failover DAG, valid in that run only.

    :param fail_over: fail over although the pair's policy is not ``automatic``.
    :param accept_old_snapshot: promote a snapshot that is older than the pair allows.
    :param fenced: the person has made sure that the master cannot start again by itself.
    """

    fail_over: bool = False
    accept_old_snapshot: bool = False
    fenced: bool = False


@dataclass(frozen=True)
class Heard:
    """What the watch remembers about the master.

    :param alive_since: since when it has been heard without a gap. :param last_alive: when it was last heard at all.
    :param second_good: when path 2 was last seen to work.
    """

    alive_since: datetime | None = None
    last_alive: datetime | None = None
    second_good: datetime | None = None


@dataclass(frozen=True)
class Judgement:
    """A decision, and the record and verdict on which it is based."""

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
    """Return how old evidence may be when a failover begins: the time to gather it, and a minute to begin."""
    return pair.watch.fall * pair.watch.probe_interval + timedelta(minutes=1)


def is_fresh(decided: datetime, pair: Pair, now: datetime) -> bool:
    """Return whether evidence is young enough for a failover to begin, and not from the future."""
    return -CLOCK_SKEW <= now - decided <= freshness(pair)


def situation_of(
    record: Record,
    pair: Pair,
    consents: Consents,
    heard: Heard,
    *,
    now: datetime,
    slave_enabled: bool | None,
    master_enabled: bool | None,
) -> Situation:
    """Collect the facts of this moment.

    :param slave_enabled: whether jobs are enabled on the slave; None if it cannot be read.
    :param master_enabled: the same of the master.
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
        resuming=operation is not None and operation.step in (Step.DISABLING, Step.ENABLING),
        snapshot=snapshot is not None,
        dirty=record.dirty is not None,
        snapshot_fresh=snapshot is not None
        and (consents.accept_old_snapshot or -CLOCK_SKEW <= now - snapshot.taken <= pair.failover.oldest_snapshot),
        cooled_down=record.cool_down_until is None or now >= record.cool_down_until,
        acknowledged=record.acknowledged,
        slave_reachable=slave_enabled is not None,
        second_path=consents.fail_over
        or (heard.second_good is not None and -CLOCK_SKEW <= now - heard.second_good <= PROOF_HOLDS),
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
