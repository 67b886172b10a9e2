"""What a changing call does to a server, and which promises it breaks."""

from __future__ import annotations

from denodo_ha.record import Phase, Role, Step
from model.properties import Property
from model.rules import Rules
from model.state import DISABLED, IMPORTED, ORPHAN, Call, State

Effect = tuple[State, tuple[Property, ...]]


def carry_out(state: State, call: Call, rules: Rules, *, planned: bool = False) -> Effect:
    """The state after a call of a task that has just made sure that it may; ``planned``: of a switchover."""
    return _carry_out(state, call._replace(server=state.led_to(call.server)), rules, planned)


def _carry_out(state: State, call: Call, rules: Rules, planned: bool) -> Effect:
    if call.action == "import":
        return _import(state, call)
    if call.action == "disable":
        return _disable(state, call)
    return _enable_slave(state, call, rules, planned) if call.server == "slave" else _enable_master(state, call)


def _import(state: State, call: Call) -> Effect:
    if call.server == "slave":
        after = state._replace(slave_jobs=state.slave_jobs | IMPORTED, verified=False)
        return after, () if state.record.phase is Phase.NORMAL else (Property.S3,)
    after = state._replace(master_jobs=state.master_jobs | IMPORTED)
    return after, () if state.record.phase is Phase.FAILED_OVER else (Property.S3_MASTER,)


def land(state: State, call: Call, rules: Rules) -> Effect:
    """The state after a call whose task is gone."""
    after, broken = _carry_out(state, call, rules, False)
    if call.action == "enable":
        broken = (Property.S1_LATE,) if _passive(state, call.server) else ()
    return after, broken


def _passive(state: State, server: str) -> bool:
    """Whether nothing may be enabled on this server now."""
    phase, operation = state.record.phase, state.record.operation
    if phase in (Phase.NORMAL, Phase.FAILED_OVER):
        return (phase is Phase.NORMAL) == (server == "slave")
    moving_away = (phase is Phase.FAILING_BACK) == (server == "slave")
    return moving_away and operation is not None and operation.step is Step.ENABLING


def _disable(state: State, call: Call) -> Effect:
    phase, active = state.record.phase, state.record.active
    left = ~call.jobs if call.jobs else 0
    if call.server == "slave":
        stopped = state.slave_jobs and active is Role.SLAVE and phase is Phase.FAILED_OVER
        return state._replace(slave_jobs=state.slave_jobs & left), (Property.S4,) if stopped else ()
    stopped = state.master_jobs and active is Role.MASTER and phase is Phase.NORMAL
    return state._replace(master_jobs=state.master_jobs & left), (Property.S4,) if stopped else ()


def _enable_slave(state: State, call: Call, rules: Rules, planned: bool) -> Effect:
    broken = []
    if state.master_up and call.jobs & state.master_jobs:
        broken.append(Property.S1_SWITCHOVER if planned and state.observable else _both(state, rules))
    if call.jobs & DISABLED:
        broken.append(Property.S2)
    if call.jobs & ORPHAN:
        broken.append(Property.S2B)
    if not state.verified:
        broken.append(Property.S6)
    return state._replace(slave_jobs=state.slave_jobs | call.jobs), tuple(broken)


def _both(state: State, rules: Rules) -> Property:
    if state.observable:
        return Property.S1_OBSERVABLE
    return Property.S1_FENCED if rules.fencing == "required" else Property.U


def _enable_master(state: State, call: Call) -> Effect:
    broken = (Property.S1_SWITCHOVER,) if call.jobs & state.slave_jobs else ()
    return state._replace(master_jobs=state.master_jobs | call.jobs), broken
