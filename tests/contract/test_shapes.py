"""Each shape of export and import in a web tool: the hook binds it, and the server does what is asked."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from airflow.sdk import ObjectStoragePath

from denodo_scheduler.exceptions import ConfigurationError, DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_standin.openapi import STYLES, ApiDocsStyle

if TYPE_CHECKING:
    from tests.contract.conftest import Api, Process

EXPORT, IMPORT = "/serverMetadata/export", "/serverMetadata/import"
RESOURCES = {f"{each}/x.txt": b"old" for each in ("drivers", "plugins", "config", "permissions")}
REPLACE = dict.fromkeys(("replaceJobs", "replaceDataSources", "replacePlugins", "replaceDrivers"), False)
STYLE = pytest.mark.parametrize("style", get_args(ApiDocsStyle))

Hook = Callable[..., DenodoSchedulerHook]

pytestmark = pytest.mark.usefixtures("healed")


def packed(resources: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data/server-metadata.properties", "installation.version=9.1.0\n")
        for path, content in resources.items():
            archive.writestr(f"data/resources/{path}", content)
    return file.getvalue()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, webtool: Process, scheduler: Process, api: Api) -> Iterator[Hook]:
    """A hook whose extra is that of a test, to a server that has drivers, plugins, configuration and permissions."""
    api.import_(packed(RESOURCES), replaceDrivers="true", replacePlugins="true").raise_for_status()

    def define(**extra: Any) -> DenodoSchedulerHook:
        connection = {
            "conn_type": "denodo_scheduler",
            "schema": "http",
            "host": "127.0.0.1",
            "port": webtool.port,
            "login": "admin",
            "password": "admin",
            "extra": {"scheduler_uri": scheduler.uri, "timeout": [60, 60], **extra},
        }
        monkeypatch.setenv("AIRFLOW_CONN_SHAPES", json.dumps(connection))
        return DenodoSchedulerHook("shapes")

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield define
    webtool.control("guesses", {"api_docs_style": "query"})
    api.import_(packed(RESOURCES), replaceDrivers="true", replacePlugins="true").raise_for_status()


def exported(hook: DenodoSchedulerHook, tmp_path: Path, **options: Any) -> zipfile.ZipFile:
    file = tmp_path / "export.zip"
    result = hook.export_metadata(ObjectStoragePath(f"file://{file}"), options=options)
    assert result.size == file.stat().st_size
    return zipfile.ZipFile(file)


def kinds(archive: zipfile.ZipFile) -> set[str]:
    assert archive.testzip() is None
    return {name.split("/")[2] for name in archive.namelist() if name.startswith("data/resources/") and name[-1] != "/"}


@STYLE
def test_an_export_holds_what_is_asked_for(
    style: str, hook: Hook, webtool: Process, new_job: Any, project: dict[str, Any], tmp_path: Path
) -> None:
    new_job("load")
    webtool.control("guesses", {"api_docs_style": style})
    archive = exported(hook(), tmp_path)
    assert kinds(archive) == {"drivers", "plugins"}
    assert f"data/projects/{project['name']}/job/load.xml" in archive.namelist()
    assert kinds(exported(hook(export_options={"drivers": False}), tmp_path)) == {"plugins"}


@STYLE
def test_an_import_replaces_what_is_asked_for(
    style: str, hook: Hook, webtool: Process, api: Api, new_job: Any, job: Any, project: dict[str, Any], tmp_path: Path
) -> None:
    created = new_job("load", description="as exported")
    webtool.control("guesses", {"api_docs_style": style})
    file = ObjectStoragePath(f"file://{tmp_path}/import.zip")
    hook().export_metadata(file)
    path = f"/projects/{project['id']}/jobs/{created['id']}"

    def description_after(**options: Any) -> str:
        api.ok("PUT", path, json=job("load", id=created["id"], description="changed"))
        hook(import_options=options).import_metadata(file)
        return str(api.ok("GET", path)["description"])

    assert description_after() == "as exported"
    assert description_after(**REPLACE) == "changed"
    if style != "one_replace":
        assert description_after(**{**REPLACE, "replaceJobs": True}) == "as exported"


@STYLE
def test_drivers_are_replaced_only_by_their_own_switch(
    style: str, hook: Hook, webtool: Process, tmp_path: Path
) -> None:
    webtool.control("guesses", {"api_docs_style": style})
    file = tmp_path / "import.zip"
    file.write_bytes(packed(dict.fromkeys(RESOURCES, b"new")))

    def drivers_after(**options: Any) -> bytes:
        hook(import_options=options).import_metadata(ObjectStoragePath(f"file://{file}"))
        return exported(hook(), tmp_path).read("data/resources/drivers/x.txt")

    assert drivers_after(**REPLACE) == b"old"
    if style == "one_replace":
        with pytest.raises(ConfigurationError, match=r"replace \(form\) is one switch .* different things are wanted"):
            drivers_after(replaceJobs=False)
    else:
        assert drivers_after(replaceDrivers=False) == b"old"
    assert drivers_after() == b"new"


def test_what_is_left_to_be_assumed_is_said(hook: Hook, webtool: Process) -> None:
    webtool.control("guesses", {"api_docs_style": "selection"})
    assumed = "; ".join(hook().binding("export").assumed)
    for part in ("config: nothing", "permissions: nothing", "exportDependencies: nothing", "selection (json) is left"):
        assert part in assumed
    webtool.control("guesses", {"api_docs_style": "query"})
    assert hook().binding("export").assumed == ()


def test_projects_can_be_selected_by_an_override(
    hook: Hook, webtool: Process, new_job: Any, api: Api, project: dict[str, Any], tmp_path: Path
) -> None:
    new_job("load")
    other = api.ok("POST", "/projects", json={"name": "another", "description": ""})
    webtool.control("guesses", {"api_docs_style": "selection"})
    wish = {"selection": {"value": {"projects": [{"name": project["name"]}]}}, "exportDependencies": None}
    names = exported(hook(export_options=wish), tmp_path).namelist()
    api.delete(f"/projects/{other['id']}")
    assert f"data/projects/{project['name']}/" in names
    assert "data/projects/another/" not in names


PART = {"in": "form", "name": "options"}
OVERRIDES: list[tuple[str, dict[str, Any]]] = [
    ("query", {"drivers": {"in": "query", "name": "drivers"}}),
    ("multipart", {"drivers": {"in": "form", "name": "drivers"}}),
    ("multipart_object", {"drivers": {**PART, "property": "drivers"}}),
    ("multipart_object", {"plugins": None, "drivers": {**PART, "value": {"drivers": True, "plugins": True}}}),
    ("multipart_object", {"drivers": {**PART, "property": ["drivers"], "content_type": "application/json"}}),
    ("json_nested", {"drivers": {"in": "json", "name": "content", "property": "drivers"}}),
    ("json_nested", {"drivers": {"in": "json", "name": "content", "value": {"drivers": True}}}),
    ("composed", {"drivers": {"in": "form", "name": "request", "property": "content.drivers"}}),
    ("variants", {"drivers": {"in": "query", "name": "Drivers"}}),
]


@pytest.mark.parametrize(("style", "override"), OVERRIDES)
def test_overrides_express_each_shape(
    style: str, override: dict[str, Any], hook: Hook, webtool: Process, tmp_path: Path
) -> None:
    webtool.control("guesses", {"api_docs_style": style})
    assert kinds(exported(hook(export_options=override), tmp_path)) == {"drivers", "plugins"}


def test_overrides_of_an_import_name_parts_and_files(hook: Hook, webtool: Process, tmp_path: Path) -> None:
    webtool.control("guesses", {"api_docs_style": "composed"})
    file = tmp_path / "import.zip"
    file.write_bytes(packed(dict.fromkeys(RESOURCES, b"new")))
    place = {"in": "form", "name": "how"}
    wish = {
        "replaceDrivers": {**place, "property": "replace.drivers"},
        "replaceJobs": {**place, "value": {"replace": {"jobs": True, "plugins": False}}},
        "replacePlugins": None,
        "file": {"in": "form", "name": "first", "content_type": "application/octet-stream"},
    }
    hook(import_options=wish).import_metadata(ObjectStoragePath(f"file://{file}"))
    archive = exported(hook(), tmp_path)
    assert archive.read("data/resources/drivers/x.txt") == b"new"
    assert archive.read("data/resources/plugins/x.txt") == b"old"
    wish["file"] = {"in": "form", "name": "first", "content_type": "text/plain"}
    with pytest.raises(DenodoSchedulerError, match="Content-Type 'text/plain' is not supported"):
        hook(import_options=wish).import_metadata(ObjectStoragePath(f"file://{file}"))


@pytest.mark.parametrize(
    ("style", "path", "status", "parts"),
    [
        ("multipart_object", EXPORT, 415, {"options": (None, '{"drivers": true}')}),
        ("multipart_object", EXPORT, 400, {"options": (None, "{'drivers': True}", "application/json")}),
        ("multipart_object", EXPORT, 400, {"options": (None, '{"drivers": "true"}', "application/json")}),
        ("multipart_object", IMPORT, 415, {"file": ("x.zip", packed({}), "text/plain")}),
        ("two_files", IMPORT, 400, {"properties": ("x.zip", packed({}), "application/zip")}),
        (
            "two_files",
            IMPORT,
            400,
            {name: ("x.zip", packed({}), "application/zip") for name in ("metadata", "properties")},
        ),
    ],
)
def test_the_web_tool_refuses_parts_of_another_shape(
    api: Api, webtool: Process, style: str, path: str, status: int, parts: dict[str, Any]
) -> None:
    webtool.control("guesses", {"api_docs_style": style})
    assert api.post(path, files=parts).status_code == status


def test_json_of_another_shape_is_refused(api: Api, webtool: Process) -> None:
    webtool.control("guesses", {"api_docs_style": "selection"})
    assert api.post(EXPORT, json={"drivers": True}).status_code == 400  # without its tree
    assert api.post(EXPORT, content=b"{}", headers={"content-type": "text/plain"}).status_code == 400


def test_every_style_is_described() -> None:
    assert set(STYLES) == set(get_args(ApiDocsStyle))
