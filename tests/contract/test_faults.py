"""Every kind of fault, in front of the web tool, over a real socket: what the client sees and what took effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.timeouts import IMPATIENT

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process

pytestmark = pytest.mark.usefixtures("healed")


def _new_project(api: Api, name: str, **request: Any) -> httpx.Response:
    return api.post("/projects", json={"name": name, "description": ""}, **request)


def _exists(api: Api, webtool: Process, name: str) -> bool:
    webtool.control("faults", {"faults": []})
    return api.get("/projects", params={"name": name}).status_code == 200


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502, 503])
def test_status_answers_the_error_body_without_effect(api: Api, webtool: Process, status: int) -> None:
    webtool.control("faults", {"faults": [{"kind": "status", "status": status}]})
    answer = _new_project(api, f"status {status}")
    assert answer.status_code == status
    assert answer.json()["status"].startswith(f"{status} ")
    assert set(answer.json()) == {"status", "timestamp", "message", "subErrors"}
    assert not _exists(api, webtool, f"status {status}")


def test_latency_delays_and_keeps_the_answer(api: Api, webtool: Process) -> None:
    latencies = [{"kind": "latency", "seconds": 60, "times": 1}, {"kind": "latency", "seconds": 0.2, "skip": 1}]
    webtool.control("faults", {"faults": latencies})
    with pytest.raises(httpx.ReadTimeout):
        _new_project(api, "late", timeout=IMPATIENT)
    assert _new_project(api, "late and patient").status_code == 201


def test_hang_never_answers(api: Api, webtool: Process) -> None:
    webtool.control("faults", {"faults": [{"kind": "hang"}]})
    with pytest.raises(httpx.ReadTimeout):
        _new_project(api, "hang", timeout=IMPATIENT)
    assert not _exists(api, webtool, "hang")


@pytest.mark.parametrize(("kind", "effect"), [("cut_before", False), ("cut_after", True)])
def test_cut_closes_the_connection_before_or_after_the_effect(
    api: Api, webtool: Process, kind: str, effect: bool
) -> None:
    webtool.control("faults", {"faults": [{"kind": kind}]})
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        _new_project(api, kind)
    assert _exists(api, webtool, kind) is effect


def test_cut_before_an_upload_is_read(api: Api, webtool: Process) -> None:
    webtool.control("faults", {"faults": [{"kind": "cut_before"}]})
    with pytest.raises(httpx.TransportError):
        api.import_(bytes(20_000_000))


def test_truncate_announces_the_whole_and_sends_half(api: Api, webtool: Process) -> None:
    whole = len(api.get("/me").content)
    webtool.control("faults", {"faults": [{"kind": "truncate"}]})
    with pytest.raises(httpx.RemoteProtocolError, match=f"received {whole // 2} bytes, expected {whole}"):
        api.get("/me")


@pytest.mark.parametrize(
    ("kind", "media_type", "beginning"),
    [("html", "text/html", b"<!DOCTYPE html>"), ("garbage", "application/json", b'{"\xff'), ("empty", "", b"")],
)
def test_wrong_200(api: Api, webtool: Process, kind: str, media_type: str, beginning: bytes) -> None:
    webtool.control("faults", {"faults": [{"kind": kind}]})
    answer = _new_project(api, kind)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.content.startswith(beginning)
    assert bool(answer.content) == bool(beginning)
    assert not _exists(api, webtool, kind)


def test_skip_and_times_choose_the_requests(api: Api, webtool: Process) -> None:
    webtool.control("faults", {"faults": [{"kind": "status", "status": 503, "skip": 1, "times": 2}]})
    assert [api.get("/me").status_code for _ in range(5)] == [200, 503, 503, 200, 200]


def test_match_chooses_by_method_path_and_query(api: Api, webtool: Process) -> None:
    fault = {"kind": "status", "match": {"method": "get", "path": "/projects$", "query": "name=x"}}
    webtool.control("faults", {"faults": [fault]})
    assert api.get("/projects", params={"name": "x"}).status_code == 503
    assert api.get("/projects").status_code == 200
    assert api.get("/jobs", params={"name": "x"}).status_code == 200
    assert api.post("/projects", params={"name": "x"}, json={"name": "matched"}).status_code == 201


def test_latency_combines_with_another_fault(api: Api, webtool: Process) -> None:
    late = {"kind": "latency", "seconds": 60, "times": 1}
    webtool.control("faults", {"faults": [late, {"kind": "status", "status": 502}]})
    with pytest.raises(httpx.ReadTimeout):
        api.get("/me", timeout=IMPATIENT)
    assert api.get("/me").status_code == 502


@pytest.mark.parametrize(("kind", "status"), [("cut_before", 500), ("status", 503), ("html", 200)])
def test_faults_of_the_scheduler_process_reach_the_client_through_the_web_tool(
    api: Api, scheduler: Process, kind: str, status: int
) -> None:
    scheduler.control("faults", {"faults": [{"kind": kind}]})
    assert api.get("/me").status_code == status


def test_a_body_that_breaks_off_behind_the_web_tool_breaks_off_for_the_client(api: Api, scheduler: Process) -> None:
    scheduler.control("faults", {"faults": [{"kind": "truncate"}]})
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        api.get("/me")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"faults": [{"kind": "hang"}, {"kind": "sulk"}]}, "faults[1].kind: Input should be 'status'"),
        ({"faults": [{"kind": "hang", "match": {"path": "("}}]}, "faults[0].match.path: Input should be a valid reg"),
        ({"faults": [{"kind": "hang", "time": 3}]}, "faults[0].time: Extra inputs are not permitted"),
        ({"faults": [{"kind": "status", "status": 99}]}, "faults[0].status: Input should be greater than or equal"),
        ([], 'the body must be {"faults": [...]}; an empty list heals'),
    ],
)
def test_invalid_faults_are_refused_and_the_old_ones_stay(webtool: Process, body: Any, message: str) -> None:
    webtool.control("faults", {"faults": [{"kind": "empty"}]})
    answer = webtool.client.post("/control/faults", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)
    assert [fault["kind"] for fault in webtool.control("state")["faults"]] == ["empty"]


def test_requests_are_counted_per_template_until_reset(api: Api, scheduler: Process, webtool: Process) -> None:
    for process in (scheduler, webtool):
        process.control("requests/reset", {})
    for number in (1, 22, 333):
        api.get(f"/projects/{number}/jobs/7/status")
    api.get("/me")
    public = "/webadmin/denodo-scheduler-admin/public/api"
    expected = {"GET /projects/{id}/jobs/{id}/status": 3, "GET /me": 1}
    assert webtool.control("requests") == {key.replace(" ", f" {public}"): n for key, n in expected.items()}
    assert scheduler.control("requests") == {key.replace(" ", " /rmi"): n for key, n in expected.items()}
    assert webtool.control("state")["requests"] == 4
    webtool.control("requests/reset", {})
    assert webtool.control("requests") == {}
