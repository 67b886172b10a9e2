"""What the page says of a pair in each state: who runs the jobs, since when, why, and what comes next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from denodo_ha import board
from denodo_ha.decisions import Situation
from denodo_ha.jobs import JobKey
from denodo_ha.offers import OFFERS, TITLES, Rights, sensible
from denodo_ha.pairs import Pair
from denodo_ha.record import (
    Approval,
    Dirty,
    Operation,
    Pause,
    PendingJob,
    Phase,
    Promotion,
    Record,
    Role,
    SnapshotRef,
    Step,
    SyncProblem,
)
from denodo_ha.sight import Event, Seen, Sight
from denodo_ha.status import Reading, judge
from denodo_ha.story import VERDICTS, story
from denodo_ha.transitions import halted
from denodo_ha.verdict import Verdict

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
HEALTH = {name: {"status": "healthy"} for name in ("metadatabase", "scheduler", "triggerer")}
PAIR = Pair(name="p")
DAGS = {
    dag_id: {"dag_id": dag_id, "is_paused": False, "is_stale": False, "description": ""}
    for dag_id in (PAIR.dag_id_failover, PAIR.dag_id_sync, PAIR.dag_id_switchover, PAIR.dag_id_operations)
}
ALL = Rights(frozenset(DAGS), answers=True)
SNAPSHOT = SnapshotRef(
    id="s", taken=NOW - HOUR, committed=NOW - HOUR, imported=NOW - HOUR, content_hash="c", manifest_hash="m", jobs=9,
    enabled=5,
)  # fmt: skip
NORMAL = Record(master="m:8000", slave="s:8000", snapshot=SNAPSHOT)
OVER = NORMAL.model_copy(
    update={
        "phase": Phase.FAILED_OVER,
        "active": Role.SLAVE,
        "epoch": 2,
        "acknowledged": False,
        "last_promotion": Promotion(id="f", kind="failover", at=NOW - 3 * HOUR, plan="s", complete=True),
    }
)
FAILING_OVER = NORMAL.model_copy(
    update={
        "phase": Phase.FAILING_OVER,
        "epoch": 2,
        "operation": Operation(
            kind="failover",
            id="f",
            target="s:8000",
            step=Step.ENABLING,
            started=NOW,
            lease_until=NOW + MINUTE,
            plan="s",
        ),
    }
)
FAILOVER = {
    "id": "1", "kind": "failover", "at": (NOW - 3 * HOUR).isoformat(), "actor": "asset_triggered", "reason": "",
    "operation": "f", "after": {"active": "slave"},
}  # fmt: skip


@dataclass(frozen=True)
class State:
    """:param says: what each sentence has to hold, in the order of the story's keys."""

    record: Record | Mapping[str, Any] | None
    situation: Situation = field(default_factory=Situation)
    verdict: str = "up"
    says: Mapping[str, str] = field(default_factory=dict)
    code: str = "healthy"
    watch: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    jobs: Mapping[str, list[int]] = field(default_factory=lambda: {"master": [5, 9], "slave": [0, 9]})
    looked: timedelta = 5 * MINUTE
    event: Mapping[str, Any] | None = None
    offers: tuple[str, ...] = ()
    level: str = "OK"


