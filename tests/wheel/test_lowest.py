"""The lowest versions that are allowed: everything can be imported, and all DAGs are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.wheel import PROJECT, Environment

EVERYTHING = """
import importlib, pkgutil
from airflow.dag_processing.dagbag import DagBag
from denodo_scheduler.bundle import FOLDER
for package in ("denodo_ha", "denodo_cli", "denodo_scheduler", "denodo_standin"):
    for each in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not each.name.endswith("__main__") and ".dag_files" not in each.name:
            importlib.import_module(each.name)
bag = DagBag(FOLDER)
print("PARSED", sorted(bag.dags), bag.import_errors)
"""
UNIT_TESTS = ("test_hook_transport.py", "test_provider_info.py", "test_standin_engine.py", "test_pairs.py")
"""What stands on requests, tenacity, FastAPI and pydantic."""


@pytest.fixture(scope="module")
def lowest(built: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Of each package that the projects name the lowest version, with all extras."""
    made = Environment(tmp_path_factory.mktemp("lowest"))
    projects = ("-r", PROJECT / "pyproject.toml", "-r", PROJECT / "include" / "pyproject.toml")
    made.install("--resolution", "lowest-direct", "--all-extras", "--find-links", built[0].parent, *projects)
    made.install("pytest", "pytest-timeout", "hypothesis")
    return made


def test_everything_can_be_imported_and_all_dags_are_there(lowest: Environment, tmp_path: Path) -> None:
    (tmp_path / "pairs.yaml").write_text("pairs: {low: {drill: [harmless], drill_schedule: '30 3 * * 0'}}\n")

    said = lowest.run("python", "-c", EVERYTHING, DENODO_HA_PAIRS=str(tmp_path / "pairs.yaml"))

    kinds = ("drill", "failover", "operations", "switchover", "sync")
    assert f"PARSED {[f'denodo_scheduler_{kind}__low' for kind in kinds]} {{}}" in said


def test_unit_tests(lowest: Environment) -> None:
    files = [str(PROJECT / "tests" / "unit" / name) for name in UNIT_TESTS]

    said = lowest.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(PROJECT), *files)

    assert "passed" in said
