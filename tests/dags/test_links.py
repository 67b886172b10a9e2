"""Where tasks and DAGs lead to: links of tasks as Airflow's API server makes them, names and documentation of DAGs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from denodo_ha.pairs import Pair
from denodo_scheduler import links
from denodo_scheduler.dags.drill import drill_dag
from denodo_scheduler.dags.failover import failover_dag
from denodo_scheduler.dags.operations import operations_dag
from denodo_scheduler.dags.switchover import switchover_dag
from denodo_scheduler.dags.sync import sync_dag
from denodo_scheduler.web import docs
from support.pairs import make_pair

PAIR = "docs.of-emea"
BUILD = (sync_dag, failover_dag, switchover_dag, operations_dag, drill_dag)
OTHERS = {"EmptyOperator", "TriggerDagRunOperator"}
"""Tasks that are never at work, and those that lead to the run that they have triggered."""
BASE = "https://airflow.example.com/team/af"


def dags_of(name: str = PAIR, **options: str) -> list[DAG]:
    drill = {"drill": ["Sales / harmless"], "drill_schedule": "@weekly"}
    pair = make_pair(name, failover="approval", on_master_return="fail_back", **drill, **options)
    return [dag for build in BUILD if (dag := build(pair))]


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    """Those of a pair with every optional branch."""
    return {dag.dag_id: dag for dag in dags_of()}


@pytest.fixture
def base_url(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{BASE}/")
    return BASE


class TestAddresses:
    def test_have_the_path_of_airflow_in_them(self, base_url: str) -> None:
        assert links.page_url("emea") == f"{BASE}/dags/denodo_scheduler_failover__emea/plugin/denodo-pair"
        assert links.docs_url("drill") == f"{BASE}/denodo-ha/docs/drill.html"
        assert links.docs_url("drill", "the-drill") == f"{BASE}/denodo-ha/docs/drill.html#the-drill"
        assert links.runbook_url("stale_snapshot") == f"{BASE}/denodo-ha/docs/reason-codes.html#code-stale_snapshot"
        assert links.runbook_url("interrupted") == f"{BASE}/denodo-ha/docs/runbooks.html#slave-dead-during-failover"
        assert links.runbook_url("halted", "sync").endswith("#of-the-sync-dag-halted")

    @pytest.mark.parametrize("base", ["", "/", "/team/af"])
    def test_are_empty_where_airflow_does_not_know_its_own(self, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
        assert (links.page_url("emea"), links.docs_url("drill"), links.runbook_url("halted")) == ("", "", "")


class TestLinksOfTasks:
    @pytest.fixture
    def left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[TaskInstanceKey, str], None]]:
        """Airflow's database, into which a task leaves the code of its problem."""
        engine = create_engine(f"sqlite:///{tmp_path / 'airflow.db'}")
        import_all_models()
        Base.metadata.create_all(engine)
        monkeypatch.setattr("airflow.utils.session.create_session", lambda: Session(engine))

        def leave(key: TaskInstanceKey, code: str) -> None:
            value = json.dumps({"code": code, "what": "w", "next_step": "n"})
            named = {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id, "map_index": key.map_index}
            with Session(engine) as session:
                run = DagRun(dag_id=key.dag_id, run_id=key.run_id, run_type="manual", state="failed")
                session.add(run)
                session.flush()
                session.add(XComModel(dag_run_id=run.id, key="problem", value=value, **named))
                session.commit()

        yield leave
        engine.dispose()

    def test_every_task_of_ours_has_them_as_the_api_server_reads_it(self, dags: dict[str, DAG]) -> None:
        without = set()
        for dag in dags.values():
            for task in DagSerialization.from_dict(DagSerialization.to_dict(dag)).tasks:
                if not {"Pair", "What to do"} <= set(task.extra_links):
                    without.add(task.task_type)
        assert without == OTHERS

    def test_the_named_classes_exist(self) -> None:
        found = {(each.__module__, each.__name__) for each in links.PairLink.operators}
        used = {
            (type(task).__module__, type(task).__name__)
            for dag in dags_of()
            for task in dag.tasks
            if type(task).__name__ not in OTHERS
        }
        assert found == used

    def test_a_task_of_another_dag_has_none(self) -> None:
        from airflow.providers.standard.operators.python import PythonOperator

        with DAG("another", schedule=None) as dag:
            PythonOperator(task_id="step", python_callable=print)
        (task,) = DagSerialization.from_dict(DagSerialization.to_dict(dag)).tasks
        assert task.extra_links == []

    def test_lead_to_the_pair_and_to_what_its_reason_asks_for(
        self, left: Callable[[TaskInstanceKey, str], None], base_url: str
    ) -> None:
        failed = TaskInstanceKey(f"denodo_scheduler_sync__{PAIR}", "verify", "r1", 1, -1)
        other = TaskInstanceKey(f"denodo_scheduler_sync__{PAIR}", "guard", "r1", 1, -1)
        left(failed, "not_verified")
        pair, what_to_do = links.PairLink(), links.RunbookLink()
        assert pair.get_link(None, ti_key=failed) == links.page_url(PAIR)  # type: ignore[arg-type]
        found = [what_to_do.get_link(None, ti_key=key) for key in (failed, other)]  # type: ignore[arg-type]
        assert found == [f"{BASE}/denodo-ha/docs/reason-codes.html#code-not_verified", ""]

    @pytest.mark.parametrize(
        ("task", "anchor"),
        [
            ("blocked", "code-not_fenced"),
            ("enable_jobs", "of-the-failover-dag-how-a-step-can-end-not_fenced"),
        ],
    )
    def test_a_step_of_the_failover_dag_leads_to_how_steps_end(
        self, left: Callable[[TaskInstanceKey, str], None], base_url: str, task: str, anchor: str
    ) -> None:
        failed = TaskInstanceKey(f"denodo_scheduler_failover__{PAIR}", task, "r1", 1, -1)
        left(failed, "not_fenced")
        found = links.RunbookLink().get_link(None, ti_key=failed)  # type: ignore[arg-type]
        assert found == f"{BASE}/denodo-ha/docs/reason-codes.html#{anchor}"

    def test_are_relative_where_airflow_does_not_know_its_own_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
        key = TaskInstanceKey("denodo_scheduler_sync__emea", "guard", "r1", 1, -1)
        said = links.PairLink().get_link(None, ti_key=key)  # type: ignore[arg-type]
        assert said == "dags/denodo_scheduler_failover__emea/plugin/denodo-pair"

    def test_a_task_of_another_dag_that_uses_our_operators_leads_nowhere(self) -> None:
        key = TaskInstanceKey("another", "guard", "r1", 1, -1)
        assert links.PairLink().get_link(None, ti_key=key) == ""  # type: ignore[arg-type]
        assert links.RunbookLink().get_link(None, ti_key=key) == ""  # type: ignore[arg-type]


