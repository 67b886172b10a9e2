from __future__ import annotations

from typing import Any

import pytest

from denodo_ha.server.options import (
    EXPORT_OPTIONS,
    IMPORT_OPTIONS,
    BoundRequest,
    Direction,
    OptionsError,
    Slot,
    bind,
    merged,
)

EXPORT = "/public/api/serverMetadata/export"
IMPORT = "/public/api/serverMetadata/import"
BINARY = {"type": "string", "format": "binary"}


def _query(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": {"type": "boolean"}, **more} for name in names]


def _object(*names: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "boolean"} for name in names} | properties}


def _document(path: str, parameters: Any = (), content: Any = None, **more: Any) -> dict[str, Any]:
    uri = {"name": "uri", "in": "query", "required": True, "schema": {"type": "string"}}
    post: dict[str, Any] = {"parameters": [uri, *parameters]}
    if content:
        post["requestBody"] = {"content": {kind: {"schema": schema} for kind, schema in content.items()}}
    return {"openapi": "3.0.1", "paths": {path: {"post": post}}, **more}


def _bind_export(document: dict[str, Any], *overrides: dict[str, Any]) -> BoundRequest:
    return bind(document, "export", merged(EXPORT_OPTIONS, *overrides))


def _bind_import(document: dict[str, Any], *overrides: dict[str, Any]) -> BoundRequest:
    return bind(document, "import", merged(IMPORT_OPTIONS, *overrides))


def _complaint(document: dict[str, Any], action: Direction, options: dict[str, Any]) -> str:
    with pytest.raises(OptionsError) as caught:
        bind(document, action, options)
    return str(caught.value)


def test_by_default_server_configuration_is_never_exported() -> None:
    assert EXPORT_OPTIONS["config"] is False
    assert EXPORT_OPTIONS["permissions"] is False


def test_query_parameters() -> None:
    bound = _bind_export(_document(EXPORT, _query(*EXPORT_OPTIONS, "exportAsXML")))

    assert bound == BoundRequest(
        EXPORT,
        query={
            "config": "false",
            "drivers": "true",
            "plugins": "true",
            "permissions": "false",
            "exportDependencies": "true",
        },
    )


def test_json_properties_behind_a_reference() -> None:
    schemas = {
        "Base": _object("config", "drivers"),
        "Options": {
            "allOf": [{"$ref": "#/components/schemas/Base"}, _object("plugins", "permissions", "dependencies")]
        },
    }
    document = _document(
        EXPORT,
        content={"application/json": {"$ref": "#/components/schemas/Options"}},
        components={"schemas": schemas},
    )

    bound = _bind_export(document)

    assert bound.query == bound.form == {}
    assert bound.json == {
        "config": False,
        "drivers": True,
        "plugins": True,
        "permissions": False,
        "dependencies": True,
    }


def test_multipart_parts_with_the_file() -> None:
    bound = _bind_import(_document(IMPORT, content={"multipart/form-data": _object(*IMPORT_OPTIONS, upload=BINARY)}))

    assert bound.form == dict.fromkeys(IMPORT_OPTIONS, "true")
    assert bound.file == Slot("form", "upload", takes_file=True)
    assert bound.json is None


def test_a_binary_property_means_multipart_whatever_the_document_calls_it() -> None:
    document = _document(IMPORT, _query(*IMPORT_OPTIONS), {"application/json": _object(file=BINARY)})

    bound = _bind_import(document)

    assert bound.file == Slot("form", "file", takes_file=True)
    assert bound.json is None


def test_a_binary_body_is_the_file() -> None:
    bound = _bind_import(_document(IMPORT, _query(*IMPORT_OPTIONS), {"application/zip": BINARY}))

    assert bound.file == Slot("body", "application/zip", takes_file=True)


def test_a_parameter_object_is_its_properties() -> None:
    parameter = {"name": "options", "in": "query", "required": True, "schema": {"$ref": "#/components/schemas/O"}}

    bound = _bind_export(_document(EXPORT, [parameter], components={"schemas": {"O": _object(*EXPORT_OPTIONS)}}))

    assert bound.query.keys() == EXPORT_OPTIONS.keys()


