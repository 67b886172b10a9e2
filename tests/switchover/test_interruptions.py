"""Workers that die, sleep or come too late, servers that die, people who interfere: at every step of a switchover."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from denodo_demo.standin import StandinServer
from denodo_ha.record import Phase, Role, Step
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.claim import LEASE
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from denodo_scheduler.steps.promote.fence import Down
from support.switchover import Changes, SwitchPair, dies, killed
from support.sync import NOW, act, delete, enabled, kill_the_worker, untouched

OTHER = {"slave": "master", "master": "slave"}
FEWEST = 8
"""How many changes a switchover of these jobs makes at least: record, projects and batches."""
_BACK = 5
"""Number of the first request that enables jobs again: after claim, step, two projects, step."""


def settled(pair: SwitchPair, wanted: set[str]) -> str:
    """The active server, after all that matters was found in order."""
    record = pair.record
    on_master = record.active is Role.MASTER
    assert pair.enabled == ((wanted, set()) if on_master else (set(), wanted))
    assert record.operation is None
    assert record.phase is (Phase.NORMAL if on_master else Phase.FAILED_OVER)
    return str(record.active)


def take_over(pair: SwitchPair) -> None:
    """What the failover DAG does once the lease is over."""
    pair.passed += LEASE  # the servers' clocks stand still meanwhile
    pair.resume()


# -- a worker dies


def by_a_retry(pair: SwitchPair, again: Callable[[], object]) -> None:
    with suppress(NothingToDo):  # it had ended, and only its worker did not live to say so
        again()


def by_the_failover_dag(pair: SwitchPair, _: Callable[[], object]) -> None:
    if pair.record.operation is not None:
        with untouched(*pair.servers.servers), pytest.raises(NothingToDo, match="may still act"):
            pair.resume()
        take_over(pair)


@pytest.mark.parametrize("recover", [by_a_retry, by_the_failover_dag], ids=["retry", "failover DAG"])
def test_killed_after_every_change(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch, recover: Callable[..., None]
) -> None:
    """In both directions by turns; each time the same jobs end enabled on exactly one server."""
    wanted = enabled(pair.master)
    points = {"slave": 0, "master": 0}
    while points:
        to = OTHER[str(pair.record.active)]
        run = pair.begin(to)
        run.check()
        if to not in points:
            run.switch_over()
        elif killed(run.switch_over, monkeypatch, points[to]):
            points[to] += 1
            recover(pair, run.switch_over)
            assert settled(pair, wanted) == to or recover is by_the_failover_dag
        else:
            assert points.pop(to) >= FEWEST
            assert settled(pair, wanted) == to
        pair.clean()


def test_what_died_before_the_first_job_was_disabled_is_given_up(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    assert killed(run.switch_over, monkeypatch, 0)
    with untouched(*pair.servers.servers):
        take_over(pair)
    assert settled(pair, wanted) == "master"
    assert pair.story[-1] == "switchover_given_up"
    with untouched(*pair.servers.servers), pytest.raises(NothingToDo, match="superseded"):
        run.switch_over()


# -- a worker sleeps


@pytest.mark.parametrize("to", ["slave", "master"])
def test_a_worker_that_slept_at_any_step_changes_nothing_when_it_wakes(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """It sleeps right after a change; its lease ends, and the failover DAG brings the operation to its end."""
    wanted = enabled(pair.master)
    slept = 0
    while True:
        if pair.record.active == to:
            pair.switched(OTHER[to])
            pair.clean()
        run = pair.begin(to)
        run.check()
        found: list[Any] = []

        def sleep() -> None:
            if pair.record.operation is not None:
                take_over(pair)
                found.append((pair.state.get("record"), pair.enabled))  # noqa: B023 - called within the loop

        with monkeypatch.context() as patch:
            Changes(patch, slept, sleep)
            ended = _end(run.switch_over)
        slept += 1
        if not found:
            break
        assert isinstance(ended, NothingToDo), (slept, ended)
        assert found == [(pair.state.get("record"), pair.enabled)], slept
        settled(pair, wanted)
        pair.clean()
    assert slept >= FEWEST


def test_two_tries_of_one_task_do_not_work_side_by_side(pair: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow believes the first one to be dead; the second one has just taken over when the first one goes on."""
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()

    def retry() -> None:
        assert killed(run.switch_over, monkeypatch, 0)

    with monkeypatch.context() as patch:
        Changes(patch, 0, retry)
        with untouched(*pair.servers.servers), pytest.raises(NothingToDo, match="superseded"):
            run.switch_over()
    run.switch_over()
    assert settled(pair, wanted) == "slave"


