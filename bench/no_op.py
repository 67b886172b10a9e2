"""A sync with nothing to do: its number of requests does not grow with the number of jobs."""

from __future__ import annotations

from collections.abc import Iterator

from bench.report import Measurement
from bench.stage import BenchError, Stage
from bench.syncs import Syncs
from denodo_demo.standin import StandinPair

TITLE = "Requests of a sync that finds nothing new"
SIZES = (50, 500, 5_000)
PROJECTS = 20
NOTE = "over both web tools; definitions and data sources of the slave are compared in each sync"


def measure(stage: Stage) -> Iterator[Measurement]:
    with stage.pair() as pair:
        syncs = Syncs(stage.folder)
        for jobs in SIZES:
            stage.fill_master(pair, jobs=jobs, projects=PROJECTS)
            with stage.progress.step(f"Syncing {jobs:,} jobs, then once more"):
                if syncs.run().imported is None:
                    raise BenchError(f"The first sync of {jobs} jobs imported nothing.")
                for server in pair.servers:
                    server.webtool.reset_requests()
                if syncs.run().imported is not None:
                    raise BenchError(f"The second sync of {jobs} jobs imported again.")
            yield Measurement(f"{jobs:,} jobs", _requests(pair), at_most=10, note=NOTE)


def _requests(pair: StandinPair) -> int:
    return sum(sum(server.webtool.requests().values()) for server in pair.servers)
