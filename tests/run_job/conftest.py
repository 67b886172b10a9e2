"""A pair of real stand-in servers, with three jobs on each, whose clocks stand still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from denodo_demo.standin import StandinPair
from support.job_task import Scene
from support.pair_fixtures import _no_long_pauses, connect, empty
from support.sync import add_job, status_of

__all__ = ["_no_long_pauses", "connect"]


@pytest.fixture
def scene(servers: StandinPair, tmp_path: Path, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Jobs ``load``, ``report`` (which depends on it) and ``other`` in the project ``sales``, due on leap days only."""
    empty(servers)
    for server in servers.servers:
        connect(server)
        for name in ("load", "other"):
            add_job(server, "sales", name, "0 0 12 29 2 ?")
        needed = {"jobIDs": [status_of(server, "sales / load")["jobID"]]}
        trigger = {"type": "cron", "cronExpression": "0 0 12 29 2 ?", "dependencyInfo": needed}
        add_job(server, "sales", "report", triggerSection={"triggers": [trigger]})
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text(f"pairs: {{emea: {{snapshots: {{location: 'file://{tmp_path}/snapshots'}}}}}}\n")
    monkeypatch.setenv("DENODO_HA_PAIRS", str(pairs))
    return Scene(servers, tmp_path, monkeypatch)
