"""The bench's own part: verdicts, the table, the JSON file, and rows that fail. What it measures is not judged here."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bench.__main__ import ROWS, finish, run
from bench.arrivals import Arrivals, lateness
from bench.busy import Watched
from bench.report import Measurement, Result
from bench.switchover import Gap, not_run
from bench.syncs import Synced
from rich.console import Console

from denodo_demo.progress import Progress
from denodo_ha.sync_results import Imported

REQUESTS = Measurement("requests", 21, at_most=22, note="as [the web tool] counts")
RATIO = Measurement("times faster", 99.5, at_least=100)
SECONDS = Measurement("one request per job", 1234.5, "s")


@pytest.fixture
def output() -> StringIO:
    return StringIO()


@pytest.fixture
def progress(output: StringIO) -> Progress:
    return Progress(Console(file=output, width=120))


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Make a module of a row that measures what it is given, and then maybe fails; return the module's name."""

    def make(*measurements: Measurement, error: Exception | None = None) -> str:
        def measure(_stage: object) -> Iterator[Measurement]:
            yield from measurements
            if error is not None:
                raise error

        module = ModuleType("bench.made_up")
        vars(module).update(TITLE="Made up", measure=measure)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module.__name__

    return make


@pytest.mark.parametrize(
    ("measurement", "met"),
    [
        (Measurement("", 22, at_most=22), True),
        (Measurement("", 22.001, at_most=22), False),
        (Measurement("", 100, at_least=100), True),
        (Measurement("", 99.999, at_least=100), False),
        (Measurement("", 5, at_least=1, at_most=4), False),
        (Measurement("", 5), None),
    ],
)
def test_a_target_is_met_up_to_its_limit(measurement: Measurement, met: bool | None) -> None:
    assert measurement.met is met


def test_the_table_shows_value_target_verdict_and_reason(tmp_path: Path, progress: Progress, output: StringIO) -> None:
    results = [
        Result("disabling", "Disabling many", (REQUESTS, RATIO, SECONDS), 1.0),
        Result("no-op", "Nothing to do", (), 1.0, error="[not_initialised] no record"),
    ]
    finish(results, tmp_path / "bench.json", progress)
    lines = output.getvalue().splitlines()

    def line(text: str) -> list[str]:
        return [cell.strip() for cell in next(line for line in lines if text in line).strip("│").split("│")]

    assert line("requests") == ["requests", "21", "≤ 22", "met", "as [the web tool] counts"]
    assert line("times faster") == ["times faster", "99.50", "≥ 100", "missed", ""]
    assert line("one request per job") == ["one request per job", "1,234 s", "", "", ""]
    assert line("no record") == ["failed", "", "", "failed", "[not_initialised] no record"]
    assert "Not as it should be: disabling, no-op" in lines[-1]


def test_the_file_holds_values_targets_verdicts_machine_and_versions(tmp_path: Path, progress: Progress) -> None:
    file = tmp_path / "results" / "bench.json"
    finish([Result("disabling", "Disabling many", (REQUESTS, RATIO, SECONDS), 2.5)], file, progress)
    content = json.loads(file.read_text(encoding="utf-8"))
    (found,) = content["rows"]
    assert not content["met"]
    assert (found["name"], found["met"], found["error"], found["seconds"]) == ("disabling", False, "", 2.5)
    assert [
        (one["what"], one["value"], one["at_most"], one["at_least"], one["met"]) for one in found["measurements"]
    ] == [
        ("requests", 21, 22, None, True),
        ("times faster", 99.5, None, 100, False),
        ("one request per job", 1234.5, None, None, None),
    ]
    assert content["machine"]["processors"] >= 1
    assert content["versions"].keys() >= {"python", "apache-airflow", "airflow-denodo-scheduler-ha"}
    assert content["date"].endswith("+00:00")


def test_what_never_came_is_named_so_and_is_null_in_the_file(
    tmp_path: Path, progress: Progress, output: StringIO
) -> None:
    late = Measurement("lateness", float("inf"), "s", at_most=1)
    finish([Result("watching", "Watching many", (late,), 1.0)], tmp_path / "bench.json", progress)
    assert "never" in next(line for line in output.getvalue().splitlines() if "lateness" in line)
    (found,) = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["rows"]
    assert (found["measurements"][0]["value"], found["met"]) == (None, False)


