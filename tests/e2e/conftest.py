"""One real Airflow and one stand-in pair for all end-to-end tests.

Each test module says ``pytestmark = pytest.mark.e2e``, so that all of them run in one
worker, which starts the two once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from denodo_demo.airflow import PROJECT, LocalAirflow
from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair
from support.databases import Database, database
from support.sync_dag import (
    NEVER,
    Bookmark,
    Chapter,
    History,
    SyncDag,
    let_nothing_be_due,
    make_orphan,
    put_in_order,
    quick_to_notice_deaths,
    seal,
    seal_restless,
)

EXAMPLES = PROJECT / "plugins" / "denodo_scheduler" / "example_dags"
JOBS = 60
PROJECTS = 4
DISABLED = 7

PAIRS = """\
defaults:
  sync:
    schedule: null
    initialise: automatic
    quiet_window: 5s
    quiet_margin: 1s
    quiet_timeout: {quiet_timeout:.0f}s
    lease: {lease:.0f}s
    import_timeout: {import_timeout:.0f}s
  check: {{schedule: null}}
pairs:
  default: {{{own[default]}}}
  busy: {{{own[busy]}, projects: [Busy]}}
  scheduled: {{{own[scheduled]}, sync: {{schedule: "{far}"}}, check: {{schedule: "{far}"}}}}
  backfilled: {{{own[backfilled]}, sync: {{schedule: "{far}"}}}}
  killed: {{{own[killed]}}}
  restarted: {{{own[restarted]}}}
  locked-out: {{{own[locked-out]}}}
"""
PAIR_NAMES = ("default", "busy", "scheduled", "backfilled", "killed", "restarted", "locked-out")
OF_ANOTHER_TEAM = """
from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Param
from denodo_scheduler.operators.run_job import DenodoSchedulerRunJobOperator

params = {"project": Param(type="string"), "job": Param(type="string")}
with DAG("of_another_team", schedule=None, start_date=pendulum.datetime(2026, 1, 1), params=params):
    DenodoSchedulerRunJobOperator(
        task_id="run_job",
        project="{{ params.project }}",
        job="{{ params.job }}",
        pair="default",
        poke_interval=1,
        retries=3,
        retry_delay=timedelta(0),
    )
"""
VIEWER = "viewer"
"""A user who may look and start nothing; Airflow makes up the password."""
WRONG_PASSWORD = "not-the-stand-ins-password"


@pytest.fixture(scope="package")
def session_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinPair]:
    with StandinPair(tmp_path_factory.mktemp("pair")) as pair:
        pair.master.generate(jobs=JOBS, projects=PROJECTS, disabled=DISABLED)
        let_nothing_be_due(pair.master)
        yield pair


@pytest.fixture
def pair(session_pair: StandinPair) -> Iterator[StandinPair]:
    """The pair with all four processes up, no faults and a passive slave, whatever the test before left."""
    put_in_order(session_pair)
    yield session_pair
    session_pair.heal()


@pytest.fixture(scope="package")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs over the same two servers, each with a record of its own; their DAGs start paused.

    They do not know of each other, which would be refused: each has its own connections and its own storage.
    """
    folder = tmp_path_factory.mktemp("pairs")
    file = folder / "pairs.yaml"
    own = {name: StandinPair.apart(name, folder) for name in PAIR_NAMES}
    own["locked-out"] = own["locked-out"].replace("locked-out_slave", "wrong_password")
    file.write_text(
        PAIRS.format(
            own=own,
            far=_far_from_now(),
            quiet_timeout=allow(120),
            lease=allow(12),
            import_timeout=allow(10),
        )
    )
    return file


def _far_from_now() -> str:
    """A schedule that fires twice, an hour apart, half a year ago and half a year from now: never during a test."""
    return f"0 3,4 1 {(datetime.now(UTC).month + 5) % 12 + 1} *"


@pytest.fixture(scope="package")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="package")
def metadata(airflow_home: Path) -> Iterator[Database]:
    with database(airflow_home) as metadata:
        yield metadata


