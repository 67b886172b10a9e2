"""The hosts that the address of a data source names, in whatever form it is written.

Nothing else of an address is told anywhere, because it may hold a password: ``jdbc:…;user=u;password=p``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_AUTHORITY = re.compile(r"(?<!/)//([^/?;()\s]+)|@(?!//|\(|[\w+.-]+://)([^/?;()\s]+)")
_NAMED = re.compile(r"\b(?:host|servername|server)\s*=\s*([^;,&()\s]+)", re.IGNORECASE)
_BARE = re.compile(r"[\w.-]+(?::\d+)?|\[[0-9a-f:.]+\](?::\d+)?", re.IGNORECASE)
_NO_HOST = re.compile(r"\d*|true|false|yes|no|none|null", re.IGNORECASE)
"""Values of parameters that are called after a host without being one, such as ``hostnameVerification``."""
_HOST = re.compile(r"\[([0-9a-f:.]+)\]|([\w.-]+)", re.IGNORECASE)


def hosts_of(address: str) -> tuple[str, ...]:
    """Return the hosts that an address names, in small letters, each once: ``//h:9999/db``, JDBC's forms, a bare name.

    None for what names no host, such as the path of a file.
    """
    text = address.strip()
    found = [text] if _BARE.fullmatch(text) else list(_parts(text))
    matches = (_HOST.match(each) for each in found)
    hosts = ((one[1] or one[2]).casefold().rstrip(".") for one in matches if one)
    return tuple(dict.fromkeys(host for host in hosts if not _NO_HOST.fullmatch(host)))


def _parts(text: str) -> Iterator[str]:
    """What begins with a host: a user and its password stand before the last ``@``, further hosts after a comma."""
    for match in _AUTHORITY.finditer(text):
        yield from (match[1] or match[2]).rpartition("@")[2].split(",")
    yield from _NAMED.findall(text)
