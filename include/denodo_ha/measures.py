"""What a monitoring system is told of a pair: gauges of how it is, of what has happened, and counters.

A gauge that is not sent again keeps its last value in most systems, so ages are sent as moments, in Unix seconds: what
reads them subtracts them from the present time. A moment of 0 means that there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from math import isfinite
from typing import TYPE_CHECKING, Any, get_args

from denodo_ha.decisions import DECISIONS, Action, Alert
from denodo_ha.doubts import open_doubts
from denodo_ha.pairs import Pair
from denodo_ha.record import Operation, Phase, Record, Role
from denodo_ha.status import Level, level
from denodo_ha.text import moment
from denodo_ha.verdict import PATHS, Answer, Observation, Verdict
from denodo_ha.watching import MONITOR_SLACK, MONITOR_STOPPED, Watching

if TYPE_CHECKING:
    from denodo_ha.readiness.findings import Readiness

PREFIX = "denodo_ha"
STANDING = (
    Alert.BLOCKED,
    Alert.FAILOVER,
    Alert.SPLIT_BRAIN,
    Alert.HALTED,
    Alert.STALE_SNAPSHOT,
    Alert.MONITOR_STOPPED,
)
"""The alerts that tell of a state, which lasts."""
OPERATIONS = get_args(Operation.model_fields["kind"].annotation)
"""The kinds of operations that a record can hold."""
_LONG_RUNS = ("sync", "switchover", "failback", "switchover_rolled_back", "drill")
"""Kinds of events that a run leads to which does nothing else, so that its duration says something."""


class Kind(StrEnum):
    """What a system does with the values: it keeps the last one of a gauge, and adds up those of a counter."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Source(StrEnum):
    """Who sends a measure, and when."""

    STATE = "each look, sync, switchover, operation and drill"
    CHECK = "each readiness check"
    EVENT = "the event"
    ROUND = "each probe round of the watch"


@dataclass(frozen=True)
class Measure:
    """:param label: what its values differ in besides the pair, if anything."""

    source: Source
    what: str
    label: str = ""
    kind: Kind = Kind.GAUGE


@dataclass(frozen=True)
class Sample:
    """A value of the measure ``name``; ``label`` is that of :class:`Measure`."""

    name: str
    value: float
    label: str = ""


