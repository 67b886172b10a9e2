"""What this provider adds to Airflow: pools that exist when they are needed, tasks that start sooner, and a page."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from denodo_scheduler.dags import NOTE, OUR_DAGS, PAIRS_DAG_FILE
from denodo_scheduler.links import TAB, PairLink, RunbookLink
from denodo_scheduler.web import PREFIX, STATIC
from denodo_scheduler.web.app import PageApp

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)


class Listener:
    """Loaded by every component, hence the late imports."""

    def __init__(self) -> None:
        self._told = ""

    @hookimpl
    def on_starting(self, component: object) -> None:
        """Import once what every task imports, for half a second: the LocalExecutor's tasks, and the processes that
        read DAG files, are forks of the component that starts here.
        """
        try:
            from denodo_scheduler.dags import failover, operations, switchover, sync  # noqa: F401
        except Exception:
            log.exception("The project cannot be imported here. The DAGs' import errors say more.")

    @hookimpl
    def on_dag_run_running(self, dag_run: DagRun, msg: str) -> None:
        """Create the pair's pool, one slot, unless there is one. Without it Airflow would never start the tasks.

        Called in the scheduler, in the session that starts the run.

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

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun, msg: str) -> None:
        _write_note(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:
        _write_note(dag_run)

    @hookimpl
    def on_new_dag_import_error(self, filename: str, stacktrace: str) -> None:
        """Tell people of pairs that are wrong in the file of pairs, for which nothing is protected any more.

        Called in the DAG processor, which must not wait for a notifier.
        """
        if Path(filename).name == PAIRS_DAG_FILE:
            from denodo_scheduler.dags.pairs import tell

            self._told = stacktrace
            Thread(target=tell, name="denodo-ha-pairs", daemon=True).start()

    @hookimpl
    def on_existing_dag_import_error(self, filename: str, stacktrace: str) -> None:
        """Tell of what was added to the mistakes, and all again when the DAG processor was started anew."""
        if stacktrace != self._told:
            self.on_new_dag_import_error(filename, stacktrace)


def _write_note(dag_run: DagRun) -> None:
    """Make the sentence that a task has left last the note of its run, where no person has written one.

    A task itself cannot write one. Called in the scheduler, in the session that ends the run.
    """
    from airflow.models.xcom import XComModel
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import object_session

    session = object_session(dag_run) if OUR_DAGS.fullmatch(dag_run.dag_id) else None
    if session is None:
        return
    left = XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id, key=NOTE)
    with suppress(SQLAlchemyError), session.connection().begin_nested():  # a note is not worth the end of the run
        known = dag_run.dag_run_note
        found = session.scalars(left.order_by(None).order_by(XComModel.timestamp.desc()).limit(1)).first()
        if found and (known is None or known.user_id is None):
            dag_run.note = str(XComModel.deserialize_value(found))[:1000]


def tile() -> list[dict[str, str]]:
    """A tile on Airflow's Home, where the page has one."""
    if not (STATIC / "tile.js").is_file():
        return []
    bundle = f"{PREFIX}/page/tile.js"
    return [{"name": "DenodoPairsTile", "bundle_url": bundle, "destination": "dashboard", "url_route": "denodo-tile"}]


_PAGE = f"{PREFIX}/page/index.html"
"""The page's address, relative to Airflow's base, which may itself be a path."""
_OF_A_DAG = {"name": "Denodo pair", "href": _PAGE + "?dag_id={DAG_ID}"}


class DenodoSchedulerPlugin(AirflowPlugin):
    # lists, as the base class declares them
    name = "denodo_scheduler"
    listeners = [Listener()]  # noqa: RUF012
    operator_extra_links = [PairLink(), RunbookLink()]  # noqa: RUF012
    fastapi_apps = [{"app": PageApp(), "url_prefix": f"/{PREFIX}", "name": "Denodo pairs"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {"name": "Denodo pairs", "href": _PAGE, "destination": "nav", "url_route": "denodo-pairs"},
        {**_OF_A_DAG, "destination": "dag", "url_route": TAB},
        {**_OF_A_DAG, "destination": "dag_run", "url_route": f"{TAB}-run"},  # Airflow shows a route once
    ]
    react_apps = tile()
