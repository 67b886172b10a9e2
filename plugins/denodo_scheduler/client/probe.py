"""Ask over every path whether a pair's master is alive: asynchronously, with hard deadlines, and without retries.

For a trigger, which must never block its loop, and whose probes must cost next to nothing: the connections to the web
tools are kept alive from one round to the next.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, Self

import httpx
from requests.auth import HTTPBasicAuth
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from denodo_ha.errors import causes, readable, tls_next_step
from denodo_ha.server.address import second_path_uri
from denodo_ha.server.bodies import ANSWER_LIMIT, BodyError, Unpacker
from denodo_ha.server.liveness import PROOF, NotProven, check_body, check_status, unreadable
from denodo_ha.verdict import MASTER, SECOND, SLAVE, Answer, Observation, Reply
from denodo_scheduler.client.logins import Logins
from denodo_scheduler.exceptions import ConfigurationError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

log = logging.getLogger(__name__)

_KEEP_ALIVE = 60.0
"""Seconds that an idle connection may be used again."""
_LARGE = 256 * 1024
"""Bytes of an answer from which on it is read in a thread, because the loop is not ours alone."""


@dataclass(frozen=True)
class Endpoint:
    """What it takes to ask one web tool about one Scheduler server, with login and TLS as the hook has them.

    :param url: the web tool's address with its base path.
    :param server: the Scheduler server, ``//host:port`` as the web tool reaches it.
    :param timeout: seconds to connect, and to wait for an answer; both together are the deadline of a path.
    :param answer_limit: bytes that an answer may have, unpacked.
    :param ping: asks the server by a script, where the connection has one, and returns only if it lives.
    """

    conn_id: str
    url: str
    server: str
    timeout: tuple[float, float] = (5.0, 10.0)
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    auth: httpx.BasicAuth | None = field(default=None, repr=False, compare=False)
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
            proxy=next(iter(hook._proxies.values()), None),
            ping=hook.scripts.ping if hook.scripts else None,
            answer_limit=settings.answer_limit,
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
                headers={"Accept-Encoding": "gzip"},
                verify=_tls_context(self.verify, self.cert) if self.url.startswith("https:") else False,
                timeout=httpx.Timeout(read, connect=connect, pool=connect),
                limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE),
                proxy=self.proxy,
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


class Observer:
    """Asks about the master in rounds, until it is closed. Make it where a few milliseconds do not matter.

    Path 1 comes first, and only where it does not prove the master up the others are asked. After such a round all are
    asked at once, because time matters then.

    Where a connection has the transport ``scripts``, ``ping.sh`` is asked about the master as well.

    :param master: path 1.
    :param slave: the slave's web tool about its own server; None leaves path 1 alone.
    :param second: the slave's web tool about the master, for path 2; None where it does not reach it.
    :param logins: what is known of refused logins; an observer that takes over from another one goes on with it.
    """

    def __init__(
        self,
        *,
        master: Endpoint,
        slave: Endpoint | None = None,
        second: Endpoint | None = None,
        logins: Logins | None = None,
    ) -> None:
        endpoints = {MASTER: master, SECOND: second, SLAVE: slave}
        self._paths = {path: (endpoint, endpoint.client()) for path, endpoint in endpoints.items() if endpoint}
        logins = logins or Logins()
        for endpoint, client in self._paths.values():
            logins.guard(endpoint, client)
        self._in_doubt = False

    @classmethod
    def of(
        cls,
        master: DenodoSchedulerHook,
        slave: DenodoSchedulerHook | None = None,
        *,
        second_path: str = "auto",
        logins: Logins | None = None,
    ) -> Self:
        """Read both hooks' connections, which may take requests to Airflow.

        :raises ConfigurationError: a connection is not usable.
        """
        second = over_second_path(second_path, master, slave) if slave else None
        return cls(
            master=Endpoint.of(master),
            slave=Endpoint.of(slave) if slave else None,
            second=Endpoint.of(second) if second else None,
            logins=logins,
        )

    async def aclose(self) -> None:
        for _, client in self._paths.values():
            await client.aclose()

    async def observe(self) -> Observation:
        """Ask one round. It ends after one deadline of a connection, or after two where path 1 went silent just now."""
        at = datetime.now(UTC)
        pings: dict[str, asyncio.Task[Reply]] = {}
        async with asyncio.TaskGroup() as group:
            tasks = {MASTER: group.create_task(self._ask(MASTER))}
            if not self._in_doubt:
                await asyncio.wait(tasks.values())
            if self._in_doubt or tasks[MASTER].result().answer is not Answer.UP:
                tasks |= {path: group.create_task(self._ask(path)) for path in (SECOND, SLAVE) if path in self._paths}
                scripts = {path: self._paths[path][0] for path in (MASTER, SECOND) if path in self._paths}
                pings = {path: group.create_task(_ping(each)) for path, each in scripts.items() if each.ping}
            await asyncio.wait([tasks[MASTER]])
            self._in_doubt = tasks[MASTER].result().answer is not Answer.UP
            if not self._in_doubt:
                for task in (*tasks.values(), *pings.values()):
                    task.cancel()
        heard, pinged = (
            {path: task.result() for path, task in asked.items() if not task.cancelled()} for asked in (tasks, pings)
        )
        return Observation.of(at, heard, pinged)

    async def second_works(self) -> bool:
        """Whether path 2 proves that the master is up; without such a path it does not.

        By its web tool alone, because that one's silence is what counts later.
        """
        return SECOND in self._paths and (await self._ask(SECOND)).answer is Answer.UP

    async def _ask(self, path: str) -> Reply:
        endpoint, client = self._paths[path]
        began = monotonic()
        answer, detail = Answer.UP, ""
        deadline = sum(endpoint.timeout)
        try:
            async with asyncio.timeout(deadline):
                for request in PROOF:
                    await _read(client, request, endpoint)
        except TimeoutError:
            answer, detail = Answer.NO_ANSWER, f"no whole answer within {deadline:g} s"
        except NotProven as found:
            answer, detail = found.answer, str(found)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            answer, detail = _classified(error)
        except Exception as error:  # whatever a server sends, the next round asks again
            log.exception("The answer of connection %r cannot be understood", endpoint.conn_id)
            answer, detail = Answer.MISCONFIGURED, f"the answer cannot be understood ({type(error).__name__})"
        if detail:
            detail = f"{detail} (connection {endpoint.conn_id!r}, server {endpoint.server})"
        return Reply(answer, round(monotonic() - began, 4), detail)


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


async def _ping(endpoint: Endpoint) -> Reply:
    """Ask by ``ping.sh``; an answer other than "up" says nothing about the server."""
    assert endpoint.ping is not None
    began = monotonic()
    answer, detail = Answer.UP, "ping.sh: the Scheduler server is alive"
    try:
        async with asyncio.timeout(sum(endpoint.timeout)):
            await asyncio.to_thread(endpoint.ping)
    except Exception as error:
        said = "no end in time" if isinstance(error, TimeoutError) else str(error)
        answer, detail = Answer.NOT_ASKED, f"ping.sh proves nothing: {said}"
    return Reply(answer, monotonic() - began, detail)


async def _read(client: httpx.AsyncClient, path: str, endpoint: Endpoint) -> None:
    """Send one request; return only if its answer proves a living server.

    A connection that was kept alive may have been closed by the web tool just now, so a cut before any answer is worth
    one more request.
    """
    try:
        await _read_once(client, path, endpoint)
    except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
        await _read_once(client, path, endpoint)


async def _read_once(client: httpx.AsyncClient, path: str, endpoint: Endpoint) -> None:
    limit = endpoint.answer_limit
    async with client.stream("GET", path, params={"uri": endpoint.server}) as response:
        check_status(path, response.status_code)
        body = bytearray()
        try:
            unpacker = Unpacker(response.headers.get("Content-Encoding", ""), limit)
            async for packed in response.aiter_raw():
                for piece in unpacker.feed(packed):
                    body += piece
            unpacker.end()
        except (httpx.ReadError, httpx.RemoteProtocolError):
            raise NotProven(Answer.FAILED, f"the answer to GET {path} is cut or damaged") from None
        except BodyError as error:
            raise unreadable(path, error) from None
    arguments = path, response.headers.get("Content-Type", ""), bytes(body), limit
    if len(body) < _LARGE:
        check_body(*arguments)
    else:
        await asyncio.to_thread(check_body, *arguments)


def _classified(error: Exception) -> tuple[Answer, str]:
    """Tell what a request without an answer proves, silence unless the request itself is at fault, and why."""
    if isinstance(error, httpx.TimeoutException):
        connected = not isinstance(error, httpx.ConnectTimeout)
        return Answer.NO_ANSWER, "no answer in time" if connected else "no connection in time"
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
        return Answer.MISCONFIGURED, "the answer is not HTTP; check schema and port"
    said = readable(error)
    if any(map(_is_tls, causes(error))):
        return Answer.MISCONFIGURED, f"TLS failed: {said}. {tls_next_step(said)}"
    ours = isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.InvalidURL)
    return Answer.MISCONFIGURED if ours else Answer.NO_ANSWER, said[:400]


def _is_tls(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
