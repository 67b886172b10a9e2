"""Readiness checks of the data sources: whether those of the passive server lead to its own site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from denodo_ha.hosts import hosts_of
from denodo_ha.jobs import DataSource, fold
from denodo_ha.properties import PropertiesError
from denodo_ha.readiness.facts import Parameter, ReadyFacts, Unread, known
from denodo_ha.readiness.findings import Said, fine, unknown, warning
from denodo_ha.server.address import is_loopback, is_name
from denodo_ha.text import listed

URI = "connectionURI"
"""The one address that ``GET /dataSources`` gives [V]."""
_PROPERTIES = "'properties' of the pair"


def parameters(sources: tuple[DataSource, ...]) -> Iterator[Parameter]:
    """The addresses that ``GET /dataSources`` gives."""
    for each in sources:
        if each.connection_uri is not None:
            yield Parameter(each.project, each.type or "", each.name, URI, each.connection_uri)


def addresses(sources: tuple[DataSource, ...] | Unread, exported: tuple[Parameter, ...] | Unread) -> list[Parameter]:
    """Return those of a server: as it says them, and of its other parameters as the snapshot has them."""
    rows = [] if isinstance(sources, Unread) else list(parameters(sources))
    said = {_identity(each) for each in rows}
    more = () if isinstance(exported, Unread) else exported
    return rows + [each for each in more if (each.name != URI or _identity(each) not in said)]


def _identity(each: Parameter) -> tuple[str, ...]:
    return fold(each.project), fold(each.source), fold(each.name)


def _data_sources(facts: ReadyFacts) -> Said:
    """What is found is told even where something could not be read, but nothing is OK then."""
    passive, active = facts.passive, facts.active
    rows = addresses(facts.servers[passive].data_sources, facts.exported)
    rests_on = f"GET /dataSources of the {passive}, the committed snapshot, and names as this worker resolves them"
    if there := [_shown(each, host) for each in rows for host in hosts_of(each.value) if _leads_to_active(facts, host)]:
        what = f"{len(there)} data sources of the {passive} lead to the machine of the {active}: {listed(there)}"
        return warning(what, f"give each server its own addresses with {_PROPERTIES}, then sync", rests_on)
    if lost := list(_nowhere(facts, rows)):
        how = (
            f"correct them with {_PROPERTIES}, then sync; where only the {passive}'s site knows a name, let Airflow's "
            "workers resolve it too, or write an address"
        )
        return warning(f"{len(lost)} data sources of the {passive} lead nowhere: {listed(lost)}", how, rests_on)
    known(facts.servers[passive].data_sources), known(facts.exported)
    if unknown_names := sorted(names_to_resolve(rows, ()) - known(facts.resolved).keys()):
        how = "look whether the name server of Airflow's workers answers, then check again"
        return unknown(
            f"where {len(unknown_names)} names lead was not told in time: {listed(unknown_names)}", how, rests_on
        )
    if shared := list(_shared(facts, rows)):
        what = f"{len(shared)} data sources have one address on both servers, of a site that is not known"
        how = f"write their addresses into {_PROPERTIES} for both servers; the same one, where it serves both sites"
        return unknown(f"{what}: {listed(shared)}", how, rests_on)
    machines = known(facts.servers[active].machines)
    if any(map(is_loopback, machines)):
        how = f"name the machine itself as host of the connection {facts.servers[active].connection}"
        return unknown(f"which data sources lead to {min(machines)} of the {active} cannot be told", how, rests_on)
    return fine(f"none of {len(rows)} addresses of the {passive}'s data sources leads to the {active}'s site", rests_on)


def _shown(each: Parameter, host: str = "it has no address") -> str:
    return f"{each.project} / {each.source} ({host})"


def _leads_to_active(facts: ReadyFacts, host: str) -> bool:
    """By its name, or by an address that both names lead to from here; localhost is each site's own."""
    machines = facts.servers[facts.active].machines
    if isinstance(machines, Unread) or is_loopback(host):
        return False
    at = {} if isinstance(facts.resolved, Unread) else facts.resolved
    here = {each.casefold().rstrip(".") for each in machines}
    reached = {address for each in here for address in at.get(each, ()) if not is_loopback(address)}
    return host in here or bool(reached & (at.get(host, frozenset()) | {host}))


def _nowhere(facts: ReadyFacts, rows: list[Parameter]) -> Iterator[str]:
    at = {} if isinstance(facts.resolved, Unread) else facts.resolved
    for each in rows:
        if each.name == URI and not each.value.strip():  # others, such as that of a proxy, may be empty
            yield _shown(each)
        for host in hosts_of(each.value):
            if at.get(host) == frozenset():
                yield _shown(each, f"{host} does not resolve")


def _shared(facts: ReadyFacts, rows: list[Parameter]) -> Iterator[str]:
    """Those that no property of the passive server speaks of."""
    here = {
        (*_identity(each), host)
        for each in parameters(known(facts.servers[facts.active].data_sources))
        for host in hosts_of(each.value)
    }
    site = facts.pair.properties_of(facts.passive)
    for each in rows:
        said = None
        with suppress(PropertiesError):
            said = site.value_for(each.project, each.type, each.source, each.name)
        for host in hosts_of(each.value):
            if said is None and (*_identity(each), host) in here and not is_loopback(host):
                yield _shown(each, host)


def names_to_resolve(rows: Iterable[Parameter], machines: Iterable[str]) -> frozenset[str]:
    """Return the hosts of data sources and of servers whose addresses have to be looked up."""
    found = {host for each in rows for host in hosts_of(each.value)}
    return frozenset(host.casefold().rstrip(".") for host in (*found, *machines) if is_name(host))


def _properties(facts: ReadyFacts) -> Said:
    site = facts.pair.properties_of(facts.passive)
    if not site:
        return fine(f"the pair has no properties of the {facts.passive}", "the file of pairs")
    sources = known(facts.servers[facts.passive].data_sources)
    rows = [{"projectName": each.project, "name": each.name, **each.values} for each in sources]
    if unmatched := site.unmatched(rows):
        what = f"properties of the {facts.passive} fit none of its data sources: {listed(unmatched)}"
        return warning(what, f"correct their names under {_PROPERTIES}", "GET /dataSources")
    return fine(f"each property of the {facts.passive} fits a data source", "GET /dataSources")


OF_SITES: Mapping[str, Callable[[ReadyFacts], Said]] = {"data sources": _data_sources, "properties": _properties}
