"""Bearer tokens: fetched when one is needed, kept for the whole process, and sent by hook and probe alike.

What a token endpoint does is no evidence about a Scheduler server: its silence is an error of its own for the hook, and
no vote for the probe, whose deadline stands still meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from html import escape
from itertools import count
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, urlsplit

import httpx
import requests
from airflow.sdk.log import mask_secret
from requests import PreparedRequest, Response
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import HTTPError

from denodo_ha.errors import causes, readable, tls_next_step
from denodo_ha.server.address import is_loopback, proxy_url
from denodo_ha.server.answers import is_html
from denodo_ha.server.bodies import BodyError, parse_json
from denodo_ha.server.liveness import NotProven
from denodo_ha.server.tokens import TOKEN_LIMIT, ClientCredentials, Token, read_token, shown, why_refused
from denodo_ha.verdict import Answer
from denodo_scheduler.client import logins
from denodo_scheduler.client.exchange import BoundedAdapter, BoundedSession, within
from denodo_scheduler.client.transport import Call
from denodo_scheduler.exceptions import DenodoSchedulerError, NoTokenError, TokenRefusedError

log = logging.getLogger(__name__)

_AGAIN = 30.0
"""Seconds after which another token is asked for, where that failed while the one before is still valid."""
_REFUSED = (400, 401, 403)
_LATER = (408, 425, 429)
_MASKS = 100
"""So many tokens of a process are masked. Airflow forgets no mask, and each makes the next one slower: with a thousand
of them a triggerer would stand still for a second at each new token. None is ever logged here, masked or not."""


class _ClientRefused(TokenRefusedError):
    """Counts as a refused login."""


@dataclass(frozen=True, repr=False)
class TokenEndpoint:
    """Where a connection gets its tokens, and by what.

    :param timeout: seconds to connect, and to wait for an answer; both together are the deadline of a token.
    :param verify: and ``cert``: as for the web tool.
    """

    conn_id: str
    grant: ClientCredentials
    client: str
    secret: str
    timeout: tuple[float, float]
    verify: bool | str
    cert: str | tuple[str, str] | None

    @property
    def place(self) -> str:
        return shown(self.grant.token_url)

    @property
    def deadline(self) -> float:
        """Seconds that a token may take."""
        return sum(self.timeout)

    def fetch(self) -> Token:
        """Ask for a token, once.

        :raises TokenRefusedError: it is refused, or what comes is none. :raises NoTokenError: nothing whole comes.
        """
        call = Call(self.conn_id, self.place, "POST", urlsplit(self.place).path, TOKEN_LIMIT, TOKEN_LIMIT)
        form, login = self._said()
        exchange = None
        try:
            with (
                within(self.deadline) as exchange,
                self._session() as session,
                session.post(
                    self.grant.token_url,
                    data=form,
                    auth=login,
                    headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
                    timeout=self.timeout,
                    stream=True,
                    allow_redirects=False,
                ) as response,
            ):
                return self._read(call, response)
        except (requests.exceptions.RequestException, HTTPError, OSError, ValueError) as error:
            raise self._failed(error, late=exchange is not None and exchange.over) from None

    def _said(self) -> tuple[dict[str, str], HTTPBasicAuth | None]:
        """What the client says: the form, and the login where its secret is not in the form.

        For a login id and secret are encoded before they are joined, see RFC 6749, 2.3.1.
        """
        form = {"grant_type": "client_credentials", "scope": self.grant.scope}
        form = {name: value for name, value in form.items() if value}
        if self.grant.method == "client_secret_post":
            return form | {"client_id": self.client, "client_secret": self.secret}, None
        return form, HTTPBasicAuth(quote_plus(self.client), quote_plus(self.secret))

    def _failed(self, error: Exception, *, late: bool) -> DenodoSchedulerError:
        if late or isinstance(error, requests.exceptions.Timeout):
            return self.error(NoTokenError, f"no whole answer in time ({self.deadline:g} s)")
        if isinstance(error, BodyError):
            return self.error(NoTokenError, f"its answer {error}")
        said = readable(error)[:400]
        if not isinstance(error, requests.exceptions.SSLError):
            return self.error(NoTokenError, said)
        if any(isinstance(each, ssl.SSLEOFError | ssl.SSLZeroReturnError) for each in causes(error)):
            return self.error(NoTokenError, f"the connection to it was cut: {said}")
        return self.error(TokenRefusedError, f"TLS failed: {said}. {tls_next_step(said, with_tokens=True)}")

    def _session(self) -> BoundedSession:
        """A session for the token endpoint, by the settings of the environment that hold for its address.

        The secret goes in plain text only to this machine itself, so through no proxy.
        """
        session, url = BoundedSession(), self.grant.token_url
        merged: Any = session.merge_environment_settings(url, {}, True, self.verify, self.cert)
        session.trust_env = False
        session.verify, session.cert = merged["verify"], merged["cert"]
        host = urlsplit(url).hostname or ""
        proxy = None if is_loopback(host) else select_proxy(url, get_environ_proxies(url))
        session.proxies = {"all": proxy_url(proxy)} if proxy else {}
        for schema in ("https://", "http://"):
            session.mount(schema, BoundedAdapter(idle=120, count=20, interval=30))
        return session

    def _read(self, call: Call, response: Response) -> Token:
        status = response.status_code
        if status >= 500 or status in _LATER:
            raise self.error(NoTokenError, f"it answers {status}")
        if 300 <= status < 400:
            raise self.error(TokenRefusedError, f"it redirects ({status})")
        body = call.body(response)
        html = is_html(response.headers.get("Content-Type", ""), body[:64])
        if status >= 400:
            try:
                said = why_refused(parse_json(body, TOKEN_LIMIT), self.secrets)
            except BodyError:
                said = ""
            kind = _ClientRefused if status in _REFUSED else TokenRefusedError
            raise self.error(kind, f"it refuses the client ({status}{f', {said}' if said else ''})")
        if html:
            raise self.error(TokenRefusedError, "its answer is an HTML page: a login page or another application")
        try:
            return read_token(parse_json(body, TOKEN_LIMIT))
        except BodyError:
            raise
        except ValueError as error:
            raise self.error(TokenRefusedError, f"its answer {error}") from None

    @property
    def secrets(self) -> set[str]:
        """The forms in which the client's secret might be said."""
        joined = b64encode(f"{quote_plus(self.client)}:{quote_plus(self.secret)}".encode()).decode()
        return {self.secret, quote(self.secret, safe=""), quote_plus(self.secret), escape(self.secret), joined}

    def error(self, kind: type[DenodoSchedulerError], what: str) -> DenodoSchedulerError:
        return kind(
            f"The token endpoint {self.place} of connection {self.conn_id!r} gives no token: {' '.join(what.split())}. "
            "It says nothing about the Scheduler server, which was not asked"
        )


