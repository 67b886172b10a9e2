"""The sync DAG of one pair in a running Airflow, and what the two servers' own books say since a moment."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from denodo_demo.airflow import LocalAirflow
from denodo_demo.airflow_api import FINISHED, Json
from denodo_demo.judge import Exposure, exposures
from denodo_demo.processes import wait_for
from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair, StandinServer
from denodo_standin.exportfile import Export, write_export
from denodo_standin.params import ENCRYPTED, Element

PATIENCE = 180.0
"""Seconds of an idle machine after which something that was waited for counts as never coming."""
NEVER = "0 0 3 1 1 ? 2099"


def quick_to_notice_deaths() -> dict[str, str]:
    """Airflow's settings by which it soon takes a task for dead whose heartbeats are missing."""
    timeout = "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"
    return {timeout: f"{allow(15):.0f}", f"{timeout}_DETECTION_INTERVAL": "3"}


@dataclass(frozen=True)
class SyncDag:
    """One pair's DAG, driven and read through Airflow's API."""

    airflow: LocalAirflow
    pair: str

    @property
    def dag_id(self) -> str:
        return f"denodo_scheduler_sync__{self.pair}"

    def unpause(self) -> None:
        self.airflow.api.set_paused(self.dag_id, False)

    def trigger(self, *, logical_date: datetime | None = None, **form: Any) -> str:
        self.unpause()
        return self.airflow.api.trigger(self.dag_id, form, logical_date=logical_date)

    def clear(self, run_id: str, task_id: str | None = None) -> str:
        """Have a run, or one task of it and what comes after, executed again; returns the run's state at its end."""
        self.unpause()
        if task_id is None:
            self.airflow.api.clear_run(self.dag_id, run_id)
        else:
            self.airflow.api.clear_tasks(self.dag_id, run_id, [task_id], downstream=True)
        return self.wait(run_id)

    def wait(self, run_id: str, on_progress: Callable[[list[Json]], None] | None = None) -> str:
        """State of the run at its end."""
        run = self.airflow.api.wait_for_run(self.dag_id, run_id, timeout=PATIENCE, on_progress=on_progress)
        return str(run["state"])

    def run(self, **form: Any) -> str:
        """Run id of a manual run that has ended well."""
        run_id = self.trigger(**form)
        assert self.wait(run_id) == "success", self.why(run_id)
        return run_id

    def end(self) -> None:
        """Pause the DAG and give up what still runs of it, so that a failed test does not trouble the next one."""
        api = self.airflow.api
        api.set_paused(self.dag_id, True)
        for run in api.dag_runs(self.dag_id):
            if run["state"] not in FINISHED:
                api.set_run_state(self.dag_id, run["dag_run_id"], "failed")

    def task(self, run_id: str, task_id: str) -> Json:
        tasks = self.airflow.api.task_instances(self.dag_id, run_id)
        return next(task for task in tasks if task["task_id"] == task_id)

    def wait_for_task(self, run_id: str, task_id: str, states: Collection[str]) -> Json:
        def reached() -> Json | None:
            task = self.task(run_id, task_id)
            return task if task["state"] in states else None

        return wait_for(reached, PATIENCE, f"{task_id} of {run_id} in {states}")

    def states(self, run_id: str) -> dict[str, str | None]:
        return self.airflow.api.task_states(self.dag_id, run_id)

    def xcom(self, run_id: str, task_id: str, key: str = "return_value") -> Any:
        return self.airflow.api.xcom(self.dag_id, run_id, task_id, key)

    def log(self, run_id: str, task_id: str) -> str:
        """Log of the last try."""
        try_number = self.task(run_id, task_id)["try_number"]
        return self.airflow.api.task_log(self.dag_id, run_id, task_id, try_number)

    def why(self, run_id: str) -> str:
        """States and last log lines of what did not succeed, for the message of a failed test."""
        lines = [str(self.states(run_id))]
        for task_id, state in self.states(run_id).items():
            if state == "failed":
                lines += [task_id, *self.log(run_id, task_id).splitlines()[-15:]]
        return "\n".join(lines)

    def events(self) -> list[Json]:
        """The pair's history, oldest first: what its asset events carry."""
        events = self.airflow.api.asset_events(source_dag_id=self.dag_id)
        return [event["extra"] for event in reversed(events)]

    def events_of(self, run_id: str) -> list[Json]:
        events = self.airflow.api.asset_events(source_dag_id=self.dag_id, source_run_id=run_id)
        return [event["extra"] for event in reversed(events)]

    def record(self) -> Json | None:
        """The HA record in the state store of the pair's asset."""
        name = f"denodo-scheduler://{self.pair}"
        asset = next(asset for asset in self.airflow.api.assets() if asset["name"] == name)
        record: Json | None = self.airflow.api.asset_state(asset["id"]).get("record")
        return record


@dataclass(frozen=True)
class Books:
    """What both servers wrote about changes of their jobs (audit) and runs (journal) in some time."""

    master_audit: list[Json]
    slave_audit: list[Json]
    master_journal: list[Json]
    slave_journal: list[Json]

    @property
    def untouched(self) -> bool:
        """Whether no job of either server was changed."""
        return not self.master_audit and not self.slave_audit

    @property
    def imports(self) -> list[datetime]:
        """When each import into the slave began to show. An import creates or replaces each of its jobs once."""
        begun: list[datetime] = []
        seen: set[tuple[str, str]] = set()
        for entry in self.slave_audit:
            job = entry["project"], entry["job"]
            if entry["by"] == "import" and entry["change"] in ("created", "replaced"):
                if not begun or job in seen:
                    begun.append(moment(entry["at"]))
                    seen.clear()
                seen.add(job)
        return begun

    @property
    def exposures(self) -> list[Exposure]:
        """The times in which jobs that were not enabled before were enabled on the slave."""
        return exposures(self.slave_audit)


