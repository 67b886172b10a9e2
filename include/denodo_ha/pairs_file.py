"""The file of pairs: where it is, how its groups are read, and how its mistakes are reported.

A mistake is reported with file, line, key, what is wrong and what is allowed, and all mistakes are reported at once.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from denodo_ha.pairs import (
    AlertsOptions,
    FailoverOptions,
    MassChangeLimits,
    Notify,
    Pair,
    PairOptions,
    PropertiesOptions,
    SnapshotsOptions,
    SyncOptions,
    WatchOptions,
)
from denodo_ha.record import Role
from denodo_ha.yaml_lines import YamlDocument, read_yaml

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)
Where = tuple[str | int, ...]

_MOST_PAIRS = 1000
_MOST_MISTAKES = 100
_LONGEST_MESSAGE = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

GROUPS: dict[str, type[BaseModel]] = {
    "sync": SyncOptions,
    "watch": WatchOptions,
    "failover": FailoverOptions,
    "snapshots": SnapshotsOptions,
    "alerts": AlertsOptions,
}

FLAT = {
    "schedule": "sync.schedule",
    "quiet_window": "sync.quiet_window",
    "quiet_margin": "sync.quiet_margin",
    "quiet_timeout": "sync.quiet_timeout",
    "lease": "sync.lease",
    "import_timeout": "sync.import_timeout",
    "mass_change": "sync.mass_change",
    "orphans": "sync.orphans",
    "verify_definitions": "sync.verify_definitions",
    "secrets_refresh": "sync.secrets_refresh",
    "probe_interval": "watch.probe_interval",
    "fall": "watch.fall",
    "watch_for": "watch.duration",
    "second_path": "watch.second_path",
    "one_path": "watch.one_path",
    "failover": "failover.policy",
    "approval_timeout": "failover.approval_timeout",
    "fencing": "failover.fencing",
    "fence": "failover.fence",
    "fence_timeout": "failover.fence_timeout",
    "oldest_snapshot": "failover.oldest_snapshot",
    "enable_batch": "failover.enable_batch",
    "cool_down": "failover.cool_down",
    "catch_up": "failover.catch_up",
    "catch_up_jobs": "failover.catch_up_jobs",
    "on_master_return": "failover.on_master_return",
    "stable_for": "failover.stable_for",
    "snapshots": "snapshots.location",
    "keep_snapshots": "snapshots.keep",
    "notify": "alerts.notify",
}
"""The places of the options of earlier versions, which had no groups. They are still read, with a warning."""

RENAMED = {"timezone": "master_timezone"}
"""The new names of options that are in no group. The old ones are still read, with a warning."""

PLACES = FLAT | RENAMED | {name: f"{group}.{name}" for group, model in GROUPS.items() for name in model.model_fields}
"""The place of each option that is in a group, by its name there and its name before there were groups."""


class PairsError(ValueError):
    """The file of pairs has mistakes; the message lists them all with file, line and key."""


def pairs_path() -> Path:
    """Return the path of the file of pairs: ``DENODO_HA_PAIRS``, or the project's own ``include/pairs.yaml``."""
    return Path(os.environ.get("DENODO_HA_PAIRS") or Path(__file__).parents[1] / "pairs.yaml")


def configured_pairs(only: str | None = None) -> dict[str, Pair]:
    """Load the pairs of this Airflow, as :func:`load_pairs` does."""
    return load_pairs(pairs_path(), only)


def load_pairs(path: Path, only: str | None = None) -> dict[str, Pair]:
    """Load the pairs of a file by name, in the order of the file.

    :param only: the one pair that is needed; the others are not checked, and no warning is logged. It is missing in
        the result if the file does not have it.
    :raises PairsError: the file has mistakes.
    """
    try:
        document = read_yaml(path)
    except OSError as error:
        raise PairsError(
            f"{path}: the file of pairs cannot be read ({error.strerror}). Create it, or let the environment variable "
            f"DENODO_HA_PAIRS name another one."
        ) from None
    reader = _Reader(path, document, only)
    pairs = reader.pairs()
    if reader.moved and only is None:
        log.warning("%s: options of earlier versions are still read, but move them:\n%s", path, "\n".join(reader.moved))
    if reader.mistakes:
        lines = [text for _, text in sorted(dict.fromkeys(reader.mistakes))]
        count = f"{len(lines)} mistakes" if len(lines) > 1 else "1 mistake"
        if reader.full:
            count = f"{count}, and maybe more,"
        raise PairsError("\n".join([f"{path}: {count} in the file of pairs", *lines]))
    return pairs


