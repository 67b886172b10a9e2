"""The right to send a request that changes a server, looked at right before each is sent."""

from __future__ import annotations

import time
from threading import Lock
from typing import Protocol

FRESH = 5.0
"""Seconds for which one look at the record is good."""


class Right(Protocol):
    """What gives a task its right: a claim."""

    def ensure(self) -> None:
        """Look again; raises where the task must not change anything any more."""

    def prolong(self, seconds: float) -> None:
        """Look again, and make sure that nobody else acts for so many seconds."""


class Permit:
    """Whether a task may send a changing request now.

    A look at the record may be long ago when the request is sent: the process was stopped, or its thread waited. Hence
    the age of the look is measured by a monotonic clock, and an old one is repeated. A request is sent only when the
    lease that keeps others away lasts for longer than its own deadline.
    """

    def __init__(self) -> None:
        self._right: Right | None = None
        self._looked = 0.0
        self._leased = float("inf")
        self._lock = Lock()

    def looked(self, right: Right, began: float, lease: float | None) -> None:
        """Note a look that allows a change.

        :param began: when it began, by the monotonic clock. :param lease: how many seconds from then on nobody else
            takes the operation over; None where no operation is open.
        """
        self._right, self._looked = right, began
        self._leased = float("inf") if lease is None else began + lease

    def __call__(self, seconds: float) -> None:
        """Make sure that a request may be sent that takes so many ``seconds`` at most.

        :raises Exception: what the right raises; nothing must be sent.
        """
        with self._lock:
            if self._right is None:
                return
            if time.monotonic() + seconds > self._leased:
                self._right.prolong(seconds)
            elif time.monotonic() - self._looked > FRESH:
                self._right.ensure()
