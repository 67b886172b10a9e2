"""A real sshd on loopback, and servers whose password has every character that a shell knows."""

from __future__ import annotations

import getpass
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

from denodo_demo import standin
from denodo_demo.processes import Child, free_port, wait_for
from denodo_demo.standin import StandinServer
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_standin.vendor_scripts import encrypt_password, write_scripts
from support.pair_fixtures import _no_long_pauses, connect, sync
from support.process_list import ProcessList

__all__ = ["_no_long_pauses", "connect", "sync"]

PASSWORD = "pa ss'w\"o$rd`id`;&|*?<>(){}#~!\\é%"
SSH_CONN_ID = "denodo_host"
Via = Literal["local", "ssh"]


@dataclass(frozen=True)
class Sshd:
    """:param connection: Airflow's to it. :param temporary: where the private folders of its sessions are made."""

    child: Child
    connection: dict[str, Any]
    temporary: Path

    def sessions(self) -> list[int]:
        """Its processes that serve clients, without what those have started."""
        found: list[int] = []
        for process in psutil.Process(self.child.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.name().startswith("sshd") and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("there is no sshd here; install the Debian package openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where a root sshd locks its unprivileged part in
    folder, temporary = tmp_path_factory.mktemp("sshd"), tmp_path_factory.mktemp("ssh-temporary")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    port = free_port()
    (folder / "config").write_text(
        f"""ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
Subsystem sftp internal-sftp
SetEnv TMPDIR={temporary}
LogLevel DEBUG3
"""
    )
    log = folder / "log"
    command = [program, "-D", "-e", "-f", str(folder / "config")]
    child = Child("sshd", command, log=log, env=dict(os.environ))
    wait_for(lambda: "Server listening" in log.read_text(), 20, "sshd", child=child, poll=0.05)
    extra = {"key_file": str(folder / "user"), "host_key": (folder / "host.pub").read_text(), "look_for_keys": False}
    connection = {"conn_type": "ssh", "host": "127.0.0.1", "port": port, "login": getpass.getuser(), "extra": extra}
    yield Sshd(child, connection, temporary)
    child.kill()
    said = log.read_text(errors="replace")
    assert "Starting session: command" in said
    assert "encrypted:" not in said
    assert PASSWORD not in said


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinServer]:
    """A server with 6 jobs whose password is ``PASSWORD``; ask it through a hook."""
    environment = os.environ | {"DENODO_STANDIN_PASSWORD": PASSWORD, "PYTHONUNBUFFERED": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standin, "_environment", lambda *_: environment)
        server = StandinServer("odd", tmp_path_factory.mktemp("odd"), timezone="Europe/Madrid", id_offset=5_000)
        for process in server.processes:
            process.start()
        server.generate(jobs=6, projects=2, disabled=0)
    yield server
    for process in server.processes:
        process.kill()


class Home:
    """A <DENODO_HOME>, with a space in its path, whose scripts can be replaced."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.scripts = folder / "tools" / "scheduler"
        write_scripts(folder)

    def script(self, name: str, text: str) -> Path:
        """Put another script in the place of one; ``$real`` in its text is the one that was there."""
        path = self.scripts / f"{name}.sh"
        path.rename(self.scripts / f"real-{name}.sh")
        path.write_text(f'#!/bin/sh\nreal="$(dirname "$0")/real-{name}.sh"\n{text}\n')
        path.chmod(0o755)
        return path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "denodo home")


@pytest.fixture(params=["local", "ssh"])
def via(request: pytest.FixtureRequest) -> Via:
    """Where the scripts run."""
    way: Via = request.param
    return way


@pytest.fixture
def temporary(request: pytest.FixtureRequest, via: Via, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the private folders are made."""
    if via == "local":
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setenv("TMPDIR", str(folder))
        return folder
    server: Sshd = request.getfixturevalue("sshd")
    monkeypatch.setenv(f"AIRFLOW_CONN_{SSH_CONN_ID.upper()}", json.dumps(server.connection))
    return server.temporary


def scripts_extra(home: Home, via: Via, password: str) -> dict[str, Any]:
    """What a connection's extra says for the transport ``scripts``."""
    return {
        "transport": "scripts",
        "denodo_home": str(home.path),
        "script_password": encrypt_password(password),
        **({"ssh_conn_id": SSH_CONN_ID} if via == "ssh" else {}),
    }


Hook = Callable[..., DenodoSchedulerHook]


@pytest.fixture
def hook(odd: StandinServer, home: Home, via: Via, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Hook:
    """A hook of ``odd`` by scripts, with some keys of the extra changed."""

    def make(**extra: Any) -> DenodoSchedulerHook:
        own = {"scheduler_uri": odd.uri, **scripts_extra(home, via, PASSWORD), **extra}
        monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps({**odd.connection(), "password": PASSWORD, "extra": own}))
        return DenodoSchedulerHook("odd")

    return make


@pytest.fixture
def nothing_leaks(temporary: Path, caplog: pytest.LogCaptureFixture) -> Iterator[ProcessList]:
    """No process shows the password, no log shows it in any form, and no private folder is left."""
    caplog.set_level(logging.DEBUG)
    with ProcessList() as seen:
        yield seen
    encrypted = encrypt_password(PASSWORD).removeprefix("encrypted:")
    assert [line for line in seen.lines if PASSWORD in line] == []
    assert PASSWORD not in caplog.text
    assert encrypted not in caplog.text
    assert list(temporary.iterdir()) == []
