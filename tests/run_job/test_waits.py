"""What a task that waits for a run does about refusals, garbled answers and people, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from denodo_ha.runs import NO_TIMES
from denodo_scheduler.exceptions import RequestError, UnexpectedAnswerError, WrongConnectionError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.triggers.job_run import JobRunTrigger, read_reports
from support.job_task import PAIR, Scene, Task
from support.sync import act

SOON: dict[str, Any] = {"begin_timeout": timedelta(0)}
PACE: dict[str, Any] = {"poke_interval": 10}
STARTS = {"method": "PUT", "path": "/jobs/status"}
LOOKS = {"method": "GET", "path": "/projects/jobs/status"}
REFUSED = {"kind": "status", "status": 401}
SILENT = {"kind": "status", "status": 503, "match": LOOKS}
TRIGGER = "denodo_scheduler.triggers.job_run"


class Clock:
    """The clock of the machine of the tasks; who sleeps moves it.

    :param meanwhile: what happens in the next sleep.
    """

    to_thread = staticmethod(asyncio.to_thread)

    def __init__(self) -> None:
        self.begin = self.moment = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    @property
    def minutes(self) -> float:
        return self.monotonic() / 60

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - self.begin).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        if self.meanwhile:
            happens, self.meanwhile = self.meanwhile, None
            await happens()

    def go_on(self, task: Task) -> Any:
        """Resume a task when its pause is over, or its trigger has something to tell."""
        if task.pauses:
            self.moment = max(self.moment, task.trigger.moment)
        return task.go_on()

    def finish(self, task: Task) -> Any:
        while task.trigger is not None:
            if (result := self.go_on(task)) is not None:
                return result
        raise AssertionError("the task has no result")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (TRIGGER, "denodo_scheduler.steps.active", "denodo_scheduler.operators.run_job"):
        monkeypatch.setattr(f"{module}.utcnow", made.now)
    monkeypatch.setattr(f"{TRIGGER}.monotonic", made.monotonic)
    monkeypatch.setattr(f"{TRIGGER}.asyncio", made)
    return made


def logins(scene: Scene) -> int:
    """How many requests the web tool of the master has had."""
    return sum(scene.master.webtool.requests().values())


# -- a start that is refused


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_refused_start_leaves_no_claim_to_a_later_run(scene: Scene, status: int) -> None:
    scene.master.webtool.faults({"kind": "status", "status": status, "match": STARTS, "times": 1})
    task = scene.run_job()
    with pytest.raises(RequestError, match="refused to start sales / load"):
        task.begin()
    act(scene.master, "start", "sales / load")

    with pytest.raises(RequestError, match=r"is RUNNING .* already, and this task did not start it"):
        task.begin()

    assert scene.runs() == [("manual", None)]


@pytest.mark.parametrize("error", [RequestError("500", status=500), UnexpectedAnswerError("no answer")])
@pytest.mark.parametrize("ended", [False, True])
def test_a_start_that_has_happened_whatever_was_answered(
    scene: Scene, ended: bool, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = DenodoSchedulerHook.set_jobs_status

    def send(hook: DenodoSchedulerHook, *arguments: Any, **more: Any) -> int:
        real(hook, *arguments, **more)
        if ended:
            scene.pass_time()
        raise error

    monkeypatch.setattr(DenodoSchedulerHook, "set_jobs_status", send)
    task = scene.run_job()
    task.begin()
    scene.pass_time()

    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "COMPLETE")]


def test_a_500_of_which_nothing_is_known_is_looked_into_by_the_next_try(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = DenodoSchedulerHook.set_jobs_status

    def send(hook: DenodoSchedulerHook, *arguments: Any, **more: Any) -> int:
        real(hook, *arguments, **more)
        scene.master.webtool.faults(SILENT)
        raise RequestError("500: the server failed", status=500)

    monkeypatch.setattr(DenodoSchedulerHook, "set_jobs_status", send)
    task = scene.run_job()
    with pytest.raises(RequestError, match="is not known, so the next try looks for one"):
        task.begin()
    scene.master.webtool.faults()

    task.begin()
    scene.pass_time()
    assert task.finish()["result"] == "COMPLETE"
    assert scene.runs() == [("manual", "COMPLETE")]


# -- clocks that go on while the record is read


def test_a_login_that_stays_refused_ends_the_wait_with_a_pair_too(scene: Scene, clock: Clock) -> None:
    scene.record()
    task = scene.run_job(pair=PAIR, **PACE)
    task.begin()
    begin = clock.minutes
    scene.master.webtool.reset_requests()
    scene.master.webtool.faults(REFUSED)

    with pytest.raises(AirflowFailException, match=r"login refused.*clear the task, which then looks for this run"):
        clock.finish(task)

    assert clock.minutes - begin == 15
    assert logins(scene) == 4, "one each five minutes"


def test_a_login_is_refused_from_its_first_refusal_in_a_row_on(scene: Scene, clock: Clock) -> None:
    scene.record()
    task = scene.run_job(pair=PAIR, **PACE)
    task.begin()
    scene.pass_time()
    for _ in range(3):
        scene.master.webtool.faults({**REFUSED, "times": 2}, SILENT)
        for _ in range(3):
            assert clock.go_on(task) is None
    scene.master.webtool.faults()

    assert clock.minutes > 15
    assert clock.finish(task)["result"] == "COMPLETE"


def test_the_record_is_read_at_the_pace_of_refused_logins(scene: Scene, clock: Clock) -> None:
    """Each reading makes a new trigger, which asks at once."""
    scene.record()
    task = scene.run_job(pair=PAIR, poke_interval=90)
    task.begin()
    scene.master.webtool.faults(SILENT)

    async def answers() -> None:
        scene.master.webtool.faults(REFUSED)

    clock.meanwhile = answers
    assert clock.go_on(task) is None
    assert clock.minutes == 6.5, "five minutes after the first refused login"
    scene.failed_over()
    with pytest.raises(AirflowFailException, match="the active server has changed"):
        clock.go_on(task)
    assert clock.minutes == 11.5


@pytest.mark.parametrize("status", [401, 404])
def test_a_sensor_of_a_pair_survives_refusals_from_the_first_request_on(
    scene: Scene, clock: Clock, status: int
) -> None:
    scene.record()
    task = scene.wait_for_run(pair=PAIR, timeout=3600, **PACE)
    scene.master.webtool.faults({"kind": "status", "status": status, "match": LOOKS, "times": 2})
    task.begin()

    async def runs() -> None:
        act(scene.master, "start", "sales / load")
        scene.pass_time()

    clock.meanwhile = runs
    assert clock.finish(task)["result"] == "COMPLETE"
    assert 0 < clock.minutes < 15


@pytest.mark.parametrize("sign", ["silent", "disabled"])
def test_a_run_that_does_not_begin_is_missed_in_time(
    scene: Scene, clock: Clock, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DenodoSchedulerHook, "set_jobs_status", lambda *_, **__: 1)
    scene.record()
    task = scene.run_job(pair=PAIR, **PACE)
    task.begin()
    if sign == "silent":
        scene.master.webtool.faults(SILENT)
        for _ in range(3):
            assert clock.go_on(task) is None
        scene.master.webtool.faults()
    else:
        act(scene.master, "disable", "sales / load")
    before = 0 if sign == "disabled" else clock.minutes

    with pytest.raises(AirflowFailException, match="2m later there is no sign of one"):
        clock.finish(task)

    assert clock.minutes - before <= (2.2 if sign == "disabled" else 0)


@pytest.mark.parametrize("fault", ["404", "connection"])
def test_the_sensor_survives_the_start_of_a_web_tool(
    scene: Scene, clock: Clock, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.record()
    task = scene.wait_for_run(pair=PAIR, timeout=3600, **PACE)
    task.begin()

    async def stops() -> None:
        scene.master.webtool.faults(SILENT)

    clock.meanwhile = stops
    assert clock.go_on(task) is None, "it has looked once, and then a minute in vain"
    scene.master.webtool.faults({"kind": "status", "status": 404, "match": LOOKS, "times": 2})
    if fault == "connection":
        scene.master.webtool.faults()
        monkeypatch.setattr(JobRunTrigger, "_hook", _once_without_connection(JobRunTrigger._hook))
    act(scene.master, "start", "sales / load")
    scene.pass_time()

    assert clock.finish(task)["result"] == "COMPLETE"


def _once_without_connection(real: Any) -> Any:
    asked: list[Any] = []

    def hook(trigger: JobRunTrigger) -> Any:
        asked.append(trigger)
        if len(asked) == 1:
            raise WrongConnectionError("the connection is not there")
        return real(trigger)

    return hook


def test_a_connection_that_was_never_there_is_told_at_once(
    scene: Scene, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.record()
    monkeypatch.delenv("AIRFLOW_CONN_DENODO_SCHEDULER_MASTER")
    with pytest.raises(AirflowFailException, match=r"\[connection\]"):
        scene.run_job(pair=PAIR).begin()
    sensor = scene.wait_for_run(pair=PAIR, **PACE)
    sensor.begin()
    with pytest.raises(AirflowFailException, match=r"\[connection\]"):
        sensor.go_on()
    assert clock.minutes == 0


@pytest.mark.parametrize("match", [{}, STARTS], ids=["all", "starts"])
@pytest.mark.parametrize("refusals", [2, None])
def test_a_login_that_is_refused_before_the_start(
    scene: Scene, clock: Clock, refusals: int | None, match: dict[str, str]
) -> None:
    """While VDP is down a right login is refused [D], and the active server may be about to change."""
    scene.record()
    task = scene.run_job(pair=PAIR, **PACE)
    scene.master.webtool.reset_requests()
    times = {"times": refusals} if refusals else {}
    scene.master.webtool.faults({**REFUSED, "match": match, **times})
    assert task.begin() is None
    if refusals:
        assert clock.go_on(task) is None
        assert clock.go_on(task) is None
        assert (clock.minutes, scene.runs()) == (10, [("manual", None)])
        scene.pass_time()
        assert clock.finish(task)["result"] == "COMPLETE"
        return
    with pytest.raises(AirflowFailException, match=r"\[configuration\] .*login refused"):
        clock.finish(task)
    assert clock.minutes == 15
    sent = scene.master.webtool.requests()
    assert sum(sent[each] for each in sent if each.startswith("PUT" if match else "GET")) == 4
    assert task.store.values == {}


def test_the_patience_with_one_server_is_not_spent_on_another(scene: Scene, clock: Clock) -> None:
    scene.record()
    task = scene.run_job(pair=PAIR, **PACE)
    for server in scene.servers.servers:
        server.webtool.faults(REFUSED)
    task.begin()
    clock.go_on(task)
    scene.failed_over()
    for _ in range(3):
        assert clock.go_on(task) is None
    assert clock.minutes == 20
    with pytest.raises(AirflowFailException, match=r"\[configuration\]"):
        clock.finish(task)


def test_a_failure_while_the_record_was_read_is_no_failure_of_an_earlier_try(scene: Scene, clock: Clock) -> None:
    """The run ended in this try, so the task's retries decide, and not this try."""
    scene.record()
    task = scene.run_job(pair=PAIR, **PACE)
    scene.master.scheduler.results("ERROR")
    task.begin()
    task.begin()

    async def stops() -> None:
        scene.master.webtool.faults(SILENT)

    clock.meanwhile = stops
    assert clock.go_on(task) is None
    scene.master.webtool.faults()
    scene.pass_time()

    with pytest.raises(AirflowException, match="ended as ERROR"):
        clock.finish(task)
    assert scene.runs() == [("manual", "ERROR")]


