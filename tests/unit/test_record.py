"""The HA record: how it may change, and when a task belongs to the past."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.drill import Drill
from denodo_ha.jobs import JobKey
from denodo_ha.preconditions import sync_may_begin
from denodo_ha.record import (
    SCHEMA,
    Approval,
    Dirty,
    Halt,
    NewerRecordError,
    Operation,
    Pause,
    PendingJob,
    Phase,
    Promotion,
    Record,
    RecordError,
    Role,
    SnapshotRef,
    Step,
    answered,
    begin_import,
    close_operation,
    commit,
    covers,
    importing,
    mark_dirty,
    superseded,
)
from denodo_ha.transitions import learned

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)


def snapshot(name: str = "s1", taken: datetime = NOW) -> SnapshotRef:
    return SnapshotRef(
        id=name, taken=taken, committed=taken, imported=taken, content_hash="c", manifest_hash="m", jobs=2, enabled=1
    )


def begun(record: Record | None = None, operation_id: str = "op") -> Record:
    start = record or Record(snapshot=snapshot())
    return begin_import(start, operation_id=operation_id, target="slave", now=NOW, lease=LEASE)


PENDING = PendingJob(
    key=JobKey(project="p", name="a"), code="no_moment", why="it fires too often", on_target=False, next_step="wait"
)
KNOWN = Capabilities(version="9.1.0", faithful=("VDP",))
FULL = answered(begun()).model_copy(
    update={
        "paused": Pause(since=NOW, reason="upgrade"),
        "epoch": 7,
        "pending": (PENDING,),
        "capabilities": {Role.SLAVE: KNOWN},
    }
)


def test_a_record_survives_its_storage() -> None:
    assert Record.from_json(FULL.to_json()) == FULL


SCHEMA_1 = """
{"schema_number": 1, "phase": "normal", "active": "master", "epoch": 3, "slave": "//slave-host:8000",
 "paused": {"since": "2026-03-01T12:00:00Z", "reason": "upgrade"},
 "operation": {"kind": "sync", "id": "manual__2026", "target": "//slave-host:8000", "step": "importing",
               "started": "2026-03-01T12:00:00Z", "lease_until": "2026-03-01T12:15:00Z"},
 "dirty": {"since": "2026-03-01T12:00:00Z", "reason": "an import was begun and is not verified yet"},
 "snapshot": {"id": "20260301T110000Z-x", "taken": "2026-03-01T11:00:00Z", "committed": "2026-03-01T11:01:00Z",
              "imported": "2026-03-01T11:00:30Z", "content_hash": "c", "manifest_hash": "m", "jobs": 12, "enabled": 9}}
"""


SCHEMA_2 = """
{"schema_number": 2, "phase": "failed_over", "active": "slave", "epoch": 4, "master": "//master-host:8000",
 "slave": "//slave-host:8000", "paused": null, "halted": null, "operation": null, "dirty": null,
 "snapshot": {"id": "20260301T110000Z-x", "taken": "2026-03-01T11:00:00Z", "committed": "2026-03-01T11:01:00Z",
              "imported": "2026-03-01T11:00:30Z", "content_hash": "c", "manifest_hash": "m", "jobs": 12, "enabled": 9},
 "cool_down_until": "2026-03-01T12:15:00Z", "acknowledged": false, "approval": null,
 "last_promotion": {"id": "f", "kind": "failover", "at": "2026-03-01T12:00:00Z", "plan": "20260301T110000Z-x",
                    "complete": true, "left": null},
 "outbox": [{"id": "7", "kind": "failover"}]}
