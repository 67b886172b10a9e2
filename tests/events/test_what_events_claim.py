"""Servers that answer 200 and do nothing: no event claims what their books do not show.

Each list of each event is compared with the servers when the event is saved, see :mod:`support.events_books`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from denodo_ha.jobs import JobKey
from denodo_ha.record import Role
from denodo_scheduler.steps.promote import report
from support.events_world import LEASES, EventWorld
from support.machine_servers import MASTER, SLAVE
from support.machine_world import HALF, HOURLY, OFTEN, ORPHAN

JOBS = (HOURLY, HALF, OFTEN)
Story = Callable[[EventWorld], None]
"""Comes to the moment at which servers begin to lie; the rest is done by :func:`operate`."""


def failover_over_several_hours(pair: EventWorld) -> None:
    pair.ready()
    pair.master.crash()
    pair.pass_time(hours=1, minutes=27)


def returned_master(pair: EventWorld) -> None:
    pair.ready()
    pair.master.crash()
    pair.watched()
    pair.master.start()


def drift(pair: EventWorld) -> None:
    pair.ready()
    for key in JOBS:
        pair.slave.set_enabled(key, True)


OPERATIONS: dict[str, tuple[Story, Callable[[EventWorld], object]]] = {
    "failover": (failover_over_several_hours, EventWorld.watched),
    "switchover": (EventWorld.ready, lambda pair: pair.switched(Role.SLAVE)),
    "quench": (returned_master, EventWorld.watched),
    "repair": (drift, EventWorld.watched),
    "sync": (drift, EventWorld.synced),
}


def operate(pair: EventWorld, name: str, lies: list[tuple[str, str, tuple[JobKey, ...]]], misfire: str) -> list[str]:
    """Tell one story with these lies, and what the next runs do; what was claimed and is not so."""
    pair.reset(catch_up="start_missed", orphans="delete", enable_batch=2, one_path=True)
    prepare, begin = OPERATIONS[name]
    prepare(pair)
    for machine in (pair.master, pair.slave):
        if machine.up:
            settings = machine.server.store.settings
            machine.server.store.settings = settings.model_copy(
                update={"guesses": settings.guesses.model_copy(update={"misfire": misfire})}
            )
    for role, action, keys in lies:
        machine = pair.network.machines[role]
        if machine.up:
            pair.lie(machine, action, keys)
    begin(pair)
    pair.network.advance(LEASES)
    pair.watched()
    for machine in (pair.master, pair.slave):
        if machine.up:
            pair.restart(machine)
    pair.watched()
    return [what for what in pair.books.wrong if " claims: " in what]


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_an_event_claims_is_in_the_books_of_the_servers(pair: EventWorld, name: str) -> None:
    generator = Random(name)
    for _ in range(3):
        lies = [
            (role, action, tuple(generator.sample(JOBS, generator.randint(1, 3))))
            for role in (MASTER, SLAVE)
            for action in generator.sample(("enable", "disable", "start"), 2)
        ]
        misfire = generator.choice(["fire_once", "record"])
        assert operate(pair, name, lies, misfire) == [], (lies, misfire)


def test_without_lies_too(pair: EventWorld) -> None:
    for name in OPERATIONS:
        for misfire in ("fire_once", "record"):
            assert operate(pair, name, [], misfire) == []


def test_orphans_that_the_server_keeps_are_not_told_as_deleted(pair: EventWorld) -> None:
    pair.reset(orphans="delete")
    pair.lie(pair.slave, "delete", [ORPHAN])
    pair.synced()
    event = next(each for each in pair.outboxes if each["kind"] == "sync")
    assert event["orphans"] == {"jobs": 1, "names": str(ORPHAN), "deleted": False}
    assert ORPHAN in pair.slave.jobs
    pair.restart(pair.slave)
    pair.synced()
    assert ORPHAN not in pair.slave.jobs


def test_a_claim_that_was_not_read_is_found(pair: EventWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "has_started", lambda *_: True)
    found = operate(pair, "failover", [(SLAVE, "start", JOBS)], "record")
    assert any("ran on the slave" in what for what in found), found
