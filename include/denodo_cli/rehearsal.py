"""Runs that ``denodo-ha`` starts: a drill, and the rehearsal, which is a switchover to the slave and back.

Which half of a rehearsal is next is told by the HA record and the pair's history, so the same command goes on where one
that was interrupted has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from denodo_cli.airflow_api import ApiClient, Json
from denodo_cli.following import LOST
from denodo_cli.reading import history, read
from denodo_cli.runs import RunError, ended, ensure_runs, start
from denodo_ha.pairs import Pair
from denodo_ha.record import Phase, Record, Role
from denodo_ha.status import Level
from denodo_ha.text import listed
from denodo_ha.told import text

PREFIX = "rehearsal__"
TO_SLAVE, TO_MASTER = "to_slave", "to_master"
_READ = 200
_DISTURBANCES = ("problem", "failover", "halted", "drift", "quenched", "switchover_rolled_back", "switchover_given_up")

Say = Callable[[str], object]


@dataclass(frozen=True)
class Told:
    """What is shown in the end."""

    level: Level
    summary: str
    lines: Sequence[str] = ()


def drill(api: ApiClient, pair: str, reason: str, say: Say) -> Told:
    """Start a drill, wait for its end, and tell what came of it.

    :raises RunError: Airflow runs no such DAG now.
    """
    dag_id, run_id = Pair(name=pair).dag_id_operations, _new("drill__")
    run = _run(api, dag_id, run_id, {"operation": "drill", "reason": reason}, say)
    record = _record(api, pair)
    if record is None or record.drill is None or not record.drill.id.startswith(f"{run_id}/"):
        why = run.get("note") or f"see the run {run_id} of {dag_id}"
        return Told(Level.CRITICAL, f"there was no drill: {why}")
    done, proven = record.drill, run["state"] == "success" and not record.drill.problem
    lines = [
        f"{'OK' if each.ok else 'CRITICAL'} {each.key}: {_and_next(each.what, each.next_step)}" for each in done.done
    ]
    lines += [_and_next(done.what, done.next_step)] if done.code else []
    return Told(Level.OK if proven else Level.CRITICAL, f"drilled: {done.summary}", lines)


def _and_next(what: str, next_step: str) -> str:
    return f"{what}. Next: {next_step}." if next_step else f"{what}."


def rehearse(api: ApiClient, pair: str, reason: str, stay: timedelta, say: Say) -> Told:
    """Make the slave the active server and then the master again, or go on with a rehearsal that was interrupted.

    :param stay: how long the slave stays the active server.
    :raises RunError: it cannot begin or go on.
    """
    record = _needed(api, pair)
    if record.active is Role.MASTER:
        _change(api, pair, TO_SLAVE, reason, say)
        if stay:
            say(f"the slave is the active server; it stays so for {stay}")
            time.sleep(stay.total_seconds())
    elif _events(api, pair) is None:
        raise RunError(
            f"the slave is the active server, and not by a rehearsal (phase {record.phase}). Next: when it suits, fail "
            f"back: trigger {Pair(name=pair).dag_id_switchover} with the direction 'to_master'"
        )
    _change(api, pair, TO_MASTER, reason, say)
    return report(_needed(api, pair), _events(api, pair) or [])


def _change(api: ApiClient, pair: str, direction: str, reason: str, say: Say) -> None:
    """Have the switchover DAG change the active server, by a run of a rehearsal that is under way, or a new one.

    :raises RunError: it has not done so.
    """
    dag_id, to = Pair(name=pair).dag_id_switchover, Role.SLAVE if direction == TO_SLAVE else Role.MASTER
    begun = f"{PREFIX}{direction}__"
    going_on = [run for run in _going_on(api, dag_id) if run.startswith(begun)]
    conf = {"direction": direction, "reason": reason}
    run = _run(api, dag_id, going_on[0] if going_on else _new(begun), None if going_on else conf, say)
    record = _needed(api, pair)
    settled = Phase.FAILED_OVER if to is Role.SLAVE else Phase.NORMAL
    if record.active is not to or record.phase is not settled:
        why = run.get("note") or f"see the run {run['dag_run_id']} of {dag_id}"
        raise RunError(f"the switchover {direction.replace('_', ' the ')} failed: {why}. {_where(pair, record, to)}")


def _where(pair: str, record: Record, to: Role) -> str:
    """Say where the pair is after a half that failed, and what to do."""
    now = f"Now the {record.active} is the active server (phase {record.phase}, epoch {record.epoch})"
    again = f"denodo-ha rehearse {pair}"
    if record.phase in (Phase.FAILING_OVER, Phase.FAILING_BACK):
        return (
            f"{now}, and the switchover is not at its end: the failover DAG resumes it. Next: watch it by denodo-ha "
            f"status {pair}; when it has ended, {again} goes on"
        )
    if record.phase is Phase.HALTED:
        return f"{now}. Next: see to the cause of the halt, release the pair, then {again}"
    if to is Role.SLAVE:
        return f"{now}, as before the rehearsal. Next: see to the cause, then {again}"
    return f"{now}, and runs the jobs. Next: see to the cause, then {again} goes on with the way back to the master"


def report(record: Record, events: Sequence[Json]) -> Told:
    """Tell what a rehearsal has cost, from the events since it began, the oldest first."""
    halves = [event for event in events if event.get("kind") in ("switchover", "failback")]
    others = [event for event in events if event.get("kind") in _DISTURBANCES]
    told = [_half(event) for event in halves]
    clean = len(halves) == 2 and not others and all(lost_nothing for _, lost_nothing in told)
    lines = [line for line, _ in told]
    lines += [f"meanwhile {event['kind']}, at {event['at']}: {text(event)}" for event in others]
    lines.append("The sync that follows makes the slave ready to take over again; denodo-ha status says when.")
    took = f" in {_seconds(events[0], halves[-1])}" if halves else ""
    what = f"rehearsed{took}: the {record.active} is the active server again, in epoch {record.epoch}"
    return Told(Level.OK if clean else Level.WARNING, what, lines)


def _half(event: Mapping[str, Any]) -> tuple[str, bool]:
    """One half in words, and whether nothing was lost in it."""
    after, missed = event.get("after") or {}, event.get("missed") or {}
    number, named = missed.get("occurrences"), [f"{each['job']} at {each['at']}" for each in missed.get("listed") or ()]
    counts = {name: found for name in LOST if isinstance(found := event.get(name), dict) and found.get("jobs")}
    facts = [
        f"{after.get('enabled')} jobs enabled and read back",
        f"jobs ran nowhere for {event.get('gap_seconds')} s",
        f"{'an unknown number of' if number is None else number} occurrences missed"
        + f" ({listed(named)})" * bool(named),
        *(
            f"{found['jobs']} {name.replace('_', ' ')} ({listed(found.get('names') or ())})"
            for name, found in counts.items()
        ),
    ]
    return f"to the {after.get('active')}, at {event['at']}: {', '.join(facts)}.", number == 0 and not counts


def _seconds(began: Mapping[str, Any], ended: Mapping[str, Any]) -> str:
    return f"{round((datetime.fromisoformat(ended['at']) - datetime.fromisoformat(began['at'])).total_seconds())} s"


def _events(api: ApiClient, pair: str) -> list[Json] | None:
    """The pair's events since the last change of its active server to the slave began, if a rehearsal began it."""
    events = history(api, pair, _READ)
    begun = [
        number
        for number, event in enumerate(events)
        if event.get("kind") in ("failover_begun", "switchover_begun")
        and (event.get("after") or {}).get("phase") == Phase.FAILING_OVER
        and not str(event.get("why")).startswith("an interrupted")
    ]
    if not begun or not str(events[begun[-1]].get("operation")).startswith(PREFIX):
        return None
    return events[begun[-1] :]


def _needed(api: ApiClient, pair: str) -> Record:
    record = _record(api, pair)
    if record is None:
        raise RunError(f"the pair has no HA record yet. Next: see denodo-ha status {pair}")
    return record


def _record(api: ApiClient, pair: str) -> Record | None:
    stored = read(api, pair).record
    return None if stored is None else Record.from_json(stored)


def _new(prefix: str) -> str:
    return f"{prefix}{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"


def _going_on(api: ApiClient, dag_id: str) -> list[str]:
    """The runs that have not ended."""
    found = [api.pages(f"/dags/{dag_id}/dagRuns", "dag_runs", state=state) for state in ("queued", "running")]
    return [str(run["dag_run_id"]) for runs in found for run in runs]


def _run(api: ApiClient, dag_id: str, run_id: str, conf: Json | None, say: Say) -> Json:
    """Start a run, unless ``conf`` is None because it is there already, and wait for its end."""
    if conf is None:
        ensure_runs(api, dag_id)
    else:
        start(api, dag_id, conf, run_id)
    say(f"{'waiting for' if conf is None else 'started'} the run {run_id} of {dag_id}")
    return ended(api, dag_id, run_id)
