"""Ports of this machine, each for one program of this project, also before it listens and while it is stopped."""

from __future__ import annotations

import contextlib
import socket

_taken: list[socket.socket] = []


def take(port: int) -> bool:
    """Take a port until this program ends; return False if something listens there on 127.0.0.1, or it was taken.

    Another program finds it taken by an abstract Unix socket, which Linux forgets at the end of its owner.
    """
    mark = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(OSError), socket.socket() as probe:
        mark.bind(f"\0denodo-standin-port-{port}")
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        _taken.append(mark)
        return True
    mark.close()
    return False
