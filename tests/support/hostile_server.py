"""A web tool that answers as badly as it can, over real sockets, and the corpus of its answers."""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

BASE_PATH = "/webadmin/denodo-scheduler-admin"
STATUS = {"jobID": 1, "jobName": "load", "projectID": 7, "projectName": "sales", "state": "NOT_RUNNING"}
JOB = {"id": 1, "name": "load", "projectId": 7, "projectName": "sales", "type": "VDP"}
EXPORT, IMPORT = "/public/api/serverMetadata/export", "/public/api/serverMetadata/import"
DOCUMENT = {
    "paths": {
        EXPORT: {
            "post": {
                "parameters": [
                    {"in": "query", "name": name, "schema": {"type": "boolean"}}
                    for name in ("uri", "config", "drivers", "plugins", "permissions", "exportDependencies")
                ]
            }
        },
        IMPORT: {
            "post": {
                "parameters": [
                    {"in": "query", "name": name, "schema": {"type": "boolean"}}
                    for name in ("uri", "replaceJobs", "replaceDataSources", "replacePlugins", "replaceDrivers")
                ],
                "requestBody": {
                    "content": {
                        "multipart/form-data": {
                            "schema": {"properties": {"file": {"type": "string", "format": "binary"}}}
                        }
                    }
                },
            }
        },
    }
}
GOOD: dict[str, Any] = {
    "/me": {"serverData": {"version": {"full": "9.1.0"}}},
    "/projects": [{"id": 7, "name": "sales"}],
    "/jobs": [JOB],
    "/dataSources": [],
    "/jobs/status": [STATUS],
    "/v3/api-docs": DOCUMENT,
}
"""What it answers where it is not asked to be hostile, by the path below the API."""

Answer = Callable[[socket.socket], None]
MB = 1024**2


@dataclass
class HostileServer:
    """
    Answers every request whose path ends with ``hostile`` by ``answer``, and others as a web tool does.

    :param drinks: whether it reads the bodies of the hostile ones.
    """

    answer: Answer = lambda _: None
    hostile: str = ""
    drinks: bool = True
    requests: list[str] = field(default_factory=list)
    _open: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def drip(self, data: bytes, pause: float = 0.02) -> Answer:
        """Send ``data`` at once and then a byte of a header, or body, every ``pause`` seconds."""

        def answer(line: socket.socket) -> None:
            line.sendall(data)
            while not self._stopped.wait(pause):
                line.sendall(b"x")

        return answer

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        try:
            with line, line.makefile("rb") as stream:
                while request := stream.readline():
                    method, path, _ = request.decode("latin-1").split(" ", 2)
                    path = path.partition("?")[0].removeprefix(BASE_PATH)
                    length = 0
                    while (header := stream.readline().strip()) != b"":
                        if header.lower().startswith(b"content-length:"):
                            length = int(header.partition(b":")[2])
                    self.requests.append(f"{method} {path}")
                    if path.endswith(self.hostile):
                        if self.drinks:
                            stream.read(length)
                        self.answer(line)
                        return
                    stream.read(length)
                    body = json.dumps(GOOD.get(path.removeprefix("/public/api"))).encode()
                    line.sendall(head(f"Content-Length: {len(body)}") + body)
        except (OSError, ValueError):
            return


def head(*headers: str, status: str = "200 OK") -> bytes:
    """The beginning of an answer; without a length, its body ends with the connection."""
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, "", ""]).encode("latin-1")


def whole(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    return lambda line: line.sendall(head(f"Content-Length: {len(body)}", *headers, status=status) + body)


def said(data: bytes) -> Answer:
    return lambda line: line.sendall(data)


def endless(begin: bytes, piece: bytes, pieces: int = 1 << 40) -> Answer:
    def answer(line: socket.socket) -> None:
        line.sendall(begin)
        for _ in range(pieces):
            line.sendall(piece)

    return answer


def gzip_bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MB)) for _ in range(megabytes)) + packer.flush()


