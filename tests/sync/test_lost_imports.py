"""Imports whose end nobody saw, slaves that die, workers that are killed.

In the end nothing is enabled on the slave, and only what was verified is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from denodo_demo.judge import double_runs
from denodo_demo.processes import wait_for
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.sync import (
    TASKS,
    UNANSWERED,
    Books,
    DagRun,
    Sync,
    WorkerKilled,
    act,
    add_job,
    enabled,
    generated,
    kill_the_worker,
    label,
    load,
    states,
    status_of,
    untouched,
)

IMPORT = {"method": "POST", "path": "serverMetadata/import"}
DISABLE = {"method": "PUT", "path": "/jobs/status"}
DUE = "0 15 * * * ?"
JOBS = 13
"""What the next sync of :func:`synced` imports."""


@pytest.fixture
def synced(sync: Sync) -> Sync:
    """A pair in step whose master has got a new job since, so that the next sync imports."""
    sync.synced()
    add_job(sync.master, "default", "new job", DUE)
    return sync


@contextmanager
def meanwhile(action: Callable[[], object]) -> Iterator[Thread]:
    """Do ``action`` beside the block; what goes wrong in it goes wrong at the end of the block."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run)
    thread.start()
    yield thread
    thread.join()
    if errors:
        raise errors[0]


def assert_not_committed(sync: Sync, out: DagRun, committed: str | None) -> None:
    """The run failed; the old snapshot is the newest verified one, and the slave is marked dirty and disabled."""
    assert not out.ok
    assert out.event is None
    assert sync.record.snapshot_id == committed
    assert sync.record.dirty is not None
    assert not enabled(sync.slave)


def assert_next_run_repairs(sync: Sync) -> DagRun:
    sync.servers.heal()
    sync.slave.scheduler.guesses(import_seconds=0)
    out = sync.synced()
    assert [event["kind"] for event in out.events] == ["repaired", "sync"]
    assert set(states(sync.slave)) == set(states(sync.master))
    assert not enabled(sync.slave)
    assert sync.record.dirty is None
    assert sync.record.operation is None
    return out


# -- imports of unknown end


def test_an_import_whose_answer_is_lost_is_undone_and_repeated_by_the_next_run(synced: Sync) -> None:
    before, slave = synced.record.snapshot_id, Books(synced.slave)
    synced.slave.webtool.faults({"kind": "cut_after", "match": IMPORT})
    enabled_at: list[set[str]] = []
    out = synced.run(between={"disable_jobs": lambda: enabled_at.append(enabled(synced.slave))})
    assert enabled_at == [set()], "disabled at once, not only by the next task"
    assert slave.imported == set(states(synced.master)), "it did happen"
    assert_not_committed(synced, out, before)
    message = out.message("import_metadata")
    assert message.startswith("[import_unanswered] the import was sent and its end is unknown")
    assert "Next: disable_jobs keeps the jobs of the slave disabled" in message
    assert_next_run_repairs(synced)


def test_an_import_that_never_reached_the_server_is_treated_as_if_it_had(synced: Sync) -> None:
    before = synced.record.snapshot_id
    synced.slave.webtool.faults({"kind": "hang", "match": IMPORT})
    with untouched(synced.slave):
        out = synced.run(pair=UNANSWERED)
        synced.slave.webtool.faults()
    assert_not_committed(synced, out, before)
    assert_next_run_repairs(synced)


