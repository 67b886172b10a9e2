"""A sync, a failover and switchovers whose tasks share nothing but S3 and the record; judged by the servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from denodo_scheduler.state.storage import StorageError
from denodo_scheduler.steps.claim import LEASE
from storage.conftest import Place, machine
from support.failover import Failover, Still
from support.switchover import SwitchPair, killed
from support.sync import NIGHTLY, TASKS, DagRun, Sync, add_job, enabled, states, untouched


@pytest.fixture
def pair(sync: Sync, on_s3: Place, tmp_path: Path) -> SwitchPair:
    """12 jobs on the master, 3 of them disabled, an empty slave, snapshots in a bucket. The local folder is a trap."""
    (tmp_path / "not here").touch()
    return SwitchPair(sync.servers, sync.state, tmp_path / "not here", {"keep_snapshots": 2}, storage=on_s3.url)


def synced(sync: Sync, **asked: Any) -> DagRun:
    """A whole run, each task of it on a worker of its own."""
    run = sync.dag_run(**asked)
    for task in TASKS:
        with machine():
            run.task(task)
    assert run.committed, run.errors or run.verdict
    return run


def test_export_and_import_on_different_workers(pair: SwitchPair, on_s3: Place) -> None:
    wanted = set(states(pair.master))
    for number in range(3):
        add_job(pair.master, "sales", f"new {number}")
        run = synced(pair)
        assert run.imported
        assert run.exported
        wanted.add(f"sales / new {number}")
        assert {name.casefold() for name in states(pair.slave)} == {name.casefold() for name in wanted}
        assert not enabled(pair.slave)
    assert synced(pair).code("import_metadata") == "unchanged"
    with machine():
        store = pair.snapshots("test")
        assert pair.record.snapshot_id == store.listed()[0][-1]
        assert len(store.listed()[0]) == 2, "old snapshots are retired"
    kept = {name.rpartition("/")[2] for name in on_s3.names() if "record/" not in name}
    assert kept == {"export.zip", "contents.json", "manifest.json", "servers.json", "seen.json.gz"}


def test_only_part_of_the_jobs(pair: SwitchPair) -> None:
    """The export is cut down on its way into the bucket, and the slave takes what came of it."""
    add_job(pair.master, "sales", "wanted", NIGHTLY)
    add_job(pair.master, "sales", "other", NIGHTLY)
    synced(pair, pair={"projects": ["sales"], "jobs": ["wanted"]})
    assert [name.casefold() for name in states(pair.slave)] == ["sales / wanted"]


def test_a_failover_reads_the_manifest_and_the_record_from_s3(pair: SwitchPair) -> None:
    still = Failover(Still(pair.servers, pair.state, pair.folder, storage=pair.storage))
    wanted = enabled(pair.master)
    synced(still.sync)
    with still.silent_master(), machine():
        assert still.run().done["enabled"] == len(wanted) == 9
    assert enabled(pair.slave) == wanted
    with machine():
        assert (pair.record.epoch, pair.record.active) == (2, "slave")


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "of yesterday"])
def test_airflows_database_may_be_lost_or_restored(pair: SwitchPair, lost: bool) -> None:
    still = Failover(Still(pair.servers, pair.state, pair.folder, storage=pair.storage))
    synced(still.sync)
    yesterday = dict(pair.state.values)
    with still.silent_master(), machine():
        still.run()
    now = dict(pair.state.values)
    pair.state.values = {} if lost else yesterday
    with untouched(pair.master, pair.slave), machine():
        run = pair.dag_run()
        run.task("guard")
        assert run.verdict
        assert run.verdict.code == "failed_over"
    assert pair.state.values == now, "the mirror is repaired"


def test_storage_that_is_away_stops_everything_and_is_no_new_beginning(pair: SwitchPair) -> None:
    """No record is there to be read: that looks like the first run of a new pair, but is not."""
    still = Failover(Still(pair.servers, pair.state, pair.folder, storage=pair.storage))
    synced(still.sync)
    pair.storage = still.sync.storage = "s3://warehouse@misspelt-bucket/denodo"
    for lose in (lambda: None, pair.state.values.clear):
        lose()
        with untouched(pair.master, pair.slave), machine():
            run = pair.dag_run()
            run.task("guard")
            assert isinstance(run.errors["guard"], StorageError)
            with still.silent_master(), pytest.raises(StorageError, match="the bucket does not exist"):
                still.judge()


def test_switchovers_keep_their_plans_on_s3_and_retire_them(pair: SwitchPair) -> None:
    synced(pair)
    wanted = enabled(pair.master)
    for _ in range(2):
        for to in ("slave", "master"):
            pair.clean()
            run = pair.begin(to)
            with machine():
                run.check()
            with machine():
                event = run.switch_over()
            assert event["kind"] == ("switchover" if to == "slave" else "failback")
            assert enabled(pair.slave if to == "slave" else pair.master) == wanted
            assert not enabled(pair.master if to == "slave" else pair.slave)
    with machine():
        assert pair.record.active == "master"
        assert len(pair.snapshots("test").listed()[1]) == 4
    synced(pair)
    with machine():
        store = pair.snapshots("test")
        assert pair.record.last_promotion
        assert len(store.listed()[1]) == 2
        assert pair.record.last_promotion.plan in store.listed()[1]


def test_an_interrupted_switchover_is_resumed_on_another_worker(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced(pair)
    wanted = enabled(pair.master)
    with machine():
        run = pair.begin("slave")
        run.check()
        assert killed(run.switch_over, monkeypatch, at=2)
    pair.passed += LEASE
    with machine():
        pair.resume()
    assert (enabled(pair.master) or enabled(pair.slave)) == wanted
    assert not (enabled(pair.master) and enabled(pair.slave))
