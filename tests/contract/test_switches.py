"""Jobs and data sources as a sync reads and writes them, with both sides of each switch for what is unpublished."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from denodo_demo.processes import wait_for
from denodo_standin.exportfile import Export, write_export
from denodo_standin.model import JOB_TYPES
from denodo_standin.params import ENCRYPTED, Element

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process, Start

pytestmark = pytest.mark.usefixtures("healed")

NewJob = Callable[..., dict[str, Any]]
Project = dict[str, Any]
REPLACE = {"replaceJobs": "true", "replaceDataSources": "true"}
SECRET = "c2VjcmV0IG9mIGEgam9i"
ODD = {
    "customSection": {"levels": [[1, 2], []], "one": ["x"], "none": None, "share": 0.5, "digits": "007", "number": "7"},
    "customList": [{"only": "one"}],
    "customFlag": False,
    "customText": "a\r\nb <c> & 'd' ",
    "customNothing": None,
}


@pytest.fixture(scope="module")
def slave(start: Start) -> Process:
    return start("scheduler", "--clock", "manual", "--now", "2026-03-02T06:00:00Z", "--id-offset", "500000")


@pytest.fixture(scope="module")
def to_slave(connect: Any, webtool: Process, slave: Process) -> Api:
    client: Api = connect(webtool, slave)
    return client


def path_of(job: dict[str, Any]) -> str:
    return f"/projects/{job['projectId']}/jobs/{job['id']}"


def archive(project: str, *elements: tuple[str, dict[str, Any]], version: str = "9.1.0") -> bytes:
    """An export file of one project; each element is its kind and its parameters."""
    made = tuple(Element(project, kind, "VDP", False, params) for kind, params in elements)
    return b"".join(write_export(Export(version, {project: None}, made), moment=datetime(2026, 3, 2, tzinfo=UTC)))


def data_source(**params: Any) -> tuple[str, dict[str, Any]]:
    secret = {ENCRYPTED: SECRET}
    fields = {"name": "vdp", "connectionURI": "//here:9999/admin", "login": "scheduler", "password": secret}
    return "dataSource", fields | params


def imported(api: Api, project: Project, *elements: tuple[str, dict[str, Any]], **options: str) -> dict[str, Any]:
    """Import elements into a project; return its jobs by name."""
    assert api.import_(archive(project["name"], *elements), **options).is_success
    return {job["name"]: job for job in api.ok("GET", f"/projects/{project['id']}/jobs")}


def sources_of(api: Api, project: Project) -> list[dict[str, Any]]:
    return [each for each in api.ok("GET", "/dataSources") if each["projectId"] == project["id"]]


def xml(content: bytes, entry: str) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return file.read(entry).decode()


def runs_of(process: Process, job: dict[str, Any]) -> list[str]:
    lines = process.control("journal")
    return [run["trigger"] for run in lines if (run["project"], run["job"]) == (job["projectName"], job["name"])]


def fields(found: dict[str, Any]) -> dict[str, Any]:
    """The fields of a job or data source and of its sections, by dotted path."""
    inside = {
        f"{name}.{key}": each for name, value in found.items() if isinstance(value, dict) for key, each in value.items()
    }
    return {name: value for name, value in found.items() if not isinstance(value, dict)} | inside


def added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields(one).items() if name not in fields(other)}


# --- unknown fields


@pytest.fixture
def read(api: Api, project: Project) -> Callable[[], list[dict[str, Any]]]:
    """Reads one job and the data source that it uses."""
    (job,) = imported(api, project, data_source(), ("job", {"name": "load", "dataSource": "vdp"})).values()
    return lambda: [api.ok("GET", path_of(job)), *sources_of(api, project)]


def test_guess_volatile_fields(read: Any, scheduler: Process) -> None:
    plain = read()
    assert read() == plain
    scheduler.control("guesses", {"volatile_fields": True})
    for before, one, other in zip(plain, read(), read(), strict=True):
        extra = added(one, before)
        assert sorted("." in name for name in extra) == [False, True], "one at top level, one inside a section"
        assert all(fields(one)[name] != fields(other)[name] for name in extra)
        assert {name: value for name, value in fields(one).items() if name not in extra} == fields(before)


def test_guess_server_fields(read: Any, api: Api, to_slave: Api, scheduler: Process, slave: Process, job: Any) -> None:
    plain = read()
    on = {"server_fields": True}
    scheduler.control("guesses", on)
    slave.control("guesses", on)
    extra = [added(one, before) for one, before in zip(read(), plain, strict=True)]
    assert [sorted("." in name for name in each) for each in extra] == [[False, True]] * 2
    assert read() == read()
    other = api.ok("POST", f"{path_of(plain[0]).rpartition('/')[0]}", json=job("other"))
    assert {name: fields(other)[name] for name in extra[0]} == extra[0], "the same in all jobs of a server"
    there = to_slave.ok("POST", "/projects", json={"name": "elsewhere", "description": ""})
    sent = read()[0]
    del sent["extractionSection"]["dataSourceID"]
    assert added(sent, plain[0]) == extra[0]
    copy = to_slave.ok("POST", f"/projects/{there['id']}/jobs", json=sent)
    assert all(fields(copy)[name] != value for name, value in extra[0].items()), "a server writes its own"
    slave.control("guesses", {"server_fields": False})
    assert not set(extra[0]) & set(fields(to_slave.ok("GET", path_of(copy)))), "nor does it keep those of a client"


def test_guess_newer_fields(read: Any, api: Api, scheduler: Process) -> None:
    plain = read()
    scheduler.control("guesses", {"newer_fields": True})
    for before, now in zip(plain, read(), strict=True):
        extra = added(now, before)
        assert not any(extra.values())
        assert {type(value) for value in extra.values()} >= {bool, int, str, list}
        assert {"." in name for name in extra} == {False, True}
        assert read() == read()
    written = {**read()[0], "tags": ["nightly"]}
    api.ok("PUT", path_of(written), json=written)
    assert read()[0] == written, "a value that a client writes is kept"


def test_guess_crlf(api: Api, project: Project, new_job: NewJob, scheduler: Process) -> None:
    text = "select 1\nfrom dual()\r\n"
    job = new_job("load", description=text, extractionSection={"parameterizedQuery": text})
    assert (job["description"], job["extractionSection"]["parameterizedQuery"]) == (text, text)
    scheduler.control("guesses", {"crlf": True})
    converted = "select 1\r\nfrom dual()\r\n"
    after = api.ok("GET", path_of(job))
    assert (after["description"], after["extractionSection"]["parameterizedQuery"]) == (converted, converted)
    imported(api, project, data_source(comment="a\nb"))
    assert [source["comment"] for source in sources_of(api, project)] == ["a\r\nb"]


# --- writing jobs


def test_unknown_fields_are_kept_by_rest_and_by_the_archive(
    api: Api, to_slave: Api, project: Project, new_job: NewJob
) -> None:
    trigger = {"type": "cron", "cronExpression": "0 0 3 * * ?", "custom": ["x"], "more": {"a": "5"}}
    first = new_job("first")
    info = {"jobIDs": [first["id"]], "executeAnyway": False, "customMode": "all"}
    sections = {
        "extractionSection": {"custom": ["x"], "digits": "5", "empty": [], "nothing": {}},
        "retrySection": {"custom": [{"a": None}]},
        "triggerSection": {"triggers": [{**trigger, "dependencyInfo": info}], "custom": 0},
    }
    sent = {**ODD, **sections}
    job = new_job("load", **sent)
    assert {name: job[name] for name in sent} == sent
    changed = {**job, "customFlag": True}
    assert api.ok("PUT", path_of(job), json=changed) == api.ok("GET", path_of(job)) == changed

    to_slave.import_(api.export(), **REPLACE)
    copies = to_slave.ok("GET", "/jobs")
    (copy,) = [each for each in copies if (each["projectName"], each["name"]) == (project["name"], "load")]
    ids = copy["triggerSection"]["triggers"][0]["dependencyInfo"].pop("jobIDs")
    changed["triggerSection"]["triggers"][0]["dependencyInfo"].pop("jobIDs")
    assert len(ids) == 1
    assert {name: copy[name] for name in sent} == {name: changed[name] for name in sent}
    entry = f"data/projects/{copy['projectName']}/job/load.xml"
    assert xml(to_slave.export(), entry) == xml(api.export(), entry)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_guess_put_loses(
    api: Api, project: Project, new_job: NewJob, job: Any, scheduler: Process, method: str
) -> None:
    trigger = {"type": "cron", "cronExpression": "0 0 3 * * ?", "startTime": "2026-01-01T00:00:00Z", "custom": 1}
    sent = job("load", customSection={"a": 1}, custom=2, triggerSection={"triggers": [trigger]})
    kept = new_job("kept", **{name: value for name, value in sent.items() if name not in ("name", "type")})
    assert kept["triggerSection"]["triggers"] == [trigger]
    assert (kept["customSection"], kept["custom"]) == ({"a": 1}, 2)
    scheduler.control("guesses", {"put_loses": ["customSection", "triggerSection.triggers.startTime", "nowhere.x"]})
    if method == "POST":
        found = api.ok("POST", f"/projects/{project['id']}/jobs", json=sent)
    else:
        found = api.ok("PUT", path_of(kept), json=kept)
    assert "customSection" not in found
    assert found["custom"] == 2
    assert found["triggerSection"]["triggers"] == [
        {name: value for name, value in trigger.items() if name != "startTime"}
    ]
    assert api.ok("GET", path_of(found)) == found


def test_guess_unwritable_types(api: Api, project: Project, new_job: NewJob, job: Any, scheduler: Process) -> None:
    before = {kind: new_job(f"old {kind}", type=kind) for kind in JOB_TYPES}
    scheduler.control("guesses", {"unwritable_types": ["VDPCache", "VDPIndexer"]})
    path = f"/projects/{project['id']}/jobs"
    for kind in JOB_TYPES:
        answers = (
            api.post(path, json=job(f"new {kind}", type=kind)),
            api.put(path_of(before[kind]), json={**before[kind], "description": "changed"}),
        )
        refused = kind in ("VDPCache", "VDPIndexer")
        assert [answer.status_code for answer in answers] == ([500, 500] if refused else [201, 200])
        if refused:
            assert {answer.json()["message"].partition(".")[0] for answer in answers} == {"Internal error"}
            assert api.ok("GET", path_of(before[kind])) == before[kind]
    assert len(api.ok("GET", path)) == 2 * len(JOB_TYPES) - 2
    refusal = scheduler.client.post("/control/guesses", json={"unwritable_types": ["VDPOther"]})
    assert refusal.status_code == 400


@pytest.mark.parametrize(("honoured", "expected"), [(True, "DISABLED"), (False, "NOT_RUNNING")])
def test_guess_born_disabled(
    api: Api, project: Project, new_job: NewJob, scheduler: Process, honoured: bool, expected: str
) -> None:
    scheduler.control("guesses", {"born_disabled": honoured})
    born = new_job("born", disabled=True)
    put = new_job("put")
    answer = api.ok("PUT", path_of(put), json={**put, "disabled": True})
    assert (born["disabled"], answer["disabled"]) == (honoured, honoured)
    states = api.states()
    assert {states[project["name"], name] for name in ("born", "put")} == {expected}


# --- firing


@pytest.mark.parametrize("fires", [True, False])
@pytest.mark.parametrize("way", ["post", "import", "enable"])
def test_guess_past_start_fires(
    api: Api, project: Project, new_job: NewJob, scheduler: Process, way: str, fires: bool
) -> None:
    scheduler.control("guesses", {"past_start_fires": fires})
    scheduler.control("duration", {"seconds": 1})
    old = {"type": "cron", "cronExpression": "0 0 3 * * ?", "startTime": "2026-01-01T00:00:00Z"}
    future = {**old, "startTime": "2030-01-01T00:00:00Z"}
    if way == "import":
        elements = [("job", {"name": name, "trigger": trigger}) for name, trigger in (("old", old), ("future", future))]
        jobs = imported(api, project, *elements)
    else:
        made = [("old", old), ("future", future)]
        jobs = {
            name: new_job(name, disabled=way == "enable", triggerSection={"triggers": [each]}) for name, each in made
        }
    if way == "enable":
        assert runs_of(scheduler, jobs["old"]) == []
        api.ok("PUT", f"{path_of(jobs['old'])}/status", json={"action": "enable"})
        api.ok("PUT", f"{path_of(jobs['future'])}/status", json={"action": "enable"})
    assert runs_of(scheduler, jobs["old"]) == (["cron"] if fires else [])
    assert runs_of(scheduler, jobs["future"]) == []
    scheduler.advance(5)
    status = api.ok("GET", f"{path_of(jobs['old'])}/status")
    assert status["nextExecution"] > scheduler.control("state")["now"]
    assert len(runs_of(scheduler, jobs["old"])) == fires


def test_guess_stuck(api: Api, project: Project, new_job: NewJob, scheduler: Process) -> None:
    stuck, other = new_job("stuck", cron="0 * * * * ?"), new_job("other", cron="0 * * * * ?")
    expected = api.ok("GET", f"{path_of(stuck)}/status")["nextExecution"]
    scheduler.control("guesses", {"stuck": f"^{project['name']} / stuck$"})
    began = datetime.fromisoformat(scheduler.control("state")["now"])
    scheduler.advance(600)
    for _ in range(2):
        status = api.ok("GET", f"{path_of(stuck)}/status")
        assert status["state"] == "NOT_RUNNING"
        assert datetime.fromisoformat(status["nextExecution"]) == began - timedelta(hours=1)
        assert (len(runs_of(scheduler, stuck)), len(runs_of(scheduler, other))) == (0, 10)
        act(api, stuck, "disable")
        act(api, stuck, "enable")
    scheduler.control("guesses", {"stuck": None})
    assert api.ok("GET", f"{path_of(stuck)}/status")["nextExecution"] > expected
    scheduler.advance(60)
    assert runs_of(scheduler, stuck) == ["cron"]


def act(api: Api, job: dict[str, Any], action: str) -> int:
    return api.put(f"{path_of(job)}/status", json={"action": action}).status_code


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize(
    ("choice", "status", "after"), [("kept", 204, True), ("ignored", 204, False), ("refused", 500, False)]
)
def test_guess_disable_while_paused(
    api: Api, new_job: NewJob, scheduler: Process, choice: str, status: int, after: bool, bulk: bool
) -> None:
    job = new_job()
    scheduler.control("guesses", {"disable_while_paused": choice})
    scheduler.control("pause", {"paused": True})
    try:
        if bulk:
            body = {"action": "disable", "IDs": str(job["id"])}
            assert api.put(f"/projects/{job['projectId']}/jobs/status", json=body).status_code == status
        else:
            assert act(api, job, "disable") == status
        assert api.ok("GET", path_of(job))["disabled"] is after
        assert api.ok("GET", f"{path_of(job)}/status")["state"] == "DISABLED"
    finally:
        scheduler.control("pause", {"paused": False})
    assert (api.ok("GET", f"{path_of(job)}/status")["state"] == "DISABLED") is after
    assert act(api, job, "disable") == 204, "the switch is about a paused server alone"


@pytest.mark.parametrize("hides", [True, False])
def test_guess_pause_hides_flags(api: Api, new_job: NewJob, scheduler: Process, hides: bool) -> None:
    enabled, disabled = new_job("enabled"), new_job("disabled", disabled=True)
    scheduler.control("guesses", {"pause_hides_flags": hides})
    scheduler.control("pause", {"paused": True})
    try:
        assert [api.ok("GET", path_of(job))["disabled"] for job in (enabled, disabled)] == [hides, True]
    finally:
        scheduler.control("pause", {"paused": False})
    assert [api.ok("GET", path_of(job))["disabled"] for job in (enabled, disabled)] == [False, True]


def test_guess_clock_offset_seconds(start: Start, connect: Any, webtool: Process, job: Any, tmp_path: Path) -> None:
    def ahead(moment: datetime) -> float:
        return round((moment - datetime.now(UTC)) / timedelta(days=1))

    process = start("scheduler", "--data", tmp_path / "data")
    api = connect(webtool, process)
    project = api.ok("POST", "/projects", json={"name": "p", "description": ""})
    process.control("duration", {"seconds": 0})
    new = api.ok("POST", f"/projects/{project['id']}/jobs", json=job("j", cron="* * * * * ?"))
    for days in (40, -40, 0):
        seen = len(process.control("journal"))
        process.control("guesses", {"clock_offset_seconds": days * 86400})
        wait_for(lambda seen=seen: len(process.control("journal")) > seen + 1, 30, "A run by the changed clock")
        status = api.get(f"{path_of(new)}/status")
        assert ahead(parsedate_to_datetime(status.headers["date"])) == days
        assert ahead(datetime.fromisoformat(status.json()["nextExecution"])) == days
        assert ahead(datetime.fromisoformat(process.control("journal")[-1]["start"])) == days
    process.control("clock", {"advance_seconds": 40 * 86400})
    assert round(process.control("state")["guesses"]["clock_offset_seconds"] / 86400) == 40
    process.child.kill()
    again = start("scheduler", "--data", tmp_path / "data")
    assert ahead(datetime.fromisoformat(again.control("state")["now"])) == 40
    again.control("clock", {"mode": "real"})
    assert again.control("state")["guesses"]["clock_offset_seconds"] == 0


def test_the_switches_survive_a_restart(start: Start, tmp_path: Path) -> None:
    changed = {
        "volatile_fields": True,
        "server_fields": True,
        "newer_fields": True,
        "crlf": True,
        "put_loses": ["retrySection"],
        "unwritable_types": ["VDPCache"],
        "born_disabled": False,
        "past_start_fires": True,
        "disable_while_paused": "refused",
        "pause_hides_flags": True,
        "stuck": "^a / b$",
        "clock_offset_seconds": -90,
    }
    process = start("scheduler", "--data", tmp_path / "data")
    assert not changed.items() <= process.control("state")["guesses"].items()
    after = process.control("guesses", changed)
    assert {name: after[name] for name in changed} == changed
    process.child.kill()
    assert start("scheduler", "--data", tmp_path / "data").control("state")["guesses"] == after


# --- archives


def test_a_job_hides_its_secrets_and_loses_them_with_a_put(api: Api, project: Project, scheduler: Process) -> None:
    exporter = {"type": "CSV", "filter": "NONE", "zipPassword": {ENCRYPTED: SECRET}}
    params = {"name": "load", "processor": {"exporter": exporter}, "handlers": {"handler": {"type": "MAIL"}}}
    (job,) = imported(api, project, ("job", params)).values()
    assert job["exportationSection"]["exporters"] == [{"type": "CSV", "filter": "NONE"}]
    for path in ("/jobs", f"/projects/{project['id']}/jobs", "/projects?expand=job"):
        text = api.get(path).text
        assert SECRET not in text
        assert ENCRYPTED not in text
        assert "zipPassword" not in text
    entry = f"data/projects/{project['name']}/job/load.xml"
    scheduler.control("guesses", {"salted_secrets": False})
    assert f'<simple-param name="zipPassword" encrypted="true"><value>{SECRET}</value>' in xml(api.export(), entry)
    api.ok("PUT", path_of(job), json={**job, "description": "changed"})
    assert "zipPassword" not in xml(api.export(), entry)


def test_a_data_source_shows_its_login_and_address_as_the_archive_has_them(api: Api, project: Project) -> None:
    element = ("job", {"name": "load", "dataSource": "vdp"})
    (job,) = imported(api, project, data_source(), element).values()
    (source,) = sources_of(api, project)
    assert source == {
        "id": source["id"],
        "type": "VDP",
        "name": "vdp",
        "projectId": project["id"],
        "projectName": project["name"],
        "login": "scheduler",
        "connectionURI": "//here:9999/admin",
    }
    assert job["extractionSection"] == {"dataSourceID": source["id"]}
    imported(api, project, data_source(connectionURI="//there:9999/admin"), **REPLACE)
    assert sources_of(api, project) == [{**source, "connectionURI": "//there:9999/admin"}]


def test_a_job_may_use_a_data_source_of_another_project(api: Api, to_slave: Api, project: Project, job: Any) -> None:
    imported(api, project, data_source())
    (source,) = sources_of(api, project)
    other = api.ok("POST", "/projects", json={"name": f"uses {project['name']}", "description": ""})
    body = job("load", extractionSection={"dataSourceID": source["id"]})
    assert api.ok("POST", f"/projects/{other['id']}/jobs", json=body)["extractionSection"] == body["extractionSection"]
    assert to_slave.ok("POST", "/serverMetadata/import", content=api.export(), headers=OCTETS)["warnings"] == []
    (copy,) = [each for each in to_slave.ok("GET", "/jobs") if each["projectName"] == other["name"]]
    (there,) = [each for each in to_slave.ok("GET", "/dataSources") if each["projectName"] == project["name"]]
    assert copy["extractionSection"] == {"dataSourceID": there["id"]}
    missing = job("missing", extractionSection={"dataSourceID": 5})
    assert api.post(f"/projects/{other['id']}/jobs", json=missing).status_code == 400


OCTETS = {"content-type": "application/octet-stream"}
NIGHTLY = {"type": "cron", "cronExpression": "0 0 3 * * ?"}


@pytest.mark.parametrize(("new_ids", "replaces"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_cut_down_archive_replaces_its_jobs_and_those_of_all_only_if_import_replaces_everything(
    api: Api, project: Project, scheduler: Process, new_ids: bool, replaces: bool
) -> None:
    elements = [("job", {"name": f"job {n}", "dataSource": "vdp", "trigger": NIGHTLY}) for n in range(5)]
    before = imported(api, project, data_source(), *elements)
    source = sources_of(api, project)
    scheduler.control("guesses", {"new_ids": new_ids, "replace_everything": replaces})
    three = [("job", {**params, "description": "new"}) for _, params in elements[:3]]
    after = imported(api, project, *three, **REPLACE)
    delivered = {f"job {n}" for n in range(3)}
    assert set(after) == (delivered if replaces else set(before))
    assert {name for name in after if after[name]["description"] == "new"} == delivered
    assert {name for name in after if after[name]["id"] != before[name]["id"]} == (delivered if new_ids else set())
    assert sources_of(api, project) == ([] if replaces else source)
    expected = None if replaces else source[0]["id"]
    assert {job["extractionSection"]["dataSourceID"] for job in after.values()} == {expected}


def test_an_archive_without_jobs_wakes_nothing(api: Api, project: Project, new_job: NewJob, scheduler: Process) -> None:
    disabled, enabled = new_job("disabled", disabled=True), new_job("enabled")
    changes = len(scheduler.control("audit"))
    export = Export("9.1.0", {project["name"]: "text", "a new one": "its text"}, (Element(project["name"], *_SOURCE),))
    resources = [("drivers/db.jar", b"driver"), ("plugins/exporter.jar", b"plugin")]
    content = b"".join(write_export(export, moment=datetime(2026, 3, 2, tzinfo=UTC), resources=resources))
    answer = api.import_(content, **REPLACE, replaceDrivers="true", replacePlugins="true")
    assert answer.json() == {"warnings": []}
    assert len(scheduler.control("audit")) == changes
    assert [api.ok("GET", path_of(job)) for job in (disabled, enabled)] == [disabled, enabled]
    assert [source["name"] for source in sources_of(api, project)] == ["vdp"]
    new = api.ok("GET", "/projects", params={"name": "a new one"})
    assert new["description"] == "its text"
    exported = api.post("/serverMetadata/export", params={"drivers": "true", "plugins": "true"}).content
    assert xml(exported, "data/resources/drivers/db.jar") == "driver"
    assert xml(exported, "data/resources/plugins/exporter.jar") == "plugin"
    api.delete(f"/projects/{new['id']}")


_SOURCE = ("dataSource", "VDP", False, data_source()[1])
