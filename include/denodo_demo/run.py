"""The command ``make run``: run Airflow and a stand-in pair until Ctrl-C, with a tour, and keep their state."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from denodo_demo.history import History
from denodo_demo.processes import wait_for
from denodo_demo.progress import Progress
from denodo_demo.report import show_places
from denodo_demo.stage import COMMAND, DAG_ID, ERRORS, FAILOVER, OPERATIONS, SWITCHOVER, Stage
from denodo_demo.standin import BASE_PATH, PASSWORD, StandinProcess
from denodo_demo.tour import Seen, Tour
from denodo_standin.pair_files import LOGIN

PAGE = "/plugin/denodo-pairs"
"""The page of all pairs in Airflow's interface."""
LOOKED = re.compile(r"path=/denodo-ha/\S*.* status_code=(200|304)")
"""A line of the API server's log about a part of the page that was sent to somebody who is logged in."""
_EVERY = 2.0
"""Seconds between two looks at the pair."""


def run(progress: Progress) -> None:
    """Start everything, print the addresses as soon as they answer, watch the master, and stay until interrupted.

    Once Airflow answers, only its end ends the run; any other failure is printed, and what failed is tried again.

    :raises WaitError: something does not start, or Airflow has ended by itself.
    """
    stage = Stage.build("run", progress, schedule='"*/15 * * * *"')
    progress.say(f"The logs are in {stage.folder}. Ctrl-C ends everything, also now.")
    stage.airflow.launch()
    stage.start_pair()
    with progress.step("Starting Airflow, which takes one to two minutes on a busy machine"):
        stage.wait_for_airflow(stage.airflow.answers, "Airflow's API server")
    places = Places(stage)
    places.show()
    places.open_page()
    guide = Guide(stage, Tour(progress.note, places.named()))
    threading.Thread(target=guide.watch, daemon=True).start()
    try:
        Stay(stage, guide, places.enter_file).until_the_end()
    finally:
        guide.over.set()


def _try(progress: Progress, action: Callable[[], object]) -> None:
    """Do something; print its failure and go on."""
    try:
        action()
    except ERRORS as error:
        progress.say(f"{failure(error)} Everything stays up.")


def failure(error: Exception) -> str:
    """Return the first line of an error, as a sentence."""
    text = (getattr(error, "summary", "") or str(error) or repr(error)).strip().splitlines()[0]
    return text if text.endswith(".") else f"{text}."


@dataclass
class Places:
    """The addresses and commands that a person needs."""

    stage: Stage

    @property
    def page(self) -> str:
        return f"{self.stage.airflow.url}{PAGE}"

    @property
    def enter_file(self) -> Path:
        """The file whose creation is taken for the Enter key."""
        return self.stage.folder / "enter"

    def login(self) -> str:
        """Return the login: with its password in a terminal, and elsewhere with the command that prints it.

        What is not a terminal may be a log that others read, and that is kept.
        """
        airflow = self.stage.airflow
        if self.stage.progress.moves:
            return f"user {airflow.user}, password {airflow.password}"
        return f"user {airflow.user}, and the password that this command prints: cat {_quoted(airflow.password_file)}"

    def named(self) -> dict[str, str]:
        """Return what the tour says for the names in its sentences."""
        url, touch = self.stage.airflow.url, f"touch {_quoted(self.enter_file)}"
        return {
            "page": self.page,
            "login": self.login(),
            "sync": f"{url}/dags/{DAG_ID}",
            "switchover": f"{url}/dags/{SWITCHOVER}",
            "kill": kill_command(self.stage.pair.master.scheduler),
            "enter": "press Enter here" if sys.stdin.isatty() else touch,
        }

    def show(self) -> None:
        """Print all of them, the page of pairs first."""
        stage = self.stage
        url = stage.airflow.url
        places = {
            "the page of pairs": self.page,
            "login": self.login(),
            "sync": f"{url}/dags/{DAG_ID} (every 15 minutes, or trigger it)",
            "failover": f"{url}/dags/{FAILOVER} (it watches: leave it on)",
            "switchover, failback": f"{url}/dags/{SWITCHOVER} (trigger it)",
            "pause, halt, …": f"{url}/dags/{OPERATIONS} (trigger it)",
        }
        for server in stage.pair.servers:
            path = f"{BASE_PATH}/public/api/jobs/status?uri={server.uri}"
            places[f"{server.name}'s web tool"] = f"{server.webtool.url}{path} (login {LOGIN} / {PASSWORD})"
        for process in _processes(stage):
            places[f"kill {process.name}"] = kill_command(process)
        places |= {
            "start what is down": start_hint(self.enter_file),
            "logs": str(stage.folder),
            "stop everything": f"Ctrl-C; the next `{COMMAND} run` in this folder goes on from there. "
            f"To begin anew: rm -rf {_quoted(stage.folder)}",
        }
        stage.progress.console.print()
        show_places(stage.progress.console, places)

    def open_page(self) -> None:
        """Open the page in a browser, where a person sits at a terminal on a machine with a display."""
        if self.stage.progress.moves and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            with contextlib.suppress(webbrowser.Error):
                webbrowser.open(self.page)


