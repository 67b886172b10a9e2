"""The places that a web tool's OpenAPI document offers in the request of an export or import.

Denodo does not publish that document. What it may look like is guessed from what springdoc makes of a Spring
application [G]: query parameters, a JSON body, or parts, where an object beside a file is one part of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import islice, product
from typing import Any, Literal

from denodo_ha.text import listed

Direction = Literal["export", "import"]
Schema = Mapping[str, Any]
Words = tuple[str, ...]

OCTETS = "application/octet-stream"

_LONGEST_SEARCH = 100_000
"""How many nodes and properties of a document are looked at."""
_MOST_ALTERNATIVES = 64
"""How many ways of filling in a request are tried."""
_DEEPEST = 8
"""How deep objects in objects are looked into."""
_SEPARATORS = {"spaceDelimited": " ", "pipeDelimited": "|"}
_ENDLESS = (
    "The web tool's /v3/api-docs refers to itself without end, or is far larger than is believed. Look at that "
    "document in a browser, and check base_path of the connection and the web tool's version (9.x is needed)."
)


class OptionsError(ValueError):
    """Options that cannot be passed on; the message names all of them, and no value."""


@dataclass(frozen=True)
class Slot:
    """
    One place in a request.

    :param place: ``query``, ``json`` (the body), ``form`` (a part of a multipart body), ``body`` (a file alone).
    :param name: of the query parameter, of the JSON body's property, or of the part; for ``body`` the media type.
    :param required: whether a request without it is refused, if there is what it is ``within``.
    :param takes_file: whether it takes a file.
    :param path: names of the properties that lead to it inside the JSON that ``name`` takes.
    :param media_type: of its part, where the document says one.
    :param words: the names on the way to it; those of ``name`` and ``path`` if not given.
    :param types: the JSON types that it takes; none are known for an empty set.
    :param choices: the values that it takes, where the document lists them.
    :param within: words of the innermost object around it that may be absent; empty for none.
    :param says: how the document describes it.
    :param lists: how a list travels there: ``""`` as one text for each of its items, else what stands between the
        texts; ``None`` as JSON.
    """

    place: str
    name: str
    required: bool = False
    takes_file: bool = False
    path: Words = ()
    media_type: str | None = None
    words: Words = field(default=(), compare=False)
    types: frozenset[str] = field(default=frozenset(), compare=False)
    choices: tuple[Any, ...] = field(default=(), compare=False)
    within: Words = field(default=(), compare=False)
    says: str = field(default="", compare=False)
    lists: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.words:
            object.__setattr__(self, "words", (self.name, *self.path))

    def __str__(self) -> str:
        return f"{'.'.join((self.name, *self.path))[:100]} ({self.place})"

    @property
    def key(self) -> Words:
        """What two slots of one request have in common only if they are one place, or one lies in the other."""
        return (self.place, *self.words)

    def sent(self, value: Any) -> Any:
        """
        Return ``value`` as this place takes it: of the type, or of those values, that the document names.

        :raises LookupError: it takes none such.
        """
        if self.choices:
            for choice in self.choices:
                if as_text(choice) == as_text(value):
                    return choice
            raise LookupError(f"takes only {listed(map(as_text, self.choices))}"[:200])
        kinds = {"string", "boolean", "number", "integer"}  # text may be anything written
        if isinstance(value, bool):
            kinds = {"string", "boolean"}
        elif isinstance(value, list | Mapping):
            kinds = {"array"} if isinstance(value, list) else {"object"}
        if self.takes_file or (self.types and not self.types & kinds):
            raise LookupError(f"takes {' or '.join(sorted(self.types)) or 'a file'}"[:200])
        if isinstance(value, bool) and self.types and "boolean" not in self.types:
            return as_text(value)
        if self.types == {"boolean"} and as_text(value) in ("true", "false"):
            return as_text(value) == "true"
        return value

    def carried(self, value: Any) -> Any:
        """Return a list as this place carries it: a tuple of texts that are sent one by one, or one text."""
        if self.lists is None or not isinstance(value, list):
            return value
        texts = tuple(map(as_text, value))
        return self.lists.join(texts) if self.lists else texts


def offered(document: Schema, action: Direction) -> tuple[str, list[list[Slot]], bool]:
    """
    Return the path of an export or import; every way of making its request, each the places that belong together; and
    whether the document says all of it, since no reference leads nowhere.

    :raises OptionsError: the document does not describe it, or not in a form that can be read.
    """
    try:
        path, operation = _operation(document, action)
        described = _Described(document)
        return path, described.alternatives(operation), described.whole
    except RecursionError:
        raise OptionsError(_ENDLESS) from None
    except (AttributeError, LookupError, TypeError) as error:
        raise OptionsError(
            f"The web tool's /v3/api-docs describes serverMetadata/{action} in a form that cannot be read "
            f"({type(error).__name__}). Look at that document in a browser, and check base_path of the connection and "
            "the web tool's version (9.x is needed)."
        ) from None


def _operation(document: Schema, action: str) -> tuple[str, Schema]:
    ending = f"/serverMetadata/{action}".casefold()
    paths: Schema = document.get("paths") or {}
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
    """What a document describes. It is read for a bounded time, whatever refers to whatever in it."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._steps = _LONGEST_SEARCH
        self.whole = True

    def alternatives(self, operation: Schema) -> list[list[Slot]]:
        query: list[list[Slot]] = [[]]
        for reference in operation["parameters"]:
            parameter = self._resolve(reference)
            if parameter.get("in") == "query":
                query = self._beside(query, self._parameter(parameter))
        bodies = list(self._bodies(self._resolve(operation.get("requestBody") or {})))
        return self._beside(query, bodies or [[]])

    def _parameter(self, parameter: Schema) -> list[list[Slot]]:
        """A parameter that is an object travels as JSON where the document says so, else each property on its own."""
        name = _text(parameter["name"])
        required = bool(parameter.get("required"))
        for media_type, content in (parameter.get("content") or {}).items():
            if "json" in media_type:
                found = self._walk(content.get("schema") or {}, (name,), required=required)
                return _mapped(
                    found, lambda slot: replace(slot, place="query", name=name, path=slot.words[1:], lists=None)
                )
        style = parameter.get("style")
        deep = style == "deepObject"
        # OpenAPI's style without a name repeats a parameter for each item of a list
        explode = parameter.get("explode", style not in _SEPARATORS)
        lists = "" if explode else _SEPARATORS.get(str(style), ",")

        def on_its_own(slot: Slot) -> Slot:
            first, *more = slot.words[1:] or (name,)
            dotted = ".".join((first, *more))
            nested = name + "".join(f"[{word}]" for word in slot.words[1:])
            return replace(slot, place="query", name=nested if deep else dotted, lists=lists)

        found = self._walk(parameter.get("schema") or {}, (name,), required=required)
        # the object itself is no parameter where its properties are
        return _mapped([slots[1:] if len(slots) > 1 else slots for slots in found], on_its_own)

    def _bodies(self, body: Schema) -> Iterator[list[Slot]]:
        """Places in the body. A binary property means multipart, whatever content type the document calls it."""
        for content_type, content in (body.get("content") or {}).items():
            media_type = content_type.partition(";")[0].strip().lower()
            reference = content.get("schema") or {}
            found = self._walk(reference, ())
            if "multipart" in media_type or any(slot.takes_file for slots in found for slot in slots):
                encoding = content.get("encoding") or {}
                yield from _mapped(found, partial(_part, encoding=encoding))
            elif any(found) and ("json" in media_type or media_type == "*/*"):
                yield from _mapped(found, lambda slot: replace(slot, place="json", path=slot.words[1:], lists=None))
            elif not any(found) and self._is_file(self._resolve(reference)):
                carried = OCTETS if "json" in media_type or "*" in media_type else content_type
                yield [Slot("body", carried, takes_file=True)]

    def _walk(
        self,
        reference: Schema,
        words: Words,
        *,
        required: bool = False,
        within: Words = (),
        seen: frozenset[str] = frozenset(),
    ) -> list[list[Slot]]:
        """Return the places below ``words``: an object before what is in it, in each of its alternatives.

        An object that is in itself is not looked into again.
        """
        followed: set[str] = set()
        own = self._resolve(reference, followed)
        if own.get("readOnly"):
            return [[]]
        choices = list(islice(self._choices(own, followed), _MOST_ALTERNATIVES))
        needed = (
            required and "default" not in own and not _nullable(own) and all(each is not None for each, _ in choices)
        )
        schemas = [(each, names) for each, names in choices if each is not None]
        slot = self._slot([each for each, _ in schemas] or [own], words, needed, within)
        objects = [(each, names) for each, names in schemas if each.get("properties")]
        if objects and (followed & seen or len(words) >= _DEEPEST):
            return [[slot]] if words else [[]]
        inner = within if needed or not words else words
        found: list[list[Slot]] = []
        for each, names in objects:
            wanted = set(each.get("required") or ())
            alternatives: list[list[Slot]] = [[slot] if words else []]
            for name, below in each["properties"].items():
                more = self._walk(below, (*words, name), required=name in wanted, within=inner, seen=seen | names)
                alternatives = self._beside(alternatives, more)
            found += alternatives
        return found[:_MOST_ALTERNATIVES] or ([[slot]] if words else [[]])

    def _beside(self, some: list[list[Slot]], others: list[list[Slot]]) -> list[list[Slot]]:
        """Combine each of ``some`` with each of ``others``; with a single one without copying what there is."""
        if len(others) == 1:
            for slots in some:
                slots += others[0]
            return some
        combined = []
        for one, other in list(product(some, others))[:_MOST_ALTERNATIVES]:
            self._step(len(one) + len(other))
            combined.append(one + other)
        return combined

    def _choices(self, own: Schema, followed: set[str]) -> Iterator[tuple[Schema | None, frozenset[str]]]:
        """Give what ``oneOf`` or ``anyOf`` allow, with the references on the way to each; ``None`` for null.

        All of ``anyOf`` at once are allowed too, and come first, since they offer most.
        """
        key = next((key for key in own if _is_choice(key) and own[key]), None)
        if key is None:
            yield own, frozenset(followed)
            return
        base: Schema = {name: value for name, value in own.items() if name != key}
        choices: list[tuple[Schema, set[str]]] = []
        for reference in own[key]:
            names = set(followed)
            choice = self._resolve(reference, names)
            if choice.get("type") == "null":
                yield None, frozenset()
            else:
                choices.append((choice, names))
        if key.startswith("anyOf") and len(choices) > 1:
            together = reduce(self._merged, (choice for choice, _ in choices), base)
            yield from self._choices(
                {**together, "required": base.get("required") or ()},
                set[str]().union(*(names for _, names in choices)),
            )
        for choice, names in choices:
            yield from self._choices(self._merged(base, choice), names)

    def _slot(self, schemas: list[Schema], words: Words, required: bool, within: Words) -> Slot:
        types: set[str] = set()
        known = True
        for each in schemas:
            its = _kinds(each) or ({"object"} if each.get("properties") else set())
            types |= its
            known = known and bool(its)
        listed_values = [[each["const"]] if "const" in each else each.get("enum") or [] for each in schemas]
        return Slot(
            "",
            words[0] if words else "",
            required,
            takes_file=any(self._is_file(each) for each in schemas),
            words=words,
            types=frozenset(types - {"null"}) if known else frozenset(),
            choices=tuple(value for values in listed_values for value in values) if all(listed_values) else (),
            within=within,
            says=" ".join(str(each.get(key) or "") for each in schemas for key in ("title", "description")),
            lists="" if any(self._is_list_of_texts(each) for each in schemas) else None,
        )

    def _is_file(self, schema: Schema) -> bool:
        """Whether it is binary, or several of it; what is encoded as text is no file."""
        if "array" in _kinds(schema):
            schema = self._resolve(schema.get("items") or {})
        return schema.get("format") == "binary" or ("contentMediaType" in schema and not schema.get("contentEncoding"))

    def _is_list_of_texts(self, schema: Schema) -> bool:
        if "array" not in _kinds(schema):
            return False
        items = self._resolve(schema.get("items") or {})
        plain = _kinds(items) <= {"string", "number", "integer", "boolean"} and not items.get("properties")
        return plain and not any(map(_is_choice, items))

    def _resolve(self, node: Schema, followed: set[str] | None = None) -> Schema:
        """Follow local references and merge ``allOf``; what stands beside either counts too.

        :param followed: takes the references that were followed.
        """
        self._step()
        beside: Schema = {}
        while "$ref" in node:
            beside = {**{key: value for key, value in node.items() if key != "$ref"}, **beside}
            target: Any = self._document
            self._step(1 + len(node["$ref"]))
            if followed is not None:
                followed.add(node["$ref"])
            for step in str(node["$ref"]).removeprefix("#/").split("/"):
                target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
            self.whole = self.whole and target is not None
            node = target or {}
        if beside:
            node = self._merged(node, beside)
        if "allOf" in node:
            whole: Schema = {key: value for key, value in node.items() if key != "allOf"}
            for part in node["allOf"]:
                whole = self._merged(self._resolve(part, followed), whole)
            node = whole
        return node

    def _merged(self, one: Schema, other: Schema) -> Schema:
        """Return a schema that demands what both do; where they differ in other things, the second counts.

        Two lists of choices are both kept, since one of each is to be made.
        """
        properties = {**(one.get("properties") or {}), **(other.get("properties") or {})}
        required = {*(one.get("required") or ()), *(other.get("required") or ())}
        self._step(len(properties) + len(required))
        both = {**one, **other, "properties": properties, "required": required}
        for key in one:
            if _is_choice(key) and key in other and one[key] is not other[key]:
                free = key + "'"
                while free in both:
                    free += "'"
                both[free] = one[key]
        return both

    def _step(self, number: int = 1) -> None:
        self._steps -= number
        if self._steps < 0:
            raise OptionsError(_ENDLESS)


