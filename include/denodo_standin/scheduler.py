"""``denodo-standin scheduler``: the process of one Scheduler server."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from denodo_standin import control, rest
from denodo_standin.clock import Clock
from denodo_standin.errors import ApiError
from denodo_standin.faults import INTERNAL_ERROR, FaultMiddleware, Faults, error_body
from denodo_standin.server import SchedulerServer
from denodo_standin.serving import run


def create_app(server: SchedulerServer) -> FastAPI:
    """Create the application that serves ``server``; its engine runs as long as the application does."""
    faults = Faults()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        server.engine.recover()
        firing = asyncio.create_task(server.engine.run())
        firing.add_done_callback(_end_with)
        yield
        firing.cancel()

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.state.server = server
    app.state.imports = set()
    app.include_router(rest.router)
    app.include_router(control.create_router(server, faults))
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(ValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.add_exception_handler(Exception, _internal_error)
    app.add_middleware(_ServerTime, clock=server.clock)
    app.add_middleware(FaultMiddleware, faults=faults)
    return app


def serve(
    *,
    host: str,
    port: int,
    data: Path,
    timezone: str,
    id_offset: int,
    version: str,
    mode: str,
    clock: str,
    now: datetime | None,
    login: str,
    password: str,
    log_level: str = "warning",
) -> None:
    """Run a server until SIGTERM; print ``ready scheduler <host>:<port>`` when it accepts connections.

    :param data: directory of its state, created if it is missing
    :param clock: ``real`` or ``manual``

    The other parameters are those of :class:`denodo_standin.server.SchedulerServer`.
    """
    server = SchedulerServer(
        data,
        timezone=timezone,
        id_offset=id_offset,
        version=version,
        mode=mode,
        manual=clock == "manual",
        now=now,
        login=login,
        password=password,
    )
    run(create_app(server), role="scheduler", host=host, port=port, log_level=log_level)
    server.store.close()


class _ServerTime:
    """Middleware that sets the ``Date`` header to the time of the server's own clock."""

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        self.app = app
        self.clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self.clock.now(), usegmt=True).encode()
                message = {**message, "headers": [*message["headers"], (b"date", date)]}
            await send(message)

        await self.app(scope, receive, dated)


def _end_with(firing: asyncio.Task[None]) -> None:
    """End the process if firing has ended, so that a server that no longer fires does not look alive."""
    if not firing.cancelled() and (error := firing.exception()):
        traceback.print_exception(error)
        os._exit(1)


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    if error.status == HTTPStatus.UNAUTHORIZED:  # the container's answer has no body [G]
        return Response(status_code=401, headers={"www-authenticate": 'Basic realm="Denodo Scheduler"'})
    return JSONResponse(error_body(error.status, error.message, error.sub_errors), error.status)


async def _bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)
    public = request.url.path.startswith("/rmi/")
    return JSONResponse(error_body(400, "Illegal argument" if public else str(error)), 400)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(error_body(error.status_code, error.detail), error.status_code)


async def _client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)


async def _internal_error(_: Request, __: Exception) -> Response:
    return JSONResponse(error_body(500, INTERNAL_ERROR), 500)
