"""Metadata databases for the Airflows of these tests: PostgreSQL where it is installed, otherwise SQLite.

``DENODO_TESTS_DATABASE=postgresql`` or ``sqlite`` chooses one. PostgreSQL is the default because Airflow's API answers
"Database error" now and then when several processes write to one SQLite file on a busy machine.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from denodo_demo.processes import Child, free_port, wait_for

CHOICE = "DENODO_TESTS_DATABASE"


@dataclass(frozen=True)
class Database:
    """:param env: the settings by which Airflow uses it. :param contents: all that is stored in it, for a search."""

    env: Mapping[str, str]
    contents: Callable[[], bytes]


@contextmanager
def database(airflow_home: Path) -> Iterator[Database]:
    """The metadata database of the Airflow with that home, while the block lasts."""
    choice = os.environ.get(CHOICE) or ("postgresql" if postgresql_folder() else "sqlite")
    if choice == "sqlite":
        yield Database({}, lambda: (airflow_home / "airflow.db").read_bytes())
        return
    assert choice == "postgresql", f"{CHOICE} is {choice}; it can be postgresql or sqlite"
    with postgresql() as server:
        yield server


def postgresql_folder() -> Path | None:
    """Where PostgreSQL's programs are: Debian has none of the server's in the path."""
    in_path = shutil.which("postgres")
    found = [Path(in_path).resolve()] if in_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


@contextmanager
def postgresql() -> Iterator[Database]:
    """A PostgreSQL server of our own on 127.0.0.1, which trusts nothing to the disk.

    It refuses to run as root; for root it runs as Debian's user ``postgres``, in a folder that this user may enter.
    """
    programs = postgresql_folder()
    assert programs is not None, "PostgreSQL is not installed. On Debian or Ubuntu: apt-get install postgresql"
    folder = Path(tempfile.mkdtemp(prefix="denodo-tests-postgresql-"))
    port, password = free_port(), secrets.token_hex(16)
    env = os.environ | {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "airflow", "PGPASSWORD": password}
    env["PGDATABASE"] = "postgres"
    (folder / "password").write_text(password)
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=keep"]
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")

    def run(program: str, *arguments: str, user: list[str] | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [*(user or []), str(programs / program), *arguments]
        return subprocess.run(command, env=env, cwd=folder, capture_output=True, check=False)

    made = run(
        "initdb",
        *(f"--pgdata={folder / 'data'}", "--username=airflow", f"--pwfile={folder / 'password'}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
        user=as_user,
    )
    assert made.returncode == 0, made.stderr.decode()
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 200,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    server = Child(
        "PostgreSQL",
        [*as_user, str(programs / "postgres"), "-D", str(folder / "data"), *_options(settings)],
        log=folder / "postgresql.log",
        env=os.environ,
        stop_signal=signal.SIGINT,  # without waiting for who is connected
    )
    try:
        wait_for(lambda: run("pg_isready").returncode == 0, 60, f"PostgreSQL on port {port}", child=server, poll=0.1)
        url = f"postgresql://airflow:{password}@127.0.0.1:{port}/postgres"
        yield Database({"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}, lambda: run("pg_dump").stdout)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _options(settings: Mapping[str, object]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
