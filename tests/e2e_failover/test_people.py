"""A person is asked, or has to be: approvals, and a record that is lost or too old."""

from __future__ import annotations

import pytest

from denodo_demo.airflow import LocalAirflow
from support.failover_dag import Story, jobs, touched

pytestmark = pytest.mark.e2e
STORY = "asked"


def test_nothing_happens_before_the_answer(story: Story) -> None:
    scene = story["asked"]
    assert scene.kinds == ["approval_asked"] or scene.kinds == [], scene.kinds
    assert scene.seen["slave"] == frozenset()
    assert touched(scene.books.slave_audit, "no", "yes") == []
    assert (scene.record["phase"], scene.record["approval"]["granted_by"]) == ("normal", None)


def test_rejected(story: Story) -> None:
    scene = story["rejected"]
    assert scene.event("rejected")["by"] == LocalAirflow.user
    assert scene.seen["slave"] == frozenset()
    assert touched(scene.books.slave_audit, "no") == []
    assert (scene.record["phase"], scene.record["epoch"]) == ("normal", 1)


def test_approved(story: Story) -> None:
    scene = story["approved"]
    assert scene.event("approved")["by"] == LocalAirflow.user
    assert scene.event("failover")["enabled"] == 6
    assert (scene.seen["slave"], scene.seen["others"]) == (jobs("yes", 6), frozenset())
    assert (scene.record["phase"], scene.record["epoch"]) == ("failed_over", 2)


@pytest.mark.parametrize("scene", ["database lost", "database of yesterday"])
def test_airflows_database_is_lost_or_restored(story: Story, scene: str) -> None:
    """F28: by the record of yesterday the slave would be the passive server, whose enabled jobs are drift."""
    found = story[scene]
    assert (found.record["phase"], found.record["epoch"]) == ("failed_over", 2)
    assert found.seen["slave"] == jobs("yes", 6)
    assert touched(found.books.slave_audit, "yes") == []


def test_the_storage_of_the_record_is_of_yesterday(story: Story) -> None:
    """F28"""
    scene = story["storage of yesterday"]
    assert (scene.seen["run"], scene.seen["state"]) == ("failed", "failed")
    assert scene.seen["note"].startswith("[record_lost] ")
    assert "[record_lost]" in scene.seen["log"]
    assert scene.seen["slave"] == jobs("yes", 6)
    assert touched(scene.books.slave_audit, "yes") == []
