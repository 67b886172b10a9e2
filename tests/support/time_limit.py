"""pytest's ``timeout`` in seconds of an idle machine."""

from __future__ import annotations

import signal

import pytest
import pytest_timeout

from denodo_demo.slowness import Deadline, allow


@pytest.hookimpl
def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings) -> bool:
    """Ask again how slow the machine is before a test is ended."""
    deadline = Deadline(settings.timeout)

    def ring(*_: object) -> None:
        left = deadline.left()
        if left <= 0:
            pytest_timeout.timeout_sigalrm(item, settings)
        signal.setitimer(signal.ITIMER_REAL, allow(max(left, 1)))

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel  # type: ignore[attr-defined]
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, allow(settings.timeout))
    return True
