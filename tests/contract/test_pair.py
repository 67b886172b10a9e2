"""``denodo-standin pair``: a whole pair by one command, its files, and how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from airflow.models.connection import Connection

from denodo_demo.processes import LONGEST_ANSWER, Child, wait_for
from denodo_ha.pairs_file import load_pairs
from denodo_standin import pair_files
from denodo_standin.pair import DISABLED, JOBS, NEXT, _stay
from support.pair_ports import keep_ports

ROLES = ("master", "slave")
KINDS = ("scheduler", "webtool")
COMMAND = [sys.executable, "-m", "denodo_standin", "pair"]


@dataclass
class Pair:
    """A pair that runs in ``folder``; each start has a log of its own."""

    folder: Path
    starts: list[Child] = field(default_factory=list)

    @property
    def said(self) -> str:
        return self.starts[-1].log.read_text()

    @property
    def ports(self) -> dict[str, int]:
        kept: dict[str, dict[str, int]] = json.loads((self.folder / "pair.json").read_text())
        return kept["ports"]

    def start(self) -> None:
        log = self.folder.with_name(f"start-{len(self.starts)}.log")
        self.starts.append(Child("pair", [*COMMAND, str(self.folder)], log=log, env=os.environ))
        wait_for(lambda: "Ctrl-C" in self.said, 120, "The pair", child=self.starts[-1])

    def ask(self, role: str, kind: str, path: str) -> Any:
        url = f"http://127.0.0.1:{self.ports[f'{role}_{kind}']}/{path}"
        login = ("admin", self.env()["DENODO_STANDIN_PASSWORD"])
        return httpx.get(url, auth=login, timeout=LONGEST_ANSWER, trust_env=False).raise_for_status().json()

    def jobs(self, role: str) -> list[dict[str, Any]]:
        """As the server's web tool shows them."""
        uri = f"//127.0.0.1:{self.ports[f'{role}_scheduler']}"
        path = f"webadmin/denodo-scheduler-admin/public/api/jobs/status?uri={uri}"
        found: list[dict[str, Any]] = self.ask(role, "webtool", path)
        return found

    def env(self) -> dict[str, str]:
        """The variables of a shell that has read the settings."""
        show = f"{shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
        script = f". {shlex.quote(str(self.folder / 'pair.env'))}; {show}"
        env: dict[str, str] = json.loads(subprocess.check_output(["sh", "-c", script]))
        return env

    def answers(self) -> list[str]:
        """The processes that accept connections."""
        return [f"{role}-{kind}" for role in ROLES for kind in KINDS if self._answers(role, kind)]

    def _answers(self, role: str, kind: str) -> bool:
        try:
            self.ask(role, kind, "control/state")
        except httpx.TransportError:
            return False
        return True


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path / "a pair's folder")
    keep_ports(made.folder)
    made.start()
    yield made
    for child in made.starts:
        child.kill()


def test_the_next_port_is_taken_where_one_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(pair_files, "_PORTS", {"master_scheduler": port, "slave_scheduler": port})
        chosen = pair_files._free_ports()
    assert len({port, *chosen.values()}) == 3


def secrets(pair: Pair) -> list[str]:
    kept = json.loads((pair.folder / "pair.json").read_text())
    return [kept["password"], kept["airflow_password"]]


def test_a_pair_has_jobs_on_the_master_alone_and_settings_that_lead_to_it(pair: Pair) -> None:
    jobs = pair.jobs("master")
    assert (len(jobs), sum(job["state"] == "DISABLED" for job in jobs)) == (JOBS, DISABLED)
    assert pair.jobs("slave") == []
    env = pair.env()
    for role in ROLES:
        connection = Connection.from_json(env[f"AIRFLOW_CONN_DENODO_SCHEDULER_{role.upper()}"])
        assert (connection.conn_type, connection.port) == ("denodo_scheduler", pair.ports[f"{role}_webtool"])
        assert connection.extra_dejson["scheduler_uri"] == f"//127.0.0.1:{pair.ports[f'{role}_scheduler']}"
    named = load_pairs(Path(env["AIRFLOW__DENODO_HA__PAIRS"]))["default"]
    assert (named.master, named.slave) == ("denodo_scheduler_master", "denodo_scheduler_slave")
    assert named.sync.initialise == "automatic"
    assert str(pair.folder / "pair.env").replace("'", "'\"'\"'") in pair.said
    assert all(command in pair.said for command in NEXT)


def test_passwords_are_only_in_files_that_nobody_else_can_read(pair: Pair) -> None:
    texts = [pair.said, *(" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"]))]
    for file in (each for each in pair.folder.rglob("*") if each.is_file()):
        if file.stat().st_mode & 0o077:
            texts.append(file.read_bytes().decode(errors="replace"))
    assert any("denodo_standin scheduler" in text for text in texts)
    assert [secret for secret in secrets(pair) for text in texts if secret in text] == []
    assert secrets(pair)[0] in (pair.folder / "pair.env").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_of_a_pair_outlives_its_command(pair: Pair, number: signal.Signals) -> None:
    assert len(pair.answers()) == 4
    os.kill(pair.starts[-1].pid, number)
    wait_for(lambda: not pair.starts[-1].running and not pair.answers(), 60, "The end of all processes")


def test_the_next_start_goes_on_where_the_last_one_was(pair: Pair) -> None:
    before, ports, known = pair.jobs("master"), pair.ports, secrets(pair)
    file = pair.folder / "pairs.yaml"
    file.write_text(file.read_text() + "# my own\n")
    pair.starts[-1].stop()
    pair.start()
    ids = [[job["jobID"] for job in jobs] for jobs in (before, pair.jobs("master"))]
    assert ids[0] == ids[1]
    assert (pair.ports, secrets(pair)) == (ports, known)
    assert file.read_text().endswith("# my own\n")


def test_a_killed_server_is_told_of_and_comes_back_by_the_command_that_is_told(pair: Pair) -> None:
    pid = int(re.search(r"kill -9 (\d+)", pair.said)[1])  # type: ignore[index]
    assert pair.ask("master", "scheduler", "control/state")["pid"] == pid
    os.kill(pid, signal.SIGKILL)
    told = wait_for(lambda: re.search(r"master-scheduler has ended.*: (denodo-standin .*)", pair.said), 60, "The word")
    again = Child("by hand", shlex.split(told[1]), log=pair.folder.with_name("by-hand.log"), env=pair.env())
    try:
        wait_for(lambda: len(pair.answers()) == 4, 60, "The master", child=again)
        assert len(pair.jobs("master")) == JOBS
    finally:
        again.kill()


def test_a_terminal_that_is_gone_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[object]] = []

    def ready(inputs: list[object], *_: object) -> tuple[list[object], list[object], list[object]]:
        asked.append(inputs)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return inputs, [], []

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("denodo_standin.pair.sys.stdin", terminal)
    monkeypatch.setattr("denodo_standin.pair.select.select", ready)
    with pytest.raises(KeyboardInterrupt):
        _stay([])
    assert asked == [[terminal], [], []]


def test_what_is_in_the_way_of_a_process_is_told_and_nothing_stays(pair: Pair) -> None:
    second = subprocess.run([*COMMAND, str(pair.folder)], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert re.fullmatch(r"denodo-standin pair: \S+ did not start: .+ Next: .+\n", second.stderr)
    assert len(pair.answers()) == 4
