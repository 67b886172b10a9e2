"""Re-protect: after a change of the active server the slave never rests, and is copied to the master."""

from __future__ import annotations

from collections.abc import Iterator

from bench.busy import Changes, Watched, busy_world
from bench.report import Measurement
from bench.stage import Stage
from bench.switchover import switch_over

TITLE = "Re-protect of 2,000 jobs that never rest, after 10 edits on the slave, 20 ms latency per request"
TEN = Changes(new=2, new_with_secret=0, edited=2, deleted=1, toggled=2, secrets=1, data_sources=1, dependencies=1)


def measure(stage: Stage) -> Iterator[Measurement]:
    with busy_world(stage) as world:
        world.sync_until_all_is_there(stage.progress)
        with stage.progress.step("Switching over to the slave"):
            world.syncs.run(deliver_now=True)
            switch_over(world)
        world.change(world.pair.slave, TEN)
        seen = Watched(world.pair.master)
        with stage.progress.step("Copying the slave to the master"):
            synced = world.syncs.run(reprotect=True)
        yield from seen.measure([synced], "10 edits on the slave", at_most=180)
        rescued = synced.event["rescued"].get("different", {}).get("jobs", 0)
        yield Measurement("jobs in the rescue snapshot that differ", rescued, note="what the master had otherwise")
