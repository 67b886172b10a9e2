"""After all stories: who was told, and what is nowhere to be found."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from denodo_demo.standin import LOGIN, PASSWORD
from e2e_failover.conftest import TOKEN, Everything

pytestmark = pytest.mark.e2e


@pytest.fixture
def told(everything: Everything) -> Everything:
    """When all stories are over."""
    for story in everything.stories.values():
        story.wait()
    return everything


@pytest.mark.parametrize(
    ("pair", "alert", "code"),
    [
        ("calm", "blocked", "control_path_broken"),
        ("calm", "recovered", None),
        ("calm", "drift", None),
        ("night", "failover", None),
        ("night", "quenched", None),
        ("night", "switchover", None),
        ("night", "blocked", "cool_down"),
        ("cut", "split_brain", "split_brain"),
        ("fenced", "blocked", "not_fenced"),
        ("yes", "halted", "record_lost"),
    ],
)
def test_people_are_told(told: Everything, pair: str, alert: str, code: str | None) -> None:
    alerts = [(each["event"]["pair"], each["alert"], each["event"].get("code")) for each in told.alerts()]
    assert (pair, alert, code) in alerts


def test_alerts_name_the_next_step(told: Everything) -> None:
    [said] = [each["text"] for each in told.alerts() if each["event"].get("code") == "split_brain"]
    assert said.startswith("[cut] split_brain: ")
    assert " Next: stop the master's Scheduler, or disable its jobs there" in said


def test_events_are_those_of_the_history_only(told: Everything) -> None:
    """In Airflow's interface a person sees nothing else among them, however many looks were asked for."""
    events = [*told.airflow.api.pages("/assets/events", "asset_events", order_by="timestamp")]
    pairs = {f"denodo-scheduler://{pair}" for pair in told.stages}
    assert {event["name"] for event in events} <= pairs
    assert all({"id", "kind", "at"} <= event["extra"].keys() for event in events)
    assert {asset["name"] for asset in told.airflow.api.assets()} == pairs
    runs = [run for stage in told.stages.values() for run in told.airflow.api.dag_runs(stage.dag.dag_id)]
    assert {run["run_type"] for run in runs} == {"scheduled", "manual", "operator_triggered"}


def test_secrets_are_nowhere(told: Everything) -> None:
    """Neither in a log nor in the database (XComs, events, state, rendered fields, DAGs), an alert or a snapshot."""
    folders = (told.airflow.home, told.folder / "snapshots", told.folder / "alerts.jsonl")
    files = [file for root in folders for file in (root.rglob("*") if root.is_dir() else [root]) if file.is_file()]
    stored = told.metadata.contents()
    assert b"failover_begun" in stored, "the search finds what is there"
    assert any(b"[fail_over]" in file.read_bytes() for file in files), "the search finds what is there"
    assert [text for text in _secrets() if text in stored] == []
    assert [(file, text) for file in files for text in _secrets() if text in file.read_bytes()] == []


def test_secrets_are_in_no_command_line(told: Everything) -> None:
    seen = told.command_lines.seen
    assert any(b"airflow" in line for line in seen)
    assert any(b"denodo_standin" in line for line in seen)
    assert [line for line in seen if any(text in line for text in _secrets())] == []


def _secrets() -> Iterator[bytes]:
    for text in (PASSWORD, base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode(), TOKEN):
        yield text.encode()
