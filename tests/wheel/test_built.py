"""The built files: what is in them, what they ask for, and that a commit always gives the same ones."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from denodo_scheduler.provider_info import get_provider_info
from support import wheel
from support.wheel import PROJECT

MAIN = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
STANDIN = tomllib.loads((PROJECT / "include" / "pyproject.toml").read_text())["project"]
REPOSITORY = MAIN["urls"]["Homepage"]
DOCUMENTATION = MAIN["urls"]["Documentation"]
OUR_OWN = {MAIN["name"], STANDIN["name"]}
NOT_IMPORTED = {"apache-airflow", "tzdata"}
"""Airflow is what all is for, and its parts are other distributions; the data of time zones is no module."""
ONLY_LOCKED = {"python-dateutil"}
"""What the lock says for the sake of an optional package, and no module of ours imports."""
PARTS = {
    "apache-airflow-core": "apache-airflow",
    "apache-airflow-task-sdk": "apache-airflow",
    "pydantic-core": "pydantic",
    "paramiko": "apache-airflow-providers-ssh",
}
"""What comes with another distribution, of which it is a part."""
BY_HAND = {"playwright"}
"""What only `make pictures` imports, which is for developers."""


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


def content(file: Path) -> dict[str, bytes]:
    with ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(file: Path) -> Message:
    return HeaderParser().parsestr(
        next(data for name, data in content(file).items() if name.endswith(".dist-info/METADATA")).decode()
    )


def tracked(*folders: str) -> Iterator[Path]:
    """The files of the repository below some folders, or all."""
    if not (PROJECT / ".git").exists():
        pytest.skip("this is no checkout of the repository")
    listed = subprocess.run(
        ["git", "ls-files", "-z", *folders],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    yield from (file for name in listed.stdout.split("\0") if name and (file := PROJECT / name).is_file())


class TestProject:
    def test_it_has_the_files_of_its_packages_and_no_others(self, project_wheel: Path) -> None:
        places = {
            "plugins/denodo_scheduler": "denodo_scheduler",
            "include/denodo_ha": "denodo_ha",
            "include/denodo_cli": "denodo_cli",
            "dags": "denodo_scheduler/dag_files",
            "docs": "denodo_scheduler/web/docs_pages",
        }
        meant = {
            f"{place}/{file.relative_to(PROJECT / folder).as_posix()}": file.read_bytes()
            for folder, place in places.items()
            for file in tracked(folder)
        }
        meant["denodo_ha/pairs.yaml"] = (PROJECT / "include" / "pairs.yaml").read_bytes()
        meant["denodo_scheduler/web/docs_pages/mkdocs.yml"] = (PROJECT / "mkdocs.yml").read_bytes()

        found = {name: data for name, data in content(project_wheel).items() if ".dist-info/" not in name}

        assert sorted(found) == sorted(meant)
        assert found == meant

    def test_what_it_says_of_itself(self, project_wheel: Path) -> None:
        said = metadata(project_wheel)

        assert (said["Name"], said["Version"]) == (MAIN["name"], MAIN["version"])
        assert said["License-Expression"] == "Apache-2.0"
        assert said.get_all("License-File") == ["LICENSE"]
        assert content(project_wheel)[f"{_info(project_wheel)}/licenses/LICENSE"] == (PROJECT / "LICENSE").read_bytes()
        assert {each.split(", ")[0] for each in said.get_all("Project-URL", [])} >= {
            "Homepage",
            "Documentation",
            "Source",
            "Issues",
            "Changelog",
        }
        assert set(said.get_all("Provides-Extra", [])) == {"ssh", "s3", "standin", "demo"}
        airflow = next(
            Requirement(each) for each in said.get_all("Requires-Dist", []) if each.startswith("apache-airflow<")
        )
        assert all(version in airflow.specifier for version in ("3.3.2", "3.4.0", "3.9.9"))
        assert not any(version in airflow.specifier for version in ("3.3.0", "3.3.1", "4.0.0"))

    def test_airflow_finds_it_by_its_entry_points(self, project_wheel: Path) -> None:
        points = content(project_wheel)[f"{_info(project_wheel)}/entry_points.txt"].decode()

        assert "[apache_airflow_provider]" in points
        assert "[airflow.plugins]" in points
        assert "denodo-ha = denodo_cli.cli:main" in points
        assert "standin" not in points


class TestStandin:
    def test_it_has_both_packages_and_nothing_of_the_project(self, standin_wheel: Path) -> None:
        meant = {
            file.relative_to(PROJECT / "include").as_posix()
            for file in tracked("include/denodo_standin", "include/denodo_demo")
        }

        assert {name for name in content(standin_wheel) if ".dist-info/" not in name} == meant

    def test_what_it_says_of_itself(self, standin_wheel: Path) -> None:
        said = metadata(standin_wheel)

        assert said["License-Expression"] == "Apache-2.0"
        assert (PROJECT / "include" / "LICENSE").read_bytes() == (PROJECT / "LICENSE").read_bytes()
        points = content(standin_wheel)[f"{_info(standin_wheel)}/entry_points.txt"].decode()
        assert "denodo-standin = " in points
        assert "denodo-demo = " in points


def _info(file: Path) -> str:
    return next(name for name in content(file) if ".dist-info/" in name).partition("/")[0]


@pytest.mark.parametrize("package", ["denodo_scheduler", "denodo_ha", "denodo_cli", "denodo_standin", "denodo_demo"])
def test_each_package_tells_type_checkers_that_it_is_typed(built: list[Path], package: str) -> None:
    assert any(f"{package}/py.typed" in content(file) for file in built if file.suffix == ".whl")


def test_two_builds_are_equal(built: list[Path], tmp_path: Path) -> None:
    """The second one is of a copy elsewhere, whose files are newer and belong to a stricter user."""
    copy = tmp_path / "elsewhere"
    for file in tracked():
        there = copy / file.relative_to(PROJECT)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, there)
        there.chmod(0o600)
    epoch = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=PROJECT, capture_output=True, text=True, check=True
    )

    again = wheel.build(tmp_path / "dist", project=copy, SOURCE_DATE_EPOCH=epoch.stdout.strip())

    assert [file.name for file in again] == [file.name for file in built]
    assert [
        file.name for file, other in zip(built, again, strict=True) if file.read_bytes() != other.read_bytes()
    ] == []


def test_what_git_does_not_know_is_in_none(tmp_path: Path) -> None:
    """Such as a DAG of one's own, what an editor keeps, or a site of old: the files are those of the commit."""
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", PROJECT, copy], check=True)
    before = wheel.build(tmp_path / "before", project=copy)
    for name in (
        "dags/mine.py",
        "docs/site/index.html",
        "include/denodo_ha/.pairs.yaml.swp",
        "include/denodo_demo/x.py",
    ):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("")

    after = wheel.build(tmp_path / "after", project=copy)

    assert [file.read_bytes() for file in after] == [file.read_bytes() for file in before]


