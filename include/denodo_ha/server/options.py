"""
Where the options of export and import go in a request, found out at run time.

Denodo does not publish the parameters of ``serverMetadata/export`` and ``serverMetadata/import``. So each wanted option
is looked up in the OpenAPI document of the web tool: among the operation's query parameters, the properties of its
JSON body and the parts of its multipart body.

An option is given as ``{option: value}`` and found by its name, in which case, ``_``, ``-`` and a leading ``export``,
``import``, ``include`` or ``with`` do not matter. Where that fails, or another value is wanted, the connection's extra
``export_options`` or ``import_options`` says so:

* ``{"permissions": true}``: another value, or one more option found by its name;
* ``{"drivers": null}``: leave the option out;
* ``{"drivers": {"in": "query", "name": "jars"}}``: a place (``query``, ``json``, ``form``), maybe a ``"value"``;
* ``{"file": {"in": "form", "name": "archive"}}``: the part that takes the file of an import; or ``{"in": "body"}``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from denodo_ha.text import listed

Direction = Literal["export", "import"]

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

_FILE = "file"
_LONGEST_SEARCH = 100_000
"""How many nodes and properties of a document are looked at."""
_ENDLESS = (
    "The web tool's /v3/api-docs refers to itself without end, or is far larger than is believed. Look at that "
    "document in a browser, and check base_path of the connection and the web tool's version (9.x is needed)."
)
_MOST_NAMED = 100


class OptionsError(ValueError):
    """Options that cannot be passed on; the message names all of them, and no value."""


@dataclass(frozen=True)
class Slot:
    """One place in a request that the document offers."""

    place: str
    name: str
    required: bool = False
    takes_file: bool = False

    def __str__(self) -> str:
        return f"{self.name[:100]} ({self.place})"


@dataclass(frozen=True)
class BoundRequest:
    """
    A request with every option in its place.

    :param path: path below the application's base path.
    :param query: query parameters.
    :param json: properties of the JSON body, ``None`` for no such body.
    :param form: text parts of the multipart body.
    :param file: where the file goes: a part (``form``) or the whole body (``body``); ``None`` for no file.
    :param exposed: passwords for which the server offers nothing but the query, which logs on the way show.
    """

    path: str
    query: dict[str, str] = field(default_factory=dict)
    json: dict[str, Any] | None = None
    form: dict[str, str] = field(default_factory=dict)
    file: Slot | None = None
    exposed: tuple[str, ...] = ()


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

    :param document: the parsed OpenAPI document.
    :param options: what :func:`merged` gives; see the module's text for their form.
    :param optional: options that are left out when nothing of their name is offered.
    :raises OptionsError: naming every option that has no place, all that is offered, and how to override.
    """
    path, slots = _offered(document, action)
    problems: list[str] = []
    placed: dict[str, tuple[Slot, Any]] = {}
    for option, wish in options.items():
        if wish is None or option == _FILE:
            continue
        try:
            placed[option] = _place(option, wish, [slot for slot in slots if not slot.takes_file])
        except LookupError as error:
            if option not in optional:
                problems.append(str(error))
    file = None
    if action == "import":
        try:
            file = _file_slot(options.get(_FILE), slots)
        except LookupError as error:
            problems.append(str(error))
    problems += _clashes(placed)
    taken = {(slot.place, slot.name) for slot, _ in placed.values()}
    problems += [
        f"{slot} is required by the server and has no value here"
        for slot in slots
        if slot.required and slot.name != "uri" and not slot.takes_file and (slot.place, slot.name) not in taken
    ]
    if problems:
        raise OptionsError(_complaint(path, action, problems, slots))
    bound = _assemble(path, placed.values(), file, has_json_body=any(slot.place == "json" for slot in slots))
    exposed = (option for option, (slot, _) in placed.items() if slot.place == "query" and _is_secret(option))
    return replace(bound, exposed=tuple(exposed))


