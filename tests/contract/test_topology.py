"""A pair is four processes: each is killed alone, and everything acknowledged survives."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from denodo_demo.processes import wait_for
from denodo_demo.slowness import allow

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process, Start


BASE_PATH = "/webadmin/denodo-scheduler-admin"


@pytest.fixture(scope="module")
def slave(start: Start) -> Process:
    arguments = ("--clock", "manual", "--now", "2026-03-02T06:00:00Z", "--timezone", "America/Bogota")
    return start("scheduler", *arguments, "--id-offset", "500000", "--version", "9.0.5")


def test_one_web_tool_serves_several_servers_by_uri(
    connect: Any, webtool: Process, api: Api, slave: Process, job: Any
) -> None:
    ids, versions, next_executions = [], [], []
    for client in (api, connect(webtool, slave)):
        project = client.ok("POST", "/projects", json={"name": "p", "description": ""})
        new = client.ok("POST", f"/projects/{project['id']}/jobs", json=job("j"))
        ids.append({project["id"], new["id"]})
        versions.append(client.ok("GET", "/me")["serverData"]["version"]["full"])
        next_executions.append(client.ok("GET", "/jobs/status", params={"jobIDs": new["id"]})[0]["nextExecution"])
    assert versions == ["9.1.0", "9.0.5"]
    assert not ids[0] & ids[1], "ids never agree by luck"
    assert [moment[11:16] for moment in next_executions] == ["02:00", "08:00"], "the same cron in two time zones"


def test_two_web_tools_see_the_same_server(start: Start, connect: Any, api: Api, scheduler: Process) -> None:
    project = api.ok("POST", "/projects", json={"name": "seen twice", "description": ""})
    other = connect(start("webtool"), scheduler)
    assert other.ok("GET", "/projects", params={"name": "seen twice"})["id"] == project["id"]


def test_the_scheduler_goes_on_firing_without_its_web_tool(start: Start, connect: Any, job: Any) -> None:
    webtool, scheduler = start("webtool"), start("scheduler")
    scheduler.control("duration", {"seconds": 0})
    client = connect(webtool, scheduler)
    project = client.ok("POST", "/projects", json={"name": "p", "description": ""})
    client.ok("POST", f"/projects/{project['id']}/jobs", json=job("j", cron="* * * * * ?"))
    webtool.child.kill()
    with pytest.raises(httpx.ConnectError):
        client.get("/me")
    seen = len(scheduler.control("journal"))
    wait_for(lambda: len(scheduler.control("journal")) > seen, 30, "The next run of a job of every second")


def test_the_web_tool_answers_500_without_its_scheduler_and_works_when_it_is_back(
    start: Start, connect: Any, webtool: Process, tmp_path: Path, job: Any
) -> None:
    arguments = ("--data", tmp_path / "data", "--clock", "manual", "--now", "2026-03-02T06:00:00Z")
    scheduler = start("scheduler", *arguments)
    client = connect(webtool, scheduler)
    project = client.ok("POST", "/projects", json={"name": "kept", "description": ""})
    new = client.ok("POST", f"/projects/{project['id']}/jobs", json=job("j", disabled=True))
    before = client.ok("GET", f"/projects/{project['id']}/jobs/{new['id']}")
    scheduler.child.kill()
    assert client.get("/me").status_code == 500
    assert webtool.client.get(f"{BASE_PATH}/Ping").status_code == 200
    start("scheduler", *arguments, port=scheduler.port)
    assert client.get("/me").status_code == 200
    assert client.ok("GET", f"/projects/{project['id']}/jobs/{new['id']}") == before


def test_an_export_breaks_off_for_the_client_when_the_scheduler_dies(
    start: Start, connect: Any, webtool: Process
) -> None:
    scheduler = start("scheduler")
    scheduler.control("guesses", {"export_padding_mb": 100})
    with connect(webtool, scheduler).stream("POST", "/serverMetadata/export") as answer:
        chunks = answer.iter_raw()
        next(chunks)
        scheduler.child.kill()
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            list(chunks)


@pytest.mark.parametrize("role", ["scheduler", "webtool"])
def test_sigterm_is_a_clean_stop_even_while_a_request_hangs(start: Start, role: str) -> None:
    process = start(role)
    process.control("faults", {"faults": [{"kind": "hang"}]})
    with socket.create_connection(("127.0.0.1", process.port)) as waiting:
        waiting.sendall(b"GET /anything HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: process.control("requests"), 30, "The request that hangs", poll=0.02)
        process.child._popen.terminate()
        assert process.child._popen.wait(allow(30)) == 0
