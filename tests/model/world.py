"""All that can happen to a pair in one state: faults, healing, time, people, tasks, and calls that come late."""

from __future__ import annotations

from collections.abc import Iterator

from denodo_ha.record import Phase, Role
from denodo_ha.transitions import renewed
from denodo_ha.verdict import Watch
from model import failing_over, switching_over, syncing
from model.properties import Property
from model.rules import Rules
from model.search import Step
from model.servers import land
from model.state import (
    FIRST,
    NOW,
    Call,
    Leads,
    Process,
    State,
    answers,
    canonical,
    observation,
    replaced,
)
from model.tasks import owns

_PARTS = {
    "master_up": "the master's Scheduler",
    "first_path": "the master's web tool, or the way to it,",
    "second_path": "the path from the slave to the master",
    "slave_up": "the slave",
}
_PATHS = ("first_path", "second_path")
_LEADS: dict[Leads, str] = {"nobody": "does not resolve any more", "slave": "leads to the slave"}
_TASKS = ("intent", "verify", "begin")
"""Steps with which a task of Airflow begins, which may be run again at any time."""
_WELL = ("healthy", "to_be_synced", "master_back")
"""Decisions that rest on an answer of the master."""
_PROGRAMS = {
    "sync": syncing.sync,
    "reprotect": syncing.sync,
    "failover": failing_over.failover,
    "quench": failing_over.quench,
    "repair": failing_over.repair,
    "switchover": switching_over.switchover,
}


