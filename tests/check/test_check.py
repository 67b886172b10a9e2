"""What the readiness check says of a pair: for each thing a pair that lacks it, and one that has it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
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
from denodo_scheduler.client.tokens import forget_tokens
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.check import check, refuse
from support.authorisation import Authorisation, authorisation, token_of
from support.sync import NOW, Sync, act, add_job, enabled, states, untouched

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
    **pair: Any,
) -> Readiness:
    """Check the pair at the time of the servers, and see that neither of them was changed."""
    context = replace(sync.prepared(pair={**OPTIONS, **pair}, reason="a test"), now=lambda: now)
    if storage:
        context = replace(context, snapshots=SnapshotStore(ObjectStoragePath(storage), context.pair.name))
    with untouched(sync.master, sync.slave):
        return check(context, Watching(at="" if looked is None else (now - looked).isoformat()))


def levels(found: Readiness) -> dict[str, Level]:
    return {each.code: each.level for each in found.findings}


@pytest.fixture
def synced(sync: Sync) -> Sync:
    """A pair of which as much is in order as can be, with clocks that agree."""
    sync.synced()
    sync.change(
        snapshot=sync.record.snapshot.model_copy(update={"taken": SERVERS_NOW, "imported": SERVERS_NOW}),  # type: ignore[union-attr]
        capabilities={Role.SLAVE: Capabilities(longest_import=2.5)},
    )
    return sync


CANNOT_BE_TOLD = {"editions", "data sources", "secrets"}
"""The stand-ins tell no mode, all of them are on one machine, and no password protects their secrets."""


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
    told = levels(checked(synced))
    assert {code for code, level in told.items() if level is CRITICAL} == {"connection slave", "binding slave"} | {
        "second path"
    }
    assert {told[code] for code in ("roles slave", "clock slave", "at rest", "jobs", "crons", "versions")} == {UNKNOWN}
    assert {told[f"{code} master"] for code in ("connection", "roles", "binding", "clock", "time zone")} == {OK}
    assert {told[code] for code in ("phase", "snapshot", "storage", "lease", "monitor")} == {OK}


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


def test_data_sources_that_lead_to_the_other_site(
    synced: Sync, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = " ".join(str(each.get("connectionURI")) for each in synced.slave.request("GET", "/dataSources"))
    there = re.findall(r"//([\w.-]*[a-z][\w.-]*):", uris.replace("//localhost", ""))[0]
    resolve = socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.1" if host in ("elsewhere.example", there) else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    for host, level in (("elsewhere.example", OK), (there, WARNING)):
        connect(synced.master, host=host)
        assert levels(checked(synced))["data sources"] is level
