"""What a request for an export or import asks for, read in the shape that the web tool describes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from denodo_standin.openapi import TEXT_OPTIONS, Shape

JSON_TYPE = "application/json"
_FILE_TYPES = ("application/octet-stream", "application/zip", "application/x-zip-compressed")


class Refused(Exception):
    """The web tool itself answers with an error, without asking a server."""

    def __init__(self, status: int, message: str = "Illegal argument") -> None:
        super().__init__(message)
        self.status = status


async def asked(
    request: Request, shape: Shape, names: tuple[str, ...]
) -> tuple[dict[str, bool | str], AsyncIterator[bytes], list[str]]:
    """
    Return the options of a request, the file with it, and the projects that it selects.

    :param names: the options of the operation; unknown keys are ignored, as in Spring
    :raises Refused: 400 or 415, something is in the wrong shape
    """
    form = await _form(request, shape.part) if shape.place == "form" else FormData()
    if shape.place == "query":
        return _options(request.query_params, shape, names), request.stream(), []
    if shape.part is None and shape.place == "form":
        return _options(form, shape, names), await _file(form, shape), []
    text = form.get(shape.part) if shape.part else await request.body()
    if text and shape.part is None:
        ensure_type(request, JSON_TYPE)
    body = _object(text or "{}")
    return _options(body, shape, names), await _file(form, shape), _selected(body, shape)


def ensure_type(request: Request, media_type: str) -> None:
    """Refuse a body of another media type."""
    if not request.headers.get("content-type", "").startswith(media_type):
        raise Refused(400)


def _ensure_part_type(given: str, *media_types: str) -> None:
    if given.partition(";")[0].strip().lower() not in media_types:
        raise Refused(415, f"Content-Type '{given}' is not supported")


def _options(given: Mapping[str, Any], shape: Shape, names: tuple[str, ...]) -> dict[str, bool | str]:
    """Read flags and texts: in JSON a flag is true or false, elsewhere a text."""
    options: dict[str, bool | str] = {}
    in_json = shape.place == "json" or shape.part is not None
    for option, path in shape.paths(names).items():
        value: Any = given
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is None or isinstance(value, UploadFile):
            continue
        if option in TEXT_OPTIONS:
            options[option] = str(value)
        elif in_json and not isinstance(value, bool):
            raise Refused(400)
        else:
            options[option] = str(value).lower() == "true"
    return options


def _selected(body: dict[str, Any], shape: Shape) -> list[str]:
    if shape.selection is None:
        return []
    tree = body.get(shape.selection)
    if not isinstance(tree, dict):
        raise Refused(400)
    nodes = tree.get("projects") or []
    return [str(node["name"]) for node in nodes if isinstance(node, dict) and "name" in node]


def _object(text: Any) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (TypeError, ValueError):
        body = None
    if not isinstance(body, dict):
        raise Refused(400)
    return body


class _Parser(MultiPartParser):
    """Remembers the media types of the parts that are no files."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.headers, request.stream())
        self.types: dict[str, str] = {}

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        self.types[part.field_name] = dict(part.item_headers).get(b"content-type", b"").decode("latin-1")


async def _form(request: Request, json_part: str | None) -> FormData:
    """Read the parts of a multipart body, or of none; a file part is kept on disk, not in memory."""
    if "content-type" not in request.headers:
        return FormData()
    ensure_type(request, "multipart/form-data")
    parser = _Parser(request)
    try:
        form = await parser.parse()
    except MultiPartException:
        raise Refused(400) from None
    if json_part is not None and json_part in form:
        _ensure_part_type(parser.types[json_part], JSON_TYPE)
    return form


async def _file(form: FormData, shape: Shape) -> AsyncIterator[bytes]:
    """Return the file of an import. A ZIP is no file of properties."""
    if shape.file is None:
        return _chunks(None)
    file = form.get(shape.file)
    properties = form.get(shape.properties_file or "")
    if not isinstance(file, UploadFile) or (isinstance(properties, UploadFile) and await properties.read(2) == b"PK"):
        raise Refused(400)
    _ensure_part_type(file.content_type or _FILE_TYPES[0], *_FILE_TYPES)
    return _chunks(file)


async def _chunks(file: UploadFile | None) -> AsyncIterator[bytes]:
    while file and (chunk := await file.read(65536)):
        yield chunk