STATES = {
    "normal": State(
        NORMAL,
        says={
            "now": "The master is the active server and runs the jobs (5 of 9 enabled)",
            "why": "Last look 5 min ago: the master answers",
            "tool": "It watches both servers, and fails over when the master is down.",
            "you": "Nothing has to be done.",
            "ready": "The slave is ready to take over: its jobs were verified as of 60 min ago",
        },
    ),
    "normal since a failback": State(
        NORMAL,
        event={"kind": "failback", "actor": "anna", "reason": "repaired", "after": {"active": "master"}},
        says={"now": "since 2026-03-01 12:00Z, less than a minute ago (a failback by anna: repaired)"},
    ),
    "control path broken": State(
        NORMAL,
        verdict="control_path_broken",
        code="control_path_broken",
        says={
            "now": "The master's web tool cannot be used, but its Scheduler lives",
            "why": "the master's Scheduler lives",
            "tool": "It changes nothing by itself",
            "you": "Repair the master's web tool",
            "ready": "But syncs wait for the master's web tool",
        },
        level="WARNING",
    ),
    "failing over": State(
        FAILING_OVER,
        Situation(resuming=True),
        "down",
        says={
            "now": "A failover to the slave is under way: the jobs are being enabled on the slave",
            "why": "the master is down",
            "tool": "It goes on by itself, also after a crash",
            "ready": "the active server is being changed right now",
        },
        code="fail_over",
        level="WARNING",
    ),
    "failed over": State(
        OVER,
        Situation(slave_enabled=True, master_enabled=None),
        "down",
        jobs={"slave": [5, 9]},
        event=FAILOVER,
        code="failed_over",
        says={
            "now": "The slave is the active server and runs the jobs (5 of 9 enabled), since 2026-03-01 09:00Z, 3h ago "
            "(a failover by the tool itself, because the master was down)",
            "why": "the master is down",
            "tool": "disables jobs that the master shows",
            "you": "Here: Acknowledge",
            "ready": "The master is not ready to take over: it did not answer at the last look",
        },
        offers=("acknowledge",),
        level="WARNING",
    ),
    "master back": State(
        OVER.model_copy(update={"acknowledged": True}),
        Situation(slave_enabled=True, master_enabled=False),
        jobs={"master": [0, 9], "slave": [5, 9]},
        code="master_back",
        says={
            "now": "The master is back and none of its jobs is enabled",
            "you": "Here: Re-protect, Fail back",
            "ready": "The master is not ready to take over: it was not re-protected",
        },
        offers=("reprotect", "fail_back"),
        level="WARNING",
    ),
    "master back and re-protected": State(
        OVER.model_copy(
            update={"acknowledged": True, "snapshot": SNAPSHOT.model_copy(update={"source": Role.SLAVE})}
        ),
        Situation(slave_enabled=True, master_enabled=False),
        code="master_back",
        jobs={"master": [0, 9], "slave": [5, 9]},
        says={"ready": "The master is ready to take over: its jobs were verified as of 60 min ago"},
        offers=("reprotect", "fail_back"),
        level="WARNING",
    ),
    "blocked by a stale snapshot": State(
        NORMAL,
        Situation(snapshot_fresh=False, master_enabled=None),
        "down",
        watch={"oldest_snapshot": 1800},
        code="stale_snapshot",
        says={
            "now": "The master is the active server and does not answer, last heard 2h ago",
            "why": "The master was last heard",
            "tool": "It does not fail over before a sync succeeds or a person accepts the old snapshot",
            "you": "Here: Fail over with an old snapshot",
            "ready": "The slave is not ready to take over: the last verified snapshot is older",
        },
        offers=("fail_over_old",),
        level="CRITICAL",
    ),
    "split brain": State(
        OVER.model_copy(update={"acknowledged": True}),
        Situation(slave_enabled=True, master_enabled=True),
        jobs={"master": [4, 9], "slave": [5, 9]},
        watch={"what": "both servers have enabled jobs", "next_step": "stop the master's Scheduler"},
        code="split_brain",
        says={
            "now": "The slave is the active server and runs the jobs (5 of 9 enabled), and the other one has enabled "
            "jobs too",
            "why": "4 of 9 jobs enabled on the master; 5 of 9 jobs enabled on the slave",
            "tool": "It tries to disable the master's jobs until that succeeds",
            "you": "Stop the master's Scheduler.",
        },
        level="CRITICAL",
    ),
    "halted": State(
        halted(NORMAL, now=NOW - HOUR, code="by_hand", reason="something is odd", by="anna"),
        code="halted",
        says={
            "now": "The pair was halted by anna 60 min ago: something is odd",
            "tool": "It only looks, and changes nothing on either server",
            "you": "Here: Release, Initialise",
        },
        offers=("release", "initialise"),
        level="CRITICAL",
    ),
    "monitor stopped": State(
        NORMAL,
        looked=3 * HOUR,
        says={
            "now": "the last look at the pair was 3h ago. As of 3h ago: the master is the active server",
            "why": "Nothing newer is known, because the monitor has stopped",
            "tool": "It does nothing: nothing watches the pair",
            "you": "Look at the runs of denodo_scheduler_failover__p",
            "ready": "As of 3h ago: the slave is ready",
        },
        level="CRITICAL",
    ),
    "DAG paused": State(
        NORMAL,
        reading={"dag": {"is_paused": True}},
        says={"now": "Monitor stopped: the failover DAG is paused", "you": "Unpause denodo_scheduler_failover__p"},
        level="CRITICAL",
    ),
    "nothing enabled": State(
        NORMAL,
        Situation(master_enabled=False),
        jobs={"master": [0, 9], "slave": [0, 9]},
        code="nothing_enabled",
        says={
            "now": "The master is the active server, and no job is enabled on it, so nothing runs",
            "tool": "looks again about every two minutes",
            "you": "Resume the Scheduler of the active server",
            "ready": "The slave is ready to take over",
        },
        offers=("sync",),
        level="CRITICAL",
    ),
    "paused": State(
        NORMAL.model_copy(update={"paused": Pause(since=NOW, reason="patch day", by="anna", until=NOW + HOUR)}),
        Situation(paused=True),
        code="paused",
        says={
            "now": "Automation is paused: patch day",
            "tool": "It observes and changes nothing, until 2026-03-01 13:00Z",
            "you": "Here: Resume",
        },
        offers=("resume",),
        level="WARNING",
    ),
    "no record yet": State(
        None,
        verdict="",
        code="not_initialised",
        watch={"epoch": 0},
        says={
            "now": "There is no HA record, so nothing would fail over. 5 of 9 jobs enabled on the master",
            "tool": "nothing would fail over",
            "you": "Look which server has enabled jobs",
            "ready": "without an HA record nothing is ready to take over",
        },
        offers=("initialise", "sync"),
        level="CRITICAL",
    ),
    "record damaged": State(
        {"schema_number": 5, "phase": "odd"},
        code="record_unusable",
        watch={"what": "the record cannot be read", "next_step": "initialise"},
        says={
            "now": "The pair's HA record cannot be read",
            "you": "initialise the pair with its operations DAG. Here: Initialise",
        },
        offers=("initialise",),
        level="CRITICAL",
    ),
    "approval asked": State(
        NORMAL.model_copy(update={"approval": Approval(requested_by="scheduled__1", until=NOW + HOUR)}),
        Situation(automatic=False, approval_asked=True, master_enabled=None),
        "down",
        code="approval_asked",
        says={
            "now": "and a person is asked to approve the failover",
            "tool": "It waits for the answer",
            "you": "Here: Approve",
        },
        offers=("approve",),
        level="CRITICAL",
    ),
    "a sync fails": State(
        NORMAL.model_copy(
            update={
                "sync_problem": SyncProblem(since=NOW - HOUR, code="connection", what="refused", next_step="log in"),
                "dirty": Dirty(since=NOW - HOUR, reason="an import was begun"),
            }
        ),
        Situation(dirty=True),
        code="dirty_snapshot",
        says={"ready": "The slave is not ready to take over: it cannot be trusted (an import was begun)"},
        offers=("sync",),
        level="WARNING",
    ),
}  # fmt: skip


