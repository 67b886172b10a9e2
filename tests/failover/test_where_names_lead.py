"""The name of the master leads nowhere, or to the slave: what proves nothing about the master is no vote."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from denodo_ha.decisions import Alert
from denodo_ha.verdict import Evidence, Observation, Verdict, Watch
from denodo_scheduler.client.probe import Looker, Observer
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses
from denodo_scheduler.steps.outcome import Blocked
from denodo_scheduler.steps.sync.guard import guard
from support.failover import Failover, Outcome
from support.forwarding import Address, address
from support.sync import enabled, untouched

NAME = "master.example"
Connect = Callable[..., None]


class NameServer:
    """What a name leads to on this machine; the slave's web tool does not know it at all."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.known: dict[str, str] = {}
        self._resolve = socket.getaddrinfo
        patch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        host = host.decode() if isinstance(host, bytes) else host
        if host not in self.known and str(host).endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._resolve(self.known.get(host, host), *args, **kwargs)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    return NameServer(monkeypatch)


@pytest.fixture
def named(failover: Failover, connect: Connect, names: NameServer) -> Failover:
    """The master is reached by a name, over both paths."""
    names.known[NAME] = "127.0.0.1"
    connect(failover.master, host=NAME)
    failover.change(master=failover.prepared().master.address)
    failover.options = {"second_path": f"//{NAME}:{failover.master.scheduler.port}"}
    return failover


def watched(failover: Failover, addresses: dict[str, str], rounds: int = 1) -> tuple[Evidence, dict[str, str]]:
    """What the trigger sees in so many rounds, and more until a verdict is confirmed; and which addresses it knows."""
    run = failover.prepared()

    async def watch() -> tuple[Evidence, dict[str, str]]:
        made = Watch(run.pair.watch.fall)
        observer = Observer.of(run.master, run.slave, second_path=run.pair.watch.second_path, addresses=addresses)
        async with aclosing(observer):
            await observer.second_works()
            number, found = 0, None
            while found is None or number < rounds:
                found, number = made.add(_now(await observer.observe(), failover)), number + 1
            return found, dict(observer.addresses)

    return asyncio.run(watch())


def act_on(failover: Failover, evidence: Evidence, addresses: dict[str, str]) -> Outcome:
    """A run that decides and acts by this evidence, and looks again as its step does."""
    failover.looker = lambda run: Looker(  # type: ignore[method-assign]
        run.master, run.slave, second_path=run.pair.watch.second_path, addresses=addresses, tell_apart=True
    )
    return failover.run(evidence=evidence)


def _now(seen: Observation, failover: Failover) -> Observation:
    return replace(seen, at=failover.sync.now())


# -- nowhere


def test_a_name_that_no_longer_resolves_is_asked_at_its_last_address(named: Failover, names: NameServer) -> None:
    evidence, addresses = watched(named, {})
    assert (evidence.verdict, addresses) == (Verdict.UP, {NAME: "127.0.0.1"})
    names.known.clear()
    evidence, kept = watched(named, addresses)
    assert (evidence.verdict, kept) == (Verdict.UP, addresses)


def test_a_dead_name_server_is_no_dead_master(named: Failover, names: NameServer) -> None:
    """Neither path has an address: the silence of both has one cause, which is not the master."""
    names.known.clear()
    with untouched(named.master, named.slave):
        evidence, _ = watched(named, {})
        assert evidence.verdict is Verdict.MISCONFIGURED
        assert (
            evidence.common
            == f"both paths lead to the master by the name {NAME}, which does not resolve; so neither counts"
        )
        assert "proves nothing about the server" in str(evidence.latest[-1])
        out = named.run(evidence=evidence)
    assert out.code == "misconfigured"
    assert out.judgement.decision.what.endswith(f"({evidence.common})")
    assert len(enabled(named.master)) == 9


def test_a_dead_web_tool_whose_server_only_a_name_leads_to_is_no_dead_master(
    named: Failover, names: NameServer, connect: Connect
) -> None:
    """Path 1 is silent for a reason of its own, and the slave's web tool cannot resolve the name."""
    connect(named.master)
    named.change(master=named.prepared().master.address)
    names.known.clear()
    named.master.webtool.faults({"kind": "cut_before"})
    evidence, _ = watched(named, {})
    assert evidence.verdict is Verdict.UNKNOWN
    assert named.run(evidence=evidence).code == "one_path"


def test_silence_at_the_last_address_counts_although_the_name_server_is_dead_too(
    named: Failover, names: NameServer
) -> None:
    wanted = enabled(named.master)
    _, addresses = watched(named, {})
    names.known.clear()
    named.silence()
    evidence, _ = watched(named, addresses)
    assert evidence.verdict is Verdict.DOWN
    assert evidence.common.endswith("which does not resolve; it was asked at its last address, 127.0.0.1")
    out = act_on(named, evidence, addresses)
    assert enabled(named.slave) == wanted, out.error


