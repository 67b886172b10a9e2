"""The web administration tool: a stateless process that passes the public API on to the Scheduler server in ``uri``."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError
from starlette.requests import ClientDisconnect

from denodo_standin.asked import JSON_TYPE, Refused, asked, ensure_type
from denodo_standin.faults import (
    INTERNAL_ERROR,
    FaultMiddleware,
    Faults,
    control_router,
    cut,
    error_body,
    readable,
    until_disconnect,
)
from denodo_standin.oauth import IssuedTokens, give_token
from denodo_standin.openapi import EXPORT_OPTIONS, IMPORT_OPTIONS, STYLES, ApiDocsStyle, document
from denodo_standin.serving import run

BASE_PATH = "/webadmin/denodo-scheduler-admin"
_RELAYED_HEADERS = ("content-type", "content-length", "content-disposition", "date", "www-authenticate")


class Guesses(BaseModel):
    """The unpublished behaviour of the web tool [G].

    ``scheduler_down``: the answer when the Scheduler server does not; ``api_docs_style``: how export and import take
    their options; ``upload_limit_mb``: an import beyond it is a 413 (None: no limit); ``token_seconds``: how long a
    bearer token is valid
    """

    model_config = ConfigDict(extra="forbid")

    scheduler_down: Literal["500", "401", "503", "hang"] = "500"
    api_docs_style: ApiDocsStyle = "query"
    upload_limit_mb: NonNegativeInt | None = None
    token_seconds: PositiveInt = 300


def create_app(base_path: str = BASE_PATH) -> FastAPI:
    """Create the web tool under ``base_path``, with its control endpoint beside it."""
    faults = Faults()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # No connection is kept after its request, so that a restarted Scheduler server is reached at once.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=httpx.Timeout(None, connect=5), limits=limits, trust_env=False) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.state.guesses = Guesses()
    app.state.tokens = IssuedTokens()
    app.add_exception_handler(Refused, _refuse)
    app.add_exception_handler(ClientDisconnect, _nobody_listens)

    def state() -> dict[str, Any]:
        return {"role": "webtool", "pid": os.getpid(), "guesses": app.state.guesses.model_dump()}

    app.include_router(control_router(faults, state))
    app.add_api_route("/control/guesses", _post_guesses, methods=["POST"])

    @app.get(f"{base_path}/Ping")
    async def ping() -> Response:
        return Response("OK", media_type="text/plain")

    @app.get(f"{base_path}/v3/api-docs")
    async def api_docs() -> dict[str, Any]:
        return document(base_path, app.state.guesses.api_docs_style)

    @app.post(f"{base_path}/oauth2/token")
    async def token(request: Request) -> Response:
        return await give_token(request, app.state.tokens, app.state.guesses.token_seconds)

    methods = ["GET", "POST", "PUT", "DELETE"]
    needs_login = APIRouter(dependencies=[Depends(_authorization)])
    public = f"{base_path}/public/api"
    needs_login.add_api_route(f"{public}/serverMetadata/export", _export, methods=["POST"])
    needs_login.add_api_route(f"{public}/serverMetadata/import", _import, methods=["POST"])
    needs_login.add_api_route(f"{public}/{{path:path}}", _pass_on, methods=methods)
    needs_login.add_api_route("/{path:path}", _not_found, methods=methods)
    app.include_router(needs_login)
    app.add_middleware(FaultMiddleware, faults=faults)
    return app


def serve(
    *,
    host: str,
    port: int,
    base_path: str = BASE_PATH,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    log_level: str = "warning",
) -> None:
    """Serve the web tool until SIGTERM; with ``tls_cert`` and ``tls_key`` (PEM files) over HTTPS."""
    app = create_app(base_path.rstrip("/"))
    run(app, role="webtool", host=host, port=port, log_level=log_level, ssl_certfile=tls_cert, ssl_keyfile=tls_key)


async def _post_guesses(request: Request) -> Response:
    app = request.app
    try:
        app.state.guesses = Guesses.model_validate({**app.state.guesses.model_dump(), **await request.json()})
    except ValidationError as error:
        return JSONResponse(error_body(400, readable(error)), 400)
    except (TypeError, ValueError):
        return JSONResponse(
            error_body(400, 'the body must be an object of switches, as {"scheduler_down": "401"}'), 400
        )
    return JSONResponse(app.state.guesses.model_dump())


async def _pass_on(request: Request, path: str) -> Response:
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "uri"]
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    return await _call(request, path, query=query, body=request.stream() if has_body else None)


async def _export(request: Request) -> Response:
    shape, _ = STYLES[request.app.state.guesses.api_docs_style]
    options, _, projects = await asked(request, shape, EXPORT_OPTIONS)
    body = json.dumps({**options, "projects": projects or None}).encode()
    headers = {"content-type": JSON_TYPE, "content-length": str(len(body))}
    answer = await _call(request, "serverMetadata/export", headers=headers, body=_once(body))
    if shape.base64 and isinstance(answer, StreamingResponse) and answer.status_code == 200:
        return StreamingResponse(_in_base64(shape.base64, answer.body_iterator), media_type=JSON_TYPE)
    return answer


async def _import(request: Request) -> Response:
    _, shape = STYLES[request.app.state.guesses.api_docs_style]
    headers = {"content-type": "application/octet-stream"}
    if shape.file is None:
        ensure_type(request, "application/octet-stream")
        headers |= {name: value for name, value in request.headers.items() if name == "content-length"}
    options, body, _ = await asked(request, shape, IMPORT_OPTIONS)
    query = [(name, json.dumps(value)) for name, value in options.items()]
    limited = _limited(body, request.app.state.guesses.upload_limit_mb)
    return await _call(request, "serverMetadata/import", query=query, headers=headers, body=limited)


async def _call(
    request: Request,
    path: str,
    *,
    body: AsyncIterator[bytes] | None,
    query: Sequence[tuple[str, str]] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Ask the Scheduler server that ``uri`` names, both bodies as streams."""
    server = re.fullmatch(r"//([\w.-]+|\[[0-9A-Fa-f:]+\]):(\d{1,5})", request.query_params.get("uri", ""))
    if server is None:
        raise Refused(400, "Illegal argument")
    if headers is None:
        headers = {name: value for name in _RELAYED_HEADERS if (value := request.headers.get(name))}
    client: httpx.AsyncClient = request.app.state.client
    try:
        call = client.build_request(
            request.method,
            f"http://{server[1]}:{server[2]}/rmi/{path}",
            params=tuple(query),
            headers={**headers, "authorization": request.state.login},
            content=body,
        )
        answer = await client.send(call, stream=True)
    except (httpx.TransportError, httpx.InvalidURL):
        return await _scheduler_down(request)
    kept = {name: value for name in _RELAYED_HEADERS if (value := answer.headers.get(name))}
    return StreamingResponse(_relayed(request, answer), answer.status_code, kept)


