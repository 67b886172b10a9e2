"""``python -m bench.streaming_client FILE``: export to FILE, import it, check it; prints one line of JSON.

A process of its own, so that its peak of resident memory is that of the client and of nothing else. Everything is
imported before the measurement begins.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from airflow.sdk import ObjectStoragePath

from denodo_ha.snapshot.archive import inspect
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook


def main(file: str) -> None:
    path = ObjectStoragePath(f"file://{file}")
    master = DenodoSchedulerHook("denodo_scheduler_master")
    slave = DenodoSchedulerHook("denodo_scheduler_slave")
    steps: dict[str, Callable[[], object]] = {
        "export": lambda: master.export_metadata(path),
        "import": lambda: slave.import_metadata(path),
        "check": lambda: inspect(path, expected_size=Path(file).stat().st_size),
    }
    before = _memory_mb("VmRSS")
    added: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for name, step in steps.items():
        begin = time.perf_counter()
        step()
        seconds[name] = time.perf_counter() - begin
        added[name] = _memory_mb("VmHWM") - before
    print(json.dumps({"size": Path(file).stat().st_size, "added_mb": added, "seconds": seconds}))


def _memory_mb(name: str) -> float:
    """``VmRSS``, resident now, or ``VmHWM``, its peak since the process began."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    main(sys.argv[1])