class Bookmark:
    """A place in the books of both servers: here, now."""

    def __init__(self, servers: StandinPair) -> None:
        self._schedulers = [server.scheduler for server in servers.servers]
        self._marks = [(_last(each.audit()), _last(each.journal())) for each in self._schedulers]

    def read(self) -> Books:
        """What was written since."""
        master, slave = self._schedulers
        (master_audit, master_journal), (slave_audit, slave_journal) = self._marks
        return Books(
            master.audit(master_audit),
            slave.audit(slave_audit),
            master.journal(master_journal),
            slave.journal(slave_journal),
        )


def _last(entries: list[Json]) -> int:
    return max((entry["seq"] for entry in entries), default=0)


def moment(iso: str) -> datetime:
    return datetime.fromisoformat(iso)


def enabled(server: StandinServer) -> list[Json]:
    return [status for status in server.statuses() if status["state"] != "DISABLED"]


def keys(server: StandinServer) -> set[tuple[str, str]]:
    """The jobs of a server, with the case of their names folded."""
    return {(status["projectName"].casefold(), status["jobName"].casefold()) for status in server.statuses()}


def put_in_order(servers: StandinPair) -> None:
    """All four processes up, no faults, and a passive slave."""
    servers.heal()
    servers.slave.set_status("disable", enabled(servers.slave))


def let_nothing_be_due(server: StandinServer) -> None:
    """Give all enabled jobs a cron that is not due in any test, so that the time of day makes no difference."""
    for status in enabled(server):
        server.set_cron(status, NEVER)


SEALED = "Sealed"
"""A job that holds a secret, so that only an import brings it to the other server."""


def seal(server: StandinServer, cron: str) -> None:
    """Make or replace the job :data:`SEALED` of a server."""
    project = server.request("GET", "/projects")[0]["name"]
    secret = {"type": "CSV", "filter": "x", "password": {ENCRYPTED: "c2VjcmV0"}}
    params = {
        "name": SEALED,
        "processor": {"exporter": [secret]},
        "trigger": [{"type": "cron", "cronExpression": cron}],
    }
    export = Export("9.1.0", {project: None}, (Element(project, "job", "VDP", False, params),))
    content = b"".join(write_export(export, moment=datetime.now(UTC)))
    headers = {"content-type": "application/octet-stream"}
    server.request("POST", "/serverMetadata/import", params={"replaceJobs": "true"}, content=content, headers=headers)


def seal_anew(server: StandinServer) -> None:
    """Edit it, so that the next sync has to import it, and can at once."""
    seal(server, f"{datetime.now(UTC):%-S %-M %-H} 1 1 ? 2098")


def seal_restless(server: StandinServer, *, seconds: float) -> datetime:
    """Edit it so that it fires every few seconds for so long at least; returns when it does for the last time.

    Without an hour in the cron neither time zones nor their changes matter.
    """
    now = datetime.now(UTC)
    end = (now + timedelta(seconds=seconds + 60)).replace(second=0, microsecond=0)
    minutes = range(int((end - now.replace(second=0, microsecond=0)) / timedelta(minutes=1)))
    seal(server, f"0/5 {','.join(str((now.minute + each) % 60) for each in minutes)} * * * ?")
    return end - timedelta(seconds=5)


def make_restless(server: StandinServer, often: Json) -> Json:
    """Enable the job that is due every second, and start another one that runs for hours; returns that one's status.

    Neither changes what an export holds.
    """
    long = enabled(server)[-1]
    server.scheduler.duration(36_000, re.escape(f"{long['projectName']} / {long['jobName']}"))
    server.set_status("enable", [often])
    server.set_status("start", [long])
    return long


def let_rest(server: StandinServer, often: Json, long: Json) -> None:
    server.set_status("disable", [often])
    server.set_cron(often, NEVER)
    server.set_status("stop", [long])
    server.scheduler.duration(1)


def change_something(server: StandinServer) -> Json:
    """Edit one enabled job, so that the next export has new contents; returns its status."""
    status = enabled(server)[0]
    server.set_cron(status, f"{datetime.now(UTC):%-S %-M %-H} 1 1 ? 2098")
    return status


def make_orphan(server: StandinServer) -> str:
    """Copy a job of the server, without its triggers, under a name that nothing else has; returns that name."""
    status = server.statuses()[0]
    jobs = f"/projects/{status['projectID']}/jobs"
    job = server.request("GET", f"{jobs}/{status['jobID']}")
    server.request("POST", jobs, json={**job, "name": "On the slave only", "triggerSection": {"triggers": []}})
    return "On the slave only"


@dataclass(frozen=True)
class Chapter:
    """One run, what the servers' books say of its time, and the HA record right after it."""

    run_id: str
    books: Books
    record: Json | None

    @property
    def snapshot(self) -> str:
        """Id of the snapshot that is committed after it."""
        assert self.record is not None
        return str(self.record["snapshot"]["id"])


@dataclass(frozen=True)
class History:
    """Runs of one pair, in this order: what tests of several files look at."""

    dag: SyncDag
    dry: Chapter
    first: Chapter
    second: Chapter
    orphan: str
    often: Json
    due: datetime
    seen_in_second: frozenset[tuple[str, str]]
