"""What others name in their DAGs, files and forms: names, types and defaults are those that are pinned."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from importlib.metadata import distribution
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, BaseOperator
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import BaseTrigger
from airflow.utils.types import DagRunType

from denodo_ha.explained import SECTIONS
from denodo_scheduler import exceptions
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.provider_info import get_provider_info
from support.outside import DECISIONS, FOLDER, PROJECT, PairOptions, Record, arguments, check_pinned

PAIRS = """\
pairs:
  default: {}
  every-branch:
    master: another_master
    slave: another_slave
    schedule: null
    failover: approval
    on_master_return: fail_back
    tags: [sales]
    notify: [{notifier: support.file_notifier.FileNotifier, arguments: {path: /dev/null, token: t0ken}}]
"""


# -- DAGs


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DAG]:
    """Those of a pair with the default options, and of one with every optional branch."""
    file = tmp_path_factory.mktemp("pairs") / "pairs.yaml"
    file.write_text(PAIRS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENODO_HA_PAIRS", str(file))
        bag = DagBag(PROJECT / "dags")
    assert bag.import_errors == {}
    return bag.dags


def test_dags(dags: dict[str, DAG]) -> None:
    check_pinned("dags", {dag_id: dag_of(dag) for dag_id, dag in dags.items()})


def dag_of(dag: DAG) -> dict[str, Any]:
    timetable = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
    every = getattr(timetable, "_delta", None)
    return {
        "schedule": str(every) if every else timetable.summary,
        "asked by": words(asset.uri for _, asset in timetable.asset_condition.iter_assets()),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "not as": words(sorted({*DagRunType} - {*(dag.allowed_run_types or DagRunType)})),
        "deadline": str(dag.deadline[0].interval) if dag.deadline else None,
        "tags": words(sorted(dag.tags)),
        "tasks": {task.task_id: task_of(task) for task in dag.tasks},
        "form": {name: field_of(dag.params.get_param(name)) for name in dag.params},
    }


def words(of: Iterable[str]) -> str:
    return ", ".join(of)


def task_of(task: Any) -> dict[str, Any]:
    rules = task.retry_policy.rules if task.retry_policy else []
    return {
        "after": words(sorted(task.upstream_task_ids)),
        "pool": task.pool,
        "trigger_rule": task.trigger_rule.value,
        "retries": f"{task.retries}, after {task.retry_delay.total_seconds():g} s",
        "retry policy": words(f"{rule.action.value} on {rule.exception.__name__}" for rule in rules),
        "priority_weight": task.priority_weight,
        "assets": words(asset.name for asset in (*task.inlets, *task.outlets)),
    }


def field_of(param: Any) -> dict[str, Any]:
    """A field of the form: all but the text that explains it. One without a default has to be filled in."""
    schema = {key: value for key, value in param.schema.items() if key != "description"}
    must_be_said = not param.has_value and "null" not in schema["type"]
    return schema if must_be_said else {**schema, "default": param.value}


# -- the file of pairs


def test_options_of_a_pair() -> None:
    schema = PairOptions.model_json_schema()
    check_pinned("options", {name: option(part, schema) for name, part in schema["properties"].items()})


def option(part: Any, schema: dict[str, Any]) -> Any:
    """A part of a JSON schema without titles and texts, and with what it refers to in its place."""
    if isinstance(part, list):
        return [option(each, schema) for each in part]
    if not isinstance(part, dict):
        return part
    found = {**schema["$defs"][part["$ref"].rpartition("/")[2]], **part} if "$ref" in part else part
    dropped = ("title", "description", "examples", "$comment", "$ref")
    return {
        key: {name: option(each, schema) for name, each in value.items()}
        if key == "properties"
        else option(value, schema)
        for key, value in found.items()
        if key not in dropped
    }


# -- connection, classes and their arguments


def test_connection_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WEB", json.dumps({"conn_type": "denodo_scheduler", "host": "web"}))
    info = {key: value for key, value in get_provider_info().items() if key != "description"}
    (connection,) = info.pop("connection-types")
    fields = connection.pop("conn-fields")
    package = distribution("airflow-denodo-scheduler-ha")
    check_pinned(
        "connection",
        {
            "type": connection,
            "fields": {name: {"label": field["label"], **field["schema"]} for name, field in fields.items()},
            "extras and their defaults": DenodoSchedulerHook("web").settings.model_dump(mode="json"),
            "provider": info,
            "entry points": {f"{each.group} {each.name}": each.value for each in package.entry_points},
        },
    )


MODULES = [
    "denodo_scheduler.exceptions",
    *(
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in get_provider_info()[kind]
        for module in entry["python-modules"]
    ),
]


def test_classes() -> None:
    check_pinned("classes", {module: dict(classes_of(module)) for module in MODULES})


def classes_of(name: str) -> Iterator[tuple[str, Any]]:
    """The classes that a module defines or hands on, and those that are pinned and can still be had from it."""
    module = importlib.import_module(name)
    file = FOLDER / "classes.json"
    pinned = json.loads(file.read_text()).get(name, {}) if file.exists() else {}
    offered = {key for key, value in vars(module).items() if getattr(value, "__module__", "") == name}
    offered |= {*getattr(module, "__all__", ()), *(key for key in pinned if hasattr(module, key))}
    for key in sorted(offered):
        found = getattr(module, key)
        if isinstance(found, type) and not key.startswith("_"):
            yield key, class_of(found)


def class_of(found: type) -> dict[str, Any]:
    said: dict[str, Any] = {"arguments": arguments(found)}
    if issubclass(found, Exception):
        said["is a"] = [base.__name__ for base in found.__mro__[1:] if base.__module__ == exceptions.__name__]
    if issubclass(found, BaseOperator):
        said["template_fields"] = sorted(found.template_fields)
        said["arguments"] = arguments_of_operator(found)
    if issubclass(found, BaseTrigger):
        path, stored = found(**dict(neutral(said["arguments"]))).serialize()
        said["serialize"] = {"class": path, "arguments": sorted(stored)}
    if issubclass(found, DenodoSchedulerHook):
        said |= dict(members(found))
    return said


def arguments_of_operator(operator: type[BaseOperator]) -> dict[str, str]:
    """Those of the class and of its bases in this project; the others are Airflow's."""
    ours = [base for base in operator.__mro__ if base.__module__.startswith("denodo_")]
    return {name: how for base in reversed(ours) for name, how in arguments(base).items()}


