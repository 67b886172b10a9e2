"""What the rows have in common: a folder, progress, and a stand-in pair with jobs. Imports nothing of Airflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from denodo_demo.progress import Progress
from denodo_demo.standin import StandinPair

LATENCY = {"kind": "latency", "seconds": 0.02}
"""Fault of a web tool: every request takes 20 ms longer."""


class BenchError(RuntimeError):
    """What was to be measured did not happen; the message says what did."""


@dataclass(frozen=True)
class Stage:
    """Where a row works, and how it shows that it does.

    :param folder: an empty folder of its own.
    """

    folder: Path
    progress: Progress

    @contextmanager
    def pair(self) -> Iterator[StandinPair]:
        """Start a stand-in pair; hooks find it by the connection ids of the shipped pair."""
        pair = StandinPair(self.folder / "pair")
        try:
            with self.progress.step("Starting a stand-in pair: four processes"):
                pair.start()
            os.environ.update(pair.connections_env())
            yield pair
        finally:
            pair.kill()

    def fill_master(self, pair: StandinPair, *, jobs: int, projects: int) -> None:
        """Put generated jobs onto the master, and stop both clocks where all is quiet."""
        with self.progress.step(f"Putting {jobs:,} jobs in {projects} projects onto the master"):
            for server in pair.servers:
                server.scheduler.clock(mode="manual", now=quiet_moment().isoformat())
            pair.master.generate(jobs=jobs, projects=projects, disabled=0)


def quiet_moment() -> datetime:
    """Return a moment at which no quarter of an hour is near, so that no generated job is due unless it is busy."""
    return datetime.now(UTC).replace(minute=5, second=0, microsecond=0)
