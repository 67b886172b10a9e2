"""The pairs of servers to keep in step: one YAML file, validated whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterError, croniter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ValidationInfo

from denodo_ha.decisions import Alert
from denodo_ha.durations import format_duration, parse_duration
from denodo_ha.scope import Scope
from denodo_ha.yaml_lines import YamlDocument, read_yaml

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
M = TypeVar("M", bound=BaseModel)

_CLASS_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class PairsError(ValueError):
    """The file of pairs has mistakes; the message lists them all with file, line and key."""


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0")
    return value


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("must not be negative")
    return value


def _schedule(value: str) -> str:
    if value in _PRESETS:
        return value
    problem = "it needs five fields" if len(value.split()) != 5 else ""
    try:
        if not problem:
            croniter(value).get_next()
            return value
    except CroniterError as error:
        problem = str(error)
    raise ValueError(
        f'must be a cron expression such as "0 * * * *", one of {", ".join(sorted(_PRESETS))}, or null for manual '
        f"only; {value!r} is none of these: {problem}"
    )


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        near = _did_you_mean(value, available_timezones())
        raise ValueError(f"must be a time zone such as Europe/Madrid, not {value!r}{near}") from None
    return value


def _second_path(value: str) -> str:
    if value in ("auto", "none") or re.fullmatch(r"//[^/:@\s]+:\d{1,5}", value):
        return value
    raise ValueError(
        f"must be auto, none, or the master's Scheduler server as the slave's web tool reaches it, such as "
        f"//master-host:8000, not {value!r}"
    )


@cache
def _interval(schedule: str | None) -> timedelta | None:
    """The longest time between two of the next syncs; None where they are started by hand only."""
    if schedule is None:
        return None
    cron = croniter(_PRESETS.get(schedule, schedule), datetime(2026, 1, 1, tzinfo=UTC))
    times = [cron.get_next(datetime) for _ in range(50)]
    return max(later - earlier for earlier, later in pairwise(times))


def _storage(value: str) -> str:
    address = urlsplit(value)
    if ":" in address.netloc.rpartition("@")[0]:
        raise ValueError("must not hold a password; name an Airflow connection, as in s3://my_conn@bucket/denodo")
    if not address.scheme and not value.startswith("/"):
        raise ValueError("must be an absolute path, or a URL such as s3://my_conn@bucket/denodo")
    return value


def _did_you_mean(word: str, known: Any) -> str:
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_positive)]
DurationOrZero = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_not_negative)]
Text = Annotated[str, Field(min_length=1)]
Globs = Annotated[tuple[Text, ...], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class MassChangeLimits(_Strict):
    """A sync halts when more than ``percent`` of the jobs, and at least ``jobs`` jobs, vanished or became disabled."""

    percent: int = Field(default=20, ge=0, le=100, strict=True)
    jobs: int = Field(default=5, ge=1, strict=True)

    def exceeded(self, changed: int, before: int) -> bool:
        """Whether ``changed`` of ``before`` jobs are beyond both limits."""
        return changed >= self.jobs and 100 * changed > self.percent * before


class Notify(_Strict):
    """A notifier of Airflow: its class path, its arguments, and the alerts that it is called for (all by default)."""

    notifier: Annotated[Text, Field(pattern=_CLASS_PATH)]
    arguments: dict[str, Any] = Field(default_factory=dict)
    alerts: tuple[Alert, ...] = tuple(Alert)


class PairOptions(_Strict):
    """What can be said of a pair, and under ``defaults`` of all pairs. ``include/pairs.yaml`` explains each option."""

    description: str = ""
    master: Text = "denodo_scheduler_master"
    slave: Text = "denodo_scheduler_slave"
    schedule: Annotated[Text, AfterValidator(_schedule)] | None = "@hourly"
    projects: Globs = ("*",)
    jobs: Globs = ("*",)
    quiet_window: Duration = timedelta(minutes=5)
    quiet_margin: DurationOrZero = timedelta(seconds=30)
    quiet_timeout: Duration = timedelta(minutes=50)
    timezone: Annotated[Text, AfterValidator(_zone)] | None = None
    lease: Duration = timedelta(minutes=15)
    import_timeout: Duration = timedelta(minutes=10)
    mass_change: MassChangeLimits = MassChangeLimits()
    orphans: Literal["report", "delete"] = "report"
    probe_interval: Duration = timedelta(seconds=5)
    fall: int = Field(default=4, ge=1, strict=True)
    watch_for: Duration = timedelta(minutes=40)
    second_path: Annotated[Text, AfterValidator(_second_path)] = "auto"
    one_path: bool = Field(default=False, strict=True)
    failover: Literal["automatic", "approval", "manual"] = "automatic"
    approval_timeout: Duration = timedelta(hours=1)
    fencing: Literal["best_effort", "required"] = "best_effort"
    fence: Annotated[Text, Field(pattern=_CLASS_PATH)] | None = None
    fence_timeout: Duration = timedelta(minutes=1)
    on_master_return: Literal["hold", "fail_back"] = "hold"
    stable_for: Duration = timedelta(minutes=10)
    cool_down: Duration = timedelta(hours=1)
    oldest_snapshot: Duration | None = None
    enable_batch: int = Field(default=20, ge=1, strict=True)
    catch_up: Literal["none", "start_missed"] = "none"
    catch_up_jobs: Globs = ("*",)
    notify: tuple[Notify, ...] = ()
    snapshots: Annotated[Text, AfterValidator(_storage)] | None = None
    keep_snapshots: int = Field(default=10, ge=2, strict=True)
    secrets_refresh: DurationOrZero = timedelta(hours=24)
    verify_definitions: bool = Field(default=True, strict=True)
    tags: tuple[Text, ...] = ()

    @field_validator("slave")
    @classmethod
    def _two_servers(cls, slave: str, info: ValidationInfo) -> str:
        if slave == info.data.get("master"):
            raise ValueError(f'must differ from master; both are the connection "{slave}"')
        return slave

    @field_validator("import_timeout")
    @classmethod
    def _ends_within_lease(cls, timeout: timedelta, info: ValidationInfo) -> timedelta:
        lease = info.data.get("lease")
        if lease is not None and timeout >= lease:
            raise ValueError(
                f"{format_duration(timeout)} must be shorter than lease, which is {format_duration(lease)}: "
                f"an import that outlives its lease could meet the next operation"
            )
        return timeout

    @field_validator("watch_for")
    @classmethod
    def _sees_an_outage(cls, watch_for: timedelta, info: ValidationInfo) -> timedelta:
        interval, fall = info.data.get("probe_interval"), info.data.get("fall")
        if interval is not None and fall is not None and watch_for < fall * interval:
            raise ValueError(
                f"{format_duration(watch_for)} is too short: {fall} probes (fall) every {format_duration(interval)} "
                f"(probe_interval) take {format_duration(fall * interval)}"
            )
        return watch_for

    @field_validator("cool_down")
    @classmethod
    def _outlasts_an_outage(cls, cool_down: timedelta, info: ValidationInfo) -> timedelta:
        watch_for = info.data.get("watch_for")
        if watch_for is not None and cool_down < watch_for:
            raise ValueError(
                f"{format_duration(cool_down)} must not be shorter than watch_for, which is "
                f"{format_duration(watch_for)}: two failovers could follow each other within one watch"
            )
        return cool_down

    @field_validator("stable_for")
    @classmethod
    def _seen_in_one_watch(cls, stable_for: timedelta, info: ValidationInfo) -> timedelta:
        watch_for = info.data.get("watch_for")
        if watch_for is not None and info.data.get("on_master_return") == "fail_back" and stable_for > watch_for:
            raise ValueError(
                f"{format_duration(stable_for)} must not be longer than watch_for, which is "
                f"{format_duration(watch_for)}: no watch would ever see it"
            )
        return stable_for

    @field_validator("oldest_snapshot")
    @classmethod
    def _outlasts_a_sync(cls, oldest: timedelta | None, info: ValidationInfo) -> timedelta | None:
        if oldest and (interval := _interval(info.data.get("schedule"))) and oldest < interval:
            raise ValueError(
                f"{format_duration(oldest)} must not be shorter than the interval of the syncs, which is "
                f"{format_duration(interval)}: every snapshot would be too old before the next one"
            )
        return oldest


class Pair(PairOptions):
    """One pair of servers; ``name`` is its key in the file."""

    name: str

    @property
    def promotable_for(self) -> timedelta:
        """How old a snapshot may be when it is promoted: twice the interval of the syncs and at least an hour."""
        if self.oldest_snapshot is not None:
            return self.oldest_snapshot
        return max(2 * (_interval(self.schedule) or timedelta(hours=12)), timedelta(hours=1))

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
    def look_uri(self) -> str:
        """The asset by whose events somebody asks the failover DAG to look at the pair now."""
        return f"denodo-scheduler-look://{self.name}"

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


def load_pairs(path: Path) -> dict[str, Pair]:
    """Pairs of the file by name, in its order.

    Raises PairsError with every mistake at once, each with file, line, key, what is wrong and what is allowed.
    """
    try:
        document = read_yaml(path)
    except OSError as error:
        raise PairsError(
            f"{path}: the file of pairs cannot be read ({error.strerror}). Create it, or let the environment variable "
            f"DENODO_HA_PAIRS name another one."
        ) from None
    reader = _Reader(path, document)
    pairs = reader.pairs()
    if reader.mistakes:
        lines = [text for _, text in sorted(dict.fromkeys(reader.mistakes))]
        count = f"{len(lines)} mistakes" if len(lines) > 1 else "1 mistake"
        raise PairsError("\n".join([f"{path}: {count} in the file of pairs", *lines]))
    return pairs


class _Reader:
    """Turns a document into pairs and collects ``mistakes`` as (line, text)."""

    def __init__(self, file: Path, document: YamlDocument) -> None:
        self.file = file
        self.document = document
        self.mistakes: list[tuple[int, str]] = []
        self._wrong: set[tuple[str | int, ...]] = set()
        for where, line, message in document.mistakes:
            self._add(where, message, line)

    def _add(self, where: tuple[str | int, ...], message: str, line: int | None = None) -> None:
        if line is None:
            known = where
            while (line := self.document.line(known)) is None and known:
                known = known[:-1]
            line = line or 1
        self._wrong.add(where)
        key = ".".join(map(str, where))
        self.mistakes.append((line, f"{self.file}:{line}: {f'{key}: ' if key else ''}{message}"))

    def pairs(self) -> dict[str, Pair]:
        data = self.document.data
        if data is None:
            if not self.mistakes:
                self._add((), "is empty; it needs `pairs:` with at least one pair, such as\npairs:\n  default: {}")
            return {}
        content = self._mapping(data, ())
        for key in content:
            if key not in ("pairs", "defaults"):
                self._add((key,), _unknown(key, ("pairs", "defaults")))
        defaults = self._mapping(content.get("defaults"), ("defaults",))
        self._validated(PairOptions, defaults, ("defaults",))
        named = self._mapping(content.get("pairs"), ("pairs",))
        if not named and not self.mistakes:
            self._add(("pairs",), "names no pair; write at least `default: {}` under `pairs:`")
        pairs = {name: pair for name, value in named.items() if (pair := self._pair(name, value, defaults))}
        self._distinct_names(named)
        self._one_role_per_server(pairs)
        return pairs

    def _mapping(self, value: Any, where: tuple[str | int, ...]) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        if value is not None:
            self._add(where, f"must be a mapping of keys to values, not {_shown(value)}")
        return {}

    def _pair(self, name: str, value: Any, defaults: Mapping[str, Any]) -> Pair | None:
        where = ("pairs", name)
        if not _NAME.fullmatch(name):
            self._add(
                where,
                "the name of a pair has 1 to 100 letters, digits, _ - . and nothing else, a letter or digit first",
            )
        own = self._mapping(value, where)
        options = {**defaults, **own}
        if all(isinstance(side.get("mass_change"), dict) for side in (defaults, own)):
            options["mass_change"] = {**defaults["mass_change"], **own["mass_change"]}
        if "name" in own:
            self._add((*where, "name"), _unknown("name", PairOptions.model_fields))
        return self._validated(Pair, {**options, "name": name}, where)

    def _validated(self, model: type[M], values: Mapping[str, Any], where: tuple[str, ...]) -> M | None:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._add_detail(detail, where)
        return None

    def _add_detail(self, detail: ErrorDetails, where: tuple[str, ...]) -> None:
        path = (*where, *detail["loc"])
        inherited = self.document.line(path) is None and ("defaults", *detail["loc"]) in self._wrong
        if path not in self._wrong and not inherited:
            self._add(path, _explained(detail))

    def _distinct_names(self, names: Mapping[str, Any]) -> None:
        first: dict[str, str] = {}
        for name in names:
            other = first.setdefault(name.casefold(), name)
            if other != name:
                self._add(("pairs", name), f'differs from pair "{other}" only by case; choose another name')

    def _one_role_per_server(self, pairs: Mapping[str, Pair]) -> None:
        passive = {pair.slave: pair.name for pair in pairs.values()}
        for pair in pairs.values():
            if pair.master in passive and pair.master != pair.slave:
                self._add(
                    ("pairs", pair.name, "master"),
                    f'"{pair.master}" is the slave of pair "{passive[pair.master]}", whose sync disables its jobs; '
                    f"a server has one role in all pairs",
                )


def _unknown(key: object, allowed: Any) -> str:
    near = _did_you_mean(str(key), allowed)
    return f"is not an option{near or '.'} Allowed: {', '.join(sorted(allowed))}"


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value) if len(repr(value)) < 80 else f"{repr(value)[:80]}…"


_EXPECTED = {
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "tuple_type": 'must be a list such as ["sales_*"]',
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping such as {{percent: 20, jobs: 5}}",
    "string_pattern_mismatch": "must be the path of a class or function, such as package.module.Name",
    "enum": "must be one of {expected}",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def _explained(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        nested: dict[Any, type[BaseModel]] = {"mass_change": MassChangeLimits, "notify": Notify}
        model = nested[detail["loc"][0]] if len(detail["loc"]) > 1 else PairOptions
        return _unknown(detail["loc"][-1], model.model_fields)
    if kind == "value_error":
        return str(context["error"])
    if kind == "model_type" and detail["loc"][0] == "notify":
        return "must be a mapping such as {notifier: package.module.Notifier, arguments: {}}, not " + _shown(
            detail["input"]
        )
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else detail["msg"]
    return f"{expected}, not {_shown(detail['input'])}"
