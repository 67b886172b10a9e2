"""What a person edits on the slave while it is the active server, and what becomes of it on the master."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from denodo_demo.fill import jobs_without_secrets
from denodo_demo.judge import Job
from denodo_demo.standin import Json, StandinServer
from denodo_ha.jobs import fold

_CRONS = "1 * * * * ?", "2 * * * * ?"
_NEW = "Created on the slave"


@dataclass(frozen=True)
class Edit:
    """One edit.

    :param job: its project and name. :param what: what was done to the job. :param there: the job on the slave then.
    """

    job: tuple[str, str]
    what: str
    there: str

    @property
    def key(self) -> Job:
        project, name = self.job
        return fold(project), fold(name)


def edit(slave: StandinServer) -> list[Edit]:
    """Change one job of the slave and create another one, both due once a minute from now on."""
    changed, pattern = jobs_without_secrets(slave)[:2]
    slave.change(changed, cron=_CRONS[0])
    slave.create_like(pattern, cron=_CRONS[1], name=_NEW)
    there = definitions(slave)
    done = (
        ((changed["projectName"], changed["name"]), f"changed, was: {describe(changed)}"),
        ((pattern["projectName"], _NEW), "created"),
    )
    return [Edit((project, name), what, there[fold(project), fold(name)]) for (project, name), what in done]


def definitions(server: StandinServer) -> dict[Job, str]:
    """Return a description of each job of a server."""
    return {(fold(job["projectName"]), fold(job["name"])): describe(job) for job in server.request("GET", "/jobs")}


def describe(job: Json) -> str:
    """Describe a job by what the demo's edits change: its cron, and whether it is enabled."""
    crons = ", ".join(str(trigger.get("cronExpression")) for trigger in job["triggerSection"]["triggers"])
    state = "disabled" if job["disabled"] else "enabled"
    return f"{crons}, {state}"


def not_home(edits: Iterable[Edit], home: dict[Job, str]) -> list[str]:
    """Return, in words, which edits are not on the master as they were made on the slave."""
    return [
        f"{' / '.join(each.job)}: on the slave '{each.there}', at home '{home.get(each.key, 'missing')}'"
        for each in edits
        if home.get(each.key) != each.there
    ]
