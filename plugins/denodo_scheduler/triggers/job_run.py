"""Wait for the end of a job's run in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import count
from time import monotonic
from typing import Any

from airflow.sdk.exceptions import AirflowException
from airflow.sdk.timezone import utcnow
from airflow.triggers.base import BaseTrigger, TriggerEvent

from denodo_ha.jobs import JobKey, JobState, JobStatus, Report
from denodo_ha.runs import Baseline, Sight, latest_run, own_run
from denodo_scheduler.client.logins import LIMIT, PAUSE
from denodo_scheduler.exceptions import ConfigurationError, UnknownJobError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses
from denodo_scheduler.triggers.quiet_window import TRANSIENT

Event = dict[str, Any]

UNREPORTED = 3
"""So many looks in a row must show that a run is over of which there is no report, because the report may be late."""
SKEW = timedelta(seconds=5)
"""A difference of the clocks that a single answer, which carries whole seconds and is late, does not show."""
_READ = 50
"""How many reports a look reads."""
_LOGIN_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def read_reports(hook: DenodoSchedulerHook, status: JobStatus) -> list[Report]:
    """Read the newest reports of the job of this status, newest first."""
    return hook.reports(status.key, count=_READ, statuses=Statuses((status,), hook.answered))


@dataclass(kw_only=True, eq=False, repr=False)
class JobRunTrigger(BaseTrigger):
    """
    Look at a job every ``poke_interval`` until its run has ended.

    The run is the first one that ends after ``before``, or the newest one that ended at ``since`` or later; see
    :mod:`denodo_ha.runs`. Its one event is a dict: ``status``, and what the last look showed (``seen``). The status is
    ``ended`` (with ``run``, and whether the first look showed it: ``at_once``), ``not_begun``, ``timeout``, ``error``
    (with ``message``), or ``look`` where the HA record has to be read again. All moments are absolute. A server that
    does not answer is asked again until ``end``, one that refuses for a quarter of an hour. A login that was refused is
    sent again after five minutes only, so as not to lock the account.

    :param before: what was there before the run, as JSON; or None.
    :param since: the moment, by the clock of this machine; or None.
    :param results: with ``since``: only runs with these results count; None: all.
    :param begin_by: when the run must have begun; None: any time.
    :param end: when to give up.
    :param wake: after so long without an answer, or with the job disabled, the record is to be read; None: never.
    :param stop_on_kill: stop the job when a person ends the task.
    :param seen_running: a look has shown the job RUNNING already.
    """

    denodo_scheduler_conn_id: str
    uri: str | None
    project: str
    job: str
    poke_interval: timedelta
    end: datetime
    before: dict[str, Any] | None = None
    since: datetime | None = None
    results: Sequence[str] | None = None
    begin_by: datetime | None = None
    wake: timedelta | None = None
    stop_on_kill: bool = False
    seen_running: bool = False

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._baseline = Baseline.model_validate(self.before) if self.before else None
        self._works = self.before is not None  # the worker has asked the server
        self._refused_since: float | None = None
        self._fine = monotonic()
        self._unreported = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments."""
        arguments = {each.name: getattr(self, each.name) for each in fields(self)}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait. Network requests run in a thread, never in the triggerer's loop."""
        seen = ""
        for looks in count(1):
            pause, event = self.poke_interval.total_seconds(), None
            try:
                status, sight = await asyncio.to_thread(self._look)
            except UnknownJobError as error:
                event = _error(error)
            except TRANSIENT as error:
                seen = f"the last request failed: {error}"
                self.log.warning("Waiting goes on after an error: %s", error)
            except ConfigurationError as error:
                seen = f"the last request was refused: {error}"
                if error.status in _LOGIN_REFUSED:
                    pause = PAUSE
                event = self._refused(error)
            except AirflowException as error:
                event = _error(error)
            else:
                seen = f"the job is {status.state}"
                event = self._judged(status, sight, looks)
            if event := event or self._overdue():
                yield TriggerEvent({"seen": seen, **event})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(max(0.0, min(pause, (self.end - utcnow()).total_seconds())))

    async def on_kill(self) -> None:
        """Stop the job that the task has started, when a person ends the task."""
        if self.stop_on_kill:
            await asyncio.to_thread(self._stop)
            self.log.info("The job was stopped, because a person has ended the task.")

    def _stop(self) -> None:
        self._hook().set_jobs_status("stop", [self._key])

    def _hook(self) -> DenodoSchedulerHook:
        return DenodoSchedulerHook(self.denodo_scheduler_conn_id, scheduler_uri=self.uri)

    @property
    def _key(self) -> JobKey:
        return JobKey(project=self.project, name=self.job)

    def _look(self) -> tuple[JobStatus, Sight]:
        hook = self._hook()
        status = hook.status(self._key)
        ahead = hook.answered - utcnow()
        reports = read_reports(hook, status)
        self.seen_running |= status.state is JobState.RUNNING
        if self._baseline:
            return status, own_run(self._baseline, status, reports, seen_running=self.seen_running)
        assert self.since is not None
        since = self.since + (ahead if abs(ahead) > SKEW else timedelta(0))
        return status, latest_run(since, status, reports, results=self.results)

    def _judged(self, status: JobStatus, sight: Sight, looks: int) -> Event | None:
        """What a look that succeeded means."""
        self._works, self._refused_since = True, None
        if status.state is not JobState.DISABLED:
            self._fine = monotonic()
        self._unreported = self._unreported + 1 if sight.run and not sight.run.reported else 0
        if sight.run and (sight.run.reported or self._unreported == UNREPORTED):
            at_once = looks == max(1, self._unreported)
            return {"status": "ended", "run": sight.run.to_json(), "at_once": at_once}
        if sight.begun or self.begin_by is None or looks == 1 or utcnow() < self.begin_by:
            return None
        return {"status": "not_begun"}

    def _refused(self, error: ConfigurationError) -> Event | None:
        """Wait a while where all was right before: while VDP is down a right login is refused [D], and while a web tool
        starts it answers 404.
        """
        self._refused_since = self._refused_since or monotonic()
        if not self._works or monotonic() - self._refused_since >= LIMIT * PAUSE:
            return _error(error)
        self.log.warning("Waiting goes on after a refusal: %s", error)
        return None

    def _overdue(self) -> Event | None:
        if utcnow() >= self.end:
            return {"status": "timeout"}
        if self.wake and monotonic() - self._fine >= self.wake.total_seconds():
            return {"status": "look", "seen_running": self.seen_running}
        return None


def _error(error: AirflowException) -> Event:
    return {"status": "error", "message": str(getattr(error, "reason", error))}
