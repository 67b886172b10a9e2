"""The report of a doctor as a person can attach it to an issue: without secrets, on request without names and hosts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from typing import Any

from denodo_ha.doctor.scratch import is_scratch

_HOSTS = re.compile(r"(?<=//)[^\s/:?#'\",;)\]]+|\b\d{1,3}(?:\.\d{1,3}){3}\b")
"""The host of an address, and an address of IPv4 wherever it is."""
_OURS = frozenset({"question", "level", "mark", "verdict", "claim", "rests_on", "at", "format", "tried"})
"""What holds only words of this project."""


def without_secrets(report: Any, secrets: Collection[str]) -> Any:
    """Return the report with ``***`` in place of each secret that a server has repeated."""
    known = sorted((each for each in secrets if each), key=len, reverse=True)

    def hidden(text: str) -> str:
        for secret in known:
            text = text.replace(secret, "***")
        return text

    return _walked(report, hidden, _OURS)


def to_attach(report: dict[str, Any], *, hashed: bool, salt: str) -> dict[str, Any]:
    """Return the report without its list of names.

    :param hashed: replace each name and each host in it by a hash, which is the same for the same name in this report.
    :param salt: a random text that no one else knows, so that nobody finds the name to a hash by guessing.
    """
    kept = {key: value for key, value in report.items() if key != "names"}
    if not hashed:
        return kept
    names = _pattern(each for each in report.get("names", ()) if each and not is_scratch(each))

    def replaced(text: str) -> str:
        text = _HOSTS.sub(lambda found: _hash("host", found[0], salt), text)
        return names.sub(lambda found: _hash("name", found[0], salt), text) if names else text

    found: dict[str, Any] = _walked(kept, replaced, _OURS)
    return found


def _pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    known = sorted(set(names), key=len, reverse=True)
    if not known:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)", re.IGNORECASE)


def _hash(kind: str, text: str, salt: str) -> str:
    return f"{kind}-{hashlib.sha256(f'{salt}{text.casefold()}'.encode()).hexdigest()[:10]}"


def _walked(value: Any, change: Any, kept: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {name: each if name in kept else _walked(each, change, kept) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_walked(each, change, kept) for each in value]
    return change(value) if isinstance(value, str) else value
