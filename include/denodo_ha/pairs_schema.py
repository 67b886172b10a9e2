"""The JSON schema of the file of pairs, for editors: what it refuses the reader refuses too, but not the reverse.

Contradictions between options, and patterns that match nothing, are found by :mod:`denodo_ha.pairs_file` only.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from denodo_ha.durations import format_duration
from denodo_ha.pairs import PairOptions
from denodo_ha.pairs_file import MOST_PAIRS, NAME
from denodo_ha.pairs_mistakes import FLAT, GROUPS, RENAMED

DERIVED = "Default: "
"""What begins the sentence of a description about a default that follows from other options."""


class _Generator(GenerateJsonSchema):
    """Write a default as a person does, and none where it follows from other options or is a whole group."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def plain(markdown: str) -> str:
    """Return a description without its links."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown)


def schema() -> dict[str, Any]:
    """Return the schema, in the draft that most editors know."""
    options = PairOptions.model_json_schema(schema_generator=_Generator)
    definitions = {name: _clean(each) for name, each in options.pop("$defs").items()}
    pair = _clean(options)
    oldest_snapshot = definitions["FailoverOptions"]["properties"]["oldest_snapshot"]
    oldest_snapshot["anyOf"].append({"type": "null"})  # which counts as not given
    known = pair["properties"]
    for group in GROUPS:
        known[group] = _or_nothing(known[group])
    for name, place in (FLAT | RENAMED).items():
        earlier = {"$ref": _pointer(place)}
        if name in GROUPS:
            known[name]["anyOf"].append(earlier)
        else:
            known[name] = {**earlier, "deprecated": True, "deprecationMessage": f"This option is now {place}."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The pairs of Denodo Scheduler servers to keep in step",
        "type": "object",
        "required": ["pairs"],
        "additionalProperties": False,
        "properties": {
            "defaults": _or_nothing(
                {"description": "Options for every pair that does not override them.", "$ref": "#/$defs/Pair"}
            ),
            "pairs": {
                "description": "The pairs by their names.",
                "type": "object",
                "minProperties": 1,
                "maxProperties": MOST_PAIRS,
                "propertyNames": {"pattern": f"^{NAME.pattern}$"},
                "additionalProperties": _or_nothing({"$ref": "#/$defs/Pair"}),
                "examples": [{"default": {}}],
            },
        },
        "$defs": {"Pair": pair, **definitions},
    }


def _pointer(place: str) -> str:
    """Return where the definitions have an option, such as ``sync.lease``."""
    group, _, name = place.rpartition(".")
    return f"#/$defs/{GROUPS[group].__name__ if group else 'Pair'}/properties/{name}"


def _or_nothing(part: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping that may also be blank, with its description."""
    described = {key: part[key] for key in ("description",) if key in part}
    return described | {"anyOf": [{"$ref": part["$ref"]}, {"type": "null"}]}


def _clean(model: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a model without what only its Python code needs."""
    kept = {key: value for key, value in model.items() if key not in ("title", "description")}
    if "properties" in kept:
        kept["properties"] = {name: _option(each) for name, each in kept["properties"].items()}
    return kept


def _option(part: dict[str, Any]) -> dict[str, Any]:
    text = plain(part.get("description", ""))
    kept = {key: value for key, value in part.items() if key != "title"} | {"description": text}
    if "$ref" in kept or DERIVED in text:
        kept.pop("default", None)
    return kept
