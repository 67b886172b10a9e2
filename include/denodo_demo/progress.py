"""Print progress: the present step, its time, and a sign of life while it takes long."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress as Spinner
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

SIGN_OF_LIFE = 20.0
"""Seconds between two lines about one step where there is no terminal for a spinner, or about one request."""


class Progress:
    """Print lines with the seconds since the start; plain ones if the output is not a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        elapsed = time.monotonic() - self._start
        self.console.print(f"{elapsed:6.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Print what begins, and show that it goes on until the block ends."""
        self.say(what)
        with self._spinner(what) if self.console.is_interactive else signs_of_life(what, self.say):
            yield

    @contextlib.contextmanager
    def _spinner(self, what: str) -> Iterator[None]:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Spinner(*columns, console=self.console, transient=True) as spinner:
            spinner.add_task(what, total=None)
            yield


@contextlib.contextmanager
def signs_of_life(what: str, say: Callable[[str], object]) -> Iterator[None]:
    """Print repeatedly what goes on, and for how long, until the block ends."""
    done = threading.Event()
    begin = time.monotonic()

    def tell() -> None:
        while not done.wait(SIGN_OF_LIFE):
            say(f"... {what}, for {time.monotonic() - begin:.0f} s now")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
