"""Ask over every path whether a pair's master is alive: asynchronously, with hard deadlines, and without retries.

For a trigger, which must never block its loop, and whose probes must cost next to nothing: the connections to the web
tools are kept alive from one round to the next.

What is no evidence about the server is no vote: a name that does not resolve is asked at the last address it led to,
and an answer of the slave's own server, to which the master's name may lead after the loss of a site, is none of the
master.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple, Self

import httpx

from denodo_ha.checks import same_server
from denodo_ha.jobs import JobStatus
from denodo_ha.server.address import Place, at, common_name, is_name, uri_host
from denodo_ha.server.answers import read_statuses
from denodo_ha.server.bodies import BodyError, Unpacker, parse_json
from denodo_ha.server.liveness import PROOF, NotProven, check_body, check_status, fingerprint, unreadable
from denodo_ha.server.tokens import common_endpoint
from denodo_ha.verdict import MASTER, SECOND, SLAVE, Answer, Observation, Reply, said
from denodo_scheduler.client.endpoint import Endpoint, classified, over_second_path, pinged
from denodo_scheduler.client.logins import Logins
from denodo_scheduler.client.names import Names, led_elsewhere, no_vote
from denodo_scheduler.client.tokens import in_time, standing_still
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

__all__ = ["Endpoint", "Looker", "Observer", "over_second_path"]

log = logging.getLogger(__name__)

_LARGE = 256 * 1024
"""Bytes of an answer from which on it is read in a thread, because the loop is not ours alone."""
_TOLD_APART = 60.0
"""How many seconds two servers with equal projects are taken for two, once their jobs have told them apart."""
_NEVER_COUNTS = "its silence would prove nothing. Write an address, or a name that resolves here, into 'second_path'"
_SILENT = (Answer.FAILED, Answer.NO_ANSWER)


class _Way(NamedTuple):
    """How a request gets to a server, where that is another way than by the names of the endpoint.

    :param address: of the web tool. :param server: ``//host:port`` of the Scheduler server behind it.
    """

    address: str = ""
    server: str = ""


_BY_NAME = _Way()


class _Path:
    """
    One web tool that is asked about one server.

    ``projects`` is what the server that answered last has, and ``peer`` the address of the web tool that passed it on.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.client = endpoint.client()
        self.projects: frozenset[tuple[str, str]] | None = None
        self.peer = ""

    async def ask(self, way: _Way = _BY_NAME, requests: Iterable[str] = PROOF) -> Reply:
        """Ask whether the server lives. ``/projects`` is the last request: it tells one server from another."""
        endpoint, began = self.endpoint, monotonic()
        answer, detail, content = Answer.UP, "", None
        try:
            async with in_time(endpoint.deadline):
                for request in requests:
                    content = await self._read(request, way)
        except TimeoutError:
            answer, detail = Answer.NO_ANSWER, f"no whole answer within {endpoint.deadline:g} s"
        except NotProven as found:
            answer, detail = found.answer, str(found)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            answer, detail = classified(error, proxied=endpoint.proxy is not None)
        except Exception as error:  # whatever a server sends, the next round asks again
            log.exception("The answer of connection %r cannot be understood", endpoint.conn_id)
            answer, detail = Answer.MISCONFIGURED, f"the answer cannot be understood ({type(error).__name__})"
        else:
            self.projects = fingerprint(content)
        if detail:
            detail = f"{detail} ({self.described(way)})"
        return Reply(answer, round(monotonic() - began, 4), detail)

    def described(self, way: _Way) -> str:
        where = f" at {way.address}" if way.address else ""
        return f"connection {self.endpoint.conn_id!r}{where}, server {way.server or self.endpoint.server}"

    async def statuses(self, way: _Way = _BY_NAME) -> list[JobStatus] | None:
        """Read the state of every job; None where that fails, or the answer leaves out which jobs these are."""
        try:
            async with in_time(self.endpoint.deadline):
                body = (await self._fetched("/jobs/status", way))[1]
                return await asyncio.to_thread(_statuses, body, self.endpoint.answer_limit)
        except Exception as error:
            log.info("The jobs of connection %r cannot be read: %s", self.endpoint.conn_id, error)
            return None

    async def _read(self, path: str, way: _Way) -> Any:
        """Send one request of the proof; return what its answer says only if that proves a living server."""
        limit = self.endpoint.answer_limit
        arguments = path, *await self._fetched(path, way), limit
        if len(arguments[2]) < _LARGE:
            return check_body(*arguments)
        async with standing_still():  # threads may be busy with what other pairs wait for
            return await asyncio.to_thread(check_body, *arguments)

    async def _fetched(self, path: str, way: _Way) -> tuple[str, bytes]:
        """Content type and body of an answer.

        A connection that was kept alive may have been closed by the web tool just now, so a cut before any answer is
        worth one more request.
        """
        try:
            return await self._fetched_once(path, way)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            return await self._fetched_once(path, way)

    async def _fetched_once(self, path: str, way: _Way) -> tuple[str, bytes]:
        endpoint, url, more = self.endpoint, path, dict[str, Any]()
        if way.address:  # TLS is checked against the name all the same
            named = self.client.base_url
            url = str(named.copy_with(host=way.address)).rstrip("/") + path
            more = {"headers": {"Host": named.netloc.decode()}, "extensions": {"sni_hostname": named.host}}
        async with self.client.stream("GET", url, params={"uri": way.server or endpoint.server}, **more) as response:
            check_status(path, response.status_code)
            if stream := response.extensions.get("network_stream"):
                self.peer = str((stream.get_extra_info("server_addr") or [""])[0])
            body = bytearray()
            try:
                unpacker = Unpacker(response.headers.get("Content-Encoding", ""), endpoint.answer_limit)
                async for packed in response.aiter_raw():
                    for piece in unpacker.feed(packed):
                        body += piece
                unpacker.end()
            except (httpx.ReadError, httpx.RemoteProtocolError):
                raise NotProven(Answer.FAILED, f"the answer to GET {path} is cut or damaged") from None
            except BodyError as error:
                raise unreadable(path, error) from None
            return response.headers.get("Content-Type", ""), bytes(body)


