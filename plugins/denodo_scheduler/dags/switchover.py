"""The switchover DAG of a pair: a planned change of the active server, and the way back."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Context, Param, TriggerRule, task

from denodo_ha.pairs import Pair
from denodo_ha.preconditions import reason_given
from denodo_ha.reason import Reason
from denodo_ha.record import Role
from denodo_scheduler.dags.shared import (
    START,
    Assets,
    ask_for_a_look,
    assets_of,
    default_args,
    explaining,
    pair_context,
    publish,
    publishing,
    quiet_arguments,
    quiet_params,
    watch_store,
)
from denodo_scheduler.sensors.quiet_window import QuietWindowSensor
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NothingToDo, require
from denodo_scheduler.steps.promote import switchover as switching
from denodo_scheduler.steps.watch import report as reporting

log = logging.getLogger(__name__)

DIRECTIONS = {"to_slave": Role.SLAVE, "to_master": Role.MASTER}
STEPS = ("check", "switch_over")
"""Tasks that leave a reason code when they fail."""

DAG_DOC = """
### Change the active server of the pair `{pair}`: master `{master}`, slave `{slave}`

Break before make: waits for a quiet window on the active server, disables its jobs, reads back that **all** are
disabled, then enables exactly those on the other server, reads back, and commits.

* **Trigger by hand** with a direction and a reason; `to_master` is the failback, and is followed by a sync.
* **Dry run** first: the XCom `plan` of `check` says which jobs it would carry over.
* **Something failed?** Until the first job is enabled on the other server it goes back by itself, after that forward:
  by the retries of `switch_over`, then by the failover DAG.
* Its history is on the asset `{asset}`.
"""
CHECK_DOC = """
May it begin? Reads the HA record and both servers, and compares their jobs. Changes nothing. The XCom `plan` says what
would be done; in a dry run everything else is skipped.
"""
QUIET_DOC = """
Sleeps (deferred) until nothing runs, waits or polls on the active server and nothing is due within the quiet window
plus margin, by the **server's** time.
"""
SWITCH_DOC = """
Looks at everything once more, writes the intent to the HA record, disables the enabled jobs of the active server, reads
back, enables them on the other one, reads back, and commits. A retry goes on where the last one ended.
"""
SYNC_DOC = """
After a failback: triggers the sync DAG, so that the slave can take over again soon. Skipped after a switchover to the
slave, which a sync would overwrite.
"""
REPORT_DOC = "Writes what is left of the history and asks the failover DAG to look at the pair, also after a failure."


def switchover_dag(pair: Pair) -> DAG:
    """Build the switchover DAG of one pair. Makes no request and reads no Variable or Connection."""
    assets = assets_of(pair)
    state: dict[str, Any] = {**assets.of_a_task, "multiple_outputs": False}
    changing: dict[str, Any] = {**state, "pool": pair.pool, "priority_weight": 50}

    with DAG(
        dag_id=pair.dag_id_switchover,
        description=f"Change the active server: {pair.master} or {pair.slave}",
        doc_md=DAG_DOC.format(pair=pair.name, master=pair.master, slave=pair.slave, asset=pair.asset_uri),
        schedule=None,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["denodo", "denodo-ha", *pair.tags],
        default_args=default_args(pair, retries=10, retry_delay=timedelta(seconds=10)),
    ) as dag:

        @task.short_circuit(task_id="check", doc_md=CHECK_DOC, **state)
        def check(**context: Any) -> dict[str, Any] | None:
            run = _run(pair, assets, context)
            with explaining(context):
                require(reason_given(run.reason))
                plan = switching.check(run, _switch(context))
            context["ti"].xcom_push(key="plan", value=plan)
            if run.dry_run:
                log.info("A dry run: %d jobs would be carried over. Nothing is changed.", plan["enable"]["jobs"])
                return None
            return plan

        @task(task_id="switch_over", doc_md=SWITCH_DOC, **changing)
        def switch_over(**context: Any) -> dict[str, Any]:
            run = _run(pair, assets, context)
            plan = context["ti"].xcom_pull(task_ids="check")
            if plan is None:
                raise NothingToDo("not_begun", "the check of this run did not let it begin")
            with publishing(run, assets, context), explaining(context):
                return switching.switch(run, _switch(context), epoch=plan["epoch"])

        @task(task_id="report", doc_md=REPORT_DOC, trigger_rule=TriggerRule.ALL_DONE, **changing)
        def report(**context: Any) -> None:
            run, pull = _run(pair, assets, context), context["ti"].xcom_pull
            problem = next((found for step in STEPS if (found := pull(task_ids=step, key="problem"))), None)
            if problem:
                reporting.add_problem(run, watch_store(assets, context), Reason(**problem))
            publish(run, assets, context)
            ask_for_a_look(assets, context, f"switchover {context['params']['direction']}")

        wait = ActiveQuietWindowSensor(task_id="wait_for_quiet_window", doc_md=QUIET_DOC, **quiet_arguments(pair))
        sync = SyncAfterFailbackOperator(
            task_id="sync",
            doc_md=SYNC_DOC,
            trigger_dag_id=pair.dag_id_sync,
            conf={"reason": "after the failback"},
        )
        switched = switch_over()
        check() >> wait >> switched >> [sync, report()]  # sync is a leaf too, so that a failure fails the run
    dag.params.update(_params(pair))  # only now, because each task would be given a copy of all of them
    return dag


class ActiveQuietWindowSensor(QuietWindowSensor):
    """The quiet window of a switchover: on the active server, over the path that the check has found."""

    def execute(self, context: Context) -> Any:
        plan, params = context["ti"].xcom_pull(task_ids="check"), context["params"]
        self.denodo_scheduler_conn_id, self.uri = plan["connection"], plan["uri"]
        self.window = timedelta(seconds=params["quiet_window"])
        self.timeout = params["quiet_timeout"]
        return super().execute(context)


class SyncAfterFailbackOperator(TriggerDagRunOperator):
    """Triggers the sync DAG where the master is the active server again."""

    def execute(self, context: Context) -> None:
        if DIRECTIONS[context["params"]["direction"]] is Role.SLAVE:
            raise NothingToDo("not_needed", "the slave is the active server now, and a sync would overwrite it")
        super().execute(context)


def _run(pair: Pair, assets: Assets, context: Any) -> PairContext:
    window = timedelta(seconds=context["params"]["quiet_window"])
    return pair_context(pair.with_sync(quiet_window=window), assets, context)


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
        "reason": Param(type="string", minLength=1, title="Reason", description="Why; kept in the history."),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Show in the XCom plan of check what a switchover would do. Nothing is changed.",
        ),
        "accept_differences": Param(
            False,
            type="boolean",
            title="Accept differences",
            description="You have looked: some jobs have another definition on the server that becomes active, and "
            "you want those.",
        ),
        **quiet_params(pair, "active server"),
    }
