"""What a task waits for before it begins: its DAG file is read again, with one pair and with a hundred."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.parsing import MEASURED, PAIRS, pairs_file, parse
from bench.report import Measurement
from bench.stage import Stage
from denodo_demo.airflow import PROJECT

TITLE = "Start of a task: its DAG file is read again, with 100 pairs and with 1"
TIMES = 9
CONTEXT = {
    "_AIRFLOW_PARSING_CONTEXT_DAG_ID": "denodo_scheduler_sync__pair_0",
    "_AIRFLOW_PARSING_CONTEXT_TASK_ID": "import_metadata",
}
"""What Airflow says to a DAG file that it reads for a task."""


def measure(stage: Stage) -> Iterator[Measurement]:
    file = PROJECT / "dags" / "denodo_scheduler_sync.py"
    seconds: dict[int, list[float]] = {count: [] for count in PAIRS}
    with stage.progress.step(f"Reading {file.name} {TIMES} times each, by turns"):
        for _ in range(TIMES):
            for count in PAIRS:
                seconds[count].append(parse(file, pairs_file(stage.folder, count), dags=1, env=CONTEXT).dags)
    one, hundred = (statistics.median(seconds[count]) for count in PAIRS)
    yield Measurement("1 pair", one, "s", note=f"median of {TIMES} fresh processes, {MEASURED}")
    yield Measurement("100 pairs", hundred, "s", at_most=1.1 * one, note="1.1 x 1 pair")
