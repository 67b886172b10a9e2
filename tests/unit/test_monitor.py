"""The deadline of the failover DAG's runs, and what Airflow calls when one is late."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.executors.local_executor import LocalExecutor
from airflow.sdk._shared.module_loading import accepts_context
from airflow.sdk.definitions.callback import AsyncCallback, SyncCallback
from airflow.sdk.definitions.deadline import DeadlineReference

from denodo_ha.alerts import allowed
from denodo_ha.pairs import Pair
from denodo_scheduler.alerts import MonitorAlertError, deadline, late, late_async
from support.pairs import make_pair

SLACK_WEBHOOK = "airflow.providers.slack.notifications.slack_webhook.SlackWebhookNotifier"
PAIRS = f"""\
pairs:
  sales:
    alerts:
      notify: [{{notifier: {SLACK_WEBHOOK}, arguments: {{slack_webhook_conn_id: slack}}}}]
"""
CONTEXT = {"dag_run": {"dag_run_id": "scheduled__1", "queued_at": "2026-03-01T12:00:00Z"}, "deadline": {"id": "d"}}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configured file of pairs."""
    file = tmp_path / "pairs.yaml"
    file.write_text(PAIRS)
    monkeypatch.setenv("DENODO_HA_PAIRS", str(file))
    return file


@pytest.fixture
def slack(webtool: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    webtool.on("POST", "//services/token", b"ok")
    connection = {"conn_type": "slackwebhook", "host": f"http://127.0.0.1:{webtool.port}/services", "password": "token"}
    monkeypatch.setenv("AIRFLOW_CONN_SLACK", json.dumps(connection))
    return webtool


def pair(**options: Any) -> Pair:
    return make_pair("sales", **{"notify": [{"notifier": "a.B"}], **options})


def test_a_run_is_late_after_watch_detection_and_slack() -> None:
    assert allowed(pair(watch_for="40m", fall=3, probe_interval="10s")) == timedelta(minutes=66)


def test_waiting_for_an_approval_is_not_late() -> None:
    waiting = pair(watch_for="40m", fall=3, probe_interval="10s", failover="approval", approval_timeout="2h")
    assert allowed(waiting) == timedelta(hours=3, minutes=6)


def test_the_deadline_counts_from_the_queue_and_calls_back_in_the_executor(file: Path) -> None:
    alert = deadline(pair())
    assert alert is not None
    assert alert.reference == DeadlineReference.DAGRUN_QUEUED_AT
    assert alert.interval == allowed(pair())
    assert isinstance(alert.callback, SyncCallback)  # the triggerer may be what is dead
    assert alert.callback.path == "denodo_scheduler.alerts.late"
    assert accepts_context(late)


def test_nothing_of_a_notifier_gets_into_the_database(file: Path) -> None:
    alert = deadline(pair())
    assert alert is not None
    assert alert.callback.kwargs == {"pair": "sales", "file": str(file)}
    assert json.loads(json.dumps(alert.callback.kwargs)) == alert.callback.kwargs


def test_an_executor_without_callbacks_leaves_them_to_the_triggerer(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalExecutor, "supports_callbacks", False)
    alert = deadline(pair())
    assert alert is not None
    assert isinstance(alert.callback, AsyncCallback)
    assert accepts_context(late_async)


def test_the_file_is_what_the_environment_names(file: Path) -> None:
    alert = deadline(pair())
    assert alert is not None
    assert alert.callback.kwargs is not None
    assert alert.callback.kwargs["file"] == str(file)


def test_the_file_is_the_projects_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DENODO_HA_PAIRS", raising=False)
    alert = deadline(pair())
    assert alert is not None
    assert alert.callback.kwargs is not None
    assert Path(alert.callback.kwargs["file"]).samefile(Path(__file__).parents[2] / "include" / "pairs.yaml")


def test_without_a_notifier_for_it_there_is_no_deadline() -> None:
    assert deadline(pair(notify=[])) is None
    assert deadline(pair(notify=[{"notifier": "a.B", "alerts": ["failover"]}])) is None


def test_a_late_run_is_told_of(file: Path, slack: Any) -> None:
    late("sales", str(file), context=CONTEXT)
    (request,) = slack.requests
    assert request.json["text"] == (
        "[sales] monitor_stopped: nothing watches the pair: the run scheduled__1 of denodo_scheduler_failover__sales, "
        "queued at 2026-03-01T12:00:00Z, has not ended. Next: look at Airflow's triggerer and workers; while the "
        "monitor stands still, nothing fails over."
    )


def test_in_the_triggerer_too(file: Path, slack: Any) -> None:
    asyncio.run(late_async("sales", str(file), context=CONTEXT))
    assert len(slack.requests) == 1


def test_if_nobody_could_be_told_the_callback_fails(file: Path, slack: Any) -> None:
    slack.answers.clear()
    with pytest.raises(MonitorAlertError, match="give those of notifiers as environment variables"):
        late("sales", str(file), context=CONTEXT)


def test_of_a_pair_that_has_become_wrong_too(file: Path, slack: Any) -> None:
    """Its monitor stops for that reason, and its notifiers can be read all the same."""
    file.write_text(file.read_text().replace("  sales:", "  sales:\n    shedule: null", 1))
    late("sales", str(file), context=CONTEXT)
    assert len(slack.requests) == 1


def test_a_pair_that_is_gone(file: Path) -> None:
    with pytest.raises(MonitorAlertError, match="has no pair stock any more"):
        late("stock", str(file), context=CONTEXT)
