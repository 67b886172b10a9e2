"""Run one of the commands, stop everything at its end, and say how it went."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from rich.console import Console

from denodo_demo.demo import STEPS, demo
from denodo_demo.pictures import pictures
from denodo_demo.processes import WaitError, stopping_everything
from denodo_demo.progress import Progress, moves
from denodo_demo.run import failure, run
from denodo_demo.stage import COMMAND, RUN_FOLDER, alone

_PLAIN_WIDTH = 110


def execute(command: str) -> int:
    """Run the command and return its exit code: 0 for success, 1 with a reason for failure.

    :raises KeyboardInterrupt: it was interrupted; everything is stopped.
    """
    console = Console()
    if not moves(console):
        console = Console(width=_PLAIN_WIDTH, force_interactive=False)
    progress = Progress(console, () if command == "run" else STEPS)
    folder = "run" if command == "run" else "demo"
    try:
        with alone(folder):
            problems = _problems(command, progress, folder)
    except WaitError as error:
        print(failure(error), file=sys.stderr)
        return 1
    except OSError as error:  # such as a folder that nobody may write to, or a full disk
        print(f"{COMMAND} {command} failed: it keeps all it writes in {RUN_FOLDER}. {failure(error)}", file=sys.stderr)
        return 1
    progress.say(progress.conclusion or "Nothing is left running.")
    for problem in problems:
        print(f"{COMMAND} {command} failed: {problem}", file=sys.stderr)
    if problems:
        print(f"Look into the logs in {RUN_FOLDER / folder}, and run it again.", file=sys.stderr)
    return 1 if problems else 0


def _problems(command: str, progress: Progress, folder: str) -> list[str]:
    """Run the command, stop everything, and return what went wrong, in words."""
    actions: dict[str, Callable[[Progress], list[str] | None]] = {"run": run, "demo": demo, "pictures": pictures}
    try:
        with stopping_everything():
            try:
                return actions[command](progress) or []
            finally:
                progress.say("Stopping everything. (Ctrl-C: at once)")
    except KeyboardInterrupt:
        progress.say("Nothing is left running.")
        raise
    except Exception as error:  # whatever it is, a person reads one sentence, and a file has the rest
        return [_kept(folder, error)]


def _kept(folder: str, error: Exception) -> str:
    """Write the whole error to a file, and return its first sentence."""
    log = RUN_FOLDER / folder / "error.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return f"{failure(error)} The whole error is in {log}."
