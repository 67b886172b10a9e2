"""Whatever a web tool answers to a probe: it proves nothing, in time, and the watch goes on."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest

from denodo_demo.slowness import allow
from denodo_ha.verdict import Answer, Observation
from denodo_scheduler.client.probe import Endpoint, Observer
from denodo_scheduler.triggers.ping_master import _SecondPath
from support.hostile_server import BASE_PATH, HostileServer, bombs, broken, garbage, gzip_bomb, head, peak_memory, whole

ALIVE = {"odd version", "odd permissions"}
"""Answers that prove a living server, whatever else is odd about them."""
ALL = {**bombs(), **broken(), **garbage()}


def _endpoint(server: HostileServer, seconds: float, **more: Any) -> Endpoint:
    url = f"http://127.0.0.1:{server.port}{BASE_PATH}"
    return Endpoint("web", url, "//localhost:8000", timeout=(seconds / 2, seconds / 2), **more)


def _observed(*endpoints: Endpoint) -> Observation:
    async def observe() -> Observation:
        observer = Observer(master=endpoints[0], second=endpoints[1] if endpoints[1:] else None)
        try:
            return await observer.observe()
        finally:
            await observer.aclose()

    return asyncio.run(observe())


@pytest.mark.parametrize("name", ALL)
def test_a_bad_answer_proves_nothing(name: str, server: HostileServer) -> None:
    server.answer, server.hostile = ALL[name], "/me"
    endpoint = _endpoint(server, allow(1), answer_limit=2 * 1024**2)
    began = monotonic()
    observation = _observed(endpoint, endpoint)
    assert monotonic() - began <= 2 * allow(1) + allow(1)
    if name not in ALIVE:
        assert Answer.UP not in (observation.master, observation.second)
        assert "\n" not in observation.details["master"]


@pytest.mark.parametrize("begin", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nX-", head()], ids=["status", "header", "body"])
def test_a_dripping_answer_is_no_answer_in_time(begin: bytes, server: HostileServer) -> None:
    server.answer = server.drip(begin)
    began = monotonic()
    assert _observed(_endpoint(server, 0.3)).master is Answer.NO_ANSWER
    assert monotonic() - began <= 0.3 + allow(1)


@pytest.mark.parametrize("name", ["gzip bomb", "a body without end"])
def test_a_master_that_says_too_much_is_not_declared_down(name: str, server: HostileServer) -> None:
    """It may be alive, so it is no reason for a failover, in memory that is bounded."""
    server.answer = ALL[name]
    endpoint = _endpoint(server, allow(20))
    found: list[Observation] = []
    assert peak_memory(lambda: found.append(_observed(endpoint))) < 150
    assert found[0].master is Answer.MISCONFIGURED
    assert "raise answer_limit" in found[0].details["master"]


def test_a_compressed_answer_is_read(server: HostileServer) -> None:
    import gzip

    server.hostile = "/me"
    body = gzip.compress(b'{"serverData": {"version": {"full": "9.1.0"}}}')
    server.answer = whole(body, "Content-Encoding: gzip")
    assert _observed(_endpoint(server, allow(5))).master is Answer.UP


def test_a_large_answer_is_unpacked_within_the_limit_only(server: HostileServer) -> None:
    server.answer = whole(gzip_bomb(3), "Content-Encoding: gzip")
    observation = _observed(_endpoint(server, allow(5), answer_limit=2 * 1024**2))
    assert "larger than 2097152 bytes, unpacked" in observation.details["master"]


def test_path_2_is_tried_again_whatever_the_slaves_tool_does() -> None:
    """A try that fails in a way that nobody thought of must not be the last one, or path 2 would never work again."""
    tries: list[int] = []

    class Odd:
        async def second_works(self) -> bool:
            tries.append(1)
            if len(tries) < 3:
                raise RecursionError("a bad answer")
            return True

    async def watch() -> str:
        path = _SecondPath(Odd(), 0.001)  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(allow(10)):
                while not (good := await path.last_good(wait=True)):
                    await asyncio.sleep(0.001)
        finally:
            path.stop()
        return good

    assert asyncio.run(watch())
    assert len(tries) >= 3


def test_an_error_that_nobody_thought_of_is_no_proof(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from denodo_scheduler.client import probe

    def check(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(probe, "check_body", check)
    server.hostile = "/none"
    observation = _observed(_endpoint(server, allow(5)))
    assert observation.master is Answer.MISCONFIGURED
    assert "cannot be understood (RecursionError)" in observation.details["master"]
