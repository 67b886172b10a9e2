"""A planned switchover of a master that never rests, by draining: gaps and occurrences by both servers' own records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from bench.busy import JOBS, BusyWorld, busy_world
from bench.report import Measurement
from bench.stage import BenchError, Stage
from denodo_demo.judge import double_runs, missed
from denodo_demo.standin import StandinServer
from denodo_ha.jobs import fold
from denodo_ha.quartz.cron import QuartzCron
from denodo_scheduler.steps.promote import switchover as switching

TITLE = "Planned switchover of 2,000 jobs that never rest, by draining, 20 ms latency per request"
SLACK = 5
JUST_RAN = timedelta(seconds=60)
"""A job that ran so short a time ago is enabled later, since Quartz would run that occurrence again."""
MOMENT = timedelta(seconds=2)
"""How far the moments in which a job is told to be enabled and is enabled may be apart."""
AFTERWARDS = 15.0
"""Seconds after it, in which an occurrence would run a second time."""

Job = tuple[str, str]


@dataclass(frozen=True)
class Gap:
    """When a job was disabled on the old server and enabled on the new one."""

    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()


def measure(stage: Stage) -> Iterator[Measurement]:
    with busy_world(stage) as world:
        master, slave = world.pair.servers
        world.sync_until_all_is_there(stage.progress)
        with stage.progress.step("Syncing what has no safe moment"):
            world.syncs.run(deliver_now=True)
        marks = {server.name: max(entry["seq"] for entry in server.scheduler.audit()) for server in world.pair.servers}
        definitions = master.request("GET", "/jobs")
        with stage.progress.step("Switching over; the two jobs that run for hours are stopped after 20 s"):
            event, seconds = switch_over(world)
        time.sleep(AFTERWARDS)
        gaps = _gaps(master, slave, marks)
        journals = [server.scheduler.journal() for server in world.pair.servers]
        yield Measurement("whole switchover", seconds, "s", note=f"{event['after']['enabled']} jobs")
        begun = min(gap.begin for gap in gaps.values())
        longest = max(gap.begin for gap in gaps.values()) - begun
        yield Measurement("longest running job", longest.total_seconds(), "s", note="until it was stopped")
        calm, late = _by_last_run(gaps, journals[0])
        yield Measurement(
            "longest gap of a job that was idle for a minute",
            max(calm),
            "s",
            at_most=longest.total_seconds() + SLACK,
            note=f"{len(calm)} jobs; the longest running job + {SLACK} s; by both audits",
        )
        yield Measurement(
            "longest gap of a job that ran within that minute",
            max(late, default=0.0),
            "s",
            note=f"{len(late)} jobs; they wait until Quartz does not run that occurrence again",
        )
        yield Measurement("occurrences that ran twice", len(double_runs(*journals)), at_most=0, note="by both journals")
        lost, listed = not_run(gaps, definitions, journals, event, ZoneInfo(master.timezone))
        yield Measurement("occurrences that ran nowhere, listed", listed, note="in the event")
        yield Measurement(
            "occurrences that ran nowhere, not listed", len(lost), at_most=0, note="; ".join(map(str, lost[:3]))
        )


def switch_over(world: BusyWorld) -> tuple[dict[str, Any], float]:
    """Make the slave the active server; jobs that do not end are stopped. The event, and the seconds it took."""
    wanted = switching.Switch(stop=True)
    plan = switching.check(world.syncs.prepared(), wanted)
    begin = time.perf_counter()
    event = switching.switch(world.syncs.prepared(), wanted, epoch=plan["epoch"])
    if event["kind"] != "switchover" or event["after"]["enabled"] < JOBS:
        raise BenchError(f"The switchover did not carry all jobs over: {event['after']}")
    return event, time.perf_counter() - begin


def _gaps(old: StandinServer, new: StandinServer, marks: dict[str, int]) -> dict[Job, Gap]:
    ends = {_job(entry): _at(entry) for entry in _changes(new, marks, "enabled")}
    return {
        _job(entry): Gap(_at(entry), ends[_job(entry)])
        for entry in _changes(old, marks, "disabled")
        if _job(entry) in ends
    }


def _changes(server: StandinServer, marks: dict[str, int], change: str) -> list[dict[str, Any]]:
    return [entry for entry in server.scheduler.audit(marks[server.name]) if entry["change"] == change]


def _by_last_run(gaps: dict[Job, Gap], journal: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Seconds of the gaps of jobs that had not run for a minute, and of the others."""
    last = {_job(run): datetime.fromisoformat(run["start"]) for run in journal}
    calm: list[float] = []
    late: list[float] = []
    for job, gap in gaps.items():
        (late if job in last and gap.begin - last[job] < JUST_RAN else calm).append(gap.seconds)
    return calm, late


def not_run(
    gaps: dict[Job, Gap],
    definitions: list[dict[str, Any]],
    journals: list[list[dict[str, Any]]],
    event: dict[str, Any],
    zone: ZoneInfo,
) -> tuple[list[tuple[str, datetime]], int]:
    """Occurrences by the old server's clock that were due in the gap of their job and ran nowhere: those that the event
    does not list, and how many it does.

    Jobs that wait for others are not judged: they run when those have ended. One that was due in the last moment of its
    gap and ran as soon as it was enabled has run.
    """
    ran = {(*_job(run), datetime.fromisoformat(run["scheduled"])) for run in chain(*journals) if run["scheduled"]}
    at_once = {_job(run): datetime.fromisoformat(run["start"]) for run in journals[1] if run["trigger"] == "misfire"}
    told, lost, listed = missed(event), [], 0
    for definition in definitions:
        job = fold(definition["projectName"]), fold(definition["name"])
        triggers = definition["triggerSection"]["triggers"]
        if job not in gaps or any(trigger.get("dependencyInfo") for trigger in triggers):
            continue
        for trigger in triggers:
            for at in QuartzCron(trigger["cronExpression"]).between(gaps[job].begin, gaps[job].end, zone):
                found = (f"{job[0]} / {job[1]}", at)
                if found in told:
                    listed += 1
                elif (*job, at) not in ran and not (job in at_once and at_once[job] - MOMENT <= at <= at_once[job]):
                    lost.append(found)
    return lost, listed


def _job(entry: dict[str, Any]) -> Job:
    return fold(entry["project"]), fold(entry["job"])


def _at(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["at"])
