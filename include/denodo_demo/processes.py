"""Child processes that never outlive the program that started them.

Each child leads a session of its own, so that Ctrl-C in the terminal reaches only this program, and all processes that
the child started can be found by its session, including those in process groups of their own.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TypeVar

import psutil

from denodo_demo.slowness import Deadline, allow

T = TypeVar("T")

LONGEST_ANSWER = 600.0
"""Seconds that an answer of a child process may take; a process that has ended fails the request at once."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_running: list[Child] = []
_GRACE = 5.0
"""Seconds that a person who presses Ctrl-C waits at most for the children to end by themselves."""


class WaitError(RuntimeError):
    """A condition did not become true in time; the message names it and shows the end of the log.

    :param summary: the first sentence, without what follows. :param child: the process whose log is shown.
    :param said: what else belongs to it, such as a traceback.
    """

    def __init__(self, summary: str, child: Child | None = None, said: str = "") -> None:
        super().__init__("\n".join(filter(None, [summary + _tail(child), said])))
        self.summary = summary


class Child:
    """A running process in a session of its own, with its output appended to ``log``.

    :param command: program and arguments; secrets belong into ``env``, because every user can read arguments.
    :param stop_signal: the signal that asks it to end; it is also sent when this program dies unexpectedly.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self._stop_signal = stop_signal
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - no shell, and the command is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, stop_signal),
            )
        _running.append(self)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def stop(self, grace: float = 20.0) -> None:
        """Ask the process to end, wait ``grace`` seconds (on an idle machine), then kill the rest of its session."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(allow(grace))
        self.kill()

    def ask_to_end(self) -> None:
        """Send the process its stop signal, if it runs."""
        if self.running:
            self._popen.send_signal(self._stop_signal)

    def kill(self) -> None:
        """Send SIGKILL to the process and to everything in its session; return when all are gone."""
        while members := self.members():
            for member in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            psutil.wait_procs(members, timeout=0.02)
        self._popen.wait()
        if self in _running:
            _running.remove(self)

    def members(self) -> list[psutil.Process]:
        """Return the process and all others in its session, without zombies."""
        return [process for process in psutil.process_iter() if self._has(process)]

    def _has(self, process: psutil.Process) -> bool:
        try:
            return os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False


@atexit.register
def stop_all(hurry: Callable[[], bool] = lambda: False) -> None:
    """Ask every child that still runs to end, all at once; after some seconds, on any machine, kill what still runs.

    :param hurry: whether it is killed at once.
    """
    children = list(reversed(_running))
    for child in children:
        child.ask_to_end()
    end = time.monotonic() + _GRACE
    while any(child.running for child in children) and time.monotonic() < end and not hurry():
        time.sleep(0.05)
    for child in children:
        child.kill()


@contextlib.contextmanager
def stopping_everything() -> Iterator[None]:
    """Stop all children at the end of the block, however it ends: normally, by an exception, or by a signal.

    SIGTERM and SIGHUP raise ``KeyboardInterrupt`` as SIGINT does; another one while the children are stopped has them
    killed at once.
    """
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _interrupt) for number in signals}
    again: list[int] = []
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, lambda number, _frame: again.append(number))
        stop_all(hurry=lambda: bool(again))
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


_PORTS = 10_000, 32_000
"""The ports below those that Linux assigns by itself."""
_reservations: list[socket.socket] = []


def free_port(preferred: int = 0) -> int:
    """Return ``preferred`` if nothing listens there on 127.0.0.1, otherwise any free port.

    It is not one that the system could assign to another program a moment later. As long as this program lives, no
    other call returns it, in whatever process, because the caller opens it later and may close it for a while.
    """
    wanted = [preferred] if preferred else []
    for port in (*wanted, *random.sample(range(*_PORTS), 200)):
        reservation = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), socket.socket() as probe:
            reservation.bind(f"\0denodo-demo-port-{port}")
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            _reservations.append(reservation)
            return port
        reservation.close()
    raise WaitError("No free TCP port on 127.0.0.1. Close some programs and try again.")


def wait_for(
    condition: Callable[[], T | None], timeout: float, what: str, *, child: Child | None = None, poll: float = 0.2
) -> T:
    """Wait for the first true value of ``condition``, which is called every ``poll`` seconds, and return it.

    :param timeout: seconds, on an idle machine, after which to give up.
    :param what: what is awaited, as the subject of the error's sentence.
    :param child: a process without which the condition cannot become true; its end is an error at once.
    :raises WaitError: it did not become true; the message holds ``what`` and the last lines of the child's log.
    """
    began, deadline = time.monotonic(), Deadline(timeout)
    while True:
        if value := condition():
            return value
        if child is not None and not child.running:
            raise WaitError(f"{what}: the process {child.name} ended before.", child)
        if deadline.left() <= 0:
            raise WaitError(f"{what}: not within {time.monotonic() - began:.0f} s.", child)
        time.sleep(poll)


def _tail(child: Child | None, lines: int = 20) -> str:
    if child is None:
        return ""
    last = child.log.read_text(errors="replace").splitlines()[-lines:]
    return f" The end of {child.log}:\n" + "\n".join(f"    {line}" for line in last)
