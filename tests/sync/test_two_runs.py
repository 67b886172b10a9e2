"""Runs side by side, cleared tasks of old runs, backfills: never two imports at once, and the past changes nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from denodo_ha.record import mark_dirty
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.sync import (
    TASKS,
    UNANSWERED,
    Sync,
    act,
    add_job,
    enabled,
    states,
    status_of,
    untouched,
)


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


class Imports:
    """When imports were sent to the slave and how many were under way at one time at most."""

    def __init__(self, patch: pytest.MonkeyPatch, sync: Sync) -> None:
        self.began: list[datetime] = []
        self.at_once = 0
        self._now = 0
        send = DenodoSchedulerHook.import_metadata

        def counted(hook: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> Any:
            self._now += 1
            self.at_once = max(self.at_once, self._now)
            self.began.append(sync.now())
            try:
                return send(hook, *args, **kwargs)
            finally:
                self._now -= 1

        patch.setattr(DenodoSchedulerHook, "import_metadata", counted)


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch, sync: Sync) -> Imports:
    return Imports(monkeypatch, sync)


# -- the past


@pytest.mark.parametrize("task", ["import_metadata", "disable_jobs", "verify"])
def test_a_cleared_task_of_an_old_run_changes_nothing_and_says_so(synced: Sync, task: str) -> None:
    old = synced.synced()
    add_job(synced.master, "default", "newer job")
    synced.synced()
    act(synced.slave, "enable", "default / newer job")
    record = dict(synced.state.values)
    with untouched(synced.master, synced.slave):
        old.task(task)
    assert old.code(task) == "superseded"
    assert old.message(task).startswith("[superseded] superseded by a newer run: the snapshot ")
    assert old.message(task).endswith("Nothing was changed.")
    assert synced.state.values == record


def test_a_cleared_verification_of_the_newest_run_says_that_it_is_committed(synced: Sync) -> None:
    run = synced.synced()
    synced.publish()
    record = dict(synced.state.values)
    with untouched(synced.master, synced.slave):
        run.task("verify")
    assert run.code("verify") == "committed"
    assert synced.state.values == record


def test_a_verification_that_died_after_its_commit_ends_well_when_it_is_tried_again(synced: Sync) -> None:
    run = synced.synced()
    event = run.event
    with untouched(synced.master, synced.slave):
        run.task("verify")
    assert run.ok
    assert run.event == event


@pytest.mark.parametrize("task", ["import_metadata", "disable_jobs", "verify"])
def test_a_task_of_an_older_epoch_changes_nothing(synced: Sync, task: str) -> None:
    run = synced.dag_run()
    for each in TASKS[: TASKS.index(task)]:
        run.task(each)
    _save(synced, synced.record.model_copy(update={"epoch": 2}))
    record = dict(synced.state.values)
    with untouched(synced.master, synced.slave):
        run.task(task)
    assert run.code(task) == "superseded"
    assert "the pair is in epoch 2, this run belongs to epoch 1" in run.message(task)
    assert synced.state.values == record


def _save(sync: Sync, record: Any) -> None:
    sync.save(record)


def test_a_cleared_verification_does_not_clear_the_dirt_of_another_runs_lost_import(synced: Sync) -> None:
    """Its slave was clean when it exported; since then another run's import got lost half-way, and was repaired."""
    synced.synced()
    unchanged = synced.dag_run()
    for task in TASKS[:-1]:
        unchanged.task(task)
    assert unchanged.code("import_metadata") == "unchanged"
    add_job(synced.master, "default", "newer job")
    synced.slave.webtool.faults({"kind": "cut_after", "match": {"path": "serverMetadata/import"}})
    assert not synced.run().ok
    synced.slave.webtool.faults()
    repairing = synced.dag_run()
    repairing.task("guard")
    before = synced.record
    assert (before.operation, before.dirty is None) == (None, False)
    unchanged.task("verify")
    assert "the slave became dirty after the export" in unchanged.message("verify")
    assert unchanged.event is None
    assert synced.record == before


def test_a_verification_whose_operation_another_run_has_closed_commits_nothing(synced: Sync) -> None:
    """The worker slept past its lease; meanwhile another run has repaired the slave."""
    slept = synced.dag_run()
    for task in TASKS[:-1]:
        slept.task(task)
    other = synced.dag_run()
    other.task("guard")
    record = dict(synced.state.values)
    with untouched(synced.master, synced.slave):
        slept.task("verify")
    assert "superseded by another run, which has closed the operation" in slept.message("verify")
    assert synced.state.values == record
    for task in TASKS[1:]:
        other.task(task)
    assert other.committed
    assert_in_step(synced)


