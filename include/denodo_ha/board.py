"""The page's rows and details of pairs, as plain JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from denodo_ha import told
from denodo_ha.decisions import Alert
from denodo_ha.doubts import open_doubts
from denodo_ha.offers import Rights, actions
from denodo_ha.preconditions import other
from denodo_ha.readiness.findings import Readiness
from denodo_ha.record import Record, Role, SnapshotRef
from denodo_ha.sight import Event, Seen, Sight, plain
from denodo_ha.status import SEVERITY
from denodo_ha.story import BY_WORDS, since, story, suggested
from denodo_ha.text import moment
from denodo_ha.verdict import MASTER, SECOND, SLAVE
from denodo_ha.words import doer

CHANGES = tuple(BY_WORDS)
"""Kinds of events that tell which server is the active one."""

PATHS = (
    (MASTER, "airflow", "master", "Airflow to the master's web tool"),
    (SECOND, "slave", "master", "the slave's web tool to the master's Scheduler"),
    (SLAVE, "airflow", "slave", "Airflow to the slave's web tool"),
)
"""The three ways on which servers are heard."""

LEVELS = {
    "sync": "ok",
    "recovered": "ok",
    "completed": "ok",
    "released": "ok",
    "resumed": "ok",
    "failover": "critical",
    "halted": "critical",
    "quenched": "warning",
    "drift": "warning",
    "repaired": "warning",
    "switchover": "notice",
    "failback": "notice",
}
"""How grave a kind of event is; others are notices."""
GRAVE = (Alert.FAILOVER, Alert.SPLIT_BRAIN, Alert.HALTED, Alert.MONITOR_STOPPED, Alert.DOUBLE_RUN)
NAMED_JOBS = 50
LONGEST = 1e10
"""Seconds; more is no duration of anything."""
SHORT = 400
"""How long a text in a list may be; the event itself has all of it."""


def rows(pairs: Iterable[Seen], now: datetime) -> list[dict[str, Any]]:
    """Return a row of each pair, the worst first."""
    sights = [Sight(seen, now) for seen in pairs]
    sights.sort(key=lambda sight: (-SEVERITY.index(sight.level), sight.seen.pair))
    return [row(sight) for sight in sights]


def row(sight: Sight) -> dict[str, Any]:
    """Return what is to be known of a pair at a glance."""
    record, last = sight.record, sight.seen.last
    counts = {role: sight.enabled(role) for role in Role}
    return {
        "pair": sight.seen.pair,
        "level": sight.level.name,
        "what": sight.what,
        "next_step": sight.next_step,
        "active": record.active if record else None,
        "phase": record.phase if record else None,
        "epoch": record.epoch if record else None,
        "verdict": sight.verdict,
        "looked": _iso(sight.looked),
        "enabled": {role: list(found) if found else None for role, found in counts.items()},
        "snapshot": {"taken": _iso(record.snapshot.taken), "limit": sight.watching.oldest_snapshot or None}
        if record and record.snapshot
        else None,
        "pending": len(record.pending) if record else 0,
        "doubts": len(open_doubts(record, sight.now)) if record else 0,
        "paused": record is not None and record.is_paused(sight.now),
        "last_event": _short(last) if last else None,
    }


def detail(seen: Seen, rights: Rights, now: datetime) -> dict[str, Any]:
    """Return all that the page shows of one pair but its history and its jobs."""
    sight = Sight(seen, now)
    record = sight.record
    at, because = since(sight)
    return {
        "at": _iso(now),
        **row(sight),
        "since": _iso(at),
        "because": because,
        "story": story(sight),
        "suggested": suggested(sight),
        "code": sight.code,
        "findings": findings(sight),
        "servers": _servers(sight, record),
        "paths": _paths(sight),
        "sync": _sync(sight, record),
        "doubts": doubts(sight)[:NAMED_JOBS],
        "doubts_count": len(doubts(sight)),
        **held(sight),
        "check": _check(seen.check),
        "runs": [
            {"dag_id": r.dag_id, "run_id": r.run_id, "state": r.state, "since": _iso(r.since), "url": run_url(r)}
            for r in seen.runs
        ],
        "actions": actions(sight, rights),
        "links": {
            "dags": [{"title": dag_id, "url": f"dags/{quote(dag_id, safe='')}"} for dag_id in sorted(seen.dags)],
        },
    }


def history(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return a short line of each event, newest first. One that was delivered twice is listed once, the newest."""
    once = {str(event.extra.get("id") or event.n): event for event in reversed(events)}
    return [_line(each) for each in sorted(once.values(), key=lambda each: each.n, reverse=True)]


def text_of(event: Mapping[str, Any]) -> str:
    """The sentence of an event, made now, because the ``text`` of an older version may be a plan."""
    return told.text(event)


def about_import(wrong: str, pair: str = "") -> str | None:
    """What an import error says of the pairs, without the traceback; None if it says nothing of ``pair``."""
    said = re.split(r"^[\w.]*PairsError: ", wrong, maxsplit=1, flags=re.MULTILINE)[-1].strip()
    if pair:
        named = re.compile(rf"(?<![\w.-])pairs\.{re.escape(pair)}(?![\w-])")
        said = "\n".join(line for line in said.splitlines() if named.search(line))
    return said[-4000:] or None


def connections(description: object) -> dict[Role, str]:
    """The connections of both servers, as the failover DAG of the pair is described."""
    found = re.fullmatch(r"Fail over to (?P<slave>.+) when (?P<master>.+) is down", str(description or ""))
    return {role: found[role] if found else "" for role in Role}


