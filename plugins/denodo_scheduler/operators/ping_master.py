"""Ask whether the master of a pair is alive, over two paths, in the triggerer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.timezone import utcnow

from denodo_ha.text import listed
from denodo_ha.verdict import Verdict
from denodo_scheduler.exceptions import WrongArgumentError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.renamed import renamed
from denodo_scheduler.steps.outcome import at_once
from denodo_scheduler.triggers.ping_master import PingMasterTrigger

_SLACK = timedelta(minutes=15)
"""How long after its end a watch may still wait for a verdict to be confirmed, before Airflow gives it up."""


class DenodoSchedulerPingMasterOperator(BaseOperator):
    """
    Watch the master of a pair and end with a confirmed verdict: "up" at once, any other after ``fall`` rounds in a row.

    Path 1 goes through the master's web tool, path 2 through the slave's web tool. The task sleeps in the triggerer and
    succeeds whatever the verdict is. Its result, as JSON text, since Airflow 3.3 encodes it once more: ``ended_by``,
    ``evidence``, ``second_good``, ``alive_since``, ``addresses``, ``paths`` and ``latencies``, see
    :class:`denodo_scheduler.triggers.ping_master.PingMasterTrigger`. It fails only when a connection cannot be used.

    :param denodo_scheduler_conn_id: connection of the master. (templated)
    :param slave_conn_id: connection of the slave; None leaves path 1 alone, and then "down" is never confirmed.
        (templated)
    :param second_path: the master as the slave's web tool reaches it, ``//host:port``, or ``auto`` or ``none``.
        (templated)
    :param interval: from one probe to the next.
    :param fall: how many rounds in a row confirm another verdict than "up".
    :param watch_for: how long to go on while the verdict stays ``known``.
    :param known: the verdict that the last watch ended with; None: the first confirmed one ends this watch. (templated)
    :param passive_conn_id: connection of the server that should be passive: enabled jobs there end the watch.
        (templated)
    :param passive_interval: from one read of that server to the next, and from one look at path 2 to the next.
    :param active_conn_id: connection of the server on which jobs should be enabled: twice none, or no answer of another
        server than the watched one, ends the watch.
    :param delay: how long to wait before the first probe.
    :param include_projects: glob patterns of the projects that count there. (templated)
    :param include_jobs: glob patterns of the jobs that count there. (templated)
    """

    template_fields: Sequence[str] = (
        "denodo_scheduler_conn_id",
        "slave_conn_id",
        "second_path",
        "known",
        "passive_conn_id",
        "include_projects",
        "include_jobs",
    )
    ui_color = "#f9dcc4"

    def __init__(
        self,
        *,
        denodo_scheduler_conn_id: str = DenodoSchedulerHook.default_conn_name,
        slave_conn_id: str | None = None,
        second_path: str = "auto",
        interval: timedelta = timedelta(seconds=5),
        fall: int = 4,
        watch_for: timedelta = timedelta(0),
        known: str | None = None,
        passive_conn_id: str | None = None,
        passive_interval: timedelta = timedelta(minutes=5),
        active_conn_id: str | None = None,
        delay: timedelta = timedelta(0),
        include_projects: Sequence[str] = ("*",),
        include_jobs: Sequence[str] = ("*",),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if interval <= timedelta(0) or passive_interval <= timedelta(0) or fall < 1:
            raise ValueError("interval and passive_interval must be longer than 0, and fall at least 1.")
        self.denodo_scheduler_conn_id = denodo_scheduler_conn_id
        self.slave_conn_id = slave_conn_id
        self.second_path = second_path
        self.interval = interval
        self.fall = fall
        self.watch_for = watch_for
        self.known = known
        self.passive_conn_id = passive_conn_id
        self.passive_interval = passive_interval
        self.active_conn_id = active_conn_id
        self.delay = delay
        self.include_projects = include_projects
        self.include_jobs = include_jobs

    @at_once
    def execute(self, context: Context) -> None:
        """Leave everything, the first probe included, to the triggerer."""
        self.watch(
            watch_for=self.watch_for,
            known=self.known,
            passive_conn_id=self.passive_conn_id,
            active_conn_id=self.active_conn_id,
            delay=self.delay,
        )

    def watch(
        self,
        *,
        watch_for: timedelta = timedelta(0),
        known: str | None = None,
        passive_conn_id: str | None = None,
        active_conn_id: str | None = None,
        delay: timedelta = timedelta(0),
        addresses: dict[str, str] | None = None,
        pair: str = "",
        last_alive: datetime | None = None,
    ) -> NoReturn:
        """Defer until the watch is over.

        The other parameters are those of the constructor and of the trigger.
        """
        if known and known not in tuple(Verdict):
            raise WrongArgumentError(f"known is {known!r}, and the verdicts are {listed(Verdict, len(Verdict))}.")
        begin = utcnow() + delay
        self.defer(
            trigger=PingMasterTrigger(
                denodo_scheduler_conn_id=self.denodo_scheduler_conn_id,
                slave_conn_id=self.slave_conn_id,
                second_path=self.second_path,
                interval=self.interval,
                fall=self.fall,
                begin=begin,
                until=begin + watch_for,
                known=str(known) if known else None,
                passive_conn_id=passive_conn_id,
                passive_interval=self.passive_interval,
                active_conn_id=active_conn_id,
                include_projects=list(self.include_projects),
                include_jobs=list(self.include_jobs),
                addresses=addresses or {},
                pair=pair,
                last_alive=last_alive,
            ),
            method_name="execute_complete",
            timeout=delay + watch_for + 2 * self.fall * self.interval + _SLACK,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """Fail with what is wrong with a connection, or return what was seen.

        A triggerer ends the task with that itself, and comes here only to fail. ``dag.test()`` comes here always.
        """
        if "error" in event:
            raise AirflowFailException(event["error"])
        return json.dumps(event)


if TYPE_CHECKING:
    PingMasterOperator = DenodoSchedulerPingMasterOperator
else:
    __getattr__ = renamed(__name__, {"PingMasterOperator": DenodoSchedulerPingMasterOperator})
