from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from denodo_demo.slowness import allow
from denodo_standin.errors import ApiError
from denodo_standin.jobs import status_json
from denodo_standin.model import Job, Project, Result
from denodo_standin.server import SchedulerServer
from denodo_standin.settings import Duration, Guesses, Outcome

NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)  # 07:00 in Madrid
HOURLY = "0 0 * * * ?"
NIGHTLY = "0 0 3 * * ?"


class Rig:
    """A server whose clock stands still, and one project."""

    def __init__(self, data: Path, now: datetime | None = NOW, timezone: str = "Europe/Madrid") -> None:
        self.server = SchedulerServer(data, timezone=timezone, manual=True, now=now)
        self.engine, self.store = self.server.engine, self.server.store
        self.engine.recover()
        self.project: Project = self.store.project_named("Sales") or self.server.create_project("Sales", None)

    def job(self, name: str, cron: str | None = HOURLY, after: list[Job] | None = None, **fields: Any) -> Job:
        trigger: dict[str, Any] = {"type": "cron", "cronExpression": cron, **fields.pop("trigger", {})}
        if after:
            anyway = fields.pop("execute_anyway", False)
            trigger["dependencyInfo"] = {"jobIDs": [job.id for job in after], "executeAnyway": anyway}
        section = {"triggers": [trigger] if cron else []}
        return self.server.create_job(self.project, {"name": name, "type": "VDP", "triggerSection": section, **fields})

    def advance(self, **time: float) -> None:
        self.engine.advance(self.server.clock.now() + timedelta(**time))

    def state(self, job: Job) -> str:
        return str(status_json(self.engine, job)["state"])

    def runs(self) -> list[tuple[str, str, str, str | None]]:
        """Job, trigger, start and result of every run."""
        return [(line["job"], line["trigger"], line["start"][5:19], line["result"]) for line in self.store.journal()]

    def guess(self, **guesses: Any) -> None:
        self.store.settings.guesses = Guesses(**guesses)

    def last(self, seconds: float, match: str | None = None) -> None:
        self.store.settings.durations.append(Duration.model_validate({"seconds": seconds, "match": match}))

    def end_in(self, result: str, match: str | None = None) -> None:
        self.store.settings.outcomes.append(Outcome.model_validate({"result": result, "match": match}))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


# --- crons and the clock


def test_a_job_fires_by_its_cron_on_the_clock_of_the_server(rig: Rig) -> None:
    rig.job("load", NIGHTLY)
    rig.advance(days=2)
    assert rig.runs() == [
        ("load", "cron", "03-03T02:00:00", "COMPLETE"),
        ("load", "cron", "03-04T02:00:00", "COMPLETE"),
    ]


def test_the_clock_of_the_server_changes_to_summer_time(rig: Rig) -> None:
    rig.engine.advance(datetime(2026, 3, 28, 12, 0, tzinfo=UTC))
    rig.job("load", NIGHTLY)
    rig.advance(days=2)
    assert [start for _, _, start, _ in rig.runs()] == ["03-29T01:00:00", "03-30T01:00:00"]


def test_the_journal_tells_when_it_was_due_and_when_it_ended(rig: Rig) -> None:
    rig.last(90)
    rig.job("load")
    rig.advance(hours=1, minutes=5)
    line = rig.store.journal()[0]
    assert (line["scheduled"], line["start"], line["end"]) == (
        "2026-03-02T07:00:00Z",
        "2026-03-02T07:00:00Z",
        "2026-03-02T07:01:30Z",
    )


def test_everything_due_on_the_way_runs_in_order(rig: Rig) -> None:
    rig.last(600)
    rig.job("half past", "0 30 * * * ?")
    rig.job("full", HOURLY)
    rig.advance(hours=2)
    assert [(job, start) for job, _, start, _ in rig.runs()] == [
        ("half past", "03-02T06:30:00"),
        ("full", "03-02T07:00:00"),
        ("half past", "03-02T07:30:00"),
        ("full", "03-02T08:00:00"),
    ]
    ends = [line["end"] for line in rig.store.journal()]
    assert ends == ["2026-03-02T06:40:00Z", "2026-03-02T07:10:00Z", "2026-03-02T07:40:00Z", None]


