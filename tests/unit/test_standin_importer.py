from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from denodo_demo.slowness import allow
from denodo_standin.errors import ApiError
from denodo_standin.exportfile import Export, write_export
from denodo_standin.importer import Replace
from denodo_standin.model import Job
from denodo_standin.params import Element
from denodo_standin.server import SchedulerServer
from denodo_standin.settings import Guesses

NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
HOURLY = {"type": "cron", "cronExpression": "0 0 * * * ?"}
ALL = Replace(jobs=True, data_sources=True, plugins=True, drivers=True)


@pytest.fixture
def server(tmp_path: Path) -> SchedulerServer:
    return SchedulerServer(tmp_path / "server", manual=True, now=NOW)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """An export file of project Sales with the jobs and data sources given by name; values are added parameters."""

    def make(jobs: dict[str, Any] | None = None, sources: dict[str, Any] | None = None, **options: Any) -> Path:
        elements = [_element("dataSource", name, params) for name, params in (sources or {}).items()]
        elements += [_element("job", name, params) for name, params in (jobs or {}).items()]
        target = tmp_path / "export.zip"
        chunks = write_export(Export("9.1.0", {"Sales": None}, tuple(elements)), moment=NOW, **options)
        target.write_bytes(b"".join(chunks))
        return target

    return make


def _element(kind: str, name: str, params: dict[str, Any]) -> Element:
    return Element("Sales", kind, "VDP", False, {"name": name, "trigger": HOURLY, **params})


def load(server: SchedulerServer, file: Path, replace: Replace = Replace()) -> list[str]:  # noqa: B008
    return asyncio.run(server.import_file(file, replace))


def job(server: SchedulerServer, name: str) -> Job:
    return next(job for job in server.store.jobs.values() if job.name.casefold() == name.casefold())


def state(server: SchedulerServer, name: str) -> str:
    return server.engine.state(job(server, name)).value


def query(server: SchedulerServer, name: str) -> Any:
    return job(server, name).sections["extractionSection"].get("q")


def guess(server: SchedulerServer, **guesses: Any) -> None:
    server.store.settings.guesses = Guesses(**guesses)


def test_imported_jobs_are_enabled_and_scheduled(server: SchedulerServer, file: Callable[..., Path]) -> None:
    assert load(server, file({"a": {}})) == []
    assert state(server, "a") == "NOT_RUNNING"
    assert job(server, "a").next_execution == NOW + timedelta(hours=1)
    assert [(line["change"], line["by"]) for line in server.store.audit()] == [
        ("created", "import"),
        ("enabled", "import"),
    ]


def test_without_the_flag_an_existing_job_stays_as_it_is(server: SchedulerServer, file: Callable[..., Path]) -> None:
    load(server, file({"a": {"q": "old"}}))
    server.act("disable", [job(server, "a")])
    load(server, file({"A": {"q": "new"}, "b": {}}), Replace(data_sources=True))
    assert (query(server, "a"), state(server, "a"), state(server, "b")) == ("old", "DISABLED", "NOT_RUNNING")


def test_with_the_flag_it_is_replaced_enabled_and_keeps_its_id_and_history(
    server: SchedulerServer, file: Callable[..., Path]
) -> None:
    load(server, file({"a": {"q": "old"}, "only here": {}}))
    server.engine.advance(NOW + timedelta(minutes=90))
    before = job(server, "a").model_copy()
    server.act("disable", list(server.store.jobs.values()))
    load(server, file({"A": {"q": "new"}}), ALL)
    after = job(server, "a")
    assert (query(server, "a"), state(server, "a")) == ("new", "NOT_RUNNING")
    assert (after.id, after.previous_execution, after.result) == (before.id, before.previous_execution, "COMPLETE")
    assert server.store.reports(after, 0, 9)[1] == 1
    assert state(server, "only here") == "DISABLED", "what the file does not hold is left alone"
    assert [line["change"] for line in server.store.audit()][-2:] == ["replaced", "enabled"]


@pytest.mark.parametrize(("flag", "login"), [(False, "old"), (True, "new")])
def test_data_sources_have_their_own_flag(
    server: SchedulerServer, file: Callable[..., Path], flag: bool, login: str
) -> None:
    load(server, file(sources={"VDP": {"login": "old"}}))
    load(server, file(sources={"vdp": {"login": "new"}}), Replace(jobs=True, data_sources=flag))
    (source,) = server.store.data_sources.values()
    assert source.params["login"] == login


@pytest.mark.parametrize(
    ("flag", "kept"), [(Replace(), b"old"), (Replace(plugins=True), b"old"), (Replace(drivers=True), b"new")]
)
def test_drivers_have_their_own_flag(
    server: SchedulerServer, file: Callable[..., Path], flag: Replace, kept: bytes
) -> None:
    load(server, file(resources=[("drivers/a.jar", b"old")]))
    load(server, file(resources=[("drivers/a.jar", b"new"), ("drivers/b.jar", b"b")]), flag)
    store = server.store
    assert {path: store.resource(path) for path in store.resource_paths()} == {
        "drivers/a.jar": kept,
        "drivers/b.jar": b"b",
    }


