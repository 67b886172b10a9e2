"""The sensor and its trigger, with a fake in place of the hook only."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from airflow.exceptions import AirflowProviderDeprecationWarning
from airflow.sdk import DAG, Context
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.sdk.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize
from airflow.sdk.timezone import utcnow
from airflow.serialization.serialized_objects import DagSerialization

from denodo_demo.slowness import allow
from denodo_ha.jobs import Job, JobState, JobStatus, Trigger
from denodo_ha.quartz.cron import QuartzCron
from denodo_ha.quartz.forecast import Forecast, forecast
from denodo_scheduler.exceptions import (
    ConfigurationError,
    NoAnswerError,
    RequestError,
    ServerBusyError,
    UnexpectedAnswerError,
    UnreachableError,
)
from denodo_scheduler.hooks.scheduler import Statuses
from denodo_scheduler.sensors import quiet_window as sensors
from denodo_scheduler.sensors.quiet_window import DenodoSchedulerQuietWindowSensor
from denodo_scheduler.triggers import quiet_window as triggers
from denodo_scheduler.triggers.quiet_window import QuietWindowTrigger

SKEW = timedelta(hours=-7)
"""The server's clock is far off, so that whoever uses the local one is found out."""

LONG: dict[str, Any] = {"window": timedelta(hours=1), "timeout": timedelta(hours=4)}
"""With these a job due in 50 minutes is in the way, and waited for."""

Look = list[JobStatus] | Exception


def status(name: str, state: str = "NOT_RUNNING", due: datetime | None = None, project: str = "sales") -> JobStatus:
    return JobStatus(job_id=1, name=name, project_id=1, project=project, state=JobState(state), next_execution=due)


def job(name: str, cron: str) -> Job:
    return Job(id=1, name=name, type="VDP", project_id=1, project="sales", triggers=(Trigger(cron=cron),))


class FakeHook:
    """Answers ``statuses`` with one of ``looks`` after the other, then with the last one again and again."""

    def __init__(self) -> None:
        self.looks: list[Look] = [[status("idle")]]
        self.definitions: list[Job] | Exception = []
        self.requests: list[str] = []
        self.made_for: list[tuple[str, str | None]] = []
        self.before_answer: Callable[[], object] = lambda: None

    def __call__(self, conn_id: str, *, scheduler_uri: str | None = None) -> FakeHook:
        self.made_for.append((conn_id, scheduler_uri))
        return self

    @property
    def now(self) -> datetime:
        return (utcnow() + SKEW).astimezone(UTC).replace(microsecond=0)

    def statuses(self) -> Statuses:
        self.requests.append("statuses")
        self.before_answer()
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, Exception):
            raise found
        return Statuses(jobs=tuple(found), server_time=self.now)

    def jobs(self) -> list[Job]:
        self.requests.append("jobs")
        if isinstance(self.definitions, Exception):
            raise self.definitions
        return self.definitions

    def runs(self, name: str, cron: str) -> None:
        """One job with that cron, on a server whose clock shows UTC."""
        due = QuartzCron(cron).next_after(self.now, UTC)
        self.looks = [[status(name, due=due)]]
        self.definitions = [job(name, cron)]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> FakeHook:
    fake = FakeHook()
    monkeypatch.setattr(sensors, "DenodoSchedulerHook", fake)
    monkeypatch.setattr(triggers, "DenodoSchedulerHook", fake)
    return fake


class FakeTaskInstance:
    def __init__(self, first_reschedule: datetime | None = None) -> None:
        self.first_reschedule = first_reschedule

    def get_first_reschedule_date(self, context: Context) -> datetime | None:
        return self.first_reschedule


def sensor(**arguments: Any) -> DenodoSchedulerQuietWindowSensor:
    return DenodoSchedulerQuietWindowSensor(**({"task_id": "wait", "timeout": 600, "poke_interval": 0.01} | arguments))


def run(waiting: DenodoSchedulerQuietWindowSensor, first_reschedule: datetime | None = None) -> Any:
    return waiting.execute(cast("Context", {"ti": FakeTaskInstance(first_reschedule)}))


