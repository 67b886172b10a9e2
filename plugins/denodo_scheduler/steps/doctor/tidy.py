"""The scratch projects of a doctor: noted in the record before the first is made, and deleted whatever happens."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

from denodo_ha.doctor.scratch import Scratch, is_scratch, of_pair, scratch_names
from denodo_ha.jobs import Project, fold
from denodo_ha.preconditions import may_try
from denodo_ha.record import Phase, Record, Role
from denodo_ha.text import listed
from denodo_ha.transitions import tidied, trying
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.claim import LEASE, DoctorClaim
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NotYet, require
from denodo_scheduler.steps.passive import AtRest, hold, rest_passive

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
            raise _others(record.scratch)
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
    if why := _must_wait(context, record, scratch):
        log.warning("%d scratch projects of a doctor stay on the %s: %s", len(scratch.projects), scratch.role, why)
        return False
    claim = _taken_over(context, scratch)
    hook = context.servers.hook(Role(scratch.role))
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


def keep_at_rest(context: PairContext, record: Record) -> None:
    """Keep the pair's jobs disabled as long as an import of a dead try of this run may be executed."""
    scratch = record.scratch
    if scratch and context.is_of_this_run(scratch.id) and scratch.in_flight(context.now()):
        role, claim = Role(scratch.role), DoctorClaim(context, record).resting()

        def rest(over: bool) -> AtRest:
            return rest_passive(context, role, claim, ours=True, after_import=over, imported=())

        hold(context, role, rest, until=scratch.lease_until)


def _must_wait(context: PairContext, record: Record, scratch: Scratch) -> str:
    if record.active == scratch.role:
        return "it is the active server now; they are deleted when it is the passive one again"
    if context.servers.hook(Role(scratch.role)).address != scratch.target:
        return f"its connection leads elsewhere now; delete them by hand on {scratch.target}"
    if record.operation:
        return f"a {record.operation.kind} is under way"
    if record.phase is Phase.HALTED:
        return "the pair is halted"
    ours = context.is_of_this_run(scratch.id) and not scratch.importing
    if context.now() < scratch.lease_until and not ours:
        return f"a doctor may be at work until {scratch.lease_until:%H:%M:%S} UTC"
    return ""


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


def _others(scratch: Scratch) -> NotYet:
    return NotYet(
        "scratch_left",
        f"scratch projects of an earlier doctor are on the {scratch.role}: {listed(scratch.projects)}",
        f"wait until {scratch.lease_until:%Y-%m-%d %H:%M:%S} UTC, after which this task, the next doctor or the next "
        "sync deletes them",
    )
