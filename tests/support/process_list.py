"""What anybody on this machine can see of the processes while something runs."""

from __future__ import annotations

from threading import Event, Thread
from typing import Self

import psutil


class ProcessList:
    """Reads all command lines again and again in the background. A context manager."""

    def __init__(self) -> None:
        self.lines: set[str] = set()
        self._stop = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def shows(self, text: str) -> bool:
        """Whether any process had this in its command line."""
        return any(text in line for line in self.lines)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            self.lines |= set(command_lines())


def command_lines() -> list[str]:
    """The command lines of all processes now, with a space between the words."""
    return [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
