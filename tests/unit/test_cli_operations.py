"""``denodo-ha``: all pairs, a pair as figures and JSON, and the operations, against an API on a real port."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from denodo_cli import cli, runs, showing
from denodo_cli import operations as asking
from denodo_ha.jobs import JobKey
from denodo_ha.record import Halt, PendingJob, Phase, Record, Role, SnapshotRef
from denodo_ha.status import Level
from support.certificates import certificate
from support.rest_airflow import NOW, RestAirflow, rest_airflow

TOKEN = "s3cret-t0ken"
SNAPSHOT = SnapshotRef(
    id="20260301T120000Z-ab",
    taken=NOW - timedelta(minutes=12.2),
    committed=NOW,
    imported=NOW,
    content_hash="c",
    manifest_hash="m",
    jobs=60,
    enabled=50,
)
RECORD = Record(epoch=3, snapshot=SNAPSHOT, master="http://a", slave="http://b")
OVER = RECORD.model_copy(update={"active": Role.SLAVE, "phase": Phase.FAILED_OVER})
HALT = Halt(since=NOW, code="x", reason="a mess", by="me", phase=Phase.NORMAL)
HALTED = RECORD.model_copy(update={"phase": Phase.HALTED, "halted": HALT})
JOBS = {"jobs": {"master": [50, 60], "slave": [0, 60]}}
Run = Callable[..., tuple[int, str, str]]


class Still(datetime):
    """A clock that stands where the tests were read, however long the suite has run since."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return NOW


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[RestAirflow]:
    for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(runs, "POLL", 0.0)
    for module in (cli, asking):
        monkeypatch.setattr(module, "datetime", Still)
    with rest_airflow() as made:
        made.tokens = {TOKEN}
        made.has("default", RECORD, **JOBS)
        monkeypatch.setenv("AIRFLOW_API_URL", made.url)
        monkeypatch.setenv("AIRFLOW_TOKEN", TOKEN)
        yield made


