"""What the readiness check says of a pair: for each thing a pair that lacks it, and one that has it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from denodo_demo.processes import free_port
from denodo_demo.standin import StandinServer
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.jobs import JobKey
from denodo_ha.readiness.findings import Readiness
from denodo_ha.record import Dirty, Pause, PendingJob, Role
from denodo_ha.status import Level
from denodo_ha.watching import Watching
from denodo_scheduler import alerts
from denodo_scheduler.client.tokens import forget_tokens
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.check import _ahead, check, refuse
from support.authorisation import Authorisation, authorisation, token_of
from support.forwarding import Address
from support.sync import NOW, VERSION, MemoryState, Sync, act, add_job, enabled, states, untouched
from support.tampering import tampering

SERVERS_NOW = datetime.fromisoformat(NOW)
OK, WARNING, CRITICAL, UNKNOWN = Level.OK, Level.WARNING, Level.CRITICAL, Level.UNKNOWN
MADRID, NEW_YORK = "Europe/Madrid", "America/New_York"
"""The zones of the two stand-ins."""
JOB = JobKey(project="default", name="x")
PENDING = PendingJob(key=JOB, code="restless", why="it fires every second", on_target=False, next_step="let it rest")
NOTIFY = [{"notifier": "support.file_notifier.FileNotifier", "arguments": {"path": "/dev/null", "token": "t0ken"}}]
OPTIONS: dict[str, Any] = {"master_timezone": MADRID, "slave_timezone": MADRID, "notify": NOTIFY, "lease": "1h"}
OPTIONS |= {"import_timeout": "10m", "slave_restarted": "2026-03-01"}


def checked(
    sync: Sync,
    *,
    now: datetime = SERVERS_NOW,
    looked: timedelta | None = timedelta(seconds=9),
    storage: str = "",
    send_test: bool = False,
    compared: bool = True,
    **pair: Any,
) -> Readiness:
    """Check the pair at the time of the servers, and see that neither of them was changed."""
    context = replace(sync.prepared(pair={**OPTIONS, **pair}, reason="a test"), now=lambda: now)
    if storage:
        context = replace(context, snapshots=SnapshotStore(ObjectStoragePath(storage), context.pair.name))
    seen = Watching(at="" if looked is None else (now - looked).isoformat())
    with untouched(sync.master, sync.slave) if compared else nullcontext():
        return check(context, seen, send_test=partial(alerts.send_test, context.pair, {}) if send_test else None)


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A name server that knows these names, and answers at once. The servers are on this machine, at all of them."""
    known, resolve = {"vdp-a": "127.0.0.1", "vdp-b": "10.2.0.1", "dwh": "10.3.0.1"}, socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in known and str(host).endswith(("-a", "-b", "-c", "dwh")):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(known.get(host, host), *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return known


def levels(found: Readiness) -> dict[str, Level]:
    return {each.code: each.level for each in found.findings}


@pytest.fixture
def synced(sync: Sync) -> Sync:
    """A pair of which as much is in order as can be, with clocks that agree."""
    sync.synced()
    sync.change(
        snapshot=sync.record.snapshot.model_copy(update={"taken": SERVERS_NOW, "imported": SERVERS_NOW}),  # type: ignore[union-attr]
        capabilities={Role.SLAVE: Capabilities(version=VERSION, longest_import=2.5)},
    )
    return sync


CANNOT_BE_TOLD = {"editions", "data sources", "secrets"}
"""The stand-ins tell no mode, their data sources are the same, and no password protects their secrets."""


def test_a_pair_in_order_is_ready_as_far_as_can_be_told(synced: Sync) -> None:
    found = checked(synced)
    assert {code: level for code, level in levels(found).items() if level is not OK} == dict.fromkeys(
        CANNOT_BE_TOLD, UNKNOWN
    )
    assert found.summary.startswith("3 not known: ")
    assert not [path for path in synced.files if "trial" in path]


def test_a_pair_without_record_is_told_so_and_its_servers_all_the_same(sync: Sync) -> None:
    found = checked(sync)
    told = levels(found)
    assert (told["phase"], told["snapshot"], told["at rest"]) == (CRITICAL, UNKNOWN, UNKNOWN)
    assert (told["connection master"], told["jobs"], told["job types"]) == (OK, WARNING, WARNING)
    assert str(refuse(found)).startswith("[not_ready] 1 critical, ")


def test_the_silence_of_one_server_hides_nothing_of_the_other(synced: Sync, connect: Callable[..., None]) -> None:
    connect(synced.slave, port=free_port())
    found = checked(synced)
    told = levels(found)
    assert {code for code, level in told.items() if level is CRITICAL} == {
        "connection slave",
        "addresses",
        "second path",
    }
    unread = ("roles slave", "binding slave", "clock slave", "at rest", "jobs", "crons", "versions", "recovery time")
    assert {told[code] for code in unread} == {UNKNOWN}
    assert found.summary.count("cannot be reached") == 2, "why it is silent is told of the server and of the path only"
    assert {told[f"{code} master"] for code in ("connection", "roles", "binding", "clock", "time zone")} == {OK}
    assert {told[code] for code in ("phase", "snapshot", "storage", "lease", "monitor")} == {OK}


def test_both_servers_are_down(synced: Sync, connect: Callable[..., None]) -> None:
    for server in (synced.master, synced.slave):
        connect(server, port=free_port(), password="a-s3cret-password")
    found = checked(synced)
    told = levels(found)
    assert {told[f"connection {role}"] for role in Role} == {CRITICAL}
    assert told["two servers"] is told["at work"] is told["recovery time"] is UNKNOWN
    assert {told[code] for code in ("snapshot", "lease", "storage", "monitor", "notifiers")} == {OK}
    assert "a-s3cret-password" not in json.dumps(found.to_json())


REFUSED = [
    ("/dataSources", {"data sources"}),
    ("validateCronExpressions", {"crons"}),
    ("/jobs/status", {"two servers", "time zone slave", "time zones", "at rest", "jobs", "job types", "crons"}),
    ("/projects$", set[str]()),
]


@pytest.mark.parametrize(("path", "unknown"), REFUSED, ids=[path for path, _ in REFUSED])
def test_a_request_that_one_server_refuses(synced: Sync, path: str, unknown: set[str]) -> None:
    before = levels(checked(synced))
    synced.slave.webtool.faults({"kind": "status", "status": 403, "match": {"path": path}})
    found = checked(synced, compared=False)
    told = levels(found)
    assert {code for code in told if told[code] is not before[code]} <= {*unknown, "recovery time", "second path"}
    assert {told[code] for code in unknown} <= {UNKNOWN}
    assert all(each.next_step for each in found.findings if each.level is not OK)


WRONG: list[tuple[str, Level, dict[str, Any]]] = [
    ("clock master", WARNING, {"now": SERVERS_NOW + timedelta(minutes=5)}),
    ("time zone master", CRITICAL, {"master_timezone": "UTC"}),
    ("time zones", WARNING, {"slave_timezone": NEW_YORK}),
    ("time zone slave", UNKNOWN, {"slave_timezone": None}),
    ("snapshot", CRITICAL, {"now": SERVERS_NOW + timedelta(days=2)}),
    ("properties", WARNING, {"properties": {role: {"x.dataSource.VDP.y.connectionURI": "//z:1"} for role in Role}}),
    ("second path", CRITICAL, {"second_path": "//127.0.0.1:1"}),
    ("second path", WARNING, {"second_path": "none", "one_path": True}),
    ("storage", CRITICAL, {"storage": "file:///dev/null"}),
    ("monitor", CRITICAL, {"looked": timedelta(hours=2)}),
    ("monitor", CRITICAL, {"looked": None}),
    ("notifiers", WARNING, {"notify": []}),
    ("licence", WARNING, {"slave_restarted": "2025-03-01"}),
    ("licence", UNKNOWN, {"slave_restarted": None}),
    ("notifiers", WARNING, {"notify": [{"notifier": "support.file_notifier.NoSuchClass"}]}),
    ("deadline", WARNING, {"notify": [{**NOTIFY[0], "alerts": ["failover"]}]}),
    ("recovery time", WARNING, {"check": {"recovery_time": "10s"}}),
]


@pytest.mark.parametrize(("code", "level", "asked"), WRONG, ids=lambda value: str(value)[:50])
def test_what_the_options_and_the_hour_make_of_a_pair(
    synced: Sync, code: str, level: Level, asked: dict[str, Any]
) -> None:
    found = checked(synced, **asked)
    assert levels(found)[code] is level, found.lines


@pytest.mark.parametrize("same", [True, False])
def test_one_token_endpoint_for_both_connections(synced: Sync, connect: Callable[..., None], same: bool) -> None:
    def connected(server: StandinServer, issuer: Authorisation) -> None:
        auth = {"type": "client_credentials", "token_url": issuer.url, "scope": server.name}
        connect(server, login="client", password="s3cret-of-it", extra={**server.connection()["extra"], "auth": auth})
        issuer.make = lambda: makes[issuer.asked[-1].form["scope"][0]]()

    makes = {server.name: token_of(server) for server in (synced.master, synced.slave)}
    forget_tokens()
    with authorisation("client", "s3cret-of-it") as one, authorisation("client", "s3cret-of-it") as another:
        connected(synced.master, one)
        connected(synced.slave, one if same else another)
        found = checked(synced)
    forget_tokens()
    assert levels(found)["second path"] is (WARNING if same else OK), found.lines
    assert any(f"both connections need tokens of {one.url}" in line for line in found.lines) is same


def test_what_the_record_makes_of_a_pair(synced: Sync) -> None:
    wrong: dict[str, tuple[Level, dict[str, Any]]] = {
        "phase": (WARNING, {"paused": Pause(since=SERVERS_NOW, reason="patch day")}),
        "snapshot": (CRITICAL, {"dirty": Dirty(since=SERVERS_NOW, reason="touched")}),
        "pending": (WARNING, {"pending": (PENDING,)}),
        "lease": (CRITICAL, {"capabilities": {Role.SLAVE: Capabilities(longest_import=700)}}),
        "one writer": (WARNING, {"exclusive": False}),
        "learned": (WARNING, {"capabilities": {Role.SLAVE: Capabilities(version="9.0.5", longest_import=3)}}),
    }
    good = synced.record
    for code, (level, fields) in wrong.items():
        synced.save(good.model_copy(update=fields))
        assert levels(checked(synced))[code] is level, code


def test_what_the_servers_make_of_a_pair(synced: Sync, connect: Callable[..., None]) -> None:
    job = min(states(synced.slave))
    act(synced.slave, "enable", job)
    assert levels(checked(synced))["at rest"] is CRITICAL
    act(synced.slave, "disable", job)
    add_job(synced.master, "default", "of today")
    assert levels(checked(synced))["jobs"] is WARNING
    connect(synced.master, login="viewer", password="viewer")
    assert levels(checked(synced))["roles master"] is CRITICAL
    connect(synced.master)
    connect(synced.slave, extra={**synced.slave.connection()["extra"], "metadata_password": "a passphrase"})
    assert levels(checked(synced))["secrets"] is CRITICAL
    connect(synced.master, role="slave")
    assert levels(checked(synced))["two servers"] is CRITICAL
    assert enabled(synced.slave) == set()


def test_options_without_a_place(synced: Sync) -> None:
    synced.slave.webtool.faults({"kind": "status", "status": 404, "match": {"path": "api-docs"}})
    told = levels(checked(synced))
    assert (told["binding master"], told["binding slave"]) == (OK, CRITICAL)


def test_drivers_that_only_the_exporting_server_has(sync: Sync) -> None:
    sync.master.scheduler.guesses(export_padding_mb=1)
    sync.synced()
    assert levels(checked(sync))["drivers"] is CRITICAL
    sync.slave.scheduler.guesses(export_padding_mb=1)
    assert levels(checked(sync))["drivers"] is OK


def test_crons_that_the_slave_refuses(synced: Sync, tamper: Callable[..., Any]) -> None:
    tamper(synced.slave, "validateCronExpressions", lambda body: body.replace(b'""', b'"not supported"', 1))
    found = checked(synced)
    assert levels(found)["crons"] is CRITICAL
    assert any("the slave refuses 1 crons" in line and "not supported" in line for line in found.lines)


def test_imports_that_warned(sync: Sync) -> None:
    sync.slave.scheduler.guesses(import_warnings=["element x was skipped"])
    sync.synced()
    found = checked(sync)
    assert levels(found)["doubts"] is WARNING
    assert any("element x was skipped" in line for line in found.lines)


URI = "*.dataSource.*.*.connectionURI"
AT_A, AT_B, AT_C = (f"jdbc:vdb://u:pa55word@vdp-{site}:9999/db?password=pa55word" for site in "abc")


@pytest.mark.parametrize(
    ("slave", "machine", "level"),
    [(AT_B, "vdp-a", OK), (AT_A, "vdp-a", WARNING), (AT_C, "vdp-a", WARNING), (AT_B, "127.0.0.1", UNKNOWN)],
    ids=["its own site", "the other site", "nowhere", "a machine without a name"],
)
def test_where_data_sources_lead(
    sync: Sync, connect: Callable[..., None], slave: str, machine: str, level: Level
) -> None:
    properties = {"master": {URI: AT_A}, "slave": {URI: slave}}
    sync.synced(pair={"properties": properties})
    connect(sync.master, host=machine)
    found = checked(sync, properties=properties)
    assert levels(found)["data sources"] is level, found.lines
    assert "pa55word" not in json.dumps(found.to_json())


def test_hosts_that_only_the_export_tells(
    synced: Sync, connect: Callable[..., None], tamper: Callable[..., Any]
) -> None:
    """A server may tell no address of its data sources; the export has them all the same."""
    connect(synced.master, host="vdp-a")
    tamper(synced.slave, "/public/api/dataSources", lambda _: b"[]")
    assert levels(checked(synced))["data sources"] is UNKNOWN, "the master has the same"
    given = {"properties": {role: {URI: AT_A} for role in Role}}
    found = checked(synced, **given)
    assert levels(found)["data sources"] is WARNING, "as the next sync writes them"
    assert any("(vdp-a)" in line for line in found.lines)


def test_a_master_that_is_paused(synced: Sync) -> None:
    synced.master.scheduler.control("POST", "/pause", json={"paused": True})
    found = checked(synced)
    assert levels(found)["at work"] is CRITICAL
    assert any("the master looks paused" in line for line in found.lines)


def test_nothing_is_enabled_anywhere(synced: Sync) -> None:
    act(synced.master, "disable", *enabled(synced.master))
    assert levels(checked(synced))["at work"] is CRITICAL


def test_a_second_path_that_leads_to_the_slave_itself(synced: Sync) -> None:
    assert levels(checked(synced))["second path"] is OK
    address = Address("127.0.0.1", 0, int(synced.slave.uri.rpartition(":")[2]))
    found = checked(synced, second_path=f"//127.0.0.1:{address.port}")
    address.close()
    assert levels(found)["second path"] is CRITICAL
    assert any("is the slave's own server" in line for line in found.lines)


def test_a_worker_that_does_not_see_the_snapshots(synced: Sync) -> None:
    (folder,) = Path(synced.folder, "test").glob("*/export.zip")
    folder.unlink()
    told = levels(checked(synced))
    assert (told["storage"], told["data sources"]) == (CRITICAL, UNKNOWN)


def test_a_server_that_does_not_tell_the_time(synced: Sync, connect: Callable[..., None]) -> None:
    with tampering(synced.slave, "/", lambda body: body, without="date") as between:
        connect(synced.slave, port=between.port)
        told = levels(checked(synced))
    assert (told["clock slave"], told["connection slave"], told["clock master"]) == (UNKNOWN, OK, OK)


@pytest.mark.parametrize(("told", "ahead"), [(-10, -10), (0, 0), (45, 0), (90, 0), (95, 5)])
def test_a_slow_answer_is_no_wrong_clock(told: int, ahead: int) -> None:
    """A server whose answer took 90 seconds may have told the time at any moment of these."""
    hook: Any = SimpleNamespace(tells_time=True, answered=SERVERS_NOW + timedelta(seconds=told))
    assert _ahead(hook, SERVERS_NOW, SERVERS_NOW + timedelta(seconds=90)) == timedelta(seconds=ahead)


def test_connections_that_only_airflows_database_has(synced: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = {"notify": [{"notifier": "support.file_notifier.ByConnection", "arguments": {"mail_conn_id": "our_mail"}}]}
    found = checked(synced, **mail)
    assert levels(found)["deadline"] is WARNING
    assert any("our_mail" in line for line in found.lines)
    monkeypatch.setenv("AIRFLOW_CONN_OUR_MAIL", "smtp://mail.example.com")
    assert levels(checked(synced, **mail))["deadline"] is OK


def test_a_test_message_is_sent_by_each_notifier(synced: Sync, tmp_path: Path) -> None:
    good = {**NOTIFY[0], "arguments": {"path": str(tmp_path / "told"), "token": "t0ken"}, "alerts": ["failover"]}
    bad = {**NOTIFY[0], "arguments": {"path": str(tmp_path / "no t0ken" / "told"), "token": "t0ken"}}
    assert levels(checked(synced, notify=[good]))["notifiers"] is OK
    assert not (tmp_path / "told").exists(), "nobody has asked for one"
    found = checked(synced, notify=[good, bad], send_test=True)
    assert levels(found)["notifiers"] is WARNING
    (line,) = (each for each in found.lines if each.startswith("WARNING notifiers"))
    assert (
        "1 of 2 notifiers have not sent the test message: 2 support.file_notifier.FileNotifier (FileNotFoundErr" in line
    )
    assert "t0ken" not in json.dumps(found.to_json())
    (told,) = map(json.loads, (tmp_path / "told").read_text().splitlines())
    assert (told["alert"], told["event"]["kind"]) == ("test", "test")
    assert "nothing is wrong" in told["text"]
    assert levels(checked(synced, notify=[good], send_test=True))["notifiers"] is OK


def test_another_pair_with_the_same_servers(synced: Sync, connect: Callable[..., None]) -> None:
    connect(synced.master, "their_master")
    connect(synced.slave, "their_slave", host="localhost")
    theirs = {"name": "other", "master": "denodo_scheduler_their_master", "slave": "denodo_scheduler_their_slave"}
    assert levels(checked(synced))["one pair"] is OK
    found = checked(Sync(synced.servers, MemoryState(), synced.folder, options=theirs), now=synced.now())
    assert levels(found)["one pair"] is CRITICAL
    assert any("the pair test holds the server" in line for line in found.lines)
    assert not (synced.folder / "other" / "servers.json").exists(), "a check claims no server"


def test_roles_that_a_server_does_not_tell(synced: Sync, tamper: Callable[..., Any]) -> None:
    tamper(synced.master, "/public/api/me", lambda body: json.dumps({**json.loads(body), "permissions": None}).encode())
    assert levels(checked(synced))["roles master"] is UNKNOWN