def test_a_clock_put_back_lets_the_time_come_again(rig: Rig) -> None:
    rig.job("load")
    rig.advance(hours=1, minutes=1)
    rig.server.clock.set(NOW)
    rig.engine.set_back()
    rig.advance(hours=1)
    assert [start for _, _, start, _ in rig.runs()] == ["03-02T07:00:00"] * 2


def test_start_and_end_time_bound_a_trigger(rig: Rig) -> None:
    rig.job("load", trigger={"startTime": "2026-03-02T09:00:00Z", "endTime": "2026-03-02T11:00:00"})
    rig.advance(hours=10)
    # The end has no zone: it is Madrid's, 10:00 UTC.
    assert [start for _, _, start, _ in rig.runs()] == ["03-02T09:00:00", "03-02T10:00:00"]


def test_an_exhausted_trigger_has_no_next_execution(rig: Rig) -> None:
    job = rig.job("load", trigger={"endTime": "2026-03-02T07:30:00Z"})
    assert status_json(rig.engine, job)["nextExecution"] == "2026-03-02T07:00:00Z"
    rig.advance(hours=1)
    assert "nextExecution" not in status_json(rig.engine, job)


def test_with_two_triggers_it_fires_by_both_and_once_when_they_meet(rig: Rig) -> None:
    triggers = [{"type": "cron", "cronExpression": cron} for cron in ("0 0 8 * * ?", "0 0/30 8 * * ?")]
    rig.server.create_job(rig.project, {"name": "load", "type": "VDP", "triggerSection": {"triggers": triggers}})
    rig.advance(hours=3)
    assert [start for _, _, start, _ in rig.runs()] == ["03-02T07:00:00", "03-02T07:30:00"]


def test_a_draft_never_fires(rig: Rig) -> None:
    job = rig.job("load", draft=True)
    rig.advance(hours=3)
    assert rig.runs() == []
    assert rig.state(job) == "DRAFT"


def test_a_trigger_with_a_condition_polls(rig: Rig) -> None:
    triggers = [{"type": "polling", "condition": "select 1"}]
    body = {"name": "load", "type": "VDP", "triggerSection": {"triggers": triggers}}
    assert rig.state(rig.server.create_job(rig.project, body)) == "POLLING"


def test_a_real_clock_fires_as_time_passes(tmp_path: Path) -> None:
    server = SchedulerServer(tmp_path)
    project = server.create_project("Sales", None)
    section = {"triggers": [{"type": "cron", "cronExpression": "* * * * * ?"}]}
    server.store.settings.durations = [Duration(seconds=0.01)]

    async def two_runs_have_ended() -> None:
        server.engine.recover()
        firing = asyncio.create_task(server.engine.run())
        # The engine sleeps already and must wake for the new job.
        await asyncio.sleep(0)
        server.create_job(project, {"name": "load", "type": "VDP", "triggerSection": section})
        async with asyncio.timeout(allow(30)):
            while sum(line["end"] is not None for line in server.store.journal()) < 2:
                await asyncio.sleep(0.01)
        firing.cancel()

    asyncio.run(two_runs_have_ended())
    lines = server.store.journal()
    assert all(datetime.fromisoformat(line["start"]) >= datetime.fromisoformat(line["scheduled"]) for line in lines)
    assert len({line["scheduled"] for line in lines}) == len(lines)


# --- states and results


def test_a_run_is_seen_while_it_lasts_and_reported_when_it_has_ended(rig: Rig) -> None:
    rig.last(60)
    job = rig.job("load")
    assert status_json(rig.engine, job) == {
        "jobID": job.id,
        "jobName": "load",
        "projectID": rig.project.id,
        "projectName": "Sales",
        "state": "NOT_RUNNING",
        "result": "NEVER_EXECUTED",
        "nextExecution": "2026-03-02T07:00:00Z",
    }
    rig.advance(hours=1, seconds=59)
    status = status_json(rig.engine, job)
    assert (status["state"], "result" in status, status["nextExecution"]) == ("RUNNING", False, "2026-03-02T08:00:00Z")
    assert rig.store.reports(job, 0, 10) == ([], 0)
    rig.advance(seconds=1)
    status = status_json(rig.engine, job)
    assert (status["state"], status["result"]) == ("NOT_RUNNING", "COMPLETE")
    assert status["previousExecution"] == "2026-03-02T07:00:00Z"
    assert rig.store.reports(job, 0, 10)[1] == 1


