"""Whatever a web tool answers: each method of the hook ends with a result or a typed error, in time and in memory."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import tenacity
from airflow.sdk import ObjectStoragePath

from denodo_demo.slowness import allow
from denodo_ha.jobs import JobKey
from denodo_scheduler.client import transport
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    NoAnswerError,
    RequestError,
    UnexpectedAnswerError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.hostile_server import (
    DOCUMENT,
    EXPORT,
    IMPORT,
    MB,
    HostileServer,
    bombs,
    broken,
    endless,
    garbage,
    head,
    peak_memory,
    whole,
)

KEYS = [JobKey(project="sales", name="load")]
Ask = Callable[[DenodoSchedulerHook, Path], Any]
Connect = Callable[..., DenodoSchedulerHook]


def _path(file: Path) -> ObjectStoragePath:
    return ObjectStoragePath(f"file://{file}")


def _import(hook: DenodoSchedulerHook, folder: Path, size: int = 1000) -> Any:
    (folder / "in.zip").write_bytes(b"PK\x03\x04" + bytes(size))
    return hook.import_metadata(_path(folder / "in.zip"))


ASK: dict[str, tuple[Ask, str]] = {
    "me": (lambda hook, _: hook.me(), "/me"),
    "ping": (lambda hook, _: hook.ping(), "/me"),
    "projects": (lambda hook, _: hook.projects(), "/projects"),
    "jobs": (lambda hook, _: hook.jobs(), "/jobs"),
    "data_sources": (lambda hook, _: hook.data_sources(), "/dataSources"),
    "statuses": (lambda hook, _: hook.statuses(), "/jobs/status"),
    "status": (lambda hook, _: hook.status(KEYS[0]), "/projects/jobs/status"),
    "jobs_of": (lambda hook, _: hook.jobs_of(7), "/projects/7/jobs"),
    "field_names": (lambda hook, _: hook.field_names("/jobs"), "/jobs"),
    "binding": (lambda hook, _: hook.binding("export"), "/v3/api-docs"),
    "delete_project": (lambda hook, _: hook.delete_project(7), "/projects/7"),
    "set_jobs_status": (lambda hook, _: hook.set_jobs_status("disable", KEYS), "/projects/7/jobs/status"),
    "create_project": (lambda hook, _: hook.create_project("new"), "/projects"),
    "create_job": (lambda hook, _: hook.create_job(7, {"name": "new"}), "/projects/7/jobs"),
    "replace_job": (lambda hook, _: hook.replace_job(7, 1, {"name": "load"}), "/projects/7/jobs/1"),
    "delete_jobs": (lambda hook, _: hook.delete_jobs(KEYS), "/projects/7/jobs/1"),
    "find": (lambda hook, _: hook.find(KEYS), "/jobs/status"),
    "export_metadata": (lambda hook, folder: hook.export_metadata(_path(folder / "out.zip")), EXPORT),
    "import_metadata": (_import, IMPORT),
    "check_import": (lambda hook, _: hook.check_import(), "/v3/api-docs"),
    "validate_cron": (lambda hook, _: hook.validate_cron(["0 0 0 * * ?"]), "/projects/jobs/validateCronExpressions"),
    "reports": (lambda hook, _: hook.reports(KEYS[0]), "/projects/7/jobs/1/reports"),
    "test_connection": (lambda hook, _: _tested(hook), "/me"),
}
"""How each method is called that asks a server, and the path of the request that is answered badly."""
NOT_ASKING = {"get_connection_form_widgets", "get_ui_field_behaviour"}
SAYS_NOTHING = {"set_jobs_status", "replace_job", "delete_jobs", "import_metadata"}
"""Methods that do not need what a whole answer says."""
LIMIT = 2 * MB
BOMBS = bombs()
REFUSED = {**BOMBS, **broken()}
ALL = {**REFUSED, **garbage()}


def _tested(hook: DenodoSchedulerHook) -> None:
    works, text = hook.test_connection()
    assert isinstance(text, str)
    if not works:
        raise RequestError(text)


def test_no_method_is_left_out() -> None:
    own = {name for name, each in vars(DenodoSchedulerHook).items() if callable(each) and not name.startswith("_")}
    assert own - NOT_ASKING == ASK.keys()


def _ends(hook: DenodoSchedulerHook, ask: Ask, folder: Path, seconds: float) -> DenodoSchedulerError | None:
    """What a call ends with, if not with a result; nothing but a typed error, in time."""
    began, found = monotonic(), None
    try:
        ask(hook, folder)
    except DenodoSchedulerError as error:
        found = error
    assert monotonic() - began <= seconds + allow(1)
    assert "\n" not in str(found)
    assert len(str(found)) < 5000
    return found


@pytest.mark.parametrize("method", ASK)
def test_a_bad_answer_is_a_typed_error(method: str, server: HostileServer, connect: Connect, tmp_path: Path) -> None:
    ask, server.hostile = ASK[method]
    hook = connect(deadline=allow(20), transfer_deadline=allow(20), answer_limit=LIMIT, transfer_limit=LIMIT)
    unclear = {}
    for name, server.answer in ALL.items():
        found = _ends(hook, ask, tmp_path, allow(5))
        if found is None and name in REFUSED:
            unclear[name] = found
        assert not (tmp_path / "out.zip").exists(), name
    assert unclear == {}


@pytest.mark.parametrize("method", ASK)
@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\nX-",
        head(),
        head() + b"PK\x03\x04",
        head("Transfer-Encoding: chunked") + b"1;",
    ],
    ids=["status", "header", "body", "zip", "chunk"],
)
def test_a_dripping_answer_ends_at_the_deadline(
    method: str, begin: bytes, server: HostileServer, connect: Connect, tmp_path: Path
) -> None:
    ask, server.hostile = ASK[method]
    server.answer = server.drip(begin)
    deadline = 0.1
    hook = connect(deadline=deadline, transfer_deadline=deadline)
    found = _ends(hook, ask, tmp_path, deadline)

    if found is None:
        pytest.fail("a result")
    if method == "test_connection" or found.status:
        return
    assert type(found) is NoAnswerError
    assert "within the deadline of 0.1 s" in str(found)
    changing = "GET" not in str(found)
    assert ("Its effect is unknown" in str(found)) is changing
    assert not (tmp_path / "out.zip").exists()


def test_a_dripping_refusal_counts_by_its_status(server: HostileServer, connect: Connect, tmp_path: Path) -> None:
    server.answer = server.drip(head(status="422 Unprocessable"))
    found = _ends(connect(deadline=0.2), ASK["create_project"][0], tmp_path, 0.2)
    assert type(found) is RequestError
    assert found.status == 422


def test_a_flood_of_no_answers_ends_at_the_deadline(server: HostileServer, connect: Connect, tmp_path: Path) -> None:
    server.answer = endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    assert type(_ends(connect(deadline=0.3), ASK["me"][0], tmp_path, 0.3)) is NoAnswerError


def test_a_dripping_answer_is_not_asked_for_again(server: HostileServer, connect: Connect, tmp_path: Path) -> None:
    server.answer = server.drip(head())
    assert type(_ends(connect(deadline=0.2), ASK["me"][0], tmp_path, 0.2)) is NoAnswerError
    assert server.requests == ["GET /public/api/me"]


def test_tries_share_one_deadline(server: HostileServer, connect: Connect, tmp_path: Path) -> None:
    server.answer = lambda line: threading.Event().wait(0.3) and None
    hook = connect(deadline=0.5)
    found = _ends(hook, ASK["me"][0], tmp_path, 0.5)
    assert type(found) is NoAnswerError
    assert len(server.requests) == 2


def test_no_pause_outlasts_the_deadline(
    server: HostileServer, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "RETRY_WAIT", tenacity.wait_fixed(60))
    server.answer = lambda _: None
    found = _ends(connect(deadline=30), ASK["me"][0], tmp_path, 0)
    assert type(found) is NoAnswerError
    assert server.requests == ["GET /public/api/me"]


def test_an_upload_that_nobody_reads_ends_at_the_deadline(
    server: HostileServer, connect: Connect, tmp_path: Path
) -> None:
    server.hostile, server.drinks, server.answer = IMPORT, False, server.drip(b"")
    found = _ends(connect(transfer_deadline=0.5), partial(_import, size=20 * MB), tmp_path, 0.5)
    assert type(found) is NoAnswerError
    assert "raise transfer_deadline" in str(found)


def test_a_handshake_that_drips_ends_at_the_deadline(connect: Connect, server: HostileServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        stopped = threading.Event()

        def handshake() -> None:
            line, _ = listener.accept()
            with line:
                line.sendall(b"\x16\x03\x03\x40\x00")
                while not stopped.wait(0.02):
                    line.sendall(b"\x00")

        threading.Thread(target=handshake, daemon=True).start()
        found = _ends(connect(schema="https", deadline=0.3), ASK["me"][0], tmp_path, 0.3)
        stopped.set()
    assert type(found) is NoAnswerError
    assert "deadline" in str(found)


def test_a_proxy_that_drips_ends_at_the_deadline(
    server: HostileServer, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = server.drip(b"HTTP/1.1 200 OK\r\nX: ")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.port}")
    found = _ends(connect(schema="https", deadline=0.3), ASK["me"][0], tmp_path, 0.3)
    assert type(found) is NoAnswerError
    assert server.requests == [f"CONNECT 127.0.0.1:{server.port}"]


def test_a_connection_that_was_kept_is_watched_too(server: HostileServer, connect: Connect, tmp_path: Path) -> None:
    server.hostile, server.answer = "/projects", server.drip(head())
    hook = connect(deadline=0.3)
    hook.me()
    assert type(_ends(hook, ASK["projects"][0], tmp_path, 0.3)) is NoAnswerError
    assert hook.me().version == "9.1.0"


def test_names_that_are_asked_for_later_do_not_count_to_the_deadline(
    server: HostileServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is read whole is in time, however long its reader takes."""
    from denodo_ha.server import answers

    def slow(raw: Any, **_: Any) -> list[Any]:
        threading.Event().wait(0.6)
        return []

    monkeypatch.setattr(answers, "read_statuses", slow)
    server.hostile = "/none"
    assert connect(deadline=0.5).statuses().jobs == ()


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("method", ["jobs", "export_metadata", "import_metadata"])
def test_memory_stays_bounded(name: str, method: str, server: HostileServer, connect: Connect, tmp_path: Path) -> None:
    """With the limits that a connection has by default."""
    ask, server.hostile = ASK[method]
    server.answer = ALL[name]
    hook = connect(deadline=allow(20), transfer_deadline=allow(20), transfer_limit=64 * MB)
    assert peak_memory(lambda: _ends(hook, ask, tmp_path, allow(20))) < 150


def test_an_answer_within_the_limit_is_read(server: HostileServer, connect: Connect, tmp_path: Path) -> None:
    server.hostile = "/none"
    hook = connect(answer_limit=500)
    assert hook.me().version == "9.1.0"
    server.hostile, server.answer = "/projects", endless(head("Content-Length: 501"), b" " * 501, 1)
    found = _ends(hook, ASK["projects"][0], tmp_path, allow(5))
    assert type(found) is UnexpectedAnswerError
    assert "larger than 500 bytes" in str(found)
    assert "raise answer_limit" in str(found)


def test_credentials_never_go_to_another_machine(server: HostileServer, connect: Connect, tmp_path: Path) -> None:
    """A path in the OpenAPI document begins at the web tool's own address."""
    document = {"paths": {f"@localhost:{server.port}{EXPORT}": DOCUMENT["paths"][EXPORT]}}
    server.hostile, server.answer = "/v3/api-docs", whole(json.dumps(document).encode())
    found = _ends(connect(base_path="/"), ASK["export_metadata"][0], tmp_path, allow(5))
    assert type(found) is ConfigurationError
    assert [each.split()[0] for each in server.requests] == ["GET"]
