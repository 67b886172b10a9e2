"""Wait for a run of a job that something else starts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSensorTimeout

from denodo_ha.runs import ENDED_WELL, described
from denodo_ha.text import moment
from denodo_scheduler.exceptions import WrongArgumentError
from denodo_scheduler.operators.run_job import NO_REPORT
from denodo_scheduler.steps.active import JobTask, waits_for
from denodo_scheduler.steps.outcome import at_once

if TYPE_CHECKING:
    from airflow.sdk import Context


class DenodoSchedulerJobSensor(JobTask, BaseSensorOperator):
    """
    Wait in the triggerer for a run of a job that something else starts, such as its own schedule.

    The run is the newest one that has ended at ``since`` or later. Its result is that of
    :class:`~denodo_scheduler.operators.run_job.DenodoSchedulerRunJobOperator`, but for ``attached`` and
    ``active_server_changed``.

    :param project: the job's project. (templated)
    :param job: the job's name. (templated)
    :param denodo_scheduler_conn_id: connection of the web tool. (templated)
    :param uri: another Scheduler server than the connection's, ``//host:port``. (templated)
    :param pair: wait on the active server of this pair instead, whichever that becomes.
    :param since: a moment, as text in ISO 8601 with its time zone where it is a template; None: the start of the data
        interval of the DAG run, its logical date, or where it has neither the moment after which it may run. The
        difference between the server's clock and Airflow's is taken into account. (templated)
    :param if_failed: where the run has another result than ``good_results``: ``fail``, go on to ``wait`` for one that
        has, or ``accept`` it.
    :param good_results: the results of a run that did its work.
    :param require_report: fail where such a run has left no report, because the result in the job's status may be that
        of an earlier run. False: trust the status, for jobs that keep reports of errors only.
    :param poke_interval: seconds from one look at the job to the next.
    :param timeout: seconds to wait at most.
    :param retry_policy: Airflow's; a configuration error fails the task at once, whatever it says.
    """

    template_fields: Sequence[str] = ("project", "job", "denodo_scheduler_conn_id", "uri", "since")
    ui_color = "#f9dcc4"
    timed_out = AirflowSensorTimeout

    def __init__(
        self,
        *,
        since: datetime | str | None = None,
        if_failed: Literal["fail", "wait", "accept"] = "fail",
        good_results: Sequence[str] = ENDED_WELL,
        require_report: bool = True,
        poke_interval: timedelta | float = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        if if_failed not in ("fail", "wait", "accept"):
            raise ValueError(f"if_failed must be fail, wait or accept, not {if_failed!r}.")
        self.since = since
        self.if_failed = if_failed
        self.good_results = good_results
        self.require_report = require_report

    def _go_on(self, context: Context, end: datetime, so_far: dict[str, Any] | None = None) -> NoReturn:
        """Leave everything but the choice of the server to the triggerer."""
        _, looks = self.target_or_pause(context, end, so_far)
        results = list(self.good_results) if self.if_failed == "wait" else None
        self.watch(looks, end, since=self._since(context), results=results)

    def _since(self, context: Context) -> datetime:
        since: Any = self.since
        if since is None:
            return context.get("data_interval_start") or context.get("logical_date") or context["dag_run"].run_after
        try:
            return moment(since.isoformat() if isinstance(since, datetime) else since)
        except ValueError:
            raise WrongArgumentError(
                f"since is {str(since)!r}: give a moment with its time zone, as text in ISO 8601, such as "
                "2026-03-01T02:00:00+00:00."
            ) from None

    @at_once
    def execute_complete(self, context: Context, event: dict[str, Any], end: str | None = None) -> Any:
        """Finish with what the trigger found."""
        status = event["status"]
        if status == "look":
            self._go_on(context, self.deadline(end), event["so_far"])
        if status == "timeout":
            raise AirflowSensorTimeout(
                f"No run of {self.key} has ended since {self._since(context)} before the timeout; at last "
                f"{event['seen']}.{waits_for(event)} Look whether the job is enabled and scheduled, or raise timeout."
            )
        if status == "error":
            raise AirflowFailException(event["message"])
        run, text = event["run"], f"{self.key} {described(event['run'])}"
        if self.if_failed == "fail" and run["result"] not in self.good_results:
            raise AirflowException(f"{text}. Look at the report in the web tool; clear the task to judge a later run.")
        if self.require_report and not run["reported"]:
            raise AirflowFailException(f"{text}. {NO_REPORT}")
        self.log.info("%s.", text)
        return run
