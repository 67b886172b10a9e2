"""The deadline of whole exchanges with a server: from the connection to the last byte, however slowly they come.

The timeouts of ``requests`` are those of single reads, so a server that sends a byte now and then keeps a request open
for ever. Here a timer shuts the connection down at the deadline, which ends whatever waits for it: a TLS handshake, the
sending of a body, headers, an answer. A lookup of the host's name is not covered, and connecting takes at most the
timeout of connecting for each of its addresses.

A request that changes a server is permitted right before its first byte, and nothing of it is sent after the deadline,
also by a process that was stopped meanwhile.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from time import monotonic
from typing import Any

from requests import Response, Session
from requests.exceptions import ReadTimeout
from requests_toolbelt.adapters.socket_options import TCPKeepAliveAdapter  # type: ignore[import-untyped]

BEGINS_WITHIN = 5.0
"""Seconds from the permit of a request to its first byte."""

_running: ContextVar[Exchange | None] = ContextVar("running exchange", default=None)


class _Refused(Exception):
    """Carries the error of a permit through libraries that would translate it."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Exchange:
    """
    What has to end by a moment: one request with its answer, or several tries of it.

    :param end: the moment, by ``time.monotonic``.

    ``sent`` says whether anything may have been sent, ``withheld`` that nothing was, since its turn came too late.
    """

    def __init__(self, end: float) -> None:
        self.end = end
        self.over = False
        self.sent = self.withheld = False
        self._permit: Callable[[float], None] | None = None
        self._begin_by = float("inf")
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()

    def left(self) -> float:
        """Return the seconds until the deadline, 0 when it is over."""
        return 0.0 if self.over else max(self.end - monotonic(), 0.0)

    @contextmanager
    def permitted(self, permit: Callable[[float], None] | None) -> Iterator[None]:
        """Have ``permit`` called at once, and again right before the request of the block is sent, with what is left.

        What it raises leaves the block as it is, whatever the libraries in between make of it.
        """
        self._permit, self._begin_by = permit, float("inf")
        try:
            self.ask()
            yield
        except _Refused as refused:
            raise refused.error from None

    def ask(self) -> None:
        """Ask for the permit."""
        if self._permit:
            self.ensure_left()
            try:
                self._permit(self.left())
            except Exception as error:
                raise _Refused(error) from error
            self._begin_by = monotonic() + BEGINS_WITHIN

    def ensure_left(self) -> None:
        """:raises requests.exceptions.ReadTimeout: the deadline is over, or the permit is too long ago."""
        if not self.left():
            self.expire()
        if self.over or monotonic() > self._begin_by:
            self.withheld = not self.sent
            raise ReadTimeout

    def begin(self) -> None:
        """Right before something is sent; what follows belongs to it. What changes nothing may be late."""
        if self._permit:
            self.ensure_left()
            self.sent, self.withheld, self._begin_by = True, False, float("inf")

    def watch(self, connection: Any) -> None:
        """Shut ``connection`` down at the deadline, instead of the one before.

        :param connection: a socket, or what has its file descriptor. Its own descriptor is kept, since TLS and pools
            may close or replace the original meanwhile.
        """
        with self._lock:
            self._forget()
            self._connection = socket.socket(fileno=os.dup(connection.fileno()))
            if self.over:
                self._shut_down()

    def finish(self) -> None:
        """End in time, or at once."""
        with self._lock:
            self._forget()

    def expire(self) -> None:
        """End at the deadline."""
        with self._lock:
            self.over = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._connection:
            with suppress(OSError):  # the other side was first
                self._connection.shutdown(socket.SHUT_RDWR)

    def _forget(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


@contextmanager
def within(seconds: float) -> Iterator[Exchange]:
    """Give the block at most so many ``seconds`` for its connections, and no more than a block around it has left."""
    outer = _running.get()
    exchange = Exchange(min(monotonic() + seconds, outer.end if outer else float("inf")))
    timer = threading.Timer(exchange.left(), exchange.expire)
    timer.daemon = True
    timer.start()
    token = _running.set(exchange)
    try:
        yield exchange
    finally:
        _running.reset(token)
        timer.cancel()
        exchange.finish()


def watch(connection: Any) -> None:
    """Put a connection under the deadline of the block in which this is called, if there is one."""
    if exchange := _running.get():
        exchange.watch(connection)


def ensure_in_time() -> None:
    """Tell the end of a body from that of its connection at the deadline, which look the same where no length is known.

    :raises requests.exceptions.ReadTimeout: the deadline of the block is over.
    """
    if (exchange := _running.get()) and exchange.over:
        raise ReadTimeout


class BoundedSession(Session):
    """A session that follows no redirect and does not even look where one leads: ``requests`` would read its body."""

    def get_redirect_target(self, resp: Response) -> str | None:
        return None


class BoundedAdapter(TCPKeepAliveAdapter):  # type: ignore[misc]
    """Airflow's adapter for HTTP, whose connections end at the deadline of the block in which they are used."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _bound(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        return manager if known else _bound(manager)


def _bound(manager: Any) -> Any:
    """Have a manager of pools make connections that are watched, of whatever kind its own are."""
    manager.pool_classes_by_scheme = {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": _bounded(pool.ConnectionCls)})
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }
    return manager


def _bounded(kind: Any) -> Any:
    class Connection(kind):  # type: ignore[misc]
        timeout: float

        def _new_conn(self) -> Any:
            if exchange := _running.get():
                self.timeout = min(self.timeout, max(exchange.left(), 0.001))
            made = super()._new_conn()
            watch(made)
            return made

        def request(self, *args: Any, **kwargs: Any) -> Any:
            if self.sock is None:
                self.connect()
            else:  # it was kept alive
                watch(self.sock)
            if exchange := _running.get():
                exchange.ask()
            return super().request(*args, **kwargs)

        def send(self, data: Any) -> None:
            if exchange := _running.get():
                exchange.begin()
            super().send(data)

    return Connection
