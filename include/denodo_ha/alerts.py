"""What an alert says to people, and when a run of the failover DAG is late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from denodo_ha.decisions import DECISIONS
from denodo_ha.pairs import Pair
from denodo_ha.text import one_line
from denodo_ha.told import text, with_text
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
    """Say in one line what happened, by the event's sentence, and what a person can do: what the event says of that, or
    the decision of its ``code``."""
    code = event.get("code")
    decision = DECISIONS.get(code) if isinstance(code, str) else None
    next_step = event.get("next_step") or (decision.next_step if decision else "")
    said = f"[{pair.name}] {alert}: {text(event)}."
    return f"{said} Next: {one_line(next_step)}." if next_step else said


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
    return with_text(
        {
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
    )


def test_event(pair: Pair, now: datetime) -> dict[str, Any]:
    """Make the event of a test message."""
    return with_text(
        {
            "kind": TEST,
            "pair": pair.name,
            "epoch": None,
            "at": now.isoformat(),
            "code": TEST,
            "what": "this is a test message that a person has asked for, and nothing is wrong",
            "next_step": "none",
        }
    )


def wrong_pair_event(name: str, what: str, now: datetime) -> dict[str, Any]:
    """Make the event of a pair that the file of pairs has wrong.

    :param what: what is wrong, and what that costs.
    """
    return with_text(
        {
            "kind": "problem",
            "pair": name,
            "epoch": None,
            "at": now.isoformat(),
            "code": WRONG_PAIR,
            "what": what,
            "next_step": "correct the file of pairs; denodo-ha check-config lists its mistakes with file and line, and "
            "Airflow takes it up by itself",
        }
    )
