"""The containers as a newcomer starts them: a copy of the project, `make env`, `make up`. Run by `make test-compose`.

Judged by what the stand-in servers say of themselves; what is measured is printed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from denodo_demo.airflow import PROJECT
from denodo_demo.airflow_api import ApiClient, Json
from denodo_demo.fill import DISABLED, JOBS
from denodo_demo.history import History
from denodo_demo.processes import free_port, wait_for
from denodo_demo.progress import Progress
from denodo_demo.slowness import allow
from denodo_demo.stage import ASSET, DAG_ID, FAILOVER

pytestmark = pytest.mark.timeout(1500)

PATIENCE = 240.0
IMAGE = "denodo-ha-test/project"
BASE_IMAGE = "apache/airflow:3.3.2"
MEGABYTE = 1_000_000
STATUSES = """
import json, sys
from denodo_demo.standin import StandinApi
password = open("/run/secrets/standin_password").read()
server = StandinApi("server", "http://localhost:9090", sys.argv[1], password=password)
print(json.dumps(server.statuses()))
"""


class Stack:
    """A copy of the project with its own .env, and the containers started from it.

    :param settings: lines of .env that differ from what `make env` wrote.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.project = f"denodo-ha-test-{folder.name}"
        self._copy_project()
        self.say(self.run("make", "env").strip())
        port = free_port(18080)
        self._set(AIRFLOW_PORT=str(port), IMAGE=IMAGE, **settings)
        files = (each for each in (folder / "secrets").iterdir() if each.suffix != ".yaml")
        self.secrets = {each.name: each.read_text() for each in files}
        self.api = ApiClient(f"http://127.0.0.1:{port}", "admin", self.secrets["admin_password"])

    def say(self, text: str) -> None:
        print(f"    {text}", flush=True)

    def run(self, *command: str, check: bool = True, **options: Any) -> str:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PIP_"))}
        env["COMPOSE_PROJECT_NAME"] = self.project
        options |= {"cwd": self.folder, "env": env, "timeout": allow(900)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        assert not check or done.returncode == 0, f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-3000:]}"
        return done.stdout

    def compose(self, *arguments: str, **options: Any) -> str:
        return self.run("docker", "compose", "--profile", "*", *arguments, **options)

    def inside(self, service: str, *command: str) -> str:
        return self.compose("exec", "-T", service, *command)

    def up(self) -> None:
        self.run("docker", "compose", "build")
        begun = time.monotonic()
        self.run("make", "up")
        self.say(f"healthy {time.monotonic() - begun:.0f} s after `make up` of a built image (wanted: 90)")

    def down(self) -> None:
        """Stop everything, remove the volumes, and see that nothing is left."""
        self.compose("down", "--volumes")
        for what in ("container", "volume", "network"):
            everywhere = ["--all"] if what == "container" else []
            label = f"label=com.docker.compose.project={self.project}"
            assert not self.run("docker", what, "ls", "--quiet", *everywhere, "--filter", label)

    def control(self, service: str, path: str, body: Json | None = None) -> Any:
        """Answer of the control endpoint of a stand-in."""
        port = 9090 if service.endswith("webtool") else 8000
        data = [] if body is None else ["--header", "content-type: application/json", "--data", json.dumps(body)]
        answer = self.inside(service, "curl", "-fsS", *data, f"http://localhost:{port}/control/{path}")
        return json.loads(answer) if answer else None

    def enabled(self, server: str) -> set[tuple[str, str]]:
        """Project and name of the jobs that run there."""
        told = self.inside(f"standin-{server}-webtool", "python", "-c", STATUSES, f"//standin-{server}:8000")
        return {(job["projectName"], job["jobName"]) for job in json.loads(told) if job["state"] != "DISABLED"}

    def idle_memory(self) -> None:
        containers = self.compose("ps", "--quiet").split()
        rows = self.run("docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *containers)
        total = 0.0
        for row in rows.splitlines():
            name, used = row.split()[:2]
            number, unit = re.fullmatch(r"([\d.]+)([KMG])iB", used).groups()  # type: ignore[union-attr]
            total += float(number) * {"K": 1 / 1024, "M": 1, "G": 1024}[unit]
            self.say(f"{name.removeprefix(self.project + '-'):<28}{used:>10}")
        self.say(f"{'idle memory of the stack':<28}{total:7.0f}MiB")

    def secrets_seen(self) -> list[str]:
        """Which secrets are told by a log, a file of logs, the process list, or what Docker says of the stack."""
        running = self.compose("ps", "--services").split()
        told = [self.compose("logs", "--no-color"), self.compose("top"), self.compose("config")]
        told.append(self.run("docker", "inspect", *self.compose("ps", "--all", "--quiet").split()))
        told += [
            self.inside(name, "sh", "-c", "cat $(find /opt/airflow/logs -type f)") for name in LOGGERS & {*running}
        ]
        return [name for name, value in self.secrets.items() if any(value in text for text in told)]

    def given(self, service: str) -> set[str]:
        """The secrets that a container has."""
        return set(self.inside(service, "ls", "/run/secrets").split())

    def reaches(self, service: str, host: str) -> bool:
        """Whether a container can look up another one, which it can in a common network only."""
        return bool(self.compose("exec", "-T", service, "getent", "hosts", host, check=False).strip())

    def history(self) -> History:
        return History(self.api, ASSET, Progress(Console(width=110)))

    def why(self, run_id: str) -> str:
        """Logs of the failed tasks of a sync."""
        failed = [task for task in self.api.task_instances(DAG_ID, run_id) if task["state"] == "failed"]
        logs = [self.api.task_log(DAG_ID, run_id, task["task_id"], task["try_number"]) for task in failed]
        return "\n".join([str(self.api.task_states(DAG_ID, run_id)), *logs])

    def _copy_project(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / name, self.folder / name)

    def _set(self, **settings: str) -> None:
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())


