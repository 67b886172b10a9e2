"""``denodo-ha completion``: what makes a shell complete the command, with the names of the pairs."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import Any

SHELLS = ("bash", "zsh")


def add_completion(commands: Any) -> None:
    command = commands.add_parser(
        "completion",
        help="print what makes a shell complete this command",
        description='In ~/.bashrc: eval "$(denodo-ha completion bash)"; in ~/.zshrc, after compinit: the same for zsh.',
    )
    command.set_defaults(run=print_script)
    command.add_argument("shell", choices=SHELLS)


def print_script(args: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["denodo-ha"], shell=args.shell))
    return 0


def pair_names(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """The pairs that Airflow knows; none where it cannot be asked within two seconds."""
    from denodo_cli.options import make_api
    from denodo_cli.reading import pair_names

    with suppress(Exception):
        parsed_args.timeout = 2
        return pair_names(make_api(parsed_args))
    return []
