"""Whether a place that a server offers is the one of an option, by its name and the names around it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from denodo_ha.server.openapi import Slot, Words

ONE_FOR_ALL = frozenset({"replace", "replaceall", "replaceexisting"})
"""What one switch for everything that an import replaces may be called [G]."""

_SELECTION = re.compile(r"select|project|job|element|item|tree|scope")
_ARCHIVE = re.compile(r"zip|xml|archive|metadata|export")
_PROPERTIES = re.compile(r"property|properties|environment|^pf$")
_SYNONYMS = {"configuration": "config", "serverconfiguration": "config", "serverconfig": "config"}
_TURNING = re.compile(r"exclu|without|ignor|omit|skip|remov|delete|deletion|replac|overwrit")
_TURNING_WORDS = frozenset({"no", "not", "keep", "except"})


def plain(name: str) -> str:
    """Return a name without case and separators."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def stem(name: str) -> str:
    """Return what a name means: without a verb before or behind it, in the singular."""
    bare = re.sub(r"^(?:export|import|including|include|with|add)+(?=.)", "", plain(name))
    bare = re.sub(r"(?<=.)(?:included|include|enabled)$", "", bare)
    return _SYNONYMS.get(bare, bare).removesuffix("s")


def is_secret(option: str) -> bool:
    """Whether an option is a password."""
    return "password" in plain(option)


def fitting(option: str, slots: list[Slot]) -> Iterator[list[Slot]]:
    """Give the places that may be the option's: those of its very name first, then those of its meaning.

    A name may be said in pieces, an object and what is in it (``replace`` and ``jobs``). What lies in an object that
    turns the meaning round (``exclude``) is not meant.
    """
    for same in (plain, stem):
        wanted = same(option)
        yield [
            slot
            for slot in slots
            if any(
                same("".join(slot.words[start:])) == wanted and not _turned(slot.words[:start], option)
                for start in range(len(slot.words))
            )
        ]


def _turned(around: Words, option: str) -> bool:
    for name in around:
        found = _TURNING.search(plain(name))
        words = {word.casefold() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)}
        if (found and not plain(option).startswith(found[0])) or words & _TURNING_WORDS:
            return True
    return False


def selects(slot: Slot) -> bool:
    """Whether a place takes what is to be chosen of a server; left empty, it means everything [G]."""
    return bool(slot.types & {"array", "object"}) and any(_SELECTION.search(plain(word)) for word in slot.words)


def archives(slots: list[Slot]) -> list[Slot]:
    """Return which of the places for a file may be that of an export file, and not of properties [D].

    Their names count most, then their media types, and then what the document speaks of first where it describes them.
    """
    found = slots
    for liking in (_by_name, _by_media_type, _by_description):
        best = max(map(liking, found), default=0)
        found = [slot for slot in found if liking(slot) == best]
    return [slot for slot in found if plain(slot.name) == "file"] or [slot for slot in found if slot.required] or found


def _by_name(slot: Slot) -> int:
    name = plain(slot.name)
    return -1 if _PROPERTIES.search(name) else bool(_ARCHIVE.search(name))


def _by_media_type(slot: Slot) -> int:
    return -1 if "text/" in (slot.media_type or "") else bool(_ARCHIVE.search(slot.media_type or ""))


def _by_description(slot: Slot) -> int:
    said = slot.says.casefold()
    archive, properties = _ARCHIVE.search(said), _PROPERTIES.search(said)
    if archive and (not properties or archive.start() < properties.start()):
        return 1
    return -1 if properties else 0
