"""A machine of the scripts that says too much: its shell ends at the deadline, in memory that is bounded."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from time import monotonic

import pytest

from denodo_demo.slowness import allow
from denodo_scheduler.client.exchange import within
from denodo_scheduler.client.scripts.shell import Shell
from denodo_scheduler.client.transport import Call
from denodo_scheduler.exceptions import UnreachableError
from support.hostile_server import MB, peak_memory

CALL = Call("web", "//localhost:8000", "export", "/opt/denodo/tools/scheduler/export.sh")


@pytest.mark.parametrize("piece", [b"x" * 65536, b"a line\n" * 1000], ids=["a line without end", "lines without end"])
def test_a_shell_that_never_stops_talking(piece: bytes) -> None:
    ours, theirs = socket.socketpair()

    def talk() -> None:
        with suppress(OSError):
            while True:
                theirs.sendall(piece)

    def ask() -> None:
        with pytest.raises(UnreachableError, match="time was over"):
            Shell(CALL, ours, open, deadline=monotonic() + 0.4)

    with ours, theirs:
        threading.Thread(target=talk, daemon=True).start()
        began = monotonic()
        assert peak_memory(ask) < 50
        assert monotonic() - began <= 0.4 + allow(1)


def test_a_deadline_shuts_down_what_is_watched() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, within(0.2) as exchange:
        exchange.watch(ours)
        ours.settimeout(allow(20))
        assert ours.recv(MB) == b""
        assert exchange.over
        assert exchange.left() == 0


def test_a_block_has_no_more_time_than_the_one_around_it() -> None:
    with within(allow(20)) as outer, within(allow(500)) as inner:
        assert inner.end == outer.end
    with within(allow(500)), within(allow(20)) as inner:
        assert inner.left() <= allow(20)


def test_what_ends_in_time_stays_open() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with within(allow(20)) as exchange:
            exchange.watch(ours)
        assert not exchange.over
        ours.sendall(b"still open")
        assert theirs.recv(100) == b"still open"
