"""A person approves a failover in Airflow's interface, under *Required actions*."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Context

from denodo_ha.decisions import Action, Alert
from denodo_ha.pairs import Pair
from denodo_ha.quartz.missed import missed_occurrences
from denodo_ha.question import Outage, question
from denodo_ha.record import Record
from denodo_ha.situation import Heard
from denodo_ha.text import moment
from denodo_ha.transitions import approval_asked, approval_given
from denodo_ha.watching import Watching, latest
from denodo_scheduler.alerts import notify
from denodo_scheduler.dags import shared
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NothingToDo
from denodo_scheduler.steps.promote.failover import manifest_of, zone_of_master
from denodo_scheduler.steps.watch.look import Case, judge

VALID_FOR = timedelta(minutes=30)
"""How long an approval holds: a failover needs fresh evidence all the same."""


class ApproveFailoverOperator(ApprovalOperator):
    """Ask for an approval, and write into the HA record that it was asked for and given.

    It waits without a slot of the pool or of the triggerer. The approval holds for half an hour and for one failover.
    """

    template_fields = (*ApprovalOperator.template_fields, "watched")

    def __init__(self, *, pair: Pair, watched: Any, **kwargs: Any) -> None:
        super().__init__(
            subject=f"Fail over from {pair.master} to {pair.slave}?",
            response_timeout=pair.failover.approval_timeout,
            **{**kwargs, "retries": 0},
        )
        self.watched = watched

    def execute(self, context: Context) -> None:
        run = shared.pair_context(context)
        case = Case(run, shared.evidence_of(self.watched), heard=Heard(second_good=run.now()))
        judged = judge(case)
        if judged.decision.action is not Action.APPROVE or not case.fresh:
            raise NothingToDo("overtaken", f"by now the decision is {judged.decision.code}")
        record, until = run.record(), run.now() + run.pair.failover.approval_timeout
        self.body = _question(run, record, shared.seen_by(self.watched) or {}, shared.watch_store(context).load())
        asked = partial(approval_asked, by=run.run_id, until=until)
        event = run.event(
            "approval_asked", record, what="the master is down; a person is asked to approve the failover"
        )
        run.save(lambda record: (asked(record), event))
        shared.tell(context, event)
        notify(run.pair, Alert.FAILOVER, event, context)
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        run = shared.pair_context(context)
        with shared.publishing(run, context):
            # Not the ApprovalOperator's: after a rejection it would skip the report too.
            answer = HITLOperator.execute_complete(self, context, event)
            by = (answer.get("responded_by_user") or {}).get("name") or "a person"
            approved = answer["chosen_options"] == [self.APPROVE]
            if approved:
                given = partial(approval_given, by=by, until=run.now() + VALID_FOR)
                run.save(lambda record: (given(record), run.event("approved", record, by=by)))
            else:
                run.save(lambda record: (record, run.event("rejected", record, by=by)))
        if approved:
            shared.ask_for_a_look(context, "the failover was approved", result=answer)
        return answer


def _question(run: PairContext, record: Record, seen: Mapping[str, Any], watching: Watching) -> str:
    """The question as it is now. It is made from what is kept already: no server is asked."""
    now, evidence = run.now(), seen.get("evidence") or {}
    known = latest(now, watching.last_alive, evidence.get("last_alive"))
    last_alive = moment(known) if known else None
    since = last_alive or (moment(evidence["since"]) if evidence.get("since") else now)
    outage = _outage(run, record, since, now)
    return question(run.pair, record, evidence, now=now, last_alive=last_alive, outage=outage, valid_for=VALID_FOR)


def _outage(run: PairContext, record: Record, since: datetime, now: datetime) -> Outage | None:
    try:
        manifest = manifest_of(run, record.snapshot_id or "")
    except Blocked:
        return None
    wanted = {key for key in manifest.enabled if run.pair.scope.matches(key)}
    zone = zone_of_master(run, manifest, record.snapshot_id or "")
    missed, total = missed_occurrences(manifest, wanted, since=since, until=now, zone=zone.zone, limit=1000)
    return Outage(len(wanted), missed, total, zone)
