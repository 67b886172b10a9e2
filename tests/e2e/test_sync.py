"""Syncs in a real Airflow, judged by what both servers and Airflow's API say afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_demo.airflow_api import Json
from denodo_demo.processes import wait_for
from denodo_demo.standin import StandinPair
from support.sync_dag import (
    PATIENCE,
    SEALED,
    Bookmark,
    History,
    SyncDag,
    change_something,
    enabled,
    keys,
    let_rest,
    make_restless,
)

pytestmark = pytest.mark.e2e

ALL_RAN = dict.fromkeys(
    ("guard", "export_metadata", "wait_for_quiet_window", "import_metadata", "disable_jobs", "verify"), "success"
)
WAIT = "wait_for_quiet_window"


# A dry run


def test_dry_run_shows_its_plan(history: History, pair: StandinPair) -> None:
    exported = history.dag.xcom(history.dry.run_id, "export_metadata")
    assert exported["plan"]["added"]["jobs"] == exported["jobs"] == len(keys(pair.master))
    assert exported["enabled"] == len(enabled(pair.master))
    assert not exported["unchanged"]


def test_dry_run_changes_nothing(history: History) -> None:
    skipped = dict.fromkeys(("wait_for_quiet_window", "import_metadata", "disable_jobs", "verify"), "skipped")
    assert history.dag.states(history.dry.run_id) == ALL_RAN | skipped
    assert history.dry.books.untouched
    assert history.dry.record is None
    assert history.dag.events_of(history.dry.run_id) == []
    assert not Path(
        history.dag.xcom(history.dry.run_id, "export_metadata")["location"].removeprefix("file://")
    ).exists()


# The first sync


def test_slave_has_everything_and_nothing_is_enabled(history: History, pair: StandinPair) -> None:
    assert history.dag.states(history.first.run_id) == ALL_RAN | {WAIT: "skipped"}
    assert history.first.books.imports
    assert keys(pair.slave) == keys(pair.master)
    assert enabled(pair.slave) == []
    assert not history.first.books.master_audit, "the master is only read"
    assert not history.first.books.slave_journal, "nothing ran on the slave"


def test_exposure_is_what_the_slave_itself_saw(history: History) -> None:
    """The measure begins when an import is sent and ends with a read, so it holds the time that the audit knows. Of
    several imports the longest counts; how many there are depends on what is due when."""
    longest = max(exposure.seconds for exposure in history.first.books.exposures)
    measured = history.dag.xcom(history.first.run_id, "verify")
    assert 0 < longest <= measured["exposure_seconds"]
    assert measured["exposure_after_answer_seconds"] <= measured["exposure_seconds"]


def test_events(history: History, pair: StandinPair) -> None:
    initialised, sync = history.dag.events_of(history.first.run_id)
    assert (initialised["kind"], initialised["after"]) == ("initialised", {"active": "master", "phase": "normal"})
    assert (sync["kind"], sync["pair"], sync["epoch"]) == ("sync", "default", 1)
    assert sync["operation"].startswith(f"{history.first.run_id}/")
    assert (sync["actor"], sync["reason"]) == (LocalAirflow.user, "the first sync")
    assert sync["before"] == {"snapshot": None, "dirty": True}
    assert sync["after"] == {
        "snapshot": history.dag.xcom(history.first.run_id, "export_metadata")["snapshot"],
        "dirty": False,
    }
    assert sync["imported"] is True
    assert sync["jobs"] == len(keys(pair.master))
    assert sync["content_hash"]
    assert sync["exposure_seconds"] > 0
    assert sync["suspected_double_runs"] == []


def test_event_is_what_verify_returns(history: History) -> None:
    for chapter in (history.first, history.second):
        assert history.dag.events_of(chapter.run_id)[-1] == history.dag.xcom(chapter.run_id, "verify")


def test_record(history: History) -> None:
    record = history.first.record
    assert record is not None
    exported = history.dag.xcom(history.first.run_id, "export_metadata")
    assert (record["phase"], record["active"], record["epoch"]) == ("normal", "master", 1)
    assert (record["operation"], record["dirty"], record["paused"]) == (None, None, None)
    assert record["snapshot"]["id"] == exported["snapshot"]
    assert record["snapshot"]["content_hash"] == exported["content_hash"]
    assert record["snapshot"]["taken"] < record["snapshot"]["imported"] < record["snapshot"]["committed"]


def test_pool_made_itself(history: History, airflow: LocalAirflow) -> None:
    pool = next(pool for pool in airflow.api.pools() if pool["name"] == f"denodo_ha_{history.dag.pair}")
    assert (pool["slots"], pool["include_deferred"]) == (1, False)


# A sync that waits for a quiet moment, with options from the form


def test_wait_is_deferred_until_the_job_cannot_fire_on_the_slave(history: History) -> None:
    assert (WAIT, "deferred") in history.seen_in_second
    books = history.second.books
    assert SEALED in {run["job"] for run in books.master_journal}, "it goes on running on the master"
    [imported] = books.imports
    assert imported >= history.due
    assert {entry["job"] for entry in books.slave_audit if entry["by"] == "import"} == {SEALED}
    assert books.slave_journal == []


def test_form_says_what_becomes_of_orphans(history: History, pair: StandinPair) -> None:
    result = history.dag.xcom(history.second.run_id, "verify")
    assert result["orphans"]["jobs"] == 1
    assert history.orphan in result["orphans"]["names"]
    assert result["orphans"]["deleted"] is True
    deleted = [entry["job"] for entry in history.second.books.slave_audit if entry["change"] == "deleted"]
    assert deleted == [history.orphan]
    assert keys(pair.slave) == keys(pair.master)


def test_second_sync_names_what_is_new(history: History) -> None:
    result = history.dag.xcom(history.second.run_id, "verify")
    assert result["before"] == {
        "snapshot": history.dag.xcom(history.first.run_id, "export_metadata")["snapshot"],
        "dirty": True,
    }
    changed = result["plan"].pop("changed")
    assert result["plan"] == {}
    assert changed["jobs"] == 1
    assert changed["names"].endswith(f" / {SEALED}")


# A server that never rests


def test_on_a_server_that_never_rests_a_sync_ends_at_once(history: History, pair: StandinPair) -> None:
    """A job runs for hours and another is due every second. Toggles, nothing new and an edit are committed."""
    dag, often, mark = history.dag, history.often, Bookmark(pair)
    waits_for_nothing = ALL_RAN | dict.fromkeys((WAIT, "import_metadata"), "skipped")
    long = make_restless(pair.master, often)
    toggled, again = dag.run(reason="only toggled"), dag.run(reason="nothing new")
    wait_for(lambda: _runs_of(often, mark) >= 3, PATIENCE, "runs of the job that is due every second")
    assert _state_of(pair, long) == "RUNNING"
    for run_id in (toggled, again):
        assert dag.states(run_id) == waits_for_nothing
        assert "[nothing_to_wait_for] nothing is waited for: the slave has all" in dag.log(run_id, WAIT)
        assert dag.xcom(run_id, "verify")["imported"] is False
    assert list(dag.xcom(toggled, "verify")["plan"]) == ["enabled"]
    assert dag.xcom(again, "verify")["plan"] == {}
    assert [event["kind"] for run_id in (toggled, again) for event in dag.events_of(run_id)] == ["sync", "sync"]
    books, record = mark.read(), dag.record()
    assert (books.slave_audit, books.slave_journal, books.imports) == ([], [], [])
    assert record is not None
    assert record["snapshot"]["id"] == dag.xcom(again, "export_metadata")["snapshot"]
    assert record["snapshot"]["enabled"] == len(enabled(pair.master))

    mark = Bookmark(pair)
    edited = change_something(pair.master)
    run_id = dag.run(reason="an edit")
    assert dag.states(run_id) == ALL_RAN | {WAIT: "skipped"}
    assert _state_of(pair, long) == "RUNNING"
    result, books = dag.xcom(run_id, "verify"), mark.read()
    assert (result["imported"], result["exposure_seconds"]) == (True, 0.0)
    assert [piece["channel"] for piece in result["delivered"]] == ["rest"]
    assert {entry["job"] for entry in books.slave_audit} == {edited["jobName"]}
    assert "enabled" not in {entry["change"] for entry in books.slave_audit}
    assert books.slave_journal == []
    let_rest(pair.master, often, long)


def _runs_of(job: Json, mark: Bookmark) -> int:
    return sum(
        (run["project"], run["job"]) == (job["projectName"], job["jobName"]) for run in mark.read().master_journal
    )


def _state_of(pair: StandinPair, job: Json) -> str:
    return next(str(each["state"]) for each in pair.master.statuses() if each["jobID"] == job["jobID"])


# By schedule


def test_scheduled_run(sync_dag: Callable[[str], SyncDag], pair: StandinPair) -> None:
    """A schedule that has not been followed so far is taken up with its last run, and never catches up further."""
    dag, mark = sync_dag("scheduled"), Bookmark(pair)
    dag.unpause()
    run = wait_for(lambda: next(iter(dag.airflow.api.dag_runs(dag.dag_id)), None), PATIENCE, "a scheduled run")
    assert run["run_type"] == "scheduled"
    assert dag.wait(run["dag_run_id"]) == "success", dag.why(run["dag_run_id"])
    assert [run["state"] for run in dag.airflow.api.dag_runs(dag.dag_id)] == ["success"]

    result = dag.xcom(run["dag_run_id"], "verify")
    assert (result["actor"], result["reason"], result["imported"]) == ("scheduled", "", True)
    assert len(mark.read().imports) == 1
    assert keys(pair.slave) == keys(pair.master)
    assert enabled(pair.slave) == []
