"""Bearer tokens of the web tool: a token endpoint of its own, so that clients of OAuth 2 can be tried.

How a real web tool is told of its authorisation server is not modelled: here a client is an account of the Scheduler
server, its id the login and its secret the password, and a token stands for both until it ends.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from time import monotonic
from urllib.parse import parse_qs, unquote_plus

from fastapi import Request
from fastapi.responses import JSONResponse, Response


class IssuedTokens:
    """The tokens of one web tool, which it forgets when it ends."""

    def __init__(self) -> None:
        self._issued: dict[str, tuple[str, float]] = {}

    def issue(self, login: str, seconds: float) -> str:
        """Make a token that stands for the header ``login`` for so many seconds."""
        now = monotonic()
        self._issued = {token: each for token, each in self._issued.items() if each[1] > now}
        token = secrets.token_urlsafe(24)
        self._issued[token] = login, now + seconds
        return token

    def login(self, token: str) -> str | None:
        """Return the header that a token stands for; None where it is unknown or has ended."""
        login, end = self._issued.get(token, ("", 0.0))
        return login if monotonic() < end else None


async def give_token(request: Request, tokens: IssuedTokens, seconds: int) -> Response:
    """Answer a request for a token by client credentials, RFC 6749, 4.4."""
    form = parse_qs((await request.body()).decode("latin-1"))
    if form.get("grant_type") != ["client_credentials"]:
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        client, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        client = colon = secret = ""
    if scheme.lower() != "basic" or not colon:
        return JSONResponse({"error": "invalid_client"}, 401, {"WWW-Authenticate": 'Basic realm="tokens"'})
    login = base64.b64encode(f"{unquote_plus(client)}:{unquote_plus(secret)}".encode()).decode()
    token = tokens.issue(f"Basic {login}", seconds)
    answer = {"access_token": token, "token_type": "Bearer", "expires_in": seconds}
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})
