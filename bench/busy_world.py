"""A master that never rests: the sync beside the recipe, which imports everything and then disables job by job."""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow.sdk import ObjectStoragePath

from bench.busy import JOBS, BusyWorld, Changes, Watched, busy_world
from bench.disabling import disable_one_by_one
from bench.report import Measurement
from bench.stage import BenchError, Stage
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

TITLE = "Syncs of 2,000 jobs that never rest, slave in another time zone, 20 ms latency per request"
FORTY = Changes(new=6, new_with_secret=2, edited=12, deleted=4, toggled=6, secrets=4, data_sources=2, dependencies=4)


def measure(stage: Stage) -> Iterator[Measurement]:
    with busy_world(stage) as world:
        seen = Watched(world.pair.slave)
        yield from seen.measure(world.sync_until_all_is_there(stage.progress), "first syncs", at_most=None)

        world.change(world.pair.master, FORTY)
        seen = Watched(world.pair.slave)
        with stage.progress.step("Syncing 40 changes of all kinds"):
            synced = world.syncs.run()
        yield from seen.measure([synced], "40 changes", at_most=180)

        for server in world.pair.servers:
            server.webtool.reset_requests()
        with stage.progress.step("Syncing once more"):
            again = world.syncs.run()
        if again.imported is not None:
            raise BenchError(f"A sync after that imported again: {again.imported.pieces}")
        counts = [server.webtool.requests() for server in world.pair.servers]
        told = "; ".join(
            f"{server.name}: " + ", ".join(f"{number} {what.rpartition('/')[2]}" for what, number in found.items())
            for server, found in zip(world.pair.servers, counts, strict=True)
        )
        requests = sum(sum(found.values()) for found in counts)
        yield Measurement("nothing new: requests", requests, at_most=10, note=told)
        waited = again.seconds["wait_for_quiet_window"]
        yield Measurement("nothing new: to its commit", again.whole, "s", note=f"of which it waited {waited:.0f} s")

        yield from _recipe(stage, world)


def _recipe(stage: Stage, world: BusyWorld) -> Iterator[Measurement]:
    """The recipe of the article: export, import, then one request for each job."""
    master, slave = (DenodoSchedulerHook(name) for name in (world.syncs.pair.master, world.syncs.pair.slave))
    file = ObjectStoragePath(f"file://{stage.folder / 'recipe.zip'}")
    seen = Watched(world.pair.slave)
    with stage.progress.step(f"The recipe: importing all, then disabling with {JOBS:,} requests, which takes minutes"):
        begin = time.perf_counter()
        master.export_metadata(file)
        slave.import_metadata(file)
        disable_one_by_one(slave)
        seconds = time.perf_counter() - begin
    yield Measurement("the recipe: export, import, one request per job", seconds, "s")
    yield Measurement("the recipe: executions on the slave", seen.runs(), note="by its journal")