class _Reader:
    """Turn a document into pairs; collect ``mistakes`` as (line, text), and the options that were ``moved``."""

    def __init__(self, file: Path, document: YamlDocument, only: str | None) -> None:
        self.file = file
        self.document = document
        self.only = only
        self.mistakes: list[tuple[int, str]] = []
        self.moved: list[str] = []
        self._wrong: set[Where] = set()
        self._flat: dict[Where, Where] = {}  # place of an option -> where the file has it instead
        for where, line, message in document.mistakes:
            if only is None or where[:1] != ("pairs",) or where[1:2] in ((), (only,)):
                self._add(where, message, line)

    @property
    def full(self) -> bool:
        """Whether there are so many mistakes that no more are looked for."""
        return len(self.mistakes) >= _MOST_MISTAKES

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
        defaults = self._grouped(content.get("defaults"), ("defaults",))
        self._validated(PairOptions, defaults, ("defaults",))
        named = self._mapping(content.get("pairs"), ("pairs",))
        if not named and not self.mistakes:
            self._add(("pairs",), "names no pair; write at least `default: {}` under `pairs:`")
        if len(named) > _MOST_PAIRS:
            self._add(("pairs",), f"names {len(named)} pairs; one file may hold {_MOST_PAIRS}")
            return {}
        wanted = {name: value for name, value in named.items() if self.only in (None, name)}
        pairs = {name: pair for name, value in wanted.items() if (pair := self._pair(name, value, defaults))}
        if self.only is None:
            self._distinct_names(named)
            self._one_role_per_server(pairs)
            if not self.mistakes:
                self._one_pair_per_job(pairs)
        return pairs

    def _mapping(self, value: Any, where: Where) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        if value is not None:
            self._add(where, f"must be a mapping of keys to values, not {_shown(value)}")
        return {}

    def _grouped(self, value: Any, where: Where) -> dict[str, Any]:
        """Return the options in their groups: flat ones are moved, and an empty group has no options."""
        options = {
            key: {} if key in GROUPS and self.document.is_blank((*where, key)) else option
            for key, option in self._mapping(value, where).items()
        }
        grouped = {key: option for key, option in options.items() if not new_place(key, option)}
        for key, option in options.items():
            if place := new_place(key, option):
                self._move(grouped, (*where, key), place, option)
        return grouped

    def _move(self, grouped: dict[str, Any], flat: Where, place: str, value: Any) -> None:
        group, _, name = place.rpartition(".")
        others = grouped.get(group, {}) if group else grouped
        if not isinstance(others, dict):  # a mistake that the validation reports
            return
        new = (*flat[:-1], *place.split("."))
        if name in others:
            self._add(flat, f"stands twice: it is {place} now, which is in line {self.document.line(new)}; keep that")
            return
        if group:
            grouped[group] = {**others, name: value}
        else:
            grouped[name] = value
        self._flat[new] = flat
        self.moved.append(f"{self.file}:{self.document.line(flat)}: {_dotted(flat)} is now {place}")

    def _pair(self, name: str, value: Any, defaults: Mapping[str, Any]) -> Pair | None:
        where = ("pairs", name)
        if self.full:
            return None
        if not _NAME.fullmatch(name):
            self._add(
                where,
                "the name of a pair has 1 to 100 letters, digits, _ - . and nothing else, a letter or digit first",
            )
        own = self._grouped(value, where)
        if "name" in own:
            self._add((*where, "name"), _unknown("name", PairOptions.model_fields, PLACES))
        return self._validated(Pair, {**_merged(defaults, own), "name": name}, where)

    def _validated(self, model: type[M], values: Mapping[str, Any], where: Where) -> M | None:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if (
                    detail["type"] != "default_factory_not_called" and not self.full
                ):  # follows from a mistake that is reported
                    self._add_detail(detail, where)
        return None

    def _add_detail(self, detail: ErrorDetails, where: Where) -> None:
        path = self._in_file((*where, *detail["loc"]))
        inherited = self.document.line(path) is None and self._in_file(("defaults", *detail["loc"])) in self._wrong
        if path not in self._wrong and not inherited:
            self._add(path, _explained(detail))

    def _in_file(self, path: Where) -> Where:
        """Return the place in the file of the option at ``path`` in its group."""
        for end in range(len(path), 0, -1):
            if flat := self._flat.get(path[:end]):
                return flat + path[end:]
        return path

    def _add(self, where: Where, message: str, line: int | None = None) -> None:
        if line is None:
            known = where
            while (line := self.document.line(known)) is None and known:
                known = known[:-1]
            line = line or 1
        self._wrong.add(where)
        key = _dotted(where)
        self.mistakes.append(
            (line, f"{self.file}:{line}: {f'{key}: ' if key else ''}{_cut(message, _LONGEST_MESSAGE)}")
        )

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

    def _one_pair_per_job(self, pairs: Mapping[str, Pair]) -> None:
        """No job of a server is in two pairs: each would disable what the other one has enabled."""
        served: dict[tuple[Role, str], list[Pair]] = defaultdict(list)
        for pair in pairs.values():
            for role in Role:
                conn_id, scope = getattr(pair, role), pair.scope
                sharing = served[role, conn_id]
                earlier = next((each for each in sharing if scope.may_share_a_job(each.scope)), None)
                sharing.append(pair)
                if earlier and not self.full:
                    self._add(
                        ("pairs", pair.name),
                        f'may have jobs in common with pair "{earlier.name}" on the connection "{conn_id}": each '
                        f"of the two would disable what the other one has enabled. Give it its own master and slave, "
                        f"or give the two different projects or jobs",
                    )
                    break


