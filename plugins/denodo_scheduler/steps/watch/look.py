"""What is the pair's situation, read afresh, and what is to be done about it?"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial

from denodo_ha.decisions import Action, Alert, Decision, decide
from denodo_ha.preconditions import OPERATIONS_DAG, same_servers
from denodo_ha.reason import Reason
from denodo_ha.record import Phase, RecordError, Role
from denodo_ha.situation import Consents, Heard, Judgement, freshness, situation_of
from denodo_ha.verdict import Evidence
from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.servers import enabled_in, flagged_in

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """What one run of the failover DAG has to decide, with what it has seen."""

    context: PairContext
    evidence: Evidence
    consents: Consents = field(default_factory=Consents)
    heard: Heard = field(default_factory=Heard)

    @property
    def fresh(self) -> bool:
        """Whether the evidence is young enough for a failover to begin."""
        return self.context.now() - self.evidence.decided <= freshness(self.context.pair)


def judge(case: Case) -> Judgement:
    """Read the record and both servers, and look the decision up. Changes nothing."""
    context, verdict = case.context, case.evidence.verdict
    now = context.now()
    try:
        record = context.records.load()
    except RecordError as error:
        return Judgement(_decided(error.reason, Alert.HALTED), verdict, None, now)
    if record is None:
        return Judgement(_without_record(context), verdict, None, now)
    if reason := same_servers(record, context.servers.addresses):
        return Judgement(_decided(reason, Alert.BLOCKED), verdict, record, now)
    slave = _jobs(context, Role.SLAVE)
    master = _jobs(context, Role.MASTER, back=record.active is Role.SLAVE) if verdict.alive else None
    facts = partial(
        situation_of,
        record,
        context.pair,
        heard=case.heard,
        now=now,
        slave_enabled=slave and slave[0] > 0,
        master_enabled=master and master[0] > 0,
    )
    situation = facts(consents=case.consents)
    log.info("Phase %s, verdict %s, %s", record.phase, verdict, situation)
    decision = decide(record.phase, verdict, situation)
    if record.phase is Phase.HALTED and record.halted:
        decision = replace(decision, what=f"{decision.what}: {record.halted.reason}")
    jobs = {role: found for role, found in ((Role.MASTER, master), (Role.SLAVE, slave)) if found}
    return Judgement(decision, verdict, record, now, facts(consents=Consents()), jobs)


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


def _without_record(context: PairContext) -> Decision:
    how = f"run the sync DAG once; if the slave is the active server now, initialise the pair with {OPERATIONS_DAG}"
    what = f"the pair {context.pair.name} has no HA record yet, so it cannot fail over"
    return _decided(Reason("not_initialised", what, how), Alert.BLOCKED)


def _jobs(context: PairContext, role: Role, *, back: bool = False) -> tuple[int, int] | None:
    """How many jobs in scope are enabled on the server, and how many there are; None when it cannot be read.

    :param back: it is back after a failover. One that was paused shows every job DISABLED [D] and would run all of them
        when it is resumed, so the jobs' own definitions count too.
    """
    scope = context.pair.scope
    try:
        server, statuses = context.servers.answering(role)
        enabled = len(enabled_in(scope, statuses))
        if back and not enabled:
            enabled = len(flagged_in(scope, server, statuses))
        return enabled, sum(scope.matches(job.key) for job in statuses.jobs)
    except DenodoSchedulerError as error:
        log.warning("The %s cannot be read: %s", role, error)
        return None
