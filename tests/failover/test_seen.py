"""The steps keep what they have read of the jobs, for the page: without a request more, whatever the storage does."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from denodo_ha.record import Role
from denodo_ha.seen import SeenServer, from_bytes
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps import seen as keeping
from denodo_scheduler.steps.watch.look import judge
from support.failover import Failover
from support.sync import act, enabled, states, untouched


def seen(failover: Failover, role: Role) -> SeenServer:
    return from_bytes(failover.sync.snapshots("test").read_seen()).servers[role]


def jobs(server: SeenServer, *, only_enabled: bool = False) -> set[str]:
    return {str(job.key) for job in server.jobs if job.enabled or not only_enabled}


def test_a_sync_keeps_what_it_has_seen_of_both_servers(failover: Failover) -> None:
    """The active server as it was exported, the passive one as it was read back."""
    for role, server in ((Role.MASTER, failover.master), (Role.SLAVE, failover.slave)):
        found = seen(failover, role)
        assert jobs(found) == set(states(server))
        assert jobs(found, only_enabled=True) == enabled(server)
        assert failover.sync.now() - found.at < timedelta(hours=1)
    due = {str(job.key): job.next_execution for job in seen(failover, Role.MASTER).jobs}
    assert {name for name, execution in due.items() if execution} == enabled(failover.master)


def test_a_look_keeps_what_it_reads_and_asks_for_nothing_more(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    call = DenodoSchedulerHook._call

    def counted(hook: DenodoSchedulerHook, method: str, path: str, *args: Any, **how: Any) -> Any:
        asked.append(f"{method} {path}")
        return call(hook, method, path, *args, **how)

    case = failover.case()
    act(failover.master, "disable", min(enabled(failover.master)))
    monkeypatch.setattr(DenodoSchedulerHook, "_call", counted)
    before = failover.sync.files
    with untouched(failover.master, failover.slave):
        judge(case)
        assert failover.sync.files == before, "only a look of the failover DAG keeps it"
        without, asked[:] = list(asked), []
        judge(case, keep=True)
    assert asked == without
    monkeypatch.undo()
    changed = {name for name, content in failover.sync.files.items() if before.get(name) != content}
    assert changed == {"test/seen.json.gz"}
    assert jobs(seen(failover, Role.MASTER), only_enabled=True) == enabled(failover.master)


def test_a_failover_keeps_what_became_of_the_slave_and_leaves_the_master_as_it_was(failover: Failover) -> None:
    wanted, master = enabled(failover.master), seen(failover, Role.MASTER)
    failover.silence()
    failover.sync.passed += timedelta(minutes=1)
    assert failover.run().done["kind"] == "failover"
    assert jobs(seen(failover, Role.SLAVE), only_enabled=True) == wanted
    assert seen(failover, Role.MASTER) == master


def test_storage_that_does_not_answer_holds_up_no_look(
    failover: Failover, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given_up = Event()
    monkeypatch.setattr(keeping, "PATIENCE", 0.05)
    monkeypatch.setattr(SnapshotStore, "write_seen", lambda *_: given_up.wait(60))
    try:
        assert judge(failover.case(), keep=True).decision.code == "healthy"
    finally:
        given_up.set()
    assert "has not answered" in caplog.text


def test_storage_that_fails_fails_no_step(
    failover: Failover, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(SnapshotStore, "write_seen", fails)
    assert judge(failover.case(), keep=True).decision.code == "healthy"
    failover.sync.synced()
    failover.silence()
    assert failover.run().done["kind"] == "failover"
    assert caplog.text.count("the disk is full") == 3


def test_what_is_kept_is_no_snapshot_and_is_never_retired(failover: Failover) -> None:
    """Also where it is damaged, which the next look mends."""
    store = failover.sync.snapshots("test")
    store.write_seen(b"damaged")
    snapshots, lists = store.listed()
    assert (snapshots, lists) == ([failover.record.snapshot_id], [])
    store.retire(1, ())
    assert store.read_seen() == b"damaged"
    judge(failover.case(), keep=True)
    assert jobs(seen(failover, Role.SLAVE)) == set(states(failover.slave))
