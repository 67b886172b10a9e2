"""A slave that was paused through RMI: it shows every job DISABLED, and runs what is enabled when it is resumed."""

from __future__ import annotations

from typing import Any

import pytest

from denodo_scheduler.steps.sync import send as sending
from support.sync import TASKS, UNANSWERED, Books, Sync, WorkerKilled, add_job, enabled, kill_the_worker, states

HOURLY = "0 15 * * * ?"


@pytest.fixture
def paused(sync: Sync) -> Sync:
    """A pair in step with new work on the master, whose slave is paused."""
    sync.synced()
    for number in range(3):
        add_job(sync.master, "default", f"new job {number}", HOURLY)
    pause(sync)
    return sync


def pause(sync: Sync, paused: bool = True) -> None:
    sync.slave.scheduler.control("POST", "/pause", json={"paused": paused})


def flagged(sync: Sync) -> set[str]:
    """The jobs of the slave that are enabled by their own flag; while it is paused only its audit can tell."""
    flags: dict[str, str] = {}
    for entry in sync.slave.scheduler.audit():
        flags[f"{entry['project']} / {entry['job']}"] = entry["change"]
    return {name for name in states(sync.slave) if flags.get(name) == "enabled"}


def assert_nothing_runs_after_resuming(sync: Sync, slave: Books) -> None:
    pause(sync, False)
    assert not enabled(sync.slave)
    sync.advance(hours=26)
    assert slave.journal == []


@pytest.mark.parametrize("hidden", [False, True], ids=["own flags", "hidden flags"])
def test_a_sync_to_a_paused_slave_disables_every_job_in_earnest(
    paused: Sync, hidden: bool, caplog: pytest.LogCaptureFixture
) -> None:
    paused.slave.scheduler.guesses(pause_hides_flags=hidden)
    slave = Books(paused.slave)
    paused.synced()
    assert slave.imported == set(states(paused.master))
    assert not flagged(paused)
    assert ("has enabled none of 3 new jobs" if hidden else "the slave looks paused") in caplog.text
    assert_nothing_runs_after_resuming(paused, slave)


def test_the_first_sync_to_a_paused_slave(sync: Sync) -> None:
    pause(sync)
    slave = Books(sync.slave)
    sync.synced()
    assert_nothing_runs_after_resuming(sync, slave)


@pytest.mark.parametrize("answer", ["ignored", "refused"])
def test_a_paused_slave_that_disables_nothing_is_never_committed(paused: Sync, answer: str) -> None:
    paused.slave.scheduler.guesses(disable_while_paused=answer)
    committed = paused.record.snapshot_id
    slave = Books(paused.slave)
    out = paused.run()
    assert out.event is None
    assert paused.record.snapshot_id == committed
    assert paused.record.dirty is not None
    for task in ("import_metadata", "disable_jobs"):
        assert out.code(task) == "looks_paused"
        assert "the slave looks paused: it shows every job DISABLED, but the definitions of" in out.message(task)
        assert "Next: disable these jobs there, or resume the slave's Scheduler" in out.message(task)
    again = paused.run()
    assert again.code("guard") == "looks_paused"
    assert paused.record.snapshot_id == committed

    pause(paused, False)
    out = paused.synced()
    assert out.events[-1]["kind"] == "sync"
    assert [event["after"] for event in paused.record.outbox if event["kind"] == "repaired"] == [{"enabled": 0}]
    assert not enabled(paused.slave)
    paused.advance(hours=26)
    assert slave.journal == []


def test_an_import_whose_answer_was_lost_is_disabled_in_earnest_on_a_paused_slave(paused: Sync) -> None:
    paused.slave.webtool.faults({"kind": "cut_after", "match": {"method": "POST", "path": "serverMetadata/import"}})
    slave = Books(paused.slave)
    out = paused.run(pair=UNANSWERED)
    assert out.code("import_metadata") == "import_unanswered"
    assert slave.imported
    assert not flagged(paused)
    assert paused.record.dirty
    paused.slave.webtool.faults()
    assert_nothing_runs_after_resuming(paused, slave)


def test_what_a_killed_worker_left_on_a_paused_slave_is_repaired_by_the_next_run(
    paused: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died before the first request that disables, and its lease is over when the next run begins."""
    out = paused.dag_run()
    for task in TASKS[:2]:
        out.task(task)
    with monkeypatch.context() as patch:
        patch.setattr(sending, "rest_passive", lambda *_, **__: kill_the_worker())
        with pytest.raises(WorkerKilled):
            out.task("import_metadata")
    slave = Books(paused.slave)
    assert flagged(paused)
    paused.passed += paused.pair().sync.lease
    nxt = paused.synced()
    assert [event["kind"] for event in nxt.events] == ["repaired", "sync"]
    assert nxt.events[0]["before"]["enabled"] == len(states(paused.master))
    assert_nothing_runs_after_resuming(paused, slave)


def test_a_slave_that_is_paused_only_after_the_disabling_is_not_committed_by_its_looks(paused: Sync) -> None:
    """A person enables a job and pauses the slave, right before ``verify`` looks."""
    pause(paused, False)

    def enable_and_pause() -> None:
        status = next(each for each in paused.slave.statuses() if each["jobName"] == "new job 1")
        paused.slave.set_status("enable", [status])
        pause(paused)

    committed = paused.record.snapshot_id
    out = paused.run(between={"verify": enable_and_pause})
    assert out.code("verify") == "not_verified"
    assert "1 jobs are enabled: default / new job 1; the slave looks paused" in out.message("verify")
    assert paused.record.snapshot_id == committed
    assert paused.record.dirty


def test_a_paused_slave_costs_a_sync_without_news_no_request_more(sync: Sync) -> None:
    sync.synced()
    pause(sync)
    for server in sync.servers.servers:
        server.webtool.reset_requests()
    assert sync.synced().code("import_metadata") == "unchanged"
    counts: list[dict[str, Any]] = [server.webtool.requests() for server in sync.servers.servers]
    assert sum(sum(each.values()) for each in counts) <= 10, counts
