"""A worker that is stopped anywhere, and goes on when another one has done its work, changes nothing any more.

The workers are processes that stop themselves by SIGSTOP. Meanwhile more time passes than the lease and the heartbeat
timeout. ``DENODO_HA_MACHINE=long`` stops them at more points, on S3 too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, product

import pytest

from denodo_ha.record import Phase, Role
from stopped_workers.scene import LONG, Scene, ensure_each_runs_once
from support.sync import act, enabled, states
from support.workers import Kind, Moment, Worker

Begin = Callable[..., Scene]


def stops(*sample: tuple[str, Moment]) -> pytest.MarkDecorator:
    """The stops of a test: all of them in the long run, otherwise a few, with the clock that is moved."""
    moments: tuple[Moment, ...] = ("called", "permitted", "saves")
    every = list(product(("on_disk", "on_s3"), (False, True), moments))
    few = [(storage, False, moment) for storage, moment in sample]
    found = every if LONG else few
    ids = [f"{storage}-{'real time' if real else 'moved clock'}-{moment}" for storage, real, moment in found]
    return pytest.mark.parametrize(("storage", "real", "moment"), found, ids=ids)


def each_stop(scene: Scene, kind: Kind, moment: Moment, before: Callable[[], object]) -> Iterator[Worker]:
    """A worker that is stopped at each point of a kind in turn, longer than its lease, until it has no more of them."""
    for number in count():
        if number:
            scene.ready()
        before()
        worker = scene.start(kind, moment, number)
        if not worker.stops():
            assert number, "it has no such point"
            return
        scene.time_passes()
        yield worker


@stops(("on_disk", "permitted"))
def test_a_sync_after_a_failover(begin: Begin, storage: str, real: bool, moment: Moment) -> None:
    scene = begin(storage, real=real)
    failed_over = 0
    for sync in each_stop(scene, "sync", moment, scene.edit):
        epoch = scene.record.epoch
        scene.master_is_silent()
        code = scene.done("failover")
        scene.master_is_back()
        changes = scene.changes()
        sync.go_on()
        end = sync.ended()
        if code == "fail_over":
            failed_over += 1
            changes.assert_none()
            assert "superseded" in end
            assert enabled(scene.pair.slave) == scene.in_step
            record = scene.record
            assert (record.phase, record.active, record.epoch) == (Phase.FAILED_OVER, Role.SLAVE, epoch + 1)
            ensure_each_runs_once(scene.pair, scene.pair.slave)
        else:
            assert not enabled(scene.pair.slave), end
            assert (scene.record.phase, scene.record.epoch) == (Phase.NORMAL, epoch)
    assert failed_over


@stops(("on_disk", "called"))
def test_a_sync_after_another_sync(begin: Begin, storage: str, real: bool, moment: Moment) -> None:
    scene = begin(storage, real=real)
    for sync in each_stop(scene, "sync", moment, scene.edit):
        scene.edit()
        assert scene.done("sync") == "committed"
        snapshot, changes = scene.record.snapshot_id, scene.changes()
        sync.go_on()
        assert "superseded" in sync.ended()
        assert scene.record.snapshot_id == snapshot
        assert changes.requested(scene.pair.master) == []
        assert not enabled(scene.pair.slave)
        assert len(states(scene.pair.slave)) == len(states(scene.pair.master))
        told = [what for what in changes.requested(scene.pair.slave) if not what.endswith("/jobs/status")]
        assert told == [], "it may disable what its own import has woken, and no more"


@stops(("on_disk", "called"), ("on_disk", "permitted"), ("on_s3", "permitted"))
def test_a_failover_after_another_one(begin: Begin, storage: str, real: bool, moment: Moment) -> None:
    scene = begin(storage, real=real)
    for failover in each_stop(scene, "failover", moment, scene.master_is_silent):
        assert scene.done("failover") in ("fail_over", "resume")
        scene.master_is_back()
        assert enabled(scene.pair.slave) == scene.wanted
        act(scene.pair.slave, "disable", min(scene.wanted))  # by a person
        changes = scene.changes()
        failover.go_on()
        assert failover.ended() in ("superseded", "interrupted")
        changes.assert_none()
        assert (scene.record.phase, scene.record.active) == (Phase.FAILED_OVER, Role.SLAVE)
        ensure_each_runs_once(scene.pair, scene.pair.slave)


@stops(("on_disk", "called"), ("on_disk", "permitted"))
def test_a_switchover_after_it_was_resumed(begin: Begin, storage: str, real: bool, moment: Moment) -> None:
    scene = begin(storage, real=real)
    for switchover in each_stop(scene, "switchover", moment, lambda: None):
        done = scene.done("resume" if scene.record.operation else "switchover")
        assert done in ("switchover", "switchover_given_up", "switchover_rolled_back")
        changes = scene.changes()
        switchover.go_on()
        assert switchover.ended() in ("superseded", "interrupted")
        changes.assert_none()
        active, passive = scene.pair.slave, scene.pair.master
        if done != "switchover":
            active, passive = passive, active
        assert (enabled(active), enabled(passive)) == (scene.wanted, set())
        assert scene.record.active == active.name
        ensure_each_runs_once(scene.pair, *scene.pair.servers.servers)


@pytest.mark.parametrize("storage", ["on_disk", "on_s3"])
@pytest.mark.parametrize("other", ["failover", "switchover"])
def test_two_workers_for_one_version(begin: Begin, storage: str, other: Kind) -> None:
    """A sync is about to save its first change, and another worker has just saved its intent as the same version."""
    scene = begin(storage)
    epoch = scene.record.epoch
    if other == "failover":
        scene.edit()
    sync = scene.start("sync", "saves")
    assert sync.stops()
    if other == "failover":
        scene.master_is_silent()
    overtakes = scene.start(other, "saved")
    assert overtakes.stops()
    scene.master_is_back()
    sync.go_on()
    end = sync.ended()
    if other == "failover":
        scene.master_is_silent()
    overtakes.go_on()
    overtakes.ended()
    assert (scene.record.epoch, scene.record.active) == (epoch + 1, Role.SLAVE)
    assert enabled(scene.pair.slave) == scene.in_step
    assert "superseded" in end
