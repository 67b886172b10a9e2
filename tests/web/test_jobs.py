"""The page's jobs and quiet moments, of real files in a folder. No Denodo server is there to be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.sdk import ObjectStoragePath
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from denodo_ha.jobs import JobKey
from denodo_ha.pairs import Pair
from denodo_ha.record import PendingJob, Record, Role, SnapshotRef
from denodo_ha.seen import SeenJob, SeenServer, updated
from denodo_ha.snapshot.manifest import Manifest, ManifestJob
from denodo_scheduler.state import snapshot_store
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.web import jobs
from denodo_scheduler.web.access import seen_pair

ID = "20261130T010000Z-0a0b0c"
NOW = datetime(2026, 11, 30, 1, 20, 40, tzinfo=UTC)
THREE = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)
STRANGE = "<script>alert(1)</script>\u202e" + "n" * 300


class Page:
    """The routes of the page, with a pair whose record, snapshot and kept jobs a test makes."""

    def __init__(self, folder: Path, session: Session) -> None:
        self.folder, self._session = folder, session
        self.store = SnapshotStore(ObjectStoragePath(f"file://{folder}/snapshots"), "emea")
        self.pairs(
            f"pairs:\n  emea:\n    snapshots: {{location: {folder}/snapshots}}\n    master_timezone: Europe/Madrid\n"
        )
        self._session.add(AssetModel(id=1, name=Pair(name="emea").asset_uri, uri="denodo-scheduler://default/"))
        self._session.commit()
        self.client = self._client()

    def _client(self) -> TestClient:
        app = FastAPI()
        app.include_router(jobs.router)
        [session] = SessionDep.__metadata__  # type: ignore[attr-defined]
        app.dependency_overrides[session.dependency] = lambda: self._session
        app.dependency_overrides[seen_pair] = lambda: "emea"
        return TestClient(app)

    def pairs(self, text: str) -> None:
        (self.folder / "pairs.yaml").write_text(text)

    def stored(self, value: str) -> None:
        self._session.merge(AssetStateStoreModel(asset_id=1, key="record", value=value))
        self._session.commit()

    def record(self, **fields: Any) -> None:
        at = {"taken": NOW, "committed": NOW, "imported": NOW}
        snapshot = SnapshotRef(id=ID, content_hash="", manifest_hash="", jobs=2, enabled=1, **at)
        self.stored(json.dumps(Record(**{"snapshot": snapshot, **fields}).to_json()))

    def snapshot(self, *crons: str) -> None:
        rows = [
            ManifestJob(key=key(f"job {number}"), type="VDP", enabled=True, definition_hash="x", crons=(cron,))
            for number, cron in enumerate(crons)
        ]
        self.store.write(ID, contents="{}", manifest=Manifest(jobs=tuple(rows)).to_json())

    def seen(self, master: dict[str, Any], slave: dict[str, Any]) -> None:
        found = {
            role: SeenServer(
                NOW,
                tuple(
                    SeenJob(key(name), bool(due), due if isinstance(due, datetime) else None)
                    for name, due in of.items()
                ),
            )
            for role, of in ((Role.MASTER, master), (Role.SLAVE, slave))
        }
        self.store.write_seen(updated(b"", found))

    def get(self, what: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/pairs/emea/{what}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def key(name: str) -> JobKey:
    return JobKey(project="Sales", name=name)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setenv("DENODO_HA_PAIRS", str(tmp_path / "pairs.yaml"))
    monkeypatch.setattr(jobs, "datetime", Stopped)
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    for model in (AssetModel, AssetStateStoreModel):
        model.__table__.create(engine)  # type: ignore[attr-defined]
    with Session(engine) as session:
        made = Page(tmp_path, session)
        yield made
    jobs._day.cache_clear()


class Stopped(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Stopped:
        return cls.fromtimestamp(NOW.timestamp(), tz)


@pytest.fixture
def whole(page: Page) -> Page:
    """A pair with two jobs on the master, of which the slave has one."""
    page.record(pending=(PendingJob(key=key("job 1"), code="restless", why="it never rests", on_target=False),))
    page.snapshot("0 0 3 * * ?", "0 0/30 * * * ?")
    page.seen(
        {"job 0": THREE, "job 1": THREE - timedelta(minutes=30), STRANGE: False}, {"job 0": False, STRANGE: False}
    )
    return page


def test_the_jobs_of_both_servers_side_by_side(whole: Page) -> None:
    found = whole.get("jobs")
    assert found["columns"] == ["project", "name", "master", "slave", "state", "next_master", "next_slave", "note"]
    assert found["rows"] == [
        ["Sales", STRANGE, "disabled", "disabled", "same", None, None, ""],
        ["Sales", "job 0", "enabled", "disabled", "same", "2026-11-30T02:00:00Z", None, ""],
        ["Sales", "job 1", "enabled", "missing", "pending", "2026-11-30T01:30:00Z", None, "it never rests"],
    ]
    assert found["counts"]["jobs"] == 3
    assert found["at"] == {"master": NOW.isoformat(), "slave": NOW.isoformat()}
    assert found["problem"] is None


def test_an_answer_is_sent_again_only_when_something_has_changed(whole: Page) -> None:
    first = whole.client.get("/api/pairs/emea/jobs")
    again = {"If-None-Match": first.headers["etag"]}
    assert whole.client.get("/api/pairs/emea/jobs", headers=again).status_code == 304
    whole.seen({"job 0": False}, {})
    assert whole.client.get("/api/pairs/emea/jobs", headers=again).status_code == 200


def test_the_coming_day(whole: Page) -> None:
    found = whole.get("quiet")
    assert (found["of"], found["begin"], found["zone"]) == ("master", "2026-11-30T01:20:00+00:00", "Europe/Madrid")
    assert {minute: count for minute, count in enumerate(found["minutes"]) if count}[40] == 2
    assert len(found["minutes"]) == 1440
    assert found["busiest"] == [{"job": "Sales / job 1", "count": 47}, {"job": "Sales / job 0", "count": 1}]
    assert found["windows"][0] == {"begin": "2026-11-30T01:20:00+00:00", "end": "2026-11-30T01:30:00+00:00"}
    assert found["window_seconds"] == 330
    assert found["problem"] is None


def test_a_day_is_calculated_once_and_anew_where_the_jobs_have_changed(whole: Page) -> None:
    whole.get("quiet")
    whole.get("quiet")
    assert jobs._day.cache_info().hits == 1
    whole.seen({"job 0": THREE}, {})
    assert sum(whole.get("quiet")["minutes"]) == 1


def test_the_server_that_is_active_is_forecast(whole: Page) -> None:
    whole.record(phase="failed_over", active="slave")
    whole.seen({}, {"job 0": THREE})
    found = whole.get("quiet")
    assert (found["of"], sum(found["minutes"])) == ("slave", 1)


def test_a_pair_without_a_sync_shows_what_was_seen(page: Page) -> None:
    page.record(snapshot=None)
    page.seen({"job 0": THREE}, {})
    assert page.get("jobs")["problem"] is None
    found = page.get("quiet")
    assert sum(found["minutes"]) == 1
    assert "1 jobs have no known cron" in found["note"]


# -- what cannot be read is said, and is no error of the page


def problems(page: Page) -> list[str]:
    return [page.get(what)["problem"] or "" for what in ("jobs", "quiet")]


def test_a_storage_that_the_api_server_does_not_have(page: Page) -> None:
    page.record()
    for said in problems(page):
        assert f"{page.folder}/snapshots/emea" in said
        assert "API server" in said
    assert page.get("jobs")["rows"] == []


def test_a_storage_that_the_api_server_may_not_read(whole: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> bytes:
        raise PermissionError(13, "Permission denied")

    store = snapshot_store.filesystem(ObjectStoragePath(f"file://{whole.folder}"))
    monkeypatch.setattr(type(store), "cat_file", refused)
    for said in problems(whole):
        assert "[storage]" in said
        assert "API server" in said


def test_a_file_of_pairs_that_the_api_server_does_not_have(whole: Page) -> None:
    for text in ("pairs: {}\n", "pairs: [\n"):
        whole.pairs(text)
        assert all("same file of pairs as the workers" in said for said in problems(whole))


def test_a_pair_without_a_record(page: Page) -> None:
    page.seen({"job 0": THREE}, {"job 0": False})
    assert page.get("jobs")["rows"][0][2:5] == ["enabled", "disabled", "same"]
    assert "no HA record" in page.get("quiet")["problem"]


@pytest.mark.parametrize("value", ["{", '{"schema_number": 99}', "[]", "[" * 100_000])
def test_a_record_that_cannot_be_used(whole: Page, value: str) -> None:
    whole.stored(value)
    assert all("record" in said for said in problems(whole))
    assert len(whole.get("jobs")["rows"]) == 3


def test_damaged_files(whole: Page) -> None:
    whole.store.write_seen(b"damaged")
    assert all("cannot be read: it is damaged" in said for said in problems(whole))
    whole.seen({"job 0": THREE}, {})
    whole.store.write(ID, contents="{}", manifest="{")
    assert all("What the last sync has copied cannot be read" in said for said in problems(whole))
    assert len(whole.get("jobs")["rows"]) == 2


def test_a_snapshot_that_is_there_again_is_read(whole: Page) -> None:
    (whole.folder / "snapshots" / "emea" / ID / "manifest.json").rename(whole.folder / "away")
    first = whole.client.get("/api/pairs/emea/jobs")
    assert "is not there" in first.json()["problem"]
    (whole.folder / "away").rename(whole.folder / "snapshots" / "emea" / ID / "manifest.json")
    answer = whole.client.get("/api/pairs/emea/jobs", headers={"If-None-Match": first.headers["etag"]})
    assert answer.json()["problem"] is None
    assert whole.get("quiet")["problem"] is None


def test_storage_that_does_not_answer_keeps_few_threads_and_no_connection(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a page that is open would stop Airflow's API server, whose threads and connections are limited."""
    page.record()
    page.seen({"a": THREE}, {"a": None})
    answers, held = Event(), []

    def never(*_: Any) -> bytes:
        held.append(page._session.in_transaction())
        answers.wait(60)
        return b""

    monkeypatch.setattr(jobs, "_PATIENCE", 0.05)
    with monkeypatch.context() as hung:
        hung.setattr(SnapshotStore, "read_seen", never)
        for _ in range(6):
            for what in ("jobs", "quiet"):
                assert "has not answered within 0.05 s" in page.get(what)["problem"]
        assert held == [False] * 4
        answers.set()
    monkeypatch.setattr(jobs, "_PATIENCE", 60)
    assert page.get("jobs")["problem"] is not None  # the snapshot of this record is not there
    assert len(page.get("jobs")["rows"]) == 1
    with monkeypatch.context() as hung:
        hung.setattr(SnapshotStore, "read", lambda *_: Event().wait(0.2))
        hung.setattr(jobs, "_PATIENCE", 0.05)
        assert "has not answered within 0.05 s" in page.get("jobs")["problem"]
