"""``denodo-ha history``: what happened to a pair, in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from denodo_ha.text import one_line
from denodo_ha.told import facts, text
from denodo_ha.words import doer, moment, word

COLUMNS = ("when", "what happened", "who", "why")


class Row(NamedTuple):
    """One event as it is shown; ``who`` and ``why`` are empty where nobody is known."""

    when: str
    what: str
    who: str
    why: str

    def __str__(self) -> str:
        by = f"by {self.who}" if self.who else ""
        behind = ": ".join(filter(None, [by, self.why]))
        return f"{self.when}  {self.what}{f' ({behind})' if behind else ''}"


def show(events: Sequence[Mapping[str, Any]], *, verbose: bool = False, as_json: bool = False) -> None:
    """Print events, the oldest first: a table on a terminal, a line each otherwise, or whole as JSON.

    :param verbose: with the facts behind each sentence.
    """
    if as_json:
        print(json.dumps(events, indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        _table(events, verbose=verbose)
    else:
        for event in events:
            print(row(event))
            for label, said in facts(event) if verbose else ():
                print(f"    {label}: {said}")


def row(event: Mapping[str, Any]) -> Row:
    at = event.get("at")
    return Row(moment(at) or one_line(str(at)), text(event), doer(event.get("actor")), word(event.get("reason")))


def _table(events: Sequence[Mapping[str, Any]], *, verbose: bool) -> None:
    table = Table(show_lines=verbose)
    for name in COLUMNS:
        table.add_column(name, no_wrap=name == "when", overflow="fold", ratio=None if name == "when" else 1)
    table.columns[1].ratio = 4
    for event in events:
        shown = row(event)
        told = [f"{label}: {said}" for label, said in facts(event)] if verbose else []
        table.add_row(shown.when, Text("\n".join([shown.what, *told])), Text(shown.who), Text(shown.why))
    Console().print(table)
