"""``denodo-ha`` against a scripted Airflow: what it says of a pair, and the exit codes for monitoring systems."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from denodo_cli import cli
from denodo_cli.cli import main
from denodo_demo.processes import free_port
from denodo_ha.decisions import DECISIONS, RULES, TABLE
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.doctor.diagnosis import Answer, Diagnosis
from denodo_ha.doctor.scratch import Scratch
from denodo_ha.jobs import JobKey
from denodo_ha.readiness.findings import Checked, Readiness
from denodo_ha.record import (
    SCHEMA,
    Approval,
    Dirty,
    Halt,
    Operation,
    Pause,
    PendingJob,
    Phase,
    Promotion,
    Record,
    Role,
    SnapshotRef,
    Step,
)
from denodo_ha.status import LEVELS, STANDBY_ONLY, Level, level
from denodo_ha.verdict import Verdict

NOW = datetime.now(UTC)
MINUTE = timedelta(minutes=1)
PASSWORD = "s3cret-pässword"
SNAPSHOT = SnapshotRef(
    id="20260301T120000Z-ab",
    taken=NOW - 12.2 * MINUTE,
    committed=NOW,
    imported=NOW,
    content_hash="c",
    manifest_hash="m",
    jobs=60,
    enabled=50,
)
PENDING = tuple(
    PendingJob(key=JobKey(project="Sales", name=name), code="restless", why=why, on_target=there, next_step=how)
    for name, why, there, how in (
        ("poll", "it fires every second", False, "let it rest"),
        ("load", "it fires too often", True, ""),
    )
)
SCRATCH = Scratch(id="r/1", role="slave", target="b", projects=("one",), since=NOW, lease_until=NOW + MINUTE)
HALT = Halt(since=NOW, code="x", reason="a mess", by="me", phase=Phase.NORMAL)
RECORD = Record(epoch=3, snapshot=SNAPSHOT, master="http://a", slave="http://b")


class ScriptedAirflow:
    """Answers as Airflow 3.3 does where a pair ``default`` exists, here with everything in order."""

    def __init__(self, webtool: Any, answer: Any) -> None:
        self.webtool, self.answer = webtool, answer
        self.url = f"http://127.0.0.1:{webtool.port}"
        self.health()
        assets = [self.asset(7, "default"), self.asset(8, "stock")]
        self.on("assets", {"assets": assets, "total_entries": 2})
        self.on("dags/denodo_scheduler_failover__default", {"is_paused": False, "is_stale": False})
        self.state(RECORD)

    @staticmethod
    def asset(number: int, pair: str) -> dict[str, Any]:
        return {"id": number, "name": f"denodo-scheduler://{pair}", "uri": f"denodo-scheduler://{pair}/"}

    def on(self, path: str, body: Any, status: int = 200) -> None:
        self.webtool.on("GET", f"//api/v2/{path}", self.answer(body, status))

    def health(self, **components: str | None) -> None:
        names = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        self.on("monitor/health", {name: {"status": components.get(name, "healthy")} for name in names})

    def state(
        self,
        record: Record | Any,
        *,
        at: datetime | None = None,
        check: Any = None,
        doctor: Any = None,
        **watch: Any,
    ) -> None:
        """What the state store of the pair's asset holds."""
        moment = (at or NOW).isoformat()
        seen = {"owner": "r1", "verdict": "up", "code": "healthy", "settled": True, "since": moment, "at": moment}
        stored = record.to_json() if isinstance(record, Record) else record
        entries = [{"key": "watch", "value": seen | watch}]
        if stored is not None:
            entries.append({"key": "record", "value": stored})
        if check is not None:
            entries.append({"key": "check", "value": check})
        if doctor is not None:
            entries.append({"key": "doctor", "value": doctor})
        self.on("assets/7/state-store", {"asset_state_store": entries, "total_entries": len(entries)})

    def states(self, *contents: dict[str, Any]) -> None:
        """What the state store holds at each look."""
        rows = [[{"key": key, "value": value} for key, value in each.items()] for each in contents]
        pages = [self.answer({"asset_state_store": entries, "total_entries": len(entries)}) for entries in rows]
        self.webtool.on("GET", "//api/v2/assets/7/state-store", *pages)

    def run_of_operations(self, *states: str) -> None:
        """A run that can be triggered, and its state at each look."""
        path = "//api/v2/dags/denodo_scheduler_operations__default/dagRuns"
        self.webtool.on("POST", path, self.answer({"dag_run_id": "manual__1"}))
        self.webtool.on("GET", f"{path}/manual__1", *(self.answer({"state": state}) for state in states))

    def events(self, *extras: dict[str, Any] | None) -> None:
        """The newest last, as they came about."""
        rows = [
            {"id": number, "timestamp": (NOW + number * MINUTE).isoformat(), "extra": extra}
            for number, extra in enumerate(extras)
        ]
        self.on("assets/events", {"asset_events": rows[::-1], "total_entries": len(rows)})


