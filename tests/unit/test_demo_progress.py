"""How the demo prints: one line per step where nobody looks at a terminal, and which step of how many."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from denodo_demo.demo import STEPS
from denodo_demo.judge import Fate, Occurrence
from denodo_demo.progress import Progress, countdown, moves
from denodo_demo.story_failover import conclusion

INCLUDE = str(Path(__file__).parents[2] / "include")
STEP = f"""
import sys, time
sys.path.insert(0, {INCLUDE!r})
from rich.console import Console
from denodo_demo.progress import Progress
progress = Progress(Console(), ["begin", "end"])
progress.next()
with progress.step("A thing that takes a while"):
    time.sleep(1.2)
progress.next()
"""
PLAIN = {"TERM": "xterm", "PATH": os.environ["PATH"]}


def printed(env: dict[str, str], *, terminal: bool) -> str:
    """Run a step that is long enough for a line to move, and return all that it printed, frames included."""
    if not terminal:
        return subprocess.run([sys.executable, "-c", STEP], env=env, capture_output=True, text=True, check=True).stdout
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", STEP], env=env, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        out = b""
        while True:
            try:
                out += (got := os.read(ours, 4096))
            except OSError:
                break
            if not got:
                break
    os.close(ours)
    assert process.returncode == 0
    return out.decode()


@pytest.mark.parametrize(
    ("env", "terminal"),
    [({}, False), ({"FORCE_COLOR": "1"}, False), ({"TERM": "dumb"}, True), ({"CI": "true"}, True)],
    ids=["pipe", "pipe that wants colours", "dumb terminal", "CI"],
)
def test_one_line_per_step_without_a_terminal(env: dict[str, str], terminal: bool) -> None:
    lines = [line for line in printed(PLAIN | env, terminal=terminal).splitlines() if line.strip()]
    assert [line.partition(" s  ")[2].strip() for line in lines] == [
        "step 1 of 2: begin",
        "A thing that takes a while",
        "step 2 of 2: end",
    ]


def test_one_moving_line_in_a_terminal() -> None:
    told = printed(PLAIN, terminal=True)
    assert "step 1 of 2, A thing that takes a while" in told
    assert 2 <= told.count("A thing that takes a while") < 10, "it moves, but not many times a second"


def test_what_is_waited_for_is_counted_down(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2027, 3, 1, 12, tzinfo=UTC)
    monkeypatch.setattr("denodo_demo.progress.datetime", SimpleNamespace(now=lambda _: now))
    assert countdown(now + timedelta(seconds=30)) == ", 30 s left"
    assert countdown(now) == countdown(now - timedelta(seconds=1)) == countdown(None) == ""
    told = io.StringIO()
    progress = Progress(Console(file=told, width=200), STEPS)
    with progress.step("Waiting", now + timedelta(seconds=45)):
        pass
    assert "Waiting (until 12:00:45 UTC, 45 s left)" in told.getvalue()


def test_a_sign_of_life_comes_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denodo_demo.progress.SIGN_OF_LIFE", 0.05)
    told = io.StringIO()
    with Progress(Console(file=told, width=200)).step("Waiting"):
        while "... Waiting" not in told.getvalue():
            time.sleep(0.01)


def test_no_line_moves_in_what_is_no_terminal() -> None:
    assert not moves(Console(file=io.StringIO(), force_terminal=True))


def found(**counts: int) -> dict[Occurrence, Fate]:
    fates = [fate for name, count in counts.items() for fate in [Fate[name]] * count]
    return {Occurrence("p", str(number), datetime.now(UTC)): fate for number, fate in enumerate(fates)}


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"MASTER": 20, "LISTED": 8}, "No job ran twice, and 8 of 28 scheduled runs were missed, all listed."),
        ({"MASTER": 20, "SLAVE": 2}, "No job ran twice, and none was missed."),
        ({"MASTER": 20, "LATE": 3}, "No job ran twice, 3 ran late, and none was missed."),
        (
            {"MASTER": 20, "TWICE": 1, "LISTED": 2},
            "Not as it must be: 1 scheduled runs happened twice, 0 without being due; 2 were missed, 0 of them not "
            "listed.",
        ),
        (
            {"MASTER": 20, "LOST": 3, "LISTED": 2, "NOT_DUE": 1},
            "Not as it must be: 0 scheduled runs happened twice, 1 without being due; 5 were missed, 3 of them not "
            "listed.",
        ),
    ],
)
def test_the_demo_ends_with_what_the_journals_say(counts: dict[str, int], told: str) -> None:
    assert conclusion(found(**counts)) == told
