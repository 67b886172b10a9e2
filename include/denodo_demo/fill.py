"""The demo's jobs. ``python -m denodo_demo.fill URL //HOST:PORT`` creates them on a stand-in master that has none."""

from __future__ import annotations

import os
import re
import sys

from denodo_demo.standin import LEAP_DAYS, Json, StandinApi, StandinServer
from denodo_standin.cli import PASSWORD_VARIABLE

JOBS = 500
PROJECTS = 12
DISABLED = 37
BUSY = 8
EACH_MINUTE = "0 * * * * ?"
RESTLESS = 3
EVERY_3_SECONDS = "36-48/3 * * * * ?"
"""From second 36 to second 48 of each minute. A master that returns after the full minute can be disabled before."""
_LONG_SECONDS = 4 * 3600


def fill(master: StandinApi) -> None:
    """Generate jobs, some of which run each minute, so that the demo has runs to wait for and to judge."""
    master.generate(jobs=JOBS, projects=PROJECTS, disabled=DISABLED)
    master.let_nobody_wait()
    enabled = [status for status in master.statuses() if status["state"] != "DISABLED"]
    for status in enabled[:: len(enabled) // BUSY][:BUSY]:
        master.set_cron(status, EACH_MINUTE)


def never_rest(master: StandinServer) -> str:
    """Let some jobs run every few seconds, and start one that runs for hours, so that the server is never quiet.

    :return: the project and the name of that one.
    """
    restless = jobs_without_secrets(master)[: RESTLESS + 1]
    for job in restless[1:]:
        master.change(job, cron=EVERY_3_SECONDS)
    long = restless[0]
    label = f"{long['projectName']} / {long['name']}"
    master.change(long, cron=LEAP_DAYS)
    master.scheduler.duration(_LONG_SECONDS, f"^{re.escape(label)}$")
    master.set_status("start", [each for each in master.statuses() if each["jobID"] == long["id"]])
    return label


def jobs_without_secrets(server: StandinApi) -> list[Json]:
    """Return enabled jobs that are due by one cron, seldom, and alone; none of them has a secret."""
    jobs = server.request("GET", "/jobs")
    needed = {each for job in jobs for trigger in _triggers(job) for each in _waits_for(trigger)}
    return [job for job in jobs if _is_plain(job) and job["id"] not in needed]


def _is_plain(job: Json) -> bool:
    """Generated jobs have secrets in their exporters alone, and only those of type ``VDP`` have exporters."""
    often = EACH_MINUTE, EVERY_3_SECONDS, LEAP_DAYS
    crons = [trigger.get("cronExpression") for trigger in _triggers(job) if not _waits_for(trigger)]
    return not job["disabled"] and job["type"] != "VDP" and len(crons) == 1 and crons[0] not in often


def _triggers(job: Json) -> list[Json]:
    triggers: list[Json] = job["triggerSection"]["triggers"]
    return triggers


def _waits_for(trigger: Json) -> list[int]:
    jobs: list[int] = (trigger.get("dependencyInfo") or {}).get("jobIDs", [])
    return jobs


def main(url: str, uri: str) -> None:
    """Fill the Scheduler server at ``uri`` through the web tool at ``url``, unless it has jobs."""
    master = StandinApi("master", url, uri, password=os.environ[PASSWORD_VARIABLE])
    if not master.statuses():
        fill(master)


if __name__ == "__main__":
    main(*sys.argv[1:])
