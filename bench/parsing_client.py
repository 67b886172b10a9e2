"""``python -m bench.parsing_client FOLDER``: parse the DAG files once; prints one line of JSON.

As in Airflow's DAG processor, Airflow itself is loaded before, and our modules are imported by the DAG files.
"""

from __future__ import annotations

import json
import sys
import time

from airflow.dag_processing.dagbag import DagBag


def main(folder: str) -> None:
    begin = time.perf_counter()
    bag = DagBag(dag_folder=folder, load_op_links=False)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "dags": len(bag.dags), "import_errors": bag.import_errors}))


if __name__ == "__main__":
    main(sys.argv[1])
