"""Storage that cannot be used says what is wrong and what to do, and is never taken for an empty one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import ObjectStoragePath

from denodo_demo.processes import free_port
from denodo_ha.record import Record
from denodo_scheduler.state.files import new_file, on_disk
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.state.storage import StorageError
from storage.conftest import PAIR, Place
from support.object_store import SECRET, Amazon
from support.sync import MemoryState

ID = "20260301T000000000Z-abcdef"


def _store(url: str) -> SnapshotStore:
    return SnapshotStore(ObjectStoragePath(url), PAIR)


def _record(store: SnapshotStore) -> RecordStore:
    return RecordStore(MemoryState(), store._folder)


def _write(store: SnapshotStore) -> None:
    with new_file(store.export_path(ID)) as file:
        file.write(b"x")


def _send(store: SnapshotStore) -> None:
    with on_disk(store.export_path(ID)):
        pass


USES: dict[str, Callable[[SnapshotStore], object]] = {
    "record": lambda store: _record(store).load(),
    "read": lambda store: store.read(ID),
    "ids": lambda store: store.listed()[0],
    "save": lambda store: _record(store).save(Record()),
    "write": _write,
    "send": _send,
    "delete": lambda store: store.delete(ID),
}


def _refused(store: SnapshotStore, use: str) -> str:
    with pytest.raises(StorageError) as caught:
        USES[use](store)
    said = str(caught.value)
    assert "\n" not in said
    assert SECRET not in said
    return said


def _says(store: SnapshotStore, what: str, next_step: str, *uses: str) -> None:
    for use in uses or USES:
        said = _refused(store, use)
        assert said.startswith("[storage] the storage "), use
        assert f"cannot be used: {what}. Next: {next_step}" in said, use


def test_a_bucket_that_does_not_exist_is_no_empty_one_and_is_not_made(s3: Amazon, on_s3: Place) -> None:
    name = f"missing-{uuid4().hex[:8]}"
    _says(
        _store(f"s3://warehouse@{name}/denodo"),
        "the bucket does not exist",
        "create it, or correct 'snapshots' of the pair",
    )
    assert name not in [each["Name"] for each in s3.client("s3").list_buckets()["Buckets"]]


def test_a_connection_that_does_not_exist_is_not_replaced_by_what_the_machine_has(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "else")
    store = _store(f"s3://warehose@{bucket}/denodo")
    _says(store, "the connection does not exist, or this worker may not read it", "create it, or correct the name")


def test_a_provider_package_that_is_missing(bucket: str) -> None:
    store = _store(f"gs://warehouse@{bucket}/denodo")
    _says(store, "the provider package for this kind of storage is not installed here", "install it in every Airflow")


def test_storage_that_does_not_answer(s3: Amazon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", s3.connection(endpoint_url=f"http://127.0.0.1:{free_port()}"))
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    _says(_store("s3://warehouse@bucket/denodo"), "it does not answer", "check the network", "record", "save", "write")


@pytest.fixture
def nobodys(s3: Amazon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Have the connection log in as a user without any right, or with a secret that is wrong."""
    iam, name = s3.client("iam"), f"user-{uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]

    def log_in(known: bool) -> None:
        fields: dict[str, Any] = json.loads(s3.connection())
        login = {"login": key["AccessKeyId"], "password": key["SecretAccessKey"] if known else SECRET}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(fields | login))

    with s3.checking_credentials():
        yield log_in


def test_a_user_without_rights(bucket: str, nobodys: Callable[[bool], None]) -> None:
    nobodys(True)
    store = _store(f"s3://warehouse@{bucket}/denodo")
    _says(store, "access is denied", "check the login of its connection, and that it may list, read, write and delete")


def test_a_login_that_is_wrong(bucket: str, nobodys: Callable[[bool], None]) -> None:
    nobodys(False)
    store = _store(f"s3://warehouse@{bucket}/denodo")
    _says(store, "the credentials are missing or refused", "correct login and password", "ids", "record")


def test_a_disk_on_which_nothing_can_be_written(tmp_path: Path) -> None:
    """Root may write everywhere, so this is no folder at all."""
    (tmp_path / "file").write_text("x")
    store = _store(f"file://{tmp_path}/file/denodo")
    _says(store, "a file is where a folder should be", "correct 'snapshots' of the pair", "write", "save", "record")


def test_a_retirement_that_is_refused_breaks_nothing(bucket: str, nobodys: Callable[[bool], None]) -> None:
    nobodys(True)
    _store(f"s3://warehouse@{bucket}/denodo").retire(1, ())
