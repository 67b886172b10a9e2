"""The sync DAG, in both directions: guard, export, intent, import, disable, verify and commit."""

from __future__ import annotations

from collections.abc import Iterator

from denodo_ha.preconditions import sync_may_begin
from denodo_ha.record import (
    Role,
    answered,
    begin_import,
    close_operation,
    commit,
    mark_dirty,
    superseded,
)
from model.rules import Rules
from model.servers import carry_out
from model.state import LEASE, NOW, Call, Process, Program, Server, State, fresh_id, snapshot
from model.tasks import Move, calls, owns

SOURCES: dict[Program, Role] = {"sync": Role.MASTER, "reprotect": Role.SLAVE}
"""Which server each program copies."""


def sync(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    target = _target(process.program)
    if not state.exchanges(target, rules):
        yield Move(f"fails: the {target} does not answer", state)
    else:
        yield from _STEPS[process.step](state, process, rules)


def _source(program: Program) -> Server:
    return "master" if SOURCES[program] is Role.MASTER else "slave"


def _target(program: Program) -> Server:
    return "slave" if SOURCES[program] is Role.MASTER else "master"


def refused(state: State, program: Program, rules: Rules) -> bool:
    return rules.refusal and sync_may_begin(state.record, NOW, SOURCES[program]) is not None


def begin(state: State, rules: Rules) -> Iterator[Move]:
    for program in SOURCES:
        yield from _begun(state, program, rules)


def _begun(state: State, program: Program, rules: Rules) -> Iterator[Move]:
    """Guard and export: repair what an earlier run has left behind, and take over what the source has enabled."""
    record, operation = state.record, state.record.operation
    source, target = _source(program), _target(program)
    if not state.exchanges(target, rules) or refused(state, program, rules):
        return
    disable = Call("disable", target)
    if operation and operation.in_flight(NOW):
        if state.jobs(target):
            after, broken = carry_out(state, disable, rules)
            yield Move("disables while a lost import may go on", after, None, broken)
    elif operation or record.dirty:
        if operation or not state.jobs(target) or (state.exchanges(source, rules) and state.jobs(source)):
            after, broken = carry_out(state, disable, rules)
            after = after.saved(close_operation(record))
            yield Move(f"repairs the {target}", after, _exported(after, program, rules), broken)
    elif exported := _exported(state, program, rules):
        yield Move(f"of the {source} begins and exports", state, exported)


def _exported(state: State, program: Program, rules: Rules) -> Process | None:
    """The rest of a sync; None: the source does not answer, or shows no enabled job."""
    record, source = state.record, _source(program)
    if not state.exchanges(source, rules) or not state.jobs(source):
        return None
    planned = Process(program, "intent", record.epoch, fresh_id(state), base=record.snapshot_id)
    return planned._replace(jobs=state.jobs(source))


def _is_superseded(state: State, process: Process, rules: Rules) -> bool:
    return rules.own and bool(
        superseded(state.record, operation_id=process.operation, epoch=process.epoch, base_snapshot=process.base)
    )


def _intent(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    record, target = state.record, _target(process.program)
    disable = Call("disable", target)
    if _is_superseded(state, process, rules) or (record.operation is None and refused(state, process.program, rules)):
        yield Move("is superseded", state)
    elif record.operation and record.operation.in_flight(NOW):
        if state.jobs(target):
            after, broken = carry_out(state, disable, rules)
            yield Move("disables while an earlier try may go on", after, process, broken)
    elif record.operation:
        after, broken = carry_out(state, disable, rules)
        again = process._replace(operation=fresh_id(state)) if rules.new_id_per_try else process
        yield Move("closes its earlier try", after.saved(close_operation(record)), again, broken)
    else:
        intent = begin_import(record, operation_id=process.operation, target=target, now=NOW, lease=LEASE)
        yield Move("writes its intent", state.saved(intent), process._replace(step="import"))


def _still_own(state: State, process: Process, rules: Rules) -> bool:
    return state.record.operation is not None and not _is_superseded(state, process, rules)


def _import(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    if owns(state, process, rules) and _still_own(state, process, rules):
        target = _target(process.program)
        yield calls(
            f"imports into the {target}", state, Call("import", target), process._replace(step="disable"), rules
        )
    else:
        yield Move("is superseded", state)


def _disable(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    record, target = state.record, _target(process.program)
    if rules.own and (record.epoch, record.active) != (process.epoch, SOURCES[process.program]):
        yield Move("is superseded", state)
    else:
        call = Call("disable", target)
        yield calls(f"disables the {target}", state, call, process._replace(step="answered"), rules)


def _answered(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    if _still_own(state, process, rules):
        yield Move("notes the answer", state.saved(answered(state.record)), process._replace(step="verify"))
    else:
        late = mark_dirty(state.record, now=NOW, reason="an import ended after another run had taken over")
        yield Move("was too late: the target is dirty", state.saved(late))


def _verify(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    record, target = state.record, _target(process.program)
    if not _still_own(state, process, rules):
        yield Move("is superseded", state)
    elif state.jobs(target):
        dirty = mark_dirty(close_operation(record), now=NOW, reason="the target does not equal the snapshot")
        yield Move("finds enabled jobs: not verified", state.saved(dirty))
    else:
        verified = state.verified or target == "slave"
        after = state.saved(commit(record, snapshot("new")))
        yield Move("verifies and commits", after._replace(verified=verified))


_STEPS = {"intent": _intent, "import": _import, "disable": _disable, "answered": _answered, "verify": _verify}
