"""A pair of real stand-in processes for workers that are processes too; its storage on a disk or behind a real S3."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair
from stopped_workers.scene import LONG, Scene
from storage.conftest import _forget, bucket, on_disk, on_s3, place, s3
from support import pair_fixtures
from support.pair_fixtures import connect
from support.sync import fill
from support.workers import Order, Workers, live, shared

__all__ = ["_forget", "bucket", "connect", "on_disk", "on_s3", "place", "s3"]

SMALL = {"jobs": 4, "projects": 1, "disabled": 1}
LARGE = {"jobs": 7, "projects": 2, "disabled": 2}


@pytest.fixture(scope="session")
def workers() -> Workers:
    return Workers()


@pytest.fixture
def begin(
    servers: StandinPair,
    workers: Workers,
    tmp_path: Path,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[str], Scene]]:
    """Begins with a pair in step whose storage is ``on_disk`` or ``on_s3``, with real clocks if that is asked for."""

    def begun(where: str, *, real: bool = False) -> Scene:
        pair_fixtures.empty(servers)
        lease, deadline = round(allow(4)), round(allow(2))
        changes = {"deadline": deadline} if real else {}
        for server in servers.servers:
            connect(server, extra={**server.connection()["extra"], **changes})
        fill(servers.master, **LARGE if LONG else SMALL)
        options: dict[str, Any] = {"enable_batch": 2 if LONG else 20}
        if real:
            options |= {"lease": f"{2 * lease}s", "import_timeout": f"{lease}s"}
        order = Order(
            "sync",
            tmp_path,
            request.getfixturevalue(where).url,
            options,
            {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_CONN_")},
            lease=lease if real else None,
        )
        scene = Scene(shared(order, servers), workers, order)
        live(monkeypatch, order, scene.pair.clock)
        scene.ready()
        return scene

    yield begun
    workers.kill()
    servers.heal()
