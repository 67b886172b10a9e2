"""People are told of pairs that are wrong in the file of pairs, by the listener that the DAG processor calls."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from airflow.listeners.listener import get_listener_manager

from denodo_scheduler.plugin import Listener

FILE = "/dags/denodo_scheduler_pairs.py"
NOTIFY = "alerts: {{notify: [{{notifier: support.file_notifier.FileNotifier, arguments: {{path: {path}, token: t}}}}]}}"


class AtOnce(Thread):
    """A thread whose start waits for its end."""

    def start(self) -> None:
        super().start()
        self.join()


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write the pairs, call the listener as Airflow does, and return the alerts for one reader."""
    monkeypatch.setenv("DENODO_HA_PAIRS", str(tmp_path / "pairs.yaml"))
    monkeypatch.setattr("denodo_scheduler.plugin.Thread", AtOnce)
    listener = Listener()

    def tell(pairs: str, expected: dict[str, int], hook: str = "on_new_dag_import_error", error: str = "1") -> str:
        mine, yours = (NOTIFY.format(path=tmp_path / name) for name in ("mine", "yours"))
        (tmp_path / "pairs.yaml").write_text(pairs.format(mine=mine, yours=yours))
        getattr(listener, hook)(filename=FILE, stacktrace=error)
        lines = {name: tmp_path / name for name in expected}

        def alerts(name: str) -> list[Any]:
            return [json.loads(line) for line in lines[name].read_text().splitlines()] if lines[name].exists() else []

        assert {name: len(alerts(name)) for name in expected} == expected
        return "\n".join(str(alert) for name in expected for alert in alerts(name))

    return tell


def test_airflow_knows_these_hooks() -> None:
    """A misspelt one would never be called."""
    manager = get_listener_manager()
    manager.add_listener(listener := Listener())
    try:
        names = ("on_new_dag_import_error", "on_existing_dag_import_error")
        assert all(
            any(each.plugin is listener for each in getattr(manager.hook, name).get_hookimpls()) for name in names
        )
    finally:
        manager.pm.unregister(listener)


def test_a_wrong_pair_is_told_through_its_own_notifiers(told: Any) -> None:
    said = told("pairs:\n  a: {{master: x, slave: y, {yours}}}\n  b: {{shedule: null, {mine}}}\n", {"mine": 1})
    assert "wrong_pair" in said
    assert "pairs.yaml:3: pairs.b.shedule: is not an option" in said
    assert "nothing fails over" in said


def test_or_those_of_the_defaults_or_of_the_others(told: Any) -> None:
    told("defaults: {{{mine}}}\npairs:\n  a: {{master: x, slave: y}}\n  b: 7\n", {"mine": 1})
    told("pairs:\n  a: {{master: x, slave: y, {yours}}}\n  b: {{alerts: 7}}\n", {"yours": 1}, error="2")


def test_the_same_mistakes_are_told_once_and_others_again(told: Any) -> None:
    text = "pairs:\n  b: {{shedule: null, {mine}}}\n"
    told(text, {"mine": 1})
    told(text, {"mine": 1}, "on_existing_dag_import_error")
    told(text, {"mine": 2}, "on_existing_dag_import_error", error="another")
    told(text, {"mine": 3}, error="another")  # it was corrected, and made again


def test_of_other_dag_files_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denodo_scheduler.dags.pairs.tell", lambda: pytest.fail("not ours"))
    Listener().on_new_dag_import_error(filename="/dags/sales.py", stacktrace="x")
