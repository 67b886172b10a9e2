"""The pure part of the doctor: names of scratch projects, answers, what is learned of them, and what is attached."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.moments import FAR_AWAY, has_no_moment, zones_of_offsets
from denodo_ha.doctor.diagnosis import Answer, Diagnosis
from denodo_ha.doctor.questions import BEGAN, IN_SUMMER, NEVER, PAST, QUESTIONS, Content, answers, learned, offsets_of
from denodo_ha.doctor.redaction import to_attach, without_secrets
from denodo_ha.doctor.scratch import is_scratch, of_pair, scratch_names
from denodo_ha.jobs import Job, JobKey
from denodo_ha.quartz.cron import QuartzCron
from denodo_ha.readiness.facts import Unread
from denodo_ha.scope import Scope
from denodo_ha.status import Level

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
MADRID = (NOW.replace(year=2099, month=1, day=15, hour=11), NOW.replace(year=2099, month=7, day=15, hour=10))
ALL: dict[str, Any] = {
    "born disabled": True,
    "put": [],
    "bulk": (2, 2, 2),
    "time zone": MADRID,
    "past start, enabled": True,
    "past start, imported": True,
    "import deletes": [],
    "import enables": True,
    "import without replace": [],
    "import with replace": True,
    "import keeps ids": True,
    "import enables what it replaces": True,
}
"""What a server shows that does all that the contract says."""
NONE = {
    "born disabled": False,
    "put": ["description"],
    "bulk": (2, 1, 2),
    "time zone": (NOW, NOW),
    **dict.fromkeys((code for code, seen in ALL.items() if seen is True and code != "born disabled"), False),
    "import deletes": ["a job"],
    "import without replace": ["description"],
}


def test_scratch_projects_are_known_by_their_names_alone() -> None:
    one, other = scratch_names("sales eu", "0123abcd")
    assert one != other
    assert scratch_names("stock", "0123abcd") != (one, other)
    assert all(is_scratch(name) and name.startswith(of_pair("sales eu")) for name in (one, other))
    assert is_scratch(one.upper())
    for name in ("denodo_ha_doctor", f"{one}x", f"x{one}", one.replace("0123abcd", "0123abcg"), "Sales", ""):
        assert not is_scratch(name)


def test_no_scope_holds_a_scratch_project() -> None:
    name = scratch_names("default", "0123abcd")[0]
    for scope in (Scope(), Scope(projects=("denodo*",)), Scope(projects=(name,), jobs=("*",))):
        assert not scope.matches_project(name)
        assert not scope.matches(JobKey(project=name, name="never"))


def test_the_crons_are_due_when_they_are_said_to_be() -> None:
    due = [QuartzCron(cron).next_after(NOW, UTC) for cron in (NEVER, IN_SUMMER, PAST)]
    assert due == [*FAR_AWAY, NOW.replace(year=2099, month=1, day=1, hour=12)]
    first = QuartzCron(PAST).next_after(datetime.fromisoformat(BEGAN), UTC)
    assert first is not None
    assert first.year == 2020


def test_every_question_has_both_answers() -> None:
    assert ALL.keys() == NONE.keys() == QUESTIONS.keys()
    assert {each.verdict for each in answers(ALL, {})} == {"confirmed"}
    assert {each.code: each.verdict for each in answers(NONE, {})} == {
        **dict.fromkeys(QUESTIONS, "refuted"),
        "time zone": "unknown",
    }
    assert {each.verdict for each in answers({}, {})} == {"unknown"}
    assert all(each.next_step for each in answers({}, {}))
    assert all(each.next_step for each in answers(NONE, {}) if each.level is not Level.OK)
    assert all(each.claim and each.mark and each.rests_on for each in answers(ALL, {}))


def test_what_is_learned_goes_where_a_sync_looks() -> None:
    types = {"VDP": Content(imported=()), "VDPCache": Content(lost=("a",)), "VDPDagLoad": Unread("refused")}
    found = answers(ALL, types)
    known = learned(Capabilities(version="9", longest_import=2), ALL, types, found, NOW)
    assert known.model_copy(update={"tried": ()}) == Capabilities(
        version="9",
        longest_import=2,
        import_replaces=False,
        faithful=("VDP",),
        unfaithful=("VDPCache",),
        offsets=(3600, 7200),
        past_start_fires=True,
    )
    assert len(known.tried) == len(ALL) + 2
    assert Capabilities.model_validate_json(known.model_dump_json()) == known
    assert "Its crons are on UTC+01:00 in January and UTC+02:00 in July." in known.lines()
    assert known.for_version("10") == Capabilities(version="10")


def test_what_is_not_known_takes_nothing_away() -> None:
    before = learned(Capabilities(), ALL, {}, answers(ALL, {}), NOW)
    seen = dict.fromkeys(ALL, Unread("refused"))
    assert learned(before, seen, {}, answers(seen, {}), NOW) == before
    assert learned(before, NONE, {}, answers(NONE, {}), NOW).offsets == (3600, 7200)


def test_a_probe_that_is_tried_again_answers_each_question_once() -> None:
    read = Diagnosis(NOW, "default", False, tuple(answers({}, {}))[:2], {})
    again = read.with_answers(answers(NONE, {})).with_answers(answers(ALL, {}))
    assert list(again.answers) == answers(ALL, {})
    other = Answer(Level.OK, "it is one", code="version, slave")
    assert replace(read, answers=(other,)).with_answers(answers(ALL, {})).answers[0] == other


def test_a_refusal_alone_does_not_disprove_a_type_that_was_written_before() -> None:
    types = {"VDP": Content(refused="a secret is missing")}
    assert learned(Capabilities(faithful=("VDP",)), {}, types, (), NOW).faithful == ("VDP",)
    assert learned(Capabilities(), {}, types, (), NOW).unfaithful == ("VDP",)


@pytest.mark.parametrize(
    ("content", "faithful"),
    [
        (Content(), True),
        (Content(imported=()), True),
        (Content(imported=("extractionSection.dataSource",)), True),
        (Content(imported=("description",)), False),
        (Content(disabled=False), False),
        (Content(put=("disabled",)), False),
        (Content(lost=("retrySection.delay",)), False),
    ],
    ids=str,
)
def test_what_makes_a_type_one_that_rest_writes(content: Content, faithful: bool) -> None:
    assert content.faithful is faithful


def test_the_zones_that_two_moments_of_2099_leave() -> None:
    assert offsets_of(MADRID) == (3600, 7200)
    zones = {str(zone) for zone in zones_of_offsets((3600, 7200), NOW.date())}
    assert zones
    offsets = {zone.utcoffset(datetime(2026, 3, 2)) for zone in zones_of_offsets((3600, 7200), NOW.date())}
    assert offsets == {timedelta(hours=1)}
    assert {zone.utcoffset(datetime(2026, 7, 1)) for zone in zones_of_offsets((20700, 20700), NOW.date())} == {
        timedelta(hours=5, minutes=45)
    }
    assert zones_of_offsets((1, 2), NOW.date()) == ()


def test_a_past_start_only_counts_where_it_may_fire() -> None:
    trigger = {"cronExpression": "0 0 3 * * ?", "startTime": BEGAN}
    late = {**trigger, "startTime": "when it suits"}
    job, odd = (
        Job.model_validate({"id": 1, "name": "a", "type": "VDP", "projectId": 1, "project": "p", "triggers": [each]})
        for each in (trigger, late)
    )
    assert "past" in str(has_no_moment(job, NOW))
    assert has_no_moment(job, NOW, past_start_fires=False) is None
    assert "cannot be read" in str(has_no_moment(odd, NOW, past_start_fires=False))


def report(**more: Any) -> dict[str, Any]:
    found = Diagnosis(
        NOW,
        "default",
        False,
        tuple(answers(ALL, {})),
        more,
        ("Sales", "EU sales", "x.example", "ana", 'Größe "a"', "unsaid"),
    )
    return found.to_json()


def test_hashes_hide_names_whole_and_leave_what_is_ours() -> None:
    text = 'EU Sales / größe "A" of ana at http://x.example:9090/a and 10.1.2.3, not banana'
    attached = to_attach(report(text=text), hashed=True, salt="a")
    said = attached["servers"]["text"]
    assert not [word for word in ("Sales", "größe", "ana at", "x.example", "10.1.2.3") if word in said]
    assert "banana" in said
    assert "unsaid" not in report(text=text)["names"]
    assert attached["answers"][0]["question"] == "born disabled"
    assert to_attach(report(text=text), hashed=True, salt="a") == attached
    assert to_attach(report(text=text), hashed=True, salt="b") != attached
    assert to_attach(report(text=text), hashed=False, salt="")["servers"]["text"] == text


def test_a_secret_is_hidden_and_the_report_can_still_be_read() -> None:
    """Also one that is a word of the report itself."""
    for secret in ("s3cret", "OK", "confirmed", "admin"):
        hidden = without_secrets(report(text=f"it was {secret}, {secret}!"), [secret, ""])
        assert hidden["servers"]["text"] == "it was ***, ***!"
        assert Diagnosis.from_json(json.loads(json.dumps(hidden))).level is Level.OK


def test_a_damaged_report_is_told_so() -> None:
    for wrong in ({}, None, {**report(), "format": 2}, {**report(), "answers": [{}]}, {**report(), "at": "now"}):
        with pytest.raises(ValueError, match="run another one"):
            Diagnosis.from_json(wrong)
