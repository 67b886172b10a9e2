"""A web tool for many pairs at once, that answers what a probe asks and writes down when it was asked."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

ANSWERS = {
    "me": {"serverData": {"version": {"full": "9.1.0"}}, "roles": []},
    "projects": [],
    "status": [],
}


class Arrivals:
    """An HTTP server in a thread: the first part of a path is the pair's name."""

    def __init__(self) -> None:
        self.port = 0
        self._seen: dict[str, list[float]] = defaultdict(list)
        self._ready = threading.Event()

    def seen(self) -> dict[str, list[float]]:
        """Per pair when ``/me`` was asked for, in seconds of the monotonic clock."""
        return {pair: list(times) for pair, times in self._seen.items()}

    @contextmanager
    def serving(self) -> Iterator[Arrivals]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(self._serve(),), daemon=True)
        thread.start()
        self._ready.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(self._done.set)
            thread.join(10)

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=1_000)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._done.wait()
        server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers until the client closes the connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                now = time.monotonic()
                path = head.split(b" ", 2)[1].decode().partition("?")[0]
                pair, what = path.split("/")[1], path.rpartition("/")[2]
                if what == "me":
                    self._seen[pair].append(now)
                writer.write(_answer(ANSWERS[what]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _answer(content: object) -> bytes:
    body = json.dumps(content).encode()
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def lateness(times: list[float], interval: float, begin: float, end: float) -> list[float]:
    """How late each probe of one pair was between two moments, by the clock of the one that was the least late.

    A probe that is missing is infinitely late.
    """
    phases = [(at - begin) % interval for at in times if begin <= at < end]
    grid = _earliest(phases, interval)
    found = [(phase - grid) % interval for phase in phases]
    expected = int((end - begin) // interval)
    return found + [float("inf")] * max(0, expected - len(found))


def _earliest(phases: list[float], interval: float) -> float:
    """The phase after the widest gap of the circle."""
    if not phases:
        return 0.0
    ordered = sorted(phases)
    gaps = [
        ((phase - ordered[index - 1]) % interval if len(ordered) > 1 else interval, phase)
        for index, phase in enumerate(ordered)
    ]
    return max(gaps)[1]
