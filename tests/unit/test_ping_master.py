"""``ping_master`` and its trigger, against four real processes of a stand-in pair."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.exceptions import AirflowProviderDeprecationWarning
from airflow.sdk import DAG, Context
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize
from airflow.sdk.timezone import utcnow
from airflow.serialization.serialized_objects import DagSerialization

from denodo_demo.processes import wait_for
from denodo_demo.slowness import allow
from denodo_demo.standin import BASE_PATH, PASSWORD, StandinPair
from denodo_ha.verdict import Evidence
from denodo_scheduler.client.logins import LIMIT
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.operators.ping_master import DenodoSchedulerPingMasterOperator
from denodo_scheduler.triggers import ping_master as triggers
from denodo_scheduler.triggers.ping_master import PingMasterTrigger
from support.timeouts import ANSWERED

FALL = 3
MASTER, SLAVE = "denodo_scheduler_master", "denodo_scheduler_slave"
ME = f"GET {BASE_PATH}/public/api/me"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinPair]:
    with StandinPair(tmp_path_factory.mktemp("pair")) as pair:
        pair.slave.generate(jobs=4, projects=2, disabled=0)
        yield pair


@pytest.fixture
def pair(started: StandinPair, define: Callable[..., None]) -> StandinPair:
    """Healthy, with counters at zero and both connections defined; every answer comes in time."""
    started.heal()
    for server in started.servers:
        server.webtool.reset_requests()
        define(server.name)
    return started


@pytest.fixture
def define(started: StandinPair, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the connection to a server."""

    def connection(name: str, **changes: Any) -> None:
        fields = getattr(started, name).connection()
        fields["extra"] |= {"timeout": ANSWERED}
        fields |= changes
        monkeypatch.setenv(f"AIRFLOW_CONN_DENODO_SCHEDULER_{name.upper()}", json.dumps(fields))

    return connection


def make_trigger(**arguments: Any) -> PingMasterTrigger:
    return PingMasterTrigger(
        **{
            "denodo_scheduler_conn_id": MASTER,
            "slave_conn_id": SLAVE,
            "second_path": "auto",
            "interval": timedelta(milliseconds=100),
            "fall": FALL,
            "until": utcnow() + timedelta(hours=1),
        }
        | arguments
    )


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that were looked up."""
    found: list[str] = []
    original = DenodoSchedulerHook.get_connection
    monkeypatch.setattr(
        DenodoSchedulerHook, "get_connection", lambda self, conn_id: found.append(conn_id) or original(conn_id)
    )
    return found


async def first_event(trigger: PingMasterTrigger) -> dict[str, Any]:
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    payload = (getattr(events[0], "xcoms", None) or {}).get("return_value") or events[0].payload
    assert json.loads(json.dumps(payload)) == payload
    assert PASSWORD not in json.dumps(payload)
    return payload


def event_of(trigger: PingMasterTrigger) -> dict[str, Any]:
    return asyncio.run(asyncio.wait_for(first_event(trigger), allow(180)))


def soon() -> datetime:
    """The end of a watch of ten rounds or so."""
    return utcnow() + timedelta(seconds=allow(1))


def outcome(event: dict[str, Any]) -> tuple[str, str]:
    """How the watch ended, and with what."""
    return event["ended_by"], event["evidence"]["verdict"]


def on_both_paths(pair: StandinPair, **fault: Any) -> None:
    """A fault that hits what both web tools are asked about the master; the slave's once more: whether path 2 works."""
    about_master = {"path": "/me$", "query": str(pair.master.scheduler.port)}
    for server, more in ((pair.master, 0), (pair.slave, 1)):
        times = {"times": fault["times"] + more} if "times" in fault else {}
        server.webtool.faults({"match": about_master, **fault, **times})


def make_impatient(pair: StandinPair, define: Callable[..., None]) -> None:
    """What answers does so in time still: only a silence about the master outlasts this."""
    for server in pair.servers:
        define(server.name, extra={"scheduler_uri": server.uri, "timeout": [60, allow(0.5)]})


