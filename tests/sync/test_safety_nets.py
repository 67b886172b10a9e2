"""What holds when something beside the servers goes wrong: stores, clocks, workers that sleep, files that are gone."""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from denodo_demo.slowness import allow
from denodo_ha.record import Phase, Record, Role, begin_import
from denodo_ha.snapshot.archive import filter_archive
from denodo_scheduler.client import transfer as files
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.steps import passive
from denodo_scheduler.steps.sync import export as exporting
from denodo_standin.generate import generate
from support.sync import (
    TASKS,
    Books,
    Sync,
    act,
    add_job,
    enabled,
    label,
    load,
    states,
    status_of,
    untouched,
)

IMPORT = "serverMetadata/import"
LEASE = timedelta(minutes=1)
"""The lease of the pairs here, and a little more than it lasts is what a worker sleeps."""
OLDEST = timedelta(minutes=50) + LEASE + timedelta(hours=1)
"""How old an export may be when it is imported: it may have waited for a quiet window for 50 minutes."""


@pytest.fixture
def synced(sync: Sync) -> Sync:
    """A pair in step whose master has got a new job since, so that the next sync imports."""
    sync.synced()
    add_job(sync.master, "default", "new job")
    return sync


def assert_in_step(sync: Sync) -> None:
    assert set(states(sync.slave)) == set(states(sync.master))
    assert not enabled(sync.slave)
    assert sync.record.dirty is None
    assert sync.record.operation is None


def snapshots(sync: Sync) -> set[str]:
    return {path.name for path in (sync.folder / "test").iterdir() if path.is_dir() and path.name != "record"}


def once(action: Callable[[], object]) -> Callable[..., None]:
    """``action`` at the first call, nothing at later ones, which it may cause itself."""
    left = [action]

    def call(*_: object) -> None:
        while left:
            left.pop()()

    return call


@contextmanager
def at_import(
    *, before: Callable[..., object] = lambda: None, after: Callable[..., object] = lambda: None
) -> Iterator[None]:
    """Do something right before an import is sent, or right after its answer has come."""
    send = DenodoSchedulerHook.import_metadata

    def sent(self: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> Any:
        before()
        result = send(self, *args, **kwargs)
        after()
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DenodoSchedulerHook, "import_metadata", sent)
        yield


# -- disabling


def test_a_project_whose_disabling_hangs_keeps_no_other_project_enabled(
    synced: Sync, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passive, "ROUNDS", 1)
    connect(synced.slave, extra={"scheduler_uri": synced.slave.uri, "timeout": [60, allow(1)]})
    project = status_of(synced.slave, "default / Load orders")["projectID"]
    of_project = {label(status) for status in synced.slave.statuses() if status["projectID"] == project}
    match = {"method": "PUT", "path": f"/projects/{project}/jobs/status"}
    synced.slave.webtool.faults({"kind": "hang", "match": match})
    out = synced.dag_run()
    for task in ("guard", "export_metadata", "import_metadata"):
        out.task(task)
    assert out.code("import_metadata") == "still_enabled"
    assert enabled(synced.slave) == of_project | {"default / new job"}
    synced.slave.webtool.faults()
    monkeypatch.setattr(passive, "ROUNDS", 5)
    synced.advance(seconds=61)
    out.task("disable_jobs")
    assert out.disabled
    assert not enabled(synced.slave)
    synced.synced()
    assert_in_step(synced)


