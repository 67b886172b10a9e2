from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.browser import PageServer


@pytest.fixture
def server() -> Iterator[PageServer]:
    started = PageServer()
    started.start()
    yield started
    started.stop()
