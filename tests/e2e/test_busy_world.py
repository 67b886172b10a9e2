"""A master that never rests is synced, and what cannot be sent safely is named, by the DAG as people run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from denodo_cli.reading import read
from denodo_demo.standin import StandinPair, StandinServer
from denodo_ha.status import MAX_AGE, Status, judge
from support.delivery import job, put, source
from support.sync import act
from support.sync_dag import NEVER, Bookmark, SyncDag

pytestmark = pytest.mark.e2e

PROJECT = "Busy"
"""The only project of the pair ``busy``."""
OFTEN = tuple(f"every {number} seconds" for number in (1, 2, 3, 5))
SAYS_WHY = "denodo-ha status busy --verbose says why, and the way out"
LONG, SEALED, RESTLESS = "runs for hours", "sealed", "sealed and restless"


@pytest.fixture
def busy(sync_dag: Callable[[str], SyncDag], pair: StandinPair) -> Iterator[SyncDag]:
    """The pair ``busy``, whose jobs are on the master only and run there."""
    put(
        pair.master,
        source(project=PROJECT),
        *(job(name, project=PROJECT, cron=f"*/{name.split()[1]} * * * * ?") for name in OFTEN),
        job(LONG, project=PROJECT, cron=NEVER),
        job(SEALED, project=PROJECT, cron=NEVER, sealed="s"),
        job(RESTLESS, project=PROJECT, cron="* * * * * ?", sealed="s"),
    )
    pair.master.scheduler.duration(36_000, _label(LONG))
    act(pair.master, "start", _label(LONG))
    yield sync_dag("busy")
    for server in pair.servers:
        for project in server.request("GET", "/projects"):
            if project["name"] == PROJECT:
                server.request("DELETE", f"/projects/{project['id']}")
    pair.master.scheduler.duration(1)


def test_what_is_safe_is_delivered_and_the_rest_named_until_a_person_sends_it(busy: SyncDag, pair: StandinPair) -> None:
    mark = Bookmark(pair)
    run_id = busy.run(reason="the master never rests")
    books = mark.read()
    result, record = busy.xcom(run_id, "verify"), busy.record()
    assert record is not None
    assert _states(pair.master)[LONG] == "RUNNING"
    assert {run["job"] for run in books.master_journal} >= {*OFTEN, RESTLESS}
    assert books.slave_journal == []
    assert _states(pair.slave) == dict.fromkeys((*OFTEN, LONG, SEALED), "DISABLED")
    assert {entry["job"] for entry in books.slave_audit if entry["change"] == "enabled"} == {SEALED}

    assert result["pending"] == {"jobs": 1, "names": [_label(RESTLESS)]}
    assert [(each["key"]["name"], each["code"]) for each in record["pending"]] == [(RESTLESS, "restless")]
    assert f"pending, restless: 1 element ({_label(RESTLESS)})" in busy.log(run_id, "export_metadata")
    assert f"Pending: {_label(RESTLESS)} (missing on the target): [restless]" in busy.log(run_id, "verify")
    assert (result["alert"], result["next_step"].split(";")[0]) == ("pending", SAYS_WHY)
    status = _status(busy)
    assert "1 job is not delivered to the passive server yet" in status.summary
    assert "or send it by hand with 'Deliver now'" in status.details[f"pending {_label(RESTLESS)}"]

    mark = Bookmark(pair)
    run_id = busy.run(reason="it may run once on the slave", deliver_now=True)
    books, result, record = mark.read(), busy.xcom(run_id, "verify"), busy.record()
    assert record is not None
    assert _states(pair.slave) == dict.fromkeys(_states(pair.master), "DISABLED")
    assert (result["pending"]["jobs"], record["pending"]) == (0, [])
    assert {_label(run["job"]) for run in books.slave_journal} == {*result["suspected_double_runs"]}
    assert {*result["suspected_double_runs"]} <= {_label(RESTLESS)}
    assert "not delivered" not in _status(busy).summary


def _label(name: str) -> str:
    return f"{PROJECT} / {name}"


def _states(server: StandinServer) -> dict[str, str]:
    return {each["jobName"]: each["state"] for each in server.statuses() if each["projectName"] == PROJECT}


def _status(dag: SyncDag) -> Status:
    return judge(dag.pair, read(dag.airflow.api, dag.pair), datetime.now(UTC), MAX_AGE, verbose=True)
