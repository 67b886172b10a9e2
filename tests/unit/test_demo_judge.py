"""The judgement over the servers' own books, on which the demo and the end-to-end tests rely."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from denodo_demo.judge import Exposure, Occurrence, double_runs, exposures

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def run(job: str, scheduled: str | None, project: str = "sales") -> dict[str, Any]:
    return {"seq": 1, "project": project, "job": job, "start": "2026-03-29T12:00:00.120Z", "scheduled": scheduled}


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
            [run("Straße", "2026-03-29T12:00:00Z", "Sales")], [run("STRASSE", "2026-03-29T12:00:00Z", "SALES")]
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
