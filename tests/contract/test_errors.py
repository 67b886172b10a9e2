"""The contract's table of errors, row by row, and its table "is it alive?"."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.timeouts import IMPATIENT

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process, Start

pytestmark = pytest.mark.usefixtures("healed")

BASE_PATH = "/webadmin/denodo-scheduler-admin"
INTERNAL = "Internal error. If the error persists, contact your administrator."
NewJob = Callable[..., dict[str, Any]]


def check(answer: httpx.Response, status: str, message: str) -> dict[str, Any]:
    """The answer has the contract's error body with this status and message."""
    body = answer.json()
    assert set(body) == {"status", "timestamp", "message", "subErrors"}
    assert (answer.status_code, body["status"]) == (int(status[:3]), status)
    assert body["message"] == message
    assert re.fullmatch(r"\d\d-\d\d-\d{4} (0[1-9]|1[0-2]):\d\d:\d\d", body["timestamp"]), "a 12-hour clock"
    return body


def path_of(job: dict[str, Any]) -> str:
    return f"/projects/{job['projectId']}/jobs/{job['id']}"


def test_400_put_of_a_job_without_id(api: Api, new_job: NewJob, job: Any) -> None:
    check(api.put(path_of(new_job()), json=job("load")), "400 BAD_REQUEST", "Illegal argument")


def test_400_csv_exporter_without_filter(api: Api, project: dict[str, Any], job: Any) -> None:
    posted = job("load", exportationSection={"exporters": [{"type": "CSV"}]})
    body = check(api.post(f"/projects/{project['id']}/jobs", json=posted), "400 BAD_REQUEST", "Validation error")
    assert body["subErrors"]


@pytest.mark.parametrize("auth", [("admin", "wrong"), ("nobody", "admin"), ("admin", "")])
def test_401_wrong_credentials(api: Api, auth: tuple[str, str]) -> None:
    assert api.get("/me", auth=auth).status_code == 401


def test_401_of_normal_accounts_while_vdp_is_down(api: Api, scheduler: Process) -> None:
    assert api.get("/me", auth=("operator", "operator")).status_code == 200
    scheduler.control("vdp", {"up": False})
    try:
        assert api.get("/me", auth=("operator", "operator")).status_code == 401
        assert api.get("/me").status_code == 200, "the local account"
    finally:
        scheduler.control("vdp", {"up": True})


@pytest.mark.parametrize("operation", ["export", "import"])
def test_403_without_the_role_scheduler_admin(api: Api, operation: str) -> None:
    headers = {"content-type": "application/octet-stream"}
    answer = api.post(f"/serverMetadata/{operation}", auth=("viewer", "viewer"), headers=headers, content=b"x")
    assert answer.status_code == 403


def test_404_unknown_project(api: Api) -> None:
    message = "There is no instance of the resource with identifier 'sales'"
    check(api.get("/projects", params={"name": "sales"}), "404 NOT_FOUND", message)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/status"), ("PUT", "/status"), ("DELETE", "")])
def test_404_unknown_job(api: Api, project: dict[str, Any], method: str, path: str) -> None:
    message = "There is no instance of the resource with identifier '5'"
    answer = api.request(method, f"/projects/{project['id']}/jobs/5{path}", json={"action": "start"})
    check(answer, "404 NOT_FOUND", message)


def test_422_duplicate_name(api: Api, project: dict[str, Any], new_job: NewJob, job: Any) -> None:
    new_job("load")
    message = "There is already an instance of the resource 'load already exists in the project.'"
    answer = api.post(f"/projects/{project['id']}/jobs", json=job("load"))
    check(answer, "422 UNPROCESSABLE_ENTITY", message)


def test_500_bad_cron(api: Api, project: dict[str, Any], job: Any) -> None:
    answer = api.post(f"/projects/{project['id']}/jobs", json=job("load", cron="every night"))
    check(answer, "500 INTERNAL_SERVER_ERROR", INTERNAL)


def test_500_start_on_a_disabled_job(api: Api, new_job: NewJob) -> None:
    answer = api.put(f"{path_of(new_job(disabled=True))}/status", json={"action": "start"})
    check(answer, "500 INTERNAL_SERVER_ERROR", INTERNAL)


@pytest.mark.parametrize("section", ["handlerSection", "exportationSection"])
def test_500_put_of_a_vdp_job_without_a_section_it_needs(api: Api, new_job: NewJob, section: str) -> None:
    job = new_job("load", description="before")
    changed = {name: value for name, value in job.items() if name != section} | {"description": "after"}
    check(api.put(path_of(job), json=changed), "500 INTERNAL_SERVER_ERROR", INTERNAL)
    assert api.ok("GET", path_of(job))["description"] == "before"


def test_200_put_of_another_type_without_exportation_section(api: Api, new_job: NewJob) -> None:
    job = new_job("load", type="VDPIndexer")
    left = {name: value for name, value in job.items() if name != "exportationSection"}
    assert api.put(path_of(job), json=left).status_code == 200


def test_alive_200_json_with_server_data(api: Api) -> None:
    assert api.ok("GET", "/me")["serverData"]


def test_alive_connection_refused(scheduler: Process) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}{BASE_PATH}/public/api/me", params={"uri": scheduler.uri})


def test_alive_unknown_host(scheduler: Process) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://no-such-host.invalid/", params={"uri": scheduler.uri}, trust_env=False)


def test_alive_timeout(api: Api, webtool: Process) -> None:
    webtool.control("faults", {"faults": [{"kind": "hang"}]})
    with pytest.raises(httpx.ReadTimeout):
        api.get("/me", timeout=IMPATIENT)


@pytest.mark.parametrize(
    ("fault", "status", "media_type"),
    [
        ({"kind": "status", "status": 401}, 401, "application/json"),
        ({"kind": "status", "status": 403}, 403, "application/json"),
        ({"kind": "status", "status": 404}, 404, "application/json"),
        ({"kind": "html"}, 200, "text/html"),
    ],
)
def test_alive_configuration_problems(
    api: Api, webtool: Process, fault: dict[str, Any], status: int, media_type: str
) -> None:
    webtool.control("faults", {"faults": [fault]})
    answer = api.get("/me")
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(media_type)


def test_alive_tls_failure(start: Start, certificate: tuple[Any, Any]) -> None:
    cert, key = certificate
    webtool = start("webtool", "--tls-cert", cert, "--tls-key", key)
    url = f"https://localhost:{webtool.port}{BASE_PATH}/Ping"
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(url, trust_env=False)
    trusting = ssl.create_default_context(cafile=str(cert))
    assert httpx.get(url, verify=trusting, trust_env=False).status_code == 200


def test_alive_5xx_of_a_web_tool_whose_scheduler_server_is_down(api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    answer = api.get("/me", params={"uri": f"//127.0.0.1:{port}"})
    check(answer, "500 INTERNAL_SERVER_ERROR", INTERNAL)