"""


def test_a_record_of_schema_1_is_read_with_all_it_says() -> None:
    record = Record.from_json(json.loads(SCHEMA_1))
    assert record.schema_number == SCHEMA == 5
    assert (record.phase, record.active, record.epoch) == (Phase.NORMAL, Role.MASTER, 3)
    assert (record.slave, record.master) == ("//slave-host:8000", None)
    assert record.paused == Pause(since=NOW, reason="upgrade", by="", until=None)
    assert record.operation == Operation(
        kind="sync",
        id="manual__2026",
        target="//slave-host:8000",
        step=Step.IMPORTING,
        started=NOW,
        lease_until=NOW + LEASE,
    )
    assert record.dirty == begun().dirty
    assert record.snapshot_id == "20260301T110000Z-x"
    assert (record.acknowledged, record.cool_down_until, record.outbox) == (True, None, ())
    assert Record.from_json(record.to_json()) == record


def test_a_record_of_schema_2_is_read_with_all_it_says() -> None:
    """All its snapshots were the master's; nothing was pending, and nothing learned."""
    before = json.loads(SCHEMA_2)
    record = Record.from_json(before)
    assert record.snapshot
    assert (record.schema_number, record.snapshot.source) == (SCHEMA, Role.MASTER)
    assert (record.pending, record.capabilities) == ((), {})
    after = record.to_json()
    after["snapshot"].pop("source")
    for name in ("since", "heard"):
        after["last_promotion"].pop(name)
    new = {"pending": [], "capabilities": {}, "version": 0, "exclusive": True, "doubts": [], "sync_problem": None}
    new |= {"drill": None, "scratch": None}
    assert {**after, "schema_number": 2} == {**before, **new}
    assert Record.from_json(record.to_json()) == record


def test_a_record_of_schema_3_has_no_version_yet() -> None:
    before = {name: value for name, value in FULL.to_json().items() if name not in ("version", "exclusive")}
    record = Record.from_json({**before, "schema_number": 3})
    assert record == FULL
    assert (record.version, record.exclusive) == (0, True)


def test_a_record_of_schema_4_has_no_drill_yet() -> None:
    before = {name: value for name, value in FULL.to_json().items() if name not in ("drill", "scratch")}
    assert Record.from_json({**before, "schema_number": 4}) == FULL


def test_a_record_of_schema_4_knows_of_no_doctor_yet() -> None:
    before = {name: value for name, value in FULL.to_json().items() if name not in ("drill", "scratch")}
    learned = {"version": "9", "faithful": ["VDP"], "import_replaces": None, "unfaithful": [], "longest_import": 2.0}
    record = Record.from_json({**before, "schema_number": 4, "capabilities": {"slave": learned}})
    assert record.scratch is None
    assert (record.capabilities[Role.SLAVE].faithful, record.capabilities[Role.SLAVE].offsets) == (("VDP",), None)


def test_a_drill_is_of_a_passive_slave() -> None:
    drill = Drill(id="d", by="jo", at=NOW, job=JobKey(project="a", name="b"))
    operation = Operation(kind="drill", id="d", target="t", step=Step.ENABLING, started=NOW, lease_until=NOW + LEASE)
    good = Record(operation=operation, drill=drill)
    assert Record.from_json(good.to_json()) == good
    assert good.drilled == drill.job
    ended = drill.ended_at(NOW).model_dump(mode="json")
    for wrong in ({"drill": None}, {"drill": ended}, {"phase": "failed_over", "active": "slave"}):
        with pytest.raises(RecordError, match="a drill is of a passive slave"):
            Record.from_json({**good.to_json(), **wrong})


