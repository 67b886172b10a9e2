"""Export, import and ping by the scripts, here and over a real sshd: results, failures, and what nobody may see."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import ObjectStoragePath

from denodo_demo.processes import free_port, wait_for
from denodo_demo.slowness import allow
from denodo_demo.standin import StandinServer
from denodo_scheduler.client.scripts import shell as scripts_shell
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    NoAnswerError,
    RequestError,
    UnexpectedAnswerError,
    UnreachableError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.process_list import ProcessList, command_lines

if TYPE_CHECKING:
    from tests.scripts.conftest import Home, Sshd

Hook = Callable[..., DenodoSchedulerHook]

MARK = f"300.{os.getpid():09}"
"""Seconds that nobody else sleeps, and few enough for what a failed test leaves behind."""
CHILD = f"""sh -c 'trap "" TERM; sleep {MARK} & wait' {MARK} &"""
HANGS = f"{CHILD} wait"
"""A script that heeds SIGTERM, with a child that does not."""
STUBBORN = f"trap : TERM; {CHILD} while :; do wait; done"
"""A script that does not either."""


def is_gone(what: str = MARK) -> bool:
    return not any(what in line for line in command_lines())


@pytest.fixture
def export_file(tmp_path: Path) -> ObjectStoragePath:
    return ObjectStoragePath(f"file://{tmp_path}/snapshots/export.zip")


@pytest.fixture
def source(hook: Hook, export_file: ObjectStoragePath) -> ObjectStoragePath:
    """An export of the server itself."""
    hook(transport="rest").export_metadata(export_file)
    return export_file


def audit(server: StandinServer) -> int:
    return len(server.scheduler.audit())


class TestResults:
    def test_an_export_arrives_whole_and_nobody_sees_the_password(
        self, hook: Hook, export_file: ObjectStoragePath, nothing_leaks: ProcessList
    ) -> None:
        result = hook().export_metadata(export_file)
        content = export_file.read_bytes()
        assert (result.size, result.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        with zipfile.ZipFile(export_file.path) as archive:
            assert sum("/job/" in name and name.endswith(".xml") for name in archive.namelist()) == 6
        assert os.stat(export_file.path).st_mode & 0o777 == 0o600
        assert nothing_leaks.shows("-P encrypted:"), "the script was not seen, so that its password would not be either"

    def test_large_files_pass_both_ways(self, odd: StandinServer, hook: Hook, export_file: ObjectStoragePath) -> None:
        odd.scheduler.guesses(export_padding_mb=20)
        try:
            assert hook().export_metadata(export_file).size > 20_000_000
            hook().import_metadata(export_file)
        finally:
            odd.scheduler.guesses(export_padding_mb=0)

    @pytest.mark.usefixtures("nothing_leaks")
    def test_an_export_beyond_the_limit_is_not_believed(self, hook: Hook, tmp_path: Path) -> None:
        target = ObjectStoragePath(f"file://{tmp_path}/large.zip")
        with pytest.raises(UnexpectedAnswerError, match=r"larger than 100 bytes\. Raise transfer_limit"):
            hook(transfer_limit=100).export_metadata(target)
        assert not target.exists()

    @pytest.mark.usefixtures("nothing_leaks")
    def test_an_import_with_warnings_ends_with_0(
        self, odd: StandinServer, hook: Hook, source: ObjectStoragePath, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = audit(odd)
        odd.scheduler.guesses(import_warnings=["The driver of 'crm' is missing"])
        try:
            warnings = hook().import_metadata(source).warnings
        finally:
            odd.scheduler.guesses(import_warnings=[])
        assert warnings == ("WARNING: The driver of 'crm' is missing",)
        assert "It says: Metadata imported from" in caplog.text
        assert len({(entry["project"], entry["job"]) for entry in odd.scheduler.audit(before)}) == 6

    @pytest.mark.usefixtures("nothing_leaks")
    def test_ping_hears_the_server(self, odd: StandinServer, hook: Hook) -> None:
        assert hook().ping().version == "9.1.0"
        ok, text = hook().test_connection()
        assert (ok, "6 jobs" in text) == (True, True)

    def test_the_server_may_have_another_name_for_the_scripts(self, odd: StandinServer, hook: Hook) -> None:
        named = hook(scheduler_uri="//elsewhere.invalid:1", script_server=odd.uri)
        assert named.scripts
        named.scripts.ping()


class TestFailures:
    @pytest.mark.usefixtures("nothing_leaks")
    def test_another_exit_code_tells_what_the_console_said(
        self, hook: Hook, home: Home, export_file: ObjectStoragePath
    ) -> None:
        home.script("export", 'echo "it is $@"; exit 7')
        with pytest.raises(RequestError, match=r"exit code 7.*it is -h 127.*-P \*\*\*") as failed:
            hook().export_metadata(export_file)
        assert "encrypted:" not in str(failed.value)
        assert not export_file.exists()

    def test_after_an_import_no_exit_code_but_0_proves_anything(
        self, odd: StandinServer, hook: Hook, home: Home, source: ObjectStoragePath
    ) -> None:
        """Here it was even imported. Without ``status`` the sync treats the error as an import of unknown end."""
        home.script("import", '"$real" "$@"; exit 1')
        before = audit(odd)
        with pytest.raises(RequestError) as failed:
            hook().import_metadata(source)
        assert failed.value.status is None
        assert audit(odd) > before

    def test_an_import_is_permitted_right_before_it_is_run(
        self, odd: StandinServer, hook: Hook, source: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where the process was stopped meanwhile: nothing is run after the deadline."""
        asked: list[float] = []
        importing, before = hook(), audit(odd)
        importing.permit = asked.append
        with monkeypatch.context() as patch:
            patch.setattr(scripts_shell.Shell, "write", lambda shell, *_: setattr(shell, "_deadline", 0.0))
            with pytest.raises(UnreachableError, match="before the script could begin"):
                importing.import_metadata(source, timeout=60)
        assert asked == [60]

        def refused(_: float) -> None:
            raise InterruptedError("superseded")

        importing.permit = refused
        with pytest.raises(InterruptedError):
            importing.import_metadata(source)
        assert audit(odd) == before

    @pytest.mark.parametrize("dies", ["kill -9 $$", "exit 124"])
    def test_a_killed_script_is_no_answer(self, hook: Hook, home: Home, source: ObjectStoragePath, dies: str) -> None:
        home.script("import", dies)
        with pytest.raises(NoAnswerError, match=r"was killed.*Its effect is unknown"):
            hook().import_metadata(source)

    @pytest.mark.usefixtures("nothing_leaks")
    @pytest.mark.parametrize("text", [HANGS, STUBBORN], ids=["heeds", "stubborn"])
    def test_a_hang_is_ended_with_everything_that_it_started(
        self, hook: Hook, home: Home, source: ObjectStoragePath, text: str
    ) -> None:
        home.script("import", text)
        with ProcessList() as seen, pytest.raises(NoAnswerError, match=r"not done in time.*Its effect is unknown"):
            hook().import_metadata(source, timeout=allow(2))
        assert seen.shows(MARK)
        wait_for(is_gone, 10, "The end of the script")

    @pytest.mark.parametrize("via", ["local"], indirect=True)
    def test_an_export_is_tried_again_when_it_hangs(
        self, hook: Hook, home: Home, export_file: ObjectStoragePath, tmp_path: Path
    ) -> None:
        home.script("export", f'[ -e "{tmp_path}/once" ] && exec "$real" "$@"; touch "{tmp_path}/once"; {HANGS}')
        assert hook(transfer_timeout=allow(3)).export_metadata(export_file).size
        wait_for(is_gone, 10, "The end of the script")

    @pytest.mark.parametrize(
        ("text", "message"),
        [("exit 0", "wrote no file"), ('while [ "$1" != -f ]; do shift; done; echo > "$2"', "no zip")],
    )
    def test_exit_code_0_without_an_export(
        self, hook: Hook, home: Home, export_file: ObjectStoragePath, text: str, message: str
    ) -> None:
        home.script("export", text)
        with pytest.raises(UnexpectedAnswerError, match=message):
            hook().export_metadata(export_file)
        assert not export_file.exists()

    def test_a_missing_script_or_one_without_permission_was_never_begun(
        self, odd: StandinServer, hook: Hook, home: Home, source: ObjectStoragePath
    ) -> None:
        before = audit(odd)
        (home.scripts / "import.sh").chmod(0o644)
        with pytest.raises(ConfigurationError, match="may not execute the script") as denied:
            hook().import_metadata(source)
        (home.scripts / "import.sh").unlink()
        with pytest.raises(ConfigurationError, match="There is no such script") as missing:
            hook().import_metadata(source)
        assert (denied.value.status, missing.value.status) == (None, None)
        assert audit(odd) == before

    def test_a_server_that_is_down(self, hook: Hook) -> None:
        nobody = f"//127.0.0.1:{free_port()}"
        with pytest.raises(RequestError, match="No answer from the Scheduler server"):
            hook(script_server=nobody).check_import()

    def test_a_wrong_password(self, hook: Hook) -> None:
        with pytest.raises(RequestError, match="refused the login"):
            hook(script_password="encrypted:d3Jvbmc=").check_import()


