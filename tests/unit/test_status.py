"""What is said of a pair's state is true by now, and what it advises is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.decisions import Situation
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.doubts import open_doubts
from denodo_ha.jobs import JobKey
from denodo_ha.operations import Asked, Change, change
from denodo_ha.preconditions import look_and_initialise, sync_may_begin
from denodo_ha.reason import Reason
from denodo_ha.record import Dirty, Doubt, Pause, PendingJob, Phase, Promotion, Record, Role, SnapshotRef, SyncProblem
from denodo_ha.status import Level, Reading, judge
from denodo_ha.transitions import accepted, doubts_after, sync_failed
from denodo_ha.verdict import Verdict

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SNAPSHOT = SnapshotRef(
    id="s", taken=NOW - HOUR, committed=NOW - HOUR, imported=NOW - HOUR, content_hash="c", manifest_hash="m", jobs=9,
    enabled=5,
)  # fmt: skip
PROMOTION = Promotion(id="f", kind="failover", at=NOW, plan="s", complete=True)
HEALTH = {name: {"status": "healthy"} for name in ("metadatabase", "scheduler", "triggerer")}

records = st.builds(
    lambda over, **fields: Record(
        phase=Phase.FAILED_OVER if over else Phase.NORMAL,
        active=Role.SLAVE if over else Role.MASTER,
        epoch=2 if over else 1,
        last_promotion=PROMOTION if over else None,
        **fields,
    ),
    over=st.booleans(),
    snapshot=st.sampled_from([None, SNAPSHOT]),
    dirty=st.sampled_from([None, Dirty(since=NOW, reason="x"), Dirty(since=NOW - HOUR, reason="x")]),
    paused=st.sampled_from([None, Pause(since=NOW, reason="x")]),
    acknowledged=st.booleans(),
    cool_down_until=st.sampled_from([None, NOW + HOUR]),
)
situations = st.builds(Situation, **{name: st.booleans() for name in asdict(Situation())})


def looked(situation: Situation, verdict: Verdict, **fields: Any) -> dict[str, Any]:
    at = (NOW - timedelta(seconds=37)).isoformat()
    return {"verdict": str(verdict), "code": "x", "at": at, "since": at, "situation": asdict(situation), **fields}


def status(record: Record | None, watch: dict[str, Any], **fields: Any) -> Any:
    reading = Reading(record.to_json() if record else None, watch, {"is_paused": False}, HEALTH, **fields)
    return judge("p", reading, NOW, HOUR)


@given(records, situations, st.sampled_from(Verdict), st.integers(1, 2))
def test_what_is_advised_is_possible(record: Record, situation: Situation, verdict: Verdict, epoch: int) -> None:
    found = status(record, looked(situation, verdict, epoch=epoch, code="healthy"))
    how = found.details.get("next step", "")
    paused = record.paused is not None
    if "re-protect" in how:
        assert sync_may_begin(record, NOW, Role.SLAVE) is None
    if "fail back" in how:
        assert record.active is Role.SLAVE
        assert not paused
    if how.startswith("run the sync DAG"):
        assert sync_may_begin(record, NOW, record.active) is None
    if "acknowledge" in how:
        assert not record.acknowledged or record.cool_down_until
    if "resume the pair" in how:
        assert paused
    assert "release" not in how


@given(records, situations, st.sampled_from(Verdict), st.integers(1, 2))
def test_ok_means_that_a_living_server_was_seen_with_jobs_and_the_other_one_is_ready(
    record: Record, situation: Situation, verdict: Verdict, epoch: int
) -> None:
    found = status(record, looked(situation, verdict, epoch=epoch, code="healthy"))
    if found.level is Level.OK and record.operation is None:
        assert verdict is Verdict.UP
        assert record.active is Role.MASTER
        assert record.snapshot
        assert record.dirty is None
        assert situation.master_enabled or epoch != record.epoch or not record.snapshot.enabled


def test_a_first_sync_ends_what_the_last_look_has_said_of_the_snapshot() -> None:
    watch = looked(Situation(snapshot=False, jobs_expected=False), Verdict.UP, code="no_snapshot", epoch=1)
    before, after = status(Record(), watch), status(Record(snapshot=SNAPSHOT), watch)
    assert "there is no committed snapshot" in before.summary
    assert before.details["next step"].startswith("run the sync DAG")
    assert after.level is Level.OK
    assert "next step" not in after.details
    assert status(Record(), watch, syncing="r7").details["next step"] == "wait for the end of the sync r7"


def test_without_a_record_the_next_step_is_to_say_which_server_is_active() -> None:
    watch = looked(Situation(), Verdict.UP, code="not_initialised", what="no record", next_step="x")
    found = status(None, watch)
    assert found.level is Level.CRITICAL
    assert found.details["next step"] == look_and_initialise("denodo_scheduler_operations__p")
    assert "wait for the end of the sync a7" in status(None, watch, syncing="a7").details["next step"]


def test_a_snapshot_becomes_too_old_between_two_looks_and_young_again_by_a_sync() -> None:
    limit = (2 * HOUR).total_seconds()
    old = SNAPSHOT.model_copy(update={"taken": NOW - 3 * HOUR})
    fresh, stale = (
        looked(Situation(snapshot_fresh=each), Verdict.UP, code="healthy", oldest_snapshot=limit)
        for each in (True, False)
    )
    assert "older than" in status(Record(snapshot=old), fresh).summary
    assert status(Record(snapshot=SNAPSHOT), stale).level is Level.OK


def test_a_failback_ends_what_the_last_look_has_said_of_the_failover() -> None:
    seen = Situation(slave_enabled=True, master_enabled=False)
    watch = looked(seen, Verdict.UP, code="master_back", epoch=2)
    found = status(Record(epoch=3, snapshot=SNAPSHOT, dirty=Dirty(since=NOW, reason="handed back")), watch)
    assert "the slave goes on as the active server" not in found.summary
    assert found.details["next step"] == "wait for the sync, or run the sync DAG"


def test_what_a_failed_step_has_said_is_shown_with_its_next_step() -> None:
    watch = looked(Situation(), Verdict.UP, code="not_enabled", what="3 jobs cannot be enabled", next_step="look")
    found = status(Record(snapshot=SNAPSHOT), watch)
    assert (found.level, found.details["next step"]) == (Level.CRITICAL, "look")
    assert "[not_enabled] 3 jobs cannot be enabled" in found.summary


def test_syncs_that_fail_and_doubts_keep_a_pair_from_being_ok() -> None:
    watch = looked(Situation(), Verdict.UP, code="healthy", epoch=1)
    good = Record(snapshot=SNAPSHOT)
    assert status(good, watch).level is Level.OK
    problem = SyncProblem(since=NOW - HOUR, code="mass_change", what="9 jobs vanished", next_step="accept it")
    found = status(sync_failed(good, problem), watch)
    assert found.level is Level.WARNING
    assert "no sync has succeeded since 60 min ago: [mass_change] 9 jobs vanished" in found.summary
    assert found.details["next step"] == "accept it"
    doubtful = good.model_copy(update={"doubts": (Doubt(since=NOW, text="a password cannot be decrypted"),)})
    assert "a password cannot be decrypted" in status(doubtful, watch).summary
    assert status(accepted(doubtful, ["a password cannot be decrypted"], by="ana", now=NOW), watch).level is Level.OK


def _doubtful() -> Record:
    """A record with a doubt of each kind."""
    pending = tuple(
        PendingJob(key=JobKey(project="Sales", name=name), code="restless", why="it never rests", on_target=False)
        for name in ("load", "mail")
    )
    known = Capabilities(version="9", import_replaces=True, unfaithful=("VDPIndexer",))
    snapshot = SNAPSHOT.model_copy(update={"imported": SNAPSHOT.taken - HOUR})
    return Record(
        snapshot=snapshot,
        pending=pending,
        capabilities={Role.SLAVE: known, Role.MASTER: Capabilities(version="9", unfaithful=("VDP",))},
        doubts=(Doubt(since=NOW, text="no key"),),
    )


def test_each_kind_of_doubt_is_told_until_a_person_accepts_it_by_its_name() -> None:
    watch, record = looked(Situation(), Verdict.UP, code="healthy", epoch=1), _doubtful()
    names = ["no key", "pending Sales / load", "pending Sales / mail", "limit import", "limit VDPIndexer", "secrets"]
    assert list(open_doubts(record, NOW)) == names
    for number, name in enumerate(names):
        found = status(record, watch)
        said = found.details["ready, but"]
        assert name in said or (number == 0 and "and 1 more" in said)
        assert (found.level is Level.WARNING) is (number < 3), "limits and secrets keep no pair from being ready"
        change = operation(record, doubts=[name])
        assert isinstance(change, Change)
        assert (change.kind, change.after["accepted"]) == ("acknowledged", [name])
        record = change.record
        assert name not in open_doubts(record, NOW)
    assert "ready, but" not in status(record, watch).details


def test_a_wrong_name_is_refused_with_those_that_are_open() -> None:
    refused = operation(_doubtful(), doubts=["no key", "pending Sales / none"])
    assert isinstance(refused, Reason)
    assert refused.code == "no_such_doubt"
    assert "'pending Sales / none'; the open ones are no key; pending Sales / load;" in refused.what
    assert "none is open" in getattr(operation(Record(), doubts=["x"]), "what", "")


def test_without_names_a_failover_is_acknowledged_and_only_then_warnings_are_accepted() -> None:
    """Who acknowledges a failover has not been shown what imports have warned of."""
    first = operation(_doubtful().model_copy(update={"acknowledged": False}))
    assert isinstance(first, Change)
    assert (first.record.acknowledged, first.after["accepted"]) == (True, [])
    second = operation(first.record)
    assert isinstance(second, Change)
    assert second.after["accepted"] == ["no key"]
    assert str(operation(second.record)).startswith("There is no failover to be acknowledged, and no warning")


def test_what_was_accepted_is_told_anew_when_it_comes_again() -> None:
    record = _doubtful()
    record = accepted(record, list(open_doubts(record, NOW)), by="ana", now=NOW)
    gone = doubts_after(record, [], everything=True, now=NOW, pending=record.pending[:1])
    assert [doubt.text for doubt in gone] == ["pending Sales / load", "limit import", "limit VDPIndexer", "secrets"]
    again = record.model_copy(update={"doubts": gone})
    assert list(open_doubts(again, NOW)) == ["pending Sales / mail"]


def operation(record: Record, doubts: Sequence[str] = ()) -> Change | str | Reason:
    return change("acknowledge", record, Asked("ana", "seen", NOW, doubts=doubts))


def test_a_doubt_stays_until_an_import_of_everything_does_not_warn_of_it_again() -> None:
    record = Record(doubts=(Doubt(since=NOW - HOUR, text="a", accepted_by="ana"), Doubt(since=NOW, text="b")))
    partly = doubts_after(record, ["c", "c"], everything=False, now=NOW)
    assert [(each.text, each.accepted_by) for each in partly] == [("a", "ana"), ("b", None), ("c", None)]
    wholly = doubts_after(record, ["a"], everything=True, now=NOW)
    assert [(each.text, each.since) for each in wholly] == [("a", NOW - HOUR)]


def test_the_first_of_several_failures_in_a_row_counts() -> None:
    first = SyncProblem(since=NOW - HOUR, code="a", what="x", next_step="y")
    later = SyncProblem(since=NOW, code="b", what="x", next_step="y")
    found = sync_failed(sync_failed(Record(), first), later).sync_problem
    assert found
    assert (found.since, found.code) == (NOW - HOUR, "b")
