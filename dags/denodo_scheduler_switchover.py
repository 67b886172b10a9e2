"""One switchover DAG for each pair of ``include/pairs.yaml``, or of the file that ``DENODO_HA_PAIRS`` names."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import DAG  # noqa: F401  (Airflow looks into files that mention it)

from denodo_ha.pairs_file import load_pairs
from denodo_scheduler.dags.switchover import switchover_dag

PAIRS = Path(os.environ.get("DENODO_HA_PAIRS") or Path(__file__).parents[1] / "include" / "pairs.yaml")

for pair in load_pairs(PAIRS).values():
    globals()[pair.dag_id_switchover] = switchover_dag(pair)
