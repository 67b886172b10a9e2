"""The master dies, the slave takes over; the master comes back, gets its jobs back, and dies again too soon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from denodo_demo.judge import double_runs
from denodo_demo.slowness import allow
from denodo_demo.standin import Json
from support.failover_dag import Scene, Story, changed
from support.sync_dag import moment

pytestmark = pytest.mark.e2e
STORY = "night"
PERIOD = timedelta(minutes=2)
"""Of each job that is due again and again."""


def test_scheduler_killed(story: Story) -> None:
    """F02: exactly the jobs that were enabled on the master are enabled on the slave, each once."""
    scene = story["master killed"]
    wanted = scene.seen["wanted"]
    assert len(wanted) == 14
    assert scene.seen["enabled"] == wanted
    assert sorted(changed(scene.books.slave_audit, "enabled")) == sorted(wanted)
    assert len(scene.books.slave_audit) == len(wanted), "nothing else was changed"
    assert (scene.record["phase"], scene.record["active"], scene.record["epoch"]) == ("failed_over", "slave", 2)
    assert scene.record["operation"] is None


def test_event_of_the_failover(story: Story) -> None:
    scene = story["master killed"]
    assert scene.kinds == ["failover_begun", "failover"]
    event = scene.event("failover")
    assert (event["epoch"], event["enabled"]) == (2, 14)
    assert (event["failed"]["jobs"], event["missing"]["jobs"]) == (0, 0)
    assert event["fencing"]["result"] == "unconfirmed"
    assert event["snapshot"] == scene.record["snapshot"]["id"]
    took = (moment(event["at"]) - scene.seen["died"]).total_seconds()
    print(f"\nRTO {event['rto_seconds']} s, {took:.1f} s after the kill; RPO {event['rpo_seconds']} s")
    assert took - allow(2) < event["rto_seconds"] < took + allow(10), "from the last time that it was heard"
    assert event["rpo_seconds"] > 0


def test_sync_by_hand_while_failed_over(story: Story) -> None:
    """F18"""
    scene = story["sync by hand"]
    assert (scene.seen["verdict"]["go"], scene.seen["verdict"]["code"]) == (False, "failed_over")
    assert scene.seen["states"].pop("guard") == "success"
    assert set(scene.seen["states"].values()) == {"skipped"}
    assert scene.books.slave_audit == []
    assert scene.seen["enabled"] == story["master killed"].seen["wanted"]


def test_master_back_is_quenched(story: Story) -> None:
    """F16"""
    scene, wanted = story["master back"], story["master killed"].seen["wanted"]
    assert scene.seen["woke"] == wanted, "it comes back with its jobs enabled"
    assert scene.seen["master"] == frozenset()
    assert sorted(changed(scene.books.master_audit, "disabled")) == sorted(wanted)
    assert scene.books.slave_audit == []
    assert scene.seen["slave"] == wanted
    assert scene.event("quenched")["before"] == {"enabled": len(wanted)}
    print(f"\nQuenched after {scene.seen['seconds']:.0f} s")


def test_failed_back_and_synced(story: Story) -> None:
    scene, wanted = story["failed back"], story["master killed"].seen["wanted"]
    assert (scene.seen["master"], scene.seen["slave"]) == (wanted, frozenset())
    assert sorted(changed(scene.books.master_audit, "enabled")) == sorted(wanted)
    assert [kind for kind in scene.kinds if kind in ("failback", "sync")] == ["failback", "sync"]
    assert (scene.record["phase"], scene.record["active"], scene.record["dirty"]) == ("normal", "master", None)
    assert scene.record["epoch"] == 3


def test_break_before_make(story: Story) -> None:
    scene, wanted = story["failed back"], story["master killed"].seen["wanted"]
    broken = [entry for entry in scene.books.slave_audit if entry["change"] == "disabled"][: len(wanted)]
    assert sorted(changed(broken, "disabled")) == sorted(wanted)
    made = [entry for entry in scene.books.master_audit if entry["change"] == "enabled"]
    assert max(_times(broken)) < min(_times(made))


def test_dies_again_within_the_cool_down(story: Story) -> None:
    """F12"""
    scene = story["dies again"]
    problem = scene.event("problem")
    assert (problem["code"], problem["verdict"]) == ("cool_down", "down")
    assert "failover_begun" not in scene.kinds
    assert scene.books.slave_audit == []
    assert scene.seen["slave"] == frozenset()
    assert (scene.record["phase"], scene.record["epoch"]) == ("normal", 3)


def test_clearing_an_old_failover_changes_nothing(story: Story) -> None:
    """F17"""
    scene = story["old run cleared"]
    assert scene.seen["states"]["enable_jobs"] == "skipped"
    assert "Nothing was changed." in scene.seen["log"]
    assert scene.books.untouched
    assert (scene.seen["master"], scene.seen["slave"]) == (story["master killed"].seen["wanted"], frozenset())
    assert scene.record == scene.seen["before"]


def test_nothing_ran_twice(story: Story) -> None:
    assert double_runs(_master_journal(story), story["old run cleared"].seen["slave_journal"]) == []


def test_each_occurrence_ran_once_or_is_listed_as_missed(story: Story) -> None:
    """From the first one until the slave has taken over; what a late trigger fires at once is no occurrence."""
    failover, end = story["master killed"].event("failover"), story["old run cleared"]
    over = moment(failover["at"])
    ran = Counter(_occurrences([*_master_journal(story), *end.seen["slave_journal"]]))
    missed = {(each["job"], moment(each["at"])) for each in failover["missed"]["listed"]}
    assert len(missed) == failover["missed"]["occurrences"]
    due = [occurrence for first in _first(ran) for occurrence in _every_period(first, over)]
    assert len(due) >= 2
    assert [occurrence for occurrence in due if ran[occurrence] != 1 and occurrence not in missed] == []
    heard = story["master killed"].seen["died"] - timedelta(seconds=allow(2))
    assert all(heard <= at <= over for _, at in missed), "what ran before is not missed"


def _master_journal(story: Story) -> list[Json]:
    """Without what nobody can prevent: until it is quenched, a master that comes back fires what is due or overdue."""
    back = story["master back"]
    quenched = moment(back.event("quenched")["at"])
    journal: list[Json] = story["old run cleared"].seen["master_journal"]
    return [run for run in journal if not back.seen["back"] <= moment(run["start"]) <= quenched]


def _occurrences(journal: Iterable[Json]) -> list[tuple[str, datetime]]:
    return [(f"{run['project']} / {run['job']}", moment(run["scheduled"])) for run in journal if run.get("scheduled")]


def _first(ran: Iterable[tuple[str, datetime]]) -> list[tuple[str, datetime]]:
    return list({job: (job, at) for job, at in sorted(ran, reverse=True)}.values())


def _every_period(first: tuple[str, datetime], until: datetime) -> list[tuple[str, datetime]]:
    job, at = first
    return [(job, at + number * PERIOD) for number in range((until - at) // PERIOD + 1)]


def _times(audit: Iterable[Json]) -> list[datetime]:
    return [moment(entry["at"]) for entry in audit]


def test_scenes_in_order(story: Story) -> None:
    scenes: list[Scene] = [story[name] for name in ("master killed", "master back", "failed back", "dies again")]
    assert [scene.record["epoch"] for scene in scenes] == [2, 2, 3, 3]