def seen(state: State, **fields: Any) -> Seen:
    at = (NOW - state.looked).isoformat()
    record = state.record.to_json() if isinstance(state.record, Record) else state.record
    watch = {
        "verdict": state.verdict,
        "code": state.code,
        "at": at,
        "since": at,
        "settled": True,
        "situation": asdict(state.situation),
        "jobs": state.jobs,
        "epoch": state.record.epoch if isinstance(state.record, Record) else 0,
        "last_alive": (NOW - 2 * HOUR).isoformat(),
        **state.watch,
    }
    reading = replace(Reading(record, watch, DAGS[PAIR.dag_id_failover], HEALTH), **state.reading)
    changed = Event(7, NOW, state.event) if state.event else None
    return Seen("p", reading, **{"dags": DAGS, "changed": changed, "last": changed, **fields})


@pytest.mark.parametrize("name", STATES)
def test_each_state_is_told(name: str) -> None:
    state = STATES[name]
    found = board.detail(seen(state), ALL, NOW)
    print(f"\n{name}: {found['level']}: {found['what']}. Next: {found['next_step']}")
    for key, text in found["story"].items():
        print(f"   {key}: {text}")
    assert found["level"] == state.level
    for key, text in state.says.items():
        assert text in found["story"][key]
    assert all(text and text.endswith(".") for text in found["story"].values())
    assert found["suggested"] == list(state.offers)


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("record", [NORMAL, OVER, FAILING_OVER, Record()])
def test_every_verdict_has_a_whole_story(record: Record, verdict: Verdict) -> None:
    for situation in (Situation(), Situation(paused=True), Situation(slave_reachable=False, master_enabled=None)):
        found = story(Sight(seen(State(record, situation, str(verdict))), NOW))
        assert VERDICTS[verdict] in found["why"]
        assert all(text and text.endswith(".") for text in found.values())


def test_the_page_and_the_command_say_the_same() -> None:
    for state in STATES.values():
        sight = Sight(seen(state), NOW)
        said = judge("p", sight.seen.reading, NOW, timedelta(hours=1))
        assert sight.level is said.level
        assert sight.findings == said.findings
        assert all(each.text in said.summary for each in sight.findings if each.level is said.level)


