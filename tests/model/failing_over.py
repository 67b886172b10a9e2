"""A run of the failover DAG after ``ping_master``: decide, then enable jobs, quench the master or repair the slave."""

from __future__ import annotations

from collections.abc import Iterator

from denodo_ha.decisions import Action
from denodo_ha.record import Phase, Record, Role, Step, close_operation
from denodo_ha.transitions import advanced, claim, given_up, promoted, renewed, resumed
from denodo_ha.verdict import Verdict
from model.properties import Property
from model.rules import Rules
from model.state import ALL, COOL_DOWN, FALL, LEASE, NOW, WANTED, Call, Process, Program, State, alive, fresh_id
from model.tasks import Move, begun, calls, decision, operation_of, owns

QUENCH = Call("disable", "master")
REPAIR = Call("disable", "slave")
_PROGRAMS: dict[Action, Program] = {
    Action.ENABLE_JOBS: "failover",
    Action.QUENCH_MASTER: "quench",
    Action.REPAIR_SLAVE: "repair",
}


def begin(state: State, verdict: Verdict, streak: int, rules: Rules) -> tuple[str, Process | None]:
    """What a run decides, and the task that it branches to."""
    found = decision(state, verdict, rules)
    program = _PROGRAMS.get(found.action)
    return found.code, program and Process(program, "begin", verdict=verdict, streak=min(streak, FALL))


def failover(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    if process.step == "begin":
        yield from _claim(state, process, rules)
    elif owns(state, process, rules):
        yield from _STEPS[process.step](state, process, rules)
    else:
        yield Move("is superseded", state)


def _still(state: State, process: Process, rules: Rules, action: Action) -> bool:
    assert process.verdict is not None
    found = decision(state, process.verdict, rules, own="" if rules.retry_waits else process.operation)
    return not rules.decide_again or found.action is action


def _claim(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    """Decide once more, for between two tasks anything can happen, and write the intent."""
    record, name = state.record, fresh_id(state)
    if not _still(state, process, rules, Action.ENABLE_JOBS):
        yield Move("decides otherwise now", state)
    elif record.phase is Phase.NORMAL:
        claimed = claim(
            record, kind="failover", to=Role.SLAVE, operation_id=name, target="slave", plan="s", now=NOW, lease=LEASE
        )
        yield Move("claims a failover", state.saved(claimed), begun(claimed, process, "look"))
    else:
        taken = resumed(record, operation_id=name, now=NOW, lease=LEASE)
        program, step = _resumed_at(taken, process, rules)
        yield Move("resumes", state.saved(taken), begun(taken, process._replace(program=program), step))


def _resumed_at(record: Record, process: Process, rules: Rules) -> tuple[Program, str]:
    """Where an operation is taken up: what has changed nothing yet goes on only where the master is confirmed down."""
    assert record.operation is not None
    untouched = record.operation.step is Step.CLAIMED
    if record.operation.kind == "switchover":
        return "switchover", "give up" if untouched else "disable"
    if untouched and process.verdict is not Verdict.DOWN and rules.fresh_evidence:
        return "failover", "give up"
    return "failover", "look"


def _give_up(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    record = state.record
    begun_already = operation_of(state).step is not Step.CLAIMED
    if begun_already:
        record = advanced(record, Step.CLAIMED)
    broken = (Property.S1_GIVEN_UP,) if begun_already and state.slave_jobs else ()
    yield Move("gives up", state.saved(given_up(record)), None, broken)


def _must_stop(state: State, rules: Rules) -> bool:
    """Whether the master, which is heard, ends a failover that has enabled nothing."""
    return operation_of(state).step is Step.CLAIMED or not rules.point_of_no_return


def _look(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    on = process._replace(step="fence")
    if not alive(state, rules):
        confirmed = process.verdict is Verdict.DOWN and process.streak >= FALL
        touched = operation_of(state).step is not Step.CLAIMED
        whole = state.master_up and state.slave_up and state.first_path and state.second_path
        broken = {Property.S5: not confirmed, Property.S7: whole}
        failed = tuple(each for each, wrong in broken.items() if wrong and not touched)
        yield Move("does not hear the master in its last look", state, on, failed)
    elif _must_stop(state, rules):
        yield from _give_up(state, process, rules)
    else:
        yield _quenched(state, on, rules)


def _quenched(state: State, on: Process, rules: Rules) -> Move:
    """Nothing is enabled beside a master that is heard, and whose jobs cannot be disabled."""
    if not state.reached(rules):
        return Move("fails: the master is back, and is not reached by its name", state)
    return calls("quenches the master, which is back", state, QUENCH, on, rules)


def _fence(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    on = process._replace(step="enable")
    if rules.fencing == "best_effort":
        yield Move("cannot fence, and goes on", state, on)
        return
    yield Move("fences by the hook", state._replace(master_up=False, fenced=True), on)
    if operation_of(state).step is Step.CLAIMED:
        yield from _give_up(state, process, rules)
    else:
        yield Move("fails: fencing is not confirmed", state)


def _enable(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    """A look and the note that jobs may be enabled from here on, right before each batch."""
    missing = (WANTED if rules.enabled_set else ALL) & ~state.slave_jobs
    heard = rules.look_again and alive(state, rules)
    if not state.slave_up:
        yield Move("fails: the slave does not answer", state)
    elif not missing:
        after = promoted(state.record, now=NOW, cool_down=COOL_DOWN)
        yield Move("reads all back enabled and commits", state.saved(after))
    elif heard and _must_stop(state, rules):
        yield from _give_up(state, process, rules)
    elif heard and (state.jobs("master") or not state.reached(rules)):
        yield _quenched(state, process, rules)
    else:
        going = state.saved(advanced(renewed(state.record, NOW + LEASE), Step.ENABLING))
        batch = Call("enable", "slave", missing & -missing)
        yield calls("enables a batch on the slave", going, batch, process, rules)


def quench(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    """What a dead re-protect has left open is no reason to let the master run, and is closed."""
    waits = state.record.operation is not None and not rules.quench_after_reprotect
    if _still(state, process, rules, Action.QUENCH_MASTER) and state.reached(rules) and not waits:
        move = calls("quenches the master", state, QUENCH, None, rules)
        yield move._replace(state=move.state.saved(close_operation(state.record)))
    else:
        yield Move("quenches nothing any more", state)


def repair(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    """Only where the master is seen to be the active server."""
    seen = state.exchanges("master", rules) and state.jobs("master")
    if seen and state.slave_up and _still(state, process, rules, Action.REPAIR_SLAVE):
        move = calls("repairs the slave", state, REPAIR, None, rules)
        yield move._replace(state=move.state.saved(close_operation(state.record)))
    else:
        yield Move("repairs nothing any more", state)


_STEPS = {"give up": _give_up, "look": _look, "fence": _fence, "enable": _enable}
