"""What Airflow finds at its start: the provider with its connection type, the plugin, and no module twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

FOUND_AT_START = """
import json, sys
from airflow import plugins_manager
plugins_manager.ensure_plugins_loaded()
print(json.dumps({
    "errors": plugins_manager.get_import_errors(),
    "plugins": [plugin["name"] for plugin in plugins_manager.get_plugin_info(["name"])],
    "files": sorted({getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}),
    "modules": sorted(sys.modules),
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh Airflow process loads whose plugins folder is the project's, as in a deployment."""
    project = Path(__file__).parents[2]
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run([sys.executable, "-c", FOUND_AT_START], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_plugin_is_loaded_once_without_errors(found: dict[str, Any]) -> None:
    assert found["errors"] == {}
    assert found["plugins"].count("denodo_scheduler") == 1


def test_plugins_folder_is_not_executed_a_second_time(found: dict[str, Any], project: Path) -> None:
    """Without plugins/.airflowignore each of our files would also be a top-level module named after its stem."""
    stems = {path.stem for path in (project / "plugins" / "denodo_scheduler").rglob("*.py")} - {"__init__"}
    ours = [file for file in found["files"] if file.startswith(str(project / "plugins"))]
    assert ours, "the plugin itself comes from there"
    assert len(ours) == len(set(ours))
    assert not stems & set(found["modules"])


def test_provider() -> None:
    provider = ProvidersManager().providers["airflow-denodo-scheduler-ha"].data
    assert provider["package-name"] == "airflow-denodo-scheduler-ha"
    assert provider["name"] == "Denodo Scheduler"


def test_connection_type() -> None:
    hook = ProvidersManagerTaskRuntime().hooks["denodo_scheduler"]
    assert hook is not None
    assert hook.hook_name == "Denodo Scheduler"
    assert hook.hook_class_name == "denodo_scheduler.hooks.scheduler.DenodoSchedulerHook"
    assert hook.connection_testable is True


def test_connection_form() -> None:
    prefix = "extra__denodo_scheduler__"
    fields = {
        key.removeprefix(prefix): widget.field
        for key, widget in ProvidersManager().connection_form_widgets.items()
        if key.startswith(prefix)
    }
    assert set(fields) == {
        "scheduler_uri",
        "base_path",
        "auth",
        "verify",
        "cert",
        "timeout",
        "transfer_timeout",
        "deadline",
        "transfer_deadline",
        "answer_limit",
        "error_limit",
        "transfer_limit",
        "export_options",
        "import_options",
        "metadata_password",
        "transport",
        "denodo_home",
        "script_password",
        "script_server",
        "vdpauth",
        "ssh_conn_id",
    }
    behaviour = ProvidersManager().field_behaviours["denodo_scheduler"]
    assert behaviour["relabeling"]["host"] == "Web tool host"
