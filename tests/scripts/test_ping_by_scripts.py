"""``ping.sh`` beside the web tools: it can prove that a master lives, never that it is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from denodo_demo.slowness import allow
from denodo_demo.standin import PASSWORD
from denodo_ha.verdict import Answer, Observation, Verdict
from denodo_scheduler.client.probe import Looker, Observer
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.sync import Sync
from support.timeouts import ANSWERED

if TYPE_CHECKING:
    from tests.scripts.conftest import Home, Via

Look = Callable[..., Observation]
MASTER, SLAVE = "denodo_scheduler_master", "denodo_scheduler_slave"


@pytest.fixture
def asked(home: Home, tmp_path: Path) -> Callable[[], list[str]]:
    """What the ping was asked about, one ``host port`` for each."""
    home.script("ping", f'echo "$2 $4" >> "{tmp_path}/asked"; exec "$real" "$@"')
    return lambda: (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []


@pytest.fixture
def look(
    sync: Sync, home: Home, via: Via, temporary: Path, asked: object, connect: Callable[..., None]
) -> Callable[..., Observation]:
    """One look; ``by`` are the roles whose connections say ``scripts``."""
    from tests.scripts.conftest import scripts_extra

    def one(*by: str, second_path: str = "auto", timeout: tuple[float, float] = ANSWERED) -> Observation:
        for server in sync.servers.servers:
            extra = scripts_extra(home, via, PASSWORD) if server.name in by else {}
            connect(server, extra={"scheduler_uri": server.uri, "timeout": timeout, **extra})
        with Looker(DenodoSchedulerHook(MASTER), DenodoSchedulerHook(SLAVE), second_path=second_path) as looker:
            return looker.look()

    return one


FAILS: dict[str, Any] = {"kind": "status", "status": 500}


def test_while_the_web_tool_answers_no_script_runs(look: Look, asked: Callable[[], list[str]]) -> None:
    assert look("master", "slave").verdict is Verdict.UP
    assert asked() == []


def test_a_dead_web_tool_of_a_living_scheduler(sync: Sync, look: Look) -> None:
    """The same verdict as when path 2 hears it, also without a path 2."""
    sync.master.webtool.kill()
    assert look(second_path="none").verdict is Verdict.UNKNOWN
    seen = look("master", second_path="none")
    assert seen.verdict is Verdict.CONTROL_PATH_BROKEN
    assert "ping.sh: the Scheduler server is alive" in seen.details["master"]


@pytest.mark.parametrize("via", ["local"], indirect=True)
class TestPing:
    def test_of_the_slaves_connection_is_path_2(self, sync: Sync, look: Look, asked: Callable[[], list[str]]) -> None:
        sync.master.webtool.kill()
        about_the_master = f"uri=.*{sync.master.scheduler.port}"
        sync.slave.webtool.faults({**FAILS, "match": {"query": about_the_master}})
        assert look().verdict is Verdict.DOWN, "two silent paths, though the Scheduler lives"
        assert look("slave").verdict is Verdict.CONTROL_PATH_BROKEN
        assert asked() == [f"127.0.0.1 {sync.master.scheduler.port}"]

    def test_that_fails_changes_no_verdict(self, sync: Sync, look: Look) -> None:
        sync.master.scheduler.kill()
        seen = look("master", "slave")
        assert (seen.verdict, seen.master, seen.second) == (Verdict.DOWN, Answer.FAILED, Answer.FAILED)
        assert "ping.sh proves nothing" in seen.details["master"]
        assert look("master", second_path="none").verdict is Verdict.UNKNOWN

    def test_of_a_misconfigured_path_is_no_proof_of_death(self, sync: Sync, look: Look, home: Home) -> None:
        (home.scripts / "ping.sh").unlink()
        sync.master.webtool.faults({**FAILS, "status": 401})
        sync.slave.webtool.faults({**FAILS, "status": 401, "match": {"query": f"{sync.master.scheduler.port}"}})
        seen = look("master", "slave")
        assert seen.verdict is Verdict.MISCONFIGURED
        assert "there is no such script" in seen.details["master"].casefold()

    def test_says_nothing_about_the_slaves_web_tool(self, sync: Sync, look: Look) -> None:
        sync.master.scheduler.kill()
        sync.slave.webtool.kill()
        seen = look("master", "slave")
        assert (seen.slave, seen.verdict) == (Answer.NO_ANSWER, Verdict.UNKNOWN)

    def test_does_not_prove_that_path_2_works(self, sync: Sync, look: Look) -> None:
        """What counts later is the silence of the slave's web tool."""
        sync.slave.webtool.faults(FAILS)
        look("master", "slave")
        observer = Observer.of(DenodoSchedulerHook(MASTER), DenodoSchedulerHook(SLAVE))
        assert asyncio.run(observer.second_works()) is False

    def test_that_hangs_holds_nobody_up(self, sync: Sync, look: Look, home: Home, monkeypatch: Any) -> None:
        (home.scripts / "ping.sh").write_text("#!/bin/sh\nsleep 100\n")
        sync.master.scheduler.kill()
        seen = look("master", timeout=(allow(1), allow(1)))
        assert seen.verdict is Verdict.DOWN
        assert "ping.sh proves nothing: " in seen.details["master"]