def bombs() -> dict[str, Answer]:
    """Answers that are larger than is believed."""
    bomb, space = gzip_bomb(80), b" " * MB
    return {
        "600 MB claimed and sent": endless(head(f"Content-Length: {600 * MB}"), space, 600),
        "a body without end": endless(head(), space),
        "a zip without end": endless(head() + b"PK\x03\x04", space),
        "chunks without end": endless(head("Transfer-Encoding: chunked"), b"100000\r\n" + space + b"\r\n"),
        "gzip bomb": whole(bomb, "Content-Encoding: gzip"),
        "gzip bomb within a bomb": whole(gzip.compress(bomb), "Content-Encoding: gzip, gzip"),
        "empty gzip members without end": endless(head("Content-Encoding: gzip"), gzip.compress(b"") * 4096),
        "redirect with a body without end": endless(head("Location: /x", status="302 Found"), space),
    }


def broken() -> dict[str, Answer]:
    """Answers that are not whole, or no HTTP."""
    noise = random.Random(10).randbytes(4096)
    return {
        "no bytes": said(b""),
        "noise": said(noise),
        "status of letters": said(b"HTTP/1.1 abc OK\r\n\r\n"),
        "status line without end": endless(b"HTTP/1.1 200 ", b"x" * MB),
        "header without end": endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * MB),
        "headers without end": endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000),
        "longer than sent": said(head("Content-Length: 1000") + b"[]"),
        "length without end": said(head("Content-Length: 1" + "0" * 30) + b"[]"),
        "cut chunk": said(head("Transfer-Encoding: chunked") + b"64\r\n[1, 2"),
        "chunk of letters": said(head("Transfer-Encoding: chunked") + b"xyz\r\n[]\r\n0\r\n\r\n"),
        "negative chunk": said(head("Transfer-Encoding: chunked") + b"-5\r\n[]\r\n0\r\n\r\n"),
        "chunk line without end": endless(head("Transfer-Encoding: chunked"), b"1" * MB),
        "damaged gzip": whole(b"\x1f\x8b\x08" + noise, "Content-Encoding: gzip"),
        "cut gzip": whole(gzip.compress(b"[1]" * 1000)[:-9], "Content-Encoding: gzip"),
        "unknown compression": whole(b"[]", "Content-Encoding: br"),
        "redirect to raw bytes": said(b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\x80\r\nContent-Length: 0\r\n\r\n"),
        "redirect to no address": whole(b"", "Location: http://[x", status="302 Found"),
        "refusal with a body without end": endless(head(status="422 Unprocessable"), b" " * MB),
        "refusal that is nested": whole(b"[" * 60_000, status="400 Bad Request"),
        "refusal of odd parts": whole(b'{"message": {"a": []}, "subErrors": 3}', status="500 Error"),
    }


def garbage() -> dict[str, Answer]:
    """Whole answers whose content makes no sense; to a request whose answer says nothing they may pass."""
    bodies = {
        "nothing": b"",
        "nested": b"[" * 1_000_000,
        "nested and whole": b"[" * 100_000 + b"]" * 100_000,
        "nested in objects": b'{"paths":' * 100_000,
        "nested as deep as is read": b"[" * 199 + b"]" * 199,
        "huge number": b"[" + b"9" * 100_000 + b"]",
        "huge id": b'[{"id": ' + b"9" * 4000 + b', "name": "x"}]',
        "huge float": b'[{"id": 1e999, "projectId": 1e999, "jobID": -1e999, "nextExecution": 1e999}]',
        "not a number": b"[NaN, Infinity]",
        "UTF-16": json.dumps([JOB]).encode("utf-16"),
        "not UTF-8": b'["\xff\xfe"]',
        "lone surrogate": b'[{"id": 1, "name": "\\ud800", "projectId": 7, "jobID": 1}]',
        "two marks": b"\xef\xbb\xbf\xef\xbb\xbf[]",
        "text": b'"text"',
        "null": b"null",
        "list of nulls": b"[null]",
        "odd objects": b'[{"id": [], "name": {}, "projectId": true}, {"jobID": "\xc2\xb2"}]',
        "odd version": b'{"serverData": {"version": {"full": "9"}}, "permissions": 7, "schedulerMode": [1]}',
        "odd permissions": b'{"serverData": {"version": {"full": "9"}}, "permissions": {"a": 1}}',
        "many small values": b"[" + b"{}," * 700_000 + b"{}]",
        "HTML": b"<html>login</html>",
    }
    return {name: whole(body) for name, body in bodies.items()} | {
        "noise as headers": said(b"HTTP/1.1 200 OK\r\n" + random.Random(11).randbytes(4096)),
        "a date of nonsense": whole(b"[]", "Date: Mon, 99 Zzz 0000 99:99:99 +9999"),
        "a date before all": whole(b"[]", "Date: Mon, 01 Jan 0001 00:00:00 +2359"),
    }


