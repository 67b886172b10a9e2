"""What a failover enables on the slave, in which order, and what it says about it."""

from __future__ import annotations

from typing import Any

import pytest

from denodo_ha.record import Phase, Role
from denodo_ha.verdict import Verdict
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.failover import Failover, known
from support.sync import NIGHTLY, Books, act, add_job, delete, enabled, status_of

ODD = [
    ("Ventas/España", "日次 ☃ 集計"),
    ("Ventas/España", "a/b\\c ? & # %2F"),
    ("SALES", "straße"),
    ("Other", "LOAD"),
    ("Other", "x" * 200),
]
ON_PURPOSE = {"Ventas/España / a/b\\c ? & # %2F", "Other / LOAD"}


def test_a_master_whose_scheduler_dies_is_replaced_and_quenched_when_it_comes_back(failover: Failover) -> None:
    """The whole story, with processes that really die (F02, F16)."""
    wanted = enabled(failover.master)
    assert len(wanted) == 9
    assert failover.run().code == "healthy"
    failover.master.scheduler.kill()
    event = failover.run(actor="watch").done
    assert enabled(failover.slave) == wanted
    assert (failover.record.phase, failover.record.active, failover.record.epoch) == ("failed_over", "slave", 2)
    assert failover.record.operation is None
    assert (event["enabled"], event["failed"]["jobs"], event["missing"]["jobs"]) == (9, 0, 0)
    assert failover.run().code == "failed_over"
    failover.master.scheduler.start()
    assert enabled(failover.master) == wanted, "the stand-in keeps its state on disk"
    assert failover.run().code == "quench"
    assert enabled(failover.master) == set()
    assert enabled(failover.slave) == wanted
    assert failover.run().code == "master_back"
    assert failover.story == ["failover_begun", "failover", "quenched"]


def test_each_change_leaves_one_event_that_says_who_and_from_what_to_what(failover: Failover) -> None:
    with failover.silent_master():
        failover.run(fail_over=True, actor="ana", reason="fire in the data centre", run_id="manual__1")
    begun, done = failover.record.outbox
    assert failover.record.last_promotion
    assert {event["operation"] for event in (begun, done)} == {failover.record.last_promotion.id}
    assert begun["operation"].startswith("manual__1/")
    for event in (begun, done):
        assert (event["actor"], event["reason"]) == ("ana", "fire in the data centre")
        assert (event["epoch"], event["pair"]) == (2, "test")
    assert begun["before"] == {"phase": "normal", "active": "master", "epoch": 1}
    assert begun["after"] == {"phase": "failing_over", "active": "master"}
    assert done["before"] == {"phase": "normal", "active": "master"}
    assert done["after"] == {"phase": "failed_over", "active": "slave", "complete": True}
    assert done["snapshot"] == failover.record.snapshot_id
    assert done["fencing"]["result"] == "unconfirmed"
    assert len({event["id"] for event in (begun, done)}) == 2


def test_exactly_what_was_enabled_on_the_master_is_enabled_on_the_slave(unsynced: Failover) -> None:
    """Not what was disabled on purpose, orphans, jobs that exist on the slave only, or those out of scope (F24)."""
    pair = unsynced
    for project, name in ODD:
        add_job(pair.master, project, name)
    act(pair.master, "disable", *ON_PURPOSE)
    pair.options["projects"] = pair.sync.options["projects"] = ["ventas*", "sales", "other", "finance", "default"]
    add_job(pair.slave, "Treasury", "not ours", disabled=True)
    add_job(pair.slave, "Treasury", "not ours either")
    pair.sync.synced()
    add_job(pair.master, "Finance", "newer than the snapshot")
    add_job(pair.slave, "Finance", "on the slave only", disabled=True)
    wanted = {name for name in enabled(pair.master) if name != "Finance / newer than the snapshot"}
    assert len(wanted) > len(ODD)
    assert wanted & ON_PURPOSE == set()
    with pair.silent_master():
        event = pair.run().done
    assert enabled(pair.slave) == {*wanted, "Treasury / not ours either"}
    assert event["enabled"] == len(wanted)
    assert "Treasury / not ours" in known(pair.slave)
    assert pair.run().code == "quench", "it reads, as all else does, only what is in scope"


def test_an_orphan_of_the_slave_stays_disabled(failover: Failover) -> None:
    """It was enabled on the master in an earlier snapshot."""
    gone = sorted(enabled(failover.master))[0]
    delete(failover.master, gone)
    failover.sync.synced()
    wanted = enabled(failover.master)
    assert gone in known(failover.slave)
    with failover.silent_master():
        failover.run()
    assert enabled(failover.slave) == wanted


def test_jobs_that_the_slave_does_not_have_are_named(failover: Failover) -> None:
    wanted = enabled(failover.master)
    gone = sorted(wanted)[:2]
    for name in gone:
        delete(failover.slave, name)
    with failover.silent_master():
        event = failover.run().done
    assert event["missing"] == {"jobs": 2, "names": gone}
    assert (event["enabled"], enabled(failover.slave)) == (7, wanted - set(gone))
    assert event["after"]["complete"], "nothing is left that could be tried again"


