"""The decision table, exhaustively: every phase, verdict and situation.

:func:`leaves` explores a function of a situation and learns from it which facts it looks at, so that all 786,432
situations of a cell are covered by a few hundred cases. Each invariant below stands on its own: removing any single
rule from any cell of the table breaks one of them, and a test shows that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.decision_table import page
from denodo_ha.decisions import DECISIONS, RULES, TABLE, Action, Alert, Cell, Decision, Situation, decide
from denodo_ha.record import Phase
from denodo_ha.transitions import TRANSITIONS
from denodo_ha.verdict import Verdict

FACTS = [field.name for field in fields(Situation)]
CHANGING = {Action.ENABLE_JOBS, Action.QUENCH_MASTER, Action.REPAIR_SLAVE, Action.APPROVE, Action.FAIL_BACK}
T = TypeVar("T")
Known = dict[str, bool | None]


class Unknown(Exception):
    pass


class Partial:
    """A situation of which only some facts are known."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def __getattr__(self, name: str) -> bool | None:
        assert name in FACTS
        if name not in self._known:
            raise Unknown(name)
        return self._known[name]


def leaves(function: Callable[[Situation], T], known: Known | None = None) -> Iterator[tuple[Known, T]]:
    """What ``function`` says of every situation in which ``known`` holds; each with the facts that it looked at."""
    known = known or {}
    try:
        result = function(cast(Situation, Partial(known)))
    except Unknown as unknown:
        (fact,) = unknown.args
        for value in (True, False, None) if fact == "master_enabled" else (True, False):
            yield from leaves(function, {**known, fact: value})
    else:
        yield known, result


@dataclass(frozen=True)
class Look:
    """What was decided, without the situation."""

    phase: Phase
    verdict: Verdict
    decision: Decision

    @property
    def alive(self) -> bool:
        return self.verdict.alive

    @property
    def takes_over(self) -> bool:
        """Begins a failover, or asks for one."""
        return self.phase is Phase.NORMAL and self.decision.action in (Action.ENABLE_JOBS, Action.APPROVE)

    def does(self, *actions: Action) -> bool:
        return self.decision.action in actions


@dataclass(frozen=True)
class Invariant:
    """In the looks that it ``concerns``, ``holds`` is true of the situation."""

    concerns: Callable[[Look], bool]
    holds: Callable[[Situation], bool]


def changes(look: Look) -> bool:
    return look.decision.action in CHANGING


def takes_over(look: Look) -> bool:
    return look.takes_over


def free(s: Situation) -> bool:
    """Nothing forbids a change."""
    return not s.operation_open and not s.paused


def both_enabled(s: Situation) -> bool:
    return bool(s.slave_enabled and s.master_enabled)


