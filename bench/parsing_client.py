"""``python -m bench.parsing_client PATH``: parse DAG files once; prints one line of JSON.

As in Airflow's DAG processor, Airflow itself is loaded before, and left out of garbage collection; our modules are
imported by the DAG files. The seconds are those of the processor, so that what else the machine does is not measured.
"""

from __future__ import annotations

import gc
import json
import sys
import time

from airflow.dag_processing.dagbag import DagBag


def main(path: str) -> None:
    gc.freeze()
    begin = time.process_time()
    bag = DagBag(dag_folder=path, load_op_links=False)
    seconds = time.process_time() - begin
    print(json.dumps({"seconds": seconds, "dags": len(bag.dags), "import_errors": bag.import_errors}))


if __name__ == "__main__":
    main(sys.argv[1])
