"""The command ``make demo``: a real Airflow synchronises a stand-in pair, fails over, and fails back."""

from __future__ import annotations

import shutil

from denodo_demo.fill import DISABLED
from denodo_demo.progress import Progress
from denodo_demo.report import PairReading, describe_exposure, show_facts, show_places, show_servers
from denodo_demo.stage import DAG_ID, RUN_FOLDER, Stage, Sync
from denodo_demo.story_failover import FailoverStory


def demo(progress: Progress) -> list[str]:
    """Sync twice and print the state of both servers; then show the failover and the failback.

    :return: the problems, in words; empty if there are none.
    """
    shutil.rmtree(RUN_FOLDER / "demo", ignore_errors=True)
    stage = Stage.build("demo", progress)
    stage.start()
    first = stage.sync("First sync: everything is new to the slave", "make demo: the first sync")
    progress.say("Reading both servers back")
    reading = PairReading.of(stage.pair)
    story = FailoverStory.begin(stage)
    second = stage.sync("Second sync: nothing has changed on the master", "make demo: nothing changed")
    after = PairReading.of(stage.pair)
    changes = len(after.slave.audit) - len(reading.slave.audit)
    outcome = "imported again" if second.imported else "nothing was new, so nothing was imported"
    _show(stage, first, after, f"{outcome}: {changes} changes on the slave")
    return [*_problems(first, second, after, changes), *story.tell()]


def _show(stage: Stage, first: Sync, reading: PairReading, second: str) -> None:
    console = stage.progress.console
    console.print()
    show_servers(console, reading)
    facts = {
        "ids": f"{reading.equal_ids} of {len(reading.master.jobs)} jobs have the same id on both servers",
        "exposure window": describe_exposure(reading, first.result["exposure_seconds"]),
        "double runs": f"{len(reading.double_runs)} found in the two execution journals",
        "second sync": second,
    }
    show_facts(console, facts)
    places = {
        "snapshot": first.result["location"],
        "logs": str(stage.folder),
        "in the interface": f"`make run`, then /dags/{DAG_ID} at the address that it prints",
    }
    show_places(console, places)


def _problems(first: Sync, second: Sync, after: PairReading, changes: int) -> list[str]:
    found = after.problems(disabled_on_master=DISABLED)
    if not first.imported:
        found.append("the first sync imported nothing")
    if any(exposure.seconds > first.result["exposure_seconds"] for exposure in after.exposures):
        found.append("by the slave's own audit, jobs were enabled for longer than the sync measured")
    if second.imported or changes:
        found.append(f"the second sync made {changes} changes on the slave, though nothing was new on the master")
    return found
