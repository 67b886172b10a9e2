"""The groups of options of a pair, and the smaller ones within them: what each option means, and derived defaults.

The descriptions are Markdown, with links to pages of ``docs/``; a default that follows from other options stands at the
end of one, after ``Default:``. :mod:`denodo_ha.reference` generates from them the template ``include/pairs.yaml``, the
page ``docs/pairs-options.md`` and the JSON schema.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from denodo_ha.decisions import Alert
from denodo_ha.durations import format_duration
from denodo_ha.pairs_values import (
    MANY,
    ClassPath,
    Duration,
    DurationOrZero,
    Globs,
    Schedule,
    SecondPath,
    Storage,
    Text,
    longest_interval,
)
from denodo_ha.properties import mistakes


class Strict(BaseModel):
    """A group of options, in which no other may stand."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class MassChangeLimits(Strict):
    """A sync halts when more than ``percent`` of the jobs, and at least ``jobs`` jobs, vanished or became disabled."""

    percent: int = Field(
        default=20, ge=0, le=100, strict=True, description="The share of the jobs, in per cent, that may change."
    )
    jobs: int = Field(
        default=5, ge=1, le=MANY, strict=True, description="Fewer jobs than this may change whatever their share is."
    )

    def exceeded(self, changed: int, before: int) -> bool:
        """Return whether ``changed`` of ``before`` jobs are beyond both limits."""
        return changed >= self.jobs and 100 * changed > self.percent * before


class Notify(Strict):
    """A notifier of Airflow: its class path, its arguments, and the alerts that it is called for (default: all)."""

    notifier: ClassPath = Field(
        description="The class of the notifier.",
        examples=["airflow.providers.smtp.notifications.smtp.SmtpNotifier"],
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="The arguments of the class; texts are templates. They are no place for a password.",
        examples=[{"to": "on-call@example.com"}],
    )
    alerts: tuple[Alert, ...] = Field(
        default=tuple(Alert), description="The alerts that it is called for. Default: all.", examples=[["failover"]]
    )


class SyncOptions(Strict):
    """When the slave is synchronised with the master, and when a sync stops instead."""

    schedule: Schedule | None = Field(
        default="@hourly",
        description="When to sync, in UTC: a cron expression or a preset; `null`: only when a person starts a run.",
    )
    quiet_window: Duration = Field(
        default=timedelta(minutes=5),
        description="For how long no job may be due on the target when the whole archive is imported and no import has "
        "been measured yet; longer than an import takes. It is also the window of a switchover that waits for one.",
    )
    quiet_margin: DurationOrZero = Field(
        default=timedelta(seconds=30),
        description="How much longer the window must be when the wait for it ends: the reserve for the export.",
    )
    quiet_timeout: Duration = Field(
        default=timedelta(minutes=50),
        description="How long a sync waits for the first moment in which no job that it has to import can fire, and a "
        "switchover for its quiet window. Then it gives up; the next run tries again.",
    )
    import_timeout: Duration = Field(
        default=timedelta(minutes=10),
        description="How long to wait for the answer to an import, the sending of the file included; longer than the "
        "longest import takes on the server.",
    )
    lease: Duration = Field(
        default_factory=lambda given: max(timedelta(minutes=15), given["import_timeout"] + timedelta(minutes=5)),
        description="How long an import may be unfinished before another run may act on the pair. "
        "Default: `import_timeout` + 5m, at least 15m.",
    )
    mass_change: MassChangeLimits = Field(
        default=MassChangeLimits(),
        description="A sync stops until a person accepts the change when too many jobs vanished or became disabled "
        "since the last sync: more than `percent` per cent of them, and at least the number `jobs`.",
    )
    orphans: Literal["report", "delete"] = Field(
        default="report", description="Jobs that only the target has: `report` them, or `delete` them."
    )
    reprotect: Literal["manual", "automatic"] = Field(
        default="manual",
        description="While the slave is active and the master is back, copy the slave's changes to the master when a "
        "person says so (`manual`), or with each sync (`automatic`).",
    )
    initialise: Literal["manual", "automatic"] = Field(
        default="manual",
        description="A pair that has no HA record yet: its syncs only look until [a person says](first-pair.md) which "
        "server is the active one (`manual`). With `automatic`, for set-ups without people, the first sync takes the "
        "master for it and begins, provided that no job is enabled on the slave.",
    )
    verify_definitions: bool = Field(
        default=True,
        strict=True,
        description="Compare [whole definitions and data sources](decisions.md#what-counts-as-the-same-definition) "
        "after an import, and whole definitions before a switchover; false: only check that the jobs and data sources "
        "are there. Data sources that the import leaves alone (`replaceDataSources: false`) may differ.",
    )
    secrets_refresh: DurationOrZero = Field(
        default=timedelta(hours=24),
        description="Import at least this often although nothing seems to have changed, because a server that salts "
        "its secrets shows no change of a password; so late a changed password may reach the slave.",
    )

    @field_validator("lease")
    @classmethod
    def _outlasts_an_import(cls, lease: timedelta, info: ValidationInfo) -> timedelta:
        timeout = info.data.get("import_timeout")
        if timeout is not None and lease <= timeout:
            raise ValueError(
                f"{format_duration(lease)} must be longer than import_timeout, which is {format_duration(timeout)}: "
                f"an import that outlives its lease could meet the next operation"
            )
        return lease

    @property
    def oldest_export(self) -> timedelta:
        """How old an export may be when it is imported; for as long no other run deletes it.

        Between the two lie the wait for a quiet window, the lease of an earlier try whose end is waited for, and an
        hour to spare.
        """
        return self.quiet_timeout + self.lease + timedelta(hours=1)

    @property
    def interval(self) -> timedelta | None:
        """The longest time between two of the next syncs; None where they are started by hand only."""
        if self.schedule is None:
            return None
        return longest_interval(self.schedule)


