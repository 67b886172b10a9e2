from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tracemalloc
import zipfile
from collections.abc import Callable
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from denodo_demo.slowness import allow
from denodo_ha.server.options import EXPORT_OPTIONS, IMPORT_OPTIONS
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    NoAnswerError,
    RequestError,
    UnexpectedAnswerError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

EXPORT = "/serverMetadata/export"
IMPORT = "/serverMetadata/import"
ZIPPED = {"Content-Type": "application/octet-stream"}
BINARY = {"type": "string", "format": "binary"}

Connect = Callable[..., DenodoSchedulerHook]


def _at_other(hook: DenodoSchedulerHook) -> DenodoSchedulerHook:
    return DenodoSchedulerHook(hook.denodo_scheduler_conn_id, scheduler_uri="//other:8000")


def _zip(size: int = 100_000) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data/server-metadata.properties", "installation.version=9.1.0")
        archive.writestr("data/resources/drivers/driver.jar", os.urandom(size))
    return buffer.getvalue()


def _api_docs(multipart: bool = False) -> dict[str, Any]:
    def query(names: Any) -> list[dict[str, Any]]:
        return [{"name": name, "in": "query", "schema": {"type": "boolean"}} for name in ["uri", *names]]

    if multipart:
        schema = {"properties": {name: {"type": "boolean"} for name in IMPORT_OPTIONS} | {"file": BINARY}}
        importing = {"requestBody": {"content": {"multipart/form-data": {"schema": schema}}}}
    else:
        content = {"application/octet-stream": {"schema": BINARY}}
        importing = {"parameters": query(IMPORT_OPTIONS), "requestBody": {"content": content}}
    exporting = {"parameters": query([*EXPORT_OPTIONS, "metadataPassword"])}
    return {"paths": {f"/public/api{EXPORT}": {"post": exporting}, f"/public/api{IMPORT}": {"post": importing}}}


@pytest.fixture
def webtool(webtool: Any) -> Any:
    webtool.on("GET", "//v3/api-docs", _api_docs())
    return webtool


@pytest.fixture(autouse=True)
def _memory_store() -> None:
    """A second kind of object storage, without the methods that only a local disk has."""
    attach("memory", fs=MemoryFileSystem())


@pytest.fixture
def target(tmp_path: Path) -> ObjectStoragePath:
    return ObjectStoragePath(f"file://{tmp_path}/new/folder/export.zip")


def _files(tmp_path: Path) -> list[str]:
    return [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]


