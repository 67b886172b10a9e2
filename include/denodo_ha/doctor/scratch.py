"""The scratch projects in which a doctor tries things out: they are known by their names, wherever they turn up."""

from __future__ import annotations

import hashlib
import re

from denodo_ha.jobs import fold

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
