"""Measure how slow this machine is now, so that deadlines for an idle machine are also right on a busy one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

ANSWER = 60.0
"""Seconds, on an idle machine, that one answer may take before a request is sent again."""
PERSISTENCE = 200.0
"""Seconds, on an idle machine, for which a request that failed is sent again."""
_PAUSE = 1.0

_WORK = 300_000
_TAKES = 0.06
"""Seconds that counting so far takes, or the start and the end of an empty Python process, on a machine that is hardly
busy: twice as long as on two idle cores, so that these tests alone do not make it a slow one."""
_VALID = 30.0
"""Seconds after which the machine is measured again."""

_measured = float("-inf"), 1.0
"""When the machine was measured last, and how slow it was."""


def slowness() -> float:
    """Return how many times as long as on an idle machine things take now; never less than 1."""
    global _measured
    if time.monotonic() > _measured[0] + _VALID:
        began = time.monotonic()
        sum(number * number for number in range(_WORK))
        worked = time.monotonic()
        subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)
        started = time.monotonic()
        _measured = started, max(1.0, (worked - began) / _TAKES, (started - worked) / _TAKES)
    return _measured[1]


def allow(seconds: float) -> float:
    """Return the seconds that something may take now which takes at most ``seconds`` on an idle machine."""
    return seconds * slowness()


class Deadline:
    """A time that passes more slowly while the machine is slow.

    :param seconds: its length on an idle machine.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._seen = time.monotonic()

    def left(self) -> float:
        """Return the seconds of an idle machine that are left; 0 or less when it is over."""
        now = time.monotonic()
        self._left -= (now - self._seen) / slowness()
        self._seen = now
        return self._left


def persist(send: Callable[[float], T], again: Callable[[Exception], bool]) -> T:
    """Send a request, and send it again while it fails in a way that allows that.

    :param send: sends it once, and is given the seconds that the answer may take. :param again: whether the request may
        be sent again after this error.
    :raises Exception: the last error, when the time for it is over, or the error does not allow it.
    """
    deadline = Deadline(PERSISTENCE)
    while True:
        try:
            return send(allow(ANSWER))
        except Exception as error:
            if deadline.left() <= 0 or not again(error):
                raise
        time.sleep(_PAUSE)
