"""The command ``make run``: run Airflow and a stand-in pair until Ctrl-C, and keep their state for the next start."""

from __future__ import annotations

import contextlib
import select
import sys
import threading
import time
from collections.abc import Iterator

from denodo_demo.history import History
from denodo_demo.progress import Progress
from denodo_demo.report import PairReading, show_places, show_servers
from denodo_demo.stage import DAG_ID, ERRORS, FAILOVER, OPERATIONS, SWITCHOVER, Stage
from denodo_demo.standin import BASE_PATH, LOGIN, PASSWORD, StandinProcess

_HISTORY_EVERY = 2.0


def run(progress: Progress) -> None:
    """Start everything, sync once if the slave is empty, watch the master, and stay until interrupted.

    Once everything has started, only the end of Airflow ends it; failures are printed.

    :raises WaitError: something does not start, or Airflow has ended by itself.
    """
    stage = Stage.build("run", progress, schedule='"*/15 * * * *"')
    stage.start()
    with _staying_up(stage):
        if not stage.pair.slave.statuses():
            stage.scheduled_sync("First scheduled sync: everything is new to the slave")
    with _staying_up(stage):
        _show(stage)
    threading.Thread(target=_watch, args=(stage,), daemon=True).start()
    _stay(stage)


@contextlib.contextmanager
def _staying_up(stage: Stage) -> Iterator[None]:
    """Print a failure and go on, so that a person can inspect what runs."""
    try:
        yield
    except ERRORS as error:
        stage.progress.say(f"{str(error) or repr(error)} Everything stays up for you to look.")


def _show(stage: Stage) -> None:
    console = stage.progress.console
    console.print()
    show_servers(console, PairReading.of(stage.pair))
    airflow = stage.airflow
    places = {
        "sync": f"{airflow.url}/dags/{DAG_ID} (every 15 minutes, or trigger it)",
        "failover": f"{airflow.url}/dags/{FAILOVER} (it watches: leave it on)",
        "switchover, failback": f"{airflow.url}/dags/{SWITCHOVER} (trigger it)",
        "pause, halt, …": f"{airflow.url}/dags/{OPERATIONS} (trigger it)",
        "login": f"{airflow.user}, password in {airflow.password_file}",
    }
    for server in stage.pair.servers:
        places[f"{server.name}'s web tool"] = f"{server.webtool.url}{BASE_PATH}/public/api/jobs/status?uri={server.uri}"
    places |= {
        "login there": f"{LOGIN} / {PASSWORD}",
        "logs": str(stage.folder),
    }
    for process in _processes(stage):
        places[f"kill {process.name}"] = f"kill -9 {process.pid}"
    places |= {
        "bring it back": "press Enter here",
        "stop everything": "Ctrl-C; it is all there again at the next `make run`, and gone after `make clean`",
    }
    show_places(console, places)


def _watch(stage: Stage) -> None:
    """Have the master watched, and print the pair's history; an Airflow that fails to answer is asked again later."""
    history: History | None = None
    while stage.airflow.running:
        with contextlib.suppress(*ERRORS):
            history = history or stage.watch()
            history.tell()
        time.sleep(_HISTORY_EVERY)


def _stay(stage: Stage) -> None:
    """Print when a process ends, and start what is down when a person presses Enter."""
    down: set[str] = set()
    inputs = [sys.stdin] if sys.stdin.isatty() else []
    while stage.airflow.running:
        for process in _processes(stage):
            if not process.running and process.name not in down:
                down.add(process.name)
                stage.progress.say(f"{process.name} has ended. Press Enter to start it again.")
        if select.select(inputs, [], [], 0.5)[0] and sys.stdin.readline():
            for process in _processes(stage):
                if not process.running:
                    _start(stage, process, down)
    stage.airflow.wait_until_healthy(timeout=0)


def _start(stage: Stage, process: StandinProcess, down: set[str]) -> None:
    with _staying_up(stage):
        process.start()
        down.discard(process.name)
        stage.progress.say(f"{process.name} is back: process {process.pid}")


def _processes(stage: Stage) -> list[StandinProcess]:
    return [process for server in stage.pair.servers for process in server.processes]
