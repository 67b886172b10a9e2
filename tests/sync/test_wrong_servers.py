"""Connections that lead to another server than so far, and a slave that has become the active server by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from denodo_demo.standin import StandinServer
from denodo_ha.record import mark_dirty
from denodo_scheduler.steps.outcome import Blocked
from support.sync import NOW, Books, DagRun, Sync, act, add_job, crons, enabled, fill, states, untouched

HANDED_OVER = {"default / Load orders", "Sales / Load orders"}

Connect = Callable[..., None]


@pytest.fixture(scope="module")
def _third(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinServer]:
    server = StandinServer("third", tmp_path_factory.mktemp("third"), timezone="Asia/Tokyo", id_offset=300_000)
    for process in server.processes:
        process.launch()
    for process in server.processes:
        process.wait_until_ready()
    yield server
    for process in server.processes:
        process.stop()


@pytest.fixture
def third(_third: StandinServer, sync: Sync) -> StandinServer:
    """A live server that is nobody's slave yet: a job of its own is enabled, and 9 more."""
    for project in _third.request("GET", "/projects"):
        _third.request("DELETE", f"/projects/{project['id']}")
    _third.scheduler.clock(mode="manual", now=NOW)
    fill(_third)
    add_job(_third, "third only", "its own job")
    return _third


def swap(sync: Sync, connect: Connect) -> None:
    """Each connection leads to the other one's server."""
    connect(sync.slave, "master")
    connect(sync.master, "slave")


# -- another address


def test_swapped_connections_are_refused_and_neither_server_is_changed(sync: Sync, connect: Connect) -> None:
    sync.synced()
    record = dict(sync.state.values)
    active = enabled(sync.master)
    swap(sync, connect)
    with untouched(sync.master, sync.slave):
        out = sync.run()
    assert out.message("guard").startswith("[slave_changed] the connection denodo_scheduler_slave leads to ")
    assert sync.master.uri in out.message("guard")
    assert "correct the connection" in out.message("guard")
    assert enabled(sync.master) == active
    assert sync.state.values == record


def test_swapped_connections_are_refused_also_while_a_repair_is_due(sync: Sync, connect: Connect) -> None:
    """The repair of a dirty slave is what would disable the master's jobs."""
    sync.synced()
    _mark_dirty(sync)
    record = dict(sync.state.values)
    swap(sync, connect)
    with untouched(sync.master, sync.slave):
        out = sync.run()
    assert out.code("guard") == "slave_changed"
    assert sync.state.values == record


@pytest.mark.parametrize("changed", [True, False], ids=["something to import", "nothing to import"])
def test_connections_swapped_before_the_import_are_refused(sync: Sync, connect: Connect, changed: bool) -> None:
    sync.synced()
    if changed:
        add_job(sync.master, "default", "one more")
    out = _run_swapped_before(sync, connect, "import_metadata")
    assert out.code("import_metadata") == "slave_changed"
    assert out.code("disable_jobs") == "slave_changed"


@pytest.mark.parametrize("task", ["disable_jobs", "verify"])
def test_connections_swapped_after_the_import_was_skipped_are_refused(sync: Sync, connect: Connect, task: str) -> None:
    sync.synced()
    out = _run_swapped_before(sync, connect, task)
    assert out.code("import_metadata") == "unchanged"
    assert out.code(task) == "slave_changed"


def test_connections_swapped_before_the_export_change_nothing(sync: Sync, connect: Connect) -> None:
    sync.synced()
    out = _run_swapped_before(sync, connect, "export_metadata")
    assert out.code("disable_jobs") == "slave_changed"


def _run_swapped_before(sync: Sync, connect: Connect, task: str) -> DagRun:
    """A run that must fail and change neither server nor the record."""
    record = dict(sync.state.values)
    with untouched(sync.master, sync.slave):
        out = sync.run(between={task: lambda: swap(sync, connect)})
    assert not out.ok
    assert out.event is None
    assert sync.state.values == record
    return out


def test_a_slave_edited_to_a_third_server_while_an_import_is_open_is_left_alone(
    sync: Sync, connect: Connect, third: StandinServer
) -> None:
    """The old slave was cleaned by the import itself; the new one has enabled jobs that are not the sync's."""
    sync.synced()
    add_job(sync.master, "default", "one more")
    with untouched(third):
        out = sync.run(between={"disable_jobs": lambda: connect(third, "slave")})
    assert out.imported
    assert out.code("disable_jobs") == "slave_changed"
    assert out.event is None
    assert not enabled(sync.slave)


def test_a_slave_edited_to_a_third_server_is_refused(sync: Sync, connect: Connect, third: StandinServer) -> None:
    sync.synced()
    record = dict(sync.state.values)
    connect(third, "slave")
    with untouched(third, sync.master, sync.slave):
        out = sync.run()
    assert out.code("guard") == "slave_changed"
    assert third.uri in out.message("guard")
    assert sync.slave.uri in out.message("guard")
    assert sync.state.values == record


def test_a_master_edited_to_a_third_server_is_refused_until_a_person_says_that_it_is_the_master(
    sync: Sync, connect: Connect, third: StandinServer
) -> None:
    sync.synced()
    record, before = dict(sync.state.values), sync.record.master
    connect(third, "master")
    with untouched(third, sync.master, sync.slave):
        out = sync.run()
    assert out.message("guard").startswith("[master_changed] the connection denodo_scheduler_master leads to ")
    assert third.uri in out.message("guard")
    assert sync.master.uri in out.message("guard")
    assert sync.state.values == record
    with untouched(third, sync.master):
        sync.initialise(actor="ana", reason="new machine")
        sync.synced(accept_mass_change=True)
    assert sync.record.master != before
    assert crons(sync.slave).items() >= crons(third).items()
    assert not enabled(sync.slave)


