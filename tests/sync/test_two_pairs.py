"""Two pairs on the same servers: each would disable what the other one has enabled, if they have a job in common."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from denodo_ha.record import Role
from denodo_ha.scope import Scope
from denodo_ha.server.address import Place
from denodo_scheduler.state.snapshot_store import SnapshotStore
from denodo_scheduler.steps.holding import another_pair
from denodo_scheduler.steps.outcome import Blocked
from denodo_scheduler.steps.promote import switchover
from denodo_scheduler.steps.promote.operation import Switch
from denodo_scheduler.steps.watch.look import judge
from support.failover import Failover
from support.sync import MemoryState, Sync, enabled, untouched

Connect = Callable[..., None]


@pytest.fixture
def other(sync: Sync, connect: Connect) -> Sync:
    """A pair of the same storage, whose own connections name the same slave otherwise."""
    connect(sync.master, "their_master")
    connect(sync.slave, "their_slave", host="localhost")
    options = {"name": "other", "master": "denodo_scheduler_their_master", "slave": "denodo_scheduler_their_slave"}
    return Sync(sync.servers, MemoryState(), sync.folder, options=options)


def refused_by_each_dag(pair: Sync) -> bool:
    """Whether each DAG of the pair is refused, and changes nothing."""
    failover = Failover(pair)
    context = pair.prepared()
    with untouched(pair.master, pair.slave):
        said = [pair.run().message("guard"), str(judge(failover.case(failover.seen())).decision.reason)]
        with pytest.raises(Blocked) as caught:
            switchover.check(context, Switch(Role.SLAVE))
        said.append(str(caught.value))
    return all(each.startswith("[shared_server] the pair test holds the server ") for each in said)


def test_the_later_pair_is_refused_and_the_earlier_one_goes_on(sync: Sync, other: Sync) -> None:
    sync.synced()
    with untouched(sync.master, sync.slave):
        said = other.run().message("guard")
    assert said.startswith("[shared_server] the pair test holds the server ")
    assert f"delete {sync.snapshots('other').base}/test/servers.json" in said
    assert sync.synced().ok


def test_a_pair_whose_scope_grows_into_another_one_s_is_refused_by_each_dag(sync: Sync, other: Sync) -> None:
    sync.options["projects"], other.options["projects"] = ["Sales"], ["default"]
    sync.synced()
    other.synced()
    active = enabled(sync.master)
    other.options["projects"] = ["*"]
    assert refused_by_each_dag(other)
    assert enabled(sync.master) == active
    sync.synced()


def test_pairs_without_a_job_in_common_share_their_servers(sync: Sync, other: Sync) -> None:
    sync.options["projects"], other.options["projects"] = ["Sales"], ["default"]
    sync.synced()
    other.synced()
    sync.synced()


def test_what_a_pair_that_is_no_more_has_left_stands_in_the_way_for_a_day(sync: Sync, other: Sync) -> None:
    sync.synced()
    other.passed = sync.passed + timedelta(hours=23)
    assert other.run().code("guard") == "shared_server"
    other.passed = sync.passed + timedelta(hours=25)
    assert "guard" not in other.run().errors
    sync.passed = other.passed
    assert sync.run().code("guard") == "shared_server", "by now the other one holds them"


def test_a_dry_run_says_nothing_of_its_pair(sync: Sync, other: Sync) -> None:
    sync.run(dry_run=True)
    other.synced()
    assert sync.run().code("guard") == "shared_server"


@pytest.mark.parametrize(
    ("mine", "theirs", "shared"),
    [
        (Place("tool-a", "//scheduler:8000"), Place("tool-b", "//scheduler:8000"), False),
        (Place("tool-a", "//scheduler:8000"), Place("TOOL-A", "//Scheduler:8000"), True),
        (Place("tool-a", "//dr.example.com:8000"), Place("tool-b", "//dr.example.com:8000"), True),
        (Place("dr.example.com", "//localhost:8000"), Place("tool-b", "//DR.example.com:8000"), True),
        (Place("dr", "//localhost:8000"), Place("DR", "//dr:8000"), True),
        (Place("localhost", "//localhost:8000"), Place("127.0.0.1", "//[::1]:8000"), True),
        (Place("localhost", "//localhost:8000"), Place("localhost", "//localhost:8001"), False),
    ],
)
def test_a_bare_name_has_a_meaning_at_its_own_web_tool_only(
    mine: Place, theirs: Place, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a failover looks, which asks no name server: a dead one takes its time."""

    def asked(host: Any, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"the name server was asked for {host}")

    monkeypatch.setattr(socket, "getaddrinfo", asked)

    def refused(pair: str, place: Place) -> bool:
        hooks = {Role.MASTER: place, Role.SLAVE: Place(f"slave-of-{pair}.example.com", "//localhost:8000")}
        context = SimpleNamespace(
            now=lambda: datetime.now(UTC),
            snapshots=SnapshotStore(ObjectStoragePath(f"file://{tmp_path}"), pair),
            pair=SimpleNamespace(name=pair, scope=Scope()),
            servers=SimpleNamespace(hook=lambda role: SimpleNamespace(place=hooks[role])),
            dry_run=False,
        )
        return another_pair(context, resolved=False) is not None  # type: ignore[arg-type]

    assert not refused("one", mine)
    assert refused("other", theirs) is shared
