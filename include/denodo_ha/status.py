"""Judge how a pair is now, as a monitoring plugin does: the worst of all findings counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from denodo_ha.decisions import DECISIONS, Decision, decide
from denodo_ha.doctor.left import DELETES, must_wait
from denodo_ha.doubts import OpenDoubt, job_doubt, open_doubts
from denodo_ha.durations import age_of
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import OPERATIONS_DAG, look_and_initialise, one_writer, other
from denodo_ha.record import CLOCK_SKEW, LEFT_BEHIND, NewerRecordError, Phase, Record, RecordError, Role
from denodo_ha.situation import situation_now
from denodo_ha.text import listed
from denodo_ha.verdict import Verdict
from denodo_ha.watching import MONITOR_STOPPED, Watching

MAX_AGE = timedelta(minutes=60)
"""How long ago the last look at a pair may be before its monitor counts as stopped, unless a person says otherwise."""


class Level(IntEnum):
    """Exit codes of monitoring plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


LEVELS = {
    "healthy": Level.OK,
    "to_be_synced": Level.WARNING,
    "operation_open": Level.OK,
    "paused": Level.WARNING,
    "failed_over": Level.WARNING,
    "master_back": Level.WARNING,
    "resume": Level.WARNING,
    "complete": Level.WARNING,
    "repair": Level.WARNING,
    "drill_interrupted": Level.WARNING,
    "fail_back": Level.WARNING,
}
"""The level of a decision, by its code; all others are critical, except :data:`STANDBY_ONLY`."""

STANDBY_ONLY = ("control_path_broken", "no_snapshot", "dirty_snapshot", "stale_snapshot", "slave_unreachable")
"""Decisions that are only warnings as long as the master is heard: its jobs run, but the slave could not take over."""

SYNC_HELPS = ("to_be_synced", "no_snapshot", "dirty_snapshot", "stale_snapshot")
"""Decisions whose cause ends with the next sync that succeeds."""

SEVERITY = (Level.OK, Level.UNKNOWN, Level.WARNING, Level.CRITICAL)
"""From the best to the worst."""
_HEARD = ("up", "control_path_broken")


@dataclass(frozen=True)
class Reading:
    """The data on which a status is based, read at one moment.

    :param record: the HA record as it is stored; None if there is none. :param watch: the result of the last look.
    :param dag: the failover DAG; None if Airflow has none. :param health: the health of Airflow's components.
    :param syncing: the run of the sync DAG that is under way; empty if there is none.
    """

    record: Any
    watch: Mapping[str, Any] = field(default_factory=dict)
    dag: Mapping[str, Any] | None = None
    health: Mapping[str, Any] = field(default_factory=dict)
    syncing: str = ""


@dataclass(frozen=True)
class Finding:
    """
    :param next_step: what a person can do; empty where another finding says it, or nothing is to be done.
    :param code: the reason code, where there is one.
    """

    level: Level
    text: str
    next_step: str = ""
    code: str = ""


@dataclass(frozen=True)
class Status:
    """The level, the reasons for it in one line, further details, and all findings, the worst first."""

    level: Level
    summary: str
    details: dict[str, str]
    findings: tuple[Finding, ...] = ()


def judge(pair: str, reading: Reading, now: datetime, max_age: timedelta, *, verbose: bool = False) -> Status:
    """Judge the pair by what the record says now and by what the last look at the servers has seen.

    :param max_age: how long ago the last look at the pair may have been before the monitor counts as stopped.
    :param verbose: the details name each pending job, and what was learned of the servers.
    """
    record, problem = _record(pair, reading)
    seen = Watching.from_json(reading.watch)
    decision = decision_now(record, seen, now) if record else None
    findings = [*_monitor(pair, reading, record, seen, now, max_age), *problem]
    doubts = open_doubts(record, now) if record else ()
    if record:
        findings += [*_of_record(record, now), *_of_standby(record, now), *_of_doubts(record, doubts)]
    findings += _of_look(record, seen, decision, reading.syncing)
    findings.sort(key=lambda finding: SEVERITY.index(finding.level), reverse=True)
    worst = findings[0].level if findings else Level.OK
    texts = dict.fromkeys(each.text for each in findings if each.level is worst or each.level is not Level.OK)
    texts |= dict.fromkeys([*_but(record, doubts, decision), _standing(record, now)] if record else [])
    return Status(
        level=worst,
        summary=f"{worst.name} - pair {pair}: {'; '.join(texts)}",
        details={
            **(_told_by_record(record, now) | _told_by_doubts(record, doubts, decision, verbose) if record else {}),
            **_told_by_look(seen, now),
            **_next_step(findings),
            **(_verbose(record) if record and verbose else {}),
        },
        findings=tuple(findings),
    )


def decision_now(record: Record, seen: Watching, now: datetime) -> Decision | None:
    """What the decision table says by now; where no look has left what it needs, what it said then, if anything."""
    if not seen.verdict or (seen.code != "healthy" and not seen.situation):
        return DECISIONS.get(seen.code)
    return decide(record.phase, Verdict(seen.verdict), situation_now(seen, record, now))


