"""One world for all tests of a file; each begins with a fresh pair in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.machine_world import World, world


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture
def pair(shared: World) -> Iterator[World]:
    """A pair that has been synced, and whose second path was seen to work."""
    shared.reset()
    yield shared
    shared.drop_tasks()
