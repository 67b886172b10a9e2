"""A receiver of StatsD: a UDP socket that keeps what it is sent."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

_BETWEEN = 0.05
"""Seconds after which the socket is emptied again, before it is full."""


class StatsdReceiver:
    """Listens on a free port of this machine; a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    @property
    def env(self) -> dict[str, str]:
        """What has Airflow send our metrics here."""
        port = str(self._socket.getsockname()[1])
        options = {"ON": "True", "HOST": "127.0.0.1", "PORT": port}
        variables = {f"AIRFLOW__METRICS__STATSD_{name}": value for name, value in options.items()}
        return {**variables, "AIRFLOW__METRICS__METRICS_ALLOW_LIST": "^denodo_ha"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, of: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def lines(self) -> list[str]:
        """All lines so far, oldest first."""
        with self._lock:
            self._empty()
            return list(self._lines)

    def values(self) -> dict[str, float]:
        """The last value of each gauge, and the sum of each counter, by name without Airflow's prefix."""
        found: dict[str, float] = {}
        for line in self.lines():
            name, _, rest = line.removeprefix("airflow.").partition(":")
            value, kind = rest.split("|")[:2]
            found[name] = float(value) + (found.get(name, 0) if kind == "c" else 0)
        return found

    def _listen(self) -> None:
        while not self._over.wait(_BETWEEN):
            with self._lock:
                self._empty()

    def _empty(self) -> None:
        try:
            while True:
                self._lines += self._socket.recv(65536).decode().splitlines()
        except BlockingIOError:
            return