def test_parameters_of_the_path_count_too() -> None:
    document = _document(EXPORT)
    document["paths"][EXPORT]["parameters"] = _query(*EXPORT_OPTIONS)

    assert _bind_export(document).query.keys() == EXPORT_OPTIONS.keys()


@pytest.mark.parametrize(
    ("option", "offered"),
    [
        ("replaceDataSources", "replace_data_sources"),
        ("replaceDataSources", "REPLACE-DATASOURCES"),
        ("exportDependencies", "dependencies"),
        ("config", "exportConfig"),
        ("config", "include_config"),
        ("config", "configurations"),
        ("config", "exportServerConfigurations"),
        ("exportDependencies", "withDependency"),
        ("exportDependencies", "include-dependency"),
        ("drivers", "withDrivers"),
    ],
)
def test_spelling_and_a_leading_verb_do_not_matter(option: str, offered: str) -> None:
    assert bind(_document(EXPORT, _query(offered)), "export", {option: True}).query == {offered: "true"}


def test_the_exact_name_goes_before_a_similar_one() -> None:
    document = _document(EXPORT, _query("exportConfig", "config"))

    assert bind(document, "export", {"config": False}).query == {"config": "false"}


@pytest.mark.parametrize("offered", [["exportConfig", "includeConfig"], ["Config", "con_fig"]])
def test_two_places_that_fit_are_named_both(offered: list[str]) -> None:
    complaint = _complaint(_document(EXPORT, _query(*offered)), "export", {"config": False})

    assert f"config: {offered[0]} (query) and {offered[1]} (query) both fit" in complaint


def test_two_options_never_share_a_place() -> None:
    complaint = _complaint(
        _document(EXPORT, _query("all")),
        "export",
        {name: {"in": "query", "name": "all", "value": True} for name in ("config", "drivers")},
    )

    assert "drivers: all (query) already takes config" in complaint


def test_the_complaint_is_complete() -> None:
    document = _document(IMPORT, _query("replaceJobs", "verbose"), {"application/json": _object("mode")})
    document["paths"][IMPORT]["post"]["parameters"].append({"name": "tenant", "in": "query", "required": True})

    complaint = _complaint(document, "import", dict(IMPORT_OPTIONS))

    assert complaint.startswith(f"POST {IMPORT} cannot be filled in")
    for name in ("replaceDataSources", "replacePlugins", "replaceDrivers"):
        assert f"{name}: nothing of that name is offered" in complaint
    assert "replaceJobs:" not in complaint
    assert "file: nothing offered takes a file" in complaint
    assert "tenant (query) is required by the server" in complaint
    assert "Offered: uri (query), replaceJobs (query), verbose (query), tenant (query), mode (json)." in complaint
    assert (
        'import_options of the connection\'s extra, as in {"<option>": {"in": "query", "name": "<name>"}}' in complaint
    )
    assert '{"<option>": null}' in complaint


def test_overrides_place_leave_out_add_and_change() -> None:
    bound = _bind_export(
        _document(EXPORT, _query("config", "jars", "permissions", "exportAsXML"), {"application/json": _object("x")}),
        {"drivers": {"in": "query", "name": "jars"}, "plugins": None, "permissions": True},
        {"exportDependencies": {"in": "json", "name": "deps", "value": "all"}, "exportAsXML": False},
    )

    assert bound.query == {"config": "false", "jars": "true", "permissions": "true", "exportAsXML": "false"}
    assert bound.json == {"deps": "all"}


def test_a_required_parameter_with_a_default_may_stay_away() -> None:
    document = _document(EXPORT, _query("a"))
    document["paths"][EXPORT]["post"]["parameters"].append(
        {"name": "format", "in": "query", "required": True, "schema": {"default": "zip"}}
    )

    assert bind(document, "export", {"a": True}).query == {"a": "true"}


def test_a_later_override_wins_and_keeps_the_value() -> None:
    options = merged({"a": True}, {"a": False}, {"a": {"in": "query", "name": "b"}})

    assert options == {"a": {"in": "query", "name": "b", "value": False}}


