"""Export and import: what the file holds, what an import does and does not, and each switch for what is unpublished."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from denodo_demo.processes import wait_for
from denodo_demo.slowness import allow
from support.timeouts import IMPATIENT

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process, Start


GENUINE = Path(__file__).parents[2] / ".." / "shared" / "denodo" / "exports"
REPLACE = {"replaceJobs": "true", "replaceDataSources": "true"}


@pytest.fixture(scope="module")
def slave(start: Start) -> Process:
    return start("scheduler", "--clock", "manual", "--now", "2026-03-02T06:00:00Z", "--id-offset", "500000")


@pytest.fixture(scope="module")
def to_slave(connect: Any, webtool: Process, slave: Process) -> Api:
    client: Api = connect(webtool, slave)
    return client


@pytest.fixture(autouse=True)
def _clean(api: Api, to_slave: Api, scheduler: Process, slave: Process) -> Iterator[None]:
    """Both servers empty and with default guesses after each test."""
    before = slave.control("state")["guesses"]
    yield
    slave.control("guesses", before)
    scheduler.control("guesses", before)
    for client in (api, to_slave):
        for project in client.ok("GET", "/projects"):
            client.delete(f"/projects/{project['id']}")


def add(client: Api, project: str, **job: Any) -> dict[str, Any]:
    """Add a job, and its project if need be; return the job as shown."""
    found = client.get("/projects", params={"name": project})
    if found.status_code == 404:
        found = client.post("/projects", json={"name": project, "description": f"of {project}"})
    path = f"/projects/{found.json()['id']}/jobs"
    return client.ok("GET", f"{path}/{client.ok('POST', path, json=job)['id']}")


def by_name(client: Api) -> dict[str, dict[str, Any]]:
    return {f"{job['projectName']} / {job['name']}": job for job in client.ok("GET", "/jobs")}


def entries(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def test_the_file_holds_no_ids_and_no_enabled_flag(api: Api, job: Any) -> None:
    first = add(api, "sales", **job("first"))
    info = {"jobIDs": [first["id"]], "executeAnyway": True}
    trigger = {"type": "cron", "cronExpression": "0 0 4 * * ?", "dependencyInfo": info}
    add(api, "sales", **job("second", triggerSection={"triggers": [trigger]}, disabled=True))
    files = entries(api.export())
    assert set(files) == {
        "data/server-metadata.properties",
        "data/projects/sales/description.txt",
        "data/projects/sales/job/first.xml",
        "data/projects/sales/job/second.xml",
    }
    assert b"installation.version=9.1.0" in files["data/server-metadata.properties"]
    second = files["data/projects/sales/job/second.xml"]
    assert b'<element type="job" subType="VDP" draft="false"/>' in second
    assert b">first<" in second, "dependencies are referenced by name"
    assert str(first["id"]).encode() not in second
    assert b"disabled" not in second
    assert b"\n" not in second.strip()


def test_import_adds_under_new_ids_and_enables_all(api: Api, to_slave: Api, job: Any) -> None:
    enabled = add(api, "sales", **job("enabled"))
    disabled = add(api, "sales", **job("Ñandú 1/2", disabled=True))
    answer = to_slave.import_(api.export())
    assert answer.is_success
    jobs = by_name(to_slave)
    assert set(jobs) == {"sales / enabled", "sales / Ñandú 1/2"}
    assert set(to_slave.states().values()) == {"NOT_RUNNING"}, "whatever they were on the source"
    assert not {enabled["id"], disabled["id"]} & {each["id"] for each in jobs.values()}
    assert api.states()["sales", "Ñandú 1/2"] == "DISABLED", "the source stays as it was"


def test_dependencies_are_tied_by_name_on_the_target(api: Api, to_slave: Api, job: Any) -> None:
    first = add(api, "sales", **job("z first"))
    info = {"jobIDs": [first["id"]], "executeAnyway": True}
    trigger = {"type": "cron", "cronExpression": "0 0 4 * * ?", "dependencyInfo": info}
    add(api, "sales", **job("a second", triggerSection={"triggers": [trigger]}))
    to_slave.import_(api.export())
    jobs = by_name(to_slave)
    copied = jobs["sales / a second"]["triggerSection"]["triggers"][0]["dependencyInfo"]
    assert copied == {"jobIDs": [jobs["sales / z first"]["id"]], "executeAnyway": True}


@pytest.mark.parametrize(("options", "description"), [({}, "old"), (REPLACE, "new")])
def test_import_leaves_or_replaces_what_is_there_by_name(
    api: Api, to_slave: Api, job: Any, options: dict[str, str], description: str
) -> None:
    old = add(to_slave, "SALES", **job("Load", description="old", disabled=True))
    add(api, "sales", **job("load", description="new"))
    to_slave.import_(api.export(), **options).raise_for_status()
    (after,) = by_name(to_slave).values()
    assert (after["id"], after["description"]) == (old["id"], description)


def test_import_with_replace_enables_a_job_that_was_disabled(api: Api, to_slave: Api, job: Any) -> None:
    add(to_slave, "sales", **job("load", disabled=True))
    add(api, "sales", **job("load", disabled=True))
    to_slave.import_(api.export(), **REPLACE)
    assert set(to_slave.states().values()) == {"NOT_RUNNING"}


def test_import_deletes_nothing(api: Api, to_slave: Api, job: Any) -> None:
    only_here = add(to_slave, "sales", **job("only on the target", disabled=True))
    add(api, "sales", **job("load"))
    to_slave.import_(api.export(), **REPLACE)
    assert by_name(to_slave)["sales / only on the target"] == only_here


def test_an_imported_job_that_is_due_really_starts(api: Api, to_slave: Api, slave: Process, job: Any) -> None:
    add(api, "sales", **job("every second", cron="* * * * * ?", disabled=True))
    to_slave.import_(api.export())
    slave.advance(2)
    runs = [run for run in slave.control("journal") if run["job"] == "every second"]
    assert runs
    assert {run["trigger"] for run in runs} == {"cron"}


def test_import_answers_warnings(api: Api, to_slave: Api, slave: Process, job: Any) -> None:
    add(api, "sales", **job("load"))
    slave.control("guesses", {"import_warnings": ["The driver of 'crm' is missing"]})
    answer = to_slave.import_(api.export())
    assert answer.is_success
    assert "The driver of 'crm' is missing" in answer.json()["warnings"]
    assert set(by_name(to_slave)) == {"sales / load"}


def test_guess_replace_everything(api: Api, to_slave: Api, slave: Process, job: Any) -> None:
    add(to_slave, "sales", **job("only on the target"))
    add(api, "sales", **job("load"))
    slave.control("guesses", {"replace_everything": True})
    to_slave.import_(api.export(), **REPLACE)
    assert set(by_name(to_slave)) == {"sales / load"}


def test_guess_keeps_disabled(api: Api, to_slave: Api, slave: Process, job: Any) -> None:
    add(to_slave, "sales", **job("load", disabled=True))
    add(api, "sales", **job("load"))
    slave.control("guesses", {"keeps_disabled": True})
    to_slave.import_(api.export(), **REPLACE)
    assert set(to_slave.states().values()) == {"DISABLED"}


def test_guess_imports_disabled(api: Api, to_slave: Api, slave: Process, job: Any) -> None:
    add(to_slave, "sales", **job("there", disabled=True))
    add(api, "sales", **job("there"))
    add(api, "sales", **job("new"))
    slave.control("guesses", {"imports_disabled": True})
    to_slave.import_(api.export(), **REPLACE)
    assert {name: job["disabled"] for name, job in by_name(to_slave).items()} == {
        "sales / there": False,
        "sales / new": True,
    }


@pytest.mark.parametrize(("replaces", "wanted"), [("always", {}), ("never", REPLACE)])
def test_guess_replaces(
    api: Api, to_slave: Api, slave: Process, job: Any, replaces: str, wanted: dict[str, str]
) -> None:
    """A server that ignores what it is told."""
    add(to_slave, "sales", **job("load", description="old"))
    add(api, "sales", **job("load", description="new"))
    slave.control("guesses", {"replaces": replaces})
    to_slave.import_(api.export(), **wanted)
    assert [each["description"] for each in by_name(to_slave).values()] == ["new" if replaces == "always" else "old"]


def test_guess_bulk(to_slave: Api, slave: Process, job: Any) -> None:
    made = [add(to_slave, "sales", **job(name, disabled=True)) for name in ("one", "two")]
    slave.control("guesses", {"bulk": False})
    ids = ",".join(str(each["id"]) for each in made)
    to_slave.ok("PUT", f"/projects/{made[0]['projectId']}/jobs/status", json={"action": "enable", "IDs": ids})
    assert sorted(to_slave.states().values()) == ["DISABLED", "NOT_RUNNING"]


def test_guess_new_ids(api: Api, to_slave: Api, slave: Process, job: Any) -> None:
    old = add(to_slave, "sales", **job("load"))
    add(api, "sales", **job("load"))
    slave.control("guesses", {"new_ids": True})
    to_slave.import_(api.export(), **REPLACE)
    assert [each["id"] for each in by_name(to_slave).values()] != [old["id"]]


def test_guess_slow_import_finishes_after_the_client_gave_up(api: Api, to_slave: Api, slave: Process, job: Any) -> None:
    add(api, "sales", **job("load"))
    content = api.export()
    slave.control("guesses", {"import_seconds": allow(1)})
    headers = {"content-type": "application/octet-stream"}
    with pytest.raises(httpx.ReadTimeout):
        to_slave.post("/serverMetadata/import", content=content, headers=headers, timeout=IMPATIENT)
    wait_for(lambda: to_slave.states() == {("sales", "load"): "NOT_RUNNING"}, 30, "The import that nobody waits for")


def test_guess_refuses_import_while_a_job_is_running(api: Api, to_slave: Api, slave: Process, job: Any) -> None:
    running = add(to_slave, "sales", **job("running"))
    slave.control("guesses", {"refuses_import_while_running": True})
    slave.control("duration", {"seconds": 60})
    content = api.export()
    path = f"/projects/{running['projectId']}/jobs/{running['id']}/status"
    to_slave.ok("PUT", path, json={"action": "start"})
    assert to_slave.import_(content).status_code == 500
    to_slave.ok("PUT", path, json={"action": "stop"})
    assert to_slave.import_(content).is_success


@pytest.mark.parametrize(
    ("misfire", "runs", "result"), [("fire_once", ["misfire"], "COMPLETE"), ("record", [], "MISFIRED")]
)
def test_guess_misfire(to_slave: Api, slave: Process, job: Any, misfire: str, runs: list[str], result: str) -> None:
    slave.control("guesses", {"misfire": misfire})
    slave.control("duration", {"seconds": 1})
    new = add(to_slave, "sales", **job(f"due while disabled {misfire}", cron="0 * * * * ?"))
    path = f"/projects/{new['projectId']}/jobs/{new['id']}/status"
    to_slave.ok("PUT", path, json={"action": "disable"})
    now = slave.control("state")["now"]
    slave.advance(600 - int(now[17:19]) + 30)
    to_slave.ok("PUT", path, json={"action": "enable"})
    slave.advance(2)
    assert [run["trigger"] for run in slave.control("journal") if run["job"] == new["name"]] == runs
    assert to_slave.ok("GET", path)["result"] == result


def test_guess_salted_secrets_make_two_exports_differ(api: Api, scheduler: Process, tmp_path: Path) -> None:
    _import_genuine(api, "incremental_deployment_8.zip")

    def sources() -> dict[str, bytes]:
        return {name: content for name, content in entries(api.export()).items() if "/dataSource/" in name}

    assert sources() != sources()
    scheduler.control("guesses", {"salted_secrets": False})
    assert sources() == sources()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "html"])
def test_a_damaged_file_is_refused_and_changes_nothing(api: Api, to_slave: Api, job: Any, damage: str) -> None:
    add(api, "sales", **job("load"))
    content = api.export()
    where = content.index(b"job/load.xml") + 40
    damaged = {
        "truncated": content[: len(content) // 2],
        "flipped": content[:where] + bytes([content[where] ^ 0xFF]) + content[where + 1 :],
        "empty": b"",
        "html": b"<!DOCTYPE html><html></html>",
    }[damage]
    answer = to_slave.import_(damaged)
    assert answer.status_code >= 400
    assert by_name(to_slave) == {}


def _import_genuine(client: Api, name: str) -> bytes:
    if not GENUINE.is_dir():
        pytest.skip("the genuine export files (../shared/denodo/exports) are not here")
    content = (GENUINE / name).read_bytes()
    assert client.import_(content).is_success
    return content


@pytest.mark.parametrize("name", ["incremental_deployment_8.zip", "incremental_deployment_8_to_9.zip", "roles_9.zip"])
def test_a_genuine_file_travels_through_two_servers(api: Api, to_slave: Api, name: str) -> None:
    def elements(content: bytes) -> set[str]:
        return {entry for entry in entries(content) if entry.startswith("data/projects/")}

    original = _import_genuine(api, name)
    exported = api.export()
    assert elements(exported) == elements(original)
    assert to_slave.import_(exported).is_success
    assert elements(to_slave.export()) == elements(original)


def test_data_sources_hide_their_passwords(api: Api) -> None:
    original = _import_genuine(api, "incremental_deployment_8.zip")
    sources = api.ok("GET", "/dataSources")
    expected = sum("/dataSource/" in name for name in entries(original))
    assert len(sources) == expected
    assert all(isinstance(source["id"], int) and source["projectName"] for source in sources)
    assert "password" not in api.get("/dataSources").text


def test_a_big_file_is_held_in_no_process(
    api: Api, to_slave: Api, webtool: Process, scheduler: Process, slave: Process, tmp_path: Path
) -> None:
    scheduler.control("guesses", {"export_padding_mb": 200})
    processes = (webtool, scheduler, slave)
    before = [memory_mb(process, "VmRSS") for process in processes]
    file = tmp_path / "export.zip"
    with api.stream("POST", "/serverMetadata/export") as answer, file.open("wb") as output:
        for chunk in answer.iter_raw():
            output.write(chunk)
    assert file.stat().st_size > 200_000_000
    headers = {"content-type": "application/octet-stream"}
    with file.open("rb") as content:
        to_slave.ok("POST", "/serverMetadata/import", content=content, headers=headers)
    peaks = [memory_mb(process, "VmHWM") for process in processes]
    assert all(peak - start < 100 for start, peak in zip(before, peaks, strict=True)), (before, peaks)


def memory_mb(process: Process, field: str) -> float:
    """Resident memory of a process, now (VmRSS) or at its peak (VmHWM)."""
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) / 1000
