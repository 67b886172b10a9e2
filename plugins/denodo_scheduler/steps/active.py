"""A task of other people's DAGs that waits for a run of a job, on one server or on the active one of a pair."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.timezone import utcnow

from denodo_ha.jobs import JobKey, JobState
from denodo_ha.pairs_file import PairsError
from denodo_ha.record import Record, RecordError, Role
from denodo_ha.runs import Looks, settled_role
from denodo_scheduler.exceptions import RETRY_POLICY
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.settings import configured_pairs
from denodo_scheduler.steps.outcome import at_once
from denodo_scheduler.triggers.job_run import JobRunTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.retry_policy import RetryPolicy

    from denodo_ha.pairs import Pair

WAKE = timedelta(minutes=1)
"""How long the active server of a pair may be silent, or have the job disabled, before the HA record is read again."""
_PAUSE = timedelta(seconds=30)
"""From one look at the HA record to the next."""
_TRIGGERER_LATE = timedelta(minutes=5)
"""How long after its end a trigger may still be at its last look, before Airflow gives it up."""
GROUP = "denodo-scheduler"
"""The group of the pairs' assets."""


def pair_asset(name: str) -> Asset:
    """The asset of a pair, whose state store holds a copy of the HA record and whose events are the pair's history.

    A task that has it as an inlet can read that copy.
    """
    uri = f"denodo-scheduler://{name}"
    return Asset(name=uri, uri=uri, group=GROUP)


@dataclass(frozen=True)
class Target:
    """A server.

    :param conn_id: connection of its web tool. :param uri: another server behind that web tool, or None.
    :param label: how messages name it.
    """

    conn_id: str
    uri: str | None
    label: str

    @cached_property
    def hook(self) -> DenodoSchedulerHook:
        return DenodoSchedulerHook(self.conn_id, scheduler_uri=self.uri)