@pytest.mark.parametrize(
    ("measurement", "error", "code"), [(REQUESTS, "", 0), (SECONDS, "", 0), (RATIO, "", 1), (REQUESTS, "broke", 1)]
)
def test_the_exit_code_says_whether_every_target_is_met(
    tmp_path: Path, progress: Progress, measurement: Measurement, error: str, code: int
) -> None:
    results = [Result("good", "", (REQUESTS,), 1.0), Result("other", "", (measurement,), 1.0, error=error)]
    assert finish(results, tmp_path / "bench.json", progress) == code


def test_a_row_that_fails_keeps_what_it_measured_and_says_why(
    tmp_path: Path, progress: Progress, output: StringIO, row: Callable[..., str]
) -> None:
    result = run("made-up", row(REQUESTS, error=RuntimeError("the pair did not start")), tmp_path, progress)
    assert (result.title, result.measurements, result.error) == ("Made up", (REQUESTS,), "the pair did not start")
    assert not result.met
    assert "made-up failed: the pair did not start" in output.getvalue()


def test_a_row_without_a_message_fails_with_the_name_of_its_error(
    tmp_path: Path, progress: Progress, row: Callable[..., str]
) -> None:
    assert run("made-up", row(error=KeyError()), tmp_path, progress).error == "KeyError()"


def test_a_row_that_meets_its_targets(tmp_path: Path, progress: Progress, row: Callable[..., str]) -> None:
    result = run("made-up", row(REQUESTS, SECONDS), tmp_path, progress)
    assert result.met
    assert result.measurements == (REQUESTS, SECONDS)


class TestLateness:
    INF = float("inf")

    def test_behind_the_clock_of_the_one_that_was_the_least_late(self) -> None:
        assert lateness([103.0, 113.5, 123.0, 133.2], 10, 100, 140) == pytest.approx([0.0, 0.5, 0.0, 0.2])

    def test_a_clock_that_begins_right_before_the_measurement_ends(self) -> None:
        assert lateness([99.9, 109.9, 120.1, 129.9], 10, 100, 130) == pytest.approx([0.0, 0.2, 0.0])

    def test_a_missing_probe_is_infinitely_late(self) -> None:
        assert lateness([103.0, 123.0, 133.0], 10, 100, 140) == pytest.approx([0.0, 0.0, 0.0, self.INF])

    def test_a_pair_that_nobody_watches_any_more(self) -> None:
        assert lateness([50.0], 10, 100, 130) == [self.INF] * 3


def test_arrivals_are_noted_by_pair() -> None:
    with Arrivals().serving() as arrivals:
        for pair, what in (("master_1", "me"), ("master_1", "projects"), ("master_2", "me"), ("master_1", "me")):
            url = f"http://127.0.0.1:{arrivals.port}/{pair}/public/api/{what}?uri=//host:8000"
            with urllib.request.urlopen(url, timeout=10) as answer:
                json.load(answer)
        seen = arrivals.seen()
    assert {pair: len(times) for pair, times in seen.items()} == {"master_1": 2, "master_2": 1}


@pytest.mark.parametrize("name", ROWS)
def test_each_row_has_a_title_and_measures(name: str) -> None:
    module = import_module(ROWS[name])
    assert module.TITLE
    assert callable(module.measure)


class TestWatched:
    """What a passive server notes while it is synced."""

    def test_what_was_there_before_does_not_count(self) -> None:
        server = Books([entry(1, "enabled"), entry(2, "disabled")], [{"seq": 1}])
        watched = Watched(server)  # type: ignore[arg-type]
        server.journal_.append({"seq": 2})
        server.audit_ += [entry(3, "enabled", second=10), entry(4, "disabled", second=12)]
        found = measured(watched, piece("archive", 1))
        assert found["executions on the passive server"] == (1, False)
        assert found["longest exposure of an import"] == (2.0, True)
        assert found["jobs enabled by REST pieces"] == (0, True)

    def test_a_job_that_rest_has_enabled_is_told_from_those_of_an_import(self) -> None:
        server = Books([], [])
        watched = Watched(server)  # type: ignore[arg-type]
        server.audit_ += [entry(1, "enabled", job="a"), entry(2, "enabled", job="b"), entry(3, "disabled", job="a")]
        found = measured(watched, piece("archive", 1), piece("rest", 5))
        assert found["jobs enabled by REST pieces"] == (1, False)
        assert found["longest exposure of an import"] == (float("inf"), False)

    def test_what_is_pending_is_named(self) -> None:
        pending = {"key": ["Sales", "load"], "reason": {"code": "restless"}}
        synced = Synced(imported=imported(pending=[pending]))
        *_, last = Watched(Books([], [])).measure([synced], "sync", at_most=1)  # type: ignore[arg-type]
        assert (last.value, last.note) == (1, "Sales / load (restless)")


