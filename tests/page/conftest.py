from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.browser import PageServer, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The one Chromium of these tests."""
    with chromium() as started:
        yield started


@pytest.fixture
def server() -> Iterator[PageServer]:
    started = PageServer()
    started.start()
    yield started
    started.stop()
