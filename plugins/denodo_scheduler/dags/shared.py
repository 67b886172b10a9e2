"""What the DAGs of a pair have in common: how they are built, a step's run, and how its history gets out."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from typing import Any, NoReturn

import pendulum
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, AssetAlias, BaseOperator, Param, XComArg, get_parsing_context
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.exceptions import DagRunTriggerException
from airflow.sdk.timezone import utcnow

from denodo_ha import told
from denodo_ha.measures import of_check
from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import read_pairs
from denodo_ha.readiness.findings import Readiness
from denodo_ha.reason import Reason
from denodo_ha.record import RecordError
from denodo_ha.verdict import Evidence
from denodo_scheduler import metrics
from denodo_scheduler.dags import NOTE, OUR_DAGS
from denodo_scheduler.dags.history import handed_out, measured
from denodo_scheduler.dags.tasks import StepOperator, WaitForQuietWindowSensor
from denodo_scheduler.exceptions import RETRY_POLICY, ConfigurationError, NoTokenError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.links import dag_path, docs_path, page_path
from denodo_scheduler.settings import configured_pairs, pairs_path
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.state.snapshot_store import SnapshotStore, snapshot_folder
from denodo_scheduler.state.storage import StorageError
from denodo_scheduler.state.watch_store import WatchStore
from denodo_scheduler.steps.active import GROUP, pair_asset
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.outcome import Blocked, NotYet, at_once, plainly, readable

log = logging.getLogger(__name__)

START = pendulum.datetime(2026, 1, 1, tz="UTC")
"""Before any backfill that makes sense; DAGs never catch up by themselves."""
CHANGES_NOTHING: dict[str, Any] = {"pool": "default_pool"}
"""Arguments of a task that needs not wait for the pair's slot: it changes nothing, or gives way to whatever does."""
RESULT = "return_value"
"""Airflow's key of a task's result, which a branch that goes nowhere leaves empty."""
CHECK_KEY, DOCTOR_KEY = "check", "doctor"
"""The keys of the asset's state store with the last readiness check, and what the last doctor has found."""
WITHOUT_RECORD = frozenset({"wait_for_quiet_window", "nothing_to_do", "outcome", "fail_back", "sync", "drill_result"})
"""Tasks that do not know the record."""
THOUSANDS_OF_JOBS = timedelta(hours=1)
"""How long it takes to change and read back as many jobs, at the very most. The next try resumes what is cut off."""


# -- how a DAG is built


def dags(build: Callable[[Pair], DAG | None]) -> dict[str, DAG]:
    """Build the DAG of each pair that has one and for which it can be built, by DAG id;
    :mod:`denodo_scheduler.dags.pairs` tells why others are left out.
    """
    built: dict[str, DAG] = {}
    for pair in _pairs():
        try:
            dag = build(pair)
        except Exception:
            log.exception("A DAG of the pair %s cannot be built", pair.name)
        else:
            built |= {dag.dag_id: dag} if dag else {}
    return built


def _pairs() -> Iterable[Pair]:
    """Read all pairs. A task, for which its DAG file is read again, needs only that of its own DAG."""
    dag_id = get_parsing_context().dag_id
    if not dag_id:
        return read_pairs(pairs_path()).pairs.values()
    ours = OUR_DAGS.fullmatch(dag_id)
    return configured_pairs(ours["pair"]).values() if ours else ()


