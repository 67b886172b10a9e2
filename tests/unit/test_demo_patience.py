"""How the demo and these tests wait: for as long as the machine needs, with word of what is slow."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from rich.console import Console

from denodo_demo import airflow_api, progress, run, slowness
from denodo_demo.airflow_api import AirflowApiError, ApiClient
from denodo_demo.processes import WaitError, wait_for
from denodo_demo.progress import Progress
from denodo_demo.slowness import Deadline, allow
from denodo_demo.stage import Stage
from denodo_demo.standin import StandinError

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


class FakePair:
    """Its slave has no jobs, and its master does not answer."""

    servers = ()
    slave = SimpleNamespace(statuses=list)

    @property
    def master(self) -> None:
        raise StandinError("master answered 500")


class FakeStage:
    """Everything of it that is asked fails."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(console)
        self.pair = FakePair()
        self.airflow = self
        self.watched = 0

    @property
    def running(self) -> bool:
        """Until it was watched for a while."""
        return self.watched < 3

    def start(self) -> None:
        pass

    def scheduled_sync(self, _: str) -> None:
        raise httpx.ReadTimeout("timed out")

    def watch(self) -> None:
        self.watched += 1
        raise AirflowApiError("PATCH /dags", 500, "Internal Server Error")

    def wait_until_healthy(self, timeout: float) -> None:
        assert timeout == 0
        raise WaitError("the process airflow ended before")


def test_make_run_keeps_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails after the start is told, or tried again; only the end of Airflow ends it."""
    told = io.StringIO()
    stage = FakeStage(Console(file=told, width=200))
    monkeypatch.setattr(Stage, "build", lambda *_, **__: stage)
    monkeypatch.setattr(run, "_HISTORY_EVERY", 0.01)
    monkeypatch.setattr(run.sys, "stdin", io.StringIO())
    with pytest.raises(WaitError, match="airflow ended"):
        run.run(stage.progress)
    for failure in ("timed out", "master answered 500"):
        assert f"{failure} Everything stays up for you to look." in told.getvalue()
    assert stage.watched >= 3


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """What one test measures is no measure for the next."""
    yield
    slowness._measured = float("-inf"), 1.0
