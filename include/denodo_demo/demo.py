"""The command ``make demo``: a real Airflow synchronises a stand-in pair, fails over, re-protects, and fails back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial

from rich.table import Table

from denodo_demo.fill import DISABLED, RESTLESS, never_rest
from denodo_demo.progress import Progress
from denodo_demo.report import PairReading, describe_exposure, show_facts, show_places, show_servers
from denodo_demo.stage import COMMAND, DAG_ID, RUN_FOLDER, Stage, Sync
from denodo_demo.story_failover import FailoverStory

STEPS = (
    "start a stand-in pair, and put jobs onto its master",
    "start Airflow",
    "the first sync: everything is new to the slave",
    "the second sync: nothing has changed",
    "the master's web tool dies, its Scheduler lives: nothing may happen",
    "the master's Scheduler dies: the slave takes over",
    "the slave runs the jobs, and a person edits two of them",
    "the master returns: its jobs are disabled, and the slave's are copied to it",
    "fail back to the master, and judge every scheduled run",
)


def demo(progress: Progress, picture: Callable[[Stage, str, Table | None], object] | None = None) -> list[str]:
    """Sync a master that never rests, and again when nothing has changed; then show the failover and the failback.

    :param picture: called in the states that are worth a picture.
    :return: the problems, in words; empty if there are none.
    """
    shutil.rmtree(RUN_FOLDER / "demo", ignore_errors=True)
    stage = Stage.build("demo", progress)
    if picture:
        stage.picture = partial(picture, stage)
    stage.start()
    progress.next()
    long = _start_to_be_busy(stage)
    first = stage.sync_all("First sync: everything is new to the slave", "make demo: the first sync")
    progress.say("Reading both servers back")
    reading = PairReading.of(stage.pair)
    story = FailoverStory.begin(stage)
    progress.next()
    second = stage.sync("Second sync: nothing has changed on the master", "make demo: nothing changed")
    after = PairReading.of(stage.pair)
    changes = len(after.slave.audit) - len(reading.slave.audit)
    _show(stage, first, after, _describe_work(after, long), _describe_second(second, changes))
    return [*_problems(first, second, after, changes), *story.tell()]


def _start_to_be_busy(stage: Stage) -> str:
    """Let the master never rest, and return the name of the job that runs for hours."""
    with stage.progress.step("Making the master one that never rests"):
        long = never_rest(stage.pair.master)
    stage.progress.say(f"    {RESTLESS} jobs run every 3 s in a part of each minute; {long} runs for hours")
    return long


def _describe_work(reading: PairReading, long: str) -> str:
    running = [f"{job['projectName']} / {job['jobName']}" for job in reading.master.jobs.values() if _runs(job)]
    ended = sum(run["end"] is not None for run in reading.master.journal)
    still = "still runs" if long in running else "does not run any more"
    return f"{ended} runs have ended on the master by now, {long} {still}; both syncs took place meanwhile"


def _runs(job: dict[str, object]) -> bool:
    return job["state"] == "RUNNING"


def _describe_second(second: Sync, changes: int) -> str:
    outcome = "something was delivered" if second.imported else "nothing was new, so nothing was delivered"
    return f"{outcome}: {changes} changes on the slave"


def _longest_exposure(syncs: Sequence[Sync]) -> float:
    return max(float(sync.result["exposure_seconds"]) for sync in syncs)


def _show(stage: Stage, first: Sequence[Sync], reading: PairReading, work: str, second: str) -> None:
    console = stage.progress.console
    console.print()
    show_servers(console, reading)
    facts = {
        "work": work,
        "ids": f"{reading.equal_ids} of {len(reading.master.jobs)} jobs have the same id on both servers",
        "exposure": describe_exposure(reading, _longest_exposure(first)),
        "double runs": f"{len(reading.double_runs)} found in the two execution journals",
        "second sync": second,
    }
    show_facts(console, facts)
    places = {
        "snapshot": first[-1].result["location"],
        "logs": str(stage.folder),
        "in the interface": f"`{COMMAND} run`, then /dags/{DAG_ID} at the address that it prints",
    }
    show_places(console, places)


def _problems(first: Sequence[Sync], second: Sync, after: PairReading, changes: int) -> list[str]:
    found = after.problems(disabled_on_master=DISABLED)
    if not first[0].imported:
        found.append("the first sync delivered nothing")
    if any(exposure.seconds > _longest_exposure(first) for exposure in after.exposures):
        found.append("by the slave's own audit, jobs were enabled for longer than the sync measured")
    if second.imported or changes:
        found.append(f"the second sync made {changes} changes on the slave, though nothing was new on the master")
    return found