@pytest.fixture(scope="package")
def airflow(
    airflow_home: Path, metadata: Database, session_pair: StandinPair, pairs_file: Path
) -> Iterator[LocalAirflow]:
    """Scheduler, triggerer, DAG processor and API server, with the project's DAGs read."""
    wrong = session_pair.slave.connection() | {"password": WRONG_PASSWORD}
    env = {**metadata.env, **session_pair.connections_env(*PAIR_NAMES), **quick_to_notice_deaths()}
    env["AIRFLOW_CONN_WRONG_PASSWORD"] = json.dumps(wrong)
    env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = f"{LocalAirflow.user}:admin,{VIEWER}:viewer"
    dags = Path(shutil.copytree(PROJECT / "dags", airflow_home / "dags"))
    (dags / "of_another_team.py").write_text(OF_ANOTHER_TEAM)
    for example in EXAMPLES.glob("example_*.py"):
        shutil.copy(example, dags)
    airflow = LocalAirflow(airflow_home, dags_folder=dags, pairs_file=pairs_file, env=env)
    airflow.env |= _of_the_examples(airflow, session_pair)
    try:
        airflow.start()
        for name in PAIR_NAMES:
            airflow.wait_for_dag(f"denodo_scheduler_sync__{name}")
        airflow.wait_for_dag("of_another_team")
        yield airflow
    finally:
        airflow.kill()


def _of_the_examples(airflow: LocalAirflow, pair: StandinPair) -> dict[str, str]:
    """What the example DAGs need of their Airflow."""
    password = json.loads(airflow.password_file.read_text())[airflow.user]
    address = urlsplit(airflow.url)
    own = {"conn_type": "http", "host": address.hostname, "port": address.port}
    return {
        **pair.connections_env(),
        "AIRFLOW_CONN_AIRFLOW_API": json.dumps({**own, "login": airflow.user, "password": password}),
        "AIRFLOW_VAR_AIRFLOW_COLOUR": "blue",
        "AIRFLOW_VAR_AIRFLOW_LIVE_FILE": f"file://{airflow.home / 'live'}",
    }


@pytest.fixture
def sync_dag(airflow: LocalAirflow, pair: StandinPair) -> Iterator[Callable[[str], SyncDag]]:
    """The sync DAG of one of the pairs, with the servers in order; at the end nothing of it goes on."""
    used: list[SyncDag] = []

    def choose(name: str) -> SyncDag:
        used.append(SyncDag(airflow, name))
        return used[-1]

    yield choose
    for dag in used:
        dag.end()


@pytest.fixture(scope="package")
def history(airflow: LocalAirflow, session_pair: StandinPair) -> History:
    """Three manual runs of one pair, and what the servers' books say of each.

    A dry run; the first sync, which brings a disabled job that would be due every second; and after a job was made on
    the slave a sync that must wait, since the one job that it has to import fires every few seconds for a while.
    """
    put_in_order(session_pair)
    seal(session_pair.master, NEVER)
    often = next(status for status in session_pair.master.statuses() if status["state"] == "DISABLED")
    session_pair.master.set_cron(often, "* * * * * ?")
    dag = SyncDag(airflow, "default")

    mark = Bookmark(session_pair)
    dry = Chapter(dag.run(dry_run=True, reason="only looking"), mark.read(), dag.record())

    mark = Bookmark(session_pair)
    first = Chapter(dag.run(reason="the first sync"), mark.read(), dag.record())

    orphan = make_orphan(session_pair.slave)
    mark = Bookmark(session_pair)
    due = seal_restless(session_pair.master, seconds=allow(45))
    seen: set[tuple[str, str]] = set()
    run_id = dag.trigger(reason="cleaning up", orphans="delete", quiet_timeout=3600)
    state = dag.wait(run_id, lambda tasks: seen.update((task["task_id"], task["state"]) for task in tasks))
    assert state == "success", dag.why(run_id)
    second = Chapter(run_id, mark.read(), dag.record())
    return History(dag, dry, first, second, orphan=orphan, often=often, due=due, seen_in_second=frozenset(seen))
