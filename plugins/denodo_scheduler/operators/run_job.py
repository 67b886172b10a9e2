"""Run a job of a Denodo Scheduler, once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.timezone import utcnow

from denodo_ha.durations import format_duration
from denodo_ha.jobs import JobState, JobStatus
from denodo_ha.runs import ENDED_WELL, Baseline, Looks, Start, described, is_under_way, own_run
from denodo_scheduler.client.logins import PAUSE
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    NoAnswerError,
    RequestError,
    ServerBusyError,
    UnexpectedAnswerError,
    UnknownJobError,
    UnreachableError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses
from denodo_scheduler.steps.active import JobTask, Target, waits_for
from denodo_scheduler.steps.outcome import at_once
from denodo_scheduler.triggers.job_run import REFUSALS, holds_login, may_pass, read_reports
from denodo_scheduler.triggers.quiet_window import TRANSIENT

if TYPE_CHECKING:
    from airflow.sdk import Context

NOTE = "start"
"""The key in the task's state store under which a start is noted before it is sent."""
NO_REPORT = (
    "The status may show the result of an earlier run, so this is no proof. Look at the job in the web tool; set "
    "require_report=False if it keeps reports of errors only."
)


class DenodoSchedulerRunJobOperator(JobTask):
    """
    Start a job, wait in the triggerer until its run has ended, and fail with what the run's report says.

    Denodo gives a start no id [V]. So the operator notes in the task's state store what is there before it sends the
    start: the newest report, the last result. Its run is the first one that ends afterwards. A later try of the task
    (after a lost answer, or a worker that was killed) finds the note and looks for that run instead of starting
    another one; it starts the job itself only where no run has begun within ``begin_timeout``, or the run ended badly
    before the try. ``docs/building-blocks.md`` says what of this is proven.

    Its result: ``result``, ``started`` and ``ended`` (ISO 8601, UTC, by the server's clock; None where the report does
    not say so), ``messages``, ``counts`` and ``files`` of the report, ``reported`` (False: there is no report, and the
    job's status gave the result), ``connection``, ``attached``, and ``active_server_changed``.

    :param project: the job's project. (templated)
    :param job: the job's name. (templated)
    :param denodo_scheduler_conn_id: connection of the web tool. (templated)
    :param uri: another Scheduler server than the connection's, ``//host:port``. (templated)
    :param pair: run it on the active server of this pair instead. While that changes, or does not answer before the
        start, the task waits.
    :param action: what is sent, by Denodo's names.
    :param if_running: what to do where the job runs, or waits for its dependencies, before the start: ``fail``, or
        ``attach`` to that run.
    :param good_results: the results with which the task succeeds.
    :param require_report: fail where a run has left no report, because the result in the job's status may be that of an
        earlier run. False: trust the status, for jobs that keep reports of errors only.
    :param poke_interval: seconds from one look at the job to the next.
    :param begin_timeout: how long after the start the run may take to be seen.
    :param timeout: how long to wait at most, for everything together. The job is not stopped then.
    :param retry_policy: Airflow's; a configuration error fails the task at once, whatever it says.
    """

    template_fields: Sequence[str] = ("project", "job", "denodo_scheduler_conn_id", "uri")
    ui_color = "#f9dcc4"

    def __init__(
        self,
        *,
        action: Literal["start", "start_with_dependencies", "start_with_state"] = "start",
        if_running: Literal["fail", "attach"] = "fail",
        good_results: Sequence[str] = ENDED_WELL,
        require_report: bool = True,
        poke_interval: float = 10.0,
        begin_timeout: timedelta = timedelta(minutes=2),
        timeout: timedelta = timedelta(days=1),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if action not in ("start", "start_with_dependencies", "start_with_state") or if_running not in (
            "fail",
            "attach",
        ):
            raise ValueError(
                "action must be start, start_with_dependencies or start_with_state, and if_running fail or attach; "
                f"these are {action!r} and {if_running!r}."
            )
        self.action = action
        self.if_running = if_running
        self.good_results = good_results
        self.require_report = require_report
        self.poke_interval = poke_interval
        self.begin_timeout = begin_timeout
        self.timeout = timeout
        self._started: DenodoSchedulerHook | None = None

    def _go_on(self, context: Context, end: datetime, so_far: dict[str, Any] | None = None) -> NoReturn:
        """Start the job, or find the run that an earlier try has started; then wait for it."""
        found, looks = self.target_or_pause(context, end, so_far)
        if start := self._noted(context):
            self._same_server(context, start, found)
            self.log.info("An earlier try may have started %s at %s; looking for that run.", self.key, start.before.at)
            self._wait(start, end, looks)
        try:
            status, before = self._before(found.hook)
        except UnknownJobError as error:
            raise AirflowFailException(str(error)) from None
        except (*TRANSIENT, *REFUSALS) as error:
            self._hold(found, end, looks, error)
        self._start(context, found, status, before, end, looks)

    def _hold(self, found: Target, end: datetime, looks: Looks, error: DenodoSchedulerError) -> NoReturn:
        """Wait where the active server of a pair does not answer before the start, or refuses for a while."""
        refused = isinstance(error, REFUSALS)
        if self.pair is None or (refused and not may_pass(error, looks)):
            raise error
        if not refused:
            looks.refused_since = None
        length = {"length": timedelta(seconds=PAUSE)} if holds_login(error) else {}
        what = "refuses" if refused else "does not answer"
        self.pause(end, f"{found.label} {what}: {error}", looks.model_dump(mode="json"), **length)

    def _before(self, hook: DenodoSchedulerHook) -> tuple[JobStatus, Baseline]:
        reports, status = None, hook.status(self.key)
        at = hook.answered
        if is_under_way(status.state):  # its run must not be among the reports that are known
            reports, status = read_reports(hook, status), hook.status(self.key)
        if not is_under_way(status.state) or reports is None:
            reports = read_reports(hook, status)
        return status, Baseline.of(status, reports, at)

    def _start(
        self, context: Context, found: Target, status: JobStatus, before: Baseline, end: datetime, looks: Looks
    ) -> NoReturn:
        if status.state in (JobState.DISABLED, JobState.DRAFT):
            raise RequestError(
                f"{self.key} is {status.state} on {found.label}, and Denodo refuses to start such a job. Nothing was "
                "started. Enable the job (a server that is paused shows every job DISABLED), then clear the task."
            )
        start = Start(conn_id=found.conn_id, try_number=context["ti"].try_number, before=before)
        if before.under_way:
            if self.if_running == "fail":
                raise RequestError(
                    f"{self.key} is {status.state} on {found.label} already, and this task did not start it. Nothing "
                    "was started. Wait for its end, then clear the task, or set if_running='attach'."
                )
            start = start.model_copy(update={"answered": True, "own": False})
            self.log.info("%s is %s already; waiting for that run.", self.key, status.state)
            self._note(context, start)
            self._wait(start, end)
        self._note(context, start)
        self._started = found.hook
        try:
            found.hook.set_jobs_status(self.action, [self.key], statuses=Statuses((status,), before.at))
        except (UnreachableError, ConfigurationError) as error:
            self._forget(context)  # nothing was started
            self._hold(found, end, looks, error)
        except (NoAnswerError, ServerBusyError, UnexpectedAnswerError) as error:
            self.log.warning("It is not known whether %s was started; looking for its run. %s", self.key, error)
        except RequestError as error:
            self._refused(context, found, status, before, error)
        else:
            start = start.model_copy(update={"answered": True})
            self._note(context, start)
            self.log.info("Started %s on %s.", self.key, found.label)
        self._wait(start, end)

    def _refused(
        self, context: Context, found: Target, status: JobStatus, before: Baseline, error: RequestError
    ) -> None:
        """Say that a start was refused; return where a run has begun nevertheless.

        500 is the answer to mistakes of users [V] and while the Scheduler is down [G], so a look has to tell. The note
        of the start stays only where that fails: a later try would take a run that is not its own for its own.

        :raises RequestError: no run has begun, or it is not known.
        """
        unknown = ""
        try:
            if error.status is None or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                now = found.hook.status(self.key)
                if own_run(before, now, read_reports(found.hook, now)).begun:
                    self.log.warning("A run of %s has begun, although its start was refused: %s", self.key, error)
                    return
            self._forget(context)
        except DenodoSchedulerError as silence:
            unknown = f" Whether a run has begun nevertheless is not known, so the next try looks for one: {silence}"
        raise RequestError(
            f"{found.label} refused to start {self.key}, which is {status.state}. A job on which it depends may be "
            f"disabled or missing there. {error}{unknown}",
            status=error.status,
            server_message=error.server_message,
        ) from None

    @at_once
    def execute_complete(self, context: Context, event: dict[str, Any], end: str | None = None) -> Any:
        """Go on with what the trigger found."""
        start, until = self._noted(context), self.deadline(end)
        if start is None:
            raise AirflowFailException(
                f"What this task noted of the start of {self.key} is gone from its state store, so its run cannot be "
                "told from others. Look at the job's reports in the web tool, then clear the task."
            )
        status = event["status"]
        if status == "ended":
            return self._ended(context, event, start, until)
        if status == "look":
            found, looks = self.target_or_pause(context, until, event["so_far"])
            self._same_server(context, start, found)
            self._wait(start, until, looks)
        if status == "not_begun":
            self._not_begun(context, start, until, event)
        if status == "timeout":
            raise AirflowFailException(
                f"The run of {self.key} did not end within {format_duration(self.timeout)}; at last {event['seen']}."
                f"{waits_for(event)} The job was not stopped. Clear the task to go on waiting for this run, or "
                "raise timeout."
            )
        raise AirflowFailException(
            f"{event['message']} Whether the run of {self.key} goes on is not known; when this is corrected, clear the "
            "task, which then looks for this run."
        )

    def _ended(self, context: Context, event: dict[str, Any], start: Start, end: datetime) -> dict[str, Any]:
        run, moved = event["run"], self._has_moved(context, start)
        text = f"{self.key} {described(run)}"
        if run["result"] in self.good_results and self.require_report and not run["reported"]:
            self._forget(context)
            raise AirflowFailException(f"{text}. {NO_REPORT}")
        if run["result"] in self.good_results:
            if moved:
                self.log.warning("%s. Meanwhile %s.", text, moved)
            self.log.info("%s.", text)
            self._forget(context)
            return {
                **run,
                "connection": start.conn_id,
                "attached": not start.own,
                "active_server_changed": bool(moved),
            }
        # Airflow may stop the run of a task that was cleared when its next try waits for that run already.
        again = event["at_once"] or (start.own and run["result"] == "STOPPED")
        if again and start.try_number != context["ti"].try_number and not moved:
            self.log.warning("The run of an earlier try is over: %s. This try starts the job again.", text)
            self._forget(context)
            self._go_on(context, end)
        self._forget(context)
        if moved:
            raise AirflowFailException(f"{text}. Meanwhile {moved}. {self._switched_next}")
        raise AirflowException(f"{text}. Look at the report in the web tool, then clear the task to run the job again.")

    def _not_begun(self, context: Context, start: Start, end: datetime, event: dict[str, Any]) -> NoReturn:
        waited, seen, begun = format_duration(self.begin_timeout), event["seen"], event["begun"]
        if begun:
            self._forget(context)
            what, look = f"was seen {begun} and left no report", "the job"
            if begun == JobState.WAITING:
                what, look = "waited for the jobs on which it depends and did not run", "their reports"
            raise AirflowFailException(
                f"{self.key} {what}: at last {seen}. Look at {look} in the web tool; clear the task to start it again."
            )
        if start.answered:
            self._forget(context)
            did = "The server accepted the start of" if start.own else "This task was to wait for a run of"
            raise AirflowFailException(
                f"{did} {self.key}, but {waited} later there is no sign of one: {seen}, without a new report, result "
                "or previous execution. Look at the job in the web tool; clear the task to start it again."
            )
        if start.try_number != context["ti"].try_number:
            self.log.warning("No run of %s has begun since an earlier try may have started it; starting it.", self.key)
            self._forget(context)
            self._go_on(context, end)
        raise AirflowException(
            f"The start of {self.key} was not answered, and no run of it was seen within {waited}; at last {seen}. The "
            "next try of the task looks for the run again, and starts the job where there is none."
        )

    def _has_moved(self, context: Context, start: Start) -> str:
        """What to say of the pair where the run was not on the server that is active now; empty otherwise."""
        try:
            found = self.target(context)
        except (AirflowException, OSError) as error:
            self.log.warning("Whether the active server has changed is not known: %s", error)
            return ""
        if found is None:
            return f"the active server of the pair {self.pair!r} is changing"
        return "" if found.conn_id == start.conn_id else self._changed(start, found)

    def _same_server(self, context: Context, start: Start, found: Target) -> None:
        """Never start a job on a second server by oneself.

        :raises AirflowFailException: the job may have been started on another server.
        """
        if found.conn_id != start.conn_id:
            self._forget(context)
            raise AirflowFailException(
                f"The end of the run of {self.key} is not known: {self._changed(start, found)}. {self._switched_next}"
            )

    def _changed(self, start: Start, found: Target) -> str:
        return (
            f"the active server has changed, from connection {start.conn_id!r}, where the job was to run from "
            f"{start.before.at:%Y-%m-%d %H:%M:%S} UTC on by that server's clock, to {found.label}"
        )

    @property
    def _switched_next(self) -> str:
        return (
            "By its own schedule the job may run again on the server that is active now, so it was not started there. "
            "Look at its reports on both servers, then clear the task if it is to be started."
        )

    # -- what the task notes

    def _wait(self, start: Start, end: datetime, looks: Looks | None = None) -> NoReturn:
        looks = looks or Looks(server=start.conn_id)
        looks.works = True  # the worker has asked the server
        looks.begin_by = looks.begin_by or utcnow() + self.begin_timeout
        looks.saw(start.before.state)
        self.watch(looks, end, before=start.before.model_dump(mode="json"), stop_on_kill=start.own)

    def _noted(self, context: Context) -> Start | None:
        noted = context["task_state_store"].get(NOTE)
        return Start.model_validate(noted) if noted else None

    def _note(self, context: Context, start: Start) -> None:
        context["task_state_store"].set(NOTE, start.model_dump(mode="json"))

    def _forget(self, context: Context) -> None:
        context["task_state_store"].delete(NOTE)

    def on_kill(self) -> None:
        """Stop the job, if this worker has started it; where the task waits, the trigger does."""
        if self._started:
            try:
                self._started.set_jobs_status("stop", [self.key])
            except DenodoSchedulerError as error:
                self.log.warning("%s could not be stopped; stop it in the web tool. %s", self.key, error)
