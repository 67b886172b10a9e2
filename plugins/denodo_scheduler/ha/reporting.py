"""What one look at the pair led to: for the history, for people, and for the next look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.decisions import DECISIONS, Action, Alert
from denodo_ha.record import Record, RecordError
from denodo_scheduler.ha.blocking import HALTING
from denodo_scheduler.ha.run import PairRun
from denodo_scheduler.ha.stores import Watching

MONITOR_STOPPED = "monitor_stopped"
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
    allowed = run.pair.watch_for + MONITOR_SLACK
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
    code = _said(problem, judgement)["code"]
    settled = judgement is not None and judgement["settled"] and code == judgement["code"]
    news = code != seen.code
    watching = replace(
        seen,
        verdict=judgement["verdict"] if judgement else "",
        code=code,
        settled=settled,
        since=now if news or not seen.since else seen.since,
        at=now,
    )
    events = tuple(_events(run, seen.code, judgement, problem)) if news and not run.dry_run else ()
    return Report(watching, events, not run.dry_run and _look_again(run, seen, watching, watched, by_hand=by_hand))


def _look_again(run: PairRun, seen: Watching, now: Watching, watched: dict[str, Any] | None, *, by_hand: bool) -> bool:
    """Whether somebody has to look before the next run by schedule; only the watcher asks, or a person's run."""
    if by_hand:
        return not now.settled or now.code != seen.code
    if seen.owner != run.run_id:
        return False
    waits_for_stability = run.pair.on_master_return == "fail_back" and now.code == "master_back"
    whole = watched is not None and watched["ended_by"] == "watched" and not waits_for_stability
    return not (now.settled and whole)


def _events(
    run: PairRun, before: str, judgement: dict[str, Any] | None, problem: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """The event of a trouble that begins, or of one that is over. A halt has had its own."""
    said = _said(problem, judgement)
    if judgement is None or said["code"] in ("halted", *HALTING):
        return []
    record = _record(run) or Record()
    if problem is None and judgement["action"] != Action.BLOCKED:
        if judgement["action"] == Action.HEALTHY and judgement["settled"] and _was_trouble(before):
            return [run.event("recovered", record, before={"code": before}, after={"code": said["code"]})]
        return []
    alert = Alert.SPLIT_BRAIN if said["code"] == "split_brain" else judgement["alert"] or Alert.BLOCKED
    return [
        run.event(
            "problem",
            record,
            alert=str(alert),
            code=said["code"],
            what=said["what"],
            next_step=said["next_step"],
            before={"code": before},
            after={"code": said["code"]},
            verdict=judgement["verdict"],
        )
    ]


def _said(problem: dict[str, Any] | None, judgement: dict[str, Any] | None) -> dict[str, Any]:
    return problem or judgement or {"code": "failed"}


def _was_trouble(code: str) -> bool:
    return bool(code) and (code not in DECISIONS or DECISIONS[code].action is Action.BLOCKED)


def _record(run: PairRun) -> Record | None:
    try:
        return run.records.load()
    except RecordError:
        return None
