"""How the suite is spread over processes: a file at a time, the end-to-end tests together and first.

The servers that a file starts are shared by its tests, and one Airflow serves all end-to-end tests.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

END_TO_END = "tests/e2e/"

settings.register_profile("project", deadline=None)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest work begins first."""
    items.sort(key=lambda item: not item.nodeid.startswith(END_TO_END))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole files, and the end-to-end tests as if they were one."""
    from xdist.scheduler import LoadFileScheduling

    class FilesAndEndToEnd(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return END_TO_END if nodeid.startswith(END_TO_END) else str(super()._split_scope(nodeid))

    return FilesAndEndToEnd(config, log)
