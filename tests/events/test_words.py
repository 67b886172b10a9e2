"""What people read of the events that the DAGs make, and when each step of a change of the active server was."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from unittest.mock import patch

from airflow.providers.standard.operators.hitl import HITLOperator

from denodo_ha import told
from denodo_ha.record import Role
from denodo_ha.words import seconds
from denodo_scheduler.dags import NOTE
from support.events_world import LEASES, EventWorld
from support.machine_world import HALF, HOURLY


def _event(pair: EventWorld, kind: str) -> dict[str, Any]:
    return next(event for event in reversed(pair.airflow.history) if event.get("kind") == kind)


def _ordered(event: dict[str, Any], *names: str) -> None:
    times = {name: datetime.fromisoformat(at) for name, at in event["steps"].items()}
    assert list(times.values()) == sorted(times.values())
    assert set(names) <= times.keys()


def test_a_failover_is_told_by_its_figures_and_its_steps(pair: EventWorld) -> None:
    pair.reset(one_path=True)
    pair.ready()
    pair.master.crash()
    pair.pass_time(hours=1, minutes=27)
    pair.watched()
    pair.watched()
    event = _event(pair, "failover")
    _ordered(event, "silent", "down", "decided", "begun", "first_enabled", "last_enabled", "read_back")
    rto = event["rto_seconds"]
    assert event["text"].startswith(f"{event['enabled']} jobs enabled on the slave {seconds(rto)} after the master")
    assert [label for label, _ in told.facts(event)][-1] == "Operation"
    _all_have_words(pair)


def test_a_switchover_is_told_by_its_figures_and_its_steps(pair: EventWorld) -> None:
    pair.reset()
    pair.ready()
    pair.switched(Role.SLAVE)
    pair.network.advance(LEASES)
    pair.watched()
    event = _event(pair, "switchover")
    _ordered(event, "begun", "at_rest", "first_enabled", "last_enabled", "read_back")
    assert event["text"].startswith(
        f"switched over: {event['after']['enabled']} jobs disabled on the master and enabled"
    )
    _all_have_words(pair)


def test_an_event_that_is_completed_later_has_the_sentence_of_its_end(pair: EventWorld) -> None:
    pair.reset(orphans="delete", one_path=True)
    pair.ready()
    for key in (HOURLY, HALF):
        pair.slave.set_enabled(key, True)
    pair.watched()
    pair.watched()
    drift = _event(pair, "drift")
    assert drift["text"] == "2 jobs enabled on the slave, which is to be passive: disabled and read back"
    pair.master.delete(HALF)
    pair.synced()
    pair.watched()
    assert "1 job deleted as orphans" in _event(pair, "sync")["text"]
    _all_have_words(pair)


def _all_have_words(pair: EventWorld) -> None:
    """Each event that was published says its sentence as it is at last."""
    events = [event for event in pair.airflow.history if "kind" in event]
    assert events
    for event in events:
        assert event["text"] == told.text({name: value for name, value in event.items() if name != "text"})


def test_the_approver_is_told_what_he_must_know(pair: EventWorld) -> None:
    asked: list[str] = []
    pair.reset(one_path=True, failover="approval")
    pair.ready()
    pair.master.crash()
    pair.pass_time(hours=1, minutes=27)
    with patch.object(HITLOperator, "execute", lambda operator, _: asked.append(operator.body)):
        pair.watched()
    (question,) = asked
    for said in (
        "a web tool answers with an error",
        "**What would run**: ",
        "**Missed so far**: ",
        "**Fencing**: none",
        "**Reject**: nothing",
    ):
        assert said in question
    assert "**Missed so far**: no occurrence" not in question
    assert "not known, since the snapshot" not in question


def test_a_dry_run_says_what_it_would_do_before_all_else(pair: EventWorld) -> None:
    pair.reset(one_path=True)
    pair.ready()
    pair.master.crash()
    pair.pass_time(minutes=20)
    run = pair.watched(dry_run=True)
    said = run.pull("decide", NOTE)
    assert said.startswith("DRY RUN: nothing was changed. [fail_over] the master is down: fail over. A run would go on")
    assert run.pull("report", NOTE) == said
