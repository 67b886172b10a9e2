"""The failover DAG of a pair: watch the master, decide, act, report. Always watching, and safe beside itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Context, DeltaTriggerTimetable, Param, TriggerRule, XComArg
from airflow.sdk.timezone import utcnow
from airflow.utils.types import DagRunType

from denodo_ha import dry_runs, told
from denodo_ha.decisions import Action
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import reason_given
from denodo_ha.reason import Reason
from denodo_ha.record import Phase, Record, RecordError
from denodo_ha.situation import Consents, Heard
from denodo_ha.watching import FAILED, PASSIVE_INTERVAL, Watching, latest, silent_failure
from denodo_scheduler.alerts import deadline
from denodo_scheduler.client.probe import Looker
from denodo_scheduler.dags import shared
from denodo_scheduler.dags.tasks import BranchStepOperator
from denodo_scheduler.operators.ping_master import DenodoSchedulerPingMasterOperator
from denodo_scheduler.steps.outcome import require
from denodo_scheduler.steps.promote import failover as failing_over
from denodo_scheduler.steps.watch import act
from denodo_scheduler.steps.watch.look import Case, judge
from denodo_scheduler.steps.watch.report import report as save_report

log = logging.getLogger(__name__)

RECHECK = timedelta(minutes=1)
"""How long a watch lasts while something is not settled."""
OVERLAP = timedelta(seconds=15)
"""How much longer than its period a watch lasts, besides what gathering evidence takes, until the next one is at it."""
ALL_BUT_BACKFILLS = [kind for kind in DagRunType if kind != DagRunType.BACKFILL_JOB]

DAG_DOC = """
### Fail over to the slave of the pair `{pair.name}` when its master is down

Watches the master (`{pair.master}`) without end, compares what should be with what is, and acts: it fails over,
disables the jobs of a master that comes back, and repairs the slave.

