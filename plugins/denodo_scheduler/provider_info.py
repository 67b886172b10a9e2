"""What Airflow is told about this package: the connection type and its form, and where operators and sensors are."""

from __future__ import annotations

from typing import Any

from denodo_ha.server.connection import form

_NAME = "Denodo Scheduler"
_DOCS = "https://denodo-scheduler-ha.github.io/airflow-denodo-scheduler-ha/"
_PAIRS = {
    "description": "Path of the file of pairs on the machine of each component, such as ``denodo-ha init`` writes. "
    "The environment variable ``DENODO_HA_PAIRS`` comes before it.",
    "version_added": "0.1.0",
    "type": "string",
    "example": "/opt/airflow/pairs.yaml",
    "default": "",
}


def _modules(package: str, *names: str) -> list[str]:
    return [f"denodo_scheduler.{package}.{name}" for name in names]


def get_provider_info() -> dict[str, Any]:
    """Return Airflow's provider information; ``package-name`` must equal the name of the distribution."""
    return {
        "package-name": "airflow-denodo-scheduler-ha",
        "name": _NAME,
        "description": "High availability of a pair of Denodo Scheduler servers.",
        "integrations": [
            {
                "integration-name": _NAME,
                "external-doc-url": _DOCS,
                "how-to-guide": [
                    _DOCS + page for page in ("first-pair.html", "building-blocks.html", "operators.html")
                ],
                "logo": _DOCS + "pictures/logo.svg",
                "tags": ["service"],
            }
        ],
        "config": {
            "denodo_ha": {"description": "Pairs of Denodo Scheduler servers.", "options": {"pairs": _PAIRS}},
        },
        "cli": ["denodo_scheduler.command.get_commands"],
        "hooks": [{"integration-name": _NAME, "python-modules": ["denodo_scheduler.hooks.scheduler"]}],
        "operators": [
            {"integration-name": _NAME, "python-modules": _modules("operators", "scheduler", "run_job", "ping_master")}
        ],
        "sensors": [{"integration-name": _NAME, "python-modules": _modules("sensors", "quiet_window", "job")}],
        "triggers": [
            {
                "integration-name": _NAME,
                "python-modules": _modules("triggers", "quiet_window", "job_run", "ping_master"),
            }
        ],
        "bundles": [{"integration-name": _NAME, "python-modules": ["denodo_scheduler.bundle"]}],
        "extra-links": [f"denodo_scheduler.links.{name}" for name in ("PairLink", "RunbookLink")],
        "asset-uris": [{"schemes": ["denodo-scheduler"], "handler": None}],
        "connection-types": [
            {
                "connection-type": "denodo_scheduler",
                "hook-class-name": "denodo_scheduler.hooks.scheduler.DenodoSchedulerHook",
                "hook-name": _NAME,
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {
                        "host": "Web tool host",
                        "port": "Web tool port",
                        "schema": "Schema (http or https)",
                    },
                    "placeholders": {"host": "denodo.example.org", "port": "9443", "schema": "https"},
                },
                "conn-fields": form(),
            }
        ],
    }
