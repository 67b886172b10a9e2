"""The OpenAPI document of the public API, in each of the ways export and import may take their options [G]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ApiDocsStyle = Literal[
    "query",
    "json",
    "multipart",
    "multipart_object",
    "json_nested",
    "two_files",
    "one_replace",
    "base64",
    "selection",
    "variants",
    "composed",
]

# The names of the options in the 9.x user interface [S]; their REST names are unpublished.
EXPORT_OPTIONS = (
    "config",
    "drivers",
    "plugins",
    "permissions",
    "exportDependencies",
    "exportWithProperties",
    "exportAsXML",
    "metadataPassword",
)
IMPORT_OPTIONS = ("replaceJobs", "replaceDataSources", "replacePlugins", "replaceDrivers")
TEXT_OPTIONS = ("metadataPassword",)


@dataclass(frozen=True)
class Shape:
    """
    How one operation takes its options, and a file.

    :param place: query parameters, the JSON body, or parts of a multipart body
    :param part: the part that takes all options as JSON, in place of a part for each
    :param names: the dotted path of an option, where it is not its name; ``None``: it is not offered
    :param file: the part that takes the file of an import; ``None``: it is the body
    :param properties_file: the part that takes a file of properties
    :param selection: the property that takes the projects to export; left empty, it means all
    :param base64: the field of a JSON answer that carries the exported file; ``None``: the answer is the file
    :param composed: the options are described by ``oneOf``, ``allOf`` and references
    """

    place: Literal["query", "json", "form"] = "query"
    part: str | None = None
    names: Mapping[str, str | None] = field(default_factory=dict)
    file: str | None = None
    properties_file: str | None = None
    selection: str | None = None
    base64: str | None = None
    composed: bool = False

    def paths(self, options: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return where each offered option is, below the part if there is one."""
        found = {option: self.names.get(option, option) for option in options}
        return {option: tuple(path.split(".")) for option, path in found.items() if path is not None}


_NESTED_EXPORT = {
    "config": "content.config",
    "drivers": "content.drivers",
    "plugins": "content.plugins",
    "permissions": "content.security.permissions",
    "exportDependencies": "content.dependencies",
    "exportWithProperties": "form.withProperties",
    "exportAsXML": "form.asXML",
    "metadataPassword": "form.metadataPassword",
}
_NESTED_IMPORT = {
    "replaceJobs": "replace.jobs",
    "replaceDataSources": "replace.dataSources",
    "replacePlugins": "replace.plugins",
    "replaceDrivers": "replace.drivers",
}
_VARIANTS = {
    "config": "exportConfiguration",
    "drivers": "Drivers",
    "plugins": "include-plugins",
    "permissions": "export_permissions",
    "exportDependencies": "withDependencies",
    "exportWithProperties": "export_with_properties",
    "exportAsXML": "as-xml",
    "replaceJobs": "import_replace_jobs",
    "replaceDataSources": "replace-data-sources",
    "replacePlugins": "ReplacePlugins",
    "replaceDrivers": "importReplaceDrivers",
}
_PARTS = Shape("form", file="file")
_OBJECT = Shape("form", part="options", file="file")

STYLES: Mapping[ApiDocsStyle, tuple[Shape, Shape]] = {
    "query": (Shape(), Shape()),
    "json": (Shape("json"), Shape()),
    "multipart": (Shape("form"), _PARTS),
    "multipart_object": (Shape("form", part="options"), _OBJECT),
    "json_nested": (
        Shape("json", names=_NESTED_EXPORT),
        Shape("form", part="request", names=_NESTED_IMPORT, file="upload"),
    ),
    "two_files": (Shape(), Shape("form", file="metadata", properties_file="properties")),
    "one_replace": (Shape("json"), Shape("form", file="file", names=dict.fromkeys(IMPORT_OPTIONS, "replace"))),
    "base64": (Shape("json", base64="content"), _PARTS),
    "selection": (
        Shape("json", selection="selection", names=dict.fromkeys(("config", "permissions", "exportDependencies"))),
        _OBJECT,
    ),
    "variants": (Shape(names=_VARIANTS), Shape(names=_VARIANTS)),
    "composed": (
        Shape("form", part="request", names=_NESTED_EXPORT, composed=True, base64="file"),
        Shape("form", part="how", names=_NESTED_IMPORT, composed=True, file="first", properties_file="second"),
    ),
}
"""Export and import in each style."""

_BINARY = {"type": "string", "format": "binary"}
_JOB = "/projects/{projectId}/jobs/{jobId}"
_OPERATIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("get", "/me", ()),
    ("get", "/projects", ("name", "expand")),
    ("post", "/projects", ()),
    ("delete", "/projects/{projectId}", ()),
    ("get", "/jobs", ()),
    ("get", "/projects/{projectId}/jobs", ("type",)),
    ("post", "/projects/{projectId}/jobs", ()),
    ("get", _JOB, ()),
    ("put", _JOB, ()),
    ("delete", _JOB, ()),
    ("get", f"{_JOB}/status", ()),
    ("put", f"{_JOB}/status", ()),
    ("put", "/projects/{projectId}/jobs/status", ()),
    ("get", "/jobs/status", ("jobIDs",)),
    ("get", "/projects/jobs/status", ("projectName", "jobName")),
    ("get", f"{_JOB}/reports", ("start", "count")),
    ("post", "/projects/jobs/validateCronExpressions", ()),
    ("get", "/dataSources", ()),
)


