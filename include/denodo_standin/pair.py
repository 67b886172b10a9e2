"""``denodo-standin pair``: a master with jobs and an empty slave, each a Scheduler server and a web tool.

The four processes end with this one, however it ends: their standard input is a pipe from it, and they end with that.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from denodo_standin.cli import PASSWORD_VARIABLE
from denodo_standin.generate import generate
from denodo_standin.load import load_into_directory, write
from denodo_standin.pair_files import LOGIN, TIMEZONES, Kept, write_settings
from denodo_standin.params import Element

JOBS, PROJECTS, DISABLED, EACH_MINUTE = 120, 8, 9, 5
NEXT = (
    'airflow standalone > "$AIRFLOW_HOME/standalone.log" 2>&1 &',
    "while denodo-ha sync default; [ $? -eq 3 ]; do sleep 5; done",
)
"""What docs/start.md goes on with, in a shell that has the settings."""
_ID_OFFSETS = {"master": 1_000, "slave": 700_000}
_GRACE = 10.0
"""Seconds that a process may take to end by itself."""


class PairError(ValueError):
    """A process of the pair did not start; the message says why and what to do."""


class Process:
    """One of the four processes.

    :param arguments: its command line, behind ``denodo-standin``.
    :param env: its environment; it holds the password, which others could read on the command line.
    """

    def __init__(self, name: str, arguments: list[str], *, log: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self._arguments = arguments
        self._log = log
        self._env = env
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> str:
        """The command that starts it by hand."""
        return shlex.join(["denodo-standin", *self._arguments])

    @property
    def pid(self) -> int:
        assert self._popen
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def launch(self) -> None:
        """Start it without waiting for it; its log begins anew."""
        command = [sys.executable, "-m", "denodo_standin", *self._arguments, "--end-with-stdin"]
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(  # noqa: S603 - no shell, and the command is ours
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=self._env
            )

    def wait_until_ready(self) -> None:
        """Return when it accepts connections.

        :raises PairError: it has ended instead.
        """
        while True:
            running, said = self.running, self._log.read_text(errors="replace").splitlines()
            if any(line.startswith("ready ") for line in said):
                return
            if not running:
                why = said[-1] if said else "it said nothing"
                raise PairError(
                    f"{self.name} did not start: {why} Next: end what is in its way, or start another pair: "
                    "denodo-standin pair OTHER_FOLDER"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        if self._popen is None:
            return
        self._popen.terminate()
        try:
            self._popen.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def serve(folder: Path) -> None:
    """Run the pair until SIGINT or SIGTERM, and keep its state in ``folder`` for the next start.

    :raises PairError: a process did not start; the others are stopped.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    kept = Kept.of(folder)
    if not (folder / "master").exists():
        _put_jobs_onto(folder / "master")
    env_file = write_settings(folder, kept)
    processes = _processes(folder, kept)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        for process in processes:
            process.launch()
        for process in processes:
            process.wait_until_ready()
        _show(kept, env_file, processes)
        _stay(processes)
    except KeyboardInterrupt:
        print(f"The pair has ended. Its state is in {folder}.")
    finally:
        for process in processes:
            process.stop()


def _processes(folder: Path, kept: Kept) -> list[Process]:
    env = {**os.environ, PASSWORD_VARIABLE: kept.password}
    made = []
    for role, zone in TIMEZONES.items():
        scheduler = ["--data", str(folder / role), "--timezone", zone, "--id-offset", str(_ID_OFFSETS[role])]
        for kind, arguments in (("scheduler", scheduler), ("webtool", [])):
            arguments = [kind, "--port", str(kept.ports[f"{role}_{kind}"]), *arguments]
            made.append(Process(f"{role}-{kind}", arguments, log=folder / f"{role}-{kind}.log", env=env))
    return made


def _put_jobs_onto(data: Path) -> None:
    """Fill the state of a new server, whole or not at all, with jobs of which some are due each minute."""
    generated = generate(jobs=JOBS, projects=PROJECTS, disabled=DISABLED)
    plain = [each.params for each in generated.export.elements if _is_plain(each)]
    for params in plain[:: len(plain) // EACH_MINUTE][:EACH_MINUTE]:
        params["trigger"] = {"type": "cron", "cronExpression": "0 * * * * ?"}
    with TemporaryDirectory(dir=data.parent, prefix="new-") as made:
        file, filled = Path(made) / "jobs.zip", Path(made) / "filled"
        write(generated, file)
        load_into_directory(file, filled, id_offset=_ID_OFFSETS["master"])
        filled.rename(data)


def _is_plain(element: Element) -> bool:
    """Whether it is a job that is due by a cron alone, and has no secrets, which only those of type VDP have."""
    by_cron = {"type", "cronExpression"}
    return element.kind == "job" and element.sub_type != "VDP" and element.params.get("trigger", {}).keys() == by_cron


def _show(kept: Kept, env_file: Path, processes: list[Process]) -> None:
    print(f"A stand-in pair: {JOBS} jobs on the master at first, {DISABLED} of them disabled; none on the slave.\n")
    for role in TIMEZONES:
        print(f"  {role:<6}  Scheduler {kept.uri(role)}  web tool http://127.0.0.1:{kept.ports[f'{role}_webtool']}")
    print(f"\n  settings of Airflow for it   {env_file}")
    print(f"  the pair's options           {env_file.with_name('pairs.yaml')}")
    print(f"  Airflow will be at           {kept.airflow_url}, user {LOGIN}, password $AIRFLOW_PASSWORD")
    print("\nNext, in another terminal:\n")
    print(f"  . {shlex.quote(str(env_file))}")
    print("\n".join(f"  {command}" for command in NEXT))
    print(f"\nKill the master's Scheduler by: kill -9 {processes[0].pid}")
    print("Ctrl-C here ends the pair; the next start goes on where it was.", flush=True)


def _stay(processes: list[Process]) -> None:
    """Tell when a process has ended, and start it again when a person presses Enter, until interrupted."""
    down: set[str] = set()
    inputs = [sys.stdin] if sys.stdin.isatty() else []
    while True:
        for process in processes:
            if not process.running and process.name not in down:
                down.add(process.name)
                how = "Press Enter here" if inputs else f"In a terminal with the settings: {process.command}"
                print(f"\n{process.name} has ended. To start it again: {how}", flush=True)
        if select.select(inputs, [], [], 0.5)[0]:
            if not sys.stdin.readline():
                inputs = []  # the terminal is gone; without this, the loop would not wait any more
            for process in processes if inputs else ():
                if not process.running:
                    _start_again(process, down)


def _start_again(process: Process, down: set[str]) -> None:
    process.launch()
    try:
        process.wait_until_ready()
    except PairError as error:
        print(error, flush=True)
    else:
        down.discard(process.name)
        print(f"{process.name} is back: process {process.pid}", flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