class TestNotRun:
    """Occurrences in the gap of a switchover; the job is due every 10 seconds."""

    def test_what_ran_nowhere_is_listed_or_lost(self) -> None:
        lost, listed = self._found(ran=[], told=[10, 20])
        assert (lost, listed) == ([("sales / load", at(30))], 2)

    def test_what_ran_on_either_server_is_neither(self) -> None:
        assert self._found(ran=[10, 20, 30], told=[]) == ([], 0)

    def test_what_was_made_up_for_at_once_has_run(self) -> None:
        made_up = {"project": "Sales", "job": "load", "start": at(31).isoformat(), "scheduled": None}
        lost, _ = self._found(ran=[], told=[], more=[{**made_up, "trigger": "misfire"}])
        assert lost == [("sales / load", at(10)), ("sales / load", at(20))]

    def test_jobs_that_wait_for_others_are_not_judged(self) -> None:
        assert self._found(ran=[], told=[], dependencyInfo={"jobIDs": [1]}) == ([], 0)

    @staticmethod
    def _found(
        *, ran: list[int], told: list[int], more: Sequence[dict[str, Any]] = (), **trigger: Any
    ) -> tuple[list[tuple[str, datetime]], int]:
        runs = [
            {"project": "Sales", "job": "load", "scheduled": at(second).isoformat(), "trigger": "cron"}
            for second in ran
        ]
        triggers = [{"type": "cron", "cronExpression": "0/10 * * * * ?", **trigger}]
        definition = {"projectName": "Sales", "name": "load", "triggerSection": {"triggers": triggers}}
        listed = [{"job": "Sales / load", "at": at(second).isoformat()} for second in told]
        gaps = {("sales", "load"): Gap(at(5), at(31))}
        event = {"missed": {"listed": listed}}
        return not_run(gaps, [definition], [runs, list(more)], event, ZoneInfo("Europe/Madrid"))


class Books:
    """A server that has nothing but its books."""

    def __init__(self, audit: list[dict[str, Any]], journal: list[dict[str, Any]]) -> None:
        self.audit_, self.journal_ = audit, journal
        self.scheduler = self

    def audit(self, since: int = 0) -> list[dict[str, Any]]:
        return [entry for entry in self.audit_ if entry["seq"] > since]

    def journal(self, since: int = 0) -> list[dict[str, Any]]:
        return [entry for entry in self.journal_ if entry["seq"] > since]


def at(second: int) -> datetime:
    return datetime(2026, 3, 2, 6, 0, second, tzinfo=UTC)


def entry(seq: int, change: str, *, job: str = "load", second: int = 0) -> dict[str, Any]:
    return {"seq": seq, "at": at(second).isoformat(), "project": "Sales", "job": job, "change": change}


def piece(channel: str, jobs: int) -> dict[str, Any]:
    return {"channel": channel, "delivered": {"jobs": jobs, "names": []}}


def imported(**fields: Any) -> Imported:
    moment = at(0).isoformat()
    return Imported("id", "snapshot", moment, moment, moment, warnings=[], others=[], **fields)


def measured(watched: Watched, *pieces: dict[str, Any]) -> dict[str, tuple[float, bool | None]]:
    """Value and verdict by what was measured."""
    synced = Synced(imported=imported(pieces=list(pieces)))
    found = watched.measure([synced], "sync", at_most=1)
    return {one.what.removeprefix("sync: "): (one.value, one.met) for one in found}
