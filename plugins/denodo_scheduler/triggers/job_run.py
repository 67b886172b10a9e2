"""Wait for the end of a job's run in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cached_property
from http import HTTPStatus
from time import monotonic
from typing import Any

from airflow.sdk.exceptions import AirflowException
from airflow.sdk.timezone import utcnow
from airflow.triggers.base import BaseTrigger, TriggerEvent

from denodo_ha.jobs import JobKey, JobState, JobStatus, Report
from denodo_ha.runs import Baseline, Looks, Sight, latest_run, own_run
from denodo_scheduler.client.logins import LIMIT, PAUSE
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    UnexpectedAnswerError,
    UnknownJobError,
    WrongArgumentError,
    WrongConnectionError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses
from denodo_scheduler.triggers.quiet_window import TRANSIENT

Event = dict[str, Any]

UNREPORTED = 3
"""So many looks in a row must show that a run is over of which there is no report, because the report may be late; or
that a run which was there has left nothing at all.
"""
SKEW = timedelta(seconds=5)
"""A difference of the clocks that a single answer, which carries whole seconds and is late, does not show."""
_READ = 50
"""How many reports a look reads."""
_LOGIN_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
REFUSALS = (ConfigurationError, UnexpectedAnswerError)
"""What may pass: while VDP is down a right login is refused [D], a web tool that starts answers 404, and a proxy may
garble an answer.
"""


def read_reports(hook: DenodoSchedulerHook, status: JobStatus) -> list[Report]:
    """Read the newest reports of the job of this status, newest first."""
    return hook.reports(status.key, count=_READ, statuses=Statuses((status,), hook.answered))


def holds_login(error: DenodoSchedulerError) -> bool:
    """Whether a login was refused, so that the next one is sent after :data:`PAUSE` only."""
    return error.status in _LOGIN_REFUSED


def may_pass(error: DenodoSchedulerError, looks: Looks) -> bool:
    """Note a refusal; return whether it is worth another request. After a quarter of an hour it is not."""
    if isinstance(error, WrongArgumentError | WrongConnectionError) and not looks.works:
        return False
    return looks.refused(utcnow()) < timedelta(seconds=LIMIT * PAUSE)


@dataclass(kw_only=True, eq=False, repr=False)
class JobRunTrigger(BaseTrigger):
    """
    Look at a job every ``poke_interval`` until its run has ended.

    The run is the first one that ends after ``before``, or the newest one that ended at ``since`` or later; see
    :mod:`denodo_ha.runs`. Its one event is a dict: ``status``, and what the last look showed (``seen``). The status is
    ``ended`` (with ``run``, and whether the first look showed it: ``at_once``), ``not_begun`` (with the state in which
    it was seen nevertheless: ``begun``), ``timeout`` (with the job's last ``state``), ``error`` (with ``message``), or
    ``look`` where the HA record has to be read again (with ``so_far``, for the next trigger). All moments are absolute.
    A server that does not answer is asked again until ``end``, one that refuses, or whose answers are not understood,
    for a quarter of an hour. A login that was refused is sent again after five minutes only, so as not to lock the
    account.

    :param before: what was there before the run, as JSON; or None.
    :param since: the moment, by the clock of this machine; or None.
    :param results: with ``since``: only runs with these results count; None: all.
    :param so_far: what earlier looks have shown, as JSON of :class:`denodo_ha.runs.Looks`; None: nothing.
    :param end: when to give up.
    :param wake: after so long without an answer, or with the job disabled, the record is to be read; None: never.
    :param stop_on_kill: stop the run when a person ends the task.
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
    so_far: dict[str, Any] | None = None
    wake: timedelta | None = None
    stop_on_kill: bool = False

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._baseline = Baseline.model_validate(self.before) if self.before else None
        self._state: JobState | None = None
        self._fine = monotonic()
        self._unreported = 0
        self._gone = 0

    @cached_property
    def _looks(self) -> Looks:
        return Looks.model_validate(self.so_far or {"server": self.denodo_scheduler_conn_id})

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments."""
        arguments = {each.name: getattr(self, each.name) for each in fields(self)}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait. Network requests run in a thread, never in the triggerer's loop."""
        seen = ""
        while True:
            pause, held, event = self.poke_interval.total_seconds(), False, None
            self._looks.count += 1
            self._state = None
            try:
                status, sight = await asyncio.to_thread(self._look)
            except UnknownJobError as error:
                event = _error(error)
            except TRANSIENT as error:
                self._looks.refused_since = None
                seen = f"the last request failed: {error}"
                self.log.warning("Waiting goes on after an error: %s", error)
            except REFUSALS as error:
                seen = f"the last request was refused: {error}"
                if held := holds_login(error):
                    pause = PAUSE
                event = self._refused(error)
            except AirflowException as error:
                event = _error(error)
            else:
                seen = f"the job is {status.state}{f', and {sight.doubt}' if sight.doubt else ''}"
                event = self._judged(status, sight)
            event = event or (None if held else self._overdue())
            if event is None:
                await asyncio.sleep(max(0.0, min(pause, (self.end - utcnow()).total_seconds())))
                # The next trigger asks at once, so the pause after a refused login has to be over before.
                event = self._overdue() if held else None
            if event:
                yield TriggerEvent({"seen": seen, **event})  # type: ignore[no-untyped-call]
                return

    async def on_kill(self) -> None:
        """Stop the run that the task has started, when a person ends the task."""
        if self.stop_on_kill:
            try:
                stopped = await asyncio.to_thread(self._stop)
            except DenodoSchedulerError as error:
                self.log.warning("%s was not stopped; look at it in the web tool. %s", self._key, error)
            else:
                what = "The job was stopped, because" if stopped else "The run is over, so nothing was stopped when"
                self.log.info("%s a person has ended the task.", what)

    def _stop(self) -> bool:
        """Stop the run unless it is over: a task that was cleared may have started the next one meanwhile."""
        _, sight = self._look()
        if sight.run:
            return False
        self._hook().set_jobs_status("stop", [self._key])
        return True

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
        self._looks.saw(status.state)
        if self._baseline:
            seen_running = self._looks.begun is JobState.RUNNING
            return status, own_run(self._baseline, status, reports, seen_running=seen_running)
        assert self.since is not None
        since = self.since + (ahead if abs(ahead) > SKEW else timedelta(0))
        return status, latest_run(since, status, reports, results=self.results)

    def _judged(self, status: JobStatus, sight: Sight) -> Event | None:
        """What a look that succeeded means."""
        looks, self._state = self._looks, status.state
        looks.works, looks.refused_since = True, None
        if status.state is not JobState.DISABLED:
            self._fine = monotonic()
        self._unreported = self._unreported + 1 if sight.run and not sight.run.reported else 0
        self._gone = self._gone + 1 if looks.begun and not sight.begun else 0
        if sight.run and (sight.run.reported or self._unreported == UNREPORTED):
            at_once = looks.count == max(1, self._unreported)
            return {"status": "ended", "run": sight.run.to_json(), "at_once": at_once}
        if sight.begun or looks.begin_by is None or looks.count == 1 or utcnow() < looks.begin_by:
            return None
        if looks.begun and self._gone < UNREPORTED:
            return None
        return {"status": "not_begun", "begun": looks.begun and looks.begun.value}

    def _refused(self, error: DenodoSchedulerError) -> Event | None:
        """Wait a while where all was right before, for a pair, and after an answer that was not understood."""
        patient = self._looks.works or self.wake or isinstance(error, UnexpectedAnswerError)
        if not (may_pass(error, self._looks) and patient):
            return _error(error)
        self.log.warning("Waiting goes on after a refusal: %s", error)
        return None

    def _overdue(self) -> Event | None:
        if utcnow() >= self.end:
            return {"status": "timeout", "state": self._state and self._state.value}
        if self.wake and monotonic() - self._fine >= self.wake.total_seconds():
            return {"status": "look", "so_far": self._looks.model_dump(mode="json")}
        return None


def _error(error: AirflowException) -> Event:
    return {"status": "error", "message": str(getattr(error, "reason", error))}