async def _scheduler_down(request: Request) -> Response:
    switch = request.app.state.guesses.scheduler_down
    if switch == "hang":
        await until_disconnect(request.receive)
        return Response()
    raise Refused(int(switch), INTERNAL_ERROR)


async def _not_found(path: str) -> Response:
    raise Refused(404, f"No static resource {path}.")


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"WWW-Authenticate": 'Basic realm="Denodo"'} if error.status == 401 else None
    return JSONResponse(error_body(error.status, str(error)), error.status, headers)


async def _nobody_listens(_request: Request, _error: Exception) -> Response:
    return Response()


async def _authorization(request: Request) -> None:
    said = request.headers.get("authorization", "")
    scheme, _, token = said.partition(" ")
    tokens: IssuedTokens = request.app.state.tokens
    request.state.login = {"basic": said, "bearer": tokens.login(token)}.get(scheme.lower())
    if not request.state.login:
        raise Refused(401, "Full authentication is required to access this resource")


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _in_base64(field: str, content: AsyncIterable[Any]) -> AsyncIterator[bytes]:
    """Carry a file in the field of a JSON object."""
    rest = b""
    yield b'{"fileName": "scheduler-metadata.zip", "%s": "' % field.encode()
    async for chunk in content:
        rest += chunk
        whole = len(rest) - len(rest) % 3
        yield base64.b64encode(rest[:whole])
        rest = rest[whole:]
    yield base64.b64encode(rest) + b'"}'


async def _limited(body: AsyncIterator[bytes], limit_mb: int | None) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in body:
        size += len(chunk)
        if limit_mb is not None and size > limit_mb * 1024 * 1024:
            raise Refused(413, "Maximum upload size exceeded")
        yield chunk


async def _relayed(request: Request, answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    except httpx.TransportError:
        await cut(request.receive)
    finally:
        await answer.aclose()
