"""The sync DAG: guard, export, intent, import, disable, verify and commit."""

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
from model.state import LEASE, NOW, Call, Process, State, fresh_id, snapshot
from model.tasks import Move, calls, owns

DISABLE = Call("disable", "slave")


def sync(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    if not state.slave_up:
        yield Move("fails: the slave does not answer", state)
    else:
        yield from _STEPS[process.step](state, process, rules)


def refused(state: State, rules: Rules) -> bool:
    return rules.refusal and sync_may_begin(state.record, NOW, Role.MASTER) is not None


def begin(state: State, rules: Rules) -> Iterator[Move]:
    """Guard and export: repair what an earlier run has left behind, and take over what the master has enabled."""
    record, operation = state.record, state.record.operation
    if not state.slave_up or refused(state, rules):
        return
    if operation and operation.in_flight(NOW):
        if state.slave_jobs:
            after, broken = carry_out(state, DISABLE, rules)
            yield Move("disables while a lost import may go on", after, None, broken)
    elif operation or record.dirty:
        if operation or not state.slave_jobs or (state.first_path_answers and state.master_jobs):
            after, broken = carry_out(state, DISABLE, rules)
            after = after.saved(close_operation(record))
            yield Move("repairs the slave", after, _exported(after), broken)
    elif _exported(state):
        yield Move("begins and exports", state, _exported(state))


def _exported(state: State) -> Process | None:
    """The rest of a sync; None: the master does not answer, or shows no enabled job."""
    record = state.record
    if not state.first_path_answers or not state.master_jobs:
        return None
    planned = Process("sync", "intent", record.epoch, fresh_id(state), base=record.snapshot_id)
    return planned._replace(jobs=state.master_jobs)


def _is_superseded(state: State, process: Process, rules: Rules) -> bool:
    return rules.own and bool(
        superseded(state.record, operation_id=process.operation, epoch=process.epoch, base_snapshot=process.base)
    )


def _intent(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    record = state.record
    if _is_superseded(state, process, rules) or (record.operation is None and refused(state, rules)):
        yield Move("is superseded", state)
    elif record.operation and record.operation.in_flight(NOW):
        if state.slave_jobs:
            after, broken = carry_out(state, DISABLE, rules)
            yield Move("disables while an earlier try may go on", after, process, broken)
    elif record.operation:
        after, broken = carry_out(state, DISABLE, rules)
        again = process._replace(operation=fresh_id(state)) if rules.new_id_per_try else process
        yield Move("closes its earlier try", after.saved(close_operation(record)), again, broken)
    else:
        intent = begin_import(record, operation_id=process.operation, target="slave", now=NOW, lease=LEASE)
        yield Move("writes its intent", state.saved(intent), process._replace(step="import"))


def _still_own(state: State, process: Process, rules: Rules) -> bool:
    return state.record.operation is not None and not _is_superseded(state, process, rules)


def _import(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    if owns(state, process, rules) and _still_own(state, process, rules):
        yield calls("imports", state, Call("import", "slave"), process._replace(step="disable"), rules)
    else:
        yield Move("is superseded", state)


def _disable(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    record = state.record
    if rules.own and (record.epoch, record.active) != (process.epoch, "master"):
        yield Move("is superseded", state)
    else:
        yield calls("disables the slave", state, DISABLE, process._replace(step="answered"), rules)


def _answered(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    if _still_own(state, process, rules):
        yield Move("notes the answer", state.saved(answered(state.record)), process._replace(step="verify"))
    else:
        late = mark_dirty(state.record, now=NOW, reason="an import ended after another run had taken over")
        yield Move("was too late: the slave is dirty", state.saved(late))


def _verify(state: State, process: Process, rules: Rules) -> Iterator[Move]:
    record = state.record
    if not _still_own(state, process, rules):
        yield Move("is superseded", state)
    elif state.slave_jobs:
        dirty = mark_dirty(close_operation(record), now=NOW, reason="the slave does not equal the snapshot")
        yield Move("finds enabled jobs: not verified", state.saved(dirty))
    else:
        yield Move("verifies and commits", state.saved(commit(record, snapshot("new")))._replace(verified=True))


_STEPS = {"intent": _intent, "import": _import, "disable": _disable, "answered": _answered, "verify": _verify}
