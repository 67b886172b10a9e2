"""Object storage and local disks: one way to their files, and errors that a person understands."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from airflow.sdk import BaseHook, ObjectStoragePath

from denodo_ha.reason import Explained, Reason
from denodo_ha.snapshot.trouble import is_configuration, storage_trouble

log = logging.getLogger(__name__)


class StorageError(Explained, OSError):
    """Storage that cannot be used. The reason holds no credentials."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(str(reason))


class WrongStorageError(StorageError):
    """Storage that cannot be used until a person corrects something in Airflow."""


def is_local(path: ObjectStoragePath) -> bool:
    return path.protocol in ("", "file", "local")


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
    """Turn what a storage's client raises into StorageError. A missing file stays FileNotFoundError."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        if (reason := storage_trouble(str(path), error)) is None:
            raise
        log.warning("%s: %s: %s", path, type(error).__name__, error)
        raise (WrongStorageError if is_configuration(error) else StorageError)(reason) from None
