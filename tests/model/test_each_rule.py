"""Without any single rule the promise that it keeps breaks: the search sees it, and the rule is needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from model.properties import Property
from model.rules import Rules
from model.search import Result

IN_THE_TABLE = [
    pytest.param("no_operation", Property.S1_LATE, id="lease"),
    pytest.param("clean", Property.S6, id="dirty is not promotable"),
    pytest.param("not_both_enabled", Property.L1, id="repair of the slave"),
    pytest.param("master_quenched", Property.L1, id="quench of the master"),
]
IN_THE_STEPS = [
    pytest.param(Rules(fall=1), Property.S5, id="hysteresis"),
    pytest.param(Rules(refusal=False), Property.S3, id="phase guard"),
    pytest.param(Rules(refusal=False), Property.S3_MASTER, id="phase guard: re-protect"),
    pytest.param(Rules(own=False), Property.S3_MASTER, id="epoch and operation: re-protect"),
    pytest.param(Rules(quench_after_reprotect=False), Property.L1, id="quench after a dead re-protect"),
    pytest.param(Rules(enabled_set=False), Property.S2, id="enabled set: disabled on purpose"),
    pytest.param(Rules(enabled_set=False), Property.S2B, id="enabled set: deleted"),
    pytest.param(Rules(own=False), Property.S4, id="epoch and operation: disable"),
    pytest.param(Rules(own=False), Property.S3, id="epoch and operation: import"),
    pytest.param(Rules(new_id_per_try=False), Property.S3, id="an id for each try"),
    pytest.param(Rules(decide_again=False), Property.S4, id="decide again"),
    pytest.param(Rules(break_before_make=False), Property.S1_SWITCHOVER, id="break before make"),
    pytest.param(Rules(fresh_evidence=False), Property.S5, id="fresh evidence"),
    pytest.param(Rules(look_again=False), Property.S1_OBSERVABLE, id="look again"),
    pytest.param(Rules(point_of_no_return=False), Property.S1_GIVEN_UP, id="point of no return"),
    pytest.param(Rules(retry_waits=False), Property.S1_LATE, id="a retry waits for the lease"),
    pytest.param(Rules(doubt=False), Property.S1_SWITCHOVER, id="doubt"),
    pytest.param(Rules(fencing="required", lasting_fence=False), Property.S1_FENCED, id="lasting fence"),
]


OF_NAMES = [
    pytest.param(Rules(no_vote=False), Property.S7, id="no vote: last look"),
    pytest.param(Rules(no_vote=False), Property.S1_OBSERVABLE, id="no vote: both run"),
    pytest.param(Rules(tell_apart=False), Property.S4, id="the slave under the master's name: quench"),
    pytest.param(Rules(tell_apart=False), Property.S1_SWITCHOVER, id="the slave under the master's name: switchover"),
    pytest.param(Rules(last_address=False), Property.L3, id="last address"),
]


@pytest.mark.parametrize(("rule", "broken"), IN_THE_TABLE)
def test_a_rule_of_the_decision_table_is_needed(
    rule: str, broken: Property, without: Callable[[str], None], explore: Callable[..., Result]
) -> None:
    without(rule)
    result = explore(Rules(), until=broken)
    assert broken in result.traces, str(result)


@pytest.mark.parametrize(("rules", "broken"), IN_THE_STEPS)
def test_a_rule_of_the_steps_is_needed(rules: Rules, broken: Property, explore: Callable[..., Result]) -> None:
    result = explore(rules, until=broken)
    assert broken in result.traces, str(result)


@pytest.mark.parametrize(("rules", "broken"), OF_NAMES)
def test_a_rule_about_names_is_needed(rules: Rules, broken: Property, explore: Callable[..., Result]) -> None:
    result = explore(rules, until=broken, names=True)
    assert broken in result.traces, str(result)


def test_a_master_is_not_called_well_by_what_the_slave_answers(
    without: Callable[[str], None], explore: Callable[..., Result]
) -> None:
    """Two rules prevent it: the slave is told apart, and a master on which nothing is enabled is not well."""
    without("master_runs")
    result = explore(Rules(tell_apart=False), until=Property.S8, names=True)
    assert Property.S8 in result.traces, str(result)


def test_the_second_path_is_needed(without: Callable[[str], None], explore: Callable[..., Result]) -> None:
    """Without it, and with failovers on the word of one path."""
    without("one_path")
    result = explore(Rules(second_path=False), until=Property.S1_OBSERVABLE)
    assert Property.S1_OBSERVABLE in result.traces, str(result)


def test_a_switchover_that_goes_on_without_the_master_needs_a_fence(explore: Callable[..., Result]) -> None:
    """It takes three faults: a task that dies, and a master that is cut off on both paths."""
    result = explore(Rules(doubt=False, fencing="required"), faults=3, until=Property.S1_FENCED)
    assert Property.S1_FENCED in result.traces, str(result)
