"""The options of a pair of servers, in groups: allowed values, derived defaults and contradictions.

``include/pairs.yaml`` explains each option; :mod:`denodo_ha.pairs_file` reads such a file.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from denodo_ha.decisions import Alert
from denodo_ha.durations import format_duration, parse_duration
from denodo_ha.properties import SiteProperties, mistakes
from denodo_ha.record import Role
from denodo_ha.scope import Scope
from denodo_ha.server.address import server_uri

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
_MANY = 1_000_000
_LONGEST = timedelta(days=36500)
"""No time of today is so far from the end of the calendar that more could be added to it several times."""
_CLASS_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0")
    return _not_endless(value)


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("must not be negative")
    return _not_endless(value)


def _not_endless(value: timedelta) -> timedelta:
    if value > _LONGEST:
        raise ValueError(f"must not be longer than {format_duration(_LONGEST)}")
    return value


@lru_cache
def _schedule(value: str) -> str:
    if value in _PRESETS:
        return value
    problem = "it is too long" if len(value) > 200 else "it needs five fields" if len(value.split()) != 5 else ""
    try:
        if not problem:
            croniter(value).get_next()
            return value
    except ValueError as error:  # CroniterError is one
        problem = str(error)
    raise ValueError(
        f'must be a cron expression such as "0 * * * *", one of {", ".join(sorted(_PRESETS))}, or null for manual '
        f"only; {value!r} is none of these: {problem}"
    )


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        near = get_close_matches(value, available_timezones(), n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise ValueError(f"must be a time zone such as Europe/Madrid, not {value!r}{hint}") from None
    return value


def _second_path(value: str) -> str:
    if value in ("auto", "none"):
        return value
    try:
        return server_uri(value)
    except ValueError:
        raise ValueError(
            f"must be auto, none, or the master's Scheduler server as the slave's web tool reaches it, such as "
            f"//master-host:8000, not {value!r}"
        ) from None


@lru_cache
def _longest_interval(cron: str) -> timedelta:
    moments = croniter(cron, datetime(2026, 1, 1, tzinfo=UTC))
    times = [moments.get_next(datetime) for _ in range(50)]
    return max(later - earlier for earlier, later in pairwise(times))


def _storage(value: str) -> str:
    address = urlsplit(value)
    if ":" in address.netloc.rpartition("@")[0]:
        raise ValueError("must not hold a password; name an Airflow connection, as in s3://my_conn@bucket/denodo")
    if not address.scheme and not value.startswith("/"):
        raise ValueError("must be an absolute path, or a URL such as s3://my_conn@bucket/denodo")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_positive)]
DurationOrZero = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_not_negative)]
Text = Annotated[str, Field(min_length=1)]
Tag = Annotated[str, Field(min_length=1, max_length=100)]
Column = Annotated[str, Field(min_length=1, max_length=250)]
"""What Airflow keeps in a column of its database, which is no longer."""
Globs = Annotated[tuple[Text, ...], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class MassChangeLimits(_Strict):
    """A sync halts when more than ``percent`` of the jobs, and at least ``jobs`` jobs, vanished or became disabled."""

    percent: int = Field(default=20, ge=0, le=100, strict=True)
    jobs: int = Field(default=5, ge=1, le=_MANY, strict=True)

    def exceeded(self, changed: int, before: int) -> bool:
        """Return whether ``changed`` of ``before`` jobs are beyond both limits."""
        return changed >= self.jobs and 100 * changed > self.percent * before


class Notify(_Strict):
    """A notifier of Airflow: its class path, its arguments, and the alerts that it is called for (default: all)."""

    notifier: Annotated[Text, Field(pattern=_CLASS_PATH)]
    arguments: dict[str, Any] = Field(default_factory=dict)
    alerts: tuple[Alert, ...] = tuple(Alert)


class SyncOptions(_Strict):
    """When the slave is synchronised with the master, and when a sync stops instead."""

    schedule: Annotated[Text, AfterValidator(_schedule)] | None = "@hourly"
    quiet_window: Duration = timedelta(minutes=5)
    quiet_margin: DurationOrZero = timedelta(seconds=30)
    quiet_timeout: Duration = timedelta(minutes=50)
    import_timeout: Duration = timedelta(minutes=10)
    lease: Duration = Field(
        default_factory=lambda given: max(timedelta(minutes=15), given["import_timeout"] + timedelta(minutes=5))
    )
    mass_change: MassChangeLimits = MassChangeLimits()
    orphans: Literal["report", "delete"] = "report"
    reprotect: Literal["manual", "automatic"] = "manual"
    initialise: Literal["manual", "automatic"] = "manual"
    verify_definitions: bool = Field(default=True, strict=True)
    secrets_refresh: DurationOrZero = timedelta(hours=24)

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
        cron = _PRESETS.get(self.schedule, self.schedule)
        return _longest_interval(re.sub(r"^\d+ ", "0 ", cron))  # the same for every minute, so that the cache serves


class WatchOptions(_Strict):
    """How the master is watched, and what counts as down."""

    probe_interval: Duration = timedelta(seconds=5)
    fall: int = Field(default=4, ge=1, le=1000, strict=True)
    duration: Duration = Field(
        default_factory=lambda given: max(timedelta(minutes=40), given["fall"] * given["probe_interval"])
    )
    second_path: Annotated[Text, AfterValidator(_second_path)] = "auto"
    one_path: bool = Field(default=False, strict=True)

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


class FailoverOptions(_Strict):
    """How the active server changes: when the master is down, when it is back, and as planned."""

    policy: Literal["automatic", "approval", "manual"] = "automatic"
    approval_timeout: Duration = timedelta(hours=1)
    fencing: Literal["best_effort", "required"] = "best_effort"
    fence: Annotated[Text, Field(pattern=_CLASS_PATH)] | None = None
    fence_timeout: Duration = timedelta(minutes=1)
    oldest_snapshot: Duration = timedelta(hours=2)
    enable_batch: int = Field(default=20, ge=1, le=_MANY, strict=True)
    cool_down: Duration = timedelta(hours=1)
    drain_timeout: Duration = timedelta(minutes=15)
    catch_up: Literal["none", "start_missed"] = "none"
    catch_up_jobs: Globs = ("*",)
    on_master_return: Literal["hold", "fail_back"] = "hold"
    stable_for: Duration = timedelta(minutes=10)


class SnapshotsOptions(_Strict):
    """Where the exports are kept, and how many."""

    location: Annotated[Text, AfterValidator(_storage)] | None = None
    keep: int = Field(default=10, ge=2, le=_MANY, strict=True)


class AlertsOptions(_Strict):
    """Who is notified."""

    notify: tuple[Notify, ...] = ()


class CheckOptions(_Strict):
    """When the readiness check runs by itself, and what it wants."""

    schedule: Annotated[Text, AfterValidator(_schedule)] | None = "@daily"
    recovery_time: Duration = timedelta(minutes=15)


class PropertiesOptions(_Strict):
    """What the data sources hold on each server, by the vendor's names; see :mod:`denodo_ha.properties`."""

    master: dict[str, Text] = Field(default_factory=dict)
    slave: dict[str, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _usable(self) -> PropertiesOptions:
        if wrong := mistakes(self.master, self.slave):
            raise ValidationError.from_exception_data(
                type(self).__name__, [_mistake(message, *where) for where, message in wrong.items()]
            )
        return self


class PairOptions(_Strict):
    """The options of a pair, and under ``defaults`` of all pairs."""

    description: str = ""
    master: Text = "denodo_scheduler_master"
    slave: Text = "denodo_scheduler_slave"
    projects: Globs = ("*",)
    jobs: Globs = ("*",)
    master_timezone: Annotated[Text, AfterValidator(_zone)] | None = None
    slave_timezone: Annotated[Text, AfterValidator(_zone)] | None = None
    slave_restarted: date | None = None
    drill: tuple[Text, ...] = ()
    drill_schedule: Annotated[Text, AfterValidator(_schedule)] | None = None
    drill_timeout: Duration = timedelta(minutes=5)
    properties: PropertiesOptions = PropertiesOptions()
    owner: Column = "denodo-ha"
    queue: Column | None = None
    tags: tuple[Tag, ...] = ()
    sync: SyncOptions = SyncOptions()
    watch: WatchOptions = WatchOptions()
    failover: FailoverOptions = FailoverOptions()
    snapshots: SnapshotsOptions = SnapshotsOptions()
    alerts: AlertsOptions = AlertsOptions()
    check: CheckOptions = CheckOptions()

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
                cls.__name__, [_mistake(message, key) for key, message in wrong.items()]
            )
        return failover


def _mistake(message: str, *where: str) -> InitErrorDetails:
    kind = PydanticCustomError("value_error", "{error}", {"error": message})
    return InitErrorDetails(type=kind, loc=where, input=None)


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
