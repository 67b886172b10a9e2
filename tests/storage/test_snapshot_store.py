"""What holds of snapshots wherever they are."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from requests.utils import super_len

from denodo_ha.jobs import JobKey
from denodo_ha.record import Record, Role
from denodo_ha.snapshot.ids import new_id
from denodo_scheduler.state.files import new_file, on_disk
from denodo_scheduler.state.snapshot_store import SnapshotStore
from storage.conftest import Place
from support.object_store import Amazon

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
FILES = ("export.zip", "contents.json", "manifest.json")
JOBS = [JobKey(project="Ventas/España", name="日次 ☃"), JobKey(project="A", name="b")]


def snapshot(store: SnapshotStore, hours: int = 0, *, whole: bool = True) -> str:
    """A snapshot taken so many hours after the first one."""
    snapshot_id = new_id(FIRST + timedelta(hours=hours))
    with new_file(store.export_path(snapshot_id)) as file:
        file.write(snapshot_id.encode())
    if whole:
        store.write(snapshot_id, contents="{}", manifest=f'"{snapshot_id}"')
    return snapshot_id


def plan(store: SnapshotStore, hours: int = 0) -> str:
    plan_id = new_id(FIRST + timedelta(hours=hours))
    store.write_job_list(plan_id, JOBS)
    return plan_id


def files(*ids: str) -> set[str]:
    return {f"{snapshot_id}/{name}" for snapshot_id in ids for name in FILES}


def record(epoch: int, active: Role = Role.MASTER) -> Record:
    return Record(epoch=epoch, active=active)


# -- two workers


def test_nothing_is_found_where_nothing_was_written(place: Place) -> None:
    store = place.store()
    assert store.listed() == ([], [])
    with pytest.raises(FileNotFoundError):
        store.read(new_id(FIRST))
    with pytest.raises(FileNotFoundError):
        store.read_job_list(new_id(FIRST))
    store.retire(1, ())
    store.delete(new_id(FIRST))
    assert place.names() == set()


def test_what_one_worker_writes_another_reads_although_it_has_looked_before(place: Place) -> None:
    """A file system remembers what it has listed, also that something was not there."""
    with place.on_one():
        old = snapshot(place.store())
    with place.on_two():
        store = place.store()
        assert store.listed() == ([old], [])
        with on_disk(store.export_path(old)) as sent:
            assert super_len(sent) == len(old)
    with place.on_one():
        new, jobs = snapshot(place.store(), 1), plan(place.store(), 1)
        with new_file(place.store().export_path(old)) as file:
            file.write(b"longer than it was" * 10)
    with place.on_two():
        store = place.store()
        assert store.listed() == ([old, new], [jobs])
        assert store.read(new) == (b"{}", f'"{new}"'.encode())
        assert store.read_job_list(jobs) == sorted(JOBS)
        with on_disk(store.export_path(old)) as sent:
            assert (super_len(sent), sent.read()) == (180, b"longer than it was" * 10)


def test_files_are_for_their_owner_only(on_disk: Place, tmp_path: Path) -> None:
    snapshot(on_disk.store())
    plan(on_disk.store())
    for path in (tmp_path / "denodo").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((tmp_path / "denodo").stat().st_mode) == 0o700


# -- whole or not at all


def test_a_snapshot_without_its_manifest_is_none(place: Place) -> None:
    unfinished = snapshot(place.store(), whole=False)
    with pytest.raises(FileNotFoundError):
        place.store().read(unfinished)
    assert place.store().listed()[0] == [unfinished]


@pytest.mark.parametrize("size", [10, 20_000_000], ids=["small", "large"])
def test_a_file_that_is_given_up_leaves_what_was_there(place: Place, s3: Amazon, size: int) -> None:
    store = place.store()
    kept = snapshot(store)
    for snapshot_id in (kept, "never"):
        with pytest.raises(ZeroDivisionError):
            _give_up(store.export_path(snapshot_id), size)
    assert place.names() == files(kept)
    with on_disk(store.export_path(kept)) as sent:
        assert sent.read() == kept.encode()


def _give_up(path: ObjectStoragePath, size: int) -> None:
    with new_file(path) as file:
        file.write(b"x" * size)
        raise ZeroDivisionError


DIES = """
import os, signal, sys
from airflow.sdk import ObjectStoragePath
from s3fs.core import S3File
from denodo_scheduler.state.files import new_file

