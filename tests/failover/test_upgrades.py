"""A pair whose record was written by another version of this project: by the one before, or by a newer one."""

from __future__ import annotations

import pytest

from denodo_ha.record import SCHEMA, Phase, Record
from denodo_ha.watching import Watching
from denodo_scheduler.state.record_store import RECORD_KEY, RecordStore
from denodo_scheduler.state.watch_store import WATCH_KEY, WatchStore
from denodo_scheduler.steps.outcome import Blocked
from denodo_scheduler.steps.watch import act
from denodo_scheduler.steps.watch import report as reporting
from support.failover import Failover
from support.switchover import SwitchPair
from support.sync import MemoryState, Sync, enabled, untouched

SYNC_ONLY = {"schema_number", "phase", "active", "epoch", "slave", "paused", "operation", "dirty", "snapshot"}
"""What a record of schema 1 had."""


def written_by_the_version_before(sync: Sync) -> None:
    record = {name: value for name, value in sync.record.to_json().items() if name in SYNC_ONLY}
    sync.lose_record()
    sync.state.set(RECORD_KEY, {**record, "schema_number": 1})


def written_by_a_newer_version(sync: Sync) -> None:
    newer = {**sync.record.to_json(), "schema_number": SCHEMA + 1, "phase": "rehearsing", "third_server": "//c:8000"}
    sync.tamper(newer)


def test_the_first_failover_after_an_upgrade(failover: Failover) -> None:
    wanted = enabled(failover.master)
    written_by_the_version_before(failover.sync)
    assert failover.run().code == "healthy"
    assert failover.sync.state.get(RECORD_KEY)["schema_number"] == 1, "looking changes nothing"
    with failover.silent_master():
        assert failover.run().done["enabled"] == len(wanted)
    assert enabled(failover.slave) == wanted
    assert (failover.record.schema_number, failover.record.phase) == (SCHEMA, Phase.FAILED_OVER)


def test_the_first_switchover_after_an_upgrade(failover: Failover) -> None:
    sync = failover.sync
    pair, wanted = SwitchPair(sync.servers, sync.state, sync.folder), enabled(sync.master)
    written_by_the_version_before(sync)
    pair.switched("slave")
    assert pair.enabled == (set(), wanted)
    assert pair.record.schema_number == SCHEMA


def test_a_record_of_a_newer_version_stops_the_failover_and_people_are_told(failover: Failover) -> None:
    written_by_a_newer_version(failover.sync)
    stored = dict(failover.sync.state.values)
    run = failover.prepared()
    with failover.silent_master(), untouched(failover.slave):
        judged = failover.judge()
        with pytest.raises(Blocked, match=f"schema {SCHEMA + 1}.* Next: upgrade this project .* each worker") as error:
            act.block(failover.case(failover.seen()))
        assert failover.run(fail_over=True, accept_old_snapshot=True, fenced=True).code == "record_unusable"
    watch = WatchStore(MemoryState())
    reporting.report(run, watch, judged.to_json(), error.value.reason, None, by_hand=False)
    [event] = watch.load().outbox
    assert (event["code"], event["alert"]) == ("record_unusable", "halted")
    assert event["next_step"].startswith("upgrade this project to the version that wrote it")
    assert failover.sync.state.values == stored


def test_a_record_that_becomes_newer_under_a_failover_stops_it(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One component is upgraded while another, older one is at work: here, right after its claim."""
    save = RecordStore.save

    def then_upgraded(store: RecordStore, record: Record) -> Record:
        saved = save(store, record)
        written_by_a_newer_version(failover.sync)
        return saved

    monkeypatch.setattr(RecordStore, "save", then_upgraded)
    with failover.silent_master(), untouched(failover.slave):
        tried = failover.run()
    assert tried.code == "record_unusable"
    assert tried.code == "record_unusable"
    assert failover.sync.state.get(RECORD_KEY)["schema_number"] == SCHEMA + 1


def test_what_a_newer_version_says_of_the_watch_is_no_trouble(failover: Failover) -> None:
    failover.sync.state.set(WATCH_KEY, {"code": "healthy", "moon": "full"})
    assert WatchStore(failover.sync.state).load() == Watching(code="healthy")