def documents() -> Iterator[tuple[str, Any]]:
    """OpenAPI documents that describe an export and an import, badly."""

    def of(schemas: Any, parameters: Any, **more: Any) -> dict[str, Any]:
        operation = {"post": {"parameters": parameters, **more}}
        return {"paths": {EXPORT: operation, IMPORT: operation}, "components": {"schemas": schemas}}

    def ref(name: str) -> dict[str, str]:
        return {"$ref": f"#/components/schemas/{name}"}

    body = {"content": {"application/json": {"schema": ref("A")}}}
    ladder = {f"L{n}": {"allOf": [ref(f"L{n + 1}")] * 2} for n in range(60)} | {"L60": {"properties": {"a": {}}}}
    wide = {"W": {"allOf": [{"properties": {f"p{n}": {} for n in range(5000)}}] * 200}}
    yield "a reference to itself", of({"A": ref("A")}, [ref("A")], requestBody=body)
    yield "references in a circle", of({"A": ref("B"), "B": ref("A")}, [], requestBody=body)
    yield "an empty reference", {"": {"$ref": ""}, **of({}, [{"$ref": ""}])}
    yield "a long reference to itself", {"x" * MB: {"$ref": "x" * MB}, **of({}, [{"$ref": "x" * MB}])}
    yield "allOf of itself", of({"A": {"allOf": [ref("A")]}}, [], requestBody=body)
    yield "allOf in a circle", of({"A": {"allOf": [ref("B")]}, "B": {"allOf": [ref("A")]}}, [], requestBody=body)
    yield "allOf that doubles", of(ladder, [{"in": "query", "name": "x", "schema": ref("L0")}])
    yield "allOf of many", of(wide, [{"in": "query", "name": "x", "schema": ref("W")}])
    yield "a property that is itself", of({"A": {"properties": {"a": ref("A")}}}, [], requestBody=body)
    yield "many parameters", of({}, [{"in": "query", "name": f"p{n}", "required": True} for n in range(200_000)])
    yield "many required ones", of({"A": {"properties": {"a": {}}, "required": ["a"] * 300_000}}, [], requestBody=body)
    yield "another machine", {"paths": {f"@127.0.0.1:9{EXPORT}": {"post": {"parameters": []}}}}
    for odd in (None, 7, "text", [], [None], {"a": None}, {"$ref": 7}, {"$ref": "#/nowhere"}, {"allOf": 3}):
        yield f"parameters {odd!r}", of({}, odd)
        yield f"a parameter {odd!r}", of({}, [odd])
        yield f"a name {odd!r}", of({}, [{"in": "query", "name": odd}])
        yield f"a schema {odd!r}", of({"A": odd}, [{"in": "query", "name": "x", "schema": ref("A")}], requestBody=body)
        yield f"a body {odd!r}", of({}, [], requestBody=odd)
        yield f"a content {odd!r}", of({}, [], requestBody={"content": odd})
        yield f"an operation {odd!r}", {"paths": {EXPORT: {"post": odd}, IMPORT: odd}}
        yield f"paths {odd!r}", {"paths": odd}
        yield f"a document {odd!r}", odd


def peak_memory(action: Callable[[], object]) -> float:
    """Run ``action`` and return by how many MB the memory of this process was larger meanwhile (Linux)."""
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before = _memory("VmRSS")
    action()
    return (_memory("VmHWM") - before) / 1024


def _memory(name: str) -> int:
    with open("/proc/self/status") as status:
        found = re.search(rf"{name}:\s+(\d+) kB", status.read())
    assert found
    return int(found[1])
