"""A person approves a failover in Airflow's interface, under *Required actions*."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Context

from denodo_ha.decisions import Action, Alert
from denodo_ha.pairs import Pair
from denodo_ha.situation import Heard
from denodo_ha.transitions import approval_asked, approval_given
from denodo_scheduler.alerts import notify
from denodo_scheduler.dags import shared
from denodo_scheduler.steps.outcome import NothingToDo
from denodo_scheduler.steps.watch.look import Case, judge

VALID_FOR = timedelta(minutes=30)
"""How long an approval holds: a failover needs fresh evidence all the same."""

BODY = """
{{ ti.xcom_pull(task_ids='decide', key='judgement')['what'] }}. Since when and what was heard is in the XCom of
`ping_master`.

**Approve**: the failover DAG looks again, and if the master is still down, the slave takes over.
**Reject**: nothing happens; you are asked again in {again}.
"""


class ApproveFailoverOperator(ApprovalOperator):
    """Ask for an approval, and write into the HA record that it was asked for and given.

    It waits without a slot of the pool or of the triggerer. The approval holds for half an hour and for one failover.
    """

    template_fields = (*ApprovalOperator.template_fields, "watched")

    def __init__(self, *, pair: Pair, watched: Any, **kwargs: Any) -> None:
        super().__init__(
            subject=f"Fail over from {pair.master} to {pair.slave}?",
            body=BODY.replace("{again}", f"{pair.failover.approval_timeout.total_seconds() / 60:.0f} minutes"),
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
        until = run.now() + run.pair.failover.approval_timeout
        asked = partial(approval_asked, by=run.run_id, until=until)
        event = run.event(
            "approval_asked", run.record(), what="the master is down; a person is asked to approve the failover"
        )
        run.save(lambda record: (asked(record), event))
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
