"""Export files on their way between an answer or a request and object storage, never whole in memory."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import uuid4

from airflow.sdk import ObjectStoragePath
from requests import Response
from requests_toolbelt.multipart.encoder import MultipartEncoder  # type: ignore[import-untyped]

from denodo_scheduler.exceptions import DenodoSchedulerError, UnexpectedAnswerError
from denodo_scheduler.hooks.answers import ExportResult
from denodo_scheduler.hooks.binding import BoundRequest
from denodo_scheduler.hooks.storage import explained, filesystem, is_local
from denodo_scheduler.hooks.transport import Call

_CHUNK = 256 * 1024
_PART = 8 * 1024 * 1024
"""How much of a large file is sent to object storage, or fetched from it, at once."""
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


def new_file(destination: ObjectStoragePath) -> AbstractContextManager[IO[bytes]]:
    """Give a file that becomes ``destination`` at the end of the block: whole or not at all, whatever ends the process.

    Until then it is on this machine's disk, where only its owner can read it: beside a local ``destination``, which
    stays private, else without a name.

    :raises StorageError: the storage cannot be used.
    """
    return _beside(destination) if is_local(destination) else _uploaded(destination)


@contextmanager
def _beside(destination: ObjectStoragePath) -> Iterator[IO[bytes]]:
    target = Path(destination.path)
    partial = target.with_name(f".{target.name}.{uuid4().hex}.part")
    with explained(destination):
        _make_private(target.parent)
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _make_private(folder: Path) -> None:
    """Make a folder, and those above it that do not exist, for their owner only."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _uploaded(destination: ObjectStoragePath) -> Iterator[IO[bytes]]:
    with TemporaryFile() as file:
        yield file
        file.seek(0)
        storage = filesystem(destination)
        with explained(destination):
            target = storage.open(destination.path, "wb", block_size=_PART)
            try:
                shutil.copyfileobj(file, target, _CHUNK)
                target.close()
            except BaseException:
                target.discard()
                target.closed = True  # else its destructor might complete the upload
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
    """Open ``source`` for sending, from this machine's disk: storage that is slow or fails must not cut a request.

    :raises FileNotFoundError: there is no such file. :raises StorageError: the storage cannot be used.
    """
    with _fetched(source) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        yield Upload(file, size)


@contextmanager
def _fetched(source: ObjectStoragePath) -> Iterator[IO[bytes]]:
    storage = filesystem(source)
    with ExitStack() as stack:
        with explained(source):
            file = stack.enter_context(storage.open(source.path, "rb", block_size=_PART))
            if not is_local(source):
                file = _copied(file, stack.enter_context(TemporaryFile()))
        yield file


def _copied(source: IO[bytes], target: IO[bytes]) -> IO[bytes]:
    shutil.copyfileobj(source, target, _CHUNK)
    return target


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