def test_the_same_web_tool_with_another_uri_is_another_slave(
    sync: Sync, connect: Connect, third: StandinServer
) -> None:
    sync.synced()
    connect(sync.slave, extra={"scheduler_uri": third.uri})
    with untouched(third, sync.slave):
        out = sync.run()
    assert out.code("guard") == "slave_changed"


def test_a_third_server_that_a_person_says_is_the_slave_is_adopted(
    sync: Sync, connect: Connect, third: StandinServer
) -> None:
    sync.synced()
    before = sync.record.slave
    connect(third, "slave")
    act(third, "disable", *states(third))
    with untouched(sync.slave):
        sync.initialise(actor="ana", reason="new machine")
        said = sync.record.outbox[-1]
        out = sync.synced()
    assert (said["kind"], said["actor"], said["reason"]) == ("initialised", "ana", "new machine")
    assert sync.record.slave != before
    assert sync.record.slave
    assert sync.record.slave.endswith(third.uri)
    assert out.event
    assert out.event["imported"], "it is not known what the new slave has, although the master did not change"
    assert crons(third).items() >= crons(sync.master).items()
    assert not enabled(third)
    assert sync.synced().code("import_metadata") == "unchanged"


# -- a slave that has taken over


def _mark_dirty(sync: Sync) -> None:
    sync.save(mark_dirty(sync.record, now=sync.now(), reason="a verification failed"))


def _kill_master(sync: Sync, patch: pytest.MonkeyPatch) -> None:
    """Its scheduler is dead, so that its audit cannot be read either; its web tool still answers."""
    sync.master.scheduler.kill()
    patch.setattr(sync.master.scheduler, "audit", lambda _=0: [])


@pytest.mark.parametrize("web_tool", ["answers", "is dead too"])
@pytest.mark.parametrize("dirty", [False, True], ids=["clean record", "dirty record"])
def test_jobs_enabled_on_the_slave_while_the_master_is_dead_stay_enabled(
    sync: Sync, monkeypatch: pytest.MonkeyPatch, dirty: bool, web_tool: str
) -> None:
    sync.synced()
    if dirty:
        _mark_dirty(sync)
    record = dict(sync.state.values)
    _kill_master(sync, monkeypatch)
    if web_tool != "answers":
        sync.master.webtool.kill()
    act(sync.slave, "enable", *HANDED_OVER)
    with untouched(sync.slave):
        out = sync.run()
    failed = "guard" if dirty else "disable_jobs"
    message = out.message(failed)
    assert message.startswith("[slave_may_be_active] 2 jobs of the slave are enabled (default / Load orders, ")
    assert "the master cannot be read" in message
    assert "if the slave is the active server, initialise the pair so with the operations DAG" in message
    assert not out.ok
    assert dirty or "export_metadata" in out.errors
    assert enabled(sync.slave) == HANDED_OVER
    assert sync.state.values == record


def test_not_even_initialise_takes_the_jobs_of_a_slave_whose_master_cannot_be_read(
    sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync.synced()
    _kill_master(sync, monkeypatch)
    act(sync.slave, "enable", *HANDED_OVER)
    with untouched(sync.slave):
        with pytest.raises(Blocked, match="active_unreachable"):
            sync.initialise()
        out = sync.run()
    assert out.code("disable_jobs") == "slave_may_be_active"


@pytest.mark.parametrize("dirty", [False, True], ids=["clean record", "dirty record"])
def test_a_planned_hand_over_by_hand_is_not_undone(sync: Sync, dirty: bool) -> None:
    sync.synced()
    if dirty:
        _mark_dirty(sync)
    active = enabled(sync.master)
    act(sync.slave, "enable", *active)
    act(sync.master, "disable", *active)
    with untouched(sync.master, sync.slave):
        out = sync.run()
    message = out.message("guard" if dirty else "disable_jobs")
    assert message.startswith(f"[slave_may_be_active] {len(active)} jobs of the slave are enabled")
    assert "none of the master's" in message
    assert enabled(sync.slave) == active
    assert not enabled(sync.master)
    assert dirty or out.code("export_metadata") == "mass_change"


def test_a_hand_over_by_hand_is_not_undone_by_a_person_who_accepts_the_mass_change(sync: Sync) -> None:
    """Without anything else changed on the master there is nothing to import, so the drift is what would be undone."""
    sync.synced()
    active = enabled(sync.master)
    act(sync.slave, "enable", *active)
    act(sync.master, "disable", *active)
    with untouched(sync.master, sync.slave):
        out = sync.run(accept_mass_change=True)
    assert out.code("disable_jobs") == "slave_may_be_active"
    assert enabled(sync.slave) == active


# -- drift


def test_drift_beside_an_active_master_is_undone_and_the_job_that_ran_is_named(sync: Sync) -> None:
    ran, idle = "default / every hour", "Sales / Load orders"
    add_job(sync.master, "default", "every hour", "0 8 * * * ?")
    sync.synced()
    act(sync.slave, "enable", ran, idle)
    slave = Books(sync.slave)
    sync.advance(minutes=2)
    out = sync.synced()
    assert {f"{entry['project']} / {entry['job']}" for entry in slave.journal} == {ran}
    (event,) = [event for event in out.events if event["kind"] == "drift"]
    assert event["suspected_double_runs"] == [ran]
    assert event["before"] == {"enabled": 2}
    assert event["jobs"] == f"{ran}, {idle}"
    assert not enabled(sync.slave)
    assert not slave.imported
    assert states(sync.master)[ran] == "NOT_RUNNING"
