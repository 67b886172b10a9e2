"""Shapes of export and import beside flat names: objects in parts and in JSON, alternatives, two files, one switch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from denodo_ha.server.options import (
    EXPORT_OPTIONS,
    IMPORT_OPTIONS,
    BoundRequest,
    Direction,
    OptionsError,
    Part,
    Slot,
    bind,
    merged,
)

BINARY = {"type": "string", "format": "binary"}
FLAG = {"type": "boolean"}
FLAT = dict.fromkeys(EXPORT_OPTIONS, FLAG)
REPLACE = dict.fromkeys(IMPORT_OPTIONS, FLAG)


def obj(properties: Any = (), required: Any = (), **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(required), **more}


def document(action: str, content: Any = None, parameters: Any = (), **schemas: Any) -> dict[str, Any]:
    post: dict[str, Any] = {"parameters": list(parameters)}
    if content:
        post["requestBody"] = {"content": content}
    return {"paths": {f"/public/api/serverMetadata/{action}": {"post": post}}, "components": {"schemas": schemas}}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def form(schema: Any, **encoding: str) -> dict[str, Any]:
    return {"multipart/form-data": {"schema": schema, "encoding": {k: {"contentType": v} for k, v in encoding.items()}}}


def json_body(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def export(described: dict[str, Any], *overrides: dict[str, Any]) -> BoundRequest:
    return bind(described, "export", merged(EXPORT_OPTIONS, *overrides))


def import_(described: dict[str, Any], *overrides: dict[str, Any]) -> BoundRequest:
    return bind(described, "import", merged(IMPORT_OPTIONS, *overrides))


def complaint(described: dict[str, Any], action: Direction, *overrides: dict[str, Any]) -> str:
    with pytest.raises(OptionsError) as caught:
        bind(described, action, merged(EXPORT_OPTIONS if action == "export" else IMPORT_OPTIONS, *overrides))
    return str(caught.value)


ALL_REPLACED = '{"replaceJobs": true, "replaceDataSources": true, "replacePlugins": true, "replaceDrivers": true}'


@pytest.mark.parametrize("encoding", [{}, {"options": "application/json"}, {"options": "text/x, application/json"}])
def test_an_object_beside_a_file_is_one_part_of_json(encoding: dict[str, str]) -> None:
    schema = obj({"options": ref("Options"), "upload": BINARY}, ["options", "upload"])
    bound = import_(document("import", form(schema, **encoding), Options=obj(REPLACE)))
    assert bound.form == {"options": Part(ALL_REPLACED, "application/json")}
    assert bound.file == Slot("form", "upload", required=True, takes_file=True)
    assert bound.json is None
    assert bound.assumed == ()
    assert bound.places["replaceJobs"] == "options.replaceJobs (form)"


def test_nested_json_keeps_its_booleans_and_only_what_is_wanted() -> None:
    schema = obj({"content": obj({**FLAT, "jars": FLAG}), "note": {"type": "string"}})
    assert export(document("export", json_body(schema))).json == {"content": dict(EXPORT_OPTIONS)}


def test_a_name_may_be_said_in_pieces() -> None:
    pieces = obj({"jobs": FLAG, "dataSources": FLAG, "plugins": FLAG, "drivers": FLAG})
    schema = obj({"replace": pieces, "file": BINARY})
    (part,) = import_(document("import", form(schema))).form.values()
    assert part == Part('{"jobs": true, "dataSources": true, "plugins": true, "drivers": true}', "application/json")


@pytest.mark.parametrize("word", ["exclude", "skipped", "without", "do_not", "ignore", "replace"])
def test_an_object_that_turns_the_meaning_round_is_not_meant(word: str) -> None:
    schema = obj({**{name: FLAG for name in EXPORT_OPTIONS if name != "drivers"}, word: obj({"drivers": FLAG})})
    assert "drivers: nothing of that name is offered" in complaint(document("export", json_body(schema)), "export")


@pytest.mark.parametrize("word", ["replaceExcluded", "doNotReplace", "replace_without", "replaceNever"])
def test_the_verb_of_an_option_does_not_hide_that_its_meaning_is_turned_round(word: str) -> None:
    flags = {**REPLACE, "file": BINARY}
    around = {word: obj({"replaceJobs": flags.pop("replaceJobs")})}
    assert "replaceJobs: nothing of that name" in complaint(
        document("import", form(obj({**flags, **around}))), "import"
    )


@pytest.mark.parametrize("key", ["oneOf", "anyOf"])
def test_the_alternative_that_takes_all_is_filled_in(key: str) -> None:
    full = {"allOf": [ref("Half"), obj({"drivers": FLAG, "plugins": FLAG})]}
    schema = obj({"what": {key: [obj({"config": FLAG, "preset": FLAG}, ["preset"]), ref("Full"), {"type": "null"}]}})
    half = obj(dict.fromkeys(("config", "permissions", "exportDependencies"), FLAG))
    bound = export(document("export", json_body(schema), Full=full, Half=half))
    assert bound.json == {"what": dict(EXPORT_OPTIONS)}


@pytest.mark.parametrize("keys", [("oneOf", "oneOf"), ("anyOf", "anyOf"), ("oneOf", "anyOf")])
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_lists_of_choices_one_of_each_is_made(keys: tuple[str, str], turned: bool) -> None:
    first = {keys[0]: [ref("Config"), obj({"other": FLAG})]}
    second = {keys[1]: [obj({"more": FLAG}), obj({"permissions": FLAG, "exportDependencies": FLAG, "plugins": FLAG})]}
    both = [second, first] if turned else [first, second]
    for schema in ({"allOf": [*both, ref("Drivers")]}, {"allOf": [both[0], ref("Drivers")], **both[1]}):
        bound = export(
            document("export", json_body(schema), Config=obj({"config": FLAG}), Drivers=obj({"drivers": FLAG}))
        )
        assert bound.json == dict(EXPORT_OPTIONS)
        assert bound.assumed == ()


def test_choices_that_have_choices_are_combined_too() -> None:
    inner = {"oneOf": [obj({"config": FLAG}), obj({"other": FLAG})]}
    some = [inner, obj({name: FLAG for name in EXPORT_OPTIONS if name != "config"})]
    assert export(document("export", json_body({"anyOf": some}))).json == dict(EXPORT_OPTIONS)


def test_three_lists_of_choices_beside_each_other() -> None:
    choices = [{"oneOf": [obj({f"x{name}": FLAG}), obj({name: FLAG})]} for name in EXPORT_OPTIONS]
    assert export(document("export", json_body({"allOf": choices}))).json == dict(EXPORT_OPTIONS)


def test_any_of_may_be_combined() -> None:
    some = [obj({name: FLAG}) for name in EXPORT_OPTIONS]
    assert export(document("export", json_body({"anyOf": some}))).json == dict(EXPORT_OPTIONS)


def test_of_several_bodies_one_is_used() -> None:
    both = {"application/json": {"schema": obj(FLAT)}, "multipart/form-data": {"schema": obj(FLAT)}}
    bound = export(document("export", both))
    assert (bound.json, bound.form) == (dict(EXPORT_OPTIONS), {})
    files = {"application/xml": {"schema": BINARY}, "application/zip": {"schema": BINARY}}
    query = [{"in": "query", "name": name, "schema": FLAG} for name in IMPORT_OPTIONS]
    assert import_(document("import", files, query)).file == Slot("body", "application/zip", takes_file=True)


def test_an_object_in_the_query_travels_as_the_document_says() -> None:
    def asked(schema: Any, **how: Any) -> dict[str, str]:
        return export(document("export", None, [{"in": "query", "name": "o", "schema": schema, **how}])).query

    nested = obj({"with": obj(dict.fromkeys(("drivers", "plugins"), FLAG))})
    nested["properties"] |= dict.fromkeys(("config", "permissions", "exportDependencies"), FLAG)
    assert {"with.drivers", "config"} < set(asked(nested))
    assert {"o[with][drivers]", "o[config]"} < set(asked(nested, style="deepObject"))
    content = {"in": "query", "name": "o", "content": json_body(obj({"drivers": FLAG, "plugins": FLAG}))}
    assert export(document("export", None, [content])).query == {"o": '{"drivers": true, "plugins": true}'}


@pytest.mark.parametrize(
    ("files", "encoding"),
    [
        ({"metadata": {}, "properties": {}}, {}),
        ({"upload": {}, "propertiesFile": {}}, {}),
        ({"file": {}, "pf": {}}, {}),
        ({"one": {}, "two": {}}, {"one": "application/zip", "two": "text/plain"}),
        (
            {"one": {"description": "The ZIP with all"}, "two": {"description": "Properties, which win over the ZIP"}},
            {},
        ),
        ({"one": {"description": "The export, its properties too"}, "two": {"description": "Values of a site"}}, {}),
        ({"one": {"required": True}, "two": {}}, {}),
        (
            {
                "upload": {"description": "The file to import"},
                "values": {"description": "Values that override those of the exported elements"},
            },
            {},
        ),
        (
            {
                "one": {"description": "A ZIP made by the export"},
                "two": {"description": "Changes to the exported metadata, after the archive is read"},
            },
            {},
        ),
        ({"one": {"description": "The file to import"}, "two": {"description": "Overrides what the ZIP holds"}}, {}),
        ({"metadataFile": {}, "metadataValues": {}}, {}),
        ({"upload": {"required": True}, "zipSignature": {}}, {}),
    ],
)
def test_of_two_files_the_archive_is_recognised(files: dict[str, Any], encoding: dict[str, str]) -> None:
    wanted = next(iter(files))
    needed = [name for name, more in files.items() if more.pop("required", False)]
    for turned in (list(files), list(reversed(files))):
        schema = obj({**REPLACE, **{name: {**BINARY, **files[name]} for name in turned}}, needed)
        bound = import_(document("import", form(schema, **encoding)))
        assert bound.file is not None
        assert bound.file.name == wanted
        assert any("takes the export file" in said for said in bound.assumed)


def test_a_word_in_a_description_does_not_decide_between_two_files() -> None:
    files = {
        "one": {**BINARY, "description": "The file to import"},
        "two": {**BINARY, "description": "Applied to the exported metadata"},
    }
    assert "one (form) and two (form) both take a file" in complaint(
        document("import", form(obj({**REPLACE, **files}))), "import"
    )


def test_one_switch_stands_for_four_that_are_wanted_alike() -> None:
    described = document("import", form(obj({"replace": FLAG, "file": BINARY})))
    bound = import_(described)
    assert bound.form == {"replace": "true"}
    assert bound.assumed == ("replace (form) is taken to be one switch for all that is replaced",)
    assert import_(described, dict.fromkeys(IMPORT_OPTIONS, False)).form == {"replace": "false"}
    said = complaint(described, "import", {"replaceDrivers": False})
    assert "replaceJobs: replace (form) is one switch" in said
    assert "false" not in said.split("Offered")[0].lower()


INNER = obj({"replace": FLAG})


@pytest.mark.parametrize("around", ["options", "importOptions", "request", "IMPORT_REQUEST_DTO", "onConflict"])
def test_one_switch_may_lie_in_an_object_that_says_nothing(around: str) -> None:
    bound = import_(document("import", form(obj({"file": BINARY, around: INNER}))))
    assert bound.form == {around: Part('{"replace": true}', "application/json")}
    nested = obj({"file": BINARY, "options": obj({"replace": FLAG, "permissions": INNER})})
    assert import_(document("import", form(nested))).form == {"options": Part('{"replace": true}', "application/json")}


@pytest.mark.parametrize(
    "around",
    [
        "permissions", "importPermission", "config", "configuration", "properties", "users", "jobs", "drivers",
        "plugin", "dataSources", "data_source", "resources", "calendars", "security", "roles", "exclude", "dontOptions",
        "notifications", "server", "values",
    ],
)  # fmt: skip
@pytest.mark.parametrize("own", [(), ("replaceJobs",)])
def test_one_switch_for_something_else_is_not_meant(around: str, own: tuple[str, ...]) -> None:
    for nested in (
        obj({around: INNER}),
        obj({"options": obj({around: INNER})}),
        obj({around: obj({"options": INNER})}),
    ):
        nested["properties"] |= {"file": BINARY, **dict.fromkeys(own, FLAG)}
        said = complaint(document("import", form(nested)), "import")
        for option in IMPORT_OPTIONS:
            assert (f"{option}: nothing of that name is offered" in said) is (option not in own)


def test_one_switch_that_takes_neither_true_nor_false_is_not_meant() -> None:
    choice = {"type": "string", "enum": ["ALWAYS", "NEVER"]}
    said = complaint(document("import", form(obj({"file": BINARY, "replace": choice}))), "import")
    assert "replaceJobs: nothing of that name is offered" in said


def test_a_switch_that_is_missing_is_never_assumed() -> None:
    described = document("import", form(obj({"replaceJobs": FLAG, "file": BINARY})))
    assert "replaceDrivers: nothing of that name" in complaint(described, "import", {"replaceDrivers": False})


TREE = {"type": "array", "items": ref("Node")}
NODE = obj({"name": {"type": "string"}, "children": {"type": "array", "items": ref("Node")}})


@pytest.mark.parametrize(
    ("tree", "sent"),
    [
        (obj({"projects": TREE}), {}),
        (obj({"projects": TREE}, ["projects"]), {"projects": []}),
        (TREE, []),
        (ref("Endless"), {}),
    ],
)
def test_a_tree_to_select_from_is_left_empty(tree: Any, sent: Any) -> None:
    schema = obj({**FLAT, "selection": tree}, ["selection"])
    endless = obj({"jobs": ref("Endless"), "name": {"type": "string"}})
    bound = export(document("export", json_body(schema), Node=NODE, Endless=endless))
    assert bound.json == {**EXPORT_OPTIONS, "selection": sent}
    assert any(said.startswith("selection") and "is left empty" in said for said in bound.assumed)
    schema["required"] = []
    assert export(document("export", json_body(schema), Node=NODE, Endless=endless)).json == dict(EXPORT_OPTIONS)


LIST = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    "name",
    [
        "jobsToDelete", "excludedProjects", "projects_to_skip", "hiddenItems", "jobsToStart", "itemsToPurge",
        "elementsToStop", "selectedDrivers", "spurnedJobs", "projectsWithout", "jobBlacklist",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [LIST, obj({"x": FLAG})])
def test_an_empty_list_of_what_is_not_to_be_chosen_is_never_sent(name: str, kind: Any) -> None:
    for schema in (
        obj({**FLAT, name: kind}, [name]),
        obj({**FLAT, "selection": obj({name: kind}, [name])}, ["selection"]),
    ):
        said = complaint(document("export", json_body(schema)), "export")
        assert f"{name} (json) is required by the server and has no value here" in said


@pytest.mark.parametrize("around", ["excluded", "toDelete", "never", "start", "spurned"])
def test_a_selection_in_an_object_that_is_not_understood_is_none(around: str) -> None:
    schema = obj({**FLAT, around: obj({"projects": LIST}, ["projects"])}, [around])
    assert f"{around}.projects (json) is required" in complaint(document("export", json_body(schema)), "export")


@pytest.mark.parametrize("name", ["projects", "projectIds", "jobs_to_export", "selectedElements", "itemTree"])
def test_a_list_in_the_query_or_in_parts_travels_item_by_item(name: str) -> None:
    def asked(value: Any = None, **how: Any) -> dict[str, Any]:
        parameters = [{"in": "query", "name": each, "schema": FLAG} for each in EXPORT_OPTIONS]
        parameters.append({"in": "query", "name": name, "required": True, "schema": LIST, **how})
        bound = export(document("export", None, parameters), {name: {"value": value}} if value else {})
        assert ("is left empty" in str(bound.assumed)) is not bool(value)
        return {key: sent for key, sent in bound.query.items() if key not in EXPORT_OPTIONS}

    assert asked() == {}
    assert asked(["a", "b,c"]) == {name: ["a", "b,c"]}
    assert asked([1, True]) == {name: ["1", "true"]}
    assert asked(["a", "b"], style="form", explode=False) == {name: "a,b"}
    assert asked(["a", "b"], style="pipeDelimited") == {name: "a|b"}
    assert asked(["a"], content=json_body(LIST)) == {name: '["a"]'}
    assert asked(content=json_body(LIST)) == {name: "[]"}

    def parts(kind: Any, value: Any = None, **encoding: str) -> Any:
        described = document("export", form(obj({**FLAT, name: kind}, [name]), **encoding))
        return export(described, {name: {"value": value}} if value else {}).form.get(name)

    assert parts(LIST) is None
    assert parts({"type": ["array", "null"], "items": {"type": "integer"}}, [1]) == ["1"]
    assert parts(LIST, ["a", "b"]) == ["a", "b"]
    assert parts(LIST, ["a"], **{name: "text/plain"}) == [Part("a", "text/plain")]
    assert parts(LIST, ["a"], **{name: "application/json"}) == Part('["a"]', "application/json")
    assert parts(LIST, **{name: "application/json"}) == Part("[]", "application/json")
    assert parts({"type": "array", "items": obj({"id": FLAG})}, [{"id": 1}]) == Part('[{"id": 1}]', "application/json")


@pytest.mark.parametrize(
    "unknown", [{"type": "string", "default": "zip"}, {"type": ["string", "null"]}, {"nullable": True}]
)
@pytest.mark.parametrize("deep", [False, True])
def test_what_is_required_but_has_a_default_or_may_be_null_is_left_alone(unknown: Any, deep: bool) -> None:
    schema = obj({**FLAT, "format": unknown}, ["format"])
    schema = obj({"options": schema}) if deep else schema
    assert "format" not in str(export(document("export", json_body(schema))).json)


def test_what_is_required_inside_counts_only_where_it_is_sent() -> None:
    inner = obj({"key": {"type": "string"}}, ["key"])
    assert export(document("export", json_body(obj({**FLAT, "signature": inner})))).json == dict(EXPORT_OPTIONS)
    with_needs = obj({"options": obj({**FLAT, "key": {"type": "string"}}, ["key"])})
    said = complaint(document("export", json_body(with_needs)), "export")
    assert "options.key (json) is required by the server and has no value here" in said


def test_the_only_value_of_something_required_is_sent() -> None:
    schema = obj({**FLAT, "kind": {"type": "string", "enum": ["FULL"]}}, ["kind"])
    assert export(document("export", json_body(schema))).json == {**EXPORT_OPTIONS, "kind": "FULL"}


def test_what_a_server_does_anyway_may_be_absent_and_is_said() -> None:
    bound = export(document("export", json_body(obj({"drivers": FLAG, "plugins": FLAG}))))
    assert bound.json == {"drivers": True, "plugins": True}
    assert [said.partition(":")[0] for said in bound.assumed] == ["config", "permissions", "exportDependencies"]


@pytest.mark.parametrize(
    ("more", "override", "option"),
    [
        ({}, {"config": True}, "config"),
        ({}, {"exportDependencies": False}, "exportDependencies"),
        ({"excludeConfig": FLAG}, {}, "config"),
        ({"configLevel": {"enum": ["ALL"]}}, {}, "config"),
        ({"permissions": {"type": "array"}}, {}, "permissions"),
        ({"jobDependencies": FLAG}, {}, "exportDependencies"),
        ({"projects": {"type": "array"}}, {"projects": {"value": ["a"]}}, "exportDependencies"),
        ({}, {"drivers": False}, None),
    ],
)
def test_what_it_may_not_do_anyway_has_to_be_offered(more: Any, override: Any, option: str | None) -> None:
    described = document("export", json_body(obj({"drivers": FLAG, "plugins": FLAG, **more})))
    if option is None:
        assert export(described, override).json == {"drivers": False, "plugins": True}
    else:
        assert f"{option}: " in complaint(described, "export", override)


@pytest.mark.parametrize("more", [{"excludeConfig": FLAG}, {"config": LIST}, {"permissionMode": LIST}])
def test_it_may_not_be_absent_where_another_way_of_asking_offers_it(more: Any) -> None:
    less = obj({"drivers": FLAG, "plugins": FLAG, "exportDependencies": FLAG})
    for schema in ({"oneOf": [less, obj({"what": obj(more), "key": FLAG}, ["key"])]},):
        said = complaint(document("export", json_body(schema)), "export")
        assert any(f"{option}: nothing of that name" in said for option in ("config", "permissions"))
    bodies = json_body(less) | form(obj({**more, "key": FLAG}, ["key"]))
    assert "nothing of that name" in complaint(document("export", bodies), "export")
    assert export(document("export", json_body(less))).json == dict.fromkeys(less["properties"], True)


def test_a_place_of_another_type_is_not_meant() -> None:
    lists = {"type": "array", "items": {"type": "string"}}
    schema = obj({**FLAT, "drivers": lists, "more": obj({"includeDrivers": FLAG})})
    assert (export(document("export", json_body(schema))).json or {})["more"] == {"includeDrivers": True}
    only = obj({**FLAT, "drivers": {"type": "string", "enum": ["ALL", "NONE"]}})
    said = complaint(document("export", json_body(only)), "export")
    assert "drivers: drivers (json) takes only ALL, NONE" in said
    texts = obj({**FLAT, "drivers": {"type": "string", "enum": ["true", "false"]}, "plugins": {"type": "string"}})
    bound = export(document("export", json_body(texts))).json or {}
    assert (bound["drivers"], bound["plugins"]) == ("true", "true")


class TestOverrides:
    DOCUMENT = document("export", form(obj({"options": obj(FLAT), "extra": {"type": "string"}})))

    @pytest.mark.parametrize(
        ("wish", "text"),
        [
            ({"in": "form", "name": "options", "property": "with.jars"}, '"with": {"jars": true}'),
            ({"in": "form", "name": "options", "property": ["a.b"]}, '"a.b": true'),
            ({"in": "form", "name": "options", "value": {"jars": [1]}}, '"jars": [1]'),
        ],
    )
    def test_a_place_inside_a_part_stands_beside_what_is_found(self, wish: Any, text: str) -> None:
        part = export(self.DOCUMENT, {"drivers": wish}).form["options"]
        assert isinstance(part, Part)
        assert text in part.text
        assert '"plugins": true' in part.text
        assert part.media_type == "application/json"

    @pytest.mark.parametrize(
        ("wish", "part"),
        [
            ({"value": "é"}, "é"),
            ({"value": True}, "true"),
            ({"value": {"a": [True, None]}}, Part('{"a": [true, null]}', "application/json")),
            ({"value": ["a"]}, Part('["a"]', "application/json")),
            ({"value": ["a"], "content_type": "application/x+json"}, Part('["a"]', "application/x+json")),
            ({"value": 'say "x"', "content_type": "application/json"}, Part('"say \\"x\\""', "application/json")),
            ({"value": "a=1", "content_type": "text/plain"}, Part("a=1", "text/plain")),
        ],
    )
    def test_values_are_json_and_never_python(self, wish: Any, part: Any) -> None:
        assert export(self.DOCUMENT, {"more": {"in": "form", "name": "x", **wish}}).form["x"] == part
        value = wish["value"]
        asked = export(self.DOCUMENT, {"more": {"in": "query", "name": "x", "value": value}}).query["x"]
        assert asked == (value if isinstance(value, str) else json.dumps(value))

    def test_a_place_that_is_not_offered_is_said(self) -> None:
        bound = export(self.DOCUMENT, {"drivers": {"in": "query", "name": "jars"}})
        assert bound.query == {"jars": "true"}
        assert bound.assumed == ("drivers: jars (query) is not offered, and is used because the connection says so",)

    @pytest.mark.parametrize(
        ("wish", "what"),
        [
            ({"in": "form", "name": "options", "property": 7}, "drivers: its override must look like"),
            ({"in": "form", "name": "options", "properties": "hush"}, "drivers: its override must look like"),
            ({"in": "query", "name": "x", "content_type": "hush"}, "drivers: its override must look like"),
            ({"in": "form", "name": ""}, "drivers: its override must look like"),
            ({"in": "json", "name": "x"}, "(json) and options.plugins (form)"),
            ({"in": "form", "name": "options", "property": "plugins"}, "options.plugins (form) already takes drivers"),
            ({"in": "form", "name": "options", "value": "hush"}, "options.plugins (form) already takes drivers"),
            ({"in": "form", "name": "options", "value": {"plugins": "hush"}}, "options.plugins (form) already takes"),
        ],
    )
    def test_an_error_names_the_place_and_what_is_offered(self, wish: Any, what: str) -> None:
        said = complaint(self.DOCUMENT, "export", {"drivers": wish})
        if "already" in what or "(json)" in what:
            said = complaint(self.DOCUMENT, "export", {"drivers": wish, "config": None})
        assert "options.drivers (form)" in said
        assert "export_options of the connection's extra" in said
        assert "hush" not in said
        assert what in said or ("(json)" in what and "belong to two kinds of body" in said)

    @pytest.mark.parametrize("wish", [{"in": "query"}, {"in": "form"}, {"in": "form", "name": 7}, "archive", []])
    def test_a_malformed_place_of_the_file_is_explained(self, wish: Any) -> None:
        said = complaint(document("import", form(obj({**REPLACE, "a": BINARY}))), "import", {"file": wish})
        assert 'file: its override must look like {"in": "form", "name": "..."} or {"in": "body"}' in said
        assert "a (form)" in said
