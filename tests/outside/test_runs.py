"""What the runs of the DAGs leave behind: XComs, events, alerts, reason codes, and what is stored."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Context, ObjectStoragePath
from pydantic import BaseModel

from denodo_demo.standin import StandinPair
from denodo_ha.explained import KINDS, SECTIONS
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.operators.scheduler import (
    DisableJobsOperator,
    EnableJobsOperator,
    ExportMetadataOperator,
    ImportMetadataOperator,
    PingOperator,
)
from denodo_scheduler.sensors.quiet_window import QuietWindowSensor
from outside.story import Story
from support.dag_runs import Run
from support.outside import DECISIONS, check_pinned, fields, merged, shape
from support.pair_fixtures import empty, no_long_pauses

NOT_PLAYED = {
    "disabled_meanwhile",
    "disabled_on_active",
    "draft",
    "due",
    "enabled_there",
    "gave_way",
    "may_fire",
    "not_disabled",
    "not_ended",
    "not_there",
    "request_failed",
    "slave_enabled",
    "unreachable",
    "would_release",
    "argument",
    "no_such_doubt",
    "circle",
    "configuration",
    "connection",
    "committed",
    "deferred",
    "import_late",
    "lacks_reference",
    "lease_over",
    "lease_short",
    "looks_paused",
    "master_active",
    "master_may_be_active",
    "metadata_changing",
    "no_moment",
    "no_token",
    "not_delivered",
    "nothing_sent",
    "not_restored",
    "old_answers",
    "record_busy",
    "restless",
    "shared_server",
    "shared_storage",
    "slave_active",
    "still_enabled",
    "sync_failed",
    "token_refused",
    "storage",
    "unreadable",
    "unsteady",
    "version",
    "waits_for_moment",
    "waits_for_pending",
    "wrong_pair",
}
"""Reason codes that the story does not lead to; other tests do."""
OF_AIRFLOW = ("skipmixin_key", "_link_")


@pytest.fixture(scope="module")
def story(servers: StandinPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with pytest.MonkeyPatch.context() as patch:
        no_long_pauses(patch)
        empty(servers)
        story = Story(servers, tmp_path_factory.mktemp("story"), patch)
        story.play()
        yield story


@pytest.fixture(scope="module")
def runs(story: Story) -> list[Run]:
    return [run for pair in story.pairs.values() for run in pair.runs]


class Shapes(dict[str, Any]):
    """Shapes of all values that were seen under a name."""

    def add(self, name: str, found: Any) -> None:
        self[name] = merged(self[name], found) if name in self else found


def test_xcoms(runs: list[Run]) -> None:
    """By task and key. The results of a trigger are JSON in a text; events have their fields among the events."""
    found: dict[str, Shapes] = defaultdict(Shapes)
    for run in runs:
        for task, values in run.xcoms.items():
            for key, value in values.items():
                in_text = isinstance(value, str) and value.startswith("{")
                if not key.startswith(OF_AIRFLOW):
                    found[f"{run.kind}.{task}"].add(
                        key, {"JSON of": shape(json.loads(value))} if in_text else shape(value)
                    )
        for task, triggered in run.triggered.items():
            run_id = re.sub("(?<=manual__).*|[0-9]+", "…", triggered["run_id"])
            found[f"{run.kind}.{task}"].add("triggers", {**triggered, "run_id": run_id})
    check_pinned("xcoms", found)


def test_events(story: Story) -> None:
    """By their kind, and by the DAG in whose runs they were emitted."""
    found: dict[str, Shapes] = defaultdict(Shapes)
    for pair in story.pairs.values():
        for event in pair.history:
            assert event.asset.startswith("denodo-scheduler://"), "people see no other event among the pair's history"
            found[event.extra["kind"]].add(event.kind, fields(event.extra))
    check_pinned("events", found)
    kinds = {each.kind for each in KINDS}
    assert kinds - found.keys() == {"monitor_stopped"}, "the story lacks a kind; this one is only in an alert"


def test_alerts(story: Story) -> None:
    """Which kinds of events, and which reason codes of problems, people are told of, and what a notifier gets."""
    found: dict[str, set[str]] = defaultdict(set)
    told = Shapes()
    for each in story.alerts:
        event = each["event"]
        found[each["alert"]].add(event["kind"])
        told.add("alert", shape({**each, "event": {}}))
        if event["kind"] == "monitor_stopped":
            told.add("event monitor_stopped", fields(event))
    check_pinned("alerts", {"kinds": {alert: sorted(kinds) for alert, kinds in found.items()}, "told": told})


def test_ends(story: Story, runs: list[Run]) -> None:
    """Each reason code with which a task ended, and how; what the guard and the failover DAG found."""
    ends: dict[str, Shapes] = defaultdict(Shapes)
    verdicts: dict[str, str] = {}
    decided: dict[str, Any] = {}
    pending: set[str] = set()
    for run in runs:
        for task, end in run.ends.items():
            if end.code:
                ends[f"{run.kind}.{task}"].add(end.code, end.state)
        for values in run.xcoms.values():
            if verdict := values.get("verdict"):
                verdicts[verdict["code"]] = "goes on" if verdict["go"] else "skips the rest"
            if isinstance(result := values.get("return_value"), dict):
                pending |= {each["reason"]["code"] for each in result.get("pending", ()) if isinstance(each, dict)}
            if judged := values.get("judgement"):
                decided[judged["code"]] = {name: judged[name] for name in ("action", "alert", "settled")}
    check_pinned("ends", {"tasks": ends, "verdict of guard": verdicts, "judgement of decide": decided})
    told = {each["event"].get("code") for each in story.alerts}
    drills = [each.extra for each in story.pair.history if each.extra.get("kind") == "drill"]
    drilled = {job["code"] for event in drills for job in event["jobs"]}
    seen = {code for codes in ends.values() for code in codes}.union(
        verdicts, decided, pending, DECISIONS, told, drilled
    )
    codes = {each.code for section in SECTIONS for each in section.codes}
    assert codes - seen == NOT_PLAYED


def test_what_is_stored(story: Story) -> None:
    """A later version reads what this one has left in the asset's state store and beside the snapshots."""
    state = {key: json.loads(value) for key, value in story.pair.state.values.items()}
    folder = story.snapshots("pair")
    files = Shapes()
    for file in folder.rglob("*"):
        if file.is_file():
            name = re.sub(r"20\d{6}T\d+Z-\w+", "<id>", str(file.relative_to(folder)))
            name = re.sub(r"rescue-\d+", "rescue-<epoch>", name)
            name = re.sub(r"record/\d+", "record/<version>", name)
            files.add(name, shape(json.loads(file.read_bytes())) if file.suffix == ".json" else "a file")
    check_pinned("stored", {"state": {"watch": shape(state["watch"])}, "keys": sorted(state), "files": files})


