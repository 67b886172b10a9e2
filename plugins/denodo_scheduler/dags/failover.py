"""The failover DAG of a pair: watch the master, decide, act, report. Always watching, and safe beside itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, AssetOrTimeSchedule, Context, DeltaTriggerTimetable, Param, TriggerRule, task
from airflow.sdk.timezone import utcnow
from airflow.utils.types import DagRunType

from denodo_ha.decisions import Action
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import reason_given
from denodo_ha.reason import Reason
from denodo_ha.record import Phase, Record, RecordError
from denodo_ha.verdict import Evidence
from denodo_ha.watching import FAILED, Watching, silent_failure
from denodo_scheduler.alerts import deadline, notifiers
from denodo_scheduler.client.probe import Looker
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
    watch_store,
    watched,
)
from denodo_scheduler.operators.ping_master import PingMasterOperator
from denodo_scheduler.steps.outcome import Blocked, require
from denodo_scheduler.steps.promote import failover as failing_over
from denodo_scheduler.steps.watch import act
from denodo_scheduler.steps.watch import report as reporting
from denodo_scheduler.steps.watch.look import Case, Consents, Heard, judge

log = logging.getLogger(__name__)

RECHECK = timedelta(minutes=1)
"""How long a watch lasts while something is not settled."""
PASSIVE_INTERVAL = timedelta(minutes=5)
"""How often a watch looks whether the passive server is passive."""
OVERLAP = timedelta(seconds=15)
"""How much longer than its period a watch lasts, besides what gathering evidence takes, until the next one is at it."""

DAG_DOC = """
### Fail over to the slave of the pair `{pair}` when its master is down

Watches the master (`{master}`) and compares what should be with what is; see `docs/operator.md`.

