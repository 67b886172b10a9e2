"""The demo's jobs. ``python -m denodo_demo.fill URL //HOST:PORT`` creates them on a stand-in master that has none."""

from __future__ import annotations

import os
import sys

from denodo_demo.standin import StandinApi
from denodo_standin.cli import PASSWORD_VARIABLE

JOBS = 500
PROJECTS = 12
DISABLED = 37
BUSY = 8


def fill(master: StandinApi) -> None:
    """Generate jobs, some of which run each minute, so that the demo has runs to wait for and to judge."""
    master.generate(jobs=JOBS, projects=PROJECTS, disabled=DISABLED)
    master.let_nobody_wait()
    enabled = [status for status in master.statuses() if status["state"] != "DISABLED"]
    for status in enabled[:: len(enabled) // BUSY][:BUSY]:
        master.set_cron(status, "0 * * * * ?")


def main(url: str, uri: str) -> None:
    """Fill the Scheduler server at ``uri`` through the web tool at ``url``, unless it has jobs."""
    master = StandinApi("master", url, uri, password=os.environ[PASSWORD_VARIABLE])
    if not master.statuses():
        fill(master)


if __name__ == "__main__":
    main(*sys.argv[1:])
