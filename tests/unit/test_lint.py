"""The hooks of pre-commit are the tools of ``make lint``, from the same virtual environment."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_hooks_and_make_lint_run_the_same_tools() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = repository["hooks"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in hooks} == {"system"}
    in_make = set(re.findall(r"\$\(BIN\)/(ruff \w+|\w+)", recipe))
    assert {hook["entry"] for hook in hooks} == {f".venv/bin/{tool}" for tool in in_make}
    assert len(in_make) == 6
