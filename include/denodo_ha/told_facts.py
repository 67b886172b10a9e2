"""The facts behind an event's sentence, as labelled words with units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from denodo_ha.text import listed, one_line
from denodo_ha.words import count, jobs, many, moment, of, seconds, word

STEPS = {
    "heard": "Master last heard",
    "silent": "First look without an answer",
    "down": "Declared down",
    "decided": "Decided",
    "begun": "Begun",
    "fenced": "Fencing ended",
    "at_rest": "All jobs of the old server read back disabled",
    "first_enabled": "First job enabled",
    "last_enabled": "Last job enabled",
    "read_back": "Read back",
}
"""The steps of a failover or switchover, as an event names their times under ``steps``, and how people call them."""
NAMED = 20
"""How many jobs of a kind are named at most."""


def facts(event: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """List what an event knows, in an order that suits a person: the steps with their times first, then what they cost
    and left, then the rest. Works for any JSON object."""
    if not isinstance(event, Mapping):
        return ()
    found = ((label, say(event)) for label, say in _FACTS)
    return (*_steps(event.get("steps")), *((label, said) for label, said in found if said))


def _steps(steps: object) -> tuple[tuple[str, str], ...]:
    """The steps as they followed one another, each with the time since the one before."""
    times: list[tuple[datetime, str]] = []
    for name, at in steps.items() if isinstance(steps, Mapping) else ():
        try:
            time = datetime.fromisoformat(at if isinstance(at, str) else "").astimezone(UTC)
        except (ValueError, OverflowError):
            continue
        times.append((time, STEPS.get(name, word(name).replace("_", " "))))
    times.sort(key=lambda each: each[0])
    rows, last = [], None
    for time, label in times:
        later = f" (+{seconds((time - last).total_seconds())})" if last else ""
        rows.append((label, moment(time.isoformat()) + later))
        last = time
    return tuple(rows)


# -- how one fact is said


def _seconds(name: str, event: Mapping[str, Any]) -> str:
    return seconds(event.get(name))


def _word(name: str, event: Mapping[str, Any]) -> str:
    return word(event.get(name))


def _jobs(name: str, event: Mapping[str, Any]) -> str:
    """A number of jobs with the names of some, or their names alone."""
    value = event.get(name)
    number = count(value)
    if number is None:
        return word(value)
    names = of(value, "names")
    said = listed(map(word, names), NAMED) if isinstance(names, list) else word(names)
    return f"{jobs(number)}: {said}" if number and said else jobs(number) if number else "none"


def _list(name: str, event: Mapping[str, Any], between: str = "; ") -> str:
    value = event.get(name)
    return listed((word(each) or str(each) for each in value), NAMED, between) if isinstance(value, list) else ""


def _fencing(event: Mapping[str, Any]) -> str:
    result, how = (word(of(event, "fencing", name)) for name in ("result", "how"))
    return f"{result}: {how}" if result and how else result


def _missed(event: Mapping[str, Any]) -> str:
    missed = event.get("missed")
    if not isinstance(missed, Mapping) or "occurrences" not in missed:
        return ""
    number, rows = count(missed["occurrences"]), missed.get("listed")
    if not number:
        return "not known" if number is None else "none"
    some = rows if isinstance(rows, list) else []
    named = listed((f"{word(of(row, 'job'))} at {moment(of(row, 'at'))}" for row in some[:5]), 5)
    return f"{many(number, 'occurrence')}{f', the first: {named}' if named else ''}"


def _enabled(event: Mapping[str, Any]) -> str:
    """How many jobs, of one server or of each."""
    for value in (event.get("enabled"), of(event, "after", "enabled")):
        if (number := count(value)) is not None:
            return str(number)
    value = event.get("enabled")
    by_server = value if isinstance(value, Mapping) else {}
    said = (f"{word(name)}: {'not known' if count(each) is None else count(each)}" for name, each in by_server.items())
    return ", ".join(said)


def _delivered(event: Mapping[str, Any]) -> str:
    pieces = event.get("delivered")
    rows = [
        f"{jobs(count(of(piece, 'delivered')) or 0)} by {word(of(piece, 'channel')) or 'an unknown channel'}"
        f"{f' ({why})' if (why := word(of(piece, 'why'))) else ''}"
        for piece in (pieces if isinstance(pieces, list) else ())
    ]
    return listed(rows, 10, "; ")


def _plan(event: Mapping[str, Any]) -> str:
    plan = event.get("plan")
    kinds = plan.items() if isinstance(plan, Mapping) else ()
    return "; ".join(f"{word(kind)}: {_jobs('of', {'of': value})}" for kind, value in kinds)


def _orphans(event: Mapping[str, Any]) -> str:
    said = _jobs("orphans", event)
    deleted = of(event, "orphans", "deleted")
    return (
        f"{said} ({'deleted' if deleted is True else 'kept' if deleted is False else 'not read back'})" if said else ""
    )


def _drilled(event: Mapping[str, Any]) -> str:
    rows = event.get("jobs") if event.get("kind") == "drill" else None
    if not isinstance(rows, list):
        return ""
    return listed(
        (f"{word(of(row, 'job'))}: {word(of(row, 'result')) or word(of(row, 'what')) or 'not known'}" for row in rows),
        NAMED,
        "; ",
    )


def _of_jobs(event: Mapping[str, Any]) -> str:
    return "" if event.get("kind") == "drill" else _jobs("jobs", event)


def _change(event: Mapping[str, Any]) -> str:
    """Phase and active server, where the event changed them."""
    rows = []
    for name, said in (("active", "active server"), ("phase", "phase")):
        old, new = (word(of(event, at, name)) for at in ("before", "after"))
        if new and old != new:
            rows.append(f"{said} {new}{f', before {old}' if old else ''}")
    return one_line("; ".join(rows))


_FACTS: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("RPO", partial(_seconds, "rpo_seconds")),
    ("RTO", partial(_seconds, "rto_seconds")),
    ("Gap", partial(_seconds, "gap_seconds")),
    ("Fencing", _fencing),
    ("Enabled", _enabled),
    ("Missed", _missed),
    ("Time zone of the crons", lambda event: word(of(event, "missed", "time_zone"))),
    ("Ran late", partial(_jobs, "burst")),
    ("Started once for what they missed", partial(_jobs, "caught_up")),
    ("Not started for what they missed", partial(_jobs, "not_caught_up")),
    ("Waited for others, and did not run", partial(_jobs, "waited")),
    ("Runs that may have been stopped", partial(_jobs, "interrupted")),
    ("Could not be enabled", partial(_jobs, "failed")),
    ("Missing", partial(_jobs, "missing")),
    ("Outdated", partial(_jobs, "outdated")),
    ("Still disabled", partial(_jobs, "still_disabled")),
    ("Not ready", partial(_list, "not_ready")),
    ("Jobs", _of_jobs),
    ("Jobs of the drill", _drilled),
    ("Not begun", partial(_list, "not_begun")),
    ("Disabled on the returned master", lambda event: _jobs("quenched", event) if count(event.get("quenched")) else ""),
    ("May have run on both servers", partial(_list, "suspected_double_runs")),
    ("Why", partial(_word, "why")),
    ("Changes", _plan),
    ("Compared", partial(_word, "comparison")),
    ("Delivered", _delivered),
    ("Pending", partial(_jobs, "pending")),
    ("Orphans", _orphans),
    ("Warnings of the server", partial(_list, "warnings")),
    ("Jobs may have been enabled for", partial(_seconds, "exposure_seconds")),
    ("Took", partial(_seconds, "seconds")),
    ("Server", partial(_word, "server")),
    ("Snapshot", lambda event: word(event.get("snapshot")) or word(of(event, "after", "snapshot"))),
    ("Changed", _change),
    ("Answered by", partial(_word, "by")),
    ("Verdict", partial(_word, "verdict")),
    ("Reason code", partial(_word, "code")),
    ("What to do", partial(_word, "next_step")),
    ("Epoch", partial(_word, "epoch")),
    ("Operation", partial(_word, "operation")),
)
