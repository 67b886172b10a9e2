"""What is not known to be in order on the passive server, each by the name by which a person can accept it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from denodo_ha.durations import age_of
from denodo_ha.preconditions import other
from denodo_ha.record import Doubt, PendingJob, Record

SECRETS = "secrets"
"""The name of the doubt whether all secrets are there."""
_PENDING, _LIMIT = "pending ", "limit "


def open_doubts(record: Record, now: datetime) -> dict[str, str]:
    """Return why the passive server may not be as ready as it looks, by name.

    A warning of an import is its own name. What a person has accepted is left out.
    """
    accepted = {doubt.text for doubt in record.doubts if doubt.accepted_by}
    return {name: why for name, why in _all(record, now) if name not in accepted}


def _all(record: Record, now: datetime) -> Iterator[tuple[str, str]]:
    for doubt in record.doubts:
        yield doubt.text, doubt.text
    for job in record.pending:
        yield pending_name(job), job.why
    if (known := record.capabilities.get(other(record.active))) and known.import_replaces:
        yield f"{_LIMIT}import", "an import deletes the jobs that it does not hold, so each sends the whole archive"
    for kind in known.unfaithful if known else ():
        yield (
            f"{_LIMIT}{kind}",
            "REST loses or refuses something of such jobs, so they have to be imported",
        )
    if record.snapshot and record.snapshot.imported < record.snapshot.taken:
        age = age_of(record.snapshot.imported, now)
        yield SECRETS, f"all of them were last delivered {age} ago, and no server shows the ones that it has"


def pending_name(job: PendingJob) -> str:
    return f"{_PENDING}{job.key}"


def outlasts(doubt: Doubt, everything: bool, pending: Collection[PendingJob]) -> bool:
    """Return whether what the record holds of a doubt is to be kept after an import that did not warn of it.

    :param everything: the import has sent all that holds secrets. :param pending: the jobs that it left out.
    """
    if doubt.accepted_by and doubt.text.startswith(_PENDING):
        return doubt.text in map(pending_name, pending)
    standing = doubt.accepted_by and (doubt.text.startswith(_LIMIT) or doubt.text == SECRETS)
    return bool(standing) or not everything
