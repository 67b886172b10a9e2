"""The page of pairs in Chromium: a pair with 5,000 jobs and 2,000 events, and the list of 100 pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from airflow.sdk import ObjectStoragePath

from bench.real_airflow import product_dags, real_airflow
from bench.report import Measurement
from bench.stage import BenchError, Stage
from denodo_demo.airflow import LocalAirflow
from denodo_demo.camera import PAGE, browser_path
from denodo_demo.processes import wait_for
from denodo_ha.jobs import JobKey
from denodo_ha.pairs import Pair
from denodo_ha.record import Record, Role, SnapshotRef
from denodo_ha.seen import SeenJob, SeenServer, updated
from denodo_ha.snapshot.manifest import Manifest, ManifestJob
from denodo_scheduler.state.snapshot_store import SnapshotStore

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

TITLE = "The page of pairs: 5,000 jobs and 2,000 events, and 100 pairs"
BIG = "pair_0"
PAIRS, JOBS, EVENTS, TIMES = 100, 5_000, 2_000, 5
_PATIENCE = 600.0


@dataclass(frozen=True)
class Visit:
    """One visit of the page: seconds, until the first paint and until what matters is there; requests and bytes."""

    paint: float
    there: float
    calls: int
    size: int


def measure(stage: Stage) -> Iterator[Measurement]:
    if browser_path() is None:
        raise BenchError("There is no Chromium. On Debian or Ubuntu: apt-get install chromium.")
    snapshots = stage.folder / "snapshots"
    pairs = "".join(
        f"  pair_{number}: {{master: master_{number}, slave: slave_{number}, sync: {{schedule: null}}}}\n"
        for number in range(PAIRS)
    )
    text = f'defaults: {{snapshots: {{location: "file://{snapshots}"}}, check: {{schedule: null}}}}\npairs:\n{pairs}'
    kinds = product_dags("sync", "failover", "switchover", "operations")
    with real_airflow(stage, text, kinds, {}) as airflow:
        with stage.progress.step(f"Filling the database: {PAIRS} pairs, {EVENTS:,} events and {JOBS:,} jobs of one"):
            for number in range(PAIRS):
                airflow.wait_for_dag(Pair(name=f"pair_{number}").dag_id_failover, timeout=_PATIENCE)
            _fill(airflow, snapshots)
        before = _memory(airflow)
        with _browser(airflow) as context:
            first = _visit(context, f"{airflow.url}{PAGE}#/pair/{BIG}", "is the active server")
            grown = _memory(airflow) - before
            with stage.progress.step("Opening both views again and again"):
                one = [_visit(context, f"{airflow.url}{PAGE}#/pair/{BIG}", BIG) for _ in range(TIMES)]
                tabs = {
                    tab: _visit(context, f"{airflow.url}{PAGE}#/pair/{BIG}/{tab}", BIG) for tab in ("timeline", "jobs")
                }
                all_pairs = [_visit(context, f"{airflow.url}{PAGE}", f"pair_{PAIRS - 1}") for _ in range(TIMES)]
    yield Measurement("one pair: first paint", _median(one, "paint"), "s", at_most=1, note=f"median of {TIMES}")
    yield Measurement("one pair: its story is there", _median(one, "there"), "s", note=f"median of {TIMES}")
    yield Measurement("one pair: its story is there, first visit", first.there, "s", note="the application is built")
    yield Measurement("one pair: API calls", max(each.calls for each in one), at_most=3)
    yield Measurement("one pair: size", first.size / 1e6, "MB", at_most=1, note="as sent, with the page's files")
    for tab, visit in tabs.items():
        yield Measurement(f"one pair, opened at its {tab}: API calls", visit.calls, at_most=3)
        yield Measurement(f"one pair, opened at its {tab}: size", visit.size / 1e6, "MB", at_most=1, note="as sent")
    yield Measurement("100 pairs: first paint", _median(all_pairs, "paint"), "s", at_most=1)
    yield Measurement("100 pairs: all are there", _median(all_pairs, "there"), "s", at_most=1, note=f"of {TIMES}")
    yield Measurement("memory of the API server, grown by", grown / 1e6, "MB", at_most=20, note="after the first visit")


def _median(visits: list[Visit], what: str) -> float:
    return float(statistics.median(getattr(visit, what) for visit in visits))


@contextmanager
def _browser(airflow: LocalAirflow) -> Iterator[BrowserContext]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_cookies([{"name": "_token", "value": airflow.api.token(), "url": airflow.url}])
        yield context
        browser.close()


def _visit(context: BrowserContext, url: str, shows: str) -> Visit:
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: list[float] = []
    calls: list[str] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.on("request", lambda request: calls.append(request.url) if "/denodo-ha/api/" in request.url else None)
    begin = time.monotonic()
    page.goto(url)
    page.get_by_text(shows).first.wait_for()
    there = time.monotonic() - begin
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
    page.wait_for_load_state("networkidle")
    page.close()
    return Visit(paint, there, len(calls), int(sum(sizes)))


def _memory(airflow: LocalAirflow) -> int:
    """The resident bytes of the API server's processes."""
    pids = airflow.processes("api-server") or airflow.processes("api_server")
    if not pids:
        raise BenchError("There is no process of the API server.")
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)


