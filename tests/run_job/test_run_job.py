"""A job is run once, whatever happens to the task; judged by the servers' journals."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from denodo_scheduler.exceptions import RequestError, UnreachableError
from denodo_scheduler.operators.run_job import DenodoSchedulerRunJobOperator
from denodo_scheduler.triggers.job_run import read_reports
from support.job_task import PAIR, Scene, killed
from support.sync import act

SOON: dict[str, Any] = {"begin_timeout": timedelta(0)}
STARTS = {"method": "PUT", "path": "/jobs/status"}


def test_a_run_that_ends_well(scene: Scene) -> None:
    content = {"exportedTuples": 42, "outputFile": "/data/out.csv"}
    scene.master.scheduler.results("COMPLETE", report=content)
    task = scene.run_job()

    assert task.begin() is None
    assert scene.runs() == [("manual", None)]
    scene.pass_time()
    result = task.finish()

    assert scene.runs() == [("manual", "COMPLETE")]
    assert (result["result"], result["started"], result["ended"]) == (
        "COMPLETE",
        "2026-03-02T06:07:00+00:00",
        "2026-03-02T06:07:01+00:00",
    )
    assert (result["counts"], result["files"]) == ({"exportedTuples": 42}, ["/data/out.csv"])
    assert (result["connection"], result["attached"]) == ("denodo_scheduler_master", False)
    assert task.store.values == {}, "a person who clears the task starts the job again"


def test_a_run_that_fails_says_why(scene: Scene) -> None:
    scene.master.scheduler.results("ERROR", report={"errors": ["the view sales_v does not exist"]})
    task = scene.run_job()
    task.begin()
    scene.pass_time()

    with pytest.raises(AirflowException, match=r'ended as ERROR .*says: "the view sales_v does not exist"') as failed:
        task.finish()

    assert not isinstance(failed.value, AirflowFailException), "the task's retries apply"
    task.begin()
    assert scene.runs() == [("manual", "ERROR"), ("manual", None)], "and run the job again"


def test_only_the_results_that_are_good(scene: Scene) -> None:
    scene.master.scheduler.results("WARNING")
    task, strict = scene.run_job(), scene.run_job(good_results=["COMPLETE"])
    for each in (task, strict):
        each.begin()
        scene.pass_time()

    assert task.finish()["result"] == "WARNING"
    with pytest.raises(AirflowException, match="ended as WARNING"):
        strict.finish()


def test_runs_before_and_afterwards_are_not_its_own(scene: Scene) -> None:
    scene.master.scheduler.results("ERROR")
    act(scene.master, "start", "sales / load")
    scene.pass_time()
    scene.master.scheduler.results("COMPLETE")
    task = scene.run_job()
    task.begin()
    scene.pass_time()
    first = scene.master.scheduler.journal()[-1]["end"]
    act(scene.master, "start", "sales / load")
    scene.pass_time()

    assert task.finish()["ended"] == first.replace("Z", "+00:00")


def test_with_its_dependencies(scene: Scene) -> None:
    task = scene.run_job("report", action="start_with_dependencies")
    task.begin()
    assert (scene.runs("load"), scene.runs("report")) == ([("manual", None)], [])
    scene.pass_time()

    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs("load") == [("manual", "COMPLETE")]
    assert scene.runs("report") == [("dependency", "COMPLETE")]


# -- interruptions


@pytest.mark.parametrize("ended", [False, True])
def test_killed_after_the_start_it_is_not_started_again(scene: Scene, ended: bool) -> None:
    task = scene.run_job(**SOON)
    scene.killing(sent=True)
    killed(task)
    if ended:
        scene.pass_time()

    task.begin()
    scene.pass_time()

    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "COMPLETE")]


def test_killed_before_the_start_it_is_started_by_the_next_try(scene: Scene) -> None:
    task = scene.run_job(**SOON)
    scene.killing(sent=False)
    killed(task)

    task.begin()
    assert scene.runs() == [], "first it looks whether a run begins"
    assert task.go_on() is None
    assert scene.runs() == [("manual", None)]
    scene.pass_time()
    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "COMPLETE")]


def test_a_run_that_failed_before_the_next_try_is_run_again_by_it(scene: Scene) -> None:
    task = scene.run_job()
    scene.master.scheduler.results("ERROR")
    scene.killing(sent=True)
    killed(task)
    scene.pass_time()
    scene.master.scheduler.results("COMPLETE")

    task.begin()
    assert task.go_on() is None
    scene.pass_time()

    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "ERROR"), ("manual", "COMPLETE")]


def test_a_start_whose_answer_is_lost_has_happened(scene: Scene) -> None:
    scene.master.webtool.faults({"kind": "cut_after", "match": STARTS, "times": 1})
    task = scene.run_job()

    task.begin()
    scene.pass_time()

    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "COMPLETE")]


def test_a_start_that_is_lost_is_sent_by_the_next_try(scene: Scene) -> None:
    scene.master.webtool.faults({"kind": "cut_before", "match": STARTS, "times": 1})
    task = scene.run_job(**SOON)
    task.begin()

    with pytest.raises(
        AirflowException, match="was not answered, and no run of it was seen within 0s; at last the job"
    ):
        task.finish()
    assert scene.runs() == []

    task.begin()
    assert task.go_on() is None
    scene.pass_time()
    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "COMPLETE")]


def test_a_server_that_accepts_and_does_nothing_is_found_out(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denodo_scheduler.hooks.scheduler.DenodoSchedulerHook.set_jobs_status", lambda *_, **__: 1)
    task = scene.run_job(**SOON)
    task.begin()

    with pytest.raises(
        AirflowFailException, match="accepted the start of sales / load, but 0s later there is no sign of one"
    ):
        task.finish()


def test_the_triggerer_restarts(scene: Scene) -> None:
    task = scene.run_job()
    task.begin()
    scene.pass_time()
    task.restart_triggerer()

    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "COMPLETE")]


@pytest.mark.parametrize("layer", ["webtool", "scheduler"])
def test_an_outage_is_survived(scene: Scene, layer: str) -> None:
    """As the web tool's own error, or the Scheduler's behind it."""
    process = getattr(scene.master, layer)
    task = scene.run_job()
    task.begin()
    scene.pass_time()
    process.faults(
        {"kind": "status", "status": 503, "match": {"path": "status"}, "times": 3},
        {"kind": "status", "status": 500, "match": {"path": "status"}, "times": 2},
        {"kind": "cut_before", "match": {"path": "reports"}, "times": 4},
    )

    assert task.finish()["result"] == "COMPLETE"


def test_a_login_that_is_refused_is_tried_seldom(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """While VDP is down, a right login is refused [D]."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    task = scene.run_job()
    task.begin()
    scene.pass_time()
    refuse = {"kind": "status", "status": 401, "match": {"path": "status"}}
    scene.master.webtool.faults({**refuse, "times": 2})
    monkeypatch.setattr("denodo_scheduler.triggers.job_run.asyncio", _Asyncio(sleep))

    assert task.event()["status"] == "ended"
    assert slept == [300, 300]

    scene.master.webtool.faults(refuse)
    monkeypatch.setattr("denodo_scheduler.triggers.job_run.PAUSE", 0.0)
    with pytest.raises(AirflowFailException, match=r"login refused.*clear the task, which then looks for this run"):
        task.finish()