@pytest.mark.parametrize("batch", [1, 20], ids=["one by one", "in one request"])
def test_a_job_is_enabled_before_those_that_it_waits_for(unsynced: Failover, batch: int) -> None:
    """C waits for B, B for A; so that each hears of the end of the one before (F25)."""
    pair = unsynced
    awaited: int | None = None
    for name in "ABC":
        trigger: dict[str, Any] = {"type": "cron", "cronExpression": NIGHTLY}
        if awaited:
            trigger["dependencyInfo"] = {"jobIDs": [awaited], "executeAnyway": False}
        add_job(pair.master, "chain", name, triggerSection={"triggers": [trigger]})
        awaited = status_of(pair.master, f"chain / {name}")["jobID"]
    pair.sync.synced()
    slave = Books(pair.slave)
    with pair.silent_master():
        pair.run(pair={"enable_batch": batch})
    assert [entry["job"] for entry in slave.audit if entry["project"] == "chain"] == ["C", "B", "A"]


def test_the_slave_is_told_in_batches_that_grow_and_looks_come_before_each(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    send = DenodoSchedulerHook.set_jobs_status

    def watched(hook: DenodoSchedulerHook, action: str, keys: list[object], **rest: object) -> int:
        told.append(f"{action} {len(keys)}")
        return send(hook, action, keys, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(DenodoSchedulerHook, "set_jobs_status", watched)
    with failover.silent_master():
        failover.run(at_look=lambda number: told.append(f"look {number}"))
    assert told == ["look 0", "look 1", "enable 2", "look 2", "enable 4", "look 3", "enable 3"]


# -- the master comes back meanwhile (F16)


@pytest.mark.parametrize("look", [0, 1], ids=["at the last look", "right before the first batch"])
def test_a_master_heard_before_the_first_job_was_enabled_ends_the_failover(failover: Failover, look: int) -> None:
    slave, master = Books(failover.slave), Books(failover.master)
    failover.silence()
    out = failover.run(at_look=lambda number: failover.wake() if number == look else None)
    slave.assert_untouched()
    master.assert_untouched()
    assert out.code == "given_up"
    assert (failover.record.phase, failover.record.active, failover.record.epoch) == ("normal", "master", 2)
    assert failover.record.operation is None
    begun, given_up = failover.record.outbox
    assert given_up["kind"] == "failover_given_up"
    assert (given_up["before"]["phase"], given_up["after"]["phase"]) == ("failing_over", "normal")
    assert given_up["operation"] == begun["operation"]
    assert failover.run().code == "healthy"


def test_a_master_heard_after_the_first_batch_is_quenched_before_the_next_one(failover: Failover) -> None:
    """From there on only forward: a job may have run on the slave already."""
    wanted = enabled(failover.master)
    between: list[tuple[int, int]] = []

    def look(number: int) -> None:
        if number == 2:
            failover.wake()
        if number > 1:
            between.append((len(enabled(failover.master)), len(enabled(failover.slave))))

    failover.silence()
    event = failover.run(at_look=look).done
    assert between == [(9, 2), (0, 6)]
    assert (enabled(failover.master), enabled(failover.slave)) == (set(), wanted)
    assert event["quenched"] == 9
    assert failover.story == ["failover_begun", "quenched", "failover"]
    assert failover.record.outbox[1]["operation"] == event["operation"]


def test_a_master_that_is_heard_midway_and_cannot_be_quenched_is_split_brain(failover: Failover) -> None:
    """Over neither path; what is left of the failover waits, and goes on once the master lets itself be quenched."""
    wanted = enabled(failover.master)
    refuses = {
        "kind": "status",
        "status": 500,
        "match": {"method": "PUT", "query": str(failover.master.scheduler.port)},
    }

    def look(number: int) -> None:
        if number == 2:
            failover.master.webtool.faults(refuses)
            failover.slave.webtool.faults(refuses)

    failover.silence()
    out = failover.run(at_look=look, run_id="watch-1")
    assert out.code == "split_brain"
    assert "stop the master's Scheduler" in str(out.error)
    assert len(enabled(failover.slave)) == 2, "no further job is enabled"
    assert failover.record.phase is Phase.FAILING_OVER
    assert failover.run(run_id="watch-1").code == "split_brain", "its retry need not wait for the lease"
    assert len(enabled(failover.slave)) == 2
    failover.wake()
    failover.run(run_id="watch-1")
    assert (enabled(failover.master), enabled(failover.slave)) == (set(), wanted)
    assert failover.record.active is Role.SLAVE


def test_a_master_whose_web_tool_is_dead_is_quenched_over_the_second_path(failover: Failover) -> None:
    """Its Scheduler comes back before its web tool does."""
    wanted = enabled(failover.master)
    with failover.silent_master():
        failover.run()
    failover.master.webtool.kill()
    out = failover.run()
    assert (out.judgement.verdict, out.code) == (Verdict.CONTROL_PATH_BROKEN, "quench")
    assert failover.run().code == "control_path_broken"
    failover.master.webtool.start()
    assert (enabled(failover.master), enabled(failover.slave)) == (set(), wanted)
    assert failover.record.outbox[-1]["before"] == {"enabled": 9}