# -- garbled answers


@pytest.mark.parametrize("kind", ["garbage", "truncate", "html", "empty"])
def test_some_garbled_answers_do_not_end_the_wait(scene: Scene, clock: Clock, kind: str) -> None:
    task, sensor = scene.run_job(), scene.wait_for_run(timeout=3600, **PACE)
    task.begin()
    scene.pass_time()
    sensor.begin()
    scene.master.webtool.faults({"kind": kind, "match": LOOKS, "times": 4})
    assert clock.finish(task)["result"] == "COMPLETE"
    if kind != "html":  # where nothing else was ever answered, the address is wrong
        scene.master.webtool.faults({"kind": kind, "match": LOOKS, "times": 4})
    assert clock.finish(sensor)["result"] == "COMPLETE"


def test_answers_that_stay_garbled_are_told_after_a_while(scene: Scene, clock: Clock) -> None:
    task = scene.run_job(poke_interval=60)
    task.begin()
    scene.master.webtool.faults({"kind": "garbage", "match": LOOKS})

    with pytest.raises(AirflowFailException, match=r"clear the task, which then looks for this run"):
        clock.finish(task)

    assert clock.minutes == 15


# -- a task that was cleared


def test_a_late_stop_spares_the_run_of_the_next_try(scene: Scene) -> None:
    task = scene.run_job()
    scene.master.scheduler.results("ERROR")
    task.begin()
    late = task.trigger
    scene.pass_time()
    task.begin()
    assert task.go_on() is None
    assert scene.runs() == [("manual", "ERROR"), ("manual", None)]

    asyncio.run(late.on_kill())

    assert scene.runs() == [("manual", "ERROR"), ("manual", None)]