@pytest.mark.parametrize(
    ("override", "slot"),
    [
        ({"in": "form", "name": "archive"}, Slot("form", "archive", takes_file=True)),
        ({"in": "body"}, Slot("body", "application/octet-stream", takes_file=True)),
    ],
)
def test_the_files_place_can_be_overridden(override: dict[str, str], slot: Slot) -> None:
    assert _bind_import(_document(IMPORT, _query(*IMPORT_OPTIONS)), {"file": override}).file == slot


@pytest.mark.parametrize("override", [{"in": "header", "name": "x"}, {"name": "x"}, {"in": "query"}])
def test_a_malformed_override_is_explained(override: dict[str, str]) -> None:
    complaint = _complaint(_document(EXPORT), "export", merged({"config": False}, {"config": override}))

    assert 'config: its override must look like {"in": "query", "name": "...", "value": true}' in complaint


def test_among_several_files_the_one_called_file_is_taken() -> None:
    schema = _object(*IMPORT_OPTIONS, properties_file=BINARY, file=BINARY)

    assert _bind_import(_document(IMPORT, content={"multipart/form-data": schema})).file == Slot(
        "form", "file", takes_file=True
    )


def test_several_files_without_a_hint_are_named() -> None:
    schema = _object(*IMPORT_OPTIONS, one=BINARY, two=BINARY)
    document = _document(IMPORT, content={"multipart/form-data": schema})

    assert "file: one (form) and two (form) both take a file" in _complaint(document, "import", dict(IMPORT_OPTIONS))


def test_an_optional_option_is_left_out_when_nothing_takes_it() -> None:
    bound = bind(_document(EXPORT), "export", {"metadataPassword": "x"}, optional={"metadataPassword"})

    assert bound == BoundRequest(EXPORT)


@pytest.mark.parametrize(
    ("names", "override", "what"),
    [
        (["metadataPassword"], {"name": "metadataPassword"}, "its override must look like"),
        (["metadataPassword"], {"in": "header", "name": "p"}, "its override must look like"),
        (["MetadataPassword", "metadata_password"], {}, "both fit"),
    ],
)
def test_a_wrong_place_of_an_optional_option_is_explained(
    names: list[str], override: dict[str, Any], what: str
) -> None:
    options = merged({"metadataPassword": "hush"}, {"metadataPassword": override} if override else {})
    with pytest.raises(OptionsError, match=f"metadataPassword: .*{what}") as caught:
        bind(_document(EXPORT, _query(*names, schema={})), "export", options, optional={"metadataPassword"})
    assert "hush" not in str(caught.value)


def test_an_optional_option_that_does_not_fit_is_explained() -> None:
    document = _document(EXPORT, _query("metadataPassword", schema={"type": "array"}))
    with pytest.raises(OptionsError, match=r"metadataPassword \(query\) takes array"):
        bind(document, "export", {"metadataPassword": "hush"}, optional={"metadataPassword"})


def test_values_are_in_no_complaint() -> None:
    assert "hush" not in _complaint(_document(EXPORT), "export", {"metadataPassword": "hush"})


@pytest.mark.parametrize(
    ("paths", "what"),
    [
        ({}, "describes none"),
        ({"/a/serverMetadata/export": {"post": {}}, "/b/serverMetadata/export": {"post": {}}}, "/a/.* and /b/"),
        ({EXPORT: {"get": {}}}, "describes none"),
    ],
)
def test_the_operation_must_be_there_once(paths: dict[str, Any], what: str) -> None:
    with pytest.raises(OptionsError, match=what):
        bind({"paths": paths}, "export", {})


def test_the_public_operation_goes_before_a_private_one() -> None:
    document = _document(EXPORT)
    document["paths"]["/private/serverMetadata/export"] = {"post": {}}

    assert bind(document, "export", {}).path == EXPORT


def test_a_broken_reference_offers_nothing() -> None:
    document = _document(EXPORT, content={"application/json": {"$ref": "#/components/schemas/Gone"}})

    assert "config: nothing of that name is offered" in _complaint(document, "export", {"config": False})