class WatchOptions(Strict):
    """How the master is watched, and what counts as down."""

    probe_interval: Duration = Field(
        default=timedelta(seconds=5), description="How often the master is asked whether it is alive."
    )
    fall: int = Field(
        default=4,
        ge=1,
        le=1000,
        strict=True,
        description="After this many rounds in a row without an answer on any path the master is down.",
    )
    duration: Duration = Field(
        default_factory=lambda given: max(timedelta(minutes=40), given["fall"] * given["probe_interval"]),
        description="How long one run of the failover DAG watches an idle pair. "
        "Default: 40m, or `fall` times `probe_interval` if that is longer.",
    )
    second_path: SecondPath = Field(
        default="auto",
        description="The master's Scheduler server as the slave's web tool reaches it, such as `//master-host:8000`, "
        "for [the second path](fencing.md#the-second-path). `auto`: the address in the master's connection, with that "
        "connection's host in place of `localhost`; `none`: there is no such path.",
        examples=["auto", "//master-host:8000"],
    )
    one_path: bool = Field(
        default=False,
        strict=True,
        description="True: fail over even if the slave's web tool cannot confirm that the master is down. Then the "
        "pair also fails over when only Airflow is cut off from the master.",
    )

    @field_validator("duration")
    @classmethod
    def _sees_an_outage(cls, duration: timedelta, info: ValidationInfo) -> timedelta:
        interval, fall = info.data.get("probe_interval"), info.data.get("fall")
        if interval is not None and fall is not None and duration < fall * interval:
            raise ValueError(
                f"{format_duration(duration)} is too short: {fall} probes (fall) every {format_duration(interval)} "
                f"(probe_interval) take {format_duration(fall * interval)}"
            )
        return duration


