"""What is measured of a pair: every measure that is documented can be sent, and nothing else is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest

from denodo_ha.decisions import DECISIONS, Action
from denodo_ha.measures import (
    MEASURES,
    STANDING,
    Sample,
    dotted,
    labels,
    of_check,
    of_event,
    of_pair,
    of_round,
    safe,
)
from denodo_ha.pairs import Pair
from denodo_ha.readiness.findings import Readiness
from denodo_ha.record import Doubt, Pause, Phase, Record, Role, SnapshotRef, SyncProblem
from denodo_ha.transitions import claim
from denodo_ha.verdict import Answer, Observation, Verdict
from denodo_ha.watching import Watching

SPLIT_BRAIN = ("split_brain", "paused_split_brain", "slave_may_be_active")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
HOUR = timedelta(hours=1)
PAIR = Pair(name="emea", failover={"oldest_snapshot": "3h"})
SNAPSHOT = SnapshotRef(
    id="s", taken=NOW - HOUR, committed=NOW, imported=NOW, content_hash="c", manifest_hash="m", jobs=60, enabled=12
)
RECORD = Record(snapshot=SNAPSHOT)
LOOKED = Watching(
    code="healthy", verdict="up", at=NOW.isoformat(), since=(NOW - HOUR).isoformat(), jobs={"master": [12, 60]}
)
FAILOVER: dict[str, Any] = {
    "kind": "failover", "at": NOW.isoformat(), "rpo_seconds": 420.0, "rto_seconds": 13.5, "code": "x",
    "missed": {"occurrences": 8}, "burst": {"jobs": 3}, "failed": {"jobs": 1}, "missing": {"jobs": 2},
}  # fmt: skip
SYNC = {"kind": "sync", "at": NOW.isoformat(), "exposure_seconds": 0.5}
SWITCHOVER = {"kind": "switchover", "at": NOW.isoformat(), "gap_seconds": 4.0}
ROUND = Observation(NOW, Answer.NO_ANSWER, Answer.UP, Answer.NOT_ASKED, {"master": 5.0, "second": 0.25})


def values(samples: Any) -> dict[tuple[str, str], float]:
    sent = list(samples)
    found = {(each.name, str(each.label)): each.value for each in sent}
    assert len(found) == len(sent), "no value overwrites another one"
    return found


def everything() -> list[Sample]:
    """Samples of all kinds."""
    return [
        *of_pair(PAIR, RECORD, LOOKED, NOW),
        *of_check(Readiness(NOW, ())),
        *chain.from_iterable(of_event(event, 60) for event in (FAILOVER, SYNC, SWITCHOVER)),
        *of_round(ROUND, None),
    ]


def test_all_that_is_sent_is_documented_and_the_other_way_round() -> None:
    assert {each.name for each in everything()} == MEASURES.keys()


def test_every_sample_has_the_label_of_its_measure() -> None:
    for each in everything():
        label = MEASURES[each.name].label
        assert bool(each.label) == bool(label), each
        assert labels("emea", each).keys() == {"pair", *filter(None, [label])}
        assert re.fullmatch(r"denodo_ha\.[a-z_]+\.emea(\.\w+)?", dotted("emea", each))


def test_a_pair_in_order() -> None:
    found = values(of_pair(PAIR, RECORD, LOOKED, NOW))
    assert [found["active", role] for role in Role] == [1, 0]
    assert [phase for phase in Phase if found["phase", phase]] == ["normal"]
    assert [verdict for verdict in Verdict if found["verdict", verdict]] == ["up"]
    assert sum(found["problem", alert] for alert in STANDING) == 0
    assert (found["look_timestamp", ""], found["state_timestamp", ""]) == (AT, AT - 3600)
    assert (found["snapshot_timestamp", ""], found["snapshot_limit_seconds", ""]) == (AT - 3600, 3 * 3600)
    assert (found["jobs", "master"], found["jobs_enabled", "master"], found["jobs_read", "master"]) == (60, 12, 1)
    assert found["jobs_read", "slave"] == 0
    assert ("jobs", "slave") not in found, "it was not read"
    assert (found["level", ""], found["paused", ""], found["acknowledged", ""], found["epoch", ""]) == (0, 0, 1, 1)


def test_a_pair_out_of_order() -> None:
    pause = Pause(since=NOW - HOUR, reason="r")
    problem = SyncProblem(since=NOW - HOUR, code="c", what="w", next_step="n")
    doubt = Doubt(since=NOW, text="t")
    record = RECORD.model_copy(
        update={"paused": pause, "sync_problem": problem, "doubts": (doubt,), "acknowledged": False, "snapshot": None}
    )
    found = values(of_pair(PAIR, record, LOOKED, NOW))
    assert (found["paused", ""], found["paused_timestamp", ""]) == (1, AT - 3600)
    assert found["sync_failing_timestamp", ""] == AT - 3600
    assert (found["doubts", "slave"], found["doubts", "master"]) == (1, 0)
    assert (found["acknowledged", ""], found["snapshot_timestamp", ""]) == (0, 0)


@pytest.mark.parametrize("kind", ["failover", "switchover"])
def test_a_planned_change_is_told_apart_from_a_failover(kind: str) -> None:
    record = claim(RECORD, kind=kind, to=Role.SLAVE, operation_id="o", target="b", plan="p", now=NOW, lease=HOUR)
    found = values(of_pair(PAIR, record, LOOKED, NOW))
    assert found["phase", "failing_over"] == 1
    assert {label for (name, label), value in found.items() if name == "operation" and value} == {kind}


def test_a_pause_that_is_over_is_none() -> None:
    pause = Pause(since=NOW - HOUR, reason="r", until=NOW)
    found = values(of_pair(PAIR, RECORD.model_copy(update={"paused": pause}), LOOKED, NOW))
    assert (found["paused", ""], found["paused_timestamp", ""]) == (0, 0)


def test_a_pair_without_a_record() -> None:
    found = values(of_pair(PAIR, None, Watching(), NOW))
    assert found["initialised", ""] == 0
    assert sum(value for (name, _), value in found.items() if name in ("active", "phase", "verdict")) == 0
    assert (found["look_timestamp", ""], found["level", ""]) == (0, 3)


@pytest.mark.parametrize("code", [*DECISIONS, "monitor_stopped", "step_failed", "a_code_of_another_version"])
def test_every_state_that_needs_a_person_is_told_by_one_alert(code: str) -> None:
    found = values(of_pair(PAIR, RECORD, Watching(code=code, verdict="down"), NOW))
    waits = code not in DECISIONS or DECISIONS[code].action is Action.BLOCKED
    assert sum(found["problem", alert] for alert in STANDING) == waits
    assert found["problem", "split_brain"] == (code in SPLIT_BRAIN)


def test_a_failover() -> None:
    found = values(of_event(FAILOVER, 60))
    expected = {"rpo_seconds": 420, "rto_seconds": 13.5, "missed_occurrences": 8, "late_jobs": 3, "failed_jobs": 1}
    assert {name: found[name, ""] for name in expected} == expected
    assert (found["events", "failover"], found["event_timestamp", "failover"]) == (1, AT)
    assert found["problems", "x"] == 1
    assert ("run_seconds", "failover") not in found, "most of it was the watch"


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"kind": None, "at": "noon"},
        {"kind": "a.b c", "missed": 5, "rpo_seconds": True, "burst": {}},
        {"kind": "x", "rpo_seconds": float("nan"), "rto_seconds": float("inf")},
    ],
)
def test_a_damaged_event_is_counted(event: dict[str, Any]) -> None:
    found = values(of_event(event))
    assert sum(value for (name, _), value in found.items() if name == "events") == 1
    assert all(re.fullmatch(r"[\w-]*", label) for _, label in found)
    assert not any(name.endswith("_seconds") for name, _ in found)


def test_a_round() -> None:
    found = values(of_round(ROUND, NOW - HOUR))
    assert (found["probe_up", "master"], found["probe_up", "second"]) == (0, 1)
    assert (found["probe_seconds", "master"], found["probe_seconds", "second"]) == (5, 0.25)
    assert ("probe_up", "slave") not in found
    assert found["probe_good_timestamp", ""] == found["probe_timestamp", ""] == AT
    silent = Observation(NOW, Answer.NO_ANSWER, Answer.FAILED, Answer.UP, {"master": 5.0})
    found = values(of_round(silent, NOW - HOUR))
    assert (found["probe_good_timestamp", ""], found["probe_good_age_seconds", ""]) == (AT - 3600, 3600)
    assert ("probe_good_timestamp", "") not in values(of_round(silent, None)), "never heard, as far as it is known"


def test_names_of_pairs_stay_apart() -> None:
    names = ["emea", "a.b", "a_b", "a__b", "a-b", "a.b.c", "a_b.c", "a.b_c"]
    made = [safe(name) for name in names]
    assert len(set(made)) == len(names)
    assert all("." not in name for name in made)
    assert safe("emea") == "emea"
