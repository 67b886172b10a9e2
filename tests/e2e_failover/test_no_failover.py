"""A master that lives and is heard, more or less: nothing of it is a failover."""

from __future__ import annotations

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_ha.status import Level
from support.failover_dag import Story, changed

pytestmark = pytest.mark.e2e
STORY = "calm"


def test_short_bursts_change_nothing(story: Story) -> None:
    """F04: one round of 500s on both paths, and fall - 1 of them. The same watch goes on."""
    scene = story["short bursts"]
    assert scene.events == []
    assert (scene.seen["ping"], scene.seen["owner"]) == ("deferred", scene.seen["watcher"])
    assert scene.books.untouched


def test_burst_as_long_as_fall_is_judged_and_given_up(story: Story) -> None:
    """F04: the master is judged to be down, and then heard by the last look, before anything was changed."""
    scene = story["burst as long as fall"]
    assert scene.kinds == ["failover_begun", "failover_given_up"]
    assert "3 times in a row" in scene.event("failover_begun")["why"]
    assert scene.books.untouched
    assert scene.seen["enabled"] == frozenset()
    assert (scene.record["phase"], scene.record["active"], scene.record["operation"]) == ("normal", "master", None)


def test_web_tool_killed(story: Story) -> None:
    """F01: the Scheduler behind it goes on firing, so nothing is enabled on the slave; people are told."""
    scene = story["web tool killed"]
    assert scene.kinds == ["problem"]
    problem = scene.event("problem")
    assert (problem["code"], problem["verdict"]) == ("control_path_broken", "control_path_broken")
    assert scene.books.untouched
    assert scene.seen["enabled"] == frozenset()
    assert scene.books.master_journal, "the master's jobs go on"
    assert scene.record["phase"] == "normal"


def test_web_tool_back(story: Story) -> None:
    scene = story["web tool back"]
    assert scene.event("recovered")["before"] == {"code": "control_path_broken"}
    assert scene.books.untouched


def test_job_enabled_by_hand_on_the_slave_is_disabled(story: Story) -> None:
    """F27"""
    scene = story["job woken"]
    [woken] = scene.seen["woken"]
    assert changed(scene.books.slave_audit, "enabled") == changed(scene.books.slave_audit, "disabled") == [woken]
    assert scene.books.master_audit == []
    assert scene.seen["enabled"] == frozenset()
    drift = scene.event("drift")
    assert (drift["before"], drift["after"], drift["jobs"]) == ({"enabled": 1}, {"enabled": 0}, woken)
    assert drift["reason"] == "is anything wrong?"


def test_run_by_hand_has_its_verdict_while_the_watch_goes_on(story: Story) -> None:
    scene = story["job woken"]
    assert (scene.seen["verdict"], scene.seen["ping"]) == ("up", "deferred")


def test_nothing_ever_ran_on_the_slave(story: Story) -> None:
    scenes = ("short bursts", "burst as long as fall", "web tool killed", "web tool back", "job woken")
    assert [run for name in scenes for run in story[name].books.slave_journal] == []


def test_a_drill_by_command_runs_its_job_once_on_the_slave(story: Story) -> None:
    scene = story["drilled"]
    ours = "work / job 00"
    assert changed(scene.books.slave_audit, "enabled") == changed(scene.books.slave_audit, "disabled") == [ours]
    assert [(run["job"], run["trigger"], run["result"]) for run in scene.books.slave_journal] == [
        ("job 00", "manual", "COMPLETE")
    ]
    assert (scene.books.master_audit, scene.seen["enabled"]) == ([], frozenset())
    told, event = scene.seen["told"], scene.event("drill")
    assert (told.level, told.summary) == (Level.OK, "drilled: 1 of 1 jobs ran on the slave")
    assert (event["ok"], event["jobs"][0]["job"], scene.kinds) == (True, ours, ["drill"])
    assert scene.record["drill"]["done"][0]["result"] == "COMPLETE"


def test_a_rehearsal_by_command_ends_on_the_master_with_a_report(story: Story) -> None:
    scene = story["rehearsed"]
    told = scene.seen["told"]
    assert (scene.seen["master"], scene.seen["slave"]) == (scene.seen["wanted"], frozenset())
    assert set(changed(scene.books.slave_audit, "enabled")) == scene.seen["wanted"]
    assert set(changed(scene.books.master_audit, "enabled")) == scene.seen["wanted"]
    assert told.summary.endswith("the master is the active server again, in epoch 4")
    assert told.lines[0].startswith("to the slave, at ")
    assert told.lines[1].startswith("to the master, at ")
    assert f"{len(scene.seen['wanted'])} jobs enabled and read back, jobs ran nowhere for " in told.lines[0]
    assert (scene.record["phase"], scene.record["active"]) == ("normal", "master")


def test_each_operation_starts_a_look_at_once(story: Story) -> None:
    """That look takes its own verdict, and asks for the next one, which goes on watching."""
    scene = story["paused and resumed"]
    assert [asked["return_value"]["event"]["kind"] for _, asked, _, _ in scene.seen["looks"]] == ["paused", "resumed"]
    for operation, asked, states, owner in scene.seen["looks"]:
        assert scene.event(f"{operation}d")["actor"] == LocalAirflow.user
        assert (states["ping_master"], states["decide"]) == ("success", "success"), operation
        assert owner.startswith("look__")
        assert owner > asked["trigger_run_id"]
