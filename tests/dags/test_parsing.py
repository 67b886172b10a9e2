"""Every pair becomes a DAG, or an import error says why not. Nothing but files is read on the way."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import airflow.sdk
import pytest
import sqlalchemy
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.bases.hook import BaseHook
from airflow.serialization.serialized_objects import DagSerialization

from denodo_scheduler.bundle import FOLDER
from denodo_scheduler.dags import PAIRS_DAG_FILE

Parse = Callable[..., DagBag]

KINDS = ("failover", "operations", "switchover", "sync")
"""A pair has one DAG of each, in a file of its own."""


def dag_ids(*pairs: str) -> list[str]:
    return sorted(f"denodo_scheduler_{kind}__{pair}" for kind in KINDS for pair in pairs)


def import_error(bag: DagBag, *good: str) -> str:
    """What is wrong. The file that says it has no DAGs: Airflow deactivates those of a file with an import error."""
    assert sorted(bag.dag_ids) == dag_ids(*good)
    ((file, error),) = bag.import_errors.items()
    assert Path(file).name == PAIRS_DAG_FILE
    return error[error.index("denodo_ha.pairs_file.PairsError") :]


def test_shipped_file(parse: Parse) -> None:
    bag = parse()
    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    assert sorted(bag.dag_ids) == dag_ids("default")


def test_own_file(parse: Parse) -> None:
    bag = parse("pairs:\n  emea: {}\n  apac.2: {master: m, slave: s, sync: {schedule: null}}\n")
    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == dag_ids("apac.2", "emea")


def test_the_example_with_three_pairs(parse: Parse, project: Path) -> None:
    bag = parse((project / "docs/examples/pairs-three.yaml").read_text())
    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == dag_ids("madrid", "singapore", "test")
    assert "production" in bag.dags["denodo_scheduler_failover__madrid"].tags


def test_options_without_groups_are_still_read(parse: Parse, caplog: pytest.LogCaptureFixture) -> None:
    """The log of the DAG processor says where each is now."""
    bag = parse("pairs:\n  emea:\n    watch_for: 20m\n    failover: manual\n")
    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == dag_ids("emea")
    assert ":3: pairs.emea.watch_for is now watch.duration" in caplog.text
    assert ":4: pairs.emea.failover is now failover.policy" in caplog.text


def test_empty_variable_means_the_shipped_file(parse: Parse, monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.setenv("DENODO_HA_PAIRS", "")
    assert sorted(DagBag(project / "dags").dag_ids) == dag_ids("default")


MISTAKES = {
    "not YAML": ("pairs:\n  default: {\n", 3, "is not valid YAML"),
    "not text": ("pairs:\n  default:\n    tags: [a, \x01]\n", 3, "not valid YAML"),
    "empty": ("# nothing\n", 1, "needs `pairs:`"),
    "a list": ("- default\n", 1, "must be a mapping"),
    "no pair": ("defaults: {}\npairs: {}\n", 2, "names no pair"),
    "pairs is a list": ("pairs:\n  - default\n", 1, "must be a mapping"),
    "misspelt section": ("pair:\n  default: {}\n", 1, 'did you mean "pairs"?'),
    "misspelt option": ("pairs:\n  default:\n    sync: {shedule: null}\n", 3, 'did you mean "schedule"?'),
    "misspelt option among defaults": ("defaults:\n  orphan: delete\npairs:\n  default: {}\n", 2, '"sync.orphans"?'),
    "pair twice": ("pairs:\n  default: {}\n  default: {}\n", 3, "stands twice"),
    "option twice": (
        "pairs:\n  default:\n    sync:\n      lease: 1h\n      lease: 2h\n",
        5,
        "stands twice; first in line 4",
    ),
    "pairs that differ by case": ("pairs:\n  emea: {}\n  EMEA: {}\n", 3, "only by case"),
    "name no DAG can have": ("pairs:\n  north america: {}\n", 2, "letters, digits"),
    "cron of six fields": ('pairs:\n  default:\n    sync: {schedule: "0 0 * * * ?"}\n', 3, "five fields"),
    "cron out of range": ('pairs:\n  default:\n    sync: {schedule: "61 * * * *"}\n', 3, "must be a cron expression"),
    "unknown preset": ('pairs:\n  default:\n    sync: {schedule: "@fortnightly"}\n', 3, "must be a cron expression"),
    "duration": ("pairs:\n  default:\n    sync: {quiet_window: soon}\n", 3, "must be a duration such as 5m"),
    "duration of zero": ("pairs:\n  default:\n    sync: {quiet_window: 0s}\n", 3, "longer than 0"),
    "time zone": ("pairs:\n  default:\n    timezone: Europe/Madird\n", 3, '"Europe/Madrid"?'),
    "policy": ("pairs:\n  default:\n    sync: {orphans: keep}\n", 3, "'report' or 'delete'"),
    "one server": ("pairs:\n  default:\n    master: a\n    slave: a\n", 4, "must differ from master"),
    "password in a URL": (
        "pairs:\n  default:\n    snapshots: {location: s3://me:hush@bucket/x}\n",
        3,
        "must not hold a password",
    ),
    "folder of wherever": (
        "pairs:\n  default:\n    snapshots: {location: snapshots}\n",
        3,
        "must be an absolute path, or a URL",
    ),
    "two roles": ("pairs:\n  one: {master: a, slave: b}\n  two: {master: b, slave: c}\n", 3, "one role"),
    "one server in two pairs": ("pairs:\n  one: {}\n  two: {}\n", 3, "jobs in common"),
    "lease too short": ("pairs:\n  default:\n    sync: {lease: 5m}\n", 3, "must be longer than import_timeout"),
    "no pattern": ("pairs:\n  default:\n    projects: []\n", 3, "must not be empty"),
    "watch too short": ("pairs:\n  default:\n    watch: {duration: 19s}\n", 3, "is too short: 4 probes"),
    "cool-down below the watch": (
        "pairs:\n  default:\n    failover: {cool_down: 10m}\n",
        3,
        "not be shorter than watch.duration",
    ),
    "notifier": ("pairs:\n  default:\n    alerts: {notify: [{notifier: mail}]}\n", 3, "path of a class"),
    "limit": ("pairs:\n  default:\n    sync:\n      mass_change:\n        percent: 101\n", 5, "at most 100"),
}


@pytest.mark.parametrize("id_", MISTAKES)
def test_mistake_is_an_import_error(parse: Parse, pairs_file: Path, id_: str) -> None:
    text, line, message = MISTAKES[id_]
    good = {"pairs that differ by case": ["emea"], "two roles": ["one"], "one server in two pairs": ["one"]}
    error = import_error(parse(text), *good.get(id_, ()))
    assert f"{pairs_file}:{line}: " in error
    assert message in error


SLIPS = {
    "option": ("  fresh: {shedule: null}\n", 'did you mean "sync.schedule"?'),
    "group": ("  fresh: {sync: 5}\n", "must be a mapping"),
    "not a mapping": ("  fresh: [a]\n", "must be a mapping"),
    "value": ("  fresh: {sync: {lease: never}}\n", "must be a duration"),
    "name": ("  'fresh one': {}\n", "letters, digits"),
    "tag": ("  fresh: {tags: [!!binary aGVsbG8=]}\n", "cannot be read as binary"),
    "tag that is too long": (f"  fresh: {{tags: [{'x' * 101}]}}\n", "more than 100 characters"),
    "queue that is too long": (f"  fresh: {{queue: {'x' * 251}}}\n", "more than 250 characters"),
    "another case of the name": ("  Default: {}\n", "only by case"),
    "twice, both wrong": ("  fresh: {}\n  fresh: {}\n", "stands twice"),
    "the other one's master as slave": ("  fresh: {master: x, slave: denodo_scheduler_master}\n", "one role"),
    "the other one's slave as master": ("  fresh: {master: denodo_scheduler_slave, slave: x}\n", "one role"),
    "more mistakes than are told": (f"  fresh: {{{', '.join(f'k{i}: 1' for i in range(150))}}}\n", "maybe more"),
    "many pairs": ("".join(f"  p{i}: {{x: 1}}\n" for i in range(150)), "maybe more"),
}


@pytest.mark.parametrize(("slip", "message"), SLIPS.values(), ids=SLIPS)
def test_a_slip_in_one_pair_leaves_the_others_alone(
    parse: Parse, monkeypatch: pytest.MonkeyPatch, slip: str, message: str
) -> None:
    pair = "  default: {}\n"
    text = f"pairs:\n{pair}{slip}"
    assert message in import_error(parse(text), "default")
    if message not in ("only by case", "one role"):  # of these, whichever comes later is wrong
        assert message in import_error(parse(f"pairs:\n{slip}{pair}"), "default")
    in_a_task(monkeypatch, "denodo_scheduler_failover__default")
    assert sorted(parse(text).dag_ids) == dag_ids("default")


def test_a_notifier_that_is_wrong_is_told_and_costs_nobody_its_failover(parse: Parse) -> None:
    text = "pairs:\n  good: {master: a, slave: b}\n  bad: {alerts: {notify: [{notifier: no.such.Class}]}}\n"
    assert 'pairs.bad: pair "bad": the notifier no.such.Class cannot be imported' in import_error(
        parse(text), "good", "bad"
    )


def test_a_dag_that_cannot_be_built_costs_no_other_pair_anything(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Airflow refuses: here a pair whose owner it does not like."""

    def refused(dag: Any, **arguments: Any) -> None:
        if arguments["default_args"]["owner"] == "odd":
            raise ValueError("no such owner")
        original(dag, **arguments)

    original = airflow.sdk.DAG.__init__
    monkeypatch.setattr(airflow.sdk.DAG, "__init__", refused)
    error = import_error(parse("pairs:\n  good: {master: a, slave: b}\n  bad: {owner: odd}\n"), "good")
    assert "pairs.bad: no such owner" in error


