"""Files of object storage and local disks: written whole or not at all, read from this machine's disk."""

from __future__ import annotations

import errno
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


class SharedWriteError(OSError):
    """The storage cannot create a file for exactly one of several writers."""


_CREATES_ONCE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "azure", "adl"}
"""Object storages whose file systems pass "only if it does not exist" on to the storage itself. Those of others look
first and write then, which has two winners now and then."""
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def create_file(path: ObjectStoragePath, content: bytes) -> None:
    """Create a file that does not exist yet: whole, and for exactly one of all who try.

    :raises FileExistsError: there is such a file. :raises SharedWriteError: the storage cannot do that; nothing was
        written. :raises StorageError: the storage cannot be used; whether the file is there now is not known.
    """
    if is_local(path):
        _link(Path(path.path), content, path)
    elif path.protocol not in _CREATES_ONCE:
        raise SharedWriteError(path.protocol)
    else:
        storage = filesystem(path)
        try:
            storage.pipe_file(path.path, content, mode="create")
        except FileExistsError:
            raise
        except Exception as error:
            if "precondition" in str(error).casefold():  # what s3fs makes of S3-compatible storages' answers
                raise FileExistsError(path.path) from None
            with explained(path):
                raise


def _link(target: Path, content: bytes, path: ObjectStoragePath) -> None:
    partial = target.with_name(f".{target.name}.{uuid4().hex}.part")
    with explained(path):
        _make_private(target.parent)
        try:
            with open(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            failure = _linked(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    if failure:
        raise failure


def _linked(partial: Path, target: Path) -> OSError | None:
    try:
        os.link(partial, target)
    except FileExistsError as error:
        # Over a network the answer to a link that was made may be lost, and the request sent again.
        return None if os.stat(partial).st_nlink > 1 else error
    except OSError as error:
        if error.errno in _NO_LINKS:
            return SharedWriteError(error.errno, error.strerror)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return None


def creates_once(path: ObjectStoragePath, content: bytes) -> bool:
    """Whether the storage creates files exclusively, found out with ``path``, which exists and has that content."""
    probe = path
    if is_local(path):
        probe = path.parent / f".trial-{uuid4().hex}"
    try:
        create_file(probe, content)
    except FileExistsError:
        return True
    except SharedWriteError:
        return False
    if not is_local(path):
        return False  # it has overwritten the file, with the same content
    Path(probe.path).unlink()
    return True


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