@pytest.mark.parametrize("own", [True, False])
def test_the_next_try_starts_again_what_the_stop_of_the_earlier_one_ended(
    scene: Scene, clock: Clock, own: bool
) -> None:
    """It has attached to the run already when the stop arrives."""
    if not own:
        act(scene.master, "start", "sales / load")
    task = scene.run_job(if_running="attach", **PACE)
    task.begin()
    late = task.trigger

    async def stop() -> None:
        await late.on_kill() if own else act(scene.master, "stop", "sales / load")

    task.begin()
    clock.meanwhile = stop
    if not own:
        with pytest.raises(AirflowException, match="ended as STOPPED"):
            clock.finish(task)
        return
    assert clock.go_on(task) is None
    assert scene.runs() == [("manual", "STOPPED"), ("manual", None)]


def test_a_stop_that_cannot_look_stops_nothing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    task = scene.run_job()
    task.begin()
    scene.master.webtool.faults(SILENT)

    asyncio.run(task.trigger.on_kill())

    assert scene.runs() == [("manual", None)]


# -- dependencies


@pytest.mark.parametrize("outage", [False, True])
def test_a_job_that_waited_for_its_dependencies_and_was_given_up(scene: Scene, clock: Clock, outage: bool) -> None:
    scene.record()
    scene.master.scheduler.results("ERROR", match="load")
    task = scene.run_job("report", action="start_with_dependencies", pair=PAIR, **SOON, **PACE)
    task.begin()
    scene.pass_time()

    async def goes_on() -> None:
        act(scene.master, "stop", "sales / report")
        if outage:
            scene.master.webtool.faults(SILENT)

    clock.meanwhile = goes_on
    if outage:
        assert clock.go_on(task) is None
        scene.master.webtool.faults()
    with pytest.raises(
        AirflowFailException,
        match=r"report waited for the jobs on which it depends and did not run: .*Look at their reports",
    ):
        clock.finish(task)

    assert (scene.runs("load"), scene.runs("report")) == ([("manual", "ERROR")], [])
    assert task.store.values == {}


