"""One real Airflow and four stand-in pairs, on which six stories are played side by side."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_demo.standin import Json, StandinPair
from denodo_ha.pairs_file import load_pairs
from denodo_scheduler.state.watch_store import WATCH_KEY
from e2e_failover import stories
from support.databases import Database, database
from support.delivery import put, source
from support.failover_dag import (
    PATIENCE,
    PLAY,
    CommandLines,
    FailoverDag,
    Stage,
    Story,
    add_job,
    fill,
    new_airflow,
    seconds_cron,
    synced,
)
from support.photographs import photographs
from support.statsd import StatsdReceiver

PICTURES = Path(os.environ["DENODO_TESTS_SHOTS"]) if os.environ.get("DENODO_TESTS_SHOTS") else None
"""Where the pictures of the page go; a folder of the test run by default."""
TICKS = "ticks"
"""The project whose jobs are due again and again."""
TOKEN = "the-notifiers-own-secret"

PAIRS = """\
defaults:
  sync: {{schedule: null, initialise: automatic, quiet_window: 2s, quiet_margin: 0}}
  watch: {{probe_interval: 1s, fall: 2}}
  failover: {{enable_batch: 4}}
  snapshots: {{location: "file://{snapshots}"}}
  check: {{schedule: null}}
  alerts:
    notify:
      - notifier: support.file_notifier.FileNotifier
        arguments: {{path: "{alerts}", token: {token}}}
pairs:
  calm: {{master: calm_master, slave: calm_slave, drill: [job 00], watch: {{fall: {fall}}}}}
  night:
    master: night_master
    slave: night_slave
    properties: {{master: {{"{address}": "{sites[master]}"}}, slave: {{"{address}": "{sites[slave]}"}}}}
  cut: {{master: cut_master, slave: cut_slave, projects: [cut]}}
  fenced: {{master: cut_master, slave: cut_slave, projects: [fenced], failover: {{fencing: required}}}}
  "no": {{master: dead_master, slave: dead_slave, projects: ["no"], failover: {{policy: approval}}}}
  "yes": {{master: dead_master, slave: dead_slave, projects: ["yes"], failover: {{policy: approval}}}}
  killed: {{master: dead_master, slave: dead_slave, projects: [killed]}}
  stale: {{master: dead_master, slave: dead_slave, projects: [stale], failover: {{oldest_snapshot: 1s}}}}
"""
SERVERS = {
    "calm": "calm",
    "night": "night",
    "cut": "cut",
    "fenced": "cut",
    "no": "dead",
    "yes": "dead",
    "killed": "dead",
    "stale": "dead",
}
"""Which servers each pair is made of."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test may have to wait for a whole story."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(PLAY + PATIENCE))


@dataclass
class Everything:
    """What the tests look at."""

    airflow: LocalAirflow
    metadata: Database
    servers: Mapping[str, StandinPair]
    stages: Mapping[str, Stage]
    stories: Mapping[str, Story]
    command_lines: CommandLines
    metrics: StatsdReceiver
    folder: Path
    began: float

    def alerts(self) -> list[Json]:
        """What the pairs' notifier was told so far."""
        return [json.loads(line) for line in (self.folder / "alerts.jsonl").read_text().splitlines()]


