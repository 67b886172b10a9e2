"""Answers of the page's API for the situations that an operator has to tell apart, by the page's contract."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

Answer = dict[str, Any]
NOW = datetime.now(UTC).replace(microsecond=0)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat()


def path(id: str, said: str | None = "alive", what: str = "it answered in 0.12 s", at: str | None = None) -> Answer:
    ends = {"master": ("airflow", "master"), "second": ("slave", "master"), "slave": ("airflow", "slave")}[id]
    titles = {
        "master": "Airflow to the master's web tool",
        "second": "The slave's web tool to the master's Scheduler",
        "slave": "Airflow to the slave's web tool",
    }
    begin = at or ago(seconds=12)
    return {
        "id": id,
        "from": ends[0],
        "to": ends[1],
        "title": titles[id],
        "said": said,
        "what": what,
        "at": begin if said else None,
    }


def action(id: str, title: str, dag: str, what: str, group: str, why_not: str = "", **conf: Any) -> Answer:
    dag_id = f"denodo_scheduler_{dag}__emea"
    return {
        "id": id,
        "title": title,
        "what": what,
        "url": f"dags/{dag_id}",
        "allowed": True,
        "why_not": why_not,
        "group": group,
        "fill": "a reason",
        "needs": ["reason"] if dag == "operations" else [],
        "moves": id in ("switchover", "halt"),
        "dag_id": dag_id,
        "conf": conf,
    }


def actions() -> list[Answer]:
    people = "operations"
    approve = action("approve", "Approve", "failover", "answers the question of the failover DAG", "switch")
    approve["url"] += "/runs/scheduled__1/required_actions"
    return [
        action("look", "Look", "failover", "asks both servers now, and acts if something is to be done", "look"),
        action("check", "Check readiness", people, "finds out what a switchover would say", "look", operation="check"),
        action("doctor", "Doctor", people, "tells what both servers are", "look", operation="doctor"),
        action("sync", "Sync", "sync", "copies the jobs of the active server to the passive one, disabled", "sync"),
        action("deliver", "Deliver now", "sync", "waits for no quiet moment", "sync", deliver_now=True),
        action("reprotect", "Re-protect", "sync", "copies the slave to the master", "sync", "the master is active"),
        action("dry_run", "Dry run", "switchover", "tells what a switchover would do", "switch", dry_run=True),
        action("switchover", "Switch over", "switchover", "moves the jobs to the slave", "switch", to="slave"),
        action(
            "fail_back", "Fail back", "switchover", "moves the jobs to the master", "switch", "it is active already"
        ),
        approve,
        action("pause", "Pause", people, "observes without acting, until you resume it", "people", operation="pause"),
        action("acknowledge", "Acknowledge", people, "you have seen the failover", "people", "no failover is open"),
        action("halt", "Halt", people, "nothing is changed until a person releases it", "people", operation="halt"),
    ]


OPERATIONS = {
    "is_paused": False,
    "params": {
        "operation": {
            "value": "check",
            "schema": {"type": "string", "enum": ["check", "pause", "resume"], "title": "Operation"},
            "description": "What to do",
        },
        "reason": {"value": None, "schema": {"type": ["null", "string"], "title": "Reason"}, "description": None},
        "until": {
            "value": None,
            "schema": {"type": ["null", "string"], "format": "date-time", "title": "Until"},
            "description": None,
        },
        "active": {
            "value": None,
            "schema": {"type": ["null", "string"], "enum": [None, "master", "slave"], "title": "Active server"},
            "description": None,
        },
        "quiet_window": {
            "value": 120,
            "schema": {"type": "integer", "minimum": 1, "title": "Quiet window (seconds)"},
            "description": None,
        },
        "doubts": {"value": [], "schema": {"type": ["null", "array"], "title": "Doubts"}, "description": "One a line"},
        "probe": {"value": False, "schema": {"type": "boolean", "title": "Probe"}, "description": None},
    },
}
"""What Airflow says of the operations DAG."""


def row(pair: str = "emea", **changes: Any) -> Answer:
    return {
        "pair": pair,
        "level": "OK",
        "what": "the master is up and the slave is ready to take over",
        "next_step": "",
        "active": "master",
        "phase": "normal",
        "epoch": 4,
        "verdict": "up",
        "looked": ago(seconds=12),
        "enabled": {"master": [58, 60], "slave": [0, 60]},
        "snapshot": {"taken": ago(minutes=7), "limit": 86400},
        "pending": 0,
        "doubts": 0,
        "paused": False,
        "last_event": {
            "at": ago(minutes=7),
            "kind": "sync",
            "text": "60 jobs of the master copied to the slave, none of them enabled there.",
        },
        **changes,
    }


def servers(master: int | None = 58, slave: int | None = 0, active: str | None = "master", jobs: int = 60) -> Answer:
    def server(role: str, enabled: int | None) -> Answer:
        return {
            "connection": f"denodo_emea_{role}",
            "address": f"denodo-{role}.emea.example.com:8000",
            "role": "active" if role == active else "passive",
            "enabled": enabled,
            "jobs": jobs,
            "read": ago(seconds=12),
        }

    return {"master": server("master", master), "slave": server("slave", slave)}


def normal() -> Answer:
    return {
        "at": ago(),
        **row(),
        "since": ago(days=21),
        "because": "a failback by anna (ticket 4711) made the master the active server",
        "story": {
            "now": "the master runs the jobs, and the slave is ready to take over",
            "why": "the master answered on both paths 12 s ago, and the last sync has succeeded",
            "tool": "looks at the master every 30 s, and syncs again at 14:00",
            "you": "nothing is to be done",
            "ready": "yes: the snapshot is 7 min old, and nothing is pending",
        },
        "findings": [],
        "servers": servers(),
        "paths": [path("master"), path("second"), path("slave")],
        "sync": {
            "from": "master",
            "to": "slave",
            "state": "fresh",
            "taken": ago(minutes=7),
            "limit": 86400,
            "jobs": 60,
            "enabled": 58,
            "pending": [],
            "pending_count": 0,
            "problem": None,
        },
        "doubts": [],
        "operation": None,
        "paused": None,
        "halted": None,
        "acknowledged": True,
        "check": {"at": ago(hours=3), "level": "OK", "summary": "a switchover could begin now"},
        "runs": [],
        "suggested": [],
        "actions": actions(),
        "links": {
            "runbook": None,
            "docs": "denodo-ha/docs/on-duty.html",
            "dags": [
                {"title": f"{title} emea", "url": f"dags/denodo_scheduler_{kind}__emea"}
                for kind, title in {"failover": "Failover", "sync": "Sync", "switchover": "Switchover"}.items()
            ],
        },
    }


def found(level: str, text: str, next_step: str = "", code: str = "") -> Answer:
    return {"level": level, "text": text, "next_step": next_step, "code": code}


def changed(level: str, what: str, next_step: str = "", **changes: Any) -> Answer:
    """The normal state with changes; those of `story`, `sync` and `links` are laid over what is there."""
    state = normal()
    for key, value in {"level": level, "what": what, "next_step": next_step, **changes}.items():
        state[key] = {**state[key], **value} if key in ("story", "sync", "links") else value
    state["snapshot"] = {"taken": state["sync"]["taken"], "limit": state["sync"]["limit"]}
    state["pending"] = state["sync"]["pending_count"]
    state["enabled"] = {
        role: None if each["enabled"] is None else [each["enabled"], each["jobs"]]
        for role, each in state["servers"].items()
    }
    state["findings"] = state["findings"] or [found(level, what, next_step)]
    state["links"]["runbook"] = "denodo-ha/docs/runbooks.html#failover"
    return state


def control_path_broken() -> Answer:
    return changed(
        "WARNING",
        "the master's web tool cannot be used, but its Scheduler lives: the slave's web tool reaches it",
        "repair the master's web tool, or correct its connection; syncs wait for it, jobs go on",
        verdict="control_path_broken",
        paths=[path("master", "refused", "the connection was refused"), path("second"), path("slave")],
        servers=servers(master=None),
        story={
            "now": "the master runs the jobs, but nobody can change them: its web tool does not answer",
            "why": "the master's web tool refuses connections, and the slave's web tool reaches the master's Scheduler",
            "tool": "does not fail over, because the jobs run; it looks again every 30 s, and syncs wait",
            "you": "repair the master's web tool",
            "ready": "yes, but the next sync has to wait: the snapshot is 7 min old",
        },
    )


def failing_over() -> Answer:
    return changed(
        "CRITICAL",
        "the master is down: fail over",
        "wait",
        phase="failing_over",
        verdict="down",
        epoch=5,
        since=ago(seconds=40),
        because="the master was silent on both paths for 45 s, and the policy is automatic",
        operation={
            "kind": "failover",
            "id": "f5c1",
            "step": "enabling",
            "text": "Failover f5c1: enabling jobs, 22 of 58",
        },
        paths=[
            path("master", "silent", "no answer within 10 s"),
            path("second", "silent", "the slave's web tool says that the master's Scheduler does not answer"),
            path("slave"),
        ],
        active="slave",
        servers=servers(master=None, slave=22, active="slave"),
        runs=[
            {
                "dag_id": "denodo_scheduler_failover__emea",
                "run_id": "scheduled__1",
                "state": "running",
                "since": ago(seconds=40),
                "url": "dags/denodo_scheduler_failover__emea/runs/scheduled__1",
            }
        ],
        story={
            "now": "a failover is under way: 22 of 58 jobs are enabled on the slave",
            "why": "the master was silent on both paths for 45 s, and the slave's web tool works",
            "tool": "enables the other jobs on the slave, then reads them back",
            "you": "wait; it takes about a minute",
            "ready": "no: the master does not answer",
        },
    )


def failed_over() -> Answer:
    return changed(
        "WARNING",
        "the slave is the active server, and jobs are enabled on it",
        "repair the master",
        phase="failed_over",
        verdict="down",
        epoch=5,
        active="slave",
        since=ago(minutes=35),
        because="a failover, decided by the tool: the master was silent on both paths for 45 s",
        acknowledged=False,
        suggested=["check", "sync"],
        paths=[path("master", "silent", "no answer within 10 s"), path("second", "silent", "no answer"), path("slave")],
        servers=servers(master=None, slave=58, active="slave"),
        sync={"from": "slave", "to": "master", "state": "none", "taken": ago(minutes=42), "jobs": 60, "enabled": 58},
        findings=[
            found("WARNING", "the slave is the active server, and jobs are enabled on it", "repair the master"),
            found("WARNING", "the last failover is not acknowledged", "acknowledge it with the operations DAG"),
        ],
        story={
            "now": "the slave runs the jobs since the master is down",
            "why": "58 of 58 jobs were enabled on the slave 13.5 s after the master was last heard; 8 runs missed",
            "tool": "keeps watching the master, and disables its jobs if it comes back",
            "you": "repair the master, then re-protect",
            "ready": "no: the master does not answer since 36 min",
        },
        last_event={
            "at": ago(minutes=35),
            "kind": "failover",
            "text": "58 jobs enabled on the slave 13.5 s after the master was last heard; 8 occurrences missed.",
        },
    )


def master_back() -> Answer:
    return changed(
        "WARNING",
        "the master is back and none of its jobs is enabled; the slave goes on as the active server",
        "run the sync DAG with 're-protect' ticked, which copies the slave to the master; when it suits, fail back "
        "with the switchover DAG",
        phase="failed_over",
        active="slave",
        epoch=5,
        since=ago(hours=5),
        because="a failover, decided by the tool: the master was silent on both paths for 45 s",
        servers=servers(master=0, slave=58, active="slave"),
        sync={
            "from": "slave",
            "to": "master",
            "state": "stale",
            "taken": ago(hours=30),
            "pending": [
                {
                    "job": "sales / nightly load",
                    "why": "it fires every minute, so there is no moment to import it",
                    "next_step": "deliver it with 'deliver now'",
                },
                {"job": "sales / daily report", "why": "it waits for the job that it refers to", "next_step": ""},
            ],
            "pending_count": 2,
        },
        doubts=[{"name": "keytab", "why": "the import has warned of a missing keytab", "role": "master"}],
        story={
            "now": "the slave runs the jobs, and the master answers again with all its jobs disabled",
            "why": "both paths to the master answer, and none of its 60 jobs is enabled",
            "tool": "goes on with the slave; it does not fail back by itself",
            "you": "re-protect, then fail back when it suits",
            "ready": "not yet: the master has the jobs of 30 h ago",
        },
    )


def stale_snapshot() -> Answer:
    return changed(
        "CRITICAL",
        "the last verified snapshot is older than 'oldest_snapshot' allows",
        "look why syncs fail; to promote it all the same, trigger the failover DAG with 'accept an old snapshot' and a "
        "reason",
        verdict="down",
        paths=[path("master", "silent", "no answer"), path("second", "silent", "no answer"), path("slave")],
        servers=servers(master=None),
        sync={
            "state": "stale",
            "taken": ago(hours=31),
            "problem": {
                "since": ago(hours=30),
                "what": "the storage of snapshots is full",
                "next_step": "make room in the storage",
            },
        },
        story={
            "now": "nothing runs: the master is down, and the failover is blocked",
            "why": "the last verified snapshot is 31 h old, and 24 h are allowed",
            "tool": "waits, and fails over as soon as a person accepts the old snapshot",
            "you": "trigger the failover DAG with 'accept an old snapshot' and a reason",
            "ready": "only with jobs of 31 h ago",
        },
    )


def split_brain() -> Answer:
    return changed(
        "CRITICAL",
        "automation is paused, and jobs are enabled on both servers",
        "disable the jobs of the server that should be passive by hand, or resume the pair with the operations DAG",
        phase="failed_over",
        active="slave",
        epoch=5,
        since=ago(minutes=50),
        because="a failover, decided by the tool: the master was silent on both paths for 45 s",
        paused=True,
        servers=servers(master=58, slave=58, active="slave"),
        sync={"from": "slave", "to": "master", "state": "dirty"},
        story={
            "now": "jobs run on both servers",
            "why": "58 jobs are enabled on the master and 58 on the slave",
            "tool": "does nothing, because automation is paused",
            "you": "resume the pair, then the tool disables the master's jobs",
            "ready": "no: it runs jobs itself",
        },
    ) | {"paused": {"since": ago(hours=1), "until": None, "by": "ben", "reason": "network maintenance"}}


def halted() -> Answer:
    return changed(
        "CRITICAL",
        "the pair is halted",
        "see to the reason, then release the pair with the operations DAG",
        phase="halted",
        halted={"since": ago(hours=2), "by": "ben", "reason": "the slave is being reinstalled"},
        story={
            "now": "the master runs the jobs, and the tool does nothing: the pair is halted",
            "why": "ben halted it 2 h ago: the slave is being reinstalled",
            "tool": "nothing before a person releases it",
            "you": "see to the reason, then release the pair",
            "ready": "no: nothing would fail over while the pair is halted",
        },
    )


def monitor_stopped() -> Answer:
    long_ago = ago(hours=3)
    return changed(
        "CRITICAL",
        "monitor stopped: the last look at the pair was 3 h ago",
        "look at the runs of denodo_scheduler_failover__emea",
        looked=long_ago,
        paths=[path(each, at=long_ago) for each in ("master", "second", "slave")],
        story={
            "now": "nobody watches the pair: what follows was true 3 h ago",
            "why": "the last look at the pair was 3 h ago, and the failover DAG is paused",
            "tool": "nothing, until the failover DAG is unpaused",
            "you": "unpause denodo_scheduler_failover__emea",
            "ready": "it was 3 h ago, but nothing would fail over now",
        },
    )


def nothing_enabled() -> Answer:
    return changed(
        "CRITICAL",
        "the active server answers, and no job is enabled on it, so nothing runs anywhere; a paused Scheduler looks "
        "exactly like this",
        "resume the Scheduler of the active server, or enable its jobs",
        servers=servers(master=0),
        story={
            "now": "no job is enabled on either server, so nothing runs",
            "why": "0 of 60 jobs are enabled on the master, which answers",
            "tool": "looks again every 30 s, and does not fail over, because the master lives",
            "you": "resume the Scheduler of the master, or enable its jobs",
            "ready": "yes: the snapshot is 7 min old",
        },
    )


def no_record() -> Answer:
    return changed(
        "CRITICAL",
        "there is no HA record, so nothing would fail over",
        "run the sync DAG, which only looks, then initialise the pair with the operations DAG",
        active=None,
        phase=None,
        epoch=None,
        verdict=None,
        since=None,
        because="",
        looked=None,
        paths=[path(each, None, "") for each in ("master", "second", "slave")],
        servers=servers(None, None, None),
        last_event=None,
        sync={"from": None, "to": None, "state": "none", "taken": None, "limit": None},
        check=None,
        story={
            "now": "the pair was not initialised",
            "why": "there is no HA record",
            "tool": "nothing",
            "you": "initialise",
            "ready": "",
        },
    ) | {"snapshot": None}


STATES: dict[str, Callable[[], Answer]] = {
    each.__name__: each
    for each in (
        normal,
        control_path_broken,
        failing_over,
        failed_over,
        master_back,
        stale_snapshot,
        split_brain,
        halted,
        monitor_stopped,
        nothing_enabled,
        no_record,
    )
}

ROW = tuple(row())


def row_of(state: Answer, pair: str) -> Answer:
    """The pair's row in the list of all pairs."""
    return {key: state[key] for key in ROW} | {"pair": pair, "paused": bool(state["paused"])}


