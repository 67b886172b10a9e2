"""What a doctor has left on a server, and what deletes it: the one text of the status, the check and the doctor."""

from __future__ import annotations

from datetime import datetime

from denodo_ha.preconditions import OPERATIONS_DAG
from denodo_ha.reason import Reason
from denodo_ha.record import Phase, Record
from denodo_ha.text import listed

DELETES = "the next sync, or the doctor run again, deletes them"


def must_wait(record: Record, now: datetime, address: str | None = None, *, ours: bool = False) -> str:
    """Return what the scratch projects in the record wait for, and what a person can do; empty: they can be deleted.

    :param address: where the connection of their server leads to; None: not known here.
    :param ours: an earlier try of the same run has made them, which is at work no more.
    """
    scratch = record.scratch
    assert scratch is not None
    if now < scratch.lease_until and not (ours and not scratch.importing):
        return f"a doctor may be at work until {scratch.lease_until:%Y-%m-%d %H:%M:%S} UTC; after that {DELETES}"
    if record.active == scratch.role:
        hand = f"delete them by hand in the web tool of the {scratch.role} and run the doctor again"
        return f"it is the active server now, on which no doctor deletes anything: {hand}, or wait until it is passive"
    if address not in (None, scratch.target):
        how = f"delete them by hand on {scratch.target}, then initialise the pair with {OPERATIONS_DAG}"
        return f"the connection of the {scratch.role} leads elsewhere now: {how}"
    if record.operation:
        return f"a {record.operation.kind} is under way: wait for its end; then {DELETES}"
    if record.phase is Phase.HALTED:
        return f"the pair is halted: release it with {OPERATIONS_DAG}; then {DELETES}"
    return ""


def scratch_left(record: Record, now: datetime, address: str | None = None, *, ours: bool = False) -> Reason:
    """Return what is left, and as the next step what deletes it; see :func:`must_wait`."""
    assert record.scratch is not None
    what = f"scratch projects of a doctor are on the {record.scratch.role}: {listed(record.scratch.projects)}"
    return Reason("scratch_left", what, must_wait(record, now, address, ours=ours) or DELETES)