class JobTask(BaseOperator):
    """
    What the operator and the sensor for a run have in common.

    A task with ``pair`` has the pair's asset as an inlet, and reads the HA record in the worker only: the trigger asks
    the servers, and resumes the task where it sees that the record may have changed.

    :param project: the project of the job. :param job: its name.
    :param denodo_scheduler_conn_id: connection of the web tool.
    :param uri: another Scheduler server than the connection's. :param pair: the active server of this pair instead.
    """

    timed_out: ClassVar[type[AirflowException]] = AirflowFailException
    poke_interval: float
    timeout: Any

    def __init__(
        self,
        *,
        project: str,
        job: str,
        denodo_scheduler_conn_id: str | None = None,
        uri: str | None = None,
        pair: str | None = None,
        retry_policy: RetryPolicy | None = RETRY_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(retry_policy=retry_policy, **kwargs)
        if pair and (denodo_scheduler_conn_id or uri):
            raise ValueError(
                f"pair={pair!r} means the active server of the pair, so denodo_scheduler_conn_id and uri must be left "
                "out."
            )
        self.project = project
        self.job = job
        self.denodo_scheduler_conn_id = denodo_scheduler_conn_id
        self.uri = uri
        self.pair = pair
        if pair:
            self.add_inlets([pair_asset(pair)])

    @property
    def key(self) -> JobKey:
        return JobKey(project=self.project, name=self.job)

    def deadline(self, end: str | None = None) -> datetime:
        """When to give up: what was handed on at the deferral, which ``dag.test()`` loses, or else from now on."""
        longest = self.timeout if isinstance(self.timeout, timedelta) else timedelta(seconds=self.timeout)
        return datetime.fromisoformat(end) if end else utcnow() + longest

    @at_once
    def execute(self, context: Context) -> Any:
        """Begin, or find what an earlier try has begun; then wait for it in the triggerer."""
        self._go_on(context, self.deadline())

    @at_once
    def resume(self, context: Context, event: Any, end: str | None = None, so_far: dict[str, Any] | None = None) -> Any:
        """Look at the HA record again."""
        self._go_on(context, self.deadline(end), so_far)

    def _go_on(self, context: Context, end: datetime, so_far: dict[str, Any] | None = None) -> NoReturn:
        """Do what is next, which ends with a deferral."""
        raise NotImplementedError

    def target(self, context: Context) -> Target | None:
        """Return the server that is meant now; None while the active server of the pair changes.

        :raises AirflowFailException: there is no such pair, or it has no HA record.
        :raises AirflowException: the file of pairs has mistakes, or the record cannot be used.
        """
        if self.pair is None:
            conn_id = self.denodo_scheduler_conn_id or DenodoSchedulerHook.default_conn_name
            return Target(conn_id, self.uri or None, f"the server of connection {conn_id!r}")
        try:
            pairs = configured_pairs(self.pair)
        except PairsError as error:
            raise AirflowException(str(error)) from None
        if self.pair not in pairs:
            raise AirflowFailException(
                f"The file of pairs has no pair {self.pair!r}. Correct pair=, or add the pair to the file."
            )
        pair = pairs[self.pair]
        role = settled_role(_record(context, pair))
        if role is None:
            return None
        conn_id = pair.master if role is Role.MASTER else pair.slave
        return Target(conn_id, None, f"the active server of the pair {self.pair!r} ({role}, connection {conn_id!r})")

    def target_or_pause(self, context: Context, end: datetime, so_far: dict[str, Any] | None) -> tuple[Target, Looks]:
        """Return the server that is meant, as soon as the active server of the pair does not change.

        :param so_far: what looks have shown before, as JSON; it is forgotten where the server is another one.
        """
        found = self.target(context)
        if found is None:
            self.pause(end, f"the active server of the pair {self.pair!r} is changing", so_far)
        looks = Looks.model_validate(so_far) if so_far else None
        return found, looks if looks and looks.server == found.conn_id else Looks(server=found.conn_id)

    def pause(self, end: datetime, why: str, so_far: dict[str, Any] | None, length: timedelta = _PAUSE) -> NoReturn:
        """Defer for a moment, then call ``resume``."""
        if utcnow() >= end:
            raise self.timed_out(
                f"{self.key} was waited for until the timeout: {why}. Look at the pair (denodo-ha status), then clear "
                "the task."
            )
        self.log.info("Waiting: %s.", why)
        trigger = DateTimeTrigger(moment=min(utcnow() + length, end))
        self.defer(trigger=trigger, method_name="resume", kwargs={"end": end.isoformat(), "so_far": so_far})

    def watch(self, looks: Looks, end: datetime, **arguments: Any) -> NoReturn:
        """Defer until the trigger has something to tell.

        :param looks: what looks at the server have shown so far.
        :param arguments: those of the trigger.
        """
        trigger = JobRunTrigger(
            denodo_scheduler_conn_id=looks.server,
            uri=self.uri or None,
            project=self.project,
            job=self.job,
            poke_interval=timedelta(seconds=self.poke_interval),
            so_far=looks.model_dump(mode="json"),
            end=end,
            wake=WAKE if self.pair else None,
            **arguments,
        )
        timeout = max(timedelta(0), end - utcnow()) + _TRIGGERER_LATE
        self.defer(trigger=trigger, method_name="execute_complete", kwargs={"end": end.isoformat()}, timeout=timeout)


def waits_for(event: dict[str, Any]) -> str:
    """What to add to the text of a timeout at which the job had not begun its work."""
    waits = event["state"] == JobState.WAITING
    return " It waits for the jobs on which it depends; look at their reports." if waits else ""


def _record(context: Context, pair: Pair) -> Record:
    """Read the record of a pair: its versions in the pair's storage, checked against the copy in its asset's state."""
    from denodo_scheduler.dags.shared import pair_records  # which imports all that the DAGs need

    try:
        record = pair_records(context, pair).load()
    except RecordError as error:
        raise AirflowException(str(error)) from None
    if record is None:
        raise AirflowFailException(
            f"The pair {pair.name!r} has no HA record, so it is not known which of its servers is active. Run its sync "
            "once, or initialise the pair with its operations DAG."
        )
    return record
