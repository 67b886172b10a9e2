"""The readiness check as a pure function: what it says of facts that are there, and of those that are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.doctor.scratch import Scratch
from denodo_ha.drill import Drill
from denodo_ha.jobs import DataSource, JobKey, JobState, JobStatus, ServerInfo, Statuses
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import other
from denodo_ha.readiness.facts import Deadline, Parameter, ReadyFacts, Room, ServerFacts, Unread, resources
from denodo_ha.readiness.findings import Checked, Readiness
from denodo_ha.readiness.judge import CHECKS, OF_TARGET, in_the_way, judge, of_airflow
from denodo_ha.reason import Reason
from denodo_ha.record import Dirty, Doubt, Halt, Operation, Pause, PendingJob, Phase, Record, Role, SnapshotRef, Step
from denodo_ha.snapshot.contents import ArchiveContents, Element
from denodo_ha.snapshot.manifest import Manifest, ManifestJob
from denodo_ha.status import Level
from support.pairs import make_pair

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
KEY = JobKey(project="Sales", name="load")
NIGHTLY = "0 0 3 * * ?"
JAR = "data/resources/drivers/oracle.jar"
SNAPSHOT = SnapshotRef(
    id="s", taken=NOW - 9 * MINUTE, committed=NOW - 5 * MINUTE, imported=NOW - 5 * MINUTE, content_hash="c",
    manifest_hash="m", jobs=1, enabled=1,
)  # fmt: skip
RECORD = Record(snapshot=SNAPSHOT, capabilities={Role.SLAVE: Capabilities(version="9.1.0", longest_import=3)})
OLD = "Sales.dataSource.VDP.old.connectionURI"
ZONE = "Europe/Madrid"
ORDERLY: dict[str, Any] = {"slave_timezone": ZONE, "slave_restarted": "2026-02-01", "notify": [{"notifier": "a.b"}]}
DUE = datetime(2026, 3, 3, 2, tzinfo=UTC)
"""When a nightly job is due next in that zone."""


def status(enabled: bool, job_id: int = 1, due: datetime | None = DUE) -> JobStatus:
    return JobStatus(
        job_id=job_id,
        name=KEY.name,
        project_id=1,
        project=KEY.project,
        state=JobState.NOT_RUNNING if enabled else JobState.DISABLED,
        next_execution=due if enabled else None,
    )


def manifest(enabled: bool, *keys: JobKey, type: str = "VDP", due: datetime = DUE) -> Manifest:
    jobs = (
        ManifestJob(
            key=key, type=type, enabled=enabled, definition_hash="h", crons=(NIGHTLY,),
            next_execution=due if enabled else None, dependencies=(),
        )
        for key in keys or (KEY,)
    )  # fmt: skip
    return Manifest(jobs=tuple(jobs))


def source(uri: str) -> DataSource:
    return DataSource(id=1, name="vdp", project="Sales", type="VDP", connection_uri=uri)


def server(role: Role, **fields: Any) -> ServerFacts:
    enabled = role is Role.MASTER
    good = ServerFacts(
        connection=f"conn_{role}",
        machines=frozenset({f"{role}-host"}),
        info=ServerInfo(version="9.1.0", scheduler_mode="enterprise", roles=("scheduler_admin",)),
        binding=(),
        statuses=Statuses((status(enabled, 1 if enabled else 2),), NOW),
        ahead=timedelta(seconds=2),
        seconds=0.1,
        manifest=manifest(enabled),
        data_sources=(source(f"//{role}-host:9999/admin"),),
    )
    return replace(good, **fields)


def element(kind: str, entry: str, secrets: str | None = None) -> Element:
    return Element(kind=kind, project=None, name=entry, hash="h", secrets=secrets, entry=entry)


CONTENTS = ArchiveContents(version="9.1.0", elements=(element("resource", JAR), element("dataSource", "x", "s")))
SERVERS = {role: server(role) for role in Role}
GOOD = ReadyFacts(
    pair=make_pair(**ORDERLY),
    now=NOW,
    record=RECORD,
    servers=SERVERS,
    addresses=("http://master-host:9090 //localhost:8000", "http://slave-host:9090 //localhost:8000"),
    held_elsewhere=None,
    crons_refused={},
    second_path="",
    tokens="",
    contents=CONTENTS,
    exported=(),
    resolved={"master-host": frozenset({"10.1.0.1"}), "slave-host": frozenset({"10.2.0.1"})},
    held=frozenset({JAR}),
    exports_resources=True,
    passwords="same",
    storage=Room("/snapshots", 10**9, 10**6),
    looked=NOW - MINUTE,
    notifiers=1,
    deadline=Deadline(1),
    test_message=None,
)
DRILL = Drill(id="a run/1", by="me", at=NOW - 40 * DAY, job=KEY)
FAILED = DRILL.ended_at(NOW - DAY, Reason("drill_failed", "no driver", "install it"))
LONG_AGO = DRILL.ended_at(NOW - 40 * DAY)


def on(role: Role, **fields: Any) -> Mapping[str, Any]:
    return {"servers": {**SERVERS, role: server(role, **fields)}}


def options(**given: Any) -> Mapping[str, Any]:
    return {"pair": make_pair(**{**ORDERLY, **given})}


def record(**fields: Any) -> Mapping[str, Any]:
    return {"record": RECORD.model_copy(update=fields)}


PENDING = PendingJob(key=KEY, code="restless", why="it fires every second", on_target=False, next_step="let it rest")
WARNED = Doubt(since=NOW, text="element x was skipped")
SCRATCH = Scratch(
    id="a run/1", role="slave", target="b", projects=("one", "two"), since=NOW - 9 * MINUTE, lease_until=NOW
)

WRONG: list[tuple[str, Level, Mapping[str, Any]]] = [
    ("connection slave", Level.CRITICAL, on(Role.SLAVE, info=Unread("refused", "start it"))),
    ("roles master", Level.CRITICAL, on(Role.MASTER, info=ServerInfo(version="9.1.0", roles=("x",)))),
    ("binding slave", Level.CRITICAL, on(Role.SLAVE, binding=Unread("replaceJobs has no place", "say it"))),
    ("two servers", Level.CRITICAL, on(Role.SLAVE, statuses=SERVERS[Role.MASTER].statuses)),
    ("versions", Level.CRITICAL, on(Role.SLAVE, info=ServerInfo(version="9.0.5"))),
    ("versions", Level.WARNING, on(Role.SLAVE, info=ServerInfo(version="9.1.3"))),
    ("versions", Level.WARNING, on(Role.SLAVE, info=ServerInfo(version="9.2.0"))),
    ("roles master", Level.UNKNOWN, on(Role.MASTER, info=ServerInfo(version="9.1.0"))),
    ("two servers", Level.CRITICAL, {"addresses": ("a", "a")}),
    ("addresses", Level.CRITICAL, record(master="http://elsewhere:9090 //localhost:8000")),
    ("one pair", Level.CRITICAL, {"held_elsewhere": Reason("shared_server", "the pair x has them", "separate them")}),
    ("at work", Level.CRITICAL, on(Role.MASTER, manifest=manifest(False), statuses=SERVERS[Role.SLAVE].statuses)),
    ("at work", Level.CRITICAL, on(Role.MASTER, statuses=SERVERS[Role.SLAVE].statuses)),
    ("versions", Level.UNKNOWN, on(Role.SLAVE, info=ServerInfo(version="next"))),
    ("editions", Level.WARNING, on(Role.SLAVE, info=ServerInfo(version="9.1.0", scheduler_mode="express"))),
    ("editions", Level.UNKNOWN, on(Role.SLAVE, info=ServerInfo(version="9.1.0"))),
    ("clock master", Level.WARNING, on(Role.MASTER, ahead=timedelta(hours=-1))),
    ("time zone master", Level.CRITICAL, options(master_timezone="America/New_York")),
    ("time zone master", Level.UNKNOWN, on(Role.MASTER, manifest=manifest(False))),
    ("time zones", Level.WARNING, options(slave_timezone="America/New_York")),
    ("time zones", Level.UNKNOWN, options(slave_timezone=None)),
    ("at rest", Level.CRITICAL, on(Role.SLAVE, manifest=manifest(True))),
    ("at rest", Level.CRITICAL, on(Role.SLAVE, manifest=manifest(True), statuses=SERVERS[Role.MASTER].statuses)),
    ("jobs", Level.WARNING, on(Role.MASTER, manifest=manifest(True, KEY, JobKey(project="Sales", name="new")))),
    ("job types", Level.WARNING, on(Role.MASTER, manifest=manifest(True, type="VDPIndexer"))),
    ("crons", Level.CRITICAL, {"crons_refused": {NIGHTLY: "unsupported"}}),
    ("drivers", Level.CRITICAL, {"held": frozenset[str]()}),
    ("drivers", Level.UNKNOWN, {"exports_resources": False}),
    ("data sources", Level.WARNING, on(Role.SLAVE, data_sources=(source("//master-host:9999/admin"),))),
    ("data sources", Level.WARNING, on(Role.SLAVE, data_sources=(source("jdbc:x:thin:@MASTER-HOST.:1521:orcl"),))),
    ("data sources", Level.WARNING, on(Role.SLAVE, data_sources=(source("//10.1.0.1:9999/admin"),))),
    ("data sources", Level.WARNING, {"exported": (Parameter("Sales", "", "index", "host", "master-host"),)}),
    ("data sources", Level.WARNING, on(Role.SLAVE, data_sources=(source(""),))),
    ("data sources", Level.WARNING, {"resolved": {**GOOD.resolved, "slave-host": frozenset[str]()}}),
    ("data sources", Level.UNKNOWN, {"resolved": {}}),
    ("data sources", Level.UNKNOWN, on(Role.MASTER, data_sources=(source("//slave-host:9999/admin"),))),
    ("data sources", Level.UNKNOWN, on(Role.MASTER, machines=frozenset({"localhost"}))),
    ("properties", Level.WARNING, options(properties={role: {OLD: "//x"} for role in ("master", "slave")})),
    ("phase", Level.CRITICAL, record(phase=Phase.HALTED, halted=Halt(since=NOW, code="x", reason="a mess", by="me",
                                                                     phase=Phase.NORMAL))),
    ("phase", Level.CRITICAL, {"record": Unread("there is none", "initialise it")}),
    ("phase", Level.WARNING, record(paused=Pause(since=NOW, reason="patch day"))),
    ("phase", Level.WARNING, record(acknowledged=False)),
    ("snapshot", Level.CRITICAL, record(snapshot=None)),
    ("snapshot", Level.CRITICAL, record(dirty=Dirty(since=NOW, reason="touched"))),
    ("snapshot", Level.CRITICAL, record(snapshot=SNAPSHOT.model_copy(update={"taken": NOW - timedelta(days=3)}))),
    ("doubts", Level.WARNING, record(doubts=(WARNED,))),
    ("pending", Level.WARNING, record(pending=(PENDING,))),
    ("secrets", Level.CRITICAL, {"passwords": "different"}),
    ("secrets", Level.UNKNOWN, {"passwords": "none"}),
    ("secrets", Level.WARNING, record(snapshot=SNAPSHOT.model_copy(update={"imported": NOW - timedelta(days=3)}))),
    ("second path", Level.WARNING, {"second_path": "master-host"}),
    ("second path", Level.WARNING, {"tokens": "https://idp.example/token"}),
    ("second path", Level.CRITICAL, {"second_path": Unread("refused", "open the way")}),
    ("second path", Level.WARNING, {"second_path": Unread("refused", "open the way"), **options(one_path=True)}),
    ("one writer", Level.WARNING, record(exclusive=False)),
    ("doctor", Level.WARNING, record(scratch=SCRATCH)),
    ("drill", Level.UNKNOWN, options(drill=["nightly"])),
    ("drill", Level.UNKNOWN, {**options(drill=["nightly"]), **record(drill=DRILL)}),
    ("drill", Level.WARNING, {**options(drill=["nightly"]), **record(drill=FAILED)}),
    ("drill", Level.WARNING, {**options(drill=["nightly"]), **record(drill=LONG_AGO)}),
    ("storage", Level.CRITICAL, {"storage": Room("/snapshots", 10**5, 10**6)}),
    ("storage", Level.CRITICAL, {"storage": Room("/snapshots", 10**9, 10**6, missing="no such file")}),
    ("storage", Level.WARNING, {"storage": Room("/snapshots", 2 * 10**6, 10**6)}),
    ("lease", Level.CRITICAL, record(capabilities={Role.SLAVE: Capabilities(longest_import=601)})),
    ("lease", Level.WARNING, record(capabilities={Role.SLAVE: Capabilities(longest_import=400)})),
    ("lease", Level.UNKNOWN, record(capabilities={})),
    ("learned", Level.UNKNOWN, record(capabilities={})),
    ("learned", Level.WARNING, record(capabilities={Role.SLAVE: Capabilities(version="9.0.5")})),
    ("monitor", Level.CRITICAL, {"looked": None}),
    ("monitor", Level.CRITICAL, {"looked": NOW - timedelta(hours=2)}),
    ("notifiers", Level.WARNING, {"notifiers": 0}),
    ("licence", Level.UNKNOWN, options(slave_restarted=None)),
    ("licence", Level.WARNING, options(slave_restarted="2025-11-01")),
    ("licence", Level.WARNING, options(slave_restarted="2027-01-01")),
    ("notifiers", Level.WARNING, {"notifiers": Unread("no such class", "install it")}),
    ("notifiers", Level.WARNING, {"test_message": {"1 a.b": "ConnectionError"}}),
    ("deadline", Level.WARNING, {"deadline": Deadline(0)}),
    ("deadline", Level.WARNING, {"deadline": Deadline(2, ("smtp_default",))}),
    ("recovery time", Level.WARNING, on(Role.SLAVE, seconds=300.0)),
    ("recovery time", Level.WARNING, options(check={"recovery_time": "5s"})),
    ("storage", Level.CRITICAL, {"storage": Unread("permission denied", "allow it")}),
]  # fmt: skip
"""Facts in which one thing is wrong: the check that says so, and its level."""


def found(facts: ReadyFacts) -> dict[str, Level]:
    return {each.code: each.level for each in judge(facts).findings}


def test_a_pair_in_order_has_one_finding_of_each_check_and_all_are_ok() -> None:
    result = judge(GOOD)
    assert {each.code: each.level for each in result.findings} == dict.fromkeys(CHECKS, Level.OK)
    assert len(result.findings) == len(CHECKS)
    assert result.summary == f"all {len(CHECKS)} checks are OK"
    assert all(each.rests_on for each in result.findings)


@pytest.mark.parametrize(("code", "level", "change"), WRONG, ids=lambda value: str(value)[:40])
def test_each_check_fails_where_one_thing_is_wrong(code: str, level: Level, change: Mapping[str, Any]) -> None:
    told = next(each for each in judge(replace(GOOD, **change)).findings if each.code == code)
    assert told.level is level
    assert told.next_step
    assert str(told).startswith(f"{level.name} {code}: ")


def test_no_check_is_never_tried_wrong() -> None:
    tried = {code.removesuffix(" master").removesuffix(" slave") for code, *_ in WRONG}
    assert tried == {code.removesuffix(" master").removesuffix(" slave") for code in CHECKS}
    assert set(CHECKS) >= OF_TARGET


def test_the_same_address_at_both_sites_is_fine_where_the_pair_says_so() -> None:
    shared = on(Role.MASTER, data_sources=(source("//slave-host:9999/admin"),))
    said = options(properties={role: {"*.dataSource.VDP.*.connectionURI": "//slave-host:9999/admin"} for role in Role})
    assert found(replace(GOOD, **shared, **said))["data sources"] is Level.OK


def test_a_password_in_an_address_is_told_nowhere() -> None:
    for host in ("master-host", "lost-host"):
        uri = f"jdbc:sqlserver://sa:s3cret-1@{host}:1433;user=sa;password=s3cret-2;databaseName=x"
        facts = replace(GOOD, **on(Role.SLAVE, data_sources=(source(uri),)), resolved={"lost-host": frozenset()})
        told = next(str(each) for each in judge(facts).findings if each.code == "data sources")
        assert told.startswith("WARNING data sources: 1 data sources of the slave lead ")
        assert host in told
        assert "s3cret" not in told


def test_what_is_set_on_a_server_is_no_driver() -> None:
    paths = ("config/x.properties", "config-dbStored/x", "permissions/permissions.properties", "drivers/a.jar", "b.jar")
    entries = [f"data/resources/{each}" for each in paths]
    contents = ArchiveContents(version="9.1.0", elements=tuple(element("resource", each) for each in entries))
    assert resources(contents) == set(entries[-2:])


@pytest.mark.parametrize(
    ("seconds", "left", "level"),
    [(1, (), Level.OK), (-1, (), Level.WARNING), (1, (KEY,), Level.OK), (-1, (KEY,), Level.CRITICAL)],
    ids=["under way", "interrupted", "the next one", "not its own"],
)
def test_the_job_of_a_drill_is_none_that_should_rest(seconds: int, left: tuple[JobKey, ...], level: Level) -> None:
    """:param seconds: for how long its lease lasts. :param left: the jobs that follow, if it is one of these."""
    drill = Drill(id="a run/1", by="me", at=NOW, job=None if left else KEY, left=left)
    until = NOW + timedelta(seconds=seconds)
    operation = Operation(
        kind="drill", id=drill.id, target="b", step=Step.ENABLING, started=NOW - MINUTE, lease_until=until
    )
    enabled = on(Role.SLAVE, manifest=manifest(True), statuses=Statuses((status(True),), NOW))
    assert found(replace(GOOD, **enabled))["at rest"] is Level.CRITICAL
    drilling = record(drill=drill, operation=operation)
    assert found(replace(GOOD, **enabled, **drilling))["at rest"] is level
    another = status(True, 2).model_copy(update={"name": "another"})
    both = Statuses((status(True), another), NOW)
    enabled = on(Role.SLAVE, manifest=manifest(True, KEY, another.key), statuses=both)
    assert found(replace(GOOD, **enabled, **drilling))["at rest"] is Level.CRITICAL


def test_what_stops_a_switchover_is_critical_and_concerns_the_server_that_takes_over() -> None:
    def found(code: str, level: Level = Level.CRITICAL) -> Checked:
        return Checked(level, "x", "y", code=code)

    stops = [found(code) for code in ("crons", "roles slave", "versions", "drivers", "secrets", "time zone slave")]
    others = [found(code) for code in ("roles master", "monitor", "snapshot", "storage", "second path", "time zones")]
    others += [found("crons", level) for level in (Level.WARNING, Level.UNKNOWN, Level.OK)]
    assert in_the_way(Readiness(NOW, (*others, *stops)), Role.SLAVE) == tuple(stops)
    assert [each.code for each in in_the_way(Readiness(NOW, (*others, *stops)), Role.MASTER)] == [
        "roles master", "crons", "versions", "drivers", "secrets",
    ]  # fmt: skip


def test_while_the_slave_is_active_the_master_is_the_one_that_has_to_be_ready() -> None:
    over = Record(
        phase=Phase.FAILED_OVER,
        active=Role.SLAVE,
        snapshot=SNAPSHOT,
        capabilities={Role.MASTER: Capabilities(version="9.1.0", longest_import=3)},
    )
    swapped = {
        role: server(role, manifest=manifest(role is Role.SLAVE), statuses=SERVERS[other(role)].statuses)
        for role in Role
    }
    facts = replace(GOOD, record=over, servers=swapped, **options(master_timezone=ZONE))
    assert {code for code, level in found(facts).items() if level is not Level.OK} == {"phase"}
    lacking = replace(facts, servers={**swapped, Role.MASTER: server(Role.MASTER, manifest=Manifest(jobs=()))})
    told = next(str(each) for each in judge(lacking).findings if each.code == "jobs")
    assert told.startswith("WARNING jobs: 1 of 1 jobs are not on the master")
    assert "with 'reprotect'" in told


FACTS = [each.name for each in fields(ReadyFacts) if each.name not in ("pair", "now", "servers")]
OF_A_SERVER = [each.name for each in fields(ServerFacts) if each.name != "connection"]


def without(facts: ReadyFacts, names: frozenset[str]) -> ReadyFacts:
    """The same facts, some of which could not be read."""
    gone = Unread("it was silent", "wake it")
    servers = {
        role: replace(each, **{name: gone for name in OF_A_SERVER if f"{role}.{name}" in names})
        for role, each in facts.servers.items()
    }
    return replace(facts, servers=servers, **{name: gone for name in FACTS if name in names})


ALL = [*FACTS, *(f"{role}.{name}" for role in Role for name in OF_A_SERVER)]
facts_of_pairs = st.builds(
    lambda change, names: without(replace(GOOD, **change), names),
    st.sampled_from([{}, *(change for *_, change in WRONG)]),
    st.frozensets(st.sampled_from(ALL)),
)


@settings(max_examples=20)
@given(facts_of_pairs)
def test_each_finding_that_is_not_ok_has_a_next_step_and_the_worst_one_decides(facts: ReadyFacts) -> None:
    result = judge(facts)
    assert {each.code for each in result.findings} == set(CHECKS)
    assert all(each.next_step for each in result.findings if each.level is not Level.OK)
    assert result.level is result.findings[0].level
    order = (Level.CRITICAL, Level.WARNING, Level.UNKNOWN, Level.OK)
    assert result.level is next(level for level in order if level in {each.level for each in result.findings})
    assert Readiness.from_json(result.to_json()) == result


@settings(max_examples=20)
@given(st.sampled_from([{}, *(change for *_, change in WRONG)]), st.frozensets(st.sampled_from(ALL)))
def test_nothing_becomes_ok_by_not_being_read(change: Mapping[str, Any], names: frozenset[str]) -> None:
    whole = replace(GOOD, **change)
    before, after = found(whole), found(without(whole, names))
    better = {code for code in CHECKS if after[code] is Level.OK and before[code] is not Level.OK}
    assert better == set()


def test_nothing_is_ok_where_nothing_was_read() -> None:
    left = {code for code, level in found(without(GOOD, frozenset(ALL))).items() if level is Level.OK}
    assert left == {"properties", "licence"}, "which rest on the file of pairs alone"


def test_without_properties_and_facts_the_worst_is_told_first() -> None:
    facts = without(GOOD, frozenset({"slave.info", "contents"}))
    said = judge(facts).summary
    assert said.startswith("1 critical, ")
    assert "the slave does not answer as it should: it was silent" in said


@pytest.mark.parametrize("value", [None, {}, {"at": "x"}, {"at": NOW.isoformat(), "findings": [{"level": "BAD"}]}])
def test_a_stored_check_that_is_damaged_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="the stored check cannot be read"):
        Readiness.from_json(value)


def test_what_only_airflow_knows() -> None:
    health = {name: {"status": "healthy"} for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")}
    pair = Pair(name="p")
    pools = {pair.pool: {"slots": 1, "open_slots": 0}, "default_pool": {"slots": -1, "open_slots": 9}}
    assert {each.level for each in of_airflow(pair, health, {"a": {"is_paused": False}}, pools)} == {Level.OK}
    dags = {"a": {"is_paused": True}, "b": None}
    worst = [str(each) for each in of_airflow(pair, {**health, "triggerer": {}}, dags, pools)]
    assert [line for line in worst if line.startswith("CRITICAL")] == [
        "CRITICAL triggerer: Airflow's triggerer is not there [Airflow's own health check]. Next: start Airflow's "
        "triggerer.",
        "CRITICAL DAG: a is paused [Airflow's list of DAGs]. Next: unpause a.",
        "CRITICAL DAG: b is not found by Airflow [Airflow's list of DAGs]. Next: look at Airflow's import errors.",
    ]


@pytest.mark.parametrize(
    ("name", "pool", "level"),
    [
        ("denodo_ha_p", None, Level.UNKNOWN),
        ("denodo_ha_p", "the user may not read pools", Level.UNKNOWN),
        ("denodo_ha_p", {}, Level.UNKNOWN),
        ("denodo_ha_p", {"slots": 0, "open_slots": 0}, Level.CRITICAL),
        ("denodo_ha_p", {"slots": 2, "open_slots": 2}, Level.WARNING),
        ("denodo_ha_p", {"slots": 1, "open_slots": 1, "include_deferred": True}, Level.WARNING),
        ("default_pool", None, Level.CRITICAL),
        ("default_pool", {"slots": 0, "open_slots": 0}, Level.CRITICAL),
        ("default_pool", {"slots": 8, "open_slots": 0}, Level.WARNING),
        ("default_pool", {"slots": 8, "open_slots": 1}, Level.OK),
    ],
    ids=str,
)
def test_pools(name: str, pool: Any, level: Level) -> None:
    found = next(each for each in of_airflow(Pair(name="p"), {}, {}, {name: pool}) if each.code == "pool")
    assert found.level is level
    assert name in found.text
    assert bool(found.next_step) is (level is not Level.OK)
