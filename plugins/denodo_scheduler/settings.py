"""Which file of pairs this Airflow reads: what :mod:`denodo_ha.pairs_file` cannot know, as it has no Airflow."""

from __future__ import annotations

from pathlib import Path

from denodo_ha import pairs_file
from denodo_ha.pairs import Pair

SECTION, OPTION = "denodo_ha", "pairs"


def pairs_path() -> Path | None:
    """Return the path of the file of pairs; see :func:`denodo_ha.pairs_file.pairs_path`."""
    from airflow.sdk.configuration import conf

    return pairs_file.pairs_path(conf.get(SECTION, OPTION, fallback=None))


def configured_pairs(only: str | None = None) -> dict[str, Pair]:
    """Load the pairs of this Airflow, as :func:`denodo_ha.pairs_file.load_pairs` does."""
    return pairs_file.load_pairs(pairs_path(), only)
