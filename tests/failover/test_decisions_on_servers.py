"""What each run decides, by faults between the machines and by what is known of the pair; nothing is changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from denodo_demo.slowness import allow
from denodo_ha.decisions import DECISIONS, Action, Alert
from denodo_ha.record import Phase, Role, Step, begin_import
from denodo_ha.verdict import Verdict
from denodo_scheduler.steps.outcome import Blocked
from denodo_scheduler.steps.sync import deliver
from support.failover import Failover, known
from support.sync import act, add_job, enabled, untouched
from support.timeouts import ANSWERED, SILENT

AT = "2026-03-01T00:00:00Z"
LATER = "2026-03-02T09:00:00Z"
APPROVAL = {"failover": "approval"}

HALT = {"since": AT, "code": "by_hand", "reason": "a test", "by": "ana", "phase": "normal"}


def refused(failover: Failover, *, verdict: Verdict = Verdict.DOWN, **asked: Any) -> str:
    """The code of a run that may change neither server nor the record; a blocked one says what to do next."""
    record = dict(failover.sync.state.values)
    with untouched(failover.master, failover.slave):
        out = failover.run(evidence=failover.seen(verdict), **asked)
    assert failover.sync.state.values == record
    assert out.event is None
    if out.judgement.decision.action is Action.BLOCKED:
        assert isinstance(out.error, Blocked)
        assert str(out.error).startswith(f"[{out.code}] ")
        assert "Next: " in str(out.error)
        assert out.judgement.decision.alert, "somebody has to hear of it"
    return out.code


# -- what is heard


FAILS = {"kind": "status", "status": 500}


@pytest.mark.parametrize(
    ("master", "slave", "verdict", "code"),
    [
        ([{"kind": "cut_before"}], [], "control_path_broken", "control_path_broken"),
        ([FAILS], [], "control_path_broken", "control_path_broken"),
        ([{"kind": "hang"}], [], "control_path_broken", "control_path_broken"),
        ([{"kind": "status", "status": 401}], [], "control_path_broken", "control_path_broken"),
        ([{"kind": "status", "status": 401}], [FAILS], "misconfigured", "misconfigured"),
        ([{"kind": "status", "status": 404}], [FAILS], "misconfigured", "misconfigured"),
        ([{"kind": "html"}], [FAILS], "misconfigured", "misconfigured"),
        ([{"kind": "latency", "seconds": 0.1}], [], "up", "healthy"),
        ([{"kind": "cut_before"}], [{"kind": "cut_before"}], "isolated", "isolated"),
        ([{"kind": "cut_before"}], [FAILS], "unknown", "one_path"),
        ([{**FAILS, "times": 2}], [{**FAILS, "times": 4}], "up", "healthy"),
    ],
    ids=[
        "F01 web tool dead",
        "F04 5xx on one path",
        "F03 web tool hangs",
        "F05 login refused, and seen on the second path",
        "F05 login refused",
        "F05 not found",
        "F05 login page",
        "F06 slow, under the deadline",
        "F07 nothing is reachable",
        "second path does not work",
        "F04 one failure too few",
    ],
)
def test_this_is_no_failover(
    failover: Failover, connect: Callable[..., None], master: list[Any], slave: list[Any], verdict: str, code: str
) -> None:
    timeout = SILENT if master[0]["kind"] == "hang" else ANSWERED
    connect(failover.master, extra={"scheduler_uri": failover.master.uri, "timeout": timeout})
    failover.master.webtool.faults(*master)
    failover.slave.webtool.faults(*slave)
    record, slave_jobs = dict(failover.sync.state.values), failover.slave.scheduler.state()["enabled"]
    out = failover.run()
    assert (out.judgement.verdict, out.code) == (verdict, code)
    assert failover.sync.state.values == record
    assert failover.slave.scheduler.state()["enabled"] == slave_jobs == 0


def test_a_web_tool_that_hangs_on_both_paths_and_a_slave_that_lives_are_a_failover(
    failover: Failover, connect: Callable[..., None]
) -> None:
    """What is behind it is dead or cut off (F03, F09)."""
    wanted = enabled(failover.master)
    for server in (failover.master, failover.slave):
        connect(server, extra={"scheduler_uri": server.uri, "timeout": [60, allow(0.25)]})
    hang = {"kind": "hang", "match": {"query": str(failover.master.scheduler.port)}}
    failover.master.webtool.faults(hang)
    failover.slave.webtool.faults(hang)
    out = failover.run()
    assert (out.judgement.verdict, out.code) == (Verdict.DOWN, "fail_over")
    assert out.done["fencing"]["result"] == "unconfirmed"
    assert enabled(failover.slave) == wanted


def test_one_path_is_enough_where_the_pair_says_so(failover: Failover) -> None:
    options = {"second_path": "none"}
    failover.master.webtool.faults({"kind": "cut_before"})
    assert failover.run(pair=options).code == "one_path"
    assert not enabled(failover.slave)
    assert failover.run(pair={**options, "one_path": True}).code == "fail_over"
    assert len(enabled(failover.slave)) == 9


# -- what is known


def test_no_failover_while_a_rule_does_not_hold(failover: Failover) -> None:
    """Each alone; the record is as after a sync but for it."""
    back, record = failover.from_here(), failover.record.to_json()
    pause = {"since": AT, "reason": "upgrade", "by": "ana"}
    sync = {"kind": "sync", "id": "s1", "target": "x", "step": Step.IMPORTING, "started": AT, "lease_until": LATER}
    asked = {"requested_by": "watch", "until": LATER}
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"paused": pause}, {}, "paused_down"),
        ({"paused": {**pause, "until": LATER}}, {}, "paused_down"),
        ({"snapshot": None}, {}, "no_snapshot"),
        ({"dirty": {"since": AT, "reason": "an import was begun"}}, {}, "dirty_snapshot"),
        ({"snapshot": {**record["snapshot"], "taken": AT}}, {}, "stale_snapshot"),
        ({"cool_down_until": LATER}, {}, "cool_down"),
        ({"acknowledged": False}, {}, "not_acknowledged"),
        ({"operation": sync}, {}, "operation_open"),
        ({}, {"fencing": "required"}, "not_fenced"),
        ({}, {"failover": "manual"}, "manual"),
        ({}, APPROVAL, "approve"),
        ({"approval": asked}, APPROVAL, "approval_asked"),
        ({"master": "http://elsewhere //x:8000"}, {}, "servers_changed"),
        ({"slave": "http://elsewhere //x:8000"}, {}, "servers_changed"),
        ({"phase": "halted", "halted": HALT}, {}, "halted"),
    ]
    for changes, options, code in cases:
        failover.sync.tamper({**record, **changes})
        assert refused(failover, pair=options) == code, (changes, options)
        back()


def test_a_rule_that_holds_again_does_not_stand_in_the_way(failover: Failover) -> None:
    pause = {"since": AT, "reason": "upgrade", "by": "ana", "until": "2026-03-02T05:00:00Z"}
    granted = {"requested_by": "watch", "until": LATER, "granted_by": "ana"}
    past = {"cool_down_until": AT, "paused": pause, "approval": granted}
    failover.sync.tamper({**failover.record.to_json(), **past})
    with failover.silent_master():
        assert failover.run(pair=APPROVAL).code == "fail_over"
    assert len(enabled(failover.slave)) == 9
    assert failover.record.approval is None, "an approval holds for one failover"


def test_consents_hold_for_one_run(failover: Failover) -> None:
    """Each makes the failover possible where it was not, and says so for that run only."""
    back = failover.from_here()
    failover.silence()
    for asked, options, code in (
        ({"fail_over": True}, {"failover": "manual"}, "manual"),
        ({"accept_old_snapshot": True}, {"oldest_snapshot": "1h"}, "stale_snapshot"),
        ({"fenced": True}, {"fencing": "required"}, "not_fenced"),
    ):
        failover.sync.passed += timedelta(hours=1, seconds=1)
        out = failover.run(pair=options, actor="ana", reason="I know", **asked)
        assert out.done["actor"] == "ana"
        assert len(enabled(failover.slave)) == 9
        back()
        failover.sync.passed += timedelta(hours=1, seconds=1)
        assert refused(failover, pair=options) == code
        back()
        failover.silence()


def test_a_master_that_flaps_is_failed_over_once_per_cool_down(failover: Failover) -> None:
    """After the failback, and also when somebody has acknowledged it, not before a person or the time allows (F12)."""
    failover.silence()
    failover.run()
    failover.wake()
    act(failover.slave, "disable", *enabled(failover.slave))
    failover.change(phase=Phase.NORMAL, active=Role.MASTER, acknowledged=True)
    assert refused(failover) == "cool_down"
    failover.sync.passed += timedelta(minutes=59)
    assert refused(failover) == "cool_down"
    failover.change(acknowledged=False)
    failover.sync.passed += timedelta(minutes=1)
    assert refused(failover) == "not_acknowledged"
    failover.change(acknowledged=True)
    failover.silence()
    assert failover.run().code == "fail_over"


def test_a_slave_that_cannot_be_reached_or_has_enabled_jobs_is_not_taken(failover: Failover) -> None:
    failover.silence()
    for pattern in ("/jobs/status", ""):
        failover.slave.webtool.faults({"kind": "cut_before", "match": {"path": pattern}})
        assert failover.run(evidence=failover.seen()).code == "slave_unreachable"
    failover.wake()
    act(failover.slave, "enable", sorted(enabled(failover.master))[0])
    assert refused(failover) == "slave_may_be_active"


def test_a_snapshot_whose_files_are_gone_is_not_promoted(failover: Failover) -> None:
    assert failover.record.snapshot_id
    shutil.rmtree(failover.sync.folder / "test" / failover.record.snapshot_id)
    failover.silence()
    out = failover.run()
    assert out.code == "snapshot_missing"
    assert "it is not known which jobs were enabled" in str(out.error)
    assert (failover.record.phase, failover.record.epoch) == (Phase.NORMAL, 1)
    failover.wake()
    assert not enabled(failover.slave)


# -- the record (F28)


def test_without_a_record_nothing_is_done(unsynced: Failover) -> None:
    assert refused(unsynced) == "not_initialised"
    unsynced.sync.synced()
    unsynced.sync.tamper("garbage")
    assert refused(unsynced) == "record_unusable"
    assert unsynced.judge(unsynced.seen()).decision.alert is Alert.HALTED


@pytest.mark.parametrize("verdict", [Verdict.DOWN, Verdict.UP])
def test_a_record_restored_from_yesterday_stops_everything(failover: Failover, verdict: Verdict) -> None:
    """It calls the master active, while the slave is."""
    failover.silence()
    failover.run()
    failover.wake()
    failover.sync.lose_newest()
    with untouched(failover.master, failover.slave):
        out = failover.run(evidence=failover.seen(verdict), actor="watch")
    assert out.code == "record_lost"
    assert failover.judge(failover.seen(verdict)).decision.alert is Alert.HALTED


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "restored"])
def test_airflows_database_may_be_lost_or_restored(failover: Failover, lost: bool) -> None:
    yesterday = dict(failover.sync.state.values)
    failover.silence()
    failover.run()
    now = dict(failover.sync.state.values)
    failover.sync.state.values = {} if lost else yesterday
    assert failover.run(evidence=failover.seen(Verdict.DOWN)).code == "failed_over"
    assert failover.sync.state.values == now, "the mirror is repaired"


def test_a_record_of_a_failover_that_somebody_undid_by_hand_halts_the_pair(failover: Failover) -> None:
    """The slave should be active, and only the master has enabled jobs."""
    failover.silence()
    failover.run()
    failover.wake()
    act(failover.slave, "disable", *enabled(failover.slave))
    with untouched(failover.master, failover.slave):
        assert failover.run().code == "record_contradicted"
    assert failover.record.phase is Phase.HALTED


# -- after a failover


def test_in_a_failed_over_pair_nothing_is_decided_by_guess(failover: Failover) -> None:
    failover.silence()
    failover.run()
    failover.wake()
    act(failover.master, "disable", *enabled(failover.master))
    back, record = failover.from_here(), failover.record.to_json()
    pause = {"since": AT, "reason": "upgrade", "by": "ana"}
    for changes, verdict, code in (
        ({}, Verdict.UP, "master_back"),
        ({}, Verdict.DOWN, "failed_over"),
        ({}, Verdict.ISOLATED, "failed_over"),
        ({"paused": pause}, Verdict.UP, "paused"),
    ):
        failover.sync.tamper({**record, **changes})
        assert refused(failover, verdict=verdict) == code
    back()
    failover.silence()
    failover.slave.webtool.faults({"kind": "cut_before"})
    assert failover.run(evidence=failover.seen()).code == "active_unreachable"
    failover.wake()
    policy, since = {"on_master_return": "fail_back", "stable_for": "10s"}, failover.sync.now()
    for seconds, code in ((5, "master_back"), (5, "fail_back")):
        failover.sync.passed += timedelta(seconds=seconds)
        assert refused(failover, verdict=Verdict.UP, pair=policy, alive_since=since) == code


def test_quenching_a_master_that_refuses_is_split_brain_until_it_does_not(failover: Failover) -> None:
    failover.silence()
    failover.run()
    failover.wake()
    wanted = enabled(failover.slave)
    match = {"method": "PUT", "query": str(failover.master.scheduler.port)}
    for server in (failover.master, failover.slave):
        server.webtool.faults({"kind": "status", "status": 500, "match": match})
    out = failover.run()
    assert (out.judgement.decision.code, out.code) == ("quench", "split_brain")
    assert "disable its jobs there" in str(out.error)
    assert enabled(failover.master) == enabled(failover.slave) == wanted
    failover.wake()
    event = failover.run(actor="watch").done
    assert (event["kind"], event["server"], event["actor"]) == ("quenched", "master", "watch")
    assert (event["before"], event["after"]) == ({"enabled": 9}, {"enabled": 0})
    assert event["suspected_double_runs"] == []
    assert (enabled(failover.master), enabled(failover.slave)) == (set(), wanted)


def test_what_a_dead_reprotect_has_enabled_on_the_master_is_disabled(failover: Failover) -> None:
    """Its worker died after an import; no sync looks at the master before a person asks for the next one."""
    failover.silence()
    assert failover.run().code == "fail_over"
    failover.wake()
    assert failover.run().code == "quench"
    now = failover.sync.now()
    left = begin_import(
        failover.record, operation_id="a re-protect", target="//master", now=now, lease=timedelta(minutes=5)
    )
    failover.change(operation=left.operation, dirty=left.dirty)
    act(failover.master, "enable", *known(failover.master))
    assert failover.run().code == "operation_open", "it may still be at work"
    failover.sync.passed += timedelta(minutes=6)
    assert failover.run().code == "quench"
    assert not enabled(failover.master)
    assert (failover.record.operation, failover.record.dirty) == (None, left.dirty)


def test_a_master_that_is_back_and_paused_is_quenched_before_it_is_resumed(failover: Failover) -> None:
    """It shows every job DISABLED, and would run them all."""
    failover.silence()
    failover.run()
    failover.wake()
    failover.master.scheduler.control("POST", "/pause", json={"paused": True})
    out = failover.run()
    assert out.judgement.decision.code == "quench"
    assert (out.done["before"], out.done["after"]) == ({"enabled": 9}, {"enabled": 0})
    failover.master.scheduler.control("POST", "/pause", json={"paused": False})
    assert enabled(failover.master) == set()


def test_what_the_returned_master_runs_before_it_is_quenched_may_have_run_twice(failover: Failover) -> None:
    job = min(enabled(failover.master))
    failover.silence()
    failover.run()
    failover.wake()
    failover.sync.advance(seconds=30)
    act(failover.master, "start", job)
    assert failover.run().done["suspected_double_runs"] == [job]


def test_a_master_that_is_the_slave_under_another_name_is_never_quenched(
    failover: Failover, connect: Callable[..., None]
) -> None:
    """Somebody has moved its name to the slave's machine."""
    failover.silence()
    failover.run()
    failover.wake()
    connect(failover.slave, "master", host="localhost")
    failover.change(master=failover.prepared().master.address)
    with untouched(failover.slave):
        out = failover.run()
    assert (out.judgement.decision.code, out.code) == ("same_server", "same_server")
    assert len(enabled(failover.slave)) == 9