class TestDags:
    def test_names_sort_in_the_order_of_use_pair_by_pair(self) -> None:
        pairs = ["emea", "emea_test", "apac"]
        names = sorted(str(dag.dag_display_name) for name in pairs for dag in dags_of(name))
        uses = ("1 sync", "2 failover", "3 switchover", "4 operations", "5 drill")
        assert names == [f"Denodo {pair} {use}" for pair in ("apac", "emea", "emea_test") for use in uses]

    def test_documentation_leads_to_the_pair_the_other_dags_and_the_pages(self, dags: dict[str, DAG]) -> None:
        """Airflow's interface resolves it from its own address, wherever that is."""
        here = "https://example.com/team/"
        for dag in dags.values():
            found = {urljoin(here, link) for link in re.findall(r"\]\(([^)]+)\)", dag.doc_md or "")}
            assert {f"{here}dags/{other}" for other in dags if other != dag.dag_id} <= found
            assert f"{here}{links.page_path(PAIR)}" in found
            assert {link for link in found if not link.startswith((f"{here}dags/", f"{here}denodo-ha/docs/"))} == set()

    def test_pages_and_anchors_of_the_documentation_exist(self, dags: dict[str, DAG]) -> None:
        found = {
            link for dag in dags.values() for link in re.findall(r"\]\(denodo-ha/docs/([^)]+)\)", dag.doc_md or "")
        }
        assert found
        for link in found:
            page, _, anchor = link.partition("#")
            assert (
                f'id="{anchor}"' in docs.rendered(page.removesuffix(".html")) if anchor else page[:-5] in docs.pages()
            )

    def test_no_drill_dag_no_link_to_it(self) -> None:
        assert "__drill" not in str(sync_dag(Pair(name="emea")).doc_md)
        assert "denodo_scheduler_drill" not in str(sync_dag(Pair(name="emea")).doc_md)
