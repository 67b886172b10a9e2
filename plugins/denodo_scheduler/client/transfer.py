"""Export files on their way between a server and object storage, never whole in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

from airflow.sdk import ObjectStoragePath
from requests import Response
from requests_toolbelt.multipart.encoder import MultipartEncoder  # type: ignore[import-untyped]

from denodo_ha.server.exported import ZIP, unwrapped
from denodo_ha.server.options import BoundRequest, Part
from denodo_scheduler.client.transport import Call
from denodo_scheduler.exceptions import DenodoSchedulerError, UnexpectedAnswerError
from denodo_scheduler.state.files import new_file

_MOST_WARNINGS = 1000
_AROUND = 1024**2
"""Bytes that JSON around an export may have."""


@dataclass(frozen=True)
class ExportResult:
    """An export file that was written whole: its size in bytes and the SHA-256 of its content in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class ImportResult:
    """The end of an import. An import may succeed with ``warnings`` [S]: read the target back.

    :param unlisted: how many more the server has told than are kept.
    """

    warnings: tuple[str, ...] = ()
    unlisted: int = 0

    @classmethod
    def that_warned(cls, told: Sequence[str]) -> ImportResult:
        """Keep the first of the warnings, and the number of the others."""
        return cls(tuple(told[:_MOST_WARNINGS]), max(0, len(told) - _MOST_WARNINGS))


def save_zip(
    chunks: Iterator[bytes], destination: ObjectStoragePath, refusal: Callable[[bytes], DenodoSchedulerError]
) -> ExportResult:
    """
    Write ``chunks`` to ``destination``, which appears whole or not at all.

    :param refusal: makes the error for a content that is no zip file, of how that begins.
    """
    head = b""
    while len(head) < len(ZIP) and (chunk := next(chunks, b"")):
        head += chunk
    if not head.startswith(ZIP):
        raise refusal(head)
    digest, size = hashlib.sha256(), 0
    with new_file(destination) as file:
        for chunk in chain([head], chunks):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return ExportResult(size=size, sha256=digest.hexdigest())


def save(call: Call, response: Response, destination: ObjectStoragePath, limit: int) -> ExportResult:
    """
    Write the file in the answer of an export to ``destination``, which appears whole or not at all.

    :param limit: bytes that the file may have; an answer that carries it in base64 may have twice as many.
    :raises DenodoSchedulerError: the answer carries no zip file, or ends too early; nothing is left behind.
    """

    def refusal(head: bytes) -> DenodoSchedulerError:
        call.refuse_html(response, head)
        what = "is not a zip file" if head else "is empty"
        if head.lstrip()[:1] in {b"{", b"["}:
            what = f"is not an export file but JSON: {head[:200].decode(errors='replace')}"
        return call.error(
            UnexpectedAnswerError, f"the exported content {what}. Nothing was written; look into the server's log"
        )

    return save_zip(unwrapped(call.chunks(response, 2 * limit + _AROUND), limit), destination, refusal)


def body(bound: BoundRequest, file: IO[bytes] | None = None) -> dict[str, Any]:
    """Return the arguments of a ``requests`` call that carry the body of ``bound``."""
    if file is not None and bound.file is not None and bound.file.place == "body":
        return {"data": file, "headers": {"Content-Type": bound.file.name}}
    parts: list[tuple[str, Any]] = [
        (name, (None, each.text, each.media_type) if isinstance(each, Part) else each)
        for name, part in bound.form.items()
        for each in (part if isinstance(part, list) else [part])
    ]
    if file is not None and bound.file is not None:
        parts.append((bound.file.name, ("metadata.zip", file, bound.file.media_type or "application/zip")))
    if parts:
        encoder = MultipartEncoder(parts)
        # Without a file the body is small, and as bytes it can be sent again when the request is retried.
        return {"data": encoder if file else encoder.to_string(), "headers": {"Content-Type": encoder.content_type}}
    return {"json": bound.json}