class _Asyncio:
    to_thread = staticmethod(asyncio.to_thread)

    def __init__(self, sleep: Any) -> None:
        self.sleep = sleep


def test_a_run_that_does_not_end_is_left_to_the_next_try(scene: Scene) -> None:
    task = scene.run_job(timeout=timedelta(seconds=0.2))
    task.begin()
    with pytest.raises(AirflowFailException, match=r"did not end within .* at last the job is RUNNING"):
        task.finish()
    assert scene.runs() == [("manual", None)], "it was not stopped"

    patient = scene.run_job()
    task.make = patient.make
    task.begin()
    scene.pass_time()
    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "COMPLETE")]


def test_a_person_who_ends_the_task_stops_the_job(scene: Scene) -> None:
    task = scene.run_job()
    task.begin()

    asyncio.run(task.trigger.on_kill())
    assert scene.runs() == [("manual", "STOPPED")]

    task.begin()
    assert task.go_on() is None
    assert scene.runs() == [("manual", "STOPPED"), ("manual", None)], "and clearing the task starts it anew"
    task.operator.on_kill()
    assert scene.runs()[-1] == ("manual", "STOPPED")


# -- jobs that cannot be started


def test_a_job_that_runs_already_is_not_started(scene: Scene) -> None:
    act(scene.master, "start", "sales / load")
    task = scene.run_job()

    with pytest.raises(RequestError, match=r"is RUNNING .* already.*Nothing was started.*if_running='attach'"):
        task.begin()

    assert task.store.values == {}
    assert len(scene.runs()) == 1


