"""What the commands of ``denodo-ha`` have in common: the parser, the way to Airflow, and errors in one line."""

from __future__ import annotations

import argparse
import os
import re
import ssl
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import httpx

from denodo_cli.airflow_api import AirflowApiError, ApiClient
from denodo_cli.reading import UnknownPairError
from denodo_ha.durations import parse_duration
from denodo_ha.status import Level
from denodo_ha.text import one_line

EPILOG = """\
Airflow is found and logged in to by AIRFLOW_API_URL, AIRFLOW_USER and AIRFLOW_PASSWORD, or by AIRFLOW_TOKEN instead of
the last two; AIRFLOW_CA_FILE names the certificates that are trusted. exit codes, as monitoring plugins have them:
0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (it cannot be told; also a wrong command line).
"""


class CliError(ValueError):
    """A mistake on the command line or in the environment; the message is one line for a person."""


class Parser(argparse.ArgumentParser):
    """A parser that ends with 3 where argparse would end with 2, which means CRITICAL to a monitoring system.

    No option can be shortened, so that none is given by mistake.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "epilog": EPILOG, **arguments})

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Level.UNKNOWN, f"{self.prog}: {message}\n")


def add_airflow(command: argparse.ArgumentParser) -> None:
    """Add the options of the way to Airflow. None holds a secret, because others on the machine see the command."""
    url = os.environ.get("AIRFLOW_API_URL") or "http://localhost:8080"
    shown = shown_url(url).replace("%", "%%")
    command.add_argument("--url", default=url, help=f"address of Airflow (default: {shown})")
    command.add_argument("--user", default=os.environ.get("AIRFLOW_USER", ""))
    command.add_argument("--password-file", type=Path, metavar="FILE", help="read the password from its first line")
    command.add_argument(
        "--token-file", type=Path, metavar="FILE", help="read a token from its first line, again when it has expired"
    )
    command.add_argument(
        "--ca-file",
        type=Path,
        metavar="FILE",
        default=os.environ.get("AIRFLOW_CA_FILE") or None,
        help="certificates (PEM) by which that of Airflow is trusted",
    )
    command.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="default: %(default)s")


def make_api(args: argparse.Namespace) -> ApiClient:
    """Make the client that the options and the environment ask for.

    :raises CliError: there is no login, or a file cannot be read.
    """
    token, password = os.environ.get("AIRFLOW_TOKEN", ""), os.environ.get("AIRFLOW_PASSWORD", "")
    more = {"timeout": args.timeout, "tls": _trusted(args.ca_file)}
    if args.token_file:
        return ApiClient(args.url, token=lambda: _usable(_first_line(args.token_file, "token")), **more)
    if args.password_file:
        token, password = "", _first_line(args.password_file, "password")
    if token:
        return ApiClient(args.url, token=lambda: _usable(token), **more)
    if not (args.user and password):
        raise CliError(
            "no login: set AIRFLOW_USER and AIRFLOW_PASSWORD (or --user and --password-file), or AIRFLOW_TOKEN (or "
            "--token-file)"
        )
    return ApiClient(args.url, args.user, password, **more)


def _usable(token: str) -> str:
    """A token that a header can hold. The HTTP library would tell another one whole in its error."""
    token = token.strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise CliError("the token is empty, or has characters that no token has; give it alone, in one line")
    return token


def _first_line(file: Path, what: str) -> str:
    try:
        return file.read_text().split("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"the {what} cannot be read from {file}: {error}") from None


def _trusted(ca_file: Path | str | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise CliError(f"no certificates can be read from {ca_file}: {error}") from None


def shown_url(url: str) -> str:
    """The address without what may be a password in it."""
    return re.sub(r"//.*@", "//", url)


def explained(error: Exception, url: str) -> str:
    """Describe an error in one line without secrets, with what to do where that is known."""
    url = shown_url(url)
    if isinstance(error, AirflowApiError) and error.refuses_user:
        text = _refused(error, url)
    elif isinstance(error, AirflowApiError) and (error.status, error.request) == (404, "GET /assets"):
        how = "give its address with its base path, if it has one, by --url or AIRFLOW_API_URL"
        text = f"there is no API of Airflow 3.3 at {url} (404). Next: {how}"
    elif isinstance(error, AirflowApiError | CliError | UnknownPairError):
        text = str(error)
    elif isinstance(error, httpx.TimeoutException):
        text = f"Airflow at {url} does not answer in time"
    elif isinstance(error, httpx.HTTPError | httpx.InvalidURL):
        how = ". Next: name the CA of Airflow's certificate by --ca-file or AIRFLOW_CA_FILE"
        text = f"Airflow at {url} cannot be reached: {error}{how * ('CERTIFICATE_VERIFY_FAILED' in str(error))}"
    else:
        text = f"Airflow at {url} answered something unexpected: {error!r}"
    return one_line(text)[:600]


def _refused(error: AirflowApiError, url: str) -> str:
    if error.refuses_login:
        how = f"make a new token (POST {url}/auth/token, or the person's own in Airflow), or correct user and password"
        return f"Airflow at {url} refuses the login ({error.status}, {error.detail[:100]}). Next: {how}"
    start = re.fullmatch(r"POST /dags/([^/~]+)/dagRuns", error.request)
    may_not = f"start runs of {start[1]}" if start else f"do this: {error.request}"
    role = "user (in FAB, User)" if start else "viewer (in FAB, Viewer)"
    what = "triggering this DAG" if start else "reading assets, DAGs, runs, tasks, XComs and pools"
    return (
        f"Airflow at {url} does not let this user {may_not} ({error.status}). Next: have an administrator give the "
        f"user permission for {what}, which the role {role} has"
    )


def duration(text: str) -> timedelta:
    try:
        return parse_duration(int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)
