"""Export files on their way between an answer or a request and object storage, never whole in memory."""

from __future__ import annotations

import hashlib
from typing import Any

from airflow.sdk import ObjectStoragePath
from requests import Response
from requests_toolbelt.multipart.encoder import MultipartEncoder  # type: ignore[import-untyped]

from denodo_scheduler.client.answers import ExportResult
from denodo_scheduler.client.binding import BoundRequest
from denodo_scheduler.client.transport import Call
from denodo_scheduler.exceptions import DenodoSchedulerError, UnexpectedAnswerError
from denodo_scheduler.state.files import CHUNK, Upload, new_file

_ZIP = b"PK\x03\x04"


def save(call: Call, response: Response, destination: ObjectStoragePath) -> ExportResult:
    """
    Write the answer of an export to ``destination``, which appears whole or not at all.

    :raises DenodoSchedulerError: the answer is not a zip file, or ends too early; nothing is left behind.
    """
    chunks = response.iter_content(CHUNK)
    head = b""
    while len(head) < len(_ZIP) and (chunk := next(chunks, b"")):
        head += chunk
    if not head.startswith(_ZIP):
        raise _not_an_export(call, response, head)
    digest = hashlib.sha256(head)
    size = len(head)
    with new_file(destination) as file:
        file.write(head)
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return ExportResult(size=size, sha256=digest.hexdigest())


def _not_an_export(call: Call, response: Response, head: bytes) -> DenodoSchedulerError:
    call.refuse_html(response, head)
    if not head:
        what = "is empty"
    elif head.lstrip()[:1] in {b"{", b"["}:
        what = f"is not an export file but JSON: {head[:200].decode(errors='replace')}"
    else:
        what = "is not a zip file"
    return call.error(
        UnexpectedAnswerError, f"the exported content {what}. Nothing was written; look into the server's log"
    )


def body(bound: BoundRequest, file: Upload | None = None) -> dict[str, Any]:
    """Return the arguments of a ``requests`` call that carry the body of ``bound``."""
    if file is not None and bound.file is not None and bound.file.place == "body":
        return {"data": file, "headers": {"Content-Type": bound.file.name}}
    parts: dict[str, Any] = dict(bound.form)
    if file is not None and bound.file is not None:
        parts[bound.file.name] = ("metadata.zip", file, "application/zip")
    if parts:
        encoder = MultipartEncoder(parts)
        # Without a file the body is small, and as bytes it can be sent again when the request is retried.
        return {"data": encoder if file else encoder.to_string(), "headers": {"Content-Type": encoder.content_type}}
    return {"json": bound.json}
