"""The project inside a real Airflow: everything is found, nothing breaks."""

from __future__ import annotations

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_demo.processes import wait_for
from denodo_demo.standin import StandinPair
from support.sync_dag import PATIENCE

pytestmark = pytest.mark.e2e


def test_all_components_are_healthy(airflow: LocalAirflow) -> None:
    components = ("metadatabase", "scheduler", "triggerer", "dag_processor")

    def healthy() -> bool:
        health = airflow.api.health()
        return all(health[name]["status"] == "healthy" for name in components)

    wait_for(healthy, PATIENCE, "Health of all components, whose heartbeats may be late")


def test_no_import_errors(airflow: LocalAirflow) -> None:
    assert airflow.api.import_errors() == []
    assert airflow.api.plugin_import_errors() == []


@pytest.mark.parametrize("kind", ["sync", "failover", "switchover", "operations"])
def test_interface_shows_the_dag_and_its_form(airflow: LocalAirflow, kind: str) -> None:
    """Its page and its form are made of these details, which Airflow refuses where it cannot write one as JSON."""
    airflow.wait_for_dag(f"denodo_scheduler_{kind}__default")
    details = airflow.api.request("GET", f"/dags/denodo_scheduler_{kind}__default/details")
    assert details["owners"] == ["denodo-ha"]
    assert "reason" in details["params"]
    assert details["default_args"]["pool"] == "denodo_ha_default"


def test_provider_is_listed(airflow: LocalAirflow) -> None:
    assert "airflow-denodo-scheduler-ha" in {provider["package_name"] for provider in airflow.api.providers()}


def test_connection_type_has_a_form(airflow: LocalAirflow) -> None:
    types = {entry["connection_type"]: entry for entry in airflow.api.connection_types()}
    assert types["denodo_scheduler"]["hook_name"] == "Denodo Scheduler"
    assert "scheduler_uri" in types["denodo_scheduler"]["extra_fields"]


def test_connection_button(airflow: LocalAirflow, pair: StandinPair) -> None:
    connection = {**pair.master.connection(), "extra": f'{{"scheduler_uri": "{pair.master.uri}"}}'}
    good = airflow.api.test_connection("from_the_form", **connection)
    bad = airflow.api.test_connection("from_the_form", **{**connection, "password": "something-else"})
    assert (good["status"], bad["status"]) == (True, False), (good, bad)