_S, _E, _R = Source.STATE, Source.EVENT, Source.ROUND
MEASURES = {
    "initialised": Measure(_S, "1: the pair has an HA record that can be read; 0: nothing would fail over"),
    "active": Measure(_S, "1: this server is the active one by the record", "server"),
    "phase": Measure(_S, "1: the pair is in this phase", "phase"),
    "epoch": Measure(_S, "epoch of the record; each change of the active server raises it"),
    "verdict": Measure(_S, "1: this was the verdict of the last look about the master", "verdict"),
    "level": Measure(_S, "level of the last look as in monitoring plugins: 0 OK, 1 warning, 2 critical, 3 unknown"),
    "problem": Measure(_S, "1: the state found by the last look is one of which this alert tells", "alert"),
    "look_timestamp": Measure(_S, "when both servers were last looked at"),
    "look_limit_seconds": Measure(_S, "how long ago the last look may be before the monitor counts as stopped"),
    "state_timestamp": Measure(_S, "since when the looks have found the same"),
    "heard_timestamp": Measure(_S, "when the last looks have heard the master last, on any path"),
    "second_path_timestamp": Measure(_S, "when path 2 was last seen to work"),
    "snapshot_timestamp": Measure(_S, "when the export of the committed snapshot began"),
    "snapshot_limit_seconds": Measure(_S, "how old a snapshot may be that is promoted"),
    "jobs": Measure(_S, "jobs in scope on this server when it was last read", "server"),
    "jobs_enabled": Measure(_S, "enabled ones of these", "server"),
    "jobs_read": Measure(_S, "1: the last look has read this server; 0: its counts are older", "server"),
    "pending": Measure(_S, "jobs that the passive server does not have as the snapshot lists them"),
    "doubts": Measure(_S, "open doubts about this server that nobody has accepted", "server"),
    "operation": Measure(_S, "1: an operation of this kind is under way, or was interrupted", "operation"),
    "paused": Measure(_S, "1: automation is paused"),
    "paused_timestamp": Measure(_S, "since when automation is paused"),
    "halted": Measure(_S, "1: nothing is done until a person releases the pair"),
    "dirty": Measure(_S, "1: the passive server cannot be trusted to equal the snapshot"),
    "acknowledged": Measure(_S, "0: the last failover waits to be acknowledged"),
    "sync_failing_timestamp": Measure(_S, "since when no sync has succeeded, if syncs fail"),
    "check_level": Measure(Source.CHECK, "level of the readiness check: 0 ready, 1 warning, 2 critical, 3 unknown"),
    "check_timestamp": Measure(Source.CHECK, "when it was made"),
    "events": Measure(_E, "events of the pair's history", "kind", Kind.COUNTER),
    "problems": Measure(_E, "events that tell of a problem, by its reason code", "code", Kind.COUNTER),
    "event_timestamp": Measure(_E, "when the last event of this kind was", "kind"),
    "run_seconds": Measure(_E, "how long the run took that led to this event, waits included", "kind"),
    "exposure_seconds": Measure(_E, "how long jobs may have been enabled on the passive server in the last sync"),
    "rpo_seconds": Measure(_E, "age of the promoted snapshot when the master was last heard, in the last failover"),
    "rto_seconds": Measure(_E, "time from then until the jobs were read back enabled on the slave"),
    "gap_seconds": Measure(_E, "time from the beginning of the last switchover until all jobs were read back enabled"),
    "missed_occurrences": Measure(_E, "occurrences of jobs that the last change of the active server has missed"),
    "late_jobs": Measure(_E, "jobs that started late, all at once, after that change"),
    "failed_jobs": Measure(_E, "jobs that could not be enabled in the last failover"),
    "missing_jobs": Measure(_E, "jobs that the server lacks which has become active"),
    "probe_seconds": Measure(_R, "how long the last answer on this path took, or its silence was waited for", "path"),
    "probe_up": Measure(_R, "1: the last round over this path proved the server alive", "path"),
    "probe_timestamp": Measure(_R, "when the last round was sent"),
    "probe_good_timestamp": Measure(_R, "when the master was last heard, on any path"),
    "probe_good_age_seconds": Measure(
        _R, "seconds from then to the last round; true while rounds are sent, frozen when they end"
    ),
}
"""Everything that is sent, by name."""