def test_a_sync_warns_of_two_paths_that_use_one_name(named: Failover, caplog: pytest.LogCaptureFixture) -> None:
    said = f"Both paths to the master use the name {NAME}"
    guard(named.prepared(dry_run=True), operation_id="s", wanted=None)
    assert said in caplog.text
    caplog.clear()
    named.options = {"second_path": named.master.uri}
    guard(named.prepared(dry_run=True), operation_id="s", wanted=None)
    assert said not in caplog.text


# -- to the slave


@pytest.fixture
def virtual(failover: Failover, connect: Connect) -> Iterator[Address]:
    """The site of the master is dead, and the address of its web tool was moved to the slave's.

    A web tool that is asked about its own machine is asked here about the slave's server, because all are one machine.
    """
    with address(failover.slave.webtool.port) as made:
        connect(failover.master, port=made.port, extra={"scheduler_uri": failover.slave.uri})
        failover.change(master=failover.prepared().master.address)
        failover.options = {"second_path": failover.master.uri}
        failover.master.scheduler.kill()
        yield made


def test_an_address_that_was_moved_to_the_slave_is_no_master_that_is_up(failover: Failover, virtual: Address) -> None:
    evidence, addresses = watched(failover, {}, rounds=4)
    assert (evidence.verdict, addresses) == (Verdict.MISCONFIGURED, {})
    assert "it is the slave's own server that answers" in str(evidence.latest[-1])
    with untouched(failover.slave):
        for seen in (evidence, failover.seen(Verdict.UP), failover.seen(Verdict.CONTROL_PATH_BROKEN)):
            out = failover.run(evidence=seen)
            assert (out.judgement.decision.code, out.judgement.verdict) == ("same_server", Verdict.MISCONFIGURED)
            assert out.judgement.decision.alert is Alert.BLOCKED
            assert isinstance(out.error, Blocked)
            assert "lead nowhere" in out.error.next_step


def test_an_address_that_leads_nowhere_afterwards_is_silence(failover: Failover, virtual: Address) -> None:
    virtual.close()
    evidence, _ = watched(failover, {})
    assert evidence.verdict is Verdict.DOWN
    assert failover.run(evidence=evidence).code == "fail_over"
    assert len(enabled(failover.slave)) == 9


def test_a_name_that_was_moved_to_the_slave_is_asked_at_its_last_address(
    failover: Failover, connect: Connect, names: NameServer
) -> None:
    wanted = enabled(failover.master)
    old, new = "127.0.0.3", "127.0.0.2"
    with (
        address(failover.master.webtool.port, host=old) as at_home,
        address(failover.slave.webtool.port, host=new, port=at_home.port),
    ):
        failover.options = {"second_path": failover.master.uri}
        names.known[NAME] = old
        connect(failover.master, host=NAME, port=at_home.port)
        failover.change(master=failover.prepared().master.address)
        evidence, addresses = watched(failover, {})
        assert (evidence.verdict, addresses) == (Verdict.UP, {NAME: old})

        names.known[NAME] = new
        connect(failover.master, host=NAME, port=at_home.port, extra={"scheduler_uri": failover.slave.uri})
        failover.change(master=failover.prepared().master.address)
        evidence, kept = watched(failover, addresses, rounds=4)
        assert (evidence.verdict, kept) == (Verdict.CONTROL_PATH_BROKEN, addresses), "path 2 hears the master itself"
        assert failover.run(evidence=evidence).code == "same_server"

        failover.master.scheduler.kill()
        at_home.close()
        evidence, _ = watched(failover, addresses)
        assert evidence.verdict is Verdict.DOWN
        assert act_on(failover, evidence, addresses).code == "fail_over"
    assert enabled(failover.slave) == wanted


def test_nothing_more_is_enabled_beside_a_master_that_is_back_and_whose_name_leads_to_the_slave(
    failover: Failover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is heard at its last address, and its jobs cannot be disabled under its name."""
    wanted = enabled(failover.master)
    failover.options = {"enable_batch": 1}
    failover.silence()
    read = DenodoSchedulerHook.statuses

    def led(hook: DenodoSchedulerHook) -> Statuses:
        to_master = hook.denodo_scheduler_conn_id == "denodo_scheduler_master"
        return read(DenodoSchedulerHook("denodo_scheduler_slave") if to_master else hook)

    def back(number: int) -> None:
        if number == 2:
            failover.wake()
            monkeypatch.setattr(DenodoSchedulerHook, "statuses", led)

    out = failover.run(at_look=back)
    assert out.code == "split_brain"
    assert len(enabled(failover.slave)) == 1
    assert enabled(failover.master) == wanted, "nothing was sent to it under its name"
    assert failover.record.operation is not None, "it goes on when the name leads to the master, or nowhere"
