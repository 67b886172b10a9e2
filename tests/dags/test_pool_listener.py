"""The pool of a pair makes itself when the scheduler starts a run of one of the pair's DAGs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.utils.sqlalchemy import prohibit_commit
from airflow.utils.state import DagRunState
from sqlalchemy import Engine, create_engine, delete, select
from sqlalchemy.orm import Session

from denodo_scheduler.plugin import DenodoSchedulerPlugin, Listener


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('metadata') / 'airflow.db'}")
    import_all_models()
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    """A session that flushes as little by itself as the scheduler's does."""
    with Session(database, autoflush=False) as session:
        yield session
        session.rollback()
        for table in (Pool, DagRun):
            session.execute(delete(table))
        session.commit()


def start_runs(session: Session, *dag_ids: str) -> None:
    """What the scheduler does: it calls the listeners with the runs of its session, and nobody else may commit it."""
    with prohibit_commit(session) as guard:
        for dag_id in dag_ids:
            run = DagRun(dag_id=dag_id, run_id=uuid4().hex, run_type="manual", state=DagRunState.RUNNING)
            session.add(run)
            Listener().on_dag_run_running(run, "started")
        guard.commit()


def pools(session: Session) -> dict[str, int]:
    return {pool.pool: pool.slots for pool in session.scalars(select(Pool))}


def test_first_run_makes_the_pool(session: Session) -> None:
    start_runs(session, "denodo_scheduler_sync__emea")
    assert pools(session) == {"denodo_ha_emea": 1}
    pool = session.scalars(select(Pool)).one()
    assert pool.include_deferred is False
    assert pool.description


def test_later_runs_make_no_second_one(session: Session) -> None:
    for _ in range(2):
        start_runs(session, "denodo_scheduler_sync__emea")
    assert pools(session) == {"denodo_ha_emea": 1}


def test_two_dags_of_a_pair_may_start_at_the_same_moment(session: Session) -> None:
    start_runs(session, "denodo_scheduler_sync__emea", "denodo_scheduler_health__emea", "denodo_scheduler_sync__apac")
    assert pools(session) == {"denodo_ha_emea": 1, "denodo_ha_apac": 1}


def test_another_scheduler_may_be_faster(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has made the pool after this one looked; what this one's session holds must not be lost."""
    start_runs(session, "denodo_scheduler_sync__emea")
    with monkeypatch.context() as patch:
        patch.setattr(session, "scalar", lambda _: None)
        start_runs(session, "denodo_scheduler_sync__emea")
    assert pools(session) == {"denodo_ha_emea": 1}
    assert len(session.scalars(select(DagRun)).all()) == 2


def test_pool_that_a_person_made_stays_as_it_is(session: Session) -> None:
    session.add(Pool(pool="denodo_ha_emea", slots=0, description="closed for maintenance", include_deferred=True))
    session.commit()
    start_runs(session, "denodo_scheduler_sync__emea")
    pool = session.scalars(select(Pool)).one()
    assert (pool.slots, pool.description, pool.include_deferred) == (0, "closed for maintenance", True)


@pytest.mark.parametrize("dag_id", ["sales", "denodo_scheduler_sync", "my_denodo_scheduler_sync__emea", "denodo__emea"])
def test_other_dags_are_none_of_its_business(session: Session, dag_id: str) -> None:
    start_runs(session, dag_id)
    assert pools(session) == {}


def test_pair_names_with_every_allowed_character(session: Session) -> None:
    start_runs(session, "denodo_scheduler_sync__EU-west_1.b__c")
    assert pools(session) == {"denodo_ha_EU-west_1.b__c": 1}


def test_outside_a_session_it_does_nothing() -> None:
    Listener().on_dag_run_running(DagRun(dag_id="denodo_scheduler_sync__emea", run_id="manual__1"), "")


def test_plugin_brings_it() -> None:
    assert [type(listener) for listener in DenodoSchedulerPlugin.listeners] == [Listener]


def test_a_component_imports_at_its_start_what_its_tasks_would_import() -> None:
    code = (
        "import sys; from denodo_scheduler.plugin import Listener; name = 'denodo_scheduler.steps.promote.failover'; "
        "before = name in sys.modules; Listener().on_starting(None); print(before, name in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["False", "True"]


def test_a_component_starts_even_if_the_project_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "denodo_scheduler.dags.sync", None)
    monkeypatch.delattr("denodo_scheduler.dags.sync", raising=False)
    Listener().on_starting(None)
    assert "cannot be imported here" in caplog.text
