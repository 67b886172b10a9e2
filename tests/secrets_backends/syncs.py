"""What a worker does, in a process of its own: a run of the sync DAG of the pair ``default`` for each line of input.

After each it prints the states of its tasks as JSON.
"""

from __future__ import annotations

import json
import sys

from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb


def main(dags_folder: str) -> None:
    initdb()
    dag = DagBag(dags_folder).dags["denodo_scheduler_sync__default"]
    for task in dag.tasks:
        task.retries = 0
    for _ in sys.stdin:
        run = dag.test(run_conf={"reason": "a test"})
        states = {instance.task_id: instance.state for instance in run.get_task_instances()}
        print(f"\nSTATES {json.dumps(states)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
