"""What a person reads who is asked whether the slave may take over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from markdown_it import MarkdownIt

from denodo_ha.jobs import JobKey
from denodo_ha.pairs import Pair
from denodo_ha.quartz.missed import UNKNOWN_ZONE, Missed, ServerZone
from denodo_ha.question import Outage, plain, question
from denodo_ha.record import PendingJob, Record, SnapshotRef
from support.pairs import make_pair

NOW = datetime(2026, 3, 1, 12, 7, tzinfo=UTC)
HEARD = NOW - timedelta(minutes=7)
EVIDENCE: dict[str, Any] = {
    "since": (HEARD + timedelta(seconds=2)).isoformat(),
    "last_alive": HEARD.isoformat(),
    "streak": 3,
    "common": "",
    "latest": [
        {
            "at": (HEARD + timedelta(seconds=12)).isoformat(),
            "master": "no_answer",
            "second": "failed",
            "slave": "up",
            "details": {"master": "connection refused", "second": "HTTP 502 <script>alert(1)</script> | x"},
        }
    ],
}
SNAPSHOT = SnapshotRef(
    id="s1",
    taken=NOW - timedelta(minutes=12),
    committed=NOW,
    imported=NOW,
    content_hash="",
    manifest_hash="",
    jobs=1000,
    enabled=463,
)
LOAD = JobKey(project="Sales", name="load *all*")
MISSED = Outage(
    460, (Missed(LOAD, HEARD + timedelta(minutes=1)),), 8, ServerZone(ZoneInfo("Europe/Madrid"), "Europe/Madrid")
)


def asked(pair: Pair | None = None, record: Record | None = None, **changes: Any) -> str:
    given: dict[str, Any] = {
        "now": NOW,
        "last_alive": HEARD,
        "outage": MISSED,
        "valid_for": timedelta(minutes=30),
        "evidence": EVIDENCE,
        **changes,
    }
    evidence = given.pop("evidence")
    return question(pair or make_pair("sales"), record or Record(snapshot=SNAPSHOT), evidence, **given)


def html(markdown: str) -> str:
    return MarkdownIt("commonmark", {"linkify": True}).enable("table").render(markdown)


def test_holds_what_the_approver_must_know() -> None:
    text = asked()
    for said in (
        "It was last heard at 2026-03-01 12:00:00Z, 7 min ago",
        "since 2026-03-01 12:00:02Z no path has shown it alive, in 3 looks in a row",
        "| no answer: connection refused |",
        "| the slave's web tool to the master's Scheduler | a web tool answers with an error of its own",
        "| answers |",
        "460 jobs, which were enabled on the master when the snapshot was taken at 2026-03-01 11:55:00Z, 12 min ago",
        "(the pair allows 2h)",
        "**Missed so far**: 8 occurrences: Sales / load \\*all\\* at 2026-03-01 12:01:00Z",
        "in the time zone Europe/Madrid",
        "**Fencing**: none is configured",
        "**Approve**: the failover DAG looks again at once",
        "The approval holds for 30m",
        "**Reject**: nothing is changed",
        "asked again 1h after this question",
        "trigger `denodo_scheduler_failover__sales` with *Fail over* ticked",
        "go back with `denodo_scheduler_switchover__sales`",
    ):
        assert said in text


def test_is_markdown_with_a_table_and_bold_words() -> None:
    shown = html(asked())
    assert shown.count("<tr>") == 4
    assert "<strong>Reject</strong>" in shown
    assert "<code>denodo_scheduler_failover__sales</code>" in shown


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", "a | b", "`x`", "[x](http://evil)", "**bold**", "a\n\n# head", "![i](x)"]
)
def test_what_others_named_is_shown_as_it_is(evil: str) -> None:
    shown = html(f"word {plain(evil)} word\n")
    assert shown.startswith("<p>word ")
    assert not any(tag in shown for tag in ("<script", "<code", "<a ", "<strong", "<h1", "<img"))
    key = JobKey(project="P", name=" ".join(evil.split()))
    whole = html(asked(outage=Outage(1, (Missed(key, HEARD),), 1, UNKNOWN_ZONE)))
    assert whole.count("<tr>") == 4
    assert not any(tag in whole for tag in ("<script", "<a ", "<img"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "none is configured. A master that only cannot be reached may go on running its jobs"),
        ({"fence": "hooks.power_off"}, "`hooks.power_off` is called first, and the slave takes over also where"),
        (
            {"fence": "hooks.power_off", "fencing": "required"},
            "`hooks.power_off` is called first, and nothing is enabled unless it confirms",
        ),
        ({"fencing": "required"}, "required, and the pair has no hook for it"),
    ],
)
def test_says_what_fencing_does(options: dict[str, Any], said: str) -> None:
    assert f"**Fencing**: {said}" in asked(make_pair("sales", failover=options))


def test_what_cannot_be_told_is_said_to_be_unknown() -> None:
    text = asked(outage=None, last_alive=None, evidence={})
    assert "When it was last heard is not known" in text
    assert "**Missed so far**: not known" in text
    assert "463 jobs" in text
    assert text.count("| not known |") == 3


def test_a_guessed_time_zone_and_no_occurrence() -> None:
    text = asked(outage=Outage(1, (), 0, UNKNOWN_ZONE))
    assert "**Missed so far**: no occurrence. " in text
    assert "UTC, which is a guess" in text


def test_names_pending_jobs_and_a_common_cause() -> None:
    pending = PendingJob(key=LOAD, code="no_moment", why="", on_target=False)
    text = asked(record=Record(snapshot=SNAPSHOT, pending=(pending,)), evidence={**EVIDENCE, "common": "the name x"})
    assert "1 job could not be delivered by the last sync: Sales / load \\*all\\*." in text
    assert "Both paths have this in common, which may be the cause: the name x." in text