class _Held(NamedTuple):
    """A token with the moments, by ``time.monotonic``, at which it is renewed and at which it ends."""

    value: str
    renew: float
    end: float


class StaticToken:
    """A token that the connection has as its password."""

    renewable = False

    def __init__(self, value: str) -> None:
        self.login: object = value
        self._value = value

    def known(self) -> str:
        return self._value

    def get(self, refused: str = "") -> str:
        """Return the token: there is no other one."""
        return self._value

    def drop(self, refused: str) -> None:
        """Keep it."""


class Tokens:
    """The tokens of one connection. Threads that need one at the same time fetch it once.

    After three refusals in a row the client is tried once each five minutes, as other logins are.
    """

    renewable = True

    def __init__(self, endpoint: TokenEndpoint) -> None:
        self.login = endpoint
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._spent = ""
        self._failure: tuple[DenodoSchedulerError, float] | None = None
        self._refused = (0, 0.0)

    def known(self) -> str:
        """The token that needs no renewal yet; empty where there is none."""
        held = self._held
        return held.value if held and held.value != self._spent and monotonic() < held.renew else ""

    def drop(self, refused: str) -> None:
        """Forget a token that the web tool refused."""
        held = self._held
        if held and held.value == refused:
            self._spent = refused

    def get(self, refused: str = "") -> str:
        """Return a token, fetched where that is due.

        :param refused: the token that the web tool refused just now; another one is wanted.
        :raises TokenRefusedError: the client is refused. :raises NoTokenError: the token endpoint gives none.
        """
        asked = monotonic()
        self.drop(refused)
        if token := self.known():
            return token
        with self._lock:
            if token := self.known():
                return token
            if self._failure and self._failure[1] >= asked:  # while this thread waited
                raise type(self._failure[0])(str(self._failure[0]))
            try:
                return self._fetched()
            except DenodoSchedulerError as error:
                self._failure, held = (error, monotonic()), self._held
                if held is None or held.value == self._spent or monotonic() >= held.end:
                    raise
                log.warning("The token before is used until it ends. %s", error)
                self._held = held._replace(renew=min(monotonic() + _AGAIN, held.end))
                return held.value

    def _fetched(self) -> str:
        count, last = self._refused
        left = last + logins.PAUSE - monotonic()
        if count >= logins.LIMIT and left > 0:
            raise self.login.error(
                TokenRefusedError,
                f"it refused the client {count} times in a row, and so as not to lock it it is asked again in "
                f"{left:.0f} s only, or when the connection has been corrected",
            )
        began = monotonic()
        try:
            token = self.login.fetch()
        except _ClientRefused:
            self._refused = count + 1, monotonic()
            raise
        if next(_masks) < _MASKS:
            mask_secret(token.value)
        lasts = float("inf") if token.lasts is None else token.lasts
        self._held = _Held(token.value, began + lasts - token.margin, began + lasts)
        self._spent, self._failure, self._refused = "", None, (0, 0.0)  # it may be the one before
        valid = "until it is refused" if token.lasts is None else f"for {lasts:g} s"
        log.info("Connection %r: a token came from %s, valid %s", self.login.conn_id, self.login.place, valid)
        return token.value


