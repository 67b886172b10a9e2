"""One world for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.events_world import EventWorld, event_world

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def pair() -> Iterator[EventWorld]:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder, event_world(Path(folder)) as made:
        yield made
