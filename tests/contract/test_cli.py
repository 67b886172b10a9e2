"""The command line: filling servers, generating metadata, and messages that say what to do next."""

from __future__ import annotations

import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from denodo_demo.slowness import allow
from denodo_standin.cli import main

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process, Start


GENUINE = Path(__file__).parents[2] / ".." / "shared" / "denodo" / "exports"


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Standin = Callable[..., Done]


@pytest.fixture
def standin(capsys: pytest.CaptureFixture[str]) -> Standin:
    """Run a command of ``denodo-standin`` that is not a server, in this process."""

    def run(*arguments: str | Path) -> Done:
        code: str | int | None = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        if isinstance(code, str):
            return Done(1, captured.out, captured.err + code)
        return Done(code or 0, captured.out, captured.err)

    return run


def fail_to_serve(*arguments: str | Path) -> str:
    """Start a server that must end with exit code 1; return what it says."""
    command = [sys.executable, "-m", "denodo_standin", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=allow(60))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def contents(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def jobs_of(api: Api) -> dict[tuple[str, str], str]:
    return {(job["projectName"], job["name"]): job["type"] for job in api.ok("GET", "/jobs")}


def test_generate_is_determined_by_its_seed(standin: Standin, tmp_path: Path) -> None:
    numbers = ("--jobs", "60", "--projects", "4", "--disabled", "7")
    files = [tmp_path / f"{name}.zip" for name in ("first", "again", "other")]
    for file, seed in zip(files, ("5", "5", "6"), strict=True):
        assert standin("generate", *numbers, "--seed", seed, "--output", file).returncode == 0
    first, again, other = (
        {name: data for name, data in contents(file).items() if name.endswith(".xml") and "/job/" in name}
        for file in files
    )
    assert set(first) == set(again)
    assert len(first) == 60
    triggers = [
        {name: data.partition(b'name="trigger"')[2].partition(b'name="reportConfig"')[0] for name, data in each.items()}
        for each in (first, again, other)
    ]
    assert triggers[0] == triggers[1] != triggers[2]
    disabled = [file.with_suffix(".disabled.json").read_text() for file in files]
    assert disabled[0] == disabled[1] != disabled[2]


def test_generated_metadata_is_varied_and_its_disabled_jobs_are_disabled(
    standin: Standin, api: Api, scheduler: Process
) -> None:
    target = ("--server", scheduler.uri)
    assert standin("generate", "--jobs", "120", "--projects", "6", "--disabled", "9", *target).returncode == 0
    states = api.states()
    assert (len(states), len({project for project, _ in states})) == (120, 6)
    assert sorted(states.values()).count("DISABLED") == 9
    assert len(set(jobs_of(api).values())) > 2, "mixed types"
    assert any(not name.isascii() for _, name in states)
    assert any(" " in name for _, name in states)
    triggers = [trigger for job in api.ok("GET", "/jobs") for trigger in job["triggerSection"]["triggers"]]
    assert any(trigger.get("dependencyInfo") for trigger in triggers)


def test_a_busy_world_is_generated_into_a_running_server_with_its_long_runs(
    standin: Standin, start: Start, connect: Any, webtool: Process
) -> None:
    scheduler = start("scheduler", "--clock", "manual", "--now", "2026-03-02T06:00:30Z", "--timezone", "UTC")
    target = ("--server", scheduler.uri)
    assert standin("generate", "--jobs", "300", "--projects", "4", "--busy", *target).returncode == 0
    scheduler.advance(3600 * 3)
    running = [line for line in scheduler.control("journal") if line["end"] is None and line["start"] < "2026-03-02T08"]
    assert len(running) == 2, "two jobs run for hours"
    assert len(connect(webtool, scheduler).states()) == 300


@pytest.mark.parametrize("name", ["incremental_deployment_8.zip", "incremental_deployment_8_to_9.zip", "roles_9.zip"])
def test_load_a_genuine_file_into_a_running_server(standin: Standin, api: Api, scheduler: Process, name: str) -> None:
    if not GENUINE.is_dir():
        pytest.skip("the genuine export files (../shared/denodo/exports) are not here")
    done = standin("load", GENUINE / name, "--server", scheduler.uri)
    assert (done.returncode, done.stderr) == (0, "")
    expected = {entry.split("/")[2] for entry in contents(GENUINE / name) if entry.endswith(".xml")}
    assert expected <= {project["name"] for project in api.ok("GET", "/projects")}


def test_load_into_the_directory_of_a_stopped_server(
    standin: Standin, start: Start, connect: Any, webtool: Process, tmp_path: Path
) -> None:
    file, data = tmp_path / "generated.zip", tmp_path / "data"
    standin("generate", "--jobs", "30", "--projects", "3", "--disabled", "4", "--output", file)
    done = standin("load", file, "--data", data, "--id-offset", "7000")
    assert (done.returncode, done.stderr) == (0, "")
    scheduler = start("scheduler", "--data", data, "--id-offset", "7000")
    states = connect(webtool, scheduler).states()
    assert (len(states), list(states.values()).count("DISABLED")) == (30, 4)


@pytest.mark.parametrize("role", ["webtool", "scheduler"])
def test_a_port_that_is_taken(tmp_path: Path, role: str) -> None:
    arguments = ("--data", tmp_path / "data") if role == "scheduler" else ()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        message = fail_to_serve(role, *arguments, "--port", port)
    assert f"{role}: cannot listen on 127.0.0.1:{port}: Address already in use. Choose another --port" in message


def test_a_data_directory_of_a_running_server(standin: Standin, start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    start("scheduler", "--data", data)
    message = fail_to_serve("scheduler", "--data", data, "--port", "0")
    assert str(data) in message
    assert "in use" in message
    file = tmp_path / "generated.zip"
    standin("generate", "--jobs", "3", "--projects", "1", "--output", file)
    done = standin("load", file, "--data", data)
    assert done.returncode == 1
    assert "in use" in done.stderr


def test_a_certificate_that_is_not_there() -> None:
    assert "No such file or directory" in fail_to_serve("webtool", "--port", "0", "--tls-cert", "missing.pem")


@pytest.mark.parametrize("target", ["--server", "--data"])
@pytest.mark.parametrize(
    ("content", "message"), [(b"", "Not an intact zip archive"), (b"<html></html>", "Not an intact zip archive")]
)
def test_load_of_something_else(
    standin: Standin, scheduler: Process, tmp_path: Path, target: str, content: bytes, message: str
) -> None:
    file = tmp_path / "export.zip"
    file.write_bytes(content)
    done = standin("load", file, target, scheduler.uri if target == "--server" else tmp_path / "data")
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("load", "missing.zip", "--server", "//127.0.0.1:1"), "No such file or directory: 'missing.zip'"),
        (("load", "missing.zip", "--server", "localhost:8000"), "write //localhost:8000"),
        (("generate", "--server", "//127.0.0.1:1"), "no answer from the Scheduler server at //127.0.0.1:1"),
        (("generate", "--jobs", "1", "--disabled", "2", "--output", "x.zip"), "no more disabled jobs than jobs"),
        (("generate", "--jobs", "1"), "one of the arguments --output --server is required"),
        (("scheduler", "--data", "x", "--timezone", "Europe/Atlantis"), "give an IANA name, as Europe/Madrid"),
        (("scheduler", "--data", "x", "--now", "2026-01-01T00:00:00"), "write 2026-01-01T00:00:00Z for UTC"),
        (("scheduler",), "required: --data"),
        (("serve",), "invalid choice: 'serve'"),
    ],
)  # fmt: skip
def test_mistakes_are_explained_with_exit_code_1(standin: Standin, arguments: tuple[str, ...], message: str) -> None:
    done = standin(*arguments)
    assert done.returncode == 1
    assert message in done.stderr


def test_the_password_of_the_local_account_comes_from_the_environment(
    standin: Standin, start: Start, connect: Any, webtool: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = {"DENODO_STANDIN_PASSWORD": "s3cret word"}
    scheduler = start("scheduler", "--login", "boss", env=secret)
    assert connect(webtool, scheduler).get("/me").status_code == 401
    assert connect(webtool, scheduler).get("/me", auth=("boss", "s3cret word")).status_code == 200
    target = ("--server", scheduler.uri, "--login", "boss")
    assert standin("generate", "--jobs", "3", "--projects", "1", *target).returncode == 1
    monkeypatch.setenv(*next(iter(secret.items())))
    assert standin("generate", "--jobs", "3", "--projects", "1", *target).returncode == 0
    assert "s3cret" not in Path(f"/proc/{scheduler.child.pid}/cmdline").read_text()
