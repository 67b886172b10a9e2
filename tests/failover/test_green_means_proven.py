"""A pair is called well only while jobs run on its active server, judged against real servers."""

from __future__ import annotations

from datetime import timedelta

from denodo_ha.decisions import Alert
from denodo_ha.record import Dirty
from denodo_ha.verdict import Verdict
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


def _touched(failover: Failover, **ago: float) -> None:
    since = failover.prepared().now() - timedelta(**ago)
    failover.sync.change(dirty=Dirty(since=since, reason="handed back to the master, not synced yet"))