def test_what_makes_no_sense_comes_last_with_its_reason() -> None:
    found = board.detail(seen(STATES["normal"]), ALL, NOW)["actions"]
    by_id = {each["id"]: each for each in found}
    assert [each["id"] for each in found if not each["why_not"]][:2] == ["look", "dry_look"]
    assert "already" not in by_id["switch_over"]["why_not"]
    assert by_id["switch_over"]["why_not"] == ""
    assert by_id["fail_back"]["why_not"] == "the master is the active server already"
    assert by_id["fail_over"]["why_not"].startswith("the master is alive")
    assert by_id["resume"]["why_not"] == "The pair is not paused"
    assert by_id["switch_over"]["conf"] == {"direction": "to_slave"}
    assert by_id["switch_over"]["url"] == "dags/denodo_scheduler_switchover__p"
    firsts = [bool(each["why_not"]) for each in found]
    assert firsts == sorted(firsts)


def test_without_the_right_an_action_says_so() -> None:
    found = board.detail(seen(STATES["normal"]), Rights(), NOW)["actions"]
    assert not any(each["allowed"] for each in found)
    assert all(each["why_not"] for each in found)
    assert found[0]["why_not"].startswith("you may not run denodo_scheduler_")


def test_an_action_of_a_dag_that_airflow_does_not_find_or_that_is_paused_says_so() -> None:
    sync = PAIR.dag_id_sync
    for changed, why in (({"is_stale": True}, f"Airflow does not find {sync}"), ({"is_paused": True}, "stay queued")):
        dags = {**DAGS, sync: {**DAGS[sync], **changed}}
        found = board.detail(seen(STATES["normal"], dags=dags), ALL, NOW)["actions"]
        assert why in next(each["why_not"] for each in found if each["id"] == "sync")
        assert next(each["why_not"] for each in found if each["id"] == "look") == ""


def test_the_approval_leads_to_the_run_that_asks() -> None:
    found = board.detail(seen(STATES["approval asked"]), ALL, NOW)["actions"]
    approve = next(each for each in found if each["id"] == "approve")
    assert approve["url"] == f"dags/{PAIR.dag_id_failover}/runs/scheduled__1/required_actions"
    assert approve["allowed"]


def test_doubts_are_filled_into_the_form() -> None:
    pending = PendingJob(key=JobKey(project="P", name="J"), code="unsafe", why="it may fire", on_target=False)
    record = NORMAL.model_copy(update={"pending": (pending,)})
    found = board.detail(seen(replace(STATES["normal"], record=record)), ALL, NOW)
    accept = next(each for each in found["actions"] if each["id"] == "accept_doubts")
    assert accept["conf"] == {"operation": "acknowledge", "doubts": [each["name"] for each in found["doubts"]]}
    assert found["sync"]["pending"] == [{"job": str(pending.key), "why": "it may fire", "next_step": ""}]
    assert found["sync"]["pending_count"] == 1
    assert "But there is a doubt" in found["story"]["ready"]


def test_a_form_says_what_it_needs_and_what_moves_production() -> None:
    by_id = {each["id"]: each for each in board.detail(seen(STATES["normal"]), ALL, NOW)["actions"]}
    assert by_id["initialise"]["needs"] == ["reason", "active"]
    assert by_id["accept_doubts"]["needs"] == ["reason", "doubts"]
    assert {id for id, each in by_id.items() if each["moves"]} == {
        "deliver_now", "reprotect", "switch_over", "fail_back", "fail_over", "fail_over_old", "fail_over_fenced",
        "drill", "halt", "release", "initialise",
    }  # fmt: skip


def test_findings_have_no_codes_in_their_words() -> None:
    watch = {"what": "jobs cannot be disabled: [still_enabled] 6 jobs. Next: look", "next_step": "stop it"}
    state = replace(STATES["split brain"], watch=watch)
    found = board.detail(seen(state), ALL, NOW)
    assert "[" not in found["what"] + "".join(each["text"] for each in found["findings"])


