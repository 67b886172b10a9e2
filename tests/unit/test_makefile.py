"""What the Makefile says to somebody whose machine lacks something, and how it calls its tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(venv: Path, target: str, *variables: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    command = ["make", "-C", str(ROOT), "--no-print-directory", target, f"VENV={venv}", *variables]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "MAKE", "MFLAGS"))}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def program(file: Path, script: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_an_unsuitable_python_is_told_in_one_line_with_the_command_to_give(tmp_path: Path) -> None:
    python = program(tmp_path / "python", "echo 'no such version' >&2; echo 'a long explanation' >&2; exit 127")
    ended = make(tmp_path / "venv", "run", f"PYTHON={python}")
    assert ended.returncode
    assert ended.stderr.splitlines()[:2] == [
        f"Python 3.11, 3.12 or 3.13 is needed; {python} says: no such version",
        "Name another one: make run PYTHON=/path/to/python3.12",
    ]


def test_a_failed_installation_says_what_to_set(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "pip", "")
    program(tmp_path / "bin" / "python", "echo 'ERROR: no connection' >&2; exit 1")
    ended = make(tmp_path, "run", f"PYTHON={program(tmp_path / 'python', '')}")
    assert ended.returncode
    assert "ERROR: no connection\nThe packages could not be installed" in ended.stderr
    assert "HTTPS_PROXY or PIP_INDEX_URL" in ended.stderr


def test_uv_trusts_the_certificates_of_the_machine(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "uv", 'echo "UV_SYSTEM_CERTS=$UV_SYSTEM_CERTS"')
    done = make(tmp_path, "dist", f"DIST={tmp_path}", f"--old-file={tmp_path}/.installed-dev")
    assert done.stdout.count("UV_SYSTEM_CERTS=1\n") == 2, done.stderr