@pytest.fixture
def airflow(webtool: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> ScriptedAirflow:
    airflow = ScriptedAirflow(webtool, answer)
    monkeypatch.setenv("AIRFLOW_API_URL", airflow.url)
    monkeypatch.setenv("AIRFLOW_USER", "duty")
    monkeypatch.setenv("AIRFLOW_PASSWORD", PASSWORD)
    monkeypatch.delenv("AIRFLOW_TOKEN", raising=False)
    return airflow


CHANGE = Operation(
    kind="switchover", id="s/1", target="b", step=Step.CLAIMED, started=NOW, lease_until=NOW + MINUTE, plan="s"
)


class Still(datetime):
    """A clock that stands where this file was read, however long the suite has run since."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return NOW


@pytest.fixture
def run(airflow: ScriptedAirflow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call the command line; the exit code and what was printed."""
    monkeypatch.setattr(cli, "datetime", Still)

    def run(*arguments: str) -> tuple[int, str]:
        code = main(list(arguments))
        printed = capsys.readouterr()
        assert PASSWORD not in printed.out + printed.err
        assert printed.err == ""
        return code, printed.out

    return run


class TestStatus:
    def test_all_is_well(self, run: Any) -> None:
        code, out = run("status", "default")
        assert code == 0
        assert out.splitlines()[0] == (
            "OK - pair default: the master is up and the slave is ready to take over; master active, epoch 3, "
            "snapshot 12 min old | last_look=0s;;3600;0 snapshot_age=732s;;;0 epoch=3;;;0 pending=0;;;0 doubts=0;;;0"
        )
        assert "phase: normal" in out
        assert "active: master (http://a)" in out
        assert "60 jobs, 50 to be enabled" in out
        assert "last look:" in out
        assert "next step" not in out

    @pytest.mark.parametrize(
        ("changes", "code", "says"),
        [
            ({"phase": Phase.FAILING_OVER, "operation": CHANGE}, 1, "failing over"),
            ({"phase": Phase.FAILED_OVER, "active": Role.SLAVE}, 1, "failed over; the master is back"),
            ({"phase": Phase.FAILING_BACK, "active": Role.SLAVE, "operation": CHANGE}, 1, "failing back"),
            ({"phase": Phase.HALTED, "halted": HALT}, 2, "a mess"),
            ({"phase": Phase.HALTED}, 2, "the pair's HA record cannot be read (halted: "),
            ({"phase": Phase.FAILING_OVER}, 2, "the pair's HA record cannot be read (operation: "),
            ({"paused": Pause(since=NOW, reason="update", by="me")}, 1, "paused: by me: update"),
            ({"paused": Pause(since=NOW, reason="update", until=NOW - MINUTE)}, 0, "phase: normal"),
            ({"acknowledged": False}, 1, "acknowledged: no"),
            ({"dirty": Dirty(since=NOW, reason="half an import")}, 1, "half an import"),
            ({"snapshot": None}, 1, "there is no committed snapshot"),
            ({"scratch": SCRATCH}, 0, "scratch projects: one on the slave: a doctor may be at work until"),
            ({"scratch": SCRATCH.model_copy(update={"lease_until": NOW})}, 0, "one on the slave: left by a doctor"),
            ({"cool_down_until": NOW + 60 * MINUTE}, 0, "cool-down: until"),
            ({"approval": Approval(requested_by="r", until=NOW + MINUTE)}, 0, "approval: waits for an answer"),
            (
                {"last_promotion": Promotion(id="o", kind="failover", at=NOW, plan="s", complete=False)},
                0,
                "not all jobs enabled yet",
            ),
            (
                {
                    "dirty": Dirty(since=NOW, reason="an import goes on"),
                    "operation": Operation(
                        kind="sync", id="op1", target="b", step=Step.IMPORTING, started=NOW, lease_until=NOW + MINUTE
                    ),
                },
                0,
                "operation: sync op1, importing",
            ),
        ],
    )  # fmt: skip
    def test_the_record(
        self, airflow: ScriptedAirflow, run: Any, changes: dict[str, Any], code: int, says: str
    ) -> None:
        airflow.state(RECORD.model_copy(update=changes))
        got, out = run("status", "default")
        assert got == code, out
        assert says in out
        assert out.startswith(f"{Level(code).name} - pair default: ")

    @pytest.mark.parametrize(
        ("watch", "code"),
        [
            ({"code": "healthy"}, 0),
            ({"code": "master_back"}, 1),
            ({"code": "stale_snapshot", "verdict": "up"}, 1),
            ({"code": "stale_snapshot", "verdict": "down"}, 2),
            ({"code": "slave_unreachable", "verdict": "up"}, 1),
            ({"code": "slave_unreachable", "verdict": "unknown"}, 2),
            ({"code": "control_path_broken", "verdict": "control_path_broken"}, 1),
            ({"code": "slave_may_be_active"}, 2),
            ({"code": "paused_down", "verdict": "down"}, 2),
            ({"code": "isolated", "verdict": "isolated"}, 2),
        ],
    )
    def test_the_last_look(self, airflow: ScriptedAirflow, run: Any, watch: dict[str, str], code: int) -> None:
        airflow.state(RECORD, **watch)
        got, out = run("status", "default")
        assert got == code
        decision = DECISIONS[watch["code"]]
        assert decision.what in out
        if code:
            assert decision.what in out.splitlines()[0]
            assert f"next step: {decision.next_step}" in out

    def test_jobs_that_are_not_delivered_are_a_warning_with_their_names(
        self, airflow: ScriptedAirflow, run: Any
    ) -> None:
        airflow.state(RECORD.model_copy(update={"pending": PENDING}))
        code, out = run("status", "default")
        assert code == 1
        assert "2 jobs are not delivered to the passive server yet" in out.splitlines()[0]
        assert "pending: Sales / load, Sales / poll; --verbose says why, and what to do" in out
        airflow.state(RECORD.model_copy(update={"pending": PENDING[:1]}))
        assert "1 job is not delivered" in run("status", "default")[1]

    def test_verbose_says_why_jobs_are_pending_and_what_was_learned(self, airflow: ScriptedAirflow, run: Any) -> None:
        learned = Capabilities(version="9.1.0", import_replaces=True, faithful=("VDP",), longest_import=2.04)
        airflow.state(RECORD.model_copy(update={"pending": PENDING, "capabilities": {Role.SLAVE: learned}}))
        quiet, loud = run("status", "default")[1], run("status", "default", "--verbose")[1]
        details = [
            "pending Sales / poll: [restless] it fires every second; it is missing there. Next: let it rest",
            "pending Sales / load: [restless] it fires too often; an older definition is there",
            "learned of the slave: Learned of version 9.1.0. An import deletes the jobs that it does not hold",
            "Written over REST and read back equal: VDP.",
            "until all its jobs were read back disabled.",
        ]
        assert [each for each in details if each not in loud] == []
        assert [each for each in details if each in quiet] == []
        assert set(quiet.splitlines()) <= set(loud.splitlines())

    def test_a_snapshot_of_the_slave_says_so(self, airflow: ScriptedAirflow, run: Any) -> None:
        mine = run("status", "default")[1]
        snapshot = SNAPSHOT.model_copy(update={"source": Role.SLAVE})
        airflow.state(RECORD.model_copy(update={"snapshot": snapshot}))
        assert f"snapshot: {SNAPSHOT.id}, of the slave, taken" in run("status", "default")[1]
        assert f"snapshot: {SNAPSHOT.id}, taken" in mine

    def test_the_worst_counts_and_comes_first(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD.model_copy(update={"acknowledged": False}), code="isolated", verdict="isolated")
        code, out = run("status", "default")
        assert code == 2
        first = out.splitlines()[0]
        assert first.index("nothing can be reached") < first.index("not acknowledged") < first.index("master active")

    def test_a_decision_of_a_newer_version_cannot_be_judged(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, code="brand_new")
        code, out = run("status", "default")
        assert code == 3
        assert "brand_new" in out

    @pytest.mark.parametrize(
        ("record", "code", "says"),
        [
            (None, 2, "there is no HA record"),
            ({"phase": "nonsense"}, 2, "cannot be read (phase:"),
            ("text", 2, "cannot be read"),
            ({"schema_number": SCHEMA + 1}, 3, "upgrade this project"),
        ],
    )
    def test_an_unusable_record(self, airflow: ScriptedAirflow, run: Any, record: Any, code: int, says: str) -> None:
        airflow.state(record)
        got, out = run("status", "default")
        assert got == code
        assert says in out.splitlines()[0]

    def test_terminals_get_a_table(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        code, out = run("status", "default")
        assert code == 0
        assert "│ epoch" in out


class TestMonitor:
    """Whether somebody watches the pair at all."""

    @pytest.mark.parametrize("component", ["scheduler", "triggerer", "metadatabase"])
    @pytest.mark.parametrize("status", ["unhealthy", None])
    def test_a_part_of_airflow_is_dead(
        self, airflow: ScriptedAirflow, run: Any, component: str, status: str | None
    ) -> None:
        airflow.health(**{component: status})
        code, out = run("status", "default")
        assert code == 2
        assert f"monitor stopped: Airflow's {component} is" in out.splitlines()[0]

    @pytest.mark.parametrize(
        ("dag", "status", "says"),
        [
            ({"is_paused": True, "is_stale": False}, 200, "the failover DAG is paused"),
            ({"is_paused": False, "is_stale": True}, 200, "does not find the failover DAG"),
            ({"detail": "not found"}, 404, "does not find the failover DAG"),
        ],
    )
    def test_the_dag_does_not_run(self, airflow: ScriptedAirflow, run: Any, dag: Any, status: int, says: str) -> None:
        airflow.on("dags/denodo_scheduler_failover__default", dag, status)
        code, out = run("status", "default")
        assert code == 2
        assert "monitor stopped: " in out
        assert says in out.splitlines()[0]

    @pytest.mark.parametrize(
        ("minutes", "arguments", "code"),
        [(59, [], 0), (61, [], 2), (61, ["--max-age", "70m"], 0), (2, ["--max-age", "60"], 2), (600, [], 2)],
    )
    def test_the_last_look_is_too_old(
        self, airflow: ScriptedAirflow, run: Any, minutes: int, arguments: list[str], code: int
    ) -> None:
        airflow.state(RECORD, at=NOW - minutes * MINUTE)
        got, out = run("status", "default", *arguments)
        assert got == code
        assert ("monitor stopped: the last look at the pair was" in out) is (code == 2)

    def test_nobody_has_looked(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.on("assets/7/state-store", {"asset_state_store": [{"key": "record", "value": RECORD.to_json()}]})
        code, out = run("status", "default")
        assert code == 2
        assert "the pair has not been looked at yet" in out


class TestLevels:
    def test_every_level_is_of_a_decision(self) -> None:
        assert LEVELS.keys() | set(STANDBY_ONLY) <= DECISIONS.keys()

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_only_what_needs_nobody_is_ok(self, verdict: Verdict) -> None:
        assert {code for code in DECISIONS if level(code, verdict) is Level.OK} == {"healthy", "operation_open"}

    @pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if not verdict.alive])
    def test_a_silent_master_that_cannot_be_replaced_is_critical(self, verdict: Verdict) -> None:
        cell = TABLE[Phase.NORMAL, verdict]
        codes = {RULES[rule].otherwise for rule in cell.rules} | {cell.decision}
        assert {code for code in codes if level(code, verdict) is not Level.CRITICAL} <= {"operation_open"}


EVENTS = (
    {
        "id": "a",
        "kind": "failover",
        "at": NOW.isoformat(),
        "epoch": 4,
        "actor": "schedule",
        "reason": "two\nlines",
        "operation": "op1",
        "before": {"active": "master", "phase": "normal"},
        "after": {"active": "slave", "phase": "failed_over"},
        "enabled": 3,
        "rto_seconds": 13.5,
        "missed": {"occurrences": 8},
    },
    {"id": "b", "kind": "acknowledged", "at": (NOW + MINUTE).isoformat(), "epoch": 4, "actor": "me", "reason": ""},
)


class TestHistory:
    def test_a_line_each_oldest_first(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.events(*EVENTS)
        code, out = run("history", "default")
        assert code == 0
        assert out.splitlines() == [
            f"{NOW:%Y-%m-%d %H:%M:%S}Z  3 jobs enabled on the slave 13.5 s after the master was last heard; 8 "
            "occurrences missed (by the tool itself: two lines)",
            f"{NOW + MINUTE:%Y-%m-%d %H:%M:%S}Z  the last failover is acknowledged: the pair may fail over again "
            "(by me)",
        ]

    def test_verbose_unfolds_the_facts(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.events(*EVENTS)
        lines = run("history", "default", "--verbose")[1].splitlines()
        assert lines[1:4] == ["    RTO: 13.5 s", "    Enabled: 3", "    Missed: 8 occurrences"]
        assert "    Epoch: 4" in lines

    def test_on_a_terminal_the_columns_have_names(
        self, airflow: ScriptedAirflow, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        airflow.events(*EVENTS)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "200")
        out = run("history", "default")[1]
        head = re.sub("\x1b[^m]*m", "", out.splitlines()[1])
        assert [cell.strip() for cell in head.strip("┃").split("┃")] == ["when", "what happened", "who", "why"]
        assert "none" not in out
        assert "->" not in out

    def test_only_this_pairs_events_are_asked_for(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.events(*EVENTS)
        run("history", "default")
        (request,) = airflow.webtool.asked("GET", "//api/v2/assets/events")
        assert request.query["asset_id"] == "7"

    def test_the_last_ones(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.events(*EVENTS)
        code, out = run("history", "default", "--limit", "1")
        assert code == 0
        assert len(out.splitlines()) == 1
        assert "acknowledged" in out

    def test_what_was_delivered_twice_is_listed_once(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.events(EVENTS[0], EVENTS[0], EVENTS[1], EVENTS[1])
        lines = run("history", "default", "--limit", "2")[1].splitlines()
        assert ["13.5 s" in lines[0], "acknowledged" in lines[1]] == [True, True]
        assert len(lines) == 2

    def test_json(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.events(*EVENTS)
        code, out = run("history", "default", "--json")
        assert code == 0
        assert json.loads(out) == list(EVENTS)

    def test_an_event_that_is_not_ours(self, airflow: ScriptedAirflow, run: Any) -> None:
        """A person can make one on the asset's page."""
        airflow.events(None, {"from_rest_api": True}, {"at": "yesterday", "before": "x", "after": None})
        code, out = run("history", "default")
        assert code == 0
        assert len(out.splitlines()) == 3
        assert "yesterday  an event that is not this project's" in out

    def test_nothing_yet(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.events()
        assert run("history", "default") == (0, "")


@pytest.mark.parametrize("command", ["status", "history"])
class TestErrors:
    """One readable line, and 3: it cannot be told."""

    def test_an_unknown_pair_with_those_that_are_known(self, run: Any, command: str) -> None:
        line = "UNKNOWN - pair nope: there is no pair 'nope'; known are: default, stock\n"
        assert run(command, "nope") == (3, line)

    def test_no_pairs_at_all(self, airflow: ScriptedAirflow, run: Any, command: str) -> None:
        airflow.on("assets", {"assets": [], "total_entries": 0})
        assert "have its DAGs been read?" in run(command, "default")[1]

    def test_no_airflow_there(self, run: Any, command: str) -> None:
        code, out = run(command, "default", "--url", f"http://user:{PASSWORD}@127.0.0.1:{free_port(0)}")
        assert code == 3
        assert "cannot be reached" in out

    @pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://x", "http://[", "http://localhost:99999"])
    def test_no_address(self, run: Any, command: str, url: str) -> None:
        code, out = run(command, "default", "--url", url)
        assert (code, len(out.splitlines())) == (3, 1)

    def test_no_login(self, run: Any, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AIRFLOW_PASSWORD")
        code, out = run(command, "default")
        assert code == 3
        assert "set AIRFLOW_USER and AIRFLOW_PASSWORD" in out

    def test_a_refused_login(self, airflow: ScriptedAirflow, run: Any, command: str) -> None:
        airflow.on("assets", {"detail": "Not authenticated"}, 401)
        airflow.webtool.on("POST", "//auth/token", airflow.answer({"detail": "Invalid credentials"}, 401))
        code, out = run(command, "default")
        assert code == 3
        assert "refuses the login" in out

    def test_another_application(self, airflow: ScriptedAirflow, run: Any, command: str) -> None:
        airflow.webtool.on("GET", "//api/v2/assets", b"<html>")
        code, out = run(command, "default")
        assert code == 3
        assert "is this the address of Airflow?" in out

    @pytest.mark.parametrize("body", [[], {}, {"assets": 3}, {"assets": [3]}, {"assets": [{}]}, None])
    def test_an_answer_of_another_shape(self, airflow: ScriptedAirflow, run: Any, command: str, body: Any) -> None:
        airflow.on("assets", body)
        code, out = run(command, "default")
        assert (code, len(out.splitlines())) == (3, 1)

    def test_an_answer_that_does_not_come(self, airflow: ScriptedAirflow, run: Any, command: str) -> None:
        airflow.webtool.on("GET", "//api/v2/assets", airflow.answer(fault="hang"))
        code, out = run(command, "default", "--timeout", "0.2")
        assert code == 3
        assert "does not answer in time" in out

    def test_a_misspelt_command_line(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments in ([command], [command, "default", "--nonsense"], [], ["history", "default", "--limit", "0"]):
            with pytest.raises(SystemExit) as caught:
                main(arguments)
            assert caught.value.code == 3


class TestLogin:
    @pytest.fixture(autouse=True)
    def _locked(self, airflow: ScriptedAirflow) -> None:
        """The first request is refused, the next one answered."""
        assets = {"assets": [airflow.asset(7, "default")], "total_entries": 1}
        refusal = airflow.answer({"detail": "Not authenticated"}, 401)
        airflow.webtool.on("GET", "//api/v2/assets", refusal, airflow.answer(assets))
        airflow.webtool.on("POST", "//auth/token", {"access_token": "made-just-now"})

    def test_by_password(self, airflow: ScriptedAirflow, run: Any) -> None:
        assert run("status", "default")[0] == 0
        (login,) = airflow.webtool.asked("POST", "//auth/token")
        assert login.json == {"username": "duty", "password": PASSWORD}
        assert airflow.webtool.requests[-1].headers["authorization"] == "Bearer made-just-now"

    def test_by_password_file(
        self, airflow: ScriptedAirflow, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_TOKEN", "an-old-one")
        file = tmp_path / "password"
        file.write_text("from-the-file\nsecond line\n")
        assert run("status", "default", "--user", "eve", "--password-file", str(file))[0] == 0
        (login,) = airflow.webtool.asked("POST", "//auth/token")
        assert login.json == {"username": "eve", "password": "from-the-file"}

    def test_a_missing_password_file(self, run: Any, tmp_path: Path) -> None:
        code, out = run("status", "default", "--password-file", str(tmp_path / "nowhere"))
        assert code == 3
        assert "cannot be read" in out

    def test_by_token(self, airflow: ScriptedAirflow, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_TOKEN", "a-token")
        code, out = run("status", "default")
        assert code == 3
        assert "refuses the login" in out
        assert run("status", "default")[0] == 0
        assert {request.headers["authorization"] for request in airflow.webtool.requests} == {"Bearer a-token"}
        assert airflow.webtool.asked("POST", "//auth/token") == []


def test_more_assets_than_one_page(airflow: ScriptedAirflow, run: Any) -> None:
    first = [airflow.asset(number, f"p{number}") for number in range(100, 200)]
    pages = [airflow.answer({"assets": rows}) for rows in (first, [airflow.asset(7, "default")])]
    airflow.webtool.on("GET", "//api/v2/assets", *pages)
    assert run("status", "default")[0] == 0
    assert [request.query["offset"] for request in airflow.webtool.asked("GET", "//api/v2/assets")] == ["0", "100"]


class TestCheck:
    """The last readiness check, and what Airflow is now."""

    @staticmethod
    def checked(*findings: Checked, age: timedelta = MINUTE) -> dict[str, Any]:
        good = Checked(Level.OK, "the slave answers", code="connection slave", rests_on="GET /me")
        return Readiness(NOW - age, (*findings, good)).to_json()

    @pytest.fixture(autouse=True)
    def _all_dags(self, airflow: ScriptedAirflow) -> None:
        for kind in ("sync", "switchover", "operations"):
            airflow.on(f"dags/denodo_scheduler_{kind}__default", {"is_paused": False, "is_stale": False})
        airflow.on("pools/denodo_ha_default", {"slots": 1, "open_slots": 1, "include_deferred": False})
        airflow.on("pools/default_pool", {"slots": 128, "open_slots": 100, "include_deferred": False})

    def test_all_in_order(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, check=self.checked())
        code, out = run("check", "default")
        assert code == 0
        assert out == (
            "OK - pair default: all 12 checks are OK\n"
            "OK last check: the pair was checked 1 min ago [Airflow's state store].\n"
        )
        assert "OK connection slave: the slave answers [GET /me].\n" in run("check", "default", "--verbose")[1]

    def test_what_is_wrong_with_its_next_step(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, check=self.checked(Checked(Level.CRITICAL, "no sync", "run it", "snapshot", "record")))
        code, out = run("check", "default")
        assert code == 2
        assert out.startswith("CRITICAL - pair default: 1 critical: no sync\n")
        assert "CRITICAL snapshot: no sync [record]. Next: run it.\n" in out
        assert "connection slave" not in out

    def test_never_checked(self, airflow: ScriptedAirflow, run: Any) -> None:
        code, out = run("check", "default")
        assert code == 3
        assert out.startswith("UNKNOWN - pair default: 1 not known: the pair was not checked yet\n")
        assert "airflow dags trigger denodo_scheduler_operations__default --conf" in out

    def test_an_old_check_and_a_damaged_one(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, check=self.checked(age=27 * 60 * MINUTE))
        assert run("check", "default")[0] == 1
        assert run("check", "default", "--max-age", "2d")[0] == 0
        airflow.state(RECORD, check={"at": 7})
        code, out = run("check", "default")
        assert code == 3
        assert "the stored check cannot be read" in out

    def test_airflow_is_judged_as_it_is_now(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, check=self.checked())
        airflow.on("dags/denodo_scheduler_switchover__default", {"is_paused": True})
        airflow.health(triggerer=None)
        code, out = run("check", "default")
        assert code == 2
        assert "Next: unpause denodo_scheduler_switchover__default." in out
        assert "Next: start Airflow's triggerer." in out

    def test_pools(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, check=self.checked())
        airflow.on("pools/default_pool", {"detail": "Forbidden"}, 403)
        code, out = run("check", "default")
        assert code == 3
        assert "UNKNOWN pool: the pool default_pool is not known: the user may not read pools" in out
        airflow.on("pools/denodo_ha_default", {"slots": 0, "open_slots": 0})
        assert run("check", "default")[0] == 2

    def test_a_new_check_is_waited_for(
        self, airflow: ScriptedAirflow, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("denodo_cli.runs.POLL", 0)
        airflow.run_of_operations("running", "success")
        airflow.states({}, {"check": self.checked()})
        code, out = run("check", "default", "--now", "--test-message")
        assert (code, out.partition("\n")[0]) == (0, "OK - pair default: all 12 checks are OK")
        (asked,) = airflow.webtool.asked("POST", "//api/v2/dags/denodo_scheduler_operations__default/dagRuns")
        conf = {"operation": "check", "test_message": True, "reason": "denodo-ha check --now"}
        assert json.loads(asked.body) == {"logical_date": None, "conf": conf}

    def test_a_result_is_enough_although_a_task_of_the_run_waits_for_the_slot(
        self, airflow: ScriptedAirflow, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("denodo_cli.runs.POLL", 0)
        airflow.run_of_operations("running")
        airflow.states({}, {}, {"check": self.checked()})
        code, out = run("check", "default", "--now", "--patience", "5s")
        assert (code, out.partition("\n")[0]) == (0, "OK - pair default: all 12 checks are OK")

    def test_a_run_that_leaves_no_result(
        self, airflow: ScriptedAirflow, run: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The last result is no result of this run."""
        monkeypatch.setattr("denodo_cli.runs.POLL", 0)
        airflow.state(RECORD, check=self.checked())
        airflow.run_of_operations("failed")
        code, out = run("check", "default", "--now")
        assert code == 3
        assert "the run manual__1 of denodo_scheduler_operations__default ended as failed without a result" in out
        airflow.run_of_operations("queued")
        code, out = run("check", "default", "--now", "--patience", "1s")
        assert code == 3
        assert "has not ended after 1s; it is queued. Next: see that Airflow's scheduler and workers run" in out
        airflow.on("dags/denodo_scheduler_operations__default", {"is_paused": True})
        code, out = run("check", "default", "--now")
        assert code == 3
        assert "so nothing was started. Next: unpause denodo_scheduler_operations__default" in out

    def test_a_test_message_needs_a_new_check(self, airflow: ScriptedAirflow, run: Any) -> None:
        code, out = run("check", "default", "--test-message")
        assert code == 3
        assert "say --now too" in out


class TestDoctor:
    """What the last doctor has found, and a run that looks afresh."""

    FOUND = Diagnosis(
        NOW,
        "default",
        True,
        (
            Answer(Level.OK, "the slave is a Denodo Scheduler 9.1.0", code="version, slave", rests_on="GET /me"),
            Answer(Level.OK, "a job gets a new id", code="ids", claim="it keeps it", mark="G", verdict="refuted"),
            Answer(Level.WARNING, "Sales of //web-2:9090 is odd", "look at it", code="odd", rests_on="a look"),
        ),
        {"slave": {"version": "9.1.0"}},
        ("Sales", "web-2", "default"),
    )
    RUNS = "dags/denodo_scheduler_operations__default/dagRuns"

    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("denodo_cli.runs.POLL", 0.0)

    @pytest.fixture(autouse=True)
    def _operations_dag(self, airflow: ScriptedAirflow) -> None:
        airflow.on("dags/denodo_scheduler_operations__default", {"is_paused": False})

    def begins(self, airflow: ScriptedAirflow, *states: str, note: str | None = None) -> None:
        airflow.webtool.on("POST", f"//api/v2/{self.RUNS}", airflow.answer({"dag_run_id": "manual__1"}))
        answers = [airflow.answer({"state": state, "note": note}) for state in states]
        airflow.webtool.on("GET", f"//api/v2/{self.RUNS}/manual__1", *answers)

    def test_what_the_last_one_has_found(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, doctor=self.FOUND.to_json())
        code, out = run("doctor", "default")
        assert code == 1
        first, *rest = out.splitlines()
        assert first.startswith(f"WARNING - pair default: {NOW:%Y-%m-%d %H:%M:%S}Z, tried out; the contract's words: ")
        assert rest == [
            "WARNING odd: Sales of //web-2:9090 is odd [a look]. Next: look at it.",
            "OK ids: a job gets a new id. The contract's word [G] is refuted: it keeps it.",
        ]
        assert "OK version, slave" in run("doctor", "default", "--verbose")[1]

    def test_none_yet_and_a_damaged_one(self, airflow: ScriptedAirflow, run: Any) -> None:
        code, out = run("doctor", "default")
        assert (code, "denodo-ha doctor default --now" in out) == (3, True)
        airflow.state(RECORD, doctor={"format": 0})
        assert run("doctor", "default")[0] == 3

    def test_the_file_for_an_issue(self, airflow: ScriptedAirflow, run: Any, tmp_path: Path) -> None:
        airflow.state(RECORD, doctor=self.FOUND.to_json())
        file = tmp_path / "report.json"
        run("doctor", "default", "--file", str(file))
        plain = file.read_text()
        run("doctor", "default", "--file", str(file), "--hash-names")
        hashed = file.read_text()
        assert [name in plain for name in ("Sales", "web-2", '"names"')] == [True, True, False]
        assert [name in hashed for name in ("Sales", "web-2", '"default"')] == [False] * 3
        assert [row["verdict"] for row in json.loads(hashed)["answers"]] == ["", "refuted", ""]

    def test_a_run_with_consent_is_waited_for(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, doctor=self.FOUND.to_json())
        self.begins(airflow, "queued", "running", "success")
        assert run("doctor", "default", "--probe", "--reason", "an update")[0] == 1
        (begun,) = airflow.webtool.asked("POST", f"//api/v2/{self.RUNS}")
        wanted = {"operation": "doctor", "probe": True, "hash_names": False, "reason": "an update"}
        assert json.loads(begun.body) == {"conf": wanted, "logical_date": None}

    def test_a_result_is_enough_although_a_task_of_the_run_waits_for_the_slot(
        self, airflow: ScriptedAirflow, run: Any
    ) -> None:
        """With consent, that of what was tried out."""
        tried = self.FOUND.to_json()
        read = {**tried, "tried": False}
        airflow.states({}, {"doctor": read})
        self.begins(airflow, "running")
        assert "read only" in run("doctor", "default", "--now", "--patience", "5s")[1]
        airflow.states({"doctor": read}, {"doctor": {**read, "summary": "new"}}, {"doctor": tried})
        self.begins(airflow, "running")
        assert "tried out" in run("doctor", "default", "--probe", "--patience", "5s")[1]

    def test_without_the_word_no_run_has_consent(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, doctor=self.FOUND.to_json())
        self.begins(airflow, "success")
        run("doctor", "default", "--now")
        (begun,) = airflow.webtool.asked("POST", f"//api/v2/{self.RUNS}")
        assert json.loads(begun.body)["conf"]["probe"] is False

    def test_a_run_that_fails_or_lasts_too_long(self, airflow: ScriptedAirflow, run: Any) -> None:
        airflow.state(RECORD, doctor=self.FOUND.to_json())
        self.begins(airflow, "failed", note="[not_at_rest] 1 job is enabled")
        code, out = run("doctor", "default", "--probe")
        assert (code, "has failed: [not_at_rest] 1 job is enabled" in out) == (3, True)
        self.begins(airflow, "running")
        code, out = run("doctor", "default", "--now", "--patience", "1s")
        assert (code, "has not ended after 1s; it is running" in out) == (3, True)


class TestCheckConfig:
    """Without any Airflow."""

    def test_a_right_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "pairs.yaml"
        file.write_text("pairs: {a: {}, b: {master: x, slave: y}}")
        assert main(["check-config", str(file)]) == 0
        assert capsys.readouterr().out == f"{file}: right, with 2 pairs: a, b\n"

    def test_each_mistake_is_a_line_that_editors_understand(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "pairs.yaml"
        file.write_text("pairs:\n  a: {}\n  b:\n    shedule: null\n    watch: {fall: none}\n")
        assert main(["check-config", str(file)]) == 1
        said = capsys.readouterr()
        assert [line.split(" ")[0] for line in said.out.splitlines()] == [f"{file}:4:", f"{file}:5:"]
        assert said.err == (
            f"{file}: 2 mistakes in the file of pairs; right: a; wrong, and without DAGs until corrected: b\n"
        )

    def test_what_is_no_yaml(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "pairs.yaml"
        file.write_text("pairs:\n  a: {\n")
        assert main(["check-config", str(file)]) == 1
        assert capsys.readouterr().out.startswith(f"{file}:3: is not valid YAML")

    def test_a_file_that_cannot_be_read(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check-config", str(tmp_path)]) == 3
        said = capsys.readouterr()
        assert (said.out + said.err).count("cannot be read") == 1
        assert f"{tmp_path}: the file of pairs cannot be read (Is a directory)" in said.out

    def test_the_file_of_this_airflow_by_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "mine.yaml").write_text("pairs: {a: {}}")
        monkeypatch.setenv("DENODO_HA_PAIRS", str(tmp_path / "mine.yaml"))
        assert main(["check-config"]) == 0
        assert "mine.yaml: right" in capsys.readouterr().out