def test_a_slow_import_that_goes_on_after_the_client_gave_up_ends_with_all_jobs_disabled(synced: Sync) -> None:
    before, slave = synced.record.snapshot_id, Books(synced.slave)
    synced.slow_import(JOBS)
    out = synced.run(pair=UNANSWERED)
    changes = [entry["change"] for entry in slave.audit]
    assert slave.imported == set(states(synced.master)), "the import went on to its end"
    assert "enabled" in changes[changes.index("disabled") :], "jobs became enabled again after the first disabling"
    assert out.code("import_metadata") == "import_unanswered"
    assert_not_committed(synced, out, before)
    assert synced.record.operation is not None
    assert synced.now() >= synced.record.operation.lease_until, "disable_jobs has waited out the lease"
    assert_next_run_repairs(synced)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_in_between_does_not_prove_that_the_server_imports_nothing(synced: Sync, status: int) -> None:
    """The web tool or a gateway has lost the server, which goes on with the import."""
    before, slave = synced.record.snapshot_id, Books(synced.slave)
    synced.slave.webtool.faults({"kind": "status", "status": status, "match": IMPORT})

    sent = _imports_sent(synced)

    def the_server_goes_on() -> None:
        wait_for(lambda: _imports_sent(synced) > sent, 60, "The request", poll=0.01)
        synced.slave.webtool.faults()
        load(synced.slave, generated().export)

    with meanwhile(the_server_goes_on) as thread:
        synced.going_on = thread.is_alive
        out = synced.run()
    assert slave.imported
    assert f"{status}" in out.message("import_metadata")
    assert out.code("import_metadata") == "import_unanswered"
    assert_not_committed(synced, out, before)
    assert_next_run_repairs(synced)


def _imports_sent(sync: Sync) -> int:
    counts = sync.slave.webtool.requests()
    return sum(count for path, count in counts.items() if path.endswith("serverMetadata/import"))


def test_an_import_that_the_server_refuses_is_not_waited_for(synced: Sync) -> None:
    before = synced.record.snapshot_id
    synced.slave.webtool.guesses(upload_limit_mb=0)
    with untouched(synced.slave):
        out = synced.run()
    assert "larger than the web tool accepts" in out.message("import_metadata")
    assert out.disabled
    assert synced.record.operation
    assert synced.now() < synced.record.operation.lease_until
    synced.slave.webtool.guesses(upload_limit_mb=None)
    assert_not_committed(synced, out, before)
    assert_next_run_repairs(synced)


def test_a_server_that_refuses_imports_while_a_job_runs_is_left_alone_until_it_takes_one(sync: Sync) -> None:
    scope = {"projects": ["default", "sales"]}
    sync.synced(pair=scope)
    add_job(sync.master, "default", "new job")
    add_job(sync.slave, "its own", "long one")
    sync.slave.scheduler.duration(600, "long one")
    sync.slave.scheduler.guesses(refuses_import_while_running=True)
    act(sync.slave, "start", "its own / long one")
    with untouched(sync.slave):
        out = sync.run(pair=scope)
    assert out.code("import_metadata") == "import_unanswered"
    assert sync.record.dirty
    act(sync.slave, "stop", "its own / long one")
    sync.synced(pair=scope)
    assert states(sync.slave)["default / new job"] == "DISABLED"
    assert states(sync.slave)["its own / long one"] == "NOT_RUNNING"


# -- workers that are killed


def run_killed(sync: Sync, **asked: Any) -> None:
    with pytest.raises(WorkerKilled):
        sync.run(**asked)


def test_a_worker_killed_between_export_and_import_has_changed_nothing(synced: Sync) -> None:
    before = synced.record
    with untouched(synced.slave):
        run_killed(synced, between={"import_metadata": kill_the_worker})
    assert synced.record == before, "the old snapshot stays promotable"
    synced.synced()


@pytest.mark.parametrize("task", ["disable_jobs", "verify"])
def test_a_worker_killed_after_the_import_leaves_a_dirty_slave_that_the_next_run_repairs(
    synced: Sync, task: str
) -> None:
    before = synced.record.snapshot_id
    run_killed(synced, between={task: kill_the_worker})
    assert synced.record.snapshot_id == before
    assert synced.record.dirty
    assert not enabled(synced.slave), "import_metadata has disabled them in the same breath"
    assert_next_run_repairs(synced)


def test_a_worker_killed_right_after_the_import_leaves_the_disabling_to_disable_jobs(synced: Sync) -> None:
    run = synced.dag_run()
    run.task("guard")
    run.task("export_metadata")
    with pytest.MonkeyPatch.context() as patch:
        _kill_after_import(patch)
        with pytest.raises(WorkerKilled):
            run.task("import_metadata")
    assert len(enabled(synced.slave)) == 13
    run.task("disable_jobs")
    assert not enabled(synced.slave)
    assert synced.record.dirty
    assert_next_run_repairs(synced)