class FailoverOptions(Strict):
    """How the active server changes: when the master is down, when it is back, and as planned."""

    policy: Literal["automatic", "approval", "manual"] = Field(
        default="automatic",
        description="Who decides on a failover: the pair itself (`automatic`), a person who approves each one in "
        "Airflow (`approval`), or a person who triggers it (`manual`).",
    )
    approval_timeout: Duration = Field(
        default=timedelta(hours=1),
        description="How long a request for approval waits for its answer; then it is made again at the next look.",
    )
    fencing: Literal["best_effort", "required"] = Field(
        default="best_effort",
        description="With `required` there is no failover before [fencing](fencing.md#fencing) has made certain that "
        "the master cannot run jobs again.",
    )
    fence: ClassPath | None = Field(
        default=None,
        description="A function of yours, called with pair, master and reason; it returns True when the master is off "
        "until a person switches it on.",
        examples=["my_site.fences.power_off"],
    )
    fence_timeout: Duration = Field(default=timedelta(minutes=1), description="How long that function may take.")
    oldest_snapshot: Duration = Field(
        default=timedelta(hours=2),
        description="A snapshot older than this is not promoted unless a person accepts it. Default: twice the "
        "interval of the syncs, at least twice `sync.quiet_timeout` and 1h; 24h where `sync.schedule` is null.",
    )
    enable_batch: int = Field(
        default=20,
        ge=1,
        le=MANY,
        strict=True,
        description="How many jobs are enabled before the master is looked at again; the "
        "number doubles up to eight times as many.",
    )
    cool_down: Duration = Field(
        default=timedelta(hours=1),
        description="No second failover within this time. Default: `watch.duration`, at least 1h.",
    )
    drain_timeout: Duration = Field(
        default=timedelta(minutes=15),
        description="How long a switchover waits for jobs that run, before it goes back or stops them as its form "
        "says.",
    )
    catch_up: Literal["none", "start_missed"] = Field(
        default="none",
        description="With `start_missed` each job that was due while no server ran it is started once after a failover "
        "or switchover.",
    )
    catch_up_jobs: Globs = Field(
        default=("*",), description="Globs: which of these jobs are started, by name.", examples=[["load_*"]]
    )
    on_master_return: Literal["hold", "fail_back"] = Field(
        default="hold",
        description="What happens when the master is back: the slave stays active until a person switches back "
        "(`hold`), or the pair fails back when the master has been up for `stable_for` (`fail_back`).",
    )
    stable_for: Duration = Field(
        default=timedelta(minutes=10),
        description="How long the master must have been up before `fail_back`. Default: `watch.duration`, at most 10m.",
    )


class SnapshotsOptions(Strict):
    """Where the exports are kept, and how many."""

    location: Storage | None = Field(
        default=None,
        description="A folder, or the URL of a bucket ([storage](storage.md)). `null`: a folder in AIRFLOW_HOME. "
        "Workers on several machines need a location that they share.",
    )
    keep: int = Field(
        default=10,
        ge=2,
        le=MANY,
        strict=True,
        description="How many are kept; older ones are deleted, and older plans of switchovers.",
    )


class AlertsOptions(Strict):
    """Who is notified."""

    notify: tuple[Notify, ...] = Field(
        default=(), description="[Notifiers of Airflow](alerts.md), each with its class, its arguments and its alerts."
    )


class CheckOptions(Strict):
    """When the readiness check runs by itself, and what it wants."""

    schedule: Schedule | None = Field(
        default="@daily",
        description="When it runs by itself, in UTC, as a run of the operations DAG; `null`: only when a person asks "
        "for it.",
    )
    recovery_time: Duration = Field(
        default=timedelta(minutes=15),
        description="A failover that would take longer, as far as that can be estimated, is a warning of the check.",
    )


class PropertiesOptions(Strict):
    """What the data sources hold on each server, by the vendor's names; see :mod:`denodo_ha.properties`."""

    master: dict[str, Text] = Field(default_factory=dict, description="The values on the master, by name.")
    slave: dict[str, Text] = Field(default_factory=dict, description="The values on the slave, by the same names.")

    @model_validator(mode="after")
    def _usable(self) -> PropertiesOptions:
        if wrong := mistakes(self.master, self.slave):
            raise ValidationError.from_exception_data(
                type(self).__name__, [mistake(message, *where) for where, message in wrong.items()]
            )
        return self


def mistake(message: str, *where: str) -> InitErrorDetails:
    """Return a mistake in the option at ``where`` within a group, as an error of validation names it."""
    kind = PydanticCustomError("value_error", "{error}", {"error": message})
    return InitErrorDetails(type=kind, loc=where, input=None)