@contextmanager
def pair_dag(
    pair: Pair,
    dag_id: str,
    *,
    name: str,
    doc: str,
    params: Mapping[str, Param],
    schedule: Any,
    default_args: Mapping[str, Any],
    **arguments: Any,
) -> Iterator[DAG]:
    """Build a DAG of ``pair`` around the tasks that are made meanwhile, which find the pair by :func:`pair_of`.

    :param name: the words by which Airflow shows it, behind those of the pair: its DAGs stand together, in this order.
    :param doc: its documentation, in which ``{pair}`` stands for the pair.
    :param arguments: those of the DAG.
    """
    with DAG(
        dag_id=dag_id,
        dag_display_name=f"Denodo {pair.name} {name}",
        doc_md=doc.format(pair=pair) + _where_to_go(pair, dag_id),
        schedule=schedule,
        start_date=START,
        catchup=False,
        max_consecutive_failed_dag_runs=0,  # whatever Airflow's default: a blocked run is red, and must never pause it
        auto_register=False,  # also what raises half-way would be; the DAG file has those that :func:`dags` returns
        tags=["denodo", "denodo-ha", *pair.tags],
        default_args={**_of_each_task(pair), **default_args},
        user_defined_macros={"pair": pair},  # which never leave the process that parses
        **arguments,
    ) as dag:
        yield dag
    dag.params.update(params)  # only now, because each task would be given a copy of all of them
    assets = Assets(pair)
    for task in dag.tasks:  # not by default_args, which Airflow's interface shows, and it cannot show an asset there
        if isinstance(task, BaseOperator) and task.task_id not in WITHOUT_RECORD:
            task.add_inlets([assets.pair])
            task.add_outlets([assets.history])


def _where_to_go(pair: Pair, dag_id: str) -> str:
    """The links at the end of a DAG's documentation; Airflow's interface resolves them from its own address."""
    drill = [("drill", pair.dag_id_drill)] if pair.drill_schedule else []
    dags = [
        ("sync", pair.dag_id_sync),
        ("failover", pair.dag_id_failover),
        ("switchover", pair.dag_id_switchover),
        ("operations", pair.dag_id_operations),
        *drill,
    ]
    others = ", ".join(f"[{name}]({dag_path(other)})" for name, other in dags if other != dag_id)
    return (
        f"\n**[The pair {pair.name}]({page_path(pair.name)})**: who runs the jobs, since when, why, and what to do.\n\n"
        f"Its other DAGs: {others}. Documentation: [for the person on duty]({docs_path('on-duty')}), "
        f"[reason codes]({docs_path('reason-codes')}), [incidents]({docs_path('runbooks')}).\n"
    )


def _of_each_task(pair: Pair) -> dict[str, Any]:
    """Arguments of a task, unless it says otherwise.

    It changes something, in the pair's slot. An Airflow that is shared with
    others asks for an owner, and its own default of the timeout must not cut a task that works.
    """
    return {
        "pool": pair.pool,
        "retry_policy": RETRY_POLICY,
        "owner": pair.owner,
        "execution_timeout": 2 * pair.sync.lease
        + pair.sync.import_timeout
        + pair.failover.fence_timeout
        + pair.failover.drain_timeout
        + THOUSANDS_OF_JOBS,
        **({"queue": pair.queue} if pair.queue else {}),
    }


def step(
    operator: type[PythonOperator] = StepOperator, **arguments: Any
) -> Callable[[Callable[..., Any]], Callable[..., XComArg]]:
    """Make a task of a function in each DAG in which it is called, with the results of other tasks.

    Like Airflow's own ``@task``, whose operators take twice as long to parse. A configuration error fails the task at
    once, with its reason, unless the step has a retry policy of its own.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., XComArg]:
        name, doc = function.__name__, inspect.getdoc(function)

        call = plainly(function) if "retry_policy" in arguments else at_once(function)

        @wraps(function)
        def make(*results: XComArg) -> XComArg:
            made = operator(task_id=name, doc_md=doc, python_callable=call, op_args=results, **arguments)
            return XComArg(made)

        return make

    return decorate


def pair_of(context: Any) -> Pair:
    """The pair whose DAG a task belongs to."""
    pair: Pair = context["dag"].user_defined_macros["pair"]
    return pair


class Assets:
    """The assets of a pair; they are equal by name and URI, so that each DAG and each task can make its own.

    ``pair`` is its own asset, whose state store holds the record and whose events are its history; ``history`` the
    alias through which tasks emit these events.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair_asset(pair.name)
        self.history = AssetAlias(name=f"denodo-scheduler-history-{pair.name}", group=GROUP)


# -- forms


def tick(title: str, description: str) -> Param:
    """A box to tick."""
    return Param(False, type="boolean", title=title, description=description)


def optional_text(title: str, description: str, **schema: Any) -> Param:
    """A text that may be left out."""
    return Param(None, type=["null", "string"], title=title, description=description, **schema)


