"""What others rely on, compared with files in which it is pinned; and what these tests need from inside the project."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from denodo_ha.decisions import DECISIONS
from denodo_ha.pairs import PairOptions
from denodo_ha.record import Record

__all__ = [
    "DECISIONS",
    "FOLDER",
    "PROJECT",
    "PairOptions",
    "Record",
    "arguments",
    "check_pinned",
    "fields",
    "merged",
    "shape",
]

WRITE = "DENODO_TESTS_PIN"
PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "tests" / "outside" / "pinned"
ADVICE = (
    f"Is the change meant? Then write the file anew with `{WRITE}=1 make test ARGS=tests/outside`, look at its diff, "
    "and say in CHANGELOG.md what others have to change."
)


def check_pinned(chapter: str, found: dict[str, Any]) -> None:
    """Fail with what appeared, vanished and changed since the chapter was pinned.

    With ``DENODO_TESTS_PIN=1`` in the environment the chapter is written anew instead.
    """
    file = FOLDER / f"{chapter}.json"
    plain = json.loads(json.dumps(found))
    if os.environ.get(WRITE):
        file.write_text(json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    pinned = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if said := [*differences(pinned, plain)]:
        pytest.fail("\n".join([f"The outside differs from tests/outside/pinned/{file.name}:", *said, ADVICE]), False)


def differences(pinned: Any, found: Any, where: str = "") -> Iterator[str]:
    """A line for each value, and each word of a list, that vanished, appeared or changed."""
    if isinstance(pinned, dict) and isinstance(found, dict):
        for name in sorted({*pinned, *found}):
            path = f"{where} > {name}" if where else name
            if name not in found:
                yield f"  vanished: {path}: {_text(pinned[name])}"
            elif name not in pinned:
                yield f"  appeared: {path}: {_text(found[name])}"
            else:
                yield from differences(pinned[name], found[name], path)
    elif isinstance(pinned, list) and isinstance(found, list) and {*map(_text, pinned)} != {*map(_text, found)}:
        yield from (f"  vanished: {where} > {_text(each)}" for each in pinned if each not in found)
        yield from (f"  appeared: {where} > {_text(each)}" for each in found if each not in pinned)
    elif pinned != found:
        yield f"  changed:  {where}: {_text(pinned)} is now {_text(found)}"


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) < 300 else f"{text[:300]}…"


# -- shapes


def shape(value: Any) -> Any:
    """The types of a JSON value: of a mapping those of its fields, of a list those of its items.

    An event of a pair's history is just called one, with its kind.
    """
    if isinstance(value, dict):
        return f"event {value['kind']}" if value.keys() >= EVENT else fields(value)
    if isinstance(value, list):
        items: Any = "nothing"
        for item in value:
            items = merged(items, shape(item)) if items != "nothing" else shape(item)
        return {"each": items} if isinstance(items, dict) else f"list of {items}"
    if isinstance(value, str):
        return "moment" if _is_moment(value) else "text"
    return {bool: "bool", int: "int", float: "float", type(None): "null"}[type(value)]


EVENT = {"id", "kind", "pair", "epoch", "actor", "reason", "at"}
"""The fields by which an event is told from other mappings."""


def fields(value: Mapping[str, Any]) -> dict[str, Any]:
    """The type of each field."""
    return {name: shape(part) for name, part in value.items()}


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def merged(one: Any, other: Any) -> Any:
    """The shape that fits two values: a field that one of them lacks ends with a question mark."""
    if one == other or other == "list of nothing":
        return one
    if one == "list of nothing":
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        return dict(_both(one, other))
    if isinstance(one, dict) or isinstance(other, dict):
        mapping, plain = (one, other) if isinstance(one, dict) else (other, one)
        return {**mapping, "or": merged(mapping["or"], plain) if "or" in mapping else plain}
    return " or ".join(sorted({*one.split(" or "), *other.split(" or ")}))


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    sides = [{name.removesuffix("?"): part for name, part in side.items()} for side in (one, other)]
    for name in sorted({*sides[0], *sides[1]}):
        parts = [side[name] for side in sides if name in side]
        always = name == "or" or (name in one and name in other)
        yield name if always else f"{name}?", merged(parts[0], parts[-1])


# -- arguments


def arguments(called: Callable[..., Any]) -> dict[str, str]:
    """How each argument is given, and its default."""
    found: dict[str, str] = {}
    for number, argument in enumerate(inspect.signature(called).parameters.values(), start=1):
        if argument.name == "self" or argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
            continue
        how = "by name" if argument.kind is argument.KEYWORD_ONLY else f"number {number}"
        default = "required" if argument.default is argument.empty else _shown(argument.default)
        found[argument.name] = f"{how}, {default}"
    return found


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    plain = value is None or isinstance(value, str | int | float | tuple)
    return repr(value) if plain else f"a {type(value).__name__}"
