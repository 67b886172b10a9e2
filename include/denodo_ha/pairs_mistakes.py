"""How a mistake in the file of pairs is explained to a person, and where the options of earlier versions are now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from denodo_ha.pairs import PairOptions
from denodo_ha.pairs_options import (
    AlertsOptions,
    CheckOptions,
    FailoverOptions,
    MassChangeLimits,
    Notify,
    PropertiesOptions,
    SnapshotsOptions,
    SyncOptions,
    WatchOptions,
)

Where = tuple[str | int, ...]

GROUPS: dict[str, type[BaseModel]] = {
    "sync": SyncOptions,
    "watch": WatchOptions,
    "failover": FailoverOptions,
    "snapshots": SnapshotsOptions,
    "alerts": AlertsOptions,
    "check": CheckOptions,
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
    "initialise": "sync.initialise",
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

PLACES = (
    FLAT
    | RENAMED
    | {name: f"{group}.{name}" for group, model in reversed(GROUPS.items()) for name in model.model_fields}
)
"""The place of each option that is in a group, by its name there and its name before there were groups.

Where two groups have an option of one name, the first group is meant.
"""


def new_place(key: str, value: Any) -> str | None:
    """Return where an option of an earlier version is now, as in ``sync.lease``; None for an option in its place."""
    return None if key in GROUPS and isinstance(value, dict) else FLAT.get(key) or RENAMED.get(key)


def dotted(where: Where) -> str:
    return ".".join(cut(str(part), 100) for part in where)


def cut(text: str, longest: int) -> str:
    """Leave out the middle of a text that is too long."""
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-longest // 2 :]}"


def unknown(key: str, allowed: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> str:
    known = {**(elsewhere or {}), **{name: name for name in allowed}}
    near = get_close_matches(key, known, n=1)
    hint = f'; did you mean "{known[near[0]]}"?' if near else "."
    return f"is not an option{hint} Allowed: {', '.join(sorted(allowed))}"


def shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return cut(repr(value), 80)


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
    "string_too_long": "must not have more than {max_length} characters",
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


def explained(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    *above, key = detail["loc"]
    if kind == "extra_forbidden":
        model = _NESTED[dotted(tuple(part for part in above if isinstance(part, str)))]
        return unknown(str(key), model.model_fields, PLACES)
    if kind == "value_error":
        return str(context["error"])
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else detail["msg"]
    if kind == "model_type":
        expected = _EXAMPLES.get(dotted(tuple(part for part in detail["loc"] if isinstance(part, str))), expected)
    return f"{expected}, not {shown(detail['input'])}"