def neutral(wanted: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """A value for each argument that a trigger requires; it only keeps them."""
    for name, how in wanted.items():
        if how.endswith("required"):
            yield name, [] if name.startswith("include_") else timedelta(1)


def members(hook: type) -> Iterator[tuple[str, Any]]:
    """Public methods and values of the hook and of its bases in this project."""
    ours = [base for base in hook.__mro__ if base.__module__.startswith("denodo_")]
    named = {key: getattr(base, key) for base in reversed(ours) for key in vars(base) if not key.startswith("_")}
    yield "methods", {key: arguments(value) for key, value in named.items() if callable(value)}
    yield (
        "values",
        {
            key: value if isinstance(value, str) else "an attribute"
            for key, value in named.items()
            if not callable(value)
        },
    )


# -- reason codes


def test_reason_codes() -> None:
    """``tests/unit/test_explained.py`` makes sure that those of the code are explained, and no other."""
    decisions = {
        code: {
            "action": str(decision.action),
            "alert": str(decision.alert) if decision.alert else None,
            "settled": decision.settled,
        }
        for code, decision in DECISIONS.items()
    }
    explained = {section.title: sorted(each.code for each in section.codes) for section in SECTIONS}
    check_pinned("codes", {"decisions": decisions, "explained": explained})


# -- the HA record

AT, LATER = "2026-03-01T12:00:00Z", "2026-03-01T12:15:00Z"
SNAPSHOT = {
    "id": "20260301T110000Z-ab",
    "taken": AT,
    "committed": AT,
    "imported": AT,
    "content_hash": "c",
    "manifest_hash": "m",
    "jobs": 12,
    "enabled": 9,
}
SCHEMA_1 = {
    "schema_number": 1,
    "phase": "normal",
    "active": "master",
    "epoch": 3,
    "slave": "//slave-host:8000",
    "paused": {"since": AT, "reason": "upgrade"},
    "operation": {
        "kind": "sync",
        "id": "manual__2026",
        "target": "//slave-host:8000",
        "step": "importing",
        "started": AT,
        "lease_until": LATER,
    },
    "dirty": {"since": AT, "reason": "an import was begun and is not verified yet"},
    "snapshot": SNAPSHOT,
}
SCHEMA_2 = {
    "schema_number": 2,
    "phase": "halted",
    "active": "slave",
    "epoch": 7,
    "master": "http://web-1:9090 //a:8000",
    "slave": "http://web-2:9090 //b:8000",
    "paused": {"since": AT, "reason": "upgrade", "by": "ana", "until": LATER},
    "halted": {"since": AT, "code": "by_hand", "reason": "a move", "by": "ana", "phase": "failed_over"},
    "operation": {
        "kind": "switchover",
        "id": "manual__2026/0a1b2c3d",
        "target": "http://web-1:9090 //a:8000",
        "step": "disabling",
        "started": AT,
        "lease_until": LATER,
        "plan": "20260301T115900Z-cd",
    },
    "dirty": {"since": AT, "reason": "an import was begun and is not verified yet"},
    "snapshot": SNAPSHOT,
    "cool_down_until": LATER,
    "acknowledged": False,
    "approval": {"requested_by": "scheduled__2026", "until": LATER, "granted_by": "bob"},
    "last_promotion": {
        "id": "scheduled__2026/4e5f",
        "kind": "failover",
        "at": AT,
        "plan": "20260301T110000Z-ab",
        "complete": False,
        "left": "20260301T120000Z-ef",
    },
    "outbox": [{"id": "1", "kind": "failover", "epoch": 7}],
}


SCHEMA_3 = {
    **SCHEMA_2,
    "schema_number": 3,
    "last_promotion": {**SCHEMA_2["last_promotion"], "since": AT},
    "snapshot": {**SNAPSHOT, "source": "slave"},
    "pending": [
        {
            "key": {"project": "Sales", "name": "poll"},
            "code": "restless",
            "why": "it fires every second",
            "on_target": True,
            "next_step": "let it rest",
        }
    ],
    "capabilities": {
        "slave": {
            "version": "9.1.0",
            "import_replaces": False,
            "faithful": ["VDP"],
            "unfaithful": ["VDPCache"],
            "longest_import": 1.5,
        }
    },
}


DRILL = {
    "id": "manual__1/ab",
    "by": "ana",
    "at": "2026-03-01T12:00:00Z",
    "ended": "2026-03-01T12:01:00Z",
    "job": None,
    "left": [],
    "done": [
        {
            "key": {"project": "health", "name": "ping"},
            "code": "ran",
            "what": "it ended as COMPLETE",
            "next_step": "",
            "result": "COMPLETE",
            "enabled": "2026-03-01T12:00:01Z",
            "started": "2026-03-01T12:00:02Z",
            "ended": "2026-03-01T12:00:03Z",
            "disabled": "2026-03-01T12:00:04Z",
        }
    ],
    "code": "",
    "what": "",
    "next_step": "",
}
TRIED = {
    "offsets": [3600, 7200],
    "past_start_fires": False,
    "tried": [{"question": "bulk", "verdict": "confirmed", "seen": "two were changed", "at": AT}],
}
SCRATCH = {
    "id": "manual__2026/0a1b2c3d",
    "role": "slave",
    "target": "http://web-2:9090 //b:8000",
    "projects": ["denodo_ha_doctor_0a1b2c_01234567_a", "denodo_ha_doctor_0a1b2c_01234567_b"],
    "since": AT,
    "lease_until": LATER,
    "importing": True,
}


def test_record() -> None:
    """As it is stored, it is read and written again; what an older version has stored becomes the newest shape."""
    schema = Record.model_json_schema()
    check_pinned(
        "record",
        {
            "schema 3, read and written": Record.from_json(SCHEMA_3).to_json(),
            "schema 2, read and written": Record.from_json(SCHEMA_2).to_json(),
            "schema 1, read and written": Record.from_json(SCHEMA_1).to_json(),
            "a new one": Record().to_json(),
            "words": {name: part["enum"] for name, part in schema["$defs"].items() if "enum" in part},
        },
    )
    doubt = {"since": "2026-03-01T12:00:00Z", "role": "master", "text": "no key", "accepted_by": None}
    newest = {**SCHEMA_3, "schema_number": 5, "version": 7, "exclusive": False, "doubts": [doubt], "sync_problem": None}
    newest["drill"] = DRILL
    newest["operation"] = {**SCHEMA_3["operation"], "alike": True}
    newest["last_promotion"] = {**SCHEMA_3["last_promotion"], "heard": "2026-03-01T11:59:00Z"}
    newest["capabilities"] = {"slave": {**SCHEMA_3["capabilities"]["slave"], **TRIED}}
    newest["scratch"] = SCRATCH
    assert Record.from_json(newest).to_json() == newest
    doubt["role"] = "slave"
    without = {name: value for name, value in doubt.items() if name != "role"}
    assert Record.from_json({**newest, "doubts": [without]}).to_json() == newest
