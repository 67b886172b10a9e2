from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from denodo_ha.jobs import JobKey, JobState
from denodo_scheduler.exceptions import (
    ConfigurationError,
    NoAnswerError,
    RequestError,
    UnexpectedAnswerError,
    UnknownJobError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses

Connect = Callable[..., DenodoSchedulerHook]

ME = {
    "permissions": [{"roleData": {"roleName": "scheduler_admin"}}, {"roleData": {"roleName": "sales"}}],
    "serverData": {"version": {"full": "9.1.0"}, "startedAt": "new in 9.9"},
    "schedulerMode": "CLUSTER",
}
PROJECTS = [{"id": 7, "name": "sales", "description": None, "owner": "x"}, {"id": 8, "name": "Ventas España"}]
JOB = {
    "id": 1001,
    "type": "VDP",
    "name": "load",
    "description": "",
    "disabled": True,
    "projectId": 7,
    "projectName": "sales",
    "triggerSection": {
        "triggers": [
            {
                "type": "cron",
                "cronExpression": "0 0 3 * * ?",
                "startTime": None,
                "dependencyInfo": {"jobIDs": "1002,1003", "executeAnyway": True},
            }
        ]
    },
    "handlerSection": {"new": 1},
}
STATUS = {
    "jobID": 1001,
    "jobName": "load",
    "projectID": 7,
    "projectName": "sales",
    "state": "NOT_RUNNING",
    "result": "COMPLETE",
    "previousExecution": "2026-11-21T02:00:00Z",
    "nextExecution": "2026-11-22T02:00:00Z",
}


def _at_other(hook: DenodoSchedulerHook) -> DenodoSchedulerHook:
    return DenodoSchedulerHook(hook.denodo_scheduler_conn_id, scheduler_uri="//other:8000")


def _without(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in names}


def _key(name: str, project: str = "sales") -> JobKey:
    return JobKey(project=project, name=name)


def test_me(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/me", ME)

    server = hook.me()

    assert (server.version, server.scheduler_mode, server.roles) == ("9.1.0", "CLUSTER", ("scheduler_admin", "sales"))


@pytest.mark.parametrize("body", [{}, [], {"serverData": None}, {"serverData": {"version": "9.1"}}, "up", None])
def test_me_without_server_data_does_not_count_as_up(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, body: Any
) -> None:
    webtool.on("GET", "/me", answer(b"null" if body is None else body))

    with pytest.raises(UnexpectedAnswerError, match=r"serverData\.version\.full.*connection 'web'.*GET /webadmin.*/me"):
        hook.me()


def test_projects(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/projects", PROJECTS)

    assert [(project.id, project.name) for project in hook.projects()] == [(7, "sales"), (8, "Ventas España")]


def test_jobs(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/jobs", [JOB, _without(JOB, "triggerSection") | {"id": 1002, "name": "Load 2"}])

    first, second = hook.jobs()

    assert first.key == _key("LOAD", "Sales")
    assert (first.id, first.project_id, first.type, first.disabled) == (1001, 7, "VDP", True)
    (trigger,) = first.triggers
    assert trigger.cron == "0 0 3 * * ?"
    assert trigger.dependency is not None
    assert trigger.dependency.job_ids == (1002, 1003)
    assert first.definition == JOB
    assert second.triggers == ()
    assert len(webtool.requests) == 1


def test_jobs_without_the_names_of_their_projects_are_completed(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/jobs", [_without(JOB, "projectName"), {**JOB, "projectName": None, "projectId": 8}])
    webtool.on("GET", "/projects", PROJECTS)

    assert [job.project for job in _at_other(hook).jobs()] == ["sales", "Ventas España"]
    assert [request.query for request in webtool.requests] == [{"uri": "//other:8000"}] * 2


@pytest.mark.parametrize(
    "raw",
    [
        {"id": 5, "name": "vdp", "projectName": "sales", "type": "VDP", "login": "ana", "connectionURI": "//vdp:9999"},
        {"id": 5, "name": "vdp", "projectId": 7, "subType": "VDP", "userName": "ana", "connectionUri": "//vdp:9999"},
        {"dataSourceID": 5, "dataSourceName": "vdp", "projectID": 7, "type": "VDP", "user": "ana", "url": "//vdp:9999"},
    ],
)
def test_data_sources_in_several_spellings(webtool: Any, hook: DenodoSchedulerHook, raw: dict[str, Any]) -> None:
    webtool.on("GET", "/dataSources", [raw | {"pool": {"size": 5}}])
    webtool.on("GET", "/projects", PROJECTS)
    (source,) = hook.data_sources()
    assert (source.id, source.key, source.type) == (5, _key("VDP"), "VDP")
    assert (source.login, source.connection_uri) == ("ana", "//vdp:9999")


@pytest.mark.parametrize(
    ("path", "raw", "ask", "field"),
    [
        ("/jobs", _without(JOB, "name"), DenodoSchedulerHook.jobs, r"\[0\]\.name"),
        ("/jobs", _without(JOB, "type"), DenodoSchedulerHook.jobs, r"\[0\]\.type"),
        ("/jobs", {**JOB, "projectName": None, "projectId": 99}, DenodoSchedulerHook.jobs, r"\[0\]\.projectName"),
        ("/jobs/status", _without(STATUS, "state"), DenodoSchedulerHook.statuses, r"\[0\]\.state"),
        ("/jobs/status", _without(STATUS, "jobID"), DenodoSchedulerHook.statuses, r"\[0\]\.jobID"),
        ("/jobs/status", STATUS | {"nextExecution": "soon"}, DenodoSchedulerHook.statuses, r"\[0\]\.nextExecution"),
        ("/projects", {"name": "sales"}, DenodoSchedulerHook.projects, r"\[0\]\.id"),
        ("/dataSources", {"id": 5, "name": "vdp"}, DenodoSchedulerHook.data_sources, r"\[0\]\.projectName"),
    ],
)
def test_a_missing_or_garbled_field_is_named_with_place_and_connection(
    webtool: Any, hook: DenodoSchedulerHook, path: str, raw: dict[str, Any], ask: Any, field: str
) -> None:
    webtool.on("GET", "/projects", PROJECTS)
    webtool.on("GET", path, [raw])

    with pytest.raises(UnexpectedAnswerError, match=rf"field {field}: .*connection 'web'.*public/api{path}"):
        ask(hook)


@pytest.mark.parametrize("body", [{"list": []}, ["a"], 7])
def test_a_list_must_be_a_list(webtool: Any, hook: DenodoSchedulerHook, body: Any) -> None:
    webtool.on("GET", "/jobs/status", body)

    with pytest.raises(UnexpectedAnswerError, match="not a list of objects"):
        hook.statuses()


def test_statuses_and_the_servers_time(webtool: Any, hook: DenodoSchedulerHook, answer: Any) -> None:
    new_state = STATUS | {"jobID": 1002, "jobName": "b", "state": "SLEEPING", "nextExecution": None}
    webtool.on("GET", "/jobs/status", answer([STATUS, new_state], headers={"Date": "Sun, 22 Nov 2026 01:02:03 GMT"}))

    statuses = hook.statuses()

    assert statuses.server_time == datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
    first, second = statuses.jobs
    assert (first.key, first.job_id, first.state) == (_key("load"), 1001, JobState.NOT_RUNNING)
    assert first.next_execution == datetime(2026, 11, 22, 2, tzinfo=UTC)
    assert second.state is JobState.UNKNOWN
    assert len(webtool.requests) == 1


@pytest.mark.parametrize("headers", [{}, {"Date": "tomorrow"}])
def test_without_a_date_the_local_clock_counts(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, headers: dict[str, str]
) -> None:
    webtool.on("GET", "/jobs/status", answer([], headers=headers))
    before = datetime.now(UTC)

    assert before <= hook.statuses().server_time <= datetime.now(UTC)


def test_the_status_of_one_job(webtool: Any, hook: DenodoSchedulerHook, answer: Any) -> None:
    key = JobKey(project="Sales", name="LOAD")
    date = {"Date": "Sat, 21 Nov 2026 08:00:00 GMT"}
    webtool.on("GET", "/projects/jobs/status", answer(_without(STATUS, "jobName", "projectID"), headers=date))
    webtool.on("GET", "/jobs", [JOB])

    status = hook.status(key)

    assert (status.key, status.state, status.project_id) == (key, JobState.NOT_RUNNING, 7)
    assert hook.answered == datetime(2026, 11, 21, 8, tzinfo=UTC), "not of what was asked for the names"
    assert webtool.requests[0].query == {"uri": "//localhost:8000", "projectName": "Sales", "jobName": "LOAD"}


def test_the_status_of_a_job_that_is_unknown(webtool: Any, hook: DenodoSchedulerHook) -> None:
    """A 404 is the answer of a wrong address too."""
    with pytest.raises(ConfigurationError, match="404"):
        hook.status(JobKey(project="sales", name="gone"))

    webtool.on("GET", "/jobs/status", [STATUS])
    with pytest.raises(UnknownJobError, match=r"does not have sales / gone"):
        hook.status(JobKey(project="sales", name="gone"))


@pytest.mark.parametrize(
    ("raw", "asked"),
    [
        ({"jobId": 1001, "name": "load", "projectId": 7, "project": "sales", "state": "RUNNING"}, 1),
        (_without(STATUS, "projectName"), 2),
        (_without(STATUS, "projectName", "projectID"), 2),
        (_without(STATUS, "projectName", "projectID", "jobName"), 2),
    ],
)
def test_the_names_in_a_status_are_a_guess_that_nothing_rests_on(
    webtool: Any, hook: DenodoSchedulerHook, raw: dict[str, Any], asked: int
) -> None:
    webtool.on("GET", "/jobs/status", [raw])
    webtool.on("GET", "/jobs", [JOB])
    webtool.on("GET", "/projects", PROJECTS)

    (status,) = _at_other(hook).statuses().jobs

    assert (status.key, status.job_id, status.project_id) == (_key("load"), 1001, 7)
    assert len(webtool.requests) == asked
    assert {request.query["uri"] for request in webtool.requests} == {"//other:8000"}


def _many(projects: int, jobs: int) -> list[dict[str, Any]]:
    return [
        STATUS | {"jobID": p * jobs + j, "jobName": f"job {j}", "projectID": p, "projectName": f"project {p}"}
        for p in range(projects)
        for j in range(jobs)
    ]


def test_one_bulk_request_per_project_over_one_connection(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/jobs/status", _many(20, 250))
    for project in range(20):
        webtool.on("PUT", f"/projects/{project}/jobs/status", None)
    statuses = hook.statuses()
    webtool.requests.clear()

    sent = hook.set_jobs_status("disable", [status.key for status in statuses.jobs], statuses=statuses)

    assert sent == len(webtool.requests) == 20
    assert len({request.client for request in webtool.requests}) == 1
    for project in range(20):
        (request,) = webtool.asked("PUT", f"/projects/{project}/jobs/status")
        assert request.query == {"uri": "//localhost:8000"}
        assert request.json["action"] == "disable"
        ids = [int(part) for part in request.json["IDs"].split(",")]
        assert sorted(ids) == list(range(project * 250, project * 250 + 250))


def test_only_the_named_jobs_are_touched_whatever_the_case(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/jobs/status", _many(2, 3))
    webtool.on("PUT", "/projects/1/jobs/status", None)

    assert hook.set_jobs_status("enable", [_key("JOB 2", "Project 1"), _key("job 2", "project 1")]) == 1

    assert webtool.asked("PUT", "/projects/1/jobs/status")[0].json == {"action": "enable", "IDs": "5"}


def test_no_jobs_no_request(webtool: Any, hook: DenodoSchedulerHook) -> None:
    assert hook.set_jobs_status("disable", []) == 0
    assert webtool.requests == []


def test_unknown_jobs_are_named_before_anything_changes(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/jobs/status", _many(1, 1))
    gone = [_key(f"gone {number:02}", "project 0") for number in range(12)]

    with pytest.raises(RequestError) as caught:
        hook.set_jobs_status("disable", [_key("job 0", "project 0"), *gone])

    assert "does not have project 0 / gone 00, project 0 / gone 01" in str(caught.value)
    assert "gone 09 and 2 more" in str(caught.value)
    assert "Nothing was changed" in str(caught.value)
    assert [request.method for request in webtool.requests] == ["GET"]


def test_an_unknown_action_sends_nothing(webtool: Any, hook: DenodoSchedulerHook) -> None:
    action: Any = "destroy"

    with pytest.raises(ValueError, match="Unknown action 'destroy'"):
        hook.set_jobs_status(action, [_key("load")])

    assert webtool.requests == []


def test_ids_come_from_the_statuses_that_the_caller_has(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("PUT", "/projects/7/jobs/status", None)
    webtool.on("GET", "/jobs/status", [STATUS])
    seen = hook.statuses()
    webtool.requests.clear()

    hook.set_jobs_status("disable", [_key("load")], statuses=seen)

    assert [request.method for request in webtool.requests] == ["PUT"]


def test_a_login_page_is_no_success(webtool: Any, hook: DenodoSchedulerHook, answer: Any) -> None:
    webtool.on("PUT", "/projects/7/jobs/status", answer(b"<html>", headers={"Content-Type": "text/html"}))
    webtool.on("GET", "/jobs/status", [STATUS])

    with pytest.raises(ConfigurationError, match="HTML page"):
        hook.set_jobs_status("disable", [_key("load")])


def test_delete_removes_exactly_the_named_jobs(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/jobs/status", _many(2, 3))
    webtool.on("DELETE", "/projects/1/jobs/4", None)

    _at_other(hook).delete_jobs([_key("job 1", "project 1")])
    hook.delete_jobs([])

    assert [(request.method, request.query["uri"]) for request in webtool.requests] == [
        ("GET", "//other:8000"),
        ("DELETE", "//other:8000"),
    ]


def test_delete_names_unknown_jobs_before_anything_changes(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/jobs/status", _many(1, 1))

    with pytest.raises(RequestError, match="does not have sales / gone"):
        hook.delete_jobs([_key("job 0", "project 0"), _key("gone")])

    assert [request.method for request in webtool.requests] == ["GET"]


def test_a_delete_is_sent_once(webtool: Any, hook: DenodoSchedulerHook, answer: Any) -> None:
    webtool.on("GET", "/jobs/status", _many(1, 1))
    webtool.on("DELETE", "/projects/0/jobs/0", answer(fault="cut"))

    with pytest.raises(NoAnswerError):
        hook.delete_jobs([_key("job 0", "project 0")])

    assert len(webtool.asked("DELETE", "/projects/0/jobs/0")) == 1


def test_the_address_names_web_tool_and_server_without_credentials(connect: Connect) -> None:
    fields = {"host": "Tool.example.org", "port": 9090}
    address = connect({"scheduler_uri": "//Server:8000"}, **fields).address

    assert address == "http://tool.example.org:9090/webadmin/denodo-scheduler-admin //server:8000"
    assert connect({"scheduler_uri": "//server:8001"}, **fields).address != address


def test_validate_cron(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("POST", "/projects/jobs/validateCronExpressions", ["", "Unexpected end of expression."])

    assert hook.validate_cron(["0 0 3 * * ?", "0 0 3"]) == ["", "Unexpected end of expression."]
    assert webtool.requests[0].json == ["0 0 3 * * ?", "0 0 3"]


def test_validate_cron_of_nothing_asks_nobody(webtool: Any, hook: DenodoSchedulerHook) -> None:
    assert hook.validate_cron([]) == []
    assert webtool.requests == []


@pytest.mark.parametrize("body", [[""], ["", None], {"0": ""}])
def test_validate_cron_wants_one_text_each(webtool: Any, hook: DenodoSchedulerHook, body: Any) -> None:
    webtool.on("POST", "/projects/jobs/validateCronExpressions", body)

    with pytest.raises(UnexpectedAnswerError, match="not a list of 2 texts"):
        hook.validate_cron(["a", "b"])


def test_reports(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/jobs/status", [STATUS])
    element = {"result": "WARNING", "startTime": "2026-11-21T02:00:00Z", "rows": 3}
    webtool.on("GET", "/projects/7/jobs/1001/reports", {"list": [element, {}], "hasMore": False, "total": 2})

    first, second = hook.reports(_key("LOAD"), 10, 2)

    assert (first.result, first.start, first.raw) == ("WARNING", datetime(2026, 11, 21, 2, tzinfo=UTC), element)
    assert second.result is None
    query = webtool.asked("GET", "/projects/7/jobs/1001/reports")[0].query
    assert query == {"start": "10", "count": "2", "uri": "//localhost:8000"}


def test_the_server_is_the_connections_or_the_hooks(webtool: Any, connect: Connect) -> None:
    webtool.on("GET", "/me", ME)
    hook = connect({"scheduler_uri": "//of-connection:8000"}, port=webtool.port)
    hook.me()
    DenodoSchedulerHook("web", scheduler_uri="//of-hook:8000").me()

    asked = [request.query["uri"] for request in webtool.requests]
    assert asked == ["//of-connection:8000", "//of-hook:8000"]


def test_a_malformed_uri_is_refused_before_any_request(webtool: Any, hook: DenodoSchedulerHook) -> None:
    with pytest.raises(ConfigurationError, match="'slave' is not of the form //host:port"):
        DenodoSchedulerHook(hook.denodo_scheduler_conn_id, scheduler_uri="slave").me()

    assert webtool.requests == []


def test_another_base_path(webtool: Any, connect: Connect) -> None:
    webtool.on("GET", "//scheduler/public/api/me", ME)

    assert connect({"base_path": "scheduler/"}, port=webtool.port).me().version == "9.1.0"


def test_a_working_connection_says_what_is_there(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/me", ME)
    webtool.on("GET", "/jobs/status", _many(2, 3))

    assert hook.test_connection() == (
        True,
        "Denodo Scheduler 9.1.0 (CLUSTER), 6 jobs, roles: scheduler_admin, sales.",
    )


def test_a_user_without_the_admin_role_is_warned(webtool: Any, hook: DenodoSchedulerHook) -> None:
    webtool.on("GET", "/me", ME | {"permissions": None})
    webtool.on("GET", "/jobs/status", [])

    works, text = hook.test_connection()

    assert works
    assert "roles: none." in text
    assert "Warning: the user lacks scheduler_admin" in text


@pytest.mark.parametrize(
    ("extra", "fields", "text"),
    [
        ({}, {}, "login refused"),
        ({"timeout": "x"}, {}, "'timeout'"),
        ({}, {"host": ""}, "schema must be http or https"),
        ({}, {"port": 1}, "The web tool cannot be reached"),
    ],
)
def test_a_broken_connection_is_explained(
    webtool: Any, connect: Connect, answer: Any, extra: Any, fields: Any, text: str
) -> None:
    webtool.on("GET", "/me", answer(None, 401))

    works, explanation = connect(extra, **{"port": webtool.port} | fields).test_connection()

    assert not works
    assert text in explanation


def test_an_undefined_connection_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NONE", raising=False)

    works, explanation = DenodoSchedulerHook("none").test_connection()

    assert not works
    assert "none" in explanation


def test_statuses_are_frozen() -> None:
    statuses = Statuses((), datetime.now(UTC))

    with pytest.raises(AttributeError):
        statuses.jobs = ()  # type: ignore[misc]


@pytest.mark.parametrize(("password", "warned"), [("1&3", True), ("123 & 5", False)])
def test_a_login_password_that_airflow_would_not_mask_is_warned_of(
    connect: Any, capsys: pytest.CaptureFixture[str], password: str, warned: bool
) -> None:
    assert connect(password=password).settings
    said = capsys.readouterr().out
    assert ("Airflow does not mask its password" in said) == warned
    assert password not in said