SHAPES = {
    2: {
        "Record": "acknowledged active approval cool_down_until dirty epoch halted last_promotion master operation "
        "outbox paused phase schema_number slave snapshot",
        "Approval": "granted_by requested_by until",
        "Dirty": "reason since",
        "Halt": "by code phase reason since",
        "Operation": "id kind lease_until plan started step target",
        "Pause": "by reason since until",
        "Phase": "failed_over failing_back failing_over halted normal",
        "Promotion": "at complete id kind left plan",
        "Role": "master slave",
        "SnapshotRef": "committed content_hash enabled id imported jobs manifest_hash taken",
        "Step": "answered claimed disabling enabling importing",
    },
    3: {
        "Record": "acknowledged active approval capabilities cool_down_until dirty epoch halted last_promotion master "
        "operation outbox paused pending phase schema_number slave snapshot",
        "Approval": "granted_by requested_by until",
        "Capabilities": "faithful import_replaces longest_import unfaithful version",
        "Dirty": "reason since",
        "Halt": "by code phase reason since",
        "JobKey": "name project",
        "Operation": "id kind lease_until plan started step target",
        "Pause": "by reason since until",
        "PendingJob": "code key next_step on_target why",
        "Phase": "failed_over failing_back failing_over halted normal",
        "Promotion": "at complete id kind left plan since",
        "Role": "master slave",
        "SnapshotRef": "committed content_hash enabled id imported jobs manifest_hash source taken",
        "Step": "answered claimed disabling enabling importing",
    },
}
SHAPES[4] = {
    **SHAPES[3],
    "Record": " ".join(sorted([*SHAPES[3]["Record"].split(), "doubts", "exclusive", "sync_problem", "version"])),
    "Doubt": "accepted_by role since text",
    "Operation": "alike id kind lease_until plan started step target",
    "Promotion": "at complete heard id kind left plan since",
    "SyncProblem": "code next_step since what",
}
SHAPES[5] = {
    **SHAPES[4],
    "Record": " ".join(sorted([*SHAPES[4]["Record"].split(), "drill", "scratch"])),
    "Capabilities": "faithful import_replaces longest_import offsets past_start_fires tried unfaithful version",
    "Drill": "at by code done ended id job left next_step what",
    "Drilled": "code disabled enabled ended key next_step result started what",
    "Scratch": "id importing lease_until projects role since target",
    "Tried": "at question seen verdict",
}


def test_another_shape_has_another_number() -> None:
    """An older version takes a record of its own number with a field that it does not know for a damaged one."""
    schema = Record.model_json_schema()
    shape = {"Record": schema, **schema["$defs"]}
    found = {name: " ".join(sorted(part.get("properties") or part["enum"])) for name, part in shape.items()}
    assert found == SHAPES[SCHEMA], (
        "give SCHEMA a new number, migrate the old one, and keep its shape and a sample here"
    )


def test_what_the_record_refers_to_is_known() -> None:
    operation = Operation(
        kind="switchover", id="s", target="t", step=Step.CLAIMED, started=NOW, lease_until=NOW, plan="jobs"
    )
    promotion = Promotion(id="f", kind="failover", at=NOW, plan="promoted", complete=False, left="rest")
    record = Record(operation=operation, last_promotion=promotion, snapshot=snapshot())
    assert record.stored == {"jobs", "promoted", "rest", snapshot().id}
    assert Record().stored == set()


def test_a_record_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        FULL.epoch = 8  # type: ignore[misc]


def test_a_record_of_a_newer_version_is_told_from_a_damaged_one() -> None:
    with pytest.raises(NewerRecordError) as caught:
        Record.from_json({"schema_number": 6, "unknown": True})
    assert "has schema 6, and this version knows schemas up to 5" in caught.value.what
    assert caught.value.next_step.startswith("upgrade this project to the version that wrote it")
    assert str(caught.value) == f"{caught.value.what}. Next: {caught.value.next_step}."


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("text", "record: "),
        ([], "record: "),
        (None, "record: "),
        ({"phase": "nonsense"}, "phase: "),
        ({"schema_number": "x"}, "schema_number: "),
        ({"unknown": 1}, "unknown: "),
        ({"schema_number": 1, "unknown": 1}, "unknown: "),
        ({"operation": {"kind": "party"}}, "operation.kind: "),
        ({"dirty": {"since": "yesterday", "reason": ""}}, "dirty.since: "),
    ],
    ids=str,
)
def test_a_damaged_record_says_where_it_is_damaged(value: Any, where: str) -> None:
    with pytest.raises(RecordError, match="cannot be read") as caught:
        Record.from_json(value)
    assert not isinstance(caught.value, NewerRecordError)
    assert where in caught.value.what
    assert "initialise the pair" in caught.value.next_step


