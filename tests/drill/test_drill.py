"""A drill proves that the slave can run, changes nothing else, and says what it has seen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from denodo_ha.drill import Drill
from denodo_ha.operations import ManualOperation
from denodo_ha.reason import Reason
from denodo_ha.record import Dirty, Operation, Phase, Record, Step
from denodo_ha.status import Reading
from denodo_ha.status import judge as judge_status
from denodo_scheduler.exceptions import UnreachableError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.state.record_store import RecordStore
from denodo_scheduler.state.storage import StorageError
from denodo_scheduler.steps import operate as operating
from denodo_scheduler.steps.outcome import Blocked, NotYet
from support.drill import PINGS, DrilledPair, at_rest, runs, switched
from support.sync import Books, act, add_job, edit, enabled, untouched


def test_each_job_is_enabled_run_once_and_disabled_one_after_the_other(pair: DrilledPair) -> None:
    books = Books(pair.slave)
    with untouched(pair.master):
        event = pair.drill()
    assert runs(books) == [(name, "manual") for name in PINGS]
    assert switched(books) == [(name, what) for name in PINGS for what in ("enabled", "disabled")]
    at_rest(pair)
    assert (event["kind"], event["ok"], event["after"], event["not_begun"]) == ("drill", True, {"ran": 3}, [])
    assert [(job["job"], job["code"], job["result"]) for job in event["jobs"]] == [
        (f"health / {name}", "ran", "COMPLETE") for name in PINGS
    ]
    assert all(job["seconds"] > 0 and job["started"] and job["ended"] for job in event["jobs"])
    assert event["seconds"] >= sum(job["seconds"] for job in event["jobs"])
    assert "alert" not in event
    assert pair.told == [event]
    status = judge_status("x", Reading(pair.record.to_json()), pair.failover.sync.now(), timedelta(hours=1))
    assert "by jo: 3 of 3 jobs ran on the slave" in status.details["last drill"]
    assert Record.from_json(pair.record.to_json()) == pair.record


def test_a_run_that_ends_badly_is_told_with_a_next_step_and_the_others_go_on(pair: DrilledPair) -> None:
    pair.slave.scheduler.results("ERROR", match="ping 2", report={"error": "no driver for VDP"})
    event = pair.drill()
    at_rest(pair)
    assert [job["code"] for job in event["jobs"]] == ["ran", "ended_badly", "ran"]
    assert (event["ok"], event["alert"], event["code"]) == (False, "drill", "drill_failed")
    assert "no driver for VDP" in event["what"]
    assert "then drill again" in event["next_step"]


def test_a_run_without_end_is_stopped_by_its_time(pair: DrilledPair) -> None:
    pair.slave.scheduler.duration(10_000)
    event = pair.drill(pair={"drill": ["ping 1"], "drill_timeout": "30s"})
    at_rest(pair)
    assert (event["jobs"][0]["code"], event["ok"]) == ("not_ended", False)


def test_what_a_drill_ran_is_no_double_run(pair: DrilledPair) -> None:
    pair.drill()
    act(pair.slave, "enable", "health / ping 1")
    out = pair.failover.run()
    assert (out.code, out.done["suspected_double_runs"]) == ("repair", [])
    pair.failover.dead_for(minutes=1)
    act(pair.slave, "enable", "health / ping 1")
    act(pair.slave, "start", "health / ping 1")
    assert pair.failover.run().done["suspected_double_runs"] == ["health / ping 1"]


def test_a_trigger_that_fires_when_it_is_enabled_is_the_run(pair: DrilledPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was due while it was disabled, which is a misfire [Q]. Its run is over before anybody looks."""
    add_job(pair.master, "health", "late", "0 0 12 1 1 ? 2030/1")
    pair.failover.sync.synced()
    pair.slave.scheduler.guesses(misfire="fire_once")
    pair.slave.scheduler.clock(advance_seconds=timedelta(days=366 * 5).total_seconds())
    books, send = Books(pair.slave), DenodoSchedulerHook.set_jobs_status

    def sent(hook: DenodoSchedulerHook, action: Any, *args: Any, **more: Any) -> int:
        done = send(hook, action, *args, **more)
        if action == "enable":
            pair.slave.scheduler.clock(advance_seconds=5)
        return done

    monkeypatch.setattr(DenodoSchedulerHook, "set_jobs_status", sent)
    event = pair.drill(pair={"drill": ["late"], "slave_timezone": "UTC"})
    assert runs(books) == [("late", "misfire")]
    assert event["ok"], event
    at_rest(pair)


