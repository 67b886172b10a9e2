"""The guided tour of ``make run``: each step is told once, and the next one when what it asks for is seen."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from denodo_demo import run
from denodo_demo.airflow import LocalAirflow
from denodo_demo.stage import SWITCHOVER, Stage
from denodo_demo.tour import END, STEPS, Seen, Tour, TourStep

PLACES = {
    "page": "http://here/page",
    "login": "user admin, password xyz",
    "sync": "http://here/sync",
    "switchover": "http://here/switchover",
    "kill": "kill -9 $(cat master.pid)",
    "enter": "press Enter here",
}
NORMAL = Seen(active="master", phase="normal")
READY = Seen(active="master", phase="normal", ready=True)
FAILED_OVER = Seen(active="slave", phase="failed_over", master_runs=False)
"""What is seen after each step, in order."""
DONE = (
    Seen(active="master", phase="normal", looked=True),
    Seen(active="master", phase="normal", synced=True, ready=True),
    FAILED_OVER,
    Seen(active="slave", phase="failed_over", master_enabled=0),
    NORMAL,
)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def tour(told: list[str]) -> Tour:
    return Tour(told.append, PLACES)


def titles(told: list[str]) -> list[str]:
    return [line for line in told if line.startswith("Step ")]


def at(tour: Tour) -> str:
    return tour.step.key if tour.step else "over"


ACCESS = "api-server | 2026-11-29T05:18:00Z [info     ] request finished [http.access] client_addr=127.0.0.1:3 loc=x:1 "


@pytest.mark.parametrize(
    ("line", "looked"),
    [
        ("method=GET path=/denodo-ha/page/index.html query= status_code=200", True),
        ("method=GET path=/denodo-ha/pairs query='a=1' status_code=304", True),
        ("method=GET path=/denodo-ha/page/index.html query= status_code=401", False),
        ("method=GET path=/api/v2/assets query= status_code=200", False),
    ],
)
def test_the_page_was_looked_at_by_whoever_is_logged_in(line: str, looked: bool) -> None:
    assert bool(run.LOOKED.search(ACCESS + line)) == looked


def test_what_was_read_of_the_log_is_not_read_again(tmp_path: Path, tour: Tour) -> None:
    airflow = LocalAirflow(tmp_path)
    guide = run.Guide(cast(Stage, SimpleNamespace(airflow=airflow)), tour)
    page = ACCESS + "method=GET path=/denodo-ha/page/index.html query= status_code=200"
    seen = []
    for more in ("", "begins\n", page[:-30], page[-30:], "\n", "goes on\n"):
        with airflow.log.open("a") as log:
            log.write(more)
        seen.append(guide._somebody_looked())
    assert seen == [False, False, False, False, True, False]


class Hasty(Tour):
    """One that another thread has moved on whenever it is looked at."""

    @property
    def step(self) -> TourStep | None:
        self._at += 1
        return super().step


def test_another_thread_may_move_the_tour_on_at_any_time(told: list[str]) -> None:
    for last in range(len(STEPS)):
        assert Hasty(told.append, PLACES, last - 1).at(STEPS[last].key)
    started: list[str] = []
    api = SimpleNamespace(trigger=lambda dag_id, _: started.append(dag_id))
    stage = SimpleNamespace(airflow=SimpleNamespace(api=api), progress=SimpleNamespace(say=told.append))
    run.Guide(cast(Stage, stage), Hasty(told.append, PLACES, len(STEPS) - 2)).enter()
    assert started == [SWITCHOVER]


class TestPlaces:
    @pytest.fixture
    def places(self, tmp_path: Path) -> run.Places:
        airflow = SimpleNamespace(url="http://here", user="admin", password="xyz", password_file=tmp_path / "my file")
        progress = SimpleNamespace(moves=True)
        return run.Places(cast(Stage, SimpleNamespace(airflow=airflow, progress=progress, folder=tmp_path)))

    def test_the_password_is_shown_to_a_person_and_not_written_to_a_log(self, places: run.Places) -> None:
        assert places.login() == "user admin, password xyz"
        places.stage.progress.moves = False
        assert "xyz" not in places.login()
        assert places.login().endswith(f"cat '{places.stage.airflow.password_file}'")

    @pytest.mark.parametrize(
        ("display", "terminal", "opened"),
        [(":0", True, ["http://here/plugin/denodo-pairs"]), ("", True, []), (":0", False, [])],
    )
    def test_a_browser_opens_only_before_a_person_with_a_display(
        self, places: run.Places, monkeypatch: pytest.MonkeyPatch, display: str, terminal: bool, opened: list[str]
    ) -> None:
        seen: list[str] = []
        monkeypatch.setattr(webbrowser, "open", seen.append)
        monkeypatch.setenv("DISPLAY", display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        places.stage.progress.moves = terminal
        places.open_page()
        assert seen == opened


def test_the_five_steps_follow_one_another(tour: Tour, told: list[str]) -> None:
    tour.see(NORMAL)
    assert at(tour) == "look"
    seen = [at(tour)]
    for each in DONE:
        tour.see(each)
        tour.see(each)
        seen.append(at(tour))
    assert seen == [*(step.key for step in STEPS), "over"]
    assert titles(told) == [f"Step {number} of 5: {step.title}" for number, step in enumerate(STEPS, 1)]
    assert told[-1] == END
    assert "http://here/page" in told[2]
    assert "    In another shell: kill -9 $(cat master.pid)" in told
    assert sum(line.endswith(": press Enter here") for line in told) == 5


def test_nothing_is_told_as_long_as_nothing_happens(tour: Tour, told: list[str]) -> None:
    for _ in range(3):
        tour.see(READY)
    assert len(titles(told)) == 1


@pytest.mark.parametrize(
    ("done", "seen"),
    [
        (1, Seen(active="master", phase="normal", synced=True)),
        (1, READY),
        (2, Seen(active="master", phase="normal", ready=True, master_runs=False)),
        (2, Seen(active="slave", phase="failing_over", master_runs=False)),
        (3, Seen(active="slave", phase="failed_over", master_runs=False, master_enabled=0)),
        (3, Seen(active="slave", phase="failed_over", master_enabled=463)),
        (3, Seen(active="slave", phase="failed_over")),
        (4, Seen(active="slave", phase="failing_back")),
        (4, Seen(active="master", phase="failing_back")),
    ],
)
def test_half_of_a_step_is_no_step(tour: Tour, done: int, seen: Seen) -> None:
    for each in DONE[:done]:
        tour.see(each)
    tour.see(seen)
    assert at(tour) == STEPS[done].key


def test_what_was_done_before_its_turn_counts(tour: Tour, told: list[str]) -> None:
    tour.see(NORMAL)
    tour.see(FAILED_OVER)
    assert at(tour) == "look"
    tour.skip()
    tour.see(FAILED_OVER)
    assert at(tour) == "start"
    assert len(titles(told)) == 4


def test_a_pair_that_is_failed_over_at_the_start_is_brought_home(tour: Tour) -> None:
    tour.skip()
    tour.see(Seen(active="slave", phase="failed_over", master_enabled=0))
    assert at(tour) == "fail_back"
    tour.see(NORMAL)
    assert at(tour) == "over"


def test_every_name_in_the_sentences_is_a_place() -> None:
    for step in STEPS:
        for line in step.how:
            assert "{" not in line.format(**PLACES)