def test_the_intent_makes_the_slave_dirty_and_opens_an_operation_with_a_lease() -> None:
    record = begun()
    assert record.operation == Operation(
        kind="sync", id="op", target="slave", step=Step.IMPORTING, started=NOW, lease_until=NOW + LEASE
    )
    assert record.dirty == Dirty(since=NOW, reason="an import was begun and is not verified yet")
    assert record.snapshot == snapshot(), "the old snapshot stays the committed one"


@pytest.mark.parametrize(
    ("record", "after", "in_flight"),
    [
        (begun(), MINUTE, True),
        (begun(), LEASE - timedelta.resolution, True),
        (begun(), LEASE, False),
        (answered(begun()), MINUTE, False),
    ],
    ids=["unanswered", "end of the lease", "after the lease", "answered"],
)
def test_an_import_is_in_flight_until_its_answer_or_the_end_of_its_lease(
    record: Record, after: timedelta, in_flight: bool
) -> None:
    assert record.operation
    assert record.operation.in_flight(NOW + after) is in_flight


def test_closing_an_operation_leaves_the_dirt() -> None:
    record = close_operation(begun())
    assert record.operation is None
    assert record.dirty == begun().dirty


def test_the_first_mark_of_dirt_stays() -> None:
    first = mark_dirty(Record(), now=NOW, reason="first")
    assert mark_dirty(first, now=NOW + MINUTE, reason="second") == first
    assert begin_import(first, operation_id="op", target="slave", now=NOW + MINUTE, lease=LEASE).dirty == first.dirty


def test_a_commit_clears_dirt_and_operation() -> None:
    record = commit(answered(begun()), snapshot("s2"))
    assert record == Record(snapshot=snapshot("s2"))
    assert record.snapshot_id == "s2"


def test_a_commit_says_what_it_leaves_out_and_the_next_one_forgets_it() -> None:
    record = commit(answered(begun()), snapshot("s2"), (PENDING,))
    assert record == Record(snapshot=snapshot("s2"), pending=(PENDING,))
    assert commit(record, snapshot("s3")) == Record(snapshot=snapshot("s3"))


def test_each_request_of_an_operation_is_in_flight_again_after_the_answer_before() -> None:
    later = NOW + LEASE + MINUTE
    record = importing(answered(begun()), later)
    assert record.operation
    assert record.operation.in_flight(later - MINUTE)
    assert not record.operation.in_flight(later)
    assert answered(record) == answered(importing(begun(), later)), "nothing else changed"
    assert record.dirty == begun().dirty


def test_what_is_learned_of_one_server_leaves_the_other_one() -> None:
    more = Capabilities(version="9.2.0")
    record = learned(learned(begun(), Role.SLAVE, KNOWN), Role.MASTER, more)
    assert record.capabilities == {Role.SLAVE: KNOWN, Role.MASTER: more}
    assert record.operation == begun().operation
    assert learned(record, Role.SLAVE, more).capabilities == {Role.SLAVE: more, Role.MASTER: more}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"dirty": Dirty(since=NOW, reason="x")}, None),
        ({"operation": begun().operation}, None),
        ({"phase": Phase.HALTED}, "halted"),
        ({"phase": Phase.HALTED, "paused": Pause(since=NOW, reason="x")}, "halted"),
        ({"phase": Phase.FAILING_OVER}, "failing_over"),
        ({"phase": Phase.FAILED_OVER, "active": Role.SLAVE}, "failed_over"),
        ({"phase": Phase.FAILING_BACK}, "failing_back"),
        ({"paused": Pause(since=NOW, reason="x")}, "paused"),
        ({"paused": Pause(since=NOW, reason="x", until=NOW + MINUTE)}, "paused"),
        ({"paused": Pause(since=NOW, reason="x", until=NOW)}, None),
        ({"approval": Approval(requested_by="x", until=NOW)}, None),
        ({"acknowledged": False, "cool_down_until": NOW + MINUTE}, None),
        (
            {
                "operation": Operation(
                    kind="failover", id="f", target="slave", step=Step.ANSWERED, started=NOW, lease_until=NOW
                )
            },
            "operation_open",
        ),
    ],
)
def test_only_a_normal_pair_that_nobody_paused_is_synced(changes: dict[str, Any], code: str | None) -> None:
    refused = sync_may_begin(Record().model_copy(update=changes), NOW, Role.MASTER)
    assert (refused and refused[0]) == code
    assert refused is None or all(refused)


