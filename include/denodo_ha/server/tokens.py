"""OAuth 2 bearer tokens: what a connection says about them, and what a token endpoint's answer means (RFC 6749)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from denodo_ha.server.address import is_loopback

TOKEN_LIMIT = 64 * 1024
"""How large the answer of a token endpoint may be, in bytes."""
_LONGEST_TOKEN = 16 * 1024
_SHORTEST_TOKEN = 5
"""Airflow does not mask what is shorter."""
_MARGIN = 60.0
_LONGEST_LIFE = 366 * 86400.0
_HOW = (
    'expected basic, bearer, or {"type": "client_credentials", "token_url": "https://…", "scope": "…", "method": "…"}'
)

_METHODS = ("client_secret_basic", "client_secret_post")
"""How a client tells its secret: by HTTP Basic, or in the form; the names are those of RFC 7591."""


@dataclass(frozen=True)
class ClientCredentials:
    """The grant of OAuth 2 by which the connection's login and password, as client id and secret, get a token.

    :param token_url: address of the token endpoint. :param scope: what the token is asked for; empty: nothing is said.
    :param method: how the secret is told, by HTTP Basic (``client_secret_basic``) or in the form.
    """

    token_url: str = field(repr=False)
    scope: str = ""
    method: str = _METHODS[0]


Auth = Literal["basic", "bearer"] | ClientCredentials
"""How a connection logs in: by HTTP Basic, by a token that is its password, or by tokens that are fetched."""


def read_auth(value: Any) -> Auth:
    """Read ``auth`` of a connection's extra.

    :raises ValueError: it is none; the message says what is expected.
    """
    if value in ("basic", "bearer"):
        return value  # type: ignore[no-any-return]
    if isinstance(value, ClientCredentials):
        return value
    if not isinstance(value, dict) or value.get("type") != "client_credentials":
        raise ValueError(_HOW)
    if unknown := sorted(map(str, value.keys() - {"type", "token_url", "scope", "method"})):
        raise ValueError(f"{_HOW}, without {', '.join(unknown)[:100]}")
    url, scope = value.get("token_url"), value.get("scope") or ""
    if not isinstance(scope, str) or not re.fullmatch(r"[\x20-\x7e]*", scope):
        raise ValueError("expected as scope a text of names with spaces between them")
    method = value.get("method") or _METHODS[0]
    if method not in _METHODS:
        raise ValueError(f"expected as method {' or '.join(_METHODS)}")
    return ClientCredentials(_token_url(url), scope, method)


def _token_url(url: Any) -> str:
    try:
        parts = urlsplit(url if isinstance(url, str) and re.fullmatch(r"[\x21-\x7e]+", url) else "")
        whole = parts.hostname and parts.port != 0 and not (parts.username or parts.password or parts.fragment)
    except ValueError:
        whole = None
    if not whole or "@" in parts.netloc or parts.scheme not in ("http", "https"):
        raise ValueError("expected as token_url the address of the token endpoint, https://…, without login")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("expected as token_url an address with https, because the client secret is sent to it")
    return str(url)


def shown(url: str) -> str:
    """Return the address of a token endpoint without its query, which may hold what is secret."""
    return url.partition("?")[0]


def common_endpoint(one: object, other: object) -> str:
    """Return the token endpoint of two logins whose tokens come from one server, or nothing."""
    if not isinstance(one, ClientCredentials) or not isinstance(other, ClientCredentials):
        return ""
    servers = [urlsplit(each.token_url) for each in (one, other)]
    ports = {"https": 443, "http": 80}
    places = {(each.hostname, each.port or ports[each.scheme]) for each in servers}
    return shown(one.token_url) if len(places) == 1 else ""


class Token(NamedTuple):
    """A token, and for how many seconds it is valid; None where its server does not say that."""

    value: str
    lasts: float | None = None

    @property
    def margin(self) -> float:
        """How many seconds before its end another one is fetched: a fifth of its life, a minute at most."""
        return min(_MARGIN, (self.lasts or 0.0) / 5)


def usable(value: Any) -> bool:
    """Whether a token can be sent in a header, and is masked by Airflow."""
    return isinstance(value, str) and bool(re.fullmatch(rf"[\x21-\x7e]{{{_SHORTEST_TOKEN},{_LONGEST_TOKEN}}}", value))


def read_token(answer: Any) -> Token:
    """Read what a token endpoint answers with success.

    :raises ValueError: it is no bearer token; the message continues a sentence about the answer, and holds no token.
    """
    if not isinstance(answer, dict) or "access_token" not in answer:
        raise ValueError("holds no access_token")
    kind = answer.get("token_type")
    if kind is None:
        raise ValueError("holds a token without token_type, which must be Bearer")
    if not isinstance(kind, str) or kind.casefold() != "bearer":
        said = repr(kind) if isinstance(kind, str) and re.fullmatch(r"[A-Za-z_-]{1,20}", kind) else "another one"
        raise ValueError(f"holds a token of the type {said}, and not Bearer")
    value = answer["access_token"]
    if not usable(value):
        raise ValueError("holds a token that cannot be sent: it is no text of 5 to 16384 characters without spaces")
    return Token(value, _seconds(answer.get("expires_in")))


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if not isfinite(seconds) or seconds <= 0:
        raise ValueError("holds a token whose expires_in is no number of seconds above 0")
    return min(seconds, _LONGEST_LIFE)


def why_refused(answer: Any, secrets: Iterable[str]) -> str:
    """Return what a token endpoint says about its refusal; nothing where that holds one of the secrets."""
    if not isinstance(answer, dict):
        return ""
    code, description = answer.get("error"), answer.get("error_description")
    said = [code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,60}", code) else ""]
    if isinstance(description, str):
        said.append(" ".join(description.split())[:200])
    text = ": ".join(filter(None, said))
    return "" if any(secret in str(description) for secret in secrets if secret) else text
