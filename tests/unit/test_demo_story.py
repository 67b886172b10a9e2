"""The second half of the demo: when it kills, what it calls a failure, and how it tells events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from denodo_demo.history import line
from denodo_demo.judge import Fate, Occurrence
from denodo_demo.story_failover import kill_time, problems

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("12:01:10", "12:01:50"),
        ("12:01:50", "12:01:50"),
        ("12:01:51", "12:02:50"),
        ("12:13:00", "12:15:50"),
        ("12:12:51", "12:15:50"),
        ("12:59:10", "13:00:50"),
    ],
)
def test_the_master_dies_late_in_a_minute_and_not_near_a_quarter_of_an_hour(now: str, then: str) -> None:
    day = NOON.date().isoformat()
    assert kill_time(datetime.fromisoformat(f"{day}T{now}Z")) == datetime.fromisoformat(f"{day}T{then}Z")


def found(*fates: Fate) -> dict[Occurrence, Fate]:
    return {Occurrence("sales", f"job {number}", NOON): fate for number, fate in enumerate(fates)}


class TestProblems:
    GOOD = (Fate.MASTER, Fate.SLAVE, Fate.LISTED)

    def test_once_or_listed_is_well(self) -> None:
        assert problems(found(*self.GOOD)) == []

    @pytest.mark.parametrize("bad", [Fate.LOST, Fate.TWICE, Fate.NOT_DUE])
    def test_anything_else_is_said_with_its_number(self, bad: Fate) -> None:
        assert problems(found(*self.GOOD, bad, bad)) == [f"2 occurrences: {bad}"]

    def test_a_server_that_ran_nothing_proves_nothing(self) -> None:
        assert problems(found(Fate.MASTER)) == ["no occurrence ran on the slave"]


def event(kind: str, **details: Any) -> dict[str, Any]:
    return {"id": "1", "kind": kind, "epoch": 2, "at": (NOON + timedelta(seconds=1)).isoformat(), **details}


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        (
            event("problem", code="cool_down", what="the last failover is too recent"),
            "problem (cool_down), epoch 2: the last failover is too recent",
        ),
        (event("failover_begun", why="the master is down"), "failover_begun, epoch 2: the master is down"),
        (
            event("failover", enabled=463, rto_seconds=12.5, missed={"occurrences": 8}, burst={"jobs": 3}),
            "failover, epoch 2: 463 jobs enabled on the slave 12.5 s after the master was last heard; "
            "8 occurrences missed, 3 jobs ran at once",
        ),
        (
            event("quenched", server="master", before={"enabled": 463}, after={"enabled": 0}),
            "quenched, epoch 2: 463 jobs disabled on the master",
        ),
        (
            event("failback", after={"active": "master", "enabled": 463}),
            "failback, epoch 2: 463 jobs enabled on the master",
        ),
        (event("something_new"), "something_new, epoch 2"),
    ],
)
def test_an_event_is_told_in_one_line(happened: dict[str, Any], told: str) -> None:
    assert line(happened) == told