def killed_after(method):
    def wrapper(*args, **kwargs):
        method(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
    return wrapper

S3File._upload_chunk = killed_after(S3File._upload_chunk)
with new_file(ObjectStoragePath(sys.argv[1])) as file:
    file.write(os.urandom(20_000_000))
    file.flush()
    if sys.argv[1].startswith("file:"):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_that_is_killed_while_it_writes_leaves_nothing_to_be_seen(
    place: Place, s3: Amazon, bucket: str
) -> None:
    store = place.store()
    kept, unfinished = snapshot(store), new_id(FIRST + timedelta(hours=1))
    for snapshot_id in (kept, unfinished):
        command = [sys.executable, "-c", DIES, str(store.export_path(snapshot_id))]
        assert subprocess.run(command, env=os.environ, check=False).returncode == -signal.SIGKILL
    if place.url.startswith("s3:"):
        uploads = s3.client("s3").list_multipart_uploads(Bucket=bucket)["Uploads"]
        assert len(uploads) == 2, "it was killed in the middle of an upload"
    with on_disk(store.export_path(kept)) as sent:
        assert sent.read() == kept.encode()
    with pytest.raises(FileNotFoundError), on_disk(store.export_path(unfinished)):
        pass
    with pytest.raises(FileNotFoundError):
        store.read(unfinished)
    newer = [snapshot(store, hours) for hours in (2, 3)]
    store.retire(2, ())
    assert place.names() == files(*newer)


def test_an_upload_that_fails_in_the_middle_is_taken_back(
    on_s3: Place, s3: Amazon, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs.core import S3File

    sent: list[int] = []

    def fails(self: S3File, *args: Any, upload_chunk: Callable[..., Any] = S3File._upload_chunk, **kwargs: Any) -> Any:
        if sent:
            raise TimeoutError("cut")
        sent.append(1)
        return upload_chunk(self, *args, **kwargs)

    monkeypatch.setattr(S3File, "_upload_chunk", fails)
    with pytest.raises(OSError, match="does not answer"), new_file(on_s3.path("export.zip")) as file:
        file.write(b"x" * 20_000_000)
    assert on_s3.names() == set()
    assert "Uploads" not in s3.client("s3").list_multipart_uploads(Bucket=bucket)


def test_a_large_file_travels_in_parts(on_s3: Place) -> None:
    content = os.urandom(20_000_000)
    with new_file(on_s3.path("export.zip")) as file:
        file.write(content)
    with on_disk(on_s3.path("export.zip")) as sent:
        assert sent.read() == content


# -- retirement


def test_old_snapshots_and_plans_go_but_those_that_are_protected(place: Place) -> None:
    store = place.store()
    snapshots, plans = [snapshot(store, hours) for hours in range(5)], [plan(store, hours) for hours in range(5)]
    for name in ("notes.txt", "plan-mine.json", "archive/export.zip"):
        with new_file(place.path(name)) as file:
            file.write(b"somebody else's")
    others = {"notes.txt", "plan-mine.json", "archive/export.zip"}

    store.retire(2, {snapshots[0], plans[1]}, before=FIRST + timedelta(hours=2))
    ids, left = [snapshots[0], *snapshots[2:]], plans[1:]
    assert place.names() == {*files(*ids), *(f"plan-{each}.json" for each in left), *others}

    store.retire(2, {snapshots[0], plans[1]})
    ids, left = [snapshots[0], *snapshots[3:]], [plans[1], *plans[3:]]
    assert place.names() == {*files(*ids), *(f"plan-{each}.json" for each in left), *others}


def test_a_snapshot_loses_its_manifest_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed between the two leaves no snapshot whose export is gone."""
    store = place.store()
    snapshot_id = snapshot(store)
    delete = SnapshotStore._delete
    monkeypatch.setattr(
        SnapshotStore, "_delete", lambda self, path, recursive=False: None if recursive else delete(self, path)
    )
    store.delete(snapshot_id)
    assert place.names() == {f"{snapshot_id}/export.zip", f"{snapshot_id}/contents.json"}
    with pytest.raises(FileNotFoundError):
        store.read(snapshot_id)
