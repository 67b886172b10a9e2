"""What is not known to be in order on a server, each by the name by which a person can accept it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.durations import age_of
from denodo_ha.preconditions import other
from denodo_ha.record import LEFT_BEHIND, Doubt, PendingJob, Record, Role

SECRETS = "secrets"
"""The name of the doubt whether all secrets are there."""


@dataclass(frozen=True)
class OpenDoubt:
    """:param role: the server that it is about. :param why: the name again where that says it all."""

    role: Role
    name: str
    why: str


def open_doubts(record: Record, now: datetime) -> tuple[OpenDoubt, ...]:
    """Return why a server may lack something although it looks in order; what a person has accepted is left out.

    A warning of an import is its own name.
    """
    accepted = {(doubt.role, doubt.text) for doubt in record.doubts if doubt.accepted_by}
    return tuple(each for each in _all(record, now) if (each.role, each.name) not in accepted)


def _all(record: Record, now: datetime) -> Iterator[OpenDoubt]:
    for doubt in record.doubts:
        yield OpenDoubt(doubt.role, doubt.text, doubt.text)
    for job in record.pending:
        yield OpenDoubt(*_of_job(job, record.active), job.why)
    passive = other(record.active)
    for name, why in _limits(record, passive).items():
        yield OpenDoubt(passive, name, why)
    if (snapshot := record.snapshot) and snapshot.imported < snapshot.taken:
        age = age_of(snapshot.imported, now)
        why = f"all of them were last delivered {age} ago, and no server shows the ones that it has"
        yield OpenDoubt(other(snapshot.source), SECRETS, why)


def _limits(record: Record, role: Role) -> dict[str, str]:
    """What a server was seen not to do as the target of a sync, by name."""
    known = record.capabilities.get(role, Capabilities())
    whole = {"limit import": "an import deletes the jobs that it does not hold, so each sends the whole archive"}
    lost = "REST loses or refuses something of such jobs, so they have to be imported"
    return (whole if known.import_replaces else {}) | {f"limit {kind}": lost for kind in known.unfaithful}


def job_doubt(job: PendingJob) -> str:
    """The name of the doubt about a job that a server does not have as the committed snapshot lists it."""
    return f"{'left behind' if job.code == LEFT_BEHIND else 'pending'} {job.key}"


def _of_job(job: PendingJob, active: Role) -> tuple[Role, str]:
    """The server that lacks the job, and the name of the doubt."""
    return active if job.code == LEFT_BEHIND else other(active), job_doubt(job)


def still_meant(record: Record, pending: Collection[PendingJob], active: Role) -> tuple[Doubt, ...]:
    """Return the doubts of the record without what was accepted of jobs that are not pending in this way any more.

    :param pending: the jobs that are pending from now on. :param active: the active server from now on.
    """
    gone = {_of_job(job, record.active) for job in record.pending} - {_of_job(job, active) for job in pending}
    return tuple(doubt for doubt in record.doubts if not doubt.accepted_by or (doubt.role, doubt.text) not in gone)


def doubts_after(
    record: Record,
    warnings: Collection[str],
    *,
    everything: bool,
    now: datetime,
    pending: Collection[PendingJob] = (),
) -> tuple[Doubt, ...]:
    """What is to be doubted after an import to the passive server, and what of the rest a person has accepted.

    :param warnings: of the import. An import to one server says nothing of the other.
    :param everything: it has sent all that holds secrets, so what it did not warn of again is in order.
    :param pending: the jobs that it left out.
    """
    target = other(record.active)
    standing = {SECRETS, *_limits(record, target), *map(job_doubt, pending)}

    def is_kept(doubt: Doubt) -> bool:
        stands = not everything or (doubt.accepted_by and doubt.text in standing)
        return doubt.role is not target or doubt.text in warnings or bool(stands)

    kept = tuple(filter(is_kept, still_meant(record, pending, record.active)))
    known = {doubt.text for doubt in kept if doubt.role is target}
    new = (text for text in dict.fromkeys(warnings) if text not in known)
    return (*kept, *(Doubt(since=now, role=target, text=text) for text in new))


def accepted(record: Record, names: Collection[str], *, by: str, now: datetime) -> Record:
    """Note that a person accepts the open doubts of these names, those about either server."""
    known = {(doubt.role, doubt.text): doubt for doubt in record.doubts}
    for each in open_doubts(record, now):
        if each.name in names:
            doubt = known.get((each.role, each.name)) or Doubt(since=now, role=each.role, text=each.name)
            known[each.role, each.name] = doubt.model_copy(update={"accepted_by": by})
    return record.model_copy(update={"doubts": tuple(known.values())})