class World:
    """:param faults: how many faults may happen on the way; healing is free.
    :param names: the faults are that the master's name leads elsewhere, or that a server dies.
    """

    def __init__(self, rules: Rules, faults: int, *, names: bool = False) -> None:
        self._rules = rules
        self._faults = faults
        self._parts = {part: words for part, words in _PARTS.items() if not (names and part in _PATHS)}
        self._leads = _LEADS if names else {}
        self._lost_tasks = not names

    def steps(self, state: State) -> Iterator[Step[State]]:
        for step in self._raw(state):
            broken = step.broken
            if step.state.record.epoch < state.record.epoch:
                broken = (*broken, Property.S0)
            yield Step(step.label, self.settled(step.state, state), broken)

    def settled(self, state: State, before: State | None = None) -> State:
        """The state without what makes no difference."""
        if before and (state.kept, state.task, state.late) == (before.kept, before.task, before.late):
            return state
        return canonical(self._without_dead(state))

    def _without_dead(self, state: State) -> State:
        """Forget a process that has lost its operation: it never gets it back, so it does nothing any more."""
        for slot in ("task", "late"):
            process = getattr(state, slot)
            if _acts_as_owner(process) and not owns(state, process, self._rules):
                state = replaced(state, slot, None)
        return state

    def _raw(self, state: State) -> Iterator[Step[State]]:
        yield from self._environment(state)
        yield from self.time(state)
        yield from self.work(state, "task")
        yield from self.work(state, "late")
        if state.task is None:
            yield from self.rounds(state)
            yield from self.people(state)
            yield from self.sync(state)
        elif state.late is None and state.task.step in _TASKS:
            yield Step(f"a second {state.task.program} is as far", state._replace(late=state.task))

    def _environment(self, state: State) -> Iterator[Step[State]]:
        yield from self._name(state)
        for part, words in self._parts.items():
            if getattr(state, part):
                if state.faults < self._faults:
                    yield Step(f"{words} fails", replaced(state, part, False)._replace(faults=state.faults + 1))
            elif part != "master_up" or not state.fenced or not self._rules.lasting_fence:
                yield Step(f"{words} is back", replaced(state, part, True))
        if state.faults < self._faults and self._lost_tasks:
            yield from self._mishaps(state._replace(faults=state.faults + 1))
        if state.fenced and state.record.phase in (Phase.NORMAL, Phase.FAILED_OVER):
            yield Step("a person starts the fenced master", state._replace(fenced=False, master_up=True))

    def _name(self, state: State) -> Iterator[Step[State]]:
        for leads, words in self._leads.items():
            if state.name == "master" and state.faults < self._faults:
                yield Step(f"the master's name {words}", state._replace(name=leads, faults=state.faults + 1))
        if state.name != "master":
            yield Step("the master's name leads to the master again", state._replace(name="master"))

    def _mishaps(self, state: State) -> Iterator[Step[State]]:
        if state.task:
            yield from self._lost(state, state.task)
        if state.record.active is Role.MASTER and state.record.phase is Phase.NORMAL and not state.slave_jobs:
            yield Step("somebody enables a job on the slave", state._replace(slave_jobs=FIRST))

    def _lost(self, state: State, task: Process) -> Iterator[Step[State]]:
        """Airflow loses a task, whose process may go on; a failover's task may be tried again at once."""
        for again, and_ in ((None, ""), (_tried_again(task), ", and tried again")):
            if again or not and_:
                yield Step(f"the {task.program} is killed{and_}", state._replace(task=again))
                if state.late is None:
                    words = f"Airflow gives the {task.program} up, whose process goes on{and_}"
                    yield Step(words, state._replace(task=again, late=task))

    def time(self, state: State) -> Iterator[Step[State]]:
        """All leases and cool-downs are over, and no request outlives the lease of its operation."""
        record = state.record
        if record.operation and record.operation.open(NOW):
            record = renewed(record, NOW)
        if record.cool_down_until:
            record = record.model_copy(update={"cool_down_until": None})
        if record is not state.record:
            late = None if isinstance(state.late, Call) else state.late
            yield Step("leases and cool-downs end", state.saved(record)._replace(late=late))

    def work(self, state: State, slot: str) -> Iterator[Step[State]]:
        """The next step of a task, or the arrival of a late call."""
        process = getattr(state, slot)
        if isinstance(process, Call):
            after, broken = land(state, process, self._rules)
            yield Step(f"a late call arrives: {process.action} the {process.server}", after._replace(late=None), broken)
        elif process:
            yield from self._moves(state, slot, process)

    def _moves(self, state: State, slot: str, process: Process) -> Iterator[Step[State]]:
        who = process.program if slot == "task" else f"second {process.program}"
        for move in _PROGRAMS[process.program](state, process, self._rules):
            after = move.process
            if slot == "late" and after and after.step == "verify":
                after = None
            yield Step(f"{who} {move.label}", replaced(move.state, slot, after), move.broken)
            if move.call and self._may_be_lost(state, process):
                assert move.sending
                lost = replaced(move.sending, slot, None)._replace(faults=state.faults + 1)
                label = f"{who} is killed while this is on its way: {move.call.action} the {move.call.server}"
                yield Step(label, lost._replace(late=move.call))

    def _may_be_lost(self, state: State, process: Process) -> bool:
        """Whether a request of this process can be on its way when the process is gone."""
        free = state.late is None or state.late is process
        return free and self._lost_tasks and state.faults < self._faults and owns(state, process, self._rules)

    def rounds(self, state: State) -> Iterator[Step[State]]:
        """One round of the watch; a confirmed verdict starts a run of the failover DAG."""
        said = answers(state, self._rules)
        watch = Watch(self._rules.fall)
        if state.round:
            watch.add(observation(state.round))
        evidence = watch.add(observation(said))
        if evidence is None:
            yield Step("the watch hears a first round", state._replace(round=said))
            return
        code, run = failing_over.begin(state, evidence.verdict, evidence.streak, self._rules)
        label = f"the watch confirms {evidence.verdict}, which is decided as: {code}"
        misled = state.name == "slave" and code in _WELL
        yield Step(label, state._replace(round=None, task=run), (Property.S8,) if misled else ())

    def people(self, state: State) -> Iterator[Step[State]]:
        for move in switching_over.begin(state, self._rules):
            yield Step(f"a person {move.label}", move.state._replace(task=move.process))

    def sync(self, state: State) -> Iterator[Step[State]]:
        for move in syncing.begin(state, self._rules):
            yield Step(f"a sync {move.label}", move.state._replace(task=move.process), move.broken)


def _acts_as_owner(process: object) -> bool:
    """Whether all the rest of a process is for the owner of an operation."""
    return isinstance(process, Process) and process.program in ("failover", "switchover") and process.step != "begin"


def _tried_again(process: Process) -> Process | None:
    """The next try of the failover DAG's task; it need not wait for the lease of its own run's operation."""
    if process.program not in ("failover", "switchover") or process.verdict is None:
        return None
    return process._replace(program="failover", step="begin")
