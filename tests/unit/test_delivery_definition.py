"""A definition on its way to another server: what its ids name there, and that it is born disabled."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from denodo_ha.definitions import Names, fields
from denodo_ha.delivery.definition import UntranslatableError, for_target
from denodo_ha.jobs import Job, JobKey

LOAD, PREPARE, VDP = (JobKey(project="Sales", name=name) for name in ("load", "prepare", "vdp"))
HERE = Names({1: LOAD, 2: PREPARE}, {1: VDP})
JOBS, SOURCES = {LOAD: 41, PREPARE: 42}, {VDP: 71}
THERE = Names({number: key for key, number in JOBS.items()}, {number: key for key, number in SOURCES.items()})


def job(definition: dict[str, Any]) -> Job:
    return Job(id=1, name="load", type="VDP", project_id=9, project="Sales", definition=definition)


def sent(definition: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(definition)
    found = for_target(job(definition), HERE, JOBS, SOURCES)
    assert definition == before
    return found


@pytest.mark.parametrize("said", [{}, {"disabled": False}, {"disabled": True}, {"Disabled": False}], ids=str)
def test_it_is_born_disabled_whatever_it_says(said: dict[str, Any]) -> None:
    assert sent({"name": "load"} | said) == {"name": "load", "disabled": True}


def test_what_says_where_the_job_is_stays_behind_but_only_its_own() -> None:
    own = {"id": 1, "projectID": 9, "projectName": "Sales", "project": "Sales", "disabled": False}
    found = sent({"name": "load"} | own | {"exporter": {"project": "archive", "disabled": False}})
    assert found == {"name": "load", "exporter": {"project": "archive", "disabled": False}, "disabled": True}


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ({"dataSourceId": 1}, {"dataSourceId": 71}),
        ({"dataSourceID": "1"}, {"dataSourceID": "71"}),
        ({"datasourceIds": [1]}, {"datasourceIds": [71]}),
        ({"jobId": 2}, {"jobId": 42}),
        ({"jobIds": "2, 1"}, {"jobIds": "42,41"}),
        ({"jobIDs": ["1", 2]}, {"jobIDs": ["41", 42]}),
        ({"section": {"dependencies": [{"jobId": 2}]}}, {"section": {"dependencies": [{"jobId": 42}]}}),
        ({"jobIds": ""}, {"jobIds": ""}),
        ({"jobIds": []}, {"jobIds": []}),
        ({"dataSourceId": None}, {"dataSourceId": None}),
    ],
    ids=str,
)
def test_ids_become_those_of_the_same_names_there(here: dict[str, Any], there: dict[str, Any]) -> None:
    assert sent(here) == there | {"disabled": True}


@pytest.mark.parametrize(
    "definition",
    [
        {"brandNew": {"depth": [1, {"deeper": None}]}, "flag": False, "empty": ""},
        {"paid": 1, "void": 2, "valid": 3, "grid": 4, "identity": 5, "idle": 6},
        {"externalId": "a-b", "messageIds": ["x", "y"], "correlationId": True},
        {"text": "jobId 2", "cronExpression": "0 0 0 * * ?"},
    ],
    ids=str,
)
def test_what_is_no_id_of_a_server_is_carried_as_it_is(definition: dict[str, Any]) -> None:
    assert sent(definition) == definition | {"disabled": True}


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        ({"jobId": 9}, "its jobId 9 names nothing that the source lists"),
        ({"jobIds": "2,9"}, "its jobIds 9 names nothing that the source lists"),
        ({"dataSourceId": 2}, "its dataSourceId 2 names nothing that the source lists"),
        ({"dataSourceId": "vdp"}, "its dataSourceId vdp names nothing that the source lists"),
        ({"exporter": {"connectionId": 5}}, "what its connectionId 5 names is not known"),
        ({"exporters": [{"id": "5"}]}, "what its id 5 names is not known"),
        ({"folderIds": [5, 6]}, "what its folderIds [5, 6] names is not known"),
        ({"folderIds": "5, 6"}, "what its folderIds 5, 6 names is not known"),
    ],
    ids=str,
)
def test_an_id_whose_meaning_is_not_known_is_never_sent(definition: dict[str, Any], why: str) -> None:
    with pytest.raises(UntranslatableError) as refused:
        sent(definition)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        ({"jobId": 2}, "the target has no Sales / prepare, which its jobId names"),
        ({"dataSourceId": 1}, "the target has no Sales / vdp, which its dataSourceId names"),
    ],
)
def test_what_the_target_lacks_is_named(definition: dict[str, Any], why: str) -> None:
    with pytest.raises(UntranslatableError) as refused:
        for_target(job(definition), HERE, {LOAD: 41}, {})
    assert str(refused.value) == why


def test_what_arrives_counts_as_the_same_definition() -> None:
    """The comparison of a sync agrees with what it has sent."""
    definition = {
        "id": 1,
        "name": "load",
        "dataSourceId": 1,
        "triggerSection": {"dependencies": [{"jobIds": "2"}], "triggers": [{"cronExpression": "0 0 0 * * ?"}]},
        "disabled": False,
    }
    arrived = {"id": 41, "projectId": 3, **sent(definition)}
    assert fields(job(arrived), THERE) == fields(job(definition), HERE)
    assert fields(job(arrived), HERE) != fields(job(definition), HERE)