INVARIANTS: dict[str, Invariant] = {
    "nothing changes while paused": Invariant(changes, lambda s: not s.paused),
    "nothing changes beside an open operation": Invariant(changes, lambda s: not s.operation_open),
    "nothing changes while halted": Invariant(
        lambda look: changes(look) and look.phase is Phase.HALTED, lambda s: False
    ),
    "misconfigured or isolated is no reason for a change of a normal pair": Invariant(
        lambda look: (
            changes(look) and look.phase is Phase.NORMAL and look.verdict in (Verdict.MISCONFIGURED, Verdict.ISOLATED)
        ),
        lambda s: False,
    ),
    "no failover from a living master": Invariant(lambda look: look.takes_over and look.alive, lambda s: False),
    "no failover on one path unless the pair allows it": Invariant(
        lambda look: look.takes_over and look.verdict is not Verdict.DOWN, lambda s: s.one_path
    ),
    "no failover without a snapshot": Invariant(takes_over, lambda s: s.snapshot),
    "no failover to a dirty slave": Invariant(takes_over, lambda s: not s.dirty),
    "no failover to an old snapshot": Invariant(takes_over, lambda s: s.snapshot_fresh),
    "no failover in the cool-down": Invariant(takes_over, lambda s: s.cooled_down),
    "no failover before the last one is acknowledged": Invariant(takes_over, lambda s: s.acknowledged),
    "no failover to a slave that does not answer": Invariant(takes_over, lambda s: s.slave_reachable),
    "no failover to a slave that has enabled jobs": Invariant(takes_over, lambda s: not s.slave_enabled),
    "no failover on the silence of a path that never worked": Invariant(
        takes_over, lambda s: s.second_path or s.one_path
    ),
    "a normal pair is not well without a second path": Invariant(
        lambda look: look.decision.code == "healthy", lambda s: s.second_path or s.one_path
    ),
    "jobs enabled on both servers are never passed over because of a pause": Invariant(
        lambda look: look.alive and look.decision.code == "paused", lambda s: not (s.paused and both_enabled(s))
    ),
    "no failover without a required fence": Invariant(takes_over, lambda s: s.fenceable),
    "no failover without a person's word where the policy wants it": Invariant(
        lambda look: look.takes_over and look.does(Action.ENABLE_JOBS), lambda s: s.automatic
    ),
    "nobody is asked where the policy is manual": Invariant(
        lambda look: look.does(Action.APPROVE), lambda s: not s.manual
    ),
    "nobody is asked twice": Invariant(lambda look: look.does(Action.APPROVE), lambda s: not s.approval_asked),
    "nobody is asked in vain": Invariant(lambda look: look.does(Action.APPROVE), lambda s: not s.automatic),
    "an untouched failover goes on only when the master can be judged": Invariant(
        lambda look: (
            look.phase is Phase.FAILING_OVER
            and look.does(Action.ENABLE_JOBS)
            and look.verdict in (Verdict.UNKNOWN, Verdict.MISCONFIGURED, Verdict.ISOLATED)
        ),
        lambda s: s.resuming,
    ),
    "an interrupted operation goes on as soon as it may": Invariant(
        lambda look: look.phase in (Phase.FAILING_OVER, Phase.FAILING_BACK) and not look.does(Action.ENABLE_JOBS),
        lambda s: not (free(s) and s.resuming),
    ),
    "only a passive slave is repaired": Invariant(
        lambda look: look.does(Action.REPAIR_SLAVE) and not (look.phase is Phase.NORMAL and look.alive), lambda s: False
    ),
    "only a slave that answers is repaired, and only beside an active master": Invariant(
        lambda look: look.does(Action.REPAIR_SLAVE),
        lambda s: s.slave_reachable and (both_enabled(s) or (s.drill_left and not s.slave_enabled)),
    ),
    "a drill that was interrupted is not passed over": Invariant(
        lambda look: (
            look.phase is Phase.NORMAL and look.decision.code in ("healthy", "to_be_synced", "control_path_broken")
        ),
        lambda s: s.paused or not s.drill_left,
    ),
    "a passive slave with enabled jobs is repaired": Invariant(
        lambda look: look.phase is Phase.NORMAL and look.alive and not look.does(Action.REPAIR_SLAVE),
        lambda s: not (free(s) and s.slave_reachable and both_enabled(s)),
    ),
    "only a passive master is quenched": Invariant(
        lambda look: look.does(Action.QUENCH_MASTER) and not (look.phase is Phase.FAILED_OVER and look.alive),
        lambda s: False,
    ),
    "a master is quenched only beside an active slave": Invariant(
        lambda look: look.does(Action.QUENCH_MASTER), lambda s: s.slave_reachable and both_enabled(s)
    ),
    "a passive master with enabled jobs is quenched": Invariant(
        lambda look: look.phase is Phase.FAILED_OVER and look.alive and not look.does(Action.QUENCH_MASTER),
        lambda s: not (free(s) and s.slave_reachable and both_enabled(s)),
    ),
    "a promotion is completed only on a slave that answers": Invariant(
        lambda look: look.phase is Phase.FAILED_OVER and look.does(Action.ENABLE_JOBS), lambda s: s.slave_reachable
    ),
    "no job is enabled on the slave beside a master seen with enabled jobs": Invariant(
        lambda look: look.phase is Phase.FAILED_OVER and look.alive and look.does(Action.ENABLE_JOBS),
        lambda s: not s.master_enabled,
    ),
    "failback only by policy, to a quiet master, from a complete slave": Invariant(
        lambda look: look.does(Action.FAIL_BACK),
        lambda s: s.fail_back and s.complete and s.slave_reachable and not s.master_enabled,
    ),
    "failback only when failed over and the master's own web tool answers": Invariant(
        lambda look: (
            look.does(Action.FAIL_BACK) and not (look.phase is Phase.FAILED_OVER and look.verdict is Verdict.UP)
        ),
        lambda s: False,
    ),
    "a normal pair is well only when its slave is ready": Invariant(
        lambda look: look.decision.code == "healthy",
        lambda s: (
            free(s) and s.snapshot and s.snapshot_fresh and s.slave_reachable and not (s.dirty or s.slave_enabled)
        ),
    ),
    "a pair is well only while jobs are enabled on its active server, if there were any": Invariant(
        lambda look: (
            look.decision.code in ("healthy", "to_be_synced", "control_path_broken", "failed_over", "master_back")
            or look.does(Action.FAIL_BACK)
        ),
        lambda s: not s.jobs_expected or bool(s.slave_enabled or s.master_enabled),
    ),
    "a normal pair is well only while its master can be read": Invariant(
        lambda look: (
            look.phase is Phase.NORMAL and look.decision.code in ("healthy", "to_be_synced", "control_path_broken")
        ),
        lambda s: s.master_enabled is not None,
    ),
    "a failed over pair is well only while jobs are enabled on its slave, if there were any": Invariant(
        lambda look: (
            look.phase is Phase.FAILED_OVER
            and (
                look.decision.code in ("control_path_broken", "failed_over", "master_back")
                or look.does(Action.FAIL_BACK)
            )
        ),
        lambda s: not s.jobs_expected or s.slave_enabled,
    ),
    "nobody is told of a slave that a sync is about to bring in step": Invariant(
        lambda look: look.verdict is Verdict.UP and look.decision.code == "dirty_snapshot",
        lambda s: not s.just_touched,
    ),
    "enabled jobs on the slave are never passed over": Invariant(
        lambda look: look.phase is Phase.NORMAL and look.decision.code == "control_path_broken",
        lambda s: not s.slave_enabled,
    ),
    "a failed over pair is well only when all its jobs are enabled on a slave that answers": Invariant(
        lambda look: look.phase is Phase.FAILED_OVER and look.decision.code in ("failed_over", "master_back"),
        lambda s: free(s) and s.complete and s.slave_reachable,
    ),
    "a master that is back is only left alone when it is quiet": Invariant(
        lambda look: look.phase is Phase.FAILED_OVER and look.decision.code in ("master_back", "control_path_broken"),
        lambda s: free(s) and not s.master_enabled and s.complete,
    ),
    "a failback that is due by policy is not passed over": Invariant(
        lambda look: look.decision.code == "master_back",
        lambda s: not s.fail_back,
    ),
}


