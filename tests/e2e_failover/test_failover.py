"""The master dies, the slave takes over; the master comes back, gets its jobs back, and dies again too soon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_demo.judge import double_runs
from denodo_demo.slowness import allow
from denodo_demo.standin import Json
from denodo_standin.exportfile import read_export
from e2e_failover import stories
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


def test_re_protected(story: Story) -> None:
    """The master has what the slave has, from whose jobs nothing is taken; none of them is enabled or runs there."""
    edited, scene = story["edited"], story["re-protected"]
    assert scene.seen["content"] == (edited.seen["slave"], edited.seen["slave"])
    assert (scene.seen["master"], scene.seen["slave"]) == (frozenset(), edited.seen["wanted"])
    assert (changed(scene.books.master_audit, "enabled"), scene.books.master_journal) == ([], [])
    assert changed(scene.books.master_audit, "deleted") == [stories.DELETED]
    assert {f"{entry['project']} / {entry['job']}" for entry in scene.books.master_audit} == {
        stories.EDITED,
        stories.MADE,
        stories.DELETED,
    }
    assert scene.books.slave_audit == []
    assert (scene.record["phase"], scene.record["active"], scene.record["epoch"]) == ("failed_over", "slave", 2)
    assert scene.record["snapshot"]["source"] == "slave"


def test_re_protect_says_what_it_did(story: Story) -> None:
    scene = story["re-protected"]
    event = scene.event("sync")
    assert event == scene.seen["result"]
    assert (event["source"], event["reason"]) == ("slave", "what was edited shall come home")
    assert event["rescued"]["different"] == {"jobs": 1, "names": [stories.EDITED]}
    assert (event["orphans"]["names"], event["orphans"]["deleted"]) == (stories.DELETED, True)
    assert event["pending"] == {"jobs": 0, "names": []}
    assert event["suspected_double_runs"] == []
    assert {kind: each["names"] for kind, each in event["plan"].items()} == {
        "added": stories.MADE,
        "removed": stories.DELETED,
        "changed": stories.EDITED,
        "enabled": stories.SWITCHED_ON,
        "disabled": stories.SWITCHED_OFF,
    }
    status = scene.seen["status"]
    assert ", of the slave, taken" in status.details["snapshot"]
    assert "pending" not in status.details


def test_the_old_masters_jobs_are_kept(story: Story) -> None:
    """The rescue snapshot holds what the master had before the re-protect: also what was deleted then."""
    edited, event = story["edited"], story["re-protected"].event("sync")
    kept = read_export(Path(event["rescued"]["location"].removeprefix("file://")))
    jobs = [each for each in kept.elements if each.kind == "job"]
    descriptions = {f"{each.project} / {each.name}": each.params.get("description") for each in jobs}
    assert descriptions.keys() == edited.seen["master"].keys() >= {stories.DELETED}
    assert descriptions[stories.EDITED] != "edited on the slave"


def test_a_run_says_what_it_was(story: Story) -> None:
    scene = story["master killed"]
    assert scene.seen["note"].startswith(f"{len(scene.seen['enabled'])} jobs enabled on the slave ")


def test_data_sources_lead_to_their_own_site(story: Story) -> None:
    """After the first sync, the re-protect, and the sync after the failback."""
    made = "work / made on the slave"
    first = {server: {"work / VDP": address} for server, address in stories.SITES.items()}
    assert story["master killed"].seen["addresses"] == first
    for scene in ("re-protected", "failed back"):
        both = {server: dict.fromkeys(("work / VDP", made), address) for server, address in stories.SITES.items()}
        assert story[scene].seen["addresses"] == both


def test_failed_back_and_synced(story: Story) -> None:
    """What people did on the slave is at home, and exactly their jobs are enabled."""
    scene, wanted = story["failed back"], story["edited"].seen["wanted"]
    assert wanted == story["master killed"].seen["wanted"] - {stories.DELETED, stories.SWITCHED_OFF} | {
        stories.MADE,
        stories.SWITCHED_ON,
    }
    assert scene.seen["content"] == (story["edited"].seen["slave"],) * 2
    assert (scene.seen["master"], scene.seen["slave"]) == (wanted, frozenset())
    assert sorted(changed(scene.books.master_audit, "enabled")) == sorted(wanted)
    assert [kind for kind in scene.kinds if kind != "problem"] == ["switchover_begun", "failback", "sync"]
    assert (scene.record["phase"], scene.record["active"], scene.record["dirty"]) == ("normal", "master", None)
    assert scene.record["epoch"] == 3


def test_break_before_make(story: Story) -> None:
    scene, wanted = story["failed back"], story["edited"].seen["wanted"]
    broken = [entry for entry in scene.books.slave_audit if entry["change"] == "disabled"][: len(wanted)]
    assert sorted(changed(broken, "disabled")) == sorted(wanted)
    made = [entry for entry in scene.books.master_audit if entry["change"] == "enabled"]
    assert max(_times(broken)) < min(_times(made))


def test_dies_again_within_the_cool_down(story: Story) -> None:
    """F12"""
    scene = story["dies again"]
    told = [(event["code"], event["verdict"]) for event in scene.events if event["kind"] == "problem"]
    assert told.count(("cool_down", "down")) == 1, told
    assert told[-1] == ("cool_down", "down"), told
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
    assert (scene.seen["master"], scene.seen["slave"]) == (story["edited"].seen["wanted"], frozenset())
    assert scene.record == scene.seen["before"]


def test_nothing_ran_twice(story: Story) -> None:
    journals = _master_journal(story), story["old run cleared"].seen["slave_journal"]
    assert double_runs(*journals) == []
    for journal in journals:
        on_time = [run for run in journal if run["trigger"] != "misfire"]
        assert [each for each, times in Counter(_occurrences(on_time)).items() if times > 1] == []


def test_each_occurrence_ran_once_or_is_listed_as_missed(story: Story) -> None:
    """From the first one until the slave has taken over; what a late trigger fires at once is no occurrence."""
    failover, end = story["master killed"].event("failover"), story["old run cleared"]
    over = moment(failover["at"])
    ran = Counter(_occurrences([*_master_journal(story), *end.seen["slave_journal"]]))
    missed = {(each["job"], moment(each["at"])) for each in failover["missed"]["listed"]}
    assert len(missed) == failover["missed"]["occurrences"]
    due = [occurrence for first in _first(ran) for occurrence in _every_period(first, over)]
    assert len(due) >= 2
    died = story["master killed"].seen["died"]
    heard = died - timedelta(seconds=allow(2))
    late = {occurrence for occurrence in due if heard <= occurrence[1] <= died and not ran[occurrence]}
    """What a busy master was late with when it was killed, though it was heard after they were due."""
    known = missed | late
    assert [occurrence for occurrence in due if ran[occurrence] != 1 and occurrence not in known] == []
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


def test_the_switchover_starts_a_look(story: Story) -> None:
    """Airflow names the person who started the switchover in it, so that it must not be taken for that person's act."""
    scene = story["failed back"]
    look = scene.seen["look"]
    assert (look["run_type"], look["triggered_by"], look["dag_run_id"][:6]) == (
        "operator_triggered",
        "operator",
        "look__",
    )
    assert look["triggering_user_name"] == LocalAirflow.user
    asked = moment(scene.seen["asked"]["end_date"])
    assert abs((moment(look["queued_at"]) - asked).total_seconds()) < allow(2)
    assert (moment(look["start_date"]) - asked).total_seconds() < allow(20)


def test_scenes_in_order(story: Story) -> None:
    scenes: list[Scene] = [story[name] for name in ("master killed", "master back", "failed back", "dies again")]
    assert [scene.record["epoch"] for scene in scenes] == [2, 2, 3, 3]
