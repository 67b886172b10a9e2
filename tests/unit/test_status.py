"""What is said of a pair's state is true by now, and what it advises is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.decisions import Situation
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.doubts import accepted, doubts_after, open_doubts
from denodo_ha.jobs import JobKey
from denodo_ha.operations import Asked, Change, change
from denodo_ha.preconditions import look_and_initialise, sync_may_begin
from denodo_ha.reason import Reason
from denodo_ha.record import (
    LEFT_BEHIND,
    Dirty,
    Doubt,
    Pause,
    PendingJob,
    Phase,
    Promotion,
    Record,
    Role,
    SnapshotRef,
    Step,
    SyncProblem,
    commit,
)
from denodo_ha.status import Level, Reading, judge
from denodo_ha.transitions import advanced, claim, failed_back, halted, initialised, promoted, sync_failed
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


def status(record: Record | None, watch: dict[str, Any], verbose: bool = False, **fields: Any) -> Any:
    reading = Reading(record.to_json() if record else None, watch, {"is_paused": False}, HEALTH, **fields)
    return judge("p", reading, NOW, HOUR, verbose=verbose)


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


def names(record: Record) -> list[str]:
    return [doubt.name for doubt in open_doubts(record, NOW)]


def test_each_kind_of_doubt_is_told_until_a_person_accepts_it_by_its_name() -> None:
    watch, record = looked(Situation(), Verdict.UP, code="healthy", epoch=1), _doubtful()
    open_ = ["no key", "pending Sales / load", "pending Sales / mail", "limit import", "limit VDPIndexer", "secrets"]
    assert names(record) == open_
    for number, name in enumerate(open_):
        found = status(record, watch)
        said = found.details["ready, but"]
        assert name in said or (number == 0 and "and 1 more" in said)
        left = len(open_) - number
        assert f"ready, but {left} {'doubt' if left == 1 else 'doubts'}: {name}; master active" in found.summary
        assert (found.level is Level.WARNING) is (number < 3), "limits and secrets keep no pair from being ready"
        change = operation(record, doubts=[name])
        assert isinstance(change, Change)
        assert (change.kind, change.after["accepted"]) == ("acknowledged", [name])
        assert f"{name} (of the slave)" in change.what
        record = change.record
        assert name not in names(record)
    found = status(record, watch)
    assert "ready, but" not in found.details
    assert "but" not in found.summary


def test_names_can_be_told_apart_and_a_job_is_explained_once() -> None:
    record = _doubtful().model_copy(update={"doubts": (Doubt(since=NOW, text="a, b"), Doubt(since=NOW, text="c"))})
    watch = looked(Situation(), Verdict.UP, code="healthy", epoch=1)
    found = status(record, watch, verbose=True)
    said = "a, b; c; pending Sales / load; pending Sales / mail; limit import (an import deletes"
    assert found.details["ready, but"].startswith(said)
    assert found.details["ready, but"].endswith("and no server shows the ones that it has)")
    assert "imports have warned of the slave: a, b; c; " in found.summary
    assert str(found.details).count("it never rests") == len(record.pending)


NOT_READY = [
    {"dirty": Dirty(since=NOW, reason="x")},
    {"snapshot": None},
    {"phase": Phase.FAILED_OVER, "active": Role.SLAVE, "last_promotion": PROMOTION},
]


@pytest.mark.parametrize("changes", NOT_READY)
@pytest.mark.parametrize("watch", [{}, looked(Situation(), Verdict.UP, code="healthy", epoch=1)])
def test_who_is_not_ready_is_not_said_to_be_ready_but(changes: dict[str, Any], watch: dict[str, Any]) -> None:
    found = status(_doubtful().model_copy(update=changes), watch)
    assert "ready, but" not in found.summary + "".join(found.details)
    assert "no key" in found.details["doubts about the slave"]


def test_a_halted_or_stale_pair_is_not_said_to_be_ready_but() -> None:
    for watch, record in (
        (
            looked(Situation(), Verdict.UP, code="healthy", epoch=1),
            halted(_doubtful(), now=NOW, code="x", reason="y", by="z"),
        ),
        (looked(Situation(slave_reachable=False), Verdict.UP, code="healthy", epoch=1), _doubtful()),
    ):
        found = status(record, watch)
        assert "ready, but" not in found.summary + "".join(found.details)
        assert "no key" in found.details["doubts about the slave"]


def test_a_wrong_name_is_refused_with_those_that_are_open() -> None:
    refused = operation(_doubtful(), doubts=["no key", "pending Sales / none"])
    assert isinstance(refused, Reason)
    assert refused.code == "no_such_doubt"
    assert "'pending Sales / none'; the open ones are no key; pending Sales / load;" in refused.what
    refused = operation(Record(), doubts=["x"])
    assert isinstance(refused, Reason)
    assert "none is open" in refused.what
    assert "choose" not in refused.next_step


def test_what_is_accepted_already_is_no_mistake() -> None:
    """A run that is cleared, or triggered twice, names it again."""
    record = accepted(_doubtful(), ["no key", "limit import"], by="ana", now=NOW)
    said = operation(record, doubts=["no key", "limit import"])
    assert said == "Nothing was changed, since this is accepted already: no key; limit import."
    both = operation(record, doubts=["no key", "secrets"])
    assert isinstance(both, Change)
    assert both.after["accepted"] == ["secrets"]
    wrong = operation(record, doubts=["no key", "none"])
    assert isinstance(wrong, Reason)
    assert "is named 'none'; the open ones" in wrong.what
    unseen = record.model_copy(update={"acknowledged": False})
    assert isinstance(operation(unseen, doubts=["no key"]), str), "it is not the failover that was named"


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
    record = accepted(record, names(record), by="ana", now=NOW)
    for everything in (True, False):
        gone = doubts_after(record, [], everything=everything, now=NOW, pending=record.pending[:1])
        standing = ["pending Sales / load", "limit import", "limit VDPIndexer", "secrets"]
        assert [doubt.text for doubt in gone] == [*([] if everything else ["no key"]), *standing]
        assert names(record.model_copy(update={"doubts": gone})) == ["pending Sales / mail"]


@pytest.mark.parametrize("text", ["limit of 9 connections is reached", "pending change of a password", "secrets: none"])
def test_a_warning_is_no_limit_because_of_how_it_begins(text: str) -> None:
    record = _doubtful().model_copy(update={"doubts": (Doubt(since=NOW, text=text, accepted_by="ana"),)})
    assert doubts_after(record, [], everything=False, now=NOW) == record.doubts
    assert doubts_after(record, [], everything=True, now=NOW) == ()
    assert doubts_after(record, [text], everything=True, now=NOW) == record.doubts


def operation(record: Record, doubts: Sequence[str] = ()) -> Change | str | Reason:
    return change("acknowledge", record, Asked("ana", "seen", NOW, doubts=doubts))


def moved(record: Record, to: Role, behind: tuple[PendingJob, ...] = ()) -> Record:
    """The record after a change of the active server that has left these jobs behind."""
    kind: Any = "failover" if to is Role.SLAVE else "switchover"
    begun = claim(record, kind=kind, to=to, operation_id="f", target="t", plan="s", now=NOW, lease=HOUR)
    begun = advanced(begun, Step.ENABLING)
    if to is Role.SLAVE:
        return promoted(begun, now=NOW, cool_down=HOUR, behind=behind)
    return failed_back(begun, now=NOW, behind=behind)


def reprotected(record: Record, warnings: Sequence[str] = ()) -> Record:
    """The record after a sync to the passive server that has sent everything."""
    doubts = doubts_after(record, warnings, everything=True, now=NOW)
    return commit(record, SNAPSHOT.model_copy(update={"source": record.active}), (), doubts)


def test_a_job_that_runs_nowhere_is_told_although_its_delay_was_accepted() -> None:
    record = accepted(_doubtful(), ["pending Sales / load", "secrets", "no key"], by="ana", now=NOW)
    left = record.pending[0].model_copy(update={"code": LEFT_BEHIND, "why": "the slave did not have it"})
    over = moved(record, Role.SLAVE, (left,))
    assert "left behind Sales / load" in names(over)
    assert [doubt.text for doubt in over.doubts] == ["no key", "secrets"], "they are the slave's as before"
    watch = looked(Situation(), Verdict.DOWN, code="failed_over", epoch=2)
    assert "1 job is missing or outdated on the slave since it is active" in status(over, watch).summary
    assert "left behind Sales / load" in status(over, watch).details["doubts about the slave"]
    known = accepted(over, ["left behind Sales / load"], by="ana", now=NOW)
    assert "missing or outdated" not in status(known, watch).summary
    assert "left behind Sales / load" in names(moved(moved(known, Role.MASTER), Role.SLAVE, (left,))), (
        "it is another time"
    )
    back = moved(known, Role.MASTER, (left,))
    assert open_doubts(back, NOW)[0].role is Role.MASTER
    assert "left behind Sales / load" in names(back)
    pending = commit(
        back, SNAPSHOT, record.pending, doubts_after(back, [], everything=False, now=NOW, pending=record.pending)
    )
    assert "pending Sales / load" in names(pending)


def test_what_an_import_to_one_server_has_warned_of_is_not_disproved_by_one_to_the_other() -> None:
    record = Record(snapshot=SNAPSHOT, doubts=(Doubt(since=NOW - HOUR, text="no key"),))
    over = moved(record, Role.SLAVE)
    watch = looked(Situation(), Verdict.DOWN, code="failed_over", epoch=2)
    assert "imports have warned of the slave: no key" in status(over, watch).summary
    again = reprotected(over, ["no key", "no driver"])
    assert [(each.role, each.name) for each in open_doubts(again, NOW)] == [
        (Role.SLAVE, "no key"),
        (Role.MASTER, "no key"),
        (Role.MASTER, "no driver"),
    ]
    said = status(again, watch)
    assert "imports have warned of the master: no key; no driver" in said.summary
    assert said.details["doubts about the slave"] == "no key"
    back = moved(again, Role.MASTER)
    synced = reprotected(back.model_copy(update={"dirty": None}))
    assert [(each.role, each.name) for each in open_doubts(synced, NOW)] == [
        (Role.MASTER, "no key"),
        (Role.MASTER, "no driver"),
    ], "the slave has now got everything without a warning"
    assert status(synced, looked(Situation(), Verdict.UP, code="healthy", epoch=3)).level is Level.WARNING
    kept = initialised(over, active=Role.SLAVE, epoch=9, master="m", slave="s", now=NOW, by="ana")
    assert names(kept) == ["no key"], "to say which server is active disproves nothing"


def test_who_accepts_a_limit_of_one_server_does_not_accept_that_of_the_other() -> None:
    replaces = Capabilities(version="9", import_replaces=True)
    record = Record(snapshot=SNAPSHOT, capabilities=dict.fromkeys(Role, replaces))
    over = moved(accepted(record, ["limit import"], by="ana", now=NOW), Role.SLAVE)
    assert [(each.role, each.name) for each in open_doubts(over, NOW)] == [(Role.MASTER, "limit import")]
    masters = operation(over, doubts=["limit import"])
    assert isinstance(masters, Change), "what is accepted already is that of the slave"
    assert "limit import (of the master)" in masters.what
    assert names(moved(reprotected(over), Role.MASTER)) == [], "that of the slave is accepted still"


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


@pytest.mark.parametrize(("ahead", "level"), [(timedelta(seconds=20), Level.OK), (HOUR / 2, Level.WARNING)])
def test_a_look_from_the_future_is_not_young(ahead: timedelta, level: Level) -> None:
    """The clocks of this machine and of Airflow's differ."""
    at = (NOW + ahead).isoformat()
    found = status(Record(snapshot=SNAPSHOT), {"verdict": "up", "code": "healthy", "at": at, "since": at, "epoch": 1})
    assert found.level is level, found.summary
    assert ("by the clock of this machine" in found.summary) is (level is Level.WARNING)