def test_jobs_are_disabled_although_the_record_cannot_be_read_after_the_import(
    synced: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ConnectionError("its storage is away")

    out = synced.dag_run()
    for task in ("guard", "export_metadata"):
        out.task(task)
    slave = Books(synced.slave)
    with monkeypatch.context() as patch, at_import(after=lambda: patch.setattr(RecordStore, "load", away)):
        out.task("import_metadata")
    assert slave.imported
    assert not enabled(synced.slave)
    assert isinstance(out.errors["import_metadata"], ConnectionError)
    assert synced.record.dirty
    assert out.event is None
    out.task("disable_jobs")
    assert out.disabled
    synced.synced()
    assert_in_step(synced)


# -- workers that sleep


def _sleep(sync: Sync) -> None:
    sync.advance(seconds=LEASE.total_seconds() + 1)


def test_a_worker_that_slept_past_its_lease_before_sending_sends_nothing(
    synced: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps between the note that it is going to send and the sending."""
    record = synced.record
    begun: list[Record] = []
    save = RecordStore.save

    def saved(self: RecordStore, new: Record) -> Record:
        done = save(self, new)
        if new.operation:
            begun.append(new)
            if len(begun) == 2:
                _sleep(synced)
        return done

    monkeypatch.setattr(RecordStore, "save", saved)
    with untouched_import(synced), untouched_jobs(synced):
        out = synced.run()
    assert out.code("import_metadata") == "lease_short"
    assert "nothing was sent; this task tries again" in out.message("import_metadata")
    assert synced.record.dirty == record.dirty, "the old snapshot stays promotable"
    out.task("import_metadata")
    for task in TASKS[3:]:
        out.task(task)
    assert out.committed
    assert_in_step(synced)


def test_a_worker_that_slept_past_its_lease_before_that_goes_on(synced: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has taken the pair over meanwhile, and it says anew how long it will be at it."""
    monkeypatch.setattr(gc, "freeze", once(lambda: _sleep(synced)))
    assert synced.run().committed
    assert_in_step(synced)


@contextmanager
def untouched_import(sync: Sync) -> Iterator[None]:
    """No import may reach the slave in the block."""
    sync.slave.webtool.reset_requests()
    yield
    assert not [path for path in sync.slave.webtool.requests() if IMPORT in path]


@contextmanager
def untouched_jobs(sync: Sync) -> Iterator[None]:
    """Like ``untouched`` for the slave, where time passes in the block."""
    slave = Books(sync.slave)
    yield
    assert slave.audit == []


@pytest.mark.parametrize("ending", ["guard", "import_metadata", "verify"])
def test_a_worker_that_slept_while_another_run_took_over_sends_nothing(
    synced: Sync, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The other run has only repaired, or is in the middle of its sync, or has committed when the sleeper wakes."""
    other = synced.dag_run()
    books: list[Books] = []

    def sleep() -> None:
        _sleep(synced)
        for task in TASKS[: TASKS.index(ending) + 1]:
            other.task(task)
        books.append(Books(synced.slave))

    monkeypatch.setattr(gc, "freeze", once(sleep))
    sleeper = synced.run()
    assert sleeper.code("import_metadata") == "superseded"
    assert sleeper.event is None
    (slave,) = books
    slave.assert_untouched()
    for task in TASKS[TASKS.index(ending) + 1 :]:
        other.task(task)
    assert other.committed
    assert_in_step(synced)


def test_an_import_that_arrives_after_another_run_has_committed_is_undone_at_once(synced: Sync) -> None:
    """No look at the record can rule it out: the worker slept between the last one and the first byte."""

    def sleep() -> None:
        _sleep(synced)
        synced.synced()

    with at_import(before=once(sleep)):
        late = synced.run()
    assert late.code("import_metadata") == "import_late"
    assert "the next run repairs the slave and imports again" in late.message("import_metadata")
    assert not late.ok
    assert late.event is None
    assert not enabled(synced.slave)
    assert synced.record.dirty
    assert synced.record.dirty.reason == "an import ended after another run had taken over"
    assert synced.record.operation is None
    assert synced.synced().event["imported"]  # type: ignore[index]
    assert_in_step(synced)


def test_an_import_that_ends_while_another_run_has_its_own_open_leaves_that_one_alone(synced: Sync) -> None:
    def take_over() -> None:
        record = synced.record.model_copy(update={"operation": None, "dirty": None})
        theirs = begin_import(record, operation_id="theirs", target="slave", now=synced.now(), lease=LEASE)
        synced.save(theirs)

    with at_import(after=take_over):
        late = synced.run()
    assert late.code("import_metadata") == "import_late"
    assert late.code("disable_jobs") == "superseded"
    assert not enabled(synced.slave)
    assert synced.record.dirty
    assert synced.record.operation
    assert synced.record.operation.id == "theirs"


def test_an_import_that_ends_after_the_slave_became_the_active_server_disables_nothing(synced: Sync) -> None:
    """A failover has enabled jobs there on purpose."""

    def fail_over() -> None:
        changes = {"operation": None, "dirty": None, "epoch": 2, "active": Role.SLAVE, "phase": Phase.FAILED_OVER}
        synced.save(synced.record.model_copy(update=changes))

    with at_import(after=fail_over):
        late = synced.run()
    assert late.event is None
    assert {"default / new job", "default / Load orders"} <= enabled(synced.slave)
    assert (late.code("import_metadata"), late.code("disable_jobs")) == ("slave_active", "superseded")


# -- what fails before the intent


def test_an_export_file_that_the_importing_worker_does_not_see_changes_nothing(synced: Sync) -> None:
    def lose() -> None:
        newest = max(snapshots(synced))
        (synced.folder / "test" / newest / "export.zip").unlink()

    record = dict(synced.state.values)
    with untouched(synced.master, synced.slave):
        out = synced.run(between={"import_metadata": lose})
    assert out.code("import_metadata") == "snapshot_missing"
    assert "set 'snapshots' of the pair to storage that all reach" in out.message("import_metadata")
    assert synced.state.values == record
    assert (synced.record.dirty, synced.record.operation) == (None, None)
    synced.synced()


def test_a_slave_whose_api_description_fails_is_not_dirty(synced: Sync) -> None:
    record = dict(synced.state.values)
    synced.slave.webtool.faults({"kind": "status", "status": 500, "match": {"path": "v3/api-docs"}})
    with untouched(synced.master, synced.slave), untouched_import(synced):
        out = synced.run()
    assert "v3/api-docs" in out.message("import_metadata")
    assert out.event is None
    assert synced.state.values == record
    synced.slave.webtool.faults()
    synced.synced()


# -- orphans


def test_a_slave_that_is_mostly_orphans_keeps_them_until_a_person_agrees(
    sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    """Perhaps the slave's connection leads to somebody else's server, whose jobs happen to be disabled."""
    sync.options["orphans"] = "delete"
    load(sync.slave, _of_somebody_else(60))
    act(sync.slave, "disable", *states(sync.slave))
    own = set(states(sync.slave))
    assert len(own) == 60
    slave = Books(sync.slave)
    out = sync.synced()
    assert out.event
    assert (out.event["orphans"]["jobs"], out.event["orphans"]["deleted"]) == (60, False)
    assert set(states(sync.slave)) == own | set(states(sync.master))
    assert "deleted" not in {entry["change"] for entry in slave.audit}
    assert "60 jobs of the target are orphans, too many to delete unasked" in caplog.text
    out = sync.synced(accept_mass_change=True, actor="ana")
    assert out.event
    assert out.event["orphans"]["deleted"] is True
    assert_in_step(sync)


def _of_somebody_else(jobs: int) -> Any:
    export = generate(jobs=jobs, projects=3, disabled=0, seed=7).export
    elements = tuple(replace(element, project=f"their {element.project}") for element in export.elements)
    return replace(
        export, projects={f"their {name}": text for name, text in export.projects.items()}, elements=elements
    )


# -- files of snapshots


def _committed(sync: Sync, name: str) -> Path:
    assert sync.record.snapshot_id
    return sync.folder / "test" / sync.record.snapshot_id / name


def test_a_mass_change_is_seen_also_where_the_committed_manifest_is_gone(sync: Sync) -> None:
    sync.synced()
    _committed(sync, "manifest.json").unlink()
    for project in sync.master.request("GET", "/projects")[1:]:
        sync.master.request("DELETE", f"/projects/{project['id']}")
    assert len(states(sync.master)) == 4
    with untouched(sync.master, sync.slave):
        out = sync.run()
    assert out.message("export_metadata").startswith("[mass_change] 4 jobs are left of 12")
    assert sync.record.dirty is None
    assert len(states(sync.slave)) == 12
    sync.synced(accept_mass_change=True)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"[]", b'{"jobs": 1}', b"{}"])
@pytest.mark.parametrize("name", ["contents.json", "manifest.json"])
def test_a_damaged_file_of_the_committed_snapshot_stops_no_sync(sync: Sync, name: str, content: bytes) -> None:
    sync.synced()
    _committed(sync, name).write_bytes(content)
    out = sync.synced()
    assert out.event
    assert out.event["imported"], "what the slave has cannot be compared any more"
    assert_in_step(sync)


def test_snapshots_of_syncs_that_fail_again_and_again_are_not_kept_for_ever(synced: Sync) -> None:
    synced.options["keep_snapshots"] = 2
    committed = synced.record.snapshot_id
    synced.slave.webtool.faults({"kind": "status", "status": 400, "match": {"path": IMPORT}})
    young = []
    for _ in range(4):
        out = synced.run()
        assert "import_metadata" in out.errors
        assert out.exported
        young.append(out.exported.snapshot)
    assert snapshots(synced) == {committed, *young}, "a run may still be about to import one of these"
    for _ in range(3):
        synced.passed += OLDEST + timedelta(seconds=1)
        assert "import_metadata" in synced.run().errors
        assert len(snapshots(synced)) <= 3
    synced.slave.webtool.faults()
    act(synced.master, "disable", *states(synced.master))
    before = snapshots(synced)
    for _ in range(3):
        assert synced.run().code("export_metadata") == "mass_change"
        assert snapshots(synced) == before
    assert committed in before
    assert synced.record.snapshot_id == committed
    synced.synced(accept_mass_change=True)
    assert len(snapshots(synced)) == 2


def test_files_of_a_part_of_the_server_are_the_owners_only_from_their_first_byte_on(
    sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole export, secrets of other projects included, lies there until it is cut down to the scope."""
    seen: dict[str, set[int]] = {}

    def look() -> None:
        for path in sync.folder.rglob("*"):
            if path.is_file():
                seen.setdefault(path.name.split(".zip")[0], set()).add(stat.S_IMODE(path.stat().st_mode))

    new_file = files.new_file

    @contextmanager
    def watched(destination: Any) -> Iterator[Any]:
        with new_file(destination) as file:
            look()
            yield file

    def watched_filter(*args: Any) -> Any:
        look()
        return filter_archive(*args)

    for module in (files, exporting):
        monkeypatch.setattr(module, "new_file", watched)
    monkeypatch.setattr(exporting, "filter_archive", watched_filter)
    umask = os.umask(0o022)
    try:
        sync.synced(pair={"projects": ["Sales"]})
    finally:
        os.umask(umask)
    look()
    assert {".export", "export", "contents.json", "manifest.json"} <= seen.keys()
    assert set().union(*seen.values()) == {0o600}, seen
    kept = {Path(name).name for name in sync.files if "/record/" not in name}
    assert kept == {"export.zip", "contents.json", "manifest.json", "servers.json", "seen.json.gz"}


# -- tasks that are cleared alone, and clocks


def test_a_verification_of_another_export_than_was_imported_commits_nothing(synced: Sync) -> None:
    out = synced.dag_run()
    for task in TASKS[:-1]:
        out.task(task)
    add_job(synced.master, "default", "newer job")
    out.task("export_metadata")
    record = dict(synced.state.values)
    with untouched(synced.master, synced.slave):
        out.task("verify")
    assert out.code("verify") == "superseded"
    assert "clear the run" in out.message("verify")
    assert out.event is None
    assert synced.state.values == record
    synced.synced()
    assert_in_step(synced)


def test_an_export_that_waited_as_long_as_it_may_is_imported(synced: Sync) -> None:
    """Others export meanwhile, and none of them deletes it."""
    synced.options["keep_snapshots"] = 2
    out = synced.dag_run()
    for task in ("guard", "export_metadata"):
        out.task(task)
    for _ in range(3):
        synced.passed += (OLDEST - timedelta(minutes=1)) / 3
        other = synced.dag_run()
        for task in ("guard", "export_metadata"):
            other.task(task)
    for task in TASKS[2:]:
        out.task(task)
    assert out.committed, out.errors
    assert_in_step(synced)


def test_an_export_of_long_ago_is_not_imported_and_not_committed(synced: Sync) -> None:
    """The import was cleared alone; nothing was committed since, so nothing else forbids it."""
    out = synced.dag_run()
    for task in ("guard", "export_metadata"):
        out.task(task)
    record = dict(synced.state.values)
    synced.passed += OLDEST + timedelta(seconds=1)
    with untouched(synced.master, synced.slave):
        for task in TASKS[2:]:
            out.task(task)
    assert out.code("import_metadata") == "superseded"
    assert "the export was taken 1:51:01" in out.message("import_metadata")
    assert out.code("verify") == "not_verified"
    assert "this run has not delivered the snapshot" in out.message("verify")
    assert "clear the run" in out.message("verify")
    assert synced.state.values == record
    synced.synced()


def test_a_snapshot_stamped_by_a_clock_that_was_fast_covers_no_later_run(sync: Sync) -> None:
    sync.passed += timedelta(hours=5)
    fast = sync.synced()
    sync.passed -= timedelta(hours=5)
    add_job(sync.master, "default", "new job")
    out = sync.synced(wanted=sync.now())
    assert out.event
    assert out.event["imported"]
    assert "default / new job" in states(sync.slave)
    assert fast.exported
    assert out.exported
    assert fast.exported.taken > out.exported.taken
    assert sync.run(wanted=sync.now() - timedelta(minutes=1)).verdict.code == "covered"  # type: ignore[union-attr]


# -- dry runs, and what a sync asks


def test_a_dry_run_of_a_pair_without_record_shows_the_plan_although_the_slave_has_enabled_jobs(sync: Sync) -> None:
    add_job(sync.slave, "default", "somebody's job")
    with untouched(sync.master, sync.slave):
        out = sync.run(dry_run=True)
    assert out.ok
    assert out.exported
    assert out.exported.plan["added"]["jobs"] == 12
    assert sync.state.values == {}
    assert sync.files == {}
    assert sync.run().code("guard") == "not_initialised"


def test_a_sync_of_unchanged_content_of_a_part_of_the_server_asks_little(sync: Sync) -> None:
    sync.options |= {"projects": ["default", "sal*"], "jobs": ["Load *"]}
    sync.synced()
    webtools = [server.webtool for server in sync.servers.servers]
    with untouched(sync.master, sync.slave):
        for webtool in webtools:
            webtool.reset_requests()
        out = sync.synced()
        requests = [webtool.requests() for webtool in webtools]
    assert out.code("import_metadata") == "unchanged"
    assert sum(sum(counts.values()) for counts in requests) <= 10, requests