def test_a_pair_that_is_wrong_in_the_file_of_pairs_says_where() -> None:
    trace = (
        "Traceback (most recent call last):\n  File x\ndenodo_ha.pairs_file.PairsError: 2 mistakes:\n"
        "/x/pairs.yaml:3: pairs.p: unknown option\n/x/pairs.yaml:9: pairs.p-2.watch: no duration"
    )
    wrong = board.about_import(trace, "p")
    assert wrong == "/x/pairs.yaml:3: pairs.p: unknown option"
    state = replace(STATES["normal"], reading={"dag": {"is_stale": True}})
    found = board.detail(seen(state, wrong=wrong), ALL, NOW)
    assert found["level"] == "CRITICAL"
    assert "pairs.yaml:3: pairs.p: unknown option" in found["what"]
    assert "file of pairs" in found["next_step"]
    assert board.about_import(trace, "p-2") == "/x/pairs.yaml:9: pairs.p-2.watch: no duration"
    assert board.about_import(trace, "other") is None
    assert "Traceback" not in (board.about_import(trace) or "")


@pytest.mark.parametrize(
    "damaged",
    [
        {"watch": {"paths": "x", "jobs": 7, "at": 5, "verdict": "odd"}},
        {"watch": {"paths": {"master": 7, "second": {"said": ["x"], "what": {}, "at": None}}}},
        {"record": "odd"},
        {"record": {"schema_number": 99}},
    ],
)
def test_damaged_entries_are_told_and_do_no_harm(damaged: dict[str, Any]) -> None:
    reading = replace(seen(STATES["normal"]).reading, **damaged)
    found = board.detail(replace(seen(STATES["normal"]), reading=reading, check={"x": 1}), ALL, NOW)
    assert all(found["story"].values())
    assert found["check"]["level"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("extra", "level", "seconds"),
    [
        ({"kind": "sync", "text": "it is\na plan"}, "ok", None),
        ({"kind": "failover", "rto_seconds": 13.5}, "critical", 13.5),
        ({"kind": "switchover", "gap_seconds": 8}, "notice", 8.0),
        ({"kind": "problem", "alert": "split_brain"}, "critical", None),
        ({"kind": "problem", "alert": "blocked"}, "warning", None),
        ({"kind": "drill", "ok": False, "seconds": True}, "warning", None),
        ({}, "notice", None),
        ({"kind": 7, "actor": ["x"], "at": 9}, "notice", None),
    ],
)
def test_each_event_is_a_short_line(extra: dict[str, Any], level: str, seconds: float | None) -> None:
    [line] = board.history([Event(3, NOW, extra, "a b", "r/1")])
    assert (line["level"], line["seconds"]) == (level, seconds)
    assert line["text"]
    assert "\n" not in line["text"]
    assert line["run_url"] == "dags/a%20b/runs/r%2F1"
    assert line["at"] == NOW.isoformat()


@pytest.mark.parametrize(
    ("actor", "who"),
    [("operator_triggered", "the tool itself"), ("scheduled", "the tool itself"), ("ana", "ana"), (None, "")],
)
def test_what_no_person_has_started_was_done_by_the_tool_itself(actor: str | None, who: str) -> None:
    [line] = board.history([Event(3, NOW, {"kind": "failover", "actor": actor})])
    assert line["who"] == who


def test_an_event_that_was_delivered_twice_is_listed_once() -> None:
    twice = [Event(n, NOW, {"id": "x", "kind": "sync"}) for n in (9, 4)]
    assert [line["n"] for line in board.history([twice[0], Event(5, NOW, {"id": "y"}), twice[1]])] == [9, 5]


def test_the_worst_pair_comes_first() -> None:
    names = ("normal", "paused", "halted", "normal")
    pairs = [replace(seen(STATES[name]), pair=f"p{number}") for number, name in enumerate(names)]
    assert [row["pair"] for row in board.rows(pairs, NOW)] == ["p2", "p1", "p0", "p3"]


def test_a_text_stays_the_same_for_a_minute() -> None:
    """So that a page that asks every few seconds is told that nothing has changed."""
    first, second = (board.detail(seen(STATES["failed over"]), ALL, NOW + timedelta(seconds=s)) for s in (1, 50))
    assert {**first, "at": ""} == {**second, "at": ""}


def test_the_connections_are_those_of_the_dag() -> None:
    from denodo_scheduler.dags.failover import failover_dag

    pair = Pair(name="p", master="m x", slave="the slave")
    assert board.connections(failover_dag(pair).description) == {"master": "m x", "slave": "the slave"}
    assert board.connections(None) == {"master": "", "slave": ""}


def test_each_offer_has_its_own_id() -> None:
    assert len(TITLES) == len(OFFERS)