# -- building blocks


def test_building_blocks(story: Story, tmp_path: Path) -> None:
    """The results of the operators and the sensor, and the values that the hook returns."""
    master, slave = "denodo_scheduler_master", "denodo_scheduler_slave"
    file = f"file://{tmp_path}/export.zip"
    on_slave = {"task_id": "t", "denodo_scheduler_conn_id": slave}
    results = {
        type(operator).__name__: shape(operator.execute(Context()))
        for operator in (
            PingOperator(**on_slave),
            ExportMetadataOperator(task_id="t", denodo_scheduler_conn_id=master, destination=file),
            ImportMetadataOperator(**on_slave, source=file),
            DisableJobsOperator(**on_slave, all_jobs=True),
            EnableJobsOperator(**on_slave, jobs=[]),
        )
    }
    look = {"task_id": "t", "denodo_scheduler_conn_id": master}
    found = {"results": results, "hook": hook_values(master, tmp_path)}
    results["QuietWindowSensor"] = shape(QuietWindowSensor(**look).execute(Context()))
    check_pinned("building_blocks", found)


def hook_values(conn_id: str, folder: Path) -> dict[str, Any]:
    hook = DenodoSchedulerHook(conn_id)
    key = next(status.key for status in hook.statuses().jobs if status.previous_execution)
    found = {
        "me": hook.me(),
        "ping": hook.ping(),
        "projects": hook.projects(),
        "jobs": hook.jobs(),
        "statuses": hook.statuses(),
        "set_jobs_status": hook.set_jobs_status("disable", [key]),
        "reports": hook.reports(key),
        "validate_cron": hook.validate_cron(["0 0 3 * * ?"]),
        "export_metadata": hook.export_metadata(ObjectStoragePath(f"file://{folder}/another.zip")),
        "test_connection": hook.test_connection(),
    }
    return {name: shape(plain(value)) for name, value in found.items()}


RAW = ("definition", "raw")
"""Fields with what the server said, whatever that is."""


def plain(value: Any) -> Any:
    """As JSON: a value of the hook with its public fields."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields if name not in RAW}
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclass_fields(value)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