def test_an_export_is_written_whole_and_private(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, target: ObjectStoragePath, tmp_path: Path
) -> None:
    content = _zip()
    webtool.on("POST", EXPORT, answer(content, headers=ZIPPED))

    result = _at_other(hook).export_metadata(target)

    file = tmp_path / "new/folder/export.zip"
    assert file.read_bytes() == content
    assert (result.size, result.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert _files(tmp_path) == ["new/folder/export.zip"]
    (request,) = webtool.asked("POST", EXPORT)
    assert request.query == {
        "uri": "//other:8000",
        "config": "false",
        "drivers": "true",
        "plugins": "true",
        "permissions": "false",
        "exportDependencies": "true",
    }


def test_an_export_to_another_store_leaves_only_the_whole_file(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any
) -> None:
    content = _zip()
    webtool.on("POST", EXPORT, answer(content, headers=ZIPPED))
    folder = ObjectStoragePath("memory://snapshots/whole")

    hook.export_metadata(folder / "export.zip")

    assert [path.name for path in folder.iterdir()] == ["export.zip"]
    assert (folder / "export.zip").read_bytes() == content


@pytest.mark.parametrize(
    ("body", "headers", "kind", "reason"),
    [
        (b"", ZIPPED, UnexpectedAnswerError, "is empty"),
        (b"<html>login</html>", {"Content-Type": "text/html"}, ConfigurationError, "HTML page"),
        (b"\n <!DOCTYPE html>", ZIPPED, ConfigurationError, "HTML page"),
        (b'{"message": "no rights"}', {}, UnexpectedAnswerError, 'JSON: {"message": "no rights"}'),
        (b"PK", ZIPPED, UnexpectedAnswerError, "is not a zip file"),
        (b"\x00" * 1000, ZIPPED, UnexpectedAnswerError, "is not a zip file"),
    ],
)
def test_what_is_no_export_is_refused_and_leaves_nothing(
    webtool: Any,
    hook: DenodoSchedulerHook,
    answer: Any,
    target: ObjectStoragePath,
    tmp_path: Path,
    body: bytes,
    headers: dict[str, str],
    kind: type[DenodoSchedulerError],
    reason: str,
) -> None:
    webtool.on("POST", EXPORT, answer(body, headers=headers))

    with pytest.raises(kind) as caught:
        hook.export_metadata(target)

    assert reason in str(caught.value)
    assert _files(tmp_path) == []
    assert len(webtool.asked("POST", EXPORT)) == 1


def test_a_truncated_export_keeps_the_file_that_was_there(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, target: ObjectStoragePath, tmp_path: Path
) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(b"yesterday's")
    webtool.on("POST", EXPORT, answer(_zip(2_000_000), headers=ZIPPED, fault="truncate"))

    with pytest.raises(NoAnswerError, match="cut before the whole answer came"):
        hook.export_metadata(target)

    assert target.read_bytes() == b"yesterday's"
    assert _files(tmp_path) == ["new/folder/export.zip"]
    assert len(webtool.asked("POST", EXPORT)) == 3


def test_a_truncated_export_is_read_again(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, target: ObjectStoragePath
) -> None:
    content = _zip(2_000_000)
    webtool.on("POST", EXPORT, answer(content, headers=ZIPPED, fault="truncate"), answer(content, headers=ZIPPED))

    assert hook.export_metadata(target).sha256 == hashlib.sha256(content).hexdigest()
    assert target.read_bytes() == content


def test_multipart_options_of_an_export_are_sent_whole_again(
    webtool: Any, connect: Connect, answer: Any, target: ObjectStoragePath
) -> None:
    schema = {"properties": {name: {"type": "boolean"} for name in EXPORT_OPTIONS}}
    operation = {"requestBody": {"content": {"multipart/form-data": {"schema": schema}}}}
    webtool.on("GET", "//v3/api-docs", {"paths": {f"/public/api{EXPORT}": {"post": operation}}})
    webtool.on("POST", EXPORT, answer(fault="cut"), answer(_zip(), headers=ZIPPED))

    connect({"transfer_timeout": 60}, port=webtool.port).export_metadata(target)

    first, second = webtool.asked("POST", EXPORT)
    assert first.body == second.body
    assert first.body.count(b"\r\ntrue\r\n") == 3


def test_an_export_is_never_whole_in_memory(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, target: ObjectStoragePath
) -> None:
    size = 64 * 1024 * 1024
    webtool.on("POST", EXPORT, answer(b"PK\x03\x04" + bytes(size), headers=ZIPPED))
    tracemalloc.start()
    try:
        hook.export_metadata(target)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < size / 4


def test_overrides_of_the_connection_and_the_call(
    webtool: Any, connect: Connect, answer: Any, target: ObjectStoragePath
) -> None:
    webtool.on("POST", EXPORT, answer(_zip(), headers=ZIPPED))
    hook = connect({"export_options": {"plugins": None, "config": True}}, port=webtool.port)

    hook.export_metadata(target, options={"config": False, "permissions": True})

    query = webtool.asked("POST", EXPORT)[0].query
    assert "plugins" not in query
    assert query["config"] == "false"
    assert query["permissions"] == "true"


def test_the_metadata_password_is_sent_and_never_shown(
    webtool: Any, connect: Connect, answer: Any, target: ObjectStoragePath, capfd: pytest.CaptureFixture[str]
) -> None:
    webtool.on("POST", EXPORT, answer(status=503), answer({"message": "no"}, 500))
    hook = connect({"metadata_password": "hush-hush"}, port=webtool.port)

    with pytest.raises(RequestError) as caught:
        hook.export_metadata(target)

    assert webtool.asked("POST", EXPORT)[0].query["metadataPassword"] == "hush-hush"
    assert "hush-hush" not in "".join([*capfd.readouterr(), str(caught.value), repr(vars(caught.value))])


def test_the_document_is_read_once(webtool: Any, hook: DenodoSchedulerHook, answer: Any, target: Any) -> None:
    webtool.on("POST", EXPORT, answer(_zip(), headers=ZIPPED))

    hook.export_metadata(target)
    hook.export_metadata(target)

    (request,) = webtool.asked("GET", "//v3/api-docs")
    assert request.query == {}


def test_an_option_without_a_place_stops_before_the_export(
    webtool: Any, hook: DenodoSchedulerHook, target: ObjectStoragePath
) -> None:
    webtool.on("GET", "//v3/api-docs", {"paths": {f"/public/api{EXPORT}": {"post": {}}}})

    with pytest.raises(ConfigurationError, match="drivers: nothing of that name is offered"):
        hook.export_metadata(target)

    assert webtool.asked("POST", EXPORT) == []


@pytest.fixture
def source(tmp_path: Path) -> ObjectStoragePath:
    path = ObjectStoragePath(f"file://{tmp_path}/export.zip")
    path.write_bytes(_zip(300_000))
    return path


def test_an_import_as_raw_body(webtool: Any, hook: DenodoSchedulerHook, source: ObjectStoragePath) -> None:
    webtool.on("POST", IMPORT, None)

    assert _at_other(hook).import_metadata(source).warnings == ()

    (request,) = webtool.asked("POST", IMPORT)
    assert request.body == source.read_bytes()
    assert request.headers["content-type"] == "application/octet-stream"
    assert request.headers["content-length"] == str(len(request.body))
    assert request.query == {"uri": "//other:8000"} | dict.fromkeys(IMPORT_OPTIONS, "true")


def test_a_list_in_the_query_or_as_parts_is_sent_item_by_item(
    webtool: Any, hook: DenodoSchedulerHook, source: ObjectStoragePath
) -> None:
    texts = {"type": "array", "items": {"type": "string"}}
    docs = _api_docs(multipart=True)
    post = docs["paths"][f"/public/api{IMPORT}"]["post"]
    post["parameters"] = [{"in": "query", "name": "only", "schema": texts}]
    (content,) = post["requestBody"]["content"].values()
    content["schema"]["properties"]["projects"] = texts
    webtool.on("GET", "//v3/api-docs", docs)
    webtool.on("POST", IMPORT, None)

    hook.import_metadata(source, options={"only": {"value": ["a b", "c&d"]}, "projects": {"value": ["x", "y"]}})

    (request,) = webtool.asked("POST", IMPORT)
    assert request.query["only"] == "a b"
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = [
        part.get_payload(decode=True)
        for part in BytesParser().parsebytes(head + request.body).get_payload()
        if part.get_param("name", header="content-disposition") == "projects"
    ]
    assert parts == [b"x", b"y"]


@pytest.mark.parametrize("store", ["file", "memory"])
def test_an_import_as_multipart(webtool: Any, hook: DenodoSchedulerHook, source: ObjectStoragePath, store: str) -> None:
    webtool.on("GET", "//v3/api-docs", _api_docs(multipart=True))
    webtool.on("POST", IMPORT, None)
    if store == "memory":
        copy = ObjectStoragePath("memory://snapshots/multipart/export.zip")
        copy.write_bytes(source.read_bytes())
        source = copy

    hook.import_metadata(source, options={"replaceDrivers": False})

    (request,) = webtool.asked("POST", IMPORT)
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in BytesParser().parsebytes(head + request.body).get_payload()
    }
    assert parts.pop("file") == source.read_bytes()
    assert parts == dict.fromkeys(IMPORT_OPTIONS, b"true") | {"replaceDrivers": b"false"}
    assert request.query == {"uri": "//localhost:8000"}


