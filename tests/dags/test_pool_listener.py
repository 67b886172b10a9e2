"""The pool of a pair makes itself when the scheduler starts a run of one of the pair's DAGs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from denodo_scheduler.plugin import DenodoSchedulerPlugin, PoolListener


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A metadata database with the tables that matter here."""
    engine = create_engine(f"sqlite:///{tmp_path / 'airflow.db'}")
    Base.metadata.create_all(engine, tables=[Pool.__table__])
    with Session(engine) as session:
        yield session
    engine.dispose()


def start_run(session: Session, dag_id: str) -> None:
    """What the scheduler does: it calls the listeners with a run of its session, and commits."""
    with session.no_autoflush:
        run = DagRun(dag_id=dag_id, run_id="manual__1")
        session.add(run)
        PoolListener().on_dag_run_running(run, "")
        session.expunge(run)
    session.commit()


def pools(session: Session) -> dict[str, int]:
    return {pool.pool: pool.slots for pool in session.scalars(select(Pool))}


def test_first_run_makes_the_pool(session: Session) -> None:
    start_run(session, "denodo_scheduler_sync__emea")
    assert pools(session) == {"denodo_ha_emea": 1}
    pool = session.scalars(select(Pool)).one()
    assert pool.include_deferred is False
    assert pool.description


def test_later_runs_make_no_second_one(session: Session) -> None:
    for _ in range(2):
        start_run(session, "denodo_scheduler_sync__emea")
    assert pools(session) == {"denodo_ha_emea": 1}


def test_pool_that_a_person_made_stays_as_it_is(session: Session) -> None:
    session.add(Pool(pool="denodo_ha_emea", slots=0, description="closed for maintenance", include_deferred=True))
    start_run(session, "denodo_scheduler_sync__emea")
    pool = session.scalars(select(Pool)).one()
    assert (pool.slots, pool.description, pool.include_deferred) == (0, "closed for maintenance", True)


@pytest.mark.parametrize("dag_id", ["sales", "denodo_scheduler_sync", "my_denodo_scheduler_sync__emea", "denodo__emea"])
def test_other_dags_are_none_of_its_business(session: Session, dag_id: str) -> None:
    start_run(session, dag_id)
    assert pools(session) == {}


def test_pair_names_with_every_allowed_character(session: Session) -> None:
    start_run(session, "denodo_scheduler_sync__EU-west_1.b__c")
    assert pools(session) == {"denodo_ha_EU-west_1.b__c": 1}


def test_outside_a_session_it_does_nothing() -> None:
    PoolListener().on_dag_run_running(DagRun(dag_id="denodo_scheduler_sync__emea", run_id="manual__1"), "")


def test_plugin_brings_it() -> None:
    assert [type(listener) for listener in DenodoSchedulerPlugin.listeners] == [PoolListener]
