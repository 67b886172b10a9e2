"""Making sure that no other pair, of this Airflow or of another one, has jobs of the same servers."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from dataclasses import replace

from denodo_ha.holdings import Holding, held_by_another
from denodo_ha.reason import Reason
from denodo_ha.record import Role
from denodo_ha.server.address import Place, is_loopback, is_name
from denodo_scheduler.state.storage import StorageError
from denodo_scheduler.steps.context import PairContext

log = logging.getLogger(__name__)


def another_pair(context: PairContext, *, resolved: bool = True) -> Reason | None:
    """No other pair whose snapshots are in the same place holds a server of this pair.

    Says so of this pair, which is how the others know, unless this is a dry run. Storage that cannot tell forbids
    nothing, because no failover may fail for it.

    :param resolved: compare the addresses that the servers' names lead to now; else those that are known, because a
        dead name server takes its time.
    """
    now, store, scope = context.now(), context.snapshots, context.pair.scope
    places = [context.servers.hook(role).place for role in Role]
    names = frozenset(map(_name, places))
    addresses = frozenset(address for place in places if resolved for address in _addresses(place))
    try:
        known = {pair: holding for pair, content in store.holdings() if (holding := _read(pair, content))}
        before = known.pop(context.pair.name, None)
        mine = Holding(context.pair.name, names, addresses, scope, since=now, seen=now).said_again(before, now)
        refused = held_by_another(mine, before, known.values(), now, store.base)
        if not refused and mine != before and not context.dry_run:
            store.write_holding(mine.to_json())
    except StorageError as error:
        log.warning("Whether another pair has the same servers is not known: %s", error)
        return None
    return refused


def _read(pair: str, content: bytes) -> Holding | None:
    try:
        return replace(Holding.from_json(content), pair=pair)
    except ValueError:
        log.warning("What the pair %s says of its servers is damaged, and is left out", pair)
        return None


def _name(place: Place) -> str:
    """The server as the pair's connections name it, a bare name with the tool at which it has a meaning."""
    host = (socket.gethostname() if is_loopback(place.machine) else place.machine).casefold()
    return f"{place.tool.casefold()}|{host}:{place.port}" if _is_bare(place) else f"{host}:{place.port}"


def _addresses(place: Place) -> set[str]:
    """The same by the address that the name leads to from here; on this machine, at whatever address others call it."""
    named, rest = (place.tool, f"|{place.machine.casefold()}") if _is_bare(place) else (place.machine, "")
    host = socket.gethostname() if is_loopback(named) else named
    with suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return {f"{each[4][0]}{rest}:{place.port}" for each in found}
    return set()


def _is_bare(place: Place) -> bool:
    """Whether the server has a name without a domain, as the machines of one site or one cluster name each other."""
    own = is_loopback(place.server) or place.machine.casefold() == place.tool.casefold()
    return not own and is_name(place.machine) and "." not in place.machine
