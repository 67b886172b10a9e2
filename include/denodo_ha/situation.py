"""The knowledge of a run of the failover DAG when it decides, and the facts for the decision table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, cast

from denodo_ha.decisions import Decision, Situation
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import drill_left, no_doctor
from denodo_ha.record import CLOCK_SKEW, Operation, Record, Role, SnapshotRef, Step
from denodo_ha.verdict import Verdict
from denodo_ha.watching import Watching

SYNC_FOLLOWS = timedelta(minutes=15)
"""How long after a change of the slave people are not told yet that it cannot take over, since a sync follows."""
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
    """A decision, and what it is based on.

    :param situation: the facts, without the consents of a person.
    :param jobs: of each server that was read: how many jobs are enabled, and how many there are in the pair's scope.
    :param oldest_snapshot: how old a snapshot may be that is promoted.
    :param watch_for: how long the pair is watched at most before the next look.
    """

    decision: Decision
    verdict: Verdict
    record: Record | None
    at: datetime
    situation: Situation | None = None
    jobs: Mapping[Role, tuple[int, int]] = field(default_factory=dict)
    oldest_snapshot: timedelta = timedelta(0)
    watch_for: timedelta = timedelta(0)

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
            "situation": asdict(self.situation) if self.situation else None,
            "jobs": {str(role): list(numbers) for role, numbers in self.jobs.items()},
            "oldest_snapshot": self.oldest_snapshot.total_seconds(),
            "watch_for": self.watch_for.total_seconds(),
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
    snapshot, approval = record.snapshot, record.approval
    approved = approval is not None and approval.granted_by is not None and now < approval.until
    stable = heard.alive_since is not None and now - heard.alive_since >= pair.failover.stable_for
    return Situation(
        **_told_by(record, now),
        snapshot_fresh=snapshot is not None
        and (consents.accept_old_snapshot or _is_young(snapshot, pair.failover.oldest_snapshot, now)),
        slave_reachable=slave_enabled is not None,
        second_path=consents.fail_over
        or (heard.second_good is not None and -CLOCK_SKEW <= now - heard.second_good <= PROOF_HOLDS),
        slave_enabled=bool(slave_enabled),
        master_enabled=master_enabled,
        one_path=pair.watch.one_path,
        automatic=pair.failover.policy == "automatic" or approved or consents.fail_over,
        manual=pair.failover.policy == "manual",
        fenceable=consents.fenced or pair.failover.fencing == "best_effort" or pair.failover.fence is not None,
        fail_back=pair.failover.on_master_return == "fail_back" and stable,
    )


def situation_now(seen: Watching, record: Record, now: datetime) -> Situation:
    """The situation of the last look, with what the record says by now.

    Where the active server has changed since, the change itself has read back that jobs are enabled on it, and on the
    other one none.
    """
    known = {each.name: seen.situation[each.name] for each in fields(Situation) if each.name in seen.situation}
    found = replace(Situation(**cast("Any", known)), **cast("Any", _told_by(record, now)))
    if record.snapshot and seen.oldest_snapshot:
        found = replace(found, snapshot_fresh=_is_young(record.snapshot, timedelta(seconds=seen.oldest_snapshot), now))
    if found.second_path and seen.second_good:
        proven = -CLOCK_SKEW <= now - datetime.fromisoformat(seen.second_good) <= PROOF_HOLDS
        found = replace(found, second_path=proven)
    if record.epoch == seen.epoch:
        return found
    on_slave = record.active is Role.SLAVE
    return replace(found, slave_reachable=True, slave_enabled=on_slave, master_enabled=not on_slave)


def _is_young(snapshot: SnapshotRef, oldest: timedelta, now: datetime) -> bool:
    return -CLOCK_SKEW <= now - snapshot.taken <= oldest


def _gives_way(operation: Operation) -> bool:
    """Whether nothing waits for the end of its lease: what a drill may have in flight is undone by nothing, unless it
    disables its job."""
    return operation.kind == "drill" and operation.step is not Step.DISABLING


def _told_by(record: Record, now: datetime) -> dict[str, bool]:
    """The facts that are in the record."""
    operation, snapshot, approval = record.operation, record.snapshot, record.approval
    dirty, promotion = record.dirty, record.last_promotion
    return {
        "paused": record.is_paused(now),
        "operation_open": (operation is not None and operation.open(now) and not _gives_way(operation))
        or no_doctor(record, now) is not None,
        "drill_left": drill_left(record, now),
        "resuming": operation is not None and operation.step in (Step.DISABLING, Step.ENABLING),
        "snapshot": snapshot is not None,
        "dirty": dirty is not None,
        "just_touched": dirty is not None and -CLOCK_SKEW <= now - dirty.since <= SYNC_FOLLOWS,
        "cooled_down": record.cool_down_until is None or now >= record.cool_down_until,
        "acknowledged": record.acknowledged,
        "jobs_expected": snapshot is not None and snapshot.enabled > 0,
        "approval_asked": approval is not None and approval.granted_by is None and now < approval.until,
        "complete": promotion is None or promotion.complete,
    }
