"""The common part of ``make demo`` and ``make run``: a pair with jobs, a real Airflow, and a sync."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table

from denodo_demo.airflow import PROJECT, LocalAirflow
from denodo_demo.airflow_api import AirflowApiError, Json
from denodo_demo.fill import DISABLED, JOBS, PROJECTS, fill
from denodo_demo.history import History
from denodo_demo.processes import WaitError, wait_for
from denodo_demo.progress import Progress
from denodo_demo.standin import StandinError, StandinPair

PAIR = "default"
DAG_ID = f"denodo_scheduler_sync__{PAIR}"
FAILOVER = f"denodo_scheduler_failover__{PAIR}"
SWITCHOVER = f"denodo_scheduler_switchover__{PAIR}"
OPERATIONS = f"denodo_scheduler_operations__{PAIR}"
ASSET = f"denodo-scheduler://{PAIR}"
COMMAND = "make" if (PROJECT / "Makefile").exists() else "denodo-demo"
"""What the commands are called: targets of make in a checkout, and those of the program elsewhere."""
RUN_FOLDER = Path.cwd() / ".run"
"""Where everything is written: beside the Makefile, or in the folder where the program was started."""
PATIENCE = 300.0
"""Seconds, on an idle machine, after which waiting is given up."""
_FILLED = "filled"
"""A file that is there when the master has all its jobs; a pair that was interrupted before is made anew."""
_MOST_SYNCS = 5
ERRORS = (WaitError, AirflowApiError, StandinError, httpx.HTTPError)
"""The errors of communication with the processes that were started."""

_PASSING = None, "scheduled", "queued", "running"
"""States of a task that are not printed."""

_PAIRS_YAML = """\
# Written by `{program} {command}`: the shipped pair with durations short enough for a demonstration.
pairs:
  {pair}:
    master: denodo_scheduler_master
    slave: denodo_scheduler_slave
    master_timezone: {master_timezone}
    slave_timezone: {slave_timezone}
    sync: {{schedule: {schedule}, quiet_timeout: 8m, initialise: automatic}}
    check: {{schedule: null}}
    drill: ["default / Load campaign results"]
    watch: {{probe_interval: 1s, fall: 3, duration: 5m}}
    failover: {{cool_down: 5m}}
    snapshots: {{location: "file://{snapshots}"}}