def test_a_timeout_says_that_the_job_waits_for_its_dependencies(scene: Scene, clock: Clock) -> None:
    scene.master.scheduler.results("ERROR", match="load")
    task = scene.run_job("report", action="start_with_dependencies", timeout=timedelta(minutes=1), **PACE)
    sensor = scene.wait_for_run("report", timeout=60, **PACE)
    task.begin()
    sensor.begin()
    scene.pass_time()

    for each in (task, sensor):
        with pytest.raises(AirflowException, match=r"is WAITING. It waits for the jobs on which it depends; look at"):
            clock.finish(each)


# -- reports and settings


@pytest.mark.parametrize("previous", [True, False])
def test_the_sensor_and_reports_without_times(scene: Scene, previous: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the times of a report are called is not published."""

    def plain(*arguments: Any) -> Any:
        return [each.model_copy(update={"start": None, "end": None}) for each in read_reports(*arguments)]

    real = DenodoSchedulerHook.status

    def status(*arguments: Any) -> Any:
        found = real(*arguments)
        return found if previous else found.model_copy(update={"previous_execution": None})

    monkeypatch.setattr(f"{TRIGGER}.read_reports", plain)
    monkeypatch.setattr(DenodoSchedulerHook, "status", status)
    act(scene.master, "start", "sales / load")
    scene.pass_time()
    task = scene.wait_for_run(timeout=60 if previous else 0.2)
    task.begin()

    if previous:
        assert task.finish()["reported"] is True
    else:
        with pytest.raises(AirflowException, match=f"the job is NOT_RUNNING, and {NO_TIMES}"):
            task.finish()


def test_a_moment_without_a_time_zone_is_refused(scene: Scene) -> None:
    for since in (datetime(2026, 1, 1), "2026-01-01T00:00:00", 5):
        with pytest.raises(AirflowFailException, match=r"\[argument\] since is .*with its time zone"):
            scene.wait_for_run(since=since).begin()
    scene.wait_for_run(since=datetime(2026, 1, 1, tzinfo=UTC)).begin()


def test_a_mistake_in_the_file_of_pairs_takes_no_result_away(scene: Scene) -> None:
    scene.record()
    task = scene.run_job(pair=PAIR)
    task.begin()
    scene.pass_time()
    event = task.event()
    (scene.folder / "pairs.yaml").write_text("pairs: [")

    assert task.go_on(event)["active_server_changed"] is False
    with pytest.raises(AirflowException, match=r"pairs\.yaml"):
        task.begin()
