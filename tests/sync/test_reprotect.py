"""After a failover the slave is copied to the master, so that what people edit there survives the failback."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from denodo_ha.pairs import Pair
from denodo_ha.record import Phase, Role
from denodo_scheduler.dags import sync as sync_dag
from support.delivery import (
    SMALL,
    at_write,
    audit,
    channels,
    content,
    definition,
    fail_over,
    job,
    put,
    refill,
    time_goes_on,
)
from support.switchover import SwitchPair
from support.sync import Books, DagRun, Sync, act, delete, edit, enabled, states, untouched

JOBS = (*SMALL, job("third"), job("gone"), job("sealed too", sealed="s"))


@pytest.fixture
def over(small: Sync, monkeypatch: pytest.MonkeyPatch) -> Sync:
    """A pair after a failover, on whose slave people have edited, made and deleted jobs."""
    refill(small.master, *JOBS)
    small.synced()
    fail_over(small)
    edit(small.slave, "Sales / first", description="edited")
    put(small.slave, job("new", after="first"), job("sealed", sealed="s", description="edited"))
    delete(small.slave, "Sales / gone")
    time_goes_on(small, monkeypatch, small.master)
    return small


def reprotected(sync: Sync, **asked: object) -> DagRun:
    out = sync.run(reprotect=True, master_changes=True, **asked)  # type: ignore[arg-type]
    assert out.committed, out.errors or out.verdict
    return out


def test_the_master_gets_what_people_did_on_the_slave_and_runs_nothing(over: Sync) -> None:
    master = Books(over.master)
    with untouched(over.slave):
        out = reprotected(over)
    gone = {"Sales / gone"}
    assert {name: each for name, each in content(over.master).items() if name not in gone} == content(over.slave)
    assert not enabled(over.master)
    assert master.journal == []
    assert out.event
    assert (out.event["source"], out.event["orphans"]["names"]) == ("slave", "Sales / gone")
    assert over.record.snapshot
    assert over.record.snapshot.source is Role.SLAVE
    assert (over.record.phase, over.record.active) == (Phase.FAILED_OVER, Role.SLAVE)


def test_the_masters_own_export_is_kept_and_the_event_says_what_it_holds_otherwise(over: Sync) -> None:
    before = content(over.master)
    out = reprotected(over)
    assert out.event
    rescued = out.event["rescued"]
    assert rescued["different"] == {"jobs": 2, "names": ["Sales / first", "Sales / sealed"]}
    path = Path(rescued["location"].removeprefix("file://"))
    kept = path.read_bytes()
    edit(over.slave, "Sales / first", description="edited again")
    again = reprotected(over, pair={"keep_snapshots": 2})
    assert again.event
    assert again.event["rescued"] == {}
    assert [each for each in over.files if "rescue" in each] == [str(path.relative_to(over.folder))]
    assert path.read_bytes() == kept
    over.master.request(
        "POST",
        "/serverMetadata/import",
        params={"replaceJobs": "true", "replaceDataSources": "true"},
        content=kept,
        headers={"content-type": "application/octet-stream"},
    )
    assert {name: content(over.master)[name] for name in before} == before


@pytest.mark.parametrize("server_fields", [False, True], ids=["", "with fields that differ between servers"])
def test_the_event_says_what_has_changed_since_the_last_sync_of_the_master(over: Sync, server_fields: bool) -> None:
    """What people enable, disable, edit, make and delete on the slave; not that its snapshots begin anew."""
    for server in over.servers.servers:
        server.scheduler.guesses(server_fields=server_fields)
    act(over.slave, "disable", "Sales / third")
    out = reprotected(over)
    assert out.event
    assert {kind: each["names"] for kind, each in out.event["plan"].items()} == {
        "added": "Sales / new",
        "removed": "Sales / gone",
        "changed": "Sales / first, Sales / sealed",
        "disabled": "Sales / third",
    }


def test_orphans_of_the_master_are_deleted_where_the_pair_says_so(over: Sync) -> None:
    reprotected(over, pair={"orphans": "delete"})
    assert set(states(over.master)) == set(states(over.slave))


def test_jobs_that_the_slave_never_had_are_not_deleted(over: Sync, caplog: pytest.LogCaptureFixture) -> None:
    """They were made on the master between its last sync and the failover."""
    put(over.master, job("made late"))
    act(over.master, "disable", "Sales / made late")
    for _ in range(2):
        reprotected(over, pair={"orphans": "delete"})
        assert set(states(over.master)) == {*states(over.slave), "Sales / made late"}
        assert "Kept, since the slave never had them: Sales / made late" in caplog.text


def test_without_reprotect_nothing_is_done_and_it_is_named(over: Sync) -> None:
    with untouched(over.master, over.slave):
        out = over.run()
    assert out.verdict
    assert out.verdict.ticket is None
    assert "'re-protect' ticked" in out.verdict.message


def test_it_is_refused_while_the_failover_is_not_complete(over: Sync) -> None:
    promotion = over.record.last_promotion
    assert promotion
    over.change(last_promotion=promotion.model_copy(update={"complete": False}))
    with untouched(over.master, over.slave):
        out = over.run(reprotect=True)
    assert out.verdict
    assert out.verdict.code == "promotion_incomplete"


@pytest.mark.parametrize("ticked", [True, False])
@pytest.mark.parametrize("option", ["automatic", "manual"])
def test_a_pair_can_do_it_by_itself(option: str, ticked: bool) -> None:
    run: Any = SimpleNamespace(pair=Pair.model_validate({"name": "test", "sync": {"reprotect": option}}))
    wanted = sync_dag._reprotect(run, {"params": {"reprotect": ticked}})
    assert wanted == (option == "automatic" or ticked)


def test_in_normal_operation_reprotect_is_an_ordinary_sync(small: Sync) -> None:
    small.synced(reprotect=True)
    assert content(small.slave) == content(small.master)


def test_without_that_a_deleted_job_comes_back_to_the_slave_after_the_failback(over: Sync) -> None:
    reprotected(over)
    pair = SwitchPair(over.servers, over.state, over.folder, over.options, True, over.passed)
    pair.switched("master")
    assert states(over.master)["Sales / gone"] == "DISABLED"
    pair.synced()
    assert states(over.slave)["Sales / gone"] == "DISABLED"


@pytest.mark.parametrize("at", range(4))
def test_a_failback_in_the_middle_ends_it(over: Sync, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Nothing is sent to the master from the moment at which it is the active server again."""

    def failed_back() -> None:
        over.change(phase=Phase.NORMAL, active=Role.MASTER, epoch=over.record.epoch + 1)

    with at_write(monkeypatch, at, failed_back, after=True) as sent:
        out = over.run(reprotect=True, master_changes=True)
    assert len(sent) == at + 1
    assert not out.committed
    assert "superseded" in {out.code(task) for task in out.errors}


def test_the_failback_carries_the_edits_home_and_the_next_sync_finds_nothing_different(over: Sync) -> None:
    """All but what has secrets, which no comparison of two servers shows, so it is sent once in the new direction."""
    over.options["orphans"] = "delete"
    reprotected(over)
    pair = SwitchPair(over.servers, over.state, over.folder, over.options, True, over.passed)
    wanted = enabled(over.slave)
    pair.switched("master")
    assert pair.enabled == (wanted, set())
    assert definition(over.master, "Sales / first")["description"] == "edited"
    assert "Sales / new" in enabled(over.master)
    slave = Books(over.slave)
    out = pair.synced()
    assert out.event
    assert [event["kind"] for event in out.events] == ["sync"], "nothing was to be repaired"
    assert set(channels(out)) <= {"resources", "archive"}
    assert slave.imported == {"Sales / sealed", "Sales / sealed too"}
    assert [row for row in audit(slave) if row[2] == "api" and row[1] in ("replaced", "created")] == []
    assert not enabled(over.slave)
    again = pair.synced()
    assert again.code("import_metadata") == "unchanged"
