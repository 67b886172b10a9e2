"""
Where the options of export and import go in a request, found out at run time.

Denodo does not publish the parameters of ``serverMetadata/export`` and ``serverMetadata/import``. So each wanted option
is looked up in the OpenAPI document of the web tool: among the query parameters, the properties of the JSON body, the
parts of the multipart body and the properties of a part that is JSON, however deep they are nested.

An option is given as ``{option: value}`` and found by its name. Case, ``_``, ``-`` and a verb before it (``export``,
``import``, ``include``, ``with``, ``add``) do not matter, and the name may be said in pieces, by an object and what is
in it. Where that fails, or another value is wanted, ``export_options`` or ``import_options`` of the connection's extra
says so:

* ``{"permissions": true}``: another value, or one more option found by its name (``{"value": …}`` for an object);
* ``{"drivers": null}``: leave the option out;
* ``{"drivers": {"in": "query", "name": "jars"}}``: a place (``query``, ``json``, ``form``), maybe a ``"value"``;
* ``{"drivers": {"in": "form", "name": "options", "property": "with.jars"}}``: a place inside the JSON of a part, of a
  property of the JSON body, or of a query parameter; a list of names where one has a dot in it;
* ``{"all": {"in": "form", "name": "options", "value": {"jars": true}, "content_type": "application/json"}}``: the whole
  JSON of a place, and the media type of a part;
* ``{"file": {"in": "form", "name": "archive"}}``: the part that takes the file of an import; or ``{"in": "body"}``.

Objects and lists are sent as JSON; true and false as JSON inside JSON, and as text elsewhere. A list in a query
parameter, or in a part that takes a list of plain values, is sent as the document describes it: once for each item, and
an empty one not at all.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from denodo_ha.server.openapi import OCTETS, Direction, OptionsError, Slot, Words, as_text, offered
from denodo_ha.server.spelling import (
    archives,
    beside_the_query,
    fitting,
    is_one_for_all,
    is_secret,
    plain,
    selects,
    strangers,
)
from denodo_ha.text import listed

__all__ = [
    "EXPORT_OPTIONS",
    "IMPORT_OPTIONS",
    "METADATA_PASSWORD",
    "BoundRequest",
    "Direction",
    "OptionsError",
    "Part",
    "Slot",
    "bind",
    "merged",
]

METADATA_PASSWORD = "metadataPassword"  # noqa: S105 - the name of an option

EXPORT_OPTIONS: Mapping[str, Any] = {
    "config": False,
    "drivers": True,
    "plugins": True,
    "permissions": False,
    "exportDependencies": True,
}
"""Server configuration holds paths and settings of its own host, so it is never replicated by default [S]."""

IMPORT_OPTIONS: Mapping[str, Any] = {
    "replaceJobs": True,
    "replaceDataSources": True,
    "replacePlugins": True,
    "replaceDrivers": True,
}

_ANYWAY: Mapping[str, tuple[bool, str, str]] = {
    "config": (False, "config", "it is taken not to be exported"),
    "permissions": (False, "permission", "they are taken not to be exported"),
    "exportDependencies": (True, "dependenc", "all projects are exported, and with them whatever a job depends on"),
}
"""Options that may be absent where this value is wanted, since a server does that anyway [G]; the word in the name of
anything of the kind, which would have to be bound; and what is assumed."""

_FILE = "file"
_JSON = "application/json"
_MOST_NAMED = 100
_KEYS = ("in", "name", "property", "value", "content_type")
_SHAPE = '{"in": "query", "name": "...", "value": true}'
_PIECES = "in (query, json, form), name, maybe property, value, and content_type in a form"


@dataclass(frozen=True)
class Part:
    """A part of a multipart body with a media type of its own: its text, and that."""

    text: str
    media_type: str


@dataclass(frozen=True)
class BoundRequest:
    """
    A request with every option in its place.

    :param path: path below the application's base path.
    :param query: query parameters; a list is repeated, as in ``form``.
    :param json: properties of the JSON body, ``None`` for no such body.
    :param form: parts of the multipart body: plain text, or with a media type.
    :param file: where the file goes: a part (``form``) or the whole body (``body``); ``None`` for no file.
    :param exposed: passwords for which the server offers nothing but the query, which logs on the way show.
    :param assumed: what was taken for granted where the document does not say it, one sentence each without full stop.
    :param places: where each option went, as text for people.
    """

    path: str
    query: dict[str, str | list[str]] = field(default_factory=dict)
    json: dict[str, Any] | None = None
    form: dict[str, str | Part | list[str | Part]] = field(default_factory=dict)
    file: Slot | None = None
    exposed: tuple[str, ...] = ()
    assumed: tuple[str, ...] = field(default=(), compare=False)
    places: Mapping[str, str] = field(default_factory=dict, compare=False)


def merged(defaults: Mapping[str, Any], *overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``overrides`` over ``defaults``, later ones first; an override that only names a place keeps the value."""
    options = dict(defaults)
    for option, wish in (item for override in overrides for item in override.items()):
        before = options.get(option)
        if isinstance(wish, Mapping) and before is not None:
            value = before.get("value") if isinstance(before, Mapping) else before
            wish = {"value": value, **wish}
        options[option] = wish
    return options


