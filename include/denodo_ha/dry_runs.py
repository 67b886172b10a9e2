"""What runs that only look have found, as one readable text each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from denodo_ha.decisions import Action
from denodo_ha.reason import Reason
from denodo_ha.sync_results import Exported
from denodo_ha.text import listed, one_line
from denodo_ha.words import count, jobs, many, moment, of, seconds, word

NOTHING = "nothing was changed"

_ACTIONS = {
    Action.NOTHING_TO_DO: "change nothing",
    Action.BLOCKED: "change nothing and fail with this reason",
    Action.ENABLE_JOBS: "go on with the failover or switchover, and enable jobs",
    Action.QUENCH_MASTER: "disable the jobs of the master",
    Action.REPAIR_SLAVE: "disable the jobs that are enabled on the slave",
    Action.APPROVE: "ask a person to approve the failover",
    Action.FAIL_BACK: "trigger the switchover DAG to fail back",
}


def sync(exported: Exported, looks: Reason | None = None) -> str:
    """Say what a sync would do.

    :param looks: why the run only looked, where that was not asked for, and what a person does to begin; it comes
        first, because Airflow cuts notes.
    """
    begin = (
        f"LOOKED ONLY: {NOTHING}. To begin: {looks.next_step}. {one_line(exported.comparison)}; {looks.what}"
        if looks
        else f"DRY RUN: {NOTHING}. {one_line(exported.comparison)}"
    )
    lines = [
        f"{begin}.",
        f"The export has {jobs(exported.jobs)}, {exported.enabled} of them enabled.",
        *([exported.text] if exported.text and not exported.unchanged else []),
        *([f"The first piece could be sent at {moment(exported.wait_until)}."] if exported.wait_until else []),
        *(f"{kind}: {_named(exported.plan[kind])}" for kind in exported.plan),
    ]
    return "\n".join(lines)


def failover(judgement: Mapping[str, Any]) -> str:
    """Say what a run of the failover DAG would do.

    :param judgement: as :meth:`denodo_ha.situation.Judgement.to_json` has it.
    """
    action = judgement.get("action")
    would = _ACTIONS[Action(action)] if action in tuple(Action) else f"go on with {word(action)}"
    servers = judgement.get("jobs")
    enabled = [
        f"the {role} has {numbers[0]} of {numbers[1]} jobs enabled"
        for role, numbers in (servers if isinstance(servers, Mapping) else {}).items()
    ]
    lines = [
        f"DRY RUN: {NOTHING}. [{word(judgement.get('code'))}] {word(judgement.get('what'))}. A run would {would}.",
        f"Next: {how}." if (how := word(judgement.get("next_step"))) not in ("", "nothing") else "",
        f"It rests on this: the verdict is {word(judgement.get('verdict'))}"
        + (
            f", the pair is in phase {judgement['phase']}"
            if judgement.get("phase")
            else ", the pair has no usable record"
        )
        + (f", the {judgement['active']} is the active server" if judgement.get("active") else "")
        + "".join(f", {each}" for each in enabled)
        + ".",
    ]
    return "\n".join(filter(None, lines))


def carried_over(plan: Mapping[str, Any]) -> str:
    """Say in one sentence what a switchover carries over.

    :param plan: the result of its check.
    """
    return f"{jobs(count(plan.get('enable')) or 0)} would go over from the {word(plan.get('from'))} to the {_to(plan)}"


def switchover(plan: Mapping[str, Any]) -> str:
    """Say what a switchover would do, what runs now, and what is due meanwhile.

    :param plan: the result of its check.
    """
    to, gap, limit = _to(plan), seconds(plan.get("gap_seconds")), seconds(plan.get("drain_timeout_seconds"))
    took = (
        f"about {gap} if it began now" if gap else f"an unknown time, {limit} at most until it gives up or stops jobs"
    )
    rows = (
        ("Missing there, and left behind", "missing"),
        ("With another definition there", "different"),
        (f"On the {to} only", "only_there"),
    )
    due, running = of(plan, "due", "occurrences"), count(plan.get("running")) or 0
    ready = plan.get("not_ready")
    lines = [
        f"DRY RUN: {NOTHING}. {carried_over(plan)}, and run on neither server for {took}.",
        f"{jobs(count(plan.get('stay_disabled')) or 0)} would stay disabled.",
        *(f"{said}: {_named(plan[name])}" for said, name in rows if count(plan.get(name))),
        f"Not at rest now, and waited for: {_running(plan)}" if running else "No job runs now.",
        "What is due meanwhile is not known." if due is None else f"Due meanwhile: {_due(plan, due)}",
        *(["Not ready:", *(f"* {word(each)}" for each in ready)] if ready else []),
    ]
    return "\n".join(lines)


def _to(plan: Mapping[str, Any]) -> str:
    return word(plan.get("to"))


def _named(value: Any) -> str:
    number, names = count(value) or 0, of(value, "names")
    some = listed(names, 20) if isinstance(names, list) else word(names)
    return f"{jobs(number)}{f' ({some})' if some else ''}"


def _running(plan: Mapping[str, Any]) -> str:
    rows = of(plan, "running", "listed") or []
    said = []
    for row in rows:
        since, usual = row.get("since"), seconds(row.get("usual_seconds"))
        how = [f"since {moment(since)}" if since else "", f"usually {usual}" if usual else ""]
        said.append(f"{row['job']} ({', '.join([row['state'].lower(), *filter(None, how)])})")
    number = count(plan["running"]) or 0
    more = f" and {number - 20} more" if number > 20 else ""
    return f"{jobs(number)}: {', '.join(said[:20])}{more}"


def _due(plan: Mapping[str, Any], number: int) -> str:
    if not number:
        return "nothing, by cron."
    named = listed((f"{row['job']} at {moment(row['at'])}" for row in of(plan, "due", "listed") or []), 5)
    zone = word(of(plan, "due", "time_zone"))
    return f"{many(number, 'occurrence')} by cron ({named}; time zone {zone})."
