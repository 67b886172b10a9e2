"""Part of a server only, and whatever the real server may turn out to do where it is unpublished."""

from __future__ import annotations

import io
import zipfile

import pytest

from denodo_standin.openapi import ApiDocsStyle
from support.sync import Books, Sync, act, add_job, delete, enabled, fill, states

SCOPE = {"projects": ["default", "SAL*"], "jobs": ["*"]}


@pytest.fixture
def shared(sync: Sync) -> Sync:
    """A slave with projects and jobs of its own, some of the same names as out of scope on the master."""
    fill(sync.slave, jobs=12, disabled=2)
    for project in sync.slave.request("GET", "/projects"):
        if project["name"] != "Finance":
            sync.slave.request("DELETE", f"/projects/{project['id']}")
    add_job(sync.slave, "Slave only", "its own job")
    return sync


def own(sync: Sync) -> dict[str, str]:
    return {name: state for name, state in states(sync.slave).items() if name.startswith(("Finance /", "Slave only /"))}


def test_what_is_outside_the_scope_stays_exactly_as_it_is_on_the_slave(shared: Sync) -> None:
    before, slave = own(shared), Books(shared.slave)
    assert "NOT_RUNNING" in before.values()
    for _ in range(2):
        shared.synced(pair=SCOPE)
        add_job(shared.master, "default", "new job") if "default / new job" not in states(shared.master) else None
        assert own(shared) == before
    assert {entry["project"] for entry in slave.audit} == {"default", "Sales"}
    in_scope = {name for name in states(shared.master) if name.startswith(("default /", "Sales /"))}
    assert set(states(shared.slave)) == in_scope | set(before)
    assert enabled(shared.slave) == {name for name, state in before.items() if state == "NOT_RUNNING"}


def test_jobs_of_one_project_can_be_in_scope_and_others_not(sync: Sync) -> None:
    for name in ("etl one", "etl two", "report"):
        add_job(sync.master, "mixed", name)
    add_job(sync.slave, "mixed", "report", "0 0 9 * * ?")
    sync.synced(pair={"projects": ["mixed"], "jobs": ["ETL *"]})
    assert states(sync.slave) == {
        "mixed / etl one": "DISABLED",
        "mixed / etl two": "DISABLED",
        "mixed / report": "NOT_RUNNING",
    }


def test_a_server_that_replaces_everything_loses_jobs_outside_the_scope_and_the_sync_names_them(shared: Sync) -> None:
    shared.slave.scheduler.guesses(replace_everything=True)
    before = own(shared)
    out = shared.run(pair=SCOPE)
    message = out.message("verify")
    assert message.startswith("[not_verified] the slave does not equal the snapshot: ")
    assert f"{len(before)} jobs outside the pair's scope were removed by the import: Finance / " in message
    assert out.event is None
    assert shared.record.snapshot is None
    assert shared.record.dirty


def test_a_server_that_replaces_everything_is_fine_where_the_whole_server_is_synced(sync: Sync) -> None:
    sync.slave.scheduler.guesses(replace_everything=True)
    add_job(sync.slave, "default", "orphan", disabled=True)
    out = sync.synced()
    assert set(states(sync.slave)) == set(states(sync.master))
    assert out.event
    assert out.event["orphans"]["jobs"] == 0


def test_a_server_that_keeps_replaced_jobs_disabled_is_synced_all_the_same(sync: Sync) -> None:
    sync.slave.scheduler.guesses(keeps_disabled=True)
    sync.synced()
    add_job(sync.master, "default", "new job")
    slave = Books(sync.slave)
    sync.synced()
    assert {entry["job"] for entry in slave.audit if entry["change"] == "enabled"} == {"new job"}
    assert not enabled(sync.slave)


def test_a_server_that_gives_replaced_jobs_new_ids_is_synced_all_the_same(sync: Sync) -> None:
    sync.slave.scheduler.guesses(new_ids=True)
    sync.synced()
    before = {status["jobID"] for status in sync.slave.statuses()}
    add_job(sync.master, "default", "new job")
    sync.synced()
    assert not before & {status["jobID"] for status in sync.slave.statuses()}
    assert set(states(sync.slave)) == set(states(sync.master))
    assert not enabled(sync.slave)


@pytest.mark.parametrize("style", ["query", "json", "multipart", "multipart_object", "selection", "composed"])
def test_wherever_the_options_of_export_and_import_go_the_sync_finds_them(sync: Sync, style: ApiDocsStyle) -> None:
    for server in sync.servers.servers:
        server.webtool.guesses(api_docs_style=style)
    sync.synced()
    add_job(sync.master, "default", "new job")
    victim = sorted(states(sync.master))[0]
    sync.master.set_cron(next(s for s in sync.master.statuses() if s["jobName"] == "new job"), "0 0 7 * * ?")
    delete(sync.master, victim)
    out = sync.synced()
    assert set(states(sync.slave)) == {*states(sync.master), victim}
    assert not enabled(sync.slave)
    assert out.event
    assert out.event["orphans"]["names"] == victim


def test_what_a_server_exports_unasked_is_not_delivered(sync: Sync) -> None:
    kinds = ("config", "config-dbStored", "permissions", "drivers")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data/server-metadata.properties", "installation.version=9.1.0\n")
        for kind in kinds:
            archive.writestr(f"data/resources/{kind}/of-the-master.txt", b"x")
    octets = {"content-type": "application/octet-stream"}
    sync.master.request("POST", "/serverMetadata/import", content=file.getvalue(), headers=octets)
    sync.master.scheduler.guesses(exports_always=["config", "permissions"])
    sync.synced()
    asked = {"uri": sync.slave.uri, **dict.fromkeys(("config", "permissions", "drivers"), "true")}
    exported = sync.slave._http.post("/serverMetadata/export", params=asked).content
    names = zipfile.ZipFile(io.BytesIO(exported)).namelist()
    delivered = {kind for kind in kinds if f"data/resources/{kind}/of-the-master.txt" in names}
    assert delivered == {"drivers"}


def test_a_definition_that_differs_on_the_slave_after_the_import_is_not_committed(sync: Sync) -> None:
    sync.synced()
    committed = sync.record.snapshot_id
    add_job(sync.master, "default", "new job")

    def somebody_edits_it() -> None:
        status = next(each for each in sync.slave.statuses() if each["jobName"] == "new job")
        sync.slave.set_cron(status, "0 0 9 * * ?")
        act(sync.slave, "disable", "default / new job")

    out = sync.run(between={"verify": somebody_edits_it})
    assert "1 jobs have another definition: default / new job" in out.message("verify")
    assert sync.record.snapshot_id == committed
    assert sync.record.dirty
    sync.synced()
    assert sync.record.dirty is None


@pytest.mark.parametrize(
    ("change", "what"),
    [("enable", "1 jobs are enabled: default / new job"), ("delete", "1 jobs are missing: default / new job")],
)
def test_a_job_enabled_or_deleted_before_the_verification_is_named_and_not_committed(
    sync: Sync, change: str, what: str
) -> None:
    sync.synced()
    committed = sync.record.snapshot_id
    add_job(sync.master, "default", "new job")
    actions = {
        "enable": lambda: act(sync.slave, "enable", "default / new job"),
        "delete": lambda: delete(sync.slave, "default / new job"),
    }
    out = sync.run(between={"verify": actions[change]})
    assert what in out.message("verify")
    assert "the old snapshot stays the newest verified one" in out.message("verify")
    assert sync.record.snapshot_id == committed
    assert sync.record.dirty
    sync.synced()
    assert not enabled(sync.slave)
    assert "default / new job" in states(sync.slave)
