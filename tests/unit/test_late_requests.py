"""A changing request that comes to be sent after its deadline, since its process was stopped, is not sent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from denodo_ha.jobs import JobKey
from denodo_ha.server.options import IMPORT_OPTIONS
from denodo_scheduler.client import exchange
from denodo_scheduler.exceptions import NoAnswerError, UnreachableError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook

JOB = JobKey(project="sales", name="load")
STATUS = {"jobID": 1, "jobName": "load", "projectID": 7, "projectName": "sales", "state": "NOT_RUNNING"}
PUT = "PUT", "/projects/7/jobs/status"
DAY = 86400.0


class Stopped:
    """In place of a permit: the process is stopped for a day right before or after it is asked, at some of its calls.

    :param at: the number of the call, from 1.
    """

    def __init__(self, patch: pytest.MonkeyPatch, at: int = 1) -> None:
        self.calls, self._at, self._passed = 0, at, 0.0
        patch.setattr(exchange, "monotonic", lambda: time.monotonic() + self._passed)

    def __call__(self, seconds: float) -> None:
        self.calls += 1
        if self.calls == self._at:
            self._passed += DAY


@pytest.fixture(autouse=True)
def _job(webtool: Any) -> None:
    webtool.on("GET", "/jobs/status", [STATUS])
    webtool.on(*PUT, None)


def test_nothing_is_sent_after_the_deadline(
    webtool: Any, hook: DenodoSchedulerHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = hook.statuses()  # from here on the connection is kept
    hook.permit = Stopped(monkeypatch)
    with pytest.raises(UnreachableError, match="Nothing was sent within the deadline of"):
        hook.set_jobs_status("enable", [JOB], statuses=statuses)
    assert webtool.asked(*PUT) == []
    hook.set_jobs_status("enable", [JOB], statuses=statuses)
    assert len(webtool.asked(*PUT)) == 1, "the next request has a deadline of its own"


def test_an_import_is_not_sent_after_the_deadline(
    webtool: Any, hook: DenodoSchedulerHook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "export.zip").write_bytes(b"PK" * 1000)
    operation = {
        "parameters": [{"name": name, "in": "query"} for name in IMPORT_OPTIONS],
        "requestBody": {"content": {"application/octet-stream": {"schema": {"format": "binary"}}}},
    }
    webtool.on("GET", "//v3/api-docs", {"paths": {"/public/api/serverMetadata/import": {"post": operation}}})
    hook.permit = Stopped(monkeypatch)
    with pytest.raises(UnreachableError, match="Nothing was sent"):
        hook.import_metadata(ObjectStoragePath(f"file://{tmp_path}/export.zip"), timeout=600)
    assert [request.method for request in webtool.requests] == ["GET"]


def test_what_an_earlier_try_has_sent_may_have_had_its_effect(
    webtool: Any, hook: DenodoSchedulerHook, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    webtool.on(*PUT, answer(fault="cut"))
    hook.permit = Stopped(monkeypatch, at=2)
    with pytest.raises(NoAnswerError, match=r"Its effect is unknown"):
        hook.set_jobs_status("enable", [JOB])
    assert len(webtool.asked(*PUT)) == 1


def test_the_permit_is_not_asked_after_the_deadline(
    webtool: Any, hook: DenodoSchedulerHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might prolong a lease for nothing."""
    stopped = Stopped(monkeypatch)
    hook.permit = stopped
    statuses = hook.statuses()
    began = exchange.Exchange.ensure_left

    def late(self: exchange.Exchange) -> None:
        stopped(0)
        began(self)

    monkeypatch.setattr(exchange.Exchange, "ensure_left", late)
    with pytest.raises(UnreachableError):
        hook.set_jobs_status("enable", [JOB], statuses=statuses)
    assert stopped.calls == 1, "by this test"
    assert webtool.asked(*PUT) == []
