"""``denodo-ha init``: a file of pairs to begin with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from denodo_cli import init
from denodo_cli.cli import main
from denodo_ha.pairs_file import TEMPLATE, load_pairs
from denodo_scheduler.bundle import FOLDER, DenodoSchedulerDagBundle
from denodo_scheduler.provider_info import get_provider_info
from denodo_scheduler.settings import OPTION, SECTION


def test_it_writes_the_template_with_its_schema_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    template, schema = tmp_path / "pairs.yaml", tmp_path / "pairs.schema.json"
    template.write_text("# yaml-language-server: $schema=denodo_ha/pairs.schema.json\npairs: {a: {}}\n")
    schema.write_text("{}")
    monkeypatch.setattr(init, "TEMPLATE", template)
    monkeypatch.setattr(init, "SCHEMA", schema)
    there = tmp_path / "a new" / "folder"

    assert main(["init", str(there)]) == 0

    assert (there / "pairs.yaml").read_text() == "# yaml-language-server: $schema=pairs.schema.json\npairs: {a: {}}\n"
    assert (there / "pairs.schema.json").read_text() == "{}"
    told = capsys.readouterr().out
    assert f"\nexport AIRFLOW__{SECTION.upper()}__{OPTION.upper()}='{there}/pairs.yaml'\n" in told
    assert f"denodo-ha check-config '{there}/pairs.yaml'\n" in told
    assert f"[{SECTION}]\n{OPTION} = {there}/pairs.yaml\n" in told


@pytest.mark.parametrize("name", ["pairs.yaml", "pairs.schema.json"])
def test_it_leaves_alone_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_text("mine")
    monkeypatch.chdir(tmp_path)

    assert main(["init"]) == 3

    assert str(tmp_path / name) in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_its_template_is_right(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert load_pairs(tmp_path / "pairs.yaml") == load_pairs(TEMPLATE)


def test_the_bundle_that_it_names_has_the_dag_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    named = init.BUNDLES[1]

    assert named["classpath"] == f"{DenodoSchedulerDagBundle.__module__}.{DenodoSchedulerDagBundle.__name__}"
    bundle = DenodoSchedulerDagBundle(name=str(named["name"]))
    assert bundle.path == FOLDER == Path(__file__).parents[2] / "dags"
    assert main(["init", str(tmp_path)]) == 0
    assert json.dumps(init.BUNDLES) in capsys.readouterr().out


def test_airflow_knows_the_option() -> None:
    assert get_provider_info()["config"][SECTION]["options"][OPTION]["type"] == "string"
