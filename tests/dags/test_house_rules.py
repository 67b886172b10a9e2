"""The DAGs of a pair in an Airflow that is shared with others, and has rules of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.dag_processing.dagbag import DagBag
from airflow.exceptions import AirflowClusterPolicyViolation
from airflow.sdk.bases import operator

Parse = Callable[..., DagBag]

ALL_TASKS = "failover: {policy: approval, on_master_return: fail_back}"
"""With these policies the failover DAG has all of its tasks."""


def tasks(parse: Parse, *options: str) -> list[Any]:
    bag = parse(f"pairs: {{default: {{{', '.join([ALL_TASKS, *options])}}}}}")
    assert bag.import_errors == {}
    found = [task for dag in bag.dags.values() for task in dag.tasks]
    assert len(found) > 20
    return found


def test_a_cluster_policy_that_refuses_the_default_owner(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_task_of_nobody(task: Any) -> None:
        if task.owner == "airflow":
            raise AirflowClusterPolicyViolation(f"{task.task_id} belongs to nobody")

    monkeypatch.setattr(settings, "task_policy", no_task_of_nobody)
    assert {task.owner for task in tasks(parse)} == {"denodo-ha"}
    assert "belongs to nobody" in str(parse("pairs: {default: {owner: airflow}}").import_errors)


def test_an_owner_of_ones_own(parse: Parse) -> None:
    assert {task.owner for task in tasks(parse, "owner: data-platform")} == {"data-platform"}


def test_a_queue_of_ones_own(parse: Parse) -> None:
    assert {task.queue for task in tasks(parse)} == {operator.OPERATOR_DEFAULTS["queue"]}
    assert {task.queue for task in tasks(parse, "queue: near_denodo")} == {"near_denodo"}


def test_a_short_default_timeout_kills_no_step(project: Path, pairs_file: Path) -> None:
    """Airflow reads the setting when it is imported, so this needs a process of its own."""
    pairs_file.write_text(f"pairs: {{default: {{{ALL_TASKS}}}}}")
    env = {"AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT": "30", "DENODO_HA_PAIRS": str(pairs_file)}
    code = """if True:
        import sys
        from airflow.dag_processing.dagbag import DagBag
        from airflow.sdk.bases.operator import DEFAULT_TASK_EXECUTION_TIMEOUT
        tasks = [task for dag in DagBag(sys.argv[1]).dags.values() for task in dag.tasks]
        print(len(tasks), DEFAULT_TASK_EXECUTION_TIMEOUT, {task.execution_timeout for task in tasks}, file=sys.stderr)
    """
    command = [sys.executable, "-c", code, str(project / "dags")]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1].endswith(" 0:00:30 {None}")
