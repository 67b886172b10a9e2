"""Stored state that no task has written: each is a usable value, or the error of its kind, and never another one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.pieces import DeliveryPlan
from denodo_ha.jobs import JobKey
from denodo_ha.record import (
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
    covers,
)
from denodo_ha.server.connection import parse_extra
from denodo_ha.snapshot.contents import ArchiveContents, Element
from denodo_ha.snapshot.manifest import Manifest, ManifestError, ManifestJob
from denodo_ha.snapshot.zip_check import ArchiveError
from denodo_ha.sync_results import Disabled, Exported, Imported
from denodo_ha.transitions import UNKNOWN, noted, under_way
from denodo_ha.verdict import Evidence, Verdict
from denodo_ha.watching import Watching, compare, monitor_stopped
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.outcome import Blocked, readable

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = JobKey(project="p", name="a")
SNAPSHOT = SnapshotRef(
    id="s1", taken=NOW, committed=NOW, imported=NOW, content_hash="c", manifest_hash="m", jobs=2, enabled=1
)
EVENT = {"id": "e1", "kind": "failover_begun", "at": NOW.isoformat(), "epoch": 4, "after": {"enabled": UNKNOWN}}
OPERATION = Operation(
    kind="failover", id="r/1", target="t", step=Step.ENABLING, started=NOW, lease_until=NOW + HOUR, plan="s1"
)
PROMOTION = Promotion(id="r/1", kind="failover", at=NOW, plan="s1", complete=False, left="l1")
FAILING_OVER = Record(
    phase=Phase.FAILING_OVER,
    epoch=4,
    master="//m:8000",
    slave="//s:8000",
    paused=Pause(since=NOW, reason="upgrade", until=NOW + HOUR),
    operation=OPERATION,
    dirty=Dirty(since=NOW, reason="an import"),
    snapshot=SNAPSHOT,
    cool_down_until=NOW,
    approval=Approval(requested_by="r", until=NOW),
    last_promotion=PROMOTION,
    pending=(PendingJob(key=KEY, code="no_moment", why="it fires too often", on_target=False),),
    capabilities={Role.SLAVE: Capabilities(version="9.1.0", faithful=("VDP",), longest_import=3.5)},
    outbox=(EVENT,),
)
FAILED_OVER = FAILING_OVER.model_copy(update={"phase": Phase.FAILED_OVER, "active": Role.SLAVE, "operation": None})
HALTED = FAILED_OVER.model_copy(
    update={"phase": Phase.HALTED, "halted": Halt(since=NOW, code="c", reason="r", by="b", phase=Phase.FAILED_OVER)}
)
RECORDS = [FAILING_OVER, FAILED_OVER, HALTED]
MANIFEST = Manifest(
    jobs=(
        ManifestJob(key=KEY, type="VDP", enabled=True, definition_hash="h", crons=("0 0 * * * ?",), next_execution=NOW),
    )
)
CONTENTS = ArchiveContents(
    version="9.1", elements=(Element(kind="job", project="p", name="a", hash="h", entry="p/a.xml"),)
)
WATCHING = {
    "owner": "run", "verdict": "up", "code": "healthy", "settled": True, "since": NOW.isoformat(),
    "at": NOW.isoformat(), "last_alive": NOW.isoformat(), "second_good": NOW.isoformat(), "outbox": [EVENT],
    "paths": {"master": {"said": "up", "what": "it answers", "at": NOW.isoformat(), "seconds": 0.1}},
}  # fmt: skip
TICKET = SyncTicket("run", 3, "s1", Role.SLAVE, "9.1.0")
EXPORTED = Exported("s1", "/x", NOW.isoformat(), "9.1", "c", "m", 10, 2, 1, False, "why")
IMPORTED = Imported("run/1", "s1", *[NOW.isoformat()] * 3, [], [["p", "a"]])
EVIDENCE = Evidence(Verdict.DOWN, NOW, 4, NOW, NOW, 9)


NESTED = "stands for lists in lists, which Hypothesis could not show"


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def grown(value: Any) -> Any:
    """Put lists in lists where NESTED is."""
    if isinstance(value, dict):
        return {key: grown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [grown(inner) for inner in value]
    return nested(300) if value == NESTED else value


ODD = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1.5, 10**30, -(10**400), float("inf"), float("nan"), "", "x", "\0", "\ud800"),
        *("9" * 5000, [], {}, [[]], {"a": {}}, NESTED, "2026-03-01T12:00:00"),
        "9999-12-31T23:59:59-14:00",
        *("0001-01-01T00:00:00+14:00", "2026-03-01T12:00:00Z", "failed_over", "master", "sync", "halted", UNKNOWN),
    ]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, sound: Any) -> Any:
    """A JSON value, with a few of its parts replaced, removed, added or doubled."""
    value = json.loads(json.dumps(sound))
    for _ in range(draw(st.integers(1, 4))):
        places = [*_places(value)]
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["put", "put", "put", "drop", "add", "double"])):
            case "put":
                holder[key] = deepcopy(draw(ODD))
            case "drop":
                holder.pop(key)
            case "add" if isinstance(holder, dict):
                holder["new"] = deepcopy(draw(ODD))
            case _:
                if isinstance(holder, list):
                    holder.append(deepcopy(holder[key]))
    return grown(value)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def used(record: Record) -> None:
    """What each look does with a record."""
    record.is_paused(NOW)
    covers(record, NOW, NOW)
    if record.operation:
        record.operation.open(NOW)
        record.operation.in_flight(NOW)
    if record.last_promotion:
        assert NOW - record.last_promotion.at < timedelta.max
    for each in record.capabilities.values():
        each.lines()
    for event in record.outbox:
        under_way(event, NOW, HOUR)
    json.dumps(noted(record, {"id": "new"}).to_json()).encode()


def changed(value: Any, **fields: Any) -> dict[str, Any]:
    return {**value.model_dump(mode="json"), **fields}


class TestRecord:
    @pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.phase)
    def test_sound_ones_are_read(self, record: Record) -> None:
        assert Record.from_json(record.to_json()) == record

    @settings(max_examples=400, deadline=None)
    @given(st.sampled_from([record.to_json() for record in RECORDS]).flatmap(damaged))
    def test_a_damaged_one_is_usable_or_the_error_of_its_kind(self, value: Any) -> None:
        with suppress(RecordError):
            used(Record.from_json(value))

    @pytest.mark.parametrize(
        ("record", "changes", "where"),
        [
            (FAILED_OVER, {"active": "master"}, "active: in phase failed_over it is the slave"),
            (FAILING_OVER, {"active": "slave"}, "active: in phase failing_over it is the master"),
            (FAILING_OVER, {"phase": "failing_back"}, "active: in phase failing_back it is the slave"),
            (FAILING_OVER, {"operation": None}, "operation: in phase failing_over there is one"),
            (FAILED_OVER, {"phase": "failing_back"}, "operation: in phase failing_back there is one"),
            (FAILED_OVER, {"phase": "normal"}, "active: in phase normal it is the master"),
            (FAILED_OVER, {"phase": "halted"}, "halted: the phase says otherwise"),
            (HALTED, {"phase": "failed_over"}, "halted: the phase says otherwise"),
            (HALTED, {"active": "master"}, "active: in phase failed_over it is the slave"),
            (HALTED, {"halted": {**HALTED.to_json()["halted"], "phase": "halted"}}, "halted: the phase says otherwise"),
            (FAILING_OVER, {"operation": changed(OPERATION, plan=None)}, "there is one that changes"),
            (FAILING_OVER, {"operation": changed(OPERATION, step="importing")}, "operation.step"),
            (FAILING_OVER, {"operation": changed(OPERATION, lease_until="2026-02-28T00:00:00Z")}, "before"),
            (FAILING_OVER, {"operation": changed(OPERATION, started="2026-03-01T12:00:00")}, "timezone"),
            (FAILED_OVER, {"cool_down_until": "2026-03-01T12:00:00"}, "cool_down_until: "),
            (FAILED_OVER, {"cool_down_until": "9999-12-31T23:59:59Z"}, "cool_down_until: "),
            (FAILED_OVER, {"paused": {"since": "2026-03-01T12:00:00Z", "reason": "", "until": "2026-03-01"}}, "until"),
            (FAILED_OVER, {"epoch": -1}, "epoch: "),
            (FAILED_OVER, {"epoch": 0}, "epoch: "),
            (FAILED_OVER, {"epoch": 10**30}, "epoch: "),
            (FAILED_OVER, {"snapshot": changed(SNAPSHOT, enabled=3)}, "snapshot.enabled"),
            (FAILED_OVER, {"snapshot": changed(SNAPSHOT, jobs=-1)}, "snapshot.jobs"),
            (FAILED_OVER, {"outbox": [{"kind": "x"}]}, "outbox.0"),
            (FAILED_OVER, {"outbox": [{"id": "e", "at": "noon"}]}, "outbox.0"),
            (FAILED_OVER, {"outbox": [{"id": "e", "after": "x"}]}, "outbox.0"),
            (FAILED_OVER, {"outbox": [{"id": "e", "deep": nested(900)}]}, "nested too deeply"),
            (FAILED_OVER, {"outbox": "x"}, "outbox: "),
            (FAILED_OVER, {"schema_number": "9"}, "schema_number: "),
            (FAILED_OVER, {"capabilities": {"slave": {"longest_import": "nan"}}}, "capabilities.slave.longest_import"),
        ],
    )  # fmt: skip
    def test_what_no_transition_leads_to_is_unusable(self, record: Record, changes: dict[str, Any], where: str) -> None:
        with pytest.raises(RecordError) as caught:
            Record.from_json({**record.to_json(), **changes})
        assert not isinstance(caught.value, NewerRecordError)
        assert caught.value.reason.code == "record_unusable"
        assert where in caught.value.what
        assert len(caught.value.what) < 1200

    def test_clocks_of_workers_may_be_apart(self) -> None:
        """A lease that another worker has ended may end a little before it began."""
        operation = OPERATION.model_copy(update={"lease_until": NOW - timedelta(minutes=4)})
        record = FAILING_OVER.model_copy(update={"operation": operation})
        assert Record.from_json(record.to_json()) == record


class TestWatching:
    def test_a_sound_one_is_read(self) -> None:
        assert Watching.from_json(WATCHING) == Watching(**{**WATCHING, "outbox": (EVENT,)})

    @settings(max_examples=300, deadline=None)
    @given(damaged(WATCHING) | ODD.map(grown))
    def test_what_is_damaged_was_never_seen(self, value: Any) -> None:
        seen = Watching.from_json(value)
        monitor_stopped(seen, NOW, watch_for=HOUR, dag_id="d")
        judgement = {
            "verdict": "up",
            "code": "healthy",
            "settled": True,
            "action": "nothing_to_do",
            "what": "",
            "next_step": "",
        }
        compare(seen, judgement, None, {"second_good": NOW.isoformat()}, now=NOW)
        assert not seen.second_good or datetime.fromisoformat(seen.second_good).tzinfo
        for event in seen.outbox:
            under_way(event, NOW, HOUR)

    def test_one_wrong_field_leaves_the_others(self) -> None:
        seen = Watching.from_json({**WATCHING, "at": "noon", "verdict": [], "outbox": [EVENT, {"at": 5}, 7]})
        assert seen == Watching(**{**WATCHING, "at": "", "verdict": "", "outbox": (EVENT,)})

    @pytest.mark.parametrize(
        "damage", [{"said": "asleep"}, {"what": None}, {"at": ""}, {"at": 5}, {"seconds": -1}, {"more": 1}]
    )
    def test_a_damaged_path_was_never_heard(self, damage: dict[str, Any]) -> None:
        path = {**WATCHING["paths"]["master"], **damage}
        assert Watching.from_json({**WATCHING, "paths": {"master": path}}) == replace(
            Watching.from_json(WATCHING), paths={}
        )


READERS: list[tuple[Any, Callable[[Any], Any]]] = [
    (TICKET.to_json(), SyncTicket.from_json),
    (EXPORTED.to_json(), Exported.from_json),
    (IMPORTED.to_json(), Imported.from_json),
    (Disabled(3, NOW.isoformat()).to_json(), Disabled.from_json),
    (EVIDENCE.to_json(), Evidence.from_json),
    (DeliveryPlan((), ()).to_json(), DeliveryPlan.from_json),
]


class TestWhatTasksHandOn:
    @pytest.mark.parametrize("sound", [TICKET, EXPORTED, IMPORTED, EVIDENCE], ids=lambda each: type(each).__name__)
    def test_it_is_read(self, sound: Any) -> None:
        assert type(sound).from_json(json.loads(json.dumps(sound.to_json()))) == sound

    @settings(max_examples=400, deadline=None)
    @given(
        st.sampled_from(READERS).flatmap(lambda each: st.tuples(damaged(each[0]) | ODD.map(grown), st.just(each[1])))
    )
    def test_what_is_damaged_blocks_the_task(self, case: tuple[Any, Callable[[Any], Any]]) -> None:
        value, read = case
        with suppress(Blocked):
            readable(read, value)

    @pytest.mark.parametrize(("field", "value"), [("began", "2026-03-01T12:00:00"), ("began", None), ("others", [[1]])])
    def test_a_part_of_another_kind(self, field: str, value: Any) -> None:
        with pytest.raises(Blocked, match="clear the whole run"):
            readable(Imported.from_json, {**IMPORTED.to_json(), field: value})


class TestSnapshot:
    @settings(max_examples=200, deadline=None)
    @given(damaged(json.loads(MANIFEST.to_json())))
    def test_a_manifest(self, value: Any) -> None:
        with suppress(ManifestError):
            found = Manifest.from_json(json.dumps(value))
            assert found.hash
            found.diff(MANIFEST)
            assert all(NOW - job.next_execution < timedelta.max for job in found.jobs if job.next_execution)

    @settings(max_examples=200, deadline=None)
    @given(damaged(json.loads(CONTENTS.to_json())))
    def test_contents(self, value: Any) -> None:
        with suppress(ArchiveError):
            found = ArchiveContents.from_json(json.dumps(value))
            assert found.content_hash
            assert found.jobs is not None

    @given(st.binary())
    def test_files_that_are_cut_or_overwritten(self, junk: bytes) -> None:
        with suppress(ManifestError):
            Manifest.from_json(MANIFEST.to_json().encode()[: len(junk) * 7] + junk)
        with suppress(ArchiveError):
            ArchiveContents.from_json(CONTENTS.to_json().encode()[: len(junk) * 7] + junk)

    @pytest.mark.parametrize("text", ["[" * 100_000, '{"jobs":' * 100_000, '{"schema_version":' + "9" * 100_000 + "}"])
    def test_nesting_and_numbers(self, text: str) -> None:
        with pytest.raises(ManifestError):
            Manifest.from_json(text)
        with pytest.raises(ArchiveError):
            ArchiveContents.from_json(text)


SOUND_EXTRA = {
    "scheduler_uri": "//h:8000", "base_path": "/x", "verify": "false", "timeout": [5, 10], "transfer_timeout": 60,
    "export_options": {"permissions": True}, "import_options": "{}", "metadata_password": "p4ssw0rd-meta",
    "transport": "scripts", "denodo_home": "/opt/denodo", "script_password": "encrypted:abc", "vdpauth": True,
    "ssh_conn_id": "ssh",
}  # fmt: skip


class TestExtra:
    @settings(max_examples=300, deadline=None)
    @given(damaged(SOUND_EXTRA) | ODD.map(grown))
    def test_whatever_it_holds(self, value: Any) -> None:
        try:
            found, _ = parse_extra("c", json.dumps(value))
        except ValueError:
            return
        assert 0 < min(*found.timeout, found.transfer_timeout) <= max(*found.timeout, found.transfer_timeout) < 1e5
        found.options("export")
        found.options("import")
        f"{found.base_path} {found.scheduler_uri}".encode()

    @pytest.mark.parametrize(
        ("extra", "key"),
        [
            ("[" * 100_000, "not a JSON object"),
            ('{"a":' * 100_000, "not a JSON object"),
            ('{"timeout":' + "9" * 5000 + "}", "not a JSON object"),
            ('{"timeout":1e400}', "'timeout'"),
            ('{"transfer_timeout":1e400}', "'transfer_timeout'"),
            ('{"transfer_timeout":1e300}', "'transfer_timeout'"),
            (json.dumps({"timeout": "[" * 100_000}), "'timeout'"),
            (json.dumps({"export_options": "[" * 100_000}), "'export_options'"),
            (json.dumps({"verify": "[" * 100_000}), "'verify'"),
            (json.dumps({"verify": "a" * 100_000}), "'verify'"),
            (json.dumps({"cert": "a" * 100_000}), "'cert'"),
            (json.dumps({"base_path": "/a\r\nX-Header: y"}), "'base_path'"),
            (json.dumps({"base_path": "/\ud800"}), "'base_path'"),
            (json.dumps({"scheduler_uri": "//h\0:80"}), "'scheduler_uri'"),
            (json.dumps({"metadata_password": "s3cret\0"}), "'metadata_password'"),
        ],
        ids=range(15),
    )
    def test_what_nobody_writes_names_its_key(self, extra: str, key: str) -> None:
        with pytest.raises(ValueError, match="Connection 'c': ") as caught:
            parse_extra("c", extra)
        assert key in str(caught.value)
        assert "s3cret" not in str(caught.value)
        assert len(str(caught.value)) < 500
