"""What ordinary syncs do to the two servers, judged by the servers."""

from __future__ import annotations

import json
import logging
import stat
import traceback
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from denodo_demo.judge import exposures
from denodo_demo.standin import LOGIN, PASSWORD
from denodo_ha.record import Doubt, Record
from denodo_ha.snapshot.manifest import Manifest
from denodo_scheduler.client import transfer
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_standin.exportfile import Export
from denodo_standin.params import ENCRYPTED, Element
from support.sync import (
    NIGHTLY,
    TASKS,
    Books,
    Sync,
    act,
    add_job,
    crons,
    delete,
    edit,
    enabled,
    fill,
    generated,
    load,
    states,
    status_of,
    untouched,
)

NEVER = "0 0 3 1 1 ? 2099"
FILES = {"export.zip", "contents.json", "manifest.json"}
"""The files of snapshots."""


def folders(sync: Sync) -> list[str]:
    """The folders in which snapshots lie."""
    return sorted({path.parent.name for path in map(Path, sync.files)} - {"record", "test"})


def manifest(sync: Sync) -> Manifest:
    """The manifest of the committed snapshot, as it lies in the snapshot folder."""
    return Manifest.from_json(sync.files[f"test/{sync.record.snapshot_id}/manifest.json"])


def manifest_enabled(sync: Sync) -> set[str]:
    return set(map(str, manifest(sync).enabled))


# -- the first one


def test_the_first_sync_copies_every_job_and_leaves_all_of_them_disabled_on_the_slave(sync: Sync) -> None:
    slave = Books(sync.slave)
    with untouched(sync.master):
        sync.synced()
    assert set(states(sync.slave)) == set(states(sync.master))
    assert set(states(sync.slave).values()) == {"DISABLED"}
    assert len(enabled(sync.master)) == 9
    assert manifest_enabled(sync) == enabled(sync.master)
    assert crons(sync.slave) == crons(sync.master)
    assert {entry["by"] for entry in slave.audit if entry["change"] == "enabled"} == {"import"}
    assert {entry["by"] for entry in slave.audit if entry["change"] == "disabled"} == {"api"}
    assert sync.record.dirty is None
    assert sync.record.operation is None


def test_the_two_servers_never_agree_on_an_id(sync: Sync) -> None:
    sync.synced()
    ids = [{status["jobID"] for status in server.statuses()} for server in sync.servers.servers]
    assert len(ids[0]) == len(ids[1]) == 12
    assert not ids[0] & ids[1]


