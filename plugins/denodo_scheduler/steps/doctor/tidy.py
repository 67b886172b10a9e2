"""The scratch projects of a doctor: noted in the record before the first is made, and deleted whatever happens."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any
from uuid import uuid4

from denodo_ha.doctor.left import must_wait, scratch_left
from denodo_ha.doctor.scratch import Scratch, is_scratch, of_pair, scratch_names
from denodo_ha.jobs import Project, fold
from denodo_ha.preconditions import may_try, no_doctor
from denodo_ha.record import Record, Role
from denodo_ha.text import listed
from denodo_ha.transitions import tidied, trying
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.claim import LEASE, DoctorClaim
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NotYet, require
from denodo_scheduler.steps.passive import hold, rest_passive

log = logging.getLogger(__name__)


def begin(context: PairContext, role: Role) -> DoctorClaim:
    """Note the names of the scratch projects that are going to be made on the passive server, which is ``role``.

    :raises Blocked: an operation is under way, or the pair is halted.
    :raises NotYet: those of another doctor are still there.
    """
    now, target = context.now(), context.servers.hook(role).address
    names = scratch_names(context.pair.name, uuid4().hex[:8])
    scratch = Scratch(
        id=context.new_operation(), role=role.value, target=target, projects=names, since=now, lease_until=now + LEASE
    )

    def begun(record: Record) -> tuple[Record, None]:
        require(may_try(record, context.servers.addresses))
        if record.scratch:
            raise still_left(context, record)
        if record.active is role:
            raise NotYet("superseded", f"the {role} has become the active server", "run the doctor again")
        return trying(record, scratch), None

    return DoctorClaim(context, context.save(begun))


def clean_up(context: PairContext, **told: Any) -> bool:
    """Delete the scratch projects that the record names, and what else this pair's doctors have left on that server.

    They are deleted on the passive server only, and only while no operation is open; else they stay, and the record
    goes on naming them. An event tells that they are gone.

    :param told: more fields of the event.
    :return: whether none is left; False where they have to wait.
    :raises NotYet: a project could not be deleted, or the server may still be executing an import of a doctor.
    """
    record = context.record()
    scratch = record.scratch
    if scratch is None:
        return True
    hook, ours = context.servers.hook(Role(scratch.role)), context.is_of_this_run(scratch.id)
    why = must_wait(record, context.now(), hook.address, ours=ours)
    if why and not _deleted_by_hand(context, hook, record, scratch):
        log.warning("%d scratch projects of a doctor stay on the %s: %s", len(scratch.projects), scratch.role, why)
        return False
    claim = _taken_over(context, scratch)
    for project in left_on(context, hook, scratch):
        claim.check()
        log.info("Deleting the scratch project %s of the %s", project.name, scratch.role)
        hook.delete_project(project.id)
    if left := left_on(context, hook, scratch):
        names = listed(project.name for project in left)
        how = f"delete them by hand in the web tool of the {scratch.role}, or run a doctor again"
        raise NotYet("scratch_left", f"scratch projects are still on the {scratch.role}: {names}", how)
    before, after = {"scratch": len(scratch.projects)}, {"scratch": 0}
    claim.save(tidied, context.event("doctor", record, server=scratch.role, before=before, after=after, **told))
    return True


def _deleted_by_hand(context: PairContext, hook: DenodoSchedulerHook, record: Record, scratch: Scratch) -> bool:
    """Whether a person has deleted them on the active server, where no doctor does."""
    there = record.active == scratch.role and hook.address == scratch.target
    return there and not (scratch.open(context.now()) or record.operation or left_on(context, hook, scratch))


def keep_at_rest(context: PairContext, record: Record) -> None:
    """Keep the pair's jobs disabled as long as an import of a dead try of this run may be executed."""
    scratch = record.scratch
    if scratch and context.is_of_this_run(scratch.id) and no_doctor(record, context.now()):
        role, claim = Role(scratch.role), DoctorClaim(context, record).resting()
        rest = partial(rest_passive, context, role, claim, ours=True, imported=())
        hold(context, role, lambda over: rest(after_import=over), until=scratch.lease_until)


def still_left(context: PairContext, record: Record) -> NotYet:
    """Scratch projects are on a server, and why."""
    scratch = record.scratch
    assert scratch is not None
    address, ours = context.servers.hook(Role(scratch.role)).address, context.is_of_this_run(scratch.id)
    return NotYet(*scratch_left(record, context.now(), address, ours=ours))


def _taken_over(context: PairContext, scratch: Scratch) -> DoctorClaim:
    """The right to delete them, which no other task has from here on."""
    mine = scratch.model_copy(update={"id": context.new_operation(), "lease_until": context.now() + LEASE})

    def taken(record: Record) -> tuple[Record, None]:
        if record.scratch is None or record.scratch.id != scratch.id:
            raise NotYet("superseded", "another task cleans up after the doctor", "wait for its end")
        return trying(record, mine.model_copy(update={"importing": False})), None

    return DoctorClaim(context, context.save(taken))


def left_on(context: PairContext, hook: DenodoSchedulerHook, scratch: Scratch) -> list[Project]:
    """The scratch projects of this pair that a server has."""
    ours, named = of_pair(context.pair.name), set(map(fold, scratch.projects))
    return [
        project
        for project in hook.projects()
        if is_scratch(project.name) and (fold(project.name) in named or fold(project.name).startswith(ours))
    ]


def tidy(context: PairContext, record: Record, target: Role) -> None:
    """Delete what a doctor has left on the target of a sync. What cannot be deleted now does not keep it from going on:
    no sync copies scratch projects.
    """
    if record.scratch and record.scratch.role == target:
        try:
            clean_up(context)
        except (DenodoSchedulerError, NotYet) as error:
            log.warning("Scratch projects of a doctor are left on the %s: %s", target, error)