def test_it_can_attach_to_a_run(scene: Scene) -> None:
    act(scene.master, "start", "sales / load")
    scene.pass_time()
    act(scene.master, "start", "sales / load")
    task = scene.run_job(if_running="attach")
    task.begin()
    asyncio.run(task.trigger.on_kill())
    assert scene.runs()[-1] == ("manual", None), "a run that it did not start is not stopped"
    scene.pass_time()

    result = task.finish()

    assert result["attached"] is True
    assert result["ended"] == scene.master.scheduler.journal()[-1]["end"].replace("Z", "+00:00")
    assert len(scene.runs()) == 2


def test_a_run_that_ends_while_it_is_looked_at_is_not_attached_to(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its report would count as one from before, and the task would wait for a run that never comes."""
    act(scene.master, "start", "sales / load")

    def late(*arguments: Any) -> Any:
        scene.pass_time()
        return read_reports(*arguments)

    monkeypatch.setattr("denodo_scheduler.operators.run_job.read_reports", late)
    scene.run_job(if_running="attach").begin()

    assert scene.runs() == [("manual", "COMPLETE"), ("manual", None)]


def test_a_job_that_is_disabled(scene: Scene) -> None:
    act(scene.master, "disable", "sales / load")

    with pytest.raises(RequestError, match=r"sales / load is DISABLED .*Nothing was started. Enable the job"):
        scene.run_job().begin()


def test_a_dependency_that_is_disabled(scene: Scene) -> None:
    act(scene.master, "disable", "sales / load")

    with pytest.raises(RequestError, match=r"refused to start sales / report.*depends may be disabled"):
        scene.run_job("report", action="start_with_dependencies").begin()

    assert scene.runs("report") == []


def test_a_job_that_is_unknown(scene: Scene) -> None:
    with pytest.raises(AirflowFailException, match=r"does not have sales / gone.*Check the names"):
        scene.run_job("gone").begin()


def test_a_server_that_cannot_be_reached_is_left_to_the_retries(
    scene: Scene, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(scene.master, port=1)
    with pytest.raises(UnreachableError):
        scene.run_job().begin()
    connect(scene.master, password="wrong-password")
    with pytest.raises(AirflowFailException, match=r"\[configuration\] .*Next: "):
        scene.run_job().begin()


def test_a_run_without_a_report_is_no_proof(scene: Scene) -> None:
    """As of a job that keeps reports of errors only [S]."""
    scene.master.scheduler.results("COMPLETE", report=None)
    task, trusting = scene.run_job(), scene.run_job(require_report=False)
    for each in (task, trusting):
        each.begin()
        scene.pass_time()

    with pytest.raises(AirflowFailException, match=r"no report of it is there. The status may show"):
        task.finish()
    assert trusting.finish()["reported"] is False


def test_arguments_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="pair='a' means the active server"):
        DenodoSchedulerRunJobOperator(task_id="t", project="p", job="j", pair="a", uri="//b:8000")
    with pytest.raises(ValueError, match="action must be start"):
        DenodoSchedulerRunJobOperator(task_id="t", project="p", job="j", action="stop")  # type: ignore[arg-type]


# -- with a pair


def test_it_goes_to_the_active_server(scene: Scene) -> None:
    scene.record()
    task = scene.run_job(pair=PAIR)
    task.begin()
    scene.pass_time()
    result = task.finish()
    assert (result["connection"], result["active_server_changed"]) == ("denodo_scheduler_master", False)

    scene.failed_over()
    task.begin()
    scene.pass_time(server=scene.slave)
    assert task.finish()["connection"] == "denodo_scheduler_slave"
    assert (len(scene.runs()), len(scene.runs(server=scene.slave))) == (1, 1)


def test_it_waits_while_the_active_server_changes(scene: Scene) -> None:
    scene.changing()
    task = scene.run_job(pair=PAIR)
    task.begin()
    assert task.pauses
    assert task.go_on() is None
    assert task.pauses
    assert (scene.runs(), scene.runs(server=scene.slave)) == ([], [])

    scene.failed_over()
    task.go_on()
    scene.pass_time(server=scene.slave)
    assert task.finish()["connection"] == "denodo_scheduler_slave"
    assert scene.runs() == []


def test_it_waits_for_a_failover_where_the_active_server_is_silent(scene: Scene, connect: Any) -> None:
    scene.record()
    connect(scene.master, port=1)
    task = scene.run_job(pair=PAIR)
    task.begin()
    assert task.pauses

    scene.failed_over()
    task.go_on()
    scene.pass_time(server=scene.slave)
    assert task.finish()["connection"] == "denodo_scheduler_slave"


@pytest.mark.parametrize("killed_meanwhile", [False, True])
@pytest.mark.parametrize("sign", ["disabled", "silent"])
def test_it_is_not_started_on_the_other_server_when_the_active_one_changes(
    scene: Scene, sign: str, killed_meanwhile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the job has done its work is not known then, and its own schedule may run it on the other server."""
    monkeypatch.setattr("denodo_scheduler.steps.active.WAKE", timedelta(seconds=0.1))
    scene.record()
    task = scene.run_job(pair=PAIR)
    if sign == "disabled":
        scene.master.webtool.faults({"kind": "cut_before", "match": STARTS, "times": 1})
    task.begin()
    act(scene.master, "disable", "sales / load")
    if sign == "silent":
        scene.master.webtool.faults({"kind": "status", "status": 500, "match": {"path": "status"}})
    assert task.event()["status"] == "look"
    scene.changing()
    task.go_on()
    assert task.pauses
    scene.failed_over()

    go_on = task.begin if killed_meanwhile else task.finish
    with pytest.raises(AirflowFailException, match=r"has changed, from .*master.* it was not started there") as failed:
        go_on()

    assert "clear the task if it is to be started" in str(failed.value)
    assert scene.runs(server=scene.slave) == []
    task.begin()
    assert scene.runs(server=scene.slave) == [("manual", None)], "a person has cleared it"


def test_it_goes_on_where_the_record_has_not_changed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denodo_scheduler.steps.active.WAKE", timedelta(seconds=0.1))
    scene.record()
    task = scene.run_job(pair=PAIR)
    task.begin()
    scene.master.webtool.faults({"kind": "status", "status": 500})
    assert task.go_on() is None
    scene.master.webtool.faults()
    scene.pass_time()

    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "COMPLETE")]


