"""``denodo-ha drill`` and ``denodo-ha rehearse`` against an Airflow whose runs end as the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from denodo_cli import cli, rehearsal
from denodo_cli.airflow_api import AirflowApiError, Json
from denodo_ha.drill import RAN, Drill, Drilled
from denodo_ha.jobs import JobKey
from denodo_ha.record import Halt, Phase, Promotion, Record, Role, SnapshotRef
from denodo_ha.status import Level

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
SNAPSHOT = SnapshotRef(
    id="20260301T120000Z-ab",
    taken=NOW,
    committed=NOW,
    imported=NOW,
    content_hash="c",
    manifest_hash="m",
    jobs=3,
    enabled=3,
)
Do = Callable[[str, Json], str]
SWITCHOVER, OPERATIONS = "denodo_scheduler_switchover__default", "denodo_scheduler_operations__default"


class Airflow:
    """Airflow as the commands see it: each run that is started does ``do``, which returns how it ends."""

    def __init__(self) -> None:
        self.record = Record(snapshot=SNAPSHOT, master="http://a", slave="http://b")
        self.events: list[Json] = []
        self.runs: dict[str, Json] = {}
        self.paused: set[str] = set()
        self.notes: dict[str, str] = {}
        self.do: Do = self.switches
        self.looks: Callable[[], object] = lambda: None

    # what runs do

    def event(self, kind: str, **fields: Any) -> None:
        at = (NOW + timedelta(seconds=10 * len(self.events))).isoformat()
        self.events.append({"id": str(len(self.events)), "kind": kind, "at": at, **fields})

    def begins(self, run_id: str, to: Role, why: str = "as planned") -> None:
        phase = Phase.FAILING_OVER if to is Role.SLAVE else Phase.FAILING_BACK
        self.event("switchover_begun", operation=f"{run_id}/1", after={"phase": phase, "active": "x"}, why=why)

    def switches(self, run_id: str, conf: Json) -> str:
        """A switchover that works, and takes 12.5 s."""
        to = Role.SLAVE if conf["direction"] == "to_slave" else Role.MASTER
        assert self.record.active is not to
        self.begins(run_id, to)
        self.is_active(to, f"{run_id}/1")
        return "success"

    def is_active(self, to: Role, operation: str) -> None:
        over = to is Role.SLAVE
        promotion = Promotion(id=operation, kind="switchover", at=NOW, plan="p", complete=True)
        update = {"phase": Phase.FAILED_OVER if over else Phase.NORMAL, "active": to, "epoch": self.record.epoch + 1}
        self.record = self.record.model_copy(update={**update, **({"last_promotion": promotion} if over else {})})
        self.event(
            "switchover" if over else "failback",
            operation=operation,
            after={"phase": str(self.record.phase), "active": str(to), "enabled": 3},
            gap_seconds=12.5,
            missed={"occurrences": 0, "listed": []},
            interrupted={"jobs": 0, "names": []},
        )

    # its API

    def dag(self, dag_id: str) -> Json | None:
        return {"is_paused": dag_id in self.paused}

    def assets(self, **_: Any) -> list[Json]:
        return [{"id": 7, "name": "denodo-scheduler://default"}]

    def asset_state(self, _: int) -> Json:
        return {"record": self.record.to_json()}

    def health(self) -> Json:
        return {}

    def running(self, _: str) -> str:
        return ""

    def pages(self, path: str, _: str, state: str = "", **__: Any) -> Iterator[Json]:
        if path == "/assets/events":
            return iter([{"timestamp": each["at"], "extra": each} for each in reversed(self.events)])
        return iter([{"dag_run_id": name} for name, run in self.runs.items() if run["state"] == state])

    def request(self, method: str, path: str, *, json: Json) -> Json:
        assert method == "POST"
        run_id = json["dag_run_id"]
        assert run_id not in self.runs
        run = self.runs[run_id] = {"dag_run_id": run_id, "state": "running", "path": path, "conf": json["conf"]}
        run["state"], run["note"] = self.do(run_id, json["conf"]), self.notes.get(run_id)
        return run

    def get(self, path: str) -> Json:
        self.looks()
        return self.runs[path.rpartition("/")[2]]


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    made, number = Airflow(), iter(range(1000))
    monkeypatch.setattr(cli, "_api", lambda _: made)
    monkeypatch.setattr("denodo_cli.runs.POLL", 0)
    monkeypatch.setattr(rehearsal, "_new", lambda prefix: f"{prefix}{next(number)}")
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(command: str, *more: str) -> tuple[int, str]:
        code = cli.main([command, "default", "--reason", "a test", *more])
        return code, capsys.readouterr().out

    return call


# -- the rehearsal


def test_there_and_back_with_a_report(airflow: Airflow, run: Any) -> None:
    code, out = run("rehearse")
    assert (code, airflow.record.active, airflow.record.phase) == (0, Role.MASTER, Phase.NORMAL)
    assert [each["conf"]["direction"] for each in airflow.runs.values()] == ["to_slave", "to_master"]
    assert {each["conf"]["reason"] for each in airflow.runs.values()} == {"a test"}
    lines = out.splitlines()
    assert lines[0] == "OK - pair default: rehearsed in 30 s: the master is the active server again, in epoch 3"
    assert lines[1].endswith("3 jobs enabled and read back, jobs ran nowhere for 12.5 s, 0 occurrences missed.")
    assert (lines[1][:13], lines[2][:14]) == ("to the slave,", "to the master,")


def test_what_was_lost_is_a_warning_that_names_it(airflow: Airflow, run: Any) -> None:
    def loses(run_id: str, conf: Json) -> str:
        airflow.switches(run_id, conf)
        airflow.events[-1]["missed"] = {"occurrences": 1, "listed": [{"job": "a / b", "at": "6:00"}]}
        airflow.events[-1]["interrupted"] = {"jobs": 1, "names": ["a / c"]}
        return "success"

    airflow.do = loses
    code, out = run("rehearse")
    assert code == Level.WARNING
    assert "1 occurrences missed (a / b at 6:00), 1 interrupted (a / c)." in out


def test_a_first_half_that_fails_stops_it_with_the_pair_as_before(airflow: Airflow, run: Any) -> None:
    def refused(run_id: str, _: Json) -> str:
        airflow.notes[run_id] = "[sync_first] the slave is dirty. Next: run the sync DAG first."
        return "failed"

    airflow.do = refused
    code, out = run("rehearse")
    assert (code, len(airflow.runs)) == (2, 1)
    assert "the switchover to the slave failed: [sync_first] the slave is dirty." in out
    assert "Now the master is the active server (phase normal, epoch 1), as before the rehearsal. Next: " in out


def test_a_second_half_that_fails_is_gone_on_with_by_the_same_command(airflow: Airflow, run: Any) -> None:
    good = airflow.do

    def half(run_id: str, conf: Json) -> str:
        return good(run_id, conf) if conf["direction"] == "to_slave" else "failed"

    airflow.do = half
    code, out = run("rehearse")
    assert (code, airflow.record.active) == (2, Role.SLAVE)
    assert "Now the slave is the active server" in out
    assert "denodo-ha rehearse default goes on with the way back to the master" in out
    airflow.do = good
    code, out = run("rehearse")
    assert (code, airflow.record.active) == (0, Role.MASTER)
    assert [each["conf"]["direction"] for each in airflow.runs.values()] == ["to_slave", "to_master", "to_master"]


def test_a_command_that_was_ended_goes_on_with_the_run_that_it_has_started(airflow: Airflow, run: Any) -> None:
    name = "rehearsal__to_slave__x"
    airflow.runs[name] = {"dag_run_id": name, "state": "running", "conf": {"direction": "to_slave"}}

    def ends() -> None:
        if airflow.runs[name]["state"] == "running":
            airflow.runs[name]["state"] = airflow.switches(name, airflow.runs[name]["conf"])

    airflow.looks = ends
    assert run("rehearse")[0] == 0
    assert [each["conf"]["direction"] for each in airflow.runs.values()] == ["to_slave", "to_master"]


def test_a_half_that_the_failover_dag_has_resumed_is_still_its_own(airflow: Airflow, run: Any) -> None:
    def dies(run_id: str, conf: Json) -> str:
        if conf["direction"] == "to_master":
            return airflow.switches(run_id, conf)
        airflow.begins(run_id, Role.SLAVE)
        airflow.record = airflow.record.model_copy(update={"phase": Phase.FAILING_OVER})
        return "failed"

    airflow.do = dies
    airflow.record = airflow.record.model_copy(update={"operation": None})
    begun = pytest.MonkeyPatch()
    begun.setattr(rehearsal, "_record", lambda *_: airflow.record)
    try:
        code, out = run("rehearse")
        assert code == 2
        assert "the failover DAG resumes it. Next: watch it by denodo-ha status default" in out
        airflow.begins("watch", Role.SLAVE, "an interrupted switchover is resumed")
        airflow.is_active(Role.SLAVE, "watch/1")
        assert run("rehearse")[0] == 0
    finally:
        begun.undo()
    assert airflow.record.active is Role.MASTER


def test_a_slave_that_is_active_by_a_failover_is_no_rehearsal(airflow: Airflow, run: Any) -> None:
    airflow.switches("rehearsal__to_slave__1", {"direction": "to_slave"})
    airflow.is_active(Role.MASTER, "x")
    airflow.event("failover_begun", operation="watch/1", after={"phase": "failing_over"}, why="the master is down")
    airflow.is_active(Role.SLAVE, "watch/1")
    code, out = run("rehearse")
    assert (code, airflow.runs) == (2, {})
    assert f"trigger {SWITCHOVER} with the direction 'to_master'" in out


def test_nothing_is_started_where_it_could_not_run(airflow: Airflow, run: Any) -> None:
    airflow.paused = {SWITCHOVER, OPERATIONS}
    assert run("rehearse") == (2, f"CRITICAL - pair default: Airflow has paused the DAG {SWITCHOVER}, so nothing was "
        f"started. Next: unpause {SWITCHOVER}\n")  # fmt: skip
    assert run("drill")[0] == 2
    assert airflow.runs == {}


def test_a_halted_pair_is_told_so(airflow: Airflow, run: Any) -> None:
    def halts(_: str, __: Json) -> str:
        halt = Halt(since=NOW, code="x", reason="a mess", by="me", phase=Phase.NORMAL)
        airflow.record = airflow.record.model_copy(update={"phase": Phase.HALTED, "halted": halt})
        return "failed"

    airflow.do = halts
    assert "see to the cause of the halt, release the pair" in run("rehearse")[1]


def test_airflow_may_be_away_for_a_while(airflow: Airflow, run: Any) -> None:
    looks = iter(range(1000))

    def away() -> None:
        if next(looks) % 3:
            raise AirflowApiError("GET", 503, "starting")

    airflow.looks = away
    assert run("rehearse")[0] == 0


# -- the drill


def drilled(airflow: Airflow, *seen: Drilled, **fields: Any) -> Do:
    def do(run_id: str, conf: Json) -> str:
        assert conf == {"operation": "drill", "reason": "a test"}
        made = Drill(id=f"{run_id}/1", by="jo", at=NOW, ended=NOW + timedelta(minutes=1), done=seen, **fields)
        airflow.record = airflow.record.model_copy(update={"drill": made})
        return "failed" if made.problem else "success"

    return do


def test_a_drill_that_proves_it(airflow: Airflow, run: Any) -> None:
    ping = Drilled(key=JobKey(project="health", name="ping"), code=RAN, what="it ended as COMPLETE")
    airflow.do = drilled(airflow, ping)
    assert run("drill") == (
        0,
        "OK - pair default: drilled: 1 of 1 jobs ran on the slave\nOK health / ping: it ended as COMPLETE.\n",
    )


def test_a_drill_that_fails(airflow: Airflow, run: Any) -> None:
    bad = Drilled(key=JobKey(project="health", name="ping"), code="ended_badly", what="no driver", next_step="copy it")
    airflow.do = drilled(airflow, bad)
    code, out = run("drill")
    assert code == 2
    assert "CRITICAL health / ping: no driver. Next: copy it.\n" in out


def test_a_drill_that_was_refused_says_why(airflow: Airflow, run: Any) -> None:
    def refused(run_id: str, _: Json) -> str:
        airflow.notes[run_id] = "[paused] automation is paused. Next: resume it."
        return "failed"

    airflow.do = refused
    assert run("drill") == (
        2,
        "CRITICAL - pair default: there was no drill: [paused] automation is paused. Next: resume it.\n",
    )