def _end(task: Callable[[], object]) -> object:
    try:
        return task()
    except (NothingToDo, Blocked, NotYet) as error:
        return error


def test_a_worker_that_slept_past_its_lease_stops_itself(pair: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()

    def sleep() -> None:
        pair.passed += LEASE

    with monkeypatch.context() as patch:
        Changes(patch, 2, sleep)
        with pytest.raises(NotYet) as error:
            run.switch_over()
    assert error.value.code == "lease_over"
    run.switch_over()
    assert settled(pair, wanted) == "slave"


# -- a name moves


def leads_to_the_slave(patch: pytest.MonkeyPatch) -> None:
    """The master's name does, from now on."""
    read = DenodoSchedulerHook.statuses
    patch.setattr(DenodoSchedulerHook, "statuses", lambda hook: read(_led(hook)))


def _led(hook: DenodoSchedulerHook) -> DenodoSchedulerHook:
    to_master = hook.denodo_scheduler_conn_id == "denodo_scheduler_master"
    return DenodoSchedulerHook("denodo_scheduler_slave") if to_master else hook


@pytest.mark.parametrize("to", ["slave", "master"])
def test_the_name_of_the_master_leads_to_the_slave_while_jobs_are_disabled(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """The slave, read in place of the master, looks as if nothing ran there any more."""
    wanted = enabled(pair.master)
    _, new = _servers(pair, to)
    run = pair.begin(to)
    run.check()
    with monkeypatch.context() as patch, untouched(new):
        at_first(patch, "disable", lambda: leads_to_the_slave(patch))
        with pytest.raises(NotYet) as error:
            run.switch_over()
    assert error.value.code == "same_server"
    run.switch_over()
    assert settled(pair, wanted) == to


def test_the_name_of_the_master_leads_to_the_slave_when_a_switchover_is_resumed(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs that are enabled on the slave already are not those of a master that has returned."""
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "enable", kill_the_worker)
        assert dies(run.switch_over)
    pair.passed += LEASE
    with monkeypatch.context() as patch, untouched(*pair.servers.servers):
        leads_to_the_slave(patch)
        with pytest.raises(NotYet) as error:
            pair.resume()
    assert error.value.code == "same_server"
    pair.passed += LEASE
    pair.resume()
    assert settled(pair, wanted) == "slave"


# -- a server dies


def at_first(patch: pytest.MonkeyPatch, action: str, then: Callable[[], object]) -> None:
    """Have something happen right after the first request of this kind."""
    send = DenodoSchedulerHook.set_jobs_status
    done: list[str] = []

    def watched(hook: DenodoSchedulerHook, what: Any, *args: Any, **kwargs: Any) -> Any:
        result = send(hook, what, *args, **kwargs)
        if what == action and not done:
            done.append(what)
            then()
        return result

    patch.setattr(DenodoSchedulerHook, "set_jobs_status", watched)


def _servers(pair: SwitchPair, to: str) -> tuple[StandinServer, StandinServer]:
    """The one that is active so far, and the one that becomes it."""
    if to == "slave":
        return pair.master, pair.slave
    pair.switched("slave")
    return pair.slave, pair.master


@pytest.mark.parametrize("to", ["slave", "master"])
def test_the_other_server_dies_before_a_job_was_enabled_there(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    wanted = enabled(pair.master)
    old, new = _servers(pair, to)
    run = pair.begin(to)
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "disable", new.scheduler.kill)
        with pytest.raises(Blocked) as error:
            run.switch_over()
    assert error.value.code == "rolled_back"
    assert f"the {OTHER[to]} is active as before" in str(error.value)
    assert enabled(old) == wanted
    new.scheduler.start()
    assert settled(pair, wanted) == OTHER[to]
    assert pair.story[-1] == "switchover_rolled_back"
    pair.switched(to)
    assert settled(pair, wanted) == to


def test_the_other_server_dies_and_the_worker_while_it_goes_back(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "disable", pair.slave.scheduler.kill)
        assert killed(run.switch_over, monkeypatch, _BACK)
    assert 0 < len(enabled(pair.master)) < len(wanted)
    pair.passed += LEASE
    assert pair.resume()["kind"] == "switchover_rolled_back"
    pair.slave.scheduler.start()
    assert settled(pair, wanted) == "master"


def test_the_other_server_dies_after_a_job_was_enabled_there(pair: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """From there on only forward: the operation stays open until the server is back."""
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "enable", pair.slave.scheduler.kill)
        with pytest.raises(NotYet) as error:
            run.switch_over()
    assert error.value.code == "interrupted"
    with pytest.raises(NotYet):
        run.switch_over()
    assert not enabled(pair.master)
    pair.slave.scheduler.start()
    run.switch_over()
    assert settled(pair, wanted) == "slave"


def master_dies_half_disabled(pair: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what of it is enabled."""
    run = pair.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "disable", pair.master.scheduler.kill)
        with pytest.raises(NotYet) as error:
            run.switch_over()
    assert error.value.code == "interrupted"
    pair.advance(seconds=LEASE.total_seconds())


def test_the_old_server_dies_while_it_is_being_disabled(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch, passing_time: list[float]
) -> None:
    """Nothing is enabled on the other one, unless the old one is known to be down; that is a failover, and said so."""
    wanted = enabled(pair.master)
    master_dies_half_disabled(pair, monkeypatch)
    with untouched(pair.slave), pytest.raises(NotYet):
        pair.resume()
    pair.advance(seconds=150)
    event = pair.resume(down=Down(pair.now() - timedelta(seconds=20)))
    assert (event["kind"], event["alert"], event["fencing"]["result"]) == ("switchover", "failover", "unconfirmed")
    assert "make sure that the master is off" in event["next_step"]
    assert 60 < sum(passing_time) <= 65  # what the master may have run last does not run again
    assert enabled(pair.slave) == wanted
    assert (pair.record.phase, pair.record.active) == (Phase.FAILED_OVER, Role.SLAVE)


@pytest.mark.usefixtures("passing_time")
def test_a_master_that_is_heard_at_its_last_address_is_not_at_rest(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was down, and is back; its name does not resolve any more, so its jobs cannot be disabled."""
    master_dies_half_disabled(pair, monkeypatch)
    with untouched(pair.slave), pytest.raises(NotYet) as error:
        pair.resume(down=Down(pair.now() - timedelta(minutes=5)), alive=lambda: True)
    assert error.value.code == "old_answers"


@pytest.mark.usefixtures("passing_time")
def test_where_a_fence_is_required_a_master_that_died_half_disabled_is_fenced_first(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(pair.master)
    required = {"fencing": "required"}
    master_dies_half_disabled(pair, monkeypatch)
    down = Down(pair.now() - timedelta(minutes=5))
    with untouched(pair.slave), pytest.raises(Blocked) as error:
        pair.resume(down=down, pair=required)
    assert error.value.code == "not_fenced"
    event = pair.resume(down=replace(down, fenced=True), pair=required, actor="ana")  # and need not wait for a lease
    assert event["fencing"] == {"result": "confirmed", "how": "by the word of ana"}
    assert (event["alert"], "next_step" in event) == ("failover", False)
    assert enabled(pair.slave) == wanted


def test_going_back_what_a_person_has_enabled_on_the_other_server_is_disabled_first(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "disable", kill_the_worker)
        assert dies(run.switch_over)
    act(pair.slave, "enable", *wanted)
    act(pair.master, "start", sorted(enabled(pair.master))[0])
    pair.passed += pair.pair().failover.drain_timeout
    assert pair.resume()["kind"] == "switchover_rolled_back"
    assert settled(pair, wanted) == "master"
    [drift] = [event for event in pair.record.outbox if event["kind"] == "drift"]
    assert (drift["server"], drift["before"], drift["after"]) == ("slave", {"enabled": len(wanted)}, {"enabled": 0})


def test_a_master_that_was_not_seen_at_rest_and_is_back_with_enabled_jobs_is_told_of(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch, passing_time: list[float]
) -> None:
    """The worker that took it to be at rest dies after it has enabled jobs on the slave."""
    wanted = enabled(pair.master)
    master_dies_half_disabled(pair, monkeypatch)
    down = Down(pair.now() - timedelta(minutes=5))
    with monkeypatch.context() as patch:
        at_first(patch, "enable", kill_the_worker)
        assert dies(lambda: pair.resume(down=down))
    pair.master.scheduler.start()
    pair.master.scheduler.clock(mode="manual", now=pair.now().isoformat())
    left = enabled(pair.master)
    assert left
    pair.passed += LEASE
    assert "fencing" not in pair.resume()
    assert settled(pair, wanted) == "slave"
    [quenched] = [event for event in pair.record.outbox if event["kind"] == "quenched"]
    assert (quenched["server"], quenched["before"], quenched["after"]) == (
        "master",
        {"enabled": len(left)},
        {"enabled": 0},
    )


def test_the_old_server_comes_back_and_the_switchover_goes_on(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "disable", pair.master.scheduler.kill)
        with pytest.raises(NotYet):
            run.switch_over()
    pair.master.scheduler.start()
    pair.master.scheduler.clock(mode="manual", now=NOW)
    run.switch_over()
    assert settled(pair, wanted) == "slave"


def test_the_old_server_dies_after_it_was_read_back_disabled(pair: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    assert killed_at_first(run.switch_over, monkeypatch, "enable")
    pair.master.scheduler.kill()
    pair.passed += LEASE
    pair.resume()
    pair.master.scheduler.start()
    assert settled(pair, wanted) == "slave"


def killed_at_first(task: Callable[[], object], monkeypatch: pytest.MonkeyPatch, action: str) -> bool:
    with monkeypatch.context() as patch:
        at_first(patch, action, kill_the_worker)
        return dies(task)


def test_jobs_that_refuse_to_be_disabled_lead_back(pair: SwitchPair) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    project = pair.master.statuses()[0]["projectID"]
    fault = {"kind": "status", "status": 500, "match": {"method": "PUT", "path": f"projects/{project}/jobs/status"}}
    pair.master.webtool.faults(fault)
    with untouched(pair.slave), pytest.raises(Blocked) as error:
        run.switch_over()
    assert error.value.code == "rolled_back"
    assert "still enabled" in str(error.value)
    pair.master.webtool.faults()
    assert settled(pair, wanted) == "master"


def test_jobs_that_refuse_to_be_enabled_are_tried_again(pair: SwitchPair) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    status = next(each for each in pair.slave.statuses() if f"{each['projectName']} / {each['jobName']}" in wanted)
    path = f"projects/{status['projectID']}/jobs/status"
    pair.slave.webtool.faults({"kind": "status", "status": 500, "match": {"method": "PUT", "path": path}})
    with pytest.raises(NotYet) as error:
        run.switch_over()
    assert error.value.code == "not_enabled"
    assert f"{status['projectName']} / {status['jobName']}" in str(error.value)
    assert 0 < len(enabled(pair.slave)) < len(wanted)
    pair.slave.webtool.faults()
    run.switch_over()
    assert settled(pair, wanted) == "slave"


# -- people interfere


def test_a_job_that_vanishes_from_the_other_server_is_reported(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(pair.master)
    gone = sorted(wanted)[0]
    run = pair.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "disable", lambda: delete(pair.slave, gone))
        event = run.switch_over()
    assert event["missing"] == {"jobs": 1, "names": [gone]}
    assert settled(pair, wanted - {gone}) == "slave"


def test_a_job_that_somebody_enables_meanwhile_is_carried_over_too(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(pair.master)
    late = sorted({name for name in _all(pair) if name not in wanted})[0]
    run = pair.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "disable", lambda: act(pair.master, "enable", late))
        run.switch_over()
    assert settled(pair, wanted | {late}) == "slave"


def _all(pair: SwitchPair) -> set[str]:
    return {f"{each['projectName']} / {each['jobName']}" for each in pair.master.statuses()}


def test_a_job_that_somebody_enables_on_the_old_server_after_the_break_is_disabled_again(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    assert killed_at_first(run.switch_over, monkeypatch, "enable")
    act(pair.master, "enable", sorted(_all(pair))[0])
    run.switch_over()
    assert settled(pair, wanted) == "slave"


@pytest.mark.parametrize("operation", ["pause", "halt"])
def test_paused_or_halted_in_the_middle_nothing_is_changed_until_the_end_of_it(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch, operation: Any
) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    assert killed_at_first(run.switch_over, monkeypatch, "disable")
    pair.operate(operation)
    pair.passed += LEASE
    for again in (run.switch_over, pair.resume):
        with untouched(*pair.servers.servers), pytest.raises(Blocked) as error:
            again()
        assert error.value.code == {"pause": "paused", "halt": "halted"}[operation]
    pair.operate("resume" if operation == "pause" else "release")
    pair.resume()
    assert settled(pair, wanted) == "slave"


def test_halted_while_it_works_it_stops(pair: SwitchPair, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()
    with monkeypatch.context() as patch:
        at_first(patch, "disable", lambda: pair.operate("halt"))
        with untouched(pair.slave), pytest.raises(Blocked) as error:
            run.switch_over()
    assert error.value.code == "halted"
    assert pair.record.operation is not None
    assert pair.record.operation.step is Step.DISABLING
    pair.operate("release")
    run.switch_over()
    assert settled(pair, wanted) == "slave"


def test_a_server_that_was_paused_right_before_the_break_is_not_taken_for_disabled(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused, it shows every job DISABLED [D]; resumed later, it would run them beside the other server."""
    wanted = enabled(pair.master)
    run = pair.begin("slave")
    run.check()

    def pause() -> None:
        pair.master.scheduler.control("POST", "/pause", json={"paused": True})

    with monkeypatch.context() as patch:
        Changes(patch, 0, pause)
        with untouched(pair.slave), pytest.raises(Blocked) as error:
            run.switch_over()
    assert error.value.code == "given_up"
    pair.master.scheduler.control("POST", "/pause", json={"paused": False})
    assert settled(pair, wanted) == "master"


def test_in_a_quiet_window_a_job_that_starts_right_before_the_break_ends_the_switchover(
    pair: SwitchPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = enabled(pair.master)
    run = pair.begin("slave", quiet_window=True)
    run.check()
    with monkeypatch.context() as patch:
        Changes(patch, 0, lambda: act(pair.master, "start", sorted(wanted)[0]))
        with untouched(pair.slave), pytest.raises(Blocked) as error:
            run.switch_over()
    assert error.value.code == "given_up"
    assert settled(pair, wanted) == "master"
    pair.advance(seconds=2)
    assert pair.master.scheduler.journal()[-1]["result"] == "COMPLETE"


def test_a_retry_after_the_commit_tells_what_was_done_as_long_as_it_was_not_told(pair: SwitchPair) -> None:
    """So that the tasks after it run: a failback is followed by a sync."""
    pair.switched("slave")
    run = pair.begin("master")
    run.check()
    done = run.switch_over()
    with untouched(*pair.servers.servers):
        assert run.switch_over() == done
        pair.publish()
        with pytest.raises(NothingToDo, match="superseded"):
            run.switch_over()
