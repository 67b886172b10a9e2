"""What dies or is wrong on the way: a worker, Airflow itself, a password."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_demo.processes import wait_for
from denodo_demo.slowness import allow
from denodo_demo.standin import LOGIN, PASSWORD, StandinPair
from support.databases import Database
from support.sync_dag import (
    PATIENCE,
    SEALED,
    Bookmark,
    Books,
    History,
    SyncDag,
    enabled,
    keys,
    put_in_order,
    seal_anew,
    seal_restless,
)

pytestmark = pytest.mark.e2e

NO_ANSWER_TO_DISABLE = {"kind": "hang", "match": {"method": "PUT", "path": "/jobs/status$"}}


def _is_disable(request: str) -> bool:
    return request.startswith("PUT ") and request.endswith("/jobs/status")


@pytest.fixture
def killed(sync_dag: Callable[[str], SyncDag], pair: StandinPair) -> Callable[[], tuple[SyncDag, str]]:
    """Kill the worker of a sync between import and disable: the jobs of the slave are enabled, and nobody is there."""

    def kill() -> tuple[SyncDag, str]:
        dag = sync_dag("killed")
        seal_anew(pair.master)
        pair.slave.webtool.faults(NO_ANSWER_TO_DISABLE)
        pair.slave.webtool.reset_requests()
        run_id = dag.trigger(reason="its worker will be killed")
        wait_for(lambda: any(_is_disable(request) for request in pair.slave.webtool.requests()), PATIENCE, "a disable")
        dag.airflow.kill_worker(dag.task(run_id, "import_metadata"))
        pair.slave.webtool.faults()
        assert enabled(pair.slave)
        return dag, run_id

    return kill


def test_worker_killed_between_import_and_disable(killed: Callable[[], tuple[SyncDag, str]], pair: StandinPair) -> None:
    """Airflow notices that the task is gone and tries again: the jobs are disabled first, then imported anew."""
    mark = Bookmark(pair)
    dag, run_id = killed()
    assert dag.wait(run_id) == "success", dag.why(run_id)

    assert dag.task(run_id, "import_metadata")["try_number"] == 2
    _ensure_in_step(dag, run_id, pair)
    books = mark.read()
    _ensure_disabled_before_the_next_import(books, "the retry")


def test_next_run_repairs_what_a_killed_worker_left(
    killed: Callable[[], tuple[SyncDag, str]], pair: StandinPair
) -> None:
    """The run is given up, as by a person or when its retries are used up: the next one disables first."""
    mark = Bookmark(pair)
    dag, run_id = killed()
    dag.airflow.api.set_run_state(dag.dag_id, run_id, "failed")
    record = dag.record()
    assert record is not None
    assert record["dirty"]
    assert record["operation"]["id"].startswith(f"{run_id}/")

    next_run = dag.run(reason="repair")
    repaired, sync = dag.events_of(next_run)
    assert (repaired["kind"], sync["kind"]) == ("repaired", "sync")
    assert repaired["operation"] == record["operation"]["id"]
    assert repaired["before"]["enabled"] > 0
    assert sync["imported"] is True
    _ensure_in_step(dag, next_run, pair)
    books = mark.read()
    _ensure_disabled_before_the_next_import(books, "the next run")


def _ensure_disabled_before_the_next_import(books: Books, repair: str) -> None:
    """And say how long the jobs were exposed, by the slave's own audit."""
    exposed = [f"{exposure.seconds:.1f} s for {exposure.jobs} jobs" for exposure in books.exposures]
    print(f"\nExposure until {repair}: {exposed[0]}; by its own imports: {', '.join(exposed[1:])}")
    assert len(books.imports) == 2
    assert len(books.exposures) >= 2
    end = books.exposures[0].end
    assert end is not None
    assert end <= books.imports[1]


def _ensure_in_step(dag: SyncDag, run_id: str, pair: StandinPair) -> None:
    assert enabled(pair.slave) == []
    assert keys(pair.slave) == keys(pair.master)
    record = dag.record()
    assert record is not None
    assert (record["operation"], record["dirty"]) == (None, None)
    assert record["snapshot"]["id"] == dag.xcom(run_id, "export_metadata")["snapshot"]