def looks(phase: Phase, verdict: Verdict) -> Iterator[tuple[Known, Look]]:
    for known, decision in leaves(lambda situation: decide(phase, verdict, situation)):
        yield known, Look(phase, verdict, decision)


def broken(phase: Phase, verdict: Verdict) -> dict[str, Known]:
    """The invariants that some situation breaks in this cell, each with such a situation."""
    found: dict[str, Known] = {}
    for known, look in looks(phase, verdict):
        for name, invariant in INVARIANTS.items():
            if name not in found and invariant.concerns(look):
                against = next((case for case, holds in leaves(invariant.holds, known) if not holds), None)
                if against is not None:
                    found[name] = against
    return found


CELLS = [pytest.param(phase, verdict, id=f"{phase}-{verdict}") for phase in Phase for verdict in Verdict]


@pytest.mark.parametrize(("phase", "verdict"), CELLS)
def test_every_cell_is_defined_and_keeps_the_invariants(phase: Phase, verdict: Verdict) -> None:
    assert broken(phase, verdict) == {}


REMOVALS = [
    pytest.param(phase, verdict, rule, id=f"{phase}-{verdict}-{rule}")
    for (phase, verdict), cell in TABLE.items()
    for rule in cell.rules
]
BREAKS_IN_NORMAL_DOWN = {
    "no_operation": "nothing changes beside an open operation",
    "not_paused_down": "nothing changes while paused",
    "snapshot": "no failover without a snapshot",
    "clean": "no failover to a dirty slave",
    "fresh": "no failover to an old snapshot",
    "cooled_down": "no failover in the cool-down",
    "acknowledged": "no failover before the last one is acknowledged",
    "slave_reachable": "no failover to a slave that does not answer",
    "slave_passive": "no failover to a slave that has enabled jobs",
    "second_path": "no failover on the silence of a path that never worked",
    "fenceable": "no failover without a required fence",
    "not_manual": "nobody is asked where the policy is manual",
    "not_asked": "nobody is asked twice",
    "approved": "no failover without a person's word where the policy wants it",
}


