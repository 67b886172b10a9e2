"""The switchover DAG of a pair: a planned change of the active server, and the way back."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param, TriggerRule

from denodo_ha.pairs import Pair
from denodo_ha.preconditions import reason_given
from denodo_ha.record import Role
from denodo_scheduler.dags import shared
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NothingToDo, require
from denodo_scheduler.steps.promote import switchover as switching
from denodo_scheduler.steps.watch.report import add_problem

log = logging.getLogger(__name__)

DIRECTIONS = {"to_slave": Role.SLAVE, "to_master": Role.MASTER}
STEPS = ("check", "switch_over")
"""Tasks that leave a reason code when they fail."""

DAG_DOC = """
### Change the active server of the pair `{pair.name}`: master `{pair.master}`, slave `{pair.slave}`

Break before make: waits for a quiet window on the active server, disables its jobs, reads back that **all** are
disabled, then enables exactly those on the other server, reads back, and commits.

* **Trigger by hand** with a direction and a reason; `to_master` is the failback, and is followed by a sync.
* **Dry run** first: the XCom `plan` of `check` says which jobs it would carry over.
* **Something failed?** Until the first job is enabled on the other server it goes back by itself, after that forward:
  by the retries of `switch_over`, then by the failover DAG.
* Its history is on the asset `{pair.asset_uri}`.
"""
QUIET_DOC = """
Sleep (deferred) until nothing runs, waits or polls on the active server and nothing is due within the quiet window
plus margin, by the **server's** time.
"""
SYNC_DOC = """
After a failback, trigger the sync DAG, so that the slave can take over again soon. Skipped after a switchover to the
slave, which a sync would overwrite.
"""


@shared.step(ShortCircuitOperator, **shared.CHANGES_NOTHING)
def check(**context: Any) -> dict[str, Any] | None:
    """Decide whether it may begin: read the HA record and both servers, and compare their jobs. Changes nothing. The
    XCom `plan` says what would be done; in a dry run everything else is skipped.
    """
    run = _run(context)
    with shared.explaining(context):
        require(reason_given(run.reason))
        plan = switching.check(run, _switch(context))
    context["ti"].xcom_push(key="plan", value=plan)
    if run.dry_run:
        log.info("A dry run: %d jobs would be carried over. Nothing is changed.", plan["enable"]["jobs"])
        return None
    return plan


@shared.step(priority_weight=50)
def switch_over(plan: Any, **context: Any) -> dict[str, Any]:
    """Look at everything once more, write the intent to the HA record, disable the enabled jobs of the active server,
    read back, enable them on the other one, read back, and commit. A retry goes on where the last one ended.
    """
    run = _run(context)
    if plan is None:
        raise NothingToDo("not_begun", "the check of this run did not let it begin")
    with shared.publishing(run, context), shared.explaining(context):
        return switching.switch(run, _switch(context), epoch=plan["epoch"])


@shared.step(trigger_rule=TriggerRule.ALL_DONE, priority_weight=50)
def report(**context: Any) -> None:
    """Write what is left of the history and ask the failover DAG to look at the pair, also after a failure."""
    run = _run(context)
    if problem := shared.problem_of(context, STEPS):
        add_problem(run, shared.watch_store(context), problem)
    shared.publish(run, context)
    shared.ask_for_a_look(context, f"switchover {context['params']['direction']}")


def switchover_dag(pair: Pair) -> DAG:
    """Build the switchover DAG of one pair. Makes no request and reads no Variable or Connection."""
    with shared.pair_dag(
        pair,
        pair.dag_id_switchover,
        description=f"Change the active server: {pair.master} or {pair.slave}",
        doc=DAG_DOC,
        params=_params(pair),
        schedule=None,
        max_active_runs=1,
        default_args={"retries": 10, "retry_delay": timedelta(seconds=10)},
    ) as dag:
        plan = check()
        wait = shared.quiet_window(
            pair,
            denodo_scheduler_conn_id="{{ ti.xcom_pull(task_ids='check')['connection'] }}",
            uri="{{ ti.xcom_pull(task_ids='check')['uri'] or '' }}",
            doc_md=QUIET_DOC,
        )
        switched = switch_over(plan)
        sync = TriggerDagRunOperator(
            task_id="sync",
            doc_md=SYNC_DOC,
            pre_execute=_skip_unless_failed_back,
            trigger_dag_id=pair.dag_id_sync,
            conf={"reason": "after the failback"},
            **shared.APART,
        )
        # sync is a leaf too, so that a failure fails the run
        plan >> wait >> switched >> [sync, report()]
    return dag


def _skip_unless_failed_back(context: Any) -> None:
    if DIRECTIONS[context["params"]["direction"]] is Role.SLAVE:
        raise NothingToDo("not_needed", "the slave is the active server now, and a sync would overwrite it")


def _run(context: Any) -> PairContext:
    window = timedelta(seconds=context["params"]["quiet_window"])
    return shared.pair_context(context, shared.pair_of(context).with_sync(quiet_window=window))


def _switch(context: Any) -> switching.Switch:
    params = context["params"]
    return switching.Switch(DIRECTIONS[params["direction"]], params["accept_differences"])


def _params(pair: Pair) -> dict[str, Param]:
    return {
        "direction": Param(
            type="string",
            enum=list(DIRECTIONS),
            values_display={"to_slave": f"to the slave {pair.slave}", "to_master": f"to the master {pair.master}"},
            title="Direction",
            description="Which server becomes the active one. To the master: the failback after a failover.",
        ),
        "reason": shared.reason(),
        "dry_run": shared.tick(
            "Dry run", "Show in the XCom plan of check what a switchover would do. Nothing is changed."
        ),
        "accept_differences": shared.tick(
            "Accept differences",
            "You have looked: some jobs have another definition on the server that becomes active, and you want those.",
        ),
        **shared.quiet_params(pair, "active server"),
    }
