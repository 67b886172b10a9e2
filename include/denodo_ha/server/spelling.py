"""Whether a place that a server offers is the one of an option, by its name and the names around it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Set

from denodo_ha.server.openapi import Slot, Words, as_text

_ONE_FOR_ALL = frozenset({"replace", "replaceall", "replaceexisting"})
"""What one switch for everything that an import replaces may be called [G]."""

_ARCHIVE = re.compile(r"zip|xml|archive|metadata|export")
_PROPERTIES = re.compile(r"property|properties|environment|overrid|value|variable|substitut|^pf$")
_HEAD_ENDS = re.compile(
    r"[.,;:(\n]|\b(?:that|which|who|whose|of|for|from|to|in|into|on|over|with|without|by|at|as|after|before|beside)\b"
)
"""Where what a description speaks of first ends, and what it says of that begins."""

_SYNONYMS = {"configuration": "config", "serverconfiguration": "config", "serverconfig": "config"}
_TURNING = re.compile(
    r"exclu|without|ignor|omit|skip|remov|delete|deleti|replac|overwrit|suppress|disab|disallow|hide|hiding|hidden|leaveout|"
    r"leavesout|leavingout|leftout|drop|deny|denie|forbid|prohibit|prevent|reject|refus|block|blacklist|clear|purg|"
    r"eras|wipe|never|unwant|unselect|deselect|prun|strip|discard|avoid|cancel"
)


def _singular(word: str) -> str:
    return re.sub(r"ies$", "y", word).removesuffix("s")


def _vocabulary(text: str) -> frozenset[str]:
    return frozenset(map(_singular, text.split()))


_TURNING_WORDS = _vocabulary("no not non none keep except exempt off out less minus")
_NEUTRAL = _vocabulary(
    "a all and any api application arg argument behavior behaviour body command common conflict content data denodo "
    "detail do dto each element everything existing export exported flag for form general how import imported in "
    "include included including info information input item kind list metadata mode model object of on operation "
    "option or param parameter part payload policy public query request rest scheduler select selected selection set "
    "setting spec specification strategy switch the thing to type v want wanted what which with"
)
"""Words in the name of an object that say nothing for or against what is in it."""
_SELECTED = _vocabulary("element item job project scope select selected selection tree")
_SELECTION = _SELECTED | _vocabulary(
    "all and array by export exported filter for id import imported in include included including key list metadata "
    "name node of or path set the to wanted which"
)
"""Words that the name of a selection is made of; one of them at least is in ``_SELECTED``."""
_ARCHIVE_NAME = _vocabulary(
    "archive archivefile content data denodo export exported exportfile file for import input metadata metadatafile of "
    "part scheduler server the to upload xml zip zipfile"
)
"""Words that the name of a part for an export file is made of."""


def plain(name: str) -> str:
    """Return a name without case and separators."""
    return re.sub(r"[\W_]", "", name.casefold())


def stem(name: str) -> str:
    """Return what a name means: without a verb before or behind it, in the singular."""
    bare = re.sub(r"^(?:export|import|including|include|with|add)+(?=.)", "", plain(name))
    bare = _singular(re.sub(r"(?<=.)(?:included|include|enabled)$", "", bare))
    return _SYNONYMS.get(bare, bare)


def _pieces(*names: str) -> set[str]:
    """Return the words that names are made of, in the singular."""
    edges = r"[\W\d_]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
    return {_singular(word.casefold()) for name in names for word in re.split(edges, name) if word}


def is_secret(option: str) -> bool:
    """Whether an option is a password."""
    return "password" in plain(option)


def fitting(option: str, slots: list[Slot]) -> Iterator[list[Slot]]:
    """Give the places that may be the option's: those of its very name first, then those of its meaning.

    A name may be said in pieces, an object and what is in it (``replace`` and ``jobs``). What lies in an object that
    turns the meaning round (``exclude``) is not meant.
    """
    for same in (plain, stem):
        yield [
            slot
            for slot in slots
            if (around := _around(option, slot, same)) is not None and not _turned(around, option)
        ]


def strangers(option: str, slot: Slot) -> list[str]:
    """Return the names around an option's place that may turn its meaning round, for all that is known of them."""
    return [name for name in _around(option, slot, stem) or () if not _says(name, _NEUTRAL | _pieces(option))]


