"""A receiver of StatsD: a UDP socket that keeps what it is sent."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from denodo_demo.processes import wait_for


class StatsdReceiver:
    """Listens on a free port of this machine; a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._lines: list[str] = []

    @property
    def env(self) -> dict[str, str]:
        """What has Airflow send here."""
        port = str(self._socket.getsockname()[1])
        options = {"STATSD_ON": "True", "STATSD_HOST": "127.0.0.1", "STATSD_PORT": port}
        return {f"AIRFLOW__METRICS__{name}": value for name, value in options.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, of: TracebackType | None) -> None:
        self._socket.close()

    def lines(self) -> list[str]:
        """All lines so far, oldest first."""
        while True:
            try:
                self._lines += self._socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return list(self._lines)

    def values(self) -> dict[str, float]:
        """The last value of each gauge of ours, and the sum of each counter, by name without Airflow's prefix."""
        found: dict[str, float] = {}
        for line in self.lines():
            name, _, rest = line.removeprefix("airflow.").partition(":")
            if line.startswith("airflow.denodo_ha."):
                value, kind = rest.split("|")[:2]
                found[name] = float(value) + (found.get(name, 0) if kind == "c" else 0)
        return found

    def wait_for(self, *names: str, patience: float) -> dict[str, float]:
        """The values, as soon as these are among them."""
        missing = "metrics, among them " + ", ".join(names)
        wait_for(lambda: set(names) <= self.values().keys(), patience, missing)
        return self.values()
