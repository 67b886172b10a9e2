"""What an alert says to people, and when a run of the failover DAG is late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.decisions import DECISIONS
from denodo_ha.pairs import Pair
from denodo_ha.reason import Reason
from denodo_ha.text import one_line
from denodo_ha.watching import MONITOR_STOPPED

_LINKS = "{% if runbook %}\nWhat to do: {{ runbook }}{% endif %}{% if page %}\nThe pair: {{ page }}{% endif %}"
_HTML_LINKS = (
    '{% if runbook %}<p><a href="{{ runbook | e }}">What to do</a></p>\n{% endif %}'
    '{% if page %}<p><a href="{{ page | e }}">The pair {{ event.pair | e }}</a></p>\n{% endif %}'
)

TEXTS = {
    "subject": "{{ message }}",
    "text": "{{ message }}" + _LINKS,
    "body": "{{ message }}" + _LINKS,
    "html_content": "<p>{{ message | e }}</p>\n" + _HTML_LINKS + "<pre>\n"
    "{% for key, value in event.items() %}{{ key | e }}: {{ value | e }}\n{% endfor %}</pre>",
}
"""What notifiers are told to say where they have such an argument and the pair does not give it."""

WRONG_PAIR = "wrong_pair"
"""The reason code of a pair that the file of pairs has wrong."""

TEST = "test"
"""The alert of a test message, which each notifier gets."""

SLACK = timedelta(minutes=10)
"""How much longer than planned a run may take: waiting for a worker, enabling many jobs, reporting."""


def message(pair: Pair, alert: str, event: Mapping[str, Any]) -> str:
    """Say in one line what happened, and what a person can do.

    An event without ``what`` and ``next_step`` is spoken for by the decision of its ``code``, or by its facts.
    """
    decision = DECISIONS.get(event.get("code") or "")
    what = event.get("what") or (decision.what if decision else _facts(event))
    next_step = event.get("next_step") or (decision.next_step if decision else "")
    said = f"[{pair.name}] {alert}: {one_line(what)}."
    return f"{said} Next: {one_line(next_step)}." if next_step else said


def run_note(event: Mapping[str, Any]) -> str:
    """Say in one sentence what a run has done, from the event that tells of it."""
    after = event.get("after") or {}
    enabled = event.get("enabled", after.get("enabled"))
    counts = {
        "jobs missing there": event.get("missing"),
        "jobs that could not be enabled": event.get("failed"),
        "jobs pending": event.get("pending"),
    }
    facts = [
        f"the {after['active']} is active" if after.get("active") else "",
        f"{event['jobs']} jobs of the {event['source']}" if event["kind"] == "sync" else "",
        f"{enabled} jobs enabled{' there' if event['kind'] == 'sync' else ''}" if isinstance(enabled, int) else "",
        *(f"{found['jobs']} {what}" for what, found in counts.items() if isinstance(found, dict) and found["jobs"]),
        f"{missed} occurrences missed" if (missed := (event.get("missed") or {}).get("occurrences")) else "",
        str(event.get("comparison") or event.get("why") or ""),
        f"not ready: {'; '.join(event['not_ready'])}" if event.get("not_ready") else "",
    ]
    return f"{event['kind'].replace('_', ' ').upper()}: {one_line(', '.join(filter(None, facts)))}"


def look_note(comparison: str, looks: Reason) -> str:
    """Say in one line what a run has seen that only looked.

    :param comparison: what a sync would have to deliver.
    :param looks: why the run only looked, and what a person does to begin; it comes first, because Airflow cuts notes.
    """
    return f"LOOKED ONLY: nothing was changed. To begin: {looks.next_step}. {one_line(comparison)}; {looks.what}"


def _facts(event: Mapping[str, Any]) -> str:
    after = event.get("after")
    facts = {
        "epoch": event.get("epoch"),
        "by": event.get("actor"),
        "active server": after.get("active") if isinstance(after, dict) else None,
        "because": event.get("reason"),
    }
    kind = (event.get("kind") or "event").replace("_", " ")
    return ", ".join([kind, *(f"{name} {fact}" for name, fact in facts.items() if fact)])


def allowed(pair: Pair) -> timedelta:
    """How long after it was queued a run of the failover DAG is late."""
    asking = pair.failover.approval_timeout if pair.failover.policy == "approval" else timedelta(0)
    draining = pair.failover.drain_timeout  # meanwhile the switchover has the pair's slot, in which a run reports
    return pair.watch.duration + 2 * pair.watch.fall * pair.watch.probe_interval + asking + draining + SLACK


def late_event(pair: Pair, run: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Make the event of a late run.

    :param run: of the failover DAG, as Airflow's REST API shows it.
    """
    run_id = run.get("dag_run_id")
    return {
        "kind": MONITOR_STOPPED,
        "pair": pair.name,
        "epoch": None,
        "at": now.isoformat(),
        "code": MONITOR_STOPPED,
        "run": run_id,
        "what": f"nothing watches the pair: the run {run_id} of {pair.dag_id_failover}, queued at "
        f"{run.get('queued_at')}, has not ended",
        "next_step": "look at Airflow's triggerer and workers; while the monitor stands still, nothing fails over",
    }


def test_event(pair: Pair, now: datetime) -> dict[str, Any]:
    """Make the event of a test message."""
    return {
        "kind": TEST,
        "pair": pair.name,
        "epoch": None,
        "at": now.isoformat(),
        "code": TEST,
        "what": "this is a test message that a person has asked for, and nothing is wrong",
        "next_step": "none",
    }


def wrong_pair_event(name: str, what: str, now: datetime) -> dict[str, Any]:
    """Make the event of a pair that the file of pairs has wrong.

    :param what: what is wrong, and what that costs.
    """
    return {
        "kind": "problem",
        "pair": name,
        "epoch": None,
        "at": now.isoformat(),
        "code": WRONG_PAIR,
        "what": what,
        "next_step": "correct the file of pairs; denodo-ha check-config lists its mistakes with file and line, and "
        "Airflow takes it up by itself",
    }
