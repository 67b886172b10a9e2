"""Events in words: one sentence for people, and the facts behind it.

History, notifications, run notes and task logs all say what is made here. Events of older versions lack fields, and
damaged ones have others in their place; both are told by what is left of them, and neither raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from denodo_ha.decisions import DECISIONS
from denodo_ha.text import listed, one_line
from denodo_ha.told_facts import facts
from denodo_ha.words import count, jobs, many, moment, of, seconds, word

__all__ = ["facts", "text", "with_text"]

GUESSED_ZONE = "not known, taken"
"""How the time zone of crons begins that could not be told; see :data:`denodo_ha.quartz.missed.UNKNOWN_ZONE`."""
PASSIVE = {"quenched": "master", "drift": "slave", "repaired": "slave"}
"""Events of jobs that were disabled, and the server where an event does not name it."""

PLAIN = {
    "failover": "the slave is the active server",
    "switchover": "the slave is the active server, as planned",
    "failback": "the master is the active server again",
    "completed": "jobs that a failover had left were enabled on the slave",
    "quenched": "jobs were enabled on the master, which is to be passive, and were disabled",
    "drift": "jobs were enabled on the slave, which is to be passive, and were disabled",
    "repaired": "the passive server was repaired",
    "sync": "a snapshot of the active server was verified on the passive one",
    "drill": "a drill has ended",
    "doctor": "a doctor has ended",
    "recovered": "all is well again",
    "problem": "something is wrong",
    "approval_asked": "a person is asked to approve the failover",
    "switchover_stops": "a switchover stops jobs that have not ended in time",
}
"""What is said of an event that has lost its figures."""


def text(event: Mapping[str, Any]) -> str:
    """Say in one sentence, without a full stop, what an event tells. Works for any JSON object."""
    if not isinstance(event, Mapping):
        return "an event that cannot be read"
    kind = event.get("kind")
    kind = kind if isinstance(kind, str) else ""
    told = _TOLD[kind](event) if kind in _TOLD else ""
    said = "; ".join(filter(None, [told, _what(event)])) or PLAIN.get(kind, "")
    return said or word(event.get("text")) or word(kind.replace("_", " ")) or "an event that is not this project's"


def with_text(event: dict[str, Any]) -> dict[str, Any]:
    """Give an event its sentence; one that was completed gets it anew."""
    return {**event, "text": text(event)}


def _what(event: Mapping[str, Any]) -> str:
    """What the event says itself, or the decision of its reason code."""
    code = event.get("code")
    decision = DECISIONS.get(code) if isinstance(code, str) else None
    return word(event.get("what")) or (one_line(decision.what) if decision else "")


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _some(value: object, said: str) -> str:
    """Say how many jobs there are of a kind, where there are any."""
    number = count(value)
    return f"{jobs(number)} {said}" if number else ""


# -- what each kind of event says


def _failover(event: Mapping[str, Any]) -> str:
    enabled, rto = count(event.get("enabled")), seconds(event.get("rto_seconds"))
    if enabled is None:
        return ""
    confirmed = of(event, "fencing", "result")
    fenced = "the master is fenced" if confirmed == "confirmed" else "that the master is off is not confirmed"
    return _joined(
        f"{jobs(enabled)} enabled on the slave{f' {rto} after the master was last heard' if rto else ''}",
        *_left_over(event),
        fenced if isinstance(confirmed, str) else "",
    )


def _left_over(event: Mapping[str, Any]) -> tuple[str, ...]:
    """What was not run, and what was not as it should be."""
    ran_late = _some(event.get("burst"), "ran as soon as they were enabled")
    return (
        ", ".join(filter(None, [_missed(event), ran_late])),
        _some(event.get("failed"), "could not be enabled"),
        _some(event.get("missing"), "missing there"),
        _some(event.get("outdated"), "with an older definition there"),
        _some(event.get("interrupted"), "may have been stopped in the middle of a run"),
    )


def _missed(event: Mapping[str, Any]) -> str:
    missed = event.get("missed")
    if not isinstance(missed, Mapping) or "occurrences" not in missed:
        return ""
    number = count(missed["occurrences"])
    if number is None:
        return "which occurrences were missed is not known"
    guess = ", by a time zone that is a guess" if word(missed.get("time_zone")).startswith(GUESSED_ZONE) else ""
    return f"{many(number, 'occurrence')} missed{guess}" if number else "no occurrence missed"


def _completed(event: Mapping[str, Any]) -> str:
    enabled, failed = count(event.get("enabled")), count(event.get("failed"))
    if enabled is None:
        return ""
    left = "all that the failover had left are enabled now" if failed == 0 else _some(failed, "could still not be")
    return _joined(f"{jobs(enabled)} more enabled on the slave", left, _missed(event))


def _switched(event: Mapping[str, Any]) -> str:
    enabled, old, new = count(of(event, "after", "enabled")), *(word(of(event, at, "active")) for at in _CHANGE)
    gap = seconds(event.get("gap_seconds"))
    if enabled is None or not new:
        return ""
    took = f" within {gap}" if gap else ""
    if isinstance(event.get("fencing"), Mapping):
        how = f"{jobs(enabled)} enabled on the {new}{took}, without an answer of the {old or 'other server'}"
    else:
        how = f"{jobs(enabled)} disabled on the {old or 'other server'} and enabled on the {new}{took}"
    behind = _some(event.get("still_disabled"), "left disabled there by an earlier change")
    found = event.get("not_ready")
    unready = f"not ready: {listed(map(word, found), between='; ')}" if isinstance(found, list) and found else ""
    begin = "failed back" if event["kind"] == "failback" else "switched over"
    return _joined(f"{begin}: {how}", *_left_over(event), behind, unready)


_CHANGE = ("before", "after")


def _begun(event: Mapping[str, Any]) -> str:
    return f"{event['kind'].removesuffix('_begun')} begun{_because(event)}"


def _given_up(event: Mapping[str, Any]) -> str:
    active = word(of(event, "after", "active"))
    stays = f"the {active} is active as before" if active else ""
    return _joined(f"{event['kind'].removesuffix('_given_up')} given up, nothing was changed{_because(event)}", stays)


def _rolled_back(event: Mapping[str, Any]) -> str:
    enabled, active, gap = count(event.get("enabled")), word(of(event, "after", "active")), event.get("gap_seconds")
    after = f" {seconds(gap)} after it had begun" if seconds(gap) else ""
    again = f"{jobs(enabled)} of the {active} enabled again{after}" if enabled is not None and active else ""
    return _joined(f"switchover rolled back{_because(event)}", again, *_left_over(event))


def _stops(event: Mapping[str, Any]) -> str:
    number, server = count(event.get("jobs")), word(event.get("server"))
    if number is None:
        return ""
    return f"{jobs(number)} of the {server or 'active server'} stopped by disabling, not ended in time{_because(event)}"


def _because(event: Mapping[str, Any]) -> str:
    why = word(event.get("why"))
    return f": {why}" if why else ""


def _disabled(event: Mapping[str, Any]) -> str:
    number, left = count(of(event, "before", "enabled")), of(event, "after", "enabled")
    if number is None:
        return ""
    server = word(event.get("server")) or PASSIVE[event["kind"]]
    end = "disabled and read back" if count(left) == 0 else "told to be disabled, and not read back"
    found = f"{jobs(number)} enabled on the {server}, which is to be passive: {end}"
    if number == 0:
        found = f"no job was enabled on the passive {server}" if count(left) == 0 else f"the {server} was not read back"
    after = " after a sync that was not brought to its end" if of(event, "before", "dirty") else ""
    repaired = f"the {server} was repaired{after}" if event["kind"] == "repaired" else ""
    return _joined(repaired, found, _on_both(event))


def _on_both(event: Mapping[str, Any]) -> str:
    ran = event.get("suspected_double_runs")
    return f"{jobs(len(ran))} may have run on both servers" if isinstance(ran, list) and ran else ""


def _sync(event: Mapping[str, Any]) -> str:
    number, enabled, source = count(event.get("jobs")), count(event.get("enabled")), word(event.get("source"))
    if number is None or source not in _OTHER:
        return ""
    pending = count(event.get("pending"))
    gone = _some(event.get("orphans"), "deleted as orphans") if of(event, "orphans", "deleted") is True else ""
    return _joined(
        f"{jobs(number)} of the {source}{'' if enabled is None else f' ({enabled} enabled)'} verified on the "
        f"{_OTHER[source]}{f', but for {pending} pending' if pending else ''}",
        _delivered(event),
        gone,
        "" if event.get("what") else _on_both(event),
    )


def _delivered(event: Mapping[str, Any]) -> str:
    pieces = event.get("delivered")
    if not isinstance(pieces, list) or not pieces:
        imported = event.get("imported")
        return "delivered" if imported is True else "nothing was to be delivered" if imported is False else ""
    sent = sum(count(of(piece, "delivered")) or 0 for piece in pieces)
    return f"{jobs(sent)} delivered" if sent else "elements that are no jobs delivered"


_OTHER = {"master": "slave", "slave": "master"}


def _halted(event: Mapping[str, Any]) -> str:
    return "the pair is halted" if event.get("what") else "the pair is halted by a person, and nothing is changed"


def _released(event: Mapping[str, Any]) -> str:
    phase = word(of(event, "after", "phase"))
    return f"the pair is released{f', and in phase {phase} again' if phase else ''}"


def _paused(event: Mapping[str, Any]) -> str:
    until = of(event, "after", "until")
    return f"automation is paused until {moment(until) if until else 'a person resumes it'}; it goes on observing"


def _resumed(event: Mapping[str, Any]) -> str:
    since = of(event, "before", "since")
    return f"automation goes on{f', which was paused since {moment(since)}' if since else ''}"


def _acknowledged(event: Mapping[str, Any]) -> str:
    names = of(event, "after", "accepted")
    if isinstance(names, list) and names:
        return f"accepted, and no longer told as doubtful: {one_line(listed(map(str, names), between='; '))}"
    return "the last failover is acknowledged: the pair may fail over again"


def _initialised(event: Mapping[str, Any]) -> str:
    active, epoch = word(of(event, "after", "active")), word(event.get("epoch"))
    word_of = " by a person's word" if "enabled" in event else ""
    if not active:
        return "the pair is initialised"
    return (
        f"the pair is initialised: the {active} is the active server{word_of}{f', in epoch {epoch}' if epoch else ''}"
    )


def _approved(event: Mapping[str, Any]) -> str:
    return f"{word(event.get('by')) or 'a person'} approved the failover"


def _rejected(event: Mapping[str, Any]) -> str:
    return f"{word(event.get('by')) or 'a person'} rejected the failover, and nothing was changed"


def _doctor(event: Mapping[str, Any]) -> str:
    server, found = word(event.get("server")), event.get("verdicts")
    if not server:
        return ""
    said = [f"{of(found, name)} {name}" for name in ("confirmed", "refuted", "unknown") if count(of(found, name))]
    early = "ended early" if event.get("ended_early") is True else ""
    left = count(of(event, "after", "scratch"))
    deleted = "its scratch projects are deleted" if left == 0 else ""
    return _joined(f"a doctor tried things out on the {server}", ", ".join(said), early, deleted)


def _drill(event: Mapping[str, Any]) -> str:
    ran, done, left = count(of(event, "after", "ran")), event.get("jobs"), event.get("not_begun")
    if ran is None or not isinstance(done, list):
        return ""
    named = len(done) + (len(left) if isinstance(left, list) else 0)
    return f"drill: {ran} of {jobs(named)} ran on the slave"


def _recovered(event: Mapping[str, Any]) -> str:
    before, after = (word(of(event, at, "code")) for at in _CHANGE)
    now = f": {DECISIONS[after].what}" if after in DECISIONS else ""
    was = f"[{before}] {DECISIONS[before].what}" if before in DECISIONS else f"[{before}]" if before else ""
    return _joined(
        f"all is well again{now}", f"it is over that {was}" if before in DECISIONS else f"{was} is over" if was else ""
    )


_TOLD: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "failover": _failover,
    "failover_begun": _begun,
    "failover_given_up": _given_up,
    "completed": _completed,
    "switchover": _switched,
    "failback": _switched,
    "switchover_begun": _begun,
    "switchover_given_up": _given_up,
    "switchover_rolled_back": _rolled_back,
    "switchover_stops": _stops,
    "quenched": _disabled,
    "drift": _disabled,
    "repaired": _disabled,
    "sync": _sync,
    "halted": _halted,
    "released": _released,
    "paused": _paused,
    "resumed": _resumed,
    "acknowledged": _acknowledged,
    "initialised": _initialised,
    "approved": _approved,
    "rejected": _rejected,
    "doctor": _doctor,
    "drill": _drill,
    "recovered": _recovered,
}