def test_airflow_killed_while_a_run_waits(sync_dag: Callable[[str], SyncDag], pair: StandinPair) -> None:
    dag, mark = sync_dag("restarted"), Bookmark(pair)
    assert dag.run(reason="the first sync of this pair")
    due = seal_restless(pair.master, seconds=allow(90))
    run_id = dag.trigger(quiet_timeout=3600)
    dag.wait_for_task(run_id, "wait_for_quiet_window", ["deferred"])

    dag.airflow.kill()
    assert not dag.airflow.running
    dag.airflow.start()

    assert dag.wait(run_id) == "success", dag.why(run_id)
    books = mark.read()
    assert books.imports[-1] >= due
    assert SEALED not in {run["job"] for run in books.slave_journal}
    _ensure_in_step(dag, run_id, pair)


@pytest.fixture(scope="package")
def locked_out(airflow: LocalAirflow, session_pair: StandinPair) -> tuple[SyncDag, str, Bookmark]:
    """A run with a wrong password for the slave."""
    put_in_order(session_pair)
    dag, mark = SyncDag(airflow, "locked-out"), Bookmark(session_pair)
    run_id = dag.trigger()
    assert dag.wait(run_id) == "failed"
    return dag, run_id, mark


def test_wrong_password_fails_at_once(locked_out: tuple[SyncDag, str, Bookmark]) -> None:
    dag, run_id, mark = locked_out
    guard = dag.task(run_id, "guard")
    assert (guard["state"], guard["try_number"], guard["max_tries"]) == ("failed", 1, 2)
    said = dag.log(run_id, "guard")
    assert "[configuration] 401: login refused. Check login and password of the connection" in said
    assert "connection 'wrong_password'" in said
    assert mark.read().untouched
    states = dag.states(run_id)
    assert states["verify"] == "upstream_failed"
    assert states["disable_jobs"] == "skipped"


def test_links_of_a_failed_task(locked_out: tuple[SyncDag, str, Bookmark], airflow: LocalAirflow) -> None:
    """They lead to the pair and to what to do; a task that was skipped has nothing to be done about it."""
    dag, run_id, _ = locked_out
    runs = f"/dags/{dag.dag_id}/dagRuns/{quote(run_id)}/taskInstances"
    guard, skipped = (
        airflow.api.request("GET", f"{runs}/{task}/links")["extra_links"] for task in ("guard", "disable_jobs")
    )
    page = f"{airflow.url}/dags/denodo_scheduler_failover__locked-out/plugin/denodo-pair"
    assert guard == {
        "Pair": page,
        "What to do": f"{airflow.url}/denodo-ha/docs/reason-codes.html#code-configuration",
    }
    assert skipped == {"Pair": page, "What to do": None}


def test_passwords_are_nowhere(
    history: History,
    locked_out: tuple[SyncDag, str, Bookmark],
    airflow: LocalAirflow,
    metadata: Database,
    pairs_file: Path,
) -> None:
    """Neither in a log nor in the database (XComs, events, state, rendered fields) nor in a snapshot."""
    wrong = json.loads(airflow.env["AIRFLOW_CONN_WRONG_PASSWORD"])["password"]
    texts = {text.encode() for password in (PASSWORD, wrong) for text in _spellings(password)}
    stored = metadata.contents()
    files = [file for root in (airflow.home, pairs_file.parent) for file in root.rglob("*") if file.is_file()]
    assert b"only looking" in stored, "the search finds what is there"
    assert any(b"login refused" in file.read_bytes() for file in files), "the search finds what is there"
    assert [text for text in texts if text in stored] == []
    assert [(file, text) for file in files for text in texts if text in file.read_bytes()] == []


def _spellings(password: str) -> Iterator[str]:
    yield password
    yield base64.b64encode(f"{LOGIN}:{password}".encode()).decode()
