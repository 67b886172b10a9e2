"""One real Airflow and one stand-in pair for all end-to-end tests.

Each test module says ``pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]``, so that all of them run in one
worker, which starts the two once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_demo.standin import StandinPair

JOBS = 60
PROJECTS = 4
DISABLED = 7

PAIRS = """\
defaults:
  quiet_window: 5s
  quiet_margin: 1s
  quiet_timeout: 2m
  snapshots: file://{snapshots}
pairs:
  default:
    schedule: null
  minutely:
    schedule: "* * * * *"
  hourly:
    schedule: "@hourly"
"""

QUICK_TO_NOTICE_DEATHS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
}


@pytest.fixture(scope="session")
def session_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinPair]:
    with StandinPair(tmp_path_factory.mktemp("pair")) as pair:
        pair.master.generate(jobs=JOBS, projects=PROJECTS, disabled=DISABLED)
        yield pair


@pytest.fixture
def pair(session_pair: StandinPair) -> Iterator[StandinPair]:
    """The pair with all four processes up and no faults, whatever the test before left."""
    session_pair.heal()
    yield session_pair
    session_pair.heal()


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs over the same two servers, one per kind of schedule; their DAGs start paused."""
    folder = tmp_path_factory.mktemp("pairs")
    file = folder / "pairs.yaml"
    file.write_text(PAIRS.format(snapshots=folder / "snapshots"))
    return file


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, session_pair: StandinPair, pairs_file: Path
) -> Iterator[LocalAirflow]:
    """Scheduler, triggerer, DAG processor and API server, with the project's DAGs read."""
    env = session_pair.connections_env() | QUICK_TO_NOTICE_DEATHS
    with LocalAirflow(tmp_path_factory.mktemp("airflow"), pairs_file=pairs_file, env=env) as airflow:
        for name in ("default", "minutely", "hourly"):
            airflow.wait_for_dag(f"denodo_scheduler_sync__{name}")
        yield airflow
