"""Wait until a Scheduler server is quiet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.sdk import BaseSensorOperator, Context, PokeReturnValue, conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout
from airflow.sdk.timezone import utcnow

from denodo_ha.jobs import JobStatus
from denodo_ha.quartz.forecast import Forecast, forecast
from denodo_ha.quiet_window import Assessment, clock, length
from denodo_ha.scope import Scope
from denodo_ha.text import listed
from denodo_scheduler.exceptions import DenodoSchedulerError, WrongArgumentError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.renamed import renamed
from denodo_scheduler.steps.outcome import at_once
from denodo_scheduler.triggers.quiet_window import TRANSIENT, QuietWindowTrigger, look, summary

HORIZON = timedelta(hours=24)

_TRIGGERER_LATE = timedelta(minutes=5)
"""How long after its end a trigger may still be at its last look, before Airflow gives it up."""


class DenodoSchedulerQuietWindowSensor(BaseSensorOperator):
    """
    Wait for a quiet window on a Scheduler server: nothing runs, waits or polls, and nothing is due within it.

    Where it is not quiet, the sensor sleeps until the moment a window can begin, by the statuses' next executions; all
    by the **server's** time. From the cron triggers it forecasts the coming day: when no window begins before the
    timeout, it fails at once, without retries, and names the jobs in the way. A forecast needs the server's time zone,
    which is found from the jobs themselves where possible; jobs that only a dependency starts are not foreseen.

    Its result: ``quiet_until`` (ISO 8601, UTC; none when nothing is scheduled), ``server_time``, ``waited_seconds`` and
    ``checks`` (how often this attempt looked).

    :param denodo_scheduler_conn_id: connection id of the web tool. (templated)
    :param uri: the Scheduler server, ``//host:port``, instead of the connection's. (templated)
    :param window: how long nothing may be due; seconds, where it is a number or a template. (templated)
    :param margin: reserve after the window, likewise. (templated)
    :param timeout: how long to wait at most, likewise. (templated)
    :param include_projects: glob patterns of the projects that count. (templated)
    :param include_jobs: glob patterns of the jobs that count. (templated)
    :param timezone: time zone of the server, such as ``Europe/Madrid``, for the forecast.
    :param stuck_by_cron: what follows changes **another** server only, such as an import there. Then a job whose
        trigger is stuck (due for more than a minute, and not busy) counts by its crons instead of its overdue
        execution. Otherwise it is in the way, because it may still begin at any moment.
    :param deferrable: sleep in the triggerer, without a worker slot. Otherwise ``mode`` says how to sleep.
    :param poke_interval: seconds until the next look where the statuses cannot say when to look: while a job runs.
    """

    template_fields: Sequence[str] = (
        "denodo_scheduler_conn_id",
        "uri",
        "window",
        "margin",
        "timeout",
        "include_projects",
        "include_jobs",
    )

    def __init__(
        self,
        *,
        denodo_scheduler_conn_id: str = DenodoSchedulerHook.default_conn_name,
        uri: str | None = None,
        window: timedelta | float | str = timedelta(minutes=5),
        margin: timedelta | float | str = timedelta(seconds=30),
        timeout: timedelta | float | str | None = None,
        include_projects: Sequence[str] = ("*",),
        include_jobs: Sequence[str] = ("*",),
        timezone: str | None = None,
        stuck_by_cron: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: timedelta | float = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=None if isinstance(timeout, str) else timeout, **kwargs)
        if isinstance(timeout, str):
            self.timeout = timeout  # type: ignore[assignment]  # execute makes it the number that it renders to
        self.denodo_scheduler_conn_id = denodo_scheduler_conn_id
        self.uri = uri
        self.window = window
        self.margin = margin
        self.include_projects = include_projects
        self.include_jobs = include_jobs
        self.timezone = timezone
        self._zone = ZoneInfo(timezone) if timezone else None
        self.stuck_by_cron = stuck_by_cron
        self.deferrable = deferrable
        self.recheck = timedelta(seconds=self.poke_interval)
        self._started: datetime | None = None
        self._checks = 0

    @cached_property
    def hook(self) -> DenodoSchedulerHook:
        """The hook for the server."""
        return DenodoSchedulerHook(self.denodo_scheduler_conn_id, scheduler_uri=self.uri or None)

    @property
    def scope(self) -> Scope:
        """The jobs that count."""
        return Scope(projects=tuple(self.include_projects), jobs=tuple(self.include_jobs))

    @property
    def _lengths(self) -> dict[str, timedelta]:
        return {"window": _timedelta(self.window), "margin": _timedelta(self.margin)}

    @at_once
    def execute(self, context: Context) -> Any:
        """Wait, in the way that ``deferrable`` and ``mode`` say."""
        self.timeout = _timedelta(self.timeout).total_seconds()
        self._started = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        self._checks = 1 if self._started else 0
        self._started = self._started or utcnow()
        return super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once; where it is not quiet, settle when to look again."""
        self._started = self._started or utcnow()
        self._checks += 1
        end = self._started + timedelta(seconds=self.timeout)
        try:
            found, jobs = look(
                self.hook,
                self.scope,
                timezone=self.timezone,
                stuck_by_cron=self.stuck_by_cron,
                recheck=self.recheck,
                **self._lengths,
            )
        except TRANSIENT as error:
            if self._checks == 1:
                raise
            self.log.warning("Waiting goes on after an error: %s", error)
            wait, seen = self.recheck, f"the last request failed: {error}"
        else:
            self.log.info("%s", found)
            if found.quiet:
                return PokeReturnValue(True, summary(found, started=self._started, checks=self._checks))
            wait, seen = found.check_again_at - found.now, str(found)
            left = end - utcnow()
            if self._checks == 1 and left > timedelta(0):
                self._ensure_window(found, jobs, found.now + left)
        if utcnow() >= end:
            raise AirflowSensorTimeout(self._timed_out(seen))
        if self.deferrable:
            self._defer(utcnow() + wait, end, seen)
        self.poke_interval = max(0.0, min(wait, end - utcnow()).total_seconds())
        return PokeReturnValue(False)

    def _defer(self, check_at: datetime, end: datetime, seen: str) -> None:
        self.defer(
            trigger=QuietWindowTrigger(
                denodo_scheduler_conn_id=self.denodo_scheduler_conn_id,
                uri=self.uri or None,
                include_projects=list(self.include_projects),
                include_jobs=list(self.include_jobs),
                recheck=self.recheck,
                started=self._started or utcnow(),
                check_at=check_at,
                end=end,
                last_seen=seen,
                timezone=self.timezone,
                stuck_by_cron=self.stuck_by_cron,
                **self._lengths,
            ),
            method_name="execute_complete",
            timeout=end - utcnow() + _TRIGGERER_LATE,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Finish with what the trigger found."""
        if event["status"] == "quiet":
            result: dict[str, Any] = event["result"]
            self.log.info("Quiet until %s", result["quiet_until"] or "a job is scheduled")
            return result
        if event["status"] == "timeout":
            raise AirflowSensorTimeout(self._timed_out(event["message"]))
        raise AirflowFailException(event["message"])

    def _timed_out(self, seen: str) -> str:
        return (
            f"No quiet window came before the timeout. At the last look: {seen}. "
            "Clear this task to wait again, raise timeout, shorten window or margin, or move these jobs."
        )

    def _ensure_window(self, found: Assessment, jobs: Sequence[JobStatus], end: datetime) -> None:
        """Fail where no window can begin before ``end`` (server time): by the statuses, or else by the forecast."""
        wait = found.check_again_at - found.now
        if wait > self.recheck and found.check_again_at > end:
            later = f"The next one can begin at {clock(found.check_again_at)}. {found.advice}"
            self._fail_early(end, found.blockers, later)
        foreseen = self._forecast(found, jobs)
        if foreseen is None or end > found.now + HORIZON:
            return
        if not any(begin <= end for begin, _ in foreseen.windows):
            later = f"The {foreseen}." if foreseen.windows else "There is none in the coming day either."
            self._fail_early(end, foreseen.blockers, f"{later} {found.advice}")

    def _fail_early(self, end: datetime, blockers: Sequence[object], later: str) -> None:
        raise AirflowFailException(
            f"No quiet window of {length(**self._lengths)} begins before the timeout at {clock(end)}. "
            f"In the way: {listed(blockers)}. {later.rstrip(' .')}. "
            "Raise timeout, shorten window or margin, or let these jobs run less often or at other times."
        )

    def _forecast(self, found: Assessment, jobs: Sequence[JobStatus]) -> Forecast | None:
        try:
            definitions = [job for job in self.hook.jobs() if self.scope.matches(job.key)]
        except DenodoSchedulerError as error:
            self.log.warning("No forecast, because the jobs cannot be read: %s", error)
            return None
        foreseen = forecast(definitions, jobs, now=found.now, horizon=HORIZON, zone=self._zone, **self._lengths)
        self.log.info("%s", foreseen or self._no_forecast())
        return foreseen

    def _no_forecast(self) -> str:
        if self.timezone:
            return (
                f"No forecast: in the time zone {self.timezone} the crons do not give the next executions that the "
                "server reports. Correct timezone if it is not the server's."
            )
        return "No forecast: the jobs do not tell the server's time zone. Set timezone to have one."


def _timedelta(value: timedelta | float | str) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        return timedelta(seconds=float(value))
    except (OverflowError, TypeError, ValueError):
        raise WrongArgumentError(f"window, margin and timeout are seconds or a timedelta, not {value!r}.") from None


if TYPE_CHECKING:
    QuietWindowSensor = DenodoSchedulerQuietWindowSensor
else:
    __getattr__ = renamed(__name__, {"QuietWindowSensor": DenodoSchedulerQuietWindowSensor})
