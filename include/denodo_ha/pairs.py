"""The pairs of servers to keep in step: one YAML file, validated whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterError, croniter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ValidationInfo

from denodo_ha.durations import format_duration, parse_duration
from denodo_ha.scope import Scope
from denodo_ha.yaml_lines import YamlDocument, read_yaml

_PRESETS = {"@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"}
M = TypeVar("M", bound=BaseModel)

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
    snapshots: Text | None = None
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


class Pair(PairOptions):
    """One pair of servers; ``name`` is its key in the file."""

    name: str

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
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def _explained(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        model = MassChangeLimits if len(detail["loc"]) > 1 else PairOptions
        return _unknown(detail["loc"][-1], model.model_fields)
    if kind == "value_error":
        return str(context["error"])
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else detail["msg"]
    return f"{expected}, not {_shown(detail['input'])}"
