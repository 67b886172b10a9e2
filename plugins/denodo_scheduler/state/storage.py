"""Object storage and local disks: one way to their files, and errors that a person understands."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from airflow.sdk import BaseHook, ObjectStoragePath

from denodo_ha.reason import Explained, Reason

log = logging.getLogger(__name__)

_LOCAL = ("", "file", "local")
_OPTION = "'snapshots' of the pair"
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|(bucket|container) does not exist", re.IGNORECASE)

_REASONS = (
    (
        r"AirflowNotFoundException",
        "the connection does not exist, or this worker may not read it",
        f"create it, or correct the name before the @ in {_OPTION}",
    ),
    (
        r"No filesystem registered|Unsupported filesystem|ImportError|ModuleNotFoundError",
        "the provider package for this kind of storage is not installed here",
        "install it in every Airflow component (docs/storage.md), such as apache-airflow-providers-amazon[s3fs] for s3",
    ),
    (_NO_BUCKET.pattern, "the bucket does not exist", f"create it, or correct {_OPTION}"),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|NoCredentials|PartialCredentials|"
        r"AuthenticationFailed|RefreshError|DefaultCredentialsError|InvalidClientTokenId",
        "the credentials are missing or refused",
        "correct login and password of the storage's connection",
    ),
    (
        r"PermissionError|AccessDenied|Access Denied|Forbidden|AuthorizationFailure|AuthorizationPermissionMismatch",
        "access is denied",
        "check the login of its connection, and that it may list, read, write and delete there",
    ),
    (r"NotADirectoryError|FileExistsError", "a file is where a folder should be", f"correct {_OPTION}"),
    (r"\[Errno 28\]|No space left|QuotaExceeded", "it is full", "make room, or lower snapshots.keep"),
    (
        r"EndpointConnectionError|ConnectTimeout|ReadTimeout|ClientConnect|ServerDisconnected|TimeoutError|"
        r"ConnectionError|ConnectionRefused|ConnectionClosed|SlowDown|ServiceUnavailable",
        "it does not answer",
        "check the network and the endpoint of its connection; then clear the task",
    ),
)
"""What the errors of the storages' clients say by themselves or by their causes, in the order of being asked."""


class StorageError(Explained, OSError):
    """Storage that cannot be used. The reason holds no credentials."""

    def __init__(self, what: str, next_step: str) -> None:
        self.reason = Reason("storage", what, next_step)
        super().__init__(str(self.reason))


def is_local(path: ObjectStoragePath) -> bool:
    return path.protocol in _LOCAL


def filesystem(path: ObjectStoragePath) -> Any:
    """The file system of ``path``, which forgets its listings: another worker may have written since.

    Only its own methods are sure to use the path's connection. Those of ``path`` go on without it when it cannot be
    read, and take storage that does not answer for a file that does not exist.

    :raises StorageError: there is no such connection or provider package.
    """
    with explained(path):
        if path.conn_id:
            _ensure_connection(path.conn_id)
        found = path.fs
        found.invalidate_cache()
    return found


@cache
def _ensure_connection(conn_id: str) -> None:
    """Without it the AWS hook would go on with whatever credentials the machine has."""
    BaseHook.get_connection(conn_id)


@contextmanager
def explained(path: ObjectStoragePath) -> Iterator[None]:
    """Turn what a storage's client raises into StorageError. A missing file stays FileNotFoundError.

    A missing bucket is none: an answer that is merely empty would say that there never was a snapshot.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        said = _said(error)
        if isinstance(error, FileNotFoundError) and not _NO_BUCKET.search(said):
            raise
        log.warning("%s: %s: %s", path, type(error).__name__, error)
        raise _error(path, error, said) from None


def _said(error: BaseException | None) -> str:
    texts = []
    while error is not None:
        texts.append(f"{type(error).__name__} {error}")
        error = error.__cause__ or error.__context__
    return " ".join(texts)


def _error(path: ObjectStoragePath, error: Exception, said: str) -> StorageError:
    known = ((what, next_step) for pattern, what, next_step in _REASONS if re.search(pattern, said, re.IGNORECASE))
    what, next_step = next(known, (f"it failed ({type(error).__name__})", "see the log of this task"))
    return StorageError(f"the storage {path} cannot be used: {what}", next_step)
