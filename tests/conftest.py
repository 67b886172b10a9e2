"""An Airflow home for each test process, and how the suite is spread over processes.

A file at a time, because its tests share the servers that it starts; each folder of end-to-end tests together, because
one Airflow serves all of them, and first, because they take longest. Tests wait for servers a third of the time, so one
process more than there are cores is right for two cores.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_home = Path(tempfile.mkdtemp(prefix="denodo-tests-airflow-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
# An Airflow home of its own for each test process, before anything imports Airflow.
os.environ |= {
    "AIRFLOW_HOME": str(_home),
    "AIRFLOW__CORE__DAGS_FOLDER": str(_home / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(_home / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home / 'airflow.db'}",
}

import pytest
from hypothesis import settings

from denodo_demo.standin import StandinPair
from support.time_limit import pytest_timeout_set_timer as pytest_timeout_set_timer

END_TO_END = ("tests/e2e/", "tests/e2e_failover/", "tests/e2e_celery/")
FIRST = (
    "tests/e2e/",
    "tests/e2e_failover/",
    "tests/machine/",
    "tests/e2e_celery/",
    "tests/wheel/",
    "tests/outside/",
    "tests/events/",
    "tests/model/",
)

settings.register_profile("project", deadline=None)
settings.load_profile("project")


_getaddrinfo = socket.getaddrinfo


def _known_here(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
    """No test asks a name server, whose answers may take any time: only this machine and addresses are known."""
    name = host.decode() if isinstance(host, bytes) else host
    if name not in (None, "", "localhost", socket.gethostname()):
        flags |= socket.AI_NUMERICHOST
    return _getaddrinfo(host, port, family, type, proto, flags)


socket.getaddrinfo = _known_here


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinPair]:
    """A pair of four processes for all folders whose tests begin with empty servers."""
    with StandinPair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest work begins first, and the third Airflow when one of the others has ended."""
    items.sort(
        key=lambda item: next((n for n, folder in enumerate(FIRST) if item.nodeid.startswith(folder)), len(FIRST))
    )


def _folder(nodeid: str) -> str:
    """The folder of end-to-end tests that a test is in; empty for any other test."""
    return next((folder for folder in END_TO_END if nodeid.startswith(folder)), "")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole files, and each folder of end-to-end tests as if it were one."""
    from xdist.scheduler import LoadFileScheduling

    class FilesAndEndToEnd(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _folder(nodeid) or str(super()._split_scope(nodeid))

    return FilesAndEndToEnd(config, log)
