"""Each kind of event in a sentence and in facts, whatever its age and whatever became of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.told import _TOLD, PLAIN, facts, text, with_text
from denodo_ha.words import moment, seconds

PINNED = json.loads((Path(__file__).parents[1] / "outside/pinned/events.json").read_text())
KINDS = sorted(kind for kind in PINNED if "asset" not in kind)
AT = "2026-03-01T12:00:00+00:00"


def counted(*names: str) -> dict[str, Any]:
    return {"jobs": len(names), "names": list(names)}


FAILOVER = {
    "kind": "failover",
    "enabled": 463,
    "rto_seconds": 13.5,
    "rpo_seconds": 420.0,
    "missed": {"occurrences": 8, "listed": [{"job": "Sales / load", "at": AT}], "time_zone": "Europe/Madrid"},
    "burst": counted(),
    "failed": counted("Sales / a", "Sales / b"),
    "missing": counted(),
    "outdated": counted("Sales / c"),
    "fencing": {"result": "confirmed", "how": "by hooks.power_off"},
    "steps": {
        "read_back": "2026-03-01T12:00:13.500000+00:00",
        "heard": "2026-03-01T12:00:00+00:00",
        "silent": "2026-03-01T12:00:02+00:00",
        "down": "2026-03-01T12:00:06+00:00",
        "begun": "2026-03-01T12:00:07+00:00",
        "first_enabled": "2026-03-01T12:00:08+00:00",
    },
}

FAILOVER_FIELDS = {
    "not_ready": ["x"],
    "still_disabled": counted("a"),
    **{name: value for name, value in FAILOVER.items() if name != "kind"},
}

SAID = [
    (
        FAILOVER,
        "463 jobs enabled on the slave 13.5 s after the master was last heard; 8 occurrences missed; 2 jobs could not "
        "be enabled; 1 job with an older definition there; the master is fenced",
    ),
    (
        {"kind": "failover", "enabled": 1, "rto_seconds": 600, "missed": {"occurrences": None}},
        "1 job enabled on the slave 10 min after the master was last heard; which occurrences were missed is not known",
    ),
    (
        {"kind": "failover", "enabled": 2, "missed": {"occurrences": 3, "time_zone": "not known, taken to be UTC"}},
        "2 jobs enabled on the slave; 3 occurrences missed, by a time zone that is a guess",
    ),
    (
        {"kind": "failover", "enabled": 2, "missed": {"occurrences": 0}, "fencing": {"result": "unconfirmed"}},
        "2 jobs enabled on the slave; no occurrence missed; that the master is off is not confirmed",
    ),
    (
        {
            "kind": "switchover",
            "before": {"active": "master"},
            "after": {"active": "slave", "enabled": 9},
            "gap_seconds": 12.34,
            "missing": counted("a"),
        },
        "switched over: 9 jobs disabled on the master and enabled on the slave within 12.3 s; 1 job missing there",
    ),
    (
        {
            "kind": "switchover",
            "before": {"active": "master"},
            "after": {"active": "slave", "enabled": 9},
            "fencing": {"result": "confirmed"},
        },
        "switched over: 9 jobs enabled on the slave, without an answer of the master",
    ),
    (
        {"kind": "failback", "before": {"active": "slave"}, "after": {"active": "master", "enabled": 1}},
        "failed back: 1 job disabled on the slave and enabled on the master",
    ),
    (
        {"kind": "completed", "enabled": 3, "failed": counted("a"), "missed": {"occurrences": 1}},
        "3 jobs more enabled on the slave; 1 job could still not be; 1 occurrence missed",
    ),
    ({"kind": "failover_begun", "why": "the master is down"}, "failover begun: the master is down"),
    (
        {"kind": "switchover_given_up", "after": {"active": "master"}, "why": "a job runs"},
        "switchover given up, nothing was changed: a job runs; the master is active as before",
    ),
    (
        {
            "kind": "switchover_rolled_back",
            "after": {"active": "master"},
            "why": "the slave is silent",
            "enabled": 4,
            "gap_seconds": 150,
        },
        "switchover rolled back: the slave is silent; 4 jobs of the master enabled again 2 min after it had begun",
    ),
    (
        {"kind": "switchover_stops", "server": "master", "jobs": counted("a"), "why": "they run since noon"},
        "1 job of the master stopped by disabling, not ended in time: they run since noon",
    ),
    (
        {"kind": "quenched", "before": {"enabled": 3}, "after": {"enabled": 0}, "suspected_double_runs": ["a"]},
        "3 jobs enabled on the master, which is to be passive: disabled and read back; 1 job may have run on both "
        "servers",
    ),
    (
        {"kind": "drift", "before": {"enabled": 1}, "after": {"enabled": "unknown"}},
        "1 job enabled on the slave, which is to be passive: told to be disabled, and not read back",
    ),
    (
        {
            "kind": "repaired",
            "server": "slave",
            "before": {"enabled": 0, "dirty": "an import"},
            "after": {"enabled": 0},
        },
        "the slave was repaired after a sync that was not brought to its end; no job was enabled on the passive slave",
    ),
    (
        {
            "kind": "sync",
            "source": "master",
            "jobs": 1000,
            "enabled": 60,
            "delivered": [{"delivered": counted("a", "b")}, {"delivered": counted("c")}],
            "pending": counted("d"),
            "text": "1. by REST: 3 jobs\npending: 1",
        },
        "1000 jobs of the master (60 enabled) verified on the slave, but for 1 pending; 3 jobs delivered",
    ),
    (
        {"kind": "sync", "source": "slave", "jobs": 2, "imported": False, "what": "syncs succeed again"},
        "2 jobs of the slave verified on the master; nothing was to be delivered; syncs succeed again",
    ),
    (
        {"kind": "sync", "source": "slave", "jobs": 2, "imported": True},
        "2 jobs of the slave verified on the master; delivered",
    ),
    (
        {"kind": "sync", "source": "slave", "jobs": 2, "delivered": [{"elements": 1, "delivered": counted()}]},
        "2 jobs of the slave verified on the master; elements that are no jobs delivered",
    ),
    ({"kind": "halted", "what": "both run jobs."}, "the pair is halted; both run jobs"),
    ({"kind": "halted"}, "the pair is halted by a person, and nothing is changed"),
    ({"kind": "released", "after": {"phase": "normal"}}, "the pair is released, and in phase normal again"),
    (
        {"kind": "paused", "after": {"until": AT}},
        "automation is paused until 2026-03-01 12:00:00Z; it goes on observing",
    ),
    ({"kind": "resumed"}, "automation goes on"),
    (
        {"kind": "acknowledged", "after": {"accepted": ["no passwords"]}},
        "accepted, and no longer told as doubtful: no passwords",
    ),
    (
        {"kind": "initialised", "after": {"active": "slave"}, "epoch": 7, "enabled": {}},
        "the pair is initialised: the slave is the active server by a person's word, in epoch 7",
    ),
    ({"kind": "approved", "by": "ana"}, "ana approved the failover"),
    ({"kind": "rejected"}, "a person rejected the failover, and nothing was changed"),
    (
        {"kind": "doctor", "server": "slave", "verdicts": {"confirmed": 2, "unknown": 0}, "after": {"scratch": 0}},
        "a doctor tried things out on the slave; 2 confirmed; its scratch projects are deleted",
    ),
    (
        {"kind": "drill", "after": {"ran": 1}, "jobs": [{}, {}], "not_begun": ["c"], "what": "b has failed"},
        "drill: 1 of 3 jobs ran on the slave; b has failed",
    ),
    (
        {"kind": "recovered", "before": {"code": "isolated"}, "after": {"code": "healthy"}},
        "all is well again: the master is up and the slave is ready to take over; it is over that [isolated] nothing "
        "can be reached from here, the slave included",
    ),
    ({"kind": "problem", "code": "isolated"}, "nothing can be reached from here, the slave included"),
    ({"kind": "of a newer version", "text": "something new happened"}, "something new happened"),
    ({"kind": "of_a_newer_version"}, "of a newer version"),
    ({"from_rest_api": True}, "an event that is not this project's"),
]


@pytest.mark.parametrize(("event", "said"), SAID, ids=str)
def test_says(event: dict[str, Any], said: str) -> None:
    assert text(event) == said


def _example(shape: Any) -> Any:
    """A value of a pinned shape."""
    if isinstance(shape, dict):
        if list(shape) == ["each"]:
            return [_example(shape["each"])]
        return {name.removesuffix("?"): _example(value) for name, value in shape.items()}
    kinds = {"text": "word", "int": 3, "float": 4.5, "bool": True, "moment": AT, "null": None, "list of nothing": []}
    return {**kinds, "list of text": ["word"]}.get(shape, "word")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_that_the_code_makes_has_words_of_its_own(kind: str) -> None:
    for shape in PINNED[kind].values():
        said = text({**_example(shape), "kind": kind})
        assert kind in PLAIN or kind in _TOLD
        assert said not in ("", kind, kind.replace("_", " "))
        assert "\n" not in said
        assert not said.endswith(".")
        assert facts({**_example(shape), "kind": kind})


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_an_old_version_that_lacks_all_figures_is_told(kind: str) -> None:
    assert text({"kind": kind}) not in ("", kind)
    assert facts({"kind": kind}) == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("2026-03-01T12:00:00+00:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(
    {name.removesuffix("?") for kind in KINDS for shape in PINNED[kind].values() for name in shape}
    | {"steps", "still_disabled", "fencing", "scratch"}
)
INNER = st.dictionaries(
    st.sampled_from(
        ["enabled", "active", "phase", "jobs", "names", "occurrences", "listed", "code", "until", "deleted", "heard"]
    ),
    json_values,
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values | INNER | st.lists(INNER, max_size=2)),
    st.sampled_from(KINDS) | json_values,
)
def test_a_damaged_event_is_told_all_the_same(event: dict[str, Any], kind: Any) -> None:
    damaged = {**event, "kind": kind}
    said = text(damaged)
    assert said
    assert said == " ".join(said.split())
    for label, fact in facts(damaged):
        assert label
        assert fact


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_may_be_damaged_in_turn(kind: str) -> None:
    full = {"kind": kind, **FAILOVER_FIELDS, **_example(next(iter(PINNED[kind].values())))}
    for name in full.keys() - {"kind"}:
        for wrong in (None, True, 3, -1.5, float("nan"), "x", [1, None], [{"jobs": "x"}], {"jobs": [], "names": 1}):
            damaged = {**full, "kind": kind, name: wrong}
            assert text(damaged)
            assert all(label and fact for label, fact in facts(damaged))


@given(json_values)
def test_what_is_no_event_is_told_too(value: Any) -> None:
    assert text(value)
    assert isinstance(facts(value), tuple)


def test_a_completed_event_gets_its_sentence_anew() -> None:
    begun = with_text({"kind": "drift", "before": {"enabled": 1}, "after": {"enabled": "unknown"}})
    ended = with_text({**begun, "after": {"enabled": 0}})
    assert "not read back" in begun["text"]
    assert ended["text"].endswith("disabled and read back")


class TestFacts:
    def test_the_steps_of_a_failover_come_first_and_in_their_order(self) -> None:
        found = facts({**FAILOVER, "epoch": 4, "operation": "run/1"})
        assert found[:6] == (
            ("Master last heard", "2026-03-01 12:00:00Z"),
            ("First look without an answer", "2026-03-01 12:00:02Z (+2 s)"),
            ("Declared down", "2026-03-01 12:00:06Z (+4 s)"),
            ("Begun", "2026-03-01 12:00:07Z (+1 s)"),
            ("First job enabled", "2026-03-01 12:00:08Z (+1 s)"),
            ("Read back", "2026-03-01 12:00:13Z (+5.5 s)"),
        )
        assert dict(found[6:]) == {
            "RPO": "7 min",
            "RTO": "13.5 s",
            "Fencing": "confirmed: by hooks.power_off",
            "Enabled": "463",
            "Missed": "8 occurrences, the first: Sales / load at 2026-03-01 12:00:00Z",
            "Time zone of the crons": "Europe/Madrid",
            "Ran late": "none",
            "Could not be enabled": "2 jobs: Sales / a, Sales / b",
            "Missing": "none",
            "Outdated": "1 job: Sales / c",
            "Epoch": "4",
            "Operation": "run/1",
        }

    def test_of_many_jobs_some_are_named(self) -> None:
        names = [f"job {number}" for number in range(30)]
        assert dict(facts({"kind": "failover", "failed": counted(*names)}))["Could not be enabled"].endswith(
            "job 19 and 10 more"
        )

    def test_a_step_that_a_newer_version_knows_is_named_as_it_calls_it(self) -> None:
        assert facts({"steps": {"new_step": AT, "damaged": 1}}) == (("new step", "2026-03-01 12:00:00Z"),)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.04, "0 s"), (13.5, "13.5 s"), (119.9, "119.9 s"), (120, "2 min"), (420.0, "7 min"), (7500, "2 h 5 min")],
)
def test_durations(value: float, said: str) -> None:
    assert seconds(value) == said


def test_a_time_that_is_none_is_said_as_it_is() -> None:
    assert moment("yesterday") == "yesterday"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d 12:00:00Z", moment(AT))