def test_what_an_imported_job_lacks_is_a_warning(server: SchedulerServer, file: Callable[..., Path]) -> None:
    trigger = {"type": "cron", "cronExpression": "0 61 * * * ?", "dependency": {"jobId": "gone"}}
    warnings = load(server, file({"a": {"dataSource": "missing", "trigger": trigger}, "fine": {}}))
    assert warnings[:2] == [
        "Job 'a' of project 'Sales': its data source 'missing' does not exist",
        "Job 'a' of project 'Sales': the job 'gone' that it depends on does not exist",
    ]
    assert warnings[2].startswith("Job 'a' of project 'Sales': its cron expression is not valid: ")
    assert len(warnings) == 3
    assert job(server, "a").next_execution is None


def test_jobs_of_one_file_may_depend_on_later_ones(server: SchedulerServer, file: Callable[..., Path]) -> None:
    trigger = {**HOURLY, "dependency": {"jobId": "b"}}
    assert load(server, file({"a": {"trigger": trigger}, "b": {}})) == []


def test_a_damaged_file_changes_nothing(server: SchedulerServer, file: Callable[..., Path]) -> None:
    damaged = file({"a": {}})
    damaged.write_bytes(damaged.read_bytes()[:-30])
    with pytest.raises(ApiError, match="Internal error") as caught:
        load(server, damaged, ALL)
    assert caught.value.status == 500
    assert "export again" in caught.value.sub_errors[0]["message"]
    assert (server.store.jobs, server.store.projects, server.store.audit()) == ({}, {}, [])


# --- guesses


def test_replace_everything_deletes_the_rest(server: SchedulerServer, file: Callable[..., Path]) -> None:
    load(server, file({"a": {}, "b": {}}, sources={"VDP": {}}))
    guess(server, replace_everything=True)
    load(server, file({"A": {}}), ALL)
    assert [job.name for job in server.store.jobs.values()] == ["A"]
    assert server.store.data_sources == {}


@pytest.mark.parametrize(("keeps", "expected"), [(False, "NOT_RUNNING"), (True, "DISABLED")])
def test_keeps_disabled(server: SchedulerServer, file: Callable[..., Path], keeps: bool, expected: str) -> None:
    guess(server, keeps_disabled=keeps)
    load(server, file({"a": {}}))
    server.act("disable", [job(server, "a")])
    load(server, file({"a": {}, "new": {}}), ALL)
    assert (state(server, "a"), state(server, "new")) == (expected, "NOT_RUNNING")


def test_new_ids(server: SchedulerServer, file: Callable[..., Path]) -> None:
    guess(server, new_ids=True)
    load(server, file({"a": {}}, sources={"VDP": {}}))
    before = {*server.store.jobs, *server.store.data_sources}
    load(server, file({"a": {}}, sources={"VDP": {}}), ALL)
    after = {*server.store.jobs, *server.store.data_sources}
    assert len(before) == len(after) == 2
    assert not before & after


def test_refuses_import_while_running(server: SchedulerServer, file: Callable[..., Path]) -> None:
    load(server, file({"a": {}}))
    guess(server, refuses_import_while_running=True)
    server.act("start", [job(server, "a")])
    with pytest.raises(ApiError, match="Internal error"):
        load(server, file({"b": {}}))
    server.engine.advance(NOW + timedelta(minutes=1))
    assert load(server, file({"b": {}})) == []


def test_import_warnings(server: SchedulerServer, file: Callable[..., Path]) -> None:
    guess(server, import_warnings=["Driver x is missing"])
    assert load(server, file({"a": {}})) == ["Driver x is missing"]


# --- the gap


def test_a_job_due_before_it_is_disabled_again_really_starts(
    server: SchedulerServer, file: Callable[..., Path]
) -> None:
    load(server, file({"a": {}}))
    server.engine.advance(NOW + timedelta(hours=1))
    server.act("disable", [job(server, "a")])
    server.engine.advance(NOW + timedelta(hours=3))
    assert [(line["trigger"], line["start"]) for line in server.store.journal()] == [("cron", "2026-03-02T07:00:00Z")]


def test_a_slow_import_goes_on_after_its_client_gave_up_and_enables_step_by_step(
    server: SchedulerServer, file: Callable[..., Path]
) -> None:
    guess(server, import_seconds=0.5)
    export = file({f"job {number}": {} for number in range(20)})
    seen: set[int] = set()

    async def give_up_and_watch() -> None:
        task = asyncio.create_task(server.import_file(export, Replace()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0.01)
        async with asyncio.timeout(allow(30)):
            while not task.done():
                seen.add(len(server.store.jobs))
                await asyncio.sleep(0.005)

    asyncio.run(give_up_and_watch())
    assert len(server.store.jobs) == 20
    assert any(0 < count < 20 for count in seen)
    assert not any(job.disabled for job in server.store.jobs.values())