def test_one_bad_pair_of_two_is_not_silently_missing(parse: Parse, pairs_file: Path) -> None:
    error = import_error(parse("pairs:\n  good: {}\n  bad: {sync: {lease: never}}\n  worse: 7\n"), "good")
    assert f"{pairs_file}:3: pairs.bad.sync.lease: " in error
    assert f"{pairs_file}:4: pairs.worse: " in error


def test_missing_file(parse: Parse, pairs_file: Path, monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.setenv("DENODO_HA_PAIRS", str(pairs_file))
    error = import_error(DagBag(project / "dags"))
    assert f"{pairs_file}: the file of pairs cannot be read (No such file or directory)" in error
    assert "DENODO_HA_PAIRS" in error


def test_corrected_file_is_read_anew(parse: Parse) -> None:
    import_error(parse("pairs:\n  default: {sync: {lease: never}}\n"))
    assert sorted(parse("pairs:\n  default: {sync: {lease: 1h}}\n").dag_ids) == dag_ids("default")


def test_hundred_pairs(parse: Parse) -> None:
    names = [f"site-{number}" for number in range(100)]
    bag = parse("pairs:\n" + "".join(f"  {name}: {{master: m-{name}, slave: s-{name}}}\n" for name in names))
    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == dag_ids(*names)
    assert len({task.pool for dag in bag.dags.values() for task in dag.tasks if task.task_id == "verify"}) == 100


def in_a_task(monkeypatch: pytest.MonkeyPatch, dag_id: str) -> None:
    """What Airflow says to a DAG file that it reads for a task."""
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "a task")


