"""How reason codes, events and alerts are explained.

The texts are whole sentences in Markdown: ``**resume**`` is something that a person can do to a pair, and
``[the check][readiness]`` a link to a place of :data:`PLACES`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """A place in the documentation.

    :param page: the name of the page without its extension.
    :param anchor: the part of the address behind the ``#``; empty for the page itself.
    """

    page: str
    anchor: str = ""

    def __str__(self) -> str:
        """Return the place as the pages link to it, such as ``runbooks.md#master-dead``."""
        return f"{self.page}.md" + (f"#{self.anchor}" if self.anchor else "")


CODES_PAGE, EVENTS_PAGE, INCIDENTS_PAGE = "reason-codes", "events", "runbooks"

PLACES = {
    "alerts": Place("alerts"),
    "by hand": Place(INCIDENTS_PAGE, "i-want-to-do-it-by-hand"),
    "building blocks": Place("building-blocks", "a-dag-that-runs-on-a-failover"),
    "codes": Place(CODES_PAGE),
    "command": Place("command", "explain"),
    "drill": Place("drill"),
    "gap": Place("switchover", "what-it-reports"),
    "learned": Place("decisions", "what-counts-as-the-same-definition"),
    "looks paused": Place("decisions", "a-paused-server-proves-nothing"),
    "monitor": Place("monitoring", "whether-the-failover-dag-looks"),
    "one writer": Place("storage", "one-writer"),
    "readiness": Place("readiness"),
    "versions": Place("airflow", "versions-of-the-record"),
    "what you can do": Place("on-duty", "what-you-can-do"),
}
"""Where the texts lead to, by the names that they use."""

LINK = re.compile(r"\[([^]\[]+)]\[([^]\[]+)]")
"""A link in a text, and the name of its place."""


@dataclass(frozen=True)
class Explanation:
    """What a reason code means where one of the DAGs tells it.

    :param next_step: what a person can do about it; empty where nothing has to be done.
    :param then: what the tool does then; empty where it does nothing by itself.
    :param ends: how the task ends, such as ``failed``.
    :param incident: the anchor of the section of ``docs/runbooks.md`` that is about it.
    """

    code: str
    means: str
    next_step: str = ""
    then: str = ""
    ends: str = ""
    incident: str = ""

    @property
    def helps(self) -> tuple[str, ...]:
        """What a person can do to the pair, by the words in bold of the next step, in small letters."""
        return tuple(word.lower() for word in re.findall(r"\*\*(.+?)\*\*", self.next_step))


@dataclass(frozen=True)
class Section:
    """The codes that one DAG, or one of its parts, tells.

    :param dags: the kinds of DAGs whose codes are looked for here before all other sections; ``failover_step`` is that
        of the tasks of the failover DAG that carry out what was decided.
    :param intro: what is true of all its codes.
    """

    title: str
    codes: tuple[Explanation, ...]
    dags: tuple[str, ...] = ()
    intro: str = ""

    def find(self, code: str) -> Explanation | None:
        return next((each for each in self.codes if each.code == code), None)


@dataclass(frozen=True)
class Kind:
    """A kind of event of the history.

    :param fields: what such an event has besides the fields of all events.
    :param incident: the anchor of the section of ``docs/runbooks.md`` that is about it.
    """

    kind: str
    means: str
    fields: str = ""
    incident: str = ""


def plain(text: str) -> str:
    """Return a text without its marks of Markdown, for a terminal or a message."""
    text = LINK.sub(r"\1", text)
    return re.sub(r"(\*\*?|`)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
