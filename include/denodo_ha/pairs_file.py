"""The file of pairs: where it is, how its groups are read, and how its mistakes are reported.

A mistake is reported with file, line, key, what is wrong and what is allowed, and all mistakes are reported at once.
Each pair is read by itself: a mistake in one sets that pair aside. What stands outside of the pairs concerns all.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from denodo_ha.pairs import Pair, PairOptions
from denodo_ha.pairs_mistakes import FLAT, GROUPS, PLACES, Where, cut, dotted, explained, new_place, shown, unknown
from denodo_ha.pairs_options import AlertsOptions
from denodo_ha.record import Role
from denodo_ha.yaml_lines import YamlDocument, read_yaml

__all__ = [
    "FLAT",
    "GROUPS",
    "NO_FILE",
    "TEMPLATE",
    "PairsError",
    "PairsFile",
    "load_pairs",
    "new_place",
    "pairs_path",
    "read_pairs",
]

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

MOST_PAIRS = 1000
_MOST_MISTAKES = 100
_LONGEST_MESSAGE = 500
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class PairsError(ValueError):
    """The file of pairs has mistakes; the message lists them all with file, line and key."""


@dataclass(frozen=True)
class PairsFile:
    """What a file of pairs says.

    :param pairs: the pairs without a mistake, by name, in the order of the file.
    :param wrong: the others by name, with the notifiers that can be read of each.
    :param error: what is wrong, if anything is.
    """

    pairs: dict[str, Pair] = field(default_factory=dict)
    wrong: dict[str, AlertsOptions] = field(default_factory=dict)
    error: PairsError | None = None


_OF_THE_WHEEL, _OF_THE_REPOSITORY = Path(__file__).parent / "pairs.yaml", Path(__file__).parents[1] / "pairs.yaml"
TEMPLATE = _OF_THE_WHEEL if _OF_THE_WHEEL.is_file() else _OF_THE_REPOSITORY
"""A file of pairs that explains every option; in a checkout of the project also the one that is read by default."""
NO_FILE = (
    "No file of pairs is named. Write one with `denodo-ha init`, and name it to all components of Airflow: in "
    "airflow.cfg by `pairs = /path/of/pairs.yaml` in the section [denodo_ha], or by the environment variable "
    "AIRFLOW__DENODO_HA__PAIRS or DENODO_HA_PAIRS, of which the last comes before the others."
)

_ANOTHER = (
    "another one by DENODO_HA_PAIRS or, where that is not set, by the option `pairs` in Airflow's section [denodo_ha]"
)


def pairs_path(setting: str | None = None) -> Path | None:
    """Return the path of the file of pairs: ``DENODO_HA_PAIRS``, else ``setting``, else that of a checkout.

    :param setting: what Airflow's option ``[denodo_ha] pairs`` says, which whoever has Airflow hands over.
    :return: None if none of these names a file. Otherwise the full path, so that every message says which file is meant
        where a path was given relative to the current folder; ``~`` and ``$VARIABLE`` are replaced, as Airflow does in
        its own settings.
    """
    if named := os.environ.get("DENODO_HA_PAIRS", "").strip() or (setting or "").strip():
        return Path(os.path.expandvars(named)).expanduser().absolute()
    return TEMPLATE if TEMPLATE == _OF_THE_REPOSITORY else None


def load_pairs(path: Path | None, only: str | None = None) -> dict[str, Pair]:
    """Load the pairs of a file by name, in the order of the file.

    :param only: see :func:`read_pairs`.
    :raises PairsError: the file has mistakes.
    """
    read = read_pairs(path, only)
    if read.error:
        raise read.error
    return read.pairs


def read_pairs(path: Path | None, only: str | None = None) -> PairsFile:
    """Read a file of pairs, each pair by itself.

    :param path: see :func:`pairs_path`.
    :param only: the one pair that is needed; the others are not checked, and no warning is logged. It is missing in
        the result if the file does not have it.
    """
    if path is None:
        return PairsFile(error=PairsError(NO_FILE))
    try:
        document = read_yaml(path)
    except OSError as error:
        what = f"{path}: the file of pairs cannot be read ({error.strerror}). {_remedy(error)}, or name {_ANOTHER}."
        return PairsFile(error=PairsError(what))
    reader = _Reader(path, document, only)
    pairs = reader.pairs()
    if reader.moved and only is None:
        log.warning("%s: options of earlier versions are still read, but move them:\n%s", path, "\n".join(reader.moved))
    return PairsFile(pairs, reader.wrong, reader.error())


def _remedy(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "Create it"
    if isinstance(error, IsADirectoryError):
        return "It is a folder: name the file in it"
    return "Let the user that Airflow runs as read it and enter its folder"


class _Reader:
    """Turn a document into pairs; collect ``mistakes`` as (line, text), and the options that were ``moved``."""

    def __init__(self, file: Path, document: YamlDocument, only: str | None) -> None:
        self.file = file
        self.document = document
        self.only = only
        self.mistakes: list[tuple[int, str]] = []
        self.moved: list[str] = []
        self.wrong: dict[str, AlertsOptions] = {}
        self._wrong: set[Where] = set()
        self._flat: dict[Where, Where] = {}  # place of an option -> where the file has it instead
        for where, line, message in document.mistakes:
            if only is None or where[:1] != ("pairs",) or where[1:2] in ((), (only,)):
                self._add(where, message, line)

    @property
    def full(self) -> bool:
        """Whether there are so many mistakes that no more are told."""
        return len(self.mistakes) >= _MOST_MISTAKES

    def error(self) -> PairsError | None:
        """Return all mistakes as one error."""
        if not self.mistakes:
            return None
        lines = [text for _, text in sorted(dict.fromkeys(self.mistakes))]
        count = f"{len(lines)} mistakes" if len(lines) > 1 else "1 mistake"
        if self.full:
            count = f"{count}, and maybe more,"
        return PairsError("\n".join([f"{self.file}: {count} in the file of pairs", *lines]))

    def pairs(self) -> dict[str, Pair]:
        """Return the pairs without a mistake, and leave the names of the others in ``wrong``."""
        data = self.document.data
        if data is None:
            if not self.mistakes:
                self._add((), "is empty; it needs `pairs:` with at least one pair, such as\npairs:\n  default: {}")
            return {}
        content = self._mapping(data, ())
        for key in content:
            if key not in ("pairs", "defaults"):
                self._add((key,), unknown(key, ("pairs", "defaults")))
        defaults = self._grouped(content.get("defaults"), ("defaults",))
        self._validated(PairOptions, defaults, ("defaults",))
        named = self._mapping(content.get("pairs"), ("pairs",))
        if not named and not self.mistakes:
            self._add(("pairs",), "names no pair; write at least `default: {}` under `pairs:`")
        if len(named) > MOST_PAIRS:
            self._add(("pairs",), f"names {len(named)} pairs; one file may hold {MOST_PAIRS}")
            return {}
        wanted = {name: value for name, value in named.items() if self.only in (None, name)}
        pairs = {name: pair for name, value in wanted.items() if (pair := self._pair(name, value, defaults))}
        if self.only is None:
            self._distinct_names(named)
            self._one_role_per_server(pairs)
            own = self._wrong_names()
            self._one_pair_per_job({name: pair for name, pair in pairs.items() if name not in own})
        own = self._wrong_names()
        all_wrong = any(where[:1] != ("pairs",) or len(where) == 1 for where in self._wrong)
        self.wrong = {name: self._alerts(value, defaults) for name, value in wanted.items() if all_wrong or name in own}
        return {name: pair for name, pair in pairs.items() if name not in self.wrong}

    def _wrong_names(self) -> set[str | int]:
        """Return the names of the pairs that have mistakes of their own."""
        return {where[1] for where in self._wrong if where[:1] == ("pairs",) and len(where) > 1}

    def _alerts(self, value: Any, defaults: Mapping[str, Any]) -> AlertsOptions:
        """Return what can be read of the notifiers of a pair that is wrong."""
        given = _merged(defaults, value) if isinstance(value, dict) else defaults
        alerts = given.get("alerts", {})
        flat = given.get("notify")
        try:
            return AlertsOptions.model_validate(alerts if flat is None else {"notify": flat})
        except ValidationError:
            return AlertsOptions()

    def _mapping(self, value: Any, where: Where) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        if value is not None:
            self._add(where, f"must be a mapping of keys to values, not {shown(value)}")
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
        self.moved.append(f"{self.file}:{self.document.line(flat)}: {dotted(flat)} is now {place}")

    def _pair(self, name: str, value: Any, defaults: Mapping[str, Any]) -> Pair | None:
        where = ("pairs", name)
        if not NAME.fullmatch(name):
            self._add(
                where,
                "the name of a pair has 1 to 100 letters, digits, _ - . and nothing else, a letter or digit first",
            )
        own = self._grouped(value, where)
        if "name" in own:
            self._add((*where, "name"), unknown("name", PairOptions.model_fields, PLACES))
        return self._validated(Pair, {**_merged(defaults, own), "name": name}, where)

    def _validated(self, model: type[M], values: Mapping[str, Any], where: Where) -> M | None:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if self.full:
                    self._wrong.add(where)
                elif detail["type"] != "default_factory_not_called":  # which follows from a mistake that is reported
                    self._add_detail(detail, where)
        return None

    def _add_detail(self, detail: ErrorDetails, where: Where) -> None:
        path = self._in_file((*where, *detail["loc"]))
        inherited = self.document.line(path) is None and self._in_file(("defaults", *detail["loc"])) in self._wrong
        if path not in self._wrong and not inherited:
            self._add(path, explained(detail))

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
        if self.full:
            return
        key = dotted(where)
        self.mistakes.append((line, f"{self.file}:{line}: {f'{key}: ' if key else ''}{cut(message, _LONGEST_MESSAGE)}"))

    def _distinct_names(self, names: Mapping[str, Any]) -> None:
        first: dict[str, str] = {}
        for name in names:
            other = first.setdefault(name.casefold(), name)
            if other != name:
                self._add(("pairs", name), f'differs from pair "{other}" only by case; choose another name')

    def _one_role_per_server(self, pairs: Mapping[str, Pair]) -> None:
        """Whichever pair comes later in the file is wrong, because the earlier one may have been running for long."""
        first: dict[str, tuple[Role, str]] = {}
        for pair in pairs.values():
            for role in Role:
                server = getattr(pair, role)
                earlier, name = first.setdefault(server, (role, pair.name))
                if earlier is not role:
                    whose = (
                        "whose sync disables its jobs" if role is Role.MASTER else "where this sync would disable jobs"
                    )
                    self._add(
                        ("pairs", pair.name, str(role)),
                        f'"{server}" is the {earlier} of pair "{name}", {whose}; a server has one role in all pairs',
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


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``own`` over ``defaults``, also within the mappings that both have."""
    both = {
        key: _merged(defaults[key], value)
        for key, value in own.items()
        if isinstance(value, dict) and isinstance(defaults.get(key), dict)
    }
    return {**defaults, **own, **both}
