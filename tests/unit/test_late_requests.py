"""A changing request that comes to be sent after its deadline, since its process was stopped, is not sent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from urllib3.connection import HTTPConnection

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
    """In place of a permit, which each try asks twice: the process is stopped for a while right after that.

    :param at: the number of the try, from 1.
    """

    def __init__(self, patch: pytest.MonkeyPatch, at: int = 1, seconds: float = DAY) -> None:
        self.calls, self.passed = 0, 0.0
        patch.setattr(exchange, "monotonic", lambda: time.monotonic() + self.passed)
        put = HTTPConnection.putrequest

        def stopped(*args: Any, **more: Any) -> None:
            if self.calls == 2 * at:
                self.passed += seconds
            put(*args, **more)

        patch.setattr(HTTPConnection, "putrequest", stopped)

    def __call__(self, seconds: float) -> None:
        self.calls += 1


@pytest.fixture(autouse=True)
def _job(webtool: Any) -> None:
    webtool.on("GET", "/jobs/status", [STATUS])
    webtool.on(*PUT, None)


def test_nothing_is_sent_after_the_deadline(
    webtool: Any, hook: DenodoSchedulerHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = hook.statuses()  # from here on the connection is kept
    hook.permit = Stopped(monkeypatch)
    with pytest.raises(UnreachableError, match="Nothing was sent, because it would have been too late"):
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
    statuses, ask = hook.statuses(), exchange.Exchange.ask

    def late(self: exchange.Exchange) -> None:
        stopped.passed += DAY
        ask(self)

    monkeypatch.setattr(exchange.Exchange, "ask", late)
    with pytest.raises(UnreachableError):
        hook.set_jobs_status("enable", [JOB], statuses=statuses)
    assert stopped.calls == 0
    assert webtool.asked(*PUT) == []


def test_a_request_is_begun_soon_after_its_permit_or_permitted_again(
    webtool: Any, hook: DenodoSchedulerHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is much time until the deadline, and a right that has no lease may have passed to others at once."""
    stopped = Stopped(monkeypatch, seconds=exchange.BEGINS_WITHIN + 1)
    hook.permit = stopped
    hook.set_jobs_status("enable", [JOB])
    assert stopped.calls == 4
    assert len(webtool.asked(*PUT)) == 1


def test_what_cannot_be_tried_again_is_not_begun_late(
    webtool: Any, hook: DenodoSchedulerHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.permit = Stopped(monkeypatch, seconds=exchange.BEGINS_WITHIN + 1)
    with pytest.raises(UnreachableError, match="Nothing was sent"):
        hook.create_job(7, {"name": "load"})
    assert webtool.requests == []


@pytest.mark.parametrize("error", [OSError("the storage is away"), RuntimeError("superseded"), TimeoutError("asleep")])
def test_what_the_permit_raises_comes_out_as_it_is(webtool: Any, hook: DenodoSchedulerHook, error: Exception) -> None:
    asked = []

    def refuse(seconds: float) -> None:
        asked.append(seconds)
        raise error

    hook.permit = refuse
    with pytest.raises(type(error)) as caught:
        hook.set_jobs_status("enable", [JOB])
    assert caught.value is error
    assert len(asked) == 1
    assert webtool.asked(*PUT) == []
    hook.permit = asked.append
    hook.set_jobs_status("enable", [JOB])
    assert len(webtool.asked(*PUT)) == 1
