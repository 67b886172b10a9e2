"""Airflow with the CeleryExecutor as on several machines: each worker has folders of its own, and none in common."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import redis
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from celery import Celery

from denodo_demo.airflow import PROJECT, LocalAirflow
from denodo_demo.processes import Child, free_port, wait_for
from support.databases import postgresql_folder

QUEUE = "default"
"""Airflow's own: every task goes there."""
BUCKET = "denodo"
SNAPSHOTS = f"s3://object_store@{BUCKET}/snapshots"
LOGS = f"s3://{BUCKET}/logs"


class CeleryAirflow(LocalAirflow):
    """All components but the workers. ``airflow standalone`` would insist on the LocalExecutor."""

    command = (
        "bash",
        "-c",
        """
        trap 'trap - EXIT; kill 0' EXIT
        airflow db migrate || exit
        for component in scheduler dag-processor triggerer api-server; do airflow $component & done
        wait -n
        """,
    )


class Worker:
    """One machine with one worker, which does one task at a time, and none before it is told to.

    It is given neither the metadata database nor the JWT secret: it knows Redis, the API server and the object store.

    :param folder: its whole disk: home, Airflow home, temporary and working folder, and copies of the project's files.
    """

    def __init__(self, folder: Path, airflow: LocalAirflow, celery: Celery) -> None:
        self.name = folder.name
        self.disk = folder
        self._celery = celery
        self._child: Child | None = None
        for name in ("home", "airflow", "tmp", "cwd"):
            (folder / name).mkdir(parents=True)
        for name in ("dags", "plugins"):
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        pairs_file = shutil.copy(airflow.env["DENODO_HA_PAIRS"], folder)
        forgotten = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY")
        self._env = {name: value for name, value in airflow.env.items() if name not in forgotten} | {
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder / "plugins"),
            "DENODO_HA_PAIRS": str(pairs_file),
        }

    def launch(self) -> None:
        options = ["--concurrency", "1", "--queues", self.name, "--celery-hostname", f"{self.name}@machine"]
        options += ["--skip-serve-logs", "--without-mingle", "--without-gossip"]
        command = ["env", "-C", str(self.disk / "cwd"), "airflow", "celery", "worker", *options]
        self._child = Child(self.name, command, log=self.disk / "worker.log", env=self._env)

    def wait_until_ready(self) -> None:
        self._have("ping")

    def take_tasks(self) -> None:
        """From now on."""
        self._have("add_consumer", queue=QUEUE)

    def take_no_more(self) -> None:
        """Finish what it does, and take nothing new."""
        self._have("cancel_consumer", queue=QUEUE)

    def kill(self) -> None:
        """SIGKILL to the worker and to all that it runs: the machine is gone."""
        if self._child is not None:
            self._child.kill()

    def tasks(self, run_id: str) -> set[str]:
        """The tasks of a run that were executed here: those whose logs are on this disk."""
        return {
            log.parent.name.removeprefix("task_id=")
            for log in self.disk.glob(f"airflow/logs/dag_id=*/run_id={run_id}/task_id=*/attempt=*.log")
        }

    def _have(self, command: str, **arguments: Any) -> None:
        """Tell the worker, until it says that it was told."""

        def told() -> Any:
            destination = [f"{self.name}@machine"]
            return self._celery.control.broadcast(command, arguments, destination, reply=True, timeout=5, limit=1)

        wait_for(told, 120, f"The answer of the worker {self.name} to {command}", child=self._child)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """URL of a Redis of our own that keeps nothing."""
    port, password = free_port(), secrets.token_hex(16)
    folder.mkdir()
    configuration = folder / "redis.conf"
    configuration.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndir {folder}\n')
    server = Child("Redis", ["redis-server", str(configuration)], log=folder / "redis.log", env={"LC_ALL": "C"})
    url = f"redis://:{password}@127.0.0.1:{port}/0"

    def answers() -> bool:
        try:
            return bool(redis.Redis.from_url(url).ping())
        except redis.ConnectionError:
            return False

    try:
        wait_for(answers, 30, f"Redis on port {port}", child=server, poll=0.1)
        yield url
    finally:
        server.stop()


@dataclass(frozen=True)
class ObjectStore:
    """A server of the S3 API with one bucket.

    :param connection: what Airflow knows of it, as ``AIRFLOW_CONN_…`` takes it.
    """

    connection: str
    client: Any

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket by its key."""
        keys = [entry["Key"] for entry in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return {key: self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    port, secret = free_port(), secrets.token_hex(16)
    url = f"http://127.0.0.1:{port}"
    program = Path(sys.executable).with_name("moto_server")
    command = [str(program), "-H", "127.0.0.1", "-p", str(port)]
    server = Child("object store", command, log=folder / "object-store.log", env=os.environ)
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="airflow",
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )

    def made() -> bool:
        try:
            client.create_bucket(Bucket=BUCKET)
        except EndpointConnectionError:
            return False
        return True

    connection = {"conn_type": "aws", "login": "airflow", "password": secret}
    extra = {"endpoint_url": url, "region_name": "us-east-1"}
    try:
        wait_for(made, 60, "The object store", child=server)
        yield ObjectStore(json.dumps({**connection, "extra": extra}), client)
    finally:
        server.stop()


def missing_programs() -> list[str]:
    """What must be installed first: names of Debian packages."""
    found = {"redis-server": shutil.which("redis-server"), "postgresql": postgresql_folder()}
    return [package for package, program in found.items() if not program]
