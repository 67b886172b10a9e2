"""The OpenAPI document of the public API, in each of the ways export and import may name their options [G]."""

from __future__ import annotations

from typing import Any, Literal

ApiDocsStyle = Literal["query", "json", "multipart"]

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
    paths["/serverMetadata/export"] = {"post": _export(style)}
    paths["/serverMetadata/import"] = {"post": _import(style)}
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
        "components": {"schemas": {"ExportOptions": _properties(EXPORT_OPTIONS)}},
    }


def _export(style: ApiDocsStyle) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "parameters": [],
        "responses": {"200": {"description": "The export file", "content": {"application/octet-stream": _binary()}}},
    }
    if style == "query":
        operation["parameters"] = [_parameter(name) for name in EXPORT_OPTIONS]
    else:
        media_type = "application/json" if style == "json" else "multipart/form-data"
        reference = {"schema": {"$ref": "#/components/schemas/ExportOptions"}}
        operation["requestBody"] = {"content": {media_type: reference}}
    return operation


def _import(style: ApiDocsStyle) -> dict[str, Any]:
    operation: dict[str, Any] = {"parameters": [], "responses": {"200": _json_answer()}}
    if style == "multipart":
        schema = _properties(IMPORT_OPTIONS)
        schema["properties"]["file"] = _binary()["schema"]
        schema["required"] = ["file"]
        content: dict[str, Any] = {"multipart/form-data": {"schema": schema}}
    else:
        operation["parameters"] = [_parameter(name) for name in IMPORT_OPTIONS]
        content = {"application/octet-stream": _binary()}
    operation["requestBody"] = {"required": True, "content": content}
    return operation


def _type(name: str) -> dict[str, str]:
    return {"type": "boolean" if name in EXPORT_OPTIONS + IMPORT_OPTIONS and name not in TEXT_OPTIONS else "string"}


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": _type(name)}


def _properties(names: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: _type(name) for name in names}}


def _binary() -> dict[str, Any]:
    return {"schema": {"type": "string", "format": "binary"}}


def _json_answer() -> dict[str, Any]:
    return {"description": "The answer", "content": {"application/json": {"schema": {}}}}
