"""Where the documentation says what to do about a reason code, an alert or an event.

The pages of ``docs/`` are shown with an anchor at each heading, and at each word that a table explains in its first
column: :func:`row_anchor`. What explains a code or an event names the incident of ``docs/runbooks.md`` that is about
it, which comes before the row of ``docs/reason-codes.md`` or ``docs/events.md``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

from denodo_ha.explained import ALERTS, KINDS, SECTIONS, Place, Section, found
from denodo_ha.explained.model import CODES_PAGE, EVENTS_PAGE, INCIDENTS_PAGE


def of_code(code: str, dag: str = "") -> Place:
    """Return where a reason code is explained: its runbook, or its row.

    :param dag: the kind of DAG that the code comes from, such as ``sync``; one word may be the code of several.
    :return: the page of all codes, where another version of the project knows the code and this one does not.
    """
    told = found(code, dag)
    if told is None:
        return Place(CODES_PAGE)
    section, explanation = told
    return Place(INCIDENTS_PAGE, explanation.incident) if explanation.incident else row_of(code, section)


def row_of(code: str, section: Section) -> Place:
    """Return the row of a code in one of the sections that explain it."""
    first = next(each for each in SECTIONS if each.find(code))
    title = heading_anchor(section.title.replace("`", ""))
    return Place(CODES_PAGE, row_anchor("code", title, code, () if section is first else {f"code-{code}"}))


def of_alert(alert: str) -> Place:
    """Return where the documentation tells when an alert is sent."""
    return Place(EVENTS_PAGE, f"alerts-{alert}" if alert in ALERTS else "alerts")


def of_event(event: Mapping[str, Any], alert: str = "") -> Place:
    """Return where the documentation says what to do about an event of the history.

    :param alert: the alert by which people are told of it, where they are.
    """
    kind, code = str(event.get("kind") or ""), event.get("code")
    if code and found(str(code)):
        return of_code(str(code), kind)
    if alert in ("pending", "double_run"):
        return of_alert(alert)
    if known := next((each for each in KINDS if each.kind == kind), None):
        return Place(INCIDENTS_PAGE, known.incident) if known.incident else Place(EVENTS_PAGE, f"history-{kind}")
    return of_alert(alert) if alert else Place(EVENTS_PAGE, "history")


def heading_anchor(heading: str, taken: Container[str] = ()) -> str:
    """Return the anchor that GitHub makes of the text of a heading.

    :param taken: the anchors of the headings before it on the page.
    """
    anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
    return _free(anchor, taken)


def row_anchor(column: str, section: str, word: str, taken: Container[str] = ()) -> str:
    """Return the anchor of a word that a row of a table explains in its first column.

    :param column: the title of that column.
    :param section: the anchor of the heading above the table.
    :param taken: the anchors before it on the page; a code that an earlier table explains too gets that of its section.
    """
    name = re.sub(r"[^\w\-]+", "-", word).strip("-")
    anchor = f"code-{name}"
    return anchor if column == "code" and anchor not in taken else _free(f"{section}-{name}", taken)


def _free(anchor: str, taken: Container[str]) -> str:
    number, free = 0, anchor
    while free in taken:
        number += 1
        free = f"{anchor}-{number}"
    return free