@pytest.mark.parametrize(
    ("body", "warnings"),
    [
        (None, ()),
        ({}, ()),
        ({"warnings": []}, ()),
        ({"warnings": ["driver missing", "key differs"]}, ("driver missing", "key differs")),
        ({"result": {"importWarnings": [{"message": "driver missing"}]}}, ("driver missing",)),
        ([{"job": "load", "warning": "driver missing"}], ("job: load, warning: driver missing",)),
        (["driver missing"], ("driver missing",)),
        ({"status": "ok", "errors": {"code": 7}}, ("code: 7",)),
        ({"imported": 3}, ("imported: 3",)),
        ({"warnings": {}}, ()),
        ({"warnings": {"Sales / load": ["no driver", "no key"]}}, ("Sales / load: no driver", "Sales / load: no key")),
        ({"warnings": None, "errors": 0, "warningCount": 0}, ()),
        ({"warnings": [], "warningCount": 2}, ("warningCount: 2",)),
        ({"warnings": {"Sales / load": "no driver", "mail": "no key"}}, ("Sales / load: no driver", "mail: no key")),
        ({"warnings": {"Sales": {"load": {"code": 7, "detail": None}, "mail": {}}}}, ("Sales: load: code: 7",)),
        (
            {"warnings": [{"message": "no", "job": "load", "more": ["a", "b"]}]},
            ("no (job: load)", "more: a", "more: b"),
        ),
        ({"warnings": [{"message": {"text": "no\nkey"}}]}, ("text: no key",)),
        (b"done, but the driver is missing\n", ("done, but the driver is missing",)),
        (b'{"warnings": ["cut', ('{"warnings": ["cut',)),
    ],
)
def test_warnings_of_an_import_are_found_whatever_their_form(
    webtool: Any, hook: DenodoSchedulerHook, source: ObjectStoragePath, body: Any, warnings: tuple[str, ...]
) -> None:
    webtool.on("POST", IMPORT, body)

    assert hook.import_metadata(source).warnings == warnings


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"fault": "cut"}, NoAnswerError),
        ({"fault": "hang"}, NoAnswerError),
        ({"body": {"warnings": []}, "fault": "truncate"}, NoAnswerError),
        ({"status": 503}, DenodoSchedulerError),
        ({"body": b"<html>", "headers": {"Content-Type": "text/html"}}, ConfigurationError),
    ],
)
def test_an_import_is_never_sent_twice(
    webtool: Any, connect: Connect, answer: Any, source: ObjectStoragePath, given: dict[str, Any], kind: type
) -> None:
    webtool.on("POST", IMPORT, answer(**given))
    hook = connect({"transfer_timeout": 0.2 if given.get("fault") == "hang" else 60}, port=webtool.port)

    with pytest.raises(kind):
        hook.import_metadata(source)

    assert len(webtool.asked("POST", IMPORT)) == 1


def test_the_wait_for_an_import_can_be_shortened(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, source: ObjectStoragePath
) -> None:
    webtool.on("POST", IMPORT, answer(fault="hang"))

    with pytest.raises(NoAnswerError, match=r"deadline of [0-9.]+ s.*Its effect is unknown"):
        hook.import_metadata(source, timeout=allow(1))


def test_a_missing_source_sends_nothing(webtool: Any, hook: DenodoSchedulerHook, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hook.import_metadata(ObjectStoragePath(f"file://{tmp_path}/none.zip"))

    assert webtool.asked("POST", IMPORT) == []


def test_a_metadata_password_the_import_does_not_take_is_left_out(
    webtool: Any, connect: Connect, source: ObjectStoragePath
) -> None:
    webtool.on("POST", IMPORT, None)

    connect({"metadata_password": "hush-hush"}, port=webtool.port).import_metadata(source)

    assert "hush-hush" not in json.dumps(webtool.asked("POST", IMPORT)[0].query)
