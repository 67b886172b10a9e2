"""``python -m denodo_demo demo|run|pictures``: what ``make demo``, ``make run`` and ``make pictures`` call."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from denodo_demo.demo import demo
from denodo_demo.pictures import pictures
from denodo_demo.processes import stopping_everything
from denodo_demo.progress import Progress
from denodo_demo.run import run
from denodo_demo.stage import ERRORS, RUN_FOLDER, alone

_PLAIN_WIDTH = 110


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0 for success, 1 with a reason for failure, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="denodo_demo", description=__doc__)
    parser.add_argument("command", choices=["demo", "run", "pictures"])
    command = parser.parse_args(argv).command
    console = Console()
    if not console.is_interactive:
        console = Console(width=_PLAIN_WIDTH)
    progress = Progress(console)
    problems: list[str] = []
    try:
        with alone("run" if command == "run" else "demo"), stopping_everything():
            try:
                if command == "run":
                    run(progress)
                else:
                    problems = demo(progress) if command == "demo" else pictures(progress)
            finally:
                progress.say("Stopping everything")
    except KeyboardInterrupt:
        return 0 if command == "run" else 130
    except ERRORS as error:
        problems = [str(error) or repr(error)]
    for problem in problems:
        print(f"make {command} failed: {problem}", file=sys.stderr)
    if problems:
        print(f"All logs are in {RUN_FOLDER}.", file=sys.stderr)
        return 1
    progress.say("Done: nothing is left running.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