def test_the_source_distributions_hold_what_is_built_from_them(built: list[Path]) -> None:
    """The wheels are built from them; here nothing else is in them, such as the state of a run."""
    for file in built:
        if file.suffix == ".gz":
            with tarfile.open(file) as archive:
                tops = {name.split("/")[1] for name in archive.getnames()}
            assert not tops & {".run", ".venv", "tests", "bench", "dist"}, file.name
            assert {"pyproject.toml", "LICENSE", "README.md", "PKG-INFO"} <= tops


# -- what they ask for


def test_versions_are_equal() -> None:
    assert MAIN["version"] == STANDIN["version"]
    extras = [each for extra in ("standin", "demo") for each in MAIN["optional-dependencies"][extra]]
    assert extras == [f"{STANDIN['name']}=={MAIN['version']}", f"{STANDIN['name']}[demo]=={MAIN['version']}"]
    assert f"{MAIN['name']}=={MAIN['version']}" in STANDIN["dependencies"]


def test_the_lock_is_of_the_same_packages() -> None:
    lines = (line.strip() for line in (PROJECT / "requirements.in").read_text().splitlines())
    locked = names([line for line in lines if line and not line.startswith(("#", "-"))])
    asked = names([*MAIN["dependencies"], *STANDIN["dependencies"], *STANDIN["optional-dependencies"]["demo"]])

    assert locked - ONLY_LOCKED == asked - OUR_OWN


