"""The files of a pair: its ports and passwords, and the settings with which an Airflow on this machine finds it."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from denodo_cli.init import BUNDLES

LOGIN = "admin"
TIMEZONES = {"master": "Europe/Madrid", "slave": "America/New_York"}
_PORTS = {
    "master_scheduler": 8000,
    "slave_scheduler": 8001,
    "master_webtool": 9090,
    "slave_webtool": 9091,
    "airflow": 8080,
    "task_logs": 8793,
    "trigger_logs": 8794,
}
"""Denodo's own ports and Airflow's. The next free one is taken where one is in use."""
_NO_PROXY = "127.0.0.1,localhost"
_PAIRS = """\
# Written by `denodo-standin pair`, once: change what you like. Each option is explained in the file that
# `denodo-ha init` writes.
pairs:
  default:
    description: Two stand-in servers on this machine
    master: denodo_scheduler_master
    slave: denodo_scheduler_slave
    master_timezone: {master}
    slave_timezone: {slave}
    sync:
      schedule: null           # nothing is copied before you say so; usually this is "@hourly"
      quiet_timeout: 8m
      initialise: automatic    # the first sync takes the master for the active server, and begins
    watch:                     # a dead master is noticed within seconds
      probe_interval: 1s
      fall: 3
      duration: 5m
    failover:
      cool_down: 5m
    check:
      schedule: null
    snapshots:
      location: {snapshots}
"""


@dataclass(frozen=True)
class Kept:
    """What stays the same from one start to the next. The record of a pair knows its servers by their ports."""

    ports: Mapping[str, int]
    password: str
    airflow_password: str

    @classmethod
    def of(cls, folder: Path) -> Kept:
        """Read ``folder/pair.json``, or choose free ports and new passwords and write it."""
        file = folder / "pair.json"
        if file.exists():
            return cls(**json.loads(file.read_text()))
        made = cls(_free_ports(), secrets.token_urlsafe(12), secrets.token_urlsafe(12))
        write_private(file, json.dumps(asdict(made), indent=1))
        return made

    @property
    def airflow_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['airflow']}"

    def uri(self, role: str) -> str:
        """The address of a Scheduler server, as its web tool and Airflow give it."""
        return f"//127.0.0.1:{self.ports[f'{role}_scheduler']}"


def write_settings(folder: Path, kept: Kept) -> Path:
    """Write ``pair.env``, Airflow's password file and, unless it is there, ``pairs.yaml``; return ``pair.env``.

    :param folder: an absolute path.
    """
    pairs = folder / "pairs.yaml"
    if not pairs.exists():
        snapshots = json.dumps((folder / "snapshots").as_uri())
        write_private(pairs, _PAIRS.format(**TIMEZONES, snapshots=snapshots))
    (folder / "airflow" / "dags").mkdir(parents=True, exist_ok=True)
    write_private(_password_file(folder), json.dumps({LOGIN: kept.airflow_password}))
    env = folder / "pair.env"
    write_private(env, "\n".join(_lines(folder, kept)))
    return env


def _lines(folder: Path, kept: Kept) -> Iterator[str]:
    yield "# Written by `denodo-standin pair` at each start, for this shell: . pair.env"
    yield "# It holds passwords, so only you can read it."
    for word, settings in _settings(folder, kept).items():
        yield f"\n# {word}"
        yield from (f"export {name}={shlex.quote(str(value))}" for name, value in settings.items())
    yield "\n# The commands of this installation; and no proxy for addresses of this machine"
    yield f'export PATH={shlex.quote(sysconfig.get_path("scripts"))}:"$PATH"'
    for name in ("NO_PROXY", "no_proxy"):
        yield f'export {name}="{_NO_PROXY}${{{name}:+,${name}}}"'
    yield ""


def _settings(folder: Path, kept: Kept) -> dict[str, dict[str, Any]]:
    """The variables, by a word that says what they are for."""
    connections = {
        f"AIRFLOW_CONN_DENODO_SCHEDULER_{role.upper()}": json.dumps(_connection(kept, role)) for role in TIMEZONES
    }
    url = kept.airflow_url
    return {
        "The two connections": connections,
        "The pair": {"AIRFLOW__DENODO_HA__PAIRS": folder / "pairs.yaml"},
        "Where Airflow finds the DAGs: your own in its folder, those of the pair in the package": {
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(BUNDLES),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        },
        "The DAGs of the pair are switched on from the beginning": {
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False"
        },
        "An Airflow of its own: database, logs and settings are here, and only this machine reaches it": {
            "AIRFLOW_HOME": folder / "airflow",
            "AIRFLOW__CORE__PARALLELISM": 4,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": kept.ports["airflow"],
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": kept.ports["task_logs"],
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": kept.ports["trigger_logs"],
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": _password_file(folder),
        },
        "Where denodo-ha finds this Airflow, and the login there, in the browser too": {
            "AIRFLOW_API_URL": url,
            "AIRFLOW_USER": LOGIN,
            "AIRFLOW_PASSWORD": kept.airflow_password,
        },
        "The password of both servers, for denodo-standin": {"DENODO_STANDIN_PASSWORD": kept.password},
    }


def _connection(kept: Kept, role: str) -> dict[str, Any]:
    return {
        "conn_type": "denodo_scheduler",
        "host": "127.0.0.1",
        "port": kept.ports[f"{role}_webtool"],
        "schema": "http",
        "login": LOGIN,
        "password": kept.password,
        "extra": {"scheduler_uri": kept.uri(role), "timeout": [30, 30]},
    }


def _password_file(folder: Path) -> Path:
    return folder / "airflow" / "passwords.json"


def _free_ports() -> dict[str, int]:
    chosen: dict[str, int] = {}
    for name, preferred in _PORTS.items():
        taken = chosen.values()
        chosen[name] = next(port for port in range(preferred, 65536) if port not in taken and _is_free(port))
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def write_private(file: Path, text: str) -> None:
    """Write a file, whole or not at all, that only its owner can read, also where an older one could be read by all."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with open(new, "x", opener=lambda path, flags: os.open(path, flags, mode=0o600)) as output:
        output.write(text)
    new.replace(file)