@pytest.mark.parametrize("changed", [True, False], ids=["something to deliver", "nothing to deliver"])
@pytest.mark.parametrize("ends", ["import_metadata", "verify"])
def test_a_drill_in_the_middle_of_a_sync_has_the_sync_skip_its_rest(
    pair: DrilledPair, changed: bool, ends: str
) -> None:
    """:param ends: the task after which the drill ends."""
    sync, tasks = pair.failover.sync, ["import_metadata", "disable_jobs", "verify"]
    if changed:
        add_job(pair.master, "default", "new job")
    base, run = sync.record.snapshot_id, sync.dag_run()
    for task in ("guard", "export_metadata"):
        run.task(task)
    during = tasks[: tasks.index(ends) + 1]
    pair.meanwhile = lambda number: [run.task(task) for task in during if number == 0]
    event = pair.drill(pair={"drill": ["ping 1"]})
    assert event["ok"], event
    at_rest(pair)
    for task in tasks[len(during) :]:
        run.task(task)
    assert run.ok, run.errors
    skipped = {task for task in run.errors if run.code(task) == "operation_open"}
    assert skipped == {*during, *(["verify"] if changed else [])}
    assert (sync.record.snapshot_id == base) is ("verify" in skipped)
    sync.synced()


def refused(which: DrilledPair, **asked: Any) -> str:
    with untouched(which.slave), pytest.raises((Blocked, NotYet)) as error:
        which.drill(**asked)
    assert error.value.reason.next_step
    return error.value.reason.code


def test_what_the_record_forbids(pair: DrilledPair) -> None:
    sync, good = pair.failover.sync, pair.record
    now = sync.now()
    lease = {"target": "b", "step": Step.IMPORTING, "started": now, "lease_until": now + timedelta(minutes=1)}
    for kind in ("sync", "drill"):
        drill = {"drill": Drill(id="another", by="jo", at=now)} if kind == "drill" else {}
        sync.save(good.model_copy(update={"operation": Operation(kind=kind, id="another", **lease), **drill}))
        assert refused(pair) == "operation_open", kind
    sync.save(good.model_copy(update={"dirty": Dirty(since=now, reason="touched")}))
    assert refused(pair) == "sync_first"
    sync.save(good.model_copy(update={"snapshot": None}))
    assert refused(pair) == "sync_first"
    sync.save(good)
    assert refused(pair, reason=" ") == "reason_missing"
    operate(pair, "pause")
    assert refused(pair) == "paused"
    operate(pair, "resume")
    operate(pair, "halt")
    assert refused(pair) == "halted"
    operate(pair, "release")
    sync.change(slave="http://elsewhere")
    assert refused(pair) == "servers_changed"


def operate(pair: DrilledPair, operation: ManualOperation) -> None:
    operating.operate(pair.failover.prepared(reason="a test"), operating.Request(operation))


def test_a_slave_that_is_active_is_not_drilled(pair: DrilledPair) -> None:
    pair.failover.silence()
    pair.failover.run()
    pair.failover.wake()
    assert refused(pair) == "slave_active"


def test_what_the_option_and_the_servers_forbid(pair: DrilledPair) -> None:
    assert refused(pair, pair={"drill": []}) == "no_drill_jobs"
    assert refused(pair, pair={"drill": ["ping *", "pong"]}) == "no_drill_jobs"
    assert refused(pair, pair={"drill": ["ping *"], "projects": ["default"]}) == "no_drill_jobs"
    act(pair.slave, "enable", "health / ping 2")
    assert refused(pair) == "slave_enabled"
    act(pair.slave, "disable", "health / ping 2")
    pair.failover.silence()
    assert refused(pair) == "unreachable"
    pair.failover.wake()


