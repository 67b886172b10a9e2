"""The wheel alone beside Airflow, with no checkout: what Airflow finds of it, and how the pairs are named."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from denodo_cli.init import BUNDLES
from support.wheel import PROJECT, Environment

INSTALL = (PROJECT / "docs" / "install.md").read_text()
PAIRS = "pairs: {%s: {}}\n"
FOUND = """
import importlib.util, json
from airflow.providers_manager import ProvidersManager
from airflow.plugins_manager import get_plugin_info
from airflow.sdk import Asset
from denodo_scheduler.web import STATIC, docs
(plugin,) = (each for each in get_plugin_info() if each["name"] == "denodo_scheduler")
manager = ProvidersManager()
print("SAID", json.dumps({
    "links": [each for each in manager.extra_links_class_names if each.startswith("denodo_scheduler.")],
    "schemes": [each for each in manager.asset_uri_handlers if each.startswith("denodo")],
    "uri": Asset("denodo-scheduler://Emea_1.a-b").uri,
    "views": [each["url_route"] for each in plugin["external_views"]],
    "apps": [each["url_prefix"] for each in plugin["fastapi_apps"]],
    "static": sorted(file.relative_to(STATIC).as_posix() for file in STATIC.rglob("*") if file.is_file()),
    "pages": {name: len(docs.rendered(name)) for name in docs.pages()},
    "picture": str(docs.docs("pictures/logo.svg").path),
    "others": [each for each in ("denodo_standin", "denodo_demo") if importlib.util.find_spec(each)],
}))
"""
PARSED = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print("SAID", json.dumps([sorted(bag.dags), bag.import_errors]))
"""
KINDS = ("failover", "operations", "switchover", "sync")