LOGGERS = {"scheduler", "worker-1", "worker-2"}


def stack(folder: Path, **settings: str) -> Iterator[Stack]:
    made = Stack(folder, **settings)
    try:
        made.up()
        yield made
    finally:
        (folder / "compose.log").write_text(made.compose("logs", "--no-color", check=False))
        made.down()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What `make env && make up` gives."""
    yield from stack(tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def celery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two workers without a common disk, snapshots in the stand-in for S3."""
    yield from stack(
        tmp_path_factory.mktemp("celery"),
        COMPOSE_PROFILES="standin,celery,s3",
        EXECUTOR="CeleryExecutor",
        PAIRS_FOLDER="./deploy/compose/standin-s3",
    )


def begin_sync(stack: Stack) -> str:
    """Unpause the pair's sync; its schedule starts a run at once."""
    wait_for(lambda: stack.api.dag(DAG_ID), PATIENCE, "The DAG of the sync")
    stack.api.set_paused(DAG_ID, False)
    runs = wait_for(lambda: stack.api.dag_runs(DAG_ID), PATIENCE, "The first scheduled sync")
    return str(runs[-1]["dag_run_id"])


def expect_in_step(stack: Stack, run_id: str) -> None:
    run = stack.api.wait_for_run(DAG_ID, run_id, timeout=PATIENCE)
    assert run["state"] == "success", stack.why(run_id)
    master, slave = (stack.control(f"standin-{name}", "state") for name in ("master", "slave"))
    assert (master["jobs"], master["enabled"]) == (JOBS, JOBS - DISABLED)
    assert (slave["jobs"], slave["enabled"]) == (JOBS, 0)
    assert stack.control("standin-slave", "journal") == []
    stack.say(f"synced: {slave['jobs']} jobs on the slave, none enabled, none has run")


def expect_failover(stack: Stack) -> None:
    wanted = stack.enabled("master")
    stack.api.set_paused(FAILOVER, False)
    history = stack.history()
    wait_for(lambda: history.settled("healthy"), PATIENCE, "A look that finds all well")
    died = time.monotonic()
    stack.compose("kill", "standin-master", "standin-master-webtool")
    history.wait_for("failover", PATIENCE)
    stack.say(f"failed over {time.monotonic() - died:.0f} s after the master was killed")
    assert stack.enabled("slave") == wanted
    assert len(wanted) == JOBS - DISABLED
    wait_for(lambda: stack.control("standin-slave", "journal"), 90, "A run on the slave")


def test_the_image_is_little_larger_than_its_base_and_holds_no_secret(local: Stack) -> None:
    size, base = (
        int(local.run("docker", "image", "inspect", "--format", "{{.Size}}", image)) for image in (IMAGE, BASE_IMAGE)
    )
    local.say(f"the image is {(size - base) / MEGABYTE:.0f} MB larger than its base (wanted: at most 150)")
    assert size - base <= 150 * MEGABYTE
    made_of = local.run("docker", "image", "history", "--no-trunc", IMAGE) + local.run(
        "docker", "image", "inspect", IMAGE
    )
    assert not [name for name, value in local.secrets.items() if value in made_of]
    kept = ["docker", "run", "--rm", "--entrypoint", "sh", IMAGE, "-c", "id -u; find /opt/airflow -name '.env*'"]
    assert local.run(*kept).split() == ["50000"]


def test_sync_and_failover(local: Stack) -> None:
    local.idle_memory()
    expect_in_step(local, begin_sync(local))
    expect_failover(local)
    assert local.secrets_seen() == []


def test_each_has_the_secrets_and_networks_that_it_needs(local: Stack) -> None:
    assert local.given("dag-processor") == {"postgres_password", "fernet_key", "backend_kwargs", "connections.yaml"}
    assert local.given("standin-slave") == {"standin_password"}
    assert local.reaches("scheduler", "postgres")
    assert not local.reaches("standin-slave", "postgres")
    assert not local.reaches("dag-processor", "standin-slave")
    assert local.reaches("triggerer", "standin-slave")


def test_connections_can_be_tested(local: Stack) -> None:
    said = local.api.test_connection(
        "mine",
        "denodo_scheduler",
        schema="http",
        host="standin-slave-webtool",
        port=9090,
        login="admin",
        password=local.secrets["standin_password"],
        extra=json.dumps({"scheduler_uri": "//standin-slave:8000"}),
    )
    assert said["status"], said["message"]