def events(number: int, hours_apart: float = 0.4) -> Answer:
    kinds = [("sync", "ok"), ("sync", "ok"), ("drift", "warning"), ("failover", "critical"), ("paused", "notice")]
    texts = {
        "sync": "60 jobs of the master copied to the slave, none of them enabled there.",
        "drift": "2 jobs were enabled on the passive slave; they were disabled.",
        "failover": "58 jobs enabled on the slave 13.5 s after the master was last heard; 8 occurrences missed.",
        "paused": "Automation is paused by ben: network maintenance.",
    }
    made = []
    for n in range(number, 0, -1):
        kind, level = kinds[n % len(kinds)] if n % 7 == 0 else kinds[0]
        made.append(
            {
                "n": n,
                "at": ago(hours=(number - n) * hours_apart, minutes=7),
                "kind": kind,
                "text": texts[kind],
                "who": "ben" if kind == "paused" else "scheduled run",
                "why": "the master was silent" if kind == "failover" else "",
                "level": level,
                "seconds": 13.5 if kind == "failover" else None,
                "run_url": "dags/denodo_scheduler_sync__emea/runs/r1" if kind == "sync" else None,
            }
        )
    return {"events": made, "more": False}


def details() -> Answer:
    return {
        "text": "58 jobs enabled on the slave 13.5 s after the master was last heard; 8 occurrences missed.",
        "facts": [
            ["RPO", "7 min"],
            ["RTO", "13.5 s"],
            ["Fencing", "best effort, succeeded"],
            ["Missed", "8 occurrences"],
        ],
        "runbook": "denodo-ha/docs/runbooks.html#after-a-failover",
        "event": {"kind": "failover", "epoch": 5},
    }


