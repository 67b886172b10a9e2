"""The web application of the page, built at its first request, because plugins are loaded by every component."""

from __future__ import annotations

from collections.abc import MutableMapping
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from denodo_scheduler.web import PREFIX

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""Headers of every answer, errors included."""
UNCACHED = "no-store"
"""How an answer without an ETag may be kept."""


LOGGED_OUT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in to Airflow</title>
</head>
<body>
<h1>You are not logged in to Airflow</h1>
<p><a href="{login}">Log in</a>. After that, the link that has led you here leads to its place on this page.</p>
</body>
</html>
"""
"""What a browser shows of an address without a login; all else gets JSON."""


class PageApp:
    """An ASGI application that imports FastAPI and builds the real one when it is first asked."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            self._app = build()
        await self._app(scope, receive, _with_headers(send))


def build() -> FastAPI:
    """Build the application: every route needs a login, also one that does not exist."""
    from fastapi import Depends, FastAPI, HTTPException, Request, Response
    from fastapi.exception_handlers import http_exception_handler
    from fastapi.responses import HTMLResponse

    from denodo_scheduler.web import access, docs, files, jobs, pairs

    app = FastAPI(
        title="Denodo pairs",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(access.user)],
    )

    @app.exception_handler(401)
    async def logged_out(request: Request, error: HTTPException) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return await http_exception_handler(request, error)
        base = request.scope["root_path"].removesuffix(f"/{PREFIX}")
        asked = urlencode({"next": request.url.path + (f"?{request.url.query}" if request.url.query else "")})
        return HTMLResponse(LOGGED_OUT.format(login=escape(f"{base}/api/v2/auth/login?{asked}")), error.status_code)

    app.include_router(pairs.router)
    app.include_router(jobs.router)
    app.include_router(docs.router)
    app.include_router(files.router)

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def nothing(path: str) -> None:
        raise HTTPException(404, "there is nothing here")

    return app


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", ())}
            added = HEADERS if b"etag" in given else {**HEADERS, "cache-control": UNCACHED}
            message["headers"] = [
                *message.get("headers", ()),
                *((name.encode(), value.encode()) for name, value in added.items()),
            ]
        await send(message)

    return sending
