"""Answers that a page which asks every few seconds gets only where something has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response


def as_json(request: Request, data: Mapping[str, Any]) -> Response:
    """Return the data with an ETag of all of it but ``at``, or 304 where the browser has it already."""
    tag = tag_of(encoded({name: value for name, value in data.items() if name != "at"}))
    return unchanged(request, tag) or tagged(encoded(data), tag, "application/json")


def tagged(body: bytes, tag: str, media_type: str) -> Response:
    return Response(body, media_type=media_type, headers={"ETag": tag, "Cache-Control": "private, no-cache"})


def unchanged(request: Request, tag: str) -> Response | None:
    """Return the answer to a browser that names this ETag already.

    A weak one is the same: what compresses an answer on its way makes it weak.
    """
    named = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if tag.removeprefix("W/") not in named:
        return None
    return Response(status_code=304, headers={"ETag": tag, "Cache-Control": "private, no-cache"})


def tag_of(*parts: bytes | str) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else f"{part}\0".encode())
    return f'W/"{found.hexdigest()[:32]}"'


def encoded(data: Any) -> bytes:
    """Return plain JSON. What no browser can read, such as half of a character, is replaced."""
    try:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a number that is none
        text = json.dumps(json.loads(json.dumps(data), parse_constant=str), ensure_ascii=False)
    return text.encode("utf-8", "replace")
