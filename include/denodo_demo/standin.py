"""A stand-in pair: two Scheduler servers and two web tools, four processes that can be controlled one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Self, TypeAlias

import httpx

from denodo_demo.processes import LONGEST_ANSWER, Child, free_port, wait_for
from denodo_demo.slowness import persist
from denodo_standin.pair_files import LOGIN, TIMEZONES

Json: TypeAlias = dict[str, Any]

BASE_PATH = "/webadmin/denodo-scheduler-admin"
"""Where a web tool serves its API, unless it is told otherwise."""
PASSWORD = "stand-in-password"  # noqa: S105 - guards nothing, and is easy to find where it should not be

LEAP_DAYS = "0 0 12 29 2 ?"

_COMMAND = (sys.executable, "-m", "denodo_standin")


class StandinError(RuntimeError):
    """The stand-in refused a request; the message holds its answer."""


class StandinProcess:
    """One process of the pair and its control endpoint.

    :param arguments: command line of ``denodo-standin`` without the port.
    :param port: port if it is free, otherwise any; kept over restarts.
    """

    def __init__(self, name: str, arguments: list[str], *, log: Path, port: int = 0) -> None:
        self.name = name
        self.port = free_port(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = [*arguments, "--port", str(self.port)]
        self._log = log
        self._child: Child | None = None
        self._http = httpx.Client(base_url=f"{self.url}/control", timeout=LONGEST_ANSWER, trust_env=False)

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int | None:
        """The process id of the last start."""
        return self._child.pid if self._child else None

    @property
    def pid_file(self) -> Path:
        """The file that holds the process id of the last start."""
        return self._log.with_suffix(".pid")

    def launch(self) -> None:
        """Start the process without waiting for it."""
        command = [*_COMMAND, *self._arguments]
        self._child = Child(self.name, command, log=self._log, env=_environment())
        self.pid_file.write_text(str(self.pid))

    def wait_until_ready(self, timeout: float = 120.0) -> None:
        wait_for(self._answers, timeout, f"{self.name} on port {self.port}", child=self._child, poll=0.05)

    def start(self) -> None:
        """Start the process, again after a stop or a kill, and return when it answers."""
        self.launch()
        self.wait_until_ready()

    def stop(self) -> None:
        """End it cleanly (SIGTERM)."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        if self._child is not None:
            self._child.kill()

    def control(self, method: str, path: str, **kwargs: Any) -> Any:
        """Return the answer of the control endpoint; ``path`` is relative to ``/control``."""
        return _ask(self._http, self.name, method, path, **kwargs)

    def state(self) -> Json:
        state: Json = self.control("GET", "/state")
        return state

    def faults(self, *faults: Json) -> None:
        """Replace the faults by these; without arguments remove them."""
        self.control("POST", "/faults", json={"faults": list(faults)})

    def guesses(self, **switches: Any) -> None:
        """Set switches for unpublished behaviour of the real server."""
        self.control("POST", "/guesses", json=switches)

    def requests(self) -> dict[str, int]:
        """Return the number of requests per method and path since the start or the last reset."""
        counts: dict[str, int] = self.control("GET", "/requests")
        return counts

    def reset_requests(self) -> None:
        self.control("POST", "/requests/reset")

    def _answers(self) -> bool:
        try:
            self.state()
        except (httpx.HTTPError, StandinError):
            return False
        return True


class SchedulerProcess(StandinProcess):
    """A Scheduler server: the process that fires the jobs."""

    def clock(self, **body: Any) -> None:
        """Set the clock: ``now=…``, ``advance_seconds=…`` or ``mode="real"``."""
        self.control("POST", "/clock", json=body)

    def duration(self, seconds: float, match: str = "") -> None:
        """Set how long runs last from now on: those of jobs whose ``project / name`` matches, or all."""
        self.control("POST", "/duration", json={"seconds": seconds, "match": match})

    def results(self, result: str, **more: Any) -> None:
        """Set how runs end from now on: ``match=`` those of some jobs, ``report=`` what their reports hold besides."""
        self.control("POST", "/results", json={"result": result, **more})

    def journal(self, since: int = 0) -> list[Json]:
        """Return every run with job, start, end and trigger."""
        entries: list[Json] = self.control("GET", "/journal", params={"since": since})
        return entries

    def audit(self, since: int = 0) -> list[Json]:
        """Return every change of a job: enabled, disabled, created, replaced, deleted."""
        entries: list[Json] = self.control("GET", "/audit", params={"since": since})
        return entries


