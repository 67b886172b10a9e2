"""What this provider adds to Airflow itself: the pool of a pair exists as soon as one of its DAGs runs."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


OUR_DAGS = re.compile(r"denodo_scheduler_[a-z]+__(?P<pair>.+)")


class PoolListener:
    """Runs in the scheduler, in the session that starts a DAG run; elsewhere only loaded, hence the late imports."""

    @hookimpl
    def on_dag_run_running(self, dag_run: DagRun, msg: str) -> None:
        """Create the pair's pool, one slot, unless there is one. Without it Airflow would never start the tasks.

        The scheduler forbids commits of its session, which a savepoint of the session counts as; hence that of the
        connection.
        """
        from airflow.models.pool import Pool
        from sqlalchemy import insert, select
        from sqlalchemy.exc import IntegrityError
        from sqlalchemy.orm import object_session

        ours = OUR_DAGS.fullmatch(dag_run.dag_id)
        session = object_session(dag_run)
        if not ours or session is None:
            return
        name = f"denodo_ha_{ours['pair']}"
        if session.scalar(select(Pool).where(Pool.pool == name)) is None:
            description = "Changes of a Denodo Scheduler pair, one at a time"
            pool = insert(Pool).values(pool=name, slots=1, description=description, include_deferred=False)
            with suppress(IntegrityError), session.connection().begin_nested():  # another scheduler may be faster
                session.connection().execute(pool)


class DenodoSchedulerPlugin(AirflowPlugin):
    name = "denodo_scheduler"
    listeners = [PoolListener()]  # noqa: RUF012 - as the base class declares it
