"""``denodo-ha explain``: what a reason code, an event or an alert means; asks nobody."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from denodo_cli.options import CliError, shown_url
from denodo_ha.explained import ALERTS, KINDS, SECTIONS, Explanation, Kind, Place, Section, plain
from denodo_ha.explained.model import INCIDENTS_PAGE
from denodo_ha.runbook import of_alert, of_event, row_of
from denodo_ha.status import Level

WORDS = sorted({*(each.code for section in SECTIONS for each in section.codes), *(k.kind for k in KINDS), *ALERTS})


def add_explain(commands: Any) -> None:
    command = commands.add_parser(
        "explain",
        help="what a reason code, an event or an alert means, and what to do; needs no Airflow",
        epilog="With AIRFLOW_API_URL set, it says where Airflow shows the page. exit codes: 0, or 3: no such word.",
    )
    command.set_defaults(run=explain)
    command.add_argument("word", metavar="CODE", help="such as stale_snapshot").completer = lambda **_: WORDS


def explain(args: argparse.Namespace) -> int:
    """Print a paragraph for each place in which the word means something.

    :raises CliError: this version does not know the word.
    """
    told = list(_told(args.word))
    if not told:
        like = difflib.get_close_matches(args.word, WORDS, n=5)
        how = f"; known are {', '.join(like)}" if like else "; docs/reason-codes.md and docs/events.md list all"
        raise CliError(f"this version has no reason code, event or alert {args.word!r}{how}")
    print("\n\n".join("\n".join(filter(None, lines)) for lines in told))
    return Level.OK


def _told(word: str) -> Iterator[list[str]]:
    same: dict[Explanation, list[Section]] = {}
    for section in SECTIONS:
        if each := section.find(word):
            same.setdefault(each, []).append(section)
    yield from (_of_code(each, sections) for each, sections in same.items())
    yield from (_of_kind(each) for each in KINDS if each.kind == word)
    if word in ALERTS:
        yield [f"{word} (an alert)", f"  when:     {plain(ALERTS[word])}", _page(of_alert(word))]


def _of_code(each: Explanation, sections: Sequence[Section]) -> list[str]:
    titles = "; ".join(plain(section.title).removeprefix("Of ") for section in sections)
    return [
        f"{each.code} ({titles})",
        f"  means:    {plain(each.means)}",
        f"  the task: {plain(each.ends)}" if each.ends else "",
        f"  the tool: {plain(each.then)}" if each.then else "",
        f"  you can:  {plain(each.next_step) or 'Nothing has to be done.'}",
        _page(Place(INCIDENTS_PAGE, each.incident)) if each.incident else "",
        _page(row_of(each.code, sections[0])),
    ]


def _of_kind(each: Kind) -> list[str]:
    return [
        f"{each.kind} (an event)",
        f"  means:    {plain(each.means)}",
        f"  fields:   {plain(each.fields)}" if each.fields else "",
        _page(of_event({"kind": each.kind})),
    ]


def _page(place: Place) -> str:
    airflow = shown_url(os.environ.get("AIRFLOW_API_URL", "")).rstrip("/")
    anchor = f"#{place.anchor}" if place.anchor else ""
    return f"  page:     {f'{airflow}/denodo-ha/docs/{place.page}.html{anchor}' if airflow else f'docs/{place}'}"
