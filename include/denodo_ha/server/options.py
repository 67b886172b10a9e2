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
from typing import Any, Literal

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
        return f"{self.name} ({self.place})"


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
    path, operation = _operation(document, action)
    slots = list(_slots(document, operation))
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


def _operation(document: Mapping[str, Any], action: str) -> tuple[str, Mapping[str, Any]]:
    ending = f"/serverMetadata/{action}".casefold()
    paths: Mapping[str, Any] = document.get("paths") or {}
    found = [
        (path, {**item["post"], "parameters": [*item.get("parameters", []), *item["post"].get("parameters", [])]})
        for path, item in paths.items()
        if path.casefold().endswith(ending) and "post" in item
    ]
    public = [entry for entry in found if "/public/" in entry[0]] or found
    if len(public) != 1:
        what = "none" if not public else " and ".join(path for path, _ in public)
        raise OptionsError(
            f"The web tool's /v3/api-docs should describe one POST .../serverMetadata/{action} and describes {what}. "
            "Check base_path of the connection and the web tool's version (9.x is needed)."
        )
    return public[0]


def _slots(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Slot]:
    for reference in operation["parameters"]:
        parameter = _resolve(document, reference)
        if parameter.get("in") != "query":
            continue
        schema = _resolve(document, parameter.get("schema") or {})
        if properties := schema.get("properties"):  # a parameter object: its properties travel on their own
            yield from (_slot("query", name, schema, document) for name in properties)
        else:
            required = bool(parameter.get("required")) and "default" not in schema
            yield Slot("query", parameter["name"], required)
    yield from _body_slots(document, _resolve(document, operation.get("requestBody") or {}))


def _body_slots(document: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[Slot]:
    """Places in the body. A binary property means multipart, whatever content type the document calls it."""
    bodies = [
        (content_type, _resolve(document, content.get("schema") or {}))
        for content_type, content in (body.get("content") or {}).items()
    ]
    for content_type, schema in bodies:
        slots = [_slot("json", name, schema, document) for name in schema.get("properties") or {}]
        if "multipart" in content_type or any(slot.takes_file for slot in slots):
            yield from (Slot("form", slot.name, slot.required, slot.takes_file) for slot in slots)
        elif "json" in content_type:
            yield from slots
        elif not slots and _is_binary(schema):
            yield Slot("body", content_type, takes_file=True)


def _slot(place: str, name: str, schema: Mapping[str, Any], document: Mapping[str, Any]) -> Slot:
    own = _resolve(document, schema["properties"][name])
    required = name in (schema.get("required") or ()) and "default" not in own
    return Slot(place, name, required, takes_file=_is_binary(own))


def _is_binary(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") == "binary" or "contentMediaType" in schema


def _resolve(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow local references and merge ``allOf``."""
    while "$ref" in node:
        target: Any = document
        for step in str(node["$ref"]).removeprefix("#/").split("/"):
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        node = target or {}
    if "allOf" not in node:
        return node
    parts = [_resolve(document, part) for part in node["allOf"]]
    return {
        "properties": {name: value for part in parts for name, value in (part.get("properties") or {}).items()},
        "required": [name for part in parts for name in part.get("required") or ()],
    }


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
        raise LookupError(f"{option}: {' and '.join(map(str, found))} both fit")
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
    offered = ", ".join(str(slot) for slot in slots) or "nothing"
    return (
        f"POST {path} cannot be filled in from the web tool's /v3/api-docs. {'; '.join(problems)}. "
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