def test_lengths_and_results_by_name(rig: Rig) -> None:
    rig.last(5, match="^Sales / slow")
    rig.end_in("WARNING", match="slow")
    rig.job("slow one")
    rig.job("quick one")
    rig.advance(hours=1, minutes=1)
    found = {line["job"]: (line["end"][17:19], line["result"]) for line in rig.store.journal()}
    assert found == {"slow one": ("05", "WARNING"), "quick one": ("01", "COMPLETE")}


def test_due_while_running_it_starts_again_when_the_run_has_ended(rig: Rig) -> None:
    rig.last(90 * 60)
    rig.job("load")
    rig.advance(hours=4)
    assert [(line["start"][11:16], line["scheduled"][11:16]) for line in rig.store.journal()] == [
        ("07:00", "07:00"),
        ("08:30", "08:00"),
        ("10:00", "09:00"),
    ]


def test_errors_are_retried_as_often_as_the_job_says(rig: Rig) -> None:
    rig.end_in("ERROR")
    job = rig.job("load", NIGHTLY, retrySection={"maxRetries": 2, "delay": 60_000})
    rig.advance(days=1)
    assert rig.runs() == [
        ("load", "cron", "03-03T02:00:00", "ERROR"),
        ("load", "retry", "03-03T02:01:01", "ERROR"),
        ("load", "retry", "03-03T02:02:02", "ERROR"),
    ]
    assert job.result is Result.ERROR


def test_retries_end_with_success_and_with_disabling(rig: Rig) -> None:
    rig.end_in("ERROR")
    healed = rig.job("healed", NIGHTLY, retrySection={"maxRetries": 5, "delay": 60_000})
    stopped = rig.job("stopped", NIGHTLY, retrySection={"maxRetries": 5, "delay": 60_000})
    rig.engine.advance(datetime(2026, 3, 3, 2, 0, 30, tzinfo=UTC))
    rig.engine.disable(stopped, "test")
    rig.end_in("COMPLETE")
    rig.advance(hours=1)
    assert [(job, trigger) for job, trigger, _, _ in rig.runs()] == [
        ("healed", "cron"),
        ("stopped", "cron"),
        ("healed", "retry"),
    ]
    assert healed.result is Result.COMPLETE


# --- dependencies


def test_a_job_waits_for_what_it_depends_on(rig: Rig) -> None:
    rig.last(120, match="first")
    first = rig.job("first")
    second = rig.job("second", after=[first])
    rig.advance(hours=1, minutes=1)
    assert rig.state(second) == "WAITING"
    rig.advance(minutes=1)
    assert rig.state(second) == "RUNNING"
    rig.advance(hours=1)
    assert [(job, trigger, start[6:]) for job, trigger, start, _ in rig.runs()] == [
        ("first", "cron", "07:00:00"),
        ("second", "dependency", "07:02:00"),
        ("first", "cron", "08:00:00"),
        ("second", "dependency", "08:02:00"),
    ]


def test_what_ran_before_counts_once(rig: Rig) -> None:
    first = rig.job("first", "0 0 8 * * ?")
    rig.job("second", "0 30 * * * ?", after=[first])
    rig.engine.advance(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))
    # 06:30 waits for the first run, which ends at 07:00:01; 07:30 waits for the next one.
    assert [(job, start[6:]) for job, _, start, _ in rig.runs()] == [("first", "07:00:00"), ("second", "07:00:01")]


@pytest.mark.parametrize(("anyway", "state"), [(False, "WAITING"), (True, "NOT_RUNNING")])
def test_a_failed_dependency_holds_it_up_unless_told_otherwise(rig: Rig, anyway: bool, state: str) -> None:
    rig.end_in("ERROR", match="first")
    first = rig.job("first")
    second = rig.job("second", after=[first], execute_anyway=anyway)
    rig.advance(hours=1, minutes=5)
    assert rig.state(second) == state
    assert ("second" in [job for job, *_ in rig.runs()]) is anyway


def test_all_dependencies_must_have_ended(rig: Rig) -> None:
    rig.last(60, match="slow")
    quick, slow = rig.job("quick"), rig.job("slow")
    rig.job("both", after=[quick, slow])
    rig.advance(hours=1, minutes=10)
    assert rig.runs()[-1][:3] == ("both", "dependency", "03-02T07:01:00")


