"""What becomes of a state once faults have stopped: a fair run of all tasks, to its end."""

from __future__ import annotations

from collections.abc import Iterator

from denodo_ha.record import Phase
from model.properties import Property
from model.rules import Rules
from model.state import WANTED, State
from model.world import World


class Convergence:
    """Runs a healed state to where nothing happens any more, without a person and without a sync; then with one sync.

    Late tasks and calls come first, then the task at work, then time passes, then the watch goes on.
    """

    def __init__(self, rules: Rules) -> None:
        self._world = World(rules, faults=0)
        self._known: dict[State, tuple[Property, ...]] = {}

    def broken(self, state: State) -> tuple[Property, ...]:
        state = self._world.settled(_healed(state))
        way = [state]
        while state not in self._known:
            after = self._next(state)
            if after is None:
                self._known[state] = self._judge(state)
            elif after in way:
                self._known[state] = (Property.L1,)
            else:
                way.append(after)
                state = after
        found = self._known[state]
        self._known.update(dict.fromkeys(way, found))
        return found

    def _next(self, state: State) -> State | None:
        for step in self._candidates(state):
            after = self._world.settled(step)
            if after != state:
                return after
        return None

    def _candidates(self, state: State) -> Iterator[State]:
        for slot in ("late", "task"):
            yield from (step.state for step in self._world.work(state, slot))
        yield from (step.state for step in self._world.time(state))
        if state.task is None:
            yield self._watched(state)
            if state.fenced and state.record.phase is Phase.NORMAL:
                yield state._replace(fenced=False, master_up=True)

    def _watched(self, state: State) -> State:
        """After as many rounds as it takes until a verdict is confirmed."""
        while True:
            state = next(iter(self._world.rounds(state))).state
            if state.round is None:
                return state

    def _judge(self, state: State) -> tuple[Property, ...]:
        if not _only_the_active_works(state):
            return (Property.L1,)
        if not self._promotable_after_a_sync(state):
            return (Property.L2,)
        return () if self._survives_its_site(state) else (Property.L3,)

    def _promotable_after_a_sync(self, state: State) -> bool:
        if state.record.phase is not Phase.NORMAL:
            return True
        for begun in self._world.sync(state):
            state = self._world.settled(begun.state)
            while state.task:
                state = self._world.settled(next(iter(self._world.work(state, "task"))).state)
            return state.record.dirty is None and _only_the_active_works(state)
        return False

    def _survives_its_site(self, state: State) -> bool:
        """Whether the slave takes over when the master dies, and with it the name server that knows its name."""
        if state.record.phase is not Phase.NORMAL or state.record.dirty or not state.record.acknowledged:
            return True
        task = self._watched(state._replace(master_up=False, name="nobody")).task
        return task is not None and task.program == "failover"


def _healed(state: State) -> State:
    """Only a fenced master stays down, until a person starts it when nothing else goes on."""
    return state._replace(
        master_up=not state.fenced,
        first_path=True,
        second_path=True,
        slave_up=True,
        name="master",
        round=None,
        faults=0,
    )


def _only_the_active_works(state: State) -> bool:
    works = (state.master_jobs if state.master_up else 0, state.slave_jobs)
    expected = {Phase.NORMAL: (WANTED, 0), Phase.FAILED_OVER: (0, WANTED)}
    return works == expected.get(state.record.phase)