def deferred(waiting: DenodoSchedulerQuietWindowSensor) -> tuple[TaskDeferred, QuietWindowTrigger]:
    with pytest.raises(TaskDeferred) as raised:
        run(waiting)
    trigger = raised.value.trigger
    assert isinstance(trigger, QuietWindowTrigger)
    return raised.value, trigger


def make_trigger(**arguments: Any) -> QuietWindowTrigger:
    return QuietWindowTrigger(
        **{
            "denodo_scheduler_conn_id": "master",
            "uri": "//master:8000",
            "window": timedelta(minutes=5),
            "margin": timedelta(seconds=30),
            "include_projects": ["*"],
            "include_jobs": ["*"],
            "recheck": timedelta(milliseconds=5),
            "started": utcnow() - timedelta(minutes=2),
            "check_at": utcnow(),
            "end": utcnow() + timedelta(hours=1),
            "last_seen": "not quiet: sales / load is RUNNING",
        }
        | arguments
    )


def event_of(trigger: QuietWindowTrigger) -> dict[str, Any]:
    async def first() -> Any:
        return await anext(aiter(trigger.run()))

    payload: dict[str, Any] = asyncio.run(asyncio.wait_for(first(), allow(30))).payload
    assert json.loads(json.dumps(payload)) == payload
    return payload