def _part(slot: Slot, encoding: Schema) -> Slot:
    """Make a place of a multipart body, where only whole parts can be files, and an object is JSON."""
    name, *path = slot.words
    takes_file = slot.takes_file and not path
    documented = str((encoding.get(name) or {}).get("contentType") or "").split(",")
    types = [each for part in documented if (each := part.partition(";")[0].strip().lower()) and "*" not in each]
    if takes_file:
        best = [each for liked in ("zip", "octet", "") for each in types if liked in each]
    elif path or "object" in slot.types:
        best = [each for each in types if "json" in each]
    else:
        best = types
    types_taken = frozenset({"file"}) if slot.takes_file else slot.types
    return replace(
        slot,
        place="form",
        path=tuple(path),
        takes_file=takes_file,
        types=types_taken,
        media_type=best[0] if best else None,
        lists=None if path or any("json" in each for each in best[:1]) else slot.lists,
    )


def _mapped(alternatives: list[list[Slot]], change: Callable[[Slot], Slot]) -> list[list[Slot]]:
    return [[change(slot) for slot in slots] for slots in alternatives]


def as_text(value: Any) -> str:
    """Return a value as the text of a query parameter or a part: what is no text, as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_choice(key: str) -> bool:
    """Whether a key holds a list of choices; where several were merged, they are told apart by marks behind it."""
    return key.rstrip("'") in ("oneOf", "anyOf")


def _kinds(schema: Schema) -> set[str]:
    kinds = schema.get("type") or ()
    return {_text(kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)}


def _nullable(schema: Schema) -> bool:
    return bool(schema.get("nullable")) or "null" in _kinds(schema)


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError
    return name
