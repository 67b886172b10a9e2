"""What counts as a difference between two servers that were not made for this project, and what does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from denodo_ha.snapshot.manifest import Manifest
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.sync import Books, Sync, add_job, delete, edit, enabled, states, status_of

Tamper = Callable[..., Any]
SWITCHES = ("volatile_fields", "server_fields", "newer_fields", "crlf")
WHERE = {"the master": (0,), "the slave": (1,), "both": (0, 1)}
EDITED = "default / edited"


def switched(sync: Sync, where: str, *switches: str) -> Sync:
    for number in WHERE[where]:
        sync.servers.servers[number].scheduler.guesses(**dict.fromkeys(switches, True))
    return sync


def manifest(sync: Sync) -> Manifest:
    return Manifest.from_json(sync.files[f"test/{sync.record.snapshot_id}/manifest.json"])


def requests(sync: Sync) -> int:
    return sum(sum(server.webtool.requests().values()) for server in sync.servers.servers)


def altered(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """Change one element of an answer that lists elements, and pass on any other answer."""

    def alter(content: bytes) -> bytes:
        rows = json.loads(content)
        if isinstance(rows, list):
            for row in rows:
                if f"{row.get('projectName')} / {row.get('name')}" == name:
                    change(row)
        return json.dumps(rows).encode()

    return alter


# -- what is no content


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("switch", [*SWITCHES, "all of them"])
def test_fields_that_are_no_content_hold_up_no_sync(sync: Sync, switch: str, where: str) -> None:
    switched(sync, where, *(SWITCHES if switch == "all of them" else [switch]))
    add_job(sync.master, "default", "edited", description="two\nlines")
    sync.synced()
    assert set(states(sync.slave)) == set(states(sync.master))
    assert not enabled(sync.slave)

    slave = Books(sync.slave)
    for server in sync.servers.servers:
        server.webtool.reset_requests()
    out = sync.synced()
    assert out.code("import_metadata") == "unchanged"
    assert out.exported
    assert out.exported.plan == {}
    assert requests(sync) <= 10
    assert slave.audit == []

    edit(sync.master, EDITED, description="three\nlines")
    out = sync.synced()
    assert slave.imported
    assert out.event
    assert out.event["plan"] == {"changed": {"jobs": 1, "names": EDITED}}
    assert not enabled(sync.slave)


def test_what_was_learned_is_named_once_and_kept_with_the_snapshot(
    sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    switched(sync, "both", "server_fields")
    switched(sync, "the master", "volatile_fields")
    learned = {"readSerial", "extractionSection.lastCheck", "extractionSection.node"}
    sync.synced()
    said = [record.getMessage() for record in caplog.records if "Not compared from now on" in record.getMessage()]
    assert len(said) == 2
    assert all(any(path in text for text in said) for path in learned)
    assert set(manifest(sync).noise) == learned
    caplog.clear()
    edit(sync.master, "default / Load orders", description="edited")
    sync.synced()
    assert "Not compared from now on" not in caplog.text
    assert set(manifest(sync).noise) == learned


def test_a_sync_that_has_learned_asks_the_master_for_nothing_more(sync: Sync) -> None:
    switched(sync, "both", "server_fields")
    sync.synced()
    edit(sync.master, "default / Load orders", description="edited")
    out = sync.dag_run()
    for task in ("guard", "export_metadata", "import_metadata", "disable_jobs"):
        out.task(task)
    sync.master.webtool.reset_requests()
    out.task("verify")
    assert out.committed
    assert sync.master.webtool.requests() == {}


def test_a_field_that_begins_to_change_by_itself_is_no_change_of_a_job(sync: Sync) -> None:
    sync.synced()
    switched(sync, "both", "volatile_fields", "server_fields")
    out = sync.synced()
    assert out.code("import_metadata") == "unchanged"
    assert out.exported
    assert out.exported.plan == {}
    add_job(sync.master, "default", "new job")
    sync.synced()
    assert states(sync.slave)["default / new job"] == "DISABLED"


# -- what is content


def test_a_cron_edited_during_each_export_is_no_noise(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    switched(sync, "both", "volatile_fields")
    add_job(sync.master, "default", "edited")
    status, export, minutes = status_of(sync.master, EDITED), DenodoSchedulerHook.export_metadata, iter(range(60))

    def exported(hook: DenodoSchedulerHook, *args: Any, **kwargs: Any) -> Any:
        result = export(hook, *args, **kwargs)
        sync.master.set_cron(status, f"0 {next(minutes)} 5 * * ?")
        return result

    monkeypatch.setattr(DenodoSchedulerHook, "export_metadata", exported)
    out = sync.run(master_changes=True)
    assert out.code("export_metadata") == "metadata_changing"
    assert "triggerSection.triggers[].cronExpression" in out.message("export_metadata")


@pytest.mark.parametrize("noisy", [False, True], ids=["quiet", "noisy"])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("triggerSection.triggers[].cronExpression", lambda job: job["triggerSection"].update(triggers=[
            {"type": "cron", "cronExpression": "0 0 4 * * ?"}
        ])),
        ("description", lambda job: job.update(description="another")),
        ("extractionSection.query", lambda job: job["extractionSection"].update(query="select 2")),
    ],
)  # fmt: skip
def test_one_job_that_arrives_otherwise_is_named_with_its_field(
    sync: Sync, tamper: Tamper, field: str, change: Callable[[dict[str, Any]], object], noisy: bool
) -> None:
    if noisy:
        switched(sync, "both", *SWITCHES)
    extraction = {"query": "select 1"}
    add_job(sync.master, "default", "edited", description="one", extractionSection=extraction)
    tamper(sync.slave, "/public/api/jobs?", altered(EDITED, change))
    out = sync.run()
    assert out.code("verify") == "not_verified"
    assert f"1 jobs have another definition: {EDITED} ({field})" in out.message("verify")
    assert sync.record.snapshot is None


def test_a_job_that_the_master_has_lost_meanwhile_is_not_taken_for_equal(sync: Sync, tamper: Tamper) -> None:
    add_job(sync.master, "default", "edited", description="one")
    tamper(sync.slave, "/public/api/jobs?", altered(EDITED, lambda job: job.update(description="another")))
    out = sync.run(between={"verify": lambda: delete(sync.master, EDITED)}, master_changes=True)
    assert f"1 jobs have another definition: {EDITED} (gone from the master)" in out.message("verify")


def test_all_jobs_with_another_cron_are_all_different(sync: Sync, tamper: Tamper) -> None:
    cron = b'"cronExpression": "'
    tamper(sync.slave, "/public/api/jobs?", lambda content: content.replace(cron, cron + b"1"))
    out = sync.run()
    assert out.code("verify") == "not_verified"
    assert "jobs have another definition" in out.message("verify")


def test_a_job_that_differs_only_in_its_data_source_differs(sync: Sync, tamper: Tamper) -> None:
    job = next(job for job in sync.master.request("GET", "/jobs") if job["extractionSection"].get("dataSourceID"))
    name = f"{job['projectName']} / {job['name']}"

    def another(row: dict[str, Any]) -> None:
        own = row["extractionSection"]["dataSourceID"]
        sources = [source["id"] for source in sync.slave.request("GET", "/dataSources")]
        row["extractionSection"]["dataSourceID"] = next(each for each in sources if each != own)

    tamper(sync.slave, "/public/api/jobs?", altered(name, another))
    out = sync.run()
    assert f"1 jobs have another definition: {name} (extractionSection.dataSource)" in out.message("verify")


def test_ids_of_data_sources_that_the_login_may_not_see_are_said_and_hold_up_no_sync(
    sync: Sync, tamper: Tamper, caplog: pytest.LogCaptureFixture
) -> None:
    tamper(sync.slave, "/public/api/dataSources", lambda _: b'{"a page": "of another kind"}')
    sync.synced()
    assert "The data sources of the slave cannot be read" in caplog.text
    assert "Not compared in" in caplog.text


# -- data sources


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row.update(connectionURI="//elsewhere:9999/admin"), "connectionURI"),
        (lambda row: row.update(login="somebody else"), "login"),
        (lambda row: row.update(name="another one"), "missing"),
    ],
)
def test_a_data_source_that_arrives_otherwise_is_named(
    sync: Sync, tamper: Tamper, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    source = sync.master.request("GET", "/dataSources")[0]
    name = f"{source['projectName']} / {source['name']}"
    tamper(sync.slave, "/public/api/dataSources", altered(name, change))
    out = sync.run()
    assert out.code("verify") == "not_verified"
    assert f"1 data sources are missing or differ: {name} ({said})" in out.message("verify")
    assert sync.record.snapshot is None


def test_data_sources_that_an_import_is_to_leave_alone_may_differ(
    sync: Sync, tamper: Tamper, connect: Callable[..., None]
) -> None:
    tamper_with = altered("default / VDP", lambda row: row.update(connectionURI="//of-this-site:9999/admin"))
    between = tamper(sync.slave, "/public/api/dataSources", tamper_with)
    extra = {"scheduler_uri": sync.slave.uri, "timeout": [30, 30], "import_options": {"replaceDataSources": False}}
    connect(sync.slave, port=between.port, extra=extra)
    sync.synced()


def test_fields_of_data_sources_may_be_spelt_otherwise_and_lack_the_project(sync: Sync, tamper: Tamper) -> None:
    def respelt(content: bytes) -> bytes:
        rows = json.loads(content)
        for row in rows:
            row["userName"], row["connectionUri"] = row.pop("login", None), row.pop("connectionURI", None)
            del row["projectName"]
        return json.dumps(rows).encode()

    tamper(sync.slave, "/public/api/dataSources", respelt)
    sync.synced()


# -- names


def test_two_names_that_only_full_case_folding_equates_are_two_jobs(sync: Sync) -> None:
    for name in ("Maße", "Masse"):
        add_job(sync.master, "default", name)
    sync.synced()
    assert states(sync.slave)["default / Maße"] == states(sync.slave)["default / Masse"] == "DISABLED"
    edit(sync.master, "default / Maße", description="edited")
    out = sync.synced()
    assert out.event
    assert out.event["plan"] == {"changed": {"jobs": 1, "names": "default / Maße"}}
    assert len(sync.slave.statuses()) == len(sync.master.statuses())


@pytest.mark.parametrize(("field", "counts"), [("accessToken", False), ("tokenSeparator", True)])
def test_a_token_separator_is_no_secret(sync: Sync, tamper: Tamper, field: str, counts: bool) -> None:
    add_job(sync.master, "default", "edited", extractionSection={"tokenSeparator": ";", "accessToken": "a"})
    tamper(sync.slave, "/public/api/jobs?", altered(EDITED, lambda row: row["extractionSection"].update({field: "x"})))
    out = sync.run()
    assert out.committed == (not counts)
    assert not counts or f"{EDITED} (extractionSection.tokenSeparator)" in out.message("verify")