@dataclass
class Guide:
    """What looks at the pair again and again: it prints the pair's history, and moves the tour on.

    It has the master watched as soon as there is something to promote.

    An Airflow that fails to answer is asked again later.
    """

    stage: Stage
    tour: Tour
    over: threading.Event = field(default_factory=threading.Event)
    _history: History | None = None
    _watched: bool = False
    _before: set[str] | None = None
    _read: int = 0
    _failed: str = ""

    def watch(self) -> None:
        """Wait for all of Airflow, have the master watched, and follow the pair until it is over."""
        while not self.over.wait(_EVERY):
            try:
                self._look()
            except Exception as error:  # whatever it is, the next look may succeed
                if self._failed != failure(error) and not self.over.is_set():
                    self._failed = failure(error)
                    self.stage.progress.say(f"{self._failed} Everything stays up, and it is tried again.")

    def _look(self) -> None:
        if self._history is None:
            self.stage.wait_for_airflow(self.stage.airflow.is_healthy, "Airflow with all its components")
            self.stage.wait_for_dags()
            self._history = self.stage.history()
        if not self._watched and self._history.state("record").get("snapshot"):
            self.stage.watch()
            self._watched = True
        self._history.tell()
        self.tour.see(self.seen(self._history))

    def seen(self, history: History) -> Seen:
        """Read what the tour looks at; only what its present step asks for costs a request."""
        at = self.tour.at
        record = history.state("record")
        master = self.stage.pair.master
        runs = master.scheduler.running
        enabled = None
        if at("start") and runs:
            with contextlib.suppress(*ERRORS):  # the web tool answers 500 until the Scheduler is up
                enabled = sum(each["state"] != "DISABLED" for each in master.statuses())
        return Seen(
            looked=at("look") and self._somebody_looked(),
            synced=at("look", "sync") and self._a_person_synced(),
            ready=history.settled("healthy"),
            active=str(record.get("active", "")),
            phase=str(record.get("phase", "")),
            master_runs=runs,
            master_enabled=enabled,
        )

    def _somebody_looked(self) -> bool:
        """Return whether the page was asked for since the last time; what was read of the log is not read again."""
        said = self.stage.airflow.said(self._read)
        whole = said[: said.rfind(b"\n") + 1]
        self._read += len(whole)
        return bool(LOOKED.search(whole.decode(errors="replace")))

    def _a_person_synced(self) -> bool:
        """Return whether a manual sync has succeeded that had not when the tour began."""
        runs = self.stage.airflow.api.dag_runs(DAG_ID)
        done = {run["dag_run_id"] for run in runs if run["run_type"] == "manual" and run["state"] == "success"}
        if self._before is None:
            self._before = done
        return bool(done - self._before)

    def enter(self) -> None:
        """Do what the present step of the tour asks for."""
        say, api = self.stage.progress.say, self.stage.airflow.api
        step = self.tour.step  # once, because the thread that watches may move on meanwhile
        match step.key if step else "":
            case "look":
                self.tour.skip()
            case "sync":
                say(f"Started the sync {api.trigger(DAG_ID, {'reason': 'the tour'})}")
            case "kill":
                self.stage.pair.master.scheduler.kill()
            case "fail_back":
                form = {"direction": "to_master", "reason": "the tour: the master is repaired"}
                say(f"Started the failback {api.trigger(SWITCHOVER, form)}")
            case _:
                say("Nothing is down.")


@dataclass
class Stay:
    """Stay until Airflow ends; print when a process ends, and do what Enter is for.

    :param enter_file: its creation is taken for the Enter key.
    """

    stage: Stage
    guide: Guide
    enter_file: Path
    _down: set[str] = field(default_factory=set)

    def until_the_end(self) -> None:
        """:raises WaitError: Airflow has ended by itself."""
        self.enter_file.unlink(missing_ok=True)
        inputs = [sys.stdin] if sys.stdin.isatty() else []
        while self.stage.airflow.running:
            self._tell_ends()
            if select.select(inputs, [], [], 0.5)[0]:
                if sys.stdin.readline():
                    self._enter()
                else:
                    inputs = []
            if self.enter_file.exists():
                self.enter_file.unlink(missing_ok=True)
                self._enter()
        wait_for(lambda: None, 0, "Airflow", child=self.stage.airflow.child)

    def _tell_ends(self) -> None:
        for process in _processes(self.stage):
            if not process.running and process.name not in self._down:
                self._down.add(process.name)
                dies_in_the_tour = process is self.stage.pair.master.scheduler and self.guide.tour.at("kill")
                hint = "" if dies_in_the_tour else f" Start it: {start_hint(self.enter_file)}"
                self.stage.progress.say(f"{process.name} has ended.{hint}")

    def _enter(self) -> None:
        """Start what is down; where nothing is, do what the tour asks for."""
        down = [process for process in _processes(self.stage) if not process.running]
        for process in down:
            _try(self.stage.progress, partial(self._start, process))
        if not down:
            _try(self.stage.progress, self.guide.enter)

    def _start(self, process: StandinProcess) -> None:
        process.start()
        self._down.discard(process.name)
        self.stage.progress.say(f"{process.name} is back: process {process.pid}. To kill it: {kill_command(process)}")


def kill_command(process: StandinProcess) -> str:
    """Return the command that kills a process of the pair, which stays the same when it is started again."""
    return f"kill -9 $(cat {_quoted(process.pid_file)})"


def start_hint(enter_file: Path) -> str:
    """Say how to start what is down."""
    return f"press Enter here, or: touch {_quoted(enter_file)}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _processes(stage: Stage) -> list[StandinProcess]:
    return [process for server in stage.pair.servers for process in server.processes]
