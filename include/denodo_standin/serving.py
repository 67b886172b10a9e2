"""Serve one of the stand-in's processes: print the ready line, report an occupied port, stop cleanly."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp


class _Server(uvicorn.Server):
    """A server that prints ``ready <role> <host>:<port>`` as soon as connections are accepted."""

    ready_line = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self.ready_line, flush=True)


def run(app: ASGIApp, *, role: str, host: str, port: int, log_level: str = "warning", **config: Any) -> None:
    """Serve ``app`` until SIGTERM or SIGINT.

    :param port: 0 chooses a free one; the ready line names it
    :param config: further settings of uvicorn
    :raises SystemExit: the port is occupied or the address is not one of this machine
    """
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        sys.exit(f"{role}: cannot listen on {host}:{port}: {reason}. Choose another --port (0: a free one).")
    server = _Server(
        uvicorn.Config(
            app,
            log_level=log_level,
            access_log=log_level in ("debug", "trace"),
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            **config,
        )
    )
    server.ready_line = f"ready {role} {host}:{listener.getsockname()[1]}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again after its own clean stop
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        sys.exit(130)


def end_with_stdin() -> None:
    """Have this process end, as by SIGTERM, at the end of its standard input, such as a pipe from its parent."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
