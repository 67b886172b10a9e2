"""The commands ``export``, ``import`` and ``ping`` with the vendor's flags and exit codes [D].

Like the vendor's scripts they talk to the Scheduler process itself, not to the web tool, and take the password as
``-P``, plain or as ``encrypted:…``. Denodo has an encryption of its own; that of the stand-in is base64, made by
``denodo-standin encrypt-password``, and does not protect the password.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

_ENCRYPTED = "encrypted:"
_EXPORT_FLAGS = {
    "dependencies": "exportDependencies",
    "config": "config",
    "drivers": "drivers",
    "plugins": "plugins",
    "exportWithProperties": "exportWithProperties",
    "permissions": "permissions",
    "xml": "exportAsXML",
}
_REPLACE_FLAGS = ("replaceJobs", "replaceDataSources", "replacePlugins", "replaceDrivers")


class ScriptError(Exception):
    """The script failed; the message says why and what to do."""


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the three commands to the subparsers whose ``add_parser`` is ``add``."""
    export = _command(add, "export", export_metadata, "write a server's metadata to a file")
    export.add_argument("-L", dest="projects", metavar="P1,P2", help="only these projects")
    for flag in _EXPORT_FLAGS:
        export.add_argument(f"-{flag}", action="store_true")
    export.add_argument("-mp", dest="metadata_password", metavar="PASSWORD", help="encrypts the secrets in the file")
    export.add_argument("-f", dest="file", type=Path, required=True, metavar="FILE")

    import_ = _command(add, "import", import_metadata, "load a file into a server")
    import_.add_argument("-f", dest="file", type=Path, required=True, metavar="FILE")
    import_.add_argument("-pf", dest="properties", type=Path, metavar="PROPERTIES")
    for flag in ("replace", *_REPLACE_FLAGS):
        import_.add_argument(f"-{flag}", action="store_true")

    ping_ = _command(add, "ping", ping, "ask a Scheduler server whether it is there", needs_login=False)
    ping_.add_argument("-t", dest="timeout", type=int, default=60_000, metavar="MS")
    ping_.add_argument("-a", dest="authentication", choices=["local", "vdp"], default="local")
    ping_.add_argument("-v", dest="verbose", action="store_true")


def export_metadata(args: argparse.Namespace) -> None:
    """Export into ``args.file``, which appears only when it is complete."""
    options: dict[str, Any] = {name: True for flag, name in _EXPORT_FLAGS.items() if getattr(args, flag)}
    if args.metadata_password:
        options["metadataPassword"] = args.metadata_password
    if args.projects:
        options["projects"] = args.projects.split(",")
    partial = args.file.with_name(f"{args.file.name}.part")
    with _asking(args) as client, client.stream("POST", "/serverMetadata/export", json=options) as answer:
        _check(answer)
        try:
            with partial.open("wb") as output:
                for chunk in answer.iter_raw():
                    output.write(chunk)
            partial.replace(args.file)
        finally:
            partial.unlink(missing_ok=True)
    print(f"Metadata exported to {args.file}")


def import_metadata(args: argparse.Namespace) -> None:
    """Import ``args.file``; warnings are printed and are no error."""
    query = {flag: "true" for flag in _REPLACE_FLAGS if args.replace or getattr(args, flag)}
    if args.properties:
        print(f"WARNING: {args.properties} is not used: export files of the stand-in hold no properties")
    headers = {"content-type": "application/octet-stream", "content-length": str(args.file.stat().st_size)}
    with _asking(args) as client:
        answer = client.post("/serverMetadata/import", params=query, headers=headers, content=_chunks(args.file))
        _check(answer)
    for warning in answer.json()["warnings"]:
        print(f"WARNING: {warning}")
    print(f"Metadata imported from {args.file}")


def ping(args: argparse.Namespace) -> None:
    """Ask the server whether it is alive. Without a login any answer counts, also a 401."""
    with _asking(args, timeout=args.timeout / 1000) as client:
        answer = client.get("/me")
        if args.login or answer.status_code != 401:
            _check(answer)
    print(f"The Scheduler server at {args.host}:{args.port} is alive")
    if args.verbose:
        print(answer.text)


def write_scripts(directory: Path) -> list[Path]:
    """Write executables ``tools/scheduler/{export,import,ping}.sh`` below ``directory``, the <DENODO_HOME> layout."""
    folder = directory / "tools" / "scheduler"
    folder.mkdir(parents=True, exist_ok=True)
    scripts = []
    for name in ("export", "import", "ping"):
        script = folder / f"{name}.sh"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m denodo_standin {name} "$@"\n')
        script.chmod(0o755)
        scripts.append(script)
    return scripts


def encrypt_password(password: str) -> str:
    """Return ``encrypted:…`` for ``-P``."""
    return _ENCRYPTED + base64.b64encode(password.encode()).decode()


def decrypt_password(given: str) -> str:
    """Return the password that ``-P`` names.

    :raises ScriptError: it begins with ``encrypted:`` and the rest is not what :func:`encrypt_password` writes
    """
    if not given.startswith(_ENCRYPTED):
        return given
    try:
        return base64.b64decode(given.removeprefix(_ENCRYPTED), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ScriptError(
            "-P: this encrypted password was not made by 'denodo-standin encrypt-password'; make it anew."
        ) from None


def _command(
    add: Callable[..., argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    text: str,
    *,
    needs_login: bool = True,
) -> argparse.ArgumentParser:
    parser = add(name, help=text, description=text, add_help=False, allow_abbrev=False)
    parser.set_defaults(run=run)
    parser.add_argument("--help", action="help")
    parser.add_argument("-h", dest="host", default="localhost", metavar="HOST")
    parser.add_argument("-p", dest="port", type=int, default=8000, metavar="PORT")
    parser.add_argument("-l", dest="login", required=needs_login, metavar="LOGIN")
    parser.add_argument("-P", dest="password", required=needs_login, metavar="PASSWORD", help="or encrypted:…")
    parser.add_argument("-vdpauth", action="store_true", help="log in through Virtual DataPort")
    return parser


@contextmanager
def _asking(args: argparse.Namespace, timeout: float | None = None) -> Iterator[httpx.Client]:
    """Open a client of the server that ``args`` names; failures to reach it become a :class:`ScriptError`."""
    login = (args.login, decrypt_password(args.password or "")) if args.login else None
    base_url = f"http://{args.host}:{args.port}/rmi"
    try:
        with httpx.Client(base_url=base_url, auth=login, timeout=timeout, trust_env=False) as client:
            yield client
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ScriptError(
            f"No answer from the Scheduler server at {args.host}:{args.port}: {error}. Is it running, and is -p the "
            "port of the Scheduler server itself, not of the web tool?"
        ) from None


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    if answer.status_code == 401:
        raise ScriptError("The server refused the login. Check -l and -P, and that Virtual DataPort is up.")
    answer.read()
    try:
        body = answer.json()
        reasons = [body["message"], *(each["message"] for each in body["subErrors"])]
    except (ValueError, TypeError, KeyError):
        reasons = [f"HTTP {answer.status_code}"]
    raise ScriptError(f"The server refused: {' '.join(reasons)}")


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(65536):
            yield chunk
