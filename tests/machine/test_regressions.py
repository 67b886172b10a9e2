"""Stories that once broke an invariant, told at each call at which a task can fall asleep or die."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from denodo_ha.record import Phase, Role, Step
from support.machine_servers import MASTER, SLAVE
from support.machine_settling import settle
from support.machine_tasks import Fate, Task
from support.machine_world import HOURLY, NEW, World

CALLS = 400
"""More than any of these tasks makes."""


def at_each_call(
    pair: World, story: Callable[[int], Task], fate: Fate = "sleep", *, reads: bool = False, **options: object
) -> None:
    """Tell a story again and again, with its task struck at the next call each time, until it ends before that.

    :param reads: also at calls that only read. A task that is killed there is one that is killed at its next change.
    """
    for number in range(1, CALLS):
        pair.reset(**options)
        pair.strikes_at_reads = reads
        task = story(number)
        pair.rules.step_done()
        settle(pair)
        pair.fail_on_violations()
        struck = task.slept_at >= 0 if fate == "sleep" else task.state == "dead"
        if not struck:
            assert number > 5
            return
    raise AssertionError("the task makes more calls than that")


def _begin(pair: World) -> None:
    pair.network.tick = timedelta(seconds=1)
    pair.sync()
    assert pair.failover().code == "healthy"


def test_a_run_that_halts_does_not_undo_what_a_person_has_done_while_it_looked(pair: World) -> None:
    """Reading two silent servers takes a minute; the record that the run has judged is an old one then."""

    def story(number: int) -> Task:
        _begin(pair)
        pair.keep_copy()
        assert pair.switchover(Role.SLAVE).code == "switchover"
        pair.restore(0)
        task = pair.failover(stop_at=number, fate="sleep")
        pair.operate("initialise", active=Role.SLAVE)
        if task.state == "asleep":
            task.wake()
        record = pair.record
        assert record is not None
        assert (record.phase, record.active, record.epoch) == (Phase.FAILED_OVER, Role.SLAVE, 3)
        return task

    at_each_call(pair, story, reads=True)


def test_a_failover_that_slept_past_its_lease_changes_nothing_any_more(pair: World) -> None:
    """Another run has brought it to its end, a person has stopped the pair, and the master is back."""

    def story(number: int) -> Task:
        _begin(pair)
        pair.network.machines[MASTER].crash()
        task = pair.failover(stop_at=number, fate="sleep")
        pair.pass_time(minutes=3)
        pair.failover()
        pair.network.machines[MASTER].start()
        pair.failover()
        pair.operate("pause")
        return task

    at_each_call(pair, story, reads=True, enable_batch=1)


@pytest.mark.parametrize(
    ("to", "fate", "runs"),
    [(Role.SLAVE, "kill", 7200), (Role.MASTER, "sleep", 7200), (Role.SLAVE, "sleep", 0), (Role.MASTER, "kill", 0)],
)
def test_a_switchover_that_is_cut_short_anywhere_is_brought_to_an_end(
    pair: World, to: Role, fate: Fate, runs: int
) -> None:
    """:param runs: seconds that a job runs meanwhile; longer than it is waited for, if it comes to that."""

    def story(number: int) -> Task:
        _begin(pair)
        if to is Role.MASTER:
            pair.switchover(Role.SLAVE)
        if runs:
            pair.network.machines[MASTER if to is Role.SLAVE else SLAVE].run(HOURLY, runs)
        task = pair.switchover(to, stop_at=number, fate=fate, stop=True)
        pair.pass_time(minutes=3)
        pair.failover()
        return task

    at_each_call(pair, story, fate, **{"failover.drain_timeout": "4s"})


def test_a_switchover_that_goes_on_without_its_master_is_told_of_as_a_failover(pair: World) -> None:
    """Half its jobs are enabled still when it dies; when it is back they run beside the slave's, which is named."""
    for number in range(15, CALLS):
        pair.reset()
        _begin(pair)
        pair.switchover(Role.SLAVE, stop_at=number)
        if pair.record and pair.record.operation and pair.record.operation.step is Step.DISABLING:
            break
    pair.network.machines[MASTER].crash()
    pair.pass_time(minutes=3)
    assert pair.failover().code == "resume"
    assert pair.rules.history[-1]["fencing"]["result"] == "unconfirmed"
    pair.network.machines[MASTER].start()
    pair.pass_time(hours=1)
    pair.rules.step_done()
    assert pair.failover().code == "quench"
    pair.fail_on_violations()
    assert pair.rules.counts["double runs named"]


@pytest.mark.parametrize("sealed", [False, True], ids=["written", "imported"])
def test_a_sync_that_is_cut_short_anywhere_leaves_nothing_enabled(pair: World, sealed: bool) -> None:
    def story(number: int) -> Task:
        pair.network.machines[MASTER].create(NEW[0], "0 0 * * * ?", sealed=sealed)
        pair.network.tick = timedelta(seconds=1)
        task = pair.sync(stop_at=number, fate="kill")
        pair.sync()
        assert not pair.network.machines[SLAVE].enabled
        return task

    at_each_call(pair, story, "kill")


@pytest.mark.parametrize("ahead", [-3, 0, 3])
@pytest.mark.parametrize("after", [50, *range(57, 65)])
def test_a_switchover_right_after_an_execution_does_not_repeat_it(pair: World, after: int, ahead: int) -> None:
    """A trigger that is resumed within a minute after its time fires, by the clock of the server that resumes it."""
    pair.reset(ahead=timedelta(seconds=ahead))
    pair.sync()
    pair.network.tick = timedelta(seconds=0.02)
    _pass_time_until_seven(pair, timedelta(seconds=after))
    assert pair.switchover(Role.SLAVE).code == "switchover"
    assert HOURLY in pair.network.machines[SLAVE].enabled
    pair.rules.step_done()
    pair.fail_on_violations()


def test_a_failover_that_slept_before_it_began_does_not_begin_with_what_it_saw_then(pair: World) -> None:
    def story(number: int) -> Task:
        _begin(pair)
        pair.network.machines[MASTER].crash()
        task = pair.failover(stop_at=number, fate="sleep")
        pair.pass_time(minutes=10)
        if task.state == "asleep":
            task.wake()
        return task

    at_each_call(pair, story, reads=True)


@pytest.mark.parametrize("sealed", [False, True], ids=["written", "imported"])
def test_a_sync_shortly_before_an_execution_does_not_repeat_it(pair: World, sealed: bool) -> None:
    """An import wakes the job on the slave for a moment."""
    for seconds in range(4, 40):
        pair.reset()
        pair.sync()
        pair.network.machines[MASTER].create(NEW[0], "0 0 * * * ?", sealed=sealed)
        _pass_time_until_seven(pair, timedelta(seconds=-seconds))
        pair.network.tick = timedelta(seconds=1)
        pair.sync()
        pair.pass_time(minutes=1)
        pair.rules.step_done()
        pair.fail_on_violations()


def _pass_time_until_seven(pair: World, more: timedelta) -> None:
    seven = pair.network.now.replace(hour=7, minute=0, second=0, microsecond=0)
    pair.pass_time(seconds=(seven + more - pair.network.now).total_seconds())
