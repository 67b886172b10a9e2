"""A Scheduler process killed with SIGKILL has lost nothing that it acknowledged."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from denodo_demo.processes import LONGEST_ANSWER, wait_for
from denodo_demo.slowness import allow
from denodo_ha.jobs import JobKey
from denodo_standin.generate import generate
from denodo_standin.load import load_into_server, write
from denodo_standin.store import Store

ACKNOWLEDGED = 40


class Writer(threading.Thread):
    """Creates jobs and toggles them as fast as the server acknowledges, until it is gone."""

    def __init__(self, address: str, project_id: int) -> None:
        super().__init__()
        self.client = httpx.Client(base_url=f"http://{address}/rmi", auth=("admin", "admin"), trust_env=False)
        self.path = f"/projects/{project_id}/jobs"
        self.disabled: dict[str, bool] = {}
        self.unsure: str | None = None
        self.enough = threading.Event()

    def run(self) -> None:
        numbers = random.Random(1)
        ids: dict[str, int] = {}
        try:
            while True:
                name = f"job {len(ids)}" if numbers.random() < 0.6 or not ids else numbers.choice(list(ids))
                self.unsure = name
                if name in ids:
                    action = "enable" if self.disabled[name] else "disable"
                    body: dict[str, Any] = {"action": action, "IDs": str(ids[name])}
                    self.client.put(f"{self.path}/status", json=body).raise_for_status()
                    self.disabled[name] = action == "disable"
                else:
                    answer = self.client.post(self.path, json={"name": name, "type": "VDP"}).raise_for_status()
                    ids[name], self.disabled[name] = answer.json()["id"], False
                self.unsure = None
                if len(self.disabled) >= ACKNOWLEDGED:
                    self.enough.set()
        except httpx.TransportError:
            self.client.close()


@pytest.mark.parametrize("round_", range(3))
def test_every_acknowledged_change_is_there_after_sigkill(
    start: Callable[..., Any], tmp_path: Path, round_: int
) -> None:
    data = tmp_path / "data"
    process = start("scheduler", "--data", data)
    project = httpx.post(
        f"http://{process.address}/rmi/projects", json={"name": "Sales"}, auth=("admin", "admin"), trust_env=False
    ).json()
    writer = Writer(process.address, project["id"])
    writer.start()
    assert writer.enough.wait(allow(60)), "the server acknowledged too few changes"
    process.child.kill()
    writer.join(allow(60))

    _is_intact(data)
    store = Store(data)
    found = {job.name: job.disabled for job in store.jobs.values()}
    changes = [(line["job"], line["change"]) for line in store.audit()]
    store.close()
    found.pop(writer.unsure or "", None)
    writer.disabled.pop(writer.unsure or "", None)
    assert found == writer.disabled
    assert {job for job, change in changes if change == "created"} >= set(found)

    again = start("scheduler", "--data", data)
    assert again.control("state")["jobs"] >= len(found)


def test_a_server_killed_during_an_import_starts_again_and_takes_it_anew(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    data, file = tmp_path / "data", tmp_path / "made.zip"
    generated = generate(jobs=400, projects=5, disabled=20)
    write(generated, file)
    process = start("scheduler", "--data", data)
    process.control("guesses", {"import_seconds": 600})
    url = f"http://{process.address}/rmi/serverMetadata/import"

    def give_up() -> None:
        with contextlib.suppress(httpx.TransportError):
            httpx.post(url, content=file.read_bytes(), auth=("admin", "admin"), timeout=LONGEST_ANSWER, trust_env=False)

    client = threading.Thread(target=give_up)
    client.start()
    jobs = wait_for(lambda: int(process.control("state")["jobs"]), 60, "The first imported jobs", poll=0)
    process.child.kill()
    client.join(allow(60))
    assert 0 < jobs < 400
    _is_intact(data)

    again = start("scheduler", "--data", data)
    assert jobs <= again.control("state")["jobs"] < 400
    assert list((data / "uploads").iterdir()) == [], "the half-imported file is left behind"
    again.control("guesses", {"import_seconds": 0})
    assert load_into_server(file, again.uri, "admin", "admin") == []
    state = again.control("state")
    assert (state["jobs"], state["enabled"]) == (400, 380)
    again.child.kill()
    store = Store(data)
    names = {project.id: project.name for project in store.projects.values()}
    disabled = {JobKey(project=names[job.project_id], name=job.name) for job in store.jobs.values() if job.disabled}
    store.close()
    assert disabled == set(generated.disabled)


def _is_intact(data: Path) -> None:
    with sqlite3.connect(data / "scheduler.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
