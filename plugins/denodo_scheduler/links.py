"""Addresses of the pages about a pair: its own page, and what the documentation says about a reason code.

A path is relative to Airflow's own address, by which Airflow's interface resolves it. Only ``[api] base_url`` tells
that address to those who are not in the interface.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import quote

from airflow.sdk.bases.operatorlink import BaseOperatorLink

from denodo_scheduler.dags import OUR_DAGS

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

TAB = "denodo-pair"
"""The tab *Denodo pair* of a DAG, by its ``url_route``."""
PREFIX = "denodo-ha"
"""Where the plugin's own pages are."""


def airflow_url(path: str) -> str:
    """Return the address of a path of this Airflow; empty where ``[api] base_url`` does not tell Airflow's own."""
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "")
    return f"{base.rstrip('/')}/{path}" if re.match(r"https?://.", base) else ""


def dag_path(dag_id: str) -> str:
    return f"dags/{quote(dag_id, safe='')}"


def page_path(pair: str) -> str:
    """The page of a pair: the tab of its failover DAG."""
    return f"{dag_path(f'denodo_scheduler_failover__{pair}')}/plugin/{TAB}"


def docs_path(page: str, anchor: str = "") -> str:
    """A page of ``docs/``, by its name without the extension."""
    return f"{PREFIX}/docs/{quote(page)}.html" + (f"#{quote(anchor)}" if anchor else "")


def runbook_path(code: str, dag: str = "") -> str:
    """What the documentation says about a reason code of a kind of DAG; see :mod:`denodo_ha.runbook`."""
    from denodo_ha.runbook import of_code  # not for those who only load the plugin

    return docs_path(*of_code(code, dag))


def page_url(pair: str) -> str:
    return airflow_url(page_path(pair))


def docs_url(page: str, anchor: str = "") -> str:
    return airflow_url(docs_path(page, anchor))


def runbook_url(code: str, dag: str = "") -> str:
    return airflow_url(runbook_path(code, dag))


# -- extra links of tasks, which the API server makes when somebody looks at one

OPERATORS = {
    "denodo_scheduler.dags.tasks": (
        "StepOperator",
        "BranchStepOperator",
        "ShortCircuitStepOperator",
        "WaitForMomentSensor",
        "WaitForQuietWindowSensor",
    ),
    "denodo_scheduler.dags.failover": ("WatchMasterOperator",),
    "denodo_scheduler.dags.approval": ("ApproveFailoverOperator",),
}
"""The classes of our DAGs' tasks, which no other DAG uses."""


def _operators() -> list[type[BaseOperator]]:
    """Airflow compares only the names of these classes with those of a task. To import the classes themselves would
    cost the API server the modules of all steps.
    """
    names = [(module, name) for module, each in OPERATORS.items() for name in each]
    return [cast("type[BaseOperator]", type(name, (), {"__module__": module})) for module, name in names]


class PairLink(BaseOperatorLink):
    """The page of the pair that a task belongs to."""

    name = "Pair"
    operators: ClassVar[list[type[BaseOperator]]] = _operators()

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        ours = OUR_DAGS.fullmatch(ti_key.dag_id)
        return _link(page_path(ours["pair"])) if ours else ""


class RunbookLink(BaseOperatorLink):
    """What a person does about the reason with which a task has failed; none where it has left no reason."""

    name = "What to do"
    operators: ClassVar[list[type[BaseOperator]]] = PairLink.operators

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        ours = OUR_DAGS.fullmatch(ti_key.dag_id)
        problem = _problem(ti_key) if ours else None
        code = problem.get("code") if isinstance(problem, dict) else None
        if not (ours and code):
            return ""
        step = ours["kind"] == "failover" and ti_key.task_id != "blocked"  # which ends with the code of the decision
        return _link(runbook_path(str(code), "failover_step" if step else ours["kind"]))


def _link(path: str) -> str:
    return airflow_url(path) or path


def _problem(ti_key: TaskInstanceKey) -> Any:
    """The XCom ``problem`` of a task."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    left = XComModel.get_many(
        key="problem",
        run_id=ti_key.run_id,
        dag_ids=ti_key.dag_id,
        task_ids=ti_key.task_id,
        map_indexes=ti_key.map_index,
    )
    with create_session() as session:
        found = session.scalars(left).first()
        return XComModel.deserialize_value(found) if found else None