@pytest.fixture
def run(airflow: RestAirflow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def call(*words: str) -> tuple[int, str, str]:
        try:
            code = cli.main(list(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        assert TOKEN not in printed.out + printed.err
        assert "Traceback" not in printed.err
        return code, printed.out, printed.err

    return call


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A terminal at which somebody answers so."""

    def type_in(text: str) -> None:
        terminal = io.StringIO(text)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)

    return type_in


class TestList:
    def test_the_worst_first_and_its_exit_code(self, airflow: RestAirflow, run: Run) -> None:
        airflow.has("over", OVER, code="failed_over", jobs={"master": [0, 60], "slave": [50, 60]})
        airflow.has("halted", HALTED, **JOBS)
        code, out, _ = run("list")
        lines = [line.split("  ") for line in out.splitlines()]
        assert [line[:4] for line in lines] == [
            ["CRITICAL", "halted", "master", "halted"],
            ["WARNING", "over", "slave", "failed_over"],
            ["OK", "default", "master", "normal"],
        ]
        assert code == Level.CRITICAL
        assert lines[2][4:] == [
            "up 2 min ago",
            "50/60",
            "0/60",
            "12 min old",
            "0 pending",
            "0 doubts",
            "the master is up and the slave is ready to take over",
        ]

    def test_a_hundred_pairs_cost_a_request_each_and_a_few_more(self, airflow: RestAirflow, run: Run) -> None:
        for number in range(149):
            airflow.has(f"p{number:03}", RECORD, **JOBS)
        code, out, _ = run("list")
        assert (code, len(out.splitlines())) == (0, 150)
        assert len(airflow.requests) <= 150 + 10

    def test_a_pair_that_cannot_be_read_hides_no_other(self, airflow: RestAirflow, run: Run) -> None:
        airflow.has("hidden", RECORD)
        airflow.refuse["GET", "/assets/1/"] = 403, "Forbidden"
        code, out, _ = run("list")
        assert code == Level.UNKNOWN
        assert "does not let this user do this: GET /assets/1/state-store" in out.splitlines()[0]
        assert out.splitlines()[1].startswith("OK  default")

    def test_counts_from_before_the_change_of_the_active_server_are_not_told(
        self, airflow: RestAirflow, run: Run
    ) -> None:
        airflow.has("default", OVER, epoch=OVER.epoch - 1, **JOBS)
        (row,) = json.loads(run("list", "--json")[1])
        assert row["enabled"] == {"master": None, "slave": None}

    def test_none(self, airflow: RestAirflow, run: Run) -> None:
        airflow.pairs.clear()
        code, out, _ = run("list")
        assert (code, len(out.splitlines())) == (Level.UNKNOWN, 1)

    def test_json_and_a_terminal(self, airflow: RestAirflow, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        (row,) = json.loads(run("list", "--json")[1])
        assert (row["pair"], row["exit_code"], row["enabled"]) == ("default", 0, JOBS["jobs"])
        airflow.has("default", HALTED, **JOBS)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        out = run("list")[1]
        assert re.search(r"CRITICAL\s+default\s", out)
        assert "default: halted: a mess. Next: see to it, then release the pair" in out


class TestStatus:
    def test_json(self, airflow: RestAirflow, run: Run) -> None:
        pending = PendingJob(key=JobKey(project="a|b", name="c"), code="restless", why="often", on_target=False)
        airflow.has("default", RECORD.model_copy(update={"pending": (pending,)}), oldest_snapshot=7200, **JOBS)
        code, out, _ = run("status", "default", "--json")
        found = json.loads(out)
        assert (code, found["exit_code"], found["level"]) == (1, 1, "WARNING")
        assert (found["active"], found["phase"], found["epoch"]) == ("master", "normal", 3)
        assert found["pending"] == [{"job": "a|b / c", "code": "restless", "why": "often", "next_step": ""}]
        assert found["snapshot"]["limit"] == 7200
        assert [each["level"] for each in found["findings"]][:2] == ["WARNING", "OK"]

    def test_figures_and_no_other_bar(self, airflow: RestAirflow, run: Run) -> None:
        pending = PendingJob(key=JobKey(project="a|b", name="c"), code="restless", why="of|ten", on_target=False)
        airflow.has("default", RECORD.model_copy(update={"pending": (pending,)}), oldest_snapshot=7200, **JOBS)
        lines = run("status", "default", "--verbose")[1].splitlines()
        text, _, figures = lines[0].partition(" | ")
        found = dict(re.fullmatch(r"(\w+)=(\S+)", each).groups() for each in figures.split(" "))  # type: ignore[union-attr]
        assert found["enabled_master"] == "50;;;0;60"
        assert found["pending"] == "1;;;0"
        assert re.fullmatch(r"\d{3,}s;;7200;0", found["snapshot_age"])
        assert re.fullmatch(r"\d{3,}s;;3600;0", found["last_look"])
        assert "|" not in text + "".join(lines[1:])

    def test_without_a_record_only_what_is_known(self, airflow: RestAirflow, run: Run) -> None:
        airflow.has("default", None)
        code, out, _ = run("status", "default")
        assert code == Level.CRITICAL
        assert re.search(r" \| last_look=\S+$", out.splitlines()[0])

    def test_watching_tells_changes_and_survives_a_restart(
        self, airflow: RestAirflow, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C ends it with the last level."""
        looks: Iterator[Callable[[], object]] = iter(
            [
                lambda: None,
                lambda: setattr(airflow, "away", 1),
                lambda: None,
                lambda: airflow.has("default", HALTED, **JOBS),
            ]
        )

        def sleep(_: float) -> None:
            try:
                next(looks)()
            except StopIteration:
                raise KeyboardInterrupt from None

        monkeypatch.setattr(showing.time, "sleep", sleep)
        code, out, _ = run("status", "default", "--watch")
        assert code == Level.CRITICAL
        assert [line.split(" ")[1] for line in out.splitlines()] == ["OK", "UNKNOWN", "OK", "CRITICAL"]

    def test_watching_on_a_terminal(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def sleep(_: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setattr(showing.time, "sleep", sleep)
        code, out, _ = run("status", "default", "--watch")
        assert code == 0
        assert "epoch" in out

    def test_watching_what_is_not_there_ends(self, run: Run) -> None:
        assert run("status", "nope", "--watch")[0] == Level.UNKNOWN


def operations(*words: str) -> tuple[str, ...]:
    return (words[0], "default", "--reason", "a test", *words[1:])


class TestWhatIsStarted:
    """The same runs as the forms start."""

    @pytest.mark.parametrize(
        ("words", "dag", "conf"),
        [
            (("look", "default"), "failover", {}),
            (operations("look", "--dry-run"), "failover", {"dry_run": True}),
            (operations("look", "--fail-over", "--fenced", "--yes"), "failover", {"fail_over": True, "fenced": True}),
            (("sync", "default"), "sync", {}),
            (operations("sync", "--dry-run", "--deliver-now"), "sync", {"dry_run": True, "deliver_now": True}),
            (
                operations("sync", "--orphans", "delete", "--quiet-window", "5m", "--yes"),
                "sync",
                {"orphans": "delete", "quiet_window": 300},
            ),
            (operations("switchover", "--yes"), "switchover", {"direction": "to_slave"}),
            (
                operations("switchover", "--dry-run", "--at-drain-timeout", "stop_them", "--drain-timeout", "1h"),
                "switchover",
                {"direction": "to_slave", "dry_run": True, "at_drain_timeout": "stop_them", "drain_timeout": 3600},
            ),
            (
                operations("switchover", "--accept-differences", "--accept-not-ready", "--yes"),
                "switchover",
                {"direction": "to_slave", "accept_differences": True, "accept_not_ready": True},
            ),
            (operations("pause"), "operations", {"operation": "pause"}),
            (
                operations("pause", "--until", "2099-03-02T06:00"),
                "operations",
                {"operation": "pause", "until": "2099-03-02T06:00:00+00:00"},
            ),
            (operations("resume"), "operations", {"operation": "resume"}),
            (
                operations("acknowledge", "--doubt", "secrets", "--doubt", "pending a / b"),
                "operations",
                {"operation": "acknowledge", "doubts": ["secrets", "pending a / b"]},
            ),
            (operations("halt", "--yes"), "operations", {"operation": "halt"}),
            (operations("release", "--yes"), "operations", {"operation": "release"}),
            (
                operations("initialise", "--active", "slave", "--yes"),
                "operations",
                {"operation": "initialise", "active": "slave"},
            ),
        ],
    )
    def test_form(self, airflow: RestAirflow, run: Run, words: Any, dag: str, conf: dict[str, Any]) -> None:
        code, out, _ = run(*words)
        reason = {"reason": "a test"} if "--reason" in words else {}
        assert airflow.started == [{"dag_id": f"denodo_scheduler_{dag}__default", "conf": {**conf, **reason}}]
        assert (code, out.partition(" ")[0]) in ((0, "OK"), (1, "WARNING"))
        assert (code == 1) is ("--dry-run" in words)

    @pytest.mark.parametrize(
        ("words", "conf"),
        [
            (operations("switchover", "--yes"), {"direction": "to_master"}),
            (operations("fail-back", "--yes"), {"direction": "to_master"}),
            (operations("re-protect", "--yes"), {"reprotect": True}),
            (operations("re-protect", "--dry-run"), {"reprotect": True, "dry_run": True}),
        ],
    )
    def test_while_the_slave_is_active(self, airflow: RestAirflow, run: Run, words: Any, conf: Any) -> None:
        airflow.has("default", OVER, **JOBS)
        run(*words)
        assert [each["conf"] for each in airflow.started] == [{**conf, "reason": "a test"}]

    def test_nothing_fails_over_to_the_master(self, airflow: RestAirflow, run: Run, answers: Any) -> None:
        airflow.has("default", OVER, **JOBS)
        answers("n\n")
        _, _, err = run(*operations("look", "--fail-over"))
        assert err.startswith("The slave (http://b) is the active server already, so nothing fails over.")
        assert "would be enabled" not in err

    @pytest.mark.parametrize("command", ["fail-back", "re-protect"])
    def test_what_the_pair_is_not_in_need_of(self, airflow: RestAirflow, run: Run, command: str) -> None:
        code, out, _ = run(*operations(command, "--yes"))
        assert (code, airflow.started) == (Level.CRITICAL, [])
        assert "nothing was started" in out

    @pytest.mark.parametrize("command", ["switchover", "pause", "halt"])
    def test_an_unknown_pair(self, airflow: RestAirflow, run: Run, command: str) -> None:
        code, out, _ = run(command, "nope", "--reason", "x", "--yes")
        assert (code, airflow.started) == (Level.UNKNOWN, [])
        assert "there is no pair 'nope'; known are: default" in out

    def test_a_paused_dag(self, airflow: RestAirflow, run: Run) -> None:
        airflow.paused.add("denodo_scheduler_sync__default")
        code, out, _ = run("sync", "default")
        assert (code, airflow.started) == (Level.CRITICAL, [])
        assert "Next: unpause denodo_scheduler_sync__default" in out

    def test_without_a_record(self, airflow: RestAirflow, run: Run) -> None:
        airflow.has("default", None)
        code, out, _ = run(*operations("switchover", "--yes"))
        assert (code, airflow.started) == (Level.CRITICAL, [])
        assert "see denodo-ha status default" in out

    @pytest.mark.parametrize(
        "words",
        [
            ("pause", "default"),
            ("pause", "default", "--reason", "x", "--until", "2001-01-01"),
            ("pause", "default", "--reason", "x", "--until", "soon"),
            ("look", "default", "--fail-over", "--yes"),
            ("initialise", "default", "--reason", "x"),
            ("switchover", "default", "--reason", "x", "--accept"),
            ("nonsense",),
            ("list", "default"),
            ("check-config", "a", "b"),
            ("completion", "fish"),
        ],
    )
    def test_a_wrong_command_line_is_never_critical(self, airflow: RestAirflow, run: Run, words: Any) -> None:
        code, _, err = run(*words)
        assert (code, airflow.requests) == (Level.UNKNOWN, [])
        assert err.startswith("usage: ")


MOVING = [
    (operations("switchover"), RECORD, ("from the master (http://a) to the slave (http://b)", "50 of 60 jobs")),
    (operations("fail-back"), OVER, ("from the slave (http://b) to the master (http://a)",)),
    (operations("re-protect"), OVER, ("Copy the jobs of the slave (http://b) to the master",)),
    (operations("sync", "--deliver-now"), RECORD, ("may run once there",)),
    (operations("sync", "--accept-mass-change"), RECORD, ("many jobs vanished",)),
    (operations("sync", "--orphans", "delete"), RECORD, ("deleted there",)),
    (operations("look", "--fail-over"), RECORD, ("fail over from the master", "50 jobs would be enabled")),
    (operations("look", "--accept-old-snapshot"), RECORD, ("fail over from the master",)),
    (operations("halt"), RECORD, ("until the pair is released",)),
    (operations("release"), HALTED, ("in the phase normal",)),
    (operations("initialise", "--active", "slave"), RECORD, ("the slave (http://b) counts as the active server",)),
]


@pytest.mark.parametrize(("words", "record", "told"), MOVING, ids=[" ".join(each[0]) for each in MOVING])
class TestAsking:
    """What moves production is told, and asked."""

    @pytest.fixture(autouse=True)
    def _pair(self, airflow: RestAirflow, record: Record) -> None:
        airflow.has("default", record, **JOBS)

    def test_nobody_is_there_to_be_asked(self, airflow: RestAirflow, run: Run, words: Any, told: Any) -> None:
        code, out, err = run(*words)
        assert (code, out, airflow.requests) == (Level.UNKNOWN, "", [])
        assert "say --yes" in err

    def test_no(self, airflow: RestAirflow, run: Run, answers: Any, words: Any, told: Any) -> None:
        for answer in ("n\n", "\n", "", "sure\n"):
            answers(answer)
            code, out, err = run(*words)
            assert (code, airflow.started) == (Level.WARNING, [])
            assert out == "WARNING - pair default: nothing was started\n"
            assert all(each in err for each in (*told, "The snapshot of the master is 12 min old")), err

    def test_yes(self, airflow: RestAirflow, run: Run, answers: Any, words: Any, told: Any) -> None:
        answers("y\n")
        assert run(*words)[0] == 0
        assert len(airflow.started) == 1


class TestFollowing:
    def test_each_change_is_a_line(self, airflow: RestAirflow, run: Run) -> None:
        done = {"guard": "success", "export_metadata": "success"}
        airflow.runs["r0"] = {"dag_id": "denodo_scheduler_sync__default", "dag_run_id": "r0", "state": "running"}
        airflow.steps = [
            ("queued", {}),
            ("running", {"guard": "running"}),
            ("running", {"guard": "running"}),
            ("running", {**done, "wait_for_quiet_window": "deferred"}),
            ("success", {**done, "wait_for_quiet_window": "success", "verify": "success"}),
        ]
        code, out, err = run("sync", "default")
        assert (code, out) == (0, "OK - pair default: done\n")
        first, *lines = [line.removeprefix("denodo-ha: ") for line in err.splitlines()]
        assert first.startswith("started the run denodo-ha__sync__")
        assert lines == [
            "is queued; the run r0 of this DAG is under way",
            "guard runs",
            "guard is done",
            "export_metadata is done",
            "wait_for_quiet_window waits",
            "wait_for_quiet_window is done",
            "verify is done",
        ]

    def test_an_approval_says_where(self, airflow: RestAirflow, run: Run) -> None:
        airflow.steps = [("running", {"approve": "awaiting_input"}), ("success", {})]
        _, _, err = run("look", "default")
        run_id = next(iter(airflow.runs))
        where = f"{airflow.url}/dags/denodo_scheduler_failover__default/runs/{run_id}"
        assert f"approve waits for an approval in Airflow, under Required actions: {where}\n" in err

    def test_a_terminal_has_one_line(self, airflow: RestAirflow, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        airflow.steps = [("running", {"guard": "running", "[odd": "running"}), ("success", {})]
        assert run("sync", "default")[:2] == (0, "OK - pair default: done\n")

    @pytest.mark.parametrize(
        ("words", "state", "tasks", "xcoms", "code"),
        [
            (operations("pause"), "failed", {}, {}, 2),
            (("sync", "default"), "success", {"verify": "skipped"}, {}, 1),
            (("sync", "default"), "success", {}, {("verify", "return_value"): {"pending": {"jobs": 2}}}, 1),
            (("sync", "default"), "success", {}, {("verify", "return_value"): {"pending": {"jobs": 0}}}, 0),
            (
                operations("switchover", "--yes"),
                "success",
                {},
                {("switch_over", "return_value"): {"missed": {"occurrences": 1}}},
                1,
            ),
            (
                ("look", "default"),
                "success",
                {},
                {("decide", "judgement"): {"code": "master_back", "verdict": "up", "action": "nothing_to_do"}},
                1,
            ),
            (
                ("look", "default"),
                "success",
                {},
                {("decide", "judgement"): {"code": "healthy", "verdict": "up", "action": "nothing_to_do"}},
                0,
            ),
            (
                ("look", "default"),
                "success",
                {"enable_jobs": "skipped"},
                {("decide", "judgement"): {"code": "fail_over", "verdict": "down", "action": "enable_jobs"}},
                1,
            ),
            (
                ("look", "default"),
                "success",
                {},
                {
                    ("decide", "judgement"): {"code": "fail_over", "verdict": "down", "action": "enable_jobs"},
                    ("enable_jobs", "return_value"): {"kind": "failover", "missed": {"occurrences": 0}},
                },
                0,
            ),
        ],
    )
    def test_how_it_ends(
        self, airflow: RestAirflow, run: Run, words: Any, state: str, tasks: Any, xcoms: Any, code: int
    ) -> None:
        airflow.steps, airflow.xcoms, airflow.note = [(state, tasks)], xcoms, "[why] so it is."
        got, out, _ = run(*words)
        assert got == code
        assert re.fullmatch(rf"{Level(code).name} - pair default: (only looked: )?\[why\] so it is\n", out)

    @pytest.mark.parametrize("words", [("sync", "default"), operations("switchover", "--yes"), ("look", "default")])
    def test_a_run_that_a_person_has_marked_has_done_nothing_that_is_known(
        self, airflow: RestAirflow, run: Run, words: Any
    ) -> None:
        airflow.xcoms, airflow.note = {}, None
        code, out, _ = run(*words)
        assert code == Level.UNKNOWN
        assert "has left no result to be read" in out

    def test_a_dry_run_says_its_plan(self, airflow: RestAirflow, run: Run) -> None:
        airflow.xcoms = {("export_metadata", "return_value"): {"text": "2 jobs by REST.\n1 by import."}}
        assert run("sync", "default", "--dry-run")[:2] == (
            1,
            "WARNING - pair default: only looked: 2 jobs by REST. 1 by import\n",
        )
        for words, task in (
            (operations("switchover", "--dry-run"), "check"),
            (("look", "default", "--dry-run"), "decide"),
        ):
            airflow.xcoms, airflow.note = {(task, "return_value"): "DRY RUN: 50 jobs.\nNone runs."}, "DRY RUN: 50 jobs."
            assert "only looked: DRY RUN: 50 jobs. None runs\n" in run(*words)[1]

    def test_not_waited_for_and_followed_later(self, airflow: RestAirflow, run: Run) -> None:
        code, out, _ = run("sync", "default", "--no-wait")
        again = re.search(r"denodo-ha (follow default \S+)\n", out)
        assert (code, airflow.runs[again[1].split(" ")[2]]["looks"]) == (0, 0)  # type: ignore[index]
        assert run(*again[1].split(" "))[:2] == (0, "OK - pair default: done\n")  # type: ignore[index]
        assert run("follow", "default", "no-such")[0] == Level.UNKNOWN

    @pytest.mark.parametrize("how", ["Ctrl-C", "patience", "token"])
    def test_a_run_that_is_no_longer_followed_goes_on(
        self, airflow: RestAirflow, run: Run, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        airflow.steps = [("running", {})] * 3 + [("success", {})]

        def sleep(_: float) -> None:
            if how == "Ctrl-C":
                raise KeyboardInterrupt
            airflow.tokens = set()

        if how != "patience":
            monkeypatch.setattr(runs.time, "sleep", sleep)
        code, out, _ = run("sync", "default", *(["--patience", "0s"] * (how == "patience")))
        assert code == Level.UNKNOWN
        again = re.search(r"goes on\. Next: follow it again: denodo-ha (follow default \S+)\n", out)
        if how == "token":
            assert "refuses the login (401, Token Expired)" in out
            airflow.tokens = {TOKEN}
        monkeypatch.undo()
        monkeypatch.setenv("AIRFLOW_API_URL", airflow.url)
        monkeypatch.setenv("AIRFLOW_TOKEN", TOKEN)
        monkeypatch.setattr(runs, "POLL", 0.0)
        assert run(*again[1].split(" "))[0] == 0  # type: ignore[index]

    def test_airflow_may_be_started_again_midway(self, airflow: RestAirflow, run: Run) -> None:
        airflow.steps = [("running", {})] * 3 + [("success", {})]
        looks = iter([0, 5, 0])
        answer = airflow.answer

        def sometimes_away(method: str, path: str, *rest: Any) -> Any:
            if path.endswith("taskInstances"):
                airflow.away = next(looks, 0)
            return answer(method, path, *rest)

        airflow.answer = sometimes_away  # type: ignore[method-assign]
        code, _, err = run("sync", "default")
        assert (code, len(airflow.started)) == (0, 1)
        assert "Airflow does not answer" in err

    def test_a_lost_answer_starts_no_second_run(self, airflow: RestAirflow, run: Run) -> None:
        airflow.lose_answers = 1
        code, _, _ = run(*operations("switchover", "--yes"))
        posts = [body for method, path, body, _ in airflow.requests if method == "POST" and path.endswith("dagRuns")]
        assert (code, len(airflow.started), len(posts)) == (0, 1, 2)

    def test_a_start_of_which_nothing_is_known(self, airflow: RestAirflow, run: Run) -> None:
        airflow.refuse["POST", "/dagRuns"] = 503, "starting"
        code, out, _ = run("sync", "default")
        assert (code, airflow.started) == (Level.UNKNOWN, [])
        assert "503 to POST" in out
        assert "It is not known whether the run was started" in out
        airflow.refuse.clear()
        answer = airflow.answer

        def gone(method: str, *rest: Any) -> Any:
            airflow.away = 1000 if method == "POST" else 0
            return answer(method, *rest) if method == "GET" else (0, None)

        airflow.answer = gone  # type: ignore[method-assign]
        code, out, _ = run("sync", "default")
        assert code == Level.UNKNOWN
        assert "It is not known whether the run was started. Next: see whether it was: denodo-ha follow default " in out

    def test_ctrl_c_while_it_is_started(self, airflow: RestAirflow, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its name is told, by which it is found, for it may run."""
        airflow.lose_answers = 1

        def sleep(_: float) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(runs.time, "sleep", sleep)
        code, out, _ = run("sync", "default")
        assert code == Level.UNKNOWN
        assert f"denodo-ha follow default {next(iter(airflow.runs))}" in out

    def test_nothing_is_started_where_the_dags_are_gone(self, airflow: RestAirflow, run: Run) -> None:
        airflow.gone = {"denodo_scheduler_sync__default"}
        code, out, _ = run("sync", "default")
        assert (code, airflow.started) == (Level.CRITICAL, [])
        assert "Airflow has no DAG denodo_scheduler_sync__default, so nothing was started" in out


class TestEnds:
    """How it ends where nobody reads on, or nothing can be read."""

    @pytest.mark.parametrize("words", [("status", "default"), ("list",), ("history", "default")])
    def test_an_error_is_json_too(self, airflow: RestAirflow, run: Run, words: tuple[str, ...]) -> None:
        airflow.refuse["GET", "/assets"] = 500, "broken"
        code, plainly, _ = run(*words)
        again, out, _ = run(*words, "--json")
        found = json.loads(out)
        assert code == again == found["exit_code"] == Level.UNKNOWN
        assert (found["level"], found["summary"]) == ("UNKNOWN", plainly.strip())

    @pytest.mark.parametrize("words", [("status", "default"), ("list",), ("status", "default", "--json")])
    def test_whoever_reads_may_end_first(self, airflow: RestAirflow, words: tuple[str, ...]) -> None:
        airflow.has("default", HALTED, **JOBS)
        command = [sys.executable, "-c", "import sys; from denodo_cli.cli import main; sys.exit(main())", *words]
        reader, writer = os.pipe()
        os.close(reader)
        try:
            env = {**os.environ, "PYTHONUNBUFFERED": ""}  # else the level is not known yet when the first line fails
            ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=env, text=True, check=False)
        finally:
            os.close(writer)
        assert (ended.returncode, ended.stderr) == (Level.CRITICAL, "")

    @pytest.mark.parametrize("token", ["two\nlines", "tokén", "a b", " ", "bell\x07"])
    def test_a_token_that_is_none_is_not_told(
        self, airflow: RestAirflow, run: Run, monkeypatch: pytest.MonkeyPatch, token: str
    ) -> None:
        monkeypatch.setenv("AIRFLOW_TOKEN", token)
        code, out, _ = run("list")
        assert code == Level.UNKNOWN
        assert "the token is empty, or has characters that no token has" in out
        assert airflow.requests == []

    def test_an_address_without_its_base_path(self, airflow: RestAirflow, run: Run) -> None:
        airflow.base_path = "/team"
        assert run("list", "--url", airflow.url)[0] == Level.OK
        code, out, _ = run("list")
        assert code == Level.UNKNOWN
        assert "give its address with its base path" in out

    def test_help_shows_no_password(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_API_URL", "https://me:p%2Fw/d@there/team")
        _, out, _ = run("list", "--help")
        assert "(default: https://there/team)" in " ".join(out.split())

    def test_a_token_with_space_around_it(
        self, airflow: RestAirflow, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_TOKEN", f" {TOKEN}\r\n")
        assert run("list")[0] == Level.OK


class TestRights:
    def test_no_permission_names_it(self, airflow: RestAirflow, run: Run) -> None:
        airflow.refuse["POST", "/dagRuns"] = 403, "Forbidden"
        code, out, _ = run("sync", "default")
        assert (code, len(out.splitlines())) == (Level.UNKNOWN, 1)
        assert "does not let this user start runs of denodo_scheduler_sync__default (403). Next: " in out

    @pytest.mark.parametrize(("status", "detail"), [(401, "Token Expired"), (403, "Invalid JWT token")])
    def test_a_token_that_is_not_valid(self, airflow: RestAirflow, run: Run, status: int, detail: str) -> None:
        airflow.refuse["GET", "/"] = status, detail
        code, out, _ = run("status", "default")
        assert (code, len(out.splitlines())) == (Level.UNKNOWN, 1)
        assert f"refuses the login ({status}, {detail}). Next: make a new token" in out

    def test_a_token_file_is_read_again_when_it_has_expired(
        self, airflow: RestAirflow, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AIRFLOW_TOKEN")
        file = tmp_path / "token"
        file.write_text(f"{TOKEN}\n")
        airflow.steps = [("running", {})] * 2 + [("success", {})]

        def renew(_: float) -> None:
            airflow.tokens = {"the-next-one"}
            file.write_text("the-next-one\n")

        monkeypatch.setattr(runs.time, "sleep", renew)
        assert run("sync", "default", "--token-file", str(file))[0] == 0
        assert airflow.requests[-1][3] == "Bearer the-next-one"
        assert run("status", "default", "--token-file", str(tmp_path / "none"))[0] == Level.UNKNOWN


class TestHttps:
    @pytest.fixture
    def secure(self, airflow: RestAirflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A second Airflow, below a path and with a certificate that nobody knows."""
        pem = certificate(tmp_path / "own.pem", names=["127.0.0.1"])
        with rest_airflow(pem, base_path="/team/af") as made:
            made.has("default", RECORD, **JOBS)
            monkeypatch.setenv("AIRFLOW_API_URL", made.url)
            yield pem

    @pytest.mark.usefixtures("secure")
    def test_an_unknown_certificate(self, run: Run) -> None:
        code, out, _ = run("status", "default")
        assert code == Level.UNKNOWN
        assert "Next: name the CA of Airflow's certificate by --ca-file or AIRFLOW_CA_FILE" in out

    @pytest.mark.parametrize("how", ["--ca-file", "AIRFLOW_CA_FILE", "SSL_CERT_FILE"])
    def test_a_private_ca(self, secure: Path, run: Run, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
        if how == "--ca-file":
            assert run("status", "default", how, str(secure))[0] == 0
        else:
            monkeypatch.setenv(how, str(secure))
            assert run("list")[0] == 0
            assert run("sync", "default")[0] == 0

    def test_a_file_without_certificates(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty").write_text("")
        for file in (tmp_path / "empty", tmp_path / "none"):
            code, out, _ = run("status", "default", "--ca-file", str(file))
            assert code == Level.UNKNOWN
            assert "no certificates can be read from" in out


class TestCompletion:
    def completed(self, line: str) -> list[str]:
        """What bash would be told of a line that ends here."""
        env = {**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "IFS": "\n"}
        env |= {"_ARGCOMPLETE_STDOUT_FILENAME": "/dev/stdout", "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
        code = "import sys; from denodo_cli.cli import main; sys.argv[0] = 'denodo-ha'; sys.exit(main())"
        ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        return re.split(r"[\n\x0b]", ended.stdout.strip())

    def test_commands_options_and_pairs(self, airflow: RestAirflow) -> None:
        airflow.has("depot", RECORD)
        assert self.completed("denodo-ha sta") == ["status"]
        assert "--deliver-now" in self.completed("denodo-ha sync --de")
        assert self.completed("denodo-ha switchover de") == ["default", "depot"]

    @pytest.mark.parametrize("shell", ["bash", "zsh"])
    def test_scripts(self, run: Run, shell: str) -> None:
        code, out, _ = run("completion", shell)
        assert code == 0
        assert "denodo-ha" in out
        if shell == "bash":
            subprocess.run(["bash", "-n"], input=out, text=True, check=True)


def test_airflow_has_the_command(tmp_path: Path) -> None:
    """With the same exit codes, which Airflow's own parser would not have."""
    file = tmp_path / "pairs.yaml"
    file.write_text("pairs: {a: {}}")
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "import sys; from airflow.__main__ import main; sys.exit(main())"

    def call(*words: str) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-c", code, "denodo-ha", *words], env=env, capture_output=True, text=True, check=False
        )
        return ended.returncode, ended.stdout

    assert call("check-config", str(file)) == (0, f"{file}: right, with 1 pair: a\n")
    assert call("--nonsense")[0] == Level.UNKNOWN
