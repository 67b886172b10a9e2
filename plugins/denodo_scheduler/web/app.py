"""The web application of the page, built at its first request, because plugins are loaded by every component."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

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
    from fastapi import Depends, FastAPI, HTTPException

    from denodo_scheduler.web import access, docs, files, jobs, pairs

    app = FastAPI(
        title="Denodo pairs",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(access.user)],
    )
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
