"""What a person can do to a pair: the forms of its DAGs, by the words of the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from denodo_ha.doubts import open_doubts
from denodo_ha.operations import Asked, ManualOperation, change
from denodo_ha.preconditions import (
    drill_may_begin,
    no_doctor,
    no_other_operation,
    not_halted,
    not_paused,
    not_yet_active,
    promotion_complete,
    slave_ready,
    sync_may_begin,
)
from denodo_ha.reason import Reason
from denodo_ha.record import NewerRecordError, Phase, Record, Role
from denodo_ha.sight import Sight

Group = Literal["look", "sync", "switch", "people"]
Rule = Callable[[Sight, Record], str]
"""Why it makes no sense now; empty where it does."""


@dataclass(frozen=True)
class Rights:
    """:param starts: the DAGs of which the person may start a run. :param answers: whether they may approve."""

    starts: frozenset[str] = frozenset()
    answers: bool = False


@dataclass(frozen=True)
class Offer:
    """
    :param dag: the DAG, by its kind. :param conf: how its form is to be filled in, besides the reason.
    :param fill: the same in words. :param without_record: it makes sense for a pair that has no record.
    """

    id: str
    title: str
    group: Group
    dag: Literal["failover", "sync", "switchover", "operations"]
    what: str
    conf: Mapping[str, Any] = field(default_factory=dict)
    fill: str = "a reason if you like"
    why_not: Rule = lambda sight, record: ""
    without_record: bool = False

    @property
    def needs(self) -> list[str]:
        """The fields of the form without which the DAG refuses it."""
        reason = {
            "failover": "fail_over" in self.conf,
            "sync": False,
            "switchover": True,
            "operations": self.conf.get("operation") != "check",
        }[self.dag]
        more = {"initialise": ["active"], "accept_doubts": ["doubts"]}.get(self.id, [])
        return ["reason"] * reason + more


def _said(*reasons: Reason | None) -> str:
    return next((reason.what for reason in reasons if reason), "")


def _sync(sight: Sight, record: Record) -> str:
    return _said(sync_may_begin(record, sight.now, Role.MASTER))


def _reprotect(sight: Sight, record: Record) -> str:
    return _said(sync_may_begin(record, sight.now, Role.SLAVE))


def _deliver_now(sight: Sight, record: Record) -> str:
    none = "" if record.pending else "no job is pending"
    return none or _said(sync_may_begin(record, sight.now, record.active))


def _switch(to: Role) -> Rule:
    def why_not(sight: Sight, record: Record) -> str:
        return _said(
            not_yet_active(record, to),
            not_halted(record),
            not_paused(record, sight.now),
            no_other_operation(record),
            no_doctor(record, sight.now),
            slave_ready(record) if to is Role.SLAVE else promotion_complete(record),
        )

    return why_not


def _fail_over(sight: Sight, record: Record) -> str:
    if record.phase is Phase.NORMAL and sight.verdict and sight.verdict.alive and not sight.stopped:
        return "the master is alive; to change the active server all the same, switch over"
    phase = "" if record.phase is Phase.NORMAL else f"the pair is in phase {record.phase}"
    return phase or _said(not_paused(record, sight.now), no_other_operation(record), slave_ready(record))


def _old_snapshot(sight: Sight, record: Record) -> str:
    fresh = sight.situation is None or sight.situation.snapshot_fresh
    return _fail_over(sight, record) or ("the snapshot is not too old" if fresh else "")


def _fenced(sight: Sight, record: Record) -> str:
    fenceable = sight.situation is None or sight.situation.fenceable
    return _fail_over(sight, record) or ("the pair does not wait for a fence" if fenceable else "")


def _approve(sight: Sight, record: Record) -> str:
    asked = record.approval
    open_ = asked is not None and asked.granted_by is None and sight.now < asked.until
    return "" if open_ else "no approval is asked for"


def _drill(sight: Sight, record: Record) -> str:
    return _said(drill_may_begin(record, sight.now))


def _operation(operation: ManualOperation) -> Rule:
    def why_not(sight: Sight, record: Record) -> str:
        if operation == "pause" and record.is_paused(sight.now):
            return "automation is paused already"
        found = change(operation, record, Asked("a person", "a reason", sight.now))
        if isinstance(found, Reason):
            return found.what
        return found.rstrip(".") if isinstance(found, str) else ""

    return why_not


def _doubts(sight: Sight, record: Record) -> str:
    return "" if open_doubts(record, sight.now) else "there is no open doubt"


def _initialise(sight: Sight, record: Record) -> str:
    if record.operation and record.operation.open(sight.now):
        return f"the task of the {record.operation.kind} {record.operation.id} may still change a server"
    if doctor := no_doctor(record, sight.now):
        return doctor.what
    if record.phase is Phase.HALTED or (sight.decision and "initialise" in sight.decision.next_step):
        return ""
    return f"the record says already that the {record.active} is the active server"


OFFERS: tuple[Offer, ...] = (
    Offer(
        "look", "Look", "look", "failover", "Ask both servers now, and act if something is to be done.",
        without_record=True,
    ),
    Offer(
        "dry_look", "Dry look", "look", "failover", "Ask both servers and decide, but change nothing.",
        {"dry_run": True}, "tick 'Dry run'", without_record=True,
    ),
    Offer(
        "check", "Check", "look", "operations",
        "Tell whether the pair could change its active server now. Changes nothing.",
        {"operation": "check"}, "the operation 'check'", without_record=True,
    ),
    Offer(
        "doctor", "Doctor", "look", "operations",
        "Tell what both servers are and how they are spoken to. Changes nothing.",
        {"operation": "doctor"}, "the operation 'doctor', and a reason", without_record=True,
    ),
    Offer(
        "sync", "Sync", "sync", "sync",
        "Copy the jobs of the master to the slave, all disabled. Without an HA record it only looks.",
        why_not=_sync, without_record=True,
    ),
    Offer(
        "dry_sync", "Dry run of a sync", "sync", "sync", "Tell what a sync would deliver. Changes nothing.",
        {"dry_run": True}, "tick 'Dry run'", _sync, without_record=True,
    ),
    Offer(
        "deliver_now", "Deliver now", "sync", "sync",
        "Send also the jobs that have no safe moment; each may run once on the other server.",
        {"deliver_now": True}, "tick 'Deliver now', and a reason", _deliver_now,
    ),
    Offer(
        "reprotect", "Re-protect", "sync", "sync",
        "Copy the slave, which is the active server, to the master, whose jobs stay disabled.",
        {"reprotect": True}, "tick 'Re-protect'", _reprotect,
    ),
    Offer(
        "switch_over", "Switch over", "switch", "switchover",
        "Make the slave the active server: drain the master, then enable its jobs on the slave.",
        {"direction": "to_slave"}, "the direction 'to the slave', and a reason", _switch(Role.SLAVE),
    ),
    Offer(
        "dry_switch_over", "Dry run of a switchover", "switch", "switchover",
        "Tell which jobs a switchover to the slave would carry over. Changes nothing.",
        {"direction": "to_slave", "dry_run": True}, "the direction 'to the slave', tick 'Dry run', and a reason",
        _switch(Role.SLAVE),
    ),
    Offer(
        "fail_back", "Fail back", "switch", "switchover",
        "Make the master the active server again: drain the slave, then enable its jobs on the master.",
        {"direction": "to_master"}, "the direction 'to the master', and a reason", _switch(Role.MASTER),
    ),
    Offer(
        "dry_fail_back", "Dry run of a failback", "switch", "switchover",
        "Tell which jobs a failback would carry over. Changes nothing.",
        {"direction": "to_master", "dry_run": True}, "the direction 'to the master', tick 'Dry run', and a reason",
        _switch(Role.MASTER),
    ),
    Offer(
        "fail_over", "Fail over", "switch", "failover",
        "Make the slave the active server if the master is down; it is asked first.",
        {"fail_over": True}, "tick 'Fail over', and a reason", _fail_over,
    ),
    Offer(
        "fail_over_old", "Fail over with an old snapshot", "switch", "failover",
        "The same with a snapshot that is older than the pair allows.",
        {"fail_over": True, "accept_old_snapshot": True},
        "tick 'Fail over' and 'Accept an old snapshot', and a reason", _old_snapshot,
    ),
    Offer(
        "fail_over_fenced", "Fail over, it is fenced", "switch", "failover",
        "The same, because you have made sure that the master cannot start again by itself.",
        {"fail_over": True, "fenced": True}, "tick 'Fail over' and 'The master is fenced', and a reason", _fenced,
    ),
    Offer(
        "approve", "Approve", "switch", "failover",
        "Answer whether the slave is to take over, under 'required actions' of the run that asks.",
        fill="'Approve' or 'Reject'", why_not=_approve,
    ),
    Offer(
        "drill", "Drill", "switch", "operations",
        "Run the jobs that 'drill' of the pair names on the passive slave, and disable them again.",
        {"operation": "drill"}, "the operation 'drill', and a reason", _drill,
    ),
    Offer(
        "pause", "Pause", "people", "operations",
        "Automation changes nothing until you resume it; it goes on observing.",
        {"operation": "pause", "until": None}, "the operation 'pause', maybe 'Until', and a reason",
        _operation("pause"),
    ),
    Offer(
        "resume", "Resume", "people", "operations",
        "Automation goes on; what was interrupted is brought to its end.",
        {"operation": "resume"}, "the operation 'resume', and a reason", _operation("resume"),
    ),
    Offer(
        "acknowledge", "Acknowledge", "people", "operations",
        "You have seen the last failover, or what imports have warned of: the pair may fail over again.",
        {"operation": "acknowledge"}, "the operation 'acknowledge', and a reason", _operation("acknowledge"),
    ),
    Offer(
        "accept_doubts", "Accept the doubts", "people", "operations",
        "You have looked: what may be missing on a server is no longer told as doubtful.",
        {"operation": "acknowledge"}, "the operation 'acknowledge', the doubts, one a line, and a reason", _doubts,
    ),
    Offer(
        "halt", "Halt", "people", "operations", "Nothing is changed on either server until you release the pair.",
        {"operation": "halt"}, "the operation 'halt', and a reason", _operation("halt"),
    ),
    Offer(
        "release", "Release", "people", "operations", "The pair goes back to the phase before the halt.",
        {"operation": "release"}, "the operation 'release', and a reason", _operation("release"),
    ),
    Offer(
        "initialise", "Initialise", "people", "operations",
        "Say which server is the active one now. Look first which one has enabled jobs.",
        {"operation": "initialise"}, "the operation 'initialise', the active server, and a reason", _initialise,
        without_record=True,
    ),
)  # fmt: skip

TITLES = {offer.id: offer.title for offer in OFFERS}
IDS = {offer.title.lower(): offer.id for offer in OFFERS}
"""The ids of the actions, by the words that the documentation has for them."""
MOVES = (
    "deliver_now", "reprotect", "switch_over", "fail_back", "fail_over", "fail_over_old", "fail_over_fenced", "drill",
    "halt", "release", "initialise",
)  # fmt: skip
"""What moves production, or what protects it: a person is asked once more."""


def actions(sight: Sight, rights: Rights) -> list[dict[str, Any]]:
    """Return all offers as plain JSON: those that make sense now first, the others with the reason against them."""
    found = [_action(offer, sight, rights) for offer in OFFERS]
    return sorted(found, key=lambda each: bool(each["why_not"]))


def sensible(sight: Sight) -> set[str]:
    """The ids of what makes sense now."""
    return {offer.id for offer in OFFERS if not _why_not(offer, sight)}


def _action(offer: Offer, sight: Sight, rights: Rights) -> dict[str, Any]:
    dag_id = _dag_id(offer, sight)
    allowed = rights.answers if offer.id == "approve" else dag_id in rights.starts
    may_not = "" if allowed else "you may not answer it" if offer.id == "approve" else f"you may not run {dag_id}"
    return {
        "id": offer.id,
        "title": offer.title,
        "what": offer.what,
        "url": _url(offer, sight, dag_id),
        "allowed": allowed,
        "why_not": _why_not(offer, sight) or may_not,
        "group": offer.group,
        "fill": offer.fill,
        "moves": offer.id in MOVES,
        "dag_id": dag_id,
        "conf": _conf(offer, sight),
        "needs": offer.needs,
    }


def _dag_id(offer: Offer, sight: Sight) -> str:
    found: str = getattr(sight.named, f"dag_id_{offer.dag}")
    return found


def _url(offer: Offer, sight: Sight, dag_id: str) -> str:
    """Where it is done, relative to Airflow's base: Airflow 3.3 opens its form by a button only, and fills it in from
    no address.
    """
    dag = f"dags/{quote(dag_id, safe='')}"
    asked = sight.record.approval if sight.record and offer.id == "approve" else None
    return f"{dag}/runs/{quote(asked.requested_by, safe='')}/required_actions" if asked else dag


def _conf(offer: Offer, sight: Sight) -> dict[str, Any]:
    return {**offer.conf, **dict(_more(offer, sight.record, sight))} if sight.record else dict(offer.conf)


def _more(offer: Offer, record: Record, sight: Sight) -> Iterator[tuple[str, Any]]:
    if offer.id == "deliver_now" and record.active is Role.SLAVE:
        yield "reprotect", True
    if offer.id == "accept_doubts":
        yield "doubts", list(dict.fromkeys(doubt.name for doubt in open_doubts(record, sight.now)))


def _why_not(offer: Offer, sight: Sight) -> str:
    dag_id = _dag_id(offer, sight)
    dag = sight.seen.dags.get(dag_id)
    if dag is None or dag.get("is_stale"):
        return f"Airflow does not find {dag_id}"
    against = offer.why_not(sight, sight.record) if sight.record else _without_record(offer, sight)
    return against or _paused(dag, dag_id)


def _without_record(offer: Offer, sight: Sight) -> str:
    if isinstance(sight.unusable, NewerRecordError) and offer.id == "initialise":
        return "the HA record was written by a newer version"
    if sight.unusable and offer.dag == "sync":
        return "the HA record cannot be used"
    return "" if offer.without_record else "there is no HA record that can be used"


def _paused(dag: Mapping[str, Any], dag_id: str) -> str:
    return f"{dag_id} is paused, so a run would stay queued; unpause it first" if dag.get("is_paused") else ""
