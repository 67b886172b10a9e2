"""Parsing the DAG files with one pair and with a hundred, as the DAG processor does it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.report import Measurement
from bench.stage import BenchError, Stage
from denodo_demo.airflow import PROJECT
from denodo_ha.pairs_file import load_pairs

TITLE = "Parsing the DAG files with 100 pairs and with 1"
PAIRS = (1, 100)
TIMES = 5
KINDS = 4
MEASURED = "processor time, import of our modules included"


@dataclass(frozen=True)
class Parse:
    """Processor seconds of one parse of the DAG files, and seconds of the whole process with Airflow's own start."""

    dags: float
    process: float


def measure(stage: Stage) -> Iterator[Measurement]:
    parses: dict[int, list[Parse]] = {count: [] for count in PAIRS}
    with stage.progress.step(f"Parsing {TIMES} times each, by turns"):
        for _ in range(TIMES):
            for count in PAIRS:
                pairs = pairs_file(stage.folder, count)
                parses[count].append(parse(PROJECT / "dags", pairs, dags=KINDS * count))
    one, hundred = (statistics.median(each.dags for each in parses[count]) for count in PAIRS)
    yield Measurement("1 pair", one, "s", note=f"median of {TIMES} fresh processes, {MEASURED}")
    yield Measurement("100 pairs", hundred, "s", at_most=1.5 * one + 0.5, note="1.5 x 1 pair + 0.5 s")
    alone, among = (min(_reading(pairs_file(stage.folder, count)) for _ in range(TIMES)) for count in PAIRS)
    yield Measurement("file of 1 pair, read by a task", 1000 * alone, "ms", note=f"best of {TIMES}")
    yield Measurement("file of 100 pairs, read by a task", 1000 * among, "ms", at_most=1000 * alone + 5, note="+ 5 ms")
    for count in PAIRS:
        whole = statistics.median(each.process for each in parses[count])
        yield Measurement(f"whole process, {count} pairs", whole, "s", note="with the start of Airflow itself")


def pairs_file(folder: Path, count: int) -> Path:
    """Write a file of so many pairs."""
    file = folder / f"pairs-{count}.yaml"
    pairs = (
        f"  pair_{number}: {{master: master_{number}, slave: slave_{number}, sync: {{schedule: '@hourly'}}}}\n"
        for number in range(count)
    )
    file.write_text("pairs:\n" + "".join(pairs), encoding="utf-8")
    return file


def _reading(pairs: Path) -> float:
    begin = time.perf_counter()
    load_pairs(pairs, only="pair_0")
    return time.perf_counter() - begin


def parse(path: Path, pairs: Path, *, dags: int, env: Mapping[str, str] | None = None) -> Parse:
    """Parse a file or folder in a fresh process.

    :param dags: how many DAGs it must come to.
    """
    command = [sys.executable, "-m", "bench.parsing_client", str(path)]
    begin = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - ours
        command,
        env=os.environ | {"DENODO_HA_PAIRS": str(pairs)} | dict(env or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.perf_counter() - begin
    if done.returncode:
        raise BenchError(f"The parsing process failed: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if found["dags"] != dags or found["import_errors"]:
        raise BenchError(f"{found['dags']} DAGs instead of {dags}; import errors: {found['import_errors']}")
    return Parse(found["seconds"], whole)
