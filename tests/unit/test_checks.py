from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.checks import (
    Verification,
    different_data_sources,
    mass_change,
    may_go_on,
    ran_since,
    same_server,
    verify,
)
from denodo_ha.jobs import DataSource, Job, JobKey, JobState, JobStatus
from denodo_ha.pairs_options import MassChangeLimits
from denodo_ha.properties import SiteProperties
from denodo_ha.scope import Scope
from denodo_ha.snapshot.manifest import Manifest, ManifestJob, build_manifest

NOON = datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC)
ALL = Scope()
LIMITS = MassChangeLimits()
A, B, C = (JobKey(project="p", name=name) for name in "abc")


def manifest(enabled: int, disabled: int = 0, gone: int = 0) -> Manifest:
    """Jobs 0 to n-1: the first ``gone`` are not there, then the enabled ones, then the disabled ones."""
    return Manifest(
        jobs=tuple(
            ManifestJob(
                key=JobKey(project="p", name=f"{number:05}"),
                type="VDP",
                enabled=number < gone + enabled,
                definition_hash="",
            )
            for number in range(gone, gone + enabled + disabled)
        )
    )


def status(key: JobKey, state: str = "DISABLED", *, id_: int = 1, **times: datetime | None) -> JobStatus:
    return JobStatus(job_id=id_, name=key.name, project_id=1, project=key.project, state=JobState(state), **times)


def job(key: JobKey, id_: int, **sections: Any) -> Job:
    definition = {"type": "VDP", **sections}
    disabled = sections.get("disabled", False)
    return Job(
        id=id_, name=key.name, type="VDP", project_id=1, project=key.project, disabled=disabled, definition=definition
    )


# --- mass change


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (manifest(100), manifest(100), None),
        (manifest(100), manifest(80, gone=20), None),
        (manifest(100), manifest(79, gone=21), "21 jobs vanished and 0 became disabled, which is 21 of 100 jobs; "),
        (manifest(100), manifest(79, 21), "0 jobs vanished and 21 became disabled, which is 21 of 100 jobs; "),
        (
            manifest(100),
            manifest(75, 14, gone=11),
            "11 jobs vanished and 14 became disabled, which is 25 of 100 jobs",
        ),
        (manifest(10), manifest(6, gone=4), None),
        (manifest(10), manifest(5, gone=5), "which is 5 of 10 jobs; the limit is 20 % (and 5 jobs). Look whether that"),
        (manifest(10, 990), manifest(5, 995), "5 became disabled, which is 5 of 10 enabled jobs; "),
        (manifest(100), manifest(200), None),
        (manifest(50, 50), manifest(100), None),
        (
            manifest(3),
            manifest(0, 3),
            "all 3 jobs are disabled; a paused server looks exactly like this. Resume it",
        ),
        (manifest(1, 99), manifest(0, 100), "all 100 jobs are disabled"),
        (None, manifest(0, 3), "all 3 jobs are disabled"),
        (manifest(0, 3), manifest(0, 3), None),
        (manifest(2), manifest(0), "all 2 jobs vanished. Look at the projects and at the login's role, or approve."),
        (None, manifest(0), None),
        (None, manifest(1, 900), None),
        (manifest(0), manifest(0), None),
    ],
)
def test_mass_change(old: Manifest | None, new: Manifest, reason: str | None) -> None:
    found = mass_change(old, new, LIMITS)
    assert (found is None) == (reason is None)
    assert reason is None or (found is not None and reason in found.reason)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 100), st.integers(1, 30))
def test_small_changes_pass_and_big_ones_never(kept: int, off: int, gone: int, percent: int, jobs: int) -> None:
    before = kept + off + gone
    found = mass_change(manifest(before), manifest(kept, off, gone), MassChangeLimits(percent=percent, jobs=jobs))
    assert (found is not None) == (off + gone >= jobs and (off + gone) / before > percent / 100)


# --- verification