def _fill(airflow: LocalAirflow, snapshots: Path) -> None:
    """Give each pair a record and a look, and one of them jobs and a history."""
    api, now = airflow.api, datetime.now(UTC)
    ids: dict[str, int] = {
        each["name"].removeprefix("denodo-scheduler://"): each["id"]
        for each in wait_for(lambda: _all_assets(airflow), _PATIENCE, f"The assets of {PAIRS} pairs")
    }
    store = SnapshotStore(ObjectStoragePath(f"file://{snapshots}"), BIG)
    keys = [JobKey(project=f"project {n % 40}", name=f"job {n:05} of the nightly load") for n in range(JOBS)]
    manifest = Manifest(
        jobs=tuple(
            ManifestJob(key=key, type="VDP", enabled=n % 10 > 0, definition_hash="0" * 64, crons=(_cron(n),))
            for n, key in enumerate(keys)
        )
    )
    snapshot_id = f"{now:%Y%m%dT%H%M%SZ}-bench"
    store.write(snapshot_id, contents="{}", manifest=manifest.model_dump_json())
    servers = {
        role: SeenServer(
            now,
            tuple(
                SeenJob(key, role is Role.MASTER and n % 10 > 0, now + timedelta(seconds=n))
                for n, key in enumerate(keys)
            ),
        )
        for role in Role
    }
    store.write_seen(updated(b"", servers))
    for name, asset_id in ids.items():
        for key, value in (("record", _record(snapshot_id, now)), ("watch", _watch(now))):
            api.request("PUT", f"/assets/{asset_id}/state-store/{key}", json={"value": value})
        for number in range(EVENTS if name == BIG else 1):
            api.request("POST", "/assets/events", json={"asset_id": asset_id, "extra": _event(name, number, now)})


def _all_assets(airflow: LocalAirflow) -> list[dict[str, Any]] | None:
    found = [each for each in airflow.api.assets() if each["name"].startswith("denodo-scheduler://")]
    return found if len(found) == PAIRS else None


def _cron(number: int) -> str:
    return f"{number % 60} {number // 60 % 60} {number % 24} * * ?"


def _record(snapshot_id: str, now: datetime) -> dict[str, Any]:
    snapshot = SnapshotRef(
        id=snapshot_id,
        taken=now,
        committed=now,
        imported=now,
        content_hash="0",
        manifest_hash="0",
        jobs=JOBS,
        enabled=JOBS * 9 // 10,
    )
    return Record(version=1, master="//master:8000", slave="//slave:8000", snapshot=snapshot).to_json()


def _watch(now: datetime) -> dict[str, Any]:
    at = now.isoformat()
    return {
        "verdict": "up",
        "code": "healthy",
        "settled": True,
        "since": at,
        "at": at,
        "last_alive": at,
        "second_good": at,
        "epoch": 1,
        "jobs": {"master": [JOBS * 9 // 10, JOBS], "slave": [0, JOBS]},
        "oldest_snapshot": 86400,
    }


def _event(pair: str, number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": f"{pair}-{number}",
        "kind": "sync",
        "pair": pair,
        "epoch": 1,
        "actor": "scheduled",
        "reason": "",
        "at": (now - timedelta(minutes=EVENTS - number)).isoformat(),
        "jobs": JOBS,
        "source": "master",
        "imported": bool(number % 3),
        "text": f"Sync number {number}: {JOBS} jobs of the master are on the slave, all disabled.",
    }