def without(phase: Phase, verdict: Verdict, rule: str) -> Cell:
    cell = TABLE[phase, verdict]
    return replace(cell, rules=tuple(name for name in cell.rules if name != rule))


@pytest.mark.parametrize(("phase", "verdict", "rule"), REMOVALS)
def test_each_rule_is_needed(monkeypatch: pytest.MonkeyPatch, phase: Phase, verdict: Verdict, rule: str) -> None:
    monkeypatch.setitem(TABLE, (phase, verdict), without(phase, verdict, rule))
    assert broken(phase, verdict), f"nothing notices that {rule} is missing"


@pytest.mark.parametrize("rule", TABLE[Phase.NORMAL, Verdict.DOWN].rules)
def test_each_rule_of_a_failover_prevents_what_its_name_says(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    monkeypatch.setitem(TABLE, (Phase.NORMAL, Verdict.DOWN), without(Phase.NORMAL, Verdict.DOWN, rule))
    assert BREAKS_IN_NORMAL_DOWN[rule] in broken(Phase.NORMAL, Verdict.DOWN)


def test_every_invariant_notices_a_wrong_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule less, or another decision at the end of a cell."""
    noticed: set[str] = set()
    for key, cell in list(TABLE.items()):
        wrong = [without(*key, rule) for rule in cell.rules] + [replace(cell, decision=code) for code in DECISIONS]
        for variant in wrong:
            with monkeypatch.context() as patch:
                patch.setitem(TABLE, key, variant)
                noticed |= broken(*key).keys()
    assert noticed == INVARIANTS.keys()


def test_every_rule_and_every_decision_is_reached() -> None:
    reached = {look.decision.code for phase in Phase for verdict in Verdict for _, look in looks(phase, verdict)}
    assert reached == set(DECISIONS)
    assert {rule for cell in TABLE.values() for rule in cell.rules} == set(RULES)


def test_every_rule_and_cell_names_a_decision_that_exists() -> None:
    assert {rule.otherwise for rule in RULES.values()} <= set(DECISIONS)
    assert {cell.decision for cell in TABLE.values()} <= set(DECISIONS)
    assert all(code == decision.code for code, decision in DECISIONS.items())


@pytest.mark.parametrize("decision", DECISIONS.values(), ids=DECISIONS)
def test_who_is_not_well_is_told_what_to_do(decision: Decision) -> None:
    assert decision.code
    assert decision.what
    assert decision.next_step
    if decision.action is Action.BLOCKED:
        assert decision.alert
        assert decision.next_step not in ("nothing", "wait")
    if decision.action in CHANGING - {Action.FAIL_BACK}:  # the switchover asks for a look at its end
        assert not decision.settled, "the outcome of a change is looked at"


situations = st.builds(
    Situation,
    **{name: st.booleans() for name in FACTS if name != "master_enabled"},
    master_enabled=st.sampled_from([True, False, None]),
)


@given(st.sampled_from(Phase), st.sampled_from(Verdict), situations)
def test_the_cases_cover_every_situation_once(phase: Phase, verdict: Verdict, situation: Situation) -> None:
    matching = [
        look.decision
        for known, look in looks(phase, verdict)
        if all(getattr(situation, fact) == value for fact, value in known.items())
    ]
    assert matching == [decide(phase, verdict, situation)]


@pytest.mark.parametrize(
    ("phase", "verdict", "facts", "code"),
    [
        (Phase.NORMAL, Verdict.UP, {}, "healthy"),
        (Phase.NORMAL, Verdict.UP, {"dirty": True, "slave_enabled": True}, "repair"),
        (Phase.NORMAL, Verdict.UP, {"master_enabled": False, "slave_enabled": True}, "slave_may_be_active"),
        (Phase.NORMAL, Verdict.UP, {"master_enabled": None, "slave_enabled": True}, "slave_may_be_active"),
        (Phase.NORMAL, Verdict.UP, {"dirty": True}, "dirty_snapshot"),
        (Phase.NORMAL, Verdict.UP, {"dirty": True, "just_touched": True}, "to_be_synced"),
        (Phase.NORMAL, Verdict.UP, {"master_enabled": False}, "nothing_enabled"),
        (Phase.NORMAL, Verdict.UP, {"master_enabled": None}, "master_unread"),
        (Phase.NORMAL, Verdict.UP, {"master_enabled": False, "jobs_expected": False}, "healthy"),
        (Phase.NORMAL, Verdict.DOWN, {"dirty": True, "just_touched": True}, "dirty_snapshot"),
        (Phase.NORMAL, Verdict.UP, {"paused": True, "slave_enabled": True}, "paused_split_brain"),
        (Phase.NORMAL, Verdict.UP, {"paused": True}, "paused"),
        (Phase.NORMAL, Verdict.UP, {"second_path": False}, "second_path"),
        (Phase.NORMAL, Verdict.UP, {"second_path": False, "one_path": True}, "healthy"),
        (Phase.NORMAL, Verdict.DOWN, {"second_path": False}, "second_path"),
        (Phase.NORMAL, Verdict.CONTROL_PATH_BROKEN, {}, "control_path_broken"),
        (Phase.NORMAL, Verdict.DOWN, {}, "fail_over"),
        (Phase.NORMAL, Verdict.DOWN, {"operation_open": True}, "operation_open"),
        (Phase.NORMAL, Verdict.DOWN, {"paused": True}, "paused_down"),
        (Phase.NORMAL, Verdict.DOWN, {"snapshot": False}, "no_snapshot"),
        (Phase.NORMAL, Verdict.DOWN, {"dirty": True}, "dirty_snapshot"),
        (Phase.NORMAL, Verdict.DOWN, {"snapshot_fresh": False}, "stale_snapshot"),
        (Phase.NORMAL, Verdict.DOWN, {"cooled_down": False}, "cool_down"),
        (Phase.NORMAL, Verdict.DOWN, {"acknowledged": False}, "not_acknowledged"),
        (Phase.NORMAL, Verdict.DOWN, {"slave_reachable": False}, "slave_unreachable"),
        (Phase.NORMAL, Verdict.DOWN, {"slave_enabled": True}, "slave_may_be_active"),
        (Phase.NORMAL, Verdict.DOWN, {"fenceable": False}, "not_fenced"),
        (Phase.NORMAL, Verdict.DOWN, {"automatic": False, "manual": True}, "manual"),
        (Phase.NORMAL, Verdict.DOWN, {"automatic": True, "manual": True}, "fail_over"),
        (Phase.NORMAL, Verdict.DOWN, {"automatic": False}, "approve"),
        (Phase.NORMAL, Verdict.DOWN, {"automatic": False, "approval_asked": True}, "approval_asked"),
        (Phase.NORMAL, Verdict.DOWN, {"automatic": True, "approval_asked": True}, "fail_over"),
        (Phase.NORMAL, Verdict.UNKNOWN, {}, "one_path"),
        (Phase.NORMAL, Verdict.UNKNOWN, {"one_path": True}, "fail_over"),
        (Phase.NORMAL, Verdict.MISCONFIGURED, {"one_path": True}, "misconfigured"),
        (Phase.NORMAL, Verdict.ISOLATED, {"one_path": True}, "isolated"),
        (Phase.FAILING_OVER, Verdict.DOWN, {}, "resume"),
        (Phase.FAILING_OVER, Verdict.UP, {}, "resume"),
        (Phase.FAILING_OVER, Verdict.UNKNOWN, {}, "interrupted"),
        (Phase.FAILING_OVER, Verdict.UNKNOWN, {"resuming": True}, "resume"),
        (Phase.FAILING_OVER, Verdict.DOWN, {"paused": True}, "paused_midway"),
        (Phase.FAILING_OVER, Verdict.DOWN, {"operation_open": True}, "operation_open"),
        (Phase.FAILED_OVER, Verdict.DOWN, {"slave_enabled": True}, "failed_over"),
        (Phase.FAILED_OVER, Verdict.DOWN, {}, "nothing_enabled"),
        (Phase.FAILED_OVER, Verdict.UP, {"master_enabled": False}, "nothing_enabled"),
        (Phase.FAILED_OVER, Verdict.DOWN, {"jobs_expected": False}, "failed_over"),
        (Phase.FAILED_OVER, Verdict.DOWN, {"complete": False}, "complete"),
        (Phase.FAILED_OVER, Verdict.DOWN, {"slave_reachable": False}, "active_unreachable"),
        (Phase.FAILED_OVER, Verdict.UP, {"slave_enabled": True}, "quench"),
        (Phase.FAILED_OVER, Verdict.UP, {"slave_enabled": True, "master_enabled": False}, "master_back"),
        (Phase.FAILED_OVER, Verdict.UP, {"slave_enabled": False}, "record_contradicted"),
        (
            Phase.FAILED_OVER,
            Verdict.UP,
            {"slave_enabled": True, "master_enabled": False, "fail_back": True},
            "fail_back",
        ),
        (Phase.FAILING_BACK, Verdict.UNKNOWN, {}, "resume"),
        (Phase.HALTED, Verdict.DOWN, {}, "halted"),
    ],
)
def test_what_is_decided(phase: Phase, verdict: Verdict, facts: dict[str, Any], code: str) -> None:
    assert decide(phase, verdict, Situation(**facts)).code == code


def test_split_brain_and_failover_reach_people_under_their_own_names() -> None:
    alerts = {code: decision.alert for code, decision in DECISIONS.items()}
    assert alerts["slave_may_be_active"] is Alert.SPLIT_BRAIN
    assert alerts["fail_over"] is alerts["active_unreachable"] is Alert.FAILOVER
    assert alerts["repair"] is Alert.DRIFT
    assert alerts["quench"] is Alert.QUENCHED
    assert alerts["stale_snapshot"] is Alert.STALE_SNAPSHOT


def test_the_page_has_every_decision_verdict_and_phase() -> None:
    text = page()
    for word in (*DECISIONS, *Verdict, *Phase):
        assert f"`{word}`" in text
    assert all(f"| `{start}` | `{end}` | {when} |" in text for start, end, when in TRANSITIONS)


def test_the_page_tells_the_verdict_of_every_row() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ")][:20]
    assert "| `failed`, `no_answer` | `failed`, `no_answer` | `up` | `down` |" in rows
    assert any(row.endswith("| `up` | any | `control_path_broken` |") for row in rows)
    assert any(row.startswith("| `misconfigured` |") and row.endswith("| `misconfigured` |") for row in rows)
