"""Airflow with the CeleryExecutor, PostgreSQL and Redis, two workers, an object store, and a stand-in pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from celery import Celery

from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair
from e2e_celery.machines import (
    LOGS,
    SNAPSHOTS,
    CeleryAirflow,
    ObjectStore,
    Worker,
    missing_programs,
    object_store,
    redis_server,
)
from support.databases import postgresql
from support.sync_dag import SyncDag, let_nothing_be_due, quick_to_notice_deaths

PAIRS = """\
pairs:
  default:
    check: {{schedule: null}}
    sync:
      schedule: null
      initialise: automatic
      quiet_window: 5s
      quiet_margin: 1s
      quiet_timeout: {quiet_timeout:.0f}s
      lease: {lease:.0f}s
      import_timeout: {import_timeout:.0f}s
    snapshots: {{location: "{snapshots}"}}
"""


@dataclass(frozen=True)
class Everything:
    """What the tests look at."""

    dag: SyncDag
    pair: StandinPair
    workers: Mapping[str, Worker]
    store: ObjectStore


@pytest.fixture(scope="package")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    if missing := missing_programs():
        pytest.skip(f"Not installed: {', '.join(missing)}. On Debian or Ubuntu: apt-get install {' '.join(missing)}")
    folder = tmp_path_factory.mktemp("celery")
    pairs_file = folder / "pairs.yaml"
    times = {"quiet_timeout": allow(120), "lease": allow(12), "import_timeout": allow(10)}
    pairs_file.write_text(PAIRS.format(snapshots=SNAPSHOTS, **times))
    with ExitStack() as stack:
        database = stack.enter_context(postgresql())
        broker = stack.enter_context(redis_server(folder / "redis"))
        pair = StandinPair(folder / "pair")
        stack.callback(pair.kill)
        env = {
            **database.env,
            **pair.connections_env(),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": broker,
            "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
            "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": LOGS,
            "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "object_store",
            **quick_to_notice_deaths(),
        }
        airflow = CeleryAirflow(folder / "airflow", pairs_file=pairs_file, env=env)
        store = stack.enter_context(object_store(folder))
        airflow.env["AIRFLOW_CONN_OBJECT_STORE"] = store.connection
        stack.callback(airflow.kill)
        airflow.launch()
        workers = {name: Worker(folder / name, airflow, Celery(broker=broker)) for name in ("east", "west")}
        for worker in workers.values():
            stack.callback(worker.kill)
            worker.launch()
        pair.start()
        pair.master.generate(jobs=60, projects=4, disabled=7)
        let_nothing_be_due(pair.master)
        airflow.wait_until_healthy()
        dag = SyncDag(airflow, "default")
        airflow.wait_for_dag(dag.dag_id)
        for worker in workers.values():
            worker.wait_until_ready()
        yield Everything(dag, pair, workers, store)
