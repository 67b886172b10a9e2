"""Inject faults: over its control endpoint a process is told to answer late, wrongly, partially or not at all."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from threading import Lock
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

INTERNAL_ERROR = "Internal error. If the error persists, contact your administrator."
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Login</title></head><body>Please log in.</body></html>"


def error_body(status: int, message: str, sub_errors: list[Any] | None = None) -> dict[str, Any]:
    """Return the error body of the public API; its ``timestamp`` has a 12-hour clock without AM/PM [V].

    The order of day and month in it is unpublished; here the day is first [G].
    """
    return {
        "status": f"{status} {HTTPStatus(status).name}",
        "timestamp": datetime.now().strftime("%d-%m-%Y %I:%M:%S"),
        "message": message,
        "subErrors": sub_errors or [],
    }


class Match(BaseModel):
    """The requests that a fault applies to: those that match every given part. Patterns are searched, not anchored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str | None = None
    path: re.Pattern[str] = re.compile("")
    query: re.Pattern[str] = re.compile("")

    def fits(self, method: str, path: str, query: str) -> bool:
        return (
            (self.method is None or self.method.upper() == method)
            and self.path.search(path) is not None
            and self.query.search(query) is not None
        )


class Fault(BaseModel):
    """One fault.

    :param match: the requests that it applies to (default: all)
    :param kind: ``latency`` answers ``seconds`` late and leaves the rest to the next fault; ``cut_before`` closes the
        connection without effect, ``cut_after`` after the effect; ``truncate`` announces the whole body, sends half of
        it and closes; ``hang`` never answers
    :param status: code of kind ``status``
    :param seconds: delay of kind ``latency``
    :param times: how many requests it applies to (None: all)
    :param skip: how many matching requests are left alone before
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["status", "latency", "hang", "cut_before", "cut_after", "truncate", "html", "garbage", "empty"]
    match: Match = Match()
    status: int = Field(503, ge=200, le=599)
    seconds: NonNegativeFloat = 0
    times: PositiveInt | None = None
    skip: NonNegativeInt = 0


class _FaultList(BaseModel):
    model_config = ConfigDict(extra="forbid")

    faults: list[Fault]


class Faults:
    """The present faults of a process, and the number of its requests per path. It is thread-safe."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._matches: list[int] = []
        self._lock = Lock()

    def replace(self, faults: list[Any]) -> None:
        """Replace all faults by ``faults`` (JSON objects, see :class:`Fault`); an empty list removes them.

        :raises ValueError: a fault is not valid; the message names its place and field, and nothing is changed
        """
        try:
            valid = _FaultList(faults=faults).faults
        except ValidationError as error:
            raise ValueError(readable(error)) from None
        with self._lock:
            self._faults, self._matches = valid, [0] * len(valid)

    def as_json(self) -> list[dict[str, Any]]:
        return [fault.model_dump(mode="json") for fault in self._faults]

    def reset_requests(self) -> None:
        with self._lock:
            self.requests = Counter()

    def take(self, method: str, path: str, query: str = "") -> tuple[float, Fault | None]:
        """Count a request; return the seconds to delay it and the fault that replaces its answer, if any."""
        delay = 0.0
        with self._lock:
            self.requests[f"{method} {re.sub(r'(?<=/)[0-9]+(?=/|$)', '{id}', path)}"] += 1
            for index, fault in enumerate(self._faults):
                if not fault.match.fits(method, path, query):
                    continue
                self._matches[index] += 1
                hit = self._matches[index] - fault.skip
                if hit < 1 or (fault.times is not None and hit > fault.times):
                    continue
                if fault.kind != "latency":
                    return delay, fault
                delay += fault.seconds
        return delay, None


class FaultMiddleware:
    """Apply ``faults`` between uvicorn and ``app``. Requests to /control are neither counted nor affected.

    ASGI cannot close a connection without an answer; this uses uvicorn's transport.
    """

    def __init__(self, app: ASGIApp, *, faults: Faults) -> None:
        self.app = app
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or re.match(r"/control(/|$)", scope["path"]):
            await self.app(scope, receive, send)
            return
        delay, fault = self.faults.take(scope["method"], scope["path"], scope["query_string"].decode("latin-1"))
        await asyncio.sleep(delay)
        match fault.kind if fault else None:
            case None:
                await self.app(scope, receive, send)
            case "hang":
                await until_disconnect(receive)
            case "cut_before":
                await cut(receive)
            case "cut_after":
                await self._answer(scope, receive)
                await cut(receive)
            case "truncate":
                await _send_half(await self._answer(scope, receive), send)
                await cut(receive)
            case _:
                assert fault is not None
                await _wrong_answer(fault)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        return messages


def control_router(faults: Faults, state: Callable[[], dict[str, Any]]) -> APIRouter:
    """Create the part of the control endpoint that both processes have.

    :param state: what GET /control/state answers besides the faults and the number of requests
    """
    router = APIRouter(prefix="/control")

    @router.get("/state")
    async def get_state() -> dict[str, Any]:
        return {**state(), "faults": faults.as_json(), "requests": faults.requests.total()}

    @router.post("/faults")
    async def post_faults(request: Request) -> Response:
        try:
            body = await request.json()
            if not isinstance(body, dict) or set(body) != {"faults"}:
                raise ValueError('the body must be {"faults": [...]}; an empty list heals')
            faults.replace(body["faults"])
        except ValueError as error:
            return JSONResponse(error_body(400, str(error)), 400)
        return JSONResponse({"faults": faults.as_json()})

    @router.get("/requests")
    async def get_requests() -> dict[str, int]:
        return dict(faults.requests)

    @router.post("/requests/reset", status_code=204)
    async def reset_requests() -> None:
        faults.reset_requests()

    return router


def readable(error: ValidationError) -> str:
    """Return the first mistake, as ``faults[0].kind: Input should be …``."""
    first = error.errors()[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    return f"{place}: {first['msg']}"


def _wrong_answer(fault: Fault) -> Response:
    match fault.kind:
        case "html":
            return Response(LOGIN_PAGE, media_type="text/html")
        case "garbage":
            return Response(b'{"\xff\xfe garbage', media_type="application/json")
        case "empty":
            return Response(b"", media_type="application/json")
        case _:
            return Response(
                json.dumps(error_body(fault.status, INTERNAL_ERROR)), fault.status, media_type="application/json"
            )


async def until_disconnect(receive: Receive) -> None:
    """Hang until the client gives up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cut(receive: Receive) -> None:
    """Close the connection after the bytes that were written, without finishing the answer."""
    receive.__self__.transport.close()  # type: ignore[attr-defined]  # uvicorn's RequestResponseCycle
    await until_disconnect(receive)


async def _send_half(messages: list[Message], send: Send) -> None:
    start, body = messages[0], b"".join(message.get("body", b"") for message in messages[1:])
    headers = [header for header in start["headers"] if header[0].lower() != b"content-length"]
    await send({**start, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
