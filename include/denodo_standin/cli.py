"""``denodo-standin``: a stand-in for Denodo Scheduler, its web tool, its scripts and its export files."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn
from zoneinfo import ZoneInfo

import httpx

from denodo_standin import vendor_scripts

PASSWORD_VARIABLE = "DENODO_STANDIN_PASSWORD"  # noqa: S105


class _Parser(argparse.ArgumentParser):
    """A parser that ends with 1 where argparse would end with 2: the vendor's scripts end with 0 and 1 only [D]."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: {message}\n")


def main(argv: list[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 success, 1 anything else."""
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except (vendor_scripts.ScriptError, OSError, ValueError) as error:
        sys.exit(f"denodo-standin {args.command}: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="denodo-standin", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    scheduler = commands.add_parser(
        "scheduler",
        help="one Scheduler server: fires jobs by their crons, keeps its state on disk",
        description=f"One Scheduler server. {PASSWORD_VARIABLE} is the password of its local account (default: admin).",
    )
    scheduler.set_defaults(run=_scheduler)
    _add_address(scheduler, port=8000)
    scheduler.add_argument("--data", type=Path, required=True, metavar="DIR", help="where its state lives")
    scheduler.add_argument("--timezone", type=_timezone, default="Europe/Madrid", help="default: %(default)s")
    scheduler.add_argument("--id-offset", type=int, default=1000, help="ids start here (default: %(default)s)")
    scheduler.add_argument("--version", default="9.1.0", help="what it says it is (default: %(default)s)")
    scheduler.add_argument("--mode", default="", help="what /me tells as schedulerMode")
    scheduler.add_argument("--clock", choices=["real", "manual"], default="real")
    scheduler.add_argument("--now", type=_moment, metavar="ISO8601Z", help="where a manual clock starts")
    scheduler.add_argument("--login", default="admin", help="its local account (default: %(default)s)")

    webtool = commands.add_parser("webtool", help="one web tool: the public REST API of any Scheduler server")
    webtool.set_defaults(run=_webtool)
    _add_address(webtool, port=9090)
    webtool.add_argument("--base-path", default="/webadmin/denodo-scheduler-admin", help="default: %(default)s")
    webtool.add_argument("--tls-cert", type=Path, metavar="FILE", help="PEM; serves HTTPS")
    webtool.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM; needed when it is not in --tls-cert")

    pair = commands.add_parser(
        "pair",
        help="a master with jobs and an empty slave, and the settings of an Airflow for them",
        description="Two Scheduler servers and two web tools on free ports, until Ctrl-C.",
    )
    pair.set_defaults(run=_pair)
    pair.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        nargs="?",
        default=Path("denodo-pair"),
        help="where the pair's state and settings are, also for the next start (default: %(default)s)",
    )

    load = commands.add_parser("load", help="fill a server from an export file")
    load.set_defaults(run=_load)
    load.add_argument("file", type=Path, metavar="FILE.zip")
    load.add_argument("--id-offset", type=int, help="with --data: ids start here (default: as the server last used)")
    _add_target(load, "--data", "the data directory of a server that is not running")

    generate = commands.add_parser("generate", help="make a realistic export file, or fill a server with one")
    generate.set_defaults(run=_generate)
    generate.add_argument("--jobs", type=int, default=500)
    generate.add_argument("--projects", type=int, default=12)
    generate.add_argument("--seed", type=int, default=1, help="the same seed gives the same jobs")
    generate.add_argument("--disabled", type=int, default=0, metavar="N", help="so many jobs are disabled")
    generate.add_argument("--busy", action="store_true", help="a server that never rests; two jobs run for hours")
    _add_target(generate, "--output", "write FILE.zip, the disabled jobs and lengths of runs to FILE.*.json")

    vendor_scripts.add_commands(commands.add_parser)

    scripts = commands.add_parser("scripts", help="write export.sh, import.sh and ping.sh as in <DENODO_HOME>")
    scripts.set_defaults(run=_scripts)
    scripts.add_argument("directory", type=Path, metavar="DIR")

    encrypt = commands.add_parser("encrypt-password", help="read a password, print it as -P of the scripts takes it")
    encrypt.set_defaults(run=_encrypt_password)
    return parser


def _add_address(parser: argparse.ArgumentParser, *, port: int) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=port, help="0: a free one (default: %(default)s)")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="warning")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="end when standard input does, as when the program at it has died"
    )


def _add_target(parser: argparse.ArgumentParser, option: str, text: str) -> None:
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(option, type=Path, help=text)
    target.add_argument("--server", type=_uri, metavar="//HOST:PORT", help="a running Scheduler server")
    parser.add_argument("--login", default="admin", help=f"with --server; its password is in {PASSWORD_VARIABLE}")


def _password() -> str:
    return os.environ.get(PASSWORD_VARIABLE, "admin")


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{name!r} is not a time zone; give an IANA name, as Europe/Madrid") from None
    return name


def _uri(text: str) -> str:
    if not re.fullmatch(r"//[^/]+:[0-9]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} does not name a Scheduler server; write //localhost:8000")
    return text


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; write 2026-01-01T00:00:00Z for UTC")
    return moment


def _pair(args: argparse.Namespace) -> None:
    from denodo_standin.pair import serve

    serve(args.folder)


def _scheduler(args: argparse.Namespace) -> None:
    from denodo_standin.scheduler import serve

    _watch_stdin(args)
    serve(
        host=args.host,
        port=args.port,
        data=args.data,
        timezone=args.timezone,
        id_offset=args.id_offset,
        version=args.version,
        mode=args.mode,
        clock=args.clock,
        now=args.now,
        login=args.login,
        password=_password(),
        log_level=args.log_level,
    )


def _webtool(args: argparse.Namespace) -> None:
    from denodo_standin.webtool import serve

    _watch_stdin(args)
    serve(
        host=args.host,
        port=args.port,
        base_path=args.base_path,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        log_level=args.log_level,
    )


def _watch_stdin(args: argparse.Namespace) -> None:
    if args.end_with_stdin:
        from denodo_standin.serving import end_with_stdin

        end_with_stdin()


def _scripts(args: argparse.Namespace) -> None:
    for script in vendor_scripts.write_scripts(args.directory):
        print(script)


def _encrypt_password(_args: argparse.Namespace) -> None:
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    print(vendor_scripts.encrypt_password(password))


def _load(args: argparse.Namespace) -> None:
    from denodo_standin.load import load_into_directory

    if args.server:
        _load_into_server(args.file, args)
    else:
        _show(load_into_directory(args.file, args.data, id_offset=args.id_offset))


def _generate(args: argparse.Namespace) -> None:
    from denodo_standin.generate import generate
    from denodo_standin.load import write

    generated = generate(jobs=args.jobs, projects=args.projects, seed=args.seed, disabled=args.disabled, busy=args.busy)
    if args.output:
        write(generated, args.output)
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "generated.zip"
        write(generated, file)
        _load_into_server(file, args)


def _load_into_server(file: Path, args: argparse.Namespace) -> None:
    from denodo_standin.load import load_into_server

    try:
        _show(load_into_server(file, args.server, args.login, _password()))
    except httpx.TransportError as error:
        raise ValueError(f"no answer from the Scheduler server at {args.server}: {error}. Is it running?") from None


def _show(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"WARNING: {warning}")
