"""The vendor's scripts: flags, exit codes, warnings on the console; they talk to the Scheduler process itself."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process


Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A <DENODO_HOME> made by ``denodo-standin scripts``."""
    directory = tmp_path_factory.mktemp("denodo home")
    subprocess.run([sys.executable, "-m", "denodo_standin", "scripts", str(directory)], check=True)
    return directory


@pytest.fixture
def script(home: Path, scheduler: Process) -> Script:
    """Run a script against the Scheduler process, as admin unless ``login`` says otherwise."""

    def run(
        name: str, *arguments: str | Path, login: tuple[str, ...] = ("-l", "admin", "-P", "admin"), port: int = 0
    ) -> subprocess.CompletedProcess[str]:
        command = [home / "tools" / "scheduler" / f"{name}.sh", "-h", "127.0.0.1", "-p", str(port or scheduler.port)]
        return subprocess.run(
            [*map(str, command), *login, *map(str, arguments)], capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture(scope="module")
def filled(api: Api, job: Any) -> Api:
    """The server with two projects of one job each."""
    for name in ("sales", "finance"):
        project = api.ok("POST", "/projects", json={"name": name, "description": ""})
        api.ok("POST", f"/projects/{project['id']}/jobs", json=job("load", description="as exported"))
    return api


def elements(file: Path) -> set[str]:
    with zipfile.ZipFile(file) as archive:
        return {name for name in archive.namelist() if name.endswith(".xml")}


@pytest.mark.usefixtures("filled")
def test_export_with_every_flag(script: Script, tmp_path: Path) -> None:
    file = tmp_path / "export.zip"
    flags = ("-vdpauth", "-dependencies", "-config", "-drivers", "-plugins", "-exportWithProperties", "-permissions")
    done = script("export", *flags, "-mp", "a password", "-xml", "-f", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert elements(file) >= {"data/projects/sales/job/load.xml", "data/projects/finance/job/load.xml"}


@pytest.mark.usefixtures("filled")
def test_export_of_some_projects(script: Script, tmp_path: Path) -> None:
    file = tmp_path / "export.zip"
    assert script("export", "-L", "sales", "-f", file).returncode == 0
    assert elements(file) == {"data/projects/sales/job/load.xml"}


@pytest.mark.parametrize(
    ("flags", "description"),
    [
        ((), "changed"),
        (("-replace",), "as exported"),
        (("-replaceJobs",), "as exported"),
        (("-replaceDrivers",), "changed"),
    ],
)
def test_import_replaces_only_when_told(
    script: Script, filled: Api, job: Any, tmp_path: Path, flags: tuple[str, ...], description: str
) -> None:
    file = tmp_path / "export.zip"
    assert script("export", "-L", "sales", "-f", file).returncode == 0
    project = filled.ok("GET", "/projects", params={"name": "sales"})
    path = f"/projects/{project['id']}/jobs"
    (before,) = filled.ok("GET", path)
    filled.ok("PUT", f"{path}/{before['id']}", json=job("load", id=before["id"], description="changed"))
    assert script("import", *flags, "-vdpauth", "-f", file).returncode == 0
    (after,) = filled.ok("GET", path)
    assert after["description"] == description
    filled.ok("PUT", f"{path}/{before['id']}", json={**before, "description": "as exported"})


@pytest.mark.usefixtures("filled", "healed")
def test_warnings_of_an_import_go_to_the_console_with_exit_code_0(
    script: Script, scheduler: Process, tmp_path: Path
) -> None:
    file, properties = tmp_path / "export.zip", tmp_path / "some.properties"
    properties.touch()
    script("export", "-f", file)
    scheduler.control("guesses", {"import_warnings": ["The driver of 'crm' is missing"]})
    done = script("import", "-f", file, "-pf", properties)
    assert done.returncode == 0
    assert "WARNING: The driver of 'crm' is missing" in done.stdout
    assert f"WARNING: {properties} is not used" in done.stdout


@pytest.mark.parametrize("flags", [(), ("-v",), ("-t", "5000", "-a", "local"), ("-a", "vdp")])
@pytest.mark.parametrize("login", [(), ("-l", "admin", "-P", "admin")])
def test_ping(script: Script, flags: tuple[str, ...], login: tuple[str, ...]) -> None:
    done = script("ping", *flags, login=login)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is alive" in done.stdout


@pytest.mark.usefixtures("healed")
def test_ping_gives_up_after_t_milliseconds(script: Script, scheduler: Process) -> None:
    scheduler.control("faults", {"faults": [{"kind": "hang"}]})
    assert script("ping", "-t", "200").returncode == 1


def test_an_encrypted_password_is_accepted(script: Script) -> None:
    command = [sys.executable, "-m", "denodo_standin", "encrypt-password"]
    encrypted = subprocess.run(command, input="admin\n", capture_output=True, text=True, check=True).stdout.strip()
    assert encrypted.startswith("encrypted:")
    assert "admin" not in encrypted
    assert script("ping", login=("-l", "admin", "-P", encrypted)).returncode == 0


@pytest.mark.parametrize(
    ("name", "arguments", "login", "message"),
    [
        ("export", ("-f", "x.zip"), ("-l", "admin", "-P", "wrong"), "The server refused the login. Check -l and -P"),
        ("export", ("-f", "x.zip"), ("-l", "admin", "-P", "encrypted:?"), "was not made by"),
        ("export", ("-f", "/no/such/folder/x.zip"), ("-l", "admin", "-P", "admin"), "No such file or directory"),
        ("import", ("-f", "missing.zip"), ("-l", "admin", "-P", "admin"), "No such file or directory: 'missing.zip'"),
        ("import", ("-f", __file__), ("-l", "admin", "-P", "admin"), "Not an intact zip archive"),
        ("import", (), ("-l", "admin", "-P", "admin"), "required: -f"),
        ("export", ("-f", "x.zip"), (), "required: -l, -P"),
        ("ping", ("-a", "oauth"), (), "invalid choice: 'oauth'"),
        ("ping", ("--frequency",), (), "unrecognized arguments: --frequency"),
    ],
)
def test_anything_else_is_exit_code_1(
    script: Script, name: str, arguments: tuple[str, ...], login: tuple[str, ...], message: str
) -> None:
    done = script(name, *arguments, login=login)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["export", "import", "ping"])
def test_without_a_server_exit_code_1(script: Script, name: str) -> None:
    arguments = () if name == "ping" else ("-f", __file__)
    done = script(name, *arguments, port=1)
    assert done.returncode == 1
    assert "No answer from the Scheduler server at 127.0.0.1:1" in done.stderr


@pytest.mark.usefixtures("healed")
def test_a_broken_off_export_leaves_no_file(script: Script, scheduler: Process, tmp_path: Path) -> None:
    scheduler.control("faults", {"faults": [{"kind": "truncate"}]})
    done = script("export", "-f", tmp_path / "export.zip")
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
