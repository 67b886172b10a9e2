"""Pause, resume, acknowledge, halt, release, initialise: the record changes, an event is left, no server is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from denodo_ha.record import SCHEMA, Phase, Role
from denodo_scheduler.steps.claim import LEASE
from denodo_scheduler.steps.operate import MANUAL_OPERATIONS, Done, ManualOperation
from denodo_scheduler.steps.outcome import Blocked
from support.switchover import AT_REST, SwitchPair, killed
from support.sync import act, add_job, enabled, states, untouched


@pytest.fixture
def calm(pair: SwitchPair) -> Iterator[SwitchPair]:
    """A pair in step, whose servers no operation may touch."""
    with untouched(*pair.servers.servers):
        yield pair


def refused(pair: SwitchPair, operation: ManualOperation, **asked: Any) -> str:
    """Code of a refusal, which changes nothing."""
    state = dict(pair.state.values)
    with pytest.raises(Blocked) as error:
        pair.operate(operation, **asked)
    assert pair.state.values == state
    assert "Next: " in str(error.value)
    return error.value.code


def event_of(pair: SwitchPair, done: Done) -> dict[str, Any]:
    """The event of something that was done, which the record keeps until it is told."""
    assert done.event is not None
    assert pair.record.outbox[-1]["id"] == done.event["id"]
    return done.event


def test_a_reason_is_needed(calm: SwitchPair) -> None:
    for operation in MANUAL_OPERATIONS:
        assert refused(calm, operation, reason="  ", active=Role.MASTER) == "reason_missing"


def test_pause_and_resume(calm: SwitchPair) -> None:
    event = event_of(calm, calm.operate("pause", actor="ana", reason="holidays"))
    assert (event["kind"], event["actor"], event["reason"]) == ("paused", "ana", "holidays")
    assert calm.record.is_paused(calm.now() + timedelta(days=900))
    assert calm.run().verdict.code == "paused"  # type: ignore[union-attr]
    assert event_of(calm, calm.operate("resume"))["kind"] == "resumed"
    assert not calm.record.is_paused(calm.now())
    assert calm.operate("resume").event is None
    assert calm.record.epoch == 1


def test_a_pause_that_ends_by_itself(calm: SwitchPair) -> None:
    until = calm.now() + timedelta(hours=1)
    assert event_of(calm, calm.operate("pause", until=until))["after"] == {"paused": True, "until": until.isoformat()}
    assert calm.record.is_paused(calm.now())
    assert not calm.record.is_paused(until)
    assert refused(calm, "pause", until=calm.now() - timedelta(seconds=1)) == "until_past"


def test_acknowledge(calm: SwitchPair) -> None:
    assert calm.operate("acknowledge").event is None
    calm.change(acknowledged=False, cool_down_until=calm.now() + timedelta(hours=1))
    assert event_of(calm, calm.operate("acknowledge"))["kind"] == "acknowledged"
    assert (calm.record.acknowledged, calm.record.cool_down_until) == (True, None)
    assert calm.operate("acknowledge").event is None


def test_halt_and_release(calm: SwitchPair) -> None:
    assert calm.operate("release").event is None
    event = event_of(calm, calm.operate("halt", actor="ana", reason="servers are moved"))
    assert (event["kind"], event["before"], event["after"]) == ("halted", {"phase": "normal"}, {"phase": "halted"})
    assert calm.record.halted is not None
    assert (calm.record.halted.reason, calm.record.halted.by) == ("servers are moved", "ana")
    assert calm.operate("halt").event is None
    assert event_of(calm, calm.operate("release"))["kind"] == "released"
    assert (calm.record.phase, calm.record.halted) == (Phase.NORMAL, None)


def test_release_with_the_operation_of_a_dead_task_open(pair: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    assert killed(run.switch_over, monkeypatch, 2)
    pair.operate("halt")
    pair.operate("release")
    assert pair.record.phase is Phase.FAILING_OVER
    pair.passed += LEASE
    pair.resume()
    assert pair.enabled == (set(), wanted)


def test_an_old_version_of_the_record_is_not_released(calm: SwitchPair) -> None:
    calm.operate("halt")
    calm.operate("pause")
    calm.lose_newest()
    assert refused(calm, "release") == "record_lost"


def test_without_a_usable_record_there_is_only_initialise(calm: SwitchPair) -> None:
    others: list[ManualOperation] = [each for each in MANUAL_OPERATIONS if each != "initialise"]
    _damaged(calm)
    assert {refused(calm, operation) for operation in others} == {"record_unusable"}
    _lost(calm)
    assert {refused(calm, operation) for operation in others} == {"not_initialised"}


# -- initialise


def _lost(pair: SwitchPair) -> None:
    pair.lose_record()


def _damaged(pair: SwitchPair) -> None:
    pair.tamper({"schema_number": SCHEMA, "phase": "dancing"})


def _kept(_: SwitchPair) -> None:
    """The record stays."""


def _mirror_lost(pair: SwitchPair) -> None:
    pair.state.values.clear()


@pytest.mark.parametrize(("happened", "epoch"), [(_mirror_lost, 3), (_damaged, 4), (_kept, 3)])
def test_initialise(pair: SwitchPair, happened: Callable[[SwitchPair], None], epoch: int) -> None:
    """A version that cannot be read may have been of an epoch of its own."""
    pair.switched("slave")
    happened(pair)
    with untouched(*pair.servers.servers):
        done = pair.operate("initialise", active=Role.SLAVE, actor="ana")
    event = event_of(pair, done)
    record = pair.record
    assert (record.phase, record.active, record.epoch) == (Phase.FAILED_OVER, Role.SLAVE, epoch)
    assert (event["kind"], event["epoch"], event["enabled"]) == ("initialised", epoch, {"master": 0, "slave": 5})
    assert record.dirty is not None
    assert (record.master, record.slave) == (_address(pair, "master"), _address(pair, "slave"))
    pair.switched("master")
    pair.synced()


def _address(pair: SwitchPair, role: str) -> str:
    address: str = getattr(pair.step(), role).address
    return address


def test_initialise_with_the_master(pair: SwitchPair) -> None:
    _lost(pair)
    with untouched(*pair.servers.servers):
        pair.operate("initialise", active=Role.MASTER)
    assert (pair.record.phase, pair.record.active) == (Phase.NORMAL, Role.MASTER)
    pair.synced()
    assert pair.record.dirty is None


def test_initialise_does_not_end_a_pause_nor_forget_events(calm: SwitchPair) -> None:
    calm.operate("pause", reason="holidays")
    calm.operate("initialise", active=Role.MASTER)
    assert calm.record.is_paused(calm.now())
    assert calm.story == ["paused", "initialised"]


def test_initialise_needs_to_be_told_who_is_active(calm: SwitchPair) -> None:
    assert refused(calm, "initialise") == "active_missing"


def test_initialise_believes_the_servers_more_than_the_person(calm: SwitchPair) -> None:
    assert refused(calm, "initialise", active=Role.SLAVE) == "active_disagrees"


def test_initialise_where_nothing_is_enabled_anywhere(pair: SwitchPair) -> None:
    act(pair.master, "disable", *states(pair.master))
    pair.operate("initialise", active=Role.SLAVE)
    assert pair.record.active is Role.SLAVE


def test_initialise_where_both_have_enabled_jobs_only_if_no_job_would_run_nowhere(pair: SwitchPair) -> None:
    act(pair.slave, "enable", sorted(enabled(pair.master))[0])
    assert refused(pair, "initialise", active=Role.SLAVE) == "active_disagrees"
    pair.operate("initialise", active=Role.MASTER)
    add_job(pair.slave, "p", "of the slave only", cron=AT_REST)
    assert refused(pair, "initialise", active=Role.MASTER) == "active_disagrees"


def test_initialise_while_another_server_is_down(pair: SwitchPair) -> None:
    pair.slave.scheduler.kill()
    assert refused(pair, "initialise", active=Role.SLAVE) == "active_unreachable"
    event = event_of(pair, pair.operate("initialise", active=Role.MASTER))
    assert event["enabled"] == {"master": 5, "slave": None}


def test_initialise_waits_for_a_task_that_may_still_act(pair: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    run = pair.begin("slave")
    run.check()
    assert killed(run.switch_over, monkeypatch, 0)
    assert refused(pair, "initialise", active=Role.MASTER) == "operation_open"
    pair.passed += LEASE
    pair.operate("initialise", active=Role.MASTER)
    assert pair.record.operation is None


def test_initialise_leaves_the_record_of_a_newer_version_alone(calm: SwitchPair) -> None:
    calm.tamper({"schema_number": SCHEMA + 1})
    assert refused(calm, "initialise", active=Role.MASTER) == "record_unusable"


def test_initialise_with_one_server_under_two_names(calm: SwitchPair, connect: Callable[..., None]) -> None:
    connect(calm.master, "slave")
    assert refused(calm, "initialise", active=Role.MASTER) == "same_server"