def test_disabling_a_waiting_job_ends_the_wait(rig: Rig) -> None:
    rig.last(120, match="first")
    first = rig.job("first")
    second = rig.job("second", after=[first])
    rig.advance(hours=1, minutes=1)
    rig.engine.disable(second, "test")
    rig.advance(minutes=10)
    assert [job for job, *_ in rig.runs()] == ["first"]


def test_start_with_dependencies_runs_the_chain_in_order(rig: Rig) -> None:
    first = rig.job("first", None)
    second = rig.job("second", NIGHTLY, after=[first])
    third = rig.job("third", NIGHTLY, after=[second])
    rig.server.act("start_with_dependencies", [third])
    assert [rig.state(job) for job in (first, second, third)] == ["RUNNING", "WAITING", "WAITING"]
    rig.advance(minutes=1)
    assert [(job, trigger) for job, trigger, *_ in rig.runs()] == [
        ("first", "manual"),
        ("second", "dependency"),
        ("third", "dependency"),
    ]


def test_deleting_a_job_disables_those_that_depend_on_it(rig: Rig) -> None:
    first = rig.job("first")
    second, other = rig.job("second", after=[first]), rig.job("other")
    rig.server.delete_job(first)
    assert [rig.state(second), rig.state(other)] == ["DISABLED", "NOT_RUNNING"]
    assert [(line["job"], line["change"]) for line in rig.store.audit()][-2:] == [
        ("first", "deleted"),
        ("second", "disabled"),
    ]


def test_a_renamed_job_is_still_waited_for(rig: Rig) -> None:
    first = rig.job("first")
    second = rig.job("second", after=[first])
    body = {"id": first.id, "name": "renamed", "type": "VDP", "handlerSection": {}, "exportationSection": {}}
    rig.server.replace_job(first, body)
    assert second.dependencies == ["renamed"]


# --- what people do


def test_disabling_stops_a_run_and_nothing_fires_afterwards(rig: Rig) -> None:
    rig.last(600)
    job = rig.job("load")
    rig.advance(hours=1, minutes=1)
    rig.server.act("disable", [job])
    status = status_json(rig.engine, job)
    assert (status["state"], status["result"], "nextExecution" in status) == ("DISABLED", "STOPPED", False)
    rig.advance(hours=5)
    assert rig.runs() == [("load", "cron", "03-02T07:00:00", "STOPPED")]
    assert rig.store.journal()[0]["end"] == "2026-03-02T07:01:00Z"


def test_stop_ends_a_run_and_leaves_an_idle_job_alone(rig: Rig) -> None:
    rig.last(600)
    job = rig.job("load")
    rig.server.act("stop", [job])
    assert job.result is Result.NEVER_EXECUTED
    rig.server.act("start", [job])
    rig.advance(seconds=10)
    rig.server.act("stop", [job])
    assert rig.runs() == [("load", "manual", "03-02T06:00:00", "STOPPED")]
    assert rig.state(job) == "NOT_RUNNING"


def test_starting_a_disabled_job_is_an_internal_error_and_starts_none(rig: Rig) -> None:
    enabled, disabled = rig.job("enabled"), rig.job("disabled", disabled=True)
    with pytest.raises(ApiError, match="Internal error") as caught:
        rig.server.act("start", [enabled, disabled])
    assert caught.value.status == 500
    assert rig.runs() == []


def test_starting_a_chain_with_a_disabled_job_starts_none_of_it(rig: Rig) -> None:
    first = rig.job("first", disabled=True)
    other = rig.job("other")
    last = rig.job("last", after=[first, other])
    with pytest.raises(ApiError, match="Internal error"):
        rig.server.act("start_with_dependencies", [last])
    assert rig.runs() == []
    assert rig.state(last) == "NOT_RUNNING"


def test_enabling_and_disabling_twice_is_written_down_once(rig: Rig) -> None:
    job = rig.job("load")
    for action in ("disable", "disable", "enable", "enable"):
        rig.server.act(action, [job])
    assert [(line["change"], line["by"]) for line in rig.store.audit()] == [
        ("created", "api"),
        ("enabled", "api"),
        ("disabled", "api"),
        ("enabled", "api"),
    ]


