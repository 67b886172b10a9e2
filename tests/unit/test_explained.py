"""Each reason code, event and alert of the code is explained, and nothing else; the generated pages are current."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from denodo_ha.alerts import WRONG_PAIR
from denodo_ha.decisions import DECISIONS, RULES, Alert
from denodo_ha.explained import ALERTS, DECIDED, KINDS, SECTIONS, Section, found, of_failover, plain, sections_of
from denodo_ha.explained.model import LINK, PLACES
from denodo_ha.explained.sync import SYNC
from denodo_ha.offers import IDS
from denodo_ha.preconditions import sync_may_begin
from denodo_ha.record import Operation, Pause, Phase, Record, Role, Step
from denodo_ha.watching import FAILED, MONITOR_STOPPED, STEP_FAILED
from denodo_scheduler.exceptions import (
    ConfigurationError,
    NoTokenError,
    TokenRefusedError,
    WrongArgumentError,
    WrongConnectionError,
)

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    [*(ROOT / "plugins" / "denodo_scheduler").rglob("*.py"), *(ROOT / "include" / "denodo_ha").rglob("*.py")]
)

CODED = {
    "Blocked": 0,
    "NotYet": 0,
    "NothingToDo": 0,
    "Reason": 0,
    "Decision": 0,
    "_blocked": 0,
    "_healthy": 0,
    "_Unproven": 0,
}
CODED |= {"Admission": 1}
"""What is called with a reason code, and as which argument."""
KINDS_OF_CALLS = {"event": 0, "_saved": 1, "leave": 0, "left": 2, "Change": 1, "News": 0, "DisablingEvent": 1}
"""What is called with a kind of event."""

Calls = Mapping[str, int]


def refusals() -> set[str]:
    """The codes with which a sync may not begin, in every state of the record."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    other = Operation(
        kind="failover", id="a", target="b", step=Step.CLAIMED, started=now, lease_until=now + timedelta(minutes=2)
    )
    records = [Record(phase=phase, active=role) for phase in Phase for role in Role]
    records += [Record(paused=Pause(since=now, reason="x")), Record(operation=other)]
    tried = product(records, Role)
    return {found[0] for record, source in tried if (found := sync_may_begin(record, now, source))}


COMPUTED: dict[tuple[str, str], set[str]] = {
    ("decisions.py", "code"): set(),
    ("decisions.py", "self.code"): set(),
    ("outcome.py", "code"): set(),
    ("exceptions.py", "self.code"): {
        each.code
        for each in (ConfigurationError, NoTokenError, TokenRefusedError, WrongArgumentError, WrongConnectionError)
    },
    ("look.py", "reason.code"): set(),
    ("passive.py", "self.kind"): set(),
    ("passive.py", "code"): set(),
    ("report.py", "news.kind"): set(),
    ("operation.py", "kind"): set(),
    ("operate.py", "found.kind"): set(),
    ("operation.py", "f'{intent.operation.kind}_begun'"): {"failover_begun", "switchover_begun"},
    ("guard.py", "reason.code"): set(),
    ("guard.py", "f'{role}_changed'"): {"master_changed", "slave_changed"},
    ("preconditions.py", "record.phase.value if under_way else 'master_active'"): refusals(),
    ("preconditions.py", "record.phase.value"): {"failing_over", "failing_back"},
    ("preconditions.py", "f'{passive}_may_be_active'"): {"master_may_be_active", "slave_may_be_active"},
    ("claim.py", "f'{role}_changed'"): {"master_changed", "slave_changed"},
    ("claim.py", "f'{ticket.target}_active'"): {"master_active", "slave_active"},
    ("watching.py", "judgement['code']"): set(),
    ("watching.py", "MONITOR_STOPPED"): set(),
    ("watching.py", "STEP_FAILED"): set(),
    ("switchover.py", "event['kind'].removeprefix('switchover_')"): {"given_up", "rolled_back"},
    ("switching.py", "kind"): {"switchover", "failback"},
    ("drill.py", "self.code"): set(),
    ("drill.py", "code"): set(),
    ("drill.py", "last.code"): set(),
    ("drill.py", "RAN"): {"ran"},
    ("drill.py", "told['code']"): set(),
    ("drill.py", "done['code']"): set(),
    ("transitions.py", "GAVE_WAY"): {"gave_way"},
    ("act.py", "'repaired' if dirty else 'drift'"): {"repaired", "drift"},
}
"""What an argument can be that is not a plain text: by file and expression. An empty set: passed on to another call."""


def words_of(calls: Calls) -> set[str]:
    """The texts with which any of ``calls`` is called in the sources."""
    return {word for source in SOURCES for word in _words_in(source, calls)}


def _words_in(source: Path, calls: Calls) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        position = calls.get(name)
        if position is None or len(node.args) <= position:
            continue
        said = node.args[position]
        if isinstance(said, ast.Starred):  # a reason that was made elsewhere
            continue
        if isinstance(said, ast.Constant):
            yield said.value
        else:
            where = source.name, ast.unparse(said)
            assert where in COMPUTED, f"{where} is a new way to make a word; say in COMPUTED what it can be"
            yield from COMPUTED[where]