def _offered(document: Mapping[str, Any], action: Direction) -> tuple[str, list[Slot]]:
    """Return the path of an export or import, and all places in its request.

    :raises OptionsError: the document does not describe it, or not in a form that can be read.
    """
    try:
        path, operation = _operation(document, action)
        return path, list(_Described(document).slots(operation))
    except RecursionError:
        raise OptionsError(_ENDLESS) from None
    except (AttributeError, LookupError, TypeError) as error:
        raise OptionsError(
            f"The web tool's /v3/api-docs describes serverMetadata/{action} in a form that cannot be read "
            f"({type(error).__name__}). Look at that document in a browser, and check base_path of the connection and "
            "the web tool's version (9.x is needed)."
        ) from None


def _operation(document: Mapping[str, Any], action: str) -> tuple[str, Mapping[str, Any]]:
    ending = f"/serverMetadata/{action}".casefold()
    paths: Mapping[str, Any] = document.get("paths") or {}
    found = [
        (path, {**item["post"], "parameters": [*item.get("parameters", []), *item["post"].get("parameters", [])]})
        for path, item in paths.items()
        if path.startswith("/") and path.casefold().endswith(ending) and "post" in item
    ]
    public = [entry for entry in found if "/public/" in entry[0]] or found
    if len(public) != 1:
        what = "none" if not public else " and ".join(path for path, _ in public)
        raise OptionsError(
            f"The web tool's /v3/api-docs should describe one POST .../serverMetadata/{action} and describes {what}. "
            "Check base_path of the connection and the web tool's version (9.x is needed)."
        )
    return public[0]


class _Described:
    """The places that a document offers. It is read for a bounded time, whatever refers to whatever in it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._steps = _LONGEST_SEARCH

    def slots(self, operation: Mapping[str, Any]) -> Iterator[Slot]:
        for reference in operation["parameters"]:
            parameter = self._resolve(reference)
            if parameter.get("in") != "query":
                continue
            schema = self._resolve(parameter.get("schema") or {})
            if schema.get("properties"):  # a parameter object: its properties travel on their own
                yield from self._properties("query", schema)
            else:
                required = bool(parameter.get("required")) and "default" not in schema
                yield Slot("query", _named(parameter["name"]), required)
        yield from self._body_slots(self._resolve(operation.get("requestBody") or {}))

    def _body_slots(self, body: Mapping[str, Any]) -> Iterator[Slot]:
        """Places in the body. A binary property means multipart, whatever content type the document calls it."""
        bodies = [
            (content_type, self._resolve(content.get("schema") or {}))
            for content_type, content in (body.get("content") or {}).items()
        ]
        for content_type, schema in bodies:
            slots = list(self._properties("json", schema))
            if "multipart" in content_type or any(slot.takes_file for slot in slots):
                yield from (Slot("form", slot.name, slot.required, slot.takes_file) for slot in slots)
            elif "json" in content_type:
                yield from slots
            elif not slots and _is_binary(schema):
                yield Slot("body", content_type, takes_file=True)

    def _properties(self, place: str, schema: Mapping[str, Any]) -> Iterator[Slot]:
        required = set(schema.get("required") or ())
        for name, reference in (schema.get("properties") or {}).items():
            own = self._resolve(reference)
            yield Slot(place, name, name in required and "default" not in own, takes_file=_is_binary(own))

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow local references and merge ``allOf``."""
        self._step()
        while "$ref" in node:
            target: Any = self._document
            self._step(1 + len(node["$ref"]))
            for step in str(node["$ref"]).removeprefix("#/").split("/"):
                target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
            node = target or {}
        if "allOf" not in node:
            return node
        properties: dict[str, Any] = {}
        required: set[str] = set()
        for part in map(self._resolve, node["allOf"]):
            properties |= part.get("properties") or {}
            required.update(part.get("required") or ())
            self._step(len(properties) + len(required))
        return {"properties": properties, "required": required}

    def _step(self, number: int = 1) -> None:
        self._steps -= number
        if self._steps < 0:
            raise OptionsError(_ENDLESS)