@pytest.mark.parametrize("result", ["COMPLETE", "STOPPED"])
def test_the_active_server_changes_and_the_run_has_a_report(scene: Scene, result: str) -> None:
    scene.record()
    task = scene.run_job(pair=PAIR)
    scene.master.scheduler.results(result)
    task.begin()
    scene.pass_time()
    event = task.event()
    scene.failed_over()

    if result == "COMPLETE":
        assert task.go_on(event)["active_server_changed"] is True
    else:
        with pytest.raises(AirflowFailException, match=r"ended as STOPPED .*Meanwhile the active server has changed"):
            task.go_on(event)
    assert scene.runs(server=scene.slave) == []


def test_a_pair_that_is_unknown_or_has_no_record(scene: Scene) -> None:
    with pytest.raises(AirflowFailException, match=r"has no pair 'apac'. Correct pair="):
        scene.run_job(pair="apac").begin()
    with pytest.raises(AirflowFailException, match=r"'emea' has no HA record.*Run its sync"):
        scene.run_job(pair=PAIR).begin()


# -- the sensor


def test_the_sensor_takes_the_newest_run_since(scene: Scene) -> None:
    act(scene.master, "start", "sales / load")
    scene.pass_time()
    act(scene.master, "start", "sales / load")
    scene.pass_time()
    last = scene.master.scheduler.journal()[-1]["end"].replace("Z", "+00:00")

    task = scene.wait_for_run()
    task.begin()

    assert task.finish()["ended"] == last
    assert len(scene.runs()) == 2


