from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.definitions import Names, digest
from denodo_ha.jobs import DataSource, Job, JobKey, JobState, JobStatus, Trigger
from denodo_ha.scope import Scope
from denodo_ha.snapshot.manifest import Manifest, ManifestError, ManifestJob, build_manifest

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALL = Scope()
LOAD = JobKey(project="Sales", name="load")
PREPARE = JobKey(project="Sales", name="prepare")


def definition(offset: int) -> dict[str, Any]:
    """One job as a server answers whose ids begin at ``offset``; it depends on the job ``offset + 1``."""
    return {
        "id": offset + 2,
        "type": "VDP",
        "name": "load",
        "description": "loads",
        "disabled": offset > 1000,
        "projectId": offset,
        "projectName": "Sales",
        "extractionSection": {"dataSourceID": offset + 7, "query": "select 1", "parameters": []},
        "exportationSection": {
            "exporters": [{"id": offset + 9, "type": "CSV", "zipPassword": f"salt{offset}", "separator": ";"}]
        },
        "handlerSection": {"handlers": [{"handlerIDs": [offset], "mailTo": "a@b", "valid": True}]},
        "retrySection": None if offset else {},
        "triggerSection": {
            "triggers": [
                {
                    "type": "cron",
                    "cronExpression": "0 0 0 * * ?",
                    "dependencyInfo": {"jobIDs": [offset + 1], "executeAnyway": False},
                }
            ]
        },
    }


def job_of(raw: dict[str, Any]) -> Job:
    triggers = tuple(Trigger.model_validate(item) for item in raw.get("triggerSection", {}).get("triggers", ()))
    return Job.model_validate({**raw, "triggers": triggers, "definition": raw})


VDP = JobKey(project="Sales", name="vdp")
OTHER_VDP = JobKey(project="Sales", name="another vdp")


def names(offset: int) -> Names:
    return Names({offset + 1: PREPARE, offset + 2: LOAD}, {offset + 7: VDP, offset + 8: OTHER_VDP})


def simple_job(key: JobKey, id_: int, **more: Any) -> Job:
    return job_of({"id": id_, "type": "VDP", "name": key.name, "projectId": 1, "projectName": key.project, **more})


def status(key: JobKey, id_: int, state: str = "NOT_RUNNING", **more: Any) -> JobStatus:
    return JobStatus(job_id=id_, name=key.name, project_id=1, project=key.project, state=JobState(state), **more)


# --- definitions


def test_equal_jobs_of_two_servers_hash_equal() -> None:
    one, other = job_of(definition(0)), job_of(definition(5000))
    assert digest(one, names(0)) == digest(other, names(5000))


