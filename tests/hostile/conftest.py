"""A hook whose web tool is hostile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tenacity

from denodo_scheduler.client import transport
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.hostile_server import HostileServer


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as server:
        yield server


@pytest.fixture
def connect(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DenodoSchedulerHook]:
    """Return a hook for the server, with these keys in its connection's extra."""

    def define(*, schema: str = "http", **extra: Any) -> DenodoSchedulerHook:
        connection = {
            "conn_type": "denodo_scheduler",
            "schema": schema,
            "host": "127.0.0.1",
            "port": server.port,
            "login": "airflow",
            "password": "a secret",
            "extra": {"timeout": [30, 30], "transfer_timeout": 30, **extra},
        }
        monkeypatch.setenv("AIRFLOW_CONN_WEB", json.dumps(connection))
        return DenodoSchedulerHook("web")

    return define


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between the tries of a request, and no proxy between here and the test's own servers."""
    monkeypatch.setattr(transport, "RETRY_WAIT", tenacity.wait_none())
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
