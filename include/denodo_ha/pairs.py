"""The options of a pair of servers: those of the pair itself, its groups, and what contradicts each other.

:mod:`denodo_ha.pairs_options` has the groups; :mod:`denodo_ha.pairs_file` reads a file of pairs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_core.core_schema import ValidationInfo

from denodo_ha.durations import format_duration
from denodo_ha.pairs_options import (
    AlertsOptions,
    CheckOptions,
    FailoverOptions,
    PropertiesOptions,
    SnapshotsOptions,
    Strict,
    SyncOptions,
    WatchOptions,
    mistake,
)
from denodo_ha.pairs_values import Column, Day, Duration, Globs, Schedule, Tag, Text, Zone
from denodo_ha.properties import SiteProperties
from denodo_ha.record import Role
from denodo_ha.scope import Scope


class PairOptions(Strict):
    """The options of a pair, and under ``defaults`` of all pairs."""

    master: Text = Field(
        default="denodo_scheduler_master", description="The Airflow connection of the server whose jobs run."
    )
    slave: Text = Field(
        default="denodo_scheduler_slave",
        description="The Airflow connection of the server that receives them, all disabled.",
    )
    description: str = Field(default="", description="Text that is shown on the DAGs.")
    projects: Globs = Field(
        default=("*",),
        description="Globs: the projects to sync; case does not matter. The rest of the slave is never touched.",
        examples=[["sales*", "finance"]],
    )
    jobs: Globs = Field(
        default=("*",), description="Globs: the jobs to sync within these projects, by name.", examples=[["load_*"]]
    )
    master_timezone: Zone | None = Field(
        default=None,
        description="The time zone of the master's clock, for the moments of imports, quiet windows and missed "
        "occurrences. `null`: it is inferred from the jobs, or by a [doctor](doctor.md).",
    )
    slave_timezone: Zone | None = Field(
        default=None,
        description="The same of the slave's clock. Where it can be inferred from nothing, all time zones are reckoned "
        "with.",
    )
    slave_restarted: Day | None = Field(
        default=None,
        description="The day on which a person last saw the slave's Scheduler start again without the master's site, "
        "with which its licence server may die. The [readiness check](readiness.md) reminds of it after 90 days.",
    )
    drill: tuple[Text, ...] = Field(
        default=(),
        description="Globs: harmless jobs that a [drill](drill.md) may run on the passive slave, by name or as "
        "`project / job`.",
        examples=[["heartbeat", "ops / ping *"]],
    )
    drill_schedule: Schedule | None = Field(
        default=None,
        description="When to drill by schedule, in UTC, which makes a DAG of its own; `null`: only when a person "
        "starts a drill.",
    )
    drill_timeout: Duration = Field(
        default=timedelta(minutes=5),
        description="How long the run of each of these jobs may take. No cron of it may be due for this long and "
        "9 minutes more, because so long the job may stay enabled where the worker dies.",
    )
    properties: PropertiesOptions = Field(
        default=PropertiesOptions(),
        description="Values of data sources that [belong to one site](two-sites.md), for each server, by Denodo's "
        "names `<project>.dataSource.<type>.<name>.<parameter>`; globs are allowed.",
    )
    owner: Column = Field(default="denodo-ha", description="The owner of the tasks [in Airflow](airflow.md).")
    queue: Column | None = Field(
        default=None,
        description="Where the tasks run, such as a queue of Celery workers; `null`: Airflow's default queue.",
    )
    tags: tuple[Tag, ...] = Field(default=(), description="Further tags of the DAGs.", examples=[["production"]])
    sync: SyncOptions = Field(
        default=SyncOptions(),
        description="When the slave is synchronised with the master, and when a sync stops instead.",
    )
    watch: WatchOptions = Field(
        default=WatchOptions(), description="How the master is watched, and what counts as down."
    )
    failover: FailoverOptions = Field(
        default=FailoverOptions(), description="What happens when the master is down, and when it is back."
    )
    snapshots: SnapshotsOptions = Field(default=SnapshotsOptions(), description="The exports.")
    alerts: AlertsOptions = Field(
        default=AlertsOptions(), description="Who is notified of failovers and of states that need a person."
    )
    check: CheckOptions = Field(default=CheckOptions(), description="The [readiness check](readiness.md).")

    @field_validator("slave")
    @classmethod
    def _two_servers(cls, slave: str, info: ValidationInfo) -> str:
        if slave == info.data.get("master"):
            raise ValueError(f'must differ from master; both are the connection "{slave}"')
        return slave

    @field_validator("drill_schedule")
    @classmethod
    def _has_jobs(cls, schedule: str | None, info: ValidationInfo) -> str | None:
        if schedule and info.data.get("drill") == ():
            raise ValueError("needs 'drill', the names of the harmless jobs that a drill may run")
        return schedule

    @field_validator("failover", mode="before")
    @classmethod
    def _derived(cls, failover: Any, info: ValidationInfo) -> Any:
        """Fill in the options that are not given and are derived from the groups ``sync`` and ``watch``.

        A snapshot is as old as the wait before its import when it is committed, and serves until the next one is, which
        may have waited as long.
        """
        sync, watch = info.data.get("sync"), info.data.get("watch")
        given = failover.model_dump(exclude_unset=True) if isinstance(failover, FailoverOptions) else failover
        if not isinstance(given, dict):
            return failover
        given = {key: value for key, value in given.items() if (key, value) != ("oldest_snapshot", None)}
        if watch:
            given.setdefault("cool_down", max(FailoverOptions().cool_down, watch.duration))
            given.setdefault("stable_for", min(FailoverOptions().stable_for, watch.duration))
        if sync:
            interval = sync.interval or timedelta(hours=12)
            given.setdefault("oldest_snapshot", max(timedelta(hours=1), 2 * max(interval, sync.quiet_timeout)))
        return given

    @field_validator("failover")
    @classmethod
    def _agrees(cls, failover: FailoverOptions, info: ValidationInfo) -> FailoverOptions:
        """Refuse each option that contradicts the groups ``sync`` and ``watch``, and name its place."""
        sync, watch = info.data.get("sync"), info.data.get("watch")
        wrong = {}
        if watch and failover.cool_down < watch.duration:
            wrong["cool_down"] = (
                f"{format_duration(failover.cool_down)} must not be shorter than watch.duration, which is "
                f"{format_duration(watch.duration)}: two failovers could follow each other within one watch"
            )
        if watch and failover.on_master_return == "fail_back" and failover.stable_for > watch.duration:
            wrong["stable_for"] = (
                f"{format_duration(failover.stable_for)} must not be longer than watch.duration, which is "
                f"{format_duration(watch.duration)}: no watch would ever see it"
            )
        interval = sync.interval if sync else None
        if interval and failover.oldest_snapshot < interval:
            wrong["oldest_snapshot"] = (
                f"{format_duration(failover.oldest_snapshot)} must not be shorter than the interval of the syncs, "
                f"which is {format_duration(interval)}: every snapshot would be too old before the next one"
            )
        if wrong:
            raise ValidationError.from_exception_data(
                cls.__name__, [mistake(message, key) for key, message in wrong.items()]
            )
        return failover


class Pair(PairOptions):
    """One pair of servers; ``name`` is its key in the file."""

    name: str

    def with_sync(self, **options: Any) -> Pair:
        """Return the same pair with other options of its syncs, as a person chooses them in a form."""
        return self.model_copy(update={"sync": self.sync.model_copy(update=options)})

    def with_failover(self, **options: Any) -> Pair:
        """Return the same pair with other options of its changes of the active server, likewise."""
        return self.model_copy(update={"failover": self.failover.model_copy(update=options)})

    def timezone_of(self, role: Role) -> str | None:
        """Return the time zone of a server's clock, if it is configured."""
        return self.master_timezone if role is Role.MASTER else self.slave_timezone

    def properties_of(self, role: Role) -> SiteProperties:
        """Return what the data sources hold on a server."""
        return SiteProperties(self.properties.master if role is Role.MASTER else self.properties.slave)

    @property
    def dag_id_failover(self) -> str:
        return f"denodo_scheduler_failover__{self.name}"

    @property
    def dag_id_switchover(self) -> str:
        return f"denodo_scheduler_switchover__{self.name}"

    @property
    def dag_id_operations(self) -> str:
        return f"denodo_scheduler_operations__{self.name}"

    @property
    def dag_id_drill(self) -> str:
        return f"denodo_scheduler_drill__{self.name}"

    @property
    def scope(self) -> Scope:
        return Scope(projects=self.projects, jobs=self.jobs)

    @property
    def dag_id_sync(self) -> str:
        return f"denodo_scheduler_sync__{self.name}"

    @property
    def pool(self) -> str:
        return f"denodo_ha_{self.name}"

    @property
    def asset_uri(self) -> str:
        return f"denodo-scheduler://{self.name}"