def run_url(run: Any) -> str | None:
    """The address of the run of an event, or under way, relative to Airflow's base."""
    if not (run.dag_id and run.run_id):
        return None
    return f"dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"


def _line(event: Event) -> dict[str, Any]:
    extra = event.extra
    return {
        "n": event.n,
        **_short(event),
        "who": _text(doer(extra.get("actor"))),
        "why": _text(extra.get("reason")),
        "level": _level(extra),
        "seconds": _duration(extra),
        "run_url": run_url(event),
    }


def _short(event: Event) -> dict[str, Any]:
    try:
        at = moment(event.extra.get("at") or "")
    except ValueError:
        at = event.at
    return {
        "at": _iso(at),
        "kind": _text(event.extra.get("kind")) or "event",
        "text": _text(text_of(event.extra)),
    }


def _level(extra: Mapping[str, Any]) -> str:
    kind, alert = str(extra.get("kind")), extra.get("alert")
    if kind == "problem":
        return "critical" if alert in tuple(GRAVE) else "warning"
    if kind == "drill" and extra.get("ok") is False:
        return "warning"
    return LEVELS.get(kind, "warning" if alert else "notice")


def _duration(extra: Mapping[str, Any]) -> float | None:
    """How long what the event tells of has lasted, in seconds."""
    found = next((extra[name] for name in ("gap_seconds", "rto_seconds", "seconds") if name in extra), None)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 <= found < LONGEST else None


def _servers(sight: Sight, record: Record | None) -> dict[str, Any]:
    known = connections((sight.seen.reading.dag or {}).get("description"))
    found = {}
    for role in Role:
        counts = sight.enabled(role)
        found[str(role)] = {
            "connection": known[role],
            "address": getattr(record, role) if record else None,
            "role": "active" if record and record.active is role else "passive" if record else "unknown",
            "enabled": counts[0] if counts else None,
            "jobs": counts[1] if counts else None,
            "read": _iso(sight.looked) if counts else None,
        }
    return found


def _paths(sight: Sight) -> list[dict[str, Any]]:
    kept = sight.seen.reading.watch.get("paths")
    found = []
    for name, start, end, title in PATHS:
        said = kept.get(name) if isinstance(kept, Mapping) else None
        heard = said if isinstance(said, Mapping) else {}
        found.append(
            {
                "id": name,
                "from": start,
                "to": end,
                "title": title,
                "said": _text(heard.get("said")) or None,
                "what": _text(heard.get("what")) or "not heard yet",
                "at": _text(heard.get("at")) or None,
            }
        )
    return found


def _sync(sight: Sight, record: Record | None) -> dict[str, Any]:
    active = record.active if record else Role.MASTER
    snapshot, pending = (_own(record), record.pending) if record else (None, ())
    problem = record.sync_problem if record else None
    return {
        "from": active,
        "to": other(active),
        "state": _sync_state(sight, record),
        "taken": _iso(snapshot.taken) if snapshot else None,
        "limit": sight.watching.oldest_snapshot or None,
        "jobs": snapshot.jobs if snapshot else None,
        "enabled": snapshot.enabled if snapshot else None,
        "pending": [{"job": str(job.key), "why": job.why, "next_step": job.next_step} for job in pending[:NAMED_JOBS]],
        "pending_count": len(pending),
        "problem": {"since": _iso(problem.since), "what": problem.what, "next_step": problem.next_step}
        if problem
        else None,
    }


def _sync_state(sight: Sight, record: Record | None) -> str:
    if sight.seen.reading.syncing:
        return "running"
    snapshot = _own(record) if record else None
    if record is None or snapshot is None:
        return "none"
    if record.dirty:
        return "dirty"
    limit = sight.watching.oldest_snapshot
    return "stale" if limit and (sight.now - snapshot.taken).total_seconds() > limit else "fresh"


def _own(record: Record) -> SnapshotRef | None:
    """The committed snapshot, if it is of the server that is active now: after a failover nothing came back yet."""
    return record.snapshot if record.snapshot and record.snapshot.source is record.active else None


def findings(sight: Sight) -> list[dict[str, str]]:
    """Return all that was found, the worst first."""
    return [
        {"level": each.level.name, "text": plain(each), "next_step": each.next_step, "code": each.code}
        for each in sight.findings
    ]


def doubts(sight: Sight) -> list[dict[str, Any]]:
    """Return the open doubts about both servers."""
    found = open_doubts(sight.record, sight.now) if sight.record else ()
    return [{"name": each.name, "why": each.why, "role": each.role} for each in found]


def held(sight: Sight) -> dict[str, Any]:
    """What people and tasks hold the pair in. The key ``paused`` of the row becomes what there is to know of it."""
    record = sight.record
    if record is None:
        return {"operation": None, "paused": None, "halted": None, "acknowledged": True}
    paused = record.paused if record.is_paused(sight.now) else None
    return {
        "operation": record.operation.model_dump(mode="json") if record.operation else None,
        "paused": paused.model_dump(mode="json") if paused else None,
        "halted": record.halted.model_dump(mode="json") if record.halted else None,
        "acknowledged": record.acknowledged,
    }


def _check(stored: Any) -> dict[str, Any] | None:
    if stored is None:
        return None
    try:
        found = Readiness.from_json(stored)
    except ValueError as error:
        return {"at": None, "level": "UNKNOWN", "summary": str(error)}
    return {"at": _iso(found.at), "level": found.level.name, "summary": found.summary}


def _text(value: object) -> str:
    """A text in one line that fits into a list."""
    said = " ".join(str(value or "").split())
    return said if len(said) <= SHORT else f"{said[: SHORT - 1]}…"


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