"""


@dataclass(frozen=True)
class Sync:
    """One finished sync: its run and what its task ``verify`` returned."""

    run_id: str
    result: dict[str, Any]

    @property
    def imported(self) -> bool:
        return bool(self.result["imported"])

    @property
    def pending(self) -> int:
        """The number of jobs that it could not deliver safely, and which a later sync delivers."""
        return int(self.result["pending"]["jobs"])


@dataclass
class Stage:
    """A stand-in pair and an Airflow that knows it, with everything they write in ``folder``.

    :param meanwhile: called again and again while a run is followed.
    :param picture: called with the name of a state in which the pair is worth a picture, and the table that was printed
        then, if one was.
    """

    folder: Path
    pair: StandinPair
    airflow: LocalAirflow
    progress: Progress
    meanwhile: Callable[[], object] = lambda: None
    picture: Callable[[str, Table | None], object] = lambda _state, _table: None
    _states: dict[tuple[str, str], str | None] = field(default_factory=dict)
    _parts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def build(cls, command: str, progress: Progress, *, schedule: str = "null") -> Stage:
        """Write the pair's configuration to ``.run/<command>``; nothing is started yet.

        :param schedule: schedule of the sync DAG as it stands in YAML; ``null`` for manual runs only.
        """
        folder = RUN_FOLDER / command
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _FILLED).exists():
            shutil.rmtree(folder / "pair", ignore_errors=True)
        pairs_file = folder / "pairs.yaml"
        pair = StandinPair(folder / "pair", preferred_ports=True)
        text = _PAIRS_YAML.format(
            program=COMMAND,
            command=command,
            pair=PAIR,
            schedule=schedule,
            snapshots=folder / "snapshots",
            master_timezone=pair.master.timezone,
            slave_timezone=pair.slave.timezone,
        )
        pairs_file.write_text(text, encoding="utf-8")
        airflow = LocalAirflow(
            folder / "airflow",
            dags_folder=None,
            plugins_folder=None,
            pairs_file=pairs_file,
            env=pair.connections_env(),
            port=8080,
        )
        airflow.api.tell = progress.say
        return cls(folder, pair, airflow, progress)

    def start(self) -> None:
        """Start the four servers and Airflow, and put jobs onto a master that has none."""
        self.airflow.launch()
        self.progress.next()
        self.start_pair()
        self.progress.next()
        with self.progress.step("Starting Airflow: scheduler, triggerer, DAG processor and API server"):
            self.wait_for_airflow(self.airflow.is_healthy, "Airflow with all its components")
        with self.progress.step("Waiting for Airflow to read the pair's four DAGs"):
            self.wait_for_dags()

    def start_pair(self) -> None:
        """Start the four servers, and put jobs onto a new master."""
        with self.progress.step("Starting the stand-in pair: two Scheduler servers and two web tools"):
            self.pair.start()
        filled = self.folder / _FILLED
        if not filled.exists():
            what = f"Putting {JOBS} jobs in {PROJECTS} projects onto the master, {DISABLED} of them disabled"
            with self.progress.step(what):
                fill(self.pair.master)
            filled.touch()

    def wait_for_airflow(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a state of Airflow, and print meanwhile which of its parts have come up.

        :raises WaitError: Airflow has ended, or takes too long.
        """

        def reached() -> bool:
            for name, state in self.airflow.parts().items():
                if self._parts.get(name) != state:
                    self._parts[name] = state
                    self.progress.say(f"        {name.replace('_', ' ')}: {state}")
            return condition()

        wait_for(reached, PATIENCE, what, child=self.airflow.child, poll=0.5)

    def wait_for_dags(self) -> None:
        """Wait for the pair's DAGs, and switch all of them on but the one that watches."""
        for dag_id in (DAG_ID, FAILOVER, SWITCHOVER, OPERATIONS):
            self.airflow.wait_for_dag(dag_id)
        for dag_id in (DAG_ID, SWITCHOVER, OPERATIONS):
            self.airflow.api.set_paused(dag_id, False)

    def watch(self) -> None:
        """Have the failover DAG watch the pair from now on."""
        self.airflow.api.set_paused(FAILOVER, False)

    def history(self) -> History:
        """Follow the pair's history from now on."""
        return History(self.airflow.api, ASSET, self.progress)

    def sync(self, what: str, reason: str, **form: Any) -> Sync:
        """Trigger a manual run of the sync and follow it; see :meth:`follow`.

        :param form: other fields of the form of the sync DAG.
        """
        return self.follow(what, lambda: self.airflow.api.trigger(DAG_ID, {"reason": reason, **form}))

    def sync_all(self, what: str, reason: str, **form: Any) -> list[Sync]:
        """Sync, and again while jobs are pending, whose next executions were too near; see :meth:`sync`.

        :raises WaitError: jobs are still pending after some syncs.
        """
        done = [self.sync(what, reason, **form)]
        while done[-1].pending:
            if len(done) == _MOST_SYNCS:
                raise WaitError(f"After {_MOST_SYNCS} syncs {done[-1].pending} jobs are still pending.")
            done.append(self.sync(f"Again, for {done[-1].pending} jobs that are pending", reason, **form))
        return done

    def follow(self, what: str, begin: Callable[[], str]) -> Sync:
        """Show the tasks of a sync as they run, and return its result.

        :param begin: starts the run and returns its id.
        :raises WaitError: it did not succeed; the message holds the error of the task that failed.
        """
        run_id = self.run_dag(DAG_ID, "verify", what, begin)
        return Sync(run_id, self.airflow.api.xcom(DAG_ID, run_id, "verify"))

    def run_dag(
        self,
        dag_id: str,
        last: str,
        what: str,
        begin: Callable[[], str],
    ) -> str:
        """Show the tasks of a run as they run, and return its id.

        :param last: the task that must succeed for the run to be complete.
        :raises WaitError: it did not succeed; the message holds the error of the task that failed.
        """
        api = self.airflow.api

        def show(tasks: list[Json]) -> None:
            self._show_changes(tasks)
            self.meanwhile()

        with self.progress.step(what):
            run_id = begin()
            api.wait_for_run(dag_id, run_id, timeout=2 * PATIENCE, on_progress=show)
        if api.task_states(dag_id, run_id)[last] != "success":
            raise WaitError(f"The run {run_id} of {dag_id} did not get to its end. {self._why(dag_id, run_id)}")
        return run_id

    def _show_changes(self, tasks: list[Json]) -> None:
        """Print the tasks that have ended, or wait, since the last time, and the plan of a sync once it is made."""
        for task in sorted(tasks, key=lambda task: task["start_date"] or "9"):
            key, state = (task["dag_run_id"], task["task_id"]), task["state"]
            if state in _PASSING or self._states.get(key) == state:
                continue
            self._states[key] = state
            self.progress.say(f"    {task['task_id']:<22} {state}")
            if task["task_id"] == "export_metadata" and state == "success":
                self._show_plan(task["dag_run_id"])

    def _show_plan(self, run_id: str) -> None:
        self.progress.say("    The delivery plan:")
        for line in self.airflow.api.xcom(DAG_ID, run_id, "export_metadata")["text"].splitlines():
            self.progress.say(f"        {line}")

    def _why(self, dag_id: str, run_id: str) -> str:
        """Return the last error in the logs of the failed tasks."""
        for task in self.airflow.api.task_instances(dag_id, run_id):
            if task["state"] == "failed":
                log = self.airflow.api.task_log(dag_id, run_id, task["task_id"], task["try_number"])
                errors = [line for line in log.splitlines() if " error " in line]
                return f"Task {task['task_id']}: {errors[-1] if errors else 'see its log'}"
        return "No task failed: see the log of its first task."


@contextlib.contextmanager
def alone(command: str) -> Iterator[None]:
    """Lock ``.run/<command>`` for this process.

    :raises WaitError: another process holds it.
    """
    RUN_FOLDER.mkdir(exist_ok=True)
    with (RUN_FOLDER / f"{command}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise WaitError(
                f"`{COMMAND} {command}` already runs in this folder. Wait for its end, or stop it (kill {lock.read()})"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
