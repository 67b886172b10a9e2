"""Where the connections come from, and that what is secret in them stays there.

One process with an Airflow home of its own, whose tasks get their connections as those of a worker do: the master's
from a secrets manager that workers ask themselves, the slave's from a file that only the API server reads, that of the
snapshots' storage from the environment.

``dag.test()`` masks nothing, so what is not found in its output was not written, rather than masked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from denodo_demo.processes import wait_for
from denodo_demo.standin import PASSWORD, StandinPair, StandinServer
from support.object_store import KEY, SECRET, Amazon, amazon
from support.sync import enabled, fill, states

PROJECT = Path(__file__).parents[2]
METADATA_PASSWORD = "hush & hush/ß"
FORMS = (METADATA_PASSWORD, "hush%20%26%20hush%2F%C3%9F", "hush+%26+hush%2F%C3%9F", "hush & hush/\\u00df")
"""As it is, in a URL, in a form, in JSON."""
PAIRS = """\
pairs:
  default:
    sync: {schedule: null, initialise: automatic, quiet_window: 2s, quiet_margin: 0}
    snapshots: {location: s3://warehouse@denodo-snapshots/pairs}
"""


def connection(server: StandinServer) -> str:
    found = server.connection()
    return json.dumps({**found, "extra": {**found["extra"], "metadata_password": METADATA_PASSWORD}})


class Worker:
    """A new Airflow whose only pair is ``default``."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self.home = home
        self._done = 0
        (home / "pairs.yaml").write_text(PAIRS)
        paths = os.pathsep.join(str(PROJECT / folder) for folder in ("plugins", "include"))
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("syncs.py")), str(PROJECT / "dags")],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
                "AIRFLOW_HOME": str(home),
                "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
                "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "DENODO_HA_PAIRS": str(home / "pairs.yaml"),
                "PYTHONPATH": paths,
                **env,
            },
            stdin=subprocess.PIPE,
            stdout=(home / "output.log").open("wb"),
            stderr=subprocess.STDOUT,
        )

    def sync(self) -> dict[str, str]:
        """States of the tasks of one sync."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        self._done += 1
        found: dict[str, str] = json.loads(wait_for(self._states, 240, "the end of a sync"))
        return found

    def _states(self) -> str | None:
        output = (self.home / "output.log").read_text()
        assert self._process.poll() is None, output[-2000:]
        said = [line.removeprefix("STATES ") for line in output.splitlines() if line.startswith("STATES ")]
        return said[self._done - 1] if len(said) >= self._done else None

    def files(self) -> dict[Path, bytes]:
        """What the tasks have logged, the database with XComs and rendered fields, and all else but ours."""
        ours = ("pairs.yaml", "connections.json")
        return {path: path.read_bytes() for path in self.home.rglob("*") if path.is_file() and path.name not in ours}

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[StandinPair]:
    with StandinPair(tmp_path / "servers") as pair:
        yield pair


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Amazon]:
    with amazon(tmp_path / "amazon") as server:
        yield server


@pytest.fixture
def worker(servers: StandinPair, aws: Amazon, tmp_path: Path) -> Iterator[Worker]:
    home = tmp_path / "airflow"
    home.mkdir()
    file = home / "connections.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"denodo_scheduler_slave": json.loads(connection(servers.slave))}))
    aws.client("secretsmanager").create_secret(
        Name="airflow/connections/denodo_scheduler_master", SecretString=connection(servers.master)
    )
    aws.client("s3").create_bucket(Bucket="denodo-snapshots")
    manager = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"
    arguments: dict[str, Any] = {"connections_prefix": "airflow/connections", "region_name": "us-east-1"}
    found = Worker(
        home,
        {
            "AIRFLOW_CONN_WAREHOUSE": aws.connection(),
            "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(file)}),
            "AIRFLOW__WORKERS__SECRETS_BACKEND": manager,
            "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": json.dumps({**arguments, "endpoint_url": aws.url}),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        },
    )
    yield found
    found.stop()


def test_three_sources_of_connections_and_what_is_secret_in_them(
    servers: StandinPair, aws: Amazon, worker: Worker
) -> None:
    fill(servers.master)
    ended = worker.sync()
    assert ended.pop("wait_for_quiet_window") == "skipped", "jobs without secrets wait for nothing"
    assert set(ended.values()) == {"success"}
    assert states(servers.slave).keys() == states(servers.master).keys()
    assert (len(enabled(servers.master)), len(enabled(servers.slave))) == (9, 0)
    keys = [each["Key"] for each in aws.client("s3").list_objects_v2(Bucket="denodo-snapshots")["Contents"]]
    assert [key for key in keys if key.startswith("pairs/default/") and key.endswith("/manifest.json")]

    servers.master.webtool.faults({"kind": "status", "status": 500, "match": {"query": "metadataPassword=hush"}})
    assert worker.sync()["export_metadata"] == "failed", "the password was sent, and is in the request that fails"

    files = worker.files()
    assert any(path.name == "airflow.db" for path in files)
    assert any(b"serverMetadata/export" in content for content in files.values()), "the failed task says what failed"
    secrets = [text.encode() for text in (*FORMS, PASSWORD, SECRET)]
    assert [(path, text) for path, content in files.items() for text in secrets if text in content] == []
