from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from denodo_standin.model import DataSource, Job, Project, Result
from denodo_standin.store import Store

MOMENT = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


def filled(directory: Path, id_offset: int | None = None, jobs: int = 3) -> Store:
    store = Store(directory, id_offset)
    with store.transaction():
        project = Project(id=store.new_id(), name="Sales", description="Ventas")
        store.put(project, DataSource(id=store.new_id(), project_id=project.id, name="VDP", type="VDP"))
        for number in range(jobs):
            store.put(Job(id=store.new_id(), project_id=project.id, name=f"Job {number}", type="VDP"))
    return store


def test_all_is_there_after_a_restart(tmp_path: Path) -> None:
    store = filled(tmp_path)
    job = next(iter(store.jobs.values()))
    job.disabled, job.result, job.next_execution = True, Result.WARNING, MOMENT
    store.put(job)
    store.settings.paused = True
    store.save_settings()
    store.put_resource("drivers/a.jar", b"\x00\xff")
    before = (store.projects, store.data_sources, store.jobs, store.settings)
    store.close()

    again = Store(tmp_path)
    assert (again.projects, again.data_sources, again.jobs, again.settings) == before
    assert {name: again.resource(name) for name in again.resource_paths()} == {"drivers/a.jar": b"\x00\xff"}


def test_a_failed_transaction_leaves_nothing_on_disk(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = dict(store.jobs)
    with contextlib.suppress(RuntimeError), store.transaction():
        store.put(Job(id=store.new_id(), project_id=1000, name="half", type="VDP"))
        raise RuntimeError
    store.close()
    assert Store(tmp_path).jobs == before


def test_a_directory_belongs_to_one_server(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="in use by another server: stop that one"):
        Store(tmp_path)
    store.close()
    Store(tmp_path)


# --- ids


def test_ids_start_at_the_offset_and_are_never_given_twice(tmp_path: Path) -> None:
    store = filled(tmp_path, 7000)
    used = [*store.projects, *store.data_sources, *store.jobs]
    assert min(used) == 7000
    assert len(set(used)) == 5
    last = max(used)
    store.remove(store.jobs[last])
    store.close()
    assert Store(tmp_path, 7000).new_id() > last


def test_a_store_opened_without_an_offset_goes_on_as_before(tmp_path: Path) -> None:
    store = filled(tmp_path, 7000)
    expected = store.new_id()
    store.close()
    assert Store(tmp_path).new_id() - expected == expected - max(filled(tmp_path / "other", 7000).jobs)


@pytest.mark.parametrize("offset", [500, 1017, 90_000])
def test_a_changed_offset_never_meets_an_id_in_use(tmp_path: Path, offset: int) -> None:
    store = filled(tmp_path, 1000, jobs=50)
    store.close()
    again = Store(tmp_path, offset)
    used = {*again.projects, *again.data_sources, *again.jobs}
    new = [again.new_id() for _ in range(100)]
    assert not used & set(new)
    assert min(new) >= offset


@pytest.mark.parametrize("offset", [2000, 1001, 50_000])
def test_two_servers_share_no_id(tmp_path: Path, offset: int) -> None:
    master = filled(tmp_path / "master", 1000, jobs=300)
    slave = filled(tmp_path / "slave", offset, jobs=300)
    ids = [{*store.projects, *store.data_sources, *store.jobs} for store in (master, slave)]
    assert not ids[0] & ids[1]


# --- names


def test_names_are_compared_without_case(tmp_path: Path) -> None:
    store = filled(tmp_path)
    project = store.project_named("SALES")
    assert project is not None
    job = store.job_named(project.id, "jOB 1")
    assert job is not None
    assert job.name == "Job 1"
    source = store.data_source_named(project.id, "vdp")
    assert source is not None
    assert store.project_named("sale") is None


def test_a_renamed_job_is_found_by_its_new_name_only(tmp_path: Path) -> None:
    store = filled(tmp_path)
    project_id, job = next(iter(store.projects)), next(iter(store.jobs.values()))
    store.put(job.model_copy(update={"name": "New"}))
    assert store.job_named(project_id, job.name) is None
    found = store.job_named(project_id, "new")
    assert found is not None
    assert found.id == job.id


# --- journal, reports, audit


def test_the_journal_keeps_its_numbers_and_tells_news_only(tmp_path: Path) -> None:
    store = filled(tmp_path)
    job = next(iter(store.jobs.values()))
    first = store.start_run(job, MOMENT, "cron", MOMENT)
    second = store.start_run(job, MOMENT, "manual", None)
    store.end_run(first, MOMENT + timedelta(seconds=1.5), Result.COMPLETE)
    store.close()
    store = Store(tmp_path)
    assert store.journal() == [
        {
            "seq": first,
            "project": "Sales",
            "job": "Job 0",
            "start": "2026-03-02T06:00:00Z",
            "end": "2026-03-02T06:00:01.500Z",
            "trigger": "cron",
            "scheduled": "2026-03-02T06:00:00Z",
            "result": "COMPLETE",
        },
        {
            "seq": second,
            "project": "Sales",
            "job": "Job 0",
            "start": "2026-03-02T06:00:00Z",
            "end": None,
            "trigger": "manual",
            "scheduled": None,
            "result": None,
        },
    ]
    assert [line["seq"] for line in store.journal(since=first)] == [second]
    assert store.open_runs() == [(second, job.id)]


def test_reports_are_ended_runs_newest_first(tmp_path: Path) -> None:
    store = filled(tmp_path)
    job, other, *_ = store.jobs.values()
    for number in range(5):
        seq = store.start_run(job, MOMENT + timedelta(minutes=number), "cron", None)
        if number < 4:
            store.end_run(seq, MOMENT + timedelta(minutes=number, seconds=1), Result.COMPLETE)
    store.end_run(store.start_run(other, MOMENT, "cron", None), MOMENT, Result.COMPLETE)
    page, total = store.reports(job, 1, 2)
    assert total == 4
    assert [report["start"] for report in page] == ["2026-03-02T06:02:00Z", "2026-03-02T06:01:00Z"]


def test_audit_survives_the_job(tmp_path: Path) -> None:
    store = filled(tmp_path)
    job = next(iter(store.jobs.values()))
    store.add_audit(MOMENT, job, "deleted", "api")
    store.remove(job)
    assert store.audit() == [
        {"seq": 1, "at": "2026-03-02T06:00:00Z", "project": "Sales", "job": "Job 0", "change": "deleted", "by": "api"}
    ]