@pytest.mark.parametrize("pair", ["b", "EU-west_1.b__c"])
def test_for_a_task_only_its_own_pair_is_built(parse: Parse, monkeypatch: pytest.MonkeyPatch, pair: str) -> None:
    in_a_task(monkeypatch, f"denodo_scheduler_sync__{pair}")
    assert sorted(parse("pairs:\n  a: {}\n  b: {}\n  EU-west_1.b__c: {}\n").dag_ids) == dag_ids(pair)


@pytest.mark.parametrize("dag_id", ["sales", "denodo_scheduler_sync__gone"])
def test_for_a_task_of_another_dag_none_is_built(parse: Parse, monkeypatch: pytest.MonkeyPatch, dag_id: str) -> None:
    in_a_task(monkeypatch, dag_id)
    bag = parse("pairs:\n  a: {}\n")
    assert (bag.dags, bag.import_errors) == ({}, {})


def test_nothing_of_a_notifier_gets_into_airflows_database(parse: Parse) -> None:
    """Tasks find the pair through their DAG, which Airflow stores."""
    notifier = "{notifier: support.file_notifier.FileNotifier, arguments: {path: /dev/null, token: t0ken-of-mine}}"
    bag = parse(f"pairs:\n  default: {{notify: [{notifier}], failover: approval}}\n")
    assert bag.import_errors == {}
    for dag in bag.dags.values():
        assert "t0ken-of-mine" in str(dag.user_defined_macros)
        assert "t0ken-of-mine" not in json.dumps(DagSerialization.to_dict(dag))


def test_only_files_are_read(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no metadata database, no Variable, no Connection: each of them would be an import error."""

    def forbidden(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a DAG file must not do this while it is parsed")

    for owner, name in (
        (socket.socket, "connect"),
        (socket.socket, "connect_ex"),
        (socket, "getaddrinfo"),
        (airflow.sdk.Variable, "get"),
        (airflow.sdk.Connection, "get"),
        (BaseHook, "get_connection"),
        (sqlalchemy.engine.Engine, "connect"),
    ):
        monkeypatch.setattr(owner, name, forbidden)
    bag = parse("pairs:\n  default: {projects: ['sales*'], snapshots: {location: 's3://aws_default@bucket/denodo'}}\n")
    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == dag_ids("default")


BUNDLES = json.dumps([{"name": "ours", "classpath": "denodo_scheduler.bundle.DenodoSchedulerDagBundle", "kwargs": {}}])


@pytest.mark.parametrize("how", [shutil.copytree, lambda source, to: to.symlink_to(source)], ids=["copy", "link"])
def test_a_folder_with_the_dag_files_beside_the_bundle_is_told(
    how: Callable[[Path, Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pairs.yaml").write_text("pairs: {a: {}}")
    monkeypatch.setenv("DENODO_HA_PAIRS", str(tmp_path / "pairs.yaml"))
    how(FOLDER, tmp_path / "denodo")
    assert DagBag(tmp_path / "denodo").import_errors == {}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", BUNDLES)
    assert DagBag(FOLDER).import_errors == {}
    said = import_error(DagBag(tmp_path / "denodo"), "a")
    assert f"{tmp_path / 'denodo'}: these DAG files are in the DAG bundle of the package too" in said
    assert "Remove this folder, or take" in said
