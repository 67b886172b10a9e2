"""Ask over every path whether a pair's master is alive: asynchronously, with hard deadlines, and without retries.

For a trigger, which must never block its loop, and whose probes must cost next to nothing: the connections to the web
tools are kept alive from one round to the next.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, Self

import httpx
from requests.auth import HTTPBasicAuth
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3.util.ssl_ import create_urllib3_context

from denodo_ha.verdict import Answer, Observation
from denodo_scheduler.client.settings import is_loopback, server_uri
from denodo_scheduler.exceptions import ConfigurationError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

log = logging.getLogger(__name__)

MASTER, SECOND, SLAVE = "master", "second", "slave"

_KEEP_ALIVE = 60.0
"""Seconds that an idle connection may be used again."""

_MEANING = {
    401: "login refused; check login and password, or the server's Virtual DataPort is down",
    403: "the user may not do this",
    404: "not found; check host, port and base_path",
    407: "the HTTP proxy wants a login",
}


@dataclass(frozen=True)
class Endpoint:
    """What it takes to ask one web tool about one Scheduler server, with login and TLS as the hook has them.

    :param url: the web tool's address with its base path.
    :param server: the Scheduler server, ``//host:port`` as the web tool reaches it.
    :param timeout: seconds to connect, and to wait for an answer; both together are the deadline of a path.
    :param ping: asks a Scheduler server by a script, where the connection has one, and returns only if that lives.
    """

    conn_id: str
    url: str
    server: str
    timeout: tuple[float, float] = (5.0, 10.0)
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    auth: httpx.BasicAuth | None = field(default=None, repr=False, compare=False)
    ping: Callable[[str], object] | None = field(default=None, repr=False, compare=False)
    proxy: str | None = field(default=None, repr=False)

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
            proxy=select_proxy(hook.base_url, merged["proxies"]),
            ping=hook.scripts.ping if hook.scripts else None,
        )

    def client(self) -> httpx.AsyncClient:
        """Make a client for the web tool. It takes some milliseconds, so not in a loop.

        :raises ConfigurationError: the address, a certificate file or the proxy is not usable.
        """
        connect, read = self.timeout
        try:
            return httpx.AsyncClient(
                base_url=f"{self.url}/public/api",
                auth=self.auth,
                verify=_tls_context(self.verify, self.cert) if self.url.startswith("https:") else False,
                timeout=httpx.Timeout(read, connect=connect, pool=connect),
                limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE),
                proxy=self.proxy,
                trust_env=False,
            )
        except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
            raise ConfigurationError(
                f"Connection {self.conn_id!r}: no request can be sent: {_readable(error)}. Check host and port, the "
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


def second_uri(second_path: str, server: DenodoSchedulerHook, through: DenodoSchedulerHook) -> str | None:
    """Tell how the web tool of ``through`` reaches the Scheduler server of ``server``; None where it cannot.

    :param second_path: ``none``, ``//host:port``, or ``auto``: the server's own ``scheduler_uri``, with the host of its
        web tool in place of localhost.
    :raises ConfigurationError: a connection, or ``second_path``, is not usable.
    """
    if second_path == "none":
        return None
    auto = second_path == "auto"
    uri = server.server if auto else server_uri(second_path)
    if auto and is_loopback(uri) and not is_loopback(server.host):
        uri = _at(server.host, uri)
    its_machine = auto and is_loopback(uri) and not is_loopback(through.host)
    if not its_machine and _seen_from(through.host, uri) != _seen_from(through.host, through.server):
        return uri
    log.warning(
        "The web tool of connection %r cannot be asked about the server of connection %r: for it, %s is its own %s. "
        "Set second_path of the pair to the server as that web tool reaches it, or to none.",
        through.denodo_scheduler_conn_id,
        server.denodo_scheduler_conn_id,
        uri,
        "machine" if its_machine else "server",
    )
    return None


def _at(host: str, uri: str) -> str:
    return f"//{f'[{host}]' if ':' in host else host}:{uri.rpartition(':')[2]}"


def _seen_from(host: str, uri: str) -> str:
    """A server in a form in which all names that a machine gives itself are equal."""
    if not is_loopback(uri):
        return uri.casefold()
    return _at("localhost" if is_loopback(host) else host, uri).casefold()


class _NotProven(Exception):
    """An answer that does not prove a living server."""

    def __init__(self, answer: Answer, what: str) -> None:
        super().__init__(what)
        self.answer = answer


@dataclass(frozen=True)
class _Heard:
    answer: Answer
    seconds: float
    detail: str = ""


class Observer:
    """Asks about the master in rounds. An asynchronous context manager; make it where a few milliseconds do not matter.

    Path 1 comes first, and only where it does not prove the master up the others are asked. After such a round all are
    asked at once, because time matters then.

    Where a connection has the transport ``scripts``, ``ping.sh`` is asked about the master as well. Its exit code 0
    proves that the Scheduler server lives: that counts as an answer on path 2, so that the control path is broken.
    Anything else proves nothing [D]: then the web tools' answers stand as they are.

    :param master: path 1.
    :param slave: the slave's web tool about its own server; None leaves path 1 alone.
    :param second: the master as the slave's web tool reaches it, for path 2; None where it does not.
    """

    def __init__(self, *, master: Endpoint, slave: Endpoint | None = None, second: str | None = None) -> None:
        self._paths = {MASTER: (master, master.client())}
        if slave is not None:
            client = slave.client()
            self._paths[SLAVE] = (slave, client)
            if second is not None:
                self._paths[SECOND] = (replace(slave, server=second), client)
        self._in_doubt = False

    @classmethod
    def of(
        cls, master: DenodoSchedulerHook, slave: DenodoSchedulerHook | None = None, *, second_path: str = "auto"
    ) -> Self:
        """Read both hooks' connections, which may take a request to Airflow.

        :raises ConfigurationError: a connection is not usable.
        """
        if slave is None:
            return cls(master=Endpoint.of(master))
        return cls(master=Endpoint.of(master), slave=Endpoint.of(slave), second=second_uri(second_path, master, slave))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for _, client in self._paths.values():
            await client.aclose()

    async def observe(self) -> Observation:
        """Ask one round. It ends after one deadline of a connection, or after two where path 1 went silent just now."""
        at = datetime.now(UTC)
        pings: dict[str, asyncio.Task[_Heard]] = {}
        async with asyncio.TaskGroup() as group:
            tasks = {MASTER: group.create_task(self._ask(MASTER))}
            if not self._in_doubt:
                await asyncio.wait(tasks.values())
            if self._in_doubt or tasks[MASTER].result().answer is not Answer.UP:
                tasks |= {path: group.create_task(self._ask(path)) for path in (SECOND, SLAVE) if path in self._paths}
                pings = {path: group.create_task(self._ping(path)) for path in self._with_ping()}
            await asyncio.wait([tasks[MASTER]])
            self._in_doubt = tasks[MASTER].result().answer is not Answer.UP
            if not self._in_doubt:
                for task in (*tasks.values(), *pings.values()):
                    task.cancel()
        heard = {path: task.result() for path, task in tasks.items() if not task.cancelled()}
        answers = {path: heard[path].answer if path in heard else Answer.NOT_ASKED for path in (MASTER, SECOND, SLAVE)}
        details = {path: each.detail for path, each in heard.items() if each.detail}
        for path, ping in pings.items():
            if not ping.cancelled():
                details[path] = "; ".join(filter(None, (details.get(path), ping.result().detail)))
                answers[SECOND] = Answer.UP if ping.result().answer is Answer.UP else answers[SECOND]
        return Observation(
            at=at, **answers, seconds={path: each.seconds for path, each in heard.items()}, details=details
        )

    def _with_ping(self) -> list[str]:
        """The paths to the master that have a script as well."""
        return [path for path in (MASTER, SECOND) if path in self._paths and self._paths[path][0].ping]

    async def second_works(self) -> bool:
        """Whether path 2 proves that the master is up; without such a path it does not.

        By its web tool alone, because that one's silence is what counts later.
        """
        return SECOND in self._paths and (await self._ask(SECOND)).answer is Answer.UP

    async def _ask(self, path: str) -> _Heard:
        endpoint, client = self._paths[path]
        began = monotonic()
        answer, detail = Answer.UP, ""
        deadline = sum(endpoint.timeout)
        try:
            async with asyncio.timeout(deadline):
                await _read(client, "/me", endpoint.server, _is_me)
                await _read(client, "/projects", endpoint.server, _is_list)
        except TimeoutError:
            answer, detail = Answer.NO_ANSWER, f"no whole answer within {deadline:g} s"
        except _NotProven as found:
            answer, detail = found.answer, str(found)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            answer, detail = _classified(error), _readable(error)
        if detail:
            detail = f"{detail} (connection {endpoint.conn_id!r}, server {endpoint.server})"
        return _Heard(answer, round(monotonic() - began, 4), detail)

    async def _ping(self, path: str) -> _Heard:
        """Ask about the master by ``ping.sh``; an answer other than "up" says nothing about it."""
        endpoint, _ = self._paths[path]
        assert endpoint.ping is not None
        began = monotonic()
        answer, detail = Answer.UP, "ping.sh: the Scheduler server is alive"
        try:
            async with asyncio.timeout(sum(endpoint.timeout)):
                await asyncio.to_thread(endpoint.ping, endpoint.server)
        except Exception as error:
            said = "no end in time" if isinstance(error, TimeoutError) else str(error)
            answer, detail = Answer.NOT_ASKED, f"ping.sh proves nothing: {said}"
        return _Heard(answer, round(monotonic() - began, 4), detail)


class Looker:
    """The same for a step in a worker: a context manager whose looks cost a few milliseconds each."""

    def __init__(self, master: DenodoSchedulerHook, slave: DenodoSchedulerHook, *, second_path: str = "auto") -> None:
        self._observer = Observer.of(master, slave, second_path=second_path)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner as runner:
            runner.run(self._observer.aclose())

    def look(self) -> Observation:
        """Ask one round, see :meth:`Observer.observe`."""
        return self._runner.run(self._observer.observe())


async def _read(client: httpx.AsyncClient, path: str, server: str, expected: Callable[[Any], bool]) -> None:
    """Send one request; return only if its answer proves a living server.

    A connection that was kept alive may have been closed by the web tool just now, so a cut before any answer is worth
    one more request.
    """
    try:
        await _read_once(client, path, server, expected)
    except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
        await _read_once(client, path, server, expected)


async def _read_once(client: httpx.AsyncClient, path: str, server: str, expected: Callable[[Any], bool]) -> None:
    async with client.stream("GET", path, params={"uri": server}) as response:
        status = response.status_code
        if status >= 500:
            raise _NotProven(Answer.FAILED, f"{status} to GET {path}")
        if status >= 300:
            meaning = _MEANING.get(status, "a redirect" if status < 400 else "refused")
            raise _NotProven(Answer.MISCONFIGURED, f"{status} to GET {path}: {meaning}")
        try:
            body = await response.aread()
        except (httpx.ReadError, httpx.RemoteProtocolError, httpx.DecodingError):
            raise _NotProven(Answer.FAILED, f"the answer to GET {path} is cut or damaged") from None
    if "html" in response.headers.get("Content-Type", "") or body[:64].lstrip().startswith(b"<"):
        raise _NotProven(Answer.MISCONFIGURED, f"an HTML page to GET {path}: a login page or another application")
    try:
        content = json.loads(body)
    except ValueError:
        raise _NotProven(Answer.FAILED, f"the answer to GET {path} is not JSON: it is cut or damaged") from None
    if not expected(content):
        raise _NotProven(
            Answer.MISCONFIGURED, f"the answer to GET {path} is not that of Denodo Scheduler; check host and base_path"
        )


def _is_me(content: Any) -> bool:
    for key in ("serverData", "version", "full"):
        content = content.get(key) if isinstance(content, dict) else None
    return isinstance(content, str)


def _is_list(content: Any) -> bool:
    return isinstance(content, list)


def _classified(error: BaseException) -> Answer:
    """Tell what a request without an answer proves: silence, unless the request itself is at fault."""
    ours = isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.InvalidURL)
    at_fault = ours or _is_foreign(error) or any(map(_is_tls, _causes(error)))
    return Answer.MISCONFIGURED if at_fault else Answer.NO_ANSWER


def _is_foreign(error: BaseException) -> bool:
    """Whether somebody answered who does not speak HTTP."""
    return isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error)


def _is_tls(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _readable(error: BaseException) -> str:
    """One line that says what happened; the innermost error of the system says it best."""
    if isinstance(error, httpx.TimeoutException):
        return "no connection in time" if isinstance(error, httpx.ConnectTimeout) else "no answer in time"
    if _is_foreign(error):
        return "the answer is not HTTP; check schema and port"
    causes = [cause for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror]
    inner = causes[-1] if causes else None
    if isinstance(inner, ConnectionError) and inner.errno:
        return os.strerror(inner.errno)
    text = inner.strerror if inner else str(error)
    return " ".join((text or type(error).__name__).split()).rstrip(".")