* **Leave it unpaused**: a paused DAG watches nothing. To stop the automation, use `{operations}`.
* **Trigger by hand** to have a verdict at once, beside the watch in progress.
* Its history is on the asset `{asset}`; the state in the keys `record` and `watch` of the asset's state store.
"""
PING_DOC = """
Asks the master over two paths, its own web tool and the slave's, every few seconds until something has changed or the
watch is over. Runs deferred. The XCom holds verdict, evidence and latencies.
"""
DECIDE_DOC = (
    "Reads the HA record and both servers, and looks the decision up in the table. The XCom `judgement` says why."
)
ENABLE_DOC = """
Fails over, or resumes what a dead task left: new epoch, intent, last look, fence, then the jobs that were enabled on
the master are enabled on the slave, batch by batch, with a look before each; then everything is read back.
"""
QUENCH_DOC = "The master is back while the slave is active: disables the master's jobs and reads back."
REPAIR_DOC = "The passive slave has enabled jobs while the master is active: disables them and reads back."
BLOCKED_DOC = "Something is wrong that must not or cannot be mended by itself. Fails, and says what a person can do."
REPORT_DOC = "Writes the history, notifies people of what has changed, and asks for the next look."


def failover_dag(pair: Pair) -> DAG:
    """Build the failover DAG of one pair. Makes no request and reads no Variable or Connection."""
    notifiers(pair)  # a wrong one is to be an import error, not a surprise in the night
    assets = assets_of(pair)
    state: dict[str, Any] = assets.of_a_task
    slot: dict[str, Any] = {**state, "pool": pair.pool}
    changing: dict[str, Any] = {**slot, "multiple_outputs": False}

    with DAG(
        dag_id=pair.dag_id_failover,
        description=f"Fail over to {pair.slave} when {pair.master} is down",
        doc_md=DAG_DOC.format(
            pair=pair.name, master=pair.master, asset=pair.asset_uri, operations=pair.dag_id_operations
        ),
        schedule=AssetOrTimeSchedule(timetable=DeltaTriggerTimetable(pair.watch.duration), assets=[assets.look]),
        start_date=START,
        catchup=False,
        max_active_runs=8,
        allowed_run_types=[kind for kind in DagRunType if kind != DagRunType.BACKFILL_JOB],  # type: ignore[misc]
        deadline=deadline(pair),
        tags=["denodo", "denodo-ha", *pair.tags],
        default_args=default_args(pair, retries=3, retry_delay=timedelta(seconds=5)),
    ) as dag:
        ping = WatchMasterOperator(
            task_id="ping_master",
            doc_md=PING_DOC,
            pair=pair,
            assets=assets,
            denodo_scheduler_conn_id=pair.master,
            slave_conn_id=pair.slave,
            second_path=pair.watch.second_path,
            interval=pair.watch.probe_interval,
            fall=pair.watch.fall,
            include_projects=pair.projects,
            include_jobs=pair.jobs,
            **state,
        )

        @task.branch(task_id="decide", doc_md=DECIDE_DOC, **state)
        def decide(**context: Any) -> list[str] | str:
            case = _case(pair, assets, context)
            judged = judge(case)
            decision = judged.decision
            context["ti"].xcom_push(key="judgement", value=judged.to_json())
            log.info("%s: %s. Next: %s.", decision.code, decision.what, decision.next_step)
            _ensure_reason(case)
            return [] if case.context.dry_run else decision.action.value

        @task(task_id=Action.ENABLE_JOBS.value, doc_md=ENABLE_DOC, priority_weight=100, **changing)
        def enable_jobs(**context: Any) -> dict[str, Any]:
            with (
                _step(pair, assets, context) as case,
                Looker(case.context.master, case.context.slave, second_path=pair.watch.second_path) as looker,
            ):
                return failing_over.enable_jobs(case, looker.look)

        @task(task_id=Action.QUENCH_MASTER.value, doc_md=QUENCH_DOC, priority_weight=100, **changing)
        def quench_master(**context: Any) -> dict[str, Any]:
            with _step(pair, assets, context) as case:
                return act.quench_master(case)

        @task(task_id=Action.REPAIR_SLAVE.value, doc_md=REPAIR_DOC, **changing)
        def repair_slave(**context: Any) -> dict[str, Any]:
            with _step(pair, assets, context) as case:
                return act.repair_slave(case)

        @task(task_id=Action.BLOCKED.value, doc_md=BLOCKED_DOC, retries=0, **changing)
        def blocked(**context: Any) -> None:
            with explaining(context):
                act.block(_case(pair, assets, context))

        healthy = EmptyOperator(task_id=Action.HEALTHY.value)
        branches = [enable_jobs(), quench_master(), repair_slave(), blocked(), healthy, *_optional(pair, assets, slot)]

        @task(task_id="report", doc_md=REPORT_DOC, trigger_rule=TriggerRule.ALL_DONE, priority_weight=100, **changing)
        def report(**context: Any) -> None:
            _report(pair, assets, context, [branch.task_id for branch in dag.task_dict["decide"].downstream_list])

        decided = decide()
        ping >> decided >> branches >> report()
    dag.params.update(_params())  # only now, because each task would be given a copy of all of them
    return dag


class WatchMasterOperator(PingMasterOperator):
    """The ping of a pair's failover DAG: how long it watches, and what ends it, follows from the pair's state.

    A run by hand takes its own verdict at once. Any other run becomes the pair's watcher.
    """

    template_fields = ()

    def __init__(self, *, pair: Pair, assets: Assets, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pair = pair
        self.assets = assets

    def execute(self, context: Context) -> Any:
        store = watch_store(self.assets, context)
        record = _record(self.pair, self.assets, context)
        if record and record.phase in (Phase.NORMAL, Phase.FAILED_OVER):
            normal = record.phase is Phase.NORMAL
            self.passive_conn_id = self.pair.slave if normal else self.pair.master
            self.active_conn_id = None if normal else self.pair.slave
        self.passive_interval = PASSIVE_INTERVAL
        if not _by_hand(context):
            seen = store.load()
            store.save(replace(seen, owner=context["dag_run"].run_id))
            self.known = seen.verdict or None
            self.watch_for = self._watch_for(seen, record)
            self.delay = RECHECK if seen.code == FAILED.code else timedelta(0)
        return super().execute(context)

    def _watch_for(self, seen: Watching, record: Record | None) -> timedelta:
        if not seen.settled:
            return RECHECK
        longest = self.pair.watch.duration
        if self.pair.failover.on_master_return == "fail_back" and seen.code == "master_back":
            longest = min(longest, self.pair.failover.stable_for)
        if record and record.paused and record.paused.until:
            longest = min(longest, max(RECHECK, record.paused.until - utcnow()))
        return longest + self.fall * self.interval + OVERLAP


def _record(pair: Pair, assets: Assets, context: Any) -> Record | None:
    try:
        return pair_context(pair, assets, context).records.load()
    except RecordError:
        return None


def _by_hand(context: Any) -> bool:
    return bool(context["dag_run"].run_type == "manual")


def _optional(pair: Pair, assets: Assets, slot: dict[str, Any]) -> Iterator[Any]:
    """Branches that only some policies have; what they need is imported only there, since every task parses this."""
    if pair.failover.policy == "approval":
        from denodo_scheduler.dags.approval import ApproveFailoverOperator

        yield ApproveFailoverOperator(task_id=Action.APPROVE.value, pair=pair, assets=assets, **slot)
    if pair.failover.on_master_return == "fail_back":
        from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

        yield TriggerDagRunOperator(
            task_id=Action.FAIL_BACK.value,
            trigger_dag_id=pair.dag_id_switchover,
            trigger_run_id="fail_back__epoch_{{ ti.xcom_pull(task_ids='decide', key='judgement')['epoch'] }}",
            skip_when_already_exists=True,
            conf={"direction": "to_master", "reason": "policy on_master_return: fail_back"},
        )


def _case(pair: Pair, assets: Assets, context: Any) -> Case:
    params = context["params"]
    consents = _by_hand(context) and not context["dag_run"].clear_number  # they hold once, not when the run is cleared
    ping, seen = watched(context) or {}, watch_store(assets, context).load()
    given = {name: consents and params[name] for name in ("fail_over", "accept_old_snapshot", "fenced")}
    heard = Heard(
        alive_since=_moment(ping.get("alive_since")),
        last_alive=_moment(seen.last_alive),
        second_good=_moment(ping.get("second_good") or seen.second_good),
    )
    return Case(pair_context(pair, assets, context), _evidence(context), Consents(**given), heard)


@contextmanager
def _step(pair: Pair, assets: Assets, context: Any) -> Iterator[Case]:
    """Around a step that may change a server."""
    with explaining(context):
        case = _case(pair, assets, context)
    with publishing(case.context, assets, context), explaining(context):
        yield case


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _evidence(context: Any) -> Evidence:
    ping = watched(context)
    if ping is None:
        raise Blocked("no_evidence", "ping_master of this run has no result", "clear the whole run")
    return Evidence.from_json(ping["evidence"])


def _ensure_reason(case: Case) -> None:
    if case.consents != Consents():
        require(reason_given(case.context.reason, "a consent was given without a reason"))


def _report(pair: Pair, assets: Assets, context: Any, branches: list[str]) -> None:
    run = pair_context(pair, assets, context)
    pull = context["ti"].xcom_pull
    judgement = pull(task_ids="decide", key="judgement")
    if judgement is None:
        log.warning("Nothing was decided in this run: see the tasks before.")
    store = watch_store(assets, context)
    seen = store.load()
    if judgement and judgement["at"] < seen.at:
        log.warning("This run was judged at %s, and the pair was looked at since: nothing to report.", judgement["at"])
        publish(run, assets, context)  # an earlier try of this task may have died right after it had reported
        if seen.owner == run.run_id and not run.dry_run:  # nobody else asks for the next look
            ask_for_a_look(assets, context, seen.code, afresh=False)
        return
    said = next((found for branch in branches if (found := pull(task_ids=branch, key="problem"))), None)
    problem = Reason(**said) if said else None
    if judgement and not problem and not run.dry_run:
        problem = silent_failure(seen, judgement, _state_of(judgement["action"], context))
    look_again = reporting.report(run, store, judgement, problem, watched(context), by_hand=_by_hand(context))
    publish(run, assets, context)
    if look_again:
        ask_for_a_look(assets, context, store.load().code, afresh=False)


def _state_of(task_id: str, context: Any) -> str | None:
    dag_run = context["dag_run"]
    states = context["ti"].get_task_states(dag_id=dag_run.dag_id, task_ids=[task_id], run_ids=[dag_run.run_id])
    state: str | None = states.get(dag_run.run_id, {}).get(task_id)
    return state


def _params() -> dict[str, Param]:
    """The form of a manual run; the consents hold for that run only."""
    return {
        "reason": Param(
            None,
            type=["null", "string"],
            title="Reason",
            description="Why you start this run; needed for a consent below, and kept in the history.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Only look and decide. The XCom judgement of decide says what would be done.",
        ),
        "fail_over": Param(
            False,
            type="boolean",
            title="Fail over",
            description="If the master is down: fail over although the pair's policy asks a person first. You are it.",
        ),
        "accept_old_snapshot": Param(
            False,
            type="boolean",
            title="Accept an old snapshot",
            description="Promote the last verified snapshot although it is older than the pair allows.",
        ),
        "fenced": Param(
            False,
            type="boolean",
            title="The master is fenced",
            description="You have made sure that the master's Scheduler cannot start again by itself.",
        ),
    }
