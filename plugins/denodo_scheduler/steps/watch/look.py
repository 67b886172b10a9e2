"""What is the pair's situation, read afresh, and what is to be done about it?"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from denodo_ha.decisions import Action, Alert, Decision, decide
from denodo_ha.preconditions import LET_IT_LEAD, same_servers, two_servers
from denodo_ha.reason import Reason
from denodo_ha.record import Phase, Record, RecordError, Role
from denodo_ha.seen import of_statuses
from denodo_ha.situation import Consents, Heard, Judgement, is_fresh, situation_of
from denodo_ha.verdict import Evidence, Verdict
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.holding import another_pair
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.seen import keep_seen
from denodo_scheduler.steps.servers import Server, enabled_in, flagged_in

log = logging.getLogger(__name__)

_OF_THE_PATHS = ("misconfigured", "one_path", "isolated")
"""Decisions that are about the paths to the master; what these have in common may be the cause."""


@dataclass(frozen=True)
class Case:
    """What one run of the failover DAG has to decide, with what it has seen."""

    context: PairContext
    evidence: Evidence
    consents: Consents = field(default_factory=Consents)
    heard: Heard = field(default_factory=Heard)

    @property
    def fresh(self) -> bool:
        """Whether the evidence is young enough for a failover to begin, and not from the future."""
        return is_fresh(self.evidence.decided, self.context.pair, self.context.now())


def judge(case: Case, *, keep: bool = False) -> Judgement:
    """Read the record and both servers, and look the decision up. Changes nothing.

    :param keep: keep what the servers said of their jobs, for the page.
    """
    context, verdict = case.context, case.evidence.verdict
    now = context.now()
    try:
        record = context.records.load()
    except RecordError as error:
        return Judgement(_decided(error.reason, Alert.HALTED), verdict, None, now)
    if record is None:
        why = context.without_record()
        alert = Alert.HALTED if why.code == "record_lost" else Alert.BLOCKED
        return Judgement(_decided(why, alert), verdict, None, now)
    reason = same_servers(record, context.servers.addresses)
    if reason is None and record.phase not in (Phase.FAILING_OVER, Phase.FAILING_BACK):
        reason = another_pair(context, resolved=False)
    if reason:
        return Judgement(_decided(reason, Alert.BLOCKED), verdict, record, now)
    heard = verdict.alive or verdict is Verdict.MISCONFIGURED
    slave, master = _read(context, Role.SLAVE), _read(context, Role.MASTER) if heard else None
    one_server = slave and master and two_servers(context.servers.connections, master[1].jobs, slave[1].jobs)
    if one_server:
        verdict, master = Verdict.MISCONFIGURED, None
    elif keep:
        _keep(context, {Role.SLAVE: slave, Role.MASTER: master})
    of_slave, of_master = _counted(context, slave), _counted(context, master if verdict.alive else None, record)
    others = of_slave and of_slave[0] - _is_drilled(record, slave)
    facts = partial(
        situation_of,
        record,
        context.pair,
        heard=case.heard,
        now=now,
        slave_enabled=None if others is None else others > 0,
        master_enabled=of_master and of_master[0] > 0,
    )
    situation = facts(consents=case.consents)
    log.debug("Phase %s, verdict %s, %s", record.phase, verdict, situation)
    decision = decide(record.phase, verdict, situation)
    if one_server and decision.code in ("misconfigured", "failed_over"):
        decision = _decided(one_server._replace(next_step=LET_IT_LEAD), Alert.BLOCKED)
    elif case.evidence.common and decision.code in _OF_THE_PATHS:
        decision = replace(decision, what=f"{decision.what} ({case.evidence.common})")
    if record.phase is Phase.HALTED and record.halted:
        decision = replace(decision, what=f"{decision.what}: {record.halted.reason}")
    jobs = {role: found for role, found in ((Role.MASTER, of_master), (Role.SLAVE, of_slave)) if found}
    oldest = context.pair.failover.oldest_snapshot
    return Judgement(
        decision, verdict, record, now, facts(consents=Consents()), jobs, oldest, context.pair.watch.duration
    )


def still(case: Case, action: Action) -> Judgement:
    """Judge again, right before an action.

    :raises NothingToDo: by now the decision is another one.
    """
    return expected(judge(case), action)


def expected(judged: Judgement, action: Action) -> Judgement:
    """:raises NothingToDo: the decision is another one."""
    if judged.decision.action is not action:
        raise NothingToDo("overtaken", f"by now the decision is {judged.decision.code}: {judged.decision.what}")
    return judged


def _decided(reason: Reason, alert: Alert) -> Decision:
    return Decision(reason.code, Action.BLOCKED, reason.what, reason.next_step, alert=alert)


_Read = tuple[Server, Statuses]


def _read(context: PairContext, role: Role) -> _Read | None:
    """The server over a path that answers, and what it said; None where there is none."""
    try:
        return context.servers.answering(role)
    except DenodoSchedulerError as error:
        log.warning("The %s cannot be read: %s", role, error)
        return None


def _keep(context: PairContext, read: Mapping[Role, _Read | None]) -> None:
    scope, now = context.pair.scope, context.now()
    keep_seen(context, {role: of_statuses(found[1].jobs, scope, now) for role, found in read.items() if found})


def _is_drilled(record: Record, slave: _Read | None) -> bool:
    """Whether the job of a drill is enabled on the slave."""
    job = slave[1].by_key.get(record.drilled) if slave and record.drilled else None
    return job is not None and job.state.is_enabled


def _counted(context: PairContext, read: _Read | None, record: Record | None = None) -> tuple[int, int] | None:
    """How many jobs in scope are enabled on a server, and how many there are; None when it cannot be read.

    :param record: of a master that may be back after a failover. One that was paused shows every job DISABLED [D] and
        would run all of them when it is resumed, so the jobs' own definitions count too.
    """
    if read is None:
        return None
    (server, statuses), scope = read, context.pair.scope
    enabled = len(enabled_in(scope, statuses))
    try:
        if not enabled and record is not None and record.active is Role.SLAVE:
            enabled = len(flagged_in(scope, server, statuses))
    except DenodoSchedulerError as error:
        log.warning("The definitions of a server cannot be read: %s", error)
        return None
    return enabled, sum(scope.matches(job.key) for job in statuses.jobs)
