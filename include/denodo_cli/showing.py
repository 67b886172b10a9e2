"""``denodo-ha status`` and ``denodo-ha list``: how one pair is, once or again and again, and how all pairs are."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from denodo_cli.airflow_api import AirflowApiError, ApiClient, Json
from denodo_cli.facts import age, facts, perfdata, plain, unknown, without_ages
from denodo_cli.options import CliError, explained
from denodo_cli.reading import AllPairs, UnknownPairError, read
from denodo_ha.record import Role
from denodo_ha.sight import Seen, Sight
from denodo_ha.status import SEVERITY, Level, Status, judge
from denodo_ha.text import one_line

Clock = Callable[[], datetime]

COLUMNS = ("level", "pair", "active", "phase", "verdict", *Role, "snapshot", "pending", "doubts", "what")
"""Those of the servers say how many jobs are enabled there, and how many there are."""
AT_ONCE = 8
"""So many requests are under way at the same time."""


def show_status(args: argparse.Namespace, api: ApiClient, clock: Clock) -> int:
    """Show how the pair is, as a table on a terminal, in lines for a monitoring system otherwise, or as JSON."""
    if args.watch:
        return _watch(args, api, clock)
    status, found = _judged(args, api, clock)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        print(status.summary)
        Console().print(_table(status))
    else:
        print(f"{plain(status.summary)} | {perfdata(found['perfdata'])}".removesuffix(" | "))
        for name, value in status.details.items():
            print(plain(f"{name}: {value}"))
    return status.level


def _judged(args: argparse.Namespace, api: ApiClient, clock: Clock) -> tuple[Status, Json]:
    sight = Sight(Seen(args.pair, read(api, args.pair)), clock(), args.max_age)
    status = _status(sight, verbose=args.verbose)
    return status, facts(sight, status)


def _status(sight: Sight, *, verbose: bool = False) -> Status:
    return judge(sight.seen.pair, sight.seen.reading, sight.now, sight.max_age, verbose=verbose)


def _table(status: Status) -> Table:
    table = Table(show_header=False)
    for name, value in status.details.items():
        table.add_row(name, Text(value))
    return table


# -- again and again


def _watch(args: argparse.Namespace, api: ApiClient, clock: Clock) -> int:
    """Show it again and again, until Ctrl-C; returns the last level. Airflow may be away for any time meanwhile."""
    show = _drawn if sys.stdout.isatty() and not args.json else _told_by_lines
    last = Level.UNKNOWN
    try:
        for level in show(args, _looks(args, api, clock), clock):
            last = level
            time.sleep(args.every.total_seconds())
    except KeyboardInterrupt:
        pass
    return last


def _looks(args: argparse.Namespace, api: ApiClient, clock: Clock) -> Iterator[tuple[Status, Json]]:
    """Yield one look after the other; a first look that fails ends it."""
    begun = False
    while True:
        try:
            look = _judged(args, api, clock)
        except (httpx.HTTPError, AirflowApiError, UnknownPairError, CliError) as error:
            if not begun:
                raise
            found = unknown(args.pair, explained(error, args.url))
            look = Status(Level.UNKNOWN, found["summary"], {}), found
        begun = True
        yield look


def _drawn(args: argparse.Namespace, looks: Iterator[tuple[Status, Json]], clock: Clock) -> Iterator[Level]:
    with Live(auto_refresh=False) as live:
        for status, _ in looks:
            last = Text(f"{clock():%H:%M:%S}Z, every {args.every.total_seconds():.0f} s; Ctrl-C ends", style="dim")
            live.update(Group(Text(status.summary), _table(status), last), refresh=True)
            yield status.level


def _told_by_lines(args: argparse.Namespace, looks: Iterator[tuple[Status, Json]], clock: Clock) -> Iterator[Level]:
    """A line for each change."""
    told: Json | None = None
    for status, found in looks:
        if told != (told := without_ages(found)):
            line = json.dumps(found, ensure_ascii=False) if args.json else f"{clock():%H:%M:%S}Z {status.summary}"
            print(line, flush=True)
        yield status.level


# -- all pairs


def show_list(args: argparse.Namespace, api: ApiClient, clock: Clock) -> int:
    """Show a line of each pair, the worst first; returns the level of the worst."""
    rows = _rows(args, api, clock)
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not rows:
        print("UNKNOWN - Airflow knows no pair, or none that this user may see: have its DAGs been read?")
    elif sys.stdout.isatty():
        _show_table(rows)
    else:
        for row in rows:
            print("  ".join(cell or "-" for cell in _cells(row)))
    return Level[rows[0]["level"]] if rows else Level.UNKNOWN


def _show_table(rows: Sequence[Json]) -> None:
    """In 80 columns. What is wrong with pairs that are not in order is told below; a pending job is a doubt too."""
    names = [str(name) for name in COLUMNS if name not in ("pending", "what")]
    table = Table(*(Column(name, no_wrap=name == "level") for name in names), box=None, padding=(0, 1, 0, 0))
    for row in rows:
        cells = dict(zip(COLUMNS, _cells(row), strict=True))
        table.add_row(*(Text(re.sub(r" (ago|old|doubts)$", "", cells[name])) for name in names))
    Console().print(table)
    for row in rows:
        if row["level"] != Level.OK.name:
            how = f". Next: {one_line(row['next_step'])}" if row["next_step"] else ""
            print(f"{row['pair']}: {one_line(row['what'])}{how}")


def _rows(args: argparse.Namespace, api: ApiClient, clock: Clock) -> list[Json]:
    """All pairs, the worst first. Airflow's API has the state of one asset only in a request, so there is one for each
    pair, several at a time, and a few for all that they have in common.
    """
    everything = AllPairs(api)

    def row(pair: str) -> Json:
        try:
            sight = Sight(Seen(pair, everything.read(pair)), clock(), args.max_age)
            return facts(sight, _status(sight))
        except Exception as error:  # whatever is the matter with one pair must not hide the others
            return unknown(pair, explained(error, args.url))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        rows = list(threads.map(row, everything.names))
    return sorted(rows, key=lambda each: (-SEVERITY.index(Level[each["level"]]), each["pair"]))


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if "at" not in row:
        return row["level"], row["pair"], *[""] * (len(COLUMNS) - 3), row["what"]
    now, snapshot = datetime.fromisoformat(row["at"]), row["snapshot"]
    return (
        row["level"],
        row["pair"],
        row["active"] or "",
        (row["phase"] or "") + ", paused" * bool(row["paused"]),
        f"{row['verdict'] or 'unknown'} {age(row['looked'], now)} ago" if row["looked"] else "",
        *("{}/{}".format(*counts) if counts else "" for counts in row["enabled"].values()),
        f"{age(snapshot['taken'], now)} old" if snapshot else "none",
        f"{len(row['pending'])} pending",
        f"{len(row['doubts'])} doubts",
        one_line(row["what"]),
    )


def add_status(commands: Any, duration: Callable[[str], timedelta], max_age: timedelta, told: str) -> tuple[Any, Any]:
    """Add both commands to the parser.

    :param told: ``max_age`` in words.
    """
    status = commands.add_parser("status", help="how the pair is; the exit code tells a monitoring system")
    status.add_argument(
        "--verbose",
        action="store_true",
        help="name each pending job with why and what to do, and what was learned of the servers",
    )
    status.add_argument(
        "--watch", action="store_true", help="go on until Ctrl-C; without a terminal a line each change"
    )
    status.add_argument(
        "--every",
        type=duration,
        default=timedelta(seconds=5),
        metavar="DURATION",
        help="with --watch: from one look to the next (default: 5s)",
    )
    listing = commands.add_parser("list", help="how all pairs are, a line each, the worst first")
    for command in (status, listing):
        command.add_argument("--json", action="store_true", help="all that is known, as JSON")
        command.add_argument(
            "--max-age",
            type=duration,
            default=max_age,
            metavar="DURATION",
            help="the monitor counts as stopped when the last look at the pair is older: the pair's watch.duration and "
            f"10 minutes more (default: {told})",
        )
    return status, listing
