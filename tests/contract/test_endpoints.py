"""The contract's table of endpoints, row by row, against a server whose clock stands still."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process


NewJob = Callable[..., dict[str, Any]]
Project = dict[str, Any]
STATUS_NAMES = {"jobID", "jobName", "projectID", "projectName", "state", "result"}


def path_of(job: dict[str, Any]) -> str:
    return f"/projects/{job['projectId']}/jobs/{job['id']}"


def act(api: Api, job: dict[str, Any], action: str) -> httpx.Response:
    return api.put(f"{path_of(job)}/status", json={"action": action})


def state(api: Api, job: dict[str, Any]) -> str:
    return str(api.ok("GET", f"{path_of(job)}/status")["state"])


@pytest.fixture
def running(new_job: NewJob, api: Api, scheduler: Process) -> dict[str, Any]:
    """A job that runs for a minute of the standing clock."""
    job = new_job("running")
    scheduler.control("duration", {"seconds": 60})
    assert act(api, job, "start").status_code == 204
    return job


def test_me_holds_role_version_and_mode(api: Api) -> None:
    me = api.ok("GET", "/me")
    assert "scheduler_admin" in [permission["roleData"]["roleName"] for permission in me["permissions"]]
    assert me["serverData"]["version"]["full"] == "9.1.0"
    assert "schedulerMode" in me


def test_get_projects_is_a_list(api: Api, project: Project) -> None:
    assert project["name"] in [each["name"] for each in api.ok("GET", "/projects")]


def test_get_projects_expanded(api: Api, project: Project, new_job: NewJob) -> None:
    new_job("load")
    expanded = api.ok("GET", "/projects", params={"expand": "job,dataSource"})
    (mine,) = [each for each in expanded if each["id"] == project["id"]]
    assert [job["name"] for job in mine["jobs"]] == ["load"]
    assert mine["dataSources"] == []


def test_get_projects_by_name_is_one_object_or_404(api: Api, project: Project) -> None:
    assert api.ok("GET", "/projects", params={"name": project["name"]})["id"] == project["id"]
    assert api.get("/projects", params={"name": "nowhere"}).status_code == 404


def test_a_project_is_found_without_regard_to_case(api: Api, project: Project) -> None:
    assert api.ok("GET", "/projects", params={"name": project["name"].upper()})["id"] == project["id"]


def test_post_projects_is_201_with_id(api: Api) -> None:
    answer = api.post("/projects", json={"name": "Ñandú & Söhne/2", "description": "d"})
    assert answer.status_code == 201
    assert api.ok("GET", "/projects", params={"name": "ñandú & söhne/2"})["id"] == answer.json()["id"]


def test_delete_project_takes_its_jobs_and_reports_along(
    api: Api, project: Project, running: dict[str, Any], scheduler: Process
) -> None:
    scheduler.advance(61)
    assert api.delete(f"/projects/{project['id']}").status_code == 204
    assert running["id"] not in [job["id"] for job in api.ok("GET", "/jobs")]
    assert api.get(path_of(running)).status_code == 404
    assert api.get(f"{path_of(running)}/reports", params={"start": 0, "count": 1}).status_code == 404


def test_get_jobs_is_everything_and_ignores_project_id(api: Api, project: Project, new_job: NewJob, job: Any) -> None:
    here = new_job("here")
    other = api.ok("POST", "/projects", json={"name": f"beside {project['name']}", "description": ""})
    there = api.ok("POST", f"/projects/{other['id']}/jobs", json=job("there"))
    jobs = {each["id"]: each for each in api.ok("GET", "/jobs", params={"projectId": other["id"]})}
    assert {here["id"], there["id"]} <= set(jobs)
    assert jobs[here["id"]]["triggerSection"] == here["triggerSection"]
    assert (jobs[here["id"]]["projectId"], jobs[here["id"]]["projectName"]) == (project["id"], project["name"])


def test_get_jobs_of_a_project_and_of_a_type(api: Api, project: Project, new_job: NewJob) -> None:
    new_job("a")
    new_job("b", type="VDPIndexer")
    path = f"/projects/{project['id']}/jobs"
    assert {job["name"] for job in api.ok("GET", path)} == {"a", "b"}
    assert {job["name"] for job in api.ok("GET", path, params={"type": "VDP"})} == {"a"}


@pytest.mark.parametrize("disabled", [True, False])
def test_post_job_is_201_with_id_and_honours_disabled(api: Api, project: Project, job: Any, disabled: bool) -> None:
    answer = api.post(f"/projects/{project['id']}/jobs", json=job("new", disabled=disabled))
    assert answer.status_code == 201
    new = api.ok("GET", f"/projects/{project['id']}/jobs/{answer.json()['id']}")
    assert new["disabled"] is disabled
    assert state(api, new) == ("DISABLED" if disabled else "NOT_RUNNING")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": "TAKEN"}, 422),
        ({"triggerSection": {"triggers": [{"type": "cron", "cronExpression": "0 0 25 * * ?"}]}}, 500),
        ({"exportationSection": {"exporters": [{"type": "CSV"}]}}, 400),
    ],
)
def test_post_job_refuses(
    api: Api, project: Project, new_job: NewJob, job: Any, fields: dict[str, Any], status: int
) -> None:
    new_job("taken")
    assert api.post(f"/projects/{project['id']}/jobs", json=job("new") | fields).status_code == status
    assert [each["name"] for each in api.ok("GET", f"/projects/{project['id']}/jobs")] == ["taken"]


def test_get_job_holds_its_project(api: Api, project: Project, new_job: NewJob) -> None:
    job = api.ok("GET", path_of(new_job()))
    assert (job["projectId"], job["projectName"]) == (project["id"], project["name"])
    assert api.get(f"/projects/{project['id']}/jobs/1").status_code == 404


def test_put_job_replaces_the_whole_definition(api: Api, new_job: NewJob) -> None:
    job = new_job("load", description="before", retrySection={"retryNumber": 3})
    assert api.put(path_of(job), json={**job, "description": "after"}).status_code == 200
    after = api.ok("GET", path_of(job))
    assert after["description"] == "after"
    assert after["id"] == job["id"]
    assert after["retrySection"] == job["retrySection"]


def test_put_job_empties_a_section_that_is_left_out(api: Api, new_job: NewJob) -> None:
    job = new_job("load", retrySection={"retryNumber": 3})
    assert "nextExecution" in api.ok("GET", f"{path_of(job)}/status")
    left = {name: value for name, value in job.items() if name not in ("triggerSection", "retrySection")}
    assert api.put(path_of(job), json=left).status_code == 200
    after = api.ok("GET", path_of(job))
    assert after["triggerSection"]["triggers"] == []
    assert after["retrySection"] != job["retrySection"]
    assert "nextExecution" not in api.ok("GET", f"{path_of(job)}/status")


def test_delete_job_disables_its_dependents(api: Api, new_job: NewJob) -> None:
    job = new_job("first")
    trigger = {"type": "cron", "cronExpression": "0 0 3 * * ?", "dependencyInfo": {"jobIDs": [job["id"]]}}
    dependent = new_job("second", triggerSection={"triggers": [trigger]})
    assert state(api, dependent) == "NOT_RUNNING"
    assert api.delete(path_of(job)).status_code == 204
    assert api.get(path_of(job)).status_code == 404
    assert state(api, dependent) == "DISABLED"


@pytest.mark.parametrize("action", ["start", "start_with_state", "start_with_dependencies"])
def test_put_status_starts(api: Api, new_job: NewJob, scheduler: Process, action: str) -> None:
    scheduler.control("duration", {"seconds": 60})
    job = new_job()
    assert act(api, job, action).status_code == 204
    assert state(api, job) == "RUNNING"


def test_start_with_dependencies_runs_them_first(api: Api, new_job: NewJob, scheduler: Process) -> None:
    scheduler.control("duration", {"seconds": 60})
    first = new_job("first", cron=None)
    info = {"jobIDs": [first["id"]], "executeAnyway": False}
    trigger = {"type": "cron", "cronExpression": "0 0 3 * * ?", "dependencyInfo": info}
    second = new_job("second", triggerSection={"triggers": [trigger]})
    assert act(api, second, "start_with_dependencies").status_code == 204
    assert (state(api, first), state(api, second)) == ("RUNNING", "WAITING")
    scheduler.advance(61)
    assert (state(api, first), state(api, second)) == ("NOT_RUNNING", "RUNNING")


def test_put_status_stops(api: Api, running: dict[str, Any]) -> None:
    assert act(api, running, "stop").status_code == 204
    status = api.ok("GET", f"{path_of(running)}/status")
    assert (status["state"], status["result"]) == ("NOT_RUNNING", "STOPPED")


def test_put_status_stop_of_an_idle_job_is_a_204_no_op(api: Api, new_job: NewJob) -> None:
    job = new_job()
    assert act(api, job, "stop").status_code == 204
    assert api.ok("GET", f"{path_of(job)}/status")["result"] == "NEVER_EXECUTED"


def test_put_status_disables_and_enables(api: Api, new_job: NewJob) -> None:
    job = new_job()
    assert act(api, job, "disable").status_code == 204
    assert api.ok("GET", path_of(job))["disabled"] is True
    assert state(api, job) == "DISABLED"
    assert act(api, job, "enable").status_code == 204
    assert state(api, job) == "NOT_RUNNING"


def test_put_status_disable_stops_a_running_job_first(api: Api, running: dict[str, Any], scheduler: Process) -> None:
    assert act(api, running, "disable").status_code == 204
    status = api.ok("GET", f"{path_of(running)}/status")
    assert (status["state"], status["result"]) == ("DISABLED", "STOPPED")
    assert scheduler.control("journal")[-1]["result"] == "STOPPED"


def test_put_status_of_many_takes_one_comma_string(api: Api, project: Project, new_job: NewJob) -> None:
    jobs = [new_job(name) for name in "abc"]
    ids = ",".join(str(job["id"]) for job in jobs[:2])
    answer = api.put(f"/projects/{project['id']}/jobs/status", json={"action": "disable", "IDs": ids})
    assert answer.is_success
    assert [state(api, job) for job in jobs] == ["DISABLED", "DISABLED", "NOT_RUNNING"]


def test_get_status(api: Api, project: Project, new_job: NewJob) -> None:
    job = new_job()
    status = api.ok("GET", f"{path_of(job)}/status")
    assert status == {
        "jobID": job["id"],
        "jobName": "load",
        "projectID": project["id"],
        "projectName": project["name"],
        "state": "NOT_RUNNING",
        "result": "NEVER_EXECUTED",
        "nextExecution": status["nextExecution"],
    }
    assert status["nextExecution"].endswith("02:00:00Z"), "3 o'clock in Madrid's winter"


def test_status_of_a_running_job_has_no_result(api: Api, running: dict[str, Any]) -> None:
    status = api.ok("GET", f"{path_of(running)}/status")
    assert status["state"] == "RUNNING"
    assert "result" not in status


@pytest.mark.parametrize(
    ("cron", "disabled"), [("0 0 3 * * ?", True), (None, False), ("0 0 3 1 1 ? 2020", False)], ids=["d", "none", "past"]
)
def test_status_has_no_next_execution(api: Api, new_job: NewJob, cron: str | None, disabled: bool) -> None:
    job = new_job("load", cron=cron, disabled=disabled)
    assert "nextExecution" not in api.ok("GET", f"{path_of(job)}/status")


def test_get_jobs_status_is_the_bulk_read(api: Api, new_job: NewJob) -> None:
    jobs = [new_job(name) for name in "abc"]
    everything = api.ok("GET", "/jobs/status")
    assert {job["id"] for job in jobs} <= {status["jobID"] for status in everything}
    assert all(set(status) >= STATUS_NAMES - {"result"} for status in everything)
    two = api.ok("GET", "/jobs/status", params={"jobIDs": f"{jobs[0]['id']},{jobs[2]['id']}"})
    assert [status["jobName"] for status in two] == ["a", "c"]


def test_get_status_by_names(api: Api, project: Project, new_job: NewJob) -> None:
    job = new_job("Load it")
    params = {"projectName": project["name"].upper(), "jobName": "LOAD IT"}
    assert api.ok("GET", "/projects/jobs/status", params=params)["jobID"] == job["id"]
    assert api.get("/projects/jobs/status", params={**params, "jobName": "other"}).status_code == 404


def test_get_reports_newest_first_and_only_of_ended_runs(api: Api, new_job: NewJob, scheduler: Process) -> None:
    scheduler.control("duration", {"seconds": 60})
    job = new_job(cron=None)
    for _ in range(3):
        act(api, job, "start")
        scheduler.advance(61)
    act(api, job, "start")
    reports = api.ok("GET", f"{path_of(job)}/reports", params={"start": 0, "count": 2})
    assert (len(reports["list"]), reports["hasMore"], reports["total"]) == (2, True, 3)
    rest = api.ok("GET", f"{path_of(job)}/reports", params={"start": 2, "count": 2})
    assert (len(rest["list"]), rest["hasMore"], rest["total"]) == (1, False, 3)
    starts = [report["startTime"] for report in reports["list"] + rest["list"]]
    assert starts == sorted(starts, reverse=True)
    assert all(start.endswith("Z") for start in starts)
    assert {report["result"] for report in reports["list"]} == {"COMPLETE"}


@pytest.mark.parametrize("params", [{}, {"start": 0}, {"count": 10}])
def test_get_reports_needs_start_and_count(api: Api, new_job: NewJob, params: dict[str, int]) -> None:
    assert api.get(f"{path_of(new_job())}/reports", params=params).status_code == 400


def test_validate_cron_expressions(api: Api) -> None:
    expressions = ["0 0 3 * * ?", "0 0 25 * * ?", "0 0 3 * * *", "0/15 * * * * ? 2030"]
    messages = api.ok("POST", "/projects/jobs/validateCronExpressions", json=expressions)
    assert [bool(message) for message in messages] == [False, True, True, False]


def test_export_and_import_exist(api: Api, project: Project) -> None:
    exported = api.post("/serverMetadata/export")
    assert exported.status_code == 200
    assert exported.content.startswith(b"PK")
    assert api.import_(exported.content).is_success


def test_names_are_compared_character_by_character(api: Api, project: Project, new_job: NewJob, job: Any) -> None:
    """As Java's equalsIgnoreCase does; full case folding would take the first two for one job."""
    assert new_job("Maße")["id"] != new_job("Masse")["id"]
    assert api.post(f"/projects/{project['id']}/jobs", json=job("MASSE")).status_code == 422


def test_times_carry_z_and_ids_are_integers(api: Api, running: dict[str, Any], scheduler: Process) -> None:
    scheduler.advance(61)
    status = api.ok("GET", f"{path_of(running)}/status")
    assert status["previousExecution"].endswith("Z")
    assert status["nextExecution"].endswith("Z")
    assert isinstance(running["id"], int)


def test_the_date_header_is_the_servers_clock(api: Api, scheduler: Process) -> None:
    now = datetime.fromisoformat(scheduler.control("state")["now"])
    assert parsedate_to_datetime(api.get("/jobs/status").headers["date"]) == now.replace(microsecond=0)


def test_a_server_paused_through_rmi_shows_every_job_disabled(api: Api, new_job: NewJob, scheduler: Process) -> None:
    job = new_job()
    scheduler.control("pause", {"paused": True})
    try:
        assert set(api.states().values()) == {"DISABLED"}
    finally:
        scheduler.control("pause", {"paused": False})
    assert state(api, job) == "NOT_RUNNING"
