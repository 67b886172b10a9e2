"""A large export on its way through the hook: memory that it takes in the client's process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.report import Measurement
from bench.stage import BenchError, Stage

TITLE = "Streaming an export of 300 MB: peak memory of the client, and how long it takes"
SIZE_MB = 300
JOBS = 500
PROJECTS = 12
LIMIT_MB = 48
STYLES = {"query": "the file is the request's body", "multipart": "the file is a part of a form"}


def measure(stage: Stage) -> Iterator[Measurement]:
    with stage.pair() as pair:
        stage.fill_master(pair, jobs=JOBS, projects=PROJECTS)
        pair.master.scheduler.guesses(export_padding_mb=SIZE_MB)
        for style, meaning in STYLES.items():
            for server in pair.servers:
                server.webtool.guesses(api_docs_style=style)
            with stage.progress.step(f"Export, check and import of {SIZE_MB} MB ({meaning})"):
                found = _client(stage.folder / "export.zip")
            yield Measurement(
                f"{style}: size of the export", found["size"] / 2**20, "MB", at_least=SIZE_MB, note=meaning
            )
            added = found["added_mb"]
            yield Measurement(f"{style}: memory added by export and import", added["import"], "MB", at_most=LIMIT_MB)
            yield Measurement(f"{style}: … and by the check", added["check"], "MB", at_most=LIMIT_MB)
            for step, seconds in found["seconds"].items():
                yield Measurement(f"{style}: {step}", seconds, "s")


def _client(file: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.streaming_client", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise BenchError(f"The client failed: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
