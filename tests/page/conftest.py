from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.browser import PageServer, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The one Chromium of a module. As long as it runs, Playwright has an event loop in this thread, and tests that
    begin one of their own fail: it must not stay for other modules.
    """
    with chromium() as started:
        yield started


@pytest.fixture
def server() -> Iterator[PageServer]:
    started = PageServer()
    started.start()
    yield started
    started.stop()