def new_place(key: str, value: Any) -> str | None:
    """Return where an option of an earlier version is now, as in ``sync.lease``; None for an option in its place."""
    return None if key in GROUPS and isinstance(value, dict) else FLAT.get(key) or RENAMED.get(key)


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``own`` over ``defaults``, also within the mappings that both have."""
    both = {
        key: _merged(defaults[key], value)
        for key, value in own.items()
        if isinstance(value, dict) and isinstance(defaults.get(key), dict)
    }
    return {**defaults, **own, **both}


def _dotted(where: Where) -> str:
    return ".".join(_cut(str(part), 100) for part in where)


def _cut(text: str, longest: int) -> str:
    """Leave out the middle of a text that is too long."""
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-longest // 2 :]}"


def _unknown(key: str, allowed: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> str:
    known = {**(elsewhere or {}), **{name: name for name in allowed}}
    near = get_close_matches(key, known, n=1)
    hint = f'; did you mean "{known[near[0]]}"?' if near else "."
    return f"is not an option{hint} Allowed: {', '.join(sorted(allowed))}"


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return _cut(repr(value), 80)


_NESTED: dict[str, type[BaseModel]] = {
    "": PairOptions,
    **GROUPS,
    "properties": PropertiesOptions,
    "sync.mass_change": MassChangeLimits,
    "alerts.notify": Notify,
}

_EXPECTED = {
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "tuple_type": 'must be a list such as ["sales_*"]',
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "string_pattern_mismatch": "must be the path of a class or function, such as package.module.Name",
    "enum": "must be one of {expected}",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}
_EXAMPLES = {
    "properties": "must be a mapping of master and slave, each with names and values",
    "sync.mass_change": "must be a mapping such as {percent: 20, jobs: 5}",
    "alerts.notify": "must be a mapping such as {notifier: package.module.Notifier, arguments: {}}",
}


def _explained(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    *above, key = detail["loc"]
    if kind == "extra_forbidden":
        model = _NESTED[_dotted(tuple(part for part in above if isinstance(part, str)))]
        return _unknown(str(key), model.model_fields, PLACES)
    if kind == "value_error":
        return str(context["error"])
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else detail["msg"]
    if kind == "model_type":
        expected = _EXAMPLES.get(_dotted(tuple(part for part in detail["loc"] if isinstance(part, str))), expected)
    return f"{expected}, not {_shown(detail['input'])}"
