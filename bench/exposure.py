"""The exposure window: how long an import leaves jobs of the slave enabled, judged by the slave's own audit."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from bench.report import Measurement
from bench.stage import LATENCY, BenchError, Stage, quiet_moment
from bench.syncs import Syncs
from denodo_demo.judge import Exposure, exposures
from denodo_demo.standin import StandinPair
from denodo_ha.delivery.capabilities import Capabilities
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

TITLE = "Exposure window of 5,000 jobs in 20 projects in one import, 20 ms latency per request"
JOBS = 5_000
PROJECTS = 20
SLACK = 1.0


def measure(stage: Stage) -> Iterator[Measurement]:
    with stage.pair() as pair:
        stage.fill_master(pair, jobs=JOBS, projects=PROJECTS)
        pair.slave.scheduler.clock(mode="real", now=quiet_moment().isoformat())
        ahead = timedelta(seconds=pair.slave.scheduler.state()["guesses"]["clock_offset_seconds"])
        for server in pair.servers:
            server.webtool.faults(LATENCY)
        round_trip = _round_trip()
        syncs = Syncs(stage.folder)
        syncs.learn(Capabilities(import_replaces=True))
        with stage.progress.step(f"Syncing {JOBS:,} jobs by the whole archive"):
            synced = syncs.run()
        if synced.imported is None:
            raise BenchError("The sync imported nothing.")
        audited = _only_exposure(pair)
        yield Measurement("round trip", round_trip, "s", note="median of the slave's answers to /me")
        limit = PROJECTS * round_trip + SLACK
        answered = datetime.fromisoformat(synced.imported.answered)
        yield Measurement(
            "after the import's answer, by the sync",
            synced.event["exposure_after_answer_seconds"],
            "s",
            at_most=limit,
            note=f"until read back; {PROJECTS} round trips + {SLACK:g} s",
        )
        assert audited.end is not None
        yield Measurement(
            "after the import's answer, by the audit",
            (audited.end - ahead - answered).total_seconds(),
            "s",
            at_most=limit,
            note="until the last job was disabled",
        )
        whole = synced.event["exposure_seconds"]
        yield Measurement("from sending the import, by the sync", whole, "s", note="what the asset event tells")
        yield Measurement(
            "first to last job enabled, by the audit", audited.seconds, "s", at_most=whole, note="what the sync told"
        )


def _round_trip() -> float:
    hook = DenodoSchedulerHook("denodo_scheduler_slave")
    hook.me()
    seconds = []
    for _ in range(15):
        begin = time.perf_counter()
        hook.me()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def _only_exposure(pair: StandinPair) -> Exposure:
    """The one time in which jobs were enabled on the slave: all of them at once at its end."""
    found = exposures(pair.slave.scheduler.audit())
    if len(found) != 1 or found[0].end is None or found[0].jobs != JOBS:
        raise BenchError(f"By the slave's audit jobs were enabled in other ways than one import's: {found}")
    return found[0]