def _record(pair: str, reading: Reading) -> tuple[Record | None, list[Finding]]:
    if reading.record is None:
        text = "there is no HA record, so nothing would fail over"
        how = look_and_initialise(Pair(name=pair).dag_id_operations)
        if reading.syncing:
            how = f"wait for the end of the sync {reading.syncing}, whose note says what it has done or only seen"
        return None, [Finding(Level.CRITICAL, text, how, "not_initialised")]
    try:
        return Record.from_json(reading.record), []
    except NewerRecordError as error:
        return None, [_unusable(Level.UNKNOWN, error)]
    except RecordError as error:
        return None, [_unusable(Level.CRITICAL, error)]


def _unusable(level: Level, error: RecordError) -> Finding:
    return Finding(level, str(error), error.reason.next_step, error.reason.code)


def _monitor(
    pair: str, reading: Reading, record: Record | None, seen: Watching, now: datetime, max_age: timedelta
) -> Iterator[Finding]:
    """Yield findings about the monitor: whether the failover DAG watches the pair. A failover has begun with a look."""
    dag_id = Pair(name=pair).dag_id_failover
    for component in ("metadatabase", "scheduler", "triggerer"):
        if (status := (reading.health.get(component) or {}).get("status")) != "healthy":
            yield _stopped(f"Airflow's {component} is {status or 'not there'}", f"start Airflow's {component}")
    if reading.dag is None or reading.dag.get("is_stale"):
        how = "look at Airflow's import errors"
        if reading.dag:
            how += f"; if the pair was taken out on purpose, run 'airflow dags delete {dag_id}'"
        yield _stopped("Airflow does not find the failover DAG", how)
    elif reading.dag.get("is_paused"):
        yield _stopped("the failover DAG is paused", f"unpause {dag_id}")
    begun = record.operation.started if record and record.operation and record.operation.kind == "failover" else None
    at = max(filter(None, (_moment(seen.at), begun)), default=None)
    if at is None:
        yield _stopped("the pair has not been looked at yet", f"wait for the first run of {dag_id}, or trigger it")
    elif at - now > max_age:
        how = "set the clocks of Airflow's machines, then trigger the failover DAG, which looks"
        yield _stopped(f"the last look at the pair was {_ago(at, now)}, by a clock that is wrong", how)
    elif now - at > max_age:
        yield _stopped(f"the last look at the pair was {_ago(at, now)}", f"look at the runs of {dag_id}")
    elif at > now + CLOCK_SKEW:
        text = f"by the clock of this machine the last look at the pair is {_ago(at, now)}, so its age is not known"
        yield Finding(Level.WARNING, text, "correct the clock here, or those of Airflow's machines")


def _stopped(why: str, next_step: str) -> Finding:
    return Finding(Level.CRITICAL, f"monitor stopped: {why}", next_step, MONITOR_STOPPED)


def _of_record(record: Record, now: datetime) -> Iterator[Finding]:
    if record.phase is Phase.HALTED:
        why = record.halted.reason if record.halted else "no reason is recorded"
        how = f"see to it, then release the pair with {OPERATIONS_DAG}"
        yield Finding(Level.CRITICAL, f"halted: {why}", how, "halted")
    elif record.phase is not Phase.NORMAL:
        yield Finding(Level.WARNING, record.phase.value.replace("_", " "))
    if reason := one_writer(record):
        yield Finding(Level.WARNING, reason.what, reason.next_step, reason.code)
    if record.paused and record.is_paused(now):
        resume = f"resume the pair with {OPERATIONS_DAG}"
        yield Finding(Level.WARNING, f"automation is paused: {record.paused.reason}", resume, "paused")
    if not record.acknowledged:
        how = f"acknowledge it with {OPERATIONS_DAG}"
        yield Finding(Level.WARNING, "the last failover is not acknowledged", how, "not_acknowledged")


def _of_standby(record: Record, now: datetime) -> Iterator[Finding]:
    """Yield why the passive server is not as the active one."""
    if record.dirty and record.operation is None:
        yield Finding(Level.WARNING, f"the passive server cannot be trusted: {record.dirty.reason}")
    if problem := record.sync_problem:
        text = f"no sync has succeeded since {_ago(problem.since, now)}: [{problem.code}] {problem.what}"
        yield Finding(Level.WARNING, text, problem.next_step, problem.code)


def _of_doubts(record: Record, doubts: Sequence[OpenDoubt]) -> Iterator[Finding]:
    """Yield the open doubts for which the pair is not in order: warnings of imports, and jobs that are missing."""
    how = f"accept it with {OPERATIONS_DAG}, operation 'acknowledge', by its name under 'doubts'"
    sync = "sync" if record.active is Role.MASTER else "re-protect"
    for role in Role:
        if warned := [each.text for each in record.doubts if each.accepted_by is None and each.role is role]:
            text = f"imports have warned of the {role}: {listed(warned, between='; ')}"
            and_then = ", then" if role is record.active else f" and {sync}, or"
            yield Finding(Level.WARNING, text, f"repair it on the {record.active}{and_then} {how}")
    names = {each.name for each in doubts}
    pending = [job for job in record.pending if job_doubt(job) in names]
    behind = sum(job.code == LEFT_BEHIND for job in pending)
    if behind:
        yield Finding(Level.WARNING, f"{_jobs(behind)} missing or outdated on the {record.active} since it is active")
    if len(pending) > behind:
        yield Finding(Level.WARNING, f"{_jobs(len(pending) - behind)} not delivered to the passive server yet")


