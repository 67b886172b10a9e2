from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points
from pathlib import Path

import airflow
import jsonschema

from denodo_ha.server.connection import Settings
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.provider_info import get_provider_info


def test_airflow_accepts_it() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())

    jsonschema.validate(get_provider_info(), schema)


def test_it_is_found_under_the_name_of_the_distribution() -> None:
    (entry_point,) = entry_points(group="apache_airflow_provider", module="denodo_scheduler.provider_info")

    assert entry_point.load() is get_provider_info
    assert entry_point.dist is not None
    assert get_provider_info()["package-name"] == entry_point.dist.name


def test_the_connection_form_and_the_hook_agree() -> None:
    (connection,) = get_provider_info()["connection-types"]

    assert connection["connection-type"] == DenodoSchedulerHook.conn_type
    assert connection["hook-name"] == DenodoSchedulerHook.hook_name
    assert list(connection["conn-fields"]) == list(Settings.model_fields)
    assert connection["conn-fields"]["metadata_password"]["schema"]["format"] == "password"
    module, name = connection["hook-class-name"].rsplit(".", 1)
    assert getattr(importlib.import_module(module), name) is DenodoSchedulerHook


def test_every_module_it_names_exists() -> None:
    info = get_provider_info()

    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
