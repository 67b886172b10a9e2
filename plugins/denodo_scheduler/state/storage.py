"""Object storage and local disks: one way to their files, and errors that a person understands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import cache
from threading import Thread
from typing import Any, TypeVar

from airflow.sdk import BaseHook, ObjectStoragePath

from denodo_ha.reason import Explained, Reason
from denodo_ha.snapshot.trouble import is_configuration, storage_trouble

log = logging.getLogger(__name__)

T = TypeVar("T")


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


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, or raise what it raises, but wait for it no longer than ``seconds``.

    Storage may never answer; then its thread stays, and ends with the process at the latest.

    :raises TimeoutError: it is not at its end by then.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="denodo-ha-storage", daemon=True).start()
    if not wait([done], seconds).done:
        raise TimeoutError(f"the storage has not answered within {seconds:g} s")
    return done.result()


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
