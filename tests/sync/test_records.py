"""The HA record: without one, with one that cannot be used, and in the phases in which a sync would do harm."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from denodo_ha.record import SCHEMA, Record, mark_dirty
from denodo_scheduler.state.record_store import RECORD_KEY
from denodo_scheduler.steps.outcome import Blocked
from support.sync import Sync, act, add_job, crons, enabled, fill, states, status_of, untouched


def refused(sync: Sync, **asked: Any) -> str:
    """The message of a guard that must fail without changing either server or the record."""
    record = dict(sync.state.values)
    with untouched(sync.master, sync.slave):
        out = sync.run(**asked)
    assert not out.ok
    assert out.event is None
    assert sync.state.values == record
    return out.message("guard")


# -- none


def test_an_empty_slave_makes_the_first_run_initialise_the_pair(sync: Sync) -> None:
    out = sync.synced()
    assert out.events[0]["kind"] == "initialised"
    assert out.events[0]["after"] == {"active": "master", "phase": "normal"}
    assert (sync.record.phase, sync.record.active, sync.record.epoch) == ("normal", "master", 1)


def test_a_slave_whose_jobs_are_all_disabled_makes_the_first_run_initialise_the_pair(sync: Sync) -> None:
    fill(sync.slave)
    act(sync.slave, "disable", *states(sync.slave))
    assert sync.synced().events[0]["kind"] == "initialised"


def test_a_slave_with_enabled_jobs_may_be_the_active_server_so_a_person_has_to_say(sync: Sync) -> None:
    add_job(sync.slave, "default", "somebody's job")
    message = refused(sync)
    assert message.startswith(
        "[not_initialised] the pair test has no HA record, and 1 jobs are enabled on the slave "
        "(default / somebody's job), so it may be the active server"
    )
    assert "look which server has enabled jobs; if that is the master, trigger " in message
    assert "with the operation 'initialise'" in message
    with pytest.raises(Blocked, match=r"\[active_disagrees\] 1 jobs are enabled on the other server"):
        sync.initialise()


def test_after_the_operation_initialise_a_sync_disables_the_slaves_jobs(sync: Sync) -> None:
    fill(sync.slave)
    sync.initialise(actor="ana", reason="new pair")
    assert sync.record.outbox[-1]["kind"] == "initialised"
    on = len(enabled(sync.slave))
    out = sync.synced()
    assert not enabled(sync.slave)
    assert [event["kind"] for event in out.events] == ["repaired", "sync"]
    assert out.events[0]["before"]["enabled"] == on > 0
    assert sync.record.dirty is None


def test_initialising_leaves_jobs_outside_the_pairs_scope_alone(sync: Sync) -> None:
    add_job(sync.slave, "its own", "job")
    sync.synced(pair={"projects": ["default", "sales"]})
    assert states(sync.slave)["its own / job"] == "NOT_RUNNING"


def test_a_record_that_vanishes_during_a_run_stops_it(sync: Sync) -> None:
    with untouched(sync.slave):
        out = sync.run(between={"import_metadata": sync.lose_record})
    assert out.message("import_metadata").startswith("[record_lost] the HA record of the pair test has vanished")
    assert not sync.state.values


def test_the_record_survives_airflows_database(sync: Sync) -> None:
    sync.synced()
    before = dict(sync.state.values)
    sync.state.values.clear()
    assert sync.synced().code("import_metadata") == "unchanged"
    assert sync.state.values.keys() == before.keys()


def test_a_record_whose_versions_are_lost_is_not_made_up(sync: Sync) -> None:
    """A person who says which server is active begins a new epoch."""
    sync.synced()
    last = sync.record
    shutil.rmtree(sync.folder / "test" / "record")
    message = refused(sync)
    assert message.startswith("[record_lost] the HA record in file://")
    assert f"has no version, and the pair was at version {last.version} before" in message
    act(sync.slave, "enable", *sorted(enabled(sync.master))[:3])
    assert refused(sync) == message
    sync.initialise()
    sync.synced()
    assert (sync.record.epoch, sync.record.version > last.version) == (2, True)
    assert not enabled(sync.slave)


@pytest.mark.parametrize(
    "since",
    [{"epoch": 3, "phase": "failed_over", "active": "slave"}, {"epoch": 4}],
    ids=["a failover", "a failover and a failback"],
)
def test_versions_restored_from_yesterday_are_found_out(sync: Sync, since: dict[str, Any]) -> None:
    """They say that the slave is passive, and its jobs would be disabled."""
    sync.synced()
    now = sync.save(Record.from_json({**sync.record.to_json(), **since}))
    sync.lose_newest()
    act(sync.slave, "enable", *sorted(enabled(sync.master))[:3])
    message = refused(sync)
    assert f"ends at version {now.version - 1}, and the pair was at version {now.version} before" in message
    sync.initialise()
    sync.synced()
    assert sync.record.epoch == now.epoch + 1


def test_the_record_of_an_older_version_is_read_and_gets_the_masters_address(sync: Sync) -> None:
    sync.synced()
    address = sync.record.master
    old = {"phase", "active", "epoch", "slave", "paused", "operation", "dirty", "snapshot"}
    record = {name: value for name, value in sync.record.to_json().items() if name in old}
    sync.lose_record()
    sync.state.set(RECORD_KEY, {"schema_number": 1, **record})
    assert sync.synced().code("import_metadata") == "unchanged"
    assert address
    assert (sync.record.schema_number, sync.record.master) == (SCHEMA, address)


def test_a_dirty_slave_is_delivered_to_although_the_master_did_not_change(sync: Sync) -> None:
    """What it holds is read again, but for its secrets, which are sent anew."""
    sync.synced()
    name = sorted(states(sync.slave))[0]
    sync.slave.set_cron(status_of(sync.slave, name), "0 0 9 * * ?")
    sync.save(mark_dirty(sync.record, now=sync.now(), reason="a test"))
    out = sync.synced()
    assert out.imported
    assert out.exported
    assert "1 different on the target" in out.exported.comparison
    assert "with secrets, which may differ on the target" in out.exported.comparison
    assert crons(sync.slave) == crons(sync.master)


# -- unusable


@pytest.mark.parametrize("initialise", [False, True])
def test_a_record_of_a_newer_version_is_never_touched(sync: Sync, initialise: bool) -> None:
    sync.tamper({"schema_number": SCHEMA + 1, "phase": "something new"})
    if initialise:
        with pytest.raises(Blocked, match="record_unusable"):
            sync.initialise()
    message = refused(sync)
    assert message.startswith(
        f"[record_unusable] the pair's HA record has schema {SCHEMA + 1}, and this version knows schemas up to {SCHEMA}"
    )
    assert "Next: upgrade this project to the version that wrote it" in message


IMPOSSIBLE: list[dict[str, Any]] = [
    {"active": "slave"},
    {"phase": "failed_over"},
    {"phase": "failing_over"},
    {"phase": "halted"},
    {"dirty": {"since": "2026-03-01T00:00:00", "reason": "no zone"}},
    {"epoch": -1},
]
"""Records that no task writes."""


@pytest.mark.parametrize(
    "garbage",
    ["garbage", [], {"phase": "nonsense"}, {"schema_number": "x"}, {"schema": 1}, {"epoch": None}, *IMPOSSIBLE],
    ids=str,
)
def test_a_damaged_record_stops_the_sync_until_a_person_initialises_the_pair_anew(sync: Sync, garbage: Any) -> None:
    sync.tamper(garbage)
    message = refused(sync)
    assert message.startswith("[record_unusable] the pair's HA record cannot be read (")
    assert "initialise the pair with its operations DAG" in message
    sync.initialise()
    assert sync.record.outbox[0]["kind"] == "initialised"
    assert sync.synced().committed


# -- phases

AT = "2026-03-01T00:00:00Z"
HALT = {"since": AT, "code": "by_hand", "reason": "a test", "by": "ana", "phase": "normal"}
FAILOVER = {
    "kind": "failover",
    "id": "f1",
    "target": "slave",
    "step": "enabling",
    "started": AT,
    "lease_until": AT,
    "plan": "s1",
}
FAILBACK = {**FAILOVER, "kind": "switchover"}


@pytest.mark.parametrize(
    ("changes", "code", "what", "next_step"),
    [
        ({"phase": "halted", "halted": HALT}, "halted", "the pair is halted", "see to it, then release the pair"),
        (
            {"phase": "failed_over", "active": "slave"},
            "failed_over",
            "the slave is the active server, and nothing is copied to the master by itself",
            "run the sync DAG with 're-protect' ticked",
        ),
        (
            {"phase": "failing_over", "operation": FAILOVER},
            "failing_over",
            "is in phase failing_over",
            "wait for the end of the operation",
        ),
        (
            {"phase": "failing_back", "active": "slave", "epoch": 3, "operation": FAILBACK},
            "failing_back",
            "is in phase failing_back",
            "wait for the end of the operation",
        ),
        ({"paused": {"since": AT, "reason": "upgrade"}}, "paused", "automation is paused: upgrade", "resume the pair"),
    ],
    ids=["halted", "failed over", "failing over", "failing back", "paused"],
)
def test_in_this_state_a_sync_does_nothing_and_says_what_comes_first(
    sync: Sync, changes: dict[str, Any], code: str, what: str, next_step: str
) -> None:
    """Not even a dirty slave with enabled jobs is repaired: it may be the active server."""
    sync.synced()
    act(sync.slave, "enable", *sorted(enabled(sync.master))[:3])
    dirty = {"since": AT, "reason": "a test"}
    sync.tamper({**sync.record.to_json(), "dirty": dirty, **changes})
    record = dict(sync.state.values)
    with untouched(sync.master, sync.slave):
        out = sync.run()
        out.task("disable_jobs")
    assert out.ok
    assert out.verdict
    assert (out.verdict.ticket, out.verdict.code) == (None, code)
    assert out.verdict.message.startswith(f"[{code}] ")
    assert what in out.verdict.message
    assert f"Next: {next_step}" in out.verdict.message
    assert sync.state.values == record


def test_a_pair_paused_during_a_run_is_not_changed_any_more(sync: Sync) -> None:
    sync.synced()
    add_job(sync.master, "default", "new job")
    pause = {"since": AT, "reason": "upgrade"}
    with untouched(sync.slave):
        out = sync.run(between={"import_metadata": lambda: sync.tamper({**sync.record.to_json(), "paused": pause})})
    assert out.message("import_metadata").startswith(
        "[paused] automation is paused: upgrade. Next: resume the pair with "
    )
    assert out.ok
    assert out.event is None


def test_a_pair_paused_after_its_import_is_brought_to_an_end(sync: Sync) -> None:
    """Half-way the slave would have to stay dirty, or even enabled."""
    pause = {"since": AT, "reason": "upgrade"}
    sync.synced(between={"disable_jobs": lambda: sync.tamper({**sync.record.to_json(), "paused": pause})})
    assert not enabled(sync.slave)
    assert sync.record.paused
    assert sync.record.dirty is None
