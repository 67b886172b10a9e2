"""A pair is called well only while jobs run on its active server, judged against real servers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.timezone import utcnow

from denodo_demo.slowness import allow
from denodo_ha.decisions import Alert
from denodo_ha.record import Dirty
from denodo_ha.verdict import Verdict
from denodo_scheduler.triggers.ping_master import PingMasterTrigger
from support.failover import Failover
from support.sync import act, enabled, untouched


def test_a_paused_master_is_not_well(failover: Failover) -> None:
    failover.master.scheduler.control("POST", "/pause", json={"paused": True})
    with untouched(failover.slave):
        out = failover.run()
    assert out.code == "nothing_enabled"
    assert out.judgement.decision.alert is Alert.BLOCKED
    assert "resume the Scheduler" in str(out.error)
    failover.master.scheduler.control("POST", "/pause", json={"paused": False})
    assert failover.run().code == "healthy"


def test_a_master_whose_jobs_were_all_disabled_is_not_well_until_a_person_accepts_it(failover: Failover) -> None:
    wanted = enabled(failover.master)
    act(failover.master, "disable", *wanted)
    assert failover.run().code == "nothing_enabled"
    act(failover.master, "enable", min(wanted))
    assert failover.run().code == "healthy"
    act(failover.master, "disable", min(wanted))
    failover.sync.synced(accept_mass_change=True)
    assert failover.run().code == "healthy", "the committed snapshot has no enabled job either"


def test_a_slave_on_which_nothing_runs_after_a_failover_is_not_well(failover: Failover) -> None:
    failover.silence()
    failover.run()
    wanted = enabled(failover.slave)
    act(failover.slave, "disable", *wanted)
    assert failover.run(evidence=failover.seen(Verdict.DOWN)).code == "nothing_enabled"
    act(failover.slave, "enable", min(wanted))
    out = failover.run(evidence=failover.seen(Verdict.DOWN))
    assert out.code == "failed_over"
    assert out.judgement.to_json()["jobs"]["slave"][0] == 1, "what is said of the slave was read just now"


def test_nobody_is_told_of_the_slave_that_a_failback_has_left(failover: Failover) -> None:
    _touched(failover, minutes=1)
    out = failover.run()
    assert (out.code, out.judgement.decision.alert) == ("to_be_synced", None)
    _touched(failover, minutes=16)
    assert failover.run().code == "dirty_snapshot"


@pytest.mark.parametrize("where", ["master", "slave"])
def test_a_watch_ends_when_nothing_runs_on_the_active_server_any_more(failover: Failover, where: str) -> None:
    """The slave is the active one where it was enabled in a failover; the silence of the master ends nothing then."""
    active = failover.master
    if where == "slave":
        failover.silence()
        failover.run()
        active = failover.slave
    trigger = PingMasterTrigger(
        denodo_scheduler_conn_id="denodo_scheduler_master",
        slave_conn_id="denodo_scheduler_slave",
        second_path="auto",
        interval=timedelta(seconds=0.1),
        fall=1,
        until=utcnow() + timedelta(hours=1),
        known="up" if where == "master" else "down",
        passive_conn_id=f"denodo_scheduler_{'slave' if where == 'master' else 'master'}",
        passive_interval=timedelta(seconds=0.2),
        active_conn_id=f"denodo_scheduler_{where}",
    )
    act(active, "disable", *enabled(active))
    [event] = asyncio.run(asyncio.wait_for(_events(trigger), allow(30)))
    assert event.xcoms["return_value"]["ended_by"] == "passive"


async def _events(trigger: PingMasterTrigger) -> list[Any]:
    return [event async for event in trigger.run()]


def _touched(failover: Failover, **ago: float) -> None:
    since = failover.prepared().now() - timedelta(**ago)
    failover.sync.change(dirty=Dirty(since=since, reason="handed back to the master, not synced yet"))
