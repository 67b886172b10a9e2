"""The first sync of many jobs to an empty slave: over REST, where no job is ever enabled, and by import."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from airflow.sdk import ObjectStoragePath

from bench.busy import Watched, put
from bench.report import Measurement
from bench.stage import LATENCY, BenchError, Stage, quiet_moment
from bench.syncs import Synced, Syncs
from denodo_demo.standin import StandinPair
from denodo_ha.delivery.capabilities import Capabilities
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_standin.generate import Generated, generate
from denodo_standin.model import JOB_TYPES
from denodo_standin.params import without_secrets

TITLE = "First sync of 5,000 jobs in 20 projects to an empty slave, 20 ms latency per request"
JOBS = 5_000
PROJECTS = 20


def measure(stage: Stage) -> Iterator[Measurement]:
    made = generate(jobs=JOBS, projects=PROJECTS)
    jobs_without_secrets = tuple(
        replace(each, params=without_secrets(each.params)) if each.kind == "job" else each
        for each in made.export.elements
    )
    made = replace(made, export=replace(made.export, elements=jobs_without_secrets))
    with _own(stage, "rest").pair() as pair:
        seen = Watched(pair.slave)
        synced = _sync(stage, pair, made, "over REST")
        yield from seen.measure([synced], "over REST", at_most=45)
    with _own(stage, "import").pair() as pair:
        synced = _sync(stage, pair, made, "by import", Capabilities(unfaithful=JOB_TYPES))
        yield Measurement("by import: to its commit", synced.whole, "s", note="each type was not faithful over REST")
        yield Measurement("by import: exposure", synced.event["exposure_seconds"], "s", note="by the sync")
        by_hand = _by_hand(stage)
        yield Measurement("by hand: export, import, one request per project", by_hand, "s", note="into the same slave")
        yield Measurement("by import, compared with by hand", synced.whole / by_hand)


def _own(stage: Stage, name: str) -> Stage:
    folder: Path = stage.folder / name
    folder.mkdir()
    return Stage(folder, stage.progress)


def _sync(stage: Stage, pair: StandinPair, made: Generated, how: str, known: Capabilities | None = None) -> Synced:
    """Fill the master and sync once, while the clocks stand still at a quiet moment."""
    for server in pair.servers:
        server.scheduler.clock(mode="manual", now=quiet_moment().isoformat())
        server.webtool.faults(LATENCY)
    folder = stage.folder / ("import" if known else "rest")
    put(pair.master, made, folder)
    syncs = Syncs(folder)
    if known:
        syncs.learn(known)
    with stage.progress.step(f"Syncing {JOBS:,} jobs {how}"):
        synced = syncs.run()
    if synced.imported is None or synced.imported.pending:
        raise BenchError(f"The sync did not deliver all: {synced.imported}")
    return synced


def _by_hand(stage: Stage) -> float:
    master, slave = (DenodoSchedulerHook(f"denodo_scheduler_{name}") for name in ("master", "slave"))
    file = ObjectStoragePath(f"file://{stage.folder / 'by_hand.zip'}")
    with stage.progress.step("Exporting, importing and disabling without a sync"):
        begin = time.perf_counter()
        master.export_metadata(file)
        slave.import_metadata(file)
        slave.set_jobs_status("disable", [status.key for status in slave.statuses().jobs])
        slave.statuses()
        return time.perf_counter() - begin
