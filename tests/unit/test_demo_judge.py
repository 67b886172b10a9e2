"""The judgement over the servers' own books, on which the demo and the end-to-end tests rely."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from denodo_demo.judge import (
    Exposure,
    Fate,
    Occurrence,
    Turn,
    double_runs,
    due,
    exposures,
    fates,
    late,
    made_up,
    missed,
)

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def run(job: str, scheduled: str | None, project: str = "sales", trigger: str = "cron") -> dict[str, Any]:
    start = "2026-03-29T12:00:00.120Z"
    return {"seq": 1, "project": project, "job": job, "start": start, "trigger": trigger, "scheduled": scheduled}


class TestDoubleRuns:
    def test_same_job_at_same_moment_on_both_servers(self) -> None:
        master = [run("load", "2026-03-29T12:00:00Z"), run("load", "2026-03-29T13:00:00Z")]
        slave = [run("load", "2026-03-29T13:00:00Z")]
        assert double_runs(master, slave) == [Occurrence("sales", "load", NOON + timedelta(hours=1))]

    def test_moments_are_compared_not_their_spelling(self) -> None:
        double = double_runs([run("load", "2026-03-29T14:00:00+02:00")], [run("load", "2026-03-29T12:00:00Z")])
        assert double == [Occurrence("sales", "load", NOON)]

    def test_case_of_names_does_not_hide_a_double_run(self) -> None:
        assert double_runs(
            [run("Straße", "2026-03-29T12:00:00Z", "Sales")], [run("STRAẞE", "2026-03-29T12:00:00Z", "SALES")]
        )

    def test_same_name_in_another_project_is_another_job(self) -> None:
        at = "2026-03-29T12:00:00Z"
        assert double_runs([run("load", at, "sales")], [run("load", at, "stock")]) == []

    def test_another_moment_is_another_occurrence(self) -> None:
        assert double_runs([run("load", "2026-03-29T12:00:00Z")], [run("load", "2026-03-29T12:00:01Z")]) == []

    def test_repeated_on_one_server_is_no_double_run(self) -> None:
        at = "2026-03-29T12:00:00Z"
        assert double_runs([run("load", at), run("load", at)], []) == []

    def test_started_by_hand_is_no_occurrence(self) -> None:
        assert double_runs([run("load", None)], [run("load", None)]) == []


def audit(*changes: tuple[float, str, str]) -> list[dict[str, Any]]:
    """Audit entries from (seconds after noon, change, job)."""
    sequence = count(1)
    return [
        {
            "seq": next(sequence),
            "at": (NOON + timedelta(seconds=seconds)).isoformat(),
            "project": "sales",
            "job": job,
            "change": change,
            "by": "import",
        }
        for seconds, change, job in changes
    ]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class TestExposures:
    def test_from_first_enabled_to_last_disabled(self) -> None:
        entries = audit(
            (0, "created", "a"), (0, "enabled", "a"), (1, "enabled", "b"), (2, "disabled", "a"), (3.5, "disabled", "b")
        )
        assert exposures(entries) == [Exposure(at(0), at(3.5), 2)]
        assert exposures(entries)[0].seconds == 3.5

    def test_each_time_is_its_own(self) -> None:
        entries = audit((0, "enabled", "a"), (1, "disabled", "a"), (10, "enabled", "a"), (12, "deleted", "a"))
        assert exposures(entries) == [Exposure(at(0), at(1), 1), Exposure(at(10), at(12), 1)]

    def test_still_enabled_has_no_end(self) -> None:
        [exposure] = exposures(audit((0, "enabled", "a"), (1, "enabled", "b"), (2, "disabled", "a")))
        assert exposure == Exposure(at(0), None, 2)
        assert exposure.seconds == float("inf")

    def test_enabled_again_while_enabled_counts_once(self) -> None:
        entries = audit((0, "enabled", "a"), (1, "enabled", "a"), (2, "disabled", "a"), (3, "disabled", "a"))
        assert exposures(entries) == [Exposure(at(0), at(2), 1)]

    def test_order_is_that_of_the_server(self) -> None:
        entries = audit((0, "enabled", "a"), (0, "disabled", "a"))
        assert exposures(reversed(entries)) == [Exposure(at(0), at(0), 1)]

    def test_nothing_was_ever_enabled(self) -> None:
        assert exposures(audit((0, "created", "a"), (1, "disabled", "a"))) == []


class TestDue:
    MADRID = ZoneInfo("Europe/Madrid")
    NEW_YORK = ZoneInfo("America/New_York")
    EARLY: ClassVar = {("sales", "load"): ["0 30 8 * * ?"]}

    def test_by_the_clock_of_the_server_whose_turn_it_is(self) -> None:
        midnight = NOON - timedelta(hours=12)
        turns = (
            Turn(self.MADRID, midnight, NOON - timedelta(hours=3)),
            Turn(self.NEW_YORK, NOON - timedelta(hours=3), NOON + timedelta(hours=6)),
        )
        half_past_six, half_past_twelve = NOON - timedelta(hours=5, minutes=30), NOON + timedelta(minutes=30)
        assert due(self.EARLY, turns) == {
            Occurrence("sales", "load", half_past_six),
            Occurrence("sales", "load", half_past_twelve),
        }

    def test_a_turn_ends_with_its_last_moment_and_the_next_begins_after_it(self) -> None:
        each_minute = {("sales", "load"): ["0 * * * * ?"], ("sales", "copy"): ["0 * * * * ?"]}
        minute = timedelta(minutes=1)
        turns = (Turn(UTC, NOON, NOON + minute), Turn(UTC, NOON + minute, NOON + 2 * minute))
        assert (
            sorted(each.scheduled for each in due(each_minute, turns)) == [NOON + minute] * 2 + [NOON + 2 * minute] * 2
        )

    def test_two_crons_at_one_moment_are_one_occurrence(self) -> None:
        both = {("sales", "load"): ["0 0 * * * ?", "0 0/30 * * * ?"]}
        assert len(due(both, [Turn(UTC, NOON - timedelta(minutes=1), NOON)])) == 1


class TestFates:
    AT = "2026-03-29T12:00:00Z"
    WANTED = Occurrence("sales", "load", NOON)

    def fate(self, *, master: int = 0, slave: int = 0, listed: bool = False) -> Fate:
        event = {"missed": {"listed": [{"job": "Sales / LOAD", "at": "2026-03-29T14:00:00+02:00"}] if listed else []}}
        journals = [run("load", self.AT)] * master, [run("Load", self.AT, "Sales")] * slave
        return fates({self.WANTED}, *journals, missed(event))[self.WANTED]

    def test_once_on_either_server(self) -> None:
        assert self.fate(master=1) is Fate.MASTER
        assert self.fate(slave=1) is Fate.SLAVE

    def test_listed_as_missed_and_run_all_the_same(self) -> None:
        assert self.fate(slave=1, listed=True) is Fate.SLAVE

    def test_twice_on_both_or_on_one(self) -> None:
        assert self.fate(master=1, slave=1) is Fate.TWICE
        assert self.fate(slave=2) is Fate.TWICE
        assert self.fate(master=1, slave=1, listed=True) is Fate.TWICE

    def test_missed_is_forgiven_only_when_it_is_listed(self) -> None:
        assert self.fate(listed=True) is Fate.LISTED
        assert self.fate() is Fate.LOST

    def test_listed_for_another_moment_or_another_job_does_not_count(self) -> None:
        for job, at in (("sales / load", "2026-03-29T12:01:00Z"), ("sales / copy", self.AT)):
            event = {"missed": {"listed": [{"job": job, "at": at}]}}
            assert fates({self.WANTED}, [], [], missed(event)) == {self.WANTED: Fate.LOST}

    def test_a_run_that_nobody_wanted(self) -> None:
        assert fates(set(), [run("load", self.AT)], [], set()) == {self.WANTED: Fate.NOT_DUE}

    def test_started_by_hand_or_by_the_misfire_policy_is_no_occurrence(self) -> None:
        journal = [run("load", None, trigger="manual"), run("load", self.AT, trigger="misfire")]
        assert fates({self.WANTED}, journal[:1], [], set()) == {self.WANTED: Fate.LOST}
        assert fates({self.WANTED}, [], journal[1:], set()) == {self.WANTED: Fate.LATE}
        assert made_up(journal) == journal[1:]

    def test_late_is_only_what_was_made_up_for_before_the_job_ran_again(self) -> None:
        before = Occurrence("sales", "load", NOON - timedelta(hours=2))
        on_time = run("load", "2026-03-29T11:00:00Z") | {"start": "2026-03-29T11:00:00.1Z"}
        made_up_for = run("load", self.AT, trigger="misfire")
        assert fates({before}, [made_up_for], [], set())[before] is Fate.LATE
        assert fates({before}, [made_up_for, on_time], [], set())[before] is Fate.LOST
        assert fates({before}, [made_up_for], [], {("sales / load", before.scheduled)})[before] is Fate.LISTED

    def test_late_is_also_a_run_that_an_event_tells_as_late_after_it(self) -> None:
        before, at_noon = Occurrence("sales", "load", NOON - timedelta(hours=2)), [run("load", self.AT)]
        told = late({"at": "2026-03-29T12:00:05Z", "burst": {"names": ["Sales / LOAD"]}})
        assert fates({before, self.WANTED}, at_noon, [], set(), told)[before] is Fate.LATE
        too_early = {(name, at - timedelta(seconds=10)) for name, at in told}
        assert fates({before, self.WANTED}, at_noon, [], set(), too_early)[before] is Fate.LOST
