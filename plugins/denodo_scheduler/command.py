"""``airflow denodo-ha``: the command ``denodo-ha`` as one of Airflow's. Every ``airflow`` command imports this."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, lazy_load_command


class _Words(Arg):
    """All that follows, options too, which Airflow's own parser would not know and end with 2, which is CRITICAL."""

    def add_to_parser(self, parser: ArgumentParser) -> None:
        def parse(words: list[str] | None = None, namespace: Any = None) -> tuple[Namespace, list[str]]:
            return Namespace(words=words, func=parser.get_default("func")), []

        parser.parse_known_args = parse  # type: ignore[method-assign, assignment]


def get_commands() -> list[CLICommand]:
    """Return the commands that this provider adds to ``airflow``. The command itself is imported when it is called."""
    return [
        ActionCommand(
            name="denodo-ha",
            help="See Denodo Scheduler pairs and operate them",
            func=lazy_load_command("denodo_cli.cli.in_airflow"),
            args=(_Words(flags=("words",)),),  # type: ignore[no-untyped-call]
        )
    ]