def _named(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError
    return name


def _is_binary(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") == "binary" or "contentMediaType" in schema


def _place(option: str, wish: Any, slots: list[Slot]) -> tuple[Slot, Any]:
    if not isinstance(wish, Mapping):
        return _find(option, slots), wish
    place, name, value = (wish.get(key) for key in ("in", "name", "value"))
    if place not in ("query", "json", "form") or not isinstance(name, str) or value is None:
        raise LookupError(f'{option}: its override must look like {{"in": "query", "name": "...", "value": true}}')
    if place == "query" and _is_secret(option) and (others := _beside_the_query(option, slots)):
        raise LookupError(f"{option}: a password is not put into the query where the server offers {others[0]}")
    return Slot(place, name), value


def _find(option: str, slots: list[Slot]) -> Slot:
    """The one place whose name is the option's; a leading verb counts only if that is needed and unambiguous."""
    found = _beside_the_query(option, slots) if _is_secret(option) else []
    if not found:
        found = [slot for slot in slots if _plain(slot.name) == _plain(option)]
    if not found:
        found = [slot for slot in slots if _stem(slot.name) == _stem(option)]
    if not found:
        raise LookupError(f"{option}: nothing of that name is offered")
    if len(found) > 1:
        raise LookupError(f"{option}: {' and '.join(map(str, found[:2]))} both fit")
    return found[0]


def _is_secret(option: str) -> bool:
    return "password" in _plain(option)


def _beside_the_query(option: str, slots: list[Slot]) -> list[Slot]:
    return [slot for slot in slots if slot.place != "query" and _stem(slot.name) == _stem(option)]


def _file_slot(wish: Any, slots: list[Slot]) -> Slot:
    if isinstance(wish, Mapping) and wish.get("in") in ("form", "body"):
        return Slot(wish["in"], str(wish.get("name") or "application/octet-stream"), takes_file=True)
    found = [slot for slot in slots if slot.takes_file]
    if len(found) > 1:
        found = [slot for slot in found if _plain(slot.name) == _FILE] or found
    if len(found) != 1:
        what = " and ".join(map(str, found)) + " both take a file" if found else "nothing offered takes a file"
        raise LookupError(f"{_FILE}: {what}")
    return found[0]


def _clashes(placed: Mapping[str, tuple[Slot, Any]]) -> Iterator[str]:
    seen: dict[tuple[str, str], str] = {}
    for option, (slot, _) in placed.items():
        other = seen.setdefault((slot.place, slot.name), option)
        if other != option:
            yield f"{option}: {slot} already takes {other}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _stem(name: str) -> str:
    return re.sub(r"^(export|import|include|with)(?=.)", "", _plain(name))


def _complaint(path: str, action: str, problems: Iterable[str], slots: Iterable[Slot]) -> str:
    offered = listed(slots, _MOST_NAMED) or "nothing"
    wrong = "; ".join(islice(problems, _MOST_NAMED))
    return (
        f"POST {path} cannot be filled in from the web tool's /v3/api-docs. {wrong}. "
        f"Offered: {offered}. Name the right place in {action}_options of the connection's extra, as in "
        f'{{"<option>": {{"in": "query", "name": "<name>"}}}}, or leave an option out with {{"<option>": null}}.'
    )


def _assemble(path: str, placed: Iterable[tuple[Slot, Any]], file: Slot | None, *, has_json_body: bool) -> BoundRequest:
    query: dict[str, str] = {}
    form: dict[str, str] = {}
    json: dict[str, Any] = {}
    for slot, value in placed:
        if slot.place == "json":
            json[slot.name] = value
        else:
            (query if slot.place == "query" else form)[slot.name] = _text(value)
    return BoundRequest(path, query, json if json or has_json_body else None, form, file)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
