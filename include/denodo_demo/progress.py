"""Print progress: the present step, its time, what it waits for, and a sign of life while it takes long."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import Progress as Line
from rich.progress import ProgressColumn, Task
from rich.text import Text

SIGN_OF_LIFE = 30.0
"""Seconds between two lines about one step where there is no terminal for a moving line, or about one request."""


class Progress:
    """Print lines with the seconds since the start, and below them one that moves if the output is a terminal.

    :param steps: the titles of the numbered steps, in their order.
    """

    def __init__(self, console: Console, steps: Sequence[str] = ()) -> None:
        self.console = console
        self.moves = moves(console)
        self._start = time.monotonic()
        self.conclusion = ""
        """What is said at the very end."""
        self._steps = steps
        self._number = 0

    def say(self, text: str) -> None:
        elapsed = time.monotonic() - self._start
        self.console.print(f"{elapsed:6.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line without the time."""
        self.console.print(f"{'':10}{text}" if text else "", markup=False, highlight=False, soft_wrap=True)

    def next(self) -> None:
        """Print the number and the title of the next numbered step; nothing where there are none."""
        if self._steps:
            self._number += 1
            self.console.print()
            self.say(f"{self._which()}: {self._steps[self._number - 1]}")

    def _which(self) -> str:
        return f"step {self._number} of {len(self._steps)}" if self._number else ""

    @contextlib.contextmanager
    def step(self, what: str, until: datetime | None = None) -> Iterator[None]:
        """Print what begins, and show that it goes on until the block ends.

        :param until: when it is expected to end; the seconds until then are counted down.
        """
        self.say(f"    {what}{_expected(until)}" if self._steps else f"{what}{_expected(until)}")
        with self._line(what, until) if self.moves else signs_of_life(what, self.say, until):
            yield

    @contextlib.contextmanager
    def _line(self, what: str, until: datetime | None) -> Iterator[None]:
        label = ", ".join(filter(None, [self._which(), what]))
        with Line(_Moving(until), console=self.console, transient=True, refresh_per_second=1) as line:
            line.add_task(label, total=None)
            yield


class _Moving(ProgressColumn):
    """What goes on, for how long, and how long it is expected to go on."""

    def __init__(self, until: datetime | None) -> None:
        super().__init__()
        self._until = until

    def render(self, task: Task) -> Text:
        text = f"... {task.description}: {task.elapsed or 0:.0f} s{countdown(self._until)}"
        return Text(text, no_wrap=True, overflow="ellipsis")


def moves(console: Console) -> bool:
    """Return whether one line may be written again and again: in a terminal that a person looks at."""
    return console.file.isatty() and not console.is_dumb_terminal and not os.environ.get("CI")


def countdown(until: datetime | None) -> str:
    """Say how many seconds there are left; nothing where that is not known, or when they are over."""
    left = (until - datetime.now(UTC)).total_seconds() if until else 0
    return f", {left:.0f} s left" if left >= 1 else ""


def _expected(until: datetime | None) -> str:
    return f" (until {until:%H:%M:%S} UTC{countdown(until)})" if until else ""


@contextlib.contextmanager
def signs_of_life(what: str, say: Callable[[str], object], until: datetime | None = None) -> Iterator[None]:
    """Print repeatedly what goes on, and for how long, until the block ends."""
    done = threading.Event()
    begin = time.monotonic()

    def tell() -> None:
        while not done.wait(SIGN_OF_LIFE):
            say(f"... {what}, for {time.monotonic() - begin:.0f} s now{countdown(until)}")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