class TestVerdicts:
    def test_up_ends_the_first_watch_with_one_round(self, pair: StandinPair) -> None:
        event = event_of(make_trigger())
        assert outcome(event) == ("confirmed", "up")
        evidence = Evidence.from_json(event["evidence"])
        assert (evidence.rounds, evidence.last_alive) == (1, evidence.decided)
        assert event["alive_since"] == event["evidence"]["decided"]
        assert event["latencies"].keys() == {"master"}
        assert pair.master.webtool.requests()[ME] == 1
        assert pair.slave.webtool.requests()[ME] == 1, "whether path 2 works"
        assert event["second_good"]
        paths = event["paths"]
        assert {name: path["said"] for name, path in paths.items()} == dict.fromkeys(
            ("master", "second", "slave"), "up"
        )
        assert paths["master"]["at"] == event["evidence"]["decided"]
        assert all(0 < path["seconds"] < 60 and "Scheduler answers" in path["what"] for path in paths.values())

    def test_a_second_path_that_does_not_work_is_not_said_to(self, pair: StandinPair) -> None:
        about_master = {"path": "/me$", "query": str(pair.master.scheduler.port)}
        pair.slave.webtool.faults({"match": about_master, "kind": "status", "status": 500})
        assert event_of(make_trigger())["second_good"] == ""
        assert event_of(make_trigger())["paths"]["second"]["said"] == "failed"
        alone = event_of(make_trigger(second_path="none"))
        assert (alone["second_good"], alone["paths"].keys()) == ("", {"master", "slave"})

    def test_what_is_known_is_watched_until_the_end(self, pair: StandinPair) -> None:
        event = event_of(make_trigger(known="up", until=soon()))
        assert outcome(event) == ("watched", "up")
        evidence = Evidence.from_json(event["evidence"])
        assert evidence.rounds > 2
        assert event["alive_since"] == evidence.since.isoformat()
        latencies = event["latencies"]["master"]
        assert latencies["count"] == evidence.rounds == pair.master.webtool.requests()[ME]
        assert 0 < latencies["min"] <= latencies["median"] <= latencies["max"]

    def test_a_dead_web_tool_is_not_a_dead_master(self, pair: StandinPair) -> None:
        pair.master.webtool.kill()
        event = event_of(make_trigger(known="up"))
        assert outcome(event) == ("confirmed", "control_path_broken")
        assert event["evidence"]["streak"] == FALL
        assert event["evidence"]["last_alive"] == event["evidence"]["decided"]
        assert event["alive_since"] is not None
        assert {name: path["said"] for name, path in event["paths"].items()} == {
            "master": "no_answer",
            "second": "up",
            "slave": "up",
        }

    def test_a_dead_scheduler_is_down_after_fall_rounds(self, pair: StandinPair) -> None:
        pair.master.scheduler.kill()
        event = event_of(make_trigger(known="up"))
        assert outcome(event) == ("confirmed", "down")
        evidence = Evidence.from_json(event["evidence"])
        assert (evidence.rounds, evidence.streak, evidence.last_alive) == (FALL, FALL, None)
        assert event["alive_since"] is None
        assert event["latencies"].keys() == {"master", "second", "slave"}
        assert "500 to GET /me" in event["evidence"]["latest"][0]["details"]["second"]

    def test_a_scheduler_that_dies_during_the_watch(self, pair: StandinPair) -> None:
        async def kill_while_watched() -> dict[str, Any]:
            task = asyncio.create_task(first_event(make_trigger(known="up")))
            await asyncio.to_thread(wait_for, lambda: pair.master.webtool.requests().get(ME, 0) > 2, 60, "probes")
            await asyncio.to_thread(pair.master.scheduler.kill)
            return await asyncio.wait_for(task, allow(60))

        event = asyncio.run(kill_while_watched())
        assert outcome(event) == ("confirmed", "down")
        evidence = Evidence.from_json(event["evidence"])
        assert evidence.last_alive is not None
        assert evidence.last_alive < evidence.since

    @pytest.mark.parametrize("kind", ["hang", "cut_before", "truncate", "garbage", "empty"])
    def test_whatever_is_no_answer_on_both_paths_is_down(
        self, pair: StandinPair, define: Callable[..., None], kind: str
    ) -> None:
        on_both_paths(pair, kind=kind)
        if kind == "hang":
            make_impatient(pair, define)
        assert outcome(event_of(make_trigger(known="up"))) == ("confirmed", "down")

    def test_latency_below_the_deadline_is_up(self, pair: StandinPair) -> None:
        on_both_paths(pair, kind="latency", seconds=0.7)
        event = event_of(make_trigger())
        assert outcome(event) == ("confirmed", "up")
        assert event["latencies"]["master"]["min"] > 700

    def test_latency_beyond_the_deadline_is_silence(self, pair: StandinPair, define: Callable[..., None]) -> None:
        on_both_paths(pair, kind="latency", seconds=60)
        make_impatient(pair, define)
        assert outcome(event_of(make_trigger(known="up"))) == ("confirmed", "down")

    @pytest.mark.parametrize(("length", "expected"), [(1, "up"), (FALL - 1, "up"), (FALL, "down")])
    def test_a_burst_of_errors_counts_from_fall_on(self, pair: StandinPair, length: int, expected: str) -> None:
        on_both_paths(pair, kind="status", status=500, times=length)
        event = event_of(make_trigger(known="up", until=soon()))
        assert outcome(event) == ("watched" if expected == "up" else "confirmed", expected)
        assert event["latencies"]["second"]["count"] >= length
        assert event["evidence"]["rounds"] > length or expected == "down"

    def test_a_burst_on_path_1_alone_is_no_outage(self, pair: StandinPair) -> None:
        pair.master.webtool.faults({"kind": "status", "status": 500})
        assert outcome(event_of(make_trigger(known="up"))) == ("confirmed", "control_path_broken")

    @pytest.mark.parametrize(
        "fault", [{"kind": "status", "status": status} for status in (401, 403, 404)] + [{"kind": "html"}]
    )
    def test_a_wrong_answer_is_never_an_outage(self, pair: StandinPair, fault: dict[str, Any]) -> None:
        on_both_paths(pair, **fault)
        assert outcome(event_of(make_trigger(known="up"))) == ("confirmed", "misconfigured")

    def test_without_any_web_tool_airflow_itself_is_cut_off(self, pair: StandinPair) -> None:
        for server in pair.servers:
            server.webtool.kill()
        assert outcome(event_of(make_trigger(known="up"))) == ("confirmed", "isolated")

    def test_one_path_alone_does_not_say_down(self, pair: StandinPair) -> None:
        pair.master.scheduler.kill()
        assert outcome(event_of(make_trigger(second_path="none"))) == ("confirmed", "unknown")
        assert outcome(event_of(make_trigger(slave_conn_id=None))) == ("confirmed", "unknown")