def codes_of_the_code() -> set[str]:
    return (
        words_of(CODED)
        | set(DECISIONS)
        | {rule.otherwise for rule in RULES.values()}
        | {MONITOR_STOPPED, STEP_FAILED, FAILED.code, WRONG_PAIR}
    )


EXPLAINED = [each.code for section in SECTIONS for each in section.codes]
TEXTS = [
    *(
        (each.code, text)
        for s in SECTIONS
        for each in s.codes
        for text in (each.means, each.next_step, each.then)
        if text
    ),
    *((each.kind, each.means) for each in KINDS),
    *ALERTS.items(),
]


class TestWords:
    def test_every_reason_code_of_the_code_and_no_other_is_explained(self) -> None:
        assert len(codes_of_the_code()) > 80
        assert set(EXPLAINED) == codes_of_the_code()

    @pytest.mark.parametrize("section", SECTIONS, ids=lambda each: each.title)
    def test_a_section_explains_a_code_once(self, section: Section) -> None:
        codes = [each.code for each in section.codes]
        assert len(codes) == len(set(codes))

    def test_every_decision_is_among_those_of_the_failover_dag(self) -> None:
        assert [code for code in DECISIONS if not DECIDED.find(code)] == []

    def test_every_way_in_which_a_sync_is_refused_is_among_those_of_the_sync_dag(self) -> None:
        assert [code for code in refusals() if not SYNC.find(code)] == []

    def test_every_kind_of_event_and_no_other_is_explained(self) -> None:
        kinds = words_of(KINDS_OF_CALLS) | {"monitor_stopped"}
        assert "failback" in kinds
        assert sorted(each.kind for each in KINDS) == sorted(kinds)

    def test_every_alert_and_no_other_is_explained(self) -> None:
        assert set(ALERTS) == set(Alert)

    def test_every_field_of_an_event_is_told(self) -> None:
        """Those that all events have aside; the pinned ones are what runs of the DAGs have really written."""
        pinned = json.loads((ROOT / "tests" / "outside" / "pinned" / "events.json").read_text())
        common = {"id", "kind", "pair", "epoch", "actor", "reason", "at", "text", "operation", "before", "after"}
        assert len(pinned) > 20
        for each in KINDS:
            written = {name.removesuffix("?") for event in pinned.get(each.kind, {}).values() for name in event}
            assert written - common - set(re.findall(r"`([a-z_]+)`", each.fields)) == set(), each.kind


class TestTexts:
    @pytest.mark.parametrize(("word", "text"), TEXTS)
    def test_are_whole_sentences(self, word: str, text: str) -> None:
        assert re.match(r"[A-Z*`]", text), text
        assert text.endswith("."), text
        assert not re.search(r"[`*]|\]\[|\|", plain(text)), text

    def test_lead_to_places_that_are_known(self) -> None:
        texts = [*(text for _, text in TEXTS), *(each.fields for each in KINDS), *(each.intro for each in SECTIONS)]
        used = {name for text in texts for _, name in LINK.findall(text)}
        assert used
        assert used <= set(PLACES)

    def test_a_next_step_in_bold_is_something_that_a_person_can_do(self) -> None:
        words = {word for section in SECTIONS for each in section.codes for word in each.helps}
        assert words - set(IDS) == {"clear"}  # a run, in Airflow

    def test_what_is_looked_at_again_is_what_is_not_settled(self) -> None:
        again = {code for code in DECISIONS if "looks again" in of_failover(code).then}
        waits = {code for code, each in DECISIONS.items() if str(each.action) in ("blocked", "nothing_to_do")}
        assert again == {code for code in waits if not DECISIONS[code].settled}

    def test_what_the_tool_does_next_is_told_of_every_decision(self) -> None:
        assert [code for code in DECISIONS if not of_failover(code).then] == []


class TestLookup:
    def test_a_word_of_several_sections_is_first_that_of_its_dag(self) -> None:
        assert [found("lease_over", dag)[0].title for dag in ("sync", "switchover", "operations", "drill")] == [  # type: ignore[index]
            "Of the failover DAG: how a step can end",
            "Of the switchover DAG",
            "Of the operations DAG",
            "Of a drill",
        ]
        assert found("a code of tomorrow", "sync") is None
        assert of_failover("a code of tomorrow").then == ""

    @pytest.mark.parametrize("dag", ["", "failover", "sync", "switchover", "operations", "drill"])
    def test_every_section_is_looked_into_once(self, dag: str) -> None:
        assert sorted(each.title for each in sections_of(dag)) == sorted(each.title for each in SECTIONS)

    def test_marks_are_taken_out(self) -> None:
        text = "**Sync** with *Deliver now*, or look at `a_b` of [the check][readiness]: 2 * 3 [sic]."
        assert plain(text) == "Sync with Deliver now, or look at a_b of the check: 2 * 3 [sic]."
