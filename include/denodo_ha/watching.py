"""Compare one look at a pair with the look before: what is new, and whether to look again at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.decisions import DECISIONS, Action, Alert
from denodo_ha.reason import Reason
from denodo_ha.record import CLOCK_SKEW, usable_event
from denodo_ha.text import moment
from denodo_ha.verdict import PATHS, Answer, Verdict

MONITOR_STOPPED = "monitor_stopped"
STEP_FAILED = "step_failed"
HALTING = ("record_contradicted",)
"""Decisions after which nothing is automatic any more until a person has initialised the pair."""
GOOD = ("healthy", "to_be_synced", "failed_over", "master_back")
"""Decisions that mean that a problem is over."""
FAILED = Reason(
    "failed",
    "the pair could not be looked at: ping_master or decide failed",
    "see the logs of these tasks: a connection, or the storage of the snapshots, cannot be used",
)
PASSIVE_INTERVAL = timedelta(minutes=5)
"""How often a watch looks whether the passive server is passive."""
MONITOR_SLACK = timedelta(minutes=15)
"""How much longer than a watch the last look may be ago."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_moment(value: Any) -> bool:
    try:
        return value == "" or bool(moment(value))
    except ValueError:
        return False


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e10


def _is_event(value: Any) -> bool:
    try:
        return isinstance(value, dict) and bool(usable_event(value))
    except ValueError:
        return False


def _is_situation(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, bool) or (name == "master_enabled" and each is None) for name, each in value.items()
    )


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, list) and len(each) == 2 and all(type(number) is int for number in each)
        for each in value.values()
    )


def _is_path(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"said", "what", "at", "seconds"}
        and value["said"] in tuple(Answer)
        and _is_text(value["what"])
        and bool(value["at"])
        and _is_moment(value["at"])
        and (value["seconds"] is None or _is_duration(value["seconds"]))
    )


def _are_paths(value: Any) -> bool:
    return isinstance(value, Mapping) and all(name in PATHS and _is_path(each) for name, each in value.items())


_USABLE: dict[str, Callable[[Any], bool]] = {
    "owner": _is_text,
    "verdict": lambda value: value == "" or value in tuple(Verdict),
    "code": _is_text,
    "refused": _is_text,
    "settled": lambda value: isinstance(value, bool),
    "epoch": lambda value: type(value) is int,
    "what": _is_text,
    "next_step": _is_text,
    "situation": _is_situation,
    "jobs": _are_counts,
    **dict.fromkeys(("oldest_snapshot", "watch_for"), _is_duration),
    "paths": _are_paths,
    "addresses": lambda value: isinstance(value, Mapping) and all(map(_is_text, (*value, *value.values()))),
    **dict.fromkeys(("since", "at", "last_alive", "second_good"), _is_moment),
}
"""What each field that is stored may hold."""