class TestSensor:
    @pytest.mark.parametrize("deferrable", [True, False])
    def test_quiet_at_once(self, hook: FakeHook, deferrable: bool) -> None:
        due = hook.now + timedelta(hours=1)
        hook.looks = [[status("later", due=due)]]
        result = run(sensor(deferrable=deferrable, denodo_scheduler_conn_id="master", uri="//m:8000"))
        assert json.loads(json.dumps(result)) == result
        assert result["quiet_until"] == due.isoformat()
        assert datetime.fromisoformat(result["server_time"]) <= hook.now
        assert result["checks"] == 1
        assert result["waited_seconds"] >= 0
        assert hook.requests == ["statuses"]
        assert hook.made_for == [("master", "//m:8000")]

    def test_nothing_scheduled(self, hook: FakeHook) -> None:
        assert run(sensor())["quiet_until"] is None

    def test_only_jobs_in_scope_count(self, hook: FakeHook) -> None:
        hook.looks = [
            [status("load", "RUNNING"), status("Night Load", project="HR"), status("x", "RUNNING", project="hr")]
        ]
        assert run(sensor(include_projects=["h*"], include_jobs=["night*"]))["checks"] == 1

    def test_a_scope_without_any_job_fails(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", "RUNNING")]]
        with pytest.raises(AirflowFailException, match=r'Project pattern "saels" matches no project\..*sales'):
            run(sensor(include_projects=["saels"]))

    def test_an_error_at_the_first_look_is_left_to_the_task_s_retries(self, hook: FakeHook) -> None:
        hook.looks = [UnreachableError("nobody there")]
        with pytest.raises(UnreachableError):
            run(sensor())

    @pytest.mark.parametrize("native", [False, True])
    def test_templates(self, hook: FakeHook, native: bool) -> None:
        """As text and, where the DAG renders native objects, as numbers and None."""
        hook.looks = [[status("load", "RUNNING")]]
        with DAG("d", schedule=None, render_template_as_native_obj=native):
            waiting = sensor(
                deferrable=True,
                denodo_scheduler_conn_id="of the {{ params.role }}",
                uri="{{ None if params.role == 'slave' and native else '' }}",
                window="{{ params.window }}",
                margin="{{ 2 * params.window }}",
                timeout="{{ params.timeout }}",
                include_projects=["{{ params.role }}", "sales"],
            )
        params = {"role": "slave", "window": 7, "timeout": 60.5}
        waiting.render_template_fields(cast("Context", {"params": params, "native": native}))
        before = utcnow()
        deferral, trigger = deferred(waiting)
        assert (trigger.window, trigger.margin) == (timedelta(seconds=7), timedelta(seconds=14))
        assert timedelta(seconds=60) < trigger.end - before < timedelta(seconds=70)
        assert (trigger.denodo_scheduler_conn_id, trigger.uri) == ("of the slave", None)
        assert trigger.include_projects == ["slave", "sales"]
        assert hook.made_for == [("of the slave", None)]
        assert isinstance(deferral.timeout, timedelta)

    def test_lengths_may_be_seconds(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", "RUNNING")]]
        _, trigger = deferred(sensor(deferrable=True, window=90, margin=1.5))
        assert (trigger.window, trigger.margin) == (timedelta(seconds=90), timedelta(seconds=1.5))

    def test_its_old_name_is_the_same_class_with_a_warning(self) -> None:
        with pytest.warns(AirflowProviderDeprecationWarning, match="DenodoSchedulerQuietWindowSensor now"):
            from denodo_scheduler.sensors.quiet_window import QuietWindowSensor
        assert QuietWindowSensor is DenodoSchedulerQuietWindowSensor
        with pytest.raises(ImportError, match="NoSuchSensor"):
            from denodo_scheduler.sensors.quiet_window import NoSuchSensor  # noqa: F401

    def test_a_time_zone_that_does_not_exist_is_an_import_error(self) -> None:
        with pytest.raises(KeyError, match="Europe/Atlantis"):
            sensor(timezone="Europe/Atlantis")

    def test_deferrable_by_default_as_configured(self) -> None:
        assert sensor().deferrable is False

    def test_a_dag_with_it_can_be_serialised(self) -> None:
        with DAG("d", schedule=None) as dag:
            sensor(deferrable=True, timezone="Europe/Madrid")
        assert "wait" in json.dumps(DagSerialization.to_dict(dag))


class TestStuckTriggers:
    """Due for longer than a minute, and not running."""

    @pytest.fixture
    def stuck(self, hook: FakeHook) -> FakeHook:
        hook.looks = [[status("load", due=hook.now - timedelta(minutes=5))]]
        hook.definitions = [job("load", "0 0 3 1 1 ? 2098")]
        return hook

    def test_is_in_the_way_of_what_follows_on_the_same_server(self, stuck: FakeHook) -> None:
        _, trigger = deferred(sensor(deferrable=True, timezone="UTC"))
        assert trigger.last_seen.startswith("not quiet: sales / load is stuck: it was due at ")
        assert trigger.last_seen.endswith("its server does not start it by itself")
        assert (trigger.stuck_by_cron, trigger.timezone) == (False, "UTC")
        with pytest.raises(AirflowSensorTimeout, match=r"is stuck.*Disable a job that is stuck.*Clear this task"):
            sensor().execute_complete(Context(), {"status": "timeout", "message": trigger.last_seen})

    def test_is_not_in_the_way_of_what_follows_on_another_one(
        self, stuck: FakeHook, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(sensor(stuck_by_cron=True, timezone="UTC"))["quiet_until"] is None
        assert stuck.requests == ["statuses", "jobs"]
        assert "sales / load is stuck: it was due at" in capsys.readouterr().out

    def test_is_in_the_way_where_its_cron_is_due(self, stuck: FakeHook) -> None:
        soon = stuck.now + timedelta(minutes=3)
        stuck.definitions = [job("load", f"{soon.second} {soon.minute} * * * ?")]
        _, trigger = deferred(sensor(deferrable=True, stuck_by_cron=True, timezone="UTC"))
        assert (trigger.stuck_by_cron, trigger.timezone) == (True, "UTC")
        assert timedelta(minutes=2) < trigger.check_at - utcnow() < timedelta(minutes=4)

    def test_nobody_reads_its_definition_while_another_job_runs(self, stuck: FakeHook) -> None:
        busy = [status("other", "RUNNING"), *cast("list[JobStatus]", stuck.looks[0])]
        stuck.looks = [busy, [status("other"), busy[1]]]
        event = event_of(make_trigger(stuck_by_cron=True, timezone="UTC"))
        assert event["status"] == "quiet"
        assert stuck.requests == ["statuses", "statuses", "jobs"]


class TestWaitingOnTheWorker:
    def test_poke_until_the_job_has_ended(self, hook: FakeHook) -> None:
        busy = [status("load", "RUNNING")]
        hook.looks = [busy, ServerBusyError("503"), busy, [status("load")]]
        assert run(sensor())["checks"] == 4
        assert hook.requests == ["statuses", "jobs", "statuses", "statuses", "statuses"]

    def test_poke_sleeps_until_the_window_can_begin(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", due=hook.now + timedelta(minutes=50))]]
        waiting = sensor(poke_interval=10, **LONG)
        assert not waiting.poke(Context())
        assert 2000 < waiting.poke_interval <= 3011
        assert waiting.recheck == timedelta(seconds=10)

    def test_poke_looks_for_the_last_time_at_the_timeout(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", "RUNNING")]]
        waiting = sensor(poke_interval=5000, timeout=600)
        assert not waiting.poke(Context())
        assert 300 < waiting.poke_interval <= 600

    def test_the_timeout_names_the_last_blockers(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", "POLLING")]]
        with pytest.raises(AirflowSensorTimeout, match=r"sales / load is POLLING.*Clear this task to wait again"):
            run(sensor(timeout=0.1))

    def test_a_configuration_error_ends_the_wait(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", "RUNNING")], ConfigurationError("login refused")]
        with pytest.raises(AirflowFailException, match=r"\[configuration\] login refused. Next: correct"):
            run(sensor())

    def test_reschedule_at_the_moment_the_window_can_begin(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", due=hook.now + timedelta(minutes=50))]]
        with pytest.raises(AirflowRescheduleException) as raised:
            run(sensor(mode="reschedule", poke_interval=10, **LONG))
        assert timedelta(seconds=2000) < raised.value.reschedule_date - utcnow() <= timedelta(seconds=3011)

    def test_a_rescheduled_task_survives_errors_and_forecasts_no_more(self, hook: FakeHook) -> None:
        hook.looks = [NoAnswerError("cut"), [status("load", "RUNNING")]]
        for _ in range(2):
            with pytest.raises(AirflowRescheduleException):
                run(sensor(mode="reschedule"), first_reschedule=utcnow() - timedelta(seconds=30))
        assert hook.requests == ["statuses", "statuses"]

    def test_a_rescheduled_task_counts_its_timeout_from_the_beginning(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", "RUNNING")]]
        with pytest.raises(AirflowSensorTimeout, match="sales / load is RUNNING"):
            run(sensor(mode="reschedule", timeout=60), first_reschedule=utcnow() - timedelta(seconds=61))


class TestEarlyFailure:
    def test_no_window_in_the_coming_day(self, hook: FakeHook) -> None:
        hook.runs("every minute", "0 * * * * ?")
        with pytest.raises(AirflowFailException) as raised:
            run(sensor(deferrable=True))
        message = str(raised.value)
        assert message.startswith("No quiet window of 5m and a margin of 30s begins before the timeout at ")
        assert "In the way: sales / every minute (in the way 100% of the time)." in message
        assert "There is none in the coming day either." in message
        assert "Raise timeout, shorten window or margin" in message

    def test_the_first_window_begins_after_the_timeout(self, hook: FakeHook) -> None:
        """A job every minute of this hour of the server's day and the next."""
        now = hook.now
        hook.runs("busy hours", f"0 * {now.hour}-{(now.hour + 1) % 24} * * ?")
        later = (now + timedelta(hours=1)).replace(minute=59, second=1)
        with pytest.raises(AirflowFailException, match=f"The next quiet windows: {later:%Y-%m-%d %H:%M:%S} UTC to"):
            run(sensor(timeout=120, timezone="UTC", window=timedelta(seconds=30)))

    def test_known_executions_alone_are_enough(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", due=hook.now + timedelta(minutes=5))]]
        with pytest.raises(AirflowFailException, match=r"In the way: sales / load is due at .* The next one can begin"):
            run(sensor(timeout=60))
        assert hook.requests == ["statuses"]

    def test_a_running_job_alone_is_waited_for(self, hook: FakeHook) -> None:
        hook.runs("nightly", "0 0 3 * * ?")
        hook.looks = [[status("load", "RUNNING"), *cast("list[JobStatus]", hook.looks[0])]]
        deferred(sensor(deferrable=True))
        assert hook.requests == ["statuses", "jobs"]

    def test_jobs_out_of_scope_are_not_in_the_forecast(self, hook: FakeHook) -> None:
        hook.runs("every minute", "0 * * * * ?")
        hook.looks = [[*cast("list[JobStatus]", hook.looks[0]), status("load", "RUNNING")]]
        deferred(sensor(deferrable=True, include_jobs=["load"]))

    def test_a_timeout_beyond_the_forecast_is_waited_for(self, hook: FakeHook) -> None:
        hook.runs("every minute", "0 * * * * ?")
        deferred(sensor(deferrable=True, timeout=25 * 3600))

    def test_without_a_forecast_it_waits(self, hook: FakeHook) -> None:
        hook.runs("every minute", "0 * * * * ?")
        hook.definitions = UnexpectedAnswerError("field cronExpression")
        deferred(sensor(deferrable=True))

    @pytest.mark.parametrize(("zone", "foreseen"), [("UTC", True), ("Asia/Tokyo", False), (None, True)])
    def test_a_wrong_time_zone_makes_no_forecast(
        self, hook: FakeHook, monkeypatch: pytest.MonkeyPatch, zone: str | None, foreseen: bool
    ) -> None:
        found: list[Forecast | None] = []
        monkeypatch.setattr(sensors, "forecast", lambda *jobs, **how: found.append(forecast(*jobs, **how)) or found[-1])
        hook.runs("nightly", f"0 0 {(hook.now.hour + 2) % 24} * * ?")
        hook.looks = [[*cast("list[JobStatus]", hook.looks[0]), status("load", "RUNNING")]]
        deferred(sensor(deferrable=True, timezone=zone))
        assert [each is not None for each in found] == [foreseen]

    def test_soft_fail_skips(self, hook: FakeHook) -> None:
        hook.runs("every minute", "0 * * * * ?")
        with pytest.raises(AirflowSkipException):
            run(sensor(deferrable=True, soft_fail=True))


class TestDeferral:
    def test_the_trigger_sleeps_until_the_window_can_begin(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", due=hook.now + timedelta(minutes=50))]]
        before = utcnow()
        deferral, trigger = deferred(
            sensor(
                deferrable=True,
                poke_interval=10,
                **LONG,
                denodo_scheduler_conn_id="master",
                uri="//m:8000",
                include_projects=("s*",),
            )
        )
        after = utcnow()
        assert before + timedelta(seconds=2000) < trigger.check_at <= after + timedelta(seconds=3011)
        assert before <= trigger.started <= after
        assert trigger.end == trigger.started + LONG["timeout"]
        assert deferral.method_name == "execute_complete"
        assert isinstance(deferral.timeout, timedelta)
        assert deferral.timeout > trigger.end - before, "Airflow's own timeout must leave the message to the trigger"
        assert (trigger.denodo_scheduler_conn_id, trigger.uri) == ("master", "//m:8000")
        assert trigger.include_projects == ["s*"]
        assert "sales / load is due at" in trigger.last_seen

    def test_the_trigger_survives_serialisation(self) -> None:
        trigger = make_trigger(uri=None, timezone="Europe/Madrid", stuck_by_cron=True)
        path, arguments = trigger.serialize()
        stored = json.dumps(serialize(arguments))
        again = import_string(path)(**cast("dict[str, Any]", deserialize(json.loads(stored))))
        assert again.serialize() == (path, arguments)

    def test_completion(self) -> None:
        result = {"quiet_until": None, "server_time": "2026-11-22T12:00:00+00:00", "waited_seconds": 1.0, "checks": 3}
        assert sensor().execute_complete(Context(), {"status": "quiet", "result": result}) == result

    def test_timeout(self) -> None:
        event = {"status": "timeout", "message": "not quiet: sales / load is RUNNING"}
        with pytest.raises(AirflowSensorTimeout, match=r"before the timeout.*sales / load is RUNNING.*raise timeout"):
            sensor().execute_complete(Context(), event)
        with pytest.raises(AirflowSkipException):
            sensor(soft_fail=True).resume_execution("execute_complete", {"event": event}, Context())

    def test_error(self) -> None:
        with pytest.raises(AirflowFailException, match="login refused"):
            sensor().execute_complete(Context(), {"status": "error", "message": "login refused"})


class TestTrigger:
    def test_waits_for_the_end_of_a_job(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", "RUNNING")], [status("load", "RUNNING")], [status("load")]]
        event = event_of(make_trigger())
        assert event["status"] == "quiet"
        assert event["result"]["checks"] == 4
        assert event["result"]["waited_seconds"] >= 120
        assert hook.made_for == [("master", "//master:8000")] * 3

    def test_does_not_look_before_the_window_can_begin(self, hook: FakeHook) -> None:
        moment = utcnow() + timedelta(seconds=0.3)
        looked: list[datetime] = []
        hook.before_answer = lambda: looked.append(utcnow())
        event_of(make_trigger(check_at=moment))
        assert len(looked) == 1
        assert looked[0] >= moment

    def test_the_wait_that_the_statuses_say_is_by_the_servers_clock(self, hook: FakeHook) -> None:
        """Due in a second: the next look comes after that, not at once and not in hours."""
        looked: list[datetime] = []
        hook.before_answer = lambda: looked.append(utcnow() + SKEW)
        due = hook.now + timedelta(seconds=1)
        hook.looks = [[status("load", due=due)], [status("load")]]
        event_of(make_trigger())
        assert len(looked) == 2
        assert looked[1] > due

    @pytest.mark.parametrize("error", [UnreachableError, NoAnswerError, ServerBusyError, RequestError])
    def test_errors_that_pass_are_survived(self, hook: FakeHook, error: type[Exception]) -> None:
        hook.looks = [error("for a while"), error("for a while"), [status("load")]]
        assert event_of(make_trigger())["status"] == "quiet"

    @pytest.mark.parametrize("error", [ConfigurationError("login refused"), UnexpectedAnswerError("field state")])
    def test_errors_that_stay_end_the_wait(self, hook: FakeHook, error: Exception) -> None:
        hook.looks = [error]
        assert event_of(make_trigger()) == {"status": "error", "message": str(getattr(error, "reason", error))}
        assert len(hook.requests) == 1

    def test_the_timeout_tells_the_last_blockers(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", "WAITING")]]
        event = event_of(make_trigger(end=utcnow() + timedelta(seconds=0.2)))
        assert event["status"] == "timeout"
        assert event["message"].startswith("not quiet: sales / load is WAITING")

    def test_the_timeout_tells_the_last_error(self, hook: FakeHook) -> None:
        hook.looks = [UnreachableError("connection refused")]
        event = event_of(make_trigger(end=utcnow() + timedelta(seconds=0.1)))
        assert event == {"status": "timeout", "message": "the last request failed: connection refused"}

    def test_after_a_restart_past_its_end_it_looks_once_more(self, hook: FakeHook) -> None:
        hook.looks = [[status("load", "RUNNING")]]
        late = make_trigger(end=utcnow() - timedelta(hours=1), check_at=utcnow() + timedelta(hours=1))
        assert event_of(late)["status"] == "timeout"
        assert len(hook.requests) == 1
        hook.looks = [[status("load")]]
        assert event_of(late)["status"] == "quiet"

    def test_a_slow_server_does_not_block_the_triggerer(self, hook: FakeHook) -> None:
        """The answer comes only when the event loop has gone on meanwhile."""
        released = threading.Event()
        in_time: list[bool] = []
        hook.before_answer = lambda: in_time.append(released.wait(allow(10)))

        async def both() -> Any:
            waiting = asyncio.ensure_future(anext(aiter(make_trigger().run())))
            while not hook.requests:
                await asyncio.sleep(0.001)
            released.set()
            return await asyncio.wait_for(waiting, allow(30))

        assert asyncio.run(both()).payload["status"] == "quiet"
        assert in_time == [True]

    def test_can_be_cancelled_while_it_sleeps(self, hook: FakeHook) -> None:
        async def cancelled() -> None:
            waiting = asyncio.ensure_future(anext(aiter(make_trigger(check_at=utcnow() + timedelta(hours=1)).run())))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(waiting, allow(30))

        asyncio.run(cancelled())
        assert hook.requests == []
