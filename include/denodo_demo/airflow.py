"""A real Airflow on this machine: ``airflow standalone`` with a home of its own on free ports."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import httpx
import psutil
from cryptography.fernet import Fernet

from denodo_cli.init import BUNDLE
from denodo_demo.airflow_api import AirflowApiError, ApiClient, Json
from denodo_demo.processes import Child, WaitError, free_port, wait_for
from denodo_standin.pair_files import write_private

PROJECT = Path(__file__).parents[2]

_HEALTHY, _ANSWERS = "healthy", "it answers"
_MILESTONES = {
    "Database ready": ("database", "its tables are there"),
    "Loaded executor": ("scheduler", "it has loaded its executor"),
    "Starting the Dag Processor Job": ("DAG processor", "it has started"),
    "Starting the triggerer": ("triggerer", "it has started"),
    "Running the API server": ("API server", "it loads Airflow's interface"),
    "files for bundle": ("DAG processor", "it reads the DAG files for the first time"),
}
"""What the log says before the API server answers, and what that means for which part."""
_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
_PASSWORDS = "simple_auth_manager_passwords.json.generated"
"""The file in its home where Airflow looks for passwords, before it would generate and print them."""
_PATIENT = (
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT",
)
"""Settings in seconds that are too short for a busy machine."""


class LocalAirflow:
    """Scheduler, triggerer, DAG processor and API server on SQLite with the LocalExecutor.

    :param home: ``AIRFLOW_HOME``; it keeps database, logs and secrets from one start to the next.
    :param dags_folder: None for the DAG bundle of the installed project.
    :param plugins_folder: None where the project is installed, so that Airflow finds its plugin by itself.
    :param pairs_file: the file that ``DENODO_HA_PAIRS`` names; the project's own file by default.
    :param env: more environment variables: connections (``AIRFLOW_CONN_…``) and settings (``AIRFLOW__…``).
    :param port: the port of the API server if it is free, otherwise any.
    """

    user = "admin"
    command: ClassVar[Sequence[str]] = ("airflow", "standalone")

    def __init__(
        self,
        home: Path,
        *,
        dags_folder: Path | None = PROJECT / "dags",
        plugins_folder: Path | None = PROJECT / "plugins",
        pairs_file: Path | None = None,
        env: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.log = home / "standalone.log"
        self.password_file = home / _PASSWORDS
        self.url = f"http://127.0.0.1:{free_port(port)}"
        self._secrets = _secrets(home)
        self.env = self._environment(dags_folder, plugins_folder) | dict(env or {})
        if pairs_file is not None:
            self.env["DENODO_HA_PAIRS"] = str(pairs_file)
        self.api = ApiClient(self.url, self.user, self._secrets["password"])
        self._child: Child | None = None
        self._log_begins = 0

    def launch(self) -> None:
        """Start all components without waiting for them."""
        self._log_begins = self.log.stat().st_size if self.log.exists() else 0
        self._child = Child("airflow", self.command, log=self.log, env=self.env, stop_signal=signal.SIGINT)

    def wait_until_healthy(self, timeout: float = 300.0) -> None:
        """Return when each component says that it is healthy."""
        wait_for(self.is_healthy, timeout, "Airflow with all its components", child=self._child)

    def start(self) -> Self:
        """Start all components and return when each of them says that it is healthy."""
        self.launch()
        self.wait_until_healthy()
        return self

    @property
    def child(self) -> Child | None:
        """The process that holds all components; None before the start."""
        return self._child

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def processes(self, name: str) -> list[int]:
        """Return the process ids of a component, such as ``triggerer``, and of its child processes."""
        members = self._child.members() if self._child is not None else []
        return [process.pid for process in members if name in _command_line(process)]

    @property
    def password(self) -> str:
        """The password of :attr:`user`."""
        return self._secrets["password"]

    def is_healthy(self) -> bool:
        parts = self.parts()
        return all(parts.get(component) == _HEALTHY for component in _COMPONENTS)

    def answers(self) -> bool:
        """Return whether the API server answers."""
        return self.parts().get("API server") == _ANSWERS

    def parts(self) -> dict[str, str]:
        """Return the state of each part that has one already, by the answer of the API server, or else by the log."""
        try:
            health = self.api.health()
        except (httpx.HTTPError, AirflowApiError):
            said = self.said().decode(errors="replace")
            return dict(_MILESTONES[each] for each in _MILESTONES if each in said)
        states = {name: health.get(name, {}).get("status") for name in _COMPONENTS}
        return {"API server": _ANSWERS, **{name: state for name, state in states.items() if state == _HEALTHY}}

    def said(self, since: int = 0) -> bytes:
        """Return the log of all components since the last start.

        :param since: how many bytes of it to leave out.
        """
        if not self.log.exists():
            return b""
        with self.log.open("rb") as log:
            log.seek(self._log_begins + since)
            return log.read()

    def stop(self) -> None:
        """Stop all components; a running task is given a few seconds."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End all components as a power cut would (SIGKILL)."""
        if self._child is not None:
            self._child.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_for_dag(self, dag_id: str, timeout: float = 200.0) -> Json:
        """Return the DAG as soon as it has been parsed; raise Airflow's import errors if it is not in time."""

        def dag() -> Json | None:
            if errors := self.api.import_errors():
                raise WaitError(
                    f"DAG {dag_id}: Airflow cannot import {errors[0]['filename']}.", said=errors[0]["stack_trace"]
                )
            return self.api.dag(dag_id)

        return wait_for(dag, timeout, f"DAG {dag_id}", child=self._child)

    def kill_worker(self, task_instance: Json) -> None:
        """Send SIGKILL to the process of a running task and to the executor's worker that supervises it.

        No process is left to report the task, so the scheduler detects it by the missing heartbeats
        (``AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT``, 300 s by default).
        """
        try:
            task = psutil.Process(task_instance["pid"])
            worker = task.parent()
        except psutil.NoSuchProcess:
            worker = None
        if worker is None:
            raise WaitError(
                f"Task {task_instance['task_id']}: its process {task_instance['pid']} does not run any more."
            )
        worker.kill()
        task.kill()

    def _environment(self, dags_folder: Path | None, plugins_folder: Path | None) -> dict[str, str]:
        """Return an environment without the variables of another Airflow, and without a proxy for this machine."""
        others = ("AIRFLOW", "_AIRFLOW", "DENODO_HA_")
        env = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        no_proxy = ",".join(filter(None, ["127.0.0.1,localhost", env.get("NO_PROXY", env.get("no_proxy", ""))]))
        bin_folder = str(Path(sys.executable).parent)
        sources = {
            "AIRFLOW__CORE__DAGS_FOLDER": dags_folder,
            "AIRFLOW__CORE__PLUGINS_FOLDER": plugins_folder,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": None if dags_folder else json.dumps([BUNDLE]),
        }
        env |= {name: str(value) for name, value in sources.items() if value is not None}
        return env | {
            "PATH": f"{bin_folder}{os.pathsep}{env.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__FERNET_KEY": self._secrets["fernet_key"],
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secrets["jwt_secret"],
            "AIRFLOW__API__SECRET_KEY": self._secrets["secret_key"],
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(httpx.URL(self.url).port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port(8793)),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port(8794)),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
            **dict.fromkeys(_PATIENT, "600"),
        }


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _secrets(home: Path) -> dict[str, str]:
    """Create keys and the admin's password, once per home, in files that only their owner can read."""
    file = home / "secrets.json"
    if not file.exists():
        made = {
            "fernet_key": Fernet.generate_key().decode(),
            "jwt_secret": secrets.token_hex(32),
            "secret_key": secrets.token_hex(32),
            "password": secrets.token_urlsafe(12),
        }
        passwords = {LocalAirflow.user: made["password"]}
        write_private(home / _PASSWORDS, json.dumps(passwords))
        write_private(file, json.dumps(made))
    kept: dict[str, str] = json.loads(file.read_text())
    return kept
