"""The built wheels, and environments of their own that have nothing but what is installed into them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
UNREACHABLE = ("Failed to fetch", "error sending request", "Could not connect", "dns error", "offline")
"""What uv says where it reaches no registry of packages."""
OURS = ("AIRFLOW", "DENODO", "PYTHONPATH", "VIRTUAL_ENV", "SOURCE_DATE_EPOCH")


def run(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command without anything of this Airflow and this checkout in its environment, and return its output.

    The test is skipped where the command is one of uv's and needs a registry that cannot be reached.
    """
    done = _ran(*command, env=env, cwd=cwd)
    said = f"{done.stdout}{done.stderr}"
    if done.returncode and any(each in said for each in UNREACHABLE):
        pytest.skip(f"no registry of packages can be reached: {said.strip()[-500:]}")
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{said}"
    return done.stdout


def _ran(
    *command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    clean["UV_SYSTEM_CERTS"] = "1"  # as in the Makefile
    return subprocess.run(command, capture_output=True, text=True, env={**clean, **(env or {})}, cwd=cwd, check=False)


def uv(*arguments: str | Path) -> str:
    if UV is None:
        pytest.skip("uv is not installed; it is one of the development tools")
    return run(UV, *arguments)


def build(folder: Path, project: Path = PROJECT, **env: str) -> list[Path]:
    """Build what ``make dist`` builds into a folder, and return the files."""
    if UV is None:
        pytest.skip("uv is not installed; it is one of the development tools")
    venv = Path(sys.prefix)
    ready = f"--old-file={venv}/.installed-dev"
    run("make", "-C", project, "--silent", ready, "dist", f"VENV={venv}", f"DIST={folder}", env=env)
    return sorted(file for file in folder.iterdir() if file.suffix in (".whl", ".gz"))


class Environment:
    """A virtual environment, and a home for its Airflow, which has no DAGs of its own.

    :param folder: where both are made.
    """

    def __init__(self, folder: Path) -> None:
        self.python = folder / "venv" / "bin" / "python"
        self.home = folder / "home"
        (self.home / "dags").mkdir(parents=True)
        self.env = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "400",
        }
        uv("venv", "--quiet", "--python", sys.executable, folder / "venv")

    def install(self, *arguments: str | Path) -> None:
        """Install as ``pip install`` would, with hard links from uv's cache."""
        uv("pip", "install", "--quiet", "--python", self.python, *arguments)

    def run(self, *command: str | Path, **env: str) -> str:
        """Run a command of the environment far from the checkout, and return its output."""
        return run(*command, env={**self.env, **env}, cwd=self.home)

    def ended(self, *command: str | Path, **env: str) -> tuple[int, str]:
        """Run a command that may fail, and return its exit code and all that it said."""
        done = _ran(*command, env={**self.env, **env}, cwd=self.home)
        return done.returncode, done.stdout + done.stderr