def test_a_passive_server_as_it_should_be() -> None:
    wanted = build_manifest([job(A, 1), job(B, 2)], [status(A, "NOT_RUNNING"), status(B)], ALL)
    found = verify(wanted, [job(A, 31), job(B, 32)], [status(A), status(B, "DRAFT")], ALL, definitions=True)
    assert found == Verification()
    assert found.ok


def test_everything_that_can_be_wrong() -> None:
    outside, gone = JobKey(project="x", name="a"), JobKey(project="x", name="b")
    wanted = build_manifest([job(A, 1), job(B, 2)], [status(A, "NOT_RUNNING"), status(B)], ALL)
    found = verify(
        wanted,
        [job(A, 31, description="edited"), job(C, 33), job(outside, 34)],
        [status(A, "WAITING"), status(C, "NOT_RUNNING"), status(outside, "RUNNING")],
        Scope(projects=("p",)),
        definitions=True,
        before=[A, outside, gone],
    )
    assert found == Verification(missing=(B,), enabled=(A, C), different=(A,), orphans=(C,), lost=(gone,))


@pytest.mark.parametrize("problem", ["missing", "enabled", "different", "lost", "data_sources"])
def test_each_of_them_forbids_the_commit(problem: str) -> None:
    assert not Verification(**{problem: (A,)}).ok


def test_orphans_do_not_forbid_it() -> None:
    assert Verification(orphans=(A,)).ok


@pytest.mark.parametrize(("jobs", "definitions"), [([], True), ([job(A, 5, description="edited")], False)])
def test_definitions_are_compared_only_when_asked_for_and_there(jobs: list[Job], definitions: bool) -> None:
    wanted = build_manifest([job(A, 1)], [status(A)], ALL)
    assert verify(wanted, jobs, [status(A)], ALL, definitions=definitions).ok


@pytest.mark.parametrize(
    ("state", "more", "enabled"),
    [
        ("DISABLED", {"disabled": False}, True),
        ("DISABLED", {"disabled": True}, False),
        ("DISABLED", {}, False),
        ("DRAFT", {"disabled": False}, False),
        ("DISABLED", {"disabled": False, "draft": True}, False),
        ("NOT_RUNNING", {"disabled": True}, True),
    ],
)
def test_a_job_is_enabled_by_its_looks_or_by_its_own_definition(
    state: str, more: dict[str, Any], enabled: bool
) -> None:
    wanted = build_manifest([job(A, 1)], [status(A)], ALL)
    found = verify(wanted, [job(A, 1, **more)], [status(A, state)], ALL, definitions=False)
    assert found.enabled == ((A,) if enabled else ())


TWO = JobKey(project="p", name="two")


def source(name: str, **more: Any) -> DataSource:
    return DataSource(id=1, name=name, project="p", **{"type": "VDP", "login": "ana", "connection_uri": "//a", **more})


@pytest.mark.parametrize(
    ("there", "values", "wrong"),
    [
        ([source("one"), source("TWO")], True, {}),
        ([source("one")], True, {TWO: "missing"}),
        ([source("one")], False, {TWO: "missing"}),
        ([source("one"), source("two", connection_uri="//b")], True, {TWO: "connectionURI"}),
        ([source("one"), source("two", login="bob", type="JDBC")], True, {TWO: "login, type"}),
        ([source("one"), source("two", login=None)], True, {TWO: "login"}),
        ([source("one"), source("two", connection_uri="//b")], False, {}),
        ([source("one", login=None), source("two", login=None)], True, {}),
        ([source("one"), source("two"), source("three")], True, {}),
    ],
)
def test_data_sources_that_are_missing_or_differ(
    there: list[DataSource], values: bool, wrong: dict[JobKey, str]
) -> None:
    manifest = build_manifest([], [], ALL, data_sources=[source("one"), source("two")])
    assert different_data_sources(manifest, there, ALL, SiteProperties({}), values=values) == wrong


@pytest.mark.parametrize(
    ("there", "wrong"),
    [("//b", {}), ("//a", {TWO: "connectionURI"}), ("//c", {TWO: "connectionURI"})],
)
def test_a_data_source_holds_what_the_properties_of_its_site_say(there: str, wrong: dict[JobKey, str]) -> None:
    manifest = build_manifest([], [], ALL, data_sources=[source("one"), source("two")])
    site = SiteProperties({"p.dataSource.VDP.two.connectionURI": "//b"})
    sources = [source("one"), source("two", connection_uri=there)]
    assert different_data_sources(manifest, sources, ALL, site, values=True) == wrong


