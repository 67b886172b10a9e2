"""Pairs for tests, whose options are given by name, without their groups."""

from __future__ import annotations

from typing import Any

from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import new_place
from denodo_ha.pairs_options import SyncOptions


def make_pair(name: str = "test", **options: Any) -> Pair:
    grouped: dict[str, Any] = {"name": name}
    for key, value in options.items():
        place = f"sync.{key}" if key in SyncOptions.model_fields else new_place(key, value) or key
        group, _, option = place.rpartition(".")
        (grouped.setdefault(group, {}) if group else grouped)[option] = value
    return Pair.model_validate(grouped)
