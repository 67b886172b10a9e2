"""With all rules every promise holds in every state that can be reached."""

from __future__ import annotations

import os
from collections.abc import Callable

from model.properties import Property
from model.rules import Rules
from model.search import Result

FAULTS = int(os.environ.get("DENODO_HA_SEARCH_FAULTS", "2"))


def test_best_effort_breaks_only_what_nobody_can_keep_without_a_fence(explore: Callable[..., Result]) -> None:
    result = explore(Rules(), faults=FAULTS)
    assert set(result.traces) == {Property.U}, str(result)


def test_a_name_that_leads_elsewhere_breaks_nothing(explore: Callable[..., Result]) -> None:
    """Not even what nobody can keep without a fence: an alive master is heard at the last address of its name."""
    result = explore(Rules(), faults=FAULTS, names=True)
    assert not result.traces, str(result)
    assert result.states > 50_000


def test_required_fencing_breaks_nothing(explore: Callable[..., Result]) -> None:
    result = explore(Rules(fencing="required"), faults=FAULTS)
    assert not result.traces, str(result)
    assert result.states > 50_000