def bind(
    document: Mapping[str, Any], action: Direction, options: Mapping[str, Any], *, optional: Collection[str] = ()
) -> BoundRequest:
    """
    Put every option of an export or import into its place.

    Where the document allows several ways of making the request, the first that leaves the least to assume is taken.

    :param document: the parsed OpenAPI document.
    :param options: what :func:`merged` gives; see the module's text for their form.
    :param optional: options that are left out when nothing of their name is offered.
    :raises OptionsError: naming every option that has no place, all that is offered, and how to override.
    """
    path, alternatives, whole = offered(document, action)
    everything = _Everything.of([slot for slots in alternatives for slot in slots], whole)
    fillings = [_Filling(action, slots, everything).fill(options, optional) for slots in alternatives]
    best = min(fillings, key=lambda one: (len(one.problems), len(one.exposed), len(one.assumed)))
    if best.problems:
        names = dict.fromkeys(str(slot) for slots in alternatives for slot in slots)
        raise OptionsError(_complaint(path, action, best.problems, names))
    return best.bound(path)


class _Missing(LookupError):
    """Nothing of an option's name is offered."""


@dataclass(frozen=True)
class _Everything:
    """What the ways of making a request offer together: names of each kind, passwords, and whether that is all."""

    kinds: Mapping[str, set[Words]]
    secrets: list[Slot]
    whole: bool

    @classmethod
    def of(cls, slots: list[Slot], whole: bool) -> _Everything:
        names = {slot.words[:end] for slot in slots for end in range(1, len(slot.words) + 1)}
        kinds = {kind: {name for name in names if kind in plain(name[-1])} for _, kind, _ in _ANYWAY.values()}
        return cls(kinds, [slot for slot in slots if is_secret("".join(slot.words))], whole)