@pytest.fixture(scope="module")
def alone(project_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Nothing but the wheel and what it asks for, in the versions of the lock."""
    made = Environment(tmp_path_factory.mktemp("alone"))
    made.install("--constraint", PROJECT / "requirements.txt", project_wheel)
    return made


@pytest.fixture
def config(alone: Environment) -> Iterator[Path]:
    """The file ``airflow.cfg``, which is not there at first."""
    file = alone.home / "airflow.cfg"
    file.unlink(missing_ok=True)
    yield file
    file.unlink(missing_ok=True)


def shown() -> dict[str, str]:
    """The settings that docs/install.md shows."""
    lines = re.findall(r"^export (\S+?)=(.+)$", INSTALL, re.MULTILINE)
    return {name: "".join(shlex.split(value)) for name, value in lines}


@pytest.fixture(scope="module")
def said_by_init(alone: Environment) -> str:
    """What ``denodo-ha init`` says, which has begun in a folder of this Airflow's home."""
    return alone.run("denodo-ha", "init", "denodo")


@pytest.fixture
def begun(alone: Environment, said_by_init: str) -> Path:
    return alone.home / "denodo"


def answer(told: str) -> Any:
    """The JSON in the output of a command of Airflow, which may have lines of the log before it."""
    return json.loads(told[re.search(r"^\[(?=[{\]])", told, re.MULTILINE).start() :])  # type: ignore[union-attr]


def said(alone: Environment, script: str, *arguments: str, **env: str) -> Any:
    """What a script says, which Airflow's log may stand before."""
    lines = alone.run("python", "-c", script, *arguments, **env).splitlines()
    return json.loads(next(line for line in lines if line.startswith("SAID ")).partition(" ")[2])


class TestAirflowFinds:
    def test_the_connection_type(self, alone: Environment) -> None:
        hooks = answer(alone.run("airflow", "providers", "hooks", "--output", "json"))

        (ours,) = (each for each in hooks if each["connection_type"] == "denodo_scheduler")
        assert ours["package_name"] == "airflow-denodo-scheduler-ha"

    def test_page_links_documentation_and_no_stand_in(self, alone: Environment) -> None:
        found = said(alone, FOUND)

        assert found["links"] == ["denodo_scheduler.links.PairLink", "denodo_scheduler.links.RunbookLink"]
        assert (found["schemes"], found["uri"]) == (["denodo-scheduler"], "denodo-scheduler://Emea_1.a-b/")
        assert found["views"][:2] == ["denodo-pairs", "denodo-pair"]
        assert found["apps"] == ["/denodo-ha"]
        static = PROJECT / "plugins" / "denodo_scheduler" / "web" / "static"
        assert found["static"] == sorted(file.relative_to(static).as_posix() for file in static.rglob("*.*"))
        assert set(found["pages"]) == {file.stem for file in (PROJECT / "docs").glob("*.md")}
        assert min(found["pages"].values()) > 1000
        assert Path(found["picture"]).is_relative_to(alone.python.parents[1])
        assert found["others"] == []

    def test_the_setting(self, alone: Environment, config: Path) -> None:
        config.write_text("[denodo_ha]\npairs = /somewhere/pairs.yaml\n")

        assert alone.run("airflow", "config", "get-value", "denodo_ha", "pairs") == "/somewhere/pairs.yaml\n"


class TestNamesOfPairs:
    """By three settings, of which each comes before the next."""

    def test_each_comes_before_the_next(self, alone: Environment, config: Path, tmp_path: Path) -> None:
        files = [tmp_path / f"{name}.yaml" for name in ("ours", "environment", "file")]
        for file in files:
            file.write_text(PAIRS % file.stem)
        config.write_text(f"[denodo_ha]\npairs = {files[2]}\n")
        env = {"DENODO_HA_PAIRS": str(files[0]), "AIRFLOW__DENODO_HA__PAIRS": str(files[1])}
        told = []
        while True:
            told.append(alone.run("denodo-ha", "check-config", **env).strip())
            if not env:
                break
            del env[next(iter(env))]

        assert told == [f"{file}: right, with 1 pair: {file.stem}" for file in files]

    def test_none_says_what_to_do(self, alone: Environment, config: Path) -> None:
        code, told = alone.ended("denodo-ha", "check-config")

        assert code == 3
        assert "No file of pairs is named" in told
        assert all(
            each in told for each in ("denodo-ha init", "[denodo_ha]", "AIRFLOW__DENODO_HA__PAIRS", "DENODO_HA_PAIRS")
        )

    def test_airflows_own_command_reads_the_same(self, alone: Environment, config: Path, tmp_path: Path) -> None:
        (tmp_path / "pairs.yaml").write_text(PAIRS % "mine")
        config.write_text(f"[denodo_ha]\npairs = {tmp_path}/pairs.yaml\n")

        assert "right, with 1 pair: mine" in alone.run("airflow", "denodo-ha", "check-config")


class TestDags:
    def test_init_writes_what_is_right_and_says_the_settings(
        self, alone: Environment, begun: Path, said_by_init: str
    ) -> None:
        file = begun / "pairs.yaml"

        assert alone.run("denodo-ha", "check-config", str(file)) == f"{file}: right, with 1 pair: default\n"
        assert f"AIRFLOW__DENODO_HA__PAIRS={file}" in said_by_init
        assert json.loads(shown()["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"]) == BUNDLES
        assert json.dumps(BUNDLES) in said_by_init

    def test_init_overwrites_nothing(self, alone: Environment, begun: Path) -> None:
        file = begun / "pairs.yaml"
        before = file.read_bytes()
        code, told = alone.ended("denodo-ha", "init", str(begun))

        assert code == 3
        assert str(file) in told
        assert file.read_bytes() == before

    def test_the_bundle_brings_them(self, alone: Environment, config: Path, begun: Path) -> None:
        """By the settings that the documentation shows."""
        env = {**shown(), "AIRFLOW__DENODO_HA__PAIRS": str(begun / "pairs.yaml")}
        alone.run("airflow", "db", "migrate", **env)
        alone.run("airflow", "dags", "reserialize", **env)

        dags = answer(alone.run("airflow", "dags", "list", "--output", "json", **env))

        assert {each["dag_id"] for each in dags} == {f"denodo_scheduler_{kind}__default" for kind in KINDS}
        assert {each["bundle_name"] for each in dags} == {"denodo_scheduler"}
        code, told = alone.ended("airflow", "dags", "list-import-errors", **env)
        assert (code, "No data found" in told) == (0, True)

    def test_a_folder_of_dags_brings_them(self, alone: Environment, begun: Path) -> None:
        """Where the list of bundles cannot be set: by the link that the documentation shows, or the copy."""
        link, copy = (re.findall(rf"^{how} .+$", INSTALL, re.MULTILINE)[0] for how in ("ln -s", "cp -r"))
        alone.run("bash", "-c", f"{copy} && mv dags/denodo_scheduler copied && {link}")

        dags, errors = said(alone, PARSED, "dags", AIRFLOW__DENODO_HA__PAIRS=str(begun / "pairs.yaml"))

        assert (dags, errors) == ([f"denodo_scheduler_{kind}__default" for kind in KINDS], {})
        linked, copied = (alone.home / folder for folder in ("dags/denodo_scheduler", "copied"))
        assert linked.is_symlink()
        assert {file.name for file in copied.glob("*.py")} == {file.name for file in linked.glob("*.py")}

    def test_without_pairs_one_import_error_says_what_to_do(self, alone: Environment, config: Path) -> None:
        (folder,) = alone.python.parents[1].glob("lib/python3*/site-packages/denodo_scheduler/dag_files")
        dags, errors = said(alone, PARSED, str(folder))

        assert dags == []
        ((file, error),) = errors.items()
        assert Path(file).name == "denodo_scheduler_pairs.py"
        assert "No file of pairs is named. Write one with `denodo-ha init`" in error


def test_the_stand_in_comes_as_an_extra(
    built: list[Path], project_wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = Environment(tmp_path_factory.mktemp("demo"))
    made.install(
        "--constraint", PROJECT / "requirements.txt", "--find-links", built[0].parent, f"{project_wheel}[demo]"
    )

    assert "generate" in made.run("denodo-standin", "--help")
    assert "usage:" in made.run("denodo-demo", "--help")


def test_the_other_extras_can_be_had(project_wheel: Path, alone: Environment) -> None:
    alone.install("--dry-run", f"{project_wheel}[ssh,s3]")
