"""The HA record's versions: one writer each, whole, and the truth whatever Airflow's state store says."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from denodo_demo.slowness import allow
from denodo_ha.reason import Reason
from denodo_ha.record import LostVersionsError, Record, RecordError
from denodo_scheduler.state import record_store
from denodo_scheduler.state.record_store import KEPT, RECORD_KEY, RecordStore, Superseded
from denodo_scheduler.state.storage import StorageError
from storage.conftest import PAIR, Place
from support.sync import MemoryState


def store(place: Place, mirror: MemoryState | None = None) -> RecordStore:
    """The record as a task that begins now sees it."""
    return RecordStore(mirror or MemoryState(), ObjectStoragePath(place.url) / PAIR)


def saved(place: Place, mirror: MemoryState | None = None, **fields: Any) -> Record:
    """One save by a task of its own."""
    records = store(place, mirror)
    return records.save((records.load() or Record()).model_copy(update=fields))


def path_of(place: Place, version: int) -> ObjectStoragePath:
    return place.path(f"record/{version:012}.json")


# -- one writer


def test_each_save_is_a_version_and_the_mirror_follows(place: Place) -> None:
    mirror = MemoryState()
    assert store(place, mirror).load() is None
    for number in (1, 2, 3):
        record = saved(place, mirror, epoch=number)
        assert (record.version, record.epoch) == (number, number)
        assert store(place).load() == record
        assert mirror.get(RECORD_KEY) == record.to_json()


def test_of_two_that_read_the_same_version_one_saves(place: Place) -> None:
    saved(place)
    mirror = MemoryState()
    with place.on_one():
        one, two = store(place, mirror), store(place, mirror)
        first, second = one.load(), two.load()
    assert first
    assert second
    with place.on_two():
        won = two.save(second.model_copy(update={"epoch": 2}))
    with place.on_one():
        before = (place.names(), mirror.get(RECORD_KEY))
        with pytest.raises(Superseded):
            one.save(first.model_copy(update={"epoch": 9}))
        assert (place.names(), mirror.get(RECORD_KEY)) == before
        assert one.load() == won


WRITER = """
import json, os, sys
from airflow.sdk import ObjectStoragePath
from denodo_ha.record import Record
from denodo_scheduler.state.record_store import RecordStore, Superseded

class Mirror:
    def get(self, key, default=None): return None
    def set(self, key, value): pass

url, rounds = sys.argv[1], int(sys.argv[2])
won, lost, records = [], 0, RecordStore(Mirror(), ObjectStoragePath(url))
records.load()
print("ready", flush=True)
sys.stdin.readline()
while len(won) < rounds:
    record = records.load() or Record()
    try:
        won.append(records.save(record.model_copy(update={"epoch": record.epoch + 1})).version)
    except Superseded:
        lost += 1
