"""How the demo and these tests wait: for as long as the machine needs, with word of what is slow."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rich.console import Console

from denodo_demo import commands, processes, progress, run, slowness
from denodo_demo import stage as stage_module
from denodo_demo.airflow import LocalAirflow
from denodo_demo.airflow_api import AirflowApiError, ApiClient
from denodo_demo.processes import WaitError, wait_for
from denodo_demo.progress import Progress
from denodo_demo.slowness import Deadline, allow
from denodo_demo.stage import Stage
from denodo_demo.standin import StandinApi, StandinError

ASSETS = {"assets": [], "total_entries": 0}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have the machine measured as so many times as slow as an idle one."""

    def measured(factor: float) -> None:
        monkeypatch.setattr(slowness, "_measured", (time.monotonic() + 3600, factor))

    return measured


class TestSlowness:
    def test_is_measured_and_never_below_1(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for takes, expected in ((1e9, False), (1e-9, True)):
            monkeypatch.setattr(slowness, "_TAKES", takes)
            monkeypatch.setattr(slowness, "_measured", (float("-inf"), 0.5))
            assert (slowness.slowness() > 1) == expected
            assert slowness.slowness() >= 1

    def test_is_measured_again_after_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(slowness, "_measured", (time.monotonic(), 7.0))
        assert allow(2) == 14
        monkeypatch.setattr(slowness, "_VALID", -1)
        monkeypatch.setattr(slowness, "_TAKES", 1e9)
        assert allow(2) == 2

    def test_a_deadline_passes_more_slowly(self, slow: Callable[[float], None]) -> None:
        slow(1e9)
        deadline = Deadline(0.001)
        time.sleep(0.002)
        assert deadline.left() > 0
        slow(1)
        time.sleep(0.002)
        assert deadline.left() < 0, "from now on it passes as it does on an idle machine"

    def test_a_wait_ends_later(self, slow: Callable[[float], None]) -> None:
        slow(1)
        asked: list[int] = []
        with pytest.raises(WaitError, match="A thing: not within"):
            wait_for(lambda: asked.append(1), 0.0, "A thing", poll=0.001)
        assert len(asked) == 1
        slow(1e9)
        assert wait_for(lambda: len(asked) > 5 or asked.append(1), 0.001, "A thing", poll=0.001)


@pytest.fixture
def api(webtool: Any, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    monkeypatch.setattr(slowness, "_PAUSE", 0)
    return ApiClient(f"http://127.0.0.1:{webtool.port}", "admin", "password")


class TestRequests:
    def test_one_that_is_slow_is_told(
        self, webtool: Any, api: ApiClient, answer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(progress, "SIGN_OF_LIFE", 0.01)
        webtool.on("GET", "//api/v2/assets", answer(fault="hang"), ASSETS)
        told: list[str] = []

        def tell(line: str) -> None:
            told.append(line)
            webtool.stopping.set()

        api.tell = tell
        assert api.assets() == []
        url = f"http://127.0.0.1:{webtool.port}"
        assert told[0] == f"... Airflow at {url} has not answered GET /api/v2/assets, for 0 s now"

    @pytest.mark.parametrize("fault", ["cut", "truncate", "503", "500"])
    def test_one_that_fails_is_sent_again(self, webtool: Any, api: ApiClient, answer: Any, fault: str) -> None:
        bad = answer(status=int(fault)) if fault.isdigit() else answer(ASSETS, fault=fault)
        webtool.on("GET", "//api/v2/assets", bad, bad, ASSETS)
        assert api.assets() == []
        assert len(webtool.asked("GET", "//api/v2/assets")) == 3

    def test_a_run_whose_answer_is_lost_is_started_once(self, webtool: Any, api: ApiClient, answer: Any) -> None:
        """Its id is ours, so that a second request says whether the first one had its effect."""
        there = answer({"detail": "a run with this id exists"}, 409)
        webtool.on("POST", "//api/v2/dags/d/dagRuns", answer({"dag_run_id": "r"}, fault="cut"), there)
        assert api.trigger("d").startswith("manual__")
        asked = webtool.asked("POST", "//api/v2/dags/d/dagRuns")
        assert len(asked) == 2

    def test_a_run_with_an_id_of_the_caller_is_not_taken_for_his(
        self, webtool: Any, api: ApiClient, answer: Any
    ) -> None:
        webtool.on("POST", "//api/v2/dags/d/dagRuns", answer({"detail": "it exists"}, 409))
        with pytest.raises(AirflowApiError, match="it exists"):
            api.trigger("d", run_id="mine")

    @pytest.mark.parametrize(
        ("status", "said", "again"),
        [(500, "Internal Server Error", False), (500, "Database error", True), (503, "busy", True), (404, "no", False)],
    )
    def test_a_run_is_started_again_only_where_it_was_not(
        self, webtool: Any, api: ApiClient, answer: Any, status: int, said: str, again: bool
    ) -> None:
        webtool.on("POST", "//api/v2/dags/d/dagRuns", answer({"detail": said}, status), {"dag_run_id": "r"})
        if again:
            assert api.trigger("d") == "r"
        else:
            with pytest.raises(AirflowApiError, match=said):
                api.trigger("d")
        assert len(webtool.asked("POST", "//api/v2/dags/d/dagRuns")) == 1 + again

    def test_nobody_is_waited_for_who_does_not_listen(self, webtool: Any, api: ApiClient) -> None:
        webtool.shutdown()
        webtool.server_close()
        with pytest.raises(httpx.ConnectError):
            api.assets()


class TestStandin:
    @pytest.fixture
    def server(self, webtool: Any, monkeypatch: pytest.MonkeyPatch) -> StandinApi:
        monkeypatch.setattr(slowness, "_PAUSE", 0)
        monkeypatch.setattr(slowness, "ANSWER", 0.3)
        return StandinApi("master", f"http://127.0.0.1:{webtool.port}", "//127.0.0.1:1")

    @pytest.mark.parametrize("method", ["GET", "PUT"])
    def test_a_request_without_an_answer_is_sent_again(
        self, webtool: Any, server: StandinApi, answer: Any, method: str
    ) -> None:
        path = "/jobs/status"
        webtool.on(method, path, answer([], fault="hang"), answer([], fault="hang"), [])
        assert server.request(method, "/jobs/status") == []
        assert len(webtool.asked(method, path)) == 3

    def test_one_that_never_answers_ends_with_its_error(
        self, webtool: Any, server: StandinApi, answer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(slowness, "PERSISTENCE", 0)
        webtool.on("GET", "/jobs/status", answer([], fault="hang"))
        with pytest.raises(httpx.ReadTimeout):
            server.statuses()


class FakeStage:
    """An Airflow that answers once, and then fails in all ways there are."""

    pair = SimpleNamespace(servers=())

    def __init__(self, console: Console, folder: Path) -> None:
        self.progress = Progress(console)
        self.folder = folder
        self.airflow = self
        self.url, self.user, self.password_file = "http://airflow", "admin", folder / "password"
        self.child = SimpleNamespace(name="airflow", running=False, log=folder / "log")
        self.child.log.write_text("Traceback (most recent call last):\nOSError: no space")
        self.failures = [
            httpx.ReadTimeout("timed out"),
            AirflowApiError("PATCH /dags", 500, "Internal Server Error"),
            StandinError("master answered 500"),
            KeyError("status"),
            WaitError("Airflow with all its components: not within 300 s.", self.child),  # type: ignore[arg-type]
        ]
        self.asked = 0
        self.end = time.monotonic() + allow(20)

    @property
    def running(self) -> bool:
        """Until everything has failed, or nothing has for a while."""
        return self.asked <= len(self.failures) and time.monotonic() < self.end

    def launch(self) -> None:
        pass

    start_pair = launch

    def answers(self) -> bool:
        return True

    is_healthy = answers

    def wait_for_airflow(self, condition: Callable[[], bool], what: str) -> None:
        if what == "Airflow's API server":
            assert condition()
            return
        self.asked += 1
        if self.asked <= len(self.failures):
            raise self.failures[self.asked - 1]
        time.sleep(0.1)
        raise self.failures[-1]


def test_make_run_keeps_what_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever fails after Airflow has answered is told in a sentence and tried again; only Airflow's end ends it."""
    told = io.StringIO()
    stage = FakeStage(Console(file=told, width=300), tmp_path)
    monkeypatch.setattr(Stage, "build", lambda *_, **__: stage)
    monkeypatch.setattr(run, "_EVERY", 0.01)
    monkeypatch.setattr(run.Places, "named", lambda _: {})
    monkeypatch.setattr(run.Places, "show", lambda _: None)
    monkeypatch.setattr(run.sys, "stdin", io.StringIO())
    with pytest.raises(WaitError, match="airflow ended before") as ended:
        run.run(stage.progress)
    for failure in ("timed out.", "Internal Server Error.", "master answered 500.", "'status'.", "not within 300 s."):
        assert f"{failure} Everything stays up, and it is tried again." in told.getvalue()
    assert "Traceback" not in told.getvalue()
    assert run.failure(ended.value) == "Airflow: the process airflow ended before."


def test_keys_are_written_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            LocalAirflow(tmp_path)
    airflow = LocalAirflow(tmp_path)
    assert json.loads(airflow.password_file.read_text()) == {airflow.user: airflow.password}
    assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}


class TestEndOfACommand:
    @pytest.fixture(autouse=True)
    def _folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(commands, "RUN_FOLDER", tmp_path)
        monkeypatch.setattr(stage_module, "RUN_FOLDER", tmp_path)
        monkeypatch.setattr(processes, "_running", [])  # a command stops its children, and not those of other tests

    @pytest.mark.parametrize("error", [WaitError("It did not start.", said="Traceback ..."), ZeroDivisionError("oh")])
    def test_a_failure_is_a_sentence_and_the_place_of_the_rest(
        self, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        def fails(_: Progress) -> None:
            raise error

        monkeypatch.setattr(commands, "run", fails)
        assert commands.execute("run") == 1
        said = capsys.readouterr()
        first, last = said.err.splitlines()
        log = tmp_path / "run" / "error.log"
        assert first == f"make run failed: {run.failure(error)} The whole error is in {log}."
        assert last == f"Look into the logs in {tmp_path / 'run'}, and run it again."
        assert "Traceback" not in said.out + said.err
        assert "Traceback" in log.read_text()

    def test_a_folder_that_cannot_be_written_is_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / ".run").touch()
        for module in (commands, stage_module):
            monkeypatch.setattr(module, "RUN_FOLDER", tmp_path / ".run")
        assert commands.execute("run") == 1
        said = capsys.readouterr().err
        assert said.startswith(
            f"make run failed: it keeps all it writes in {tmp_path / '.run'}. [Errno 17] File exists"
        )
        assert said.count("\n") == 1

    def test_two_at_a_time_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(commands, "run", lambda _: commands.execute("run") and None)
        assert commands.execute("run") == 0
        said = capsys.readouterr().err
        assert f"already runs in this folder. Wait for its end, or stop it (kill {os.getpid()})." in said


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """What one test measures is no measure for the next."""
    yield
    slowness._measured = float("-inf"), 1.0