def reason() -> Param:
    """Why a person starts a run that only people start."""
    return Param(type="string", minLength=1, title="Reason", description="Why; kept in the history.")


def quiet_params(pair: Pair, where: str) -> dict[str, Param]:
    """The wait for a quiet window on the server that ``where`` names."""
    window, timeout = (int(each.total_seconds()) for each in (pair.sync.quiet_window, pair.sync.quiet_timeout))
    about = f"How long nothing may be due on the {where}."
    most = "Wait for a quiet window at most (seconds)"
    return {
        "quiet_window": Param(window, type="integer", minimum=1, title="Quiet window (seconds)", description=about),
        "quiet_timeout": Param(timeout, type="integer", minimum=1, title=most),
    }


def quiet_window(pair: Pair, **arguments: Any) -> WaitForQuietWindowSensor:
    """Make the task that waits for a quiet window, as long as :func:`quiet_params` say."""
    return WaitForQuietWindowSensor(
        task_id="wait_for_quiet_window",
        window="{{ params.quiet_window }}",
        timeout="{{ params.quiet_timeout }}",
        margin=pair.sync.quiet_margin,
        timezone=pair.master_timezone,
        include_projects=pair.projects,
        include_jobs=pair.jobs,
        deferrable=True,
        **CHANGES_NOTHING,
        **arguments,
    )


# -- a step's run


def pair_context(context: Any, pair: Pair | None = None) -> PairContext:
    """The pair as this task sees it.

    :param pair: the pair with the options that were chosen for this run, if any.
    """
    pair, dag_run = pair or pair_of(context), context["dag_run"]
    return PairContext(
        pair=pair,
        records=pair_records(context, pair),
        snapshots=SnapshotStore(snapshot_folder(pair), pair.name),
        master=DenodoSchedulerHook(pair.master),
        slave=DenodoSchedulerHook(pair.slave),
        actor=_actor(dag_run),
        reason=context["params"].get("reason") or "",
        run_id=dag_run.run_id,
        dry_run=bool(context["params"].get("dry_run")),
    )


def _actor(dag_run: Any) -> str:
    """Who or what started a run.

    Airflow hands the name of the person who started a run down to each run that its tasks start, and on to those that
    these start: whoever has resumed the pair has not begun the failover of a later look.
    """
    person = None if dag_run.run_type == "operator_triggered" else dag_run.triggering_user_name
    return str(person or dag_run.run_type.value)


def pair_records(context: Any, pair: Pair) -> RecordStore:
    """The HA record of a pair, for a task that has the pair's asset as an inlet."""
    return RecordStore(context["asset_state_store"][Assets(pair).pair], snapshot_folder(pair) / pair.name)


def watch_store(context: Any) -> WatchStore:
    return WatchStore(context["asset_state_store"][Assets(pair_of(context)).pair])


def keep(context: Any, key: str, found: dict[str, Any]) -> None:
    """Keep the result of the last readiness check, or of the last doctor, for ``denodo-ha``."""
    context["asset_state_store"][Assets(pair_of(context)).pair].set(key, found)


def keep_readiness(context: Any, found: Readiness) -> None:
    """Keep and measure what a readiness check has found."""
    keep(context, CHECK_KEY, found.to_json())
    metrics.send(pair_of(context).name, of_check(found))


def kept(context: Any, key: str) -> Any:
    """Return what :func:`keep` has kept."""
    return context["asset_state_store"][Assets(pair_of(context)).pair].get(key)


def seen_by(watched: Any) -> dict[str, Any] | None:
    """What ``ping_master`` has seen. Airflow 3.3 encodes the XCom of a trigger that ends its task twice."""
    seen: dict[str, Any] | None = json.loads(watched) if isinstance(watched, str) else watched
    return seen


def evidence_of(watched: Any) -> Evidence:
    seen = readable(seen_by, watched)
    if seen is None:
        raise Blocked("no_evidence", "ping_master of this run has no result", "clear the whole run")
    return readable(lambda found: Evidence.from_json(found["evidence"]), seen)


# -- how the history gets out


