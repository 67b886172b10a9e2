"""A person who never saw the tool reads on the pair's page who runs the jobs, since when, why, and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from e2e_failover.conftest import Everything
from support.photographs import WITHOUT

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class State:
    """A state in which a scene of a story ends, and what the page has to say then, as regular expressions."""

    story: str
    scene: str
    says: tuple[str, ...]


STATES = {
    "normal": State("calm", "calm", (r"master is the active server and runs the jobs", r"slave is ready to take over")),
    "control path broken": State(
        "calm", "web tool killed", (r"master is the active server", r"web tool", r"fail(s|ed)? over|failover")
    ),
    "failing over": State(
        "interrupted", "worker killed", (r"failover to the slave is under way", r"goes on by itself")
    ),
    "failed over": State(
        "night", "master killed", (r"slave is the active server and runs the jobs", r"a failover", r"Acknowledge")
    ),
    "master back": State(
        "night", "master back", (r"slave is the active server", r"master is not ready to take over", r"Re-protect")
    ),
    "blocked by a stale snapshot": State(
        "stale", "blocked", (r"master is the active server", r"older than", r"old snap")
    ),
    "split brain": State(
        "cut off", "refuses to be quenched", (r"slave is the active server", r"enabled jobs", r"both")
    ),
    "halted": State("asked", "halted", (r"was halted by", r"something is odd", r"Release")),
    "monitor stopped": State("cut off", "nothing watches", (r"monitor stopped", r"paused", r"unpause")),
    "nothing enabled": State("calm", "nothing enabled", (r"no job is enabled on it, so nothing runs",)),
}


@pytest.mark.parametrize("name", STATES)
def test_the_page_answers_the_questions_of_that_state(everything: Everything, name: str) -> None:
    state = STATES[name]
    text = everything.stories[state.story][state.scene].seen["page"]
    if not text:
        pytest.skip(WITHOUT)
    assert [each for each in state.says if not re.search(each, text, re.IGNORECASE)] == [], text
