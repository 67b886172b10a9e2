"""The drill: two tasks, in the operations DAG for people, and in a DAG of their own for a schedule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param

from denodo_ha.pairs import Pair
from denodo_ha.reason import Reason
from denodo_scheduler.dags import shared
from denodo_scheduler.steps import drill as drilling
from denodo_scheduler.steps.outcome import Blocked

BY_SCHEDULE = "by schedule"

DAG_DOC = """
### Drill the slave `{pair.slave}` of the pair `{pair.name}`

Enables the jobs that `drill` of the pair names on the passive slave, one after the other, runs each, and disables it
again: proof that the slave can run, down to the database. It gives way to a failover. By hand: the operation *drill* of
the operations DAG.
"""


def drill(**context: Any) -> dict[str, Any]:
    """Enable each job of the pair's `drill` on the slave, start it, wait for its report, disable it and read back; then
    write the event. It works beside the pair's slot, because a failover must not wait for it. A retry goes on where the
    last try has ended, and a run that was cleared after its end drills again; what a drill that is not tried again has
    left is disabled by the failover DAG.
    """
    run, dag_run = shared.pair_context(context), context["dag_run"]
    with shared.publishing(run, context), shared.explaining(context):
        done = drilling.drill(run, cleared=dag_run.start_date if dag_run.clear_number else None)
    return shared.tell(context, done)


def drill_result(done: Any, **context: Any) -> None:
    """Fail where the drill is no proof that the slave can run; its event and its alert were sent before."""
    if done and not done["ok"]:
        reason = Reason(done["code"], done["what"], done["next_step"])
        shared.leave_problem(context, reason)
        raise Blocked(*reason)


def add_drill(pre_execute: Callable[[Any], None] | None = None) -> None:
    """Add the two tasks to the DAG that is built now.

    :param pre_execute: of the first one; where that is skipped, the second one is too.
    """
    tries: dict[str, Any] = {"retries": 5, "retry_delay": timedelta(seconds=20)}
    done = shared.step(**{**shared.CHANGES_NOTHING, **tries, "pre_execute": pre_execute})(drill)()
    shared.step(**shared.CHANGES_NOTHING, retries=0)(drill_result)(done)


def drill_dag(pair: Pair) -> DAG | None:
    """Build the DAG of the drills of one pair; None where it has no `drill_schedule`."""
    if pair.drill_schedule is None:
        return None
    reason = Param(BY_SCHEDULE, type="string", minLength=1, title="Reason", description="Why; kept in the history.")
    with shared.pair_dag(
        pair,
        pair.dag_id_drill,
        name="5 drill",
        description=f"Prove that the slave of the pair {pair.name} can run jobs",
        doc=DAG_DOC,
        params={"reason": reason},
        schedule=pair.drill_schedule,
        max_active_runs=1,
        default_args={},
    ) as dag:
        add_drill()
    return dag
