"""Ids and retention of snapshots; a snapshot is an export file and its manifest."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{6}")


def new_id(now: datetime) -> str:
    """Make the id of a snapshot taken ``now`` (aware): UTC in milliseconds, so that ids sort by age, and a suffix."""
    utc = now.astimezone(UTC)
    return f"{utc:%Y%m%dT%H%M%S}{utc.microsecond // 1000:03d}Z-{secrets.token_hex(3)}"


def taken_at(snapshot_id: str) -> datetime:
    """Return when the snapshot of that id was taken."""
    return datetime.strptime(snapshot_id[:18] + "+0000", "%Y%m%dT%H%M%S%f%z")


def expired(ids: Iterable[str], keep: int, protected: Collection[str]) -> list[str]:
    """Return the ids to delete, oldest first: all but the newest ``keep`` and the ``protected`` ones.

    Names that are not ids of snapshots belong to other files and are never returned.
    """
    if keep < 1:
        raise ValueError(f"At least one snapshot must be kept, not {keep}.")
    ours = sorted({name for name in ids if _ID.fullmatch(name)})
    return [name for name in ours[:-keep] if name not in protected]
