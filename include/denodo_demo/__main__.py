"""``denodo-demo run|demo|pictures``: what ``make run``, ``make demo`` and ``make pictures`` call.

run: Airflow and a stand-in pair until Ctrl-C, with a guided tour. demo: sync, failover, re-protect and failback once.
pictures: those of the documentation, from a run of the demo. State and logs are kept in ``.run`` of the present folder.
"""

from __future__ import annotations

import argparse
import sys

_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0 for success, 1 with a reason for failure, 130 if interrupted."""
    parser = argparse.ArgumentParser(
        prog="denodo-demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["demo", "run", "pictures"])
    command: str = parser.parse_args(argv).command
    try:
        # Imported here, because that takes a moment, in which Ctrl-C is no error either.
        from denodo_demo.commands import execute

        return execute(command)
    except KeyboardInterrupt:
        return 0 if command == "run" else _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
