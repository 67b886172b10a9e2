"""The sync DAG as a person sees it in the interface, and as the scheduler gets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, ParamValidationError, TaskDeferred
from airflow.serialization.serialized_objects import DagSerialization

from denodo_ha.record import RecordError
from denodo_scheduler.exceptions import RETRY_POLICY, ConfigurationError, UnreachableError, WrongConnectionError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.links import page_path
from denodo_scheduler.steps.claim import SyncTicket
from denodo_scheduler.steps.outcome import Blocked

Parse = Callable[..., DagBag]

ORDER = ["guard", "export_metadata", "wait_for_quiet_window", "import_metadata", "disable_jobs", "verify"]
UPSTREAM = {
    "guard": set(),
    "export_metadata": {"guard"},
    "wait_for_quiet_window": {"export_metadata"},
    "import_metadata": {"guard", "export_metadata", "wait_for_quiet_window"},
    "disable_jobs": {"guard", "import_metadata"},
    "verify": {"guard", "export_metadata", "import_metadata", "disable_jobs"},
}
CHANGING = {"guard", "import_metadata", "disable_jobs", "verify"}

OPTIONS = """\
pairs:
  default:
    description: The servers of Sales
    projects: [Sales, "fin*"]
    jobs: ["Load *"]
    master_timezone: Europe/Madrid
    tags: [sales]
    sync: {schedule: "30 2 * * *", quiet_window: 90s, quiet_margin: 10s, quiet_timeout: 2h, orphans: delete}