@dataclass(frozen=True)
class Watching:
    """The run that watches the pair now, and the result of the last look at it.

    :param owner: run of the failover DAG that watches; only the owner asks for another look when its own is over.
    :param code: the code of the last decision. :param since: when the pair came into that state, ISO 8601.
    :param at: when it was last looked at, ISO 8601.
    :param epoch: that of the record then.
    :param what: what was found, in words. :param next_step: what a person can do.
    :param last_alive: when the master was last heard. :param second_good: when path 2 was last seen to work. ISO 8601.
    :param situation: the facts on which the last decision rests; without the consents of a person, which held once.
    :param jobs: by server: how many jobs were enabled then, and how many there were in the pair's scope.
    :param oldest_snapshot: how old a snapshot may be that is promoted, in seconds; 0: not known.
    :param watch_for: how long the pair is watched at most before the next look, in seconds; 0: not known.
    :param addresses: the last address that each name on the way to the master led to, while the master was heard there.
    :param paths: what was heard last on each path, see :func:`denodo_ha.verdict.said`; one that the pair does not have
        is left out.
    :param refused: the code of the last sync that has failed for good while the pair had no record.
    :param outbox: events that tell of a change of this state and are not in the history yet.
    """

    owner: str = ""
    verdict: str = ""
    code: str = ""
    settled: bool = False
    since: str = ""
    at: str = ""
    last_alive: str = ""
    second_good: str = ""
    epoch: int = 0
    what: str = ""
    next_step: str = ""
    situation: dict[str, bool | None] = field(default_factory=dict)
    jobs: dict[str, list[int]] = field(default_factory=dict)
    oldest_snapshot: float = 0
    watch_for: float = 0
    addresses: dict[str, str] = field(default_factory=dict)
    paths: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: str = ""
    outbox: tuple[dict[str, Any], ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> Watching:
        """Read what was stored. What another version has added is left out, and what is damaged was never seen."""
        if not isinstance(value, Mapping):
            return cls()
        known = {name: value[name] for name, usable in _USABLE.items() if name in value and usable(value[name])}
        outbox = value.get("outbox")
        return cls(**known, outbox=tuple(filter(_is_event, outbox if isinstance(outbox, list | tuple) else ())))


@dataclass(frozen=True)
class News:
    """An event that is to be written: its kind and its details."""

    kind: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Looked:
    """The result of a comparison.

    :param news: the change, if there is one. :param look_again: whether to look again at once.
    """

    watching: Watching
    news: News | None
    look_again: bool


def latest(now: datetime, *moments: str | None) -> str:
    """Return the latest of some moments; one from the future would stay the latest for as long, and is left out."""
    return max((each for each in moments if each and moment(each) <= now + CLOCK_SKEW), default="")


def monitor_stopped(
    seen: Watching, now: datetime, *, watch_for: timedelta, dag_id: str
) -> tuple[Watching, News] | None:
    """Return the news, once, that the monitor has stopped; None while the failover DAG looks, or if it never did."""
    if (
        not seen.at
        or seen.code == MONITOR_STOPPED
        or abs(now - datetime.fromisoformat(seen.at)) <= watch_for + MONITOR_SLACK
    ):
        return None
    reason = Reason(
        MONITOR_STOPPED,
        f"the pair was last looked at at {seen.at}, so nothing would take over when the master is down",
        f"unpause {dag_id}, and look whether Airflow's triggerer runs",
    )
    news = _problem(Alert.MONITOR_STOPPED, reason, seen.code)
    return replace(seen, code=MONITOR_STOPPED, settled=False), news


def compare(
    seen: Watching,
    judgement: Mapping[str, Any] | None,
    problem: Reason | None,
    watched: Mapping[str, Any] | None,
    *,
    now: datetime,
) -> Looked:
    """Compare this look with the last one.

    :param judgement: the result of the task ``decide``; None when it failed.
    :param problem: why the step failed, if one did.
    :param watched: what ``ping_master`` returned.
    """
    if judgement is None:
        problem = problem or FAILED
    reason = problem or _reason(judgement)
    evidence = (watched or {}).get("evidence") or {}
    changed = reason.code != seen.code
    watching = replace(
        seen,
        verdict=judgement["verdict"] if judgement else "",
        code=reason.code,
        settled=judgement is not None and judgement["settled"] and reason.code == judgement["code"],
        since=now.isoformat() if changed or not seen.since else seen.since,
        at=now.isoformat() if judgement else seen.at,
        epoch=(judgement.get("epoch") or 0) if judgement else seen.epoch,
        what=reason.what,
        next_step=reason.next_step,
        situation=(judgement.get("situation") or {}) if judgement else seen.situation,
        jobs=(judgement.get("jobs") or {}) if judgement else seen.jobs,
        oldest_snapshot=(judgement.get("oldest_snapshot") or 0) if judgement else seen.oldest_snapshot,
        watch_for=(judgement or {}).get("watch_for") or seen.watch_for,
        refused="" if judgement and judgement.get("epoch") else seen.refused,
        last_alive=latest(now, seen.last_alive, evidence.get("last_alive")),
        second_good=latest(now, seen.second_good, (watched or {}).get("second_good")),
        addresses={**seen.addresses, **((watched or {}).get("addresses") or {})},
        paths=(watched or {}).get("paths") or seen.paths,
    )
    news = _news(seen.code, reason, judgement, failed=problem is not None) if changed else None
    return Looked(watching, news, look_again=changed or not watching.settled)


def _news(before: str, reason: Reason, judgement: Mapping[str, Any] | None, *, failed: bool) -> News | None:
    """Return the news of a problem that begins or is over. A halt has an event of its own."""
    if reason.code in ("halted", *HALTING):
        return None
    if not failed and judgement and judgement["action"] != Action.BLOCKED:
        if reason.code in GOOD and _was_trouble(before):
            return News("recovered", {"before": {"code": before}, "after": {"code": reason.code}})
        return None
    alert = (judgement or {}).get("alert") or Alert.BLOCKED
    news = _problem(Alert.SPLIT_BRAIN if reason.code == "split_brain" else alert, reason, before)
    return replace(news, details={**news.details, "verdict": (judgement or {}).get("verdict")})


def _problem(alert: str, reason: Reason, before: str) -> News:
    details = {"alert": str(alert), **reason.to_json(), "before": {"code": before}, "after": {"code": reason.code}}
    return News("problem", details)


def _reason(judgement: Mapping[str, Any] | None) -> Reason:
    assert judgement is not None
    return Reason(judgement["code"], judgement["what"], judgement["next_step"])


def silent_failure(seen: Watching, judgement: Mapping[str, Any], state: str | None) -> Reason | None:
    """Return why a step that was decided did not happen, if it left no reason; a skip counts the second time.

    :param state: the state of the task that the decision leads to.
    """
    code, action = judgement["code"], judgement["action"]
    if action == Action.NOTHING_TO_DO or state == "success":
        return None
    if state == "skipped" and (seen.code != code or _tried(action)):
        return None
    return Reason(
        STEP_FAILED,
        f"the decision was {code}, and the task {action} ended as {state or 'not run'} without a reason code",
        f"see the log of {action}; the next look tries again",
    )


def _tried(action: str) -> bool:
    """Return whether a skip of the branch is no problem, because another run has done it."""
    return action in (Action.BLOCKED, Action.FAIL_BACK, Action.APPROVE)


def _was_trouble(code: str) -> bool:
    return bool(code) and (code not in DECISIONS or DECISIONS[code].action is Action.BLOCKED)
