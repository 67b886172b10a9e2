"""What the repository tells GitHub and contributors is true: workflows, forms for issues, pages with paths."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from denodo_cli import cli

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = {file.stem: yaml.safe_load(file.read_text()) for file in sorted((GITHUB / "workflows").iterdir())}
JOBS = [pytest.param(job, id=f"{name}-{key}") for name, each in WORKFLOWS.items() for key, job in each["jobs"].items()]
FORMS = {file.stem: yaml.safe_load(file.read_text()) for file in sorted((GITHUB / "ISSUE_TEMPLATE").iterdir())}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY, SITE = PROJECT["urls"]["Source"], PROJECT["urls"]["Documentation"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PINNED = re.compile(r"[\w-]+/[\w-]+@(v\d+|release/v\d+|[0-9a-f]{40})")


def steps(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from job["steps"]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_runs_what_there_is(job: dict[str, Any]) -> None:
    for command in (step["run"] for step in steps(job) if "run" in step):
        words = shlex.split(command)
        assert "${{" not in command, "a value of GitHub in a command is run as one: hand it over by env"
        if words[0] == "make":
            assert set(words[1:]) <= TARGETS
        elif "/" in words[0]:
            assert os.access(ROOT / words[0], os.X_OK)
        else:
            assert words[0] in ("test", "echo", "docker")


@pytest.mark.parametrize("job", JOBS)
def test_a_job_uses_pinned_actions_and_ends(job: dict[str, Any]) -> None:
    assert [step["uses"] for step in steps(job) if "uses" in step and not PINNED.fullmatch(step["uses"])] == []
    assert all("run" in step or "uses" in step for step in steps(job))
    assert 0 < job["timeout-minutes"] <= 120
    checkouts = [step for step in steps(job) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_nothing_may_write_but_what_publishes() -> None:
    assert {name: each["permissions"] for name, each in WORKFLOWS.items()} == {
        name: {"contents": "read"} for name in WORKFLOWS
    }
    writing = {
        (name, key): {what for what, right in job["permissions"].items() if right == "write"}
        for name, each in WORKFLOWS.items()
        for key, job in each["jobs"].items()
        if "permissions" in job
    }
    assert writing == {
        ("ci", "publish"): {"pages", "id-token"},
        ("release", "distributions"): {"id-token"},
        ("release", "image"): {"packages"},
    }


def test_every_version_of_python_is_tested() -> None:
    matrix = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    assert matrix == [f"3.{each.removeprefix(prefix)}" for each in PROJECT["classifiers"] if each.startswith(prefix)]
    assert [step["run"] for step in steps(WORKFLOWS["ci"]["jobs"]["test"]) if "run" in step] == [".ci/run"]
    built = [step["run"] for step in steps(WORKFLOWS["ci"]["jobs"]["build"]) if "run" in step]
    assert built == ["make docs", "make dist"]


def test_folders_whose_updates_are_asked_for_exist() -> None:
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["pip", "github-actions", "docker", "docker-compose"]
    folders = [
        (each["package-ecosystem"], ROOT / folder.strip("/"))
        for each in updates
        for folder in each.get("directories", [each.get("directory")])
    ]
    wanted = {"pip": "requirements.txt", "docker": "Dockerfile", "docker-compose": "docker-compose.yaml"}
    assert [folder for kind, folder in folders if not (folder / wanted.get(kind, ".github/workflows")).exists()] == []


@pytest.mark.parametrize("form", [name for name in FORMS if name != "config"])
def test_a_form_can_be_filled_in(form: str) -> None:
    fields = [each for each in FORMS[form]["body"] if each["type"] != "markdown"]
    assert FORMS[form]["name"]
    assert FORMS[form]["description"]
    assert len({each["id"] for each in fields}) == len(fields)
    assert all(each["attributes"]["label"] for each in fields)
    assert any(each.get("validations", {}).get("required") for each in fields)


def test_the_form_of_a_defect_asks_for_the_doctors_file_by_commands_that_exist() -> None:
    text = (GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text()
    commands = re.findall(r"denodo-ha [a-z][^`\n]*", text)
    for command in commands:
        cli._parser().parse_args(shlex.split(command)[1:])
    assert any("doctor" in each and "--file" in each and "--hash-names" in each for each in commands)


def test_addresses_are_those_of_the_project() -> None:
    files = [*GITHUB.rglob("*"), ROOT / "SECURITY.md", ROOT / "mkdocs.yml"]
    text = "\n".join(file.read_text() for file in files if file.is_file())
    assert set(re.findall(r"https://github\.com/[\w-]+/[\w-]+", text)) == {REPOSITORY}
    assert set(re.findall(r"https://[\w-]+\.github\.io/[\w-]+/", text)) == {SITE}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md", "docs/extending.md"])
def test_the_files_that_contributors_are_led_to_exist(page: str) -> None:
    folders = r"\.github|bench|dags|deploy|docs|include|plugins|tests"
    named = re.findall(rf"`((?:{folders})/[^`{{<…]*)`", (ROOT / page).read_text())
    generated = ("bench/results/",)
    assert named
    assert [path for path in named if not (ROOT / path).exists() and not path.startswith(generated)] == []


def test_contributing_takes_ten_minutes() -> None:
    """At 200 words a minute."""
    assert len((ROOT / "CONTRIBUTING.md").read_text().split()) < 2000


def test_the_template_of_a_pull_request_has_five_lines() -> None:
    assert (GITHUB / "pull_request_template.md").read_text().count("\n") == 5
