"""A switchover by a person, in both directions: claim, disable, read back, enable, read back, commit; or back."""

from __future__ import annotations

from collections.abc import Iterator

from denodo_ha.record import Phase, Record, Role, Step
from denodo_ha.transitions import advanced, claim, failed_back, given_up, promoted, renewed, rolled_back
from denodo_ha.verdict import Verdict
from model.rules import Rules
from model.state import ALL, FALL, LEASE, NOW, Call, Process, Server, State, alive, fresh_id
from model.tasks import Move, begun, calls, operation_of, owns


def begin(state: State, rules: Rules) -> Iterator[Move]:
    to = _direction(state, rules)
    if to is not None:
        name = fresh_id(state)
        claimed = claim(
            state.record, kind="switchover", to=to, operation_id=name, target=to, plan="", now=NOW, lease=LEASE
        )
        process = begun(claimed, Process("switchover", "disable"), "disable" if rules.break_before_make else "make")
        carried = state.jobs("master" if to is Role.SLAVE else "slave")
        yield Move(f"claims a switchover to the {to}", state.saved(claimed)._replace(carried=carried), process)


def _direction(state: State, rules: Rules) -> Role | None:
    """Where the active server can be switched over to now; None: nowhere."""
    record = state.record
    if not (state.reached(rules) and state.slave_up) or record.operation:
        return None
    if record.phase is Phase.NORMAL and record.dirty is None and state.jobs("master") and not state.slave_jobs:
        return Role.SLAVE
    if record.phase is Phase.FAILED_OVER and state.slave_jobs and not state.jobs("master"):
        return Role.MASTER
    return None


def switchover(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    if owns(state, process, rules):
        yield from _STEPS[process.step](state, process, rules)
    else:
        yield Move("is superseded", state)


def _disable(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    """Drain the server that was active: disable one job after the other, since each may run for as long as it likes,
    until nothing is enabled there; what was enabled is carried over."""
    old, step = _old(state), operation_of(state).step
    enabled, on = state.jobs(old), process._replace(step="make")
    if not _reached(state, old, rules):
        if step is Step.ENABLING:
            yield Move(f"takes the {old} to be at rest, as it was", state, on)
        elif step is Step.DISABLING and _believed_down(process, old, rules):
            yield Move("believes the master to be at rest", state, on)
        else:
            yield from _fail(state, process, rules)
    elif enabled:
        going = state.saved(_gone_on(state, Step.ENABLING if step is Step.ENABLING else Step.DISABLING))
        if step is not Step.ENABLING:
            going = going._replace(carried=enabled if step is Step.CLAIMED else enabled | state.carried)
        yield calls(f"disables a job of the {old}", going, Call("disable", old, enabled & -enabled), process, rules)
        if step is not Step.ENABLING:
            yield from _fail(state, process, rules, "jobs do not end")
    elif step is Step.CLAIMED:
        yield from _give_up(state, process, rules)
    else:
        yield Move(f"reads the {old} back disabled", state, on)


def _believed_down(process: Process, old: Server, rules: Rules) -> bool:
    confirmed = old == "master" and process.verdict is Verdict.DOWN and process.streak >= FALL
    return confirmed and not (rules.doubt and rules.fencing == "required")


def _heard(state: State, rules: Rules) -> bool:
    return alive(state, rules) and (state.jobs("master") != 0 or not state.reached(rules))


def _make(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    new = _new(state)
    missing = (state.carried if rules.enabled_set else ALL) & ~state.jobs(new)
    if not _reached(state, new, rules):
        yield from _fail(state, process, rules)
    elif missing and rules.doubt and rules.break_before_make and new == "slave" and _heard(state, rules):
        if state.reached(rules):
            yield Move("hears the master with enabled jobs", state, process._replace(step="disable"))
        else:
            yield Move("fails: the master is heard, and is not reached by its name", state)
    elif missing:
        going = state.saved(_gone_on(state, Step.ENABLING))
        yield calls(f"enables a batch on the {new}", going, Call("enable", new, missing & -missing), process, rules)
    else:
        to_slave = promoted(state.record, now=NOW, cool_down=None) if new == "slave" else None
        after = to_slave or failed_back(state.record, now=NOW)
        yield Move("reads all back enabled and commits", state.saved(after)._replace(carried=0))


def _fail(state: State, process: Process, rules: Rules, why: str = "a server does not answer") -> Iterator[Move]:
    """Back, as long as nothing was enabled on the other one."""
    step = operation_of(state).step
    if step is Step.CLAIMED:
        yield from _give_up(state, process, rules)
    elif step is Step.DISABLING:
        yield Move(f"cannot go on, since {why}, and goes back", state, process._replace(step="back"))
    else:
        yield Move(f"fails: {why}", state)


def _back(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    old = _old(state)
    missing = state.carried & ~state.jobs(old)
    if not _reached(state, old, rules):
        yield Move("fails: it cannot go back either", state)
    elif missing:
        going = state.saved(_gone_on(state, Step.DISABLING))
        yield calls(f"enables a batch on the {old} again", going, Call("enable", old, missing), process, rules)
    else:
        yield Move("is rolled back", state.saved(rolled_back(state.record))._replace(carried=0))


def _give_up(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    yield Move("is given up", state.saved(given_up(state.record))._replace(carried=0))


def _gone_on(state: State, step: Step) -> Record:
    return advanced(renewed(state.record, NOW + LEASE), step)


def _new(state: State) -> Server:
    return "slave" if state.record.phase is Phase.FAILING_OVER else "master"


def _old(state: State) -> Server:
    return "master" if state.record.phase is Phase.FAILING_OVER else "slave"


def _reached(state: State, server: Server, rules: Rules) -> bool:
    return state.slave_up if server == "slave" else state.reached(rules)


_STEPS = {"disable": _disable, "make": _make, "back": _back, "give up": _give_up}