@pytest.fixture(scope="package")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    """Airflow comes up while the servers are filled and each pair is synced; then all stories begin."""
    began = time.monotonic()
    folder = tmp_path_factory.mktemp("failover")
    servers = {name: StandinPair(folder / name) for name in dict.fromkeys(SERVERS.values())}
    connections = _connections(servers)
    pairs_file = _pairs_file(folder)
    command_lines = CommandLines(os.getpid())
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        metadata = stack.enter_context(database(folder / "airflow"))
        metrics = stack.enter_context(StatsdReceiver())
        airflow = new_airflow(folder / "airflow", pairs_file, {**connections, **metadata.env, **metrics.env})
        stack.callback(command_lines.stop)
        stack.callback(airflow.kill)
        airflow.launch()
        for pair in servers.values():
            stack.callback(pair.kill)
        processes = [each for pair in servers.values() for server in pair.servers for each in server.processes]
        for process in processes:
            process.launch()
        for process in processes:
            process.wait_until_ready()
        for name, value in connections.items():
            patch.setenv(name, value)
        seeds = _seeds(servers, pairs_file, folder / "snapshots")
        servers["dead"].master.scheduler.kill()
        airflow.wait_until_healthy()
        camera = stack.enter_context(photographs(airflow, PICTURES or folder / "pictures"))
        stages = {}
        for name, seed in seeds.items():
            dag = FailoverDag(airflow, name)
            airflow.wait_for_dag(dag.dag_id)
            dag.set_record(seed)
            dag.set_state(WATCH_KEY, {"second_good": datetime.now(UTC).isoformat()})  # as an earlier watch has left it
            stages[name] = Stage(dag, servers[SERVERS[name]], seed, folder / "snapshots" / name / "record", camera)
        for name in ("sync", "switchover"):
            airflow.wait_for_dag(f"denodo_scheduler_{name}__night")
        airflow.wait_for_dag("denodo_scheduler_operations__no")
        print(f"\nEverything is up after {time.monotonic() - began:.0f} s")
        yield Everything(airflow, metadata, servers, stages, _told(stages), command_lines, metrics, folder, began)
    print(f"\nAll of it took {time.monotonic() - began:.0f} s")


@pytest.fixture
def story(request: pytest.FixtureRequest, everything: Everything) -> Story:
    """The story that the test module names: ``STORY``."""
    return everything.stories[request.module.STORY]


def _connections(servers: Mapping[str, StandinPair]) -> dict[str, str]:
    return {
        variable.replace("DENODO_SCHEDULER", name.upper()): value
        for name, pair in servers.items()
        for variable, value in pair.connections_env().items()
    }


def _pairs_file(folder: Path) -> Path:
    file = folder / "pairs.yaml"
    text = PAIRS.format(
        snapshots=folder / "snapshots",
        alerts=folder / "alerts.jsonl",
        token=TOKEN,
        fall=stories.FALL,
        address=stories.ADDRESS,
        sites=stories.SITES,
    )
    file.write_text(text)
    return file


def _seeds(servers: Mapping[str, StandinPair], pairs_file: Path, snapshots: Path) -> dict[str, Json]:
    """Fill the masters, and sync every pair for the first time."""
    fill(servers["calm"].master, {"work": 3})
    fill(servers["cut"].master, {"cut": 6, "fenced": 3})
    fill(servers["dead"].master, {"no": 3, "yes": 6, "killed": 12, "stale": 3})
    put(servers["night"].master, source(stories.SITES["master"], project="work"))
    fill(servers["night"].master, {"work": 8, "reports": 4})
    soon = datetime.now(UTC) + timedelta(seconds=12)
    for minute, name in enumerate(("on even minutes", "on odd minutes")):
        add_job(servers["night"].master, TICKS, name, seconds_cron(soon + timedelta(minutes=minute), every_minutes=2))
    for name in ("calm", "cut"):
        add_job(servers[name].master, TICKS, "tick", "0/10 * * * * ?")
    pairs = load_pairs(pairs_file)
    names = ("night", *(name for name in pairs if name != "night"))
    return {name: synced(pairs[name], snapshots) for name in names}


def _told(stages: Mapping[str, Stage]) -> dict[str, Story]:
    def dags(*names: str) -> list[FailoverDag]:
        return [stages[name].dag for name in names]

    return {
        "interrupted": Story("interrupted", stories.interrupted(stages["killed"]), dags("killed")),
        "night": Story("night", stories.night(stages["night"]), dags("night")),
        "cut off": Story("cut off", stories.cut_off(stages["cut"], stages["fenced"]), dags("cut", "fenced")),
        "asked": Story("asked", stories.asked_for(stages["no"], stages["yes"]), dags("no", "yes")),
        "calm": Story("calm", stories.calm(stages["calm"]), dags("calm")),
        "stale": Story("stale", stories.stale(stages["stale"]), dags("stale")),
    }