print(json.dumps([won, lost]), flush=True)
"""


def test_processes_that_race_lose_no_change(place: Place) -> None:
    """Each adds one to the epoch again and again, from what it has just read."""
    rounds = 60 if place.url.startswith("file") else 12
    command = [sys.executable, "-c", WRITER, str(place.path("")).rstrip("/"), str(rounds)]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(3)
    ]
    for each in writers:
        assert each.stdout
        assert "ready\n" in iter(each.stdout.readline, "")
    for each in writers:
        assert each.stdin
        each.stdin.write("go\n")
        each.stdin.flush()
    won, conflicts = [], 0
    for each in writers:
        output, _ = each.communicate(timeout=allow(120))
        versions, lost = json.loads(output.splitlines()[-1])
        won += versions
        conflicts += lost
    assert conflicts, "they did not race"
    assert sorted(won) == list(range(1, 3 * rounds + 1)), "each version has one writer"
    record = store(place).load()
    assert record
    assert (record.version, record.epoch) == (3 * rounds, 3 * rounds + 1)


TIMEOUT = StorageError(Reason("storage", "the storage cannot be used: it does not answer", "check the network"))


@pytest.mark.parametrize("error", [FileExistsError(), TIMEOUT], ids=["sent again", "no answer"])
def test_a_save_whose_answer_is_lost_is_known_by_what_is_there(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """Storage clients send a request again whose answer was lost, and then the file exists."""
    create, mirror = record_store.create_file, MemoryState()

    def answerless(path: ObjectStoragePath, content: bytes) -> None:
        create(path, content)
        raise error

    saved(place, mirror)
    monkeypatch.setattr(record_store, "create_file", answerless)
    assert saved(place, mirror, epoch=5).version == 2
    assert mirror.get(RECORD_KEY)["epoch"] == 5


def test_a_save_that_never_arrived_is_an_error_and_no_change(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(place)

    def unreachable(path: ObjectStoragePath, content: bytes) -> None:
        raise TIMEOUT

    monkeypatch.setattr(record_store, "create_file", unreachable)
    mirror = MemoryState()
    with pytest.raises(StorageError):
        saved(place, mirror, epoch=5)
    record = store(place).load()
    assert record
    assert (record.version, record.epoch) == (1, 1)


# -- the mirror


def _lost(mirror: MemoryState, _: dict[str, Any]) -> None:
    mirror.values.clear()


def _restored(mirror: MemoryState, yesterday: dict[str, Any]) -> None:
    mirror.set(RECORD_KEY, yesterday)


def _garbled(mirror: MemoryState, _: dict[str, Any]) -> None:
    mirror.set(RECORD_KEY, "garbage")


def _absurd(mirror: MemoryState, _: dict[str, Any]) -> None:
    mirror.set(RECORD_KEY, {"version": 10**30})


def _edited(mirror: MemoryState, _: dict[str, Any]) -> None:
    mirror.set(RECORD_KEY, {**mirror.get(RECORD_KEY), "epoch": 99})


@pytest.mark.parametrize("happens", [_lost, _restored, _garbled, _absurd, _edited])
def test_the_versions_are_the_truth_and_repair_the_mirror(
    place: Place, happens: Callable[[MemoryState, dict[str, Any]], None]
) -> None:
    mirror = MemoryState()
    yesterday = saved(place, mirror).to_json()
    now = saved(place, mirror, epoch=2)
    happens(mirror, yesterday)
    assert store(place, mirror).load() == now
    assert mirror.get(RECORD_KEY) == now.to_json()


class _Away(MemoryState):
    """Airflow's database does not answer."""

    def get(self, key: str, default: Any = None) -> Any:
        raise ConnectionError("no answer")

    def set(self, key: str, value: Any) -> None:
        raise ConnectionError("no answer")


def test_a_mirror_that_is_away_stops_nobody(on_disk: Place) -> None:
    saved(on_disk)
    record = saved(on_disk, _Away(), epoch=2)
    assert store(on_disk, _Away()).load() == record


def test_without_versions_a_mirror_that_is_away_is_no_new_beginning(on_disk: Place) -> None:
    with pytest.raises(ConnectionError):
        store(on_disk, _Away()).load()


def test_a_record_from_before_versions_gets_the_first_one(place: Place) -> None:
    mirror = MemoryState()
    old = {name: value for name, value in Record(epoch=7).to_json().items() if name not in ("version", "exclusive")}
    mirror.set(RECORD_KEY, {**old, "schema_number": 3})
    found = store(place, mirror).load()
    assert found == Record(epoch=7)
    assert saved(place, mirror).version == 1
    assert store(place).load() == Record(epoch=7, version=1)


# -- lost and damaged versions


@pytest.mark.parametrize("all_of_them", [True, False])
def test_versions_that_are_gone_are_found_out_by_the_mirror(place: Place, all_of_them: bool) -> None:
    mirror = MemoryState()
    for _ in range(3):
        saved(place, mirror)
    for number in (1, 2, 3) if all_of_them else (3,):
        path_of(place, number).unlink()
    with pytest.raises(LostVersionsError, match="was at version 3 before") as caught:
        store(place, mirror).load()
    assert caught.value.code == "record_lost"
    known = store(place, mirror).known()
    assert (known.version, known.epoch) == (3, 1)


