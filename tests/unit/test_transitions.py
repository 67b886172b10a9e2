"""How the HA record changes with the active server: each arrow, each that is forbidden, and epochs that grow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.record import (
    Approval,
    Dirty,
    Halt,
    Operation,
    Pause,
    Phase,
    Promotion,
    Record,
    Role,
    SnapshotRef,
    Step,
    begin_import,
    superseded,
)
from denodo_ha.transitions import (
    OUTBOX,
    TRANSITIONS,
    acknowledged,
    advanced,
    approval_asked,
    approval_given,
    claim,
    completed,
    failed_back,
    given_up,
    halted,
    initialised,
    noted,
    paused,
    promoted,
    released,
    renewed,
    resumed,
    rolled_back,
    unpaused,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3)
LEASE = timedelta(minutes=15)
COOL_DOWN = timedelta(hours=1)
SNAPSHOT = SnapshotRef(
    id="s1", taken=NOW, committed=NOW, imported=NOW, content_hash="c", manifest_hash="m", jobs=2, enabled=1
)
NORMAL = Record(master="//m:8000", slave="//s:8000", snapshot=SNAPSHOT, epoch=4)


def claimed(
    record: Record = NORMAL, to: Role = Role.SLAVE, kind: Literal["failover", "switchover"] = "failover"
) -> Record:
    return claim(record, kind=kind, to=to, operation_id="op", target="//s:8000", plan="s1", now=NOW, lease=LEASE)


def halt(record: Record) -> Record:
    return halted(record, now=NOW, code="record_contradicted", reason="lost", by="monitor")


FAILING_OVER = claimed()
FAILED_OVER = promoted(advanced(FAILING_OVER, Step.ENABLING), now=LATER, cool_down=COOL_DOWN)
FAILING_BACK = claimed(FAILED_OVER, Role.MASTER, "switchover")
PHASES = {each.phase: each for each in (NORMAL, FAILING_OVER, FAILED_OVER, FAILING_BACK)}
HALTED = {phase: halt(record) for phase, record in PHASES.items()}


def test_a_claim_is_an_intent_in_a_new_epoch_and_nothing_else() -> None:
    asked = approval_given(NORMAL, by="ana", until=LATER)
    record = claimed(asked)
    operation = Operation(
        kind="failover",
        id="op",
        target="//s:8000",
        step=Step.CLAIMED,
        started=NOW,
        lease_until=NOW + LEASE,
        plan="s1",
    )
    assert record == NORMAL.model_copy(
        update={"phase": Phase.FAILING_OVER, "epoch": 5, "operation": operation, "approval": None}
    )
    assert record.active is Role.MASTER
    assert FAILING_BACK.active is Role.SLAVE


def test_a_claim_makes_older_tasks_belong_to_the_past() -> None:
    assert superseded(NORMAL, operation_id="old", epoch=4, base_snapshot="s1") is None
    assert superseded(claimed(), operation_id="old", epoch=4, base_snapshot="s1")
    assert superseded(claimed(), operation_id="op", epoch=5, base_snapshot="s1") is None


def test_resuming_goes_on_where_the_operation_was_under_another_name() -> None:
    midway = advanced(FAILING_OVER, Step.ENABLING)
    record = resumed(midway, operation_id="second", now=LATER, lease=LEASE)
    assert midway.operation
    assert record.operation == midway.operation.model_copy(update={"id": "second", "lease_until": LATER + LEASE})
    assert (record.phase, record.epoch) == (Phase.FAILING_OVER, 6)
    assert superseded(record, operation_id="op", epoch=5, base_snapshot="s1"), "the first task must stop"


def test_steps_and_leases_move_only_themselves() -> None:
    assert FAILING_OVER.operation
    record = renewed(advanced(FAILING_OVER, Step.ENABLING), LATER + LEASE)
    assert record == FAILING_OVER.model_copy(
        update={
            "operation": FAILING_OVER.operation.model_copy(update={"step": Step.ENABLING, "lease_until": LATER + LEASE})
        }
    )
    assert record.operation
    assert record.operation.open(LATER + LEASE - timedelta.resolution)
    assert not record.operation.open(LATER + LEASE)


BACK = [(FAILING_OVER, Phase.NORMAL), (FAILING_BACK, Phase.FAILED_OVER)]


@pytest.mark.parametrize(("record", "phase"), BACK)
def test_giving_up_returns_to_where_it_began_but_not_to_its_epoch(record: Record, phase: Phase) -> None:
    back = given_up(record)
    assert (back.phase, back.operation) == (phase, None)
    assert (back.active, back.epoch) == (record.active, record.epoch)


@pytest.mark.parametrize(("record", "phase"), BACK)
def test_a_switchover_that_has_only_disabled_jobs_can_be_rolled_back(record: Record, phase: Phase) -> None:
    back = rolled_back(advanced(record, Step.DISABLING))
    assert (back.phase, back.operation) == (phase, None)
    assert (back.active, back.epoch) == (record.active, record.epoch)


@pytest.mark.parametrize("step", [Step.CLAIMED, Step.ENABLING])
def test_nothing_else_is_rolled_back(step: Step) -> None:
    with pytest.raises(AssertionError):
        rolled_back(advanced(FAILING_OVER, step))


@pytest.mark.parametrize("step", [Step.DISABLING, Step.ENABLING])
def test_nobody_gives_up_after_a_server_was_changed(step: Step) -> None:
    with pytest.raises(AssertionError):
        given_up(advanced(FAILING_OVER, step))


def test_after_a_failover_a_person_has_to_look_at_it() -> None:
    record = promoted(FAILING_OVER, now=LATER, left="left", cool_down=COOL_DOWN)
    assert (record.phase, record.active, record.operation) == (Phase.FAILED_OVER, Role.SLAVE, None)
    assert record.last_promotion == Promotion(
        id="op", kind="failover", at=LATER, plan="s1", complete=False, left="left"
    )
    assert (record.cool_down_until, record.acknowledged) == (LATER + COOL_DOWN, False)
    assert record.epoch == FAILING_OVER.epoch
    seen = acknowledged(record)
    assert (seen.cool_down_until, seen.acknowledged) == (None, True)
    assert seen.phase is Phase.FAILED_OVER


def test_after_a_switchover_nobody_has_to() -> None:
    record = promoted(claimed(kind="switchover"), now=LATER, cool_down=None)
    assert (record.cool_down_until, record.acknowledged) == (None, True)
    assert record.last_promotion
    assert record.last_promotion.kind == "switchover"


def test_a_promotion_can_be_completed_later() -> None:
    record = completed(promoted(FAILING_OVER, now=LATER, left="left", cool_down=COOL_DOWN))
    assert record == FAILED_OVER
    part = completed(promoted(FAILING_OVER, now=LATER, left="left", cool_down=COOL_DOWN), "fewer").last_promotion
    assert part
    assert (part.complete, part.left) == (False, "fewer")
    with pytest.raises(AssertionError):
        completed(NORMAL)


def test_after_a_failback_the_slave_is_dirty_until_a_sync() -> None:
    record = failed_back(FAILING_BACK, now=LATER)
    assert (record.phase, record.active, record.operation) == (Phase.NORMAL, Role.MASTER, None)
    assert record.dirty == Dirty(since=LATER, reason="handed back to the master, not synced yet")
    assert record.acknowledged
    assert record.epoch == FAILING_BACK.epoch
    assert record.cool_down_until == FAILED_OVER.cool_down_until, "a flapping master is not promoted away again at once"


@pytest.mark.parametrize("phase", PHASES)
def test_a_release_leads_back_to_the_phase_before_the_halt(phase: Phase) -> None:
    record = HALTED[phase]
    assert record.halted == Halt(since=NOW, code="record_contradicted", reason="lost", by="monitor", phase=phase)
    assert record.phase is Phase.HALTED
    assert released(record) == PHASES[phase]


def test_the_first_halt_stays() -> None:
    first = HALTED[Phase.FAILED_OVER]
    assert halted(first, now=LATER, code="other", reason="other", by="other") is first


def test_who_is_not_halted_is_not_released() -> None:
    with pytest.raises(AssertionError):
        released(NORMAL)


ARROWS: dict[tuple[Phase, Phase], Callable[[Record], Record]] = {
    (Phase.NORMAL, Phase.FAILING_OVER): lambda record: claimed(record),
    (Phase.FAILED_OVER, Phase.FAILING_BACK): lambda record: claimed(record, Role.MASTER, "switchover"),
    (Phase.FAILING_OVER, Phase.NORMAL): given_up,
    (Phase.FAILING_BACK, Phase.FAILED_OVER): given_up,
    (Phase.FAILING_OVER, Phase.FAILED_OVER): lambda r: promoted(r, now=LATER, cool_down=COOL_DOWN),
    (Phase.FAILING_BACK, Phase.NORMAL): lambda record: failed_back(record, now=LATER),
    **{(phase, Phase.HALTED): halt for phase in PHASES},
    **{(Phase.HALTED, phase): released for phase in PHASES},
}


def in_phase(phase: Phase, then: Phase) -> Record:
    return HALTED[then] if phase is Phase.HALTED else PHASES[phase]


def test_the_diagram_has_these_arrows_and_no_other() -> None:
    assert [(start, end) for start, end, _ in TRANSITIONS] == list(dict.fromkeys((s, e) for s, e, _ in TRANSITIONS))
    assert {(start, end) for start, end, _ in TRANSITIONS} == ARROWS.keys()


@pytest.mark.parametrize(("start", "end"), ARROWS)
def test_each_arrow_leads_where_the_diagram_says(start: Phase, end: Phase) -> None:
    assert ARROWS[start, end](in_phase(start, end)).phase is end


MOVES: dict[str, Callable[[Record], Record]] = {
    "claim the slave": lambda record: claimed(record),
    "claim the master": lambda record: claimed(record, Role.MASTER, "switchover"),
    "give up": given_up,
    "roll back": lambda record: rolled_back(advanced(record, Step.DISABLING)),
    "promote": lambda record: promoted(record, now=LATER, cool_down=COOL_DOWN),
    "fail back": lambda record: failed_back(record, now=LATER),
    "release": released,
}
ALLOWED = {
    "claim the slave": {Phase.NORMAL},
    "claim the master": {Phase.FAILED_OVER},
    "give up": {Phase.FAILING_OVER, Phase.FAILING_BACK},
    "roll back": {Phase.FAILING_OVER, Phase.FAILING_BACK},
    "promote": {Phase.FAILING_OVER},
    "fail back": {Phase.FAILING_BACK},
    "release": {Phase.HALTED},
}


@pytest.mark.parametrize(
    ("move", "phase"), [(move, phase) for move in MOVES for phase in Phase if phase not in ALLOWED[move]]
)
def test_what_no_arrow_allows_is_refused(move: str, phase: Phase) -> None:
    """Even where the record has all that the move needs."""
    record = in_phase(phase, Phase.NORMAL)
    whole = record.model_copy(update={"operation": FAILING_OVER.operation})
    if move == "release":
        whole = whole.model_copy(update={"halted": HALTED[Phase.FAILED_OVER].halted})
    with pytest.raises(AssertionError):
        MOVES[move](whole)


def test_a_sync_is_neither_promoted_nor_given_up() -> None:
    syncing = begin_import(NORMAL, operation_id="sync", target="//s:8000", now=NOW, lease=LEASE)
    for move in (MOVES["promote"], MOVES["give up"]):
        with pytest.raises(AssertionError):
            move(syncing.model_copy(update={"phase": Phase.FAILING_OVER}))


@pytest.mark.parametrize("change", [lambda r: advanced(r, Step.ENABLING), lambda r: renewed(r, LATER)])
def test_without_an_operation_there_is_nothing_to_move(change: Callable[[Record], Record]) -> None:
    with pytest.raises(AssertionError):
        change(NORMAL)
    with pytest.raises(AssertionError):
        resumed(NORMAL, operation_id="x", now=NOW, lease=LEASE)


@given(st.lists(st.sampled_from([*MOVES, "resume", "halt", "initialise"]), max_size=30))
def test_epochs_never_shrink_and_grow_with_every_claim(moves: list[str]) -> None:
    others: dict[str, Callable[[Record], Record]] = {
        "resume": lambda record: resumed(record, operation_id="next", now=LATER, lease=LEASE),
        "halt": halt,
        "initialise": lambda record: initialised(
            record, active=Role.SLAVE, epoch=1, master="m", slave="s", now=LATER, by="ana"
        ),
    }
    record = NORMAL
    for move in moves:
        try:
            after = {**MOVES, **others}[move](record)
        except AssertionError:
            continue
        new_epoch = move in ("claim the slave", "claim the master", "resume", "initialise")
        assert after.epoch == record.epoch + new_epoch
        assert after.phase is record.phase or move == "initialise" or (record.phase, after.phase) in ARROWS
        if after.phase in (Phase.NORMAL, Phase.FAILING_OVER):
            assert after.active is Role.MASTER
        if after.phase in (Phase.FAILED_OVER, Phase.FAILING_BACK):
            assert after.active is Role.SLAVE
        assert Record.from_json(after.to_json()) == after
        record = after


def test_a_pause_has_a_reason_a_name_and_perhaps_an_end() -> None:
    record = paused(FAILED_OVER, now=NOW, reason="upgrade", by="ana", until=LATER)
    assert record.paused == Pause(since=NOW, reason="upgrade", by="ana", until=LATER)
    assert record.phase is Phase.FAILED_OVER, "pausing is no phase"
    assert unpaused(record) == FAILED_OVER


def test_an_approval_is_asked_by_one_and_given_by_another() -> None:
    asked = approval_asked(NORMAL, by="run 7", until=LATER)
    assert asked.approval == Approval(requested_by="run 7", until=LATER, granted_by=None)
    given_later = approval_given(asked, by="ana", until=LATER + LEASE)
    assert given_later.approval == Approval(requested_by="run 7", until=LATER + LEASE, granted_by="ana")
    assert approval_given(NORMAL, by="ana", until=LATER).approval == Approval(
        requested_by="ana", until=LATER, granted_by="ana"
    )


def test_an_event_waits_in_the_record_and_the_oldest_go_first() -> None:
    record = NORMAL
    for number in range(OUTBOX + 2):
        record = noted(record, {"id": number})
    assert [event["id"] for event in record.outbox] == list(range(2, OUTBOX + 2))
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("active", "phase"), [(Role.MASTER, Phase.NORMAL), (Role.SLAVE, Phase.FAILED_OVER)], ids=["master", "slave"]
)
def test_initialising_starts_afresh_in_an_epoch_that_nobody_had(active: Role, phase: Phase) -> None:
    old = noted(HALTED[Phase.FAILING_OVER], {"id": "e1"})
    record = initialised(old, active=active, epoch=3, master="//m2:8000", slave="//s2:8000", now=LATER, by="ana")
    assert (record.phase, record.active, record.epoch) == (phase, active, old.epoch + 1)
    assert (record.master, record.slave) == ("//m2:8000", "//s2:8000")
    assert (record.operation, record.halted, record.cool_down_until) == (None, None, None)
    assert record.dirty == Dirty(since=LATER, reason="initialised by hand, not synced yet")
    assert record.snapshot == SNAPSHOT
    assert record.outbox == old.outbox
    assert (record.last_promotion is None) is (active is Role.MASTER)


def test_initialising_without_a_record_goes_on_after_the_greatest_epoch_known() -> None:
    record = initialised(None, active=Role.MASTER, epoch=41, master="m", slave="s", now=NOW, by="ana")
    assert (record.epoch, record.snapshot, record.outbox) == (42, None, ())
    again = initialised(record, active=Role.MASTER, epoch=41, master="m", slave="s", now=NOW, by="ana")
    assert again.epoch == 43
    restored = initialised(NORMAL, active=Role.MASTER, epoch=41, master="m", slave="s", now=NOW, by="ana")
    assert restored.epoch == 42, "an old record was restored, and the greatest epoch is known from elsewhere"
