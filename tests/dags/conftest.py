"""The DAG file as Airflow's DAG processor reads it, with a file of pairs of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project() -> Path:
    return PROJECT


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    return tmp_path / "my pairs.yaml"


@pytest.fixture
def parse(pairs_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DagBag]:
    """Read the project's DAG folder with these pairs, or with the shipped ones when none are given."""

    def read(pairs: str | None = None) -> DagBag:
        monkeypatch.delenv("DENODO_HA_PAIRS", raising=False)
        if pairs is not None:
            pairs_file.write_text(pairs, encoding="utf-8")
            monkeypatch.setenv("DENODO_HA_PAIRS", str(pairs_file))
        return DagBag(PROJECT / "dags")

    return read


@pytest.fixture
def dag(parse: Callable[..., DagBag]) -> DAG:
    """The sync DAG of the shipped pair."""
    return parse().dags["denodo_scheduler_sync__default"]