def _kill_after_import(patch: pytest.MonkeyPatch) -> None:
    """The worker dies when the server has taken the import, before anything was disabled."""
    send = DenodoSchedulerHook.import_metadata

    def sent_and_killed(self: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> None:
        send(self, *args, **kwargs)
        raise WorkerKilled

    patch.setattr(DenodoSchedulerHook, "import_metadata", sent_and_killed)


def test_a_whole_airflow_killed_right_after_the_import_leaves_the_repair_to_the_next_run(synced: Sync) -> None:
    before = synced.record.snapshot_id
    with pytest.MonkeyPatch.context() as patch:
        _kill_after_import(patch)
        run_killed(synced)
    assert len(enabled(synced.slave)) == 13
    assert synced.record.snapshot_id == before
    assert synced.record.dirty
    out = assert_next_run_repairs(synced)
    assert out.events[0]["before"]["enabled"] == 13


def test_the_next_run_waits_out_the_lease_of_an_import_that_may_still_go_on(synced: Sync) -> None:
    slave = Books(synced.slave)
    synced.slow_import(JOBS)

    def give_up(self: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> None:
        try:
            send(self, *args, **kwargs)
        except Exception:
            raise WorkerKilled from None

    with pytest.MonkeyPatch.context() as patch:
        send = DenodoSchedulerHook.import_metadata
        patch.setattr(DenodoSchedulerHook, "import_metadata", give_up)
        run_killed(synced, pair=UNANSWERED)
    assert synced.record.operation
    lease = synced.record.operation.lease_until
    synced.slave.scheduler.guesses(import_seconds=0)
    out = synced.synced()
    assert out.imported
    assert out.imported.began >= lease.isoformat(), "no second import while the first may go on"
    assert _imports_one_after_the_other(slave)
    assert not enabled(synced.slave)


def _imports_one_after_the_other(slave: Books) -> bool:
    """No job of the file was imported for the second time before all were for the first time."""
    jobs = [entry["job"] for entry in slave.audit if entry["by"] == "import" and entry["change"] != "enabled"]
    half = len(jobs) // 2
    return jobs[:half] == jobs[half:]


def test_a_retry_of_the_import_waits_out_the_lease_and_then_imports_again(synced: Sync) -> None:
    run = synced.dag_run()
    run.task("guard")
    run.task("export_metadata")
    with pytest.MonkeyPatch.context() as patch:
        _kill_after_import(patch)
        with pytest.raises(WorkerKilled):
            run.task("import_metadata")
    lease = synced.record.operation.lease_until  # type: ignore[union-attr]
    run.task("import_metadata")
    assert run.imported
    assert run.imported.began >= lease.isoformat()
    run.task("disable_jobs")
    run.task("verify")
    assert run.committed
    assert not enabled(synced.slave)


# -- a slave that dies


@pytest.mark.parametrize(
    ("process", "message"),
    [
        ("scheduler", "Check that the Scheduler server runs and that its uri is right"),
        ("webtool", "the web tool cannot be reached"),
    ],
)
def test_a_slave_that_is_down_at_the_start_stops_the_run_before_anything(
    synced: Sync, process: str, message: str
) -> None:
    before = dict(synced.state.values)
    getattr(synced.slave, process).kill()
    out = synced.run()
    assert message.lower() in out.message("guard").lower()
    assert synced.state.values == before
    synced.servers.heal()
    synced.synced()


def test_a_slave_that_dies_before_the_import_is_not_dirty(synced: Sync) -> None:
    before = synced.record
    out = synced.run(between={"import_metadata": synced.slave.scheduler.kill})
    assert "Check that the Scheduler server runs" in out.message("import_metadata")
    assert synced.record == before
    synced.servers.heal()
    synced.synced()


def test_a_web_tool_that_dies_between_import_and_disable_fails_the_run_and_is_repaired(synced: Sync) -> None:
    before = synced.record.snapshot_id
    out = synced.run(between={"disable_jobs": synced.slave.webtool.kill})
    assert "web tool cannot be reached" in out.message("disable_jobs")
    synced.servers.heal()
    assert_not_committed(synced, out, before)
    assert_next_run_repairs(synced)


def test_a_web_tool_that_dies_before_the_verification_commits_nothing(synced: Sync) -> None:
    before = synced.record.snapshot_id
    out = synced.run(between={"verify": synced.slave.webtool.kill})
    assert "web tool cannot be reached" in out.message("verify")
    synced.servers.heal()
    assert_not_committed(synced, out, before)
    out.task("verify")
    assert out.committed, "a retry of the task alone is enough"


@pytest.mark.parametrize("process", ["scheduler", "webtool"])
def test_a_slave_killed_in_the_middle_of_an_import_is_disabled_as_soon_as_it_is_back(
    synced: Sync, process: str
) -> None:
    """kill -9; what was imported is enabled on its disk, so it comes back with enabled jobs."""
    before, slave = synced.record.snapshot_id, Books(synced.slave)
    synced.slow_import(JOBS)
    killed = getattr(synced.slave, process)
    out = synced.dag_run()

    def run_all() -> None:
        for task in TASKS:
            out.task(task)

    synced.going_on = lambda: True
    with meanwhile(run_all):
        wait_for(lambda: len(slave.imported) > 3, 20, "The import", poll=0.02)
        killed.kill()
        killed.start()
        if process == "webtool":
            wait_for(lambda: len(slave.imported) == 13, 60, "The end of the import", poll=0.05)
        wait_for(lambda: not enabled(synced.slave), 60, "Disabled jobs", poll=0.05)
        synced.going_on = lambda: False
    assert out.code("import_metadata") == "import_unanswered"
    assert out.disabled, out.errors
    assert out.disabled.disabled > 0
    assert_not_committed(synced, out, before)
    assert_next_run_repairs(synced)


def test_a_dirty_slave_is_repaired_also_while_the_master_is_down(synced: Sync) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _kill_after_import(patch)
        run_killed(synced)
    synced.passed += timedelta(seconds=10)
    synced.master.webtool.kill()
    out = synced.run()
    assert [event["kind"] for event in out.events] == ["repaired"]
    assert "web tool cannot be reached" in out.message("export_metadata")
    assert not enabled(synced.slave)
    assert synced.record.dirty


# -- disabling that fails


def test_disabling_that_fails_for_a_moment_is_repeated_until_all_are_disabled(synced: Sync) -> None:
    synced.slave.webtool.faults({"kind": "status", "status": 500, "match": DISABLE, "times": 3})
    out = synced.synced()
    assert out.event
    assert out.event["imported"]
    assert not enabled(synced.slave)


def test_disabling_that_goes_on_failing_is_never_a_success(synced: Sync) -> None:
    before = synced.record.snapshot_id
    synced.slave.webtool.faults({"kind": "status", "status": 500, "match": DISABLE})
    out = synced.run()
    for task in ("import_metadata", "disable_jobs"):
        message = out.message(task)
        assert message.startswith("[still_enabled] 13 jobs of the slave are still enabled after 5 rounds of disabling")
        assert "default / " in message
        assert "500" in message
    synced.servers.heal()
    assert len(enabled(synced.slave)) == 13
    assert out.event is None
    assert synced.record.snapshot_id == before
    assert_next_run_repairs(synced)


def test_a_project_that_cannot_be_disabled_keeps_no_other_project_enabled(synced: Sync) -> None:
    project = status_of(synced.slave, sorted(states(synced.slave))[0])["projectID"]
    name = label(next(status for status in synced.slave.statuses() if status["projectID"] == project)).split(" / ")[0]
    match = {"method": "PUT", "path": f"/projects/{project}/jobs/status"}
    synced.slave.webtool.faults({"kind": "status", "status": 500, "match": match})
    out = synced.run()
    assert {job.split(" / ")[0] for job in enabled(synced.slave)} == {name}
    assert out.code("disable_jobs") == "still_enabled"
    assert out.event is None
    assert_next_run_repairs(synced)


def test_jobs_that_somebody_enables_again_and_again_are_named_and_never_a_success(synced: Sync) -> None:
    disable = DenodoSchedulerHook.set_jobs_status
    name = sorted(states(synced.slave))[0]

    def and_somebody_enables_one(self: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> int:
        sent = disable(self, *args, **kwargs)
        act(synced.slave, "enable", name)
        return sent

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DenodoSchedulerHook, "set_jobs_status", and_somebody_enables_one)
        out = synced.run()
    assert out.message("disable_jobs").startswith(
        f"[still_enabled] 1 jobs of the slave are still enabled after 5 rounds of disabling: {name}. Next:"
    )
    assert out.event is None
    assert_next_run_repairs(synced)


# -- jobs that ran in the gap


def _at_the_first_disabling(patch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do ``action`` while the jobs are enabled on the slave: after the import's answer, before they are disabled."""
    disable = DenodoSchedulerHook.set_jobs_status
    left = [action]

    def disable_late(self: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> int:
        while left:
            left.pop()()
        return disable(self, *args, **kwargs)

    patch.setattr(DenodoSchedulerHook, "set_jobs_status", disable_late)


def test_a_job_that_became_due_on_both_servers_in_the_gap_is_a_suspected_double_run(synced: Sync) -> None:
    synced.options["lease"] = "1h"
    master, slave = Books(synced.master), Books(synced.slave)
    with pytest.MonkeyPatch.context() as patch:
        _at_the_first_disabling(patch, lambda: synced.advance(minutes=9))
        out = synced.synced()
    judged = {(run.project, run.job) for run in double_runs(master.journal, slave.journal)}
    assert ("default", "new job") in judged
    assert out.event
    assert {tuple(name.casefold().split(" / ", 1)) for name in out.event["suspected_double_runs"]} == judged


def test_a_job_that_somebody_started_on_the_slave_in_the_gap_is_reported(synced: Sync) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _at_the_first_disabling(patch, lambda: act(synced.slave, "start", "default / new job"))
        out = synced.synced()
    assert out.event
    assert out.event["suspected_double_runs"] == ["default / new job"]


def test_without_any_run_nothing_is_suspected_and_the_journals_agree(synced: Sync) -> None:
    """Also not the runs of a slave that was in use before it became one."""
    master, slave = Books(synced.master), Books(synced.slave)
    act(synced.slave, "enable", sorted(states(synced.slave))[0])
    act(synced.slave, "start", sorted(states(synced.slave))[0])
    synced.advance(seconds=30)
    act(synced.slave, "disable", *states(synced.slave))
    out = synced.synced()
    assert len(slave.journal) == 1
    assert double_runs(master.journal, slave.journal) == []
    assert out.event
    assert out.event["suspected_double_runs"] == []


def test_a_job_that_ran_because_of_a_lost_import_is_reported_by_the_run_that_repairs(synced: Sync) -> None:
    synced.options["lease"] = "1h"
    master, slave = Books(synced.master), Books(synced.slave)
    with pytest.MonkeyPatch.context() as patch:
        _kill_after_import(patch)
        run_killed(synced)
    synced.advance(minutes=70)
    out = synced.synced()
    judged = {(run.project, run.job) for run in double_runs(master.journal, slave.journal)}
    assert ("default", "new job") in judged
    repaired, done = out.events
    for event in (repaired, done):
        assert {tuple(name.casefold().split(" / ", 1)) for name in event["suspected_double_runs"]} >= judged


def test_one_that_waits_long_enough_is_believed(synced: Sync) -> None:
    """A due time at the very edge of the window: the master's run is over, and the slave never saw it."""
    master, slave = Books(synced.master), Books(synced.slave)
    synced.advance(minutes=8, seconds=5)
    synced.synced()
    assert "new job" in {run["job"] for run in master.journal}
    assert slave.journal == []