"""


@pytest.fixture
def own(parse: Parse) -> DAG:
    """A pair none of whose options is the default."""
    return parse(OPTIONS).dags["denodo_scheduler_sync__default"]


def test_order_of_tasks(dag: DAG) -> None:
    assert [task.task_id for task in dag.topological_sort()] == ORDER
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == UPSTREAM


def test_a_failure_is_neither_verified_nor_hidden(dag: DAG) -> None:
    """Since ``disable_jobs`` also runs after failures, a chain alone would end in success after a failed import."""
    assert "import_metadata" in dag.get_task("verify").upstream_task_ids
    assert [task.task_id for task in dag.leaves] == ["verify"], "the leaves decide the state of a run"


def test_whatever_changes_something_is_in_the_pool_of_the_pair(dag: DAG) -> None:
    pools = {task.task_id: task.pool for task in dag.tasks}
    assert {task_id for task_id, pool in pools.items() if pool == "denodo_ha_default"} == CHANGING
    assert {pool for task_id, pool in pools.items() if task_id not in CHANGING} == {"default_pool"}
    assert {task.pool_slots for task in dag.tasks} == {1}


def test_trigger_rules(dag: DAG) -> None:
    rules = {task.task_id: task.trigger_rule for task in dag.tasks}
    assert rules.pop("disable_jobs") == "all_done"
    assert rules.pop("verify") == "none_failed"
    assert rules.pop("import_metadata") == "none_failed", "skipped by the scheduler, it would keep an old result"
    assert set(rules.values()) == {"all_success"}


def test_a_guard_that_says_no_skips_also_what_runs_after_failures(dag: DAG) -> None:
    assert dag.get_task("guard").ignore_downstream_trigger_rules is True


def test_runs(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.allowed_run_types is None, "backfills must stay possible"
    assert dag.start_date is not None


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [
        ("null", "None"),
        ('"30 2 * * MON-FRI"', "30 2 * * MON-FRI"),
        ('"*/5 0-6 1,15 * 7"', "*/5 0-6 1,15 * 7"),
        ('"@hourly"', "0 * * * *"),
        ('"@daily"', "0 0 * * *"),
        ('"@weekly"', "0 0 * * 0"),
        ('"@monthly"', "0 0 1 * *"),
        ('"@quarterly"', "0 0 1 */3 *"),
        ('"@yearly"', "0 0 1 1 *"),
    ],
)
def test_every_schedule_that_a_pair_may_have_is_one_for_airflow(parse: Parse, schedule: str, shown: str) -> None:
    bag = parse(f"pairs:\n  default:\n    sync:\n      schedule: {schedule}\n")
    assert bag.import_errors == {}
    dag = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags["denodo_scheduler_sync__default"]))
    assert dag.timetable.summary == shown


def test_retries(dag: DAG) -> None:
    for task in dag.tasks:
        tried = (task.retries, task.retry_delay, task.retry_policy)
        if task.task_id == "disable_jobs":
            assert tried == (20, timedelta(seconds=30), None), "the safety net does not give up soon, nor on a 404"
        else:
            assert tried == (2, timedelta(seconds=15), RETRY_POLICY), task.task_id
    assert RETRY_POLICY.evaluate(ConfigurationError("wrong password"), 1, 2).action.value == "fail"
    assert RETRY_POLICY.evaluate(UnreachableError("refused"), 1, 2).action.value == "default"


def test_documentation(dag: DAG) -> None:
    assert dag.doc_md is not None
    for name in ("`default`", "`denodo_scheduler_master`", "`denodo_scheduler_slave`", page_path("default")):
        assert name in dag.doc_md
    for task in dag.tasks:
        assert task.doc_md is not None, task.task_id
        assert len(task.doc_md.split()) > 10, task.task_id


def test_what_a_pair_says_of_itself(dag: DAG, own: DAG) -> None:
    assert dag.description == "Keep denodo_scheduler_slave in step with denodo_scheduler_master"
    assert own.description == "The servers of Sales"
    assert dag.tags == {"denodo", "denodo-ha"}
    assert own.tags == {"denodo", "denodo-ha", "sales"}


def test_the_wait_sleeps_until_the_moment_of_the_plan(dag: DAG, task_context: Any) -> None:
    """Airflow would not parse an empty text, which a skipped wait never shows."""
    moment = "2026-03-01T12:00:00+00:00"
    sensor: Any = task_context(dag, xcoms={"export_metadata": {"wait_until": moment}}).render("wait_for_quiet_window")
    assert isinstance(sensor, DateTimeSensorAsync)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    trigger = deferred.value.trigger
    assert isinstance(trigger, DateTimeTrigger)
    assert trigger.moment == datetime.fromisoformat(moment)


def test_only_a_moment_is_waited_for(dag: DAG, task_context: Any) -> None:
    """Asked again after a deferral, it says the same."""
    before = dag.get_task("wait_for_quiet_window")._pre_execute_hook
    due = {"wait_until": "2026-03-01T12:00:00+00:00", "comparison": "to deliver: 1 new"}
    before(task_context(dag, xcoms={"export_metadata": due}))
    before(task_context(dag))
    with pytest.raises(
        AirflowSkipException, match=r"\[nothing_to_wait_for\] nothing is waited for: the target has all"
    ):
        before(
            task_context(dag, xcoms={"export_metadata": {"wait_until": None, "comparison": "the target has all of it"}})
        )
    with pytest.raises(AirflowSkipException, match="does not wait"):
        before(task_context(dag, xcoms={"export_metadata": due}, dry_run=True))
    looks = SyncTicket("op", 1, None, to_begin="initialise the pair").to_json()
    with pytest.raises(AirflowSkipException, match="does not wait"):
        before(task_context(dag, xcoms={"export_metadata": due, "guard": looks}))
    before(task_context(dag, xcoms={"export_metadata": due, "guard": {**looks, "to_begin": ""}}))


@pytest.mark.parametrize(
    ("option", "ticked", "asked"),
    [("manual", False, False), ("manual", True, True), ("automatic", False, True)],
)
def test_a_run_reprotects_if_a_person_or_the_pair_says_so(
    parse: Parse, task_context: Any, monkeypatch: pytest.MonkeyPatch, option: str, ticked: bool, asked: bool
) -> None:
    dag = parse(f"pairs:\n  default:\n    sync: {{reprotect: {option}}}\n").dags["denodo_scheduler_sync__default"]
    seen: list[bool] = []

    def guard(*_: Any, reprotect: bool, **__: Any) -> None:
        seen.append(reprotect)
        raise _Reached

    monkeypatch.setattr("denodo_scheduler.dags.sync.guarding.guard", guard)
    monkeypatch.setattr("denodo_scheduler.dags.sync._tell_if_nothing_watches", lambda *_: ())
    monkeypatch.setattr(
        "denodo_scheduler.dags.shared.pair_context", lambda _, pair: SimpleNamespace(pair=pair, new_operation=str)
    )
    context = task_context(dag, reprotect=ticked)
    context["dag_run"].run_type, context["dag_run"].clear_number = "manual", 0
    task: Any = dag.get_task("guard").python_callable
    with pytest.raises(_Reached):
        task(**context)
    assert seen == [asked]


@pytest.mark.parametrize("ticked", [False, True])
@pytest.mark.parametrize("step", ["exporting.export", "importing.import_snapshot"])
def test_deliver_now_reaches_who_plans_and_who_sends(
    dag: DAG, task_context: Any, monkeypatch: pytest.MonkeyPatch, step: str, ticked: bool
) -> None:
    seen: list[bool] = []

    def called(*_: Any, deliver_now: bool, **__: Any) -> None:
        seen.append(deliver_now)
        raise _Reached

    monkeypatch.setattr(f"denodo_scheduler.dags.sync.{step}", called)
    monkeypatch.setattr("denodo_scheduler.dags.sync.Exported.from_json", lambda value: value)
    monkeypatch.setattr("denodo_scheduler.dags.shared.pair_context", lambda *_: None)
    ticket = SyncTicket("op", 1, None).to_json()
    task_id, *results = ("export_metadata",) if step == "exporting.export" else ("import_metadata", {})
    task: Any = dag.get_task(task_id).python_callable
    with pytest.raises(_Reached):
        task(ticket, *results, **task_context(dag, deliver_now=ticked))
    assert seen == [ticked]


def test_an_import_may_be_as_late_as_the_form_lets_it_wait(
    dag: DAG, task_context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export was taken before the wait."""
    seen: list[Any] = []
    monkeypatch.setattr("denodo_scheduler.dags.shared.pair_context", lambda _, pair: seen.append(pair) or _reached())
    task: Any = dag.get_task("import_metadata").python_callable
    with pytest.raises(_Reached):
        task({}, {}, **task_context(dag, quiet_timeout=7200, quiet_window=60))
    assert (seen[0].sync.quiet_timeout, seen[0].sync.quiet_window) == (timedelta(hours=2), timedelta(minutes=1))


