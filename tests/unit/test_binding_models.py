"""Documents made from a model of what is wanted: bound to the right places, or refused with all that is offered."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.server.options import EXPORT_OPTIONS, IMPORT_OPTIONS, BoundRequest, OptionsError, Part, bind

SECRET = "hush-hush-value"
PIECES: dict[str, list[list[str]]] = {
    "config": [["config"], ["configuration"]],
    "drivers": [["drivers"], ["driver"]],
    "plugins": [["plugins"]],
    "permissions": [["permissions"]],
    "exportDependencies": [["dependencies"]],
    "replaceJobs": [["replace", "jobs"]],
    "replaceDataSources": [["replace", "data", "sources"]],
    "replacePlugins": [["replace", "plugins"]],
    "replaceDrivers": [["replace", "drivers"]],
}
VERBS = [[], ["export"], ["import"], ["include"], ["with"], ["export", "include"]]
PLAIN = [
    "options",
    "request",
    "body",
    "dto",
    "content",
    "what",
    "parameters",
    "settings2",
    "exportOptions",
    "IMPORT_REQUEST",
]
ODD = ["x", "Größe", "a.b", "a/b~c", "spurned", "elsewhere", "shunnedOptions", "options_banned", "不要", "calendars"]
"""What is not understood, and may turn the meaning round; the program's own lists have none of these words."""
WRAPPERS = PLAIN + ODD
TURNING = [
    "exclude", "skipped", "without", "do_not", "ignore", "disabled", "suppress", "drop", "hidden", "deny", "never",
    "leaveOut", "clear", "blacklist", "purged", "notWanted", "dropOptions", "OPTIONS_TO_REMOVE", "turnedOff",
]  # fmt: skip
NOISE = ["verbose", "locale", "compress", "note", "tenant", "threads", "driverPath", "pluginFolder", "jobCount"]


@dataclass
class Model:
    """A document, and where each option is in it: place, name and path."""

    document: dict[str, Any]
    places: dict[str, tuple[str, ...]]


class Maker:
    """Makes a document at random in which each option has exactly one place."""

    def __init__(self, seed: int, action: str) -> None:
        self.chance = random.Random(seed)
        self.action = action
        self.options = list(EXPORT_OPTIONS if action == "export" else IMPORT_OPTIONS)
        self.schemas: dict[str, Any] = {}
        self.places: dict[str, tuple[str, ...]] = {}

    def spelt(self, option: str) -> str:
        words = self.chance.choice(VERBS) + self.chance.choice(PIECES[option])
        how = self.chance.choice(["camel", "pascal", "_", "-", "upper", "plain"])
        if how == "camel":
            return words[0] + "".join(map(str.capitalize, words[1:]))
        if how in "_-":
            return how.join(words)
        return {
            "pascal": "".join(map(str.capitalize, words)),
            "upper": "_".join(words).upper(),
            "plain": "".join(words),
        }[how]

    def flag(self) -> Any:
        return self.wrapped(self.chance.choice([{"type": "boolean"}, {"type": "boolean", "default": False}, {}]))

    def wrapped(self, schema: Any) -> Any:
        """The same schema, said in another way."""
        how = self.chance.randrange(6)
        if how == 0:
            name = f"S{len(self.schemas)}/~"
            self.schemas[name] = schema
            return {"$ref": f"#/components/schemas/{name.replace('~', '~0').replace('/', '~1')}"}
        if how == 1:
            return {"allOf": [schema]}
        if how == 2:
            return {"oneOf": [{"type": "null"}, schema]}
        if how == 3 and "properties" in schema:
            names = list(schema["properties"])
            halves = [names[::2], names[1::2]]
            return {"allOf": [{"properties": {name: schema["properties"][name] for name in half}} for half in halves]}
        if how == 4 and "properties" in schema:
            return {"anyOf": [{"type": "object", "properties": {"unheard": {"type": "string"}}}, schema]}
        return schema

    def tree(self, at: tuple[str, ...], depth: int = 0) -> dict[str, Any]:
        """An object that takes the options below ``at``, some of them deeper."""
        properties: dict[str, Any] = {}
        deep = [option for option in self.options if option in self.places and self.places[option] == at]
        groups: dict[str, list[str]] = {}
        for option in deep:
            if depth < 4 and self.chance.random() < 0.5:
                groups.setdefault(self.chance.choice(WRAPPERS), []).append(option)
            else:
                name = self.spelt(option)
                properties[name] = self.flag()
                self.places[option] = (*at, name)
        for name, inside in groups.items():
            for option in inside:
                self.places[option] = (*at, name)
            properties[name] = self.wrapped(self.tree((*at, name), depth + 1))
        for name in self.chance.sample(NOISE, self.chance.randrange(3)):
            properties.setdefault(name, {"type": self.chance.choice(["string", "integer", "array"])})
        shuffled = list(properties.items())
        self.chance.shuffle(shuffled)
        return {"type": "object", "properties": dict(shuffled)}

    def make(self) -> Model:
        places = ["query", "json", "form"] if self.action == "export" else ["query", "form"]
        body = self.chance.choice(places[1:])
        parameters = []
        for option in self.options:
            if self.chance.random() < 0.3:
                name = self.spelt(option)
                parameters.append({"in": "query", "name": name, "schema": self.flag()})
                self.places[option] = ("query", name)
            else:
                self.places[option] = (body,)
        schema = self.tree((body,))
        if body == "form" and self.action == "import":
            schema["properties"]["archive"] = {"type": "string", "format": "binary"}
        media_type = "application/json" if body == "json" else "multipart/form-data"
        post = {"parameters": parameters, "requestBody": {"content": {media_type: {"schema": self.wrapped(schema)}}}}
        path = f"/public/api/serverMetadata/{self.action}"
        return Model({"paths": {path: {"post": post}}, "components": {"schemas": self.schemas}}, self.places)