def test_another_start_keeps_what_was_written(local: Stack) -> None:
    """After `make down` and `make up` the pair is as it was: record, logs and the servers' jobs are on volumes."""
    before = local.enabled("slave")
    runs = [run["dag_run_id"] for run in local.api.dag_runs(DAG_ID)]
    local.run("make", "down")
    local.run("make", "up")
    assert local.enabled("slave") == before
    assert {run["dag_run_id"] for run in local.api.dag_runs(DAG_ID)} >= set(runs)
    assert "verify" in local.api.task_states(DAG_ID, runs[-1])
    assert "import" in local.api.task_log(DAG_ID, runs[-1], "import_metadata")
    kept = local.inside("scheduler", "sh", "-c", "find /opt/airflow/denodo_ha/snapshots -name export.zip -printf '%m '")
    assert set(kept.split()) == {"600"}


def test_a_backup_brings_back_what_was_lost(local: Stack) -> None:
    """By the commands of the docs. A failover has been: a sync that knows the record leaves the active slave alone."""
    page = (local.folder / "docs" / "containers.md").read_text()
    back_up, restore = re.findall(r"^```bash\n(.*?)^```", page.split("## Back up and restore")[1], re.M | re.S)[:2]
    before = sync_by_hand(local)
    local.run("bash", "-ec", back_up)
    lose(local)
    local.run("bash", "-ec", restore)
    assert sync_by_hand(local) == before

    lose(local)
    local.run("bash", "-ec", "\n".join(line for line in restore.splitlines() if "record.tar.gz" not in line))
    assert sync_by_hand(local) != before, "nobody could tell whether the record was brought back"


def sync_by_hand(stack: Stack) -> dict[str, Any]:
    """How a sync ends, and what the servers run then."""
    run_id = stack.api.trigger(DAG_ID)
    run = stack.api.wait_for_run(DAG_ID, run_id, timeout=PATIENCE)
    return {
        "run": run["state"],
        "tasks": stack.api.task_states(DAG_ID, run_id),
        "slave": stack.enabled("slave"),
    }


def lose(stack: Stack) -> None:
    """Stop everything, and remove what Airflow has written."""
    stack.run("make", "down")
    for name in ("postgres", "snapshots", "logs"):
        stack.run("docker", "volume", "rm", f"{stack.project}_{name}")


def test_export_and_import_on_two_workers_that_share_nothing(celery: Stack) -> None:
    """One worker alone takes the sync up to its export; while that lasts the other one alone takes over the queue."""
    celery.idle_memory()
    consume(celery, "cancel_consumer", "worker-2")
    slow = {"kind": "latency", "seconds": 20, "match": {"path": "serverMetadata/export"}}
    celery.control("standin-master-webtool", "faults", {"faults": [slow]})
    run_id = begin_sync(celery)
    wait_for(lambda: task(celery, run_id, "export_metadata")["state"] == "running", PATIENCE, "The export")
    consume(celery, "add_consumer", "worker-2")
    consume(celery, "cancel_consumer", "worker-1")
    expect_in_step(celery, run_id)
    assert celery.given("worker-1") == {"redis_password", "api_secret_key"}
    assert not celery.reaches("worker-1", "postgres")
    where = {name: task(celery, run_id, name)["hostname"] for name in ("export_metadata", "import_metadata")}
    celery.say(f"{where}")
    assert where == {"export_metadata": "worker-1", "import_metadata": "worker-2"}

    keys = in_s3(celery)
    assert [key for key in keys if re.fullmatch(r"snapshots/default/[^/]+/export\.zip", key)], keys
    for name in LOGGERS:
        assert celery.inside(name, "sh", "-c", "find /opt/airflow/denodo_ha -type f") == ""
    log = celery.api.task_log(DAG_ID, run_id, "export_metadata")
    assert "denodo" in log, "the log of a worker is served to the interface"

    consume(celery, "add_consumer", "worker-1")
    celery.control("standin-master-webtool", "faults", {"faults": []})
    expect_failover(celery)
    assert celery.secrets_seen() == []


def task(stack: Stack, run_id: str, task_id: str) -> Json:
    return next(each for each in stack.api.task_instances(DAG_ID, run_id) if each["task_id"] == task_id)


def consume(stack: Stack, order: str, worker: str) -> None:
    """Have a worker take tasks from the queue, or not."""
    broker = "redis://:$(cat /run/secrets/redis_password)@redis:6379/0"
    control = f'CELERY_BROKER_URL="{broker}" celery control --timeout 10 --destination celery@'
    stack.inside("worker-1", "sh", "-c", f"{control}{worker} {order} default")


def in_s3(stack: Stack) -> list[str]:
    """Keys of the bucket."""
    ask = "import urllib.request as r; print(r.urlopen('http://localhost:5000/denodo?list-type=2').read().decode())"
    return re.findall("<Key>(.*?)</Key>", stack.inside("s3", "python", "-c", ask))
