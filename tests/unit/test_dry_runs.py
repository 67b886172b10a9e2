"""What a run that only looks has found, as a person reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from denodo_ha import dry_runs
from denodo_ha.decisions import Action
from denodo_ha.reason import Reason
from denodo_ha.sync_results import Exported

AT = "2026-03-01T12:00:00+00:00"
EXPORTED = Exported(
    snapshot="s1",
    location="",
    taken=AT,
    version="9",
    content_hash="",
    manifest_hash="",
    size=1,
    jobs=1000,
    enabled=60,
    unchanged=False,
    comparison="to deliver: 3 new",
    plan={"added": {"jobs": 3, "names": "Sales / a, Sales / b and 1 more"}},
    text="1. by REST: 3 jobs\npending, no_moment: 1 element",
    wait_until=AT,
)
PLAN: dict[str, Any] = {
    "from": "master",
    "to": "slave",
    "enable": {"jobs": 463, "names": []},
    "stay_disabled": {"jobs": 37, "names": []},
    "missing": {"jobs": 1, "names": ["Sales / new"]},
    "different": {"jobs": 0, "names": []},
    "only_there": {"jobs": 0, "names": []},
    "running": {
        "jobs": 1,
        "listed": [{"job": "Sales / load", "state": "RUNNING", "since": AT, "usual_seconds": 150.0}],
    },
    "gap_seconds": 95.0,
    "drain_timeout_seconds": 900.0,
    "due": {"occurrences": 2, "listed": [{"job": "Sales / load", "at": AT}], "time_zone": "UTC"},
    "not_ready": ["WARNING snapshot: it is old"],
}


def test_sync() -> None:
    assert dry_runs.sync(EXPORTED) == (
        "DRY RUN: nothing was changed. to deliver: 3 new.\n"
        "The export has 1000 jobs, 60 of them enabled.\n"
        "1. by REST: 3 jobs\npending, no_moment: 1 element\n"
        "The first piece could be sent at 2026-03-01 12:00:00Z.\n"
        "added: 3 jobs (Sales / a, Sales / b and 1 more)"
    )


def test_sync_with_nothing_to_do() -> None:
    exported = replace(EXPORTED, unchanged=True, comparison="the slave has all", plan={}, text="", wait_until=None)
    assert dry_runs.sync(exported).splitlines() == [
        "DRY RUN: nothing was changed. the slave has all.",
        "The export has 1000 jobs, 60 of them enabled.",
    ]


def test_a_sync_that_only_looks_says_first_how_to_begin() -> None:
    text = dry_runs.sync(EXPORTED, Reason("not_initialised", "the pair has no record", "initialise it"))
    assert text.startswith("LOOKED ONLY: nothing was changed. To begin: initialise it. to deliver: 3 new; the pair")


def test_failover() -> None:
    judgement = {
        "code": "fail_over",
        "action": "enable_jobs",
        "what": "the master is down: fail over",
        "next_step": "wait",
        "verdict": "down",
        "phase": "normal",
        "active": "master",
        "jobs": {"slave": [0, 60]},
    }
    assert dry_runs.failover(judgement) == (
        "DRY RUN: nothing was changed. [fail_over] the master is down: fail over. A run would go on with the failover "
        "or switchover, and enable jobs.\n"
        "Next: wait.\n"
        "It rests on this: the verdict is down, the pair is in phase normal, the master is the active server, the "
        "slave has 0 of 60 jobs enabled."
    )


def test_each_action_has_words() -> None:
    for action in Action:
        said = dry_runs.failover({"action": str(action), "code": "x", "what": "y", "verdict": "up"})
        assert "A run would go on with" not in said or action is Action.ENABLE_JOBS
        assert "the pair has no usable record" in said


def test_switchover() -> None:
    assert dry_runs.switchover(PLAN).splitlines() == [
        "DRY RUN: nothing was changed. 463 jobs would go over from the master to the slave, and run on neither server "
        "for about 95 s if it began now.",
        "37 jobs would stay disabled.",
        "Missing there, and left behind: 1 job (Sales / new)",
        "Not at rest now, and waited for: 1 job: Sales / load (running, since 2026-03-01 12:00:00Z, usually 2 min)",
        "Due meanwhile: 2 occurrences by cron (Sales / load at 2026-03-01 12:00:00Z; time zone UTC).",
        "Not ready:",
        "* WARNING snapshot: it is old",
    ]


def test_switchover_of_a_server_at_rest_whose_crons_are_not_known() -> None:
    plan = {**PLAN, "running": {"jobs": 0, "listed": []}, "gap_seconds": None, "not_ready": []}
    plan["due"] = {"occurrences": None, "listed": [], "time_zone": "UTC"}
    text = dry_runs.switchover(plan)
    assert "for an unknown time, 15 min at most until it gives up or stops jobs." in text
    assert "No job runs now." in text
    assert text.endswith("What is due meanwhile is not known.")


def test_a_decision_that_asks_nothing_of_people_has_no_next_step() -> None:
    said = dry_runs.failover({"action": "nothing_to_do", "code": "healthy", "what": "x", "next_step": "nothing"})
    assert "Next" not in said
