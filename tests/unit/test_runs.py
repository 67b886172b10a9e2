"""Which run is the one that is waited for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.errors import redacted
from denodo_ha.jobs import JobState, JobStatus, Report
from denodo_ha.record import Halt, Operation, Phase, Record, Role, Step
from denodo_ha.runs import NO_TIMES, Baseline, Looks, Run, described, identity, latest_run, own_run, settled_role
from denodo_ha.server.answers import read_reports

T = datetime(2026, 3, 2, 6, tzinfo=UTC)
IDLE, RUNNING, WAITING, DISABLED = JobState.NOT_RUNNING, JobState.RUNNING, JobState.WAITING, JobState.DISABLED


def at(minutes: float) -> datetime:
    return T + timedelta(minutes=minutes)


def report(number: int, result: str = "COMPLETE", **more: Any) -> Report:
    """That of the run that began ``number`` minutes after T, for half a minute."""
    times = {"startTime": at(number).isoformat(), "endTime": at(number + 0.5).isoformat()}
    (found,) = read_reports({"list": [{"id": number, "result": result, **times, **more}]})
    return found


def status(state: JobState, result: str | None = None, previous: float | None = None) -> JobStatus:
    return JobStatus(
        job_id=1,
        name="load",
        project_id=1,
        project="sales",
        state=state,
        result=result,
        previousExecution=None if previous is None else at(previous),
    )


def newest_first(*reports: Report) -> list[Report]:
    return list(reversed(reports))


RESULTS = st.sampled_from(["COMPLETE", "WARNING", "ERROR", "STOPPED"])


@given(
    before=st.lists(RESULTS, max_size=5),
    after=st.lists(RESULTS, max_size=5),
    state=st.sampled_from(JobState),
    then=st.sampled_from(JobState),
    kept=st.integers(1, 10),
    with_times=st.booleans(),
    seen=st.booleans(),
)
def test_own_run_is_the_first_that_ended_afterwards(
    before: list[str],
    after: list[str],
    state: JobState,
    then: JobState,
    kept: int,
    with_times: bool,
    seen: bool,
) -> None:
    """Whatever the server keeps: never a run from before, and a run only where one has ended."""
    old = [report(number, result) for number, result in enumerate(before)]
    new = [report(10 + number, result) for number, result in enumerate(after)]
    baseline = Baseline.of(status(state, "COMPLETE", 1), newest_first(*old), at(9))
    stored = newest_first(*old, *new)[:kept]
    if not with_times:
        stored = [each.model_copy(update={"start": None, "end": None}) for each in stored]

    found = own_run(baseline, status(then, "COMPLETE", 1), stored, seen_running=seen)

    known = {identity(each) for each in new}
    if found.run and found.run.reported:
        assert found.begun
        assert identity(Report(raw=found.run.content)) in known
        lost = len(old) + len(new) > kept
        if not lost:
            assert found.run.content["id"] == 10
    elif new and (with_times or not old or len(stored) > len(new)):
        pytest.fail("a run that has ended is there, and was not found")
    if not new and not seen and then in (IDLE, DISABLED, JobState.POLLING) and state is not RUNNING:
        assert found == own_run(baseline, status(then, "COMPLETE", 1), [])
        assert not found.begun


@pytest.mark.parametrize(
    ("state", "result", "previous", "seen", "begun", "ended"),
    [
        (RUNNING, None, 1, False, True, None),
        (WAITING, "COMPLETE", 1, False, True, None),
        (JobState.UNKNOWN, "COMPLETE", 1, False, True, None),
        (IDLE, "COMPLETE", 1, False, False, None),
        (JobState.POLLING, "COMPLETE", 1, False, False, None),
        (IDLE, "COMPLETE", 1, True, True, "COMPLETE"),
        (IDLE, "ERROR", 1, False, True, "ERROR"),
        (IDLE, "COMPLETE", 2, False, True, "COMPLETE"),
        (DISABLED, "STOPPED", 2, False, True, "STOPPED"),
        (IDLE, "MISFIRED", 1, False, False, None),
        (IDLE, "NEVER_EXECUTED", None, False, False, None),
        (IDLE, None, 2, True, False, None),
    ],
)
def test_a_run_without_a_report(
    state: JobState, result: str | None, previous: float | None, seen: bool, begun: bool, ended: str | None
) -> None:
    baseline = Baseline.of(status(IDLE, "COMPLETE", 1), [report(1)], at(2))

    found = own_run(baseline, status(state, result, previous), [report(1)], seen_running=seen)

    assert found.begun is begun
    assert (found.run and found.run.result) == ended
    assert not (found.run and found.run.reported)


def test_a_job_that_waited_and_did_not_run_has_not_begun() -> None:
    """Its last result is that of an earlier run."""
    baseline = Baseline.of(status(WAITING, "COMPLETE", 1), [report(1)], at(2))

    assert not own_run(baseline, status(IDLE, "COMPLETE", 1), [report(1)]).begun


def test_the_baseline_survives_its_storage() -> None:
    baseline = Baseline.of(status(IDLE, "COMPLETE", 1), [report(1)], at(2))

    assert Baseline.model_validate(json.loads(json.dumps(baseline.model_dump(mode="json")))) == baseline


def test_the_newest_run_since_a_moment() -> None:
    reports = newest_first(report(1), report(2, "ERROR"), report(3))
    idle = status(IDLE, "COMPLETE", 3)

    def since(minutes: float, **arguments: Any) -> Any:
        found = latest_run(at(minutes), idle, reports, **arguments).run
        return found and (found.content.get("id"), found.result, found.reported)

    assert since(0) == (3, "COMPLETE", True)
    assert since(3.5) == (3, "COMPLETE", True)
    assert since(3.6) is None
    assert since(0, results=["ERROR"]) == (2, "ERROR", True)
    assert since(2.6, results=["ERROR"]) is None
    assert latest_run(at(3), idle, [report(1)]).run == Run("COMPLETE", reported=False)
    assert latest_run(at(3), idle, [report(1)], results=["ERROR"]).run is None
    assert latest_run(at(3), status(RUNNING, None, 3), [report(1)]).run is None


@pytest.mark.parametrize(
    ("newest", "result", "previous", "since", "results", "found"),
    [
        ("ERROR", "ERROR", 3, 2, None, ("ERROR", True)),
        ("ERROR", "ERROR", 3, 3, None, ("ERROR", True)),
        ("ERROR", "ERROR", 3, 4, None, None),
        ("ERROR", "ERROR", None, 2, None, None),
        ("ERROR", "COMPLETE", 3, 2, None, ("COMPLETE", False)),
        ("ERROR", "ERROR", 3, 2, ["COMPLETE"], None),
        ("COMPLETE", "COMPLETE", 3, 2, ["COMPLETE"], ("COMPLETE", True)),
        ("COMPLETE", "MISFIRED", 3, 2, None, None),
    ],
)
def test_the_newest_run_where_no_report_carries_a_time(
    newest: str,
    result: str,
    previous: float | None,
    since: float,
    results: list[str] | None,
    found: tuple[str, bool] | None,
) -> None:
    """What the times of a report are called is not published; its order and the previous execution are."""
    (latest, older) = read_reports(
        {"list": [{"id": 2, "result": newest, "ended_at": "?"}, {"id": 1, "result": "ERROR"}]}
    )

    seen = latest_run(at(since), status(IDLE, result, previous), [latest, older], results=results)

    assert (seen.run and (seen.run.result, seen.run.reported)) == found
    assert seen.run is None or not seen.run.reported or seen.run.content["id"] == 2
    assert seen.doubt == ("" if found else NO_TIMES)
    assert latest_run(at(since), status(RUNNING, None, previous), [latest, older]).run is None
    assert not latest_run(at(since), status(IDLE, result, 1), [report(1)]).doubt


def test_what_looks_have_shown_survives_the_way_to_the_next_trigger() -> None:
    looks = Looks(server="a", begin_by=at(2))
    for state in (IDLE, WAITING, RUNNING, IDLE, WAITING):
        looks.saw(state)

    assert looks.refused(at(1)) == timedelta(0)
    looks = Looks.model_validate(json.loads(json.dumps(looks.model_dump(mode="json"))))
    assert looks.refused(at(6)) == timedelta(minutes=5)
    assert (looks.begun, looks.begin_by) == (RUNNING, at(2))


@pytest.mark.parametrize(
    ("content", "counts"),
    [
        (
            {"rowsInvalid": 1, "rowsToUpdate": 2, "valid": 3, "RowsPaid": 4},
            {"rowsInvalid", "rowsToUpdate", "valid", "RowsPaid"},
        ),
        ({"id": 1, "jobID": 2, "jobIDs": [3, 4], "start_time": 5, "endDate": 6, "apiVersion": 7, "STATUS": 8}, set()),
        ({"rows": "42", "tuples": 3.0, "none": 0}, {"rows", "tuples", "none"}),
        ({"rows": "007", "share": 0.5, "done": True, "text": "4 rows", "big": 10**30, "big2": 1e300}, set()),
    ],
)
def test_numbers_that_count_something(content: dict[str, Any], counts: set[str]) -> None:
    told = Run("COMPLETE", content=content).to_json()["counts"]

    assert set(told) == counts
    assert all(type(value) is int for value in told.values())


@pytest.mark.parametrize(
    ("content", "files"),
    [
        ({"outputFile": "/data/a@b/out.csv"}, ["/data/a@b/out.csv"]),
        ({"output_path": "C:\\a@b\\out.csv"}, ["C:\\a@b\\out.csv"]),
        ({"files": ["out/a@b.csv", {"name": "b.csv", "encoding": "UTF-8"}]}, ["out/a@b.csv", "b.csv"]),
        ({"fileName": "a", "filename": "b", "FILE_PATH": "c", "fileUri": "d"}, ["a", "b", "c", "d"]),
        ({"profile": "default", "fileEncoding": "UTF-8", "file": {"encoding": "UTF-8"}, "name": "n"}, []),
        ({"file": "ftp://u:hunter2@host/a.csv"}, ["…@host/a.csv"]),
        ({"file": "u:hunter2@host:/a.csv"}, ["…@host:/a.csv"]),
        ({"file": "//u:hunter2@host/a.csv"}, ["…@host/a.csv"]),
        ({"file": "/a?password=hunter2"}, ["/a?password=…"]),
    ],
)
def test_the_files_of_a_report(content: dict[str, Any], files: list[str]) -> None:
    assert Run("COMPLETE", content=content).to_json()["files"] == files


@pytest.mark.parametrize(
    "message",
    [
        "jdbc:vdb://host/db?user=u&password=hunter2 is refused",
        "jdbc:sqlserver://host;user=u;PWD = hunter2;x=1",
        "access_token=hunter2",
        "pwd='hunter2' is wrong",
        'sent {"token": "hunter2 hunter2"}',
        'sent {\\"apiKey\\":\\"hunter2\\"}',
        f"{'x' * 980} password='hunter2 hunter2",
    ],
)
def test_the_values_of_secrets_are_left_out(message: str) -> None:
    content = {"errorMessage": message, "errors": {"password": "hunter2"}}

    assert "hunter2" not in json.dumps(Run("ERROR", content=content).to_json())
    assert redacted("key=value, no password: try again") == "key=value, no password: try again"


def test_what_a_report_tells() -> None:
    content = {
        "id": 7,
        "jobID": 12,
        "result": "ERROR",
        "extraction": {"processedTuples": 120, "errors": ["no such view\n 'sales'", ""], "errorCode": 5},
        "exporters": [{"type": "CSV", "rows": 118, "outputFile": "/data/out.csv", "overwrite": True}],
        "errorMessage": "cannot read jdbc:vdb://u:secret@host/db",
        "elapsedTime": 17,
    }

    told = Run("ERROR", at(1), at(2), content=content).to_json()

    assert json.loads(json.dumps(told)) == told
    assert told["counts"] == {"extraction.processedTuples": 120, "exporters.0.rows": 118}
    assert told["files"] == ["/data/out.csv"]
    assert told["messages"] == ["no such view 'sales'", "cannot read …@host/db"]
    assert "secret" not in json.dumps(told)
    assert described(told).startswith(
        "ended as ERROR (2026-03-02 06:01:00 UTC to 2026-03-02 06:02:00 UTC). Its report says: \"no such view 'sales'\""
    )


def test_a_report_is_handed_on_within_bounds() -> None:
    deep: Any = "an error"
    for _ in range(100):
        deep = {"error": [deep]}
    content = {
        "errors": [f"{number} {'x' * 10_000}" for number in range(1000)],
        "rows": dict.fromkeys(map(str, range(1000)), 1),
        "deep": deep,
    }

    told = json.dumps(Run("ERROR", content=content).to_json())

    assert len(told) < 40_000
    assert len(described(json.loads(told))) < 6_000


@pytest.mark.parametrize(
    ("phase", "role"),
    [
        (Phase.NORMAL, Role.MASTER),
        (Phase.FAILED_OVER, Role.SLAVE),
        (Phase.FAILING_OVER, None),
        (Phase.FAILING_BACK, None),
    ],
)
@pytest.mark.parametrize("halted", [False, True])
def test_a_role_is_settled_where_it_does_not_change(phase: Phase, role: Role | None, halted: bool) -> None:
    active = Role.MASTER if phase in (Phase.NORMAL, Phase.FAILING_OVER) else Role.SLAVE
    operation = Operation(kind="switchover", id="a", target="b", step=Step.CLAIMED, started=T, lease_until=T, plan="p")
    record = Record(phase=phase, active=active, operation=operation)
    if halted:
        halt = Halt(since=T, code="by_hand", reason="", by="ana", phase=phase)
        record = record.model_copy(update={"phase": Phase.HALTED, "halted": halt})

    assert settled_role(record) is role