* **Leave it unpaused**: a paused DAG watches nothing. To stop the automation, *pause* the pair by its operations DAG.
* **Trigger it** to have a verdict at once, or with your consent to fail over where the pair asks a person first.
* **A run is red?** Its note says why, and the link *What to do* of its red task leads to the runbook.
"""
PING_DOC = """
Ask the master over two paths, its own web tool and the slave's, every few seconds until something has changed or the
watch is over. Runs deferred. The XCom holds verdict, evidence and latencies.
"""


class WatchMasterOperator(DenodoSchedulerPingMasterOperator):
    """The ping of a pair's failover DAG: how long it watches, and what ends it, follows from the pair's state.

    A run by hand takes its own verdict at once. Any other run becomes the pair's watcher.
    """

    template_fields = ()

    def execute(self, context: Context) -> None:
        pair, record = shared.pair_of(context), _record(context)
        passive, active = _passive_and_active(pair, record)
        store = shared.watch_store(context)
        seen = store.load()
        known: dict[str, Any] = {
            "passive_conn_id": passive,
            "active_conn_id": active,
            "addresses": seen.addresses,
            "pair": pair.name,
            "last_alive": _moment(seen.last_alive),
        }
        if _by_hand(context):
            self.watch(**known)
        store.save(replace(seen, owner=context["dag_run"].run_id))
        self.watch(
            watch_for=self._watch_for(pair, seen, record),
            known=seen.verdict or None,
            delay=RECHECK if seen.code == FAILED.code else timedelta(0),
            **known,
        )

    def _watch_for(self, pair: Pair, seen: Watching, record: Record | None) -> timedelta:
        if not seen.settled:
            return RECHECK
        longest = pair.watch.duration
        if pair.failover.on_master_return == "fail_back" and seen.code == "master_back":
            longest = min(longest, pair.failover.stable_for)
        if record and record.paused and record.paused.until:
            longest = min(longest, max(RECHECK, record.paused.until - utcnow()))
        return longest + self.fall * self.interval + OVERLAP


@shared.step(BranchStepOperator, **shared.CHANGES_NOTHING)
def decide(watched: Any, **context: Any) -> list[str] | str:
    """Read the HA record and both servers, and look the decision up in the table. The XCom `judgement` says why."""
    case = _case(context, watched)
    judged = judge(case, keep=True)
    decision, found = judged.decision, judged.to_json()
    if case.context.dry_run:
        shared.show(context, dry_runs.failover(found))
    else:
        log.info("%s", decision.reason)
    context["ti"].xcom_push(key="judgement", value=found)
    if case.consents != Consents():
        with shared.explaining(context):
            require(reason_given(case.context.reason, "a consent was given without a reason"))
    return [] if case.context.dry_run else decision.action.value


@shared.step(priority_weight=100)
def enable_jobs(watched: Any, **context: Any) -> dict[str, Any]:
    """Fail over, or resume what a dead task left: new epoch, intent, last look, fence, then the jobs that were enabled
    on the master are enabled on the slave, batch by batch, with a look before each; then everything is read back.
    """
    with _step(context, watched) as case:
        run, addresses = case.context, (shared.seen_by(watched) or {}).get("addresses")
        second_path = run.pair.watch.second_path
        with Looker(run.master, run.slave, second_path=second_path, addresses=addresses, tell_apart=True) as looker:
            return shared.tell(context, failing_over.enable_jobs(case, looker.look))


@shared.step(priority_weight=100)
def quench_master(watched: Any, **context: Any) -> dict[str, Any]:
    """Disable the jobs of a master that is back while the slave is active, and read back."""
    with _step(context, watched) as case:
        return shared.tell(context, act.quench_master(case))


@shared.step()
def repair_slave(watched: Any, **context: Any) -> dict[str, Any]:
    """Disable the jobs that are enabled on the passive slave while the master is active, and read back."""
    with _step(context, watched) as case:
        return shared.tell(context, act.repair_slave(case))


@shared.step(retries=0)
def blocked(watched: Any, **context: Any) -> None:
    """Fail, and say what a person can do: something is wrong that must not or cannot be mended by itself."""
    with shared.explaining(context):
        act.block(_case(context, watched))


@shared.step(trigger_rule=TriggerRule.ALL_DONE, priority_weight=100)
def report(watched: Any, **context: Any) -> None:
    """Write the history, notify people of what has changed, and ask for the next look."""
    run, store = shared.pair_context(context), shared.watch_store(context)
    judgement = context["ti"].xcom_pull(task_ids="decide", key="judgement")
    if judgement is None:
        log.warning("Nothing was decided in this run: see the tasks before.")
    seen = store.load()
    if judgement and judgement["at"] < latest(utcnow(), seen.at):
        log.warning("This run was judged at %s, and the pair was looked at since: nothing to report.", judgement["at"])
        shared.publish(run, context)  # an earlier try of this task may have died right after it had reported
        if seen.owner == run.run_id and not run.dry_run:  # no other run asks for the next look
            shared.ask_for_a_look(context, seen.code, afresh=False)
        return
    problem = shared.problem_of(context, context["task"].upstream_task_ids)
    if judgement and not problem and not run.dry_run:
        problem = silent_failure(seen, judgement, _state_of(judgement["action"], context))
    shared.note(context, _note(judgement, problem or (None if judgement else FAILED), context))
    look_again = save_report(run, store, judgement, problem, shared.seen_by(watched), by_hand=_by_hand(context))
    shared.publish(run, context)
    if look_again:
        shared.ask_for_a_look(context, store.load().code, afresh=False)


def failover_dag(pair: Pair) -> DAG:
    """Build the failover DAG of one pair. Makes no request and reads no Variable or Connection."""
    with shared.pair_dag(
        pair,
        pair.dag_id_failover,
        name="2 failover",
        description=f"Fail over to {pair.slave} when {pair.master} is down",
        doc=DAG_DOC,
        params=_params(),
        schedule=DeltaTriggerTimetable(pair.watch.duration),
        max_active_runs=8,
        allowed_run_types=ALL_BUT_BACKFILLS,
        deadline=deadline(pair),
        default_args={"retries": 3, "retry_delay": timedelta(seconds=5)},
    ) as dag:
        watched = WatchMasterOperator(
            task_id="ping_master",
            doc_md=PING_DOC,
            denodo_scheduler_conn_id=pair.master,
            slave_conn_id=pair.slave,
            second_path=pair.watch.second_path,
            interval=pair.watch.probe_interval,
            fall=pair.watch.fall,
            passive_interval=PASSIVE_INTERVAL,
            include_projects=pair.projects,
            include_jobs=pair.jobs,
            **shared.CHANGES_NOTHING,
        ).output
        decided = decide(watched)
        steps = [each(watched) for each in (enable_jobs, quench_master, repair_slave, blocked)]
        branches = [
            *steps,
            EmptyOperator(task_id=Action.NOTHING_TO_DO.value, **shared.CHANGES_NOTHING),
            *_optional(pair, watched),
        ]
        # a leaf beside report, which always succeeds: a run whose step has failed is to be red
        outcome = EmptyOperator(task_id="outcome", trigger_rule=TriggerRule.NONE_FAILED, **shared.CHANGES_NOTHING)
        decided >> branches >> report(watched)
        branches >> outcome
    return dag


def _note(judgement: dict[str, Any] | None, problem: Reason | None, context: Any) -> str:
    if problem or not judgement:
        return str(problem)
    if context["params"]["dry_run"]:
        return dry_runs.failover(judgement)
    done = context["ti"].xcom_pull(task_ids=judgement["action"])
    return told.text(done) if isinstance(done, dict) and "kind" in done else f"{judgement['code']}: {judgement['what']}"


def _optional(pair: Pair, watched: XComArg) -> Iterator[Any]:
    """Branches that only some policies have; what they need is imported only there, since every task parses this."""
    if pair.failover.policy == "approval":
        from denodo_scheduler.dags.approval import ApproveFailoverOperator

        yield ApproveFailoverOperator(task_id=Action.APPROVE.value, pair=pair, watched=watched)
    if pair.failover.on_master_return == "fail_back":
        from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

        yield TriggerDagRunOperator(
            task_id=Action.FAIL_BACK.value,
            trigger_dag_id=pair.dag_id_switchover,
            trigger_run_id="fail_back__epoch_{{ ti.xcom_pull(task_ids='decide', key='judgement')['epoch'] }}",
            skip_when_already_exists=True,
            conf={"direction": "to_master", "reason": "policy on_master_return: fail_back"},
            **shared.CHANGES_NOTHING,
        )


def _params() -> dict[str, Param]:
    """The form of a manual run; the consents hold for that run only."""
    return {
        "reason": shared.optional_text("Reason", "Why you start this run; kept in the history. Each consent needs it."),
        "dry_run": shared.tick(
            "Dry run", "Only look and decide. The note, and the XCom of decide, say what it would do."
        ),
        "fail_over": shared.tick(
            "Fail over", "If the master is down: fail over although the pair's policy asks a person first. You are it."
        ),
        "accept_old_snapshot": shared.tick(
            "Accept an old snapshot", "Promote the last verified snapshot although it is older than the pair allows."
        ),
        "fenced": shared.tick(
            "The master is fenced", "You have made sure that the master's Scheduler cannot start again by itself."
        ),
    }


# -- what the tasks share


def _case(context: Any, watched: Any) -> Case:
    params = context["params"]
    consents = _by_hand(context) and not context["dag_run"].clear_number  # they hold once, not when the run is cleared
    ping, last = shared.seen_by(watched) or {}, shared.watch_store(context).load()
    given = {name: consents and params[name] for name in ("fail_over", "accept_old_snapshot", "fenced")}
    heard = Heard(
        alive_since=_moment(ping.get("alive_since")),
        last_alive=_moment(last.last_alive),
        second_good=_moment(ping.get("second_good") or last.second_good),
    )
    return Case(shared.pair_context(context), shared.evidence_of(watched), Consents(**given), heard)


@contextmanager
def _step(context: Any, watched: Any) -> Iterator[Case]:
    """Around a step that may change a server, or the record."""
    run = shared.pair_context(context)
    with shared.publishing(run, context), shared.explaining(context):
        yield _case(context, watched)


def _record(context: Any) -> Record | None:
    try:
        return shared.pair_context(context).records.load()
    except RecordError:
        return None


def _passive_and_active(pair: Pair, record: Record | None) -> tuple[str | None, str | None]:
    """Connections of the server that should be passive, and of the one on which jobs should be enabled."""
    if record is None or record.phase not in (Phase.NORMAL, Phase.FAILED_OVER):
        return None, None
    passive, active = (pair.master, pair.slave) if record.phase is Phase.FAILED_OVER else (pair.slave, pair.master)
    return passive, active if record.snapshot and record.snapshot.enabled else None


def _by_hand(context: Any) -> bool:
    return bool(context["dag_run"].run_type == "manual")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _state_of(task_id: str, context: Any) -> str | None:
    dag_run = context["dag_run"]
    states = context["ti"].get_task_states(dag_id=dag_run.dag_id, task_ids=[task_id], run_ids=[dag_run.run_id])
    state: str | None = states.get(dag_run.run_id, {}).get(task_id)
    return state
