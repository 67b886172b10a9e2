"""Export files on their way between an answer or a request and object storage, never whole in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from uuid import uuid4

from airflow.sdk import ObjectStoragePath
from requests import Response
from requests_toolbelt.multipart.encoder import MultipartEncoder  # type: ignore[import-untyped]

from denodo_scheduler.exceptions import DenodoSchedulerError, UnexpectedAnswerError
from denodo_scheduler.hooks.answers import ExportResult
from denodo_scheduler.hooks.binding import BoundRequest
from denodo_scheduler.hooks.transport import Call

_CHUNK = 256 * 1024
_ZIP = b"PK\x03\x04"


def save(call: Call, response: Response, destination: ObjectStoragePath) -> ExportResult:
    """
    Write the answer of an export to ``destination``, which appears whole or not at all.

    :raises DenodoSchedulerError: the answer is not a zip file, or ends too early; nothing is left behind.
    """
    chunks = response.iter_content(_CHUNK)
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


@contextmanager
def new_file(destination: ObjectStoragePath) -> Iterator[IO[bytes]]:
    """Give a file beside ``destination`` that takes its name at the end; on a local disk only its owner can read it."""
    folder = destination.parent
    partial = folder / f".{destination.name}.{uuid4().hex}.part"
    folder.mkdir(parents=True, exist_ok=True)
    if partial.protocol in {"", "file", "local"}:
        os.close(os.open(partial.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with partial.fs.open(partial.path, "wb") as file:
            yield file
        partial.fs.mv(partial.path, destination.path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


class Upload:
    """A file with a known length, as ``requests`` wants it for a body that it reads piece by piece."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.len = size

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self.len -= len(chunk)
        return chunk


@contextmanager
def upload(source: ObjectStoragePath) -> Iterator[Upload]:
    """Open ``source`` for sending."""
    with source.fs.open(source.path, "rb") as file:
        yield Upload(file, source.fs.size(source.path))


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