class _Filling:
    """One way of filling in a request: what went where, what is wrong with it, and what it takes for granted."""

    def __init__(self, action: Direction, slots: list[Slot], everything: _Everything) -> None:
        self.problems: list[str] = []
        self.assumed: list[str] = []
        self.file: Slot | None = None
        self._action = action
        self._slots = slots
        self._everything = everything
        self._by_wire = {(slot.place, slot.name, slot.path): slot for slot in reversed(slots)}
        self._placed: dict[str, tuple[Slot, Any]] = {}

    def fill(self, options: Mapping[str, Any], optional: Collection[str]) -> _Filling:
        missing: dict[str, str] = {}
        for option, wish in options.items():
            if wish is None or option == _FILE:
                continue
            try:
                self._placed[option] = self._place(option, wish)
            except LookupError as error:
                if isinstance(error, _Missing):
                    missing[option] = str(error)
                else:
                    self.problems.append(str(error))
        self.problems += self._clashes()
        missing = self._all_by_one(missing, options)
        self.problems += [
            why for option, why in missing.items() if option not in optional and self._lacks(option, options)
        ]
        if self._action == "import":
            try:
                self.file = self._file_slot(options.get(_FILE))
            except LookupError as error:
                self.problems.append(str(error))
        self._require()
        self._ensure_one_body()
        return self

    @property
    def exposed(self) -> tuple[str, ...]:
        return tuple(name for name, (slot, _) in self._placed.items() if slot.place == "query" and is_secret(name))

    def _place(self, option: str, wish: Any) -> tuple[Slot, Any]:
        value = wish.get("value") if isinstance(wish, Mapping) and set(wish) == {"value"} else wish
        if isinstance(wish, Mapping) and (value is wish or value is None):
            return self._override(option, wish)
        slot = self._find(option, value)
        return slot, slot.sent(value)

    def _find(self, option: str, value: Any) -> Slot:
        """Return the one place that fits the option and takes such a value."""
        beside = beside_the_query(option, self._slots) if is_secret(option) else []
        unfit = ""
        for found in fitting(option, beside or self._slots):
            takers: list[Slot] = []
            for slot in found:
                try:
                    slot.sent(value)
                    takers.append(slot)
                except LookupError as error:
                    unfit = unfit or f"{option}: {slot} {error}"
            if len(takers) > 1:
                raise LookupError(f"{option}: {' and '.join(map(str, takers[:2]))} both fit")
            if takers:
                if around := strangers(option, takers[0]):
                    what = f"though it is not known what {listed(around)[:100]} means"
                    self.assumed.append(f"{option}: {takers[0]} is taken to mean it, {what}")
                return takers[0]
        raise LookupError(unfit) if unfit else _Missing(f"{option}: nothing of that name is offered")

    def _override(self, option: str, wish: Mapping[str, Any]) -> tuple[Slot, Any]:
        said: list[Any] = [wish.get(key) for key in _KEYS]
        place, name, inner, value, media_type = said
        path = [] if inner is None else inner.split(".") if isinstance(inner, str) else inner
        right = (
            place in ("query", "json", "form")
            and isinstance(path, list)
            and all(isinstance(each, str) and each for each in (name, *path))
            and value is not None
            and (media_type is None or (isinstance(media_type, str) and place == "form"))
        )
        if not right or wish.keys() - set(_KEYS):
            raise LookupError(f"{option}: its override must look like {_SHAPE}, with {_PIECES}")
        if place == "query" and is_secret(option) and (others := beside_the_query(option, self._everything.secrets)):
            raise LookupError(f"{option}: a password is not put into the query where the server offers {others[0]}")
        known = self._by_wire.get((place, name, tuple(path)))
        if known is None:
            whole = self._by_wire.get((place, name, ()))
            known = Slot(place, name, path=tuple(path), media_type=whole.media_type if whole else None)
            self.assumed.append(f"{option}: {known} is not offered, and is used because the connection says so")
        if media_type:
            known = Slot(place, name, path=known.path, media_type=media_type, words=known.words)
        return known, value

    def _clashes(self) -> Iterator[str]:
        """Two options in one place. Beside an object given as a whole, others go where it says nothing."""
        for option, (slot, value) in self._placed.items():
            for other, (taken, whole) in self._placed.items():
                if other == option:
                    break
                inner, outer, held = (slot, taken, whole) if len(slot.key) >= len(taken.key) else (taken, slot, value)
                if inner.key[: len(outer.key)] != outer.key:
                    continue
                rest = inner.key[len(outer.key) :]
                if not rest or _held(held, rest) not in (None, value if inner is slot else whole):
                    yield f"{option}: {slot} already takes {other}"

    def _all_by_one(self, missing: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, str]:
        """Let one switch ``replace`` stand for what has none of its own, if all that is replaced is wanted alike."""
        wanted = [option for option in missing if option in IMPORT_OPTIONS]
        found = [slot for slot in self._slots if is_one_for_all(slot)]
        if self._action != "import" or not wanted or len(found) != 1:
            return dict(missing)
        wishes = [wish for option in IMPORT_OPTIONS if (wish := options.get(option)) is not None]
        values = [wish.get("value") if isinstance(wish, Mapping) else wish for wish in wishes]
        if any(value != values[0] for value in values) or not isinstance(values[0], bool):
            why = f"{found[0]} is one switch for all that is replaced, of which different things are wanted"
            return {option: f"{option}: {why}" if option in wanted else said for option, said in missing.items()}
        self.assumed.append(f"{found[0]} is taken to be one switch for all that is replaced")
        for option in wanted:
            self._placed[option] = found[0], found[0].sent(values[0])
        return {option: said for option, said in missing.items() if option not in wanted}

    def _lacks(self, option: str, options: Mapping[str, Any]) -> bool:
        """Whether a missing option is one that has to be said; note it where a server does anyway what is wanted."""
        value, kind, why = _ANYWAY.get(option, (None, "", ""))
        if self._action != "export" or options[option] is not value or not self._everything.whole:
            return True
        wrappers = {slot.words[:end] for slot, _ in self._placed.values() for end in range(1, len(slot.words))}
        chosen = option == "exportDependencies" and any(
            isinstance(placed, list | Mapping) and placed for _, placed in self._placed.values()
        )
        if self._everything.kinds[kind] - wrappers or chosen:
            return True
        self.assumed.append(f"{option}: nothing of that kind is offered, and {why}")
        return False

    def _file_slot(self, wish: Any) -> Slot:
        if wish is not None:
            return _file_override(wish if isinstance(wish, Mapping) else {})
        found = archives(self._slots)
        if len(found) != 1:
            what = " and ".join(map(str, found[:2])) + " both take a file" if found else "nothing offered takes a file"
            raise LookupError(f"{_FILE}: {what}")
        if others := [slot for slot in self._slots if slot.takes_file and slot != found[0]]:
            self.assumed.append(f"{_FILE}: {found[0]} takes the export file, and {listed(others)} something else")
        return found[0]

    def _require(self) -> None:
        """Fill in what has to be there and can be told; note what is left empty. What is inside comes first."""
        for slot in reversed(self._slots):
            keys = [taken.key for taken, _ in self._placed.values()] + ([self.file.key] if self.file else [])
            filled = any(key[: len(slot.key)] == slot.key or slot.key[: len(key)] == key for key in keys)
            around = (slot.place, *slot.within)
            present = not slot.within or any(key[: len(around)] == around for key in keys)
            if filled or not present or (slot.place, slot.name) == ("query", "uri"):
                continue
            if slot.required and len(slot.choices) == 1:
                self._placed[str(slot)] = slot, slot.choices[0]
            elif slot.required and not selects(slot):
                file = " as a file" if slot.takes_file else ""
                self.problems.append(f"{slot} is required by the server{file} and has no value here")
            elif slot.required:
                self._placed[str(slot)] = slot, [] if "array" in slot.types else {}
            if selects(slot) and (slot.required or not slot.within):
                self.assumed.append(f"{slot} is left empty, which is taken to mean everything")

    def _ensure_one_body(self) -> None:
        used = {slot.place: (option, slot) for option, (slot, _) in self._placed.items() if slot.place != "query"}
        if self.file:
            used.setdefault(self.file.place, (_FILE, self.file))
        (first, one), *others = used.values() or [(_FILE, None)]
        self.problems += [
            f"{option}: {slot} and {one}, which takes {first}, belong to two kinds of body, and a request has one"
            for option, slot in others
        ]

    def bound(self, path: str) -> BoundRequest:
        places: dict[str, dict[str, Any]] = {"query": {}, "json": {}, "form": {}}
        media_types: dict[str, str | None] = {}
        for slot, value in sorted(self._placed.values(), key=lambda item: len(item[0].path)):
            if slot.lists is not None and value in ([], {}):
                continue
            _put(places[slot.place], (slot.name, *slot.path), slot.carried(value))
            if slot.place == "form":
                media_types[slot.name] = slot.media_type or (_JSON if slot.path else media_types.get(slot.name))
        has_json_body = not self.file and not places["form"] and any(slot.place == "json" for slot in self._slots)
        return BoundRequest(
            path,
            query={
                name: list(value) if isinstance(value, tuple) else as_text(value)
                for name, value in places["query"].items()
            },
            json=places["json"] if places["json"] or has_json_body else None,
            form={
                name: [_part(each, media_types[name]) for each in value]
                if isinstance(value, tuple)
                else _part(value, media_types[name])
                for name, value in places["form"].items()
            },
            file=self.file,
            exposed=self.exposed,
            assumed=tuple(self.assumed),
            places={option: str(slot) for option, (slot, _) in self._placed.items()}
            | ({_FILE: str(self.file)} if self.file else {}),
        )


