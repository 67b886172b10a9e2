"""Beside others in one Airflow: its cluster policy, and its own default of how long a task may run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowTaskTimeout

from denodo_ha.pairs import Pair
from denodo_scheduler.dags.failover import failover_dag
from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.switchover import switchover_dag
from denodo_scheduler.dags.sync import sync_dag
from support.pairs import make_pair
from support.sync import WorkerKilled

DEFAULT_TIMEOUT = 12
PAIRS = """\
pairs:
  default: {sync: {lease: 2h, import_timeout: 90m}, failover: {policy: approval, on_master_return: fail_back}}
"""
PLAIN = """\
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowTaskTimeout

with DAG("plain", schedule=None):
    EmptyOperator(task_id="its_only_task")
"""
PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
tasks = {
    f"{dag.dag_id}.{task.task_id}": {
        "owner": task.owner, "timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None
    }
    for dag in bag.dags.values() for task in dag.tasks
}
print(json.dumps({"tasks": tasks, "errors": bag.import_errors}))
"""


def policy(project: Path) -> str:
    """The one that docs/airflow.md shows."""
    page = (project / "docs" / "airflow.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (found,) = (textwrap.dedent(block) for block in blocks if "def task_policy" in block)
    return found


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Any]:
    """Parse a folder of DAGs in a fresh Airflow with that policy and a short default timeout."""
    home, project = tmp_path_factory.mktemp("airflow"), Path(__file__).parents[2]
    (home / "config").mkdir()
    (home / "config" / "airflow_local_settings.py").write_text(policy(project))
    (home / "pairs.yaml").write_text(PAIRS)
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT": str(DEFAULT_TIMEOUT),
        "DENODO_HA_PAIRS": str(home / "pairs.yaml"),
    }

    def parse(folder: Path) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", PARSE, str(folder)], env=env, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout.splitlines()[-1])

    return parse


@pytest.fixture(scope="module")
def ours(parsed: Any) -> Any:
    return parsed(Path(__file__).parents[2] / "dags")


def test_a_policy_that_wants_owners_lets_our_dags_pass(ours: Any) -> None:
    assert ours["errors"] == {}
    assert {task.split("__")[0] for task in ours["tasks"]} == {
        f"denodo_scheduler_{kind}" for kind in ("sync", "failover", "switchover", "operations")
    }
    assert {task["owner"] for task in ours["tasks"].values()} == {"denodo-ha"}


def test_that_policy_refuses_a_dag_without_an_owner(parsed: Any, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(PLAIN)
    found = parsed(tmp_path)
    assert found["tasks"] == {}
    assert "its_only_task has no owner" in next(iter(found["errors"].values()))


def test_a_default_timeout_cuts_none_of_our_tasks(ours: Any) -> None:
    """A task may hold the slave for a lease, and import then."""
    longest = (2 * 120 + 90) * 60
    assert "denodo_scheduler_failover__default.approve" in ours["tasks"]
    assert {name: task["timeout"] for name, task in ours["tasks"].items() if not (task["timeout"] or 0) > longest} == {}


def test_a_task_at_its_timeout_ends_as_one_whose_worker_is_killed() -> None:
    """Nothing that catches errors catches it, so that the tests of killed workers hold for it too."""
    assert not issubclass(AirflowTaskTimeout, Exception)
    assert not issubclass(WorkerKilled, Exception)


@pytest.mark.parametrize("build", [sync_dag, failover_dag, switchover_dag, operations_dag])
def test_a_pair_may_have_an_owner_and_a_queue(build: Callable[[Pair], DAG]) -> None:
    own = make_pair("sales", failover="approval", on_master_return="fail_back", owner="sales team", queue="denodo")
    assert {(task.owner, task.queue) for task in build(own).tasks} == {("sales team", "denodo")}
    assert {(task.owner, task.queue) for task in build(Pair(name="default")).tasks} == {("denodo-ha", "default")}
