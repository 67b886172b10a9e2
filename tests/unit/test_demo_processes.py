"""What the programs around the stand-in do with processes and ports."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from denodo_demo.processes import Child, WaitError, free_port, wait_for

STUBBORN = "import signal, time; [signal.signal(each, signal.SIG_IGN) for each in (2, 15)]; print('up', flush=True)"
FAMILY = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {STUBBORN + "; time.sleep(600)"!r}], process_group=0)
if os.fork() == 0:
    os.setpgid(0, 0)
    print("up", flush=True)
    time.sleep(600)
{STUBBORN}
time.sleep(600)
"""
"""A process with a child in a group of its own, and one more; two of the three ignore the signals to end."""


def test_no_two_programs_are_given_the_same_port() -> None:
    random.seed(1)
    ours = [free_port() for _ in range(5)]
    code = "import random; from denodo_demo.processes import free_port; random.seed(1); print(free_port(), free_port())"
    theirs = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert len({*ours, *map(int, theirs)}) == 7


def test_a_preferred_port_is_given_once_and_never_while_something_listens_there() -> None:
    port = free_port()
    assert free_port(port) != port
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        assert free_port(taken) != taken


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def a_child(code: str, log: Path, lines: int) -> Child:
    """Start a program and return when it has written so many lines."""
    child = Child("family", [sys.executable, "-c", code], log=log, env=dict(os.environ))
    wait_for(lambda: len(log.read_text().splitlines()) == lines, 60, "The family", child=child, poll=0.02)
    return child


class TestChild:
    @pytest.fixture
    def family(self, tmp_path: Path) -> Child:
        return a_child(FAMILY, tmp_path / "log", 3)

    def test_all_of_its_session_are_its_members_and_die_with_it(self, family: Child) -> None:
        members = family.members()
        assert family.pid in {each.pid for each in members}
        assert len(members) == 3
        family.kill()
        assert not any(alive(each.pid) for each in members)
        assert family.members() == []
        assert not family.running

    def test_what_its_parent_has_left_behind_is_a_member_too(self, family: Child) -> None:
        os.kill(family.pid, signal.SIGKILL)
        wait_for(lambda: not family.running, 60, "The end of the first")
        assert len(family.members()) == 2
        family.kill()
        assert family.members() == []

    def test_it_dies_with_the_program_that_started_it(self, tmp_path: Path) -> None:
        code = f"""
import os, sys, time
from pathlib import Path
from denodo_demo.processes import Child
log = Path({str(tmp_path / "log")!r})
child = Child("c", [sys.executable, "-c", "import time; time.sleep(600)"], log=log, env={{}})
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
        wait_for(lambda: not alive(int(said)), 60, "The end of the orphan")

    def test_the_error_of_a_wait_has_a_summary_without_the_log(self, tmp_path: Path) -> None:
        child = Child("c", [sys.executable, "-c", "print('a traceback')"], log=tmp_path / "log", env=dict(os.environ))
        with pytest.raises(WaitError, match="a traceback") as error:
            wait_for(lambda: None, 60, "A thing", child=child)
        assert error.value.summary == "A thing: the process c ended before."


INTERRUPTED = f"""
import sys, time
from pathlib import Path
from denodo_demo import processes
from denodo_demo.processes import Child, stopping_everything, wait_for
log = Path(sys.argv[1])
processes._GRACE = float(sys.argv[2])
with stopping_everything():
    child = Child("family", [sys.executable, "-c", {FAMILY!r}], log=log, env={{}})
    wait_for(lambda: len(log.read_text().splitlines()) == 3, 60, "The family", child=child)
    print(" ".join(str(each.pid) for each in child.members()), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(("often", "grace"), [(False, 1), (True, 250)], ids=["once", "again"])
def test_ctrl_c_ends_everything_after_a_while_and_again_at_once(tmp_path: Path, often: bool, grace: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "log"), str(grace)],
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.DEVNULL,
    ) as program:
        assert program.stdout
        members = [int(pid) for pid in program.stdout.readline().split()]
        assert len(members) == 3
        program.send_signal(signal.SIGINT)
        while often and program.poll() is None:
            time.sleep(0.2)
            program.send_signal(signal.SIGINT)
        program.wait(200)
    assert not any(map(alive, members))
