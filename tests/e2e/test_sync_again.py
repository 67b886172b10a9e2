"""Old runs that are executed again: cleared, or backfilled. What is past changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest

from denodo_demo.airflow_api import AirflowApiError
from denodo_demo.processes import wait_for
from denodo_demo.standin import StandinPair
from support.sync_dag import PATIENCE, Bookmark, History, SyncDag, change_something, enabled, keys, moment

pytestmark = pytest.mark.e2e


def told(record: Any) -> Any:
    """The HA record, whether its events are in the history or not yet."""
    return {**record, "outbox": [], "version": 0}


def test_clearing_the_import_of_an_old_run(history: History, pair: StandinPair) -> None:
    dag, run_id, mark = history.dag, history.first.run_id, Bookmark(pair)
    change_something(pair.master)
    record, before = dag.record(), mark.read().master_audit
    assert dag.clear(run_id, "import_metadata") == "success", dag.why(run_id)

    states = dag.states(run_id)
    assert [states[task] for task in ("import_metadata", "disable_jobs", "verify")] == ["skipped"] * 3
    for task in ("import_metadata", "disable_jobs"):
        assert "[superseded] superseded by a newer run: the snapshot" in dag.log(run_id, task)
    assert mark.read().slave_audit == []
    assert mark.read().master_audit == before
    assert told(dag.record()) == told(record)


def test_clearing_an_old_run(history: History, pair: StandinPair) -> None:
    dag, run_id, mark = history.dag, history.first.run_id, Bookmark(pair)
    record = dag.record()
    assert dag.clear(run_id) == "success", dag.why(run_id)

    verdict = dag.xcom(run_id, "guard", "verdict")
    assert (verdict["go"], verdict["code"]) == (False, "covered")
    assert "taken later, is already on the slave. Nothing was changed." in verdict["message"]
    assert verdict["message"] in dag.log(run_id, "guard")
    states = dag.states(run_id)
    assert states.pop("guard") == "success"
    assert set(states.values()) == {"skipped"}
    assert mark.read().untouched
    assert told(dag.record()) == told(record)


def test_backfill_of_a_bad_day(sync_dag: Callable[[str], SyncDag], pair: StandinPair) -> None:
    """All runs have failed; then all of them again, at the same time as a backfill does, and one import is enough."""
    dag, mark = sync_dag("backfilled"), Bookmark(pair)
    api = dag.airflow.api

    pair.slave.webtool.faults({"kind": "status", "status": 401})
    dag.unpause()
    scheduled = wait_for(lambda: next(iter(api.dag_runs(dag.dag_id)), None), PATIENCE, "a scheduled run")
    assert scheduled["run_type"] == "scheduled"
    last = moment(scheduled["logical_date"])
    earlier = last - timedelta(hours=1)
    dag.trigger(logical_date=earlier)
    _wait_for_runs(dag, {last: "failed", earlier: "failed"})
    assert mark.read().untouched

    pair.slave.webtool.faults()
    _backfill_failed(dag, earlier, last)
    _wait_for_runs(dag, {last: "success", earlier: "success"})

    assert len(mark.read().imports) == 1
    assert keys(pair.slave) == keys(pair.master)
    assert enabled(pair.slave) == []
    done = [run["dag_run_id"] for run in api.dag_runs(dag.dag_id)]
    assert sorted(event["kind"] for run_id in done for event in dag.events_of(run_id)) == ["initialised", "sync"]


def _backfill_failed(dag: SyncDag, start: datetime, end: datetime) -> None:
    """Create a backfill. On SQLite Airflow may find its database locked, and says so."""

    def created() -> int | None:
        try:
            return dag.airflow.api.create_backfill(dag.dag_id, start, end, reprocess="failed")
        except AirflowApiError as error:
            if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return None
            raise

    wait_for(created, PATIENCE, "a backfill")


def _wait_for_runs(dag: SyncDag, states: dict[datetime, str]) -> None:
    def finished() -> bool:
        runs = {moment(run["logical_date"]): run["state"] for run in dag.airflow.api.dag_runs(dag.dag_id)}
        assert runs.keys() <= states.keys()
        return runs == states

    wait_for(finished, PATIENCE, f"runs of {dag.dag_id} in the states {states}")