def test_the_event_tells_how_long_jobs_were_enabled_and_the_servers_audit_agrees(
    sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real clock on all sides."""
    monkeypatch.setattr(Sync, "now", lambda _: datetime.now(UTC))
    for server in sync.servers.servers:
        server.scheduler.clock(mode="real")
    for project in sync.master.request("GET", "/projects"):
        sync.master.request("DELETE", f"/projects/{project['id']}")
    for number in range(6):
        add_job(sync.master, f"p{number % 2}", f"job {number}", NEVER)
    slave = Books(sync.slave)
    out = sync.synced()
    (exposure,) = exposures(slave.audit)
    assert exposure.jobs == 6
    assert out.imported
    assert datetime.fromisoformat(out.imported.began) <= exposure.start
    assert exposure.end is not None
    assert exposure.end <= datetime.fromisoformat(out.imported.clean_at)
    assert out.event
    assert exposure.seconds <= out.event["exposure_seconds"]
    assert 0 < out.event["exposure_after_answer_seconds"] <= out.event["exposure_seconds"]


def test_the_event_names_what_was_synced_by_whom_and_why(sync: Sync) -> None:
    out = sync.synced(actor="ana", reason="new reports")
    assert out.event
    assert (out.event["actor"], out.event["reason"], out.event["epoch"]) == ("ana", "new reports", 1)
    assert (out.event["jobs"], out.event["enabled"], out.event["imported"]) == (12, 9, True)
    assert out.event["before"] == {"snapshot": None, "dirty": True}
    assert out.event["after"] == {"snapshot": sync.record.snapshot_id, "dirty": False}
    assert out.event["content_hash"] == sync.record.snapshot.content_hash  # type: ignore[union-attr]
    assert [event["kind"] for event in out.events] == ["initialised", "sync"]


# -- when nothing changed


@pytest.mark.parametrize("salted", [True, False], ids=["salted secrets", "unsalted secrets"])
@pytest.mark.parametrize("jobs", [8, 60])
def test_a_sync_of_unchanged_content_imports_nothing_and_asks_little(sync: Sync, jobs: int, salted: bool) -> None:
    sync.master.scheduler.guesses(salted_secrets=salted)
    fill(sync.master, jobs=jobs, disabled=4)
    first = sync.synced()
    webtools = [server.webtool for server in sync.servers.servers]
    with untouched(sync.master, sync.slave):
        for webtool in webtools:
            webtool.reset_requests()
        out = sync.synced()
        requests = [webtool.requests() for webtool in webtools]
    assert out.code("import_metadata") == "unchanged"
    assert sum(sum(counts.values()) for counts in requests) <= 10, requests
    assert out.event
    assert (out.event["imported"], out.event["exposure_seconds"]) == (False, 0.0)
    assert first.exported
    assert out.exported
    assert sync.record.snapshot
    assert sync.record.snapshot.id == out.exported.snapshot != first.exported.snapshot
    assert sync.record.snapshot.imported < sync.record.snapshot.taken


def _never_rests(sync: Sync) -> None:
    """From here on the master has no quiet window, and nothing can be imported."""
    sync.master.scheduler.duration(36_000)
    act(sync.master, "start", sorted(enabled(sync.master))[-1])
    assert "RUNNING" in states(sync.master).values()


def test_a_job_toggled_on_the_master_is_noted_without_an_import(sync: Sync) -> None:
    sync.synced()
    _never_rests(sync)
    off, on = sorted(enabled(sync.master))[0], sorted(set(states(sync.master)) - enabled(sync.master))[0]
    act(sync.master, "disable", off)
    act(sync.master, "enable", on)
    with untouched(sync.master, sync.slave):
        out = sync.synced()
    assert out.code("import_metadata") == "unchanged"
    assert manifest_enabled(sync) == enabled(sync.master)
    assert on in manifest_enabled(sync)
    assert off not in manifest_enabled(sync)
    assert out.event
    assert out.event["plan"] == {"enabled": {"jobs": 1, "names": on}, "disabled": {"jobs": 1, "names": off}}


# -- when something changed


def test_a_changed_cron_replaces_the_job_on_the_slave(sync: Sync) -> None:
    sync.synced()
    add_job(sync.master, "default", "new one")
    sync.synced()
    sync.master.set_cron(status_of(sync.master, "default / new one"), "0 30 4 * * ?")
    out = sync.synced()
    assert crons(sync.slave)["default / new one"] == ["0 30 4 * * ?"]
    assert out.event
    assert out.event["plan"]["changed"] == {"jobs": 1, "names": "default / new one"}
    assert not enabled(sync.slave)


def test_a_job_added_on_the_master_arrives_disabled(sync: Sync) -> None:
    sync.synced()
    add_job(sync.master, "Brand new", "first job")
    sync.synced()
    assert states(sync.slave)["Brand new / first job"] == "DISABLED"
    assert "Brand new / first job" in manifest_enabled(sync)


def test_a_renamed_job_arrives_under_its_new_name_and_the_old_one_stays_as_a_disabled_orphan(sync: Sync) -> None:
    add_job(sync.master, "default", "old name")
    sync.synced()
    edit(sync.master, "default / old name", name="new name")
    out = sync.synced()
    assert states(sync.slave)["default / new name"] == "DISABLED"
    assert states(sync.slave)["default / old name"] == "DISABLED"
    assert out.event
    assert out.event["orphans"] == {"jobs": 1, "names": "default / old name", "deleted": False}
    assert "default / old name" not in set(map(str, manifest(sync).by_key))


def test_a_job_whose_name_changes_only_its_case_is_the_same_job(sync: Sync) -> None:
    add_job(sync.master, "default", "Straße Report")
    sync.synced()
    count = len(sync.slave.statuses())
    edit(sync.master, "default / Straße Report", name="STRAẞE REPORT")
    out = sync.synced()
    assert len(sync.slave.statuses()) == count
    assert out.event
    assert out.event["orphans"]["jobs"] == 0
    assert "added" not in out.event["plan"]


def test_the_same_name_in_two_projects_with_slashes_and_unicode_is_two_jobs(sync: Sync) -> None:
    projects = ("Ñandú/1", "ñANDÚ/2")
    names = ["ventas/día %20?", "注文 / 日次", "..", "a\\b:c*", 'quo"te <&>']
    for project in projects:
        for name in names:
            add_job(sync.master, project, name, disabled=project.endswith("2"))
    sync.synced()
    for project in projects:
        for name in names:
            assert states(sync.slave)[f"{project} / {name}"] == "DISABLED"
            assert (f"{project} / {name}" in manifest_enabled(sync)) == project.endswith("1")
    with untouched(sync.slave):
        assert sync.synced().code("import_metadata") == "unchanged"


# -- passwords


def test_one_changed_password_is_imported(sync: Sync) -> None:
    sync.master.scheduler.guesses(salted_secrets=False)
    sync.synced()
    made = generated().export
    source = next(element for element in made.elements if element.kind == "dataSource")
    params = {**source.params, "password": {ENCRYPTED: "bm90IHRoZSBvbGQgb25l"}}
    changed = Element(source.project, source.kind, source.sub_type, source.draft, params)
    load(sync.master, Export(made.version, {source.project: None}, (changed,)))
    slave = Books(sync.slave)
    out = sync.synced()
    assert out.exported.comparison == "to deliver: 1 secrets"  # type: ignore[union-attr]
    assert slave.imported
    assert not enabled(sync.slave)


def test_where_passwords_cannot_be_compared_the_content_is_imported_once_per_refresh(sync: Sync) -> None:
    sync.options["secrets_refresh"] = "1h"
    sync.synced()
    with untouched(sync.slave):
        assert sync.synced().code("import_metadata") == "unchanged"
    sync.advance(minutes=62)
    slave = Books(sync.slave)
    out = sync.synced()
    assert "all secrets, which were last delivered 1h2m ago" in out.exported.comparison  # type: ignore[union-attr]
    assert slave.imported == set(states(sync.master))
    with untouched(sync.slave):
        assert sync.synced().code("import_metadata") == "unchanged"


# -- orphans


def test_orphans_are_reported_and_stay(sync: Sync) -> None:
    sync.synced()
    _never_rests(sync)
    gone = sorted(states(sync.master))[:2]
    for name in gone:
        delete(sync.master, name)
    with untouched(sync.slave):
        out = sync.synced()
    assert out.code("import_metadata") == "unchanged"
    assert f"2 removed (such as job {gone[0]}), which the slave keeps" in out.message("import_metadata")
    assert out.event
    assert out.event["orphans"] == {"jobs": 2, "names": ", ".join(gone), "deleted": False}
    assert out.event["plan"]["removed"] == {"jobs": 2, "names": ", ".join(gone)}
    assert set(gone) <= set(states(sync.slave))
    assert not set(gone) & set(map(str, manifest(sync).by_key))


def test_a_project_that_is_gone_leaves_its_orphans_and_its_data_sources(sync: Sync) -> None:
    """And what comes back afterwards under an old name is new: it is imported."""
    add_job(sync.master, "short lived", "one job")
    sync.synced()
    project = next(each for each in sync.master.request("GET", "/projects") if each["name"] == "short lived")
    sync.master.request("DELETE", f"/projects/{project['id']}")
    with untouched(sync.slave):
        out = sync.synced()
    assert out.event
    assert out.event["orphans"]["names"] == "short lived / one job"
    assert "job short lived / one job" in out.event["comparison"]
    add_job(sync.master, "short lived", "one job", "0 30 4 * * ?")
    assert sync.synced().imported
    assert crons(sync.slave)["short lived / one job"] == ["0 30 4 * * ?"]


def test_orphans_are_deleted_where_the_pair_says_so_and_never_outside_its_scope(sync: Sync) -> None:
    scope = {"projects": ["default", "sales"], "orphans": "delete"}
    sync.synced(pair=scope)
    gone = next(name for name in sorted(states(sync.master)) if name.startswith("default /"))
    _never_rests(sync)
    delete(sync.master, gone)
    add_job(sync.slave, "SALES", "made on the slave", disabled=True)
    add_job(sync.slave, "Finance", "made on the slave")
    out = sync.synced(pair=scope)
    assert gone not in states(sync.slave)
    assert "Sales / made on the slave" not in states(sync.slave)
    assert states(sync.slave)["Finance / made on the slave"] == "NOT_RUNNING"
    assert out.event
    assert (out.event["orphans"]["jobs"], out.event["orphans"]["deleted"]) == (2, True)


# -- warnings and crons


def test_an_import_with_warnings_is_a_success_that_tells_them(sync: Sync) -> None:
    sync.slave.scheduler.guesses(import_warnings=["The driver 'db2.jar' is not installed"])
    out = sync.synced()
    assert out.event
    assert out.event["warnings"] == ["The driver 'db2.jar' is not installed"]
    assert not enabled(sync.slave)


@pytest.mark.parametrize("kept", [2, 3])
def test_warnings_beyond_those_that_are_kept_are_counted_and_disprove_no_doubt(
    sync: Sync, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """What an earlier import has warned of may be among those that are not listed."""
    monkeypatch.setattr(transfer, "_MOST_WARNINGS", kept)
    sync.save(Record(doubts=(Doubt(since=sync.now(), text="told before"),)))
    sync.slave.scheduler.guesses(import_warnings=["a", "b", "c"])
    out = sync.synced()
    assert out.event
    assert out.event["warnings"] == ["a", "b", "c"][:kept]
    assert out.event.get("unlisted_warnings") == (1 if kept == 2 else None)
    assert [doubt.text for doubt in sync.record.doubts] == (["told before", "a", "b"] if kept == 2 else ["a", "b", "c"])


def test_a_cron_that_quartz_refuses_is_explained_before_it_is_saved(sync: Sync) -> None:
    hook = DenodoSchedulerHook("denodo_scheduler_master")
    valid, wrong = hook.validate_cron([NIGHTLY, "0 0 3 * * *"])
    assert valid == ""
    assert "?" in wrong
    with untouched(sync.master, sync.slave), pytest.raises(Exception, match="500"):
        add_job(sync.master, "default", "broken", "0 0 3 * * *")


def test_a_job_with_a_cron_that_quartz_refuses_is_named_and_set_aside(sync: Sync) -> None:
    """When it would fire is not known, so no moment is safe for it; all others are delivered."""
    sync.rest = True
    made = generated().export
    job = next(element for element in made.elements if element.kind == "job" and "trigger" in element.params)
    params = {**job.params, "name": "broken", "trigger": {"type": "cron", "cronExpression": "0 0 3 * * *"}}
    broken = Element(job.project, "job", job.sub_type, False, params)
    load(sync.master, Export(made.version, {job.project: None}, (broken,)))
    out = sync.synced()
    assert out.event
    name = f"{job.project} / broken"
    assert out.event["pending"]["names"] == [name]
    (pending,) = sync.record.pending
    assert (pending.code, pending.on_target) == ("restless", False)
    assert "the cron '0 0 3 * * *' cannot be evaluated" in pending.why
    assert pending.next_step.startswith("change that on the source, or send it by hand with 'Deliver now'")
    assert set(states(sync.slave)) == set(states(sync.master)) - {name}


# -- a drifting slave


def test_jobs_that_somebody_enabled_on_the_slave_are_disabled_and_the_history_names_them(sync: Sync) -> None:
    sync.synced()
    name = sorted(states(sync.slave))[0]
    act(sync.slave, "enable", name)
    out = sync.synced()
    assert not enabled(sync.slave)
    assert [event["kind"] for event in out.events] == ["drift", "sync"]
    assert out.events[0]["jobs"] == name


# -- snapshots


def test_old_snapshots_go_and_the_files_are_for_their_owner_only(sync: Sync) -> None:
    sync.options["keep_snapshots"] = 2
    kept = [sync.synced().exported.snapshot for _ in range(4)]  # type: ignore[union-attr]
    assert folders(sync) == kept[-2:]
    assert sync.prepared().snapshots.listed()[0] == kept[-2:]
    assert {path.name for path in map(Path, sync.files) if path.parent.name in folders(sync)} == FILES
    for name in sync.files:
        assert stat.S_IMODE((sync.folder / name).stat().st_mode) == 0o600, name


def test_a_snapshot_of_a_part_of_the_server_holds_nothing_else_and_leaves_no_parts(sync: Sync) -> None:
    sync.synced(pair={"projects": ["Sales"]})
    assert {path.name for path in map(Path, sync.files) if path.parent.name in folders(sync)} == FILES
    for name, content in sync.files.items():
        assert stat.S_IMODE((sync.folder / name).stat().st_mode) == 0o600, name
        assert b"Finance" not in content
    assert {key.project for key in manifest(sync).by_key} == {"Sales"}


def test_the_committed_snapshot_outlives_newer_ones_that_were_never_committed(sync: Sync) -> None:
    sync.options["keep_snapshots"] = 2
    run = sync.dag_run()
    run.task("guard")
    run.task("export_metadata")
    for _ in range(3):
        other = sync.dag_run()
        other.task("guard")
        other.task("export_metadata")
    for task in TASKS[2:]:
        run.task(task)
    assert run.committed
    assert f"test/{sync.record.snapshot_id}/export.zip" in sync.files
    assert len(folders(sync)) == 3
    with untouched(sync.slave):
        assert sync.synced().code("import_metadata") == "unchanged"


# -- dry run


@pytest.mark.parametrize("before", ["nothing yet", "a sync"])
def test_a_dry_run_shows_the_plan_and_changes_nothing(sync: Sync, before: str) -> None:
    if before == "a sync":
        sync.synced()
        delete(sync.master, sorted(states(sync.master))[0])
    record, files = dict(sync.state.values), sync.files
    with untouched(sync.master, sync.slave):
        out = sync.run(dry_run=True)
    assert (sync.state.values, sync.files) == (record, files)
    assert out.ok
    assert out.exported
    expected = {"removed": 1} if before == "a sync" else {"added": 12}
    assert {kind: change["jobs"] for kind, change in out.exported.plan.items()} == expected
    assert out.exported.unchanged is (before == "a sync"), "what is gone needs no import"
    assert {out.code(task) for task in ("import_metadata", "disable_jobs", "verify")} == {"dry_run"}


def test_a_dry_run_of_a_mass_change_shows_it_instead_of_stopping(sync: Sync, caplog: pytest.LogCaptureFixture) -> None:
    sync.synced()
    act(sync.master, "disable", *states(sync.master))
    with untouched(sync.master, sync.slave):
        out = sync.run(dry_run=True)
    assert out.exported
    assert out.exported.plan["disabled"]["jobs"] == 9
    assert "A real sync would stop here: all 12 jobs are disabled" in caplog.text


# -- secrets


def test_the_password_is_found_nowhere(
    sync: Sync, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], connect: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    runs = [sync.synced(reason="everyday")]
    connect(sync.slave, login="somebody else")
    runs.append(sync.run())
    connect(sync.slave)
    add_job(sync.master, "default", "one more")
    sync.slave.webtool.faults({"kind": "cut_after", "match": {"method": "POST", "path": "import"}})
    runs.append(sync.run())
    sync.slave.webtool.faults()
    runs.append(sync.synced())
    errors = [error for run in runs for error in run.errors.values()]
    assert len(errors) >= 2
    said = [
        caplog.text,
        "".join(repr(record.__dict__) for record in caplog.records),
        *capfd.readouterr(),
        *(text for error in errors for text in (repr(error), *traceback.format_exception(error))),
        json.dumps([run.events for run in runs]),
        *(repr((run.run, run.verdict, run.exported, run.imported, run.disabled)) for run in runs),
        json.dumps(sync.state.values),
        *(content.decode("latin-1") for content in sync.files.values()),
    ]
    assert "one more" in "".join(said)
    for secret in (PASSWORD, b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()):
        assert not [text for text in said if secret in text]