def safe(pair: str) -> str:
    """Return the name of a pair as one part of a dotted name. Two pairs never share one: a dot costs a fingerprint."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", pair):
        return pair
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', pair)}-{sha256(pair.encode()).hexdigest()[:8]}"


def dotted(pair: str, sample: Sample) -> str:
    """Return the name of a sample for a system without labels, with the pair and the label in it."""
    return ".".join(filter(None, (PREFIX, sample.name, safe(pair), sample.label)))


def labels(pair: str, sample: Sample) -> dict[str, str]:
    """Return the labels of a sample for a system that has them."""
    label = MEASURES[sample.name].label
    return {"pair": pair, **({label: sample.label} if label else {})}


def of_pair(pair: Pair, record: Record | None, watch: Watching, now: datetime) -> Iterator[Sample]:
    """Yield how a pair is.

    :param record: None where there is none that can be read.
    """
    yield Sample("initialised", record is not None)
    for role in Role:
        yield Sample("active", record is not None and record.active is role, role)
    for phase in Phase:
        yield Sample("phase", record is not None and record.phase is phase, phase)
    yield from _of_look(pair, watch)
    if record:
        yield from _of_record(record, now)


def _of_look(pair: Pair, watch: Watching) -> Iterator[Sample]:
    for each in Verdict:
        yield Sample("verdict", watch.verdict == each, each)
    standing = _standing(watch)
    for alert in STANDING:
        yield Sample("problem", alert is standing, alert)
    yield Sample("level", level(watch.code, watch.verdict) if watch.code else Level.UNKNOWN)
    yield Sample("look_timestamp", _unix(watch.at))
    yield Sample("look_limit_seconds", (pair.watch.duration + MONITOR_SLACK).total_seconds())
    yield Sample("state_timestamp", _unix(watch.since))
    yield Sample("heard_timestamp", _unix(watch.last_alive))
    yield Sample("second_path_timestamp", _unix(watch.second_good))
    yield Sample("snapshot_limit_seconds", pair.failover.oldest_snapshot.total_seconds())
    for role in Role:
        counts = watch.jobs.get(role)
        yield Sample("jobs_read", counts is not None, role)
        if counts:
            yield Sample("jobs_enabled", counts[0], role)
            yield Sample("jobs", counts[1], role)


def _standing(watch: Watching) -> Alert | None:
    """The alert that tells of the state that the last look has found, if it is one of these."""
    if watch.code in (MONITOR_STOPPED, Alert.SPLIT_BRAIN):
        return Alert(watch.code)
    decision = DECISIONS.get(watch.code)
    if not watch.code or (decision and decision.action is not Action.BLOCKED):
        return None
    return (decision and decision.alert) or Alert.BLOCKED


def _of_record(record: Record, now: datetime) -> Iterator[Sample]:
    paused = record.paused if record.is_paused(now) else None
    doubts, problem = open_doubts(record, now), record.sync_problem
    yield Sample("epoch", record.epoch)
    yield Sample("snapshot_timestamp", _unix(record.snapshot.taken if record.snapshot else None))
    yield Sample("pending", len(record.pending))
    for role in Role:
        yield Sample("doubts", sum(each.role is role for each in doubts), role)
    for kind in OPERATIONS:
        yield Sample("operation", record.operation is not None and record.operation.kind == kind, kind)
    yield Sample("paused", paused is not None)
    yield Sample("paused_timestamp", _unix(paused.since if paused else None))
    yield Sample("halted", record.phase is Phase.HALTED)
    yield Sample("dirty", record.dirty is not None)
    yield Sample("acknowledged", record.acknowledged)
    yield Sample("sync_failing_timestamp", _unix(problem.since if problem else None))


def of_check(found: Readiness) -> Iterator[Sample]:
    """Yield what a readiness check has found."""
    yield Sample("check_level", found.level)
    yield Sample("check_timestamp", _unix(found.at))


def of_event(event: Mapping[str, Any], seconds: float | None = None) -> Iterator[Sample]:
    """Yield what an event of the history tells. What is damaged is left out.

    :param seconds: how long the run took, where the event is one of this run.
    """
    kind = _part(event.get("kind"))
    yield Sample("events", 1, kind)
    if event.get("code"):
        yield Sample("problems", 1, _part(event["code"]))
    yield Sample("event_timestamp", _unix(event.get("at")), kind)
    if seconds is not None and kind in _LONG_RUNS:
        yield Sample("run_seconds", round(seconds, 3), kind)
    found = {name: event.get(name) for name in ("exposure_seconds", "rpo_seconds", "rto_seconds", "gap_seconds")}
    found["missed_occurrences"] = _within(event.get("missed"), "occurrences")
    jobs = {"late_jobs": "burst", "failed_jobs": "failed", "missing_jobs": "missing"}
    found |= {name: _within(event.get(key), "jobs") for name, key in jobs.items()}
    for name, value in found.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            yield Sample(name, value)


def of_round(observation: Observation, last_alive: datetime | None) -> Iterator[Sample]:
    """Yield what a round of the probe has heard.

    :param last_alive: when the master was last heard before it, if it was.
    """
    for path in PATHS:
        if path in observation.seconds:
            yield Sample("probe_seconds", observation.seconds[path], path)
            yield Sample("probe_up", getattr(observation, path) is Answer.UP, path)
    yield Sample("probe_timestamp", _unix(observation.at))
    good = observation.at if observation.verdict.alive else last_alive
    if good:
        yield Sample("probe_good_timestamp", _unix(good))
        yield Sample("probe_good_age_seconds", max(0.0, round((observation.at - good).total_seconds(), 3)))


def _unix(at: datetime | str | None) -> int:
    """A moment in Unix seconds; 0 where there is none, or none that can be read."""
    try:
        found = moment(at) if isinstance(at, str) and at else at
    except ValueError:
        return 0
    return int(found.timestamp()) if isinstance(found, datetime) else 0


def _part(text: Any) -> str:
    """A kind or a code as one part of a dotted name; another version may have kinds that this one does not know."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(text))[:64] or "unknown"


def _within(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None
