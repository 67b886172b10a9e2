"""The second half of the demo: when it kills, what it edits, what it calls a failure, and how it tells events."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
from rich.console import Console

from denodo_demo.edits import Edit, definitions, not_home
from denodo_demo.fill import EACH_MINUTE, EVERY_3_SECONDS, jobs_without_secrets
from denodo_demo.history import line
from denodo_demo.judge import Fate, Occurrence
from denodo_demo.report import occurrences_table, show_edits
from denodo_demo.standin import Json, StandinServer
from denodo_demo.story_failover import kill_time, problems

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("12:01:10", "12:01:56"),
        ("12:01:56", "12:01:56"),
        ("12:01:57", "12:02:56"),
        ("12:13:00", "12:15:56"),
        ("12:12:57", "12:15:56"),
        ("12:59:10", "13:00:56"),
    ],
)
def test_the_master_dies_late_in_a_minute_and_not_near_a_quarter_of_an_hour(now: str, then: str) -> None:
    day = NOON.date().isoformat()
    assert kill_time(datetime.fromisoformat(f"{day}T{now}Z")) == datetime.fromisoformat(f"{day}T{then}Z")


def found(*fates: Fate) -> dict[Occurrence, Fate]:
    return {Occurrence("sales", f"job {number}", NOON): fate for number, fate in enumerate(fates)}


class TestProblems:
    GOOD = (Fate.MASTER, Fate.SLAVE, Fate.LISTED, Fate.LATE)

    def test_once_or_listed_is_well(self) -> None:
        assert problems(found(*self.GOOD)) == []

    @pytest.mark.parametrize("bad", [Fate.LOST, Fate.TWICE, Fate.NOT_DUE])
    def test_anything_else_is_said_with_its_number(self, bad: Fate) -> None:
        assert problems(found(*self.GOOD, bad, bad)) == [f"2 occurrences: {bad}"]

    def test_a_server_that_ran_nothing_proves_nothing(self) -> None:
        assert problems(found(Fate.MASTER)) == ["no occurrence ran on the slave"]


def a_job(id_: int, cron: str = "0 15 3 * * ?", *, type_: str = "VDPCache", on: int | None = None, **more: Any) -> Json:
    trigger = {"type": "cron", "cronExpression": cron, "dependencyInfo": {"jobIDs": [on]} if on else None}
    job = {"id": id_, "projectName": "Sales", "name": f"Load {id_}", "type": type_, "disabled": False, **more}
    return {**job, "triggerSection": {"triggers": [trigger]}}


def server_of(*jobs: Json) -> StandinServer:
    return cast(StandinServer, SimpleNamespace(request=lambda *_: list(jobs)))


def test_only_jobs_whose_runs_nothing_else_decides_are_edited() -> None:
    jobs = (
        a_job(1),
        a_job(2, type_="VDP"),
        a_job(3, disabled=True),
        a_job(4, EACH_MINUTE),
        a_job(5, EVERY_3_SECONDS),
        a_job(6),
        a_job(7, on=6),
    )
    assert [job["id"] for job in jobs_without_secrets(server_of(*jobs))] == [1]


class TestEdits:
    EDITS: ClassVar = [
        Edit(("Sales", "Load 1"), "changed, was: 0 15 3 * * ?, enabled", "5 * * * * ?, enabled"),
        Edit(("Sales", "New"), "created", "2 * * * * ?, enabled"),
    ]

    def home(self, **new: Any) -> dict[tuple[str, str], str]:
        created = a_job(2, "2 * * * * ?") | {"name": "New", **new}
        return definitions(server_of(a_job(1, "5 * * * * ?"), created))

    def test_all_came_home(self) -> None:
        assert not_home(self.EDITS, self.home()) == []

    @pytest.mark.parametrize(
        ("new", "there"),
        [
            ({"name": "Other"}, "missing"),
            ({"disabled": True}, "2 * * * * ?, disabled"),
            ({"triggerSection": a_job(2)["triggerSection"]}, "0 15 3 * * ?, enabled"),
        ],
    )
    def test_one_that_did_not_is_a_problem_and_shown(self, new: dict[str, Any], there: str) -> None:
        [problem] = not_home(self.EDITS, self.home(**new))
        assert problem == f"Sales / New: on the slave '2 * * * * ?, enabled', at home '{there}'"
        told = io.StringIO()
        show_edits(Console(file=told, width=200), self.EDITS, self.home(**new))
        [row] = [each for each in told.getvalue().splitlines() if "Sales / New" in each]
        assert [each.strip() for each in row.split("│")[3:5]] == ["2 * * * * ?, enabled", there]


def test_occurrences_are_counted_by_the_minute() -> None:
    seconds = {0: Fate.MASTER, 30: Fate.LISTED, 33: Fate.LISTED, 60: Fate.SLAVE}
    fates = {Occurrence("sales", "a", NOON + timedelta(seconds=each)): fate for each, fate in seconds.items()}
    told = io.StringIO()
    Console(file=told, width=200).print(occurrences_table(fates))
    rows = [[each.strip() for each in row.split("│")[1:-1]] for row in told.getvalue().splitlines() if "│" in row]
    assert rows == [
        ["12:00", "3", "1", "", "", "2", "", ""],
        ["12:01", "1", "", "1", "", "", "", ""],
        ["all", "4", "1", "1", "0", "2", "0", "0"],
    ]


def event(kind: str, **details: Any) -> dict[str, Any]:
    return {"id": "1", "kind": kind, "epoch": 2, "at": (NOON + timedelta(seconds=1)).isoformat(), **details}


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        (
            event("problem", code="cool_down", what="the last failover is too recent"),
            "epoch 2: [cool_down] the last failover is too recent",
        ),
        (event("failover_begun", why="the master is down"), "epoch 2: failover begun: the master is down"),
        (
            event("failover", enabled=463, rto_seconds=12.5, missed={"occurrences": 8}, burst={"jobs": 3}),
            "epoch 2: 463 jobs enabled on the slave 12.5 s after the master was last heard; "
            "8 occurrences missed, 3 jobs ran as soon as they were enabled",
        ),
        (
            event("quenched", server="master", before={"enabled": 463}, after={"enabled": 0}),
            "epoch 2: 463 jobs enabled on the master, which is to be passive: disabled and read back",
        ),
        (
            event("failback", before={"active": "slave"}, after={"active": "master", "enabled": 463}),
            "epoch 2: failed back: 463 jobs disabled on the slave and enabled on the master",
        ),
        (
            event(
                "failback",
                before={"active": "slave"},
                after={"active": "master", "enabled": 463},
                missed={"occurrences": 18},
            ),
            "epoch 2: failed back: 463 jobs disabled on the slave and enabled on the master; 18 occurrences missed",
        ),
        (
            event("sync", source="slave", jobs=501, imported=True, pending={"jobs": 0}),
            "epoch 2: 501 jobs of the slave verified on the master; delivered",
        ),
        (event("something_new"), "epoch 2: something new"),
    ],
)
def test_an_event_is_told_in_one_line(happened: dict[str, Any], told: str) -> None:
    assert line(happened) == told
