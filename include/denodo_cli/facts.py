"""The state of a pair as plain values: ``status --json``, ``list``, and the figures for a monitoring system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from denodo_cli.airflow_api import Json
from denodo_ha.board import doubts, findings, held, row
from denodo_ha.durations import age_of
from denodo_ha.record import Role
from denodo_ha.sight import Sight
from denodo_ha.status import Level, Status

_PASSING = ("at", "summary", "what", "next_step", "findings", "details", "looked", "snapshot", "perfdata")
"""What is another at each look although nothing has happened, for its age is in it."""


def facts(sight: Sight, status: Status) -> Json:
    """Return what is known of the pair, all of it JSON; None is what is not known. Times are ISO 8601, in UTC.

    It is what the page shows of it, and more.

    :param status: what :func:`denodo_ha.status.judge` says of the same.
    """
    seen, at_a_glance = sight.watching, row(sight)
    del at_a_glance["last_event"]  # the history costs requests of its own
    found = {
        **at_a_glance,
        "at": sight.now.isoformat(),
        "exit_code": int(status.level),
        "summary": status.summary,
        "code": seen.code or None,
        "since": seen.since or None,
        "last_alive": seen.last_alive or None,
        "syncing": sight.seen.reading.syncing or None,
        **_of_record(sight),
        **held(sight),
        "doubts": doubts(sight),
        "findings": findings(sight),
        "details": status.details,
    }
    return {**found, "perfdata": dict(_figures(found, sight))}


def unknown(pair: str, what: str) -> Json:
    """Return what is said of a pair that cannot be read, or of all of them where ``pair`` is empty."""
    about = f"pair {pair}: " if pair else ""
    return {
        **({"pair": pair} if pair else {}),
        "level": Level.UNKNOWN.name,
        "exit_code": int(Level.UNKNOWN),
        "summary": f"{Level.UNKNOWN.name} - {about}{what}",
        "what": what,
        "next_step": "",
        "findings": [],
    }


def _of_record(sight: Sight) -> Json:
    record = sight.record
    kept = record.to_json() if record else {}
    snapshot = kept.get("snapshot")
    names = ("id", "taken", "source", "jobs", "enabled")
    limit = round(sight.watching.oldest_snapshot) or None
    return {
        "dirty": kept.get("dirty"),
        "servers": {str(role): kept.get(role) for role in Role},
        "snapshot": snapshot and {**{name: snapshot[name] for name in names}, "limit": limit},
        "sync_problem": kept.get("sync_problem"),
        "pending": [
            {"job": str(job.key), "code": job.code, "why": job.why, "next_step": job.next_step}
            for job in (record.pending if record else ())
        ],
    }


def without_ages(found: Mapping[str, Any]) -> Json:
    """What of the facts stays the same from look to look while nothing happens."""
    levels = [each["level"] for each in found["findings"]]
    return {"levels": levels, **{name: value for name, value in found.items() if name not in _PASSING}}


def _figures(found: Mapping[str, Any], sight: Sight) -> Iterator[tuple[str, Json]]:
    """Yield each figure that is known: its value, unit, limits and range, by name."""
    now = sight.now
    yield from _age("last_look", found["looked"], now, critical=round(sight.max_age.total_seconds()))
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