def change(raw: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(raw)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place: Any = result
    for part in parents:
        place = place[part]
    place[last] = value
    return result


@pytest.mark.parametrize(
    ("path", "value", "counts"),
    [
        ("description", "loads more", True),
        ("type", "VDPCache", True),
        ("extractionSection/query", "select 2", True),
        ("exportationSection/exporters/0/separator", ",", True),
        ("exportationSection/exporters", [], True),
        ("handlerSection/handlers/0/valid", False, True),
        ("exportationSection/exporters/0/tokenSeparator", ";", True),
        ("handlerSection/handlers/0/secretary", "ana", True),
        ("unknownSection", {"mode": "fast"}, True),
        ("priority", 5, True),
        ("triggerSection/triggers/0/cronExpression", "0 0 1 * * ?", True),
        ("triggerSection/triggers/0/dependencyInfo/executeAnyway", True, True),
        ("triggerSection/triggers/0/dependencyInfo/jobIDs", [], True),
        ("triggerSection/triggers/0/dependencyInfo/jobIDs", [2], True),
        ("triggerSection/triggers/0/dependencyInfo/jobIDs", [99], True),
        ("triggerSection/triggers/0/dependencyInfo/jobIDs", "1", False),
        ("disabled", True, False),
        ("id", 77, False),
        ("extractionSection/dataSourceID", 8, True),
        ("extractionSection/dataSourceID", None, True),
        ("handlerSection/handlers/0/handlerIDs", [77], False),
        ("exportationSection/exporters/0/zipPassword", "x", False),
        ("extractionSection/parameters", None, False),
        ("extractionSection/comment", "", False),
        ("extractionSection/comment", 0, False),
        ("extractionSection/comment", False, False),
        ("extractionSection/comment", {"a": [None, {}]}, False),
        ("extractionSection/query", "select 1", False),
        ("handlerSection/handlers/0/accessToken", "x", False),
        ("state", "DISABLED", False),
        ("nextExecution", "2026-11-22T12:00:00Z", False),
        ("reportSection", {}, False),
        ("reportSection", {"store": {"reportID": 5}}, False),
        ("name", "LOAD", False),
    ],
)
def test_what_counts_as_another_definition(path: str, value: Any, counts: bool) -> None:
    raw = definition(0)
    different = digest(job_of(change(raw, path, value)), names(0)) != digest(job_of(raw), names(0))
    assert different == counts


def test_order_of_dependencies_does_not_count() -> None:
    path = "triggerSection/triggers/0/dependencyInfo/jobIDs"
    hashes = {digest(job_of(change(definition(0), path, ids)), names(0)) for ids in ([1, 2], [2, 1], "2, 1")}
    assert len(hashes) == 1


# --- building


def test_a_manifest_lists_what_the_export_does_not_say() -> None:
    jobs = [job_of(definition(0)), simple_job(PREPARE, 1)]
    statuses = [status(LOAD, 2, next_execution=NOON), status(PREPARE, 1, "DISABLED")]
    manifest = build_manifest(jobs, statuses, ALL)
    assert [(job.key, job.enabled) for job in manifest.jobs] == [(LOAD, True), (PREPARE, False)]
    load = manifest.by_key[JobKey(project="SALES", name="Load")]
    assert (load.type, load.crons, load.next_execution, load.dependencies) == (
        "VDP",
        ("0 0 0 * * ?",),
        NOON,
        (PREPARE,),
    )
    assert manifest.counts == {"projects": 1, "jobs": 2, "enabled": 1}
    assert manifest.enabled == {LOAD}


@pytest.mark.parametrize(
    ("state", "enabled"),
    [
        ("NOT_RUNNING", True),
        ("RUNNING", True),
        ("WAITING", True),
        ("POLLING", True),
        ("SOMETHING_NEW", True),
        ("DISABLED", False),
        ("DRAFT", False),
    ],
)
def test_enabled_is_read_from_the_status(state: str, enabled: bool) -> None:
    manifest = build_manifest([simple_job(LOAD, 1, disabled=enabled)], [status(LOAD, 1, state)], ALL)
    assert manifest.jobs[0].enabled == enabled


def test_only_jobs_in_scope_but_dependencies_on_any() -> None:
    jobs = [job_of(definition(0)), simple_job(PREPARE, 1)]
    statuses = [status(LOAD, 2), status(PREPARE, 1)]
    manifest = build_manifest(jobs, statuses, Scope(jobs=("load",)))
    assert list(manifest.by_key) == [LOAD]
    assert manifest.jobs[0].dependencies == (PREPARE,)


@pytest.mark.parametrize(("listed", "with_status"), [([LOAD], []), ([], [LOAD]), ([LOAD, PREPARE], [LOAD])])
def test_jobs_that_only_one_read_lists_are_an_error_that_names_them(
    listed: list[JobKey], with_status: list[JobKey]
) -> None:
    jobs = [simple_job(key, index) for index, key in enumerate(listed)]
    statuses = [status(key, index) for index, key in enumerate(with_status)]
    (apart,) = {*listed} ^ {*with_status}
    with pytest.raises(ManifestError, match=rf"added or removed while they were read: {apart}\. Read again"):
        build_manifest(jobs, statuses, ALL)
    assert build_manifest(jobs, statuses, Scope(projects=("other",))).jobs == ()


def test_two_jobs_of_one_identity_are_an_error() -> None:
    twice = [simple_job(LOAD, 1), simple_job(JobKey(project="sales", name="LOAD"), 2)]
    with pytest.raises(ManifestError, match="two jobs of the same project and name"):
        build_manifest(twice, [status(LOAD, 1)], ALL)


# --- hash, difference, JSON

text = st.text(max_size=8)
keys = st.builds(JobKey, project=text, name=text)
manifest_jobs = st.builds(
    ManifestJob,
    key=keys,
    type=text,
    enabled=st.booleans(),
    definition_hash=st.sampled_from(["a", "b"]),
    crons=st.tuples(text),
    next_execution=st.none() | st.datetimes(timezones=st.just(UTC)),
    dependencies=st.lists(keys, max_size=2).map(tuple),
)
manifests = st.lists(manifest_jobs, max_size=6, unique_by=lambda job: job.key.folded).map(
    lambda jobs: Manifest(jobs=tuple(sorted(jobs, key=lambda job: job.key)))
)


@settings(deadline=None)
@given(manifests)
def test_json_round_trip(manifest: Manifest) -> None:
    again = Manifest.from_json(manifest.to_json())
    assert again == manifest
    assert again.to_json() == manifest.to_json()
    assert again.hash == manifest.hash


@settings(deadline=None)
@given(manifests, manifests)
def test_difference_is_empty_exactly_when_the_hashes_agree(one: Manifest, other: Manifest) -> None:
    assert not one.diff(one)
    assert bool(one.diff(other)) == (one.hash != other.hash)
    assert one.diff(other).added == other.diff(one).removed


def entry(key: JobKey, *, enabled: bool = True, hashed: str = "a", at: datetime | None = None) -> ManifestJob:
    return ManifestJob(key=key, type="VDP", enabled=enabled, definition_hash=hashed, next_execution=at)


def test_difference() -> None:
    a, b, c, d, e = (JobKey(project="p", name=name) for name in "abcde")
    old = Manifest(jobs=(entry(a), entry(b), entry(c, enabled=False), entry(d)))
    new = Manifest(jobs=(entry(a, enabled=False), entry(b, hashed="b"), entry(c), entry(e)))
    difference = old.diff(new)
    assert (difference.added, difference.removed, difference.changed) == ((e,), (d,), (b,))
    assert (difference.enabled, difference.disabled) == ((c,), (a,))
    assert str(difference) == "1 added, 1 removed, 1 changed, 1 enabled, 1 disabled"
    assert str(old.diff(old)) == "no difference"


def test_time_and_case_make_no_difference() -> None:
    one = Manifest(jobs=(entry(LOAD, at=NOON),))
    later = Manifest(jobs=(entry(JobKey(project="SALES", name="Load"), at=NOON + timedelta(days=1)),))
    assert one.hash == later.hash
    assert not one.diff(later)


def test_a_manifest_of_schema_1_is_read_and_counts_no_definition_as_changed() -> None:
    new = build_manifest([simple_job(LOAD, 1)], [status(LOAD, 1)], ALL, data_sources=[])
    rows = new.model_dump(mode="json", include={"jobs"})
    rows["jobs"][0]["definition_hash"] = "of another kind"
    old = Manifest.from_json(json.dumps({"schema_version": 1, **rows}))
    assert (old.schema_version, old.data_sources, old.noise) == (2, None, ())
    assert old.enabled == {LOAD}
    assert not old.diff(new)
    assert not new.diff(old)
    assert build_manifest([simple_job(LOAD, 1)], [status(LOAD, 1)], ALL, same_content=old).jobs == new.jobs


def test_a_manifest_of_the_same_content_lends_all_but_the_states() -> None:
    sources = [DataSource(id=7, name="vdp", project="Sales", type="VDP", login="ana", connection_uri="//vdp:9999/a")]
    old = build_manifest([simple_job(LOAD, 1)], [status(LOAD, 1)], ALL, data_sources=sources, noise=["serverTime"])
    new = build_manifest([simple_job(LOAD, 1, x=1)], [status(LOAD, 1, "DISABLED")], ALL, same_content=old)
    assert new == old.model_copy(update={"jobs": (old.jobs[0].model_copy(update={"enabled": False}),)})


def test_a_manifest_keeps_no_value_of_a_data_source() -> None:
    sources = [
        DataSource(id=7, name="vdp", project="Sales", login="ana", connection_uri="//vdp:9999/admin"),
        DataSource(id=8, name="elsewhere", project="Other"),
    ]
    manifest = build_manifest([], [], Scope(projects=("sales",)), data_sources=sources)
    assert [(str(each.key), sorted(each.fields)) for each in manifest.data_sources or ()] == [
        ("Sales / vdp", ["connectionURI", "login"])
    ]
    assert "ana" not in manifest.to_json()
    assert "9999" not in manifest.to_json()


@pytest.mark.parametrize("stored", ["", "{", "[]", '{"schema_version": 3, "jobs": []}', '{"jobs": [{"key": "x"}]}'])
def test_a_damaged_or_newer_manifest_is_refused_with_the_next_step(stored: str) -> None:
    with pytest.raises(ManifestError, match=r"stored manifest cannot be read .* Take a new snapshot by running a sync"):
        Manifest.from_json(stored)
