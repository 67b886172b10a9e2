"""The readiness check in a real Airflow: by schedule, and by ``denodo-ha check``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from denodo_cli.cli import main
from denodo_demo.airflow import LocalAirflow
from denodo_demo.processes import wait_for
from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair
from denodo_ha.status import Level
from support.sync import untouched
from support.sync_dag import PATIENCE, History

pytestmark = pytest.mark.e2e


def operations(pair: str) -> str:
    return f"denodo_scheduler_operations__{pair}"


@pytest.fixture
def _unpaused(airflow: LocalAirflow) -> Iterator[None]:
    dag_ids = [operations(pair) for pair in ("default", "scheduled")]
    for dag_id in dag_ids:
        airflow.wait_for_dag(dag_id)
    airflow.api.set_paused(dag_ids[0], False)
    yield
    for dag_id in dag_ids:
        airflow.api.set_paused(dag_id, True)


@pytest.mark.usefixtures("_unpaused")
def test_a_check_that_a_person_asks_for(
    airflow: LocalAirflow,
    pair: StandinPair,
    history: History,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``history`` has made the record; nothing watches the pair, and its other DAGs are paused."""
    monkeypatch.setenv("AIRFLOW_API_URL", airflow.url)
    monkeypatch.setenv("AIRFLOW_USER", airflow.user)
    monkeypatch.setenv("AIRFLOW_PASSWORD", airflow._secrets["password"])
    with untouched(pair.master, pair.slave):
        code = main(["check", "default", "--now", "--verbose", "--patience", f"{allow(200):.0f}s"])
    out = capsys.readouterr().out
    assert code == Level.CRITICAL, out
    for line in (
        "OK connection master: ",
        "OK connection slave: ",
        "OK scheduler: Airflow's scheduler is healthy",
        "OK triggerer: Airflow's triggerer is healthy",
        f"OK DAG: {operations('default')} is unpaused",
        "CRITICAL DAG: denodo_scheduler_failover__default is paused",
        "CRITICAL monitor: the failover DAG has never looked at the pair",
        "OK pool: the pool denodo_ha_default has 1 slots",
        "OK last check: the pair was checked ",
    ):
        assert line in out, out
    (begun,) = airflow.api.dag_runs(operations("default"))
    run = airflow.api.wait_for_run(operations("default"), begun["dag_run_id"], timeout=PATIENCE)
    assert (run["state"], run["note"].partition(":")[0]) == ("failed", "CHECK"), "red, with what is wrong in its note"
    assert main(["check", "default"]) == Level.CRITICAL
    assert main(["check", "no-such-pair"]) == Level.UNKNOWN


@pytest.mark.usefixtures("_unpaused", "pair")
def test_a_check_by_schedule(airflow: LocalAirflow) -> None:
    """A schedule that has not been followed so far is taken up with its last moment, as any of Airflow's."""
    dag_id = operations("scheduled")
    airflow.api.set_paused(dag_id, False)
    run = wait_for(lambda: next(iter(airflow.api.dag_runs(dag_id)), None), PATIENCE, "a scheduled run")
    run = airflow.api.wait_for_run(dag_id, run["dag_run_id"], timeout=PATIENCE)
    assert (run["run_type"], run["note"].partition(":")[0]) == ("scheduled", "CHECK")
    states = airflow.api.task_states(dag_id, run["dag_run_id"])
    assert states["operate"] == "skipped"
    assert states["check"] in ("success", "failed")
