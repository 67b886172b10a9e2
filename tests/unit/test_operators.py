from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Context, ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from denodo_ha.jobs import JobKey
from denodo_ha.server.options import EXPORT_OPTIONS, IMPORT_OPTIONS
from denodo_scheduler.exceptions import RequestError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.operators import scheduler as operators
from denodo_scheduler.operators.scheduler import (
    DenodoSchedulerOperator,
    DisableJobsOperator,
    EnableJobsOperator,
    ExportMetadataOperator,
    ImportMetadataOperator,
    PingOperator,
)

CONTEXT: Context = Context()
JOB_A = {"id": 1, "type": "VDP", "name": "a", "projectId": 7, "projectName": "sales"}
CONTENT = b"PK\x03\x04 the rest of a zip file"


@pytest.fixture(autouse=True)
def _connection(hook: DenodoSchedulerHook, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ``web`` is defined, and reading back does not pause."""
    monkeypatch.setattr(operators, "_READ_BACK_PAUSE", 0.01)


def _run(kind: type[DenodoSchedulerOperator], **arguments: Any) -> Any:
    result = kind(task_id="t", denodo_scheduler_conn_id="web", **arguments).execute(CONTEXT)
    assert json.loads(json.dumps(result)) == result
    return result


def _states(**states: str) -> list[dict[str, Any]]:
    return [
        {"jobID": number, "jobName": name, "projectID": 7, "projectName": "sales", "state": state}
        for number, (name, state) in enumerate(states.items(), 1)
    ]


def _changes(webtool: Any) -> list[Any]:
    return [request.json for request in webtool.requests if request.method == "PUT"]


def test_ping_returns_what_answered(webtool: Any) -> None:
    webtool.on(
        "GET",
        "/me",
        {"serverData": {"version": {"full": "9.1.0"}}, "permissions": [{"roleData": {"roleName": "r"}}]},
    )

    assert _run(PingOperator, uri="//other:8000") == {"version": "9.1.0", "mode": None, "roles": ["r"]}
    assert webtool.requests[0].query == {"uri": "//other:8000"}


def test_ping_fails_when_the_server_does_not_answer(webtool: Any, answer: Any) -> None:
    webtool.on("GET", "/me", answer({"message": "Internal error."}, 500))

    with pytest.raises(RequestError, match="Check that the Scheduler server runs"):
        _run(PingOperator)


def test_export_writes_the_file(webtool: Any, answer: Any, tmp_path: Path) -> None:
    names = [{"name": name, "in": "query"} for name in EXPORT_OPTIONS]
    webtool.on(
        "GET", "//v3/api-docs", {"paths": {"/public/api/serverMetadata/export": {"post": {"parameters": names}}}}
    )
    webtool.on("POST", "/serverMetadata/export", answer(CONTENT))
    file = tmp_path / "export.zip"

    result = _run(ExportMetadataOperator, destination=f"file://{file}", options={"permissions": True})

    assert result == {
        "path": f"file://{file}",
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    assert file.read_bytes() == CONTENT
    assert webtool.requests[-1].query["permissions"] == "true"


def test_import_returns_the_servers_warnings(webtool: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    operation = {
        "parameters": [{"name": name, "in": "query"} for name in IMPORT_OPTIONS],
        "requestBody": {"content": {"application/octet-stream": {"schema": {"format": "binary"}}}},
    }
    webtool.on("GET", "//v3/api-docs", {"paths": {"/public/api/serverMetadata/import": {"post": operation}}})
    webtool.on("POST", "/serverMetadata/import", {"warnings": ["driver missing"]})
    file = tmp_path / "export.zip"
    file.write_bytes(CONTENT)

    assert _run(ImportMetadataOperator, source=ObjectStoragePath(f"file://{file}")) == {"warnings": ["driver missing"]}
    assert webtool.requests[-1].body == CONTENT
    assert "The server warns: driver missing" in "".join(capfd.readouterr())


def test_disable_changes_only_what_is_not_yet_right_and_reads_back(webtool: Any) -> None:
    webtool.on(
        "GET",
        "/jobs/status",
        _states(a="NOT_RUNNING", b="DISABLED", c="RUNNING", d="NOT_RUNNING"),
        _states(a="DISABLED", b="DISABLED", c="RUNNING", d="NOT_RUNNING"),
        _states(a="DISABLED", b="DISABLED", c="DISABLED", d="NOT_RUNNING"),
    )
    webtool.on("PUT", "/projects/7/jobs/status", None)

    result = _run(
        DisableJobsOperator,
        jobs=[["sales", "a"], {"project": "SALES", "name": "B"}, JobKey(project="sales", name="c")],
    )

    assert result == {"changed": 2, "already": 1, "requests": 1}
    assert _changes(webtool) == [{"action": "disable", "IDs": "1,3"}]
    assert len(webtool.asked("GET", "/jobs/status")) == 3


def test_enable_changes_exactly_the_named_jobs(webtool: Any) -> None:
    webtool.on("GET", "/jobs/status", _states(a="DISABLED", b="DISABLED"), _states(a="NOT_RUNNING", b="DISABLED"))
    webtool.on("PUT", "/projects/7/jobs/status", None)

    assert _run(EnableJobsOperator, jobs=[("sales", "a")]) == {"changed": 1, "already": 0, "requests": 1}
    assert _changes(webtool) == [{"action": "enable", "IDs": "1"}]


def test_all_jobs_leaves_drafts_alone(webtool: Any) -> None:
    webtool.on("GET", "/jobs/status", _states(a="DISABLED", b="DRAFT"), _states(a="WAITING", b="DRAFT"))
    webtool.on("PUT", "/projects/7/jobs/status", None)

    assert _run(EnableJobsOperator, all_jobs=True) == {"changed": 1, "already": 0, "requests": 1}
    assert _changes(webtool) == [{"action": "enable", "IDs": "1"}]


@pytest.mark.parametrize("kind", [DisableJobsOperator, EnableJobsOperator])
@pytest.mark.parametrize("states", [{}, {"a": "DRAFT"}])
def test_all_of_nothing_is_nothing(webtool: Any, kind: Any, states: dict[str, str]) -> None:
    webtool.on("GET", "/jobs/status", _states(**states))

    assert _run(kind, all_jobs=True)["requests"] == 0
    assert _changes(webtool) == []


@pytest.mark.parametrize(
    ("kind", "state"),
    [(DisableJobsOperator, "DISABLED"), (DisableJobsOperator, "DRAFT"), (EnableJobsOperator, "RUNNING")],
)
def test_jobs_that_are_right_cause_no_request(webtool: Any, kind: Any, state: str) -> None:
    webtool.on("GET", "/jobs/status", _states(a=state))
    webtool.on("GET", "/jobs", [JOB_A | {"disabled": state == "DISABLED"}])

    assert _run(kind, jobs=[["sales", "a"]]) == {"changed": 0, "already": 1, "requests": 0}
    assert {request.method for request in webtool.requests} == {"GET"}


def test_a_job_that_only_looks_disabled_is_disabled_in_earnest(webtool: Any) -> None:
    """As on a paused server."""
    webtool.on("GET", "/jobs/status", _states(a="DISABLED", b="DISABLED"))
    webtool.on("GET", "/jobs", [JOB_A | {"disabled": False}], [JOB_A | {"disabled": True}])
    webtool.on("PUT", "/projects/7/jobs/status", None)

    assert _run(DisableJobsOperator, all_jobs=True) == {"changed": 1, "already": 1, "requests": 1}
    assert _changes(webtool) == [{"action": "disable", "IDs": "1"}]


def test_a_paused_server_that_disables_nothing_is_found_out(webtool: Any) -> None:
    webtool.on("GET", "/jobs/status", _states(a="DISABLED"))
    webtool.on("GET", "/jobs", [JOB_A | {"disabled": False}])
    webtool.on("PUT", "/projects/7/jobs/status", None)

    with pytest.raises(RequestError, match="accepted to disable them"):
        _run(DisableJobsOperator, all_jobs=True, read_back_timeout=0.05)


def test_an_empty_list_is_not_all(webtool: Any) -> None:
    webtool.on("GET", "/jobs/status", _states(a="DISABLED"))

    assert _run(EnableJobsOperator, jobs=[]) == {"changed": 0, "already": 0, "requests": 0}
    assert _changes(webtool) == []


@pytest.mark.parametrize("kind", [DisableJobsOperator, EnableJobsOperator])
@pytest.mark.parametrize("arguments", [{}, {"jobs": [["p", "j"]], "all_jobs": True}, {"jobs": [], "all_jobs": True}])
def test_exactly_one_of_jobs_and_all_jobs(kind: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs either jobs, a list of \[project, name\], or all_jobs=True"):
        kind(task_id="t", **arguments)


@pytest.mark.parametrize("jobs", ["sales/a", [["sales"]], ["sa"], [{"project": "sales"}], [7]])
def test_a_malformed_list_changes_nothing(webtool: Any, jobs: Any) -> None:
    webtool.on("GET", "/jobs/status", _states(a="DISABLED"))

    with pytest.raises(AirflowFailException, match=r"\[argument\] jobs .*\[project, name\]"):
        _run(EnableJobsOperator, jobs=jobs)

    assert _changes(webtool) == []


def test_jobs_that_a_template_rendered_to_nothing_are_not_all(webtool: Any) -> None:
    webtool.on("GET", "/jobs/status", _states(a="DISABLED"))
    operator = EnableJobsOperator(task_id="t", denodo_scheduler_conn_id="web", jobs=[])
    operator.jobs = None

    with pytest.raises(AirflowFailException, match="jobs is not a list but NoneType"):
        operator.execute(CONTEXT)

    assert _changes(webtool) == []


def test_a_draft_or_unknown_job_is_named_before_anything_changes(webtool: Any) -> None:
    webtool.on("GET", "/jobs/status", _states(a="DISABLED", b="DRAFT"))

    with pytest.raises(RequestError, match="A draft cannot be enabled: sales / b"):
        _run(EnableJobsOperator, jobs=[["sales", "a"], ["sales", "b"]])
    with pytest.raises(RequestError, match="does not have sales / gone"):
        _run(EnableJobsOperator, jobs=[["sales", "a"], ["sales", "gone"]])

    assert _changes(webtool) == []


def test_a_server_that_says_yes_and_does_nothing_is_found_out(webtool: Any) -> None:
    webtool.on("GET", "/jobs/status", _states(a="NOT_RUNNING", b="NOT_RUNNING"))
    webtool.on("PUT", "/projects/7/jobs/status", None)

    with pytest.raises(RequestError, match=r"accepted to disable them.*do not show it for sales / a, sales / b"):
        _run(DisableJobsOperator, all_jobs=True, read_back_timeout=0.05)


@pytest.mark.parametrize(
    "operator",
    [
        PingOperator(task_id="t"),
        ExportMetadataOperator(task_id="t", destination="file:///tmp/x.zip"),
        ImportMetadataOperator(task_id="t", source="file:///tmp/x.zip"),
        DisableJobsOperator(task_id="t", jobs=[["a", "b"]]),
        EnableJobsOperator(task_id="t", all_jobs=True),
    ],
    ids=lambda operator: type(operator).__name__,
)
def test_fields_are_templated(operator: Any) -> None:
    assert operator.denodo_scheduler_conn_id == "denodo_scheduler_default"
    assert {"denodo_scheduler_conn_id", "uri"} <= set(operator.template_fields)
    assert all(hasattr(operator, name) for name in operator.template_fields)


def test_templates_are_rendered() -> None:
    operator = DisableJobsOperator(task_id="t", uri="//{{ host }}:8000", jobs=[["{{ project }}", "load"]])

    operator.render_template_fields({"host": "slave", "project": "sales"})  # type: ignore[typeddict-unknown-key]

    assert operator.uri == "//slave:8000"
    assert operator.jobs == [["sales", "load"]]


def test_a_dag_of_these_operators_can_be_serialised() -> None:
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        PingOperator(task_id="ping") >> ExportMetadataOperator(
            task_id="export", destination=ObjectStoragePath("file:///tmp/x.zip")
        )

    restored = DagSerialization.from_dict(DagSerialization.to_dict(dag))

    assert restored.task_ids == ["ping", "export"]