def test_initialise_of_earlier_versions_is_sent_to_the_operations_dag(dag: DAG, task_context: Any) -> None:
    guard: Any = dag.get_task("guard").python_callable
    with pytest.raises(Blocked) as refused:
        guard(**task_context(dag, conf={"initialise": True}))
    assert refused.value.code == "use_operation"
    assert "denodo_scheduler_operations__default with the operation 'initialise'" in str(refused.value)


@pytest.mark.parametrize("conf", [None, {}, {"initialise": False}], ids=str)
def test_any_other_sync_is_guarded(dag: DAG, task_context: Any, conf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denodo_scheduler.dags.shared.pair_context", _reached)
    guard: Any = dag.get_task("guard").python_callable
    with pytest.raises(_Reached):
        guard(**task_context(dag, conf=conf))


@pytest.mark.parametrize("task_id", ["guard", "export_metadata", "import_metadata", "verify"])
def test_what_a_person_must_correct_fails_at_once_and_says_so(
    dag: DAG, task_context: Any, monkeypatch: pytest.MonkeyPatch, task_id: str
) -> None:
    """Here a connection that Airflow does not have."""

    def pair_context(*_: Any) -> None:
        _ = DenodoSchedulerHook("no_such_connection").address

    monkeypatch.setattr("denodo_scheduler.dags.shared.pair_context", pair_context)
    task: Any = dag.get_task(task_id)
    with pytest.raises(AirflowFailException) as failed:
        task.python_callable(*task.op_args, **task_context(dag))
    said = str(failed.value)
    assert said.startswith("[connection] Connection 'no_such_connection': Airflow has no such connection")
    assert ". Next: create or correct the connection" in said


UNREACHABLE, MISSING = UnreachableError("refused"), WrongConnectionError("no such connection")


@pytest.mark.parametrize(
    ("error", "operation", "try_number", "ends"),
    [
        (UNREACHABLE, True, 20, False),
        (ConfigurationError("404"), True, 20, False),
        (MISSING, True, 20, False),
        (UNREACHABLE, None, 2, False),
        (UNREACHABLE, None, 3, True),
        (MISSING, None, 1, True),
        (MISSING, RecordError("x", "y"), 20, False),
    ],
)
def test_the_safety_net_is_for_imports_that_may_be_open(
    dag: DAG,
    task_context: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    operation: Any,
    try_number: int,
    ends: bool,
) -> None:
    """Where the record says that none is, or was ever sent, the task ends after as many tries as others have."""

    def load() -> Any:
        if isinstance(operation, Exception):
            raise operation
        return SimpleNamespace(operation=operation)

    def disable(*_: Any) -> None:
        raise error

    monkeypatch.setattr("denodo_scheduler.dags.sync.disabling.disable_jobs", disable)
    monkeypatch.setattr(
        "denodo_scheduler.dags.shared.pair_context",
        lambda *_: SimpleNamespace(records=SimpleNamespace(load=load), dry_run=True),
    )
    context = task_context(dag)
    context["task"] = dag.get_task("disable_jobs")
    context.try_number = try_number
    task: Any = dag.get_task("disable_jobs").python_callable
    with pytest.raises(AirflowFailException if ends else type(error)) as failed:
        task(SyncTicket("op", 1, None).to_json(), **context)
    assert not ends or str(failed.value).startswith("[nothing_sent] no import is open")


class _Reached(Exception):
    """The task got as far as to do its work."""


def _reached(*_: Any, **__: Any) -> None:
    raise _Reached


def test_form(dag: DAG, own: DAG) -> None:
    assert dag.params.dump() == {
        "reason": None,
        "dry_run": False,
        "accept_mass_change": False,
        "deliver_now": False,
        "reprotect": False,
        "quiet_window": 300,
        "quiet_timeout": 3000,
        "orphans": "report",
    }
    assert own.params.dump().items() >= {"quiet_window": 90, "quiet_timeout": 7200, "orphans": "delete"}.items()
    for name, value in dag.params.dump().items():
        schema = dag.params.get_param(name).schema
        assert schema["title"], name
        assert value not in (None, "") or "null" in schema["type"], f"the form would insist on a value of {name}"
    dag.params.validate()
    own.params.validate()


@pytest.mark.parametrize(
    "answer",
    [
        {"quiet_window": 0},
        {"quiet_window": "soon"},
        {"quiet_timeout": -1},
        {"orphans": "keep"},
        {"dry_run": "yes"},
        {"accept_mass_change": 1},
        {"deliver_now": "yes"},
        {"reprotect": 1},
        {"reason": 7},
    ],
    ids=str,
)
def test_form_refuses(dag: DAG, answer: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        dag.params.update(answer)


def test_assets(dag: DAG) -> None:
    """The asset is an inlet, so that a task has its state store and yet emits an event only when it says so."""
    for task in dag.tasks:
        inlets, outlets = [asset.name for asset in task.inlets], [asset.name for asset in task.outlets]
        if task.task_id == "wait_for_quiet_window":
            assert (inlets, outlets) == ([], [])
        else:
            assert inlets == ["denodo-scheduler://default"], task.task_id
            assert outlets == ["denodo-scheduler-history-default"], task.task_id


def test_a_result_is_one_xcom(dag: DAG) -> None:
    """By its annotation Airflow would take each key of a dict for an XCom of its own, with a request for each."""
    for task_id in ORDER:
        assert not getattr(dag.get_task(task_id), "multiple_outputs", False), task_id


def test_pairs_share_nothing(parse: Parse) -> None:
    found = parse("pairs:\n  one: {projects: [x]}\n  two: {projects: [y]}\n").dags
    dags = [found[f"denodo_scheduler_sync__{pair}"] for pair in ("one", "two")]
    for of in (lambda task: task.pool, lambda task: task.inlets[0].uri, lambda task: task.outlets[0].name):
        assert len({of(dag.get_task("import_metadata")) for dag in dags}) == 2


def test_serialised(dag: DAG) -> None:
    """What the scheduler works with: the DAG after its way through the database."""
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert {task.task_id: task.upstream_task_ids for task in stored.tasks} == UPSTREAM
    assert stored.max_active_runs == 1
    assert stored.catchup is False
    assert stored.params.dump() == dag.params.dump()
    for task in stored.tasks:
        assert task.has_retry_policy is (task.task_id != "disable_jobs"), task.task_id
        assert task.pool == dag.get_task(task.task_id).pool
        assert task.trigger_rule == dag.get_task(task.task_id).trigger_rule
        assert task.retries == dag.get_task(task.task_id).retries


def test_parsing_again_makes_no_new_version(parse: Parse) -> None:
    first, again = (DagSerialization.to_dict(parse().dags["denodo_scheduler_sync__default"]) for _ in range(2))
    assert first == again
