"""Wait for a quiet window in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from airflow.sdk.exceptions import AirflowException
from airflow.sdk.timezone import utcnow
from airflow.triggers.base import BaseTrigger, TriggerEvent

from denodo_ha.jobs import JobStatus
from denodo_ha.quartz.forecast import assess_by_cron
from denodo_ha.quiet_window import Assessment
from denodo_ha.scope import Scope, ScopeError
from denodo_scheduler.exceptions import (
    NoAnswerError,
    RequestError,
    ServerBusyError,
    UnreachableError,
    WrongArgumentError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

TRANSIENT = (UnreachableError, NoAnswerError, ServerBusyError, RequestError)
"""What a wait that has begun survives. The 500 of a RequestError is among them: it is also the answer while the
Scheduler server behind the web tool is down."""

_LONGEST_SLEEP = 60.0


def look(
    hook: DenodoSchedulerHook, scope: Scope, *, timezone: str | None, stuck_by_cron: bool, **lengths: timedelta
) -> tuple[Assessment, list[JobStatus]]:
    """Read the statuses of the jobs in scope and assess them, by the server's time. An empty scope is an error."""
    statuses = hook.statuses()
    jobs = [status for status in statuses.jobs if scope.matches(status.key)]
    if not jobs:
        try:
            scope.check(status.key for status in statuses.jobs)
        except ScopeError as error:
            raise WrongArgumentError(f"{str(error).rstrip('.')}.") from None
    definitions = hook.jobs if stuck_by_cron else None
    return assess_by_cron(jobs, definitions, now=statuses.server_time, timezone=timezone, **lengths), jobs


def summary(assessment: Assessment, *, started: datetime, checks: int) -> dict[str, Any]:
    """Make the sensor's result of a quiet assessment; times are ISO 8601 in UTC, by the server's clock."""
    return {
        "quiet_until": assessment.quiet_until.isoformat() if assessment.quiet_until else None,
        "server_time": assessment.now.isoformat(),
        "waited_seconds": round((utcnow() - started).total_seconds(), 1),
        "checks": checks,
    }


@dataclass(kw_only=True, eq=False, repr=False)
class QuietWindowTrigger(BaseTrigger):
    """
    Sleep until a quiet window can begin, look, and so on until there is one or ``end`` has come.

    Its one event is a dict with ``status``: ``quiet`` with the sensor's ``result``, ``timeout`` or ``error`` with a
    ``message``. All moments in its arguments are absolute, so that a restarted triggerer goes on where it was.

    The other arguments are those of :class:`denodo_scheduler.sensors.quiet_window.DenodoSchedulerQuietWindowSensor`.

    :param recheck: pause until the next look where the statuses cannot say when to look, and after an error.
    :param started: when the wait began.
    :param check_at: when to look for the first time.
    :param end: when to give up, after a last look.
    :param last_seen: what the sensor saw, for the message.
    """

    denodo_scheduler_conn_id: str
    uri: str | None
    window: timedelta
    margin: timedelta
    include_projects: Sequence[str]
    include_jobs: Sequence[str]
    recheck: timedelta
    started: datetime
    check_at: datetime
    end: datetime
    last_seen: str
    timezone: str | None = None
    stuck_by_cron: bool = False

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments."""
        arguments = {each.name: getattr(self, each.name) for each in fields(self)}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait. Network requests run in a thread, never in the triggerer's loop."""
        check_at, seen = self.check_at, self.last_seen
        for checks in count(2):
            await _sleep_until(min(check_at, self.end))
            try:
                assessment = await asyncio.to_thread(self._look)
            except TRANSIENT as error:
                self.log.warning("Waiting goes on after an error: %s", error)
                check_at, seen = utcnow() + self.recheck, f"the last request failed: {error}"
            except AirflowException as error:
                yield _event("error", message=str(getattr(error, "reason", error)))
                return
            else:
                self.log.info("%s", assessment)
                if assessment.quiet:
                    yield _event("quiet", result=summary(assessment, started=self.started, checks=checks))
                    return
                check_at, seen = utcnow() + (assessment.check_again_at - assessment.now), str(assessment)
            if utcnow() >= self.end:
                yield _event("timeout", message=seen)
                return

    def _look(self) -> Assessment:
        hook = DenodoSchedulerHook(self.denodo_scheduler_conn_id, scheduler_uri=self.uri)
        scope = Scope(projects=tuple(self.include_projects), jobs=tuple(self.include_jobs))
        lengths = {"window": self.window, "margin": self.margin, "recheck": self.recheck}
        return look(hook, scope, timezone=self.timezone, stuck_by_cron=self.stuck_by_cron, **lengths)[0]


def _event(status: str, **content: Any) -> TriggerEvent:
    return TriggerEvent({"status": status, **content})  # type: ignore[no-untyped-call]


async def _sleep_until(moment: datetime) -> None:
    """Sleep in parts, because a clock may be set."""
    while (left := (moment - utcnow()).total_seconds()) > 0:
        await asyncio.sleep(min(left, _LONGEST_SLEEP))