FAILED_OVER = {"phase": Phase.FAILED_OVER, "active": Role.SLAVE}
PROMOTION = Promotion(id="f", kind="failover", at=NOW, plan="p", complete=True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (FAILED_OVER, None),
        (FAILED_OVER | {"last_promotion": PROMOTION}, None),
        (FAILED_OVER | {"last_promotion": PROMOTION.model_copy(update={"complete": False})}, "promotion_incomplete"),
        (FAILED_OVER | {"paused": Pause(since=NOW, reason="x")}, "paused"),
        (FAILED_OVER | {"dirty": Dirty(since=NOW, reason="x"), "operation": begun().operation}, None),
        ({}, "master_active"),
        ({"phase": Phase.FAILING_OVER}, "failing_over"),
        ({"phase": Phase.FAILING_BACK, "active": Role.SLAVE}, "failing_back"),
        ({"phase": Phase.HALTED, "active": Role.SLAVE}, "halted"),
    ],
)
def test_the_slave_is_copied_only_while_it_is_the_active_server(changes: dict[str, Any], code: str | None) -> None:
    refused = sync_may_begin(Record().model_copy(update=changes), NOW, Role.SLAVE)
    assert (refused and refused.code) == code


def test_a_sync_that_is_refused_after_a_failover_names_the_way_home() -> None:
    refused = sync_may_begin(Record().model_copy(update=FAILED_OVER), NOW, Role.MASTER)
    assert refused
    assert "'re-protect' ticked" in refused.next_step


def test_a_halted_pair_says_why() -> None:
    halt = Halt(since=NOW, code="record_contradicted", reason="the record was lost", by="x", phase=Phase.NORMAL)
    refused = sync_may_begin(Record(phase=Phase.HALTED, halted=halt), NOW, Role.MASTER)
    assert refused
    assert refused[1] == "the pair is halted: the record was lost"


@pytest.mark.parametrize(
    ("until", "now", "expected"),
    [
        (None, NOW + timedelta(days=999), True),
        (NOW + MINUTE, NOW + MINUTE - timedelta.resolution, True),
        (NOW + MINUTE, NOW + MINUTE, False),
    ],
    ids=["without an end", "before its end", "at its end"],
)
def test_a_pause_ends_by_itself_if_somebody_said_when(until: datetime | None, now: datetime, expected: bool) -> None:
    assert Record(paused=Pause(since=NOW, reason="x", until=until)).is_paused(now) is expected
    assert not Record().is_paused(now)


@pytest.mark.parametrize(
    ("wanted", "covered"), [(NOW - MINUTE, True), (NOW, True), (NOW + MINUTE, False)], ids=["older", "same", "newer"]
)
def test_a_snapshot_covers_the_moments_before_it_was_taken(wanted: datetime, covered: bool) -> None:
    assert covers(Record(snapshot=snapshot()), wanted, now=NOW + LEASE) is covered
    assert not covers(Record(), wanted, now=NOW + LEASE)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Record(snapshot=snapshot()), None),
        (begun(operation_id="mine"), None),
        (begun(operation_id="other"), "the operation other has begun since"),
        (Record(snapshot=snapshot("s2")), "the snapshot s2 has been committed since"),
        (Record(), "the snapshot None has been committed since"),
        (Record(snapshot=snapshot(), epoch=2), "the pair is in epoch 2, this run belongs to epoch 1"),
    ],
    ids=["still current", "own operation", "other operation", "newer snapshot", "other record", "newer epoch"],
)
def test_a_task_belongs_to_the_past_when_anything_newer_happened(record: Record, why: str | None) -> None:
    assert superseded(record, operation_id="mine", epoch=1, base_snapshot="s1") == why
