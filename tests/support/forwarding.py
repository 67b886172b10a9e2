"""A virtual address: a port that leads to a server, to another one, or nowhere, as a test moves it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Address:
    """
    :param host: the local address. :param port: where it listens. :param target: the local port that it leads to.
    :param certificate: it speaks TLS with this one, which the server behind it does not.
    """

    def __init__(self, host: str, port: int, target: int, certificate: Path | None = None) -> None:
        self.host, self._target = host, target
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._tls and certificate:
            self._tls.load_cert_chain(certificate)
        self._server = socket.create_server((host, port))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, target: int) -> None:
        """Lead new connections there; those that are open are cut."""
        self._target = target
        self._cut()

    def close(self) -> None:
        """Lead nowhere."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._cut()

    def _cut(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open = []

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                client = self._tls.wrap_socket(client, server_side=True) if self._tls else client
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    for each in (source, to):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def address(
    target: int, *, host: str = "127.0.0.1", port: int = 0, certificate: Path | None = None
) -> Iterator[Address]:
    """An address that leads to a local port, until the end of the block."""
    made = Address(host, port, target, certificate)
    try:
        yield made
    finally:
        made.close()
