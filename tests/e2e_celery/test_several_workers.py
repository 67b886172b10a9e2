"""Tasks of one run on workers that share nothing but the object store, judged by servers, disks and store."""

from __future__ import annotations

import pytest

from denodo_demo.processes import wait_for
from denodo_demo.slowness import allow
from denodo_demo.standin import StandinProcess
from e2e_celery.conftest import Everything
from support.failover_dag import asked
from support.sync_dag import PATIENCE, Bookmark, enabled, keys, seal_anew

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NO_ANSWER_TO_DISABLE = {"kind": "hang", "match": {"method": "PUT", "path": "/jobs/status$"}}


def _wait_for_request(tool: StandinProcess, method: str, path: str) -> None:
    wait_for(lambda: asked(tool, method, path), PATIENCE, f"{method} {path}")


def test_export_and_import_on_different_workers(everything: Everything) -> None:
    """The worker that exports takes nothing new while it does."""
    dag, pair, (east, west) = everything.dag, everything.pair, everything.workers.values()
    mark = Bookmark(pair)
    east.take_tasks()
    slow = {"kind": "latency", "seconds": allow(3), "match": {"path": "/serverMetadata/export$"}}
    pair.master.webtool.faults(slow)
    run_id = dag.trigger(reason="on two workers")
    _wait_for_request(pair.master.webtool, "POST", "/serverMetadata/export")
    east.take_no_more()
    west.take_tasks()
    assert dag.wait(run_id) == "success", dag.why(run_id)
    pair.heal()

    assert east.tasks(run_id) == {"guard", "export_metadata"}
    assert west.tasks(run_id) == {"wait_for_quiet_window", "import_metadata", "disable_jobs", "verify"}
    assert len(mark.read().imports) == 1
    assert keys(pair.slave) == keys(pair.master)
    assert enabled(pair.slave) == []
    assert "Imported in" in dag.log(run_id, "import_metadata"), "the interface shows what another machine has logged"
    _ensure_snapshot_is_in_the_store_only(everything)


def test_worker_killed_during_an_import(everything: Everything) -> None:
    """Its machine is gone with everything on it. The other one disables the jobs first, then imports anew."""
    dag, pair, (east, west) = everything.dag, everything.pair, everything.workers.values()
    mark = Bookmark(pair)
    seal_anew(pair.master)
    east.take_no_more()
    west.take_tasks()
    pair.slave.webtool.faults(NO_ANSWER_TO_DISABLE)
    pair.slave.webtool.reset_requests()
    run_id = dag.trigger(reason="its worker will be killed")
    _wait_for_request(pair.slave.webtool, "PUT", "/jobs/status")
    west.kill()
    pair.heal()
    assert enabled(pair.slave), "the import was half done"
    east.take_tasks()
    assert dag.wait(run_id) == "success", dag.why(run_id)

    assert dag.task(run_id, "import_metadata")["try_number"] == 2
    assert "export_metadata" in west.tasks(run_id)
    assert east.tasks(run_id) == {"import_metadata", "disable_jobs", "verify"}
    books = mark.read()
    assert len(books.imports) == 2
    left_behind = books.exposures[0].end
    assert left_behind is not None
    assert left_behind <= books.imports[1]
    assert keys(pair.slave) == keys(pair.master)
    assert enabled(pair.slave) == []
    _ensure_snapshot_is_in_the_store_only(everything)


def _ensure_snapshot_is_in_the_store_only(everything: Everything) -> None:
    """The committed one, whole; and on the disk of no machine a file with the name or the contents of a part of it."""
    record = everything.dag.record()
    assert record is not None
    folder = f"snapshots/default/{record['snapshot']['id']}/"
    objects = everything.store.objects()
    parts = {key.removeprefix(folder): content for key, content in objects.items() if key.startswith(folder)}
    assert parts.keys() == {"export.zip", "contents.json", "manifest.json"}
    assert [key for key in objects if key.endswith(".part")] == []

    folders = [everything.dag.airflow.home, *(worker.disk for worker in everything.workers.values())]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert any(file.suffix == ".log" for file in files)
    assert [file for file in files if file.name in parts or file.read_bytes() in parts.values()] == []
