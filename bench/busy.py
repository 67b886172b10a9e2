"""A pair whose master never rests, what people change on it, and what a passive server notes meanwhile."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.report import Measurement
from bench.stage import LATENCY, BenchError, Stage
from bench.syncs import Synced, Syncs
from denodo_demo.judge import exposures
from denodo_demo.progress import Progress
from denodo_demo.standin import StandinPair, StandinServer
from denodo_ha.pairs import Pair
from denodo_standin.generate import Generated, generate
from denodo_standin.load import write
from denodo_standin.params import ENCRYPTED, Element, has_secrets

JOBS = 2_000
PROJECTS = 20
MOST_SYNCS = 8
"""After so many syncs all jobs with a safe moment have been delivered."""

_EVERY_MINUTE, _NIGHTLY = "20 * * * * ?", "0 17 3 * * ?"


@dataclass(frozen=True)
class Changes:
    """How many changes of each kind people make at once; ``secrets`` and ``data_sources`` get other passwords and
    addresses."""

    new: int
    new_with_secret: int
    edited: int
    deleted: int
    toggled: int
    secrets: int
    data_sources: int
    dependencies: int


class BusyWorld:
    """The pair with its jobs, and its syncs.

    :param made: what the master was filled with.
    """

    def __init__(self, stage: Stage, pair: StandinPair, made: Generated) -> None:
        self.pair, self.made, self._folder = pair, made, stage.folder
        zones = {"master_timezone": pair.master.timezone, "slave_timezone": pair.slave.timezone}
        options = Pair(name="bench", **zones).with_failover(drain_timeout=timedelta(seconds=20))
        self.syncs = Syncs(stage.folder, options)

    def sync_until_all_is_there(self, progress: Progress) -> list[Synced]:
        """Sync until no job waits for its moment any more."""
        done: list[Synced] = []
        while not done or done[-1].waits_for_moment:
            if len(done) == MOST_SYNCS:
                raise BenchError(f"After {MOST_SYNCS} syncs jobs still wait for their moments.")
            with progress.step(f"Sync {len(done) + 1} of {JOBS:,} jobs, while the master runs them"):
                done.append(self.syncs.run())
        return done

    def change(self, server: StandinServer, wanted: Changes) -> None:
        """Make these changes on a server, each on jobs or data sources of its own; no job depends on one of these."""
        people = _People(server, self.made)
        for number in range(wanted.new):
            people.add(f"New {number}", _EVERY_MINUTE if number % 2 else _NIGHTLY)
        for number in range(wanted.edited):
            people.edit(_EVERY_MINUTE if number % 4 == 0 else _NIGHTLY)
        for _ in range(wanted.dependencies):
            people.make_dependent()
        for _ in range(wanted.deleted):
            people.delete()
        people.disable(wanted.toggled)
        self._load(server, people.elements(wanted))

    def _load(self, server: StandinServer, elements: list[Element]) -> None:
        """Import elements, as only so a password can be set here; their jobs are enabled, as they were."""
        export = replace(self.made.export, elements=tuple(elements))
        put(server, Generated(export, ()), self._folder)


@contextmanager
def busy_world(stage: Stage) -> Iterator[BusyWorld]:
    """Start it: the clocks are real, so jobs of the master fire all the time; two run for hours."""
    with stage.pair() as pair:
        made = generate(jobs=JOBS, projects=PROJECTS, busy=True)
        with stage.progress.step(f"Putting {JOBS:,} jobs in {PROJECTS} projects that never rest onto the master"):
            put(pair.master, made, stage.folder)
            long = [duration.match for duration in made.durations if duration.match]
            statuses = pair.master.statuses()
            pair.master.set_status("start", [each for each in statuses if any(one.search(label(each)) for one in long)])
        for server in pair.servers:
            server.scheduler.guesses(salted_secrets=False)
            server.webtool.faults(LATENCY)
        yield BusyWorld(stage, pair, made)


def put(server: StandinServer, made: Generated, folder: Path) -> None:
    """Fill a server with generated metadata; what it has is replaced."""
    file = folder / "generated.zip"
    write(made, file)
    server.load(file)


def label(of: Mapping[str, Any]) -> str:
    return f"{of['projectName']} / {of['jobName']}"


class Watched:
    """What a passive server notes from now on: executions in its journal, changes in its audit."""

    def __init__(self, server: StandinServer) -> None:
        self._server = server
        self._journal = max((entry["seq"] for entry in server.scheduler.journal()), default=0)
        self._audit = max((entry["seq"] for entry in server.scheduler.audit()), default=0)

    def runs(self) -> int:
        return len(self._server.scheduler.journal(self._journal))

    def measure(self, done: list[Synced], what: str, *, at_most: float | None) -> Iterator[Measurement]:
        """Measure these syncs, which were all that changed the server since.

        :param at_most: how many seconds one of them may take until its commit.
        """
        audit = self._server.scheduler.audit(self._audit)
        enabled = sum(entry["change"] == "enabled" for entry in audit)
        pieces = [piece for synced in done if synced.imported for piece in synced.imported.pieces]
        imported = [piece["delivered"]["jobs"] for piece in pieces if piece["channel"] in ("archive", "whole")]
        written = sum(piece["delivered"]["jobs"] for piece in pieces if piece["channel"] == "rest")
        seconds = "; ".join(
            ", ".join(f"{task} {taken:.0f}" for task, taken in synced.seconds.items() if taken >= 0.5)
            for synced in done
        )
        yield Measurement(
            f"{what}: longest of {len(done)} to its commit",
            max(synced.whole for synced in done),
            "s",
            at_most=at_most,
            note=f"seconds by task: {seconds}",
        )
        yield Measurement(f"{what}: executions on the passive server", self.runs(), at_most=0, note="by its journal")
        yield Measurement(
            f"{what}: longest exposure of an import",
            max((each.seconds for each in exposures(audit)), default=0.0),
            "s",
            at_most=3,
            note=f"by the audit; {sum(imported)} jobs in {len(imported)} imports",
        )
        yield Measurement(
            f"{what}: jobs enabled by REST pieces",
            max(0, enabled - sum(imported)),
            at_most=0,
            note=f"by the audit; {written} jobs were written",
        )
        pending = done[-1].imported.pending if done[-1].imported else []
        named = "; ".join(f"{' / '.join(each['key'] or ())} ({each['reason']['code']})" for each in pending)
        yield Measurement(f"{what}: pending at its end", len(pending), note=named)


class _People:
    """People who change jobs of a server, each time others. Jobs with secrets change by import alone.

    :param made: what the pair's servers were filled with at first.
    """

    def __init__(self, server: StandinServer, made: Generated) -> None:
        self._server, self._made = server, made
        secret = {
            (element.project, element.name)
            for element in made.export.elements
            if element.kind == "job" and has_secrets(element.params)
        }
        jobs = server.request("GET", "/jobs")
        needed = {
            each
            for job in jobs
            for trigger in job["triggerSection"]["triggers"]
            for each in (trigger.get("dependencyInfo") or {}).get("jobIDs", ())
        }
        long = [duration.match for duration in made.durations if duration.match]
        free = [
            job
            for job in jobs
            if (job["projectName"], job["name"]) not in secret
            and job["id"] not in needed
            and not job["disabled"]
            and not any(each.search(f"{job['projectName']} / {job['name']}") for each in long)
        ]
        self._free = iter(free[:: max(1, len(free) // 200)])  # of all projects

    def add(self, name: str, cron: str) -> None:
        job = next(self._free)
        left_out = ("id", "projectId", "projectName")
        made = {field: value for field, value in job.items() if field not in left_out}
        self._server.request(
            "POST", f"/projects/{job['projectId']}/jobs", json={**made, "name": name, **_triggers(cron)}
        )

    def edit(self, cron: str) -> None:
        job = next(self._free)
        self._put({**job, "description": f"edited: {job['description']}", **_triggers(cron)})

    def make_dependent(self) -> None:
        job, on = next(self._free), next(self._free)
        while on["projectId"] != job["projectId"]:
            job, on = on, next(self._free)
        self._put({**job, **_triggers(_NIGHTLY, dependencyInfo={"jobIDs": [on["id"]], "executeAnyway": True})})

    def delete(self) -> None:
        self._server.request("DELETE", _path(next(self._free)))

    def disable(self, number: int) -> None:
        wanted = {next(self._free)["id"] for _ in range(number)}
        self._server.set_status("disable", [each for each in self._server.statuses() if each["jobID"] in wanted])

    def elements(self, wanted: Changes) -> list[Element]:
        """Elements with other passwords or addresses, and new jobs with a password."""
        elements = self._made.export.elements
        calm = {job.project for job in elements if job.kind == "job"}
        jobs = [each for each in elements if each.kind == "job" and has_secrets(each.params) and _is_calm(each)]
        sources = [each for each in elements if each.kind == "dataSource" and each.project in calm]
        new = jobs[: wanted.new_with_secret]
        changed = jobs[wanted.new_with_secret :][: wanted.secrets]
        return [
            *(replace(each, params={**_other_secret(each.params), "name": f"{each.name} too"}) for each in new),
            *(replace(each, params=_other_secret(each.params)) for each in changed),
            *(
                replace(each, params={**each.params, "connectionURI": "//elsewhere:9999/admin"})
                for each in sources[: wanted.data_sources]
            ),
        ]

    def _put(self, job: Mapping[str, Any]) -> None:
        self._server.request("PUT", _path(job), json=job)


def _path(job: Mapping[str, Any]) -> str:
    return f"/projects/{job['projectId']}/jobs/{job['id']}"


def _triggers(cron: str, **more: Any) -> dict[str, Any]:
    return {"triggerSection": {"triggers": [{"type": "cron", "cronExpression": cron, **more}]}}


def _is_calm(element: Element) -> bool:
    """Whether the job is not due every minute or more often, so that it has moments."""
    trigger = element.params.get("trigger") or {}
    return "dependency" not in trigger and not str(trigger.get("cronExpression")).endswith("* * * * ?")


def _other_secret(params: Mapping[str, Any]) -> dict[str, Any]:
    secret = {ENCRYPTED: base64.b64encode(secrets.token_bytes(96)).decode()}
    exporter = {**params["processor"]["exporter"], "zipPassword": secret}
    return {**params, "processor": {**params["processor"], "exporter": exporter}}