COLUMNS = ["project", "name", "master", "slave", "state", "next_master", "next_slave", "note"]


def jobs(number: int) -> Answer:
    rows: list[list[Any]] = []
    for n in range(number):
        state = {3: "different", 5: "missing", 8: "pending"}.get(n % 40, "same")
        slave = {"missing": "missing", "different": "enabled"}.get(state, "disabled")
        note = {"missing": "it was not delivered yet", "different": "it is enabled on both"}.get(state, "")
        soon = (NOW + timedelta(minutes=n % 600)).isoformat()
        rows.append([f"project {n % 12:02}", f"load_{n:05}", "enabled", slave, state, soon, None, note])
    counts = {state: sum(each[4] == state for each in rows) for state in ("same", "different", "missing", "pending")}
    at = {"master": ago(minutes=1), "slave": ago(minutes=1)}
    return {"at": at, "columns": COLUMNS, "rows": rows, "counts": counts, "problem": None}


def quiet() -> Answer:
    begin = NOW.replace(second=0)
    minutes = [
        (40 if minute % 60 == 0 else 0) + (3 if minute % 5 == 0 else 0) + (1 if 120 <= minute % 700 < 240 else 0)
        for minute in range(1440)
    ]
    windows = [
        {
            "begin": (begin + timedelta(minutes=start + 1)).isoformat(),
            "end": (begin + timedelta(minutes=start + 5)).isoformat(),
        }
        for start in range(0, 1440, 15)
        if not 120 <= start % 700 < 240
    ]
    return {
        "of": "master",
        "begin": begin.isoformat(),
        "minutes": minutes,
        "busiest": [{"job": "sales / every minute", "count": 1440}, {"job": "sales / nightly load", "count": 24}],
        "windows": windows,
        "window_seconds": 180,
        "zone": "Europe/Madrid",
        "note": "jobs that other jobs start, and jobs that people start, are not foreseen",
        "problem": None,
    }


def answers(state: Answer, pair: str = "emea", *, jobs_: int = 60, events_: int = 40) -> dict[str, Any]:
    """What the API answers, by path, for one pair in this state."""
    state = deepcopy(state) | {"pair": pair}
    at = f"pairs/{pair}"
    past = events(events_)
    return {
        "pairs": {"at": state["at"], "pairs": [row_of(state, pair)], "import_error": None},
        at: state,
        f"{at}/events": past,
        **{f"{at}/events/{each['n']}": details() for each in past["events"]},
        f"{at}/jobs": jobs(jobs_),
        f"{at}/quiet": quiet(),
    }