def test_an_import_whose_worker_slept_past_its_lease_stops_itself(
    synced: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run's guard has waited out the lease, and begins its own import before the sleeper wakes."""
    send = DenodoSchedulerHook.import_metadata
    other = synced.dag_run()
    left = [None]

    def slowly(hook: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> Any:
        result = send(hook, *args, **kwargs)
        while left:
            left.pop()
            other.task("guard")
        return result

    monkeypatch.setattr(DenodoSchedulerHook, "import_metadata", slowly)
    sleeper = synced.run()
    assert sleeper.code("import_metadata") == "import_late"
    assert sleeper.event is None
    assert synced.record.dirty
    for task in TASKS[1:]:
        other.task(task)
    assert other.committed
    assert_in_step(synced)


def test_an_import_does_not_begin_when_another_run_began_one_while_it_was_looking(
    synced: Sync, monkeypatch: pytest.MonkeyPatch, imports: Imports
) -> None:
    """There is no compare-and-set: between the first look at the record and the intent lie several requests."""
    first, second = synced.dag_run(), synced.dag_run()
    for run in (first, second):
        run.task("guard")
        run.task("export_metadata")
    look = DenodoSchedulerHook.me
    left = [None]

    def slowly(hook: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> Any:
        while left:
            left.pop()
            second.task("import_metadata")
        return look(hook, *args, **kwargs)

    monkeypatch.setattr(DenodoSchedulerHook, "me", slowly)
    first.task("import_metadata")
    assert first.code("import_metadata") == "superseded"
    assert len(imports.began) == 1
    for task in ("disable_jobs", "verify"):
        second.task(task)
    assert second.committed
    assert_in_step(synced)


def test_a_guard_that_repairs_does_not_overwrite_what_another_run_commits_meanwhile(
    synced: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = synced.dag_run(), synced.dag_run()
    for task in TASKS[:-1]:
        run.task(task)
    look = DenodoSchedulerHook.statuses
    left = [None]

    def commits_meanwhile(hook: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> Any:
        result = look(hook, *args, **kwargs)
        while left:
            left.pop()
            run.task("verify")
        return result

    monkeypatch.setattr(DenodoSchedulerHook, "statuses", commits_meanwhile)
    other.task("guard")
    assert run.committed
    assert other.code("guard") == "superseded"
    assert synced.record.snapshot_id == run.exported.snapshot  # type: ignore[union-attr]
    assert_in_step(synced)


# -- side by side


@pytest.mark.parametrize("first_does", range(2, 5))
@pytest.mark.parametrize("second_does", range(1, 6))
def test_two_runs_side_by_side_end_in_step(synced: Sync, imports: Imports, first_does: int, second_does: int) -> None:
    """The second run does some of its tasks after some of the first one's; then each goes on to its end."""
    first, second = synced.dag_run(), synced.dag_run()
    for run, tasks in (
        (first, TASKS[:first_does]),
        (second, TASKS[:second_does]),
        (first, TASKS[first_does:]),
        (second, TASKS[second_does:]),
    ):
        for task in tasks:
            run.task(task)
    assert imports.at_once == 1
    assert first.committed or second.committed, (first.errors, second.errors)
    for run in (first, second):
        assert run.ok, run.errors
    assert_in_step(synced)
    assert synced.synced().code("import_metadata") == "unchanged"


@pytest.mark.parametrize("second_does", range(1, 6))
def test_a_second_run_beside_a_lost_import_sends_none_before_the_first_can_be_over(
    synced: Sync, imports: Imports, second_does: int
) -> None:
    first, second = synced.dag_run(pair=UNANSWERED), synced.dag_run()
    synced.slave.webtool.faults({"kind": "hang", "match": {"path": "serverMetadata/import"}, "times": 1})
    for task in TASKS[:3]:
        first.task(task)
    assert first.code("import_metadata") == "import_unanswered"
    lease = synced.record.operation.lease_until  # type: ignore[union-attr]
    for task in TASKS[:second_does]:
        second.task(task)
    for task in TASKS[3:]:
        first.task(task)
    for task in TASKS[second_does:]:
        second.task(task)
    assert first.event is None
    assert second.committed, second.errors
    assert imports.at_once == 1
    assert all(began >= lease for began in imports.began[1:])
    assert_in_step(synced)


# -- covered


def test_a_run_for_an_older_moment_than_the_committed_snapshot_is_a_no_op(synced: Sync) -> None:
    synced.synced()
    add_job(synced.master, "default", "newer job")
    moment = synced.record.snapshot.taken - timedelta(minutes=5)  # type: ignore[union-attr]
    record, files = dict(synced.state.values), synced.files
    with untouched(synced.master, synced.slave):
        out = synced.run(wanted=moment)
    assert out.ok
    assert out.verdict
    assert (out.verdict.ticket, out.verdict.code) == (None, "covered")
    assert out.verdict.message.startswith(f"[covered] this run stands for {moment.isoformat(timespec='seconds')}")
    assert (synced.state.values, synced.files) == (record, files)


def test_a_backfill_of_a_bad_day_ends_with_one_import(sync: Sync, imports: Imports) -> None:
    sync.passed = timedelta(hours=-6)
    sync.synced()
    sync.passed = timedelta()
    add_job(sync.master, "default", "new job")
    runs = [sync.run(wanted=sync.now() - timedelta(hours=hours)) for hours in range(5, 0, -1)]
    assert all(run.ok for run in runs)
    assert runs[0].committed
    assert [run.verdict.code for run in runs[1:]] == ["covered"] * 4  # type: ignore[union-attr]
    assert len(imports.began) == 2
    assert_in_step(sync)


def test_a_run_for_an_older_moment_still_repairs_a_dirty_slave_and_syncs(synced: Sync) -> None:
    _save(synced, mark_dirty(synced.record, now=synced.now(), reason="a test"))
    act(synced.slave, "enable", sorted(states(synced.slave))[0])
    out = synced.synced(wanted=synced.record.snapshot.taken - timedelta(days=1))  # type: ignore[union-attr]
    assert [event["kind"] for event in out.events] == ["repaired", "sync"]
    assert_in_step(synced)


# -- a master that is edited meanwhile


@pytest.fixture
def at_each_export(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], object]], None]:
    """Do something on the master at each export, after the first look at what is on the master."""
    export = DenodoSchedulerHook.export_metadata

    def start(action: Callable[[int], object]) -> None:
        numbers = itertools.count(1)

        def exported(hook: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> Any:
            action(next(numbers))
            return export(hook, *args, **kwargs)

        monkeypatch.setattr(DenodoSchedulerHook, "export_metadata", exported)

    return start


def test_a_job_added_during_the_export_makes_it_be_repeated(
    sync: Sync, at_each_export: Callable[[Callable[[int], object]], None]
) -> None:
    at_each_export(lambda number: add_job(sync.master, "default", "just added") if number == 1 else None)
    sync.synced(master_changes=True)
    assert states(sync.slave)["default / just added"] == "DISABLED"
    assert _exports(sync) == 2


def test_a_cron_changed_during_the_export_makes_it_be_repeated(
    sync: Sync, at_each_export: Callable[[Callable[[int], object]], None]
) -> None:
    add_job(sync.master, "default", "edited")
    status = status_of(sync.master, "default / edited")
    at_each_export(lambda number: sync.master.set_cron(status, "0 0 5 * * ?") if number == 1 else None)
    sync.synced(master_changes=True)
    assert _exports(sync) == 2
    assert_in_step(sync)


def test_a_job_toggled_during_the_export_is_in_the_manifest_as_it_is_at_the_end(
    sync: Sync, at_each_export: Callable[[Callable[[int], object]], None]
) -> None:
    name = sorted(enabled(sync.master))[0]
    at_each_export(lambda number: act(sync.master, "disable", name) if number == 1 else None)
    sync.synced(master_changes=True)
    folder = f"test/{sync.record.snapshot_id}"
    jobs = json.loads(sync.files[f"{folder}/manifest.json"])["jobs"]
    wanted = {f"{job['key']['project']} / {job['key']['name']}" for job in jobs if job["enabled"]}
    assert wanted == enabled(sync.master)
    assert name not in wanted


def test_a_master_that_keeps_changing_is_given_up_for_now(
    sync: Sync, at_each_export: Callable[[Callable[[int], object]], None]
) -> None:
    sync.synced()
    files, record = sync.files, dict(sync.state.values)
    at_each_export(lambda number: add_job(sync.master, "default", f"job {number}"))
    with untouched(sync.slave):
        out = sync.run(master_changes=True)
    message = out.message("export_metadata")
    assert message.startswith("[metadata_changing] the master's metadata changed during each of 3 exports")
    assert "run the sync when no one edits jobs" in message
    assert (sync.files, sync.state.values) == (files, record)


def _exports(sync: Sync) -> int:
    counts = sync.master.webtool.requests()
    return sum(count for path, count in counts.items() if path.endswith("serverMetadata/export"))


def test_a_verification_after_a_lost_import_commits_nothing(synced: Sync) -> None:
    """In the DAG it does not even run; a person may clear it."""
    synced.slave.webtool.faults({"kind": "cut_after", "match": {"path": "serverMetadata/import"}})
    out = synced.run()
    assert out.disabled
    out.errors.clear()
    out.task("verify")
    assert "this run has not delivered the snapshot" in out.message("verify")
    assert synced.record.dirty