# -- drift of the passive slave (F27)


def test_jobs_enabled_on_the_passive_slave_are_disabled_again(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "time", SimpleNamespace(sleep=lambda seconds: failover.sync.advance(seconds=seconds)))
    wanted = sorted(enabled(failover.master))
    add_job(failover.master, "default", "every minute", "0 * * * * ?")
    failover.sync.synced(deliver_now=True)
    act(failover.slave, "enable", "default / every minute", wanted[0])
    failover.dead_for(minutes=1)
    out = failover.run(actor="watch")
    assert (out.code, out.done["kind"], out.done["actor"]) == ("repair", "drift", "watch")
    assert (out.done["before"], out.done["after"]) == ({"enabled": 2}, {"enabled": 0})
    assert out.done["suspected_double_runs"] == ["default / every minute"]
    assert not enabled(failover.slave)
    assert failover.record.outbox[-1] == out.done
    assert failover.run().code == "healthy"


def test_what_a_dead_sync_left_enabled_is_disabled_and_stays_dirty(failover: Failover) -> None:
    record = failover.record.to_json()
    sync = {"kind": "sync", "id": "s1", "target": "x", "step": Step.IMPORTING, "started": AT, "lease_until": AT}
    failover.sync.tamper({**record, "operation": sync, "dirty": {"since": AT, "reason": "an import was begun"}})
    act(failover.slave, "enable", *sorted(enabled(failover.master))[:3])
    out = failover.run()
    assert (out.code, out.done["kind"], out.done["operation"]) == ("repair", "repaired", "s1")
    assert not enabled(failover.slave)
    assert failover.record.operation is None
    assert failover.run().code == "dirty_snapshot"


def test_a_repair_does_nothing_once_the_pair_has_moved_on(failover: Failover) -> None:
    act(failover.slave, "enable", sorted(enabled(failover.master))[0])
    with untouched(failover.slave):
        out = failover.run(before=lambda: failover.change(epoch=5, phase=Phase.FAILED_OVER, active=Role.SLAVE))
    assert out.code == "overtaken"


def test_a_slave_with_jobs_beside_a_master_without_may_be_the_active_one(failover: Failover) -> None:
    wanted = enabled(failover.master)
    act(failover.slave, "enable", *wanted)
    act(failover.master, "disable", *wanted)
    assert refused(failover, verdict=Verdict.UP) == "slave_may_be_active"
    assert DECISIONS["slave_may_be_active"].alert is Alert.SPLIT_BRAIN
