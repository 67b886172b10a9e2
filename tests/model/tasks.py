"""What programs have in common: their moves, and what they look at before each."""

from __future__ import annotations

from typing import NamedTuple

from denodo_ha.decisions import Decision, Situation, decide
from denodo_ha.record import Operation, Record
from denodo_ha.verdict import Verdict
from model.properties import Property
from model.rules import Rules
from model.servers import carry_out
from model.state import NOW, Call, Process, State


class Move(NamedTuple):
    """One step of a program.

    :param process: what is left of the program; None: it has ended.
    :param call: the request by which the step changes a server; it may outlive its task.
    :param sending: the state in which it is sent.
    """

    label: str
    state: State
    process: Process | None = None
    broken: tuple[Property, ...] = ()
    call: Call | None = None
    sending: State | None = None


def calls(label: str, state: State, call: Call, process: Process | None, rules: Rules) -> Move:
    """The move that sends ``call`` and gets its answer."""
    planned = process is not None and process.program == "switchover"
    after, broken = carry_out(state, call, rules, planned=planned)
    return Move(label, after, process, broken, call._replace(server=state.led_to(call.server)), state)


def operation_of(state: State) -> Operation:
    assert state.record.operation is not None
    return state.record.operation


def owns(state: State, process: Process, rules: Rules) -> bool:
    """Whether the operation in the record, read afresh, is the process's own and its lease is not over."""
    record = state.record
    if record.operation is None or not rules.own:
        return not rules.own and record.operation is not None
    same = (record.epoch, record.operation.id) == (process.epoch, process.operation)
    return same and record.operation.open(NOW)


def begun(record: Record, process: Process, step: str) -> Process:
    """The process as owner of the operation that the record has now."""
    assert record.operation is not None
    return process._replace(step=step, epoch=record.epoch, operation=record.operation.id)


def decision(state: State, verdict: Verdict, rules: Rules, *, own: str = "") -> Decision:
    """What the decision table says about the pair, whose servers and record are read now.

    :param own: the operation of an earlier try of the same task, which is not waited for.
    """
    if rules.tell_apart and state.slave_up and state.answering(rules) and state.is_one_server:
        verdict = Verdict.MISCONFIGURED if verdict.alive else verdict
    return decide(state.record.phase, verdict, _situation(state, verdict, rules, own))


def _situation(state: State, verdict: Verdict, rules: Rules, own: str) -> Situation:
    record = state.record
    operation = record.operation
    return Situation(
        operation_open=operation is not None and operation.open(NOW) and operation.id != own,
        resuming=operation is not None and operation.step in ("disabling", "enabling"),
        snapshot=record.snapshot is not None,
        dirty=record.dirty is not None,
        cooled_down=record.cool_down_until is None or record.cool_down_until <= NOW,
        acknowledged=record.acknowledged,
        slave_reachable=state.slave_up,
        slave_enabled=state.slave_up and state.slave_jobs != 0,
        master_enabled=state.jobs("master") != 0 if verdict.alive and state.reached(rules) else None,
        complete=record.last_promotion is None or record.last_promotion.complete,
    )