def test_jobs_that_could_run_twice_or_let_others_run_are_left_alone(pair: DrilledPair) -> None:
    sync = pair.failover.sync
    for name in ("often", "after", "off"):
        add_job(pair.master, "health", name, "0 0 0 1 1 ? 2099")
    act(pair.master, "disable", "health / off")
    sync.synced()
    ids = {status["jobName"]: status["jobID"] for status in pair.slave.statuses()}
    after = {"type": "cron", "cronExpression": "0 0 0 1 1 ? 2099", "dependencyInfo": {"jobIDs": [ids["ping 3"]]}}
    edit(pair.slave, "health / after", triggerSection={"triggers": [after]})
    each_minute = {"type": "cron", "cronExpression": "0 * * * * ?"}
    edit(pair.slave, "health / often", triggerSection={"triggers": [each_minute]})
    books = Books(pair.slave)
    event = pair.drill(pair={"drill": ["often", "off", "health / ping 1", "ping 3"]})
    codes = {job["job"].removeprefix("health / "): job["code"] for job in event["jobs"]}
    assert codes == {"often": "due", "off": "disabled_on_active", "ping 1": "ran", "ping 3": "ran"}
    assert runs(books) == [("ping 1", "manual"), ("ping 3", "manual")]
    assert not event["ok"]
    outside = {"projects": ["health"], "jobs": ["ping *"]}
    act(pair.slave, "enable", "health / after")
    event = pair.drill(pair={"drill": ["ping 3"], **outside})
    assert [job["code"] for job in event["jobs"]] == ["would_release"]
    assert enabled(pair.slave) == {"health / after"}


def test_a_server_that_dies_in_the_middle_is_left_to_the_retry(
    pair: DrilledPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def gone(*_: Any, **__: Any) -> Any:
            raise UnreachableError("connection refused")

        def die(number: int) -> None:
            patch.setattr(DenodoSchedulerHook, "_call", gone)

        pair.meanwhile = die
        with pytest.raises(NotYet) as error:
            pair.drill(run_id="r", pair={"drill": ["ping 1"], "drill_timeout": "10s"})
    assert error.value.reason.code == "not_disabled"
    pair.meanwhile = lambda _: None
    assert enabled(pair.slave) == {"health / ping 1"}
    event = pair.drill(run_id="r", pair={"drill": ["ping 1"]})
    assert event["ok"], event
    at_rest(pair)


def unusable(*_: Any, **__: Any) -> Any:
    raise StorageError(Reason("no_storage", "the storage does not answer", "wait"))


@pytest.mark.parametrize("broken", [("load", "save"), ("save",)], ids=", ".join)
def test_where_the_record_cannot_be_kept_the_job_is_disabled_nevertheless(
    pair: DrilledPair, monkeypatch: pytest.MonkeyPatch, broken: tuple[str, ...]
) -> None:
    books = Books(pair.slave)
    with monkeypatch.context() as patch:
        pair.meanwhile = lambda _: [patch.setattr(RecordStore, name, unusable) for name in broken]
        with pytest.raises(StorageError):
            pair.drill(run_id="r", pair={"drill": ["ping 1"]})
    assert switched(books) == [("ping 1", "enabled"), ("ping 1", "disabled")]
    pair.meanwhile = lambda _: None
    event = pair.drill(run_id="r", pair={"drill": ["ping 1"]})
    assert event["ok"], event
    at_rest(pair)


def test_where_a_failover_may_have_begun_unseen_the_job_is_left_to_others(
    pair: DrilledPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the record nor the master says that the slave is still passive."""

    def gone(_: int) -> None:
        patch.setattr(RecordStore, "load", unusable)
        pair.failover.silence()

    with monkeypatch.context() as patch:
        pair.meanwhile = gone
        with pytest.raises(Blocked, match="slave_may_be_active"):
            pair.drill(run_id="r", pair={"drill": ["ping 1"]})
    assert enabled(pair.slave) == {"health / ping 1"}


def test_a_pause_in_the_middle_ends_it_with_its_job_disabled_and_a_halt_where_it_is(pair: DrilledPair) -> None:
    pair.meanwhile = lambda number: operate(pair, "pause") if number == 0 else None
    pair.slave.scheduler.duration(60)
    event = pair.drill()
    at_rest(pair)
    assert (event["ok"], event["code"], len(event["jobs"]), len(event["not_begun"])) == (False, "paused", 1, 2)
    operate(pair, "resume")
    pair.meanwhile = lambda number: operate(pair, "halt") if number == 0 else None
    with pytest.raises(Blocked) as error:
        pair.drill()
    assert (error.value.reason.code, pair.record.phase) == ("halted", Phase.HALTED)
    assert enabled(pair.slave) == {"health / ping 1"}
    operate(pair, "release")
    pair.failover.sync.passed += timedelta(minutes=3)
    assert pair.failover.run().code == "drill_interrupted"
    at_rest(pair)