class StandinApi:
    """A server of the pair as its users see it: a Scheduler behind a web tool, wherever the two run.

    :param url: the address of the web tool.
    :param uri: the Scheduler, ``//host:port``, as this program and the web tool reach it.
    """

    def __init__(self, name: str, url: str, uri: str, *, password: str = PASSWORD) -> None:
        self.name = name
        self.uri = uri
        self._password = password
        self._http = httpx.Client(
            base_url=f"{url}{BASE_PATH}/public/api", auth=(LOGIN, password), timeout=LONGEST_ANSWER, trust_env=False
        )

    def request(self, method: str, path: str, params: Json | None = None, **kwargs: Any) -> Any:
        """Return the JSON answer of the server's public API; ``path`` is relative to ``/public/api``."""
        return _ask(self._http, self.name, method, path, params={"uri": self.uri, **(params or {})}, **kwargs)

    def statuses(self) -> list[Json]:
        statuses: list[Json] = self.request("GET", "/jobs/status")
        return statuses

    def set_status(self, action: str, statuses: list[Json]) -> None:
        """Send one bulk request per project for the jobs of these statuses."""
        for project in {status["projectID"] for status in statuses}:
            ids = ",".join(str(status["jobID"]) for status in statuses if status["projectID"] == project)
            self.request("PUT", f"/projects/{project}/jobs/status", json={"action": action, "IDs": ids})

    def set_cron(self, status: Json, cron: str) -> None:
        """Give the job of this status one trigger, with this Quartz expression, in place of those it has."""
        self.change(self.request("GET", f"/projects/{status['projectID']}/jobs/{status['jobID']}"), cron=cron)

    def change(self, job: Json, *, cron: str, **fields: Any) -> None:
        """Write a job anew, with one trigger in place of those it has, and with other ``fields``."""
        self.request("PUT", f"/projects/{job['projectId']}/jobs/{job['id']}", json=_with_cron({**job, **fields}, cron))

    def create_like(self, job: Json, *, cron: str, **fields: Any) -> None:
        """Create a job in the project of this one, with one trigger, and with other ``fields``."""
        made = {name: value for name, value in job.items() if name not in ("id", "projectId", "projectName")}
        self.request("POST", f"/projects/{job['projectId']}/jobs", json=_with_cron({**made, **fields}, cron))

    def let_nobody_wait(self) -> None:
        """Make enabled jobs with dependencies due on leap days only.

        Generated jobs depend on jobs with other crons, so they would wait for hours and leave no quiet window.
        """
        for job in self.request("GET", "/jobs"):
            triggers = job["triggerSection"]["triggers"]
            if not job["disabled"] and any(trigger.get("dependencyInfo") for trigger in triggers):
                seldom = [{**trigger, "cronExpression": LEAP_DAYS} for trigger in triggers if trigger["type"] == "cron"]
                path = f"/projects/{job['projectId']}/jobs/{job['id']}"
                self.request("PUT", path, json={**job, "triggerSection": {"triggers": seldom}})

    def generate(self, *, jobs: int, projects: int, disabled: int, seed: int = 1) -> None:
        """Fill the server with made-up projects, data sources and jobs."""
        numbers = {"--jobs": jobs, "--projects": projects, "--seed": seed, "--disabled": disabled}
        self._standin("generate", *(word for name, value in numbers.items() for word in (name, str(value))))

    def load(self, export_file: Path) -> None:
        """Fill the server from an export file."""
        self._standin("load", str(export_file))

    def _standin(self, *arguments: str) -> None:
        command = [*_COMMAND, *arguments, "--server", self.uri]
        done = subprocess.run(  # noqa: S603 - no shell, and the command is ours
            command, env=_environment(self._password), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise StandinError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")


class StandinServer(StandinApi):
    """A server of the pair with its two processes on this machine."""

    def __init__(
        self, name: str, root: Path, *, timezone: str, id_offset: int, scheduler_port: int = 0, webtool_port: int = 0
    ) -> None:
        self.timezone = timezone
        arguments = ["scheduler", "--data", str(root / name), "--timezone", timezone, "--id-offset", str(id_offset)]
        self.scheduler = SchedulerProcess(
            f"{name} scheduler", arguments, log=root / f"{name}-scheduler.log", port=scheduler_port
        )
        self.webtool = StandinProcess(
            f"{name} webtool",
            ["webtool"],
            log=root / f"{name}-webtool.log",
            port=webtool_port,
        )
        super().__init__(name, self.webtool.url, f"//127.0.0.1:{self.scheduler.port}")

    @property
    def processes(self) -> tuple[StandinProcess, StandinProcess]:
        return self.scheduler, self.webtool

    def connection(self) -> Json:
        """Return the Airflow connection to this server, in the JSON form of ``AIRFLOW_CONN_…``.

        On a busy machine an answer may take long; a process that is dead refuses at once.
        """
        return {
            "conn_type": "denodo_scheduler",
            "host": "127.0.0.1",
            "port": self.webtool.port,
            "schema": "http",
            "login": LOGIN,
            "password": PASSWORD,
            "extra": {"scheduler_uri": self.uri, "timeout": [30, 30], "deadline": 60},
        }


class StandinPair:
    """A master and a slave in different time zones with different ids.

    :param root: folder for the servers' state on disk and for the logs.
    :param preferred_ports: whether to take Denodo's own ports where they are free.
    """

    def __init__(self, root: Path, *, preferred_ports: bool = False) -> None:
        def port(number: int) -> int:
            return number if preferred_ports else 0

        self.master = StandinServer(
            "master",
            root,
            timezone=TIMEZONES["master"],
            id_offset=1_000,
            scheduler_port=port(8000),
            webtool_port=port(9090),
        )
        self.slave = StandinServer(
            "slave",
            root,
            timezone=TIMEZONES["slave"],
            id_offset=700_000,
            scheduler_port=port(8001),
            webtool_port=port(9091),
        )

    @property
    def servers(self) -> tuple[StandinServer, StandinServer]:
        return self.master, self.slave

    def start(self) -> Self:
        """Start all four processes and return when all of them answer."""
        self._each(StandinProcess.launch)
        self._each(StandinProcess.wait_until_ready)
        return self

    def kill(self) -> None:
        """End all four at once; what they keep survives it."""
        self._each(StandinProcess.kill)

    def heal(self) -> None:
        """Start the processes that are down, and remove all faults."""
        self._each(lambda process: None if process.running else process.start())
        self._each(StandinProcess.faults)

    def connections_env(self, *pairs: str) -> dict[str, str]:
        """Return the two connections of the shipped pair, as environment variables for Airflow.

        :param pairs: names of pairs that get two connections of their own, such as ``<pair>_master``.
        """
        return {
            f"AIRFLOW_CONN_{owner}_{server.name}".upper(): json.dumps(server.connection())
            for owner, server in product(("denodo_scheduler", *pairs), self.servers)
        }

    @staticmethod
    def apart(pair: str, folder: Path) -> str:
        """Return the options, in YAML, of a pair that is not to know of another one on the same servers: connections
        and storage of its own.
        """
        return f"master: {pair}_master, slave: {pair}_slave, snapshots: {{location: 'file://{folder}/{pair}'}}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _each(self, action: Callable[[StandinProcess], object]) -> None:
        for server in self.servers:
            for process in server.processes:
                action(process)


def _ask(http: httpx.Client, name: str, method: str, path: str, **kwargs: Any) -> Any:
    """Return the JSON answer; a request without an answer in time is sent again, unless it is a POST."""
    harmless = method != "POST"

    def send(longest: float) -> httpx.Response:
        return http.request(method, path, timeout=longest if harmless else LONGEST_ANSWER, **kwargs)

    answer = persist(send, lambda error: harmless and isinstance(error, httpx.TimeoutException))
    if answer.is_error:
        raise StandinError(f"{name} answered {answer.status_code} to {method} {path}: {answer.text}")
    return answer.json() if answer.content else None


def _with_cron(job: Json, cron: str) -> Json:
    return {**job, "triggerSection": {"triggers": [{"type": "cron", "cronExpression": cron}]}}


def _environment(password: str = PASSWORD) -> dict[str, str]:
    return os.environ | {"DENODO_STANDIN_PASSWORD": password, "PYTHONUNBUFFERED": "1"}
