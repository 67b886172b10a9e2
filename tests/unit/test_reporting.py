"""The comparison of one look at the pair with the last one: what is news, what is over, who looks again."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from airflow.sdk import ObjectStoragePath

from denodo_ha.decisions import DECISIONS, Action, Decision
from denodo_ha.reason import Reason
from denodo_ha.record import Record
from denodo_ha.watching import Watching, silent_failure
from denodo_scheduler.state.record_store import RECORD_KEY, RecordStore
from denodo_scheduler.state.watch_store import WatchStore
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.watch.report import report
from support.pairs import make_pair

BEGAN = datetime(2026, 3, 2, 6, tzinfo=UTC)
NOW = BEGAN + timedelta(minutes=10)
WATCHED = {"ended_by": "watched"}
CHANGED = {"ended_by": "changed"}
PROBLEM = Reason("split_brain", "jobs are enabled on both", "stop the master")


class State(dict[str, Any]):
    def set(self, key: str, value: Any) -> None:
        self[key] = value


class Reported(NamedTuple):
    """What was saved, the events that are new in it, and whether to look again."""

    watching: Watching
    events: tuple[dict[str, Any], ...]
    look_again: bool


def run_of(*, record: Any = None, dry_run: bool = False, **options: Any) -> PairContext:
    state = State({RECORD_KEY: Record(epoch=4).to_json() if record is None else record})
    nothing: Any = SimpleNamespace()
    return PairContext(
        pair=make_pair(**options),
        records=RecordStore(state, ObjectStoragePath(f"file:///nowhere/{uuid4().hex}")),
        snapshots=nothing,
        master=nothing,
        slave=nothing,
        actor="ana",
        run_id="watch-2",
        dry_run=dry_run,
        now=lambda: NOW,
    )


def judgement(code: str, verdict: str = "up") -> dict[str, Any]:
    decision: Decision = DECISIONS[code]
    return {
        "code": code,
        "action": str(decision.action),
        "what": decision.what,
        "next_step": decision.next_step,
        "settled": decision.settled,
        "alert": str(decision.alert) if decision.alert else None,
        "verdict": verdict,
    }


def seen(code: str = "healthy", *, settled: bool = True, owner: str = "watch-2") -> Watching:
    moment = BEGAN.isoformat()
    return Watching(owner=owner, verdict="up", code=code, settled=settled, since=moment, at=moment)


def reported(
    before: Watching,
    code: str | None,
    *,
    problem: Any = None,
    watched: Any = WATCHED,
    by_hand: bool = False,
    **of_run: Any,
) -> Reported:
    said = judgement(code) if code else None
    store = WatchStore(State())
    store.save(before)
    look_again = report(run_of(**of_run), store, said, problem, watched, by_hand=by_hand)
    after = store.load()
    return Reported(after, tuple(after.outbox[len(before.outbox) :]), look_again)


# -- the state


def test_a_state_that_lasts_keeps_its_beginning_and_says_nothing() -> None:
    found = reported(seen("stale_snapshot"), "stale_snapshot")
    assert found.events == ()
    assert (found.watching.since, found.watching.at) == (BEGAN.isoformat(), NOW.isoformat())


def test_what_was_heard_on_each_path_is_kept_until_it_is_heard_again() -> None:
    path = {"said": "no_answer", "what": "no whole answer", "at": NOW.isoformat(), "seconds": 5.0}
    heard = reported(seen(), "healthy", watched={**WATCHED, "paths": {"master": path}}).watching
    assert heard.paths == {"master": path}
    assert reported(heard, None, watched=None).watching.paths == {"master": path}


def test_a_new_state_begins_now() -> None:
    watching = reported(seen(), "stale_snapshot").watching
    assert (watching.code, watching.verdict, watching.settled) == ("stale_snapshot", "up", True)
    assert watching.since == watching.at == NOW.isoformat()
    assert watching.owner == "watch-2"


def test_the_first_look_of_all_has_a_beginning() -> None:
    assert reported(Watching(), "healthy").watching.since == NOW.isoformat()


def test_a_step_that_failed_is_the_state_and_settles_nothing() -> None:
    watching = reported(seen("quench"), "healthy", problem=PROBLEM).watching
    assert (watching.code, watching.settled) == ("split_brain", False)


def test_a_blocked_step_that_fails_as_it_was_decided_is_as_settled_as_the_decision() -> None:
    problem = Reason("stale_snapshot", "old", "look")
    assert reported(seen(), "stale_snapshot", problem=problem).watching.settled


def test_a_run_that_decided_nothing_settles_nothing() -> None:
    found = reported(seen(), None, watched=None)
    assert (found.watching.code, found.watching.verdict, found.watching.settled) == ("failed", "", False)
    (event,) = found.events
    assert (event["kind"], event["code"], event["alert"]) == ("problem", "failed", "blocked")
    assert found.watching.at == BEGAN.isoformat(), "nobody has looked, and the monitor counts as stopped after a while"
    assert found.look_again


# -- what is told


def test_a_trouble_that_begins_is_told_once_with_its_next_step() -> None:
    first = reported(seen(), "stale_snapshot")
    (event,) = first.events
    assert (event["kind"], event["alert"], event["code"]) == ("problem", "stale_snapshot", "stale_snapshot")
    assert event["next_step"] == DECISIONS["stale_snapshot"].next_step
    assert (event["before"], event["after"]) == ({"code": "healthy"}, {"code": "stale_snapshot"})
    assert (event["actor"], event["epoch"], event["pair"], event["verdict"]) == ("ana", 4, "test", "up")
    assert reported(first.watching, "stale_snapshot").events == ()


def test_one_trouble_after_another_is_told_anew() -> None:
    (event,) = reported(seen("stale_snapshot"), "slave_unreachable").events
    assert (event["code"], event["before"]) == ("slave_unreachable", {"code": "stale_snapshot"})


def test_a_step_that_fails_is_told_in_its_own_words_and_split_brain_as_such() -> None:
    (event,) = reported(seen("failed_over"), "quench", problem=PROBLEM).events
    assert (event["alert"], event["code"], event["what"]) == ("split_brain", "split_brain", PROBLEM.what)
    (event,) = reported(seen(), "fail_over", problem=PROBLEM._replace(code="interrupted")).events
    assert (event["alert"], event["code"]) == ("failover", "interrupted")
    (event,) = reported(seen("failed_over"), "complete", problem=PROBLEM._replace(code="not_enabled")).events
    assert event["alert"] == "blocked", "what nobody has chosen an alert for is still told"


@pytest.mark.parametrize("code", [code for code, decision in DECISIONS.items() if decision.action is Action.BLOCKED])
def test_every_trouble_but_a_halt_is_told_and_so_is_its_end(code: str) -> None:
    """A halt leaves an event of its own, when it happens."""
    silent = code in ("halted", "record_contradicted")
    assert len(reported(seen(), code).events) == (0 if silent else 1)
    (event,) = reported(seen(code), "healthy").events
    assert (event["kind"], event["before"], event["after"]) == ("recovered", {"code": code}, {"code": "healthy"})


@pytest.mark.parametrize("before", ["split_brain", "not_enabled", "failed", "monitor_stopped"])
def test_also_a_step_that_failed_is_recovered_from(before: str) -> None:
    assert [event["kind"] for event in reported(seen(before), "failed_over").events] == ["recovered"]


@pytest.mark.parametrize("before", ["", "healthy", "quench", "repair", "fail_over", "failed_over", "operation_open"])
def test_nothing_is_recovered_from_where_nothing_was_wrong(before: str) -> None:
    assert reported(seen(before), "healthy").events == ()


@pytest.mark.parametrize("code", ["paused", "fail_over", "quench", "repair", "operation_open"])
def test_what_is_on_its_way_is_told_by_its_own_event_and_is_no_recovery_yet(code: str) -> None:
    assert reported(seen("slave_unreachable"), code).events == ()


def test_a_dry_run_tells_nothing_and_asks_for_nothing() -> None:
    found = reported(seen(), "slave_unreachable", dry_run=True, by_hand=True)
    assert (found.events, found.look_again) == ((), False)


def test_a_record_that_cannot_be_read_is_told_all_the_same() -> None:
    (event,) = reported(seen(), "slave_unreachable", record="garbage").events
    assert event["kind"] == "problem"


# -- who looks again


@pytest.mark.parametrize(
    ("code", "watched", "again"),
    [
        ("healthy", WATCHED, True),
        ("healthy", CHANGED, True),
        ("stale_snapshot", WATCHED, True),
        ("slave_unreachable", WATCHED, True),
        ("fail_over", CHANGED, True),
        ("quench", WATCHED, True),
    ],
)
def test_the_watcher_always_asks_for_another_look(code: str, watched: Any, again: bool) -> None:
    """After a whole watch the next run by schedule has become the watcher already."""
    assert reported(seen(), code, watched=watched).look_again is again


@pytest.mark.parametrize("code", ["healthy", "slave_unreachable", "quench"])
def test_a_run_that_is_not_the_watcher_any_more_asks_for_nothing(code: str) -> None:
    assert not reported(seen(owner="watch-3"), code, watched=CHANGED).look_again


@pytest.mark.parametrize(
    ("before", "code", "again"),
    [
        ("healthy", "healthy", False),
        ("stale_snapshot", "healthy", True),
        ("healthy", "stale_snapshot", True),
        ("quench", "quench", True),
    ],
)
def test_a_run_by_hand_asks_where_something_is_new_or_not_settled(before: str, code: str, again: bool) -> None:
    """The watcher in progress goes by what it saw before."""
    found = reported(seen(before, owner="watch-1"), code, watched=None, by_hand=True)
    assert found.look_again is again
    assert found.watching.owner == "watch-1"


# -- a step that was decided and did not happen


@pytest.mark.parametrize(
    ("code", "before", "state", "told"),
    [
        ("fail_over", "healthy", "failed", True),
        ("fail_over", "healthy", None, True),
        ("fail_over", "healthy", "success", False),
        ("fail_over", "healthy", "skipped", False),
        ("fail_over", "fail_over", "skipped", True),
        ("quench", "failed_over", "upstream_failed", True),
        ("approve", "approve", "skipped", False),
        ("healthy", "healthy", None, False),
    ],
)
def test_a_step_that_did_not_happen_is_a_problem_of_its_own(
    code: str, before: str, state: str | None, told: bool
) -> None:
    found = silent_failure(seen(before), judgement(code), state)
    assert (found is not None) is told
    if found:
        assert found.code == "step_failed"
        assert code in found.what


def test_what_was_heard_last_is_kept() -> None:
    later, earlier = NOW.isoformat(), BEGAN.isoformat()
    watched = {"ended_by": "confirmed", "evidence": {"last_alive": later}, "second_good": later}
    kept = reported(seen(), "healthy", watched=watched).watching
    assert (kept.last_alive, kept.second_good) == (later, later)
    watched = {"ended_by": "confirmed", "evidence": {"last_alive": None}, "second_good": ""}
    again = reported(kept, "fail_over", watched=watched).watching
    assert (again.last_alive, again.second_good) == (later, later)
    assert earlier < later


def test_what_is_from_the_future_is_not_kept() -> None:
    """It would be the latest until then, whatever is heard meanwhile."""
    future, now = (NOW + timedelta(days=1)).isoformat(), NOW.isoformat()
    before = replace(seen(), last_alive=future, second_good=future)
    watched = {"ended_by": "confirmed", "evidence": {"last_alive": now}, "second_good": now}
    kept = reported(before, "healthy", watched=watched).watching
    assert (kept.last_alive, kept.second_good) == (now, now)


def test_the_last_address_of_each_name_is_kept() -> None:
    before = replace(seen(), addresses={"m.example": "10.0.0.1", "inner.example": "10.0.0.3"})
    watched = {"ended_by": "confirmed", "evidence": {}, "addresses": {"m.example": "10.0.0.2"}}
    kept = reported(before, "healthy", watched=watched).watching
    assert kept.addresses == {"m.example": "10.0.0.2", "inner.example": "10.0.0.3"}
    assert Watching.from_json(asdict(kept)) == kept
    for damaged in ("10.0.0.1", {"m.example": 5}, [1], None):
        assert Watching.from_json({**asdict(kept), "addresses": damaged}).addresses == {}
