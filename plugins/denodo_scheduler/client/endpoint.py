"""What it takes to ask one web tool about one Scheduler server, and the client that does it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from requests.auth import HTTPBasicAuth
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from denodo_ha.errors import causes, is_silence, readable, tls_next_step
from denodo_ha.server.address import second_path_uri
from denodo_ha.server.bodies import ANSWER_LIMIT
from denodo_ha.server.tokens import ClientCredentials
from denodo_ha.verdict import Answer, Reply
from denodo_scheduler.client.tokens import AnyTokens, BearerAuth, BearerTransport, Tokens
from denodo_scheduler.exceptions import ConfigurationError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

log = logging.getLogger(__name__)

_KEEP_ALIVE = 60.0
"""Seconds that an idle connection may be used again."""


@dataclass(frozen=True)
class Endpoint:
    """What it takes to ask one web tool about one Scheduler server, with login and TLS as the hook has them.

    :param url: the web tool's address with its base path.
    :param server: the Scheduler server, ``//host:port`` as the web tool reaches it.
    :param timeout: seconds to connect, and to wait for an answer; both together are the deadline of a path.
    :param answer_limit: bytes that an answer may have, unpacked.
    :param tokens: what a bearer token comes from, instead of ``auth``.
    :param ping: asks the server by a script, where the connection has one, and returns only if it lives.
    """

    conn_id: str
    url: str
    server: str
    timeout: tuple[float, float] = (5.0, 10.0)
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    auth: httpx.BasicAuth | None = field(default=None, repr=False, compare=False)
    tokens: AnyTokens | None = field(default=None, repr=False, compare=False)
    ping: Callable[[], object] | None = field(default=None, repr=False, compare=False)
    proxy: str | None = field(default=None, repr=False)
    answer_limit: int = ANSWER_LIMIT

    @classmethod
    def of(cls, hook: DenodoSchedulerHook) -> Self:
        """Read the hook's connection.

        :raises ConfigurationError: it is not usable.
        """
        settings = hook.settings
        with hook.get_conn() as session:
            login = session.auth
            merged: Any = session.merge_environment_settings(hook.base_url, {}, False, settings.verify, settings.cert)
        return cls(
            conn_id=hook.denodo_scheduler_conn_id,
            url=hook.base_url + settings.base_path,
            server=hook.server,
            timeout=settings.timeout,
            verify=merged["verify"],
            cert=merged["cert"],
            auth=httpx.BasicAuth(login.username, login.password) if isinstance(login, HTTPBasicAuth) else None,
            tokens=login.tokens if isinstance(login, BearerAuth) else None,
            proxy=next(iter(hook._proxies.values()), None),
            ping=hook.scripts.ping if hook.scripts else None,
            answer_limit=settings.answer_limit,
        )

    @property
    def tool(self) -> str:
        """The host of the web tool."""
        return urlsplit(self.url).hostname or ""

    @property
    def deadline(self) -> float:
        """Seconds that one answer may take."""
        return sum(self.timeout)

    @property
    def longest(self) -> float:
        """Seconds that one answer may take with the tokens for it: one before it, and another if that is refused."""
        return self.deadline * (3 if isinstance(self.tokens, Tokens) else 1)

    @property
    def grant(self) -> ClientCredentials | None:
        """What tokens are fetched by."""
        return self.tokens.login.grant if isinstance(self.tokens, Tokens) else None

    def client(self) -> httpx.AsyncClient:
        """Make a client for the web tool. It takes some milliseconds, so not in a loop.

        :raises ConfigurationError: the address, a certificate file or the proxy is not usable.
        """
        connect, read = self.timeout
        try:
            way = httpx.AsyncHTTPTransport(
                verify=_tls_context(self.verify, self.cert) if self.url.startswith("https:") else False,
                limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE),
                proxy=self.proxy,
                trust_env=False,
            )
            return httpx.AsyncClient(
                base_url=f"{self.url}/public/api",
                auth=self.auth,
                headers={"Accept-Encoding": "gzip"},
                transport=BearerTransport(way, self.tokens) if self.tokens else way,
                timeout=httpx.Timeout(read, connect=connect, pool=connect),
                trust_env=False,
            )
        except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
            raise ConfigurationError(
                f"Connection {self.conn_id!r}: no request can be sent: {readable(error)}. Check host and port, the "
                "files that verify and cert name, and the proxy settings of this machine."
            ) from None


def _tls_context(verify: bool | str, cert: str | tuple[str, str] | None) -> ssl.SSLContext:
    """The context that ``requests`` would make; one for all with the same files, because CA bundles are large."""
    ca = DEFAULT_CA_BUNDLE_PATH if verify is True else verify or None
    files = [ca, *([cert] if isinstance(cert, str) else cert or ())]
    return _made_context(ca, cert, tuple(Path(file).stat().st_mtime_ns for file in files if file))


@lru_cache(maxsize=64)
def _made_context(ca: str | None, cert: str | tuple[str, str] | None, _changed: tuple[int, ...]) -> ssl.SSLContext:
    context = create_urllib3_context()
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(**{"capath" if Path(ca).is_dir() else "cafile": ca})
        context.verify_mode = ssl.CERT_REQUIRED
    if cert:
        file, key = (cert, None) if isinstance(cert, str) else cert
        # With an empty password an encrypted key is an error; without one OpenSSL would ask on the terminal.
        context.load_cert_chain(file, key, bytes)
    return context


def over_second_path(
    second_path: str, server: DenodoSchedulerHook, through: DenodoSchedulerHook
) -> DenodoSchedulerHook | None:
    """Make a hook for the Scheduler server of ``server`` behind the web tool of ``through``; None where that cannot be.

    :param second_path: ``none``, ``//host:port`` or ``auto``, see :func:`denodo_ha.server.address.second_path_uri`.
    :raises ConfigurationError: a connection is not usable.
    """
    if second_path == "none":
        return None
    try:
        uri = second_path_uri(second_path, server.place, through.place)
    except LookupError as problem:
        log.warning(
            "The web tool of connection %r cannot be asked about the server of connection %r: %s. "
            "Set second_path of the pair to the server as that web tool reaches it, or to none.",
            through.denodo_scheduler_conn_id,
            server.denodo_scheduler_conn_id,
            problem,
        )
        return None
    hook = DenodoSchedulerHook(through.denodo_scheduler_conn_id, scheduler_uri=uri)
    hook.permit = through.permit
    return hook


_SILENCE = (httpx.NetworkError, httpx.RemoteProtocolError, OSError)
"""Of all errors of a request only these may mean that a server was asked and did not answer."""


def classified(error: Exception, *, proxied: bool) -> tuple[Answer, str]:
    """Tell what a request without an answer proves, silence or nothing at all, and why."""
    said = readable(error)
    if any(map(_is_tls, causes(error))):
        return Answer.MISCONFIGURED, f"TLS failed: {said}. {tls_next_step(said)}"
    if isinstance(error, httpx.ProxyError):
        return Answer.FAILED if str(error).startswith("5") else Answer.MISCONFIGURED, f"the HTTP proxy says: {said}"[
            :400
        ]
    if proxied and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Answer.MISCONFIGURED, f"the HTTP proxy cannot be reached: {said}"[:400]
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.PoolTimeout):
        connected = not isinstance(error, httpx.ConnectTimeout)
        return Answer.NO_ANSWER, "no answer in time" if connected else "no connection in time"
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
        return Answer.MISCONFIGURED, "the answer is not HTTP; check schema and port"
    silent = isinstance(error, _SILENCE) and not isinstance(error, httpx.CloseError) and is_silence(error)
    return Answer.NO_ANSWER if silent else Answer.MISCONFIGURED, said[:400]


def _is_tls(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


async def pinged(endpoint: Endpoint) -> Reply:
    """Ask by ``ping.sh``; an answer other than "up" says nothing about the server."""
    assert endpoint.ping is not None
    began = monotonic()
    answer, detail = Answer.UP, "ping.sh: the Scheduler server is alive"
    try:
        async with asyncio.timeout(endpoint.deadline):
            await asyncio.to_thread(endpoint.ping)
    except Exception as error:
        said = "no end in time" if isinstance(error, TimeoutError) else str(error)
        answer, detail = Answer.NOT_ASKED, f"ping.sh proves nothing: {said}"
    return Reply(answer, monotonic() - began, detail)
