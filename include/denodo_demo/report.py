"""Read the state of both servers back after a sync, judge it, and print it as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from denodo_demo.edits import Edit
from denodo_demo.judge import Exposure, Fate, Job, Occurrence, double_runs, exposures
from denodo_demo.standin import StandinPair, StandinServer
from denodo_ha.jobs import fold
from denodo_ha.words import many


@dataclass(frozen=True)
class Reading:
    """One server: its jobs by (project, name) in folded case, its execution journal and its audit."""

    server: StandinServer
    jobs: dict[Job, dict[str, Any]]
    journal: list[dict[str, Any]]
    audit: list[dict[str, Any]]

    @classmethod
    def of(cls, server: StandinServer) -> Reading:
        jobs = {(fold(job["projectName"]), fold(job["jobName"])): job for job in server.statuses()}
        return cls(server, jobs, server.scheduler.journal(), server.scheduler.audit())

    @property
    def disabled(self) -> set[Job]:
        return {key for key, job in self.jobs.items() if job["state"] == "DISABLED"}

    @property
    def enabled(self) -> set[Job]:
        return self.jobs.keys() - self.disabled

    @property
    def lowest_id(self) -> int | None:
        return min((job["jobID"] for job in self.jobs.values()), default=None)


@dataclass(frozen=True)
class PairReading:
    """Both servers, read one right after the other."""

    master: Reading
    slave: Reading

    @classmethod
    def of(cls, pair: StandinPair) -> PairReading:
        return cls(Reading.of(pair.master), Reading.of(pair.slave))

    @property
    def equal_ids(self) -> int:
        """The number of jobs that happen to have the same id on both servers."""
        slave = self.slave.jobs
        return sum(job["jobID"] == slave[key]["jobID"] for key, job in self.master.jobs.items() if key in slave)

    @property
    def double_runs(self) -> list[Occurrence]:
        return double_runs(self.master.journal, self.slave.journal)

    @property
    def exposures(self) -> list[Exposure]:
        """The periods in which jobs were enabled on the slave."""
        return exposures(self.slave.audit)

    def problems(self, *, disabled_on_master: int | None = None, slave_ran: bool = False) -> list[str]:
        """Return what is not as a sync leaves it, in words; empty if all is well.

        :param slave_ran: the slave has been the active server, so that it may have run jobs.
        """
        master, slave = self.master, self.slave
        found = {
            f"{len(master.jobs.keys() ^ slave.jobs.keys())} jobs are on one server only": master.jobs.keys()
            != slave.jobs.keys(),
            f"{len(slave.enabled)} jobs are enabled on the slave": bool(slave.enabled),
            f"{len(master.disabled)} jobs are disabled on the master, not {disabled_on_master}": disabled_on_master
            not in (None, len(master.disabled)),
            f"{len(self.double_runs)} scheduled runs happened on both servers": bool(self.double_runs),
            f"{len(slave.journal)} runs happened on the slave": bool(slave.journal) and not slave_ran,
        }
        return [problem for problem, is_there in found.items() if is_there]


def crons(server: StandinServer) -> dict[Job, list[str]]:
    """Return the crons of the enabled jobs, except jobs with dependencies, whose crons do not decide when they run."""
    found: dict[Job, list[str]] = {}
    for job in server.request("GET", "/jobs"):
        triggers = job["triggerSection"]["triggers"]
        if not job["disabled"] and not any(trigger.get("dependencyInfo") for trigger in triggers):
            key = fold(job["projectName"]), fold(job["name"])
            found[key] = [trigger["cronExpression"] for trigger in triggers if trigger["type"] == "cron"]
    return found


def zone(server: StandinServer) -> ZoneInfo:
    return ZoneInfo(server.timezone)


def show_servers(console: Console, reading: PairReading, title: str = "Read back from both servers") -> None:
    """Print the table of the two servers."""
    sides = (reading.master, reading.slave)
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for side in sides:
        table.add_column(side.server.name, justify="right")
    table.add_row("time zone", *(side.server.timezone for side in sides))
    table.add_row("jobs", *(str(len(side.jobs)) for side in sides))
    table.add_row("enabled", *(str(len(side.enabled)) for side in sides), style="bold")
    table.add_row("disabled", *(str(len(side.disabled)) for side in sides))
    table.add_row("lowest job id", *(str(side.lowest_id or "-") for side in sides))
    table.add_row("runs so far", *(str(len(side.journal)) for side in sides))
    console.print(table)


def occurrences_table(fates: Mapping[Occurrence, Fate]) -> Table:
    """Show the fate of every scheduled occurrence: one line for each minute in which jobs were due."""
    columns = [fate for fate in Fate if fate is not Fate.NOT_DUE or fate in fates.values()]
    table = Table(title="Every scheduled occurrence, from both execution journals", title_justify="left")
    table.add_column("due (UTC)")
    for heading in ("occurrences", *(str(fate) for fate in columns)):
        table.add_column(heading, justify="right")
    in_order = sorted(fates, key=lambda each: each.scheduled)
    for minute, group in groupby(in_order, key=lambda each: f"{each.scheduled:%H:%M}"):
        counts = Counter(fates[each] for each in group)
        table.add_row(minute, str(counts.total()), *(str(counts[fate] or "") for fate in columns))
    table.add_section()
    counts = Counter(fates.values())
    table.add_row("all", str(counts.total()), *(str(counts[fate]) for fate in columns), style="bold")
    return table


def show_edits(console: Console, edits: Iterable[Edit], home: Mapping[Job, str]) -> None:
    """Print what was edited on the slave, and what has come home of it."""
    table = Table(title="What was edited on the slave while it was active", title_justify="left")
    for heading in ("job", "what was done", "on the slave", "at home, on the master"):
        table.add_column(heading)
    for each in edits:
        table.add_row(" / ".join(each.job), each.what, each.there, home.get(each.key, "missing"))
    console.print(table)


def show_facts(console: Console, facts: Mapping[str, str]) -> None:
    """Print a table with one fact a line."""
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name, value)
    console.print(table)


def show_places(console: Console, places: Mapping[str, str]) -> None:
    """Print one name and value a line, never broken, so that addresses and paths can be copied."""
    for name, value in places.items():
        console.print(f"  {name:<21} {value}", markup=False, highlight=False, soft_wrap=True)


def describe_exposure(reading: PairReading, sync_seconds: float | None) -> str:
    """Describe the exposure as the sync measured it and as the slave's audit has it."""
    measured = "not measured" if sync_seconds is None else f"{sync_seconds:.2f} s measured by the sync"
    audited = ", ".join(f"{exposure.seconds:.2f} s ({many(exposure.jobs, 'job')})" for exposure in reading.exposures)
    return f"{measured}; {audited or 'none'} by the slave's own audit"
