"""``python -m bench [ROW...]``: measure all rows, or those that are named; print a table and write bench.json."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
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
    "exposure": "bench.exposure",
    "no-op": "bench.no_op",
    "streaming": "bench.streaming",
    "parsing": "bench.parsing",
    "information": "bench.information",
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
            results = [_run(name, Path(folder), progress) for name in names]
    except KeyboardInterrupt:
        return 130
    console.print(table(results))
    write_json(FILE, results)
    progress.say(f"Written to {FILE}")
    return 0 if all(result.met for result in results) else 1


def _environment(folder: Path) -> dict[str, str]:
    """An Airflow home of our own, and no proxy on the way to this machine."""
    return {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _run(name: str, folder: Path, progress: Progress) -> Result:
    """One row; when it fails, what it measured until then and why."""
    stage = Stage(folder / name, progress)
    stage.folder.mkdir()
    measurements: list[Measurement] = []
    title, error, begin = name, "", time.monotonic()
    try:
        row: ModuleType = import_module(ROWS[name])
        title = row.TITLE
        progress.say(f"{name}: {title}")
        for measurement in row.measure(stage):
            measurements.append(measurement)
    except Exception as failure:
        error = str(failure) or repr(failure)
        progress.say(f"{name} failed: {error}")
    return Result(name, title, tuple(measurements), round(time.monotonic() - begin, 1), error)


if __name__ == "__main__":
    sys.exit(main())
