"""Judge the state of a pair as a monitoring plugin does: the worst of all findings counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from denodo_cli.reading import Reading
from denodo_ha.decisions import DECISIONS, Action
from denodo_ha.durations import format_duration
from denodo_ha.preconditions import one_writer
from denodo_ha.record import LEFT_BEHIND, NewerRecordError, Phase, Record, RecordError, Role
from denodo_ha.text import listed


class Level(IntEnum):
    """Exit codes of monitoring plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


LEVELS = {
    "healthy": Level.OK,
    "operation_open": Level.OK,
    "paused": Level.WARNING,
    "failed_over": Level.WARNING,
    "master_back": Level.WARNING,
    "resume": Level.WARNING,
    "complete": Level.WARNING,
    "repair": Level.WARNING,
    "fail_back": Level.WARNING,
}
"""The level of the last decision, by its code; all others are critical, except :data:`STANDBY_ONLY`."""

STANDBY_ONLY = ("control_path_broken", "no_snapshot", "dirty_snapshot", "stale_snapshot", "slave_unreachable")
"""Decisions that are only warnings as long as the master is heard: its jobs run, but the slave could not take over."""

_SEVERITY = (Level.OK, Level.UNKNOWN, Level.WARNING, Level.CRITICAL)
_HEARD = ("up", "control_path_broken")


@dataclass(frozen=True)
class Finding:
    level: Level
    text: str


@dataclass(frozen=True)
class Status:
    """The level, the reasons for it in one line, and further details."""

    level: Level
    summary: str
    details: dict[str, str]


def judge(pair: str, reading: Reading, now: datetime, max_age: timedelta, *, verbose: bool = False) -> Status:
    """Judge the data that was read.

    :param max_age: how long ago the last look at the pair may have been before the monitor counts as stopped.
    :param verbose: the details name each pending job, and what was learned of the servers.
    """
    record, problem = _record(reading)
    findings = [*_monitor(reading, now, max_age), *problem]
    if record:
        findings += _of_record(record, now)
    findings += _of_watch(reading)
    findings.sort(key=lambda finding: _SEVERITY.index(finding.level), reverse=True)
    worst = findings[0].level if findings else Level.OK
    texts = dict.fromkeys(finding.text for finding in findings if finding.level is not Level.OK)
    texts |= dict.fromkeys([_standing(record, now)] if record else [])
    return Status(
        level=worst,
        summary=f"{worst.name} - pair {pair}: {'; '.join(texts)}",
        details={**_details(reading, record, now), **(_verbose(record) if record and verbose else {})},
    )


def _record(reading: Reading) -> tuple[Record | None, list[Finding]]:
    if reading.record is None:
        text = "there is no HA record, so nothing would fail over; run the sync DAG"
        return None, [Finding(Level.CRITICAL, text)]
    try:
        return Record.from_json(reading.record), []
    except NewerRecordError as error:
        return None, [Finding(Level.UNKNOWN, str(error))]
    except RecordError as error:
        return None, [Finding(Level.CRITICAL, str(error))]


def _monitor(reading: Reading, now: datetime, max_age: timedelta) -> Iterator[Finding]:
    """Yield findings about the monitor: whether the failover DAG watches the pair."""
    for component in ("metadatabase", "scheduler", "triggerer"):
        if (status := (reading.health.get(component) or {}).get("status")) != "healthy":
            yield _stopped(f"Airflow's {component} is {status or 'not there'}")
    if reading.dag is None or reading.dag.get("is_stale"):
        yield _stopped("Airflow does not find the failover DAG")
    elif reading.dag.get("is_paused"):
        yield _stopped("the failover DAG is paused")
    at = _moment(reading.watch.get("at"))
    if at is None:
        yield _stopped("the pair has not been looked at yet")
    elif now - at > max_age:
        yield _stopped(f"the last look at the pair was {_ago(at, now)}")


def _stopped(why: str) -> Finding:
    return Finding(Level.CRITICAL, f"monitor stopped: {why}")


def _of_record(record: Record, now: datetime) -> Iterator[Finding]:
    if record.phase is Phase.HALTED:
        yield Finding(Level.CRITICAL, f"halted: {record.halted.reason if record.halted else 'no reason is recorded'}")
    elif record.phase is not Phase.NORMAL:
        yield Finding(Level.WARNING, record.phase.value.replace("_", " "))
    if reason := one_writer(record):
        yield Finding(Level.WARNING, str(reason))
    if record.paused and record.is_paused(now):
        yield Finding(Level.WARNING, f"automation is paused: {record.paused.reason}")
    if not record.acknowledged:
        yield Finding(Level.WARNING, "the last failover is not acknowledged")
    if record.dirty and record.operation is None:
        yield Finding(Level.WARNING, f"the passive server cannot be trusted: {record.dirty.reason}")
    behind = sum(job.code == LEFT_BEHIND for job in record.pending)
    if behind:
        yield Finding(Level.WARNING, f"{_jobs(behind)} missing or outdated on the {record.active} since it is active")
    if len(record.pending) > behind:
        yield Finding(Level.WARNING, f"{_jobs(len(record.pending) - behind)} not delivered to the passive server yet")


