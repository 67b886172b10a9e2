"""What counts as a difference between two definitions, and what is noise."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.definitions import UNKNOWN, Names, compare, differing, fields, is_secret, noise
from denodo_ha.jobs import Job, JobKey, fold

VDP, OTHER_VDP = JobKey(project="p", name="vdp"), JobKey(project="p", name="other vdp")
SOURCES = {7: VDP, 8: OTHER_VDP}


def job(definition: dict[str, Any], number: int = 1) -> Job:
    return Job(id=number, name=f"job {number}", type="VDP", project_id=1, project="p", definition=definition)


def fields_of(definition: dict[str, Any], names: Names | None = None) -> dict[str, str]:
    return dict(fields(job(definition), names or Names({}, SOURCES)))


# --- names


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Load", "LOAD", True),
        ("Ñandú", "ñANDÚ", True),
        ("σίγμας", "ΣΊΓΜΑΣ", True),
        ("\N{LATIN SMALL LETTER DOTLESS I}stanbul", "İSTANBUL", True),
        ("Maße", "MAẞE", True),
        ("ᾳ", "ᾼ", True),
        ("Maße", "Masse", False),
        ("ﬁle", "file", False),
        ("ŉ", "\N{MODIFIER LETTER APOSTROPHE}n", False),
        ("load", "load ", False),
    ],
)
def test_names_are_compared_character_by_character_as_java_does(one: str, other: str, same: bool) -> None:
    assert (fold(one) == fold(other)) == same
    assert (JobKey(project="p", name=one) == JobKey(project="P", name=other)) == same


@given(st.text())
def test_folding_keeps_the_length_and_is_done_once(name: str) -> None:
    assert len(fold(name)) == len(name)
    assert fold(fold(name)) == fold(name)


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "zipPassword",
        "PASSWORD",
        "passwd",
        "mailPwd",
        "pwd",
        "client_secret",
        "clientSecret",
        "secretKey",
        "apiKey",
        "api_key",
        "apikey",
        "accessToken",
        "access_token",
        "accesstoken",
        "tokenValue",
        "passphrase",
        "credentials",
        "privateKey",
        "private_key_pem",
    ],
)
def test_secrets(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        "tokenSeparator",
        "tokenizer",
        "secretary",
        "keyField",
        "passengers",
        "query",
        "separator",
        "broken_tokens_by",
        "bypass",
    ],
)
def test_names_that_only_hold_a_secret_word_are_none(key: str) -> None:
    assert not is_secret(key)


# --- ids


def test_an_id_counts_by_what_it_names_however_its_key_is_spelt() -> None:
    here, there = Names({}, {7: VDP}), Names({}, {70: JobKey(project="P", name="VDP")})
    one = fields_of({"extractionSection": {"dataSourceID": 7, "serverId": 3}}, here)
    assert one == fields_of({"extractionSection": {"dataSourceId": "70", "serverId": 4}}, there)
    assert one != fields_of({"extractionSection": {"dataSourceID": 8}})


def test_an_id_that_names_nothing_is_said_and_makes_no_job_differ() -> None:
    keys = [JobKey(project="p", name=str(number)) for number in range(3)]
    known = {key: fields_of({"extractionSection": {"dataSourceID": 7}}) for key in keys}
    unknown = {key: fields_of({"extractionSection": {"dataSourceID": 99}}) for key in keys}
    assert set(unknown[keys[0]].values()) == {UNKNOWN}
    for one, other in ((known, unknown), (unknown, known), (unknown, unknown)):
        found = compare(one, other)
        assert not found.different
        assert found.unknown == tuple(keys)


def test_a_job_that_lost_its_data_source_differs() -> None:
    key = JobKey(project="p", name="a")
    one, other = fields_of({"extractionSection": {"dataSourceID": 7}}), fields_of({"extractionSection": {}})
    assert compare({key: one}, {key: other}).different == {key: ("extractionSection.dataSource",)}


# --- arbitrary definitions

texts = st.text(max_size=5) | st.text("a\r\n", max_size=5)
sections = st.dictionaries(
    st.sampled_from(["query", "mode", "path", "size"]), texts | st.integers(-2, 9) | st.booleans()
)
definitions = st.fixed_dictionaries(
    {
        "type": st.just("VDP"),
        "description": texts,
        "extractionSection": sections.map(lambda section: {"dataSourceID": 7, **section}),
        "exportationSection": st.fixed_dictionaries({"exporters": st.lists(sections, max_size=2)}),
        "triggerSection": st.fixed_dictionaries(
            {
                "triggers": st.lists(
                    st.fixed_dictionaries({"type": st.just("cron"), "cronExpression": st.text("0*? ", min_size=1)}),
                    min_size=1,
                    max_size=2,
                )
            }
        ),
    }
)
jobs = st.lists(definitions, min_size=2, max_size=6)


def noisy(definition: dict[str, Any], value: object) -> dict[str, Any]:
    """With unknown fields at the top, in a section and in each element of a list."""
    made = copy.deepcopy(definition)
    for place in (made, made["extractionSection"], *made["triggerSection"]["triggers"]):
        place["lastLook"] = value
    return made


def edited(definition: dict[str, Any], edit: str) -> dict[str, Any]:
    made = copy.deepcopy(definition)
    trigger = made["triggerSection"]["triggers"][0]
    if edit == "dataSourceID":
        made["extractionSection"][edit] = 8
    elif edit == "description":
        made[edit] += "!"
    elif edit == "exporters":
        made["exportationSection"][edit].append({"type": "CSV"})
    elif edit == "dependencyInfo":
        trigger[edit] = {"executeAnyway": True}
    else:
        trigger[edit] = f"{trigger.get(edit, '')}!"
    return made


EDITS = ("dataSourceID", "description", "exporters", "dependencyInfo", "cronExpression", "startTime", "endTime")


def read(rows: list[dict[str, Any]]) -> dict[JobKey, dict[str, str]]:
    return {JobKey(project="p", name=str(number)): fields_of(row) for number, row in enumerate(rows)}


@given(jobs, st.booleans(), st.booleans())
def test_noise_in_all_jobs_never_makes_one_differ(rows: list[dict[str, Any]], here: bool, alike: bool) -> None:
    """Whether one server has it or both, and whether its value is the same in all jobs of one or not."""
    one = [noisy(row, f"a{'' if alike else number}") if here else row for number, row in enumerate(rows)]
    other = [noisy(row, f"b{'' if alike else number}") for number, row in enumerate(rows)]
    found = compare(read(one), read(other))
    assert not found.different
    assert found.noise == {"lastLook", "extractionSection.lastLook", "triggerSection.triggers[].lastLook"}


@given(jobs, st.sampled_from(EDITS), st.data())
def test_an_edit_of_a_documented_field_of_one_job_always_makes_it_differ(
    rows: list[dict[str, Any]], edit: str, data: st.DataObject
) -> None:
    which = data.draw(st.integers(0, len(rows) - 1))
    one = [noisy(row, "a") for row in rows]
    other = [noisy(edited(row, edit) if number == which else row, "b") for number, row in enumerate(rows)]
    assert set(compare(read(one), read(other)).different) == {JobKey(project="p", name=str(which))}


@given(jobs, st.sampled_from(EDITS))
def test_an_edit_of_a_documented_field_of_all_jobs_is_a_difference_too(rows: list[dict[str, Any]], edit: str) -> None:
    assert len(compare(read(rows), read([edited(row, edit) for row in rows])).different) == len(rows)


@given(jobs)
def test_what_the_export_file_names_is_content_even_where_all_jobs_differ(rows: list[dict[str, Any]]) -> None:
    other = [noisy(row, "b") for row in rows]
    found = compare(read(rows), read(other), parameters=["lastlook"])
    assert len(found.different) == len(rows)
    assert not found.noise


@given(jobs, st.data())
def test_an_unknown_field_that_differs_in_some_jobs_only_is_content(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    which = data.draw(st.integers(0, len(rows) - 1))
    one, other = [noisy(row, "a") for row in rows], [noisy(row, "a") for row in rows]
    other[which] = noisy(rows[which], "b")
    assert len(compare(read(one), read(other)).different) == 1


@given(definitions)
def test_defaults_line_ends_and_the_order_of_keys_are_no_difference(row: dict[str, Any]) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            newer = {"tags": [], "owner": "", "archived": False, "priority": 0, "limits": {}, "calendar": None}
            return {**{key: turned(value[key]) for key in reversed(value)}, **newer}
        if isinstance(value, list):
            return [turned(each) for each in value]
        return (
            value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n") if isinstance(value, str) else value
        )

    assert not differing(fields_of(row), fields_of(turned(row)))


def test_line_ends() -> None:
    assert fields_of({"description": "a\r\nb\rc\n"}) == fields_of({"description": "a\nb\nc\n"})
    assert fields_of({"description": "a\r\nb"}) != fields_of({"description": "a\n\nb"})


def test_what_only_one_server_has_is_of_its_version() -> None:
    """Even if only one job has it; but not where its section is missing, nor what is documented or in the file."""
    old, new = {"a": "1", "s.a": "1"}, {"a": "1", "s.a": "1", "s.b": "1", "c": "1"}
    for rows in ([(old, new), (old, old)], [(new, old), (old, old)]):
        assert noise(rows, ()) == {"s.b", "c"}
        assert noise(rows, ("b",)) == {"c"}
    assert noise([({"a": "1"}, {"a": "1", "s.b": "1"}), (old, old)], ()) == {"s.b"}
    assert noise([({"a": "1"}, {"a": "1", "s.b": "1"}), ({"a": "1"}, {"a": "1"})], ()) == frozenset()
    assert noise([(old, {**old, "s.filter": "1"}), (old, old)], ()) == frozenset()


def test_a_field_that_only_one_job_of_many_has_is_content() -> None:
    rows = [({"a": "1"}, {"a": "1"}), ({"a": "1", "b": "1"}, {"a": "1", "b": "2"})]
    assert noise(rows, ()) == frozenset()
    assert noise(rows[1:], ()) == {"b"}
