"""Which Scheduler server ``//host:port`` is, read on the machine of one web tool or of another."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

_SERVER_URI = re.compile(r"//([^/:@\s]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")


_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


class Place(NamedTuple):
    """A Scheduler server, ``//host:port``, as a web tool on the machine ``tool`` reaches it."""

    tool: str
    server: str

    @property
    def machine(self) -> str:
        """The host of the Scheduler server's machine, without brackets, as far as that can be told from here."""
        return (self.tool if is_loopback(self.server) else uri_host(self.server)).strip("[]")

    @property
    def port(self) -> str:
        return self.server.rpartition(":")[2]


def uri_host(uri: str) -> str:
    """Return the host of ``//host:port``, without the brackets of an IPv6 address."""
    return uri.removeprefix("//").rpartition(":")[0].strip("[]")


def is_name(host: str) -> bool:
    """Whether a host is a name that a name server resolves, and not an address or the machine itself."""
    with suppress(ValueError):
        ip_address(host.strip("[]"))
        return False
    return not is_loopback(host)


def common_name(place: Place, server: str) -> str:
    """Return the name that both paths to a server use, so that it may fail for both; empty where they have none.

    :param place: as its own web tool reaches it. :param server: ``//host:port``, as the other web tool does.
    """
    other = uri_host(server)
    own = (place.tool, uri_host(place.server))
    return other if is_name(other) and other.casefold() in map(str.casefold, own) else ""


def server_uri(value: str) -> str:
    """Return ``value`` if it names a Scheduler server as Denodo's parameter ``uri`` does, ``//host:port`` [D].

    :raises ValueError: it does not.
    """
    if not _SERVER_URI.fullmatch(value):
        raise ValueError(
            f"The Scheduler server {value!r} is not of the form //host:port. Give the host as the web tool reaches it "
            "and the server's own port, for example //localhost:8000."
        )
    return value


def proxy_url(value: str) -> str:
    """Return the address of a proxy, as an environment variable gives it, with its schema, which may be left out there.

    :raises ValueError: it is none; the message holds nothing of it, since it may hold a password.
    """
    url = value if "://" in value else f"http://{value.removeprefix('//')}"
    try:
        parts = urlsplit(url)
        whole = parts.hostname and parts.port != 0 and parts.path in ("", "/") and not (parts.query or parts.fragment)
        usable = whole and parts.scheme in _PROXY_SCHEMES and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(
            "the proxy that this machine's environment names is not of the form http://user:password@host:port. "
            "Correct http_proxy, https_proxy or all_proxy; special characters of user and password are written as %.."
        )
    return url


def is_loopback(host: str) -> bool:
    """Whether a host, or that of ``//host:port``, is the machine itself."""
    host = uri_host(host) if host.startswith("//") else host
    with suppress(ValueError):
        return ip_address(host.strip("[]")).is_loopback
    return host.casefold().rstrip(".") == "localhost"


def same_machine(one: str, other: str) -> bool:
    """Whether two hosts are one machine for certain."""
    return one.casefold() == other.casefold() or (is_loopback(one) and is_loopback(other))


def second_path_uri(second_path: str, place: Place, through: Place) -> str:
    """Tell how the web tool of ``through`` reaches the Scheduler server of ``place``.

    :param second_path: ``//host:port``, or ``auto``: the server's own address, with the host of its web tool instead of
        localhost.
    :raises LookupError: it does not reach it; the message says why.
    """
    auto = second_path == "auto"
    uri = place.server if auto else second_path
    if auto and is_loopback(uri) and not is_loopback(place.tool):
        uri = at(place.tool, uri)
    if auto and is_loopback(uri) and not is_loopback(through.tool):
        raise LookupError(f"for it, {uri} is its own machine")
    if _seen_from(through.tool, uri) == _seen_from(through.tool, through.server):
        raise LookupError(f"for it, {uri} is its own server")
    return uri


def at(host: str, uri: str) -> str:
    """Return ``//host:port`` of the same port on another host."""
    return f"//{f'[{host}]' if ':' in host else host}:{uri.rpartition(':')[2]}"


def _seen_from(host: str, uri: str) -> str:
    """A server in a form in which all names that a machine gives itself are equal."""
    if not is_loopback(uri):
        return uri.casefold()
    return at("localhost" if is_loopback(host) else host, uri).casefold()
