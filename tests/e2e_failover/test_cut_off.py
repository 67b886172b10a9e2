"""A master that lives and cannot be heard: by Airflow alone, or by anybody."""

from __future__ import annotations

import pytest

from support.failover_dag import Story, jobs, touched
from support.sync_dag import moment

pytestmark = pytest.mark.e2e
STORY = "cut off"


def test_cut_from_airflow_only(story: Story) -> None:
    """F08, and F04 where path 2 disagrees: the slave's web tool hears the master."""
    scene = story["cut from Airflow only"]
    assert scene.kinds == ["problem"]
    assert scene.event("problem")["code"] == "control_path_broken"
    assert scene.books.untouched
    assert scene.seen["slave"] == frozenset()


def test_cut_from_everyone_best_effort(story: Story) -> None:
    """F09: the slave takes over, and it is said that the master may live, as it does."""
    scene = story["best effort"]
    failover = scene.event("failover")
    assert failover["fencing"]["result"] == "unconfirmed"
    assert scene.seen["slave"] == jobs("cut", 6), "only what the pair covers"
    assert scene.books.master_audit == []
    assert scene.seen["alive"]
    assert [run for run in scene.books.master_journal if moment(run["start"]) > moment(failover["at"])]


def test_cut_from_everyone_fencing_required(story: Story) -> None:
    """F09"""
    scene = story["required"]
    assert scene.kinds == ["problem"]
    problem = scene.event("problem")
    assert (problem["code"], problem["verdict"]) == ("not_fenced", "down")
    assert scene.seen["slave"] == frozenset()
    assert touched(scene.books.slave_audit, "fenced") == []
    assert (scene.record["phase"], scene.record["epoch"]) == ("normal", 1)


def test_back_and_refusing_to_be_quenched(story: Story) -> None:
    """F16"""
    scene = story["refuses to be quenched"]
    problem = scene.event("problem")
    assert (problem["code"], problem["alert"]) == ("split_brain", "split_brain")
    assert "quenched" not in scene.kinds
    assert scene.books.untouched
    assert (scene.seen["cut_jobs"], scene.seen["slave"]) == (jobs("cut", 6), jobs("cut", 6))


def test_quenched_as_soon_as_it_can_be(story: Story) -> None:
    """And only what the pair covers."""
    scene = story["quenched"]
    assert scene.seen["cut_jobs"] == frozenset()
    assert scene.seen["slave"] == jobs("cut", 6)
    assert scene.seen["master"] == jobs("fenced", 3) | {"ticks / tick"}
    assert len(scene.books.master_audit) == 6
    assert scene.books.slave_audit == []
