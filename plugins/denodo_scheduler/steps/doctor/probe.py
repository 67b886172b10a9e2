"""Second step of a doctor, with a person's consent: try things out in scratch projects on the passive server."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.doctor.diagnosis import Answer, Diagnosis
from denodo_ha.doctor.questions import answers, learned
from denodo_ha.doctor.redaction import without_secrets
from denodo_ha.preconditions import may_try, other, reason_given, two_addresses
from denodo_ha.record import Record, RecordError, Role
from denodo_ha.text import listed
from denodo_ha.transitions import learned as noted
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.doctor.look import names_of, secrets_of
from denodo_scheduler.steps.doctor.tidy import begin, clean_up, keep_at_rest
from denodo_scheduler.steps.doctor.trial import Trial
from denodo_scheduler.steps.holding import another_pair
from denodo_scheduler.steps.outcome import Blocked, NotYet, require
from denodo_scheduler.steps.passive import ensure_two_servers
from denodo_scheduler.steps.servers import would_run

log = logging.getLogger(__name__)


def probe(context: PairContext, found: Diagnosis) -> Diagnosis:
    """Try out on the passive server what reading cannot tell, and note what was learned for the syncs.

    All that is made there is in scratch projects, is disabled or due in 2099 only, and is deleted at the end. Nothing
    else is changed.

    :param found: what the first step has found.
    :raises Blocked: the pair has no record, an operation is under way, or the server is not at rest.
    :raises NotYet: something has begun to which the doctor yields, or scratch projects are left; a retry cleans up.
    """
    require(reason_given(context.reason))
    record = _record(context)
    keep_at_rest(context, record)
    if record.scratch and not clean_up(context):
        how = "wait until it can be deleted; the log of this task says what it waits for"
        raise NotYet("scratch_left", f"an earlier doctor has left {listed(record.scratch.projects)}", how)
    require(
        two_addresses(context.servers.connections, context.servers.addresses),
        may_try(record, context.servers.addresses),
        another_pair(context),
    )
    role = other(record.active)
    before = _at_rest(context, role)
    version = context.servers.hook(role).me().version
    known = record.capabilities.get(role, Capabilities()).for_version(version)
    trial = Trial(context, begin(context, role), role, known, before)
    failed: Exception | None = None
    try:
        trial.run()
    except Exception as error:
        failed = error
        log.warning("The doctor has ended early: %s", error)
    tried = _told(context, trial)
    try:
        _note(context, trial, version, tried)
        clean = clean_up(context, verdicts=_counts(tried), ended_early=failed is not None)
    except Exception as error:
        raise failed or error from error
    if failed:
        raise failed
    if not clean:
        how = "the next try of this task, the next doctor or the next sync deletes it"
        raise NotYet("scratch_left", f"scratch projects are left on the {role}", how)
    return found.with_answers(tried, names_of(context, tuple(Role)))


def _record(context: PairContext) -> Record:
    try:
        record = context.records.load()
    except RecordError as error:
        raise Blocked(*error.reason) from None
    if record is None:
        raise Blocked(*context.without_record())
    return record


def _at_rest(context: PairContext, role: Role) -> Statuses:
    """The passive server before anything is changed. It must be another one than the active server, and at rest.

    :raises Blocked: it is not, or the active server cannot be read, so that nobody knows.
    """
    try:
        _, active = context.servers.answering(other(role))
    except DenodoSchedulerError as error:
        what = f"the {other(role)}, which is the active server, cannot be read: {error}"
        raise Blocked("active_unreachable", what, "repair it first; nothing is tried out meanwhile") from None
    server = context.servers.own_path(role)
    passive = server.statuses()
    ensure_two_servers(context, active, passive)
    if woken := would_run(context.pair.scope, server, passive):
        what = f"{len(woken)} jobs are enabled on the {role}, which is to be at rest: {listed(sorted(woken))}"
        raise Blocked("not_at_rest", what, f"trigger {context.pair.dag_id_failover}, which disables them")
    return passive


def _told(context: PairContext, trial: Trial) -> list[Answer]:
    """The answers, without a secret that the server may have repeated."""
    told = Diagnosis(context.now(), "", True, tuple(answers(trial.seen, trial.types)), {})
    return list(Diagnosis.from_json(without_secrets(told.to_json(), secrets_of(context))).answers)


def _note(context: PairContext, trial: Trial, version: str, tried: list[Answer]) -> None:
    """Note what was learned in the record, where the next sync finds it."""

    def changed(record: Record) -> Record:
        known = record.capabilities.get(trial.role, Capabilities()).for_version(version)
        return noted(record, trial.role, learned(known, trial.seen, trial.types, tried, context.now()))

    trial.claim.save(changed)


def _counts(tried: list[Answer]) -> Mapping[str, Any]:
    return {kind: sum(each.verdict == kind for each in tried) for kind in ("confirmed", "refuted", "unknown")}