def test_the_sensor_waits_by_the_servers_clock(scene: Scene) -> None:
    """The servers' clocks are far behind: what ended an hour ago by them is no run of the last minutes."""
    from airflow.sdk.timezone import utcnow

    act(scene.master, "start", "sales / load")
    scene.pass_time(3600)
    since = utcnow() - timedelta(minutes=10)
    task = scene.wait_for_run(since=since.isoformat())
    task.begin()
    task.trigger.end = utcnow() + timedelta(seconds=0.2)
    assert task.event()["status"] == "timeout"

    act(scene.master, "start", "sales / load")
    scene.pass_time()
    task.begin()
    assert task.finish()["ended"] == scene.master.scheduler.journal()[-1]["end"].replace("Z", "+00:00")


@pytest.mark.parametrize("if_failed", ["fail", "wait", "accept"])
def test_the_sensor_and_a_run_that_failed(scene: Scene, if_failed: str) -> None:
    scene.master.scheduler.results("ERROR", report={"errorMessage": "no space left"})
    act(scene.master, "start", "sales / load")
    scene.pass_time()
    task = scene.wait_for_run(if_failed=if_failed)
    task.begin()

    if if_failed == "fail":
        with pytest.raises(AirflowException, match="no space left"):
            task.finish()
        return
    if if_failed == "wait":
        scene.master.scheduler.results("COMPLETE")
        act(scene.master, "start", "sales / load")
        scene.pass_time()
    assert task.finish()["result"] == ("COMPLETE" if if_failed == "wait" else "ERROR")


def test_the_sensor_follows_the_pair(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denodo_scheduler.steps.active.WAKE", timedelta(seconds=0.1))
    scene.record()
    task = scene.wait_for_run(pair=PAIR)
    task.begin()
    act(scene.master, "disable", "sales / load")
    scene.failed_over()
    act(scene.slave, "start", "sales / load")
    scene.pass_time(server=scene.slave)

    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == []


def test_the_sensor_says_what_is_wrong(scene: Scene) -> None:
    unknown, impatient = scene.wait_for_run("gone"), scene.wait_for_run(timeout=0.1)
    for each in (unknown, impatient):
        each.begin()

    with pytest.raises(AirflowFailException, match="does not have sales / gone"):
        unknown.finish()
    with pytest.raises(AirflowException, match=r"No run of sales / load has ended since .*the job is NOT_RUNNING"):
        impatient.finish()
    with pytest.raises(AirflowFailException, match=r"\[argument\] since is 'yesterday': give a moment"):
        scene.wait_for_run(since="yesterday").begin()
