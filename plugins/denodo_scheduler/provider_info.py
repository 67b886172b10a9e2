"""What Airflow is told about this package: the connection type and its form, and where operators and sensors are."""

from __future__ import annotations

from typing import Any

_NAME = "Denodo Scheduler"


def _text(label: str, description: str, **schema: str) -> dict[str, Any]:
    """A form field that may stay empty."""
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


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
                "external-doc-url": "https://community.denodo.com/docs",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": _NAME, "python-modules": ["denodo_scheduler.hooks.scheduler"]}],
        "operators": [{"integration-name": _NAME, "python-modules": _modules("operators", "scheduler", "ping_master")}],
        "sensors": [{"integration-name": _NAME, "python-modules": ["denodo_scheduler.sensors.quiet_window"]}],
        "triggers": [
            {"integration-name": _NAME, "python-modules": _modules("triggers", "quiet_window", "ping_master")}
        ],
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
                "conn-fields": _CONNECTION_FIELDS,
            }
        ],
    }


_CONNECTION_FIELDS = {
    "scheduler_uri": _text(
        "Scheduler server",
        "As the web tool reaches it, //host:port.",
        default="//localhost:8000",
    ),
    "base_path": _text("Base path", "Path of the web tool. Empty: /webadmin/denodo-scheduler-admin."),
    "verify": _text("Verify TLS", "true, false, or the path of a file with CA certificates. Empty: true."),
    "cert": _text("Client certificate", "Path of one PEM file with certificate and key."),
    "timeout": _text("Timeout", "Seconds to wait for an answer, or [connect, read]. Empty: [5, 10]."),
    "transfer_timeout": _text("Transfer timeout", "Seconds without a byte that end an export or import. Empty: 600."),
    "export_options": _text(
        "Export options",
        'JSON object: other values or places of the export\'s options, for example {"permissions": true}.',
        format="multiline",
    ),
    "import_options": _text(
        "Import options",
        'JSON object: other values or places of the import\'s options, for example {"replaceDrivers": false}.',
        format="multiline",
    ),
    "metadata_password": _text(
        "Metadata password",
        "Protects the secrets inside an export file (9.x). Needed for a server of another installation.",
        format="password",
    ),
    "transport": _text("Transport", "rest or scripts: how export, import and ping reach the server. Empty: rest."),
    "denodo_home": _text("Denodo home", "Installation with tools/scheduler/export.sh. Only for the transport scripts."),
    "script_password": _text(
        "Password for the scripts",
        "encrypted:… as Denodo's encrypt_password makes it. Only for the transport scripts.",
        format="password",
    ),
    "script_server": _text(
        "Scheduler server for the scripts", "As the scripts reach it, //host:port. Empty: the Scheduler server above."
    ),
    "vdpauth": _text("Log in through VDP", "true or false: whether the scripts do so. Empty: false, a local account."),
    "ssh_conn_id": _text("SSH connection", "To the machine of the scripts. Empty: they run on the worker."),
}