class TestEnds:
    def test_a_known_down_is_watched(self, pair: StandinPair) -> None:
        pair.master.scheduler.kill()
        watched = event_of(make_trigger(known="down", until=soon()))
        assert outcome(watched) == ("watched", "down")
        assert watched["evidence"]["rounds"] > FALL

    def test_the_end_waits_for_a_confirmed_verdict(self, pair: StandinPair) -> None:
        on_both_paths(pair, kind="status", status=500, times=FALL - 1)
        event = event_of(make_trigger(known="up", until=utcnow() - timedelta(hours=1)))
        assert outcome(event) == ("watched", "up")
        assert event["evidence"]["rounds"] == FALL

    def test_a_corrected_password_is_picked_up(
        self, pair: StandinPair, define: Callable[..., None], capfd: pytest.CaptureFixture[str]
    ) -> None:
        define("master", password="wr0ng-secret")

        async def correct_while_watched() -> dict[str, Any]:
            task = asyncio.create_task(first_event(make_trigger(known="control_path_broken")))
            await asyncio.to_thread(wait_for, lambda: pair.master.webtool.requests().get(ME, 0) == LIMIT, 60, "probes")
            define("master")
            return await asyncio.wait_for(task, allow(60))

        assert outcome(asyncio.run(correct_while_watched())) == ("confirmed", "up")
        log = "".join(capfd.readouterr())
        assert log.count("control_path_broken (master: 401 to GET /me: login refused") == 1, "one line for each change"
        assert log.count("up") >= 1
        assert "wr0ng" not in log
        assert PASSWORD not in log

    def test_a_login_that_is_refused_on_both_paths_is_sent_three_times(
        self, pair: StandinPair, define: Callable[..., None], read: list[str]
    ) -> None:
        """One more where both paths ask at once; then no more in this watch, although the round goes on for ever."""
        for name in ("master", "slave"):
            define(name, password="wr0ng-secret")
        until = utcnow() + timedelta(seconds=allow(4))
        event = event_of(make_trigger(known="misconfigured", until=until))
        assert event["evidence"]["rounds"] > 20
        assert pair.master.webtool.requests().get(ME, 0) == 1, "the watch before has tried it often enough"
        assert pair.slave.webtool.requests().get(ME, 0) <= 2
        for server in pair.servers:
            server.webtool.reset_requests()
        event = event_of(make_trigger(known="up", fall=10 * FALL, until=until))
        assert outcome(event) == ("confirmed", "misconfigured")
        assert "was refused 3 times in a row" in event["evidence"]["latest"][-1]["details"]["master"]
        assert pair.master.webtool.requests().get(ME, 0) == LIMIT
        assert LIMIT <= pair.slave.webtool.requests().get(ME, 0) <= LIMIT + 2, "another look at path 2 included"
        assert read.count(MASTER) < 20, "the secrets backend is asked ever more seldom"

    def test_connections_that_break_meanwhile_are_not_used(
        self, pair: StandinPair, define: Callable[..., None], read: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        on_both_paths(pair, kind="status", status=404)

        async def break_while_watched() -> dict[str, Any]:
            task = asyncio.create_task(first_event(make_trigger(known="misconfigured")))
            await asyncio.to_thread(wait_for, lambda: pair.master.webtool.requests().get(ME, 0) > 0, 60, "a probe")
            define("master", extra="nonsense")
            before = read.count(MASTER)
            await asyncio.to_thread(wait_for, lambda: read.count(MASTER) > before + 1, 60, "another lookup")
            for server in pair.servers:
                server.webtool.faults()
            return await asyncio.wait_for(task, allow(60))

        assert outcome(asyncio.run(break_while_watched())) == ("confirmed", "up")
        assert "cannot be read again" in "".join(capfd.readouterr())

    def test_a_missing_connection_is_an_error(self, pair: StandinPair) -> None:
        event = event_of(make_trigger(denodo_scheduler_conn_id="no_such_connection"))
        assert event.keys() == {"error"}
        assert "no_such_connection" in event["error"]

    @pytest.mark.parametrize("changes", [{"extra": {"timeout": "soon"}}, {"schema": "ftp"}, {"extra": [1]}])
    def test_an_unusable_connection_is_an_error(
        self, pair: StandinPair, define: Callable[..., None], changes: dict[str, Any]
    ) -> None:
        define("slave", **changes)
        assert "denodo_scheduler_slave" in event_of(make_trigger())["error"]


class TestPassiveServer:
    FAST = timedelta(milliseconds=200)

    def test_enabled_jobs_there_end_the_watch(self, pair: StandinPair, capfd: pytest.CaptureFixture[str]) -> None:
        pair.slave.set_status("enable", pair.slave.statuses())
        event = event_of(make_trigger(known="up", passive_conn_id=SLAVE, passive_interval=self.FAST))
        assert outcome(event) == ("passive", "up")
        assert "Jobs are enabled on the server that should be passive" in "".join(capfd.readouterr())

    @pytest.mark.parametrize("quiet", ["nothing enabled", "nothing in scope"])
    def test_otherwise_it_goes_on(self, pair: StandinPair, quiet: str) -> None:
        scope = {}
        if quiet == "nothing enabled":
            pair.slave.set_status("disable", pair.slave.statuses())
        else:
            pair.slave.set_status("enable", pair.slave.statuses())
            scope = {"include_jobs": ["no such job"]}
        until = utcnow() + timedelta(seconds=allow(1.5))
        event = event_of(
            make_trigger(known="up", passive_conn_id=SLAVE, passive_interval=self.FAST, until=until, **scope)
        )
        assert outcome(event) == ("watched", "up")
        assert pair.slave.webtool.requests()[f"GET {BASE_PATH}/public/api/jobs/status"] > 0

    def test_a_failed_read_is_only_logged(self, pair: StandinPair, capfd: pytest.CaptureFixture[str]) -> None:
        pair.slave.set_status("enable", pair.slave.statuses())
        pair.slave.webtool.faults({"kind": "status", "status": 500, "match": {"path": "/jobs/status"}, "times": 2})
        event = event_of(make_trigger(known="up", passive_conn_id=SLAVE, passive_interval=self.FAST))
        assert outcome(event) == ("passive", "up")
        assert "".join(capfd.readouterr()).count("should be passive cannot be read") == 2


class FakeLoop:
    """A clock that only ``sleep`` and the test move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([0.0, 0.0, 0.0], [0, 10, 20, 30]),
        ([3.0, 9.9, 0.2], [0, 10, 20, 30]),
        ([12.0, 31.0, 1.0], [0, 20, 60, 70]),
        ([10.0, 10.0], [0, 10, 20]),
    ],
)
def test_probes_leave_at_multiples_of_the_interval(
    monkeypatch: pytest.MonkeyPatch, rounds: list[float], expected: list[float]
) -> None:
    loop = FakeLoop()
    monkeypatch.setattr(triggers, "asyncio", SimpleNamespace(get_running_loop=lambda: loop, sleep=loop.sleep))

    async def left() -> list[float]:
        times, lasting = [], iter(rounds)
        async for _ in triggers._ticks(10):
            times.append(loop.now - 1000)
            if (duration := next(lasting, None)) is None:
                return times
            loop.now += duration
        raise AssertionError("ticks never end")

    assert asyncio.run(left()) == expected


def operator(**arguments: Any) -> DenodoSchedulerPingMasterOperator:
    return DenodoSchedulerPingMasterOperator(
        **({"task_id": "ping_master", "denodo_scheduler_conn_id": MASTER} | arguments)
    )


def deferred(pinging: DenodoSchedulerPingMasterOperator) -> tuple[TaskDeferred, PingMasterTrigger]:
    with pytest.raises(TaskDeferred) as raised:
        pinging.execute(Context())
    assert isinstance(raised.value.trigger, PingMasterTrigger)
    return raised.value, raised.value.trigger


class TestOperator:
    def test_everything_is_left_to_the_trigger(self) -> None:
        before = utcnow()
        deferral, trigger = deferred(
            operator(slave_conn_id=SLAVE, watch_for=timedelta(minutes=40), known="up", passive_conn_id=SLAVE)
        )
        assert before <= trigger.until - timedelta(minutes=40) <= utcnow()
        assert deferral.method_name == "execute_complete"
        assert isinstance(deferral.timeout, timedelta)
        assert deferral.timeout > timedelta(minutes=40), "the trigger must end first"
        assert (trigger.denodo_scheduler_conn_id, trigger.slave_conn_id) == (MASTER, SLAVE)
        assert (trigger.known, trigger.second_path) == ("up", "auto")
        assert (trigger.interval, trigger.fall) == (timedelta(seconds=5), 4)

    def test_by_default_the_first_confirmed_verdict_ends_it(self) -> None:
        _, trigger = deferred(operator())
        assert trigger.until <= utcnow()
        assert trigger.known is None

    def test_a_verdict_that_does_not_exist_is_an_error(self) -> None:
        with pytest.raises(AirflowFailException, match=r"\[argument\] known is 'dwon'"):
            operator(known="dwon").execute(Context())

    @pytest.mark.parametrize(
        "wrong", [{"interval": timedelta(0)}, {"fall": 0}, {"passive_interval": timedelta(seconds=-1)}]
    )
    def test_nonsense_is_an_import_error(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be longer than 0, and fall at least 1"):
            operator(**wrong)

    def test_the_trigger_survives_serialisation(self) -> None:
        trigger = make_trigger(known="up", passive_conn_id=SLAVE, include_jobs=("a*",))
        path, arguments = trigger.serialize()
        stored = json.dumps(serialize(arguments))
        again = import_string(path)(**cast("dict[str, Any]", deserialize(json.loads(stored))))
        assert again.serialize() == (path, arguments)
        assert arguments.keys() == vars(make_trigger()).keys() & arguments.keys()

    def test_an_unusable_connection_fails_at_once(self) -> None:
        with pytest.raises(AirflowFailException, match="correct its extra"):
            operator().execute_complete(Context(), {"error": "Connection 'm': correct its extra field."})

    @pytest.mark.parametrize("other", ["passive_conn_id", "active_conn_id", "slave_conn_id"])
    def test_each_connection_must_exist(self, pair: StandinPair, other: str) -> None:
        said = event_of(make_trigger(**{other: "nowhere"}))["error"]
        assert said.startswith("[connection] Connection 'nowhere'")
        assert "Next: create or correct" in said

    def test_its_old_name_is_the_same_class_with_a_warning(self) -> None:
        with pytest.warns(AirflowProviderDeprecationWarning, match="DenodoSchedulerPingMasterOperator now"):
            from denodo_scheduler.operators.ping_master import PingMasterOperator
        assert PingMasterOperator is DenodoSchedulerPingMasterOperator

    def test_a_dag_with_it_can_be_serialised(self) -> None:
        with DAG("d", schedule=None) as dag:
            operator(slave_conn_id=SLAVE)
        assert "ping_master" in json.dumps(DagSerialization.to_dict(dag))
