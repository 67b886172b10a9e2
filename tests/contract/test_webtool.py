"""The web tool alone: login, the server that ``uri`` names, and everything unpublished about it."""

from __future__ import annotations

import io
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from denodo_demo.processes import LONGEST_ANSWER
from support.timeouts import IMPATIENT

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process, Start

pytestmark = pytest.mark.usefixtures("healed")

BASE_PATH = "/webadmin/denodo-scheduler-admin"
EXPORT = "/public/api/serverMetadata/export"
IMPORT = "/public/api/serverMetadata/import"


@pytest.fixture(scope="module")
def nobody() -> str:
    """``uri`` of a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"//127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.parametrize("path", ["/Ping", "/v3/api-docs"])
def test_ping_and_api_docs_need_no_login_and_touch_only_the_web_tool(
    scheduler: Process, webtool: Process, path: str
) -> None:
    scheduler.control("requests/reset", {})
    assert webtool.client.get(f"{BASE_PATH}{path}").status_code == 200
    assert scheduler.control("requests") == {}


@pytest.mark.parametrize("path", ["/", f"{BASE_PATH}/", f"{BASE_PATH}/public/api/me", f"{BASE_PATH}{EXPORT}"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_everything_else_is_401_without_basic(webtool: Process, method: str, path: str) -> None:
    answer = webtool.client.request(method, path, headers={"Authorization": "Bearer x"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_an_unknown_path_is_404(api: Api, webtool: Process) -> None:
    assert webtool.client.get("/nothing", auth=("admin", "admin")).status_code == 404
    assert api.get("/nothing").status_code == 404


@pytest.mark.parametrize("uri", [None, "", "localhost:8000", "//localhost", "http://localhost:8000", "//a b:1"])
def test_without_a_proper_uri_400(webtool: Process, uri: str | None) -> None:
    params = {} if uri is None else {"uri": uri}
    answer = httpx.get(
        f"http://{webtool.address}{BASE_PATH}/public/api/me",
        params=params,
        auth=("admin", "admin"),
        timeout=LONGEST_ANSWER,
    )
    assert (answer.status_code, answer.json()["message"]) == (400, "Illegal argument")


@pytest.mark.parametrize("status", [500, 401, 503])
def test_answer_when_the_scheduler_server_is_down(api: Api, webtool: Process, nobody: str, status: int) -> None:
    webtool.control("guesses", {"scheduler_down": str(status)})
    answer = api.get("/me", params={"uri": nobody})
    assert answer.status_code == status
    assert answer.json()["message"] == "Internal error. If the error persists, contact your administrator."


def test_the_default_answer_when_the_scheduler_server_is_down_is_500(api: Api, nobody: str) -> None:
    assert api.get("/me", params={"uri": nobody}).status_code == 500


def test_hang_when_the_scheduler_server_is_down(api: Api, webtool: Process, nobody: str) -> None:
    webtool.control("guesses", {"scheduler_down": "hang"})
    with pytest.raises(httpx.ReadTimeout):
        api.get("/me", params={"uri": nobody}, timeout=IMPATIENT)


def _operation(webtool: Process, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    docs = webtool.client.get(f"{BASE_PATH}/v3/api-docs").json()
    return docs, docs["paths"][path]["post"]


def _described_options(webtool: Process, path: str) -> tuple[set[str], str | None, set[str]]:
    """Names of the query parameters, media type of the body, names of its properties."""
    docs, operation = _operation(webtool, path)
    query = {parameter["name"] for parameter in operation["parameters"]}
    if "requestBody" not in operation:
        return query, None, set()
    ((media_type, content),) = operation["requestBody"]["content"].items()
    schema = content["schema"]
    if "$ref" in schema:
        schema = docs["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return query, media_type, set(schema.get("properties", {}))


EXPORT_OPTIONS = {
    "config",
    "drivers",
    "plugins",
    "permissions",
    "exportDependencies",
    "exportWithProperties",
    "exportAsXML",
    "metadataPassword",
}
REPLACE_OPTIONS = {"replaceJobs", "replaceDataSources", "replacePlugins", "replaceDrivers"}
OCTETS = "application/octet-stream"


@pytest.mark.parametrize(
    ("style", "export", "import_"),
    [
        ("query", ({"uri", *EXPORT_OPTIONS}, None, set()), ({"uri", *REPLACE_OPTIONS}, OCTETS, set())),
        ("json", ({"uri"}, "application/json", EXPORT_OPTIONS), ({"uri", *REPLACE_OPTIONS}, OCTETS, set())),
        (
            "multipart",
            ({"uri"}, "multipart/form-data", EXPORT_OPTIONS),
            ({"uri"}, "multipart/form-data", {"file", *REPLACE_OPTIONS}),
        ),
    ],
)
def test_api_docs_describe_export_and_import_in_each_style(
    webtool: Process, style: str, export: tuple[Any, ...], import_: tuple[Any, ...]
) -> None:
    webtool.control("guesses", {"api_docs_style": style})
    assert _described_options(webtool, EXPORT) == export
    assert _described_options(webtool, IMPORT) == import_


def _with_options(style: str, options: dict[str, Any]) -> dict[str, Any]:
    match style:
        case "query":
            return {"params": {name: str(value).lower() for name, value in options.items()}}
        case "json":
            return {"json": options}
        case _:
            return {"files": {name: (None, str(value).lower()) for name, value in options.items()}}


@pytest.mark.parametrize("style", ["query", "json", "multipart"])
def test_export_and_import_take_their_options_in_the_style_described(
    api: Api, webtool: Process, project: dict[str, Any], new_job: Any, job: Any, style: str
) -> None:
    created = new_job("load", description="as exported")
    webtool.control("guesses", {"api_docs_style": style})
    exported = api.post("/serverMetadata/export", **_with_options(style, {"drivers": True, "config": False}))
    assert exported.status_code == 200
    path = f"/projects/{project['id']}/jobs/{created['id']}"

    def description_after_import(replace: bool) -> str:
        api.ok("PUT", path, json=job("load", id=created["id"], description="changed"))
        if style == "multipart":
            body: dict[str, Any] = {
                "files": {"file": ("export.zip", exported.content, OCTETS)},
                "data": {"replaceJobs": str(replace).lower()},
            }
        else:
            body = {
                "params": {"replaceJobs": str(replace).lower()},
                "content": exported.content,
                "headers": {"content-type": OCTETS},
            }
        api.ok("POST", "/serverMetadata/import", **body)
        return str(api.ok("GET", path)["description"])

    assert description_after_import(replace=False) == "changed"
    assert description_after_import(replace=True) == "as exported"


@pytest.mark.parametrize(
    ("style", "request_"),
    [
        ("query", {"json": {"file": "x"}}),
        ("json", {"files": {"file": b"x"}}),
        ("multipart", {"content": b"x", "headers": {"content-type": OCTETS}}),
        ("multipart", {"files": {"upload": b"x"}}),
    ],
)
def test_an_import_in_another_style_is_refused(
    api: Api, webtool: Process, style: str, request_: dict[str, Any]
) -> None:
    webtool.control("guesses", {"api_docs_style": style})
    answer = api.post("/serverMetadata/import", **request_)
    assert (answer.status_code, answer.json()["message"]) == (400, "Illegal argument")


@pytest.mark.parametrize("style", ["query", "multipart"])
def test_an_upload_beyond_the_limit_is_413_and_not_imported(api: Api, webtool: Process, style: str) -> None:
    webtool.control("guesses", {"upload_limit_mb": 1, "api_docs_style": style})
    content = bytes(3_000_000)
    if style == "multipart":
        answer = api.post("/serverMetadata/import", files={"file": io.BytesIO(content)})
    else:
        answer = api.import_(content)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"scheduler_down": "502"}, "scheduler_down: Input should be '500', '401', '503' or 'hang'"),
        ({"sheduler_down": "500"}, "sheduler_down: Extra inputs are not permitted"),
        ([], "the body must be an object of switches"),
    ],
)
def test_an_unknown_switch_is_refused(webtool: Process, body: Any, message: str) -> None:
    before = webtool.control("state")["guesses"]
    answer = webtool.client.post("/control/guesses", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert webtool.control("state")["guesses"] == before


def test_another_base_path(start: Start, scheduler: Process) -> None:
    webtool = start("webtool", "--base-path", "/scheduler/")
    assert webtool.client.get("/scheduler/Ping").status_code == 200
    answer = httpx.get(
        f"http://{webtool.address}/scheduler/public/api/me", params={"uri": scheduler.uri}, auth=("admin", "admin")
    )
    assert answer.status_code == 200
