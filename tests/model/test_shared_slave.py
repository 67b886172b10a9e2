"""Two pairs with one slave: neither changes jobs of the other one, whoever comes first, by whatever name.

What each pair says of its servers is judged by the real code, ``denodo_ha.holdings``. Taken for granted: reading what
the others say and writing what this pair says is one step, and a pair that is at work looks at least once in a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from denodo_ha.holdings import HOLDS_FOR, Holding, held_by_another
from denodo_ha.scope import Scope
from model.search import Result, Step, search

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = HOLDS_FOR / 3
HORIZON = 5
"""So many ticks are looked at: more than a holding lasts."""
BROKEN = "a pair has changed jobs of the other one"
NAMES = {"a": "dr", "b": "standby"}
ADDRESS = frozenset({"10.0.0.9:8000"})


class Member(NamedTuple):
    """One of the pairs.

    :param holding: what it says of its servers. :param looked: the tick of its last look.
    :param running: its jobs are enabled on the slave, as after a failover.
    :param may: it was let in by its last check, and goes on to change the slave.
    :param gone: it was taken out of the file of pairs.
    """

    holding: Holding | None = None
    looked: int = 0
    running: bool = False
    may: bool = False
    gone: bool = False


class State(NamedTuple):
    a: Member = Member()
    b: Member = Member()
    tick: int = 0

    def of(self, name: str) -> Member:
        return self.a if name == "a" else self.b

    def other(self, name: str) -> Member:
        return self.b if name == "a" else self.a

    def with_(self, name: str, member: Member) -> State:
        return self._replace(**{name: member})


class World:
    """
    All that two pairs can do.

    :param scopes: of both pairs. :param one_name: they call the slave by one name, and not by two for one address.
    :param hold: they ask what the other one says; without this rule they act at once.
    :param resolve: they compare addresses too.
    """

    def __init__(self, scopes: dict[str, Scope], *, one_name: bool = True, hold: bool = True, resolve: bool = True):
        self._scopes, self._hold, self._resolve = scopes, hold, resolve
        self._names = dict.fromkeys(NAMES, "dr") if one_name else NAMES
        self._alike = scopes["a"].may_share_a_job(scopes["b"])

    def steps(self, state: State) -> Iterator[Step[State]]:
        if state.tick < HORIZON:
            late = [m for m in (state.a, state.b) if m.holding and not m.gone and state.tick - m.looked >= 2]
            if not late:
                yield Step("hours pass", state._replace(tick=state.tick + 1))
        for name in NAMES:
            if not state.of(name).gone:
                yield from self._steps(state, name)

    def _steps(self, state: State, name: str) -> Iterator[Step[State]]:
        member, other = state.of(name), state.other(name)
        for first in (True, False) if member.holding else (True,):
            yield from self._checks(state, name, resolved=first and self._resolve)
        if member.may:
            done = member._replace(may=False)
            harm = self._alike and not other.gone
            broken = (BROKEN,) if harm and other.running else ()
            yield Step(f"{name} syncs and disables what is enabled", state.with_(name, done), broken)
            broken = (BROKEN,) if harm and other.may else broken
            yield Step(f"{name} fails over", state.with_(name, done._replace(running=True)), broken)
        if not member.may:
            yield Step(f"{name} is taken out", state.with_(name, member._replace(gone=True, running=False)))

    def _checks(self, state: State, name: str, *, resolved: bool) -> Iterator[Step[State]]:
        """A check by a sync, or, without the addresses, by a look at the pair."""
        member, other = state.of(name), state.other(name)
        now = START + state.tick * TICK + timedelta(seconds=name == "b")
        names = frozenset({f"{self._names[name]}:8000"})
        scope = self._scopes[name]
        mine = Holding(name, names, ADDRESS if resolved else frozenset(), scope, since=now, seen=now)
        mine = mine.said_again(member.holding, now)
        others = [other.holding] if other.holding else []
        refused = self._hold and held_by_another(mine, member.holding, others, now, "snapshots")
        if refused:
            after = member._replace(looked=state.tick, may=False)
            yield Step(f"{name} is refused: {refused.code}", state.with_(name, after))
        else:
            after = member._replace(holding=mine, looked=state.tick, may=True)
            yield Step(f"{name} is let in", state.with_(name, after))


ALL = Scope()
OVERLAPPING = {"a": ALL, "b": Scope(projects=("finance",))}
DISJOINT = {"a": Scope(projects=("sales",)), "b": Scope(projects=("finance",))}


def explored(world: World) -> Result:
    return search(State(), world.steps, limit=500_000)


@pytest.mark.parametrize("one_name", [True, False], ids=["one name", "two names of one address"])
def test_neither_changes_jobs_of_the_other_one(one_name: bool) -> None:
    result = explored(World(OVERLAPPING, one_name=one_name))
    assert not result.traces, str(result)
    assert result.states > 500


def test_without_asking_what_the_other_one_holds_they_do() -> None:
    assert BROKEN in explored(World(OVERLAPPING, hold=False)).traces


def test_without_the_addresses_two_names_of_one_server_are_two_servers() -> None:
    assert BROKEN in explored(World(OVERLAPPING, one_name=False, resolve=False)).traces


def test_pairs_with_different_jobs_never_stand_in_each_other_s_way() -> None:
    labels: set[str] = set()
    world = World(DISJOINT)

    def noted(state: State) -> Iterator[Step[State]]:
        for step in world.steps(state):
            labels.add(step.label)
            yield step

    assert not search(State(), noted, limit=500_000).traces
    assert not any("refused" in label for label in labels)
    assert {f"{name} fails over" for name in NAMES} <= labels


def test_who_comes_later_is_refused_and_let_in_when_the_other_one_is_gone_for_long_enough() -> None:
    world = World(OVERLAPPING)
    seen: dict[bool, set[str]] = {False: set(), True: set()}

    def noted(state: State) -> Iterator[Step[State]]:
        for step in world.steps(state):
            seen[state.a.gone and state.tick - state.a.looked > HOLDS_FOR / TICK].add(step.label)
            yield step

    search(State(), noted, limit=500_000)
    assert "b is refused: shared_server" in seen[False]
    assert "b is refused: shared_server" not in seen[True]
    assert "b fails over" in seen[True]