def _of_watch(reading: Reading) -> Iterator[Finding]:
    """Yield findings about the result of the last look at the pair."""
    code = reading.watch.get("code") or ""
    decision = DECISIONS.get(code)
    if decision:
        yield Finding(level(code, str(reading.watch.get("verdict"))), decision.what)
    elif code:
        yield Finding(Level.UNKNOWN, f"this version does not know the decision {code!r}")


def level(code: str, verdict: str) -> Level:
    """Return the level of the decision ``code`` if the verdict about the master was ``verdict``."""
    if code in STANDBY_ONLY and verdict in _HEARD:
        return Level.WARNING
    return LEVELS.get(code, Level.CRITICAL)


def _standing(record: Record, now: datetime) -> str:
    snapshot = f"snapshot {_age(record.snapshot.taken, now)} old" if record.snapshot else "no snapshot"
    return f"{record.active} active, epoch {record.epoch}, {snapshot}"


def _details(reading: Reading, record: Record | None, now: datetime) -> dict[str, str]:
    watch, details = reading.watch, {}
    decision = DECISIONS.get(watch.get("code") or "")
    if record:
        details = _told_by_record(record, now)
    if watch:
        since, at = _moment(watch.get("since")), _moment(watch.get("at"))
        details["last look"] = f"{_when(at, now)}: master {watch.get('verdict') or 'not judged'}"
        details["state"] = f"{watch.get('code')}, since {_when(since, now)}"
    if decision:
        details["that is"] = decision.what
        if decision.action is not Action.HEALTHY or decision.next_step != "nothing":
            details["next step"] = decision.next_step
    return details


def _told_by_record(record: Record, now: datetime) -> dict[str, str]:
    details = {
        "phase": str(record.phase),
        "active": f"{record.active} ({getattr(record, record.active) or 'address not known yet'})",
        "epoch": str(record.epoch),
        **_snapshot(record, now),
    }
    if record.last_promotion:
        promotion = record.last_promotion
        whole = "" if promotion.complete else ", not all jobs enabled yet"
        details["last change"] = f"{promotion.kind} {_when(promotion.at, now)}{whole}"
    if record.dirty:
        details["dirty"] = f"since {_when(record.dirty.since, now)}: {record.dirty.reason}"
    if record.paused and record.is_paused(now):
        until = f" until {_when(record.paused.until, now)}" if record.paused.until else ""
        details["paused"] = f"by {record.paused.by or 'unknown'}{until}: {record.paused.reason}"
    if record.operation:
        operation = record.operation
        lease = f"lease until {_when(operation.lease_until, now)}"
        details["operation"] = f"{operation.kind} {operation.id}, {operation.step}, {lease}"
    if record.halted:
        details["halted"] = f"by {record.halted.by}, {_when(record.halted.since, now)}: {record.halted.reason}"
    if record.cool_down_until and now < record.cool_down_until:
        details["cool-down"] = f"until {_when(record.cool_down_until, now)}"
    if not record.acknowledged:
        details["acknowledged"] = "no"
    if record.approval:
        answer = f"given by {record.approval.granted_by}" if record.approval.granted_by else "waits for an answer"
        details["approval"] = f"{answer}, until {_when(record.approval.until, now)}"
    return details


def _snapshot(record: Record, now: datetime) -> dict[str, str]:
    if record.snapshot is None:
        return {"snapshot": "none"}
    what = f"{record.snapshot.jobs} jobs, {record.snapshot.enabled} to be enabled"
    whose = "" if record.snapshot.source is Role.MASTER else f", of the {record.snapshot.source}"
    details = {"snapshot": f"{record.snapshot.id}{whose}, taken {_when(record.snapshot.taken, now)}: {what}"}
    if record.pending:
        details["pending"] = f"{listed(sorted(job.key for job in record.pending))}; --verbose says why, and what to do"
    return details


def _verbose(record: Record) -> dict[str, str]:
    details = {}
    for job in record.pending:
        there = "an older definition is there" if job.on_target else "it is missing there"
        how = f". Next: {job.next_step}" if job.next_step else ""
        details[f"pending {job.key}"] = f"[{job.code}] {job.why}; {there}{how}"
    for role, known in record.capabilities.items():
        details[f"learned of the {role}"] = " ".join(known.lines())
    return details


def _jobs(number: int) -> str:
    return f"{number} job is" if number == 1 else f"{number} jobs are"


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _when(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "an unknown time"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z ({_ago(moment, now)})"


def _ago(moment: datetime, now: datetime) -> str:
    return f"{_age(moment, now)} ago" if moment <= now else f"in {_age(now, moment)}"


def _age(moment: datetime, now: datetime) -> str:
    """Format an age: whole minutes from one minute on, hours and minutes from two hours on."""
    age = max(now - moment, timedelta(0))
    minutes = int(age.total_seconds() // 60)
    if minutes == 0:
        return f"{int(age.total_seconds())} s"
    return f"{minutes} min" if minutes < 120 else format_duration(timedelta(minutes=minutes))