def test_a_form_needs_what_its_dag_refuses_it_without() -> None:
    needs = {offer.id: offer.needs for offer in OFFERS}
    without = {"look", "dry_look", "check", "sync", "dry_sync", "deliver_now", "reprotect", "approve"}
    assert {id_ for id_, fields in needs.items() if "reason" not in fields} == without
    assert [id_ for id_, fields in needs.items() if "active" in fields] == ["initialise"]
    found = board.detail(seen(State(NORMAL)), ALL, NOW)["actions"]
    assert {each["id"]: each["needs"] for each in found} == needs


@pytest.mark.parametrize(
    ("record", "possible"),
    [
        (None, {"look", "dry_look", "check", "doctor", "sync", "dry_sync", "initialise"}),
        ({"damaged": 1}, {"look", "dry_look", "check", "doctor", "initialise"}),
        ({"schema_number": 99}, {"look", "dry_look", "check", "doctor"}),
    ],
)
def test_without_a_record_only_that_is_offered_which_its_dag_does(record: Any, possible: set[str]) -> None:
    sight = Sight(Seen("p", Reading(record, {}, DAGS[PAIR.dag_id_failover], HEALTH), dags=DAGS), NOW)
    assert sensible(sight) == possible


def test_nothing_is_initialised_while_a_task_may_change_a_server() -> None:
    def possible(lease_until: datetime) -> bool:
        assert FAILING_OVER.operation is not None
        operation = FAILING_OVER.operation.model_copy(update={"lease_until": lease_until})
        record = halted(FAILING_OVER, now=NOW, code="c", reason="r", by="b")
        return "initialise" in sensible(Sight(seen(State(record.model_copy(update={"operation": operation}))), NOW))

    assert not possible(NOW + MINUTE)
    assert possible(NOW - MINUTE)


def test_clocks_that_differ() -> None:
    sight = Sight(seen(State(NORMAL)), NOW)
    assert sight.ago(NOW + timedelta(seconds=9)) == sight.ago(NOW - timedelta(seconds=9)) == "less than a minute ago"
    assert sight.ago(NOW + 2 * HOUR) == "2h in the future, by a clock that is wrong"


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-05:00", "2026-06-01T00:00:00+02:00"])
def test_a_pause_until_the_end_of_time_is_told(until: str) -> None:
    record = NORMAL.model_copy(update={"paused": Pause(since=NOW, reason="r", by="b", until=until)})  # type: ignore[arg-type]
    assert board.detail(seen(State(record)), ALL, NOW)["paused"]["until"]
    assert Record.from_json(record.to_json()) == record


def test_a_look_from_the_future_proves_no_monitor() -> None:
    found = board.detail(seen(State(NORMAL, looked=-3 * HOUR)), ALL, NOW)
    assert found["level"] == "CRITICAL"
    assert "monitor stopped: the last look at the pair was in 3h, by a clock that is wrong" in found["what"]
    assert board.detail(seen(State(NORMAL, looked=-MINUTE)), ALL, NOW)["level"] == "OK"


def test_thousands_of_doubts_are_counted_and_the_first_are_named() -> None:
    pending = tuple(
        PendingJob(
            key=JobKey(project="P", name=f"j{n}"), code="no_moment", why="w" * 100, next_step="", on_target=False
        )
        for n in range(5000)
    )
    found = board.detail(seen(State(NORMAL.model_copy(update={"pending": pending}))), ALL, NOW)
    assert (found["doubts_count"], len(found["doubts"])) == (5000, board.NAMED_JOBS)
    assert len(json.dumps({**found, "actions": []})) < 50_000
    [accept] = [each for each in found["actions"] if each["id"] == "accept_doubts"]
    assert len(accept["conf"]["doubts"]) == 5000


def test_a_first_failover_under_way_is_no_stopped_monitor() -> None:
    """Its look is in no watch yet, and has led to the operation that the record holds."""
    never = {"at": "", "since": "", "verdict": "", "code": "", "situation": {}, "last_alive": ""}
    found = board.detail(seen(replace(STATES["failing over"], watch=never)), ALL, NOW)
    assert "monitor stopped" not in str(found["findings"])
    assert found["story"]["tool"].startswith("It goes on by itself")


def test_what_was_synced_the_other_way_is_no_sync_of_this_way() -> None:
    after = board.detail(seen(STATES["failed over"]), ALL, NOW)["sync"]
    assert (after["from"], after["state"], after["taken"], after["jobs"]) == ("slave", "none", None, None)
    before = board.detail(seen(STATES["normal"]), ALL, NOW)["sync"]
    assert (before["from"], before["state"]) == ("master", "fresh")