def sent(bound: BoundRequest, place: tuple[str, ...]) -> Any:
    where, name, *path = place
    value: Any = {"query": bound.query, "json": bound.json, "form": bound.form}[where]
    value = (value or {}).get(name)
    if isinstance(value, Part):
        assert value.media_type == "application/json"
        value = json.loads(value.text)
    for each in path:
        value = value[each]
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def number_of_values(value: Any) -> int:
    if isinstance(value, Part):
        value = json.loads(value.text)
    return sum(map(number_of_values, value.values())) if isinstance(value, dict) else 1


@pytest.mark.parametrize("action", ["export", "import"])
def test_each_option_goes_to_its_own_place_and_nothing_else_is_sent(action: Any) -> None:
    @settings(max_examples=150, derandomize=True, database=None)
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        model = Maker(seed, action).make()
        wanted = EXPORT_OPTIONS if action == "export" else IMPORT_OPTIONS
        values = {option: random.Random(seed).random() < 0.5 for option in wanted}
        bound = bind(model.document, action, values)
        assert {option: sent(bound, model.places[option]) for option in values} == values
        assert sum(map(number_of_values, (bound.query, bound.json or {}, bound.form))) == len(values)
        assert not any("nothing of that kind" in said for said in bound.assumed)
        odd = {option for option, (_, *names) in model.places.items() if set(names[:-1]) & set(ODD)}
        assert {said.partition(":")[0] for said in bound.assumed} == odd

    check()


@settings(max_examples=100, derandomize=True, database=None)
@given(st.integers(0, 2**32), st.sampled_from(["away", "twice", "list", "required"]))
def test_what_cannot_be_bound_is_refused_with_all_that_is_offered(seed: int, how: str) -> None:
    maker = Maker(seed, "export")
    document = maker.make().document
    post = document["paths"]["/public/api/serverMetadata/export"]["post"]
    options = {**EXPORT_OPTIONS, "metadataPassword": SECRET}
    if how == "twice":
        post["parameters"] += [
            {"in": "query", "name": name, "schema": {}} for name in ("MetadataPassword", "metadata_password")
        ]
    elif how == "list":
        post["parameters"].append({"in": "query", "name": "metadataPassword", "schema": {"type": "array"}})
    elif how == "required":
        options.pop("metadataPassword")
        post["parameters"].append({"in": "query", "name": "ticket", "required": True, "schema": {"type": "string"}})
    with pytest.raises(OptionsError) as caught:
        bind(document, "export", options)
    said = str(caught.value)
    assert ("ticket (query) is required" if how == "required" else "metadataPassword: ") in said
    for place, name, *path in maker.places.values():
        assert f"{'.'.join([name, *path])} ({place})" in said
    assert SECRET not in said


def contained(name: str) -> dict[str, Any]:
    """A document whose ``drivers`` lie in an object of that name, and nothing else does."""
    flags = {option: {"type": "boolean"} for option in EXPORT_OPTIONS}
    around = {"type": "object", "properties": {"drivers": flags.pop("drivers")}}
    body = {"application/json": {"schema": {"type": "object", "properties": {**flags, name: around}}}}
    return {"paths": {"/public/api/serverMetadata/export": {"post": {"requestBody": {"content": body}}}}}


@settings(max_examples=300, derandomize=True, database=None)
@given(
    st.one_of(
        st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=12).map("q".__add__),
        st.text(st.characters(categories=["L"]), min_size=3, max_size=12).map("q".__add__),
        st.sampled_from(ODD),
    ),
    st.sampled_from(["", "options", "export"]),
    st.sampled_from(["_", "-", " ", "camel"]),
)
def test_no_object_of_an_unknown_name_is_taken_without_saying_so(word: str, beside: str, between: str) -> None:
    joined = beside + word.capitalize() if between == "camel" else f"{beside}{between}{word}"
    name = joined if beside else word
    with suppress(OptionsError):
        bound = bind(contained(name), "export", EXPORT_OPTIONS)
        assert sent(bound, ("json", name, "drivers")) is True
        assert any(said.startswith("drivers: ") and said.endswith(f"what {name} means") for said in bound.assumed)


@pytest.mark.parametrize("name", TURNING)
def test_an_object_that_turns_the_meaning_round_is_never_taken(name: str) -> None:
    with pytest.raises(OptionsError, match="drivers: nothing of that name is offered"):
        bind(contained(name), "export", EXPORT_OPTIONS)


@pytest.mark.parametrize("name", PLAIN)
def test_an_object_of_a_plain_name_leaves_nothing_to_be_assumed(name: str) -> None:
    assert bind(contained(name), "export", EXPORT_OPTIONS).assumed == ()
