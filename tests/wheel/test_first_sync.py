"""The quick start of the documentation: its own commands, one after the other, lead to a green first sync.

The commands are taken out of ``docs/start.md`` and given to shells as a person types them, one shell for each terminal.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from denodo_demo.airflow_api import ApiClient
from denodo_demo.processes import LONGEST_ANSWER, Child, wait_for
from denodo_demo.slowness import Deadline
from denodo_standin.pair import JOBS, NEXT
from support.pair_ports import keep_ports
from support.wheel import OURS, PROJECT

PAGE = (PROJECT / "docs" / "start.md").read_text()
SECTION = "Six commands"
MOST_COMMANDS = 6
MINUTES = 5
"""On an idle machine, from the first command to the last one's end."""
SYNC = "denodo_scheduler_sync__default"
PATIENT = (
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT",
)
"""Airflow's own seconds for these are those of an idle machine."""
UNREACHED = (
    "NewConnectionError",
    "Failed to establish a new connection",
    "Name or service not known",
    "ConnectTimeout",
)
"""What pip says where it reaches no registry of packages."""


def terminals() -> list[list[str]]:
    """The commands for each terminal: a block of the page for each, a line for each."""
    section = re.search(rf"^## {SECTION}\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    assert section
    blocks = re.findall(r"^```bash\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)
    return [[line for line in block.splitlines() if line.strip()] for block in blocks]


class Terminal(Child):
    """A shell that is typed into; what it and its commands say is in ``log``."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str]) -> None:
        typed = folder / f"{name}.typed"
        os.mkfifo(typed)
        self._keys = os.open(typed, os.O_RDWR)
        self._commands = 0
        shell = 'cd "$0" && exec bash --noprofile --norc < "$1"'
        super().__init__(name, ["bash", "-c", shell, str(folder), str(typed)], log=folder / f"{name}.log", env=env)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def type(self, line: str) -> None:
        os.write(self._keys, f"{line}\n".encode())

    def run(self, line: str) -> int:
        """Type a command, and return its exit code when it has ended."""
        self._commands += 1
        self.type(line)
        self.type(f'echo "ended {self._commands} $?"')
        mark = rf"^ended {self._commands} (\d+)$"
        found = wait_for(lambda: re.search(mark, self.said, re.MULTILINE), 60 * MINUTES, f"`{line}`", child=self)
        return int(found[1])

    def close(self) -> None:
        self.kill()
        os.close(self._keys)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a person who has Python and a new home, and pip's cache."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    others = (each for each in os.environ["PATH"].split(os.pathsep) if Path(each) != Path(sys.executable).parent)
    cache = subprocess.check_output([sys.executable, "-m", "pip", "cache", "dir"], text=True).strip()
    return {
        **clean,
        **dict.fromkeys(PATIENT, "600"),
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(Path(sys.base_prefix) / "bin"), *others]),
        "PIP_CACHE_DIR": cache,
    }


@pytest.fixture
def first(tmp_path: Path, environment: dict[str, str], built: list[Path]) -> Iterator[Terminal]:
    """A terminal in a folder that has nothing but the wheels, and the ports that the pair is to use."""
    (tmp_path / "dist").symlink_to(built[0].parent)
    keep_ports(tmp_path / "denodo-pair")
    terminal = Terminal("first", tmp_path, environment)
    yield terminal
    terminal.close()


@pytest.fixture
def second(tmp_path: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    terminal = Terminal("second", tmp_path, environment)
    yield terminal
    terminal.close()


class Servers:
    """The pair, as its own servers tell of it."""

    def __init__(self, folder: Path) -> None:
        self.kept: dict[str, Any] = json.loads((folder / "pair.json").read_text())

    def ask(self, role: str, kind: str, path: str) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.kept['ports'][f'{role}_{kind}']}/{path}"
        answer = httpx.get(url, auth=("admin", self.kept["password"]), timeout=LONGEST_ANSWER, trust_env=False)
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found

    def disabled(self, role: str) -> dict[tuple[str, str], bool]:
        """Whether each job is disabled, by project and name."""
        uri = f"//127.0.0.1:{self.kept['ports'][f'{role}_scheduler']}"
        path = f"webadmin/denodo-scheduler-admin/public/api/jobs/status?uri={uri}"
        jobs = self.ask(role, "webtool", path)
        return {(job["projectName"], job["jobName"]): job["state"] == "DISABLED" for job in jobs}

    def changes(self, role: str) -> list[dict[str, Any]]:
        """Every change of a job so far."""
        return self.ask(role, "scheduler", "control/audit")


def test_at_most_six_commands_and_none_is_two() -> None:
    commands = [command for block in terminals() for command in block]
    assert len(terminals()) == 2
    assert 0 < len(commands) <= MOST_COMMANDS
    for command in commands:
        chained = re.search(r"&&|\|", command) or (";" in command and not re.fullmatch(r"while .*; done", command))
        assert not chained, command


def test_the_pair_itself_tells_the_same_commands() -> None:
    assert tuple(terminals()[1][1:]) == NEXT


@pytest.mark.e2e
@pytest.mark.timeout(60 * 2 * MINUTES)
def test_the_commands_of_the_page_lead_to_a_green_first_sync(tmp_path: Path, first: Terminal, second: Terminal) -> None:
    *prepare, start = terminals()[0]
    began, deadline = time.monotonic(), Deadline(60 * MINUTES)
    for command in prepare:
        if first.run(command):
            if any(word in first.said for word in UNREACHED):
                pytest.skip("no registry of packages can be reached, from which Airflow could be installed")
            pytest.fail(f"`{command}` failed:\n{first.said}")
    first.type(start)
    wait_for(lambda: "Ctrl-C" in first.said, 60, f"`{start}`", child=first)
    servers = Servers(tmp_path / "denodo-pair")
    master, changes = servers.disabled("master"), servers.changes("master")
    assert servers.disabled("slave") == {}

    codes = [second.run(command) for command in terminals()[1]]

    left = deadline.left()
    took = time.monotonic() - began
    print(f"{took:.0f} s from the first command to the first sync; {60 * MINUTES - left:.0f} s if it were idle")
    assert codes == [0] * len(codes), second.said
    assert re.search(r"^OK - pair default: ", second.said, re.MULTILINE), second.said
    assert left > 0, f"more than {MINUTES} minutes of an idle machine"
    assert len(master) == JOBS
    assert servers.disabled("slave") == dict.fromkeys(master, True)
    assert (servers.disabled("master"), servers.changes("master")) == (master, changes)
    airflow = ApiClient(
        f"http://127.0.0.1:{servers.kept['ports']['airflow']}", "admin", servers.kept["airflow_password"]
    )
    assert [run["state"] for run in airflow.dag_runs(SYNC)] == ["success"]
    wait_for(lambda: second.run("denodo-ha status default") == 0, 180, "The next look, which finds all in order")
