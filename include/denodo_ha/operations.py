"""The operations of people on a pair's record: pause and resume its automation, acknowledge, halt and release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from denodo_ha.doubts import accepted, open_doubts
from denodo_ha.reason import Reason
from denodo_ha.record import Phase, Record
from denodo_ha.text import listed
from denodo_ha.transitions import acknowledged, halted, paused, released, unpaused

ManualOperation = Literal["pause", "resume", "acknowledge", "halt", "release", "initialise"]
MANUAL_OPERATIONS: tuple[ManualOperation, ...] = get_args(ManualOperation)


@dataclass(frozen=True)
class Asked:
    """The request of a person: who asks, why, and when.

    :param until: when a pause ends by itself. :param doubts: of *acknowledge*: the names of what is accepted.
    """

    by: str
    reason: str
    now: datetime
    until: datetime | None = None
    doubts: Sequence[str] = ()


@dataclass(frozen=True)
class Change:
    """A change of the record by a person.

    :param what: a sentence that says what is different now. :param kind: the kind of the event that tells of it.
    """

    what: str
    kind: str
    record: Record
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def change(operation: ManualOperation, record: Record, asked: Asked) -> Change | str | Reason:
    """Apply the operation that a person asks for.

    :return: the change; or a sentence, if nothing is to be changed; or the reason why it cannot be done.
    """
    match operation:
        case "pause":
            return _pause(record, asked)
        case "resume":
            if record.paused is None:
                return "The pair is not paused."
            before = {"paused": record.is_paused(asked.now), "since": record.paused.since.isoformat()}
            return Change("Automation goes on.", "resumed", unpaused(record), before, {"paused": False})
        case "acknowledge":
            return _acknowledge(record, asked)
        case "halt":
            if record.phase is Phase.HALTED:
                return "The pair is halted already."
            new = halted(record, now=asked.now, code="by_hand", reason=asked.reason, by=asked.by)
            what = "The pair is halted: nothing is changed on either server until a person releases it."
            return Change(what, "halted", new, {"phase": record.phase}, {"phase": new.phase})
        case "release":
            if record.halted is None:
                return "The pair is not halted."
            new, before = released(record), {"phase": record.phase, "code": record.halted.code}
            what = f"The pair is released, and in phase {new.phase} again."
            return Change(what, "released", new, before, {"phase": new.phase})
    raise ValueError(f"{operation} is no change of the record alone")


def _pause(record: Record, asked: Asked) -> Change | Reason:
    until = asked.until.isoformat() if asked.until else None
    if asked.until is not None and asked.until <= asked.now:
        return Reason("until_past", f"'until' is {until}, which is past", "choose a time in the future")
    new = paused(record, now=asked.now, reason=asked.reason, by=asked.by, until=asked.until)
    what = f"Automation is paused until {until or 'a person resumes it'}; it goes on observing."
    return Change(what, "paused", new, {"paused": record.is_paused(asked.now)}, {"paused": True, "until": until})


def _acknowledge(record: Record, asked: Asked) -> Change | str | Reason:
    """Without names, what waits longest for a person: the last failover, or else all that imports have warned of."""
    doubts = open_doubts(record, asked.now)
    warned = [doubt.text for doubt in record.doubts if doubt.accepted_by is None]
    over = record.acknowledged and record.cool_down_until is None
    names = list(dict.fromkeys(asked.doubts or (warned if over else ())))
    if over and not names:
        return "There is no failover to be acknowledged, and no warning of an import to be accepted."
    there = list(dict.fromkeys(doubt.name for doubt in doubts))
    already = {doubt.text for doubt in record.doubts if doubt.accepted_by}.difference(there)
    if wrong := [name for name in names if name not in there and name not in already]:
        return _no_such_doubt(wrong, there)
    if names and already.issuperset(names):
        return f"Nothing was changed, since this is accepted already: {'; '.join(names)}."
    names = [name for name in names if name in there]
    if names:
        new = accepted(record, names, by=asked.by, now=asked.now)
        said = [f"{doubt.name} (of the {doubt.role})" for doubt in doubts if doubt.name in names]
        what = f"Accepted, and no longer told as doubtful: {'; '.join(said)}."
    else:
        new = acknowledged(record)
        what = "The last failover is acknowledged, its cool-down is over: the pair may fail over again."
    before, after = _acknowledgement(record), {**_acknowledgement(new), "accepted": names}
    return Change(what, "acknowledged", new, before, after)


def _no_such_doubt(wrong: Sequence[str], there: Sequence[str]) -> Reason:
    open_, how = "none is open", "leave it; denodo-ha status names what can be accepted"
    if there:
        open_, how = f"the open ones are {'; '.join(there)}", "choose one of these"
    return Reason("no_such_doubt", f"no doubt is named {listed(map(repr, wrong))}; {open_}", how)


def _acknowledgement(record: Record) -> dict[str, Any]:
    until = record.cool_down_until
    return {"acknowledged": record.acknowledged, "cool_down_until": until.isoformat() if until else None}