def _is_ready(record: Record, decision: Decision | None) -> bool:
    """Whether the slave can take over as far as it is known, so that "but" can be said of it."""
    known = record.phase is Phase.NORMAL and record.snapshot is not None and record.dirty is None
    return known and (decision is None or decision.code not in {*STANDBY_ONLY, *SYNC_HELPS})


def _but(record: Record, doubts: Sequence[OpenDoubt], decision: Decision | None) -> list[str]:
    """What the first line says of the doubts about a standby that is ready."""
    of = [each.name for each in doubts if each.role is not record.active]
    if not of or not _is_ready(record, decision):
        return []
    return [f"ready, but {len(of)} {'doubt' if len(of) == 1 else 'doubts'}: {of[0]}"]


def _told_by_doubts(
    record: Record, doubts: Sequence[OpenDoubt], decision: Decision | None, verbose: bool
) -> dict[str, str]:
    """What a server may lack although it looks in order, with the names by which that can be accepted."""
    jobs = {job_doubt(job) for job in record.pending}
    details = {}
    for role in (other(record.active), record.active):
        of = [each for each in doubts if each.role is role]
        said = [each.name if each.name in {each.why, *jobs} else f"{each.name} ({each.why})" for each in of]
        ready = role is not record.active and _is_ready(record, decision)
        if said:
            key = "ready, but" if ready else f"doubts about the {role}"
            details[key] = listed(said, len(said) if verbose else 5, between="; ")
    return details


def _of_look(record: Record | None, seen: Watching, decision: Decision | None, syncing: str) -> Iterator[Finding]:
    """Yield findings about the result of the last look at the pair; what a step has said itself comes first."""
    if seen.code and seen.code not in DECISIONS:
        yield from _said(record, seen)
    if decision:
        how = "" if decision.next_step == "nothing" else decision.next_step
        if syncing and decision.code in SYNC_HELPS:
            how = f"wait for the end of the sync {syncing}"
        yield Finding(level(decision.code, seen.verdict), decision.what, how, decision.code)


def _said(record: Record | None, seen: Watching) -> Iterator[Finding]:
    if record and seen.code == "not_initialised":
        yield Finding(
            Level.UNKNOWN, "the pair was not looked at since it has a record", "trigger the failover DAG, which looks"
        )
    elif not seen.what:
        yield Finding(Level.UNKNOWN, f"this version does not know the decision {seen.code!r}")
    elif record or not seen.code.startswith("record_"):
        yield Finding(Level.CRITICAL, f"[{seen.code}] {seen.what}", seen.next_step, seen.code)


def level(code: str, verdict: str) -> Level:
    """Return the level of the decision ``code`` if the verdict about the master was ``verdict``."""
    if code in STANDBY_ONLY and verdict in _HEARD:
        return Level.WARNING
    return LEVELS.get(code, Level.CRITICAL)


def _standing(record: Record, now: datetime) -> str:
    snapshot = f"snapshot {age_of(record.snapshot.taken, now)} old" if record.snapshot else "no snapshot"
    return f"{record.active} active, epoch {record.epoch}, {snapshot}"


def _told_by_look(seen: Watching, now: datetime) -> dict[str, str]:
    """What the last look has seen, which is what the findings rest on beside the record."""
    if not seen.at:
        return {}
    counts = [f"{enabled} of {jobs} jobs enabled on the {role}" for role, (enabled, jobs) in seen.jobs.items()]
    found = "; ".join([f"master {seen.verdict or 'not judged'}", *counts])
    return {
        "last look": f"{_when(_moment(seen.at), now)}: {found}",
        "state": f"{seen.code}, since {_when(_moment(seen.since), now)}",
    }


def _next_step(findings: list[Finding]) -> dict[str, str]:
    """That of the worst finding that has one."""
    return next(({"next step": each.next_step} for each in findings if each.next_step), {})


def _trials(record: Record, now: datetime) -> dict[str, str]:
    """The last drill, and what a doctor has made."""
    details = {}
    if record.drill:
        drill = record.drill
        details["last drill"] = f"{_when(drill.ended or drill.at, now)}, by {drill.by or 'unknown'}: {drill.summary}"
    if record.scratch:
        scratch = record.scratch
        left = "" if scratch.open(now) else f"left by a doctor, {_when(scratch.since, now)}; "
        how = must_wait(record, now) or DELETES
        details["scratch projects"] = f"{listed(scratch.projects)} on the {scratch.role}: {left}{how}"
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
        details[f"last {promotion.kind} to the slave"] = f"{_when(promotion.at, now)}{whole}"
    details |= _trials(record, now)
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
        details[job_doubt(job)] = f"[{job.code}] {job.why}; {there}{how}"
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
    return f"{age_of(moment, now)} ago" if moment <= now else f"in {age_of(now, moment)}"
