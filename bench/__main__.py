"""``python -m bench [ROW...]``: measure all rows, or those that are named; print a table and write bench.json."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from rich.console import Console

from bench.report import Measurement, Result, table, write_json
from bench.stage import Stage
from denodo_demo.processes import stopping_everything
from denodo_demo.progress import Progress

FILE = Path(__file__).parent / "results" / "bench.json"
ROWS = {
    "disabling": "bench.disabling",
    "enabling": "bench.enabling",
    "exposure": "bench.exposure",
    "no-op": "bench.no_op",
    "one writer": "bench.one_writer",
    "first sync": "bench.first_sync",
    "busy world": "bench.busy_world",
    "re-protect": "bench.reprotect",
    "switchover": "bench.switchover",
    "streaming": "bench.streaming",
    "parsing": "bench.parsing",
    "task start": "bench.task_start",
    "failover": "bench.failover",
    "idle": "bench.idle",
    "watching": "bench.watching",
    "information": "bench.information",
    "page": "bench.page",
}
"""Module of each row. It is imported when the row begins, because it imports Airflow, which then reads its settings."""

_PLAIN_WIDTH = 140


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 when every row has met its targets, 1 when not, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)} (default: all)")
    names = parser.parse_args(argv).rows or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    console = Console()
    if not console.is_interactive:
        console = Console(width=_PLAIN_WIDTH)
    progress = Progress(console)
    try:
        with stopping_everything(), tempfile.TemporaryDirectory(prefix="denodo-bench-") as folder:
            os.environ |= _environment(Path(folder))
            results = [run(name, ROWS[name], Path(folder), progress) for name in names]
    except KeyboardInterrupt:
        return 130
    return finish(results, FILE, progress)


def run(name: str, module: str, folder: Path, progress: Progress) -> Result:
    """Measure one row; when it fails, what was measured until then and why it failed.

    :param folder: where the row gets a folder of its own.
    """
    stage = Stage(folder / name, progress)
    stage.folder.mkdir()
    measurements: list[Measurement] = []
    title, error, begin = name, "", time.monotonic()
    try:
        row: ModuleType = import_module(module)
        title = row.TITLE
        progress.say(f"{name}: {title}")
        for measurement in row.measure(stage):
            measurements.append(measurement)
    except Exception as failure:
        error = str(failure) or repr(failure)
        progress.say(f"{name} failed: {error}")
    return Result(name, title, tuple(measurements), round(time.monotonic() - begin, 1), error)


def finish(results: Sequence[Result], file: Path, progress: Progress) -> int:
    """Show the results, write them to ``file``, and return the exit code."""
    progress.console.print(table(results))
    write_json(file, results)
    progress.say(f"Written to {file}")
    missed = [result.name for result in results if not result.met]
    if missed:
        progress.say(f"Not as it should be: {', '.join(missed)}")
    return 1 if missed else 0


def _environment(folder: Path) -> dict[str, str]:
    """An Airflow home of our own, and no proxy on the way to this machine."""
    return {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


if __name__ == "__main__":
    sys.exit(main())
