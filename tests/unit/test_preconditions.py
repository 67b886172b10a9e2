"""The rules about whether an operation may begin that no other test asks in all their cases."""

from __future__ import annotations

import pytest

from denodo_ha.jobs import JobState, JobStatus
from denodo_ha.preconditions import passive_by_other, source_active
from denodo_ha.record import Phase, Record, Role

UNDER_WAY = {Phase.FAILING_OVER, Phase.FAILING_BACK}


@pytest.mark.parametrize("source", Role)
@pytest.mark.parametrize("active", Role)
@pytest.mark.parametrize("phase", Phase)
def test_only_the_active_server_is_copied_and_only_while_that_is_settled(
    phase: Phase, active: Role, source: Role
) -> None:
    """Whatever else the record says: a copy in the wrong direction overwrites what people have edited."""
    found = source_active(Record(phase=phase, active=active), source)
    settled = (Phase.NORMAL, Role.MASTER), (Phase.FAILED_OVER, Role.SLAVE)
    assert (found is None) == ((phase, active) in settled and source is active)
    if found:
        expected = {phase.value} if phase in UNDER_WAY else {"failed_over", "master_active", "slave_active"}
        assert found.code in expected
        assert (found.next_step == "wait for the end of the operation that is under way") == (phase in UNDER_WAY)


def status(name: str) -> JobStatus:
    return JobStatus(job_id=1, name=name, project_id=1, project="p", state=JobState.NOT_RUNNING)


@pytest.mark.parametrize(("passive", "active"), [(Role.SLAVE, Role.MASTER), (Role.MASTER, Role.SLAVE)])
def test_a_server_is_passive_only_if_the_other_one_is_seen_to_be_active(passive: Role, active: Role) -> None:
    enabled = [status("b"), status("a")]
    assert passive_by_other(passive, enabled, [status("b")]) is None
    for found, why, next_step in (
        ([], f"and none of the {active}'s", "if not, disable them by hand"),
        ("no route", f"and the {active} cannot be read: no route", f"if not, repair the {active} or its connection"),
    ):
        reason = passive_by_other(passive, enabled, found)
        assert reason
        assert reason.code == f"{passive}_may_be_active"
        assert f"2 jobs of the {passive} are enabled (p / a, p / b), not by a sync, {why}" in reason.what
        assert f"if the {passive} is the active server, initialise the pair so" in reason.next_step
        assert next_step in reason.next_step


def test_an_error_without_words_is_no_proof_either() -> None:
    assert passive_by_other(Role.SLAVE, [status("a")], "") is not None