def test_the_locked_versions_are_in_the_ranges() -> None:
    pins = dict(
        re.findall(r"^([a-z0-9.-]+)(?:\[.*\])?==(\S+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    )
    for each in map(Requirement, [*MAIN["dependencies"], *STANDIN["dependencies"]]):
        if each.name not in OUR_OWN:
            assert pins[canonicalize_name(each.name)] in each.specifier, each


@pytest.mark.parametrize(
    ("packages", "asked"),
    [
        (
            ("plugins/denodo_scheduler", "include/denodo_ha", "include/denodo_cli", "dags"),
            [*MAIN["dependencies"], *MAIN["optional-dependencies"]["ssh"]],
        ),
        (("include/denodo_standin",), [*STANDIN["dependencies"], *MAIN["dependencies"]]),
        (
            ("include/denodo_standin", "include/denodo_demo"),
            [*STANDIN["dependencies"], *STANDIN["optional-dependencies"]["demo"], *MAIN["dependencies"]],
        ),
    ],
    ids=["project", "standin", "demo"],
)
def test_what_is_imported_is_asked_for(packages: tuple[str, ...], asked: list[str]) -> None:
    """Also the other way round, for what the project itself asks for."""
    distributions = packages_distributions()
    imported = {
        each
        for package in packages
        for file in (PROJECT / package).rglob("*.py")
        for module in _modules(ast.parse(file.read_text()))
        for each in _distributions(module, distributions)
    } - OUR_OWN

    assert imported - names(asked) - BY_HAND == set()
    if "dags" in packages:
        assert names(asked) - imported == NOT_IMPORTED - {"apache-airflow"}


def _modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _distributions(module: str, known: dict[str, list[str]] | object) -> set[str]:
    """The distribution of a module; of Airflow's providers, which share a package, by their names."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top.startswith("denodo_"):
        return set()
    if top == "airflow":
        provider = re.match(r"airflow\.providers\.([a-z]+)", module)
        return {f"apache-airflow-providers-{provider[1]}" if provider else "apache-airflow"}
    assert isinstance(known, dict)
    found = {canonicalize_name(each) for each in known.get(top, [top])}
    return {PARTS.get(each, each) for each in found}


def test_the_address_of_the_project_is_the_same_everywhere() -> None:
    assert STANDIN["urls"]["Homepage"] == REPOSITORY
    assert get_provider_info()["integrations"][0]["external-doc-url"] == DOCUMENTATION
    ours = re.compile(rf"(?:{re.escape(REPOSITORY)}|{re.escape(DOCUMENTATION.rstrip('/'))})(?=$|[/.#?])")
    for file in tracked():
        for found in re.findall(r"https?://[\w./#?-]*", file.read_bytes().decode("utf-8", "ignore")):
            if "github" in found and "denodo-scheduler-ha" in found:
                assert ours.match(found), f"{file.relative_to(PROJECT)}: {found}"


def test_the_pages_that_are_named_by_address_exist() -> None:
    """As ``make docs`` builds them: a file ``.html`` for each page, and no folder."""
    assert "use_directory_urls: false" in (PROJECT / "mkdocs.yml").read_text()
    named = re.compile(re.escape(DOCUMENTATION) + r"([\w./-]+)")
    found = {page for file in tracked() for page in named.findall(file.read_bytes().decode("utf-8", "ignore"))}
    found |= {guide.removeprefix(DOCUMENTATION) for guide in get_provider_info()["integrations"][0]["how-to-guide"]}
    found.add(get_provider_info()["integrations"][0]["logo"].removeprefix(DOCUMENTATION))
    assert len(found) > 4
    assert [page for page in found if not (PROJECT / "docs" / page.replace(".html", ".md")).is_file()] == []