def _file_override(wish: Mapping[str, Any]) -> Slot:
    place, name, media_type = map(wish.get, ("in", "name", "content_type"))
    if place == "body" and all(each is None or isinstance(each, str) for each in (name, media_type)):
        return Slot("body", media_type or name or OCTETS, takes_file=True)
    if place == "form" and isinstance(name, str) and name and (media_type is None or isinstance(media_type, str)):
        return Slot("form", name, takes_file=True, media_type=media_type)
    raise LookupError(f'{_FILE}: its override must look like {{"in": "form", "name": "..."}} or {{"in": "body"}}')


def _held(value: Any, path: tuple[str, ...]) -> Any:
    """Return what an object holds at ``path``: ``None`` for nothing, itself where something else is in the way."""
    for name in path:
        if not isinstance(value, Mapping):
            return value
        value = value.get(name)
        if value is None:
            return None
    return value


def _put(target: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        target[name] = dict(target.get(name) or {})
        target = target[name]
    target[path[-1]] = value


def _part(value: Any, media_type: str | None) -> str | Part:
    """Make a part: of an object or a list as JSON, of anything else as text, unless its media type is said."""
    if media_type is None and isinstance(value, Mapping | list):
        media_type = _JSON
    if media_type is None:
        return as_text(value)
    return Part(json.dumps(value) if "json" in media_type else as_text(value), media_type)


def _complaint(path: str, action: str, problems: list[str], slots: Collection[str]) -> str:
    wrong = "; ".join(islice(problems, _MOST_NAMED))
    return (
        f"POST {path} cannot be filled in from the web tool's /v3/api-docs. {wrong}. "
        f"Offered: {listed(slots, _MOST_NAMED) or 'nothing'}. "
        f"Name the right place in {action}_options of the connection's extra, as in "
        f'{{"<option>": {{"in": "query", "name": "<name>"}}}}, or leave an option out with {{"<option>": null}}.'
    )
