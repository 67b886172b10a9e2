"""The names of servers, and the addresses that they lead to: looked up without ever holding up a round of the watch."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import replace

from denodo_ha.verdict import Answer, Reply


class Names:
    """
    Looks names up, at most one request for each at a time, because one to a dead name server takes its time.

    :param known: the last address that each name led to.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = dict(known)
        self.missing: set[str] = set()
        """Names that did not resolve when they were looked up last."""
        self._lookups: dict[str, asyncio.Task[str]] = {}

    async def lookup(self, name: str, seconds: float) -> str:
        """Return an address that the name leads to now; empty where none is found within so many ``seconds``."""
        lookup = self._lookups.get(name)
        if lookup is None or lookup.done():
            lookup = self._lookups[name] = asyncio.create_task(_resolved(name))
        await asyncio.wait([lookup], timeout=seconds)
        found = lookup.result() if lookup.done() else ""
        (self.missing.discard if found else self.missing.add)(name)
        return found

    def close(self) -> None:
        for lookup in self._lookups.values():
            lookup.cancel()


async def _resolved(name: str) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ""
    return str(found[0][4][0])


def no_vote(host: str, reply: Reply) -> Reply:
    """Return what the silence of a name is worth that leads nowhere."""
    said = f"the name {host} does not resolve, and no address of it is known, which proves nothing about the server"
    return replace(reply, answer=Answer.MISCONFIGURED, detail=f"{said}: {reply.detail}")


def led_elsewhere(host: str, reply: Reply) -> Reply:
    """Return what the silence of a name is worth whose last address answers."""
    said = f"the name {host} leads to another address than before, and at its last one the server answers"
    return replace(reply, answer=Answer.MISCONFIGURED, detail=f"{said}: {reply.detail}")
