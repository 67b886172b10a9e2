"""What the vendor's scripts take for the options of export and import [D]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from denodo_ha.server.options import METADATA_PASSWORD, Direction, OptionsError

ENCRYPTED = "encrypted:"
HOW_TO_ENCRYPT = (
    f"Encrypt it on the machine of the scripts with <DENODO_HOME>/bin/encrypt_password.sh, and put {ENCRYPTED} before "
    "what that prints"
)

_FLAGS: Mapping[str, Mapping[str, str]] = {
    "export": {
        "config": "-config",
        "drivers": "-drivers",
        "plugins": "-plugins",
        "permissions": "-permissions",
        "exportDependencies": "-dependencies",
        "exportWithProperties": "-exportWithProperties",
        "exportAsXML": "-xml",
    },
    "import": {
        option: f"-{option}" for option in ("replaceJobs", "replaceDataSources", "replacePlugins", "replaceDrivers")
    },
}


def script_flags(script: Direction, options: Mapping[str, Any]) -> list[str]:
    """
    Turn options, named as over REST, into flags.

    :raises OptionsError: naming all that have none.
    """
    flags: list[str] = []
    problems: list[str] = []
    for option, wish in options.items():
        if wish is None:
            continue
        if problem := _problem(script, option, wish):
            problems.append(f"{option}: {problem}")
        elif option == METADATA_PASSWORD:
            flags += ["-mp", wish]
        elif wish:
            flags.append(_FLAGS[script][option])
    if problems:
        raise OptionsError(f"some options cannot be passed on, so nothing was run. {'. '.join(problems)}")
    return flags


def _problem(script: Direction, option: str, wish: object) -> str | None:
    """Say why an option cannot be passed on. ``-mp`` exists for the export only, from 9.1 on [D]."""
    if option == METADATA_PASSWORD and script == "import":
        return (
            "import.sh takes none. Remove metadata_password from the connection's extra, and give both installations "
            "the same key for exports, or let this connection import over REST"
        )
    if option == METADATA_PASSWORD:
        encrypted = isinstance(wish, str) and wish.startswith(ENCRYPTED)
        return None if encrypted else f"a plain one would be seen in the process list. {HOW_TO_ENCRYPT}"
    if option not in _FLAGS[script]:
        return f"the script has no such flag; it has those for {', '.join(_FLAGS[script])}"
    return None if isinstance(wish, bool) else "with the scripts it is true, false or null"