def test_jobs_that_arrived_under_another_case_are_the_same() -> None:
    wanted = build_manifest([job(A, 1)], [status(A)], ALL)
    assert verify(wanted, [], [status(JobKey(project="P", name="A"))], ALL, definitions=False) == Verification()


# --- runs on the passive server


@pytest.mark.parametrize(
    ("now", "suspect"),
    [
        (status(A), False),
        (status(A, previous_execution=NOON + timedelta(seconds=3)), True),
        (status(A, previous_execution=NOON.replace(microsecond=0)), True),
        (status(A, previous_execution=NOON - timedelta(seconds=1)), False),
        (status(A, "RUNNING"), True),
    ],
)
def test_ran_since(now: JobStatus, suspect: bool) -> None:
    assert ran_since([now], NOON) == ((A,) if suspect else ())


# --- one server behind two connections


def life(key: JobKey, id_: int, state: str = "NOT_RUNNING", *, shift: int = 0) -> JobStatus:
    moment = NOON + timedelta(minutes=id_ + shift)
    return status(key, state, id_=id_, previous_execution=moment - timedelta(days=1), next_execution=moment)


BUSY = [life(JobKey(project="p", name=str(number)), number) for number in range(10)]


def test_two_reads_of_one_server() -> None:
    assert same_server(BUSY, BUSY)


def test_a_server_that_moved_on_between_the_reads_is_still_the_same() -> None:
    later = [life(one.key, one.job_id, "RUNNING", shift=1) for one in BUSY[:4]] + BUSY[4:]
    new = JobKey(project="p", name="new")
    assert same_server([*BUSY, life(new, 99)], later)


def test_a_passive_clone_with_equal_ids_is_another_server() -> None:
    assert not same_server(BUSY, [status(one.key, "DISABLED", id_=one.job_id) for one in BUSY])


def test_an_active_clone_that_ran_at_other_times_is_another_server() -> None:
    assert not same_server(BUSY, [life(one.key, one.job_id, shift=1) for one in BUSY])


def test_other_ids_are_another_server() -> None:
    assert not same_server(BUSY, [one.model_copy(update={"job_id": one.job_id + 1000}) for one in BUSY])
    assert not same_server(BUSY, [*BUSY[:-1], BUSY[-1].model_copy(update={"job_id": 77})])


def test_without_an_enabled_job_all_must_be_equal() -> None:
    """A passive server looks so, to which the name of the master leads too."""
    asleep = [status(one.key, "DISABLED", id_=one.job_id, previous_execution=one.previous_execution) for one in BUSY]
    assert same_server(asleep, asleep)
    assert not same_server([], [])
    assert not same_server(asleep, asleep[1:])
    ran = asleep[0].model_copy(update={"previous_execution": BUSY[0].next_execution})
    assert not same_server(asleep, [ran, *asleep[1:]])
    elsewhere = asleep[0].model_copy(update={"project_id": asleep[0].project_id + 1})
    assert not same_server(asleep, [elsewhere, *asleep[1:]])


def test_a_later_read_may_come_from_the_same_server() -> None:
    later = [life(one.key, one.job_id, "DISABLED", shift=1) for one in BUSY[:4]] + BUSY[4:]
    assert may_go_on(BUSY, BUSY)
    assert may_go_on(BUSY, later)
    assert may_go_on(BUSY, BUSY[1:]), "a job was deleted"
    assert not may_go_on(later, BUSY), "executions are gone"
    assert not may_go_on(BUSY, [BUSY[0].model_copy(update={"previous_execution": None}), *BUSY[1:]])
    assert not may_go_on(BUSY, [one.model_copy(update={"job_id": one.job_id + 1000}) for one in BUSY])
    assert not may_go_on(BUSY, [one.model_copy(update={"project_id": 77}) for one in BUSY])
