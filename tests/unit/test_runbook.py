"""What leads to the documentation leads to an anchor that its pages have, as they are shown."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from denodo_ha.decisions import Alert
from denodo_ha.explained import KINDS, SECTIONS, Section
from denodo_ha.runbook import Place, heading_anchor, of_alert, of_code, of_event, row_anchor, row_of
from denodo_scheduler.web.docs import MARKDOWN, anchored

ROOT = Path(__file__).parents[2]
CODES = sorted({each.code for section in SECTIONS for each in section.codes})


@cache
def anchors(page: str) -> list[str]:
    """The anchors of a page of ``docs/``, as the page of pairs shows it."""
    return anchored(MARKDOWN.parse((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")))


def exists(place: Place) -> bool:
    return place.anchor in anchors(place.page) if place.anchor else bool(anchors(place.page))


@pytest.mark.parametrize("code", CODES)
def test_every_code_leads_to_an_anchor(code: str) -> None:
    places = {of_code(code, dag) for dag in ("", "sync", "failover", "switchover", "operations", "drill")}
    assert {place for place in places if not exists(place)} == set()
    assert all(place.anchor for place in places)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda each: each.title)
def test_a_code_of_several_sections_leads_to_the_row_of_its_own(section: Section) -> None:
    rows = anchors_below(heading_anchor(section.title.replace("`", "")))
    assert [row_of(each.code, section).anchor for each in section.codes] == rows


def anchors_below(section: str) -> list[str]:
    """The anchors of the rows between the heading of a section and the one after it."""
    tokens = MARKDOWN.parse((ROOT / "docs" / "reason-codes.md").read_text(encoding="utf-8"))
    anchored(tokens)
    found: list[str] = []
    inside = False
    for token in tokens:
        if token.type == "heading_open":
            inside = token.attrGet("id") == section
        elif inside and token.children:
            found += [str(each.attrGet("id")) for each in token.children if each.attrGet("id")]
    return found


@pytest.mark.parametrize("alert", list(Alert))
def test_every_alert_has_its_row(alert: Alert) -> None:
    assert exists(of_alert(alert))
    assert of_alert(alert).anchor == f"alerts-{alert}"


@pytest.mark.parametrize("kind", [each.kind for each in KINDS])
def test_every_kind_of_event_has_a_place(kind: str) -> None:
    place = of_event({"kind": kind})
    assert exists(place)
    assert place.anchor != "history"


def test_an_event_with_a_code_leads_where_the_code_does() -> None:
    assert of_event({"kind": "problem", "code": "stale_snapshot"}, "stale_snapshot") == of_code("stale_snapshot")
    assert of_event({"kind": "drill", "code": "interrupted"}) == of_code("interrupted", "drill")


def test_an_event_that_is_told_by_its_alert_alone() -> None:
    assert of_event({"kind": "sync"}, "pending") == Place("events", "alerts-pending")


@pytest.mark.parametrize("event", [{}, {"kind": None}, {"kind": 7, "code": 8}, {"code": "a code of tomorrow"}])
def test_what_this_version_does_not_know_leads_to_a_chapter(event: dict[str, object]) -> None:
    assert exists(of_event(event))
    assert exists(of_code("a code of tomorrow", "a dag of tomorrow"))
    assert exists(of_alert("an alert of tomorrow"))


def test_the_incidents_of_a_failover() -> None:
    assert of_code("active_unreachable") == Place("runbooks", "the-slave-dies-while-it-is-active")
    assert of_code("record_lost", "sync") == Place("runbooks", "record-lost")
    assert of_code("same_server", "sync").page == "reason-codes"
    assert of_event({"kind": "failover"}, "failover") == Place("runbooks", "master-dead")


class TestAnchors:
    def test_of_headings_as_github_makes_them(self) -> None:
        assert heading_anchor("What `decide` found: it's (maybe) 5 things") == "what-decide-found-its-maybe-5-things"
        assert heading_anchor("Again", {"again", "again-1"}) == "again-2"

    def test_of_rows(self) -> None:
        assert row_anchor("code", "here", "halted") == "code-halted"
        assert row_anchor("code", "here", "halted", {"code-halted"}) == "here-halted"
        assert row_anchor("finding", "here", "at work") == "here-at-work"