@contextmanager
def publishing(run: PairContext, context: Any) -> Iterator[None]:
    """Around a step: afterwards the events it saved become asset events and notifications.

    A step that fails publishes nothing; its events stay in the record's outbox for the next task that does.
    """
    yield
    publish(run, context)


def publish(run: PairContext, context: Any, *, notified: Collection[str] = ()) -> None:
    """Turn the events that wait in the outboxes into asset events of the pair, each once, and notify of them.

    An event leaves its outbox only after it was seen in the pair's history, so none is lost when a task dies. Whether
    there are events or not, the pair is measured.

    :param notified: ids of events of which this task has notified people already.
    """
    assets = Assets(run.pair)
    measure(run, context, handed_out(run, context, watch_store(context), assets.pair, assets.history, notified))


def measure(run: PairContext, context: Any, events: Iterable[dict[str, Any]] = ()) -> None:
    """Send by Airflow's metrics how the pair is now, and what these events tell."""
    began = context["dag_run"].start_date
    metrics.send(run.pair.name, measured(run, watch_store(context), began, events))


def ask_for_a_look(context: Any, reason: str, *, afresh: bool = True, result: Any = None) -> NoReturn:
    """End this task as a success, and start a run of the failover DAG, as a ``TriggerDagRunOperator`` does.

    Airflow starts the run first. A worker that dies in between costs another try of the task and a second look, which
    does no harm: only the run that began last asks for the next one.

    :param reason: why; in the note of that run, until the run itself says what it was.
    :param afresh: it takes its first verdict at once, whatever was known. Otherwise it goes on watching for a change.
    :param result: what the task returns.
    """
    if afresh:
        store = watch_store(context)
        store.save(replace(store.load(), verdict="", settled=False))
    if result is not None:
        context["ti"].xcom_push(key=BaseXCom.XCOM_RETURN_KEY, value=result)
    raise DagRunTriggerException(
        trigger_dag_id=pair_of(context).dag_id_failover,
        dag_run_id=f"look__{utcnow().isoformat()}",
        conf=None,
        note=f"Asked for by {context['dag'].dag_id}: {reason}",
        reset_dag_run=False,
        skip_when_already_exists=False,
        wait_for_completion=False,
        allowed_states=[],
        failed_states=[],
        poke_interval=0,
        deferrable=False,
    )


def note(context: Any, text: str) -> None:
    """Say in one sentence what this run was: in the log of its task, and by the plugin's listener in its note."""
    log.info("%s", text)
    context["ti"].xcom_push(key=NOTE, value=text)


def tell(context: Any, event: dict[str, Any]) -> dict[str, Any]:
    """Say what an event tells: its sentence as :func:`note` does, the facts behind it in the log at DEBUG."""
    note(context, event.get("text") or told.text(event))
    for label, said in told.facts(event):
        log.debug("%s: %s", label, said)
    return event


def show(context: Any, text: str, *, result: bool = True) -> None:
    """Show what a run that only looks has found: in the log, and in the note, of which Airflow keeps 1,000 characters.

    :param result: it is the XCom of the task too, which gives no other.
    """
    log.info("%s", text)
    context["ti"].xcom_push(key=NOTE, value=text if len(text) <= 1000 else text.partition("\n")[0])
    if result:
        context["ti"].xcom_push(key=RESULT, value=text)


def leave_problem(context: Any, reason: Reason) -> None:
    """Leave why a task fails, for the task that reports and for the link *What to do*."""
    context["ti"].xcom_push(key="problem", value=reason.to_json())


@contextmanager
def explaining(context: Any) -> Iterator[None]:
    """Leave reason code and text of a step that fails in the XCom ``problem``, for the task that reports."""
    try:
        yield
    except (Blocked, NotYet, StorageError, RecordError, ConfigurationError, NoTokenError) as error:
        leave_problem(context, error.reason)
        with suppress(Exception):
            note(context, str(error.reason))
        raise


def problem_of(context: Any, task_ids: Iterable[str]) -> Reason | None:
    """Why the first of the tasks that failed did so, as it left it by :func:`explaining`."""
    found = (context["ti"].xcom_pull(task_ids=task_id, key="problem") for task_id in task_ids)
    return next((Reason(**each) for each in found if each), None)