def is_one_for_all(slot: Slot) -> bool:
    """Whether a place is one switch for everything that an import replaces.

    A ``replace`` in an object is one only if the object's name says nothing of what it is for.
    """
    values = set(map(as_text, slot.choices or (True, False)))
    if slot.types - {"boolean", "string"} or not values >= {"true", "false"}:
        return False
    whole = stem("".join(slot.words)) in _ONE_FOR_ALL
    return whole or (stem(slot.words[-1]) in _ONE_FOR_ALL and all(_says(name, _NEUTRAL) for name in slot.words[:-1]))


def _around(option: str, slot: Slot, same: Callable[[str], str]) -> Words | None:
    """Return the names of the objects around an option's name, ``None`` where a place has another one."""
    wanted = same(option)
    for start in range(len(slot.words)):
        if same("".join(slot.words[start:])) == wanted:
            return slot.words[:start]
    return None


def _says(name: str, words: Set[str]) -> bool:
    """Whether a name is made of these words alone."""
    pieces = _pieces(name)
    return bool(pieces) and pieces <= words


def _turned(around: Words, option: str = "") -> bool:
    return any(
        _pieces(name) & _TURNING_WORDS
        or any(not plain(option).startswith(found) for found in _TURNING.findall(plain(name)))
        for name in around
    )


def selects(slot: Slot) -> bool:
    """Whether a place takes what is to be chosen of a server; left empty, it means everything [G].

    Each word of its name and of those around it has to be understood: an empty list of jobs to start may mean all of
    them too.
    """
    if not slot.types & {"array", "object"}:
        return False
    return any(
        _pieces(*slot.words[start:]) & _SELECTED
        and all(_says(name, _SELECTION) for name in slot.words[start:])
        and all(_says(name, _NEUTRAL) for name in slot.words[:start])
        for start in range(len(slot.words))
    )


def beside_the_query(option: str, slots: list[Slot]) -> list[Slot]:
    """Return the places of an option that are not in the query."""
    *_, found = fitting(option, [slot for slot in slots if slot.place != "query"])
    return found


def archives(slots: list[Slot]) -> list[Slot]:
    """Return which of the places may be that of an export file, and not of properties [D].

    Their names count most, then their media types, and then what the document speaks of first where it describes them.
    """
    found = [slot for slot in slots if slot.takes_file and not _is_text(slot)]
    for liking in (_by_name, _by_media_type, _by_description):
        best = max(map(liking, found), default=0)
        found = [slot for slot in found if liking(slot) == best]
    return [slot for slot in found if plain(slot.name) == "file"] or [slot for slot in found if slot.required] or found


def _by_name(slot: Slot) -> int:
    name = plain(slot.name)
    return -1 if _PROPERTIES.search(name) else bool(_ARCHIVE.search(name)) and _says(slot.name, _ARCHIVE_NAME)


def _by_media_type(slot: Slot) -> int:
    return -1 if "text/" in (slot.media_type or "") else bool(_ARCHIVE.search(slot.media_type or ""))


def _by_description(slot: Slot) -> int:
    """Judge what a description speaks of first: ``values that override the exported ones`` speaks of values."""
    said = _HEAD_ENDS.split(slot.says.casefold().strip(), maxsplit=1)[0]
    archive, properties = _ARCHIVE.search(said), _PROPERTIES.search(said)
    if archive and (not properties or archive.start() < properties.start()):
        return 1
    return -1 if properties else 0


def _is_text(slot: Slot) -> bool:
    """Whether it takes text or XML only: an export is a ZIP here."""
    media_type = (slot.media_type or "") if slot.place == "form" else slot.name
    return any(kind in media_type for kind in ("xml", "text/")) and "zip" not in media_type
