"""Snapshots on a local disk and behind a real S3 API, as workers that share nothing else see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import store as airflow_stores

from denodo_scheduler.state import storage
from denodo_scheduler.state.snapshot_store import SnapshotStore
from support.object_store import Amazon, amazon
from support.pair_fixtures import _no_long_pauses, connect, sync

__all__ = ["_no_long_pauses", "connect", "sync"]

PAIR = "test"


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amazon]:
    with amazon(tmp_path_factory.mktemp("amazon")) as server:
        yield server


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Each test is a process of its own as far as Airflow's file systems are concerned."""
    with machine():
        yield


@contextmanager
def machine(known: dict[str, Any] | None = None) -> Iterator[None]:
    """In the block we are another worker: with file systems, and listings that they remember, of its own.

    :param known: what it remembers; kept there for the next time.
    """
    ours = airflow_stores._STORE_CACHE.copy()
    airflow_stores._STORE_CACHE.clear()
    airflow_stores._STORE_CACHE.update(known or {})
    storage._ensure_connection.cache_clear()
    try:
        yield
    finally:
        if known is not None:
            known.update(airflow_stores._STORE_CACHE)
        airflow_stores._STORE_CACHE.clear()
        airflow_stores._STORE_CACHE.update(ours)


@dataclass
class Place:
    """Where snapshots are kept, seen by two workers.

    :param names: lists what is there, by the storage's own means.
    """

    url: str
    names: Callable[[], set[str]]
    one: dict[str, Any] = field(default_factory=dict)
    two: dict[str, Any] = field(default_factory=dict)

    def store(self) -> SnapshotStore:
        return SnapshotStore(ObjectStoragePath(self.url), PAIR)

    def path(self, name: str) -> ObjectStoragePath:
        return ObjectStoragePath(self.url) / PAIR / name

    def on_one(self) -> AbstractContextManager[None]:
        return machine(self.one)

    def on_two(self) -> AbstractContextManager[None]:
        return machine(self.two)


@pytest.fixture
def bucket(s3: Amazon, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, and the connection ``warehouse`` that leads to it."""
    name = f"bucket-{uuid4().hex[:8]}"
    s3.client("s3").create_bucket(Bucket=name)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", s3.connection())
    return name


@pytest.fixture
def on_s3(s3: Amazon, bucket: str) -> Place:
    def names() -> set[str]:
        found = s3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
        return {each["Key"].removeprefix(f"denodo/{PAIR}/") for each in found}

    return Place(f"s3://warehouse@{bucket}/denodo", names)


@pytest.fixture
def on_disk(tmp_path: Path) -> Place:
    def names() -> set[str]:
        folder = tmp_path / "denodo" / PAIR
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    return Place(f"file://{tmp_path}/denodo", names)


@pytest.fixture(params=["on_disk", "on_s3"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found