class TestTheEndOfTheWorker:
    def test_takes_the_script_along(
        self, hook: Hook, home: Home, export_file: ObjectStoragePath, temporary: Path
    ) -> None:
        home.script("export", HANGS)
        worker = multiprocessing.get_context("fork").Process(target=hook().export_metadata, args=(export_file,))
        worker.start()
        wait_for(lambda: not is_gone(), 20, "The script")
        worker.kill()
        worker.join()
        wait_for(is_gone, 20, "The end of the script")
        wait_for(lambda: not list(temporary.iterdir()), 20, "The end of the private folder")


@pytest.mark.parametrize("via", ["ssh"], indirect=True)
class TestSsh:
    def test_a_cut_connection_leaves_nothing_behind(
        self, sshd: Sshd, hook: Hook, home: Home, source: ObjectStoragePath, temporary: Path
    ) -> None:
        home.script("import", HANGS)

        def cut() -> None:
            wait_for(lambda: not is_gone(), 20, "The script")
            for pid in sshd.sessions():
                os.kill(pid, signal.SIGKILL)

        with ThreadPoolExecutor() as pool:
            done = pool.submit(cut)
            with pytest.raises(NoAnswerError, match="after the script was begun"):
                hook().import_metadata(source, timeout=allow(20))
        done.result()
        wait_for(is_gone, 20, "The end of the script")
        wait_for(lambda: not list(temporary.iterdir()), 20, "The end of the private folder")

    @pytest.mark.parametrize(
        ("wrong", "kind", "message"),
        [
            ({"port": 1}, UnreachableError, "No SSH session"),
            ({"login": "nobody-of-that-name"}, ConfigurationError, "Correct its login, key"),
            ({"host_key": None}, ConfigurationError, "known_hosts"),
            ({"host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB"}, ConfigurationError, "SSH connection"),
            ({"key_file": "/no/such/key"}, ConfigurationError, "No such file"),
        ],
    )
    def test_without_a_session_nothing_was_begun(
        self,
        sshd: Sshd,
        odd: StandinServer,
        hook: Hook,
        source: ObjectStoragePath,
        monkeypatch: pytest.MonkeyPatch,
        wrong: dict[str, Any],
        kind: type[DenodoSchedulerError],
        message: str,
    ) -> None:
        extra = {**sshd.connection["extra"], **{key: wrong[key] for key in wrong if key in ("host_key", "key_file")}}
        extra = {key: value for key, value in extra.items() if value is not None}
        changed = {**sshd.connection, **{key: wrong[key] for key in wrong if key in sshd.connection}, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_DENODO_HOST", json.dumps(changed))
        before = audit(odd)
        with pytest.raises(kind, match=message) as failed:
            hook().import_metadata(source)
        assert failed.value.status is None
        assert audit(odd) == before

    def test_a_connection_that_does_not_exist(self, hook: Hook) -> None:
        with pytest.raises(ConfigurationError, match="'nobody' is not usable"):
            hook(ssh_conn_id="nobody").check_import()

    def test_a_provider_that_is_not_installed(self, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "airflow.providers.ssh.hooks.ssh", None)
        with pytest.raises(ConfigurationError, match="needs the package apache-airflow-providers-ssh"):
            hook().check_import()

    def test_localhost_of_another_machine(self, hook: Hook) -> None:
        other = hook(scheduler_uri="//localhost:8000")
        assert other.scripts
        object.__setattr__(other.scripts, "web_tool", "denodo-b.example.com")
        with pytest.raises(ConfigurationError, match="Say in script_server"):
            other.check_import()


@pytest.mark.parametrize("via", ["local"], indirect=True)
class TestWithoutSsh:
    def test_the_script_inherits_no_secret_of_airflow(
        self, hook: Hook, home: Home, export_file: ObjectStoragePath, tmp_path: Path
    ) -> None:
        home.script("export", f"env > {tmp_path}/environment; exit 1")
        with pytest.raises(RequestError):
            hook().export_metadata(export_file)
        environment = (tmp_path / "environment").read_text()
        assert "PATH=" in environment
        assert "AIRFLOW" not in environment

    def test_localhost_of_another_machine(self, hook: Hook) -> None:
        made = hook(scheduler_uri="//localhost:8000")
        assert made.scripts
        object.__setattr__(made.scripts, "web_tool", "denodo-b.example.com")
        with pytest.raises(ConfigurationError, match="the script runs on this worker"):
            made.check_import()

    def test_a_machine_that_cannot_hold_the_file(
        self, hook: Hook, source: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TMPDIR", "/no/such/folder")
        with pytest.raises(UnreachableError, match=r"The shell has ended.*No such file.*not begun"):
            hook().import_metadata(source)

    def test_a_machine_without_timeout(self, hook: Hook, home: Home, tmp_path: Path, monkeypatch: Any) -> None:
        programs = tmp_path / "programs"
        programs.mkdir()
        for name in ("mktemp", "rm", "cat"):
            (programs / name).symlink_to(f"/usr/bin/{name}")
        monkeypatch.setenv("PATH", str(programs))
        with pytest.raises(ConfigurationError, match="no command 'timeout'"):
            hook().check_import()

    def test_a_file_that_takes_all_the_time_is_not_imported(
        self, odd: StandinServer, hook: Hook, source: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = audit(odd)
        now = scripts_shell.monotonic
        write = scripts_shell.Shell.write

        def slow(self: scripts_shell.Shell, *args: Any) -> None:
            write(self, *args)
            monkeypatch.setattr(scripts_shell, "monotonic", lambda: now() + 100)

        monkeypatch.setattr(scripts_shell.Shell, "write", slow)
        with pytest.raises(UnreachableError, match="before the script could begin"):
            hook().import_metadata(source, timeout=50)
        assert audit(odd) == before

    def test_a_terminated_task_ends_its_script(
        self, hook: Hook, home: Home, export_file: ObjectStoragePath, temporary: Path
    ) -> None:
        def interrupted(*_: Any) -> None:
            raise KeyboardInterrupt

        home.script("export", f"kill -USR1 {os.getpid()}; {HANGS}")
        before = signal.signal(signal.SIGUSR1, interrupted)
        try:
            with pytest.raises(KeyboardInterrupt):
                hook().export_metadata(export_file)
        finally:
            signal.signal(signal.SIGUSR1, before)
        wait_for(is_gone, 10, "The end of the script")
        assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("via", ["local"], indirect=True)
class TestFlags:
    @pytest.fixture
    def told(self, home: Home, tmp_path: Path) -> Callable[[str], list[str]]:
        """What a script was told after the login and before the file."""
        for name in ("export", "import", "ping"):
            home.script(name, f'for word in "$@"; do echo "$word"; done > {tmp_path}/{name}.told; "$real" "$@"')
        return lambda name: (tmp_path / f"{name}.told").read_text().splitlines()[8:]

    @pytest.mark.parametrize(
        ("extra", "flags"),
        [
            ({}, ["-drivers", "-plugins", "-dependencies"]),
            (
                {"export_options": {"drivers": False, "plugins": None, "config": True, "permissions": True}},
                ["-config", "-permissions", "-dependencies"],
            ),
            (
                {"export_options": {"exportWithProperties": True}, "metadata_password": "encrypted:eA=="},
                ["-drivers", "-plugins", "-dependencies", "-mp", "encrypted:eA==", "-exportWithProperties"],
            ),
        ],
    )
    def test_of_an_export(
        self, hook: Hook, told: Any, export_file: ObjectStoragePath, extra: dict[str, Any], flags: list[str]
    ) -> None:
        hook(**extra).export_metadata(export_file)
        assert told("export")[:-2] == flags

    def test_of_an_import(self, hook: Hook, told: Any, source: ObjectStoragePath) -> None:
        hook(import_options={"replaceDrivers": False}).import_metadata(source)
        assert told("import")[:-2] == ["-replaceJobs", "-replaceDataSources", "-replacePlugins"]

    def test_through_virtual_dataport(self, hook: Hook, told: Any, source: ObjectStoragePath) -> None:
        made = hook(vdpauth="true")
        made.import_metadata(source)
        made.check_import()
        assert told("import")[0] == "-vdpauth"
        assert told("ping")[-2:] == ["-a", "vdp"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"projects": "a"}, "projects: the script has no such flag"),
            ({"drivers": {"in": "query", "name": "jars"}}, "drivers: with the scripts it is true, false or null"),
            ({"metadataPassword": "in plain text"}, "would be seen in the process list.*encrypt_password"),
        ],
    )
    def test_that_do_not_exist_are_all_named_and_nothing_is_run(
        self, hook: Hook, told: Any, export_file: ObjectStoragePath, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=f"{message}.*other: the script") as refused:
            hook().export_metadata(export_file, options={**options, "other": True})
        assert "in plain text" not in str(refused.value)
        with pytest.raises(FileNotFoundError):
            told("export")

    def test_an_import_takes_no_metadata_password(self, hook: Hook, source: ObjectStoragePath) -> None:
        with pytest.raises(ConfigurationError, match=r"import.sh takes none"):
            hook(metadata_password="encrypted:eA==").check_import()
