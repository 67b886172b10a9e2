"""What one look at the pair led to: for the history, for people, and for the next look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.decisions import DECISIONS, Action, Alert
from denodo_ha.record import Record, RecordError
from denodo_scheduler.state.watch_store import Watching
from denodo_scheduler.steps.context import PairRun
from denodo_scheduler.steps.watch.block import HALTING

MONITOR_STOPPED = "monitor_stopped"
STEP_FAILED = "step_failed"
WELL = ("healthy", "failed_over", "master_back")
"""Decisions that mean that a trouble is over."""
FAILED = {
    "code": "failed",
    "what": "the pair could not be looked at: ping_master or decide failed",
    "next_step": "see the logs of these tasks: a connection, or the storage of the snapshots, cannot be used",
}
MONITOR_SLACK = timedelta(minutes=15)
"""How much longer than a watch the last look may be ago."""


@dataclass(frozen=True)
class Report:
    """:param events: what has changed. :param look_again: whether the failover DAG is to look again at once."""

    watching: Watching
    events: tuple[dict[str, Any], ...]
    look_again: bool


def owned(seen: Watching, run_id: str) -> Watching:
    """The same, watched by another run from now on."""
    return replace(seen, owner=run_id)


def overdue(run: PairRun, seen: Watching) -> tuple[Watching, dict[str, Any]] | None:
    """The event of a monitor that has stopped, once; None while the failover DAG looks at the pair, or never did."""
    allowed = run.pair.watch.duration + MONITOR_SLACK
    if not seen.at or seen.code == MONITOR_STOPPED or run.now() - datetime.fromisoformat(seen.at) <= allowed:
        return None
    event = run.event(
        "problem",
        _record(run) or Record(),
        alert=str(Alert.MONITOR_STOPPED),
        code=MONITOR_STOPPED,
        what=f"nobody has looked at the pair since {seen.at}, so nothing would take over when the master is down",
        next_step=f"unpause {run.pair.dag_id_failover}, and look whether Airflow's triggerer runs",
        before={"code": seen.code},
        after={"code": MONITOR_STOPPED},
    )
    return replace(seen, code=MONITOR_STOPPED, settled=False), event


def report(
    run: PairRun,
    seen: Watching,
    judgement: dict[str, Any] | None,
    problem: dict[str, Any] | None,
    watched: dict[str, Any] | None,
    *,
    by_hand: bool,
) -> Report:
    """Compare this look with the last one.

    :param judgement: of the task ``decide``; None when it failed.
    :param problem: code and text of the step that failed, if one did.
    :param watched: what ``ping_master`` returned.
    """
    now = run.now().isoformat()
    if judgement is None:
        problem = problem or FAILED
    code = _said(problem, judgement)["code"]
    evidence = (watched or {}).get("evidence") or {}
    watching = replace(
        seen,
        verdict=judgement["verdict"] if judgement else "",
        code=code,
        settled=judgement is not None and judgement["settled"] and code == judgement["code"],
        since=now if code != seen.code or not seen.since else seen.since,
        at=now if judgement else seen.at,
        last_alive=max(seen.last_alive, evidence.get("last_alive") or ""),
        second_good=max(seen.second_good, (watched or {}).get("second_good") or ""),
    )
    events = tuple(_events(run, seen.code, judgement, problem)) if code != seen.code and not run.dry_run else ()
    news = not watching.settled or bool(code != seen.code)
    look_again = news if by_hand else seen.owner == run.run_id
    return Report(watching, events, look_again and not run.dry_run)


def _events(
    run: PairRun, before: str, judgement: dict[str, Any] | None, problem: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """The event of a trouble that begins, or of one that is over. A halt has had its own."""
    said = _said(problem, judgement)
    if said["code"] in ("halted", *HALTING):
        return []
    record = _record(run) or Record()
    if problem is None and judgement and judgement["action"] != Action.BLOCKED:
        if said["code"] in WELL and _was_trouble(before):
            return [run.event("recovered", record, before={"code": before}, after={"code": said["code"]})]
        return []
    alert = (judgement or {}).get("alert") or Alert.BLOCKED
    return [
        run.event(
            "problem",
            record,
            alert=str(Alert.SPLIT_BRAIN if said["code"] == "split_brain" else alert),
            code=said["code"],
            what=said["what"],
            next_step=said["next_step"],
            before={"code": before},
            after={"code": said["code"]},
            verdict=(judgement or {}).get("verdict"),
        )
    ]


def problem_event(run: PairRun, problem: dict[str, Any]) -> dict[str, Any]:
    """The event of a step that a person has asked for and that failed."""
    return run.event("problem", _record(run) or Record(), alert=str(Alert.BLOCKED), **problem)


def _said(problem: dict[str, Any] | None, judgement: dict[str, Any] | None) -> dict[str, Any]:
    return problem or judgement or FAILED


def nothing_came_of_it(seen: Watching, judgement: dict[str, Any], state: str | None) -> dict[str, str] | None:
    """The problem of a step that was decided and did not happen without saying why; a skip is one the second time.

    :param state: of the task that the decision leads to.
    """
    code, action = judgement["code"], judgement["action"]
    if action == Action.HEALTHY or state == "success" or (state == "skipped" and (seen.code != code or _tried(action))):
        return None
    return {
        "code": STEP_FAILED,
        "what": f"the decision was {code}, and the task {action} ended as {state or 'not run'} without a reason code",
        "next_step": f"see the log of {action}; the next look tries again",
    }


def _tried(action: str) -> bool:
    """Branches whose skip is no trouble: another run was at it."""
    return action in (Action.BLOCKED, Action.FAIL_BACK, Action.APPROVE)


def _was_trouble(code: str) -> bool:
    return bool(code) and (code not in DECISIONS or DECISIONS[code].action is Action.BLOCKED)


def _record(run: PairRun) -> Record | None:
    try:
        return run.records.load()
    except RecordError:
        return None
