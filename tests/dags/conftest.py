"""The DAG file as Airflow's DAG processor reads it, with a file of pairs of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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


class TaskContext(dict[str, Any]):
    """What a task of a DAG gets from Airflow: the form, the run's conf, and XComs by task."""

    def __init__(self, dag: DAG, *, conf: dict[str, Any] | None = None, xcoms: Any = None, **params: Any) -> None:
        super().__init__(dag=dag, params=dag.params.dump() | params, dag_run=SimpleNamespace(conf=conf), ti=self)
        self.xcoms = xcoms or {}
        self.try_number, self.max_tries = 1, 20

    def xcom_pull(self, task_ids: str, key: str = "return_value", **_: Any) -> Any:
        return self.xcoms.get(task_ids)

    def render(self, task_id: str) -> Any:
        """The task, with its templates rendered."""
        task = self["dag"].get_task(task_id)
        task.render_template_fields(self, self["dag"].get_template_env())
        return task


@pytest.fixture
def task_context() -> type[TaskContext]:
    return TaskContext


@pytest.fixture
def dag(parse: Callable[..., DagBag]) -> DAG:
    """The sync DAG of the shipped pair."""
    return parse().dags["denodo_scheduler_sync__default"]
