"""The state of a pair as plain values: ``status --json``, ``list``, and the figures for a monitoring system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from denodo_cli.airflow_api import Json
from denodo_ha.doubts import open_doubts
from denodo_ha.durations import age_of
from denodo_ha.record import Record, RecordError, Role
from denodo_ha.status import Reading, Status
from denodo_ha.watching import Watching

_PASSING = ("at", "summary", "what", "next_step", "findings", "details", "looked", "snapshot", "perfdata")
"""What is another at each look although nothing has happened, for its age is in it."""


def facts(pair: str, reading: Reading, status: Status, now: datetime, max_age: timedelta) -> Json:
    """Return what is known of the pair, all of it JSON; None is what is not known. Times are ISO 8601, in UTC.

    :param status: what :func:`denodo_ha.status.judge` says of ``reading``.
    """
    record, seen = _record(reading), Watching.from_json(reading.watch)
    findings = [{"level": each.level.name, "text": each.text, "next_step": each.next_step} for each in status.findings]
    found = {
        "pair": pair,
        "at": now.isoformat(),
        "level": status.level.name,
        "exit_code": int(status.level),
        "summary": status.summary,
        "what": findings[0]["text"] if findings else "",
        "next_step": next((each["next_step"] for each in findings if each["next_step"]), ""),
        "verdict": seen.verdict or None,
        "code": seen.code or None,
        "since": seen.since or None,
        "looked": seen.at or None,
        "last_alive": seen.last_alive or None,
        "enabled": {str(role): seen.jobs.get(role) for role in Role},
        "syncing": reading.syncing or None,
        **_of_record(record, seen, now),
        "findings": findings,
        "details": status.details,
    }
    return {**found, "perfdata": dict(_figures(found, now, max_age))}


def _record(reading: Reading) -> Record | None:
    try:
        return None if reading.record is None else Record.from_json(reading.record)
    except RecordError:
        return None


def _of_record(record: Record | None, seen: Watching, now: datetime) -> Json:
    kept = record.to_json() if record else {}
    snapshot = kept.get("snapshot")
    names = ("id", "taken", "source", "jobs", "enabled")
    limit = round(seen.oldest_snapshot) or None
    return {
        **{name: kept.get(name) for name in ("active", "phase", "epoch", "acknowledged", "halted", "dirty")},
        "servers": {str(role): kept.get(role) for role in Role},
        "snapshot": snapshot and {**{name: snapshot[name] for name in names}, "limit": limit},
        "paused": kept["paused"] if record and record.is_paused(now) else None,
        "operation": kept.get("operation"),
        "sync_problem": kept.get("sync_problem"),
        "pending": [
            {"job": str(job.key), "code": job.code, "why": job.why, "next_step": job.next_step}
            for job in (record.pending if record else ())
        ],
        "doubts": [
            {"name": each.name, "why": each.why, "role": str(each.role)}
            for each in (open_doubts(record, now) if record else ())
        ],
    }


def without_ages(found: Mapping[str, Any]) -> Json:
    """What of the facts stays the same from look to look while nothing happens."""
    levels = [each["level"] for each in found["findings"]]
    return {"levels": levels, **{name: value for name, value in found.items() if name not in _PASSING}}


def _figures(found: Mapping[str, Any], now: datetime, max_age: timedelta) -> Iterator[tuple[str, Json]]:
    """Yield each figure that is known: its value, unit, limits and range, by name."""
    yield from _age("last_look", found["looked"], now, critical=round(max_age.total_seconds()))
    yield from _age("last_alive", found["last_alive"], now)
    if snapshot := found["snapshot"]:
        yield from _age("snapshot_age", snapshot["taken"], now, critical=snapshot["limit"])
    for role, counts in found["enabled"].items():
        if counts:
            yield f"enabled_{role}", _figure(counts[0], most=counts[1])
    if found["epoch"]:
        yield "epoch", _figure(found["epoch"])
        yield "pending", _figure(len(found["pending"]))
        yield "doubts", _figure(len(found["doubts"]))


def _age(name: str, at: str | None, now: datetime, critical: int | None = None) -> Iterator[tuple[str, Json]]:
    if at:
        seconds = max(0, round((now - datetime.fromisoformat(at)).total_seconds()))
        yield name, _figure(seconds, unit="s", critical=critical)


def _figure(value: int, *, unit: str = "", critical: int | None = None, most: int | None = None) -> Json:
    return {"value": value, "unit": unit, "critical": critical, "min": 0, "max": most}


def perfdata(figures: Mapping[str, Json]) -> str:
    """Write figures as monitoring plugins do: ``name=value[unit];warning;critical;min;max``."""

    def text(each: Json) -> str:
        rest = ["", *("" if each[name] is None else str(each[name]) for name in ("critical", "min", "max"))]
        return f"{each['value']}{each['unit']};{';'.join(rest)}".rstrip(";")

    return " ".join(f"{name}={text(each)}" for name, each in figures.items())


def plain(text: str) -> str:
    """Text for a monitoring system, to which a bar begins the figures."""
    return text.replace("|", "¦")


def age(at: str | None, now: datetime) -> str:
    return age_of(datetime.fromisoformat(at), now) if at else "unknown"
