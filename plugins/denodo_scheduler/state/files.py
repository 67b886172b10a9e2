"""Files of object storage and local disks: written whole or not at all, read from this machine's disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from uuid import uuid4

from airflow.sdk import ObjectStoragePath

from denodo_scheduler.state.storage import explained, filesystem, is_local

CHUNK = 256 * 1024
_PART = 8 * 1024 * 1024
"""How much of a large file is sent to object storage, or fetched from it, at once."""


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
                shutil.copyfileobj(file, target, CHUNK)
                target.close()
            except BaseException:
                target.discard()
                target.closed = True  # else its destructor might complete the upload
                raise


@contextmanager
def on_disk(source: ObjectStoragePath) -> Iterator[IO[bytes]]:
    """Open ``source`` on this machine's disk: storage that is slow or fails must not cut a request that sends it.

    :raises FileNotFoundError: there is no such file. :raises StorageError: the storage cannot be used.
    """
    with ExitStack() as stack:
        if is_local(source):
            with explained(source):
                file: IO[bytes] = stack.enter_context(open(source.path, "rb"))
        else:
            file = stack.enter_context(TemporaryFile())
            storage = filesystem(source)
            with explained(source), storage.open(source.path, "rb", block_size=_PART) as remote:
                shutil.copyfileobj(remote, file, CHUNK)
            file.seek(0)
        yield file
