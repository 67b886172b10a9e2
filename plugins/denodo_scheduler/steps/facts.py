"""Facts of a check or a doctor: what was read, or why it could not be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from airflow.sdk import ObjectStoragePath
from airflow.sdk.log import redact  # type: ignore[attr-defined]

from denodo_ha.readiness.facts import NotReadError, Unread
from denodo_ha.reason import Reason
from denodo_ha.snapshot.archive import ArchiveContents, inspect
from denodo_ha.text import one_line
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

log = logging.getLogger(__name__)

T = TypeVar("T")


def read_fact(read: Callable[[], T]) -> T | Unread:
    """Read one fact; whatever goes wrong is why it is not known, and keeps no other fact from being read."""
    try:
        return read()
    except Exception as error:
        log.info("A fact could not be read: %s: %s", type(error).__name__, error)
        return unread(error)


def unread(error: Exception) -> Unread:
    """Why something could not be read or tried, in one line, without the secrets that Airflow knows.

    Facts are stored, and shown, where Airflow masks none.
    """
    if isinstance(error, NotReadError):
        return error.fact
    reason = getattr(error, "reason", None)
    what, how = (reason.what, reason.next_step) if isinstance(reason, Reason) else (str(error), "")
    text = str(redact(one_line(what)))[:500]
    return Unread(text or type(error).__name__, how or "do what it says, then try again")


@contextmanager
def exported(hook: DenodoSchedulerHook) -> Iterator[tuple[ObjectStoragePath, ArchiveContents]]:
    """Export a server to a file of this machine, which is deleted afterwards."""
    with TemporaryDirectory() as folder:
        file = ObjectStoragePath(f"file://{Path(folder) / 'export.zip'}")
        result = hook.export_metadata(file)
        yield file, inspect(file, expected_size=result.size)
