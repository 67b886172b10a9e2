"""Pairs in Airflow's own database, as the DAGs leave them, and people who look at them over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.jobs.job import Job
from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.errors import ParseImportError
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from fastapi.testclient import TestClient
from sqlalchemy import delete

from denodo_ha.pairs import Pair
from denodo_ha.record import Record

KINDS = ("sync", "failover", "switchover", "operations")
BUNDLE = "denodo-page-tests"


class Airflow:
    """An API server with the page, in this process.

    :param url: where the page's application is.
    """

    url = "/denodo-ha"

    def __init__(self) -> None:
        initdb()
        with create_session() as session:
            session.merge(DagBundleModel(name=BUNDLE))
        self.app = create_app()

    def person(self, role: str | None) -> TestClient:
        """A browser of a person with this role; None: a person who may do nothing."""
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=f"a-{role}", role=role))
        return TestClient(self.app, headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False)

    def nobody(self) -> TestClient:
        return TestClient(self.app, raise_server_exceptions=False)


def clear() -> None:
    """Leave no pair."""
    with create_session() as session:
        for model in (AssetEvent, AssetStateStoreModel, AssetModel, DagRun, DagModel, ParseImportError, Job):
            session.execute(delete(model))


def healthy() -> None:
    """Let all components of Airflow have told a moment ago that they live."""
    with create_session() as session:
        for kind in ("SchedulerJob", "TriggererJob", "DagProcessorJob"):
            job = Job(job_type=kind, state="running", hostname="here")
            job.latest_heartbeat = datetime.now(UTC)
            session.add(job)


def pair(
    name: str,
    record: Record | Mapping[str, Any] | None = None,
    watch: Mapping[str, Any] | None = None,
    events: Iterable[Mapping[str, Any]] = (),
    *,
    stale: bool = False,
    paused: bool = False,
    dags: Iterable[str] = KINDS,
    **state: Any,
) -> list[int]:
    """Write what is known of a pair; returns the numbers of its events."""
    named = Pair(name=name)
    stored = {"record": record.to_json() if isinstance(record, Record) else record, "watch": watch, **state}
    with create_session() as session:
        for kind in dags:
            about = f"Fail over to {named.slave} when {named.master} is down"
            session.add(
                DagModel(
                    dag_id=f"denodo_scheduler_{kind}__{name}",
                    bundle_name=BUNDLE,
                    is_paused=paused,
                    is_stale=stale,
                    description=about if kind == "failover" else "",
                )
            )
        asset = AssetModel(name=named.asset_uri, uri=named.asset_uri, group="denodo-scheduler")
        session.add(asset)
        session.flush()
        for key, value in stored.items():
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value)
                session.add(AssetStateStoreModel(asset_id=asset.id, key=key, value=text))
        made = [event_of(asset.id, name, extra) for extra in events]
        session.add_all(made)
        session.flush()
        return [event.id for event in made]


def event_of(asset_id: int, pair: str, extra: Mapping[str, Any]) -> AssetEvent:
    return AssetEvent(
        asset_id=asset_id,
        extra=dict(extra),
        timestamp=datetime.now(UTC),
        source_dag_id=Pair(name=pair).dag_id_failover,
        source_run_id="manual__1",
        source_task_id="report",
    )


def running(dag_id: str, run_id: str) -> None:
    with create_session() as session:
        now = datetime.now(UTC)
        session.add(
            DagRun(
                dag_id=dag_id,
                run_id=run_id,
                run_type=DagRunType.MANUAL,
                state=DagRunState.RUNNING,
                start_date=now - timedelta(minutes=1),
                queued_at=now,
                run_after=now,
                triggered_by=DagRunTriggeredByType.TEST,
            )
        )


def import_error(text: str, filename: str = "denodo_scheduler_pairs.py") -> None:
    with create_session() as session:
        session.add(
            ParseImportError(filename=filename, bundle_name=BUNDLE, stacktrace=text, timestamp=datetime.now(UTC))
        )


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """All statements that are sent to the database meanwhile."""
    from airflow import settings
    from sqlalchemy import event

    said: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)