def document(base_path: str, style: ApiDocsStyle) -> dict[str, Any]:
    """Return the document served at /v3/api-docs."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, query in _OPERATIONS:
        operation = {"parameters": [_parameter(name) for name in query], "responses": {"default": _json_answer()}}
        paths.setdefault(path, {})[method] = operation
    schemas: dict[str, Any] = {}
    export, import_ = STYLES[style]
    paths["/serverMetadata/export"] = {
        "post": {**_request(export, EXPORT_OPTIONS, "Export", schemas), "responses": {"200": _exported(export)}}
    }
    paths["/serverMetadata/import"] = {
        "post": {**_request(import_, IMPORT_OPTIONS, "Import", schemas), "responses": {"200": _json_answer()}}
    }
    for path, operations in paths.items():
        in_path = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "integer"}}
            for name in ("projectId", "jobId")
            if f"{{{name}}}" in path
        ]
        for operation in operations.values():
            operation["parameters"] = [*in_path, {**_parameter("uri"), "required": True}, *operation["parameters"]]
    return {
        "openapi": "3.0.1",
        "info": {"title": "Denodo Scheduler API", "version": "v1"},
        "servers": [{"url": base_path or "/"}],
        "paths": {f"/public/api{path}": operations for path, operations in paths.items()},
        "components": {"schemas": schemas},
    }


def _request(shape: Shape, options: tuple[str, ...], title: str, schemas: dict[str, Any]) -> dict[str, Any]:
    paths = shape.paths(options)
    operation: dict[str, Any] = {"parameters": []}
    if shape.place == "query":
        names = {path[0]: option for option, path in paths.items()}
        operation["parameters"] = [{**_parameter(option), "name": name} for name, option in names.items()]
        if title == "Export":
            return operation
    if title == "Import" and shape.file is None:
        content = {"application/octet-stream": {"schema": _BINARY}}
    elif shape.place == "json":
        content = {"application/json": {"schema": _options_schema(shape, paths, title, schemas)}}
    else:
        content = {"multipart/form-data": _multipart(shape, paths, title, schemas)}
    return {**operation, "requestBody": {"required": title == "Import", "content": content}}


def _multipart(shape: Shape, paths: dict[str, tuple[str, ...]], title: str, schemas: dict[str, Any]) -> dict[str, Any]:
    files = {shape.file: "The ZIP or XML of an export", shape.properties_file: "Properties of this site, which win"}
    schema = _options_schema(shape, paths, title, schemas)
    properties = schema["properties"] if shape.part is None else {shape.part: schema}
    media_type: dict[str, Any] = {"schema": {"type": "object", "properties": properties}}
    if title == "Import":
        properties |= {name: {**_BINARY, "description": says} for name, says in files.items() if name}
        media_type["schema"]["required"] = [shape.file]
    if shape.part:
        media_type["encoding"] = {shape.part: {"contentType": "application/json"}}
    return media_type


def _options_schema(
    shape: Shape, paths: dict[str, tuple[str, ...]], title: str, schemas: dict[str, Any]
) -> dict[str, Any]:
    """Describe an object that takes the options at ``paths``; the objects in it become schemas of their own."""
    root: dict[str, Any] = {}
    for option, path in paths.items():
        holder = root
        for name in path[:-1]:
            holder = holder.setdefault(name, {})
        holder[path[-1]] = option

    def described(tree: dict[str, Any]) -> dict[str, Any]:
        properties = {}
        for name, below in tree.items():
            if isinstance(below, dict):
                schemas[f"{title}{name.capitalize()}"] = described(below)
                properties[name] = {"$ref": f"#/components/schemas/{title}{name.capitalize()}"}
            else:
                properties[name] = _type(below)
        return {"type": "object", "properties": properties}

    whole = described(root)
    if shape.selection:
        node = {"name": {"type": "string"}, "jobs": {"type": "array", "items": {"type": "string"}}}
        schemas["Node"] = {"type": "object", "properties": node}
        tree = {"projects": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}}}
        whole["properties"][shape.selection] = {"type": "object", "properties": tree}
        whole["required"] = [shape.selection]
    if not shape.composed:
        return whole
    (name, first), *rest = whole["properties"].items()
    schemas[f"{title}First"] = {"type": "object", "properties": {name: first}}
    schemas[f"{title}Preset"] = {"type": "object", "properties": {"preset": {"type": "string"}}, "required": ["preset"]}
    more = {"type": "object", "properties": dict(rest)}
    schemas[f"{title}Whole"] = {"allOf": [{"$ref": f"#/components/schemas/{title}First"}, more]}
    return {"oneOf": [{"$ref": f"#/components/schemas/{title}{each}"} for each in ("Preset", "Whole")]}


def _exported(shape: Shape) -> dict[str, Any]:
    if shape.base64 is None:
        return {"description": "The export file", "content": {"application/zip": {"schema": _BINARY}}}
    schema = {"type": "object", "properties": {shape.base64: {"type": "string", "format": "byte"}}}
    return {"description": "The export file in base64", "content": {"application/json": {"schema": schema}}}


def _type(name: str) -> dict[str, str]:
    return {"type": "boolean" if name in EXPORT_OPTIONS + IMPORT_OPTIONS and name not in TEXT_OPTIONS else "string"}


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": _type(name)}


def _json_answer() -> dict[str, Any]:
    return {"description": "The answer", "content": {"application/json": {"schema": {}}}}
