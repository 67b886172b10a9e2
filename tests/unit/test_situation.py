"""The facts of a moment: each limit holds on its exact second, and no longer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from denodo_ha.decisions import Situation
from denodo_ha.pairs import Pair
from denodo_ha.record import CLOCK_SKEW, Approval, Operation, Pause, Promotion, Record, SnapshotRef, Step, covers
from denodo_ha.situation import PROOF_HOLDS, Consents, Heard, freshness, is_fresh, situation_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PAIR = Pair(name="p")
OLDEST, STABLE = PAIR.failover.oldest_snapshot, PAIR.failover.stable_for
RETURNING = Pair(name="p", failover={"on_master_return": "fail_back"})


def snapshot(taken: datetime) -> SnapshotRef:
    return SnapshotRef(
        id="s", taken=taken, committed=NOW, imported=NOW, content_hash="", manifest_hash="", jobs=1, enabled=1
    )


def operation(**fields: Any) -> Operation:
    return Operation(
        **{
            "kind": "failover",
            "id": "o",
            "target": "t",
            "step": Step.CLAIMED,
            "started": NOW,
            "lease_until": NOW,
            **fields,
        }
    )


def facts(
    record: Record | None = None, pair: Pair = PAIR, *, consents: Consents | None = None, **heard: Any
) -> Situation:
    return situation_of(
        record or Record(),
        pair,
        consents or Consents(),
        Heard(**heard),
        now=NOW,
        slave_enabled=False,
        master_enabled=None,
    )


@pytest.mark.parametrize(
    ("taken", "fresh"),
    [
        (NOW - OLDEST - SECOND, False),
        (NOW - OLDEST, True),
        (NOW, True),
        (NOW + CLOCK_SKEW, True),
        (NOW + CLOCK_SKEW + SECOND, False),
        (NOW + timedelta(days=400), False),
    ],
)
def test_a_snapshot_serves_from_its_export_to_its_limit_and_none_from_the_future(taken: datetime, fresh: bool) -> None:
    record = Record(snapshot=snapshot(taken))
    assert facts(record).snapshot_fresh is fresh
    assert facts(record, consents=Consents(accept_old_snapshot=True)).snapshot_fresh


def test_no_snapshot_is_fresh_whatever_a_person_says() -> None:
    assert not facts(Record(), consents=Consents(accept_old_snapshot=True)).snapshot_fresh


@pytest.mark.parametrize(
    ("taken", "covered"),
    [(NOW + CLOCK_SKEW, True), (NOW + CLOCK_SKEW + SECOND, False), (NOW - SECOND, False), (NOW, True)],
)
def test_a_snapshot_from_the_future_covers_nothing(taken: datetime, covered: bool) -> None:
    assert covers(Record(snapshot=snapshot(taken)), NOW, NOW) is covered


@pytest.mark.parametrize(
    ("seen", "holds"),
    [
        (None, False),
        (NOW - PROOF_HOLDS - SECOND, False),
        (NOW - PROOF_HOLDS, True),
        (NOW, True),
        (NOW + CLOCK_SKEW, True),
        (NOW + CLOCK_SKEW + SECOND, False),
    ],
)
def test_path_2_counts_for_a_day_after_it_was_seen_to_work(seen: datetime | None, holds: bool) -> None:
    assert timedelta(days=1) == PROOF_HOLDS
    assert facts(second_good=seen).second_path is holds
    assert facts(second_good=seen, consents=Consents(fail_over=True)).second_path


@pytest.mark.parametrize(("until", "over"), [(None, True), (NOW, True), (NOW + SECOND, False)])
def test_a_cool_down_ends_on_its_second(until: datetime | None, over: bool) -> None:
    assert facts(Record(cool_down_until=until)).cooled_down is over


@pytest.mark.parametrize(("until", "still"), [(NOW + SECOND, True), (NOW, False)])
def test_leases_pauses_and_approvals_end_on_their_second(until: datetime, still: bool) -> None:
    assert facts(Record(operation=operation(lease_until=until))).operation_open is still
    assert facts(Record(paused=Pause(since=NOW, reason="", until=until))).paused is still
    waiting = Approval(requested_by="r", until=until)
    assert facts(Record(approval=waiting)).approval_asked is still
    assert not facts(Record(approval=waiting), Pair(name="p", failover={"policy": "approval"})).automatic
    granted = facts(
        Record(approval=waiting.model_copy(update={"granted_by": "ana"})),
        Pair(name="p", failover={"policy": "approval"}),
    )
    assert (granted.automatic, granted.approval_asked) == (still, False)


@pytest.mark.parametrize(
    ("alive_since", "stable"), [(None, False), (NOW - STABLE + SECOND, False), (NOW - STABLE, True)]
)
def test_a_master_that_is_back_is_stable_after_a_time(alive_since: datetime | None, stable: bool) -> None:
    assert facts(pair=RETURNING, alive_since=alive_since).fail_back is stable
    assert not facts(alive_since=alive_since).fail_back


@pytest.mark.parametrize(("step", "resuming"), [(Step.CLAIMED, False), (Step.DISABLING, True), (Step.ENABLING, True)])
def test_what_has_changed_a_server_is_resumed(step: Step, resuming: bool) -> None:
    assert facts(Record(operation=operation(step=step))).resuming is resuming


@pytest.mark.parametrize("complete", [True, False])
def test_a_promotion_may_have_left_jobs(complete: bool) -> None:
    promotion = Promotion(id="o", kind="failover", at=NOW, plan="s", complete=complete)
    assert facts(Record(last_promotion=promotion)).complete is complete
    assert facts(Record()).complete


@pytest.mark.parametrize(
    ("failover", "fenced", "fenceable"),
    [
        ({}, False, True),
        ({"fencing": "required"}, False, False),
        ({"fencing": "required"}, True, True),
        ({"fencing": "required", "fence": "site.off"}, False, True),
    ],
)
def test_where_fencing_is_required_it_takes_a_hook_or_a_person(
    failover: dict[str, Any], fenced: bool, fenceable: bool
) -> None:
    assert facts(pair=Pair(name="p", failover=failover), consents=Consents(fenced=fenced)).fenceable is fenceable


@pytest.mark.parametrize(
    ("age", "fresh"),
    [
        (timedelta(0), True),
        (freshness(PAIR), True),
        (freshness(PAIR) + timedelta(seconds=1), False),
        (-CLOCK_SKEW, True),
        (-CLOCK_SKEW - timedelta(seconds=1), False),
        (timedelta(days=-1), False),
    ],
)
def test_evidence_is_neither_old_nor_of_the_future(age: timedelta, fresh: bool) -> None:
    assert is_fresh(NOW - age, PAIR, NOW) is fresh


def test_evidence_is_fresh_for_the_time_to_gather_it_and_a_minute() -> None:
    assert freshness(PAIR) == PAIR.watch.fall * PAIR.watch.probe_interval + timedelta(minutes=1)
