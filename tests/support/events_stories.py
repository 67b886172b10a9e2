"""What can happen to a pair, told so that a worker can be killed in the middle of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from airflow.providers.standard.operators.hitl import ApprovalOperator

from denodo_ha.record import Role
from denodo_scheduler.steps import passive
from support.events_world import LEASES, EventWorld
from support.machine_servers import SLAVE
from support.machine_world import HALF, HOURLY, NEW, OFTEN

Telling = Iterator[None]
"""Before its first ``yield`` a story prepares the pair; what comes next is cut short, up to a second one."""
Story = Callable[[EventWorld], Telling]


class Told(NamedTuple):
    """:param kinds: of the events of the story when nobody is killed, in their order."""

    story: Story
    kinds: tuple[str, ...]
    options: dict[str, Any]


STORIES: dict[str, Told] = {}
CRON = "0 15 * * * ?"
EVERY_SECOND = "* * * * * ?"
IMPORT, WRITE = "after POST serverMetadata/import", "after POST projects/#/jobs"
STATUS = "after PUT projects/#/jobs/status"
"""Moments of a worker: see :class:`support.events_world.Strike`."""


def story(*kinds: str, **options: Any) -> Callable[[Story], Story]:
    def keep(made: Story) -> Story:
        STORIES[made.__name__] = Told(made, kinds, options)
        return made

    return keep


def drift(pair: EventWorld) -> None:
    """A person enables jobs on the slave."""
    pair.slave.set_enabled(HOURLY, True)
    pair.slave.set_enabled(OFTEN, True)


def master_changed(pair: EventWorld, *, sealed: bool = False) -> None:
    """:param sealed: the new job has a secret, so it has to be imported."""
    pair.ready()
    pair.master.create(NEW[0], CRON, sealed=sealed)


def master_down(pair: EventWorld) -> None:
    pair.ready()
    pair.master.crash()


def failed_over(pair: EventWorld) -> None:
    master_down(pair)
    pair.watched()


def killed_import(pair: EventWorld) -> None:
    master_changed(pair, sealed=True)
    pair.dies_in(pair.synced, IMPORT)


def edited_after_a_failover(pair: EventWorld) -> None:
    failed_over(pair)
    pair.master.start()
    pair.watched()
    pair.slave.create(NEW[0], CRON, sealed=True)
    pair.slave.create(NEW[1], CRON)


@story("initialised", "sync")
def first_sync(pair: EventWorld) -> Telling:
    yield
    pair.synced()


@story("sync")
def sync_with_a_change(pair: EventWorld) -> Telling:
    master_changed(pair)
    yield
    pair.synced()


@story("sync")
def sync_with_a_secret(pair: EventWorld) -> Telling:
    master_changed(pair, sealed=True)
    yield
    pair.synced()


@story("sync")
def sync_that_leaves_a_job_pending(pair: EventWorld) -> Telling:
    pair.ready()
    pair.master.create(NEW[0], EVERY_SECOND, sealed=True)
    pair.master.create(NEW[1], CRON)
    yield
    pair.synced()


@story("sync")
def reprotect(pair: EventWorld) -> Telling:
    edited_after_a_failover(pair)
    yield
    pair.synced(reprotect=True)


@story("switchover_begun", "failback")
def failback_after_a_reprotect(pair: EventWorld) -> Telling:
    edited_after_a_failover(pair)
    pair.synced(reprotect=True)
    yield
    pair.switched(Role.MASTER)


@story("repaired", "sync")
def reprotect_after_a_killed_one(pair: EventWorld) -> Telling:
    edited_after_a_failover(pair)
    pair.dies_in(pair.synced, IMPORT, reprotect=True)
    pair.network.advance(LEASES)
    yield
    pair.synced(reprotect=True)


@story("sync")
def sync_of_nothing_new(pair: EventWorld) -> Telling:
    pair.ready()
    yield
    pair.synced()


@story("drift", "sync")
def sync_that_finds_drift(pair: EventWorld) -> Telling:
    pair.ready()
    drift(pair)
    yield
    pair.synced()


@story("drift", "sync")
def sync_that_finds_drift_which_stays_for_a_while(pair: EventWorld) -> Telling:
    pair.ready()
    drift(pair)
    pair.refuse(pair.slave, "disable", HOURLY, times=passive.ROUNDS + 1)
    pair.refuse(pair.slave, "disable", OFTEN, times=passive.ROUNDS + 1)
    yield
    pair.synced()


@story("initialised", "sync", orphans="delete")
def sync_that_deletes_orphans(pair: EventWorld) -> Telling:
    yield
    pair.synced()


@story("repaired", "sync")
def sync_after_a_killed_import(pair: EventWorld) -> Telling:
    killed_import(pair)
    pair.network.advance(LEASES)
    yield
    pair.synced()


@story("repaired", "sync")
def sync_after_a_killed_write(pair: EventWorld) -> Telling:
    master_changed(pair)
    pair.dies_in(pair.synced, WRITE)
    pair.network.advance(LEASES)
    yield
    pair.synced()


@story("repaired", "sync")
def sync_while_a_killed_import_is_in_flight(pair: EventWorld) -> Telling:
    killed_import(pair)
    yield
    pair.synced()


@story("problem")
def sync_whose_import_is_not_answered(pair: EventWorld) -> Telling:
    master_changed(pair, sealed=True)
    pair.network.lose_answer.add(SLAVE)
    yield
    pair.synced()


@story("problem")
def sync_whose_verification_fails(pair: EventWorld) -> Telling:
    master_changed(pair)
    yield
    pair.synced(between={"verify": partial(pair.slave.delete, HALF)})


@story("problem", "sync")
def sync_that_finds_the_monitor_stopped(pair: EventWorld) -> Telling:
    pair.ready()
    pair.pass_time(hours=2)
    yield
    pair.synced()


@story("problem", "problem")
def sync_that_fails_and_finds_the_monitor_stopped(pair: EventWorld) -> Telling:
    pair.ready()
    pair.pass_time(hours=2)
    pair.slave.tool_up = False
    yield
    pair.synced()


@story("failover_begun", "failover", enable_batch=1)
def failover(pair: EventWorld) -> Telling:
    master_down(pair)
    yield
    pair.watched()


@story("failover_begun", "failover_given_up")
def failover_given_up(pair: EventWorld) -> Telling:
    master_down(pair)
    yield
    pair.watched(between={"enable_jobs": pair.master.start})


@story("failover_given_up")
def failover_given_up_by_the_next_run(pair: EventWorld) -> Telling:
    master_down(pair)
    pair.dies_in(pair.watched, "after the record is saved")
    pair.master.start()
    pair.network.advance(LEASES)
    yield
    pair.watched()


@story("failover_begun", "failover", enable_batch=1)
def failover_resumed(pair: EventWorld) -> Telling:
    master_down(pair)
    pair.dies_in(pair.watched, STATUS, number=2)
    pair.network.advance(LEASES)
    yield
    pair.watched()


@story("failover_begun", "quenched", "failover", enable_batch=1)
def failover_resumed_with_the_master_back(pair: EventWorld) -> Telling:
    master_down(pair)
    pair.dies_in(pair.watched, STATUS)
    pair.master.start()
    pair.network.advance(LEASES)
    yield
    pair.watched()


@story("failover_begun", "failover", fencing="required", fence="support.events_world.fence")
def failover_with_a_fence(pair: EventWorld) -> Telling:
    master_down(pair)
    yield
    pair.watched()


@story("failover_begun", "failover_given_up", "problem", fencing="required", fence="support.events_world.broken_fence")
def failover_without_its_fence(pair: EventWorld) -> Telling:
    master_down(pair)
    yield
    pair.watched()
    pair.master.start()


@story("failover_begun", "failover")
def failover_of_which_a_job_is_left(pair: EventWorld) -> Telling:
    master_down(pair)
    pair.refuse(pair.slave, "enable", HALF)
    yield
    pair.watched()


@story("completed")
def failover_completed(pair: EventWorld) -> Telling:
    master_down(pair)
    pair.refuse(pair.slave, "enable", HALF)
    pair.watched()
    pair.restart(pair.slave)
    yield
    pair.watched()


@story("approval_asked", "approved", "failover_begun", "failover", failover="approval")
def failover_approved(pair: EventWorld) -> Telling:
    master_down(pair)
    yield
    pair.watched()
    pair.watched()


@story("approval_asked", "rejected", failover="approval")
def failover_rejected(pair: EventWorld) -> Telling:
    master_down(pair)
    pair.airflow.answer = ApprovalOperator.REJECT
    yield
    pair.watched()


@story("quenched")
def master_comes_back(pair: EventWorld) -> Telling:
    failed_over(pair)
    pair.master.start()
    yield
    pair.watched()


@story("quenched")
def master_comes_back_and_stays_enabled_for_a_while(pair: EventWorld) -> Telling:
    failed_over(pair)
    pair.master.start()
    for key in (HOURLY, OFTEN):
        pair.refuse(pair.master, "disable", key, times=passive.ROUNDS + 1)
    yield
    pair.watched()


@story("drift")
def watch_finds_drift(pair: EventWorld) -> Telling:
    pair.ready()
    drift(pair)
    yield
    pair.watched()


@story("drift", "drift")
def watch_finds_the_same_drift_twice(pair: EventWorld) -> Telling:
    pair.ready()
    drift(pair)
    yield
    pair.watched()
    yield
    pair.network.advance(LEASES)
    pair.watched()
    drift(pair)
    pair.watched()


@story("repaired")
def watch_finds_a_killed_import(pair: EventWorld) -> Telling:
    killed_import(pair)
    pair.network.advance(LEASES)
    yield
    pair.watched()


@story("halted")
def watch_finds_a_switchover_that_was_undone_by_hand(pair: EventWorld) -> Telling:
    pair.ready()
    pair.switched(Role.SLAVE)
    for key in set(pair.slave.enabled):
        pair.slave.set_enabled(key, False)
        pair.master.set_enabled(key, True)
    yield
    pair.watched()


@story("problem", "recovered")
def watch_finds_a_problem_that_ends(pair: EventWorld) -> Telling:
    pair.ready()
    pair.slave.crash()
    yield
    pair.watched()
    pair.slave.start()
    pair.watched()


@story("switchover_begun", "switchover")
def switchover(pair: EventWorld) -> Telling:
    pair.ready()
    yield
    pair.switched(Role.SLAVE)


@story("switchover_begun", "failback")
def failback(pair: EventWorld) -> Telling:
    pair.ready()
    pair.switched(Role.SLAVE)
    yield
    pair.switched(Role.MASTER)


@story("problem")
def switchover_refused(pair: EventWorld) -> Telling:
    pair.ready()
    drift(pair)
    yield
    pair.switched(Role.SLAVE)


@story("switchover_begun", "switchover_rolled_back", "problem")
def switchover_rolled_back(pair: EventWorld) -> Telling:
    pair.ready()
    pair.refuse(pair.master, "disable", HOURLY)
    yield
    pair.switched(Role.SLAVE)


@story("switchover_begun", "switchover")
def switchover_while_a_job_runs(pair: EventWorld) -> Telling:
    pair.ready()
    pair.master.run(HOURLY, seconds=20)
    yield
    pair.switched(Role.SLAVE)


@story("switchover_begun", "switchover_stops", "switchover")
def switchover_that_stops_a_job(pair: EventWorld) -> Telling:
    pair.ready()
    pair.master.run(HOURLY, seconds=7200)
    yield
    pair.switched(Role.SLAVE, drain_timeout=10, at_drain_timeout="stop_them")


@story("switchover_begun", "switchover_rolled_back", "problem")
def switchover_that_waits_in_vain(pair: EventWorld) -> Telling:
    pair.ready()
    pair.master.run(HOURLY, seconds=7200)
    yield
    pair.switched(Role.SLAVE, drain_timeout=10)


@story("switchover_begun", "switchover_given_up")
def switchover_given_up_by_the_watch(pair: EventWorld) -> Telling:
    pair.ready()
    pair.dies_in(pair.switched, "after the record is saved", Role.SLAVE)
    pair.network.advance(LEASES)
    yield
    pair.watched()


@story("switchover_begun", "switchover")
def switchover_resumed_by_the_watch(pair: EventWorld) -> Telling:
    pair.ready()
    pair.dies_in(pair.switched, STATUS, Role.SLAVE)
    pair.network.advance(LEASES)
    yield
    pair.watched()


@story("switchover_begun", "switchover_rolled_back")
def switchover_rolled_back_by_the_watch(pair: EventWorld) -> Telling:
    pair.ready()
    pair.dies_in(pair.switched, STATUS, Role.SLAVE)
    pair.network.advance(LEASES)
    pair.slave.crash()
    yield
    pair.watched()
    pair.slave.start()


@story("paused")
def pause(pair: EventWorld) -> Telling:
    pair.ready()
    yield
    pair.operated("pause")


@story("resumed")
def resume(pair: EventWorld) -> Telling:
    pair.ready()
    pair.operated("pause")
    yield
    pair.operated("resume")


@story("acknowledged")
def acknowledge(pair: EventWorld) -> Telling:
    failed_over(pair)
    yield
    pair.operated("acknowledge")


@story("halted")
def halt(pair: EventWorld) -> Telling:
    pair.ready()
    yield
    pair.operated("halt")


@story("released")
def release(pair: EventWorld) -> Telling:
    pair.ready()
    pair.operated("halt")
    yield
    pair.operated("release")


@story("initialised")
def initialise(pair: EventWorld) -> Telling:
    pair.ready()
    yield
    pair.operated("initialise", active="master")
