"""``denodo-ha``: state, history, readiness, drill and rehearsal of a pair by Airflow; mistakes in the file of pairs."""

from __future__ import annotations

import argparse
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from denodo_cli.airflow_api import AirflowApiError, ApiClient
from denodo_cli.doctor import add_arguments, doctor
from denodo_cli.history import show
from denodo_cli.reading import UnknownPairError, history, make_check, read, read_check
from denodo_cli.rehearsal import Told, drill, rehearse
from denodo_cli.runs import RunError
from denodo_ha.durations import format_duration, parse_duration
from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import pairs_path, read_pairs
from denodo_ha.readiness.judge import last_check
from denodo_ha.status import Level, judge

MAX_AGE = timedelta(minutes=60)
MAX_CHECK_AGE = timedelta(hours=26)
PATIENCE = timedelta(minutes=10)

EPILOG = """\
Airflow is found and logged in to by AIRFLOW_API_URL, AIRFLOW_USER and AIRFLOW_PASSWORD, or by AIRFLOW_TOKEN instead of
the last two. exit codes, as monitoring plugins have them: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (it cannot be told).
"""


class CliError(ValueError):
    """A mistake on the command line or in the environment; the message is one line for a person."""


class _Parser(argparse.ArgumentParser):
    """A parser that ends with 3 where argparse would end with 2, which means CRITICAL to a monitoring system."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Level.UNKNOWN, f"{self.prog}: {message}\n")


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    args = _parser().parse_args(argv)
    if args.command == "check-config":
        return _check_config(args.file or pairs_path())
    try:
        return int(args.run(args))
    except RunError as error:
        level = args.without_run
        print(f"{level.name} - pair {args.pair}: {' '.join(str(error).split())}")
        return int(level)
    except Exception as error:  # a traceback would end with 1, which means WARNING
        print(f"UNKNOWN - pair {args.pair}: {_explained(error, args.url)}")
        return Level.UNKNOWN


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="denodo-ha", description=__doc__, epilog=EPILOG, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    status = commands.add_parser(
        "status", help="how the pair is; the exit code tells a monitoring system", epilog=EPILOG
    )
    status.set_defaults(run=_status)
    status.add_argument(
        "--max-age",
        type=_duration,
        default=MAX_AGE,
        metavar="DURATION",
        help="the monitor counts as stopped when the last look at the pair is older: the pair's watch.duration and 10 "
        f"minutes more (default: {format_duration(MAX_AGE)})",
    )

    status.add_argument(
        "--verbose",
        action="store_true",
        help="name each pending job with why and what to do, and what was learned of the servers",
    )

    events = commands.add_parser("history", help="what happened to the pair, oldest first", epilog=EPILOG)
    events.set_defaults(run=_history)
    events.add_argument("--limit", type=_count, default=20, metavar="N", help="the last N (default: %(default)s)")
    events.add_argument("--verbose", action="store_true", help="with the facts behind each sentence")
    events.add_argument("--json", action="store_true", help="whole events, as JSON")

    ready = commands.add_parser(
        "check", help="whether the pair could change its active server: the last readiness check", epilog=EPILOG
    )
    ready.set_defaults(run=_check, without_run=Level.UNKNOWN)
    ready.add_argument(
        "--max-age",
        type=_duration,
        default=MAX_CHECK_AGE,
        metavar="DURATION",
        help=f"a check that is older is a warning (default: {format_duration(MAX_CHECK_AGE)})",
    )
    ready.add_argument("--verbose", action="store_true", help="name what is in order too")
    ready.add_argument(
        "--now",
        action="store_true",
        help="have the operations DAG check the pair first; the user needs permission to trigger it",
    )
    ready.add_argument(
        "--test-message", action="store_true", help="with --now: send a test message by each notifier of the pair"
    )
    ready.add_argument(
        "--patience",
        type=_duration,
        default=PATIENCE,
        metavar="DURATION",
        help=f"with --now: how long to wait for the end of the run (default: {format_duration(PATIENCE)})",
    )

    found = commands.add_parser(
        "doctor", help="what both servers are and how they behave: what the last doctor has found", epilog=EPILOG
    )
    found.set_defaults(run=lambda args: doctor(args, _api(args)), without_run=Level.UNKNOWN)
    add_arguments(found, _duration)

    check = commands.add_parser(
        "check-config",
        help="whether a file of pairs is right; needs no Airflow",
        epilog="Each mistake is a line FILE:LINE: … on standard output. exit codes: 0 right, 1 mistakes, 2 unreadable.",
    )
    check.add_argument("file", type=Path, metavar="FILE", nargs="?", help="default: the one that Airflow reads here")

    for command in (status, events, ready, found, *_runs(commands)):
        command.add_argument("pair", metavar="PAIR")
        url = os.environ.get("AIRFLOW_API_URL") or "http://localhost:8080"
        command.add_argument("--url", default=url, help="address of Airflow (default: %(default)s)")
        command.add_argument("--user", default=os.environ.get("AIRFLOW_USER", ""))
        command.add_argument("--password-file", type=Path, metavar="FILE", help="read the password from its first line")
        command.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="default: %(default)s")
    return parser


def _runs(commands: Any) -> tuple[argparse.ArgumentParser, ...]:
    """Add the commands that start runs and wait for their end."""
    drills = commands.add_parser(
        "drill", help="run the jobs that 'drill' of the pair names on the passive slave, and wait", epilog=EPILOG
    )
    drills.set_defaults(run=lambda args: _told(args, drill(_api(args), args.pair, args.reason, _say)))

    rehearsal = commands.add_parser(
        "rehearse",
        help="switch over to the slave and back, and report; goes on where it was interrupted",
        epilog=EPILOG,
    )
    rehearsal.set_defaults(run=lambda args: _told(args, rehearse(_api(args), args.pair, args.reason, args.stay, _say)))
    rehearsal.add_argument(
        "--stay",
        type=_duration,
        default=timedelta(0),
        metavar="DURATION",
        help="how long the slave stays the active server (default: no longer than it takes)",
    )
    for command in (drills, rehearsal):
        command.add_argument("--reason", required=True, metavar="TEXT", help="why; kept in the history")
        command.set_defaults(without_run=Level.CRITICAL)
    return drills, rehearsal


def _check_config(file: Path) -> int:
    """List each mistake as compilers do, for editors and pipelines."""
    read = read_pairs(file)
    if read.error is None:
        print(f"{file}: right, with {len(read.pairs)} pairs: {', '.join(read.pairs)}")
        return 0
    lines = str(read.error).splitlines()
    print("\n".join(lines[1:] or lines))
    good, wrong = (", ".join(names) or "none" for names in (read.pairs, read.wrong))
    print(f"{lines[0]}; right: {good}; wrong, and without DAGs until corrected: {wrong}", file=sys.stderr)
    return 1 if lines[1:] else 2


def _status(args: argparse.Namespace) -> int:
    reading = read(_api(args), args.pair)
    status = judge(args.pair, reading, datetime.now(UTC), args.max_age, verbose=args.verbose)
    print(status.summary)
    if sys.stdout.isatty():
        table = Table(show_header=False)
        for name, value in status.details.items():
            table.add_row(name, Text(value))
        Console().print(table)
    else:
        for name, value in status.details.items():
            print(f"{name}: {value}")
    return status.level


def _check(args: argparse.Namespace) -> int:
    """Show what the last check has found, a finding a line; a run of the operations DAG makes one."""
    api = _api(args)
    if args.test_message and not args.now:
        raise CliError("--test-message sends one with a new check: say --now too")
    if args.now:
        make_check(api, args.pair, args.patience, test_message=args.test_message)
    stored, airflow = read_check(api, args.pair)
    found = last_check(Pair(name=args.pair), stored, airflow, datetime.now(UTC), args.max_age)
    print(f"{found.level.name} - pair {args.pair}: {found.summary}")
    for each in found.findings:
        if args.verbose or each.level is not Level.OK or each.code == "last check":
            print(each)
    return found.level


def _told(args: argparse.Namespace, told: Told) -> int:
    print(f"{told.level.name} - pair {args.pair}: {told.summary}")
    for line in told.lines:
        print(line)
    return told.level


def _say(text: str) -> None:
    print(f"denodo-ha: {text}", file=sys.stderr, flush=True)


def _history(args: argparse.Namespace) -> int:
    show(history(_api(args), args.pair, args.limit), verbose=args.verbose, as_json=args.json)
    return Level.OK


def _api(args: argparse.Namespace) -> ApiClient:
    token, password = os.environ.get("AIRFLOW_TOKEN", ""), os.environ.get("AIRFLOW_PASSWORD", "")
    if args.password_file:
        try:
            password = args.password_file.read_text().split("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise CliError(f"the password cannot be read from {args.password_file}: {error}") from None
        token = ""
    if not token and not (args.user and password):
        raise CliError(
            "no login: set AIRFLOW_USER and AIRFLOW_PASSWORD (or --user and --password-file), or AIRFLOW_TOKEN"
        )
    if token:
        return ApiClient(args.url, token=token, timeout=args.timeout)
    return ApiClient(args.url, args.user, password, timeout=args.timeout)


def _explained(error: Exception, url: str) -> str:
    """Describe an error in one line without secrets."""
    url = re.sub(r"//[^/]*@", "//", url)
    if isinstance(error, AirflowApiError) and error.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        may_not = "the user may not read assets and DAGs, or start runs"
        text = f"Airflow at {url} refuses the login, or {may_not} ({error.status})"
    elif isinstance(error, AirflowApiError | CliError | UnknownPairError):
        text = str(error)
    elif isinstance(error, httpx.TimeoutException):
        text = f"Airflow at {url} does not answer in time"
    elif isinstance(error, httpx.HTTPError | httpx.InvalidURL):
        text = f"Airflow at {url} cannot be reached: {error}"
    else:
        text = f"Airflow at {url} answered something unexpected: {error!r}"
    return " ".join(text.split())[:500]


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
