"""``denodo-ha``: see pairs and operate them through Airflow, from any machine; mistakes in the file of pairs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from denodo_cli.completion import add_completion, pair_names
from denodo_cli.doctor import add_arguments, doctor
from denodo_cli.explain import add_explain
from denodo_cli.facts import unknown
from denodo_cli.following import follow_again
from denodo_cli.history import show
from denodo_cli.init import add_init
from denodo_cli.operations import add_operations, add_patience, operate
from denodo_cli.options import CliError, Parser, add_airflow, count, duration, explained
from denodo_cli.options import make_api as _api
from denodo_cli.reading import history, make_check, read_check
from denodo_cli.rehearsal import Told, drill, rehearse
from denodo_cli.runs import RunError
from denodo_cli.showing import add_status, show_list, show_status
from denodo_ha.durations import format_duration
from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import pairs_path, read_pairs
from denodo_ha.readiness.judge import last_check
from denodo_ha.status import MAX_AGE, Level
from denodo_ha.words import many

MAX_CHECK_AGE = timedelta(hours=26)
PATIENCE = timedelta(minutes=10)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # set by the shell that asks what could come next
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args(argv)
    code = int(Level.UNKNOWN)
    try:
        code = _ran(args)
        sys.stdout.flush()
    except BrokenPipeError:  # as by ``head -1``, which has read enough; Python would tell of it at exit
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _ran(args: argparse.Namespace) -> int:
    try:
        return int(args.run(args))
    except BrokenPipeError:
        raise
    except RunError as error:
        level = args.without_run if error.level is None else error.level
        print(f"{level.name} - pair {args.pair}: {' '.join(str(error).split())}")
        return int(level)
    except KeyboardInterrupt:
        what = "ended by Ctrl-C; what was started goes on in Airflow"
    except Exception as error:  # a traceback would end with 1, which means WARNING
        what = explained(error, getattr(args, "url", ""))
    found = unknown(getattr(args, "pair", ""), what)
    print(json.dumps(found, indent=2, ensure_ascii=False) if getattr(args, "json", False) else found["summary"])
    return Level.UNKNOWN


def in_airflow(args: argparse.Namespace) -> None:
    """Run the command line of ``airflow denodo-ha``."""
    sys.exit(main(args.words))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="denodo-ha", description="See pairs of Denodo Scheduler servers and operate them, by Airflow.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status, listing = add_status(commands, duration, MAX_AGE, format_duration(MAX_AGE))
    status.set_defaults(run=lambda args: show_status(args, _api(args), _now))
    listing.set_defaults(run=lambda args: show_list(args, _api(args), _now))

    events = commands.add_parser("history", help="what happened to the pair, oldest first")
    events.set_defaults(run=_history)
    events.add_argument("--limit", type=count, default=20, metavar="N", help="the last N (default: %(default)s)")
    events.add_argument("--verbose", action="store_true", help="with the facts behind each sentence")
    events.add_argument("--json", action="store_true", help="whole events, as JSON")

    ready = commands.add_parser(
        "check", help="whether the pair could change its active server: the last readiness check"
    )
    ready.set_defaults(run=_check, without_run=Level.UNKNOWN)
    _add_check(ready)
    found = commands.add_parser(
        "doctor", help="what both servers are and how they behave: what the last doctor has found"
    )
    found.set_defaults(run=lambda args: doctor(args, _api(args)), without_run=Level.UNKNOWN)
    add_arguments(found, duration)

    of_pairs = [status, events, ready, found, *_runs(commands)]
    of_pairs += add_operations(commands, lambda args: operate(args, _api(args), _say))
    again = commands.add_parser("follow", help="follow a run that was started before, to its end")
    again.set_defaults(run=lambda args: follow_again(args, _api(args), _say), without_run=Level.UNKNOWN)
    add_patience(again)
    for command in (*of_pairs, again):
        command.add_argument("pair", metavar="PAIR").completer = pair_names
    again.add_argument("run_id", metavar="RUN")
    for command in (*of_pairs, again, listing):
        add_airflow(command)

    check = commands.add_parser(
        "check-config",
        help="whether a file of pairs is right; needs no Airflow",
        epilog="Each mistake is a line FILE:LINE: … on standard output. exit codes: 0 right, 1 mistakes, 3 unreadable.",
    )
    check.set_defaults(run=lambda args: _check_config(args.file or _pairs_path()))
    check.add_argument("file", type=Path, metavar="FILE", nargs="?", help="default: the one that Airflow reads here")
    add_init(commands)
    add_explain(commands)
    add_completion(commands)
    return parser


def _now() -> datetime:
    return datetime.now(UTC)


def _add_check(ready: argparse.ArgumentParser) -> None:
    ready.add_argument(
        "--max-age",
        type=duration,
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
        type=duration,
        default=PATIENCE,
        metavar="DURATION",
        help=f"with --now: how long to wait for the end of the run (default: {format_duration(PATIENCE)})",
    )


def _runs(commands: Any) -> tuple[argparse.ArgumentParser, ...]:
    """Add the commands that start runs and wait for their end."""
    drills = commands.add_parser(
        "drill", help="run the jobs that 'drill' of the pair names on the passive slave, and wait"
    )
    drills.set_defaults(run=lambda args: _told(args, drill(_api(args), args.pair, args.reason, _say)))

    rehearsal = commands.add_parser(
        "rehearse",
        help="switch over to the slave and back, and report; goes on where it was interrupted",
    )
    rehearsal.set_defaults(run=lambda args: _told(args, rehearse(_api(args), args.pair, args.reason, args.stay, _say)))
    rehearsal.add_argument(
        "--stay",
        type=duration,
        default=timedelta(0),
        metavar="DURATION",
        help="how long the slave stays the active server (default: no longer than it takes)",
    )
    for command in (drills, rehearsal):
        command.add_argument("--reason", required=True, metavar="TEXT", help="why; kept in the history")
        command.set_defaults(without_run=Level.CRITICAL)
    return drills, rehearsal


def _pairs_path() -> Path | None:
    """The file that the Airflow of this environment reads. Airflow is imported only where it alone can know."""
    if os.environ.get("DENODO_HA_PAIRS", "").strip():
        return pairs_path()
    try:
        from denodo_scheduler import settings
    except ImportError:
        return pairs_path()
    return settings.pairs_path()


def _check_config(file: Path | None) -> int:
    """List each mistake as compilers do, for editors and pipelines."""
    read = read_pairs(file)
    if read.error is None:
        print(f"{file}: right, with {many(len(read.pairs), 'pair')}: {', '.join(read.pairs)}")
        return 0
    summary, *mistakes = str(read.error).splitlines()
    if not mistakes:
        raise CliError(summary)
    print("\n".join(mistakes))
    good, wrong = (", ".join(names) or "none" for names in (read.pairs, read.wrong))
    print(f"{summary}; right: {good}; wrong, and without DAGs until corrected: {wrong}", file=sys.stderr)
    return 1


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


if __name__ == "__main__":
    sys.exit(main())
