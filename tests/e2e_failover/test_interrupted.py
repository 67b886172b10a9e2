"""Several runs fail over at once, and the worker of the one that does is killed."""

from __future__ import annotations

import pytest

from support.failover_dag import Story, changed, jobs

pytestmark = pytest.mark.e2e
STORY = "interrupted"


def test_runs_at_once_are_one_epoch(story: Story) -> None:
    """F17"""
    scene = story["worker killed"]
    assert scene.kinds == ["failover_begun"]
    assert scene.record["epoch"] == 2
    acted = [run for run, states in scene.seen["states"].items() if states["enable_jobs"] != "skipped"]
    assert set(acted) <= {scene.seen["owner"]}


def test_worker_killed_in_the_middle_of_enabling(story: Story) -> None:
    scene = story["worker killed"]
    assert len(scene.seen["half"]) == 4
    assert sorted(changed(scene.books.slave_audit, "enabled", "killed")) == sorted(scene.seen["half"])
    assert (scene.record["phase"], scene.record["operation"]["step"]) == ("failing_over", "enabling")


def test_another_run_finishes_it(story: Story) -> None:
    scene = story["another run"]
    assert scene.kinds == ["failover_begun", "failover"]
    assert scene.seen["slave"] == jobs("killed", 12)
    assert (scene.record["phase"], scene.record["epoch"], scene.record["operation"]) == ("failed_over", 3, None)


def test_each_job_was_enabled_once(story: Story) -> None:
    audit = [*story["worker killed"].books.slave_audit, *story["another run"].books.slave_audit]
    assert sorted(changed(audit, "enabled", "killed")) == sorted(jobs("killed", 12))
    assert changed(audit, "disabled", "killed") == []
