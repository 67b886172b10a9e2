"""What leads to the documentation leads to an anchor that its pages have, as they are shown."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from denodo_ha import runbook
from denodo_ha.decisions import DECISIONS, Alert
from denodo_ha.runbook import Place, heading_anchor, of_alert, of_code, of_event, row_anchor
from denodo_scheduler.web.docs import MARKDOWN, anchored
from support.outside import explained

ROOT = Path(__file__).parents[2]
PINNED = json.loads((ROOT / "tests" / "outside" / "pinned" / "codes.json").read_text())
SECTIONS: dict[str, list[str]] = PINNED["explained in docs/operator.md"]
KINDS = explained("History")["History"]


@cache
def anchors(page: str) -> list[str]:
    """The anchors of a page of ``docs/``, as the page of pairs shows it."""
    return anchored(MARKDOWN.parse((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")))


def exists(place: Place) -> bool:
    return place.anchor in anchors(place.page)


DAGS = ("", "sync", "failover", "switchover", "operations", "drill")


@pytest.mark.parametrize("code", sorted({*PINNED["decisions"], *(code for each in SECTIONS.values() for code in each)}))
def test_every_code_leads_to_an_anchor(code: str) -> None:
    places = {of_code(code, dag) for dag in DAGS}
    assert {place for place in places if not exists(place)} == set()
    assert "reason-codes" not in {place.anchor for place in places}


def test_the_codes_are_those_of_the_page() -> None:
    page = {heading_anchor(title.replace("`", "")): codes for title, codes in SECTIONS.items()}
    assert {section: sorted(set(codes.split())) for section, codes in runbook.CODES.items()} == page


def test_every_decision_has_a_place() -> None:
    assert [code for code in DECISIONS if not exists(of_code(code))] == []


@pytest.mark.parametrize(
    ("dag", "section"), [(dag, section) for dag, each in runbook.FIRST.items() for section in each]
)
def test_a_code_of_several_dags_leads_to_the_table_of_its_own(dag: str, section: str) -> None:
    rows = anchors_below(section)
    found = {code: of_code(code, dag).anchor for code in runbook.CODES[section].split()}
    first = runbook.CODES[runbook.FIRST[dag][0]].split()
    assert {code: anchor for code, anchor in found.items() if anchor not in rows and code != "record_lost"}.keys() <= (
        {*first} if section != runbook.FIRST[dag][0] else set()
    )


def anchors_below(section: str) -> set[str]:
    """The anchors of the rows between the heading of a section and the one after it."""
    tokens = MARKDOWN.parse((ROOT / "docs" / "operator.md").read_text(encoding="utf-8"))
    anchored(tokens)
    found: set[str] = set()
    inside = False
    for token in tokens:
        if token.type == "heading_open":
            inside = token.attrGet("id") == section
        elif inside and token.children:
            found |= {str(each.attrGet("id")) for each in token.children if each.attrGet("id")}
    return found


@pytest.mark.parametrize("alert", list(Alert))
def test_every_alert_has_its_row(alert: Alert) -> None:
    assert exists(of_alert(alert))
    assert of_alert(alert).anchor == f"alerts-{alert}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_has_a_place(kind: str) -> None:
    place = of_event({"kind": kind})
    assert exists(place)
    assert place.anchor != "history"


def test_an_event_with_a_code_leads_where_the_code_does() -> None:
    assert of_event({"kind": "problem", "code": "stale_snapshot"}, "stale_snapshot") == of_code("stale_snapshot")
    assert of_event({"kind": "drill", "code": "interrupted"}) == of_code("interrupted", "drill")


def test_an_event_that_is_told_by_its_alert_alone() -> None:
    assert of_event({"kind": "sync"}, "pending") == Place("operator", "alerts-pending")


@pytest.mark.parametrize("event", [{}, {"kind": None}, {"kind": 7, "code": 8}, {"code": "a code of tomorrow"}])
def test_what_this_version_does_not_know_leads_to_a_chapter(event: dict[str, object]) -> None:
    assert exists(of_event(event))
    assert exists(of_code("a code of tomorrow", "a dag of tomorrow"))
    assert exists(of_alert("an alert of tomorrow"))


def test_the_incidents_of_a_failover() -> None:
    assert of_code("active_unreachable") == Place("runbooks", "the-slave-dies-while-it-is-active")
    assert of_code("record_lost", "sync") == Place("runbooks", "record-lost")
    assert of_code("same_server", "sync").page == "operator"
    assert of_event({"kind": "failover"}, "failover") == Place("runbooks", "master-dead")


class TestAnchors:
    def test_of_headings_as_github_makes_them(self) -> None:
        assert heading_anchor("What `decide` found: it's (maybe) 5 things") == "what-decide-found-its-maybe-5-things"
        assert heading_anchor("Again", {"again", "again-1"}) == "again-2"

    def test_of_rows(self) -> None:
        assert row_anchor("code", "here", "halted") == "code-halted"
        assert row_anchor("code", "here", "halted", {"code-halted"}) == "here-halted"
        assert row_anchor("finding", "here", "at work") == "here-at-work"