class Observer:
    """Asks about the master in rounds, until it is closed. Make it where a few milliseconds do not matter.

    Path 1 comes first, and only where it does not prove the master up the others are asked. After such a round all are
    asked at once, because time matters then.

    Where a connection has the transport ``scripts``, ``ping.sh`` is asked about the master as well.

    :param master: path 1.
    :param slave: the slave's web tool about its own server; None leaves path 1 alone.
    :param second: the slave's web tool about the master, for path 2; None where it does not reach it.
    :param logins: what is known of refused logins; an observer that takes over from another one goes on with it.
    :param addresses: the last address that each name on the way to the master led to.
    """

    def __init__(
        self,
        *,
        master: Endpoint,
        slave: Endpoint | None = None,
        second: Endpoint | None = None,
        logins: Logins | None = None,
        addresses: Mapping[str, str] | None = None,
    ) -> None:
        endpoints = {MASTER: master, SECOND: second, SLAVE: slave}
        self._paths = {path: _Path(endpoint) for path, endpoint in endpoints.items() if endpoint}
        logins = logins or Logins()
        for path in self._paths.values():
            logins.guard(path.endpoint, path.client)
        self._in_doubt = False
        self._names = Names(addresses or {})
        self._met = False
        self._apart: dict[str, tuple[frozenset[tuple[str, str]] | None, float]] = {}
        self.paths: dict[str, dict[str, Any]] = {}

    @classmethod
    def of(
        cls,
        master: DenodoSchedulerHook,
        slave: DenodoSchedulerHook | None = None,
        *,
        second_path: str = "auto",
        logins: Logins | None = None,
        addresses: Mapping[str, str] | None = None,
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
            addresses=addresses,
        )

    @property
    def addresses(self) -> dict[str, str]:
        """The last address that each name on the way to the master led to, while the master was heard there."""
        return self._names.known

    @property
    def longest_round(self) -> float:
        """How many seconds a round may take."""
        return 4 * max(path.endpoint.longest for path in self._paths.values())

    async def aclose(self) -> None:
        self._names.close()
        for path in self._paths.values():
            await path.client.aclose()

    async def observe(self) -> Observation:
        """Ask one round, and keep what was heard on each path in ``paths``.

        It ends after one deadline of a connection, or after two where path 1 went silent just now; a name that does
        not resolve makes it twice as long.
        """
        began = datetime.now(UTC)
        pings: dict[str, asyncio.Task[Reply]] = {}
        async with asyncio.TaskGroup() as group:
            tasks = {MASTER: group.create_task(self._ask_master())}
            if not self._in_doubt:
                await asyncio.wait(tasks.values())
            if self._in_doubt or tasks[MASTER].result().answer is not Answer.UP:
                if SECOND in self._paths:
                    tasks[SECOND] = group.create_task(self._ask_second())
                if SLAVE in self._paths:
                    tasks[SLAVE] = group.create_task(self._paths[SLAVE].ask())
                scripts = {path: self._paths[path].endpoint for path in (MASTER, SECOND) if path in self._paths}
                pings = {path: group.create_task(pinged(each)) for path, each in scripts.items() if each.ping}
            await asyncio.wait([tasks[MASTER]])
            self._in_doubt = tasks[MASTER].result().answer is not Answer.UP
            if not self._in_doubt:
                for task in (*tasks.values(), *pings.values()):
                    task.cancel()
        heard, scripted = (
            {path: task.result() for path, task in asked.items() if not task.cancelled()} for asked in (tasks, pings)
        )
        common = "; ".join(filter(None, [self._common(), self._common_tokens()])) if self._in_doubt else ""
        self.paths |= (observed := Observation.of(began, heard, scripted, common)).paths
        return observed

    async def second_works(self) -> bool:
        """Whether path 2 proves that the master is up; without such a path it does not.

        By its web tool alone, because that one's silence is what counts later.
        """
        await self.meet_slave()
        if SECOND not in self._paths or not await self._noted(SECOND, self._ask_second()):
            return False
        host = uri_host(self._paths[SECOND].endpoint.server)
        if is_name(host) and host not in self._names.known:
            log.warning(
                "Path 2 leads to the master by the name %s, which does not resolve here: %s", host, _NEVER_COUNTS
            )
            return False
        return True

    async def meet_slave(self) -> None:
        """Read what tells the slave's server from the master's."""
        if SLAVE in self._paths:
            await self._noted(SLAVE, self._paths[SLAVE].ask(requests=["/projects"]))

    async def _noted(self, path: str, asked: Awaitable[Reply]) -> bool:
        """Whether what is asked for proves a living server."""
        began, reply = datetime.now(UTC), await asked
        self.paths[path] = said(path, reply, began)
        return reply.answer is Answer.UP

    async def _ask_master(self) -> Reply:
        """Ask over path 1: by the web tool's name, and at its last address where the name says nothing."""
        path, names = self._paths[MASTER], self._names
        tool, connect = path.endpoint.tool, path.endpoint.timeout[0]
        last = names.known.get(tool, "")
        named = is_name(tool) and path.endpoint.proxy is None
        if named and last and tool in names.missing and not await names.lookup(tool, connect):
            return await self._ask(MASTER, _Way(address=last))
        reply = await self._ask(MASTER)
        if not named or reply.answer in (Answer.UP, Answer.FAILED):
            return reply
        if reply.elsewhere:
            if last in ("", path.peer):
                return reply
        elif address := await names.lookup(tool, connect):
            if last in ("", address) or reply.answer is not Answer.NO_ANSWER:
                return reply
        elif not last:
            return no_vote(tool, reply)
        found = await self._ask(MASTER, _Way(address=last))
        if reply.elsewhere:
            return found if found.answer in _SILENT else reply
        if tool in names.missing:
            return found
        return led_elsewhere(tool, reply) if found.answer is Answer.UP else reply

    async def _ask_second(self) -> Reply:
        """Ask over path 2: by the server's name and at its address.

        The slave's web tool may answer the same for a name that it cannot resolve as for a server that is dead [G], so
        silence counts only where an address was asked.
        """
        path, names = self._paths[SECOND], self._names
        server = path.endpoint.server
        host = uri_host(server)
        if not is_name(host):
            return await self._ask(SECOND)
        last = names.known.get(host, "")
        found: list[Reply] = []
        async with asyncio.TaskGroup() as group:
            by_name = group.create_task(self._ask(SECOND))
            lookup = group.create_task(names.lookup(host, path.endpoint.timeout[0]))
            if last:
                found.append(await self._ask(SECOND, _Way(server=at(last, server))))
        reply, address = by_name.result(), lookup.result()
        if reply.answer in _SILENT and address not in ("", last):
            found.append(await self._ask(SECOND, _Way(server=at(address, server))))
        if reply.answer is Answer.UP:
            if address and (host != self._paths[MASTER].endpoint.tool or not last):
                names.known[host] = address
            return reply
        if reply.answer is Answer.MISCONFIGURED and not (reply.elsewhere and found):
            return reply
        if not found:
            return no_vote(host, reply)
        return next((each for each in found if each.answer not in _SILENT), found[-1])

    async def _ask(self, name: str, way: _Way = _BY_NAME) -> Reply:
        """Ask over one path, and tell an answer of the slave's own server from one of the master's."""
        path = self._paths[name]
        reply = await path.ask(way)
        if reply.answer is not Answer.UP or SLAVE not in self._paths:
            return reply
        apart = await self._told_apart(name, way)
        if apart is False:
            what = "it is the slave's own server that answers: equal ids, states and executions of all jobs"
            detail = f"{what} ({path.described(way)})"
            return replace(reply, answer=Answer.MISCONFIGURED, detail=detail, elsewhere=True)
        if apart and name == MASTER and way == _BY_NAME and path.peer and is_name(path.endpoint.tool):
            self._names.known[path.endpoint.tool] = path.peer
        return reply if way == _BY_NAME else replace(reply, detail=f"it answers ({path.described(way)})")

    async def _told_apart(self, name: str, way: _Way) -> bool | None:
        """Whether the server that has answered is another one than the slave's; None where that was not looked at.

        The slave is asked anew only where what answers has changed. Where both have equal projects, as two servers with
        nothing but the project that each has from the beginning, their jobs are compared, now and then.
        """
        path, slave = self._paths[name], self._paths[SLAVE]
        before, until = self._apart.get(name, (path.projects, 0.0))
        self._apart[name] = path.projects, until
        if before != path.projects or not self._met:
            self._met = True
            await self.meet_slave()
        if slave.projects is None:
            return None
        if path.projects != slave.projects:
            return True
        if before == path.projects and monotonic() < until:
            return None
        jobs, of_slave = await asyncio.gather(path.statuses(way), slave.statuses())
        if jobs and of_slave and same_server(jobs, of_slave):
            self._apart[name] = path.projects, 0.0
            return False
        if jobs is None or of_slave is None:
            return None
        self._apart[name] = path.projects, monotonic() + _TOLD_APART
        return True

    def _common(self) -> str:
        """What both paths to the master have in common, so that it may have failed for both."""
        first, second = self._paths[MASTER].endpoint, self._paths.get(SECOND)
        name = common_name(Place(first.tool, first.server), second.endpoint.server) if second else ""
        if not name:
            return ""
        said = f"both paths lead to the master by the name {name}"
        if name not in self._names.missing:
            return said
        last = self._names.known.get(name)
        return f"{said}, which does not resolve; " + (
            f"it was asked at its last address, {last}" if last else "so neither counts"
        )

    def _common_tokens(self) -> str:
        """The token endpoint that both paths to the master need."""
        of = [path.endpoint.grant for name, path in self._paths.items() if name != SLAVE]
        common = common_endpoint(of[0], of[-1]) if len(of) > 1 else ""
        return f"both paths need tokens of {common}" if common else ""


def _statuses(body: bytes, limit: int) -> list[JobStatus]:
    return read_statuses(parse_json(body, limit), projects=list, jobs=list)


class Looker:
    """The same for a step in a worker: a context manager whose looks cost a few milliseconds each.

    :param tell_apart: know the slave's server before the first look. :param asked: arguments of :meth:`Observer.of`.
    """

    def __init__(
        self, master: DenodoSchedulerHook, slave: DenodoSchedulerHook, *, tell_apart: bool = False, **asked: Any
    ) -> None:
        self._observer = Observer.of(master, slave, **asked)
        self._runner = asyncio.Runner()
        self._tell_apart = tell_apart

    def __enter__(self) -> Self:
        if self._tell_apart:
            self._runner.run(self._observer.meet_slave())
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner as runner:
            runner.run(self._observer.aclose())

    @property
    def addresses(self) -> dict[str, str]:
        """See :attr:`Observer.addresses`."""
        return self._observer.addresses

    def look(self) -> Observation:
        """Ask one round, see :meth:`Observer.observe`."""
        return self._runner.run(self._observer.observe())
