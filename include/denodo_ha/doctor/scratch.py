"""The scratch projects in which a doctor tries things out: they are known by their names, wherever they turn up."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Literal

from denodo_ha.jobs import fold
from denodo_ha.values import Time, Value

_NAME = re.compile(r"denodo_ha_doctor_[0-9a-f]{6}_[0-9a-f]{8}_[ab]")


def is_scratch(project: str) -> bool:
    """Return whether a doctor has made the project. No sync copies it, and no pair has its jobs."""
    return _NAME.fullmatch(fold(project)) is not None


def of_pair(pair: str) -> str:
    """Return what the names of all scratch projects of a pair begin with."""
    return f"denodo_ha_doctor_{hashlib.sha256(pair.encode()).hexdigest()[:6]}_"


def scratch_names(pair: str, token: str) -> tuple[str, str]:
    """Return the names of the two projects of one try.

    :param token: eight hexadecimal digits that no other try has.
    """
    one, other = (f"{of_pair(pair)}{token}_{letter}" for letter in "ab")
    assert is_scratch(one), f"{token!r} is no token"
    return one, other


class Scratch(Value):
    """The projects in which a doctor tries things out, from before the first is made until all are deleted.

    :param id: the try of the task, which begins with the id of its run.
    :param role: the server that is tried, the passive one, and ``target`` its address.
    :param lease_until: until then no other run takes them for left behind.
    :param importing: an import was sent and its answer not seen, so that until then the server may still execute it.
    """

    id: str
    role: Literal["master", "slave"]
    target: str
    projects: tuple[str, ...]
    since: Time
    lease_until: Time
    importing: bool = False

    def open(self, now: datetime) -> bool:
        """Return whether the task that made them may still be at work."""
        return now < self.lease_until

    def in_flight(self, now: datetime) -> bool:
        """Return whether the server may still be executing an import of the doctor."""
        return self.importing and self.open(now)
