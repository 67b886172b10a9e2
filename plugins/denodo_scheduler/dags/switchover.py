"""The switchover DAG of a pair: a planned change of the active server, and the way back."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param, TriggerRule

from denodo_ha import dry_runs
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import reason_given
from denodo_ha.record import Role
from denodo_scheduler.dags import shared
from denodo_scheduler.dags.tasks import ShortCircuitStepOperator
from denodo_scheduler.steps import check as checking
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import NothingToDo, require
from denodo_scheduler.steps.promote import switchover as switching
from denodo_scheduler.steps.watch.report import add_problem

log = logging.getLogger(__name__)

DIRECTIONS = {"to_slave": Role.SLAVE, "to_master": Role.MASTER}
DRAIN, QUIET_WINDOW = "drain", "quiet_window"
GIVE_UP, STOP = "give_up", "stop_them"
STEPS = ("check", "switch_over")
"""Tasks that leave a reason code when they fail."""

DAG_DOC = """
### Change the active server of the pair `{pair.name}`: master `{pair.master}`, slave `{pair.slave}`

Break before make: drains the active server (disables at once the jobs that do not run, each other one when it has
ended), reads back that **all** are disabled, then enables exactly those on the other server, reads back, and commits.

* **Trigger by hand** with a direction and a reason; `to_master` is the failback, and is followed by a sync.
* **Dry run** first: log, note and XCom of `check` say which jobs it would carry over, which ones run now, since when
  and how long they usually take, how long the gap may be, and what is due in it.
* **Ready?** The readiness check of the operations DAG is made first. What is critical of the server that becomes active
  stops the switchover, unless you accept it; the rest is told in the note and in the event.
* **A job that does not end?** At the drain timeout it goes back, or stops that job: choose it in the form.
* **Something failed?** Until the first job is enabled on the other server it goes back by itself, after that forward:
  by the retries of `switch_over`, then by the failover DAG.
"""
QUIET_DOC = """
Sleep (deferred) until nothing runs, waits or polls on the active server and nothing is due within the quiet window
plus margin, by the **server's** time. Skipped unless the form says so: draining needs no window.
"""
SYNC_DOC = """
After a failback, trigger the sync DAG, so that the slave can take over again soon. Skipped after a switchover to the
slave, which a sync would overwrite.
"""


@shared.step(ShortCircuitStepOperator, **shared.CHANGES_NOTHING)
def check(**context: Any) -> dict[str, Any] | None:
    """Decide whether it may begin: read the HA record and both servers, compare their jobs, and make the readiness
    check. Changes nothing. The XCom `plan` says what would be done; in a dry run everything else is skipped.
    """
    run = _run(context)
    with shared.explaining(context):
        require(reason_given(run.reason))
        wanted = _switch(context)
        plan = switching.check(run, wanted)
        found = checking.check(run, shared.watch_store(context).load())
        shared.keep_readiness(context, found)
        plan["not_ready"] = checking.not_ready(found)
        context["ti"].xcom_push(key="plan", value=plan)
        checking.ensure_ready(found, wanted.to, accepted=context["params"]["accept_not_ready"])
    if run.dry_run:
        shared.show(context, dry_runs.switchover(plan))
        return None
    log.info("%s", dry_runs.carried_over(plan))
    return plan


@shared.step(priority_weight=50, trigger_rule=TriggerRule.NONE_FAILED)
def switch_over(plan: Any, **context: Any) -> dict[str, Any]:
    """Look at everything once more, write the intent to the HA record, disable the enabled jobs of the active server,
    each when it does not run, read back, enable them on the other one, read back, and commit. A retry goes on where the
    last one ended. It keeps the pair's slot while jobs run: no other task may change the pair meanwhile anyway.
    """
    run = _run(context)
    if not isinstance(plan, dict):
        raise NothingToDo("not_begun", "the check of this run did not let it begin")
    with shared.publishing(run, context), shared.explaining(context):
        wanted = replace(_switch(context), not_ready=tuple(plan.get("not_ready", ())))
        done = switching.switch(run, wanted, epoch=plan["epoch"])
    return shared.tell(context, done)


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
        name="3 switchover",
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
            pre_execute=_skip_unless_asked_for,
        )
        switched = switch_over(plan)
        sync = TriggerDagRunOperator(
            task_id="sync",
            doc_md=SYNC_DOC,
            pre_execute=_skip_unless_failed_back,
            trigger_dag_id=pair.dag_id_sync,
            conf={"reason": "after the failback"},
            **shared.CHANGES_NOTHING,
        )
        # sync is a leaf too, so that a failure fails the run
        plan >> wait >> switched >> [sync, report()]
    return dag


def _skip_unless_failed_back(context: Any) -> None:
    if DIRECTIONS[context["params"]["direction"]] is Role.SLAVE:
        raise NothingToDo("not_needed", "the slave is the active server now, and a sync would overwrite it")


def _skip_unless_asked_for(context: Any) -> None:
    if context["params"]["how"] != QUIET_WINDOW:
        raise NothingToDo("draining", "the server is drained, which needs no quiet window")


def _run(context: Any) -> PairContext:
    params = context["params"]
    window, timeout = (timedelta(seconds=params[name]) for name in ("quiet_window", "drain_timeout"))
    pair = shared.pair_of(context).with_sync(quiet_window=window).with_failover(drain_timeout=timeout)
    return shared.pair_context(context, pair)


def _switch(context: Any) -> switching.Switch:
    params = context["params"]
    return switching.Switch(
        DIRECTIONS[params["direction"]],
        params["accept_differences"],
        quiet_window=params["how"] == QUIET_WINDOW,
        stop=params["at_drain_timeout"] == STOP,
    )


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
            "Dry run", "Say in the note, and in log and XCom of check, what a switchover would do. Nothing is changed."
        ),
        "accept_differences": shared.tick(
            "Accept differences",
            "You have looked: some jobs have another definition on the server that becomes active, and you want those; "
            "those that are missing there, because the last sync could not deliver them, may stay behind.",
        ),
        "accept_not_ready": shared.tick(
            "Accept not ready",
            "You have looked: the readiness check finds something critical of the server that becomes active, and you "
            "go on all the same.",
        ),
        "how": Param(
            DRAIN,
            type="string",
            enum=[DRAIN, QUIET_WINDOW],
            values_display={
                DRAIN: "drain: disable idle jobs at once, each other one when it has ended",
                QUIET_WINDOW: "wait for a quiet window first, then drain",
            },
            title="How",
            description="Draining works on a server that never rests; a quiet window keeps the gap short.",
        ),
        "drain_timeout": Param(
            int(pair.failover.drain_timeout.total_seconds()),
            type="integer",
            minimum=1,
            title="Drain timeout (seconds)",
            description="How long jobs that run are waited for. Idle jobs run on neither server meanwhile.",
        ),
        "at_drain_timeout": Param(
            GIVE_UP,
            type="string",
            enum=[GIVE_UP, STOP],
            values_display={
                GIVE_UP: "give up: enable again what was enabled",
                STOP: "stop them: disable the jobs that still run, which stops them",
            },
            title="At the drain timeout",
            description="What happens when jobs have not ended by then. They are named in either case.",
        ),
        **shared.quiet_params(pair, "active server"),
    }