def test_a_paused_server_shows_every_job_disabled_and_fires_none(rig: Rig) -> None:
    job = rig.job("load")
    rig.engine.pause(True)
    rig.advance(hours=2)
    assert (rig.state(job), rig.runs()) == ("DISABLED", [])
    with pytest.raises(ApiError, match="Internal error"):
        rig.server.act("start", [job])
    rig.guess(misfire="record")
    rig.advance(minutes=30)
    rig.engine.pause(False)
    assert rig.state(job) == "NOT_RUNNING"
    rig.advance(hours=1)
    assert rig.runs() == [("load", "cron", "03-02T09:00:00", "COMPLETE")]


# --- misfires and restarts


@pytest.mark.parametrize(
    ("policy", "runs", "result"),
    [("fire_once", [("load", "misfire", "03-02T09:30:00", "COMPLETE")], "COMPLETE"), ("record", [], "MISFIRED")],
)
def test_enabling_a_job_that_missed_its_time(rig: Rig, policy: str, runs: list[Any], result: str) -> None:
    rig.guess(misfire=policy)
    job = rig.job("load")
    rig.server.act("disable", [job])
    rig.advance(hours=3.5)
    rig.server.act("enable", [job])
    rig.advance(minutes=1)
    assert rig.runs() == runs
    status = status_json(rig.engine, job)
    assert (status["result"], status["nextExecution"]) == (result, "2026-03-02T10:00:00Z")


def test_enabling_before_the_next_time_starts_nothing(rig: Rig) -> None:
    job = rig.job("load")
    rig.server.act("disable", [job])
    rig.advance(minutes=30)
    rig.server.act("enable", [job])
    rig.advance(minutes=10)
    assert rig.runs() == []


def test_just_missed_is_late_not_missed(rig: Rig) -> None:
    rig.guess(misfire="record")
    job = rig.job("load")
    rig.server.act("disable", [job])
    rig.advance(hours=1, seconds=60)
    rig.server.act("enable", [job])
    assert [run[:3] for run in rig.runs()] == [("load", "cron", "03-02T07:01:00")]


@pytest.mark.parametrize(("policy", "runs"), [("fire_once", ["misfire", "cron"]), ("record", ["cron"])])
def test_a_restarted_server_treats_what_it_missed_by_the_policy(tmp_path: Path, policy: str, runs: list[str]) -> None:
    rig = Rig(tmp_path)
    rig.guess(misfire=policy)
    rig.store.save_settings()
    rig.job("load")
    rig.job("disabled", disabled=True)
    rig.store.close()
    again = Rig(tmp_path, now=NOW + timedelta(hours=3.5))
    again.advance(hours=1)
    assert [trigger for _, trigger, *_ in again.runs()] == runs


def test_a_run_cut_off_by_a_killed_process_ends_in_error(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.last(600)
    rig.job("load")
    rig.advance(hours=1, minutes=1)
    rig.store.close()
    again = Rig(tmp_path, now=NOW + timedelta(hours=1, minutes=5))
    job = next(iter(again.store.jobs.values()))
    status = status_json(again.engine, job)
    assert (status["state"], status["result"]) == ("NOT_RUNNING", "ERROR")
    assert again.store.journal()[0]["end"] == "2026-03-02T07:05:00Z"


def test_a_manual_clock_goes_on_where_it_stood(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.store.settings.now = NOW + timedelta(days=3)
    rig.store.save_settings()
    rig.store.close()
    assert Rig(tmp_path, now=None).server.clock.now() == NOW + timedelta(days=3)


# --- a property: whatever people do, no occurrence is run twice


@pytest.mark.parametrize("actions", [("disable", "enable"), ("stop",), ("start",), ("disable", "enable", "start")])
def test_no_occurrence_is_run_twice(rig: Rig, actions: tuple[str, ...]) -> None:
    rig.last(20 * 60)
    jobs = [rig.job(f"job {number}", f"0 {number} * * * ?") for number in range(5)]
    for _ in range(50):
        rig.advance(minutes=7)
        for action in actions:
            rig.server.act(action, jobs)
    due = [(line["job"], line["scheduled"]) for line in rig.store.journal() if line["trigger"] == "cron"]
    assert len(due) == len(set(due)) > 0
