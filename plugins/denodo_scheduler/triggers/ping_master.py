"""Watch the master of a pair in the triggerer."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from math import ceil
from statistics import median
from time import monotonic
from typing import Any, Literal

from airflow.sdk.timezone import utcnow
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from denodo_ha.jobs import JobKey
from denodo_ha.measures import of_round
from denodo_ha.scope import Scope
from denodo_ha.text import listed
from denodo_ha.verdict import Answer, Evidence, Observation, Verdict, Watch, goes_on
from denodo_scheduler import metrics
from denodo_scheduler.client.logins import LIMIT, Logins
from denodo_scheduler.client.probe import Observer
from denodo_scheduler.exceptions import ConfigurationError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

log = logging.getLogger(__name__)

EndedBy = Literal["confirmed", "passive", "watched"]

GAP = 3
"""After so many intervals without a round, besides the time that a round takes, the rounds before do not count."""
_KEPT_LATENCIES = 1000
_LONGEST_PAUSE = 60.0


@dataclass(kw_only=True, eq=False, repr=False)
class PingMasterTrigger(BaseTrigger):
    """
    Ask about the master every ``interval`` and end with the first confirmed verdict that matters.

    It ends the task itself, without another worker, whose start would cost seconds of an outage. The result is a
    dict: ``ended_by``, ``evidence`` (:class:`denodo_ha.verdict.Evidence`), ``second_good`` (when path 2 was last
    seen to work, or empty; it is tried every ``passive_interval``), ``alive_since`` (from when on the master is heard
    without a gap; None when it is not heard), ``addresses`` (the last address that each name on the way to the master
    led to, while it was heard there), ``paths`` (what was heard last on each path) and ``latencies`` (per path
    ``count``, ``min``, ``median`` and ``max`` in milliseconds, of the last 1000 rounds). Only where a connection cannot
    be used the task is resumed, with the event ``error`` that says why. A restarted triggerer gathers its evidence
    anew.

    The other arguments are those of :class:`denodo_scheduler.operators.ping_master.DenodoSchedulerPingMasterOperator`.

    :param addresses: those addresses as the watch before knew them.
    :param pair: the name under which each round is measured; empty: none is.
    :param last_alive: when the master was last heard before this watch, if that is known.
    :param begin: when the first probe leaves; None: at once.
    :param until: when the watch ends, with the first verdict that is confirmed then (``ended_by`` "watched"). Before,
        another verdict than ``known`` ends it ("confirmed"), or what the other two servers do ("passive").
    """

    denodo_scheduler_conn_id: str
    slave_conn_id: str | None
    second_path: str
    interval: timedelta
    fall: int
    until: datetime
    known: str | None = None
    passive_conn_id: str | None = None
    passive_interval: timedelta = timedelta(minutes=5)
    begin: datetime | None = None
    active_conn_id: str | None = None
    include_projects: Sequence[str] = ("*",)
    include_jobs: Sequence[str] = ("*",)
    addresses: dict[str, str] = field(default_factory=dict)
    pair: str = ""
    last_alive: datetime | None = None

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._logins = Logins(1 if self.known == Verdict.MISCONFIGURED else LIMIT)  # the last watch has tried it enough
        self._renewals = _Renewals(self.interval.total_seconds())

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments."""
        arguments = {each.name: getattr(self, each.name) for each in fields(self)}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch. Connections are looked up in a thread, and every request has a deadline."""
        if self.begin:
            await asyncio.sleep((self.begin - utcnow()).total_seconds())
        try:
            observer = await asyncio.to_thread(self._observer)
        except ConfigurationError as error:
            yield TriggerEvent({"error": str(error.reason)})  # type: ignore[no-untyped-call]
        else:
            yield _ended(await self._watch(observer))

    async def _watch(self, observer: Observer) -> dict[str, Any]:
        gap = GAP * self.interval + timedelta(seconds=observer.longest_round)
        watch, heard, before = Watch(self.fall, gap=gap), _Heard(gap), None
        if self.known == Verdict.MISCONFIGURED:  # maybe because it is the slave that answers
            await observer.meet_slave()
        awake = asyncio.create_task(self._others_change()) if self.passive_conn_id else None
        second = _SecondPath(observer, self.passive_interval.total_seconds())
        try:
            async for _ in _ticks(self.interval.total_seconds()):
                observation = await observer.observe()
                evidence = watch.add(observation)
                heard.add(observation)
                if self.pair:
                    metrics.send(self.pair, of_round(observation, heard.last_alive or self.last_alive))
                if observation.verdict is not before:
                    self._tell(observation)
                    before = observation.verdict
                if evidence and (ended_by := self._ended_by(evidence, awake is not None and awake.done())):
                    self.log.info("The watch ended by %r: %s since %s", ended_by, evidence.verdict, evidence.since)
                    return {
                        "ended_by": ended_by,
                        "evidence": evidence.to_json(),
                        "second_good": await second.last_good(wait=evidence.verdict is Verdict.UP),
                        "addresses": observer.addresses,
                        "paths": observer.paths,
                        **heard.to_json(),
                    }
                wrong = Answer.MISCONFIGURED in (observation.master, observation.second, observation.slave)
                if self._renewals.due(wrong):
                    observer = second.observer = await self._renewed(observer)
        finally:
            second.stop()
            if awake:
                awake.cancel()
            await observer.aclose()
        raise AssertionError("ticks never end")

    def _ended_by(self, evidence: Evidence, awake: bool) -> EndedBy | None:
        if evidence.verdict != self.known:
            return "confirmed"
        if awake:
            return "passive"
        return "watched" if utcnow() >= self.until else None

    def _tell(self, observation: Observation) -> None:
        level = logging.INFO if observation.verdict is Verdict.UP else logging.WARNING
        self.log.log(level, "The master of connection %r: %s", self.denodo_scheduler_conn_id, observation)

    def _observer(self) -> Observer:
        for conn_id in filter(None, (self.passive_conn_id, self.active_conn_id)):
            _ = DenodoSchedulerHook(conn_id).place  # raises where that connection cannot be used
        slave = DenodoSchedulerHook(self.slave_conn_id) if self.slave_conn_id else None
        master = DenodoSchedulerHook(self.denodo_scheduler_conn_id)
        return Observer.of(master, slave, second_path=self.second_path, logins=self._logins, addresses=self.addresses)

    async def _renewed(self, observer: Observer) -> Observer:
        """Read the connections again, because a person may have corrected them."""
        try:
            renewed = await asyncio.to_thread(self._observer)
        except Exception as error:
            self.log.warning("The connections cannot be read again: %s", error)
            return observer
        renewed.addresses.update(observer.addresses)
        renewed.paths.update(observer.paths)
        await observer.aclose()
        return renewed

    async def _others_change(self) -> None:
        """Return when the server that should be passive has enabled jobs, or the active one twice none or no answer."""
        enabled: list[JobKey] = []
        idle = 0
        while not enabled and idle < 2:
            await asyncio.sleep(self.passive_interval.total_seconds())
            try:
                enabled = await asyncio.to_thread(self._enabled, self.passive_conn_id)
            except Exception as error:
                self.log.warning("The server that should be passive cannot be read: %s", error)
            idle = 0 if await self._active_works() else idle + 1
        if enabled:
            self.log.warning("Jobs are enabled on the server that should be passive: %s", listed(enabled))

    async def _active_works(self) -> bool:
        """Whether jobs are enabled on the active server. The silence of the master is for the probe to judge."""
        if self.active_conn_id is None:
            return True
        try:
            enabled = await asyncio.to_thread(self._enabled, self.active_conn_id)
        except Exception as error:
            self.log.warning("The active server cannot be read: %s", error)
            return self.active_conn_id == self.denodo_scheduler_conn_id
        if not enabled:
            self.log.warning("No job is enabled on the active server")
        return bool(enabled)

    def _enabled(self, conn_id: str | None) -> list[JobKey]:
        assert conn_id is not None
        scope = Scope(projects=tuple(self.include_projects), jobs=tuple(self.include_jobs))
        jobs = DenodoSchedulerHook(conn_id).statuses().jobs
        return sorted(job.key for job in jobs if job.state.is_enabled and scope.matches(job.key))


def _ended(result: dict[str, Any]) -> TaskSuccessEvent:
    """The event that ends the task with this result; ``dag.test()`` resumes the task instead, with the payload."""
    event = TaskSuccessEvent(xcoms={"return_value": result})
    event.payload = result
    return event


class _Renewals:
    """When connections are read again that may be wrong: ever more seldom, since a secrets backend may be asked.

    :param first: seconds after which it is done the second time; then twice as many each time, up to a minute.
    """

    def __init__(self, first: float) -> None:
        self._first = self._pause = first
        self._next = 0.0

    def due(self, wrong: bool) -> bool:
        """Return whether to read them now.

        :param wrong: the last round has found something wrong with them.
        """
        if not wrong:
            self._pause, self._next = self._first, 0.0
            return False
        now = monotonic()
        if now < self._next:
            return False
        self._next = now + self._pause
        self._pause = max(min(2 * self._pause, _LONGEST_PAUSE), self._first)
        return True


class _SecondPath:
    """Tries path 2 at once and then every ``interval`` seconds: one that never worked cannot tell a dead server."""

    def __init__(self, observer: Observer, interval: float) -> None:
        self.observer = observer
        self._interval = interval
        self._good = ""
        self._tried = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                if await self.observer.second_works():
                    self._good = utcnow().isoformat()
            except Exception:
                log.exception("Path 2 could not be tried; it is tried again")
            finally:
                self._tried.set()
            await asyncio.sleep(self._interval)

    async def last_good(self, *, wait: bool) -> str:
        """When it was last seen to work, or nothing.

        :param wait: for the first try to end.
        """
        if wait:
            await self._tried.wait()
        return self._good

    def stop(self) -> None:
        self._task.cancel()


class _Heard:
    """What the rounds add up to, beside the evidence."""

    def __init__(self, gap: timedelta) -> None:
        self._gap = gap
        self._before: datetime | None = None
        self._alive_since: datetime | None = None
        self.last_alive: datetime | None = None
        self._milliseconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT_LATENCIES))

    def add(self, observation: Observation) -> None:
        if self._before and not goes_on(self._before, observation.at, self._gap):
            self._alive_since = None
        self._before = observation.at
        self._alive_since = (self._alive_since or observation.at) if observation.verdict.alive else None
        self.last_alive = observation.at if observation.verdict.alive else self.last_alive
        for path, seconds in observation.seconds.items():
            self._milliseconds[path].append(1000 * seconds)

    def to_json(self) -> dict[str, Any]:
        latencies = {
            path: {
                "count": len(values),
                "min": round(min(values), 1),
                "median": round(median(values), 1),
                "max": round(max(values), 1),
            }
            for path, values in self._milliseconds.items()
        }
        return {"alive_since": self._alive_since.isoformat() if self._alive_since else None, "latencies": latencies}


async def _ticks(interval: float) -> AsyncIterator[None]:
    """Return at once and then at every multiple of ``interval`` seconds, but those that the caller was too slow for."""
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    while True:
        yield
        number = max(number + 1, ceil((loop.time() - began) / interval))
        await asyncio.sleep(began + number * interval - loop.time())