def test_a_task_sees_versions_that_vanish_under_it(place: Place) -> None:
    records = store(place)
    records.save(records.save(Record()))
    path_of(place, 2).unlink()
    with pytest.raises(LostVersionsError):
        records.load()


@pytest.mark.parametrize(
    "content", [b"", b'{"writer": "x", "reco', b"[]", b'{"record": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_damaged_version_is_read_from_the_mirror_and_without_one_it_is_an_error(place: Place, content: bytes) -> None:
    mirror = MemoryState()
    saved(place, mirror, epoch=3)
    record = saved(place, mirror, epoch=4)
    path_of(place, 2).write_bytes(content)
    assert store(place, mirror).load() == record
    with pytest.raises(RecordError, match=r"the pair's HA record cannot be read .* initialise the pair"):
        store(place).load()
    known = store(place).known()
    assert (known.version, known.epoch, known.record) == (2, 4, Record(epoch=3, version=1))


def test_other_files_in_the_folder_are_no_versions(place: Place) -> None:
    record = saved(place)
    for name in ("notes.txt", "x.json", "-5.json", ".000000000009.json.abc.part"):
        place.path(f"record/{name}").write_bytes(b"x")
    assert store(place).load() == record


def test_a_full_disk_is_an_error_and_no_change(on_disk: Place) -> None:
    """Its stand-in is a limit of the size of files, in a process of its own."""
    record = saved(on_disk)
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, {resource.RLIM_INFINITY}))\n"
    command = [sys.executable, "-c", limit + WRITER, str(on_disk.path("")).rstrip("/"), "1"]
    ended = subprocess.run(command, input="go\n", capture_output=True, text=True, timeout=allow(60), check=False)
    assert "StorageError: [storage] the storage" in ended.stderr
    assert "it is full" in ended.stderr
    assert store(on_disk).load() == record
    assert on_disk.names() == {"record/000000000001.json"}


# -- retirement


def test_old_versions_go_and_those_of_a_day_stay(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that was paused for less than a day still finds its place taken."""
    records = store(place)
    record = records.save(Record())
    for _ in range(2 * KEPT - 1):
        record = records.save(record)
    assert len(place.names()) == 2 * KEPT
    with pytest.raises(Superseded):
        records.save(record.model_copy(update={"version": 0}))
    monkeypatch.setattr(record_store, "KEPT_FOR", timedelta(seconds=-allow(5)))
    for _ in range(KEPT):
        record = records.save(record)
    assert len(place.names()) == KEPT
    assert store(place).load() == record


# -- storages that cannot do it


def _without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)


def _ignoring_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    put = s3fs.S3FileSystem._pipe_file

    async def overwriting(self: Any, path: str, data: bytes, mode: str = "", **more: Any) -> Any:
        return await put(self, path, data, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "_pipe_file", overwriting)


def test_storages_that_create_exclusively_are_known(place: Place) -> None:
    record = saved(place)
    before = place.names()
    assert store(place).is_exclusive(record)
    assert place.names() == before
    assert store(place).load() == record


def test_a_disk_without_hard_links(on_disk: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_links(monkeypatch)
    record = saved(on_disk)
    assert not store(on_disk).is_exclusive(record)
    assert saved(on_disk, epoch=2).version == 2
    with pytest.raises(Superseded):
        store(on_disk).save(record)
    assert on_disk.names() == {"record/000000000001.json", "record/000000000002.json"}


def test_an_object_storage_that_ignores_the_condition(on_s3: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    _ignoring_conditions(monkeypatch)
    record = saved(on_s3)
    assert not store(on_s3).is_exclusive(record)
    assert store(on_s3).load() == record