AnyTokens = Tokens | StaticToken

_known: dict[str, Tokens] = {}
_knowing = threading.Lock()
_masks = count()


def tokens_of(endpoint: TokenEndpoint) -> Tokens:
    """The tokens of this process for a connection; new ones when the connection has changed."""
    with _knowing:
        known = _known.get(endpoint.conn_id)
        if known is None or known.login != endpoint:
            known = _known[endpoint.conn_id] = Tokens(endpoint)
            for secret in endpoint.secrets:
                mask_secret(secret)
        return known


def forget_tokens() -> None:
    """Begin anew, as a process does that was forked while a thread of the other one held a lock."""
    global _knowing, _masks
    _knowing, _masks = threading.Lock(), count()
    _known.clear()


os.register_at_fork(after_in_child=forget_tokens)


class BearerAuth(AuthBase):
    """Has ``requests`` send a token, and forgets one that is refused."""

    def __init__(self, tokens: AnyTokens) -> None:
        self.tokens = tokens

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        token = self.tokens.get()

        def heard(response: Response, **_: Any) -> None:
            if response.status_code == httpx.codes.UNAUTHORIZED:
                self.tokens.drop(token)

        request.headers["Authorization"] = f"Bearer {token}"
        request.register_hook("response", heard)  # type: ignore[no-untyped-call]
        return request


class BearerTransport(httpx.AsyncBaseTransport):
    """Has ``httpx`` send a token, and another one where the first is refused.

    As a transport, because with an authentication of ``httpx`` the whole body of a refusal would be read.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, tokens: AnyTokens) -> None:
        self._inner, self._tokens = inner, tokens

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        token = self._tokens.known() or await self._got()
        response = await self._sent(request, token)
        if response.status_code != httpx.codes.UNAUTHORIZED or not self._tokens.renewable:
            return response
        await response.aclose()
        return await self._sent(request, await self._got(token))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _sent(self, request: httpx.Request, token: str) -> httpx.Response:
        request.headers["Authorization"] = f"Bearer {token}"
        return await self._inner.handle_async_request(request)

    async def _got(self, refused: str = "") -> str:
        """Get a token in a thread, while the deadline of the request stands still."""
        assert isinstance(self._tokens, Tokens)
        seconds = self._tokens.login.deadline
        async with standing_still():
            try:
                async with asyncio.timeout(seconds + 1):  # a lookup of the name has no deadline of its own
                    return await asyncio.to_thread(self._tokens.get, refused)
            except TimeoutError:
                what = f"no token within {seconds:g} s from {self._tokens.login.place}"
            except Exception as error:
                what = str(error) if isinstance(error, DenodoSchedulerError) else readable(error)
        raise NotProven(Answer.MISCONFIGURED, what)


_deadline: ContextVar[asyncio.Timeout | None] = ContextVar("deadline of a request", default=None)


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """Give the block so many seconds, without those in which it is not the server that is waited for.

    :raises TimeoutError: they are over.
    """
    async with asyncio.timeout(seconds) as deadline:
        before = _deadline.set(deadline)
        try:
            yield
        finally:
            _deadline.reset(before)


@asynccontextmanager
async def standing_still() -> AsyncIterator[None]:
    """Wait in the block for something else than the server: its deadline stands still."""
    deadline, now = _deadline.get(), asyncio.get_running_loop().time
    end = deadline.when() if deadline else None
    if deadline is None or end is None:
        yield
        return
    left = end - now()
    deadline.reschedule(None)
    try:
        yield
    finally:
        deadline.reschedule(now() + left)
